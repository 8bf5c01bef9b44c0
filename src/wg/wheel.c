#include "wg/wheel.h"

#define SLOT_BITS 6
#define SLOT_MASK (WG_WHEEL_SLOTS - 1u)

static uint64_t tick_floor(int64_t t)
{
	return t <= 0 ? 0 : (uint64_t)t >> WG_WHEEL_TICK_BITS;
}

static uint64_t tick_ceil(int64_t t)
{
	const uint64_t round = (1ULL << WG_WHEEL_TICK_BITS) - 1;

	return t <= 0 ? 0 : ((uint64_t)t + round) >> WG_WHEEL_TICK_BITS;
}

void wg_wheel_init(struct wg_wheel *w)
{
	*w = (struct wg_wheel){ 0 };
	for (unsigned level = 0; level < WG_WHEEL_LEVELS; level++)
		for (unsigned i = 0; i < WG_WHEEL_SLOTS; i++)
			list_init(&w->slot[level][i]);
}

/* Links a node into the lowest level that reaches its tick.  What lies beyond the highest level
 * waits in its farthest slot and is placed again when that one comes round. */
static void place(struct wg_wheel *w, struct wg_wheel_node *n)
{
	const uint64_t reach = (1ULL << (SLOT_BITS * WG_WHEEL_LEVELS)) - 1;
	uint64_t ahead = n->tick - w->tick;
	uint64_t at = n->tick;
	unsigned level = 0;
	uint64_t slot;

	if (ahead > reach) {
		ahead = reach;
		at = w->tick + reach;
	}
	while (ahead >> (SLOT_BITS * (level + 1)))
		level++;
	slot = (at >> (SLOT_BITS * level)) & SLOT_MASK;
	list_add_tail(&w->slot[level][slot], &n->link);
	w->filled[level] |= 1ULL << slot;
}

void wg_wheel_set(struct wg_wheel *w, struct wg_wheel_node *n, int64_t deadline, int64_t now)
{
	wg_wheel_del(w, n);
	if (!w->count)
		w->tick = MAX(w->tick, tick_floor(now));
	n->tick = MAX(tick_ceil(deadline), w->tick + 1);
	place(w, n);
	w->count++;
}

void wg_wheel_del(struct wg_wheel *w, struct wg_wheel_node *n)
{
	if (!list_linked(&n->link))
		return;
	list_del(&n->link); /* its slot's bit is cleared when the slot is visited */
	if (!--w->count)
		memset(w->filled, 0, sizeof w->filled);
}

/* The first tick after the present one at which a slot is due or must be spread downwards. */
static uint64_t next_tick(const struct wg_wheel *w)
{
	uint64_t best = UINT64_MAX;

	for (unsigned level = 0; level < WG_WHEEL_LEVELS; level++) {
		unsigned shift = SLOT_BITS * level;
		uint64_t here = w->tick >> shift;
		unsigned turn = (unsigned)(here + 1) & SLOT_MASK;
		uint64_t filled = w->filled[level];
		uint64_t at;

		if (!filled)
			continue;
		if (turn) /* rotate so that bit 0 is the slot behind the present one */
			filled = filled >> turn | filled << (WG_WHEEL_SLOTS - turn);
		at = (here + 1 + (unsigned)__builtin_ctzll(filled)) << shift;
		best = MIN(best, at);
	}
	return best;
}

static void spread(struct wg_wheel *w, unsigned level, uint64_t slot)
{
	struct list all;
	struct list *head = &w->slot[level][slot];

	w->filled[level] &= ~(1ULL << slot);
	list_init(&all);
	while (!list_empty(head)) {
		struct list *n = head->next;

		list_del(n);
		list_add_tail(&all, n);
	}
	while (!list_empty(&all)) {
		struct list *n = all.next;

		list_del(n);
		place(w, CONTAINER_OF(n, struct wg_wheel_node, link));
	}
}

/* Goes to the next tick of interest; false when that lies behind `until`. */
static bool step(struct wg_wheel *w, uint64_t until)
{
	uint64_t next = next_tick(w);

	if (next > until) {
		w->tick = MAX(w->tick, until);
		return false;
	}
	w->tick = next;
	for (unsigned level = WG_WHEEL_LEVELS - 1; level > 0; level--) {
		uint64_t below = (1ULL << (SLOT_BITS * level)) - 1;

		if (!(next & below))
			spread(w, level, (next >> (SLOT_BITS * level)) & SLOT_MASK);
	}
	return true;
}

struct wg_wheel_node *wg_wheel_pop(struct wg_wheel *w, int64_t now)
{
	uint64_t until = tick_floor(now);

	do {
		uint64_t slot = w->tick & SLOT_MASK;
		struct list *head = &w->slot[0][slot];

		if (!list_empty(head)) {
			struct wg_wheel_node *n =
				CONTAINER_OF(head->next, struct wg_wheel_node, link);

			wg_wheel_del(w, n);
			return n;
		}
		w->filled[0] &= ~(1ULL << slot);
	} while (step(w, until));
	return NULL;
}

int64_t wg_wheel_next(const struct wg_wheel *w)
{
	uint64_t next = next_tick(w);

	if (!list_empty(&w->slot[0][w->tick & SLOT_MASK]))
		next = w->tick;
	if (next > (uint64_t)INT64_MAX >> WG_WHEEL_TICK_BITS)
		return INT64_MAX;
	return (int64_t)(next << WG_WHEEL_TICK_BITS);
}
