/* peer_table.h - peers by public key: open addressing, keyed hash.  Control calls only. */
#ifndef QANAT_WG_PEER_TABLE_H
#define QANAT_WG_PEER_TABLE_H

#include "crypto/keys.h"

struct wg_peer;

struct wg_peer_table {
	struct siphash_key key; /* set (random) before use */
	struct wg_peer **slot;
	size_t size; /* a power of two, or 0 */
	size_t count;
};

struct wg_peer *wg_peer_table_find(const struct wg_peer_table *t, const struct public_key *k);
/* Adds a peer that is not in it; false without memory. */
MUST_CHECK bool wg_peer_table_add(struct wg_peer_table *t, struct wg_peer *p);
void wg_peer_table_del(struct wg_peer_table *t, const struct wg_peer *p);
void wg_peer_table_done(struct wg_peer_table *t);

#endif
