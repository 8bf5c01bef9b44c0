/* fuzz_answer - what a hostile UAPI daemon might answer to `get`: any bytes, in any pieces. */
#include "device/uapi_answer.h"
#include "wg/uapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct count {
	size_t peers, ips;
};

static bool see(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	struct count *c = ctx;

	BUG_ON(p->last_handshake_wall_ns < 0);
	BUG_ON(p->endpoint.addr.family && (!ip_bits(p->endpoint.addr.family) || !p->endpoint.port));
	for (size_t i = 0; i < p->allowed_ip_count; i++)
		BUG_ON(!ip_bits(ips[i].addr.family) || ips[i].len > ip_bits(ips[i].addr.family));
	c->peers++;
	c->ips += p->allowed_ip_count;
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
	struct count whole = { 0 }, cut = { 0 };
	enum uapi_answer_state state = read_all(&whole, data, len, SIZE_MAX);

	BUG_ON(read_all(&cut, data, len, 1 + len / 7) != state); /* cutting changes nothing */
	BUG_ON(whole.peers != cut.peers || whole.ips != cut.ips);
	return 0;
}
