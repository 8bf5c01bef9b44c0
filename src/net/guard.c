#include "net/guard.h"

void net_guard_start(struct net_guard *g, int64_t now)
{
	*g = (struct net_guard){ .look_at = now + NET_GUARD_POLL_NS };
}

void net_guard_reported(struct net_guard *g, int64_t now)
{
	int64_t at = MAX(now + NET_GUARD_SETTLE_NS, g->not_before);

	g->look_at = MIN(g->look_at, at);
}

/* FNV-1a (draft-eastlake-fnv): no stranger chooses the texts. */
static uint64_t hash_of(const char *text)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3u;
	return h;
}

/* Waiting is no calm: whoever undoes repairs may do it while we wait. */
static bool calm_since(const struct net_guard *g, int64_t at, int64_t now)
{
	return now - MAX(at, g->not_before) >= NET_GUARD_CALM_NS;
}

/* The one with this hash, else a free one, else the oldest. */
static struct net_guard_thing *thing_of(struct net_guard *g, uint64_t hash)
{
	struct net_guard_thing *oldest = &g->things[0], *t;

	for (t = g->things; t < g->things + NET_GUARD_THINGS_MAX; t++) {
		if (t->times && t->hash == hash)
			return t;
		if (oldest->times && (!t->times || t->at < oldest->at))
			oldest = t;
	}
	*oldest = (struct net_guard_thing){ .hash = hash };
	return oldest;
}

void net_guard_repaired(struct net_guard *g, int64_t now, const char *thing)
{
	struct net_guard_thing *t = thing_of(g, hash_of(thing));

	if (calm_since(g, t->at, now))
		t->times = 0;
	t->times++;
	t->at = now;
	g->worst = MAX(g->worst, t->times);
}

bool net_guard_looked(struct net_guard *g, int64_t now)
{
	unsigned worst = g->worst;
	int64_t before = g->wait_ns;

	g->worst = 0;
	g->look_at = now + NET_GUARD_POLL_NS;
	if (worst < NET_GUARD_REPAIRS) {
		if (calm_since(g, g->not_before, now))
			g->wait_ns = 0;
		return false;
	}
	g->wait_ns =
		MIN(NET_GUARD_WAIT_NS << MIN(worst - NET_GUARD_REPAIRS, 8u), NET_GUARD_WAIT_MAX_NS);
	g->not_before = now + g->wait_ns;
	g->look_at = MAX(g->look_at, g->not_before);
	return g->wait_ns != before;
}
