/* index.h - receiver indices: which handshake or session does a datagram mean?
 *
 * Random unique 32-bit numbers (paper 5.4.2) in an open-addressed table.  One writer (control
 * calls); wg_index_session is for any thread, without locks.  Tables that grew out are retired.
 */
#ifndef QANAT_WG_INDEX_H
#define QANAT_WG_INDEX_H

#include <stdatomic.h>

#include "base/retired.h"
#include "wg/cookie.h"

struct wg_peer;
struct wg_session;
struct wg_index_table;

struct wg_index {
	_Atomic(struct wg_index_table *) table;
	struct retired *retired;
	unsigned lanes; /* see wg_index_take; 0 or 1: none */
};

MUST_CHECK bool wg_index_init(struct wg_index *x, struct retired *retired);
void wg_index_done(struct wg_index *x); /* no reader may be left */

/* Takes a number that nobody has, for a handshake of `p`; false without memory.  With lanes its low
 * byte, the first of the four on the wire, is `lane` modulo their number: so who spreads datagrams
 * over several receivers by that byte gives each peer one of them. */
MUST_CHECK bool wg_index_take(struct wg_index *x, uint32_t *out, struct wg_peer *p, unsigned lane,
			      wg_random *random, void *ctx);
/* From now on the number means this session, for every thread. */
void wg_index_set_session(struct wg_index *x, uint32_t index, struct wg_session *s);
void wg_index_drop(struct wg_index *x, uint32_t index);

/* Any thread: the session of an index, or NULL. */
struct wg_session *wg_index_session(const struct wg_index *x, uint32_t index);
/* Control: the peer whose handshake has this index, or NULL. */
struct wg_peer *wg_index_handshake(const struct wg_index *x, uint32_t index);

#endif
