/* watchdog.h - tells the service manager that the gateway still does its work (sd_watchdog_enabled(3)).
 *
 * On the loop, and only after a check has passed: a gateway whose loop stands still, or whose device or
 * store does not answer, says nothing, and is ended and started anew.
 */
#ifndef QANAT_GATEWAY_WATCHDOG_H
#define QANAT_GATEWAY_WATCHDOG_H

#include "io/loop.h"

struct watchdog {
	struct loop *loop;
	struct loop_timer due;
	int64_t interval_ns;
	/* Whether the work goes on, and if so, tells the manager; must not wait for long. */
	enum err_code (*check)(void *ctx, struct err *e);
	void *ctx;
	bool failing; /* said once */
};

/* Half the time that the environment's WATCHDOG_USEC allows, 0 when the manager does not watch this
 * process (`pid`); ERR_INVALID for a variable that is no number. */
MUST_CHECK enum err_code watchdog_interval(int64_t *out, const char *usec, const char *watched,
					   int64_t pid, struct err *e);
/* Begins, when the environment asks for it.  `w` lives until watchdog_stop. */
MUST_CHECK enum err_code watchdog_start(struct watchdog *w, struct loop *l,
					enum err_code (*check)(void *ctx, struct err *e), void *ctx,
					struct err *e);
void watchdog_stop(struct watchdog *w);

#endif
