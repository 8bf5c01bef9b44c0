/* pace.h - lets a benchmark's sender keep an exact rate: how many are due now, and a sleep until
 * the next are.
 *
 * A sender that fell behind catches up, a quarter of a second at most: what is owed for longer is
 * forgotten, so that a machine that stood still does not get a burst.  For programs in tests/bench
 * only; base/clock.h is the library's clock.
 */
#ifndef QANAT_BENCH_PACE_H
#define QANAT_BENCH_PACE_H

#include <errno.h>

#include "base/clock.h"

#define PACE_BEHIND_MAX (NS_PER_S / 4)
#define PACE_SLEEP_MIN (50 * NS_PER_US) /* a shorter sleep costs more than what it spares */

struct pace {
	uint64_t rate; /* a second; 0: as fast as it goes */
	int64_t begin; /* when packet 0 was due */
	uint64_t done;
};

static inline int64_t pace_now_ns(void)
{
	struct timespec t;

	BUG_ON(clock_gettime(CLOCK_MONOTONIC, &t) != 0);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static inline void pace_sleep_until(int64_t at)
{
	struct timespec t = { .tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static inline struct pace pace_begin(uint64_t rate)
{
	return (struct pace){ .rate = rate, .begin = pace_now_ns() };
}

static inline int64_t pace_at(const struct pace *p, uint64_t number)
{
	return p->begin + (int64_t)((unsigned __int128)number * NS_PER_S / p->rate);
}

/* How many of at most `max` may go now; sleeps until there is one.  Add what went to `done`. */
static inline uint64_t pace_due(struct pace *p, uint64_t max)
{
	int64_t now, behind;

	if (p->rate == 0)
		return max;
	for (;;) {
		uint64_t due;

		now = pace_now_ns();
		behind = now - pace_at(p, p->done);
		if (behind > PACE_BEHIND_MAX)
			p->begin += behind - PACE_BEHIND_MAX;
		due = (uint64_t)((unsigned __int128)(uint64_t)(now - p->begin) * p->rate /
				 NS_PER_S) +
		      1;
		if (due > p->done)
			return MIN(due - p->done, max);
		pace_sleep_until(MAX(pace_at(p, p->done), now + PACE_SLEEP_MIN));
	}
}

#endif
