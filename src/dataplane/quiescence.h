/* quiescence.h - tells when every worker has let go of what it read from shared structures.
 *
 * The counting half of base/retired.h.  A worker is online while it handles packets and offline
 * while it waits; going online it takes over the current generation.  Once each worker is offline
 * or has been online since a generation began, nobody can still see what was unlinked before.
 */
#ifndef QANAT_DATAPLANE_QUIESCENCE_H
#define QANAT_DATAPLANE_QUIESCENCE_H

#include <stdatomic.h>

#include "base/defs.h"

#define QUIESCENCE_WORKERS_MAX 64

struct quiescence {
	_Atomic uint64_t generation; /* never 0; written by control */
	unsigned workers; /* const after start */
	struct {
		/* 0: offline; owner: worker.  A cache line each. */
		_Alignas(64) _Atomic uint64_t seen;
	} slot[QUIESCENCE_WORKERS_MAX];
};

/* The worker is about to look at shared structures.  The exchange is a full barrier: either
 * control sees this worker online, or the worker sees all that control has unlinked. */
static inline void quiescence_online(struct quiescence *q, unsigned worker)
{
	atomic_exchange(&q->slot[worker].seen, atomic_load(&q->generation));
}

/* The worker holds no reference any more. */
static inline void quiescence_offline(struct quiescence *q, unsigned worker)
{
	atomic_store_explicit(&q->slot[worker].seen, 0, memory_order_release);
}

/* Control: begins generation `g`, after unlinking. */
static inline void quiescence_begin(struct quiescence *q, uint64_t g)
{
	atomic_exchange(&q->generation, g);
}

/* Control: has every worker passed since generation `g` began? */
static inline bool quiescence_passed(struct quiescence *q, uint64_t g)
{
	for (unsigned i = 0; i < q->workers; i++) {
		uint64_t seen = atomic_load(&q->slot[i].seen);

		if (seen && seen < g)
			return false;
	}
	return true;
}

#endif
