#include "gateway/watchdog.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

/* No manager asks for more than a day. */
#define USEC_MAX (86400ull * 1000000)

enum err_code watchdog_interval(int64_t *out, const char *usec, const char *watched, int64_t pid,
				struct err *e)
{
	uint64_t n, of;

	*out = 0;
	if (!usec || !*usec)
		return ERR_OK;
	if (!u64_parse(str_of(usec), 1, USEC_MAX, &n))
		return err_set(e, ERR_INVALID, "WATCHDOG_USEC=%.40s is no number of microseconds",
			       usec);
	if (watched && *watched) {
		if (!u64_parse(str_of(watched), 1, INT32_MAX, &of))
			return err_set(e, ERR_INVALID, "WATCHDOG_PID=%.40s is no process", watched);
		if ((int64_t)of != pid)
			return ERR_OK;
	}
	*out = (int64_t)n * 1000 / 2;
	return ERR_OK;
}

static void due(struct loop_timer *t)
{
	struct watchdog *w = CONTAINER_OF(t, struct watchdog, due);
	struct err e = { 0 };
	enum err_code rc = w->check(w->ctx, &e);

	if (rc && !w->failing)
		LOG_ERR("watchdog.silent", F_ERR(&e));
	w->failing = rc != ERR_OK;
	loop_timer_set(w->loop, t, loop_now(w->loop) + w->interval_ns);
}

enum err_code watchdog_start(struct watchdog *w, struct loop *l,
			     enum err_code (*check)(void *ctx, struct err *e), void *ctx,
			     struct err *e)
{
	int64_t interval;
	enum err_code rc = watchdog_interval(&interval, getenv("WATCHDOG_USEC"),
					     getenv("WATCHDOG_PID"), getpid(), e);

	if (rc || !interval)
		return rc;
	*w = (struct watchdog){
		.loop = l, .due.fire = due, .interval_ns = interval, .check = check, .ctx = ctx
	};
	loop_timer_set(l, &w->due, clock_mono_ns() + interval);
	return ERR_OK;
}

void watchdog_stop(struct watchdog *w)
{
	loop_timer_cancel(&w->due);
}
