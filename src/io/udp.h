/* udp.h - a pair of UDP sockets, IPv4 and IPv6 on one port, that move datagrams in batches.
 *
 * Sending: equal-sized datagrams to one address leave as one message (UDP_SEGMENT, since Linux
 * 4.18), several messages as one call.  Where the kernel refuses segmentation, the datagrams are
 * sent one by one: for that message only, or for the socket from then on, as the error says.
 * Receiving: the kernel may hand over a run of equal-sized datagrams as one (UDP_GRO, since 5.0).
 *
 * udp_send may be called from several threads at once; udp_receive by the one that owns the
 * struct udp_batch.  Sending waits for room, at most UDP_SEND_WAIT_MS, receiving never waits.
 */
#ifndef QANAT_IO_UDP_H
#define QANAT_IO_UDP_H

#include "base/addr.h"
#include "base/err.h"

#define UDP_SEND_WAIT_MS 200
#define UDP_SEGMENTS_MAX 64 /* the kernel's UDP_MAX_SEGMENTS before 6.9 */
#define UDP_PAYLOAD_MAX 65507 /* with an IPv4 header of 20 bytes and UDP's 8 in 65535 */
#define UDP_PAIRS_MAX 64
#define UDP_SOCKET_BUFFER (7u << 20)

struct udp;

struct udp_options {
	uint16_t port; /* 0: the kernel chooses, the same for both families */
	uint32_t mark; /* SO_MARK, 0: none */
	unsigned pairs; /* 1..UDP_PAIRS_MAX share the port; the kernel spreads senders over them */
	bool gso; /* may segment when sending */
	bool gro; /* may receive joined datagrams */
	/* Which of several pairs gets a datagram: one that begins with `first_byte` goes to pair
	 * number (its byte at `at`) % pairs, any other by the kernel's hash of the addresses.  `at` 0:
	 * always by the hash.  Best effort. */
	struct {
		uint8_t first_byte;
		uint16_t at;
	} spread;
};

/* Opens `o->pairs` pairs into out[].  A port that somebody else holds is ERR_IN_USE and named.  A
 * host without IPv6 gets IPv4 alone. */
MUST_CHECK enum err_code udp_open(struct udp **out, const struct udp_options *o, struct err *e);
/* Takes over a pair that another process has opened with udp_open and the same options; fd6 -1: IPv4
 * alone.  On failure the descriptors stay the caller's. */
MUST_CHECK enum err_code udp_adopt(struct udp **out, int fd4, int fd6, const struct udp_options *o,
				   struct err *e);
void udp_close(struct udp *u);
/* Gives the port up at once, while others may still hold `u`: until udp_close they send into
 * nothing and receive nothing. */
void udp_release(struct udp *u);
uint16_t udp_port(const struct udp *u);
/* The socket of a family for poll, or -1. */
int udp_fd(const struct udp *u, uint8_t family);
MUST_CHECK enum err_code udp_set_mark(struct udp *u, uint32_t mark, struct err *e);
/* In use now, for at least one of the two sockets. */
bool udp_gso_active(const struct udp *u);
bool udp_gro_active(const struct udp *u);

/* Our address and interface of a datagram: where one came in, or should leave. */
struct udp_source {
	struct ip_addr addr; /* family IP_NONE: the kernel's choice */
	uint32_t ifindex; /* 0: any */
};

enum udp_sent {
	UDP_SENT,
	UDP_SENT_WITHOUT_SOURCE, /* it refused `from`: the caller should forget that address */
	UDP_TOO_BIG, /* EMSGSIZE: a datagram larger than the path and not to be fragmented */
	UDP_NOT_SENT,
};

/* `len` bytes to one address: datagrams of `segment` bytes each, the last may be shorter. */
struct udp_out {
	const uint8_t *data;
	size_t len; /* 1.. UDP_PAYLOAD_MAX */
	size_t segment; /* 1..len; at most UDP_SEGMENTS_MAX segments */
	struct endpoint to;
	struct udp_source from;
	uint8_t ecn; /* the two bits of RFC 3168 */
	enum udp_sent result; /* out */
	int sys; /* out: errno of UDP_NOT_SENT */
};

#define UDP_SEND_MAX 64
/* Sends n <= UDP_SEND_MAX messages in order and fills their results. */
void udp_send(struct udp *u, struct udp_out *m, size_t n);

/* One received message: datagrams of `segment` bytes each, the last may be shorter; 0 < segment
 * <= len always holds, whatever came from outside. */
struct udp_in {
	uint8_t *data;
	size_t len;
	size_t segment;
	struct endpoint from;
	struct udp_source to;
	uint8_t ecn;
};

/* Buffers for receiving, each large enough for any datagram. */
struct udp_batch;
#define UDP_BATCH_MAX 64

MUST_CHECK struct udp_batch *udp_batch_new(void); /* NULL without memory */
void udp_batch_free(struct udp_batch *b);
/* Receives what waits at one family's socket; *in points to the messages, valid until the next
 * call.  0 when nothing waits, or the socket failed (its error is cleared by asking). */
size_t udp_receive(struct udp *u, uint8_t family, struct udp_batch *b, struct udp_in **in);
/* True when the last call may have left datagrams in the socket. */
bool udp_batch_was_full(const struct udp_batch *b);

#endif
