/* Segmentation and coalescing, each against packets built by the book, and against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "packet/gro.h"
#include "packet/tests/packets.h"

#define ACK TCP_FLAG_ACK
#define PSH TCP_FLAG_PSH
#define FIN TCP_FLAG_FIN
#define CWR TCP_FLAG_CWR
#define ECE TCP_FLAG_ECE

static struct virtio_net_hdr vnet_for(const uint8_t *p, uint16_t size)
{
	bool tcp = book_protocol(p) == IP_PROTO_TCP;
	uint16_t l4 = (uint16_t)book_l4(p);

	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = !tcp	     ? VIRTIO_NET_HDR_GSO_UDP_L4
			    : p[0] >> 4 == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
					     : VIRTIO_NET_HDR_GSO_TCPV6,
		.hdr_len = (uint16_t)(l4 + (tcp ? TCP_LEN : UDP_HEADER_LEN)),
		.gso_size = size,
		.csum_start = l4,
		.csum_offset = tcp ? TCP_CHECKSUM : UDP_CHECKSUM,
	};
}

/* ---- what came out of gro, in order ---- */

#define OUT_MAX 300
static struct {
	size_t n;
	struct {
		struct virtio_net_hdr vnet;
		uint32_t len, packets;
		uint8_t *bytes;
	} packets[OUT_MAX];
} outs;

static void take(void *ctx, const struct gro_packet *p)
{
	uint8_t *bytes = malloc(p->len);
	size_t n = 0;

	(void)ctx;
	assert_non_null(bytes);
	assert_true(outs.n < OUT_MAX);
	assert_ptr_equal(p->iov[0].iov_base, &p->vnet);
	assert_int_equal(p->iov[0].iov_len, sizeof p->vnet);
	for (uint32_t i = 1; i < p->n; i++) {
		assert_true(n + p->iov[i].iov_len <= p->len);
		memcpy(bytes + n, p->iov[i].iov_base, p->iov[i].iov_len);
		n += p->iov[i].iov_len;
	}
	assert_int_equal(n, p->len);
	outs.packets[outs.n].vnet = p->vnet;
	outs.packets[outs.n].len = p->len;
	outs.packets[outs.n].packets = p->packets;
	outs.packets[outs.n++].bytes = bytes;
}

static void outs_forget(void)
{
	for (size_t i = 0; i < outs.n; i++)
		free(outs.packets[i].bytes);
	outs.n = 0;
}

static struct gro gro;

/* ---- there and back ---- */

static const struct {
	uint8_t family, protocol, flags;
	size_t payload;
	uint16_t size;
	const char *why;
} super_rows[] = {
	{ IP_V4, 6, ACK, 60000, 1380, "a bulk transfer" },
	{ IP_V4, 6, ACK | PSH, 60000, 1380, "pushed at the end" },
	{ IP_V4, 6, ACK | PSH | FIN, 3000, 1380, "and finished" },
	{ IP_V4, 6, ACK | ECE, 3000, 1000, "echoing congestion" },
	{ IP_V4, 6, ACK, 2760, 1380, "a whole number of segments" },
	{ IP_V4, 6, ACK, 2761, 1380, "a tail of one byte" },
	{ IP_V4, 6, ACK, 3333, 1111, "odd sizes" },
	{ IP_V4, 6, ACK, 64, 1, "segments of one byte" },
	{ IP_V4, 6, ACK, 65535 - 52, 1460, "the longest" },
	{ IP_V6, 6, ACK | PSH, 60001, 1360, "IPv6" },
	{ IP_V6, 6, ACK, 4081, 1360, "IPv6, a tail of one byte" },
	{ IP_V4, 17, 0, 60000, 1400, "UDP" },
	{ IP_V4, 17, 0, 1201, 1200, "UDP, a tail of one byte" },
	{ IP_V6, 17, 0, 24000, 1200, "UDP, IPv6" },
};

static void segments_check(const struct gso *g, size_t row, uint32_t i, const uint8_t *p, size_t n)
{
	bool last = i + 1 == g->count;
	size_t l4 = book_l4(p), header = super_rows[row].protocol == 6 ? TCP_LEN : UDP_HEADER_LEN;
	size_t tail = super_rows[row].payload - (size_t)i * super_rows[row].size;
	struct ip_view v;

	assert_true(ip_view(&v, p, n) && v.len == n);
	assert_int_equal(n - l4 - header, MIN(tail, super_rows[row].size));
	assert_true(book_right(p, n));
	if (v.family == IP_V4)
		assert_int_equal(load_be16(p + IPV4_ID), (uint16_t)(0xfff0 + i));
	if (super_rows[row].protocol == 17) {
		assert_int_equal(load_be16(p + l4 + UDP_LEN), n - l4);
		return;
	}
	assert_int_equal(load_be32(p + l4 + TCP_SEQ), 0xffff8000u + i * super_rows[row].size);
	assert_int_equal(p[l4 + TCP_FLAGS], super_rows[row].flags & ~(last ? 0 : PSH | FIN));
}

static void there_and_back(void **state)
{
	static uint8_t super[70000], packets[64][1600];

	(void)state;
	for (size_t row = 0; row < ARRAY_LEN(super_rows); row++) {
		struct packet_spec spec = { .family = super_rows[row].family,
					    .protocol = super_rows[row].protocol,
					    .flags = super_rows[row].flags,
					    .id = 0xfff0,
					    .port = 1000,
					    .seq = 0xffff8000u, /* wraps on the way */
					    .payload = super_rows[row].payload };
		size_t n = packet_build(super, &spec);
		struct virtio_net_hdr h = vnet_for(super, super_rows[row].size);
		struct gso g;

		book_partial(super, n);
		if (!gso_begin(&g, &h, super, n))
			fail_msg("%s", super_rows[row].why);
		assert_int_equal(g.count, (super_rows[row].payload + super_rows[row].size - 1u) /
						  super_rows[row].size);
		assert_true(g.count <= 64);
		gro_init(&gro, true, take, NULL);
		for (uint32_t i = 0; i < g.count; i++) {
			size_t len = gso_segment(&g, i, packets[i]);

			assert_int_equal(len, gso_segment_len(&g, i));
			segments_check(&g, row, i, packets[i], len);
			gro_push(&gro, packets[i], len);
		}
		gro_flush(&gro);
		if (outs.n != 1 || outs.packets[0].packets != g.count || outs.packets[0].len != n ||
		    memcmp(outs.packets[0].bytes, super, n) != 0)
			fail_msg("%s: %zu came out", super_rows[row].why, outs.n);
		assert_memory_equal(&outs.packets[0].vnet, &h, sizeof h);
		outs_forget();
	}
}

static void cwr_is_said_once(void **state)
{
	static uint8_t super[5000], out[2000];
	struct packet_spec spec = {
		.family = IP_V4, .protocol = 6, .flags = ACK | CWR, .payload = 3000
	};
	size_t n = packet_build(super, &spec);
	struct virtio_net_hdr h = vnet_for(super, 1000);
	struct gso g;

	(void)state;
	h.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	book_partial(super, n);
	assert_true(gso_begin(&g, &h, super, n));
	for (uint32_t i = 0; i < 3; i++) {
		size_t len = gso_segment(&g, i, out);

		assert_int_equal(out[20 + TCP_FLAGS], i ? ACK : ACK | CWR);
		assert_true(book_right(out, len));
	}
}

static void behind_extension_headers(void **state)
{
	static const uint8_t options[8] = { 6, 0, 1, 4, 0, 0, 0, 0 };
	static uint8_t super[5000], out[2000];
	struct packet_spec spec = {
		.family = IP_V6, .protocol = 6, .flags = ACK, .payload = 3000, .seq = 7
	};
	size_t n = packet_build(super, &spec);
	struct virtio_net_hdr h;
	struct gso g;

	(void)state;
	book_partial(super, n);
	h = vnet_for(super, 1000);
	memmove(super + 48, super + 40, n - 40);
	memcpy(super + 40, options, sizeof options);
	super[6] = 60;
	n += 8;
	store_be16(super + IPV6_LEN, (uint16_t)(n - 40));
	h.csum_start = 48;
	assert_true(gso_begin(&g, &h, super, n));
	assert_int_equal(g.count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		size_t len = gso_segment(&g, i, out);

		assert_int_equal(len, 48 + TCP_LEN + 1000);
		assert_int_equal(load_be16(out + IPV6_LEN), len - 40);
		assert_int_equal(load_be32(out + 48 + TCP_SEQ), 7 + 1000 * i);
		assert_int_equal(book_sum(book_pseudo(out, len, 48, 6), out + 48, len - 48),
				 0xffff);
	}
}

static void ordinary_packets(void **state)
{
	static const uint8_t protocols[] = { 6, 17 };
	static uint8_t p[2000], want[2000], out[2000];
	struct virtio_net_hdr h;
	struct gso g;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct packet_spec spec = { .family = i < 2 ? IP_V4 : IP_V6,
					    .protocol = protocols[i % 2],
					    .flags = ACK,
					    .payload = 777 };
		size_t n = packet_build(p, &spec);

		memcpy(want, p, n);
		h = (struct virtio_net_hdr){ 0 };
		assert_true(gso_begin(&g, &h, p, n)); /* nothing to do */
		assert_int_equal(g.count, 1);
		assert_int_equal(gso_segment(&g, 0, out), n);
		assert_memory_equal(out, want, n);
		h = vnet_for(p, 1000); /* a super-packet of one segment */
		book_partial(p, n);
		assert_true(gso_begin(&g, &h, p, n));
		assert_int_equal(g.count, 1);
		assert_int_equal(gso_segment(&g, 0, out), n);
		assert_memory_equal(out, want, n);
		h.gso_type = VIRTIO_NET_HDR_GSO_NONE; /* a checksum to finish, in place */
		assert_true(gso_begin(&g, &h, p, n));
		assert_int_equal(gso_segment(&g, 0, p), n);
		assert_memory_equal(p, want, n);
	}
}

static void udp_checksum_is_never_zero(void **state)
{
	static uint8_t p[200], out[200], super[200], segment[200];
	struct packet_spec spec = { .family = IP_V4, .protocol = 17, .payload = 4 };
	size_t n = packet_build(p, &spec);
	struct virtio_net_hdr h = vnet_for(p, 0);
	struct gso g;

	(void)state;
	/* Put what the sum lacks into the payload, so that it comes to ffff, its complement to 0. */
	memset(p + 28, 0, 4);
	book_fix(p, n);
	store_be16(p + 28, load_be16(p + 26));
	book_partial(p, n);
	h.gso_type = VIRTIO_NET_HDR_GSO_NONE;
	assert_true(gso_begin(&g, &h, p, n));
	assert_int_equal(gso_segment(&g, 0, out), n);
	assert_int_equal(load_be16(out + 26), 0xffff);
	assert_true(book_right(out, n));

	/* The same as the first of two segments. */
	memcpy(super, out, n);
	memset(super + n, 0, 4);
	book_partial(super, n + 4);
	h = vnet_for(super, 4);
	assert_true(gso_begin(&g, &h, super, n + 4));
	assert_int_equal(g.count, 2);
	assert_int_equal(gso_segment(&g, 0, segment), n);
	assert_memory_equal(segment, out, n);
}

/* Each is one wrong field of a good super-packet; offsets below 256 are in the packet. */
static void misfits(void **state)
{
	enum { FLAGS = 300, TYPE, SIZE, START, OFFSET, LENGTH };
	static const struct {
		int what;
		uint16_t value;
		const char *why;
	} rows[] = {
		{ FLAGS, 0, "segmentation without a checksum to finish" },
		{ TYPE, VIRTIO_NET_HDR_GSO_TCPV6, "the other family" },
		{ TYPE, VIRTIO_NET_HDR_GSO_UDP_L4, "the other protocol" },
		{ TYPE, 3, "UDP fragmentation, which nobody asked for" },
		{ TYPE, 99, "no type at all" },
		{ SIZE, 0, "segments of nothing" },
		{ START, 19, "a checksum that starts in the IP header" },
		{ START, 24, "a checksum that starts in the TCP header" },
		{ START, 65535, "a checksum that starts behind the packet" },
		{ OFFSET, 6, "the checksum of another protocol" },
		{ LENGTH, 40, "headers cut off" },
		{ 0, 0x35, "version 3" },
		{ 6, 0x20, "a fragment" },
		{ 9, 17, "UDP by its header" },
		{ 32, 0x40, "a TCP header of 16 bytes" },
	};
	static uint8_t p[5000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct packet_spec spec = {
			.family = IP_V4, .protocol = 6, .flags = ACK, .payload = 3000
		};
		size_t n = packet_build(p, &spec);
		struct virtio_net_hdr h = vnet_for(p, 1000);
		struct gso g;

		book_partial(p, n);
		assert_true(gso_begin(&g, &h, p, n));
		switch (rows[i].what) {
		case FLAGS:
			h.flags = 0;
			break;
		case TYPE:
			h.gso_type = (uint8_t)rows[i].value;
			break;
		case SIZE:
			h.gso_size = rows[i].value;
			break;
		case START:
			h.csum_start = rows[i].value;
			break;
		case OFFSET:
			h.csum_offset = rows[i].value;
			break;
		case LENGTH:
			n = rows[i].value;
			store_be16(p + IPV4_LEN, rows[i].value);
			break;
		default:
			p[rows[i].what] = (uint8_t)rows[i].value;
		}
		if (gso_begin(&g, &h, p, n))
			fail_msg("%s", rows[i].why);
	}
}

/* ---- what joins and what does not ---- */

enum { NET, L4, PAYLOAD };
static const struct {
	uint8_t family, protocol;
	uint8_t layer, at, flip; /* of the second packet */
	bool fix; /* its checksums afterwards */
	uint32_t outs; /* how many packets come out of three */
	const char *why;
} join_rows[] = {
	{ 4, 6, NET, 0, 0, true, 1, "as they are" },
	{ 4, 6, NET, 1, 0x01, true, 3, "ECN: one met congestion" },
	{ 4, 6, NET, 1, 0x40, true, 3, "another DSCP" },
	{ 4, 6, NET, 5, 0x10, true, 1, "another identification, which means nothing with DF" },
	{ 4, 6, NET, 6, 0x40, true, 3, "one without DF" },
	{ 4, 6, NET, 6, 0x20, true, 3, "a fragment: no part of the flow, which then has a gap" },
	{ 4, 6, NET, 7, 0x01, true, 3, "a later fragment" },
	{ 4, 6, NET, 8, 0x01, true, 3, "another TTL" },
	{ 4, 6, NET, 10, 0x01, false, 3, "a wrong header checksum" },
	{ 4, 6, NET, 15, 0x01, true, 3, "another source: its own flow" },
	{ 4, 6, L4, 1, 0x01, true, 3, "another port: its own flow" },
	{ 4, 6, L4, 7, 0x01, true, 3, "a gap of one byte" },
	{ 4, 6, L4, 4, 0x80, true, 3, "a far away sequence number" },
	{ 4, 6, L4, 11, 0x01, true, 3, "another acknowledgement" },
	{ 4, 6, L4, 12, 0x01, true, 3, "a reserved bit" },
	{ 4, 6, L4, 12, 0x10, true, 3, "a longer header" },
	{ 4, 6, L4, 13, FIN, true, 2, "FIN ends the joined packet" },
	{ 4, 6, L4, 13, PSH, true, 2, "PSH ends the joined packet" },
	{ 4, 6, L4, 13, TCP_FLAG_SYN, true, 3, "SYN" },
	{ 4, 6, L4, 13, TCP_FLAG_RST, true, 3, "RST" },
	{ 4, 6, L4, 13, TCP_FLAG_ACK, true, 3, "no ACK" },
	{ 4, 6, L4, 13, TCP_FLAG_URG, true, 3, "urgent data" },
	{ 4, 6, L4, 13, ECE, true, 3, "ECE on one only" },
	{ 4, 6, L4, 13, CWR, true, 3, "CWR" },
	{ 4, 6, L4, 15, 0x01, true, 3, "another window" },
	{ 4, 6, L4, 16, 0x01, false, 3, "a wrong checksum" },
	{ 4, 6, L4, 19, 0x01, true, 3, "another urgent pointer" },
	{ 4, 6, L4, 22, 0x01, true, 3, "another option" },
	{ 4, 6, L4, 27, 0x01, true, 3, "another timestamp" },
	{ 4, 6, PAYLOAD, 50, 0x01, false, 3, "altered payload" },
	{ 4, 6, PAYLOAD, 50, 0x01, true, 1, "other payload" },
	{ 6, 6, NET, 0, 0, true, 1, "as they are" },
	{ 6, 6, NET, 1, 0x10, true, 3, "ECN: one met congestion" },
	{ 6, 6, NET, 0, 0x04, true, 3, "another DSCP" },
	{ 6, 6, NET, 3, 0x01, true, 3, "another flow label" },
	{ 6, 6, NET, 7, 0x01, true, 3, "another hop limit" },
	{ 6, 6, NET, 6, 0x3c ^ 6, true, 3, "extension headers: no part of the flow we follow" },
	{ 6, 6, NET, 39, 0x01, true, 3, "another destination" },
	{ 6, 6, L4, 16, 0x01, false, 3, "a wrong checksum" },
	{ 4, 17, NET, 0, 0, true, 1, "as they are" },
	{ 4, 17, L4, 1, 0x01, true, 2, "another port: its own flow" },
	{ 4, 17, NET, 1, 0x01, true, 3, "ECN: one met congestion" },
	{ 4, 17, L4, 5, 0x01, false, 3, "a UDP length that is not the packet's" },
	{ 4, 17, L4, 6, 0x01, false, 3, "a wrong checksum" },
	{ 4, 17, PAYLOAD, 50, 0x01, false, 3, "altered payload" },
	{ 6, 17, NET, 0, 0, true, 1, "as they are" },
};

/* Each untouched; those of different flows may have changed places. */
static void all_are_there(uint8_t sent[3][2000], const size_t n[3])
{
	for (size_t i = 0; i < 3; i++) {
		size_t found = 0;

		for (size_t j = 0; j < 3; j++)
			found += outs.packets[j].len == n[i] &&
				 memcmp(outs.packets[j].bytes, sent[i], n[i]) == 0;
		assert_int_equal(found, 1);
	}
}

/* What may belong to a flow without showing it stays between that flow's packets. */
static void hidden_ones_keep_their_place(void **state)
{
	static const struct {
		uint8_t family, at, flip;
		const char *why;
	} rows[] = {
		{ 4, 6, 0x20, "the first fragment" },  { 4, 7, 0x01, "a later fragment" },
		{ 6, 6, 0 ^ 6, "hop-by-hop options" }, { 6, 6, 43 ^ 6, "a routing header" },
		{ 6, 6, 44 ^ 6, "a fragment header" }, { 6, 6, 60 ^ 6, "destination options" },
	};
	static uint8_t p[3][2000];
	size_t n[3];

	(void)state;
	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		struct gro g;

		gro_init(&g, true, take, NULL);
		for (uint16_t i = 0; i < 3; i++) {
			struct packet_spec spec = { .family = rows[row].family,
						    .protocol = 6,
						    .flags = ACK,
						    .id = i,
						    .port = 7,
						    .seq = 100u * i,
						    .payload = 100 };

			n[i] = packet_build(p[i], &spec);
		}
		p[1][rows[row].at] ^= rows[row].flip;
		for (size_t i = 0; i < 3; i++)
			gro_push(&g, p[i], n[i]);
		gro_flush(&g);
		if (outs.n != 3)
			fail_msg("%s: %u packets came out", rows[row].why, (unsigned)outs.n);
		for (size_t i = 0; i < 3; i++)
			assert_memory_equal(outs.packets[i].bytes, p[i], n[i]);
		outs_forget();
	}
}

static void joining(void **state)
{
	static uint8_t p[3][2000], sent[3][2000];
	size_t n[3];

	(void)state;
	for (size_t row = 0; row < ARRAY_LEN(join_rows); row++) {
		size_t l4 = join_rows[row].family == IP_V4 ? 20 : 40;
		size_t header = join_rows[row].protocol == 6 ? TCP_LEN : UDP_HEADER_LEN;
		const size_t layers[] = { 0, l4, l4 + header };

		for (uint16_t i = 0; i < 3; i++) {
			struct packet_spec spec = { .family = join_rows[row].family,
						    .protocol = join_rows[row].protocol,
						    .flags = ACK,
						    .id = i,
						    .port = 7,
						    .seq = 100u * i,
						    .payload = 100 };

			n[i] = packet_build(p[i], &spec);
		}
		p[1][layers[join_rows[row].layer] + join_rows[row].at] ^= join_rows[row].flip;
		if (join_rows[row].fix)
			book_fix(p[1], n[1]);
		memcpy(sent, p, sizeof sent);
		gro_init(&gro, true, take, NULL);
		for (size_t i = 0; i < 3; i++)
			gro_push(&gro, p[i], n[i]);
		gro_flush(&gro);
		if (outs.n != join_rows[row].outs)
			fail_msg("IPv%u, %u, %s: %zu came out", join_rows[row].family,
				 join_rows[row].protocol, join_rows[row].why, outs.n);
		if (outs.n == 3)
			all_are_there(sent, n);
		outs_forget();
	}
}

static void push_tcp(uint8_t *p, uint32_t seq, size_t payload, uint16_t port, uint8_t flags)
{
	struct packet_spec spec = { .family = IP_V4,
				    .protocol = 6,
				    .flags = flags,
				    .port = port,
				    .seq = seq,
				    .payload = payload };

	gro_push(&gro, p, packet_build(p, &spec));
}

static void outs_are(const uint32_t *packets, size_t n, const char *why)
{
	gro_flush(&gro);
	if (outs.n != n)
		fail_msg("%s: %zu came out", why, outs.n);
	for (size_t i = 0; i < n; i++)
		if (outs.packets[i].packets != packets[i])
			fail_msg("%s: packet %zu joins %u", why, i, outs.packets[i].packets);
	outs_forget();
}

static void sizes_and_limits(void **state)
{
	static uint8_t p[100 + GRO_FLOWS][2000];
	uint32_t want[GRO_FLOWS + 5];

	(void)state;
	gro_init(&gro, false, take, NULL);
	push_tcp(p[0], 0, 100, 1, ACK);
	push_tcp(p[1], 100, 99, 1, ACK);
	push_tcp(p[2], 199, 99, 1, ACK);
	outs_are((const uint32_t[]){ 2, 1 }, 2, "nothing behind a short one");
	push_tcp(p[0], 0, 100, 1, ACK);
	push_tcp(p[1], 100, 101, 1, ACK);
	push_tcp(p[2], 201, 101, 1, ACK);
	outs_are((const uint32_t[]){ 1, 2 }, 2, "a longer one starts anew");
	push_tcp(p[0], 0, 100, 1, ACK | PSH);
	push_tcp(p[1], 100, 100, 1, ACK);
	outs_are((const uint32_t[]){ 1, 1 }, 2, "nothing behind a push");
	for (uint32_t i = 0; i < 70; i++)
		push_tcp(p[i], 10 * i, 10, 1, ACK);
	outs_are((const uint32_t[]){ 64, 6 }, 2, "64 at most");
	for (uint32_t i = 0; i < 50; i++)
		push_tcp(p[i], 1400 * i, 1400, 1, ACK);
	outs_are((const uint32_t[]){ 46, 4 }, 2, "65535 bytes at most: 52 + 46 * 1400");
	push_tcp(p[0], 0, 100, 1, ACK);
	push_tcp(p[1], 100, 100, 2, ACK);
	push_tcp(p[2], 100, 100, 1, ACK);
	push_tcp(p[3], 200, 100, 2, ACK);
	outs_are((const uint32_t[]){ 2, 2 }, 2, "two flows in turn");
	push_tcp(p[0], 0, 100, 1, ACK);
	push_tcp(p[1], 100, 0, 1, ACK);
	push_tcp(p[2], 100, 100, 1, ACK);
	outs_are((const uint32_t[]){ 1, 1, 1 }, 3, "an acknowledgement keeps its place");
	for (uint16_t i = 0; i < GRO_FLOWS + 4; i++)
		push_tcp(p[i], 0, 100, i, ACK);
	assert_int_equal(outs.n, 4); /* the oldest had to leave */
	push_tcp(p[GRO_FLOWS + 4], 100, 100, GRO_FLOWS + 3, ACK);
	push_tcp(p[GRO_FLOWS + 5], 100, 100, 3, ACK);
	for (size_t i = 0; i < GRO_FLOWS + 4; i++)
		want[i] = i < GRO_FLOWS + 3 ? 1 : 2;
	/* The last flow has joined; the fourth had left, and starting anew made the fifth leave. */
	want[GRO_FLOWS + 4] = 1;
	outs_are(want, GRO_FLOWS + 5, "more flows than slots");
	/* Each flow twice, in turn, the second ones in another order. */
	for (uint16_t i = 0; i < GRO_FLOWS; i++)
		push_tcp(p[i], 0, 10, i, ACK);
	for (uint16_t i = 0; i < GRO_FLOWS; i++)
		push_tcp(p[100 + i], 10, 10, i * 7 % GRO_FLOWS, ACK);
	assert_int_equal(outs.n, 0);
	for (size_t i = 0; i < GRO_FLOWS; i++)
		want[i] = 2;
	outs_are(want, GRO_FLOWS, "as many flows as slots");
}

static void without_df_by_identification(void **state)
{
	static const struct {
		uint16_t ids[3];
		size_t outs;
		const char *why;
	} rows[] = {
		{ { 5, 6, 7 }, 1, "counting" },
		{ { 0xffff, 0, 1 }, 1, "counting past the end" },
		{ { 5, 5, 5 }, 3, "the same" },
		{ { 5, 7, 8 }, 2, "a gap" },
	};
	static uint8_t p[3][2000];

	(void)state;
	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		gro_init(&gro, false, take, NULL);
		for (size_t i = 0; i < 3; i++) {
			struct packet_spec spec = { .family = IP_V4,
						    .protocol = 6,
						    .flags = ACK,
						    .id = rows[row].ids[i],
						    .seq = (uint32_t)(100 * i),
						    .payload = 100 };
			size_t n = packet_build(p[i], &spec);

			p[i][6] = 0;
			book_fix(p[i], n);
			gro_push(&gro, p[i], n);
		}
		gro_flush(&gro);
		if (outs.n != rows[row].outs)
			fail_msg("%s: %zu", rows[row].why, outs.n);
		outs_forget();
	}
}

static void first_is_wrong(void **state)
{
	static uint8_t p[3][2000];

	(void)state;
	gro_init(&gro, false, take, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		struct packet_spec spec = {
			.family = IP_V4, .protocol = 6, .flags = ACK, .seq = 100 * i, .payload = 100
		};
		size_t n = packet_build(p[i], &spec);

		if (i == 0)
			p[i][n - 1] ^= 1;
		gro_push(&gro, p[i], n);
	}
	outs_are((const uint32_t[]){ 1, 2 }, 2, "the others join without it");
}

static void udp_only_when_asked(void **state)
{
	static uint8_t p[2][2000];

	(void)state;
	for (int udp = 0; udp < 2; udp++) {
		gro_init(&gro, udp, take, NULL);
		for (size_t i = 0; i < 2; i++) {
			struct packet_spec spec = { .family = IP_V4,
						    .protocol = 17,
						    .payload = 100 };

			gro_push(&gro, p[i], packet_build(p[i], &spec));
		}
		gro_flush(&gro);
		assert_int_equal(outs.n, udp ? 1 : 2);
		outs_forget();
	}
	/* without a checksum, which RFC 768 allows, nothing vouches for the joined one */
	gro_init(&gro, true, take, NULL);
	for (size_t i = 0; i < 2; i++) {
		struct packet_spec spec = { .family = IP_V4, .protocol = 17, .payload = 100 };
		size_t n = packet_build(p[i], &spec);

		store_be16(p[i] + 26, 0);
		gro_push(&gro, p[i], n);
	}
	outs_are((const uint32_t[]){ 1, 1 }, 2, "no checksum");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(cwr_is_said_once),
		cmocka_unit_test(behind_extension_headers),
		cmocka_unit_test(ordinary_packets),
		cmocka_unit_test(udp_checksum_is_never_zero),
		cmocka_unit_test(misfits),
		cmocka_unit_test(joining),
		cmocka_unit_test(hidden_ones_keep_their_place),
		cmocka_unit_test(sizes_and_limits),
		cmocka_unit_test(without_df_by_identification),
		cmocka_unit_test(first_is_wrong),
		cmocka_unit_test(udp_only_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
