/* store.h - what a gateway keeps: one SQLite database, the only truth.
 *
 * WAL, foreign keys, synchronous FULL: what a function here answered with ERR_OK survives a power
 * cut.  Secrets (private keys, preshared keys) are sealed (crypto/seal.h) under `key` beside it.
 * A directory that is missing is made (0700); read-only, full or corrupt ones are clear errors
 * that name the path.  One process at a time (a lock file), for which the next waits a moment.  One
 * thread at a time.
 */
#ifndef QANAT_STORE_STORE_H
#define QANAT_STORE_STORE_H

#include "base/clock.h"
#include "model/api_peer.h"
#include "model/client.h"

#define STORE_FILE "gateway.db"
#define STORE_KEY_FILE "key"
#define STORE_VALUE_MAX 4096
#define STORE_LOCK_WAIT_NS NS_PER_S

struct store;

/* Opens (creating, migrating, checking integrity) the store in directory `dir`. */
MUST_CHECK enum err_code store_open(struct store **out, const char *dir, struct err *e);
void store_close(struct store *s);
/* Whether some process has it open, after the same wait for one that is ending as store_open's. */
bool store_is_used(const char *dir);

/* ---- settings: small named texts, such as "network", "dns.primary" ---- */
/* ERR_NOT_FOUND leaves `out` alone. */
MUST_CHECK enum err_code store_setting(struct store *s, const char *name, struct buf *out,
				       struct err *e);
MUST_CHECK enum err_code store_set_setting(struct store *s, const char *name, struct str value,
					   struct err *e);
/* The same, sealed; for the server's private key. */
MUST_CHECK enum err_code store_secret(struct store *s, const char *name, uint8_t *out, size_t n,
				      struct err *e);
MUST_CHECK enum err_code store_set_secret(struct store *s, const char *name, const uint8_t *p,
					  size_t n, struct err *e);

/* ---- transactions: a change that spans store and device ---- */
/* Between begin and commit nothing is durable; rollback (also implied by close) forgets it,
 * and takes NULL. */
MUST_CHECK enum err_code store_begin(struct store *s, struct err *e);
MUST_CHECK enum err_code store_commit(struct store *s, struct err *e);
void store_rollback(struct store *s);
/* A part of an open transaction that can be undone by itself; one at a time.  It ends with keep or
 * undo. */
MUST_CHECK enum err_code store_part_begin(struct store *s, struct err *e);
MUST_CHECK enum err_code store_part_keep(struct store *s, struct err *e);
MUST_CHECK enum err_code store_part_undo(struct store *s, struct err *e);

/* ---- clients ---- */
/* ERR_EXISTS names what is taken (name, address or key).  Sets c->id. */
MUST_CHECK enum err_code store_client_add(struct store *s, struct client *c, struct err *e);
MUST_CHECK enum err_code store_client_remove(struct store *s, int64_t id, struct err *e);
/* With secrets; ERR_NOT_FOUND. */
MUST_CHECK enum err_code store_client_by_name(struct store *s, struct str name, struct client *out,
					      struct err *e);
MUST_CHECK enum err_code store_client_by_key(struct store *s, const struct public_key *k,
					     bool secrets, struct client *out, struct err *e);
MUST_CHECK enum err_code store_client_name_known(struct store *s, struct str name, bool *known,
						 struct err *e);
MUST_CHECK enum err_code store_client_key_known(struct store *s, const struct public_key *k,
						bool *known, struct err *e);
/* Numeric lowest free host index of the IPv4 network `net` in first..last, or ERR_FULL. */
MUST_CHECK enum err_code store_free_index(struct store *s, const struct ip_prefix *net,
					  uint64_t first, uint64_t last, uint64_t *out,
					  struct err *e);

/* Whether it may use the gateway; its addresses stay its own either way.  ERR_NOT_FOUND. */
MUST_CHECK enum err_code store_client_set_enabled(struct store *s, int64_t id, bool enabled,
						  struct err *e);

/* Keeps where and when (wall clock) the client was last seen; ERR_NOT_FOUND. */
MUST_CHECK enum err_code store_client_set_endpoint(struct store *s, int64_t id,
						   const struct endpoint *seen, int64_t seen_ns,
						   struct err *e);
/* Forgets it for all of them, and for the peers of further interfaces (store/tunnels.h). */
MUST_CHECK enum err_code store_forget_endpoints(struct store *s, struct err *e);

/* New addresses for clients, in a transaction of the caller's; they may swap theirs.  ERR_EXISTS when
 * two clients would have the same one. */
struct store_address {
	int64_t id;
	struct ip_addr ip, ip6; /* ip6 family IP_NONE: none */
};
MUST_CHECK enum err_code store_clients_readdress(struct store *s, const struct store_address *a,
						 size_t n, struct err *e);

/* Keeps what the client may use, and what it has used of its quota; ERR_NOT_FOUND. */
MUST_CHECK enum err_code store_client_set_limits(struct store *s, int64_t id,
						 const struct client_limits *l, struct err *e);
MUST_CHECK enum err_code store_client_set_used(struct store *s, int64_t id, uint64_t quota_used,
					       struct err *e);

/* What a client is as a peer of the device. */
struct store_peer {
	int64_t id;
	struct public_key public_key;
	struct psk psk;
	struct ip_addr ip, ip6; /* as of a client */
	bool ipv6_only;
	uint16_t keepalive_s;
};
/* Calls fn for each client's, in no particular order, until it returns false: for who compares all of
 * them. */
MUST_CHECK enum err_code store_peers(struct store *s,
				     bool (*fn)(void *ctx, const struct store_peer *p), void *ctx,
				     struct err *e);

struct client_query {
	struct str search; /* substring of the name, ASCII case ignored; empty: all */
	bool newest_first; /* else oldest first */
	uint64_t skip, limit;
};
/* Calls fn for each match (secrets only when `secrets`); fn returns false to stop. */
MUST_CHECK enum err_code store_clients(struct store *s, const struct client_query *q, bool secrets,
				       bool (*fn)(void *ctx, const struct client *c), void *ctx,
				       struct err *e);
MUST_CHECK enum err_code store_client_count(struct store *s, struct str search, uint64_t *total,
					    uint64_t *enabled, struct err *e);
/* How many clients there are; by a small index, so that it is quick with many. */
MUST_CHECK enum err_code store_client_total(struct store *s, uint64_t *out, struct err *e);
/* Calls fn for the addresses of each client in their order (ip6 family IP_NONE: none). */
MUST_CHECK enum err_code store_client_addresses(struct store *s,
						bool (*fn)(void *ctx, const struct ip_addr *ip,
							   const struct ip_addr *ip6,
							   bool ipv6_only),
						void *ctx, struct err *e);

/* ---- what a backend said of clients that it made; it goes with the client ---- */
MUST_CHECK enum err_code store_api_peer_add(struct store *s, int64_t client,
					    const struct api_peer *p, struct err *e);
/* ERR_NOT_FOUND: the client was made otherwise. */
MUST_CHECK enum err_code store_api_peer(struct store *s, int64_t client, struct api_peer *out,
					struct err *e);

#endif
