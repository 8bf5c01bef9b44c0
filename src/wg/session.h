/* session.h - a pair of transport keys with what belongs to it (paper 5.4.5, 5.4.6).
 *
 * Made by control calls, used by any number of workers, retired when no peer holds it any more.
 * Fields that change while workers look on are atomic; all others are const after publication.
 */
#ifndef QANAT_WG_SESSION_H
#define QANAT_WG_SESSION_H

#include <stdatomic.h>

#include "base/retired.h"
#include "wg/replay.h"

struct wg_peer;

struct wg_session {
	/* const after publication */
	struct aead_key send_key;
	struct aead_key receive_key;
	struct wg_peer *peer;
	uint64_t id; /* unique in the device */
	int64_t created;
	uint32_t local_index;
	uint32_t remote_index;
	uint32_t key_generation; /* of the device's private key */
	bool is_initiator;

	/* Workers that send. */
	_Alignas(64) _Atomic uint64_t send_counter; /* the next to use */
	struct retired_node retired; /* nobody counts any more */

	/* Workers that receive. */
	_Alignas(64) atomic_flag replay_busy; /* guards `replay` */
	atomic_bool asked_late_rekey; /* once per session: see timers.c */
	struct wg_replay replay;
};

_Static_assert(sizeof(struct wg_session) <= 256,
	       "there are up to three for each of a million peers");

/* Zeroed but for the keys and `retired`; NULL without memory. */
MUST_CHECK struct wg_session *wg_session_new(const uint8_t send_key[KEY_LEN],
					     const uint8_t receive_key[KEY_LEN]);
/* Wipes. */
void wg_session_free(struct wg_session *s);
void wg_session_retire(struct wg_session *s, struct retired *r);

static inline bool wg_session_too_old(const struct wg_session *s, int64_t now)
{
	return now - s->created >= WG_REJECT_AFTER_TIME;
}

/* Takes `n` consecutive counters, the first into *out; false when they would reach
 * WG_REJECT_AFTER_MESSAGES. */
bool wg_session_take_counters(struct wg_session *s, uint64_t n, uint64_t *out);
/* wg_replay_accept, safe between workers. */
bool wg_session_accept(struct wg_session *s, uint64_t counter);

#endif
