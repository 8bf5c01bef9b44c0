/* socket.h - one request and its answer over a netlink socket (netlink(7)); for this folder only.
 *
 * A request is built in place with nl_request and libmnl's attribute writers, whose overflow
 * checks it relies on through NL_REQUEST_MAX, then sent by nl_exchange or nl_dump.  Larger ones
 * (nl/wireguard.h) are built by their own bounded writer.
 */
#ifndef QANAT_NL_SOCKET_H
#define QANAT_NL_SOCKET_H

#include <libmnl/libmnl.h>

#include "base/rows.h"
#include "nl/message.h"

#define NL_REQUEST_MAX 1024 /* the largest built in n->request is below 200 bytes */
#define NL_ANSWER_MAX 32768 /* the kernel cuts dumps to the reader's buffer, at most this */
#define NL_DUMP_TRIES 16

struct nl {
	struct mnl_socket *sock;
	uint32_t portid;
	uint32_t seq;
	char why[160]; /* the kernel's words for the last refusal, or "" */
	_Alignas(struct nlmsghdr) uint8_t request[NL_REQUEST_MAX];
	uint8_t answer[NL_ANSWER_MAX];
};

/* Opens a socket of `bus` (NETLINK_ROUTE, NETLINK_GENERIC) with extended acknowledgements. */
MUST_CHECK enum err_code nl_socket_open(struct mnl_socket **out, int bus, int flags, struct err *e);
/* nl_open for any bus. */
MUST_CHECK enum err_code nl_bus_open(struct nl **out, int bus, struct err *e);

/* Starts a request in buf[NL_REQUEST_MAX] with its fixed part of `n` bytes. */
struct nlmsghdr *nl_request(void *buf, uint16_t type, uint16_t flags, const void *fixed, size_t n);
void nl_put_address(struct nlmsghdr *h, uint16_t type, const struct ip_addr *a);

/* False ends the exchange: the message is malformed, or there is no memory for it. */
typedef bool nl_answer_fn(void *ctx, const struct nl_message *m);

/* Sends the request (in n->request, or in room of the caller's) and waits for its acknowledgement; `answer` (may be NULL) sees what comes
 * before.  Returns 0 or an errno; n->why is set. */
int nl_exchange(struct nl *n, struct nlmsghdr *h, nl_answer_fn *answer, void *ctx);

/* Sends a dump request; `row` adds to `rows` what it wants of each message.  An interrupted dump
 * is begun again with empty rows.  Returns 0 or an errno. */
int nl_dump(struct nl *n, struct nlmsghdr *h, nl_answer_fn *row, struct rows *rows, void *ctx);

/* Writes "WHAT: kernel's words: errno's text" and returns the code that fits netlink's errnos. */
enum err_code nl_refused(const struct nl *n, int sys, struct err *e, const char *fmt, ...)
	PRINTF(4, 5);

#endif
