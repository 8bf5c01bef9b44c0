/* query.h - asks one DNS server one question, beside others, on a loop.
 *
 * UDP with a random id from a random port (the kernel chooses one at random for each socket),
 * sent up to three times, and TCP when the answer was cut off (RFC 1035, 4.2; RFC 7766).  The socket
 * is connected, so that only the server's datagrams arrive, and ICMP's word that nobody is there.
 * What arrives counts as the answer when id and question match and all of it is well formed;
 * anything else is passed over, since a forger may have sent it, and remembered: a server that
 * sent nothing better is DNS_GARBAGE in the end.  A server that does not know EDNS is asked without.
 *
 * The answer is the server's word: nothing is cached, no CNAME is asked for further.  One thread, the
 * loop's.
 */
#ifndef QANAT_DNS_QUERY_H
#define QANAT_DNS_QUERY_H

#include "base/err.h"
#include "dns/message.h"
#include "io/loop.h"

struct dns_ask {
	struct endpoint server;
	struct dns_name name;
	uint16_t type;
	int64_t timeout_ns; /* for all of it together */
	bool mix_case; /* random case in the name, which the answer must repeat */
};

enum dns_outcome {
	DNS_ANSWERED, /* with whatever rcode */
	DNS_TIMED_OUT,
	DNS_UNREACHABLE, /* the kernel or ICMP says so: no route, nobody at the port; `sys` */
	DNS_GARBAGE, /* only what is no answer to the question */
};

struct dns_result {
	const struct dns_ask *ask; /* as given, and like `message` borrowed for the call */
	enum dns_outcome outcome;
	int sys;
	bool tcp; /* it came, or was awaited, by TCP */
	int64_t took_ns; /* since the question was first sent */
	unsigned rcode; /* all twelve bits of it */
	const uint8_t *message; /* well formed; NULL unless DNS_ANSWERED */
	size_t len;
};

struct dns_query;

/* Starts asking.  `done` is called once, from the loop, never from here; the query ends with that.
 * An error is ours (memory, descriptors), not the server's. */
MUST_CHECK enum err_code dns_query_start(struct dns_query **out, struct loop *l,
					 const struct dns_ask *ask,
					 void (*done)(void *ctx, const struct dns_result *r),
					 void *ctx, struct err *e);
/* Ends it without a call of `done`; takes NULL. */
void dns_query_cancel(struct dns_query *q);

/* The first address of the type asked for (A or AAAA), at the end of the answer's own chain of
 * CNAMEs; false when there is none. */
MUST_CHECK bool dns_result_address(const struct dns_result *r, struct ip_addr *out);

#endif
