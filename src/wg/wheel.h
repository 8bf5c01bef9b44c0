/* wheel.h - a hierarchical timing wheel: a million timers, each added and removed in constant time.
 *
 * Four levels of 64 slots; a tick is 2^22 ns (4.2 ms), so that the lowest level spans a quarter
 * of a second and the highest 19.5 hours.  Deadlines are rounded up to a tick: never early.
 * One thread.  Nodes sit inside their elements; a zero node is not in the wheel.
 */
#ifndef QANAT_WG_WHEEL_H
#define QANAT_WG_WHEEL_H

#include "base/list.h"

#define WG_WHEEL_TICK_BITS 22
#define WG_WHEEL_LEVELS 4
#define WG_WHEEL_SLOTS 64

struct wg_wheel_node {
	struct list link;
	uint64_t tick;
};

struct wg_wheel {
	uint64_t tick; /* all up to and including this one has run */
	size_t count;
	uint64_t filled[WG_WHEEL_LEVELS]; /* a bit for each slot that may hold something */
	struct list slot[WG_WHEEL_LEVELS][WG_WHEEL_SLOTS];
};

void wg_wheel_init(struct wg_wheel *w);
/* Moves a node that is already in the wheel. */
void wg_wheel_set(struct wg_wheel *w, struct wg_wheel_node *n, int64_t deadline, int64_t now);
void wg_wheel_del(struct wg_wheel *w, struct wg_wheel_node *n);
/* Removes and returns a node whose deadline has come, or NULL when none is left. */
struct wg_wheel_node *wg_wheel_pop(struct wg_wheel *w, int64_t now);
/* When wg_wheel_pop should be asked next (perhaps in vain), INT64_MAX for never. */
int64_t wg_wheel_next(const struct wg_wheel *w);

#endif
