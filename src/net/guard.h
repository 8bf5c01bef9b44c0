/* guard.h - when to compare the host with what was applied: no I/O, time is an argument.
 *
 *    a report of the kernel	a look after NET_GUARD_SETTLE_NS: reports come in bursts
 *    nothing			a look every NET_GUARD_POLL_NS, for what nobody reports (/proc/sys)
 *    the same thing repaired NET_GUARD_REPAIRS times with less than NET_GUARD_CALM_NS between
 *				somebody undoes it: looks wait, twice as long after each further
 *				repair of it, up to NET_GUARD_WAIT_MAX_NS
 *    NET_GUARD_CALM_NS without	all is as at the start
 *
 * One repair causes reports of its own, and one look more, which finds nothing.
 */
#ifndef QANAT_NET_GUARD_H
#define QANAT_NET_GUARD_H

#include "base/clock.h"

#define NET_GUARD_SETTLE_NS (100 * NS_PER_MS)
#define NET_GUARD_POLL_NS (4 * NS_PER_S) /* a promise: repaired within 5 s */
#define NET_GUARD_REPAIRS 5
#define NET_GUARD_WAIT_NS (5 * NS_PER_S)
#define NET_GUARD_WAIT_MAX_NS (60 * NS_PER_S)
#define NET_GUARD_CALM_NS (120 * NS_PER_S)

#define NET_GUARD_THINGS_MAX 32 /* remembered; the one repaired longest ago makes room */

/* Plain; read freely. */
struct net_guard {
	int64_t look_at; /* when the next look is due */
	int64_t not_before; /* looks wait until then */
	int64_t wait_ns; /* how long they waited or wait after the last repair; 0: nobody undoes them */
	unsigned worst; /* during a look: the most times that one of its repairs was made */
	struct net_guard_thing {
		uint64_t hash; /* of its text */
		int64_t at; /* of the last repair */
		unsigned times; /* 0: free */
	} things[NET_GUARD_THINGS_MAX];
};

void net_guard_start(struct net_guard *g, int64_t now);
/* The kernel has reported something. */
void net_guard_reported(struct net_guard *g, int64_t now);
/* During a look: the thing with this text was repaired. */
void net_guard_repaired(struct net_guard *g, int64_t now, const char *thing);
/* A look was taken.  True when that begins or lengthens the waiting: somebody must act. */
bool net_guard_looked(struct net_guard *g, int64_t now);

#endif
