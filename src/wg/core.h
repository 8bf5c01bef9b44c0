/* core.h - the device as the files of this room share it.  Inside the room only. */
#ifndef QANAT_WG_CORE_H
#define QANAT_WG_CORE_H

#include "base/lpm.h"
#include "wg/cookie.h"
#include "wg/index.h"
#include "wg/peer.h"
#include "wg/peer_table.h"
#include "wg/ratelimit.h"

/* What packet calls need to know strangers by. */
struct wg_door {
	struct retired_node retired;
	struct wg_mac1_key mac1;
};

struct wg_device {
	/* shared with workers */
	atomic_bool up;
	_Atomic uint32_t key_generation; /* grows with each private key */
	_Atomic uint32_t source_generation; /* grows when cached sources are void */
	_Atomic int64_t wall_offset; /* wall clock less monotonic, as control saw it last */
	struct wg_index index;
	struct lpm *allowed;
	struct wg_counts counts;
	_Atomic(struct wg_door *) door; /* NULL without a private key; replaced whole and retired */

	/* const after start */
	struct wg_ops ops;
	struct retired *retired;

	/* owner: control */
	bool roaming;
	bool has_key;
	struct secret_key private_key;
	struct public_key public_key;
	struct wg_cookie_checker checker;
	struct wg_ratelimit limit;
	int64_t load_until; /* mac2 is demanded until then */
	uint16_t mtu;
	size_t staged_bytes;
	unsigned next_lane;
	uint64_t last_session_id;
	struct list peers; /* in order of creation */
	struct list talkers; /* those of them that have anything to add up */
	struct wg_peer_table table;
	struct wg_wheel wheel;
};

static inline uint32_t wg_key_generation(const struct wg_device *d)
{
	return atomic_load_explicit(&d->key_generation, memory_order_relaxed);
}

/* A session that may not be used: too old, or of a private key that is gone. */
static inline bool wg_session_void(const struct wg_device *d, const struct wg_session *s,
				   int64_t now)
{
	return s->key_generation != wg_key_generation(d) || wg_session_too_old(s, now);
}

/* The wall clock, as exact as the last control call that looked: sessions need one every two
 * minutes. */
static inline int64_t wg_device_wall(const struct wg_device *d, int64_t now)
{
	return now + atomic_load_explicit(&d->wall_offset, memory_order_relaxed);
}

static inline bool wg_device_is_up(const struct wg_device *d)
{
	return atomic_load_explicit(&d->up, memory_order_relaxed);
}

#endif
