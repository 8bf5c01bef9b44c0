#include "wg/limits.h"

#include <stdlib.h>

#include "base/clock.h"

/* The unit of arrival times: fine enough that 64 bytes at 100 Gbit/s cost within a fifth of a
 * percent of what they should, coarse enough for eighteen years of uptime. */
#define UNITS_PER_NS 16
/* A byte costs UNITS_OF_BYTE / rate units. */
#define UNITS_OF_BYTE (8ull * UNITS_PER_NS * NS_PER_S)

_Static_assert(WG_BURST_MAX <= (UINT64_MAX - 2 * WG_RATE_MAX) / UNITS_OF_BYTE,
	       "the cost of a burst, before it is divided by the rate, fits 64 bits");

/* ---- the packet path ---- */

/* The longest row of packets from the front that fits `room` bytes, and its *bytes. */
static size_t fitting(const uint32_t *len, size_t n, uint64_t room, uint64_t *bytes)
{
	size_t i;

	*bytes = 0;
	for (i = 0; i < n && len[i] <= room - *bytes; i++)
		*bytes += len[i];
	return i;
}

/* Rounded up: what passes is never more than the rate. */
static int64_t cost(uint64_t bytes, uint64_t rate_bps)
{
	return (int64_t)((bytes * UNITS_OF_BYTE + rate_bps - 1) / rate_bps);
}

/* The whole bytes that `units`, no more than a burst takes, pay for; their cost is at most `units`. */
static uint64_t affordable(int64_t units, uint64_t rate_bps)
{
	return (uint64_t)units * rate_bps / UNITS_OF_BYTE;
}

/* A bucket is full when the theoretical arrival time has passed, and empty when it lies the
 * tolerance ahead. */
static size_t take_rate(struct wg_limits *l, enum wg_direction dir, const uint32_t *len, size_t n,
			int64_t now)
{
	_Atomic int64_t *arrival = &l->meter->arrival[dir];
	int64_t was = atomic_load_explicit(arrival, memory_order_relaxed);
	int64_t present = now * UNITS_PER_NS, from, room;
	uint64_t bytes;
	size_t k;

	do {
		from = MAX(was, present);
		room = present + l->tolerance[dir] - from;
		if (room <= 0)
			return 0;
		k = fitting(len, n, affordable(room, l->law.rate_bps[dir]), &bytes);
		if (!k)
			return 0;
	} while (!atomic_compare_exchange_weak_explicit(arrival, &was,
							from + cost(bytes, l->law.rate_bps[dir]),
							memory_order_relaxed,
							memory_order_relaxed));
	return k;
}

/* Gives back what packets `from`..`to` of a row cost that was taken whole.  An arrival time that
 * falls behind the present is a full bucket, not more. */
static void return_rate(struct wg_limits *l, enum wg_direction dir, const uint32_t *len,
			size_t from, size_t to)
{
	uint64_t kept, all;

	fitting(len, from, UINT64_MAX, &kept);
	fitting(len, to, UINT64_MAX, &all);
	atomic_fetch_sub_explicit(&l->meter->arrival[dir],
				  cost(all, l->law.rate_bps[dir]) -
					  cost(kept, l->law.rate_bps[dir]),
				  memory_order_relaxed);
}

static size_t take_quota(struct wg_meter *m, const uint32_t *len, size_t n, int64_t now)
{
	int64_t left = atomic_load_explicit(&m->left, memory_order_relaxed);
	int64_t never = 0;
	uint64_t bytes;
	size_t k;

	do {
		k = fitting(len, n, (uint64_t)MAX(left, 0), &bytes);
	} while (k && !atomic_compare_exchange_weak_explicit(&m->left, &left, left - (int64_t)bytes,
							     memory_order_relaxed,
							     memory_order_relaxed));
	if (k < n && !atomic_load_explicit(&m->out_at, memory_order_relaxed))
		atomic_compare_exchange_strong(&m->out_at, &never, now);
	return k;
}

size_t wg_limits_admit(struct wg_limits *l, enum wg_direction dir, const uint32_t *len, size_t n,
		       int64_t now, int64_t wall_ns, enum wg_verdict *rest)
{
	size_t k = n, paid;

	*rest = WG_OK;
	if (l->law.expires_wall_ns && wall_ns >= l->law.expires_wall_ns) {
		*rest = DROP_ACCESS_EXPIRED;
		return 0;
	}
	if (l->law.rate_bps[dir]) {
		k = take_rate(l, dir, len, n, now);
		if (k < n)
			*rest = DROP_RATE;
	}
	if (!l->law.quota || !k)
		return k;
	/* The rate first: its bucket can be paid back without anybody having passed for it, while a
	 * byte of the quota that comes back has meanwhile refused another packet. */
	paid = k;
	k = take_quota(l->meter, len, paid, now);
	if (k < paid) {
		*rest = DROP_QUOTA;
		if (l->law.rate_bps[dir])
			return_rate(l, dir, len, k, paid);
	}
	return k;
}

/* ---- changing ---- */

static enum err_code check_rate(uint64_t bps, const char *which, struct err *e)
{
	if (bps == 0 || (bps >= WG_RATE_MIN && bps <= WG_RATE_MAX))
		return ERR_OK;
	return err_set(e, ERR_RANGE,
		       "rate %s %llu: a rate is %llu to %llu bits a second, or 0 for none", which,
		       (unsigned long long)bps, WG_RATE_MIN, WG_RATE_MAX);
}

enum err_code wg_limits_check(const struct wg_limits_change *c, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (c->set & WG_SET_RATE_UP)
		rc = check_rate(c->rate_bps[WG_UP], "up", e);
	if (!rc && c->set & WG_SET_RATE_DOWN)
		rc = check_rate(c->rate_bps[WG_DOWN], "down", e);
	if (rc)
		return rc;
	if (c->set & WG_SET_BURST && c->burst &&
	    (c->burst < WG_BURST_MIN || c->burst > WG_BURST_MAX))
		return err_set(e, ERR_RANGE,
			       "burst %llu: a burst is %u to %u bytes, or 0 for the default",
			       (unsigned long long)c->burst, WG_BURST_MIN, WG_BURST_MAX);
	if (c->set & WG_SET_QUOTA && c->quota > WG_QUOTA_MAX)
		return err_set(e, ERR_RANGE, "quota %llu: at most %llu bytes",
			       (unsigned long long)c->quota, WG_QUOTA_MAX);
	if (c->set & WG_SET_QUOTA_USED && c->quota_used > WG_QUOTA_MAX)
		return err_set(e, ERR_RANGE, "used %llu of the quota: at most %llu bytes",
			       (unsigned long long)c->quota_used, WG_QUOTA_MAX);
	if (c->set & WG_SET_EXPIRES && c->expires_wall_ns < 0)
		return err_set(e, ERR_RANGE, "the end lies before 1970");
	return ERR_OK;
}

static void law_change(struct wg_limits_info *law, const struct wg_limits_change *c)
{
	for (int dir = 0; dir < WG_DIRECTIONS; dir++)
		if (c->set & (1u << dir))
			law->rate_bps[dir] = c->rate_bps[dir];
	if (c->set & WG_SET_BURST)
		law->burst = c->burst;
	if (c->set & WG_SET_QUOTA)
		law->quota = c->quota;
	if (c->set & WG_SET_EXPIRES)
		law->expires_wall_ns = c->expires_wall_ns;
}

static bool is_empty(const struct wg_limits_info *law)
{
	return !law->rate_bps[WG_UP] && !law->rate_bps[WG_DOWN] && !law->quota &&
	       !law->expires_wall_ns && !law->burst;
}

static uint64_t burst_of(const struct wg_limits_info *law, enum wg_direction dir)
{
	uint64_t tenth = law->rate_bps[dir] / 8 / 10;

	if (law->burst)
		return law->burst;
	return MIN(MAX(tenth, (uint64_t)WG_BURST_DEFAULT_MIN), (uint64_t)WG_BURST_MAX);
}

/* What was used stays used; a bucket holds at most its new burst.  A bucket that was deeper in debt
 * than the new law allows is empty, not barred. */
static void meter_rate(struct wg_limits *l, enum wg_direction dir, int64_t now)
{
	_Atomic int64_t *arrival = &l->meter->arrival[dir];
	int64_t latest = now * UNITS_PER_NS + l->tolerance[dir];
	int64_t was = atomic_load_explicit(arrival, memory_order_relaxed);

	while (was > latest && !atomic_compare_exchange_weak(arrival, &was, latest))
		;
}

static void meter_quota(struct wg_meter *m, const struct wg_limits_info *old,
			const struct wg_limits_change *c, const struct wg_limits_info *law)
{
	if (c->set & WG_SET_QUOTA_USED)
		atomic_store(&m->left, (int64_t)law->quota - (int64_t)c->quota_used);
	else if (!old->quota)
		atomic_store(&m->left, (int64_t)law->quota);
	else if (law->quota)
		/* Workers go on taking meanwhile. */
		atomic_fetch_add(&m->left, (int64_t)law->quota - (int64_t)old->quota);
	if (c->set & (WG_SET_QUOTA | WG_SET_QUOTA_USED))
		atomic_store(&m->out_at, 0);
}

void wg_limits_free(struct wg_limits *l)
{
	if (!l)
		return;
	free(l->meter);
	free(l);
}

static void free_retired(struct retired_node *n)
{
	struct wg_limits *l = CONTAINER_OF(n, struct wg_limits, retired);

	if (!l->last)
		l->meter = NULL; /* the next law's */
	wg_limits_free(l);
}

/* The law after the change, with the old one's meter or a new one; NULL without memory. */
static struct wg_limits *law_new(const struct wg_limits_info *law, const struct wg_limits *old)
{
	struct wg_limits *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->meter = old ? old->meter : calloc(1, sizeof *l->meter);
	if (!l->meter) {
		free(l);
		return NULL;
	}
	l->law = *law;
	for (int dir = 0; dir < WG_DIRECTIONS; dir++)
		if (law->rate_bps[dir])
			l->tolerance[dir] = (int64_t)(burst_of(law, (enum wg_direction)dir) *
						      UNITS_OF_BYTE / law->rate_bps[dir]);
	return l;
}

enum err_code wg_limits_change(_Atomic(struct wg_limits *) *slot, const struct wg_limits_change *c,
			       int64_t now, struct retired *retired, struct err *e)
{
	struct wg_limits *old = atomic_load_explicit(slot, memory_order_relaxed), *l = NULL;
	struct wg_limits_info law = old ? old->law : (struct wg_limits_info){ 0 };

	law_change(&law, c);
	if (!is_empty(&law)) {
		l = law_new(&law, old);
		if (!l)
			return err_set(e, ERR_NOMEM, "no memory for the limits of a peer");
		for (int dir = 0; dir < WG_DIRECTIONS; dir++)
			if (law.rate_bps[dir])
				meter_rate(l, (enum wg_direction)dir, now);
		meter_quota(l->meter, old ? &old->law : &(struct wg_limits_info){ 0 }, c, &law);
	}
	atomic_store_explicit(slot, l, memory_order_release);
	if (old) {
		old->last = !l;
		retired_add(retired, &old->retired, free_retired);
	}
	return ERR_OK;
}

void wg_limits_info(const struct wg_limits *l, struct wg_limits_info *out)
{
	*out = l ? l->law : (struct wg_limits_info){ 0 };
	if (!out->quota)
		return;
	out->quota_used = (uint64_t)((int64_t)out->quota -
				     atomic_load_explicit(&l->meter->left, memory_order_relaxed));
	out->quota_out_at = atomic_load_explicit(&l->meter->out_at, memory_order_relaxed);
}
