/* frame.h - IP and UDP headers for packets that leave by a packet socket, and the socket itself.
 *
 * For the generators in tests/bench: what a packet socket sends goes past the host's routes, queues
 * and sockets, so that a generator takes little of a small machine, and may have any source.
 */
#ifndef QANAT_BENCH_FRAME_H
#define QANAT_BENCH_FRAME_H

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "packet/ip.h"

#define FRAME_BATCH 32 /* sent by one call */
#define FRAME_UDP_LEN 8
#define FRAME_HEADERS_MAX (IPV6_HEADER_LEN + FRAME_UDP_LEN)

struct frame_payload {
	const uint8_t *p;
	size_t len;
	uint64_t sum; /* checksum_add over it */
};

struct frame_batch {
	int fd;
	struct sockaddr_ll to;
	struct mmsghdr msg[FRAME_BATCH];
	struct iovec iov[FRAME_BATCH][2];
	uint8_t headers[FRAME_BATCH][FRAME_HEADERS_MAX];
};

static inline void frame_ip_write(struct wr *w, const struct ip_addr *src,
				  const struct ip_addr *dst, size_t len)
{
	size_t begin = w->n;

	if (dst->family == IP_V6) {
		wr_be32(w, 6u << 28);
		wr_be16(w, (uint16_t)len);
		wr_u8(w, IP_PROTO_UDP);
		wr_u8(w, 64);
		wr_bytes(w, src->b, 16);
		wr_bytes(w, dst->b, 16);
		return;
	}
	wr_be16(w, 0x4500);
	wr_be16(w, (uint16_t)(IPV4_HEADER_MIN + len));
	wr_be32(w, 0x4000); /* do not fragment */
	wr_be32(w, 64u << 24 | IP_PROTO_UDP << 16);
	wr_bytes(w, src->b, 4);
	wr_bytes(w, dst->b, 4);
	store_be16(w->p + begin + 10, checksum_fold(checksum_add(0, w->p + begin, w->n - begin)));
}

/* Puts packet i of the batch together: its headers, and a view of the payload. */
static inline void frame_set(struct frame_batch *b, size_t i, const struct endpoint *src,
			     const struct endpoint *dst, const struct frame_payload *p)
{
	struct wr w = wr_over(b->headers[i], FRAME_HEADERS_MAX);
	uint16_t len = (uint16_t)(FRAME_UDP_LEN + p->len);
	size_t bytes = ip_bits(dst->addr.family) / 8;
	uint64_t sum = checksum_add(checksum_add(p->sum, src->addr.b, bytes), dst->addr.b, bytes);

	frame_ip_write(&w, &src->addr, &dst->addr, len);
	sum = checksum_add_u16(checksum_add_u16(sum, IP_PROTO_UDP), len);
	sum = checksum_add_u16(checksum_add_u16(sum, src->port), dst->port);
	sum = checksum_add_u16(sum, len);
	wr_be16(&w, src->port);
	wr_be16(&w, dst->port);
	wr_be16(&w, len);
	wr_be16(&w, checksum_fold(sum) ? checksum_fold(sum) : 0xffff); /* 0: none, RFC 768 */
	BUG_ON(w.full);
	b->iov[i][0] = (struct iovec){ b->headers[i], w.n };
	b->iov[i][1] = (struct iovec){ (void *)(uintptr_t)p->p, p->len };
}

/* A socket that sends packets of a family by a device, to the link-layer address `mac`, or NULL
 * where there is none; false with errno. */
MUST_CHECK static inline bool frame_open(struct frame_batch *b, const char *device, uint8_t family,
					 const uint8_t *mac)
{
	int on = 1, room = 8 << 20;

	b->to = (struct sockaddr_ll){
		.sll_family = AF_PACKET,
		.sll_protocol = __builtin_bswap16(family == IP_V4 ? ETH_P_IP : ETH_P_IPV6),
		.sll_ifindex = (int)if_nametoindex(device),
		.sll_halen = mac ? ETH_ALEN : 0,
	};
	if (mac)
		memcpy(b->to.sll_addr, mac, ETH_ALEN);
	if (b->to.sll_ifindex == 0)
		return false;
	b->fd = socket(AF_PACKET, SOCK_DGRAM, 0); /* protocol 0: it receives nothing */
	for (size_t i = 0; i < FRAME_BATCH; i++)
		b->msg[i].msg_hdr = (struct msghdr){ .msg_name = &b->to,
						     .msg_namelen = sizeof b->to,
						     .msg_iov = b->iov[i],
						     .msg_iovlen = 2 };
	return b->fd >= 0 &&
	       setsockopt(b->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) == 0 &&
	       setsockopt(b->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) == 0;
}

/* Sends packets 0 to n-1 of the batch; how many went, or -1 with errno.  A device whose queue is
 * full drops one: it counts as sent, as it would on a wire. */
MUST_CHECK static inline int frame_send(struct frame_batch *b, size_t n)
{
	int sent = sendmmsg(b->fd, b->msg, (unsigned)n, 0);

	if (sent < 0 && (errno == ENOBUFS || errno == EAGAIN))
		return 1;
	return sent < 0 && errno == EINTR ? 0 : sent;
}

#endif
