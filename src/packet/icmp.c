#include "packet/ip.h"
#include "packet/wire.h"

/* ICMP (RFC 792) and ICMPv6 (RFC 4443 2.1) errors:
 *
 *    0    | type | code | checksum |
 *    4    | unused; or for ICMP "fragmentation needed": 0, next-hop MTU; ICMPv6: MTU |
 *    8    | as much of the packet as fits |
 */
#define ICMP_HEADER_LEN 8
#define ICMPV4_LEN_MAX 576 /* RFC 1812 4.3.2.3 */
#define ICMPV4_TOS 0xc0 /* RFC 1812 4.3.2.5: internetwork control */
#define ICMP_TTL 64

#define ICMPV4_UNREACHABLE 3
#define ICMPV4_CODE_HOST 1
#define ICMPV4_CODE_FRAGMENTATION 4
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_CODE_ADDRESS 3
#define ICMPV6_TOO_BIG 2
#define ICMPV6_INFORMATIONAL 128 /* and above; below are errors */

static bool icmpv4_is_error(uint8_t type)
{
	/* RFC 1122 3.2.2: unreachable, source quench, redirect, time exceeded, parameter problem */
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* RFC 1812 4.3.2.7 */
static bool ipv4_may_answer(const struct ip_view *v, const uint8_t *packet)
{
	uint8_t src = v->src[0], dst = v->dst[0];

	if (load_be16(packet + IPV4_FRAGMENT) & IPV4_OFFSET_MASK)
		return false;
	/* "this network", loopback; multicast, reserved and broadcast */
	if (src == 0 || src == 127 || src >= 224 || dst >= 224)
		return false;
	if (v->protocol != IP_PROTO_ICMP)
		return true;
	return v->len > v->header_len && !icmpv4_is_error(packet[v->header_len]);
}

/* Finds what stands behind the extension headers: false when that cannot be known, as behind a
 * fragment header that does not start the packet.  `at` is where it begins. */
static bool ipv6_upper(const struct ip_view *v, const uint8_t *packet, uint8_t *protocol,
		       size_t *at)
{
	struct rd r = rd_over(packet, v->len);

	*protocol = v->protocol;
	(void)rd_bytes(&r, v->header_len);
	for (;;) {
		uint8_t next, len;

		*at = v->len - r.left;
		switch (*protocol) {
		case IP_PROTO_HOP_OPTIONS:
		case IP_PROTO_ROUTING:
		case IP_PROTO_DST_OPTIONS:
			next = rd_u8(&r);
			len = rd_u8(&r);
			(void)rd_bytes(&r, 6 + (size_t)len * 8);
			break;
		case IP_PROTO_FRAGMENT:
			next = rd_u8(&r);
			(void)rd_u8(&r);
			if (rd_be16(&r) & 0xfff8)
				return false;
			(void)rd_be32(&r);
			break;
		default:
			return !r.bad;
		}
		if (r.bad)
			return false;
		*protocol = next;
	}
}

/* RFC 4443 2.4 (e) */
static bool ipv6_may_answer(const struct ip_view *v, const uint8_t *packet, enum icmp_error what)
{
	static const uint8_t zero[15];
	uint8_t protocol;
	size_t at;

	if (v->src[0] == 0xff || (memcmp(v->src, zero, 15) == 0 && v->src[15] <= 1))
		return false; /* multicast, unspecified, loopback */
	if (v->dst[0] == 0xff && what != ICMP_TOO_BIG)
		return false;
	if (!ipv6_upper(v, packet, &protocol, &at))
		return false;
	return protocol != IP_PROTO_ICMPV6 || (at < v->len && packet[at] >= ICMPV6_INFORMATIONAL);
}

static size_t icmpv4_write(struct wr *w, const uint8_t *packet, const struct ip_view *v,
			   enum icmp_error what, uint32_t mtu, const uint8_t *from)
{
	size_t quoted = MIN(v->len, ICMPV4_LEN_MAX - IPV4_HEADER_MIN - ICMP_HEADER_LEN);
	uint8_t *icmp = w->p + IPV4_HEADER_MIN;
	bool too_big = what == ICMP_TOO_BIG;

	wr_u8(w, 0x45);
	wr_u8(w, ICMPV4_TOS);
	wr_be16(w, (uint16_t)(IPV4_HEADER_MIN + ICMP_HEADER_LEN + quoted));
	wr_be16(w, 0); /* with DF the identification means nothing (RFC 6864 4.1) */
	wr_be16(w, IPV4_DF);
	wr_u8(w, ICMP_TTL);
	wr_u8(w, IP_PROTO_ICMP);
	wr_be16(w, 0);
	wr_bytes(w, from, 4);
	wr_bytes(w, v->src, 4);
	wr_u8(w, ICMPV4_UNREACHABLE);
	wr_u8(w, too_big ? ICMPV4_CODE_FRAGMENTATION : ICMPV4_CODE_HOST);
	wr_be16(w, 0);
	wr_be32(w, too_big ? MIN(mtu, UINT16_MAX) : 0);
	wr_bytes(w, packet, quoted);
	BUG_ON(w->full);
	store_be16(w->p + IPV4_CHECKSUM, checksum_fold(checksum_add(0, w->p, IPV4_HEADER_MIN)));
	store_be16(icmp + 2, checksum_fold(checksum_add(0, icmp, ICMP_HEADER_LEN + quoted)));
	return w->n;
}

static size_t icmpv6_write(struct wr *w, const uint8_t *packet, const struct ip_view *v,
			   enum icmp_error what, uint32_t mtu, const uint8_t *from)
{
	size_t quoted = MIN(v->len, ICMP_ERROR_MAX - IPV6_HEADER_LEN - ICMP_HEADER_LEN);
	size_t icmp_len = ICMP_HEADER_LEN + quoted;
	uint8_t *icmp = w->p + IPV6_HEADER_LEN;
	bool too_big = what == ICMP_TOO_BIG;
	struct ip_view answer;

	wr_be32(w, 0x60000000);
	wr_be16(w, (uint16_t)icmp_len);
	wr_u8(w, IP_PROTO_ICMPV6);
	wr_u8(w, ICMP_TTL);
	wr_bytes(w, from, 16);
	wr_bytes(w, v->src, 16);
	wr_u8(w, too_big ? ICMPV6_TOO_BIG : ICMPV6_UNREACHABLE);
	wr_u8(w, too_big ? 0 : ICMPV6_CODE_ADDRESS);
	wr_be16(w, 0);
	wr_be32(w, too_big ? mtu : 0);
	wr_bytes(w, packet, quoted);
	BUG_ON(w->full || !ip_view(&answer, w->p, w->n));
	store_be16(icmp + 2, checksum_fold(checksum_add(checksum_pseudo(&answer, IP_PROTO_ICMPV6,
									(uint32_t)icmp_len),
							icmp, icmp_len)));
	return w->n;
}

size_t icmp_error(uint8_t out[ICMP_ERROR_MAX], const uint8_t *packet, size_t n,
		  enum icmp_error what, uint32_t mtu, const struct ip_addr *from)
{
	struct wr w = wr_over(out, ICMP_ERROR_MAX);
	const uint8_t *source;
	struct ip_view v;

	if (!ip_view(&v, packet, n))
		return 0;
	source = from && from->family == v.family ? from->b : v.dst;
	if (v.family == IP_V4)
		return ipv4_may_answer(&v, packet) ? icmpv4_write(&w, packet, &v, what, mtu, source)
						   : 0;
	return ipv6_may_answer(&v, packet, what) ? icmpv6_write(&w, packet, &v, what, mtu, source)
						 : 0;
}
