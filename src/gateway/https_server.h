/* https_server.h - the gateway's HTTPS listeners: one for the peer API, one for the agent API.
 *
 * Each listener has addresses, a list of source networks and limits of its own; both show one
 * certificate.  Without a certificate given, one that is self-signed is made in STATE/tls at first
 * start; callers pin its fingerprint.  An API plugs in as a struct http_service
 * (http/server.h), whose routes do their own authentication in their groups' hooks.
 *
 * Each request is one line of the log: method, route, status, never a query, a header or a body.
 * All of it belongs to the loop's thread.
 */
#ifndef QANAT_GATEWAY_HTTPS_SERVER_H
#define QANAT_GATEWAY_HTTPS_SERVER_H

#include <jansson.h>

#include "http/server.h"
#include "io/loop.h"
#include "io/tls_cert.h"

enum https_api { HTTPS_PEERS, HTTPS_AGENT, HTTPS_APIS };

#define HTTPS_PEERS_PORT 8000
#define HTTPS_AGENT_PORT 8080
#define HTTPS_ADDRESSES_MAX 8
/* In the state directory, unless others are given. */
#define HTTPS_CERT_FILE "tls/cert.pem"
#define HTTPS_KEY_FILE "tls/key.pem"
#define HTTPS_NETWORKS_MAX 64
#define HTTPS_RATE_DEFAULT 5000 /* requests a second of one source */

struct https_listener {
	struct endpoint at[HTTPS_ADDRESSES_MAX];
	size_t at_n; /* 0: this API is not served */
	struct ip_prefix allow[HTTPS_NETWORKS_MAX];
	size_t allow_n; /* 0: from everywhere */
	uint32_t rate_per_s; /* requests of one source; 0: HTTPS_RATE_DEFAULT */
	bool any_family; /* the addresses are defaults: a host without IPv6 serves IPv4 alone */
};

struct https_config {
	const char *state_dir;
	const char *cert_path, *key_path; /* both, or neither: those of the state directory */
	struct tls_cert_names names; /* of a certificate that is made */
	/* Opens the certificate, or its key, wherever it is; NULL: it is opened here. */
	enum err_code (*open_tls)(void *ctx, bool is_key, int *fd, struct err *e);
	void *ctx;
	bool allow_tls12;
	struct https_listener listeners[HTTPS_APIS];
	struct http_service services[HTTPS_APIS]; /* their tables are borrowed */
};

/* Reads "ADDRESS[:PORT],…" (IPv6 with a port in brackets) into l->at; a port that is left out is
 * `port`.  `option` is its name in messages. */
MUST_CHECK enum err_code https_addresses_parse(struct https_listener *l, const char *option,
					       struct str text, uint16_t port, struct err *e);
/* Reads "PREFIX,…" into l->allow. */
MUST_CHECK enum err_code https_networks_parse(struct https_listener *l, const char *option,
					      struct str text, struct err *e);
bool https_listener_admits(const struct https_listener *l, const struct ip_addr *from);

struct https_server;

/* Makes or loads the certificate and listens; logs each address with the certificate's fingerprint.
 * A service without a listener's address is left out. */
MUST_CHECK enum err_code https_server_open(struct https_server **out, struct loop *l,
					   const struct https_config *c, struct err *e);
/* Loads the certificate again: new connections see it, others go on.  A failure changes nothing. */
MUST_CHECK enum err_code https_server_reload(struct https_server *s, struct err *e);
/* Gives away the listening sockets, for the next program's https_server_open, so that who connects
 * meanwhile waits instead of being refused: up to `max` of them, and the API of each.  Returns how many.
 * Before https_server_close. */
size_t https_server_pass_on(struct https_server *s, int *fds, uint8_t *apis, size_t max);
/* Between the two programs: such sockets stay open through execve(2), and the next one finds them; or,
 * in a process that found them only to start another that takes them, they are closed. */
void https_listeners_keep(const int *fds, const uint8_t *apis, size_t n);
void https_listeners_inherit(void); /* by a child that is about to execute the next program */
void https_listeners_leave(void);
/* No new connections; requests under way are answered, for HTTPS_STOP_MS at most, while the loop is
 * run here; then all is closed.  Takes NULL. */
#define HTTPS_STOP_MS 2000
void https_server_close(struct https_server *s);

/* {certificate: {fingerprint, groups}, peers: {listen, allow, connections, ...} or null, agent: …}.
 * New reference; NULL without memory. */
json_t *https_server_json(const struct https_server *s);
/* Port that an API is served on, at its first address; 0: it is not. */
uint16_t https_server_port(const struct https_server *s, enum https_api api);

#endif
