/* limits.h - what a peer may use: a rate for each direction, a quota of bytes, an end in time.
 *
 * Counted are the bytes of inner IP packets that pass, headers included, padding and the outer
 * headers not; handshakes and keepalives are free.  All limits are exact to the packet, whatever
 * number of workers sends and receives for the peer at the same time:
 *
 * - rate: a token bucket, kept as one theoretical arrival time (the generic cell rate algorithm,
 *   ITU-T I.371): in any stretch of time T no more than burst + rate * T passes, since a cost is
 *   rounded up to the next sixteenth of a nanosecond and never down.
 * - quota: both directions together.  A packet passes when what is left covers it whole.
 * - end: at that moment of the wall clock nothing passes any more.
 *
 * A peer without limits has none of this but a NULL pointer.  PACKET calls: wg_limits_admit, any
 * worker, no lock.  All others are CONTROL calls (device.h).
 */
#ifndef QANAT_WG_LIMITS_H
#define QANAT_WG_LIMITS_H

#include <stdatomic.h>

#include "base/err.h"
#include "base/retired.h"
#include "wg/verdict.h"

/* As the peer sees it: up is what it sends and we receive. */
enum wg_direction { WG_UP, WG_DOWN, WG_DIRECTIONS };

#define WG_RATE_MIN 1000ull /* bits a second */
#define WG_RATE_MAX 1000000000000ull
#define WG_BURST_MIN 65536u /* bytes: any one packet fits */
#define WG_BURST_MAX (64u << 20)
/* The burst of who names none: a tenth of a second, yet at least two super-packets. */
#define WG_BURST_DEFAULT_MIN (128u << 10)
#define WG_QUOTA_MAX (1ull << 62)

/* Which fields of a change count. */
enum wg_limits_field {
	WG_SET_RATE_UP = 1 << WG_UP,
	WG_SET_RATE_DOWN = 1 << WG_DOWN,
	WG_SET_BURST = 4,
	WG_SET_QUOTA = 8, /* what was used of it stays used */
	WG_SET_QUOTA_USED = 16,
	WG_SET_EXPIRES = 32,
};

struct wg_limits_change {
	unsigned set; /* enum wg_limits_field bits */
	uint64_t rate_bps[WG_DIRECTIONS]; /* bits a second; 0: none */
	uint64_t burst; /* bytes, for each direction; 0: the default */
	uint64_t quota; /* bytes; 0: none */
	uint64_t quota_used;
	int64_t expires_wall_ns; /* 0: never */
};

struct wg_limits_info {
	uint64_t rate_bps[WG_DIRECTIONS];
	uint64_t burst; /* as it was set: 0 is the default */
	uint64_t quota, quota_used; /* used is 0 without a quota */
	int64_t quota_out_at; /* monotonic: the first packet since that no longer fitted; 0: none */
	int64_t expires_wall_ns;
};

/* What is used up.  It outlives the laws, so that a change of limits forgets nothing. */
struct wg_meter {
	_Atomic int64_t arrival[WG_DIRECTIONS]; /* theoretical, sixteenths of a nanosecond */
	_Atomic int64_t
		left; /* of the quota; below 0 when the quota was made smaller than its use */
	_Atomic int64_t out_at; /* see wg_limits_info */
};

/* The limits at one time, const once published: a batch is judged by one law from end to end. */
struct wg_limits {
	struct wg_limits_info law; /* its quota_used and quota_out_at are not kept here */
	int64_t tolerance[WG_DIRECTIONS]; /* the burst as time at the rate, in the same unit */
	struct wg_meter *meter; /* goes with the last law */
	bool last; /* owner: control; replaced by nothing */
	struct retired_node retired;
};

/* ERR_RANGE names the value that cannot be. */
MUST_CHECK enum err_code wg_limits_check(const struct wg_limits_change *c, struct err *e);
/* Replaces *slot by what it is after the change, NULL when no limit is left; the old one is
 * retired.  The change has been checked.  ERR_NOMEM changes nothing. */
MUST_CHECK enum err_code wg_limits_change(_Atomic(struct wg_limits *) *slot,
					  const struct wg_limits_change *c, int64_t now,
					  struct retired *retired, struct err *e);
/* The limits, zero when `l` is NULL. */
void wg_limits_info(const struct wg_limits *l, struct wg_limits_info *out);
/* When nobody can see them any more.  Takes NULL. */
void wg_limits_free(struct wg_limits *l);

/* How many of `n` packets of len[i] bytes, at most 64 MiB in all, pass; counted from the front, so
 * that their order stays.  They are taken off at once.  *rest is why the others do not pass. */
size_t wg_limits_admit(struct wg_limits *l, enum wg_direction dir, const uint32_t *len, size_t n,
		       int64_t now, int64_t wall_ns, enum wg_verdict *rest);

#endif
