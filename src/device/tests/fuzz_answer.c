/* fuzz_answer - what a hostile UAPI daemon might answer to `get`: any bytes, in any pieces. */
#include "device/uapi_answer.h"
#include "wg/uapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct count {
	size_t peers, ips;
	bool again; /* each peer is written and read back */
	const struct uapi_answer *answer;
};

struct original {
	const struct wg_peer_info *p;
	const uint64_t *verdicts;
	struct uapi_answer answer;
	bool seen;
};

static bool same(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	struct original *o = ctx;
	const struct wg_limits_info *a = &o->p->limits, *b = &p->limits;

	(void)ips;
	o->seen = true;
	BUG_ON(memcmp(&p->public_key, &o->p->public_key, KEY_LEN) != 0);
	BUG_ON(memcmp(&p->psk, &o->p->psk, KEY_LEN) != 0);
	BUG_ON(p->last_handshake_wall_ns != o->p->last_handshake_wall_ns);
	BUG_ON(p->rx_bytes != o->p->rx_bytes || p->tx_bytes != o->p->tx_bytes);
	BUG_ON(p->rx_packets != o->p->rx_packets || p->tx_packets != o->p->tx_packets);
	BUG_ON(p->quota_out_wall_ns != o->p->quota_out_wall_ns);
	BUG_ON(a->rate_bps[WG_UP] != b->rate_bps[WG_UP]);
	BUG_ON(a->rate_bps[WG_DOWN] != b->rate_bps[WG_DOWN]);
	BUG_ON(a->burst != b->burst || a->quota != b->quota);
	BUG_ON(a->quota && a->quota_used != b->quota_used);
	BUG_ON(a->quota_out_at != b->quota_out_at || a->expires_wall_ns != b->expires_wall_ns);
	BUG_ON(memcmp(o->verdicts, o->answer.verdicts, sizeof o->answer.verdicts) != 0);
	return true;
}

static void read_again(const struct wg_peer_info *p, const uint64_t verdicts[WG_VERDICTS])
{
	struct original o = { .p = p, .verdicts = verdicts };
	struct buf text = { 0 };
	struct err e = { 0 };
	size_t used;

	wg_uapi_put_peer(&text, p);
	wg_uapi_put_extensions(&text, p, verdicts);
	buf_z(&text, "errno=0\n\n");
	uapi_answer_init(&o.answer, same, &o);
	BUG_ON(uapi_answer_text(&o.answer, buf_view(&text), &used, &e) != UAPI_ANSWER_DONE);
	BUG_ON(!o.seen || used != text.n);
	uapi_answer_done(&o.answer);
	buf_done(&text);
}

static bool see(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	struct count *c = ctx;

	BUG_ON(p->last_handshake_wall_ns < 0);
	BUG_ON(p->endpoint.addr.family && (!ip_bits(p->endpoint.addr.family) || !p->endpoint.port));
	for (size_t i = 0; i < p->allowed_ip_count; i++)
		BUG_ON(!ip_bits(ips[i].addr.family) || ips[i].len > ip_bits(ips[i].addr.family));
	BUG_ON(p->limits.expires_wall_ns < 0 || p->quota_out_wall_ns < 0);
	BUG_ON(p->limits.rate_bps[WG_UP] > WG_RATE_MAX || p->limits.quota > WG_QUOTA_MAX);
	c->peers++;
	c->ips += p->allowed_ip_count;
	if (c->again)
		read_again(p, c->answer->verdicts);
	return true;
}

/* In pieces of `piece` bytes; what is left of a line stands before the next piece. */
static enum uapi_answer_state read_all(struct count *c, const uint8_t *data, size_t len,
				       size_t piece)
{
	enum uapi_answer_state state = UAPI_ANSWER_MORE;
	struct uapi_answer a;
	struct err e = { 0 };
	size_t from = 0, to = 0, used;

	c->answer = &a;
	uapi_answer_init(&a, see, c);
	while (state == UAPI_ANSWER_MORE && to < len) {
		to += MIN(piece, len - to);
		state = uapi_answer_text(&a, (struct str){ (const char *)data + from, to - from },
					 &used, &e);
		BUG_ON(used > to - from);
		from += used;
		BUG_ON(state == UAPI_ANSWER_MORE && to - from > WG_UAPI_LINE_MAX);
	}
	BUG_ON(state == UAPI_ANSWER_BAD && !e.code);
	BUG_ON(a.number < 0 || a.number > 4095);
	uapi_answer_done(&a);
	return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct count whole = { .again = true }, cut = { 0 };
	enum uapi_answer_state state = read_all(&whole, data, len, SIZE_MAX);

	BUG_ON(read_all(&cut, data, len, 1 + len / 7) != state); /* cutting changes nothing */
	BUG_ON(whole.peers != cut.peers || whole.ips != cut.ips);
	return 0;
}
