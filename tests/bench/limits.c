/* limits - what the limits of a peer cost a packet: nanoseconds for each packet weighed, alone and in rows as a
 * super-packet is cut, by one thread and by two on one peer.
 *
 * usage: meson test --benchmark -v limits, of a release build
 */
#include <pthread.h>

#include "base/clock.h"
#include "wg/limits.h"

#define PACKETS 20000000u
#define ROW 40u

struct run {
	_Atomic(struct wg_limits *) *slot;
	unsigned row;
	size_t passed;
	int64_t ns;
};

static void *weigh(void *arg)
{
	struct run *r = arg;
	uint32_t len[ROW];
	int64_t begin, now;

	for (size_t i = 0; i < ROW; i++)
		len[i] = 1420;
	begin = now = clock_mono_ns();
	for (unsigned i = 0; i < PACKETS; i += r->row) {
		struct wg_limits *l = atomic_load_explicit(r->slot, memory_order_acquire);
		enum wg_verdict rest = WG_OK;

		/* As in a worker: a peer without limits costs this test. */
		if (l)
			r->passed += wg_limits_admit(l, WG_DOWN, len, r->row, now += 100, 0, &rest);
		else
			r->passed += r->row;
	}
	r->ns = clock_mono_ns() - begin;
	return NULL;
}

static double together(_Atomic(struct wg_limits *) *slot, unsigned row, unsigned threads)
{
	struct run r[2];
	pthread_t t[2];
	int64_t ns = 0;

	for (unsigned i = 0; i < threads; i++) {
		r[i] = (struct run){ .slot = slot, .row = row };
		BUG_ON(pthread_create(&t[i], NULL, weigh, &r[i]) != 0);
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(t[i], NULL);
		ns = MAX(ns, r[i].ns);
	}
	return (double)ns / PACKETS;
}

int main(void)
{
	static const struct {
		const char *name;
		struct wg_limits_change c;
	} rows[] = {
		{ "none", { 0 } },
		{ "end", { .set = WG_SET_EXPIRES, .expires_wall_ns = INT64_MAX } },
		{ "quota", { .set = WG_SET_QUOTA, .quota = WG_QUOTA_MAX } },
		{ "rate, not reached",
		  { .set = WG_SET_RATE_DOWN, .rate_bps = { 0, WG_RATE_MAX } } },
		{ "rate, exceeded", { .set = WG_SET_RATE_DOWN, .rate_bps = { 0, 100000000 } } },
		{ "rate and quota",
		  { .set = WG_SET_RATE_DOWN | WG_SET_QUOTA,
		    .rate_bps = { 0, WG_RATE_MAX },
		    .quota = WG_QUOTA_MAX } },
	};

	printf("ns a packet          alone  rows of %u  alone, 2 threads\n", ROW);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_Atomic(struct wg_limits *) slot = NULL;
		struct retired retired = { 0 };

		BUG_ON(wg_limits_change(&slot, &rows[i].c, clock_mono_ns(), &retired, NULL) !=
		       ERR_OK);
		printf("%-18s  %6.2f  %10.2f  %16.2f\n", rows[i].name, together(&slot, 1, 1),
		       together(&slot, ROW, 1), together(&slot, 1, 2));
		wg_limits_free(atomic_load(&slot));
	}
	return 0;
}
