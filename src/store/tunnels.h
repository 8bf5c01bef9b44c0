/* tunnels.h - the gateway's further interfaces: their configurations and their peers.
 *
 * The gateway's own interface is made of settings, and its peers are clients; a further one is a row
 * here with peers of its own, whose allowed IPs may be any networks.  One network belongs to one peer
 * of an interface: the database says so.  Private and preshared keys are sealed under a label that holds
 * the names of the rows.
 *
 * Functions that write belong in a transaction of the caller's where they are part of more
 * (store_begin), and are one by themselves otherwise.
 */
#ifndef QANAT_STORE_TUNNELS_H
#define QANAT_STORE_TUNNELS_H

#include "base/ifname.h"
#include "store/store.h"

#define STORE_TUNNELS_MAX 15 /* beside the gateway's own */
#define STORE_TUNNEL_PEERS_MAX 131072 /* of one interface */
#define STORE_TUNNEL_ADDRESSES_MAX 8
#define STORE_PEER_IPS_MAX 64
#define STORE_COMMANDS_MAX 2040
#define STORE_ROUTES_MAX 15

struct store_tunnel {
	char name[IFNAME_LEN_MAX + 1];
	struct secret_key private_key; /* zero when it was not asked for */
	uint16_t port, mtu;
	struct ip_prefix addresses[STORE_TUNNEL_ADDRESSES_MAX]; /* of the interface, at least one */
	size_t address_count;
	struct ip_addr dns[2]; /* family IP_NONE: none */
	char table[STORE_ROUTES_MAX + 1];
	char post_up[STORE_COMMANDS_MAX + 1], pre_down[STORE_COMMANDS_MAX + 1];
	bool enabled; /* it is to be up */
	/* A device of this name may be there, made by us: set before it is made, cleared after it has
	 * been removed, so that whoever starts after a kill knows it for ours. */
	bool may_be_live;
};
/* Wipes it. */
void store_tunnel_done(struct store_tunnel *t);

/* Adds it, disabled, or replaces its configuration; `enabled` and `may_be_live` are not looked at.
 * ERR_FULL when there are STORE_TUNNELS_MAX others. */
MUST_CHECK enum err_code store_tunnel_put(struct store *s, const struct store_tunnel *t,
					  struct err *e);
/* ERR_NOT_FOUND. */
MUST_CHECK enum err_code store_tunnel(struct store *s, const char *name, bool secrets,
				      struct store_tunnel *out, struct err *e);
/* All of them by name, without secrets, into out[STORE_TUNNELS_MAX]. */
MUST_CHECK enum err_code store_tunnels(struct store *s, struct store_tunnel *out, size_t *n,
				       struct err *e);
/* With its peers and the history of its configurations; ERR_NOT_FOUND. */
MUST_CHECK enum err_code store_tunnel_remove(struct store *s, const char *name, struct err *e);
MUST_CHECK enum err_code store_tunnel_set_enabled(struct store *s, const char *name, bool on,
						  struct err *e);
MUST_CHECK enum err_code store_tunnel_set_may_be_live(struct store *s, const char *name, bool on,
						      struct err *e);
/* PreDown commands of whatever PostUp may have done and nobody has undone. */
MUST_CHECK enum err_code store_tunnel_hooks_live(struct store *s, const char *name, struct buf *out,
						 struct err *e);
MUST_CHECK enum err_code store_tunnel_set_hooks_live(struct store *s, const char *name,
						     struct str commands, struct err *e);

/* ---- peers ---- */

struct store_tunnel_peer {
	int64_t id;
	struct public_key key;
	struct psk psk; /* zero: none, or not asked for */
	uint16_t keepalive_s;
	struct endpoint endpoint; /* as it was configured; zero: it is not */
	struct endpoint seen; /* where it was last; zero: nowhere */
	int64_t seen_ns; /* wall clock of its last handshake; 0: never */
	const struct ip_prefix *ips; /* masked; borrowed */
	size_t ip_count;
};

/* Adds it, or makes the one with its key so.  ERR_EXISTS names the peer that has one of the networks
 * already.  p->id and where it was seen are not looked at. */
MUST_CHECK enum err_code store_tunnel_peer_put(struct store *s, const char *tunnel,
					       const struct store_tunnel_peer *p, struct err *e);
/* With its preshared key; out->ips is ips[STORE_PEER_IPS_MAX].  ERR_NOT_FOUND. */
MUST_CHECK enum err_code store_tunnel_peer(struct store *s, const char *tunnel,
					   const struct public_key *k,
					   struct store_tunnel_peer *out,
					   struct ip_prefix ips[STORE_PEER_IPS_MAX], struct err *e);
MUST_CHECK enum err_code store_tunnel_peer_known(struct store *s, const char *tunnel,
						 const struct public_key *k, bool *known,
						 struct err *e);
/* ERR_NOT_FOUND. */
MUST_CHECK enum err_code store_tunnel_peer_remove(struct store *s, const char *tunnel,
						  const struct public_key *k, struct err *e);
/* Its networks are free, so that peers can swap theirs. */
MUST_CHECK enum err_code store_tunnel_peer_free_ips(struct store *s, int64_t id, struct err *e);
MUST_CHECK enum err_code store_tunnel_peer_set_seen(struct store *s, int64_t id,
						    const struct endpoint *seen, int64_t seen_ns,
						    struct err *e);
MUST_CHECK enum err_code store_tunnel_peer_count(struct store *s, const char *tunnel, uint64_t *out,
						 struct err *e);
/* Calls fn for each in the order in which they were added (preshared keys only when `secrets`); fn
 * returns false to stop. */
MUST_CHECK enum err_code store_tunnel_peers(struct store *s, const char *tunnel, bool secrets,
					    bool (*fn)(void *ctx,
						       const struct store_tunnel_peer *p),
					    void *ctx, struct err *e);

#endif
