/* Packets from inside a tunnel: whatever they hold, what is made of them is a packet again, and
 * what coalescing joins is what segmentation takes apart into the same packets.
 *
 * Input: one byte of mode, then
 *   0: a packet;
 *   1: a virtio header (10 bytes) and a super-packet;
 *   2, 3: packets for coalescing, each | length, be16 | bytes |; in 3 their lengths and checksums
 *      are put right, for chance alone would never do that.
 */
#include "packet/gro.h"
#include "packet/tests/packets.h"

#define PACKETS_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* An exact copy, so that the sanitizer sees each byte past the end. */
static uint8_t *copy_of(const uint8_t *p, size_t n)
{
	uint8_t *c = malloc(n ? n : 1);

	BUG_ON(!c);
	if (n)
		memcpy(c, p, n);
	return c;
}

static void one_packet(const uint8_t *data, size_t len)
{
	uint8_t *p = copy_of(data, len), answer[ICMP_ERROR_MAX], again[ICMP_ERROR_MAX];
	struct ip_view v, w;

	for (int what = ICMP_HOST_UNREACHABLE; what <= ICMP_TOO_BIG; what++) {
		size_t n = icmp_error(answer, p, len, (enum icmp_error)what, 1280, NULL);

		BUG_ON(n && (!ip_view(&w, answer, n) || w.len != n));
		BUG_ON(n && icmp_error(again, answer, n, (enum icmp_error)what, 1280, NULL));
	}
	if (ip_view(&v, p, len)) {
		BUG_ON(v.len > len || v.header_len > v.len);
		for (uint8_t outer = 0; outer < 4; outer++) {
			bool right = v.family == IP_V4 && book_sum(0, p, v.header_len) == 0xffff;

			if (!ecn_decapsulate(p, &v, outer))
				continue;
			BUG_ON(!ip_view(&w, p, len) || w.len != v.len || (w.tos ^ v.tos) & ~3);
			BUG_ON(right && book_sum(0, p, v.header_len) != 0xffff);
			v = w;
		}
	}
	free(p);
}

static void super_packet(const uint8_t *data, size_t len)
{
	struct virtio_net_hdr h;
	struct gso g;
	size_t payload = 0;
	uint8_t *p;

	if (len < sizeof h)
		return;
	memcpy(&h, data, sizeof h);
	p = copy_of(data + sizeof h, len - sizeof h);
	if (gso_begin(&g, &h, p, len - sizeof h)) {
		BUG_ON(g.count == 0);
		for (uint32_t i = 0; i < g.count; i++) {
			size_t n = gso_segment_len(&g, i);
			uint8_t *out = malloc(n);
			struct ip_view v;

			BUG_ON(!out || gso_segment(&g, i, out) != n);
			/* an ordinary packet's checksum may lie anywhere behind its header */
			BUG_ON(!ip_view(&v, out, n) || v.len != n);
			payload += n - g.header_len;
			free(out);
		}
		BUG_ON(g.count > 1 && payload != g.payload_len);
	}
	free(p);
}

static struct {
	size_t n, seen;
	struct {
		uint8_t *given, *kept; /* what gro had, and its copy */
		size_t len;
		bool out;
	} in[PACKETS_MAX];
} batch;

static size_t index_of(const uint8_t *p)
{
	for (size_t i = 0; i < batch.n; i++)
		if (p >= batch.in[i].given && p < batch.in[i].given + batch.in[i].len)
			return i;
	bug_at(__FILE__, __LINE__, "bytes that nobody gave");
}

/* A segment against the packet that went in; checksums may be either form of zero, and an
 * identification under DF may differ. */
static void same_packet(uint8_t *segment, size_t i, size_t len)
{
	uint8_t *kept = batch.in[i].kept;

	BUG_ON(len != batch.in[i].len || !book_right(segment, len) || !book_right(kept, len));
	store_be16(segment + book_checksum_at(segment), 0);
	store_be16(kept + book_checksum_at(kept), 0);
	if (kept[0] >> 4 == 4) {
		store_be16(segment + IPV4_CHECKSUM, 0);
		store_be16(kept + IPV4_CHECKSUM, 0);
		if (load_be16(kept + IPV4_FRAGMENT) & IPV4_DF)
			memcpy(segment + IPV4_ID, kept + IPV4_ID, 2);
	}
	BUG_ON(memcmp(segment, kept, len) != 0);
}

static void joined(const struct gro_packet *p)
{
	uint8_t *whole = malloc(p->len), *segment;
	size_t at = 0;
	struct gso g;

	BUG_ON(!whole);
	for (uint32_t i = 1; i < p->n; at += p->iov[i].iov_len, i++)
		memcpy(whole + at, p->iov[i].iov_base, p->iov[i].iov_len);
	BUG_ON(at != p->len || !gso_begin(&g, &p->vnet, whole, p->len) || g.count != p->packets);
	for (uint32_t i = 0; i < g.count; i++) {
		size_t n = gso_segment_len(&g, i);

		segment = malloc(n);
		BUG_ON(!segment || gso_segment(&g, i, segment) != n);
		same_packet(segment, index_of(p->iov[1 + i].iov_base), n);
		free(segment);
	}
	free(whole);
}

static void take(void *ctx, const struct gro_packet *p)
{
	size_t before = 0;

	(void)ctx;
	BUG_ON(p->n != 1 + p->packets || p->packets == 0);
	for (uint32_t i = 1; i < p->n; i++) {
		size_t in = index_of(p->iov[i].iov_base);

		BUG_ON(batch.in[in].out || (i > 1 && in <= before));
		batch.in[in].out = true;
		batch.seen++;
		before = in;
	}
	if (p->packets > 1) {
		joined(p);
	} else {
		size_t in = index_of(p->iov[1].iov_base);

		BUG_ON(p->len != batch.in[in].len || p->vnet.gso_type || p->vnet.flags);
		BUG_ON(memcmp(p->iov[1].iov_base, batch.in[in].kept, p->len) != 0);
	}
}

static bool fixable(const uint8_t *p, size_t n)
{
	if (n < 20 || n > 65535)
		return false;
	if (p[0] >> 4 == 4)
		return (p[0] & 15) >= 5 && (p[9] == 6 || p[9] == 17) &&
		       n >= (size_t)(p[0] & 15) * 4 + 20;
	return p[0] >> 4 == 6 && n >= 60 && (p[6] == 6 || p[6] == 17);
}

static void coalesce(const uint8_t *data, size_t len, bool fix)
{
	static struct gro gro;
	struct rd r = rd_over(data, len);

	batch.n = 0;
	batch.seen = 0;
	gro_init(&gro, true, take, NULL);
	while (batch.n < PACKETS_MAX && r.left > 2) {
		size_t wanted = rd_be16(&r), n = MIN(wanted, r.left);
		const uint8_t *bytes = rd_bytes(&r, n);
		uint8_t *p;

		if (!n)
			continue;
		p = copy_of(bytes, n);
		if (fix && fixable(p, n))
			book_fix(p, n);
		batch.in[batch.n].given = p;
		batch.in[batch.n].kept = copy_of(p, n);
		batch.in[batch.n].len = n;
		batch.in[batch.n++].out = false;
	}
	for (size_t i = 0; i < batch.n; i++)
		gro_push(&gro, batch.in[i].given, batch.in[i].len);
	gro_flush(&gro);
	BUG_ON(batch.seen != batch.n);
	for (size_t i = 0; i < batch.n; i++) {
		free(batch.in[i].given);
		free(batch.in[i].kept);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	switch (data[0] & 3) {
	case 0:
		one_packet(data + 1, len - 1);
		break;
	case 1:
		super_packet(data + 1, len - 1);
		break;
	default:
		coalesce(data + 1, len - 1, data[0] & 1);
	}
	return 0;
}
