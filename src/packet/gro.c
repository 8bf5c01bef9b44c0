#include "packet/gro.h"

#include "packet/wire.h"

/* ---- looking at one packet ---- */

static uint32_t hash_bytes(uint32_t h, const uint8_t *p, size_t n)
{
	uint32_t word;

	for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
		memcpy(&word, p, sizeof word);
		h = (h ^ word) * 0x9e3779b1; /* spreads; collisions only cost a comparison */
		h ^= h >> 15;
	}
	return h;
}

static size_t address_len(const struct gro_view *v)
{
	return v->family == IP_V4 ? 4 : 16;
}

/* Source and destination address stand side by side. */
static const uint8_t *addresses(const struct gro_view *v)
{
	return v->p + (v->family == IP_V4 ? 12 : 8);
}

static bool tcp_joinable(struct gro_view *v)
{
	const uint8_t *tcp = v->p + v->l4;
	uint8_t flags;
	size_t len;

	if (v->len - v->l4 < TCP_HEADER_MIN)
		return false;
	len = (size_t)(tcp[TCP_DATA_OFFSET] >> 4) * 4;
	flags = tcp[TCP_FLAGS];
	if (len < TCP_HEADER_MIN || len >= v->len - v->l4) /* no payload, nothing to join */
		return false;
	v->header_len = (uint16_t)(v->l4 + len);
	return flags & TCP_FLAG_ACK &&
	       !(flags & ~(TCP_FLAG_ACK | TCP_FLAG_PSH | TCP_FLAG_FIN | TCP_FLAG_ECE));
}

static bool udp_joinable(struct gro_view *v)
{
	const uint8_t *udp = v->p + v->l4;

	v->header_len = (uint16_t)(v->l4 + UDP_HEADER_LEN);
	return v->len > v->header_len && load_be16(udp + UDP_LEN) == v->len - v->l4 &&
	       load_be16(udp + UDP_CHECKSUM) != 0; /* 0: none; the joined one would have one */
}

/* A fragment has no ports, or not all of what they say. */
static bool hides_flow(const struct ip_view *ip, const uint8_t *packet)
{
	if (ip->family == IP_V4)
		return load_be16(packet + IPV4_FRAGMENT) & (IPV4_MF | IPV4_OFFSET_MASK);
	return ip->protocol == IP_PROTO_HOP_OPTIONS || ip->protocol == IP_PROTO_ROUTING ||
	       ip->protocol == IP_PROTO_FRAGMENT || ip->protocol == IP_PROTO_DST_OPTIONS;
}

void gro_view(struct gro_view *v, uint8_t *packet, size_t n)
{
	struct ip_view ip;

	*v = (struct gro_view){ .p = packet, .len = (uint32_t)n };
	if (!ip_view(&ip, packet, n) || ip.len != n)
		return;
	v->hides_flow = hides_flow(&ip, packet);
	if (v->hides_flow || (ip.protocol != IP_PROTO_TCP && ip.protocol != IP_PROTO_UDP) ||
	    n - ip.header_len < UDP_HEADER_LEN)
		return;
	v->family = ip.family;
	v->protocol = ip.protocol;
	v->l4 = ip.header_len;
	v->hash = hash_bytes(ip.protocol, addresses(v), 2 * address_len(v));
	v->hash = hash_bytes(v->hash, packet + v->l4, 4);
	v->joinable = ip.protocol == IP_PROTO_TCP ? tcp_joinable(v) : udp_joinable(v);
	if (ip.family == IP_V4 && ip.header_len != IPV4_HEADER_MIN)
		v->joinable = false; /* options may mean this packet alone */
}

static bool same_flow(const struct gro_view *a, const struct gro_view *b)
{
	return a->hash == b->hash && a->family == b->family && a->protocol == b->protocol &&
	       memcmp(addresses(a), addresses(b), 2 * address_len(a)) == 0 &&
	       memcmp(a->p + a->l4, b->p + b->l4, 4) == 0;
}

static bool checksums_right(const struct gro_view *v)
{
	struct ip_view ip;
	uint32_t l4_len = v->len - v->l4;

	if (!ip_view(&ip, v->p, v->len))
		return false;
	if (v->family == IP_V4 && checksum_fold(checksum_add(0, v->p, v->l4)) != 0)
		return false;
	return checksum_fold(checksum_add(checksum_pseudo(&ip, v->protocol, l4_len), v->p + v->l4,
					  l4_len)) == 0;
}

/* ---- one flow ---- */

static void part_seen(struct gro_flow *f, const struct gro_view *v, uint16_t payload)
{
	uint8_t flags = v->protocol == IP_PROTO_TCP ? v->p[v->l4 + TCP_FLAGS] : 0;

	f->next_seq += payload;
	f->next_id++;
	f->push = flags & TCP_FLAG_PSH;
	f->fin = flags & TCP_FLAG_FIN;
	/* After a push the receiver is to be told; after a short packet sizes would not fit. */
	if (f->push || f->fin || payload < f->size)
		f->closed = true;
	f->out.packets++;
}

void gro_flow_start(struct gro_flow *f, const struct gro_view *v)
{
	f->first = *v;
	f->size = (uint16_t)(v->len - v->header_len);
	f->next_seq = v->protocol == IP_PROTO_TCP ? load_be32(v->p + v->l4 + TCP_SEQ) : 0;
	f->next_id = v->family == IP_V4 ? load_be16(v->p + IPV4_ID) : 0;
	f->checked = false;
	f->closed = !v->joinable;
	f->out.vnet = (struct virtio_net_hdr){ 0 };
	f->out.packets = 0;
	f->out.len = v->len;
	f->out.iov[0] = (struct iovec){ &f->out.vnet, sizeof f->out.vnet };
	f->out.iov[1] = (struct iovec){ v->p, v->len };
	f->out.n = 2;
	part_seen(f, v, f->size);
}

/* What segmentation copies from the first header to all, and so must be the same in all. */
static bool network_continues(const struct gro_flow *f, const struct gro_view *v)
{
	const uint8_t *a = f->first.p, *b = v->p;

	if (v->family == IP_V6) /* version, traffic class with ECN, flow label; hop limit */
		return memcmp(a, b, 4) == 0 && a[IPV6_HOP_LIMIT] == b[IPV6_HOP_LIMIT];
	return a[1] == b[1] && a[IPV4_TTL] == b[IPV4_TTL] &&
	       load_be16(a + IPV4_FRAGMENT) == load_be16(b + IPV4_FRAGMENT) &&
	       (load_be16(b + IPV4_FRAGMENT) & IPV4_DF || load_be16(b + IPV4_ID) == f->next_id);
}

static bool tcp_continues(const struct gro_flow *f, const struct gro_view *v)
{
	const uint8_t *a = f->first.p + f->first.l4, *b = v->p + v->l4;
	const uint8_t last_only = TCP_FLAG_PSH | TCP_FLAG_FIN;

	return load_be32(b + TCP_SEQ) == f->next_seq && memcmp(a + TCP_ACK, b + TCP_ACK, 5) == 0 &&
	       ((a[TCP_FLAGS] ^ b[TCP_FLAGS]) & ~last_only) == 0 &&
	       memcmp(a + TCP_WINDOW, b + TCP_WINDOW, 2) == 0 &&
	       memcmp(a + TCP_URGENT, b + TCP_URGENT, (size_t)v->header_len - v->l4 - TCP_URGENT) ==
		       0; /* and all options */
}

bool gro_flow_append(struct gro_flow *f, const struct gro_view *v)
{
	uint32_t payload;

	if (f->closed || !v->joinable || !same_flow(&f->first, v) ||
	    v->header_len != f->first.header_len || f->out.packets == GRO_SEGMENTS_MAX)
		return false;
	payload = v->len - v->header_len;
	if (payload > f->size || f->out.len + payload > GRO_LEN_MAX || !network_continues(f, v) ||
	    (v->protocol == IP_PROTO_TCP && !tcp_continues(f, v)))
		return false;
	if (!f->checked && !checksums_right(&f->first)) {
		f->closed = true;
		return false;
	}
	f->checked = true;
	if (!checksums_right(v))
		return false;
	f->out.iov[f->out.n++] = (struct iovec){ v->p + v->header_len, payload };
	f->out.len += payload;
	part_seen(f, v, (uint16_t)payload);
	return true;
}

static void network_join(const struct gro_flow *f)
{
	uint8_t *p = f->first.p;

	if (f->first.family == IP_V6) {
		store_be16(p + IPV6_LEN, (uint16_t)(f->out.len - IPV6_HEADER_LEN));
		return;
	}
	store_be16(p + IPV4_LEN, (uint16_t)f->out.len);
	store_be16(p + IPV4_CHECKSUM, 0);
	store_be16(p + IPV4_CHECKSUM, checksum_fold(checksum_add(0, p, f->first.l4)));
}

const struct gro_packet *gro_flow_finish(struct gro_flow *f)
{
	const struct gro_view *v = &f->first;
	bool tcp = v->protocol == IP_PROTO_TCP;
	uint8_t *l4 = v->p + v->l4;
	struct ip_view ip;
	uint16_t partial;

	if (f->out.packets == 1)
		return &f->out;
	network_join(f);
	BUG_ON(!ip_view(&ip, v->p, f->out.len)); /* gro_view saw the same header */
	if (tcp) {
		l4[TCP_FLAGS] |=
			(uint8_t)((f->push ? TCP_FLAG_PSH : 0) | (f->fin ? TCP_FLAG_FIN : 0));
	} else {
		store_be16(l4 + UDP_LEN, (uint16_t)(f->out.len - v->l4));
	}
	/* The kernel goes on from the pseudo header's sum, not complemented. */
	partial = (uint16_t)~checksum_fold(checksum_pseudo(&ip, v->protocol, f->out.len - v->l4));
	store_be16(l4 + (tcp ? TCP_CHECKSUM : UDP_CHECKSUM), partial);
	f->out.vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = !tcp		 ? VIRTIO_NET_HDR_GSO_UDP_L4
			    : v->family == IP_V4 ? VIRTIO_NET_HDR_GSO_TCPV4
						 : VIRTIO_NET_HDR_GSO_TCPV6,
		.hdr_len = v->header_len,
		.gso_size = f->size,
		.csum_start = v->l4,
		.csum_offset = tcp ? TCP_CHECKSUM : UDP_CHECKSUM,
	};
	return &f->out;
}

/* ---- the flows of a batch ---- */

void gro_init(struct gro *g, bool udp, gro_emit *emit, void *ctx)
{
	g->emit = emit;
	g->ctx = ctx;
	g->udp = udp;
	g->used = 0;
	for (uint8_t i = 0; i < GRO_FLOWS; i++)
		g->order[i] = i;
}

/* Emits the flow at `rank` of the order and moves its slot behind the used ones. */
static void flow_out(struct gro *g, uint32_t rank)
{
	uint8_t slot = g->order[rank];

	g->emit(g->ctx, gro_flow_finish(&g->flows[slot]));
	g->used--;
	memmove(g->order + rank, g->order + rank + 1, g->used - rank);
	memmove(g->hash + rank, g->hash + rank + 1, (g->used - rank) * sizeof g->hash[0]);
	g->order[g->used] = slot;
}

static void emit_alone(struct gro *g, const struct gro_view *v)
{
	struct gro_packet *p = &g->alone;

	p->vnet = (struct virtio_net_hdr){ 0 };
	p->n = 2;
	p->len = v->len;
	p->packets = 1;
	p->iov[0] = (struct iovec){ &p->vnet, sizeof p->vnet };
	p->iov[1] = (struct iovec){ v->p, v->len };
	g->emit(g->ctx, p);
}

void gro_push(struct gro *g, uint8_t *packet, size_t n)
{
	struct gro_view v;

	gro_view(&v, packet, n);
	if (v.hides_flow)
		gro_flush(g); /* whatever it belongs to came first */
	if (!v.protocol || (v.protocol == IP_PROTO_UDP && !g->udp)) {
		emit_alone(g, &v);
		return;
	}
	for (uint32_t rank = 0; rank < g->used; rank++) {
		struct gro_flow *f = &g->flows[g->order[rank]];

		if (g->hash[rank] != v.hash || !same_flow(&f->first, &v))
			continue;
		if (gro_flow_append(f, &v))
			return;
		flow_out(g, rank); /* what came first leaves first */
		break;
	}
	if (!v.joinable) {
		emit_alone(g, &v);
		return;
	}
	if (g->used == GRO_FLOWS)
		flow_out(g, 0);
	g->hash[g->used] = v.hash;
	gro_flow_start(&g->flows[g->order[g->used++]], &v);
}

void gro_flush(struct gro *g)
{
	for (uint32_t rank = 0; rank < g->used; rank++)
		g->emit(g->ctx, gro_flow_finish(&g->flows[g->order[rank]]));
	g->used = 0;
}
