/* client.h - a client of the gateway: its fields, the checks of each, its JSON.
 *
 * Fields and rules: reference 000, details 1.2.
 */
#ifndef QANAT_MODEL_CLIENT_H
#define QANAT_MODEL_CLIENT_H

#include <jansson.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/err.h"
#include "crypto/keys.h"
#include "model/limits.h"

#define CLIENT_NAME_MAX 50

struct client {
	int64_t id; /* of the store; 0: not stored */
	char name[CLIENT_NAME_MAX + 1];
	struct ip_addr ip; /* IPv4 inside the tunnel */
	struct ip_addr ip6; /* family IP_NONE: none */
	bool ipv6_only; /* the IPv4 address is kept for it, and not in use */
	struct public_key public_key;
	struct secret_key private_key; /* zero: not loaded, or with the client's owner alone */
	struct psk psk;
	uint16_t keepalive_s; /* between keepalives that the gateway sends; 0: none */
	int64_t created_ns; /* wall clock */
	struct endpoint endpoint; /* where it was last seen, outside the tunnel; zero: unknown */
	int64_t seen_ns; /* its last handshake as far as stored, wall clock; 0: unknown */
	bool enabled;
	struct client_limits limits;
};

/* ^[a-zA-Z0-9_-]{1,50}$ and not a reserved word (server, admin, root, system, ghost, multihop). */
MUST_CHECK enum err_code client_name_check(struct str name, struct err *e);
/* {name, ip, ipv6?, public_key, created, enabled}, or with `secrets`
 * {name, ip, ipv6?, created, enabled, private_key, public_key, preshared_key}.
 * New reference; NULL without memory. */
json_t *client_json(const struct client *c, bool secrets);
/* Wipes the secrets. */
void client_done(struct client *c);

#endif
