/* agent.h - what the agent API keeps in the store: the history of an interface's configurations, and
 * what it says of clients beyond their addresses.
 *
 * A configuration is a text with a private key in it: it is sealed like one.  What was changed is
 * kept beside it in the open, without secrets.  Functions that write belong in a transaction of the
 * caller's (store_begin), together with what they describe.
 */
#ifndef QANAT_STORE_AGENT_H
#define QANAT_STORE_AGENT_H

#include "store/store.h"

#define STORE_CONFIGS_KEPT 50 /* of one interface; older ones are forgotten */
#define STORE_CONFIG_MAX 32768 /* bytes of one configuration */
#define STORE_CHANGES_MAX 65536 /* bytes of what was changed */
#define STORE_AUTHOR_MAX 64

struct store_config {
	int64_t id; /* of the store; never given twice */
	int64_t made_ns; /* wall clock */
	const char *author; /* whose signature: the id of a key, or "gateway" */
	const char *source; /* the address it came from; "" for the gateway itself */
	const char *action; /* "update", "rollback", "found" */
	struct str config; /* empty when it was not asked for */
	struct str changes; /* JSON */
};

/* Adds it as the newest (c->id is not looked at) and forgets what is older than the last
 * STORE_CONFIGS_KEPT; *id is its number. */
MUST_CHECK enum err_code store_config_add(struct store *s, const char *ifname,
					  const struct store_config *c, int64_t *id, struct err *e);
/* Calls fn for each, newest first, without their texts; fn returns false to stop. */
MUST_CHECK enum err_code store_configs(struct store *s, const char *ifname,
				       bool (*fn)(void *ctx, const struct store_config *c),
				       void *ctx, struct err *e);
/* Calls fn with one of them, text and all; ERR_NOT_FOUND. */
MUST_CHECK enum err_code store_config(struct store *s, const char *ifname, int64_t id,
				      void (*fn)(void *ctx, const struct store_config *c),
				      void *ctx, struct err *e);

/* Seconds between the gateway's keepalives to a client, 0 for none; ERR_NOT_FOUND. */
MUST_CHECK enum err_code store_client_set_keepalive(struct store *s, int64_t id,
						    uint16_t keepalive_s, struct err *e);
/* Another preshared key (zero: none); ERR_NOT_FOUND.  `key` is the client's. */
MUST_CHECK enum err_code store_client_set_psk(struct store *s, int64_t id,
					      const struct public_key *key, const struct psk *psk,
					      struct err *e);

#endif
