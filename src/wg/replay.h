/* replay.h - accepts each packet counter of a session once.
 *
 * Sliding window of RFC 6479, 8192 bits, of which 8128 are always usable (one word is the one
 * being filled).  A window begins with WG_REPLAY_FEW words inside.  While every counter that
 * leaves them has been seen, they say the same as the whole; when one that is missing would leave,
 * the whole is taken.  A million sessions of few packets, or on lines without loss, thus cost 32
 * bytes each and not 1024.  When there is no memory for it, the small window serves and forgets
 * sooner: it refuses what it no longer knows, and accepts nothing twice.
 *
 * The caller serialises (session.h).  Ask only after the packet has authenticated: a forged
 * counter must not move the window.  Zero is a new window; wg_replay_done ends it.
 */
#ifndef QANAT_WG_REPLAY_H
#define QANAT_WG_REPLAY_H

#include "wg/messages.h"

#define WG_REPLAY_WORDS (WG_REPLAY_BITS / 64)
#define WG_REPLAY_BEHIND (WG_REPLAY_BITS - 64)
#define WG_REPLAY_FEW 4

struct wg_replay {
	uint64_t next; /* one above the highest counter accepted; 0: none yet */
	uint64_t *many; /* WG_REPLAY_WORDS; NULL: `few` serves */
	uint64_t few[WG_REPLAY_FEW]; /* each a ring: counter n is bit n%64 of word n/64 */
};

/* True the first time `counter` arrives inside the window; false if it is repeated, too old, or
 * at WG_REJECT_AFTER_MESSAGES or above. */
bool wg_replay_accept(struct wg_replay *w, uint64_t counter);
void wg_replay_done(struct wg_replay *w);

#endif
