/* ip.h - what a tunnel needs to know of an IP packet: family, addresses, length, ECN; checksums
 * (RFC 1071), and the ICMP errors sent back into the TUN.
 *
 * Views borrow the packet.  Only the fixed headers are looked at; extension headers and options
 * are payload here.
 */
#ifndef QANAT_PACKET_IP_H
#define QANAT_PACKET_IP_H

#include "base/addr.h"
#include "base/bytes.h"

#define IPV4_HEADER_MIN 20
#define IPV6_HEADER_LEN 40
#define IP_PROTO_ICMP 1
#define IP_PROTO_TCP 6
#define IP_PROTO_UDP 17
#define IP_PROTO_ICMPV6 58
/* Next headers of IPv6 that stand before another (RFC 8200 4). */
#define IP_PROTO_HOP_OPTIONS 0
#define IP_PROTO_ROUTING 43
#define IP_PROTO_FRAGMENT 44
#define IP_PROTO_DST_OPTIONS 60

struct ip_view {
	uint8_t family; /* IP_V4 or IP_V6 */
	uint8_t protocol; /* IPv4 protocol or IPv6 next header */
	uint8_t tos; /* traffic class; the low 2 bits are ECN */
	uint16_t header_len; /* bytes to the payload: IHL*4, or 40 */
	uint32_t len; /* whole packet by its header; <= what was given */
	const uint8_t *src; /* 4 or 16 bytes, in the packet */
	const uint8_t *dst;
};

/* True for a whole IPv4 or IPv6 packet at p; bytes behind its length (padding) are allowed. */
MUST_CHECK bool ip_view(struct ip_view *v, const uint8_t *p, size_t n);

/* Ones' complement sum over n bytes, continuing `sum` (0 at the start); fold with checksum_fold.
 * Only the last of several pieces may have an odd length. */
uint64_t checksum_add(uint64_t sum, const void *p, size_t n);
/* The folded, complemented checksum in host order; store it with store_be16. */
uint16_t checksum_fold(uint64_t sum);
/* Continues `sum` with a 16-bit or 32-bit field that holds `v`. */
static inline uint64_t checksum_add_u16(uint64_t sum, uint16_t v)
{
	return sum + __builtin_bswap16(v); /* in practice no sum comes near 2^64 */
}
static inline uint64_t checksum_add_u32(uint64_t sum, uint32_t v)
{
	return sum + __builtin_bswap32(v);
}
/* Sum of the pseudo header (RFC 793, RFC 8200 8.1) of a packet whose payload has `len` bytes. */
uint64_t checksum_pseudo(const struct ip_view *v, uint8_t protocol, uint32_t len);

/* Tunnel ECN, RFC 6040 normal mode: the outer bits for an inner packet, and the inner bits after
 * decapsulation; ecn_decapsulate rewrites the packet (and the IPv4 header checksum) and is false
 * when it must be dropped (outer CE over inner Not-ECT). */
uint8_t ecn_encapsulate(uint8_t inner_tos);
MUST_CHECK bool ecn_decapsulate(uint8_t *packet, const struct ip_view *v, uint8_t outer_ecn);

/* Writes an ICMP or ICMPv6 error about `packet` to `out`, to its sender; 0 when none may be sent
 * (an ICMP error, a fragment behind the first, a multicast or unspecified source).
 * `from`: the source to use, or family IP_NONE for the packet's own destination. */
enum icmp_error { ICMP_HOST_UNREACHABLE, ICMP_NO_DESTINATION_ADDRESS, ICMP_TOO_BIG };
#define ICMP_ERROR_MAX 1280
size_t icmp_error(uint8_t out[ICMP_ERROR_MAX], const uint8_t *packet, size_t n,
		  enum icmp_error what, uint32_t mtu, const struct ip_addr *from);

#endif
