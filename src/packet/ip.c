#include "packet/ip.h"

#include "packet/wire.h"

/* IPv4 (RFC 791 3.1), without options:
 *
 *    0    | version, IHL | TOS | total length |
 *    4    | identification | flags, fragment offset |
 *    8    | TTL | protocol | header checksum |
 *   12    | source |
 *   16    | destination |
 */
static bool ipv4_view(struct ip_view *v, const uint8_t *p, size_t n)
{
	if (n < IPV4_HEADER_MIN)
		return false;
	*v = (struct ip_view){
		.family = IP_V4,
		.protocol = p[9],
		.tos = p[1],
		.header_len = (uint16_t)((p[0] & 15) * 4),
		.len = load_be16(p + IPV4_LEN),
		.src = p + 12,
		.dst = p + 16,
	};
	return v->header_len >= IPV4_HEADER_MIN && v->len >= v->header_len && v->len <= n;
}

/* IPv6 (RFC 8200 3):
 *
 *    0    | version | traffic class | flow label |
 *    4    | payload length | next header | hop limit |
 *    8    | source |
 *   24    | destination |
 */
static bool ipv6_view(struct ip_view *v, const uint8_t *p, size_t n)
{
	if (n < IPV6_HEADER_LEN)
		return false;
	*v = (struct ip_view){
		.family = IP_V6,
		.protocol = p[6],
		.tos = (uint8_t)(p[0] << 4 | p[1] >> 4),
		.header_len = IPV6_HEADER_LEN,
		.len = IPV6_HEADER_LEN + (uint32_t)load_be16(p + IPV6_LEN),
		.src = p + 8,
		.dst = p + 24,
	};
	return v->len <= n;
}

bool ip_view(struct ip_view *v, const uint8_t *p, size_t n)
{
	if (!n)
		return false;
	switch (p[0] >> 4) {
	case 4:
		return ipv4_view(v, p, n);
	case 6:
		return ipv6_view(v, p, n);
	default:
		return false;
	}
}

enum ecn { NOT_ECT = 0, ECT_1 = 1, ECT_0 = 2, CE = 3 };

uint8_t ecn_encapsulate(uint8_t inner_tos)
{
	return inner_tos & 3; /* RFC 6040 4.1, normal mode: copied, CE too */
}

/* RFC 6040 4.2, figure 4. */
#define ECN_DROP 4
static const uint8_t ecn_table[4][4] = {
	/*             outer: Not-ECT  ECT(1)   ECT(0)   CE */
	[NOT_ECT] = { NOT_ECT, NOT_ECT, NOT_ECT, ECN_DROP },
	[ECT_1] = { ECT_1, ECT_1, ECT_1, CE },
	[ECT_0] = { ECT_0, ECT_1, ECT_0, CE },
	[CE] = { CE, CE, CE, CE },
};

bool ecn_decapsulate(uint8_t *packet, const struct ip_view *v, uint8_t outer_ecn)
{
	uint8_t inner = v->tos & 3, ecn = ecn_table[inner][outer_ecn & 3];
	uint16_t old_word, check;

	if (ecn == ECN_DROP)
		return false;
	if (ecn == inner)
		return true;
	if (v->family == IP_V6) {
		packet[1] = (uint8_t)((packet[1] & ~0x30) | ecn << 4);
		return true;
	}
	old_word = load_be16(packet);
	packet[1] = (uint8_t)((packet[1] & ~3) | ecn);
	/* RFC 1624 3: HC' = ~(~HC + ~m + m').  A wrong checksum stays wrong. */
	check = (uint16_t)~load_be16(packet + IPV4_CHECKSUM);
	store_be16(packet + IPV4_CHECKSUM,
		   checksum_fold(checksum_add_u16(checksum_add_u16(checksum_add_u16(0, check),
								   (uint16_t)~old_word),
						  load_be16(packet))));
	return true;
}
