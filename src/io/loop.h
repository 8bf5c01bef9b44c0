/* loop.h - an epoll loop: descriptors, timers, signals, and functions handed over by other threads.
 *
 * A loop belongs to the thread that runs it; only loop_post and loop_stop may be called from
 * others.  Callbacks do not block.  The loop asks the clock once a turn; `loop_now` is that value.
 */
#ifndef QANAT_IO_LOOP_H
#define QANAT_IO_LOOP_H

#include "base/err.h"

struct loop;

MUST_CHECK enum err_code loop_new(struct loop **out, struct err *e);
/* Watches and timers that are still set are forgotten; their owners keep them. */
void loop_free(struct loop *l);
/* Runs until loop_stop. */
MUST_CHECK enum err_code loop_run(struct loop *l, struct err *e);
/* Any thread: loop_run returns after the current turn; before loop_run, it returns at once. */
void loop_stop(struct loop *l);
int64_t loop_now(const struct loop *l); /* monotonic ns */

#define LOOP_READ 1u
#define LOOP_WRITE 2u
#define LOOP_HANGUP 4u /* reported, never asked for; repeated until the watch is removed */

/* A watched descriptor; embedded in its owner, which keeps owning the descriptor. */
struct loop_fd {
	int fd;
	uint32_t events; /* asked for */
	void (*ready)(struct loop_fd *w, uint32_t events);
	struct loop *loop; /* private */
};
MUST_CHECK enum err_code loop_fd_add(struct loop *l, struct loop_fd *w, struct err *e);
void loop_fd_change(struct loop_fd *w, uint32_t events);
/* Allowed inside any callback; `ready` is not called afterwards.  A watch never added is fine.
 * Before the descriptor is closed. */
void loop_fd_remove(struct loop_fd *w);

/* A timer; embedded in its owner, fires once.  Zero is an idle timer. */
struct loop_timer {
	int64_t at; /* private from here on: a node of a pairing heap */
	struct loop_timer *child; /* first of its children */
	struct loop_timer *next; /* among its siblings */
	struct loop_timer *prev; /* elder sibling, or parent of the first */
	struct loop *loop; /* NULL: not set */
	void (*fire)(struct loop_timer *t);
};
/* (Re)arms `t` at monotonic time `at_ns`; t->fire must be set before. */
void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t at_ns);
void loop_timer_cancel(struct loop_timer *t);

/* Calls `handler(ctx, signo)` in the loop for a signal, which is blocked for the process's other
 * uses (signalfd).  Before threads start. */
MUST_CHECK enum err_code loop_signal(struct loop *l, int signo,
				     void (*handler)(void *ctx, int signo), void *ctx,
				     struct err *e);

/* Any thread: runs fn(arg) in the loop's thread, soon, in order.  `work` is embedded in its
 * owner and may be posted again once fn has been entered. */
struct loop_work {
	void (*fn)(struct loop_work *w);
	struct loop_work *next; /* private */
};
void loop_post(struct loop *l, struct loop_work *w);

#endif
