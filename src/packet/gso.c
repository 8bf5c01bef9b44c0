#include "packet/gso.h"

#include "packet/wire.h"

#define GSO_HEADER_MAX 256 /* with IPv6 extension headers; more is refused */

/* An ordinary packet: as it is, but for a checksum that we may have to finish. */
static bool begin_whole(struct gso *g, const struct virtio_net_hdr *h)
{
	g->count = 1;
	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return true;
	if (h->csum_start < g->ip.header_len || h->csum_start >= g->len ||
	    h->csum_offset + 2u > g->len - h->csum_start)
		return false;
	g->l4 = h->csum_start;
	g->checksum_at = (uint16_t)(h->csum_start + h->csum_offset);
	return true;
}

/* Sums of both headers without what differs between segments: lengths, IPv4 identification and
 * checksum, sequence number and flags.  The transport checksum stays in, for the kernel left the
 * pseudo header's sum there; its length, the super-packet's, is taken out. */
static void headers_sum(struct gso *g)
{
	uint8_t header[GSO_HEADER_MAX];
	uint8_t *l4 = header + g->l4;
	uint16_t l4_len = (uint16_t)(g->len - g->l4);

	memcpy(header, g->p, g->header_len);
	if (g->ip.family == IP_V4) {
		store_be16(header + IPV4_LEN, 0);
		store_be16(header + IPV4_ID, 0);
		store_be16(header + IPV4_CHECKSUM, 0);
		g->ip_sum = checksum_add(0, header, g->ip.header_len);
	}
	if (g->protocol == IP_PROTO_TCP) {
		store_be32(l4 + TCP_SEQ, 0);
		l4[TCP_FLAGS] = 0;
	} else {
		store_be16(l4 + UDP_LEN, 0);
	}
	g->l4_sum = checksum_add_u16(checksum_add(0, l4, (size_t)g->header_len - g->l4),
				     (uint16_t)~l4_len);
}

static bool begin_segments(struct gso *g, const struct virtio_net_hdr *h, uint8_t protocol)
{
	bool tcp = protocol == IP_PROTO_TCP;
	size_t least = tcp ? TCP_HEADER_MIN : UDP_HEADER_LEN;
	size_t header_len = least;

	/* IPv6 extension headers may stand between; only csum_start knows where they end. */
	if (h->csum_start == g->ip.header_len
		    ? g->ip.protocol != protocol
		    : g->ip.family == IP_V4 || h->csum_start < g->ip.header_len)
		return false;
	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || h->gso_size == 0 ||
	    h->csum_offset != (tcp ? TCP_CHECKSUM : UDP_CHECKSUM) || g->len < h->csum_start + least)
		return false;
	if (g->ip.family == IP_V4 && load_be16(g->p + IPV4_FRAGMENT) & (IPV4_MF | IPV4_OFFSET_MASK))
		return false;
	if (tcp)
		header_len = (size_t)(g->p[h->csum_start + TCP_DATA_OFFSET] >> 4) * 4;
	header_len += h->csum_start;
	if (header_len < h->csum_start + least || header_len > MIN(g->len, GSO_HEADER_MAX))
		return false;
	g->protocol = protocol;
	g->l4 = h->csum_start;
	g->header_len = (uint16_t)header_len;
	g->payload_len = g->len - g->header_len;
	g->size = h->gso_size;
	g->count = (g->payload_len + g->size - 1) / g->size;
	if (g->count <= 1)
		return begin_whole(g, h);
	headers_sum(g);
	return true;
}

bool gso_begin(struct gso *g, const struct virtio_net_hdr *h, const uint8_t *packet, size_t n)
{
	*g = (struct gso){ .p = packet };
	if (!ip_view(&g->ip, packet, n))
		return false;
	g->len = g->ip.len;
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return begin_whole(g, h);
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return g->ip.family == IP_V4 && begin_segments(g, h, IP_PROTO_TCP);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return g->ip.family == IP_V6 && begin_segments(g, h, IP_PROTO_TCP);
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return begin_segments(g, h, IP_PROTO_UDP);
	default:
		return false;
	}
}

static size_t whole_write(const struct gso *g, uint8_t *out)
{
	uint16_t sum;

	if (out != g->p)
		memcpy(out, g->p, g->len);
	if (g->checksum_at) {
		/* The field holds the pseudo header's sum and is summed with the rest. */
		sum = checksum_fold(checksum_add(0, out + g->l4, g->len - g->l4));
		/* RFC 768: 0 would mean "none"; elsewhere both forms of zero are the same. */
		store_be16(out + g->checksum_at, sum ? sum : 0xffff);
	}
	return g->len;
}

static void network_write(const struct gso *g, uint32_t i, uint8_t *out, size_t len)
{
	uint16_t id, len16 = (uint16_t)len;

	if (g->ip.family == IP_V6) {
		store_be16(out + IPV6_LEN, (uint16_t)(len16 - IPV6_HEADER_LEN));
		return;
	}
	id = (uint16_t)(load_be16(g->p + IPV4_ID) + i);
	store_be16(out + IPV4_LEN, len16);
	store_be16(out + IPV4_ID, id);
	store_be16(out + IPV4_CHECKSUM,
		   checksum_fold(checksum_add_u16(checksum_add_u16(g->ip_sum, len16), id)));
}

size_t gso_segment(const struct gso *g, uint32_t i, uint8_t *out)
{
	size_t len = gso_segment_len(g, i);
	uint8_t *l4 = out + g->l4;
	uint64_t sum;

	if (g->count == 1)
		return whole_write(g, out);
	BUG_ON(i >= g->count);
	memcpy(out, g->p, g->header_len);
	memcpy(out + g->header_len, g->p + g->header_len + (size_t)i * g->size,
	       len - g->header_len);
	network_write(g, i, out, len);
	sum = checksum_add_u16(g->l4_sum, (uint16_t)(len - g->l4));
	sum = checksum_add(sum, out + g->header_len, len - g->header_len);
	if (g->protocol == IP_PROTO_TCP) {
		uint32_t seq = load_be32(l4 + TCP_SEQ) + i * g->size;

		/* FIN and PSH are said when all was said, CWR (RFC 3168 6.1.2) once. */
		if (i + 1 < g->count)
			l4[TCP_FLAGS] &= (uint8_t) ~(TCP_FLAG_FIN | TCP_FLAG_PSH);
		if (i > 0)
			l4[TCP_FLAGS] &= (uint8_t)~TCP_FLAG_CWR;
		store_be32(l4 + TCP_SEQ, seq);
		sum = checksum_add_u16(checksum_add_u32(sum, seq), l4[TCP_FLAGS]);
		store_be16(l4 + TCP_CHECKSUM, checksum_fold(sum));
	} else {
		uint16_t udp_len = (uint16_t)(len - g->l4), check;

		store_be16(l4 + UDP_LEN, udp_len);
		check = checksum_fold(checksum_add_u16(sum, udp_len));
		store_be16(l4 + UDP_CHECKSUM, check ? check : 0xffff);
	}
	return len;
}
