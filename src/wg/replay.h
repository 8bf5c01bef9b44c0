/* replay.h - accepts each packet counter of a session once.
 *
 * Sliding window of RFC 6479, 8192 bits, of which 8128 are always usable (one word is the one
 * being filled).  The caller serialises (session.h).  Ask only after the packet has authenticated:
 * a forged counter must not move the window.  Zero is a new window.
 */
#ifndef QANAT_WG_REPLAY_H
#define QANAT_WG_REPLAY_H

#include "wg/messages.h"

#define WG_REPLAY_WORDS (WG_REPLAY_BITS / 64)
#define WG_REPLAY_BEHIND (WG_REPLAY_BITS - 64)

struct wg_replay {
	uint64_t next; /* one above the highest counter accepted; 0: none yet */
	uint64_t bits[WG_REPLAY_WORDS]; /* a ring: counter n is bit n%64 of word n/64 */
};

/* True the first time `counter` arrives inside the window; false if it is repeated, too old, or
 * at WG_REJECT_AFTER_MESSAGES or above. */
bool wg_replay_accept(struct wg_replay *w, uint64_t counter);

#endif
