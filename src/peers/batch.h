/* batch.h - changes of clients that backends ask for: many in one transaction.
 *
 * What is asked for in one turn of the loop is written in one transaction, made live in one call of
 * the device, made durable by one commit (one fsync), and only then answered.  Each change is a part
 * of the transaction of its own: one that fails takes no other along.  When the device refuses, all
 * is taken back and tried again one by one; when the commit fails, all is taken back and each has
 * failed.
 *
 * The loop's thread, as all of core.
 */
#ifndef QANAT_PEERS_BATCH_H
#define QANAT_PEERS_BATCH_H

#include "core/core.h"

enum peer_wish { PEER_CREATE, PEER_ACTIVATE, PEER_SUSPEND, PEER_DELETE };

enum peer_result {
	PEER_DONE,
	PEER_EXISTS, /* of a creation: the key has a client, which stays as it is */
	PEER_NOT_FOUND,
	PEER_OWN_KEY, /* of a creation: the key is this gateway's own, which can be no client's */
	PEER_NO_IPV6, /* of a creation: this gateway has no IPv6 in the tunnel */
	PEER_FULL, /* of a creation: no address is left */
	PEER_FAILED, /* `why` */
};

/* One change; embedded in its owner. */
struct peer_change {
	struct list node; /* private until done */
	enum peer_wish wish;
	struct public_key key;
	struct api_peer about; /* of a creation, with the families of its addresses */
	unsigned families;
	/* Called once, in the loop; the change is the owner's again. */
	void (*done)(struct peer_change *c);

	enum peer_result result;
	struct err why;
	struct client client; /* as it is now (DONE), without secrets that matter: they are wiped */
	struct client before; /* private: as it was; id 0: it was not there */
	bool is_live; /* private: the device is to be changed */
};

struct peers_batch;

MUST_CHECK enum err_code peers_batch_new(struct peers_batch **out, struct core *c, struct err *e);
/* Carries out what is queued, then frees.  Takes NULL. */
void peers_batch_free(struct peers_batch *b);
/* Queues a change for the end of this turn. */
void peers_batch_add(struct peers_batch *b, struct peer_change *c);
/* Carries out what is queued now, and answers it. */
void peers_batch_run(struct peers_batch *b);

#endif
