#include "wg/ratelimit.h"

/* A source is looked for in one set of eight.  A full set forgets the one that was silent longest:
 * who holds eight colliding /64 nets has as many fresh ones anyway, and refusing newcomers
 * instead would let him lock others out. */
#define SETS 1024
#define WAYS 8

#define COST (NS_PER_S / WG_LIMIT_PER_SECOND)
#define BUDGET_MAX (COST * WG_LIMIT_BURST)
#define FORGET_AFTER (1 * NS_PER_S) /* by then the budget is full again */

_Static_assert(FORGET_AFTER >= BUDGET_MAX, "an entry is only forgotten with a full budget");

struct wg_ratelimit_entry {
	uint64_t net; /* the first 64 bits of an IPv6 address, or the IPv4 address */
	int64_t seen;
	uint32_t budget; /* ns */
	uint8_t family; /* IP_NONE: free */
};

_Static_assert(BUDGET_MAX <= UINT32_MAX, "a budget fits its field");

void wg_ratelimit_done(struct wg_ratelimit *l)
{
	free(l->entries);
	l->entries = NULL;
}

static uint64_t net_of(const struct ip_addr *a)
{
	return a->family == IP_V6 ? load_be64(a->b) : load_be32(a->b);
}

/* The source's entry, or the one that makes room for it: a free one, else the oldest. */
static struct wg_ratelimit_entry *find(struct wg_ratelimit *l, uint64_t net, uint8_t family,
				       int64_t now)
{
	uint8_t id[9];
	struct wg_ratelimit_entry *set, *victim;

	store_be64(id, net);
	id[8] = family;
	set = &l->entries[siphash(&l->key, id, sizeof id) % SETS * WAYS];
	victim = &set[0];
	for (size_t i = 0; i < WAYS; i++) {
		struct wg_ratelimit_entry *e = &set[i];

		if (e->family == family && e->net == net)
			return e;
		if (victim->family != IP_NONE && (e->family == IP_NONE || e->seen < victim->seen))
			victim = e;
	}
	*victim = (struct wg_ratelimit_entry){
		.net = net, .family = family, .seen = now, .budget = BUDGET_MAX
	};
	return victim;
}

bool wg_ratelimit_allow(struct wg_ratelimit *l, const struct ip_addr *source, int64_t now)
{
	struct wg_ratelimit_entry *e;
	int64_t budget;

	if (!l->entries) {
		l->entries = calloc(SETS * WAYS, sizeof *l->entries);
		if (!l->entries)
			return false;
	}
	e = find(l, net_of(source), source->family, now);
	budget = e->budget;
	if (now > e->seen) {
		budget = now - e->seen >= BUDGET_MAX ? BUDGET_MAX : budget + (now - e->seen);
		e->seen = now;
	}
	budget = MIN(budget, BUDGET_MAX);
	if (budget < COST) {
		e->budget = (uint32_t)budget;
		return false;
	}
	e->budget = (uint32_t)(budget - COST);
	return true;
}
