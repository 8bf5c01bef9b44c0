/* The small parts: replay window, wheel, index table, rate limiter, cookies, padding, types. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "wg/cookie.h"
#include "wg/index.h"
#include "wg/peer.h"
#include "wg/peer_table.h"
#include "wg/ratelimit.h"
#include "wg/replay.h"
#include "wg/wheel.h"

static uint64_t rng_state;

static uint64_t rng(void)
{
	uint64_t z = rng_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void rng_bytes(void *ctx, void *p, size_t n)
{
	uint8_t *out = p;

	(void)ctx;
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)rng();
}

/* ---- replay ---- */

static void replay_rows(void **state)
{
	static const struct {
		uint64_t counter;
		bool want;
		const char *why;
	} rows[] = {
		{ 5, true, "first packet" },
		{ 5, false, "the same again" },
		{ 4, true, "late, inside the window" },
		{ 0, true, "the very first counter" },
		{ 0, false, "and again" },
		{ 9000, true, "a jump slides the window" },
		{ 6, false, "now too old" },
		{ 9000 - WG_REPLAY_BEHIND, true, "the oldest that is kept" },
		{ 9000 - WG_REPLAY_BEHIND - 1, false, "one older" },
		{ UINT32_MAX, true, "32 bits are full" },
		{ 1ULL << 32, true, "shipped bug: a 32-bit counter starts anew here" },
		{ 0, false, "and takes this for the next" },
		{ WG_REJECT_AFTER_MESSAGES - 1, true, "the last allowed" },
		{ WG_REJECT_AFTER_MESSAGES, false, "shipped bug: the limit is not enforced" },
		{ UINT64_MAX, false, "far beyond" },
		{ WG_REJECT_AFTER_MESSAGES - 2, true, "refused ones did not move the window" },
	};
	struct wg_replay w = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (wg_replay_accept(&w, rows[i].counter) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].why);
	wg_replay_done(&w);
}

/* Against the plainest model: a set of all counters ever accepted. */
static void replay_model(void **state)
{
	enum { SPAN = 1 << 16 };
	static uint8_t seen[SPAN];
	struct wg_replay w = { 0 };
	uint64_t top = 0;
	bool any = false;

	(void)state;
	memset(seen, 0, sizeof seen);
	rng_state = 1;
	for (unsigned i = 0; i < 400000; i++) {
		uint64_t r = rng();
		uint64_t c = r % 100 < 70 ? top + r / 128 % 3 : r / 128 % (top + 9000);
		bool want;

		if (c >= SPAN)
			break;
		want = !seen[c] && (!any || c + WG_REPLAY_BEHIND >= top);
		assert_int_equal(wg_replay_accept(&w, c), want);
		if (want) {
			seen[c] = 1;
			top = MAX(top, c);
			any = true;
		}
	}
	assert_true(top > WG_REPLAY_BITS * 2);
	wg_replay_done(&w);
}

/* Without loss a session takes no memory beside its own, however many packets it carries; one that
 * is missing costs the whole window, and nothing is forgotten. */
static void replay_begins_small(void **state)
{
	enum { SPAN = 3000 };
	struct wg_replay w = { 0 };
	uint64_t c;

	(void)state;
	for (c = 0; c < SPAN; c += 2) { /* out of order, within the small window */
		assert_true(wg_replay_accept(&w, c + 1));
		assert_true(wg_replay_accept(&w, c));
	}
	assert_null(w.many);
	wg_replay_done(&w);
}

static void replay_grows_for_a_gap(void **state)
{
	static const uint64_t missing[] = { 0, 63, 64, 255, 256, 300 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
		uint64_t gap = missing[i];
		uint64_t leaves = (gap / 64 + WG_REPLAY_FEW) * 64;
		struct wg_replay w = { 0 };

		for (uint64_t c = 0; c < leaves; c++)
			if (c != gap)
				assert_true(wg_replay_accept(&w, c));
		assert_null(w.many);
		assert_true(wg_replay_accept(&w, leaves)); /* the gap's word would leave */
		assert_non_null(w.many);
		for (uint64_t c = 0; c <= leaves; c++)
			assert_int_equal(wg_replay_accept(&w, c), c == gap);
		wg_replay_done(&w);
	}
}

/* ---- wheel ---- */

#define TIMERS 500

struct timer {
	struct wg_wheel_node node;
	int64_t deadline; /* 0: not set */
};

static int64_t some_delay(void)
{
	static const int64_t scales[] = { 1, 50 * NS_PER_MS, NS_PER_S, 600 * NS_PER_S,
					  3600 * NS_PER_S * 30 };

	return (int64_t)(rng() % (uint64_t)(scales[rng() % ARRAY_LEN(scales)] * 10));
}

/* Never early, at most a tick late, none forgotten, whatever is set, moved and removed. */
static void wheel_model(void **state)
{
	const int64_t tick = 1LL << WG_WHEEL_TICK_BITS;
	static struct timer timers[TIMERS];
	struct wg_wheel *w = malloc(sizeof *w);
	int64_t now = 77 * 3600 * NS_PER_S;
	unsigned fired = 0;

	(void)state;
	assert_non_null(w);
	wg_wheel_init(w);
	assert_int_equal(wg_wheel_next(w), INT64_MAX);
	rng_state = 2;
	for (unsigned round = 0; round < 20000; round++) {
		struct timer *t = &timers[rng() % TIMERS];
		struct wg_wheel_node *n;

		if (rng() % 8) {
			t->deadline = now + some_delay();
			wg_wheel_set(w, &t->node, t->deadline, now);
		} else {
			wg_wheel_del(w, &t->node);
			t->deadline = 0;
		}
		if (rng() % 3)
			continue;
		now = rng() % 4 ? MIN(wg_wheel_next(w), now + 3600 * NS_PER_S)
				: now + some_delay() / 10;
		while ((n = wg_wheel_pop(w, now))) {
			struct timer *f = CONTAINER_OF(n, struct timer, node);

			assert_true(f->deadline && f->deadline <= now);
			f->deadline = 0;
			fired++;
		}
		assert_true(wg_wheel_next(w) > now - tick);
		for (size_t i = 0; i < TIMERS; i++)
			assert_true(!timers[i].deadline || timers[i].deadline > now - tick);
	}
	assert_true(fired > 1000);
	for (size_t i = 0; i < TIMERS; i++)
		wg_wheel_del(w, &timers[i].node);
	assert_int_equal(w->count, 0);
	free(w);
}

/* ---- index table ---- */

#define INDICES 20000

static void index_table(void **state)
{
	static uint32_t taken[INDICES];
	static uint64_t peers[INDICES]; /* only their addresses count */
	struct retired retired = { 0 };
	struct wg_index x;
	uint64_t high = 0;

	(void)state;
	rng_state = 3;
	assert_true(wg_index_init(&x, &retired));
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < INDICES; i++) {
			struct wg_peer *p = (struct wg_peer *)(void *)&peers[i];

			assert_true(wg_index_take(&x, &taken[i], p, 0, rng_bytes, NULL));
			high += taken[i] >> 31;
		}
		for (size_t i = 0; i < INDICES; i++) {
			struct wg_peer *p = (struct wg_peer *)(void *)&peers[i];

			assert_ptr_equal(wg_index_handshake(&x, taken[i]), p);
			assert_null(wg_index_session(&x, taken[i]));
		}
		for (size_t i = 0; i < INDICES; i++) {
			wg_index_drop(&x, taken[i]);
			assert_null(wg_index_handshake(&x, taken[i]));
		}
	}
	assert_null(wg_index_session(&x, 0));
	assert_null(wg_index_session(&x, 1));
	/* Shipped bug: predictable indices.  All 32 bits are random: half have the top bit. */
	assert_in_range(high, 3 * INDICES * 45 / 100, 3 * INDICES * 55 / 100);
	wg_index_done(&x);
	retired_free(&retired, retired_advance(&retired));
}

/* The byte that spreads datagrams says the peer's lane, whatever the number of lanes. */
static void index_lanes(void **state)
{
	struct retired retired = { 0 };
	uint64_t peer = 0; /* only its address counts */
	struct wg_index x;

	(void)state;
	rng_state = 5;
	assert_true(wg_index_init(&x, &retired));
	for (unsigned lanes = 0; lanes <= 64; lanes++) {
		x.lanes = lanes;
		for (unsigned i = 0; i < 500; i++) {
			uint8_t wire[4];
			uint32_t index;

			assert_true(wg_index_take(&x, &index, (struct wg_peer *)(void *)&peer,
						  i % 64, rng_bytes, NULL));
			store_le32(wire, index);
			if (lanes > 1)
				assert_int_equal(wire[0] % lanes, i % 64 % lanes);
			assert_ptr_equal(wg_index_handshake(&x, index), &peer);
		}
	}
	wg_index_done(&x);
	retired_free(&retired, retired_advance(&retired));
}

/* An index becomes a session's and keeps meaning it through the growth of the table. */
static void index_session(void **state)
{
	struct retired retired = { 0 };
	uint8_t key[KEY_LEN] = { 1 };
	struct wg_session *s = wg_session_new(key, key);
	struct wg_index x;
	uint32_t other;

	(void)state;
	rng_state = 4;
	assert_non_null(s);
	assert_true(wg_index_init(&x, &retired));
	assert_true(wg_index_take(&x, &s->local_index, (struct wg_peer *)(void *)s, 0, rng_bytes,
				  NULL));
	wg_index_set_session(&x, s->local_index, s);
	assert_null(wg_index_handshake(&x, s->local_index));
	for (size_t i = 0; i < 5000; i++) {
		assert_true(
			wg_index_take(&x, &other, (struct wg_peer *)(void *)s, 0, rng_bytes, NULL));
		assert_ptr_equal(wg_index_session(&x, s->local_index), s);
	}
	wg_index_drop(&x, s->local_index);
	assert_null(wg_index_session(&x, s->local_index));
	wg_index_done(&x);
	wg_session_free(s);
	retired_free(&retired, retired_advance(&retired));
}

/* ---- peers by key ---- */

static void peer_table(void **state)
{
	enum { PEERS = 3000 };
	static struct wg_peer peers[PEERS];
	struct wg_peer_table t = { 0 };

	(void)state;
	rng_state = 5;
	rng_bytes(NULL, &t.key, sizeof t.key);
	for (size_t i = 0; i < PEERS; i++) {
		rng_bytes(NULL, peers[i].public_key.b, KEY_LEN);
		assert_null(wg_peer_table_find(&t, &peers[i].public_key));
		assert_true(wg_peer_table_add(&t, &peers[i]));
	}
	for (size_t i = 0; i < PEERS; i += 2)
		wg_peer_table_del(&t, &peers[i]);
	for (size_t i = 0; i < PEERS; i++)
		assert_ptr_equal(wg_peer_table_find(&t, &peers[i].public_key),
				 i % 2 ? &peers[i] : NULL);
	assert_int_equal(t.count, PEERS / 2);
	wg_peer_table_done(&t);
}

/* ---- rate limiter ---- */

static void rate_limit(void **state)
{
	struct ip_addr a = ip_v4((const uint8_t[4]){ 192, 0, 2, 1 });
	struct ip_addr b = ip_v4((const uint8_t[4]){ 192, 0, 2, 2 });
	struct ip_addr six = ip_v6((const uint8_t[16]){ 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 1 });
	struct ip_addr same_net = ip_v6((const uint8_t[16]){ 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 2 });
	struct ip_addr next_net = ip_v6((const uint8_t[16]){ 0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, 1 });
	struct wg_ratelimit l = { 0 };
	int64_t now = NS_PER_S;
	unsigned allowed = 0;

	(void)state;
	for (unsigned i = 0; i < WG_LIMIT_BURST; i++)
		assert_true(wg_ratelimit_allow(&l, &a, now));
	assert_false(wg_ratelimit_allow(&l, &a, now));
	/* Shipped bug: one limiter for all. */
	assert_true(wg_ratelimit_allow(&l, &b, now));
	assert_false(wg_ratelimit_allow(&l, &a, now + 49 * NS_PER_MS));
	assert_true(wg_ratelimit_allow(&l, &a, now + 51 * NS_PER_MS));
	assert_false(wg_ratelimit_allow(&l, &a, now + 52 * NS_PER_MS));

	now += 10 * NS_PER_S;
	for (unsigned ms = 0; ms < 10000; ms++)
		allowed += wg_ratelimit_allow(&l, &a, now + ms * NS_PER_MS);
	assert_in_range(allowed, 200, 206);
	assert_true(wg_ratelimit_allow(&l, &a, now + 60 * NS_PER_S));
	assert_false(wg_ratelimit_allow(&l, &a, now) && wg_ratelimit_allow(&l, &a, now) &&
		     wg_ratelimit_allow(&l, &a, now) && wg_ratelimit_allow(&l, &a, now) &&
		     wg_ratelimit_allow(&l, &a, now)); /* a clock that goes back gives nothing */

	for (unsigned i = 0; i < WG_LIMIT_BURST; i++)
		assert_true(wg_ratelimit_allow(&l, i % 2 ? &six : &same_net, now));
	assert_false(wg_ratelimit_allow(&l, &six, now));
	assert_true(wg_ratelimit_allow(&l, &next_net, now));

	/* A million sources need no more room, and a newcomer is heard. */
	for (uint32_t i = 0; i < 1000000; i++) {
		store_be32(a.b, i);
		assert_true(wg_ratelimit_allow(&l, &a, now));
	}
	wg_ratelimit_done(&l);
}

/* ---- cookies ---- */

static struct public_key some_key(uint8_t fill)
{
	struct secret_key s;
	struct public_key p;

	memset(s.b, fill, sizeof s.b);
	public_key_of(&p, &s);
	return p;
}

struct cookie_end {
	struct public_key key;
	struct wg_cookie_checker checker;
	struct wg_cookie memory;
	struct endpoint from;
	uint8_t dgram[WG_INITIATION_LEN];
};

static void cookie_end_init(struct cookie_end *c)
{
	*c = (struct cookie_end){ .key = some_key(7) };
	c->from.addr = ip_v4((const uint8_t[4]){ 192, 0, 2, 1 });
	c->from.port = 1234;
	store_le32(c->dgram, WG_INITIATION);
	wg_cookie_checker_init(&c->checker, &c->key);
}

static bool proves(struct cookie_end *c, int64_t signed_at, int64_t checked_at)
{
	wg_cookie_sign(&c->memory, &c->key, c->dgram, sizeof c->dgram, signed_at);
	assert_true(wg_mac1_ok(&c->checker.mac1, c->dgram, sizeof c->dgram));
	return wg_mac2_ok(&c->checker, c->dgram, sizeof c->dgram, &c->from, rng_bytes, NULL,
			  checked_at);
}

static bool fetch_cookie(struct cookie_end *c, int64_t now)
{
	uint8_t out[WG_COOKIE_REPLY_LEN];
	struct wg_cookie_reply m;

	wg_cookie_reply_make(out, &c->checker, 9, c->dgram, sizeof c->dgram, &c->from, rng_bytes,
			     NULL, now);
	assert_true(wg_cookie_reply_read(&m, out, sizeof out));
	return wg_cookie_accept(&c->memory, &c->key, &m, now);
}

static void cookie_life(void **state)
{
	struct cookie_end c;
	struct wg_cookie_reply forged = { .receiver = 9 };

	(void)state;
	rng_state = 6;
	cookie_end_init(&c);
	assert_false(proves(&c, 0, 0)); /* no cookie yet: mac2 is zero */
	assert_false(wg_cookie_accept(&c.memory, &c.key, &forged, 0));
	assert_true(fetch_cookie(&c, 0));
	assert_false(fetch_cookie(&c, 0)); /* one reply to one message */
	assert_true(proves(&c, NS_PER_S, NS_PER_S));
	/* The sender stops using it 5 s before its two minutes end. */
	assert_true(proves(&c, 114 * NS_PER_S, 114 * NS_PER_S));
	assert_false(proves(&c, 115 * NS_PER_S, 115 * NS_PER_S));
	assert_true(ct_is_zero(c.dgram + sizeof c.dgram - MAC_LEN, MAC_LEN));
	/* The checker's secret turns over: what was signed before is no proof any more. */
	assert_false(proves(&c, 114 * NS_PER_S, 120 * NS_PER_S));

	/* Shipped bug: a cookie that holds for every port of an address. */
	assert_true(fetch_cookie(&c, 121 * NS_PER_S));
	assert_true(proves(&c, 121 * NS_PER_S, 121 * NS_PER_S));
	c.from.port++;
	assert_false(proves(&c, 121 * NS_PER_S, 121 * NS_PER_S));
	c.from.port--;
	c.from.addr.b[3]++;
	assert_false(proves(&c, 121 * NS_PER_S, 121 * NS_PER_S));
}

static void mac1_covers_all(void **state)
{
	struct cookie_end c;

	(void)state;
	cookie_end_init(&c);
	wg_cookie_sign(&c.memory, &c.key, c.dgram, sizeof c.dgram, 0);
	for (size_t i = 0; i < sizeof c.dgram - MAC_LEN; i++) {
		c.dgram[i] ^= 1;
		assert_false(wg_mac1_ok(&c.checker.mac1, c.dgram, sizeof c.dgram));
		c.dgram[i] ^= 1;
	}
	assert_true(wg_mac1_ok(&c.checker.mac1, c.dgram, sizeof c.dgram));
	assert_false(wg_mac1_ok(&c.checker.mac1, c.dgram, 2 * MAC_LEN - 1));
}

/* ---- messages ---- */

static void padding(void **state)
{
	static const struct {
		size_t len, mtu, want;
		const char *why;
	} rows[] = {
		{ 0, 1420, 0, "a keepalive is empty" },
		{ 1, 1420, 16, "shipped bug: no padding" },
		{ 16, 1420, 16, "already whole" },
		{ 17, 1420, 32, "next step" },
		{ 1420, 1420, 1420, "never above the MTU" },
		{ 1409, 1420, 1420, "up to it" },
		{ 1408, 1420, 1408, "below it" },
		{ 1500, 1420, 1500, "above the MTU: the rest of 80 is whole" },
		{ 1501, 1420, 1516, "above the MTU: the rest of 81 becomes 96" },
		{ 2835, 1420, 2840, "the rest of 1415 becomes 1420 and not 1424" },
		{ 2840, 1420, 2840, "two whole MTUs, no rest" },
		{ 9000, 1, 9000, "an MTU below the step" },
		{ 65535, 0, 65536, "no limit" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (wg_padded_len(rows[i].len, rows[i].mtu) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].why);
}

static void types(void **state)
{
	static const struct {
		uint8_t first[4];
		size_t n;
		enum wg_message_type want;
		const char *why;
	} rows[] = {
		{ { 1, 0, 0, 0 }, 148, WG_INITIATION, "exact" },
		{ { 1, 0, 0, 0 }, 149, WG_NO_MESSAGE, "a byte more" },
		{ { 1, 0, 0, 1 }, 148, WG_NO_MESSAGE, "reserved bytes are zero" },
		{ { 2, 0, 0, 0 }, 92, WG_RESPONSE, "exact" },
		{ { 2, 0, 0, 0 }, 91, WG_NO_MESSAGE, "a byte less" },
		{ { 3, 0, 0, 0 }, 64, WG_COOKIE_REPLY, "exact" },
		{ { 3, 0, 0, 0 }, 148, WG_NO_MESSAGE, "another's length" },
		{ { 4, 0, 0, 0 }, 32, WG_TRANSPORT, "the shortest" },
		{ { 4, 0, 0, 0 }, 31, WG_NO_MESSAGE, "no room for the tag" },
		{ { 4, 0, 0, 0 }, 255, WG_TRANSPORT, "any length above" },
		{ { 5, 0, 0, 0 }, 148, WG_NO_MESSAGE, "no such type" },
		{ { 0, 0, 0, 0 }, 148, WG_NO_MESSAGE, "no such type" },
		{ { 1, 0, 0, 0 }, 3, WG_NO_MESSAGE, "not even a type" },
		{ { 0 }, 0, WG_NO_MESSAGE, "empty" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t d[256] = { 0 };

		memcpy(d, rows[i].first, 4);
		if (wg_message_type(d, rows[i].n) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].why);
	}
}

static void verdict_names(void **state)
{
	(void)state;
	for (unsigned v = 0; v < WG_VERDICTS; v++) {
		assert_non_null(wg_verdict_name((enum wg_verdict)v));
		for (unsigned w = 0; w < v; w++)
			assert_string_not_equal(wg_verdict_name((enum wg_verdict)v),
						wg_verdict_name((enum wg_verdict)w));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replay_rows),
		cmocka_unit_test(replay_model),
		cmocka_unit_test(replay_begins_small),
		cmocka_unit_test(replay_grows_for_a_gap),
		cmocka_unit_test(wheel_model),
		cmocka_unit_test(index_table),
		cmocka_unit_test(index_lanes),
		cmocka_unit_test(index_session),
		cmocka_unit_test(peer_table),
		cmocka_unit_test(rate_limit),
		cmocka_unit_test(cookie_life),
		cmocka_unit_test(mac1_covers_all),
		cmocka_unit_test(padding),
		cmocka_unit_test(types),
		cmocka_unit_test(verdict_names),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
