/* inside.h - what the files of this folder share about an open store; nobody else includes it.
 */
#ifndef QANAT_STORE_INSIDE_H
#define QANAT_STORE_INSIDE_H

#include "crypto/seal.h"
#include "db/db.h"
#include "store/store.h"

struct store {
	struct db *db;
	struct seal_key *key;
	int lock_fd;
	/* All IPv4 addresses from `full_from` up to, but not with, `full_to` are taken: the search
	 * for a free one skips them.  Empty when equal. */
	uint64_t full_from, full_to;
};

/* store_forget_endpoints for the peers of further interfaces. */
enum err_code tunnel_peers_forget_seen(struct store *s, struct err *e);

#endif
