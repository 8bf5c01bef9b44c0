/* Limits of peers: the bucket against a reference model, the quota under many threads, changes. */
#include "wg/limits.h"

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/clock.h"
#include "wg/core.h"
#include "wg/tests/sim.h"

__extension__ typedef unsigned __int128 u128;

#define START (1000 * NS_PER_S)
#define WALL (1700000000 * NS_PER_S)

struct limited {
	_Atomic(struct wg_limits *) slot;
	struct retired retired;
};

static void change(struct limited *l, const struct wg_limits_change *c, int64_t now)
{
	struct err e;

	assert_int_equal(wg_limits_check(c, &e), ERR_OK);
	assert_int_equal(wg_limits_change(&l->slot, c, now, &l->retired, &e), ERR_OK);
	retired_free(&l->retired, UINT64_MAX);
}

static void done(struct limited *l)
{
	wg_limits_free(l->slot);
	retired_free(&l->retired, UINT64_MAX);
}

static enum wg_verdict one(struct limited *l, enum wg_direction dir, uint32_t len, int64_t now)
{
	enum wg_verdict why;

	return wg_limits_admit(l->slot, dir, &len, 1, now, WALL, &why) ? WG_OK : why;
}

static struct wg_limits_info info(const struct limited *l)
{
	struct wg_limits_info i;

	wg_limits_info(l->slot, &i);
	return i;
}

/* ---- what may be set ---- */

static void ranges(void **state)
{
	static const struct {
		struct wg_limits_change c;
		const char *says, *why; /* `says` NULL: allowed */
	} rows[] = {
		{ { .set = 0, .rate_bps = { 1, 1 } }, NULL, "what is not set is not looked at" },
		{ { .set = WG_SET_RATE_UP, .rate_bps = { 0 } }, NULL, "none" },
		{ { .set = WG_SET_RATE_UP, .rate_bps = { WG_RATE_MIN } }, NULL, "the slowest" },
		{ { .set = WG_SET_RATE_UP, .rate_bps = { 999 } }, "rate up 999:", "slower" },
		{ { .set = WG_SET_RATE_DOWN, .rate_bps = { 0, WG_RATE_MAX } },
		  NULL,
		  "the fastest" },
		{ { .set = WG_SET_RATE_DOWN, .rate_bps = { 0, WG_RATE_MAX + 1 } },
		  "rate down 1000000000001:",
		  "faster" },
		{ { .set = WG_SET_BURST, .burst = WG_BURST_MIN }, NULL, "one packet" },
		{ { .set = WG_SET_BURST, .burst = WG_BURST_MIN - 1 },
		  "burst 65535:",
		  "a large packet would never pass" },
		{ { .set = WG_SET_BURST, .burst = WG_BURST_MAX + 1 },
		  "burst 67108865:",
		  "too big" },
		{ { .set = WG_SET_QUOTA, .quota = WG_QUOTA_MAX }, NULL, "the largest" },
		{ { .set = WG_SET_QUOTA, .quota = WG_QUOTA_MAX + 1 },
		  "quota 4611686018427387905:",
		  "signed sums would overflow" },
		{ { .set = WG_SET_QUOTA_USED, .quota_used = UINT64_MAX }, "used 1844", "the same" },
		{ { .set = WG_SET_EXPIRES, .expires_wall_ns = -1 }, "the end", "before 1970" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		enum err_code rc = wg_limits_check(&rows[i].c, &e);

		if ((rc != ERR_OK) != (rows[i].says != NULL))
			fail_msg("row %zu: %s: %s", i, rows[i].why, e.msg);
		if (rows[i].says && !strstr(e.msg, rows[i].says))
			fail_msg("row %zu: %s: %s", i, rows[i].why, e.msg);
	}
}

/* ---- rate ---- */

/* The bucket as one would write it down: tokens in exact fractions of a byte, in 128 bits. */
struct model {
	u128 tokens; /* byte * 8e9 */
	uint64_t rate_bps, burst;
	int64_t at;
};

#define MODEL_BYTE (8ull * NS_PER_S)

static void model_fill(struct model *m, int64_t now)
{
	u128 full = (u128)m->burst * MODEL_BYTE;

	m->tokens += (u128)(uint64_t)(now - m->at) * m->rate_bps;
	if (m->tokens > full)
		m->tokens = full;
	m->at = now;
}

static uint64_t rng;

static uint64_t random_u64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* Never more than the model, and hardly less: what rounding up costs is below one sixteenth of a
 * nanosecond a batch. */
static void bucket_is_the_model(void **state)
{
	static const uint64_t rates[] = { WG_RATE_MIN, 64000,	    999983,	8000000,
					  1000000007,  10000000000, WG_RATE_MAX };

	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
		struct limited l = { .slot = NULL };
		const struct wg_limits_change c = { .set = WG_SET_RATE_UP | WG_SET_BURST,
						    .rate_bps = { rates[r] },
						    .burst = WG_BURST_MIN };
		struct model m = { .tokens = (u128)WG_BURST_MIN * MODEL_BYTE,
				   .rate_bps = rates[r],
				   .burst = WG_BURST_MIN,
				   .at = START };
		int64_t now = START;
		uint64_t passed = 0;
		/* So that buckets run both full and empty: a packet's own time, on average. */
		uint64_t step = 2 * 750 * MODEL_BYTE / rates[r] + 2;

		rng = 88172645463325252ull + r;
		change(&l, &c, now);
		for (int i = 0; i < 20000; i++) {
			uint32_t len[16];
			size_t n = 1 + random_u64() % ARRAY_LEN(len), k;
			enum wg_verdict rest;

			now += (int64_t)(random_u64() % (step * n));
			if (random_u64() % 500 == 0)
				now += (int64_t)step * 200;
			model_fill(&m, now);
			for (size_t j = 0; j < n; j++)
				len[j] = (uint32_t)(40 + random_u64() % 1460);
			k = wg_limits_admit(l.slot, WG_UP, len, n, now, WALL, &rest);
			for (size_t j = 0; j < k; j++) {
				u128 cost = (u128)len[j] * MODEL_BYTE;

				if (cost > m.tokens)
					fail_msg("rate %llu: more passed than there is",
						 (unsigned long long)rates[r]);
				m.tokens -= cost;
				passed += len[j];
			}
			if (k < n) {
				assert_int_equal(rest, DROP_RATE);
				/* The next one did not fit the model either, within the rounding of
				 * all batches since the bucket was last full. */
				u128 batches = (unsigned)i + 2, slack = batches * rates[r] / 16 + 1;

				if (m.tokens > (u128)len[k] * MODEL_BYTE + slack)
					fail_msg("rate %llu: refused what fits",
						 (unsigned long long)rates[r]);
			}
		}
		assert_true(passed > WG_BURST_MIN);
		done(&l);
	}
}

static void bucket_rows(void **state)
{
	/* 8 Mbit/s is a byte a microsecond; the burst is 65536 bytes. */
	static const struct {
		int64_t after_us;
		uint32_t len;
		enum wg_verdict want;
		const char *why;
	} rows[] = {
		{ 0, 65535, WG_OK, "the bucket begins full" },
		{ 0, 2, DROP_RATE, "one byte is left" },
		{ 0, 1, WG_OK, "and that one passes" },
		{ 99, 100, DROP_RATE, "99 bytes came" },
		{ 1, 100, WG_OK, "a hundred" },
		{ 0, 1, DROP_RATE, "and no more" },
		{ 10000000, 65535, WG_OK, "ten seconds fill it" },
		{ 0, 2, DROP_RATE, "but not above its burst" },
	};
	const struct wg_limits_change c = { .set = WG_SET_RATE_DOWN | WG_SET_BURST,
					    .rate_bps = { 0, 8000000 },
					    .burst = WG_BURST_MIN };
	struct limited l = { .slot = NULL };
	int64_t now = START;

	(void)state;
	change(&l, &c, now);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		now += rows[i].after_us * NS_PER_US;
		if (one(&l, WG_DOWN, rows[i].len, now) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].why);
	}
	for (int i = 0; i < 100; i++)
		assert_int_equal(one(&l, WG_UP, 65535, now), WG_OK); /* the other direction */
	done(&l);
}

static void row_from_the_front(void **state)
{
	const struct wg_limits_change c = { .set = WG_SET_RATE_UP | WG_SET_QUOTA | WG_SET_BURST,
					    .rate_bps = { 8000000 },
					    .burst = WG_BURST_MIN,
					    .quota = 50000 };
	uint32_t len[] = { 20000, 20000, 20000, 20000, 5 };
	struct limited l = { .slot = NULL };
	enum wg_verdict rest;

	(void)state;
	change(&l, &c, START);
	/* The rate lets three pass, the quota two of them. */
	assert_int_equal(wg_limits_admit(l.slot, WG_UP, len, 5, START, WALL, &rest), 2);
	assert_int_equal(rest, DROP_QUOTA);
	assert_int_equal(info(&l).quota_used, 40000);
	assert_true(info(&l).quota_out_at == START);
	/* What did not pass for the quota costs nothing of the rate: 25536 bytes are left. */
	change(&l, &(struct wg_limits_change){ .set = WG_SET_QUOTA, .quota = 1000000 }, START);
	assert_int_equal(info(&l).quota_out_at, 0);
	assert_int_equal(one(&l, WG_UP, 25537, START), DROP_RATE);
	assert_int_equal(one(&l, WG_UP, 25536, START), WG_OK);
	assert_int_equal(info(&l).quota_used, 65536);
	done(&l);
}

/* ---- quota and end ---- */

static void quota_rows(void **state)
{
	static const struct {
		struct wg_limits_change c;
		uint32_t up, down;
		enum wg_verdict want_up, want_down;
		uint64_t used;
		const char *why;
	} rows[] = {
		{ { .set = WG_SET_QUOTA, .quota = 1000 },
		  600,
		  400,
		  WG_OK,
		  WG_OK,
		  1000,
		  "to the byte" },
		{ { 0 }, 1, 1, DROP_QUOTA, DROP_QUOTA, 1000, "used up, both ways" },
		{ { .set = WG_SET_QUOTA, .quota = 1500 },
		  501,
		  500,
		  DROP_QUOTA,
		  WG_OK,
		  1500,
		  "500 more; what does not fit whole takes nothing" },
		{ { .set = WG_SET_QUOTA_USED }, 1500, 1, WG_OK, DROP_QUOTA, 1500, "begun anew" },
		{ { .set = WG_SET_QUOTA, .quota = 700 },
		  1,
		  1,
		  DROP_QUOTA,
		  DROP_QUOTA,
		  1500,
		  "less than was used" },
		{ { .set = WG_SET_QUOTA, .quota = 1501 },
		  1,
		  1,
		  WG_OK,
		  DROP_QUOTA,
		  1501,
		  "and back" },
		{ { .set = WG_SET_QUOTA }, 65535, 65535, WG_OK, WG_OK, 0, "none" },
		{ { .set = WG_SET_QUOTA | WG_SET_QUOTA_USED, .quota = 100, .quota_used = 99 },
		  1,
		  1,
		  WG_OK,
		  DROP_QUOTA,
		  100,
		  "as a gateway that starts again" },
	};
	/* A limit of another kind keeps the meter there all the time. */
	const struct wg_limits_change end = { .set = WG_SET_EXPIRES, .expires_wall_ns = WALL + 1 };
	struct limited l = { .slot = NULL };

	(void)state;
	change(&l, &end, START);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		change(&l, &rows[i].c, START);
		if (one(&l, WG_UP, rows[i].up, START) != rows[i].want_up ||
		    one(&l, WG_DOWN, rows[i].down, START) != rows[i].want_down ||
		    info(&l).quota_used != rows[i].used)
			fail_msg("row %zu: %s", i, rows[i].why);
	}
	done(&l);
}

static void end_in_time(void **state)
{
	struct wg_limits_change c = { .set = WG_SET_EXPIRES, .expires_wall_ns = WALL };
	struct limited l = { .slot = NULL };
	enum wg_verdict rest;
	uint32_t len = 100;

	(void)state;
	change(&l, &c, START);
	assert_int_equal(wg_limits_admit(l.slot, WG_UP, &len, 1, START, WALL - 1, &rest), 1);
	assert_int_equal(wg_limits_admit(l.slot, WG_UP, &len, 1, START, WALL, &rest), 0);
	assert_int_equal(rest, DROP_ACCESS_EXPIRED);
	c.expires_wall_ns = 0;
	change(&l, &c, START);
	assert_null(l.slot); /* without limits there is nothing */
	done(&l);
}

/* ---- changes ---- */

static void a_change_forgets_nothing(void **state)
{
	const struct wg_limits_change slow = { .set = WG_SET_RATE_UP | WG_SET_BURST,
					       .rate_bps = { 8000 },
					       .burst = WG_BURST_MIN };
	struct limited l = { .slot = NULL };

	(void)state;
	change(&l, &slow, START);
	assert_int_equal(one(&l, WG_UP, 65536, START), WG_OK);
	change(&l, &slow, START); /* the same again is no new burst */
	assert_int_equal(one(&l, WG_UP, 1, START), DROP_RATE);
	change(&l, &(struct wg_limits_change){ .set = WG_SET_RATE_DOWN, .rate_bps = { 0, 8000 } },
	       START);
	assert_int_equal(one(&l, WG_UP, 1, START), DROP_RATE); /* nor one of the other direction */
	/* Faster: the bucket is empty, not in debt for a minute of the old rate. */
	change(&l, &(struct wg_limits_change){ .set = WG_SET_RATE_UP, .rate_bps = { 8000000 } },
	       START);
	assert_int_equal(one(&l, WG_UP, 1, START), DROP_RATE);
	assert_int_equal(one(&l, WG_UP, 1000, START + 1000 * NS_PER_US), WG_OK);
	done(&l);
}

static void default_burst(void **state)
{
	static const struct {
		uint64_t rate_bps;
		uint32_t burst;
	} rows[] = {
		{ WG_RATE_MIN, WG_BURST_DEFAULT_MIN },
		{ 8000000, WG_BURST_DEFAULT_MIN },
		{ 100000000, 1250000 }, /* a tenth of a second */
		{ 8000000000, WG_BURST_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct wg_limits_change c = { .set = WG_SET_RATE_UP,
						    .rate_bps = { rows[i].rate_bps } };
		struct limited l = { .slot = NULL };

		change(&l, &c, START);
		for (uint32_t left = rows[i].burst; left;) {
			uint32_t len = MIN(left, 65535u);

			assert_int_equal(one(&l, WG_UP, len, START), WG_OK);
			left -= len;
		}
		assert_int_equal(one(&l, WG_UP, 1, START), DROP_RATE);
		done(&l);
	}
}

/* ---- many threads ---- */

#define THREADS 4
#define PACKETS 40000

struct hammer {
	struct limited *l;
	unsigned id;
	uint64_t passed_bytes, dropped;
};

static void *hammer(void *arg)
{
	struct hammer *h = arg;

	for (unsigned i = 0; i < PACKETS; i++) {
		uint32_t len[3] = { 100, 100, 100 };
		enum wg_verdict rest;
		size_t n = 1 + (i + h->id) % 3;
		size_t k = wg_limits_admit(h->l->slot, h->id % 2 ? WG_UP : WG_DOWN, len, n,
					   START + i, WALL, &rest);

		h->passed_bytes += k * 100;
		h->dropped += n - k;
	}
	return NULL;
}

/* Returns what all threads together got through. */
static uint64_t hammer_all(struct limited *l)
{
	struct hammer h[THREADS];
	pthread_t t[THREADS];
	uint64_t passed = 0;

	for (unsigned i = 0; i < THREADS; i++) {
		h[i] = (struct hammer){ .l = l, .id = i };
		assert_int_equal(pthread_create(&t[i], NULL, hammer, &h[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		passed += h[i].passed_bytes;
	}
	return passed;
}

static void quota_of_threads(void **state)
{
	/* Half of what they send, and 99 bytes that cover no packet. */
	const struct wg_limits_change c = { .set = WG_SET_QUOTA, .quota = 16000000 / 2 + 99 };
	struct limited l = { .slot = NULL };

	(void)state;
	change(&l, &c, START);
	assert_int_equal(hammer_all(&l), 8000000);
	assert_int_equal(info(&l).quota_used, 8000000);
	done(&l);
}

static void rate_of_threads(void **state)
{
	/* A byte in two nanoseconds: the PACKETS nanoseconds earn PACKETS / 2 bytes at most, beside
	 * the burst; each thread's clock ends at the same moment. */
	const struct wg_limits_change c = {
		.set = WG_SET_RATE_UP | WG_SET_RATE_DOWN | WG_SET_BURST,
		.rate_bps = { 4000000000, 4000000000 },
		.burst = WG_BURST_MIN,
	};
	const uint64_t most = WG_BURST_MIN + PACKETS / 2;
	struct limited l = { .slot = NULL };
	uint64_t passed;

	(void)state;
	change(&l, &c, START);
	passed = hammer_all(&l);
	assert_true(passed <= 2 * most);
	/* Whoever comes last finds less than a packet in each bucket. */
	assert_true(passed > 2 * (most - 100 - 1));
	done(&l);
}

struct changing {
	struct limited l;
	atomic_bool stop;
};

static void *change_on_and_on(void *arg)
{
	struct changing *c = arg;

	for (uint64_t i = 0; !atomic_load(&c->stop); i++) {
		struct wg_limits_change to = { .set = WG_SET_RATE_UP | WG_SET_QUOTA,
					       .rate_bps = { i % 2 ? 0 : WG_RATE_MAX },
					       .quota = 1000000 + i % 2 };

		/* Retired, but kept: readers pass no quiescent point here. */
		assert_int_equal(wg_limits_change(&c->l.slot, &to, START, &c->l.retired, NULL),
				 ERR_OK);
		if (i > 20000)
			break;
	}
	return NULL;
}

/* A quota that is changed by a byte all the time is still kept to. */
static void changes_meanwhile(void **state)
{
	struct changing c = { .l = { .slot = NULL } };
	pthread_t t;
	uint64_t passed;

	(void)state;
	change(&c.l, &(struct wg_limits_change){ .set = WG_SET_QUOTA, .quota = 1000000 }, START);
	assert_int_equal(pthread_create(&t, NULL, change_on_and_on, &c), 0);
	passed = hammer_all(&c.l);
	atomic_store(&c.stop, true);
	pthread_join(t, NULL);
	assert_int_equal(passed, 1000000);
	assert_int_equal(info(&c.l).quota_used, 1000000);
	done(&c.l);
}

/* ---- in a device ---- */

static void set_limits(struct sim *s, const struct wg_limits_change *limits)
{
	struct wg_peer_change c = { .public_key = s->side[1].public, .limits = *limits };

	assert_int_equal(wg_device_change_peer(s->side[0].d, &c, s->now, NULL), ERR_OK);
}

static uint64_t drops(struct sim *s, enum wg_verdict v)
{
	uint64_t n[WG_VERDICTS];

	wg_counts(s->side[0].d, sim_peer(s, 0), n);
	return n[v];
}

static int setup(void **state)
{
	static struct sim s;

	sim_init(&s, 7);
	sim_script(&s, "connect", "send a 1\nrun 1s\nexpect b.got == 1\nforget\n");
	*state = &s;
	return 0;
}

static int teardown(void **state)
{
	sim_done(*state);
	return 0;
}

static void both_ways_and_staged(void **state)
{
	struct sim *s = *state;
	struct wg_peer_info i;
	struct wg_session *session = atomic_load(&sim_peer(s, 0)->current);

	/* Packets of 20 + 80 bytes; the outer padding to 112 does not count. */
	set_limits(s, &(struct wg_limits_change){ .set = WG_SET_QUOTA, .quota = 350 });
	assert_int_equal(sim_send(s, 0, 80), WG_OK);
	assert_int_equal(sim_send(s, 1, 80), WG_OK);
	sim_run(s, NS_PER_S);
	assert_int_equal(s->side[0].seen.got, 1);
	assert_int_equal(s->side[1].seen.got, 1);
	/* The third of them goes through the queue for a new session. */
	wg_device_set_up(s->side[0].d, false, s->now);
	wg_device_set_up(s->side[0].d, true, s->now);
	assert_int_equal(sim_send(s, 0, 80), WG_STAGE);
	assert_int_equal(sim_send(s, 0, 80), WG_STAGE);
	sim_run(s, NS_PER_S);
	assert_int_equal(s->side[1].seen.got, 2);
	assert_int_equal(drops(s, DROP_QUOTA), 1);
	assert_int_equal(sim_send(s, 0, 80), DROP_QUOTA);
	assert_int_equal(sim_send(s, 1, 80), WG_OK); /* the other side has no limits */
	sim_run(s, NS_PER_S);
	assert_int_equal(s->side[0].seen.got, 1);
	assert_int_equal(drops(s, DROP_QUOTA), 3);
	wg_peer_info(sim_peer(s, 0), &i);
	assert_int_equal(i.limits.quota_used, 300);
	assert_true(i.quota_out_wall_ns >= SIM_WALL_START &&
		    i.quota_out_wall_ns < WALL + 3600 * NS_PER_S);
	assert_true(atomic_load(&sim_peer(s, 0)->current) != session);
	/* More of it: the same session carries on. */
	session = atomic_load(&sim_peer(s, 0)->current);
	set_limits(s, &(struct wg_limits_change){ .set = WG_SET_QUOTA, .quota = 450 });
	assert_int_equal(sim_send(s, 0, 80), WG_OK);
	assert_ptr_equal(atomic_load(&sim_peer(s, 0)->current), session);
}

static void the_end_follows_the_wall_clock(void **state)
{
	struct sim *s = *state;
	int64_t end = SIM_WALL_START + (s->now - SIM_START) + 10 * NS_PER_S;

	set_limits(s, &(struct wg_limits_change){ .set = WG_SET_EXPIRES, .expires_wall_ns = end });
	assert_int_equal(sim_send(s, 0, 80), WG_OK);
	sim_run(s, 9 * NS_PER_S);
	assert_int_equal(sim_send(s, 0, 80), WG_OK);
	sim_run(s, 2 * NS_PER_S);
	assert_int_equal(sim_send(s, 0, 80), DROP_ACCESS_EXPIRED);
	s->side[0].wall_offset = -3600 * NS_PER_S; /* the host's clock is set right */
	wg_device_timers(s->side[0].d, s->now);
	assert_int_equal(sim_send(s, 0, 80), WG_OK);
}

/* What is set for one peer is no matter of the others: sessions, counters, buckets. */
static void others_are_left_alone(void **state)
{
	struct sim *s = *state;
	struct wg_device *d = s->side[0].d;
	struct wg_peer *other = sim_peer(s, 0);
	struct wg_session *session = atomic_load(&other->current);
	struct wg_peer_change c = {
		.limits = { .set = WG_SET_RATE_UP | WG_SET_RATE_DOWN | WG_SET_QUOTA |
				   WG_SET_EXPIRES,
			    .rate_bps = { WG_RATE_MIN, WG_RATE_MIN },
			    .quota = 1,
			    .expires_wall_ns = 1 },
	};
	struct wg_peer_info before, after;
	uint64_t counter = atomic_load(&session->send_counter);

	memset(c.public_key.b, 9, KEY_LEN);
	set_limits(s, &(struct wg_limits_change){ .set = WG_SET_QUOTA, .quota = 100000 });
	wg_peer_info(other, &before);
	for (int i = 0; i < 100; i++) {
		c.remove = i % 10 == 9;
		assert_int_equal(wg_device_change_peer(d, &c, s->now, NULL), ERR_OK);
	}
	wg_peer_info(other, &after);
	assert_memory_equal(&before, &after, sizeof before);
	assert_ptr_equal(atomic_load(&other->current), session);
	assert_int_equal(atomic_load(&session->send_counter), counter);
	assert_int_equal(sim_send(s, 0, 80), WG_OK);
	c.limits.rate_bps[WG_UP] = 1;
	c.remove = false;
	assert_int_equal(wg_device_change_peer(d, &c, s->now, NULL), ERR_RANGE);
	assert_null(wg_device_find_peer(d, &c.public_key)); /* refused whole */
}

static void weighed_in_rows(void **state)
{
	struct sim *s = *state;
	struct wg_session *session = atomic_load(&sim_peer(s, 0)->current);
	uint64_t counter = atomic_load(&session->send_counter);
	const uint32_t len[5] = { 1000, 1000, 1000, 1000, 1000 };
	struct wg_events ev = { 0 };
	enum wg_verdict rest;
	struct wg_send out;
	size_t n = 5;

	set_limits(s, &(struct wg_limits_change){ .set = WG_SET_QUOTA, .quota = 3999 });
	assert_int_equal(wg_send_begin(s->side[0].d, sim_peer(s, 0), 5, s->now, &out, &ev),
			 WG_WEIGH);
	assert_int_equal(wg_send_weigh(s->side[0].d, sim_peer(s, 0), len, &n, s->now, &out, &rest,
				       &ev),
			 WG_OK);
	assert_int_equal(n, 3);
	assert_int_equal(rest, DROP_QUOTA);
	assert_int_equal(out.counter, counter);
	n = 5;
	assert_int_equal(wg_send_weigh(s->side[0].d, sim_peer(s, 0), len, &n, s->now, &out, &rest,
				       &ev),
			 DROP_QUOTA);
	/* What does not pass uses up no counters. */
	assert_int_equal(atomic_load(&session->send_counter), counter + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges),
		cmocka_unit_test(bucket_is_the_model),
		cmocka_unit_test(bucket_rows),
		cmocka_unit_test(row_from_the_front),
		cmocka_unit_test(quota_rows),
		cmocka_unit_test(end_in_time),
		cmocka_unit_test(a_change_forgets_nothing),
		cmocka_unit_test(default_burst),
		cmocka_unit_test(quota_of_threads),
		cmocka_unit_test(rate_of_threads),
		cmocka_unit_test(changes_meanwhile),
		cmocka_unit_test_setup_teardown(both_ways_and_staged, setup, teardown),
		cmocka_unit_test_setup_teardown(the_end_follows_the_wall_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(others_are_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(weighed_in_rows, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
