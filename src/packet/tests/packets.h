/* packets.h - for tests: packets built byte by byte, and checksums by the book (RFC 1071 4.1),
 * so that the code under test is not its own judge.
 */
#ifndef QANAT_PACKET_TESTS_PACKETS_H
#define QANAT_PACKET_TESTS_PACKETS_H

#include "packet/ip.h"
#include "packet/wire.h"

#define TCP_LEN 32 /* with NOP, NOP, timestamps */

static inline uint32_t book_sum(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Sum of the pseudo header of a whole packet whose transport begins at `l4`. */
static inline uint32_t book_pseudo(const uint8_t *p, size_t n, size_t l4, uint8_t protocol)
{
	uint32_t sum = p[0] >> 4 == 4 ? book_sum(0, p + 12, 8) : book_sum(0, p + 8, 32);

	sum += protocol + (uint32_t)(n - l4);
	return book_sum(sum, NULL, 0);
}

static inline size_t book_l4(const uint8_t *p)
{
	return p[0] >> 4 == 4 ? (size_t)(p[0] & 15) * 4 : IPV6_HEADER_LEN;
}

static inline uint8_t book_protocol(const uint8_t *p)
{
	return p[0] >> 4 == 4 ? p[9] : p[6];
}

static inline size_t book_checksum_at(const uint8_t *p)
{
	return book_l4(p) + (book_protocol(p) == IP_PROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
}

/* Lengths and checksums right, whatever else is not. */
static inline void book_fix(uint8_t *p, size_t n)
{
	size_t l4 = book_l4(p), at = book_checksum_at(p);

	if (p[0] >> 4 == 4) {
		store_be16(p + IPV4_LEN, (uint16_t)n);
		store_be16(p + IPV4_CHECKSUM, 0);
		store_be16(p + IPV4_CHECKSUM, (uint16_t)~book_sum(0, p, l4));
	} else {
		store_be16(p + IPV6_LEN, (uint16_t)(n - l4));
	}
	if (book_protocol(p) == IP_PROTO_UDP)
		store_be16(p + l4 + UDP_LEN, (uint16_t)(n - l4));
	store_be16(p + at, 0);
	store_be16(p + at,
		   (uint16_t)~book_sum(book_pseudo(p, n, l4, book_protocol(p)), p + l4, n - l4));
	if (load_be16(p + at) == 0 && book_protocol(p) == IP_PROTO_UDP)
		store_be16(p + at, 0xffff);
}

static inline bool book_right(const uint8_t *p, size_t n)
{
	size_t l4 = book_l4(p);

	return (p[0] >> 4 == 6 || book_sum(0, p, l4) == 0xffff) &&
	       book_sum(book_pseudo(p, n, l4, book_protocol(p)), p + l4, n - l4) == 0xffff;
}

/* The checksum field as the kernel leaves it with NEEDS_CSUM. */
static inline void book_partial(uint8_t *p, size_t n)
{
	book_fix(p, n);
	store_be16(p + book_checksum_at(p),
		   (uint16_t)book_pseudo(p, n, book_l4(p), book_protocol(p)));
}

struct packet_spec {
	uint8_t family;
	uint8_t protocol;
	uint8_t flags; /* TCP */
	uint16_t id; /* IPv4 */
	uint16_t port; /* the source's */
	uint32_t seq;
	size_t payload;
};

/* Writes the packet with right checksums and returns its length.  Payload bytes go by their
 * sequence number. */
static inline size_t packet_build(uint8_t *out, const struct packet_spec *s)
{
	static const uint8_t options[12] = { 1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4 };
	struct wr w = wr_over(out, 70000);
	bool tcp = s->protocol == IP_PROTO_TCP;

	if (s->family == IP_V4) {
		wr_be16(&w, 0x4502); /* ECT(0) */
		wr_be16(&w, 0);
		wr_be16(&w, s->id);
		wr_be16(&w, IPV4_DF);
		wr_u8(&w, 64);
		wr_u8(&w, s->protocol);
		wr_be16(&w, 0);
		wr_be32(&w, 0x0a080002);
		wr_be32(&w, 0xc0000201);
	} else {
		wr_be32(&w, 0x60212345);
		wr_be16(&w, 0);
		wr_u8(&w, s->protocol);
		wr_u8(&w, 64);
		for (int i = 0; i < 2; i++) {
			wr_be32(&w, 0xfd000000);
			wr_zero(&w, 11);
			wr_u8(&w, (uint8_t)(i + 1));
		}
	}
	wr_be16(&w, s->port);
	wr_be16(&w, 443);
	if (tcp) {
		wr_be32(&w, s->seq);
		wr_be32(&w, 0x01020304);
		wr_u8(&w, TCP_LEN / 4 << 4);
		wr_u8(&w, s->flags);
		wr_be16(&w, 501);
		wr_be32(&w, 0);
		wr_bytes(&w, options, sizeof options);
	} else {
		wr_be32(&w, 0);
	}
	for (size_t i = 0; i < s->payload; i++)
		wr_u8(&w, (uint8_t)((s->seq + i) * 31 + ((s->seq + i) >> 8)));
	BUG_ON(w.full);
	book_fix(out, w.n);
	return w.n;
}

#endif
