/* inside.h - what the files of the agent API share; nobody else includes it.
 */
#ifndef QANAT_AGENT_INSIDE_H
#define QANAT_AGENT_INSIDE_H

#include "api/signature.h"
#include "agent/agent.h"
#include "core/host_usage.h"
#include "http/request.h"

#define AGENT_VERSION "2.2.0" /* of the API that panels know */
#define AGENT_KEY_ID_MAX 17

struct agent {
	struct agent_config c;
	struct signature_checker *checker;
	char key_id
		[AGENT_KEY_ID_MAX]; /* names the secret in the history, and tells nothing of it */
	int64_t started_ns; /* wall clock */
	struct host_ticks ticks; /* when the host's load was last asked for */
};

/* ---- answers ---- */

/* {"error": text} */
void agent_error(struct http_request *r, unsigned status, const char *fmt, ...) PRINTF(3, 4);
/* The status that a failure means: ERR_INVALID 400, ERR_NOT_FOUND 404, ERR_EXISTS 409 … */
void agent_fail(struct http_request *r, const struct err *e);
/* Takes `body` (NULL: no memory) over. */
void agent_json(struct http_request *r, unsigned status, json_t *body);

/* ---- requests ---- */

/* The body as an object with no other fields than `fields` (ends in NULL), or NULL after an answer of
 * 422.  A field that ends in '*' is required.  New reference. */
json_t *agent_body(struct http_request *r, const char *const *fields);
/* A text without control characters; *out has p NULL when the field is missing or null.  False after
 * an answer of 422. */
bool agent_text(struct http_request *r, const json_t *body, const char *name, size_t max,
		struct str *out);
/* A whole number min..max; *found false when missing or null. */
bool agent_number(struct http_request *r, const json_t *body, const char *name, uint32_t min,
		  uint32_t max, uint32_t *out, bool *found);
/* A key in standard or URL-safe base64, with or without its '='. */
bool agent_key_parse(struct str s, struct public_key *out);

/* ---- peers ---- */

#define AGENT_PEER_IPS_MAX 64 /* of one request */

/* What a peer of an interface is to be. */
struct agent_peer {
	struct public_key key;
	struct ip_prefix *ips; /* as a request has them, room for AGENT_PEER_IPS_MAX; borrowed */
	size_t ip_count;
	struct ip_addr ip, ip6; /* of a client: IP_NONE: not given; ip6 alone: one without IPv4 */
	bool has_ips, has_psk, has_keepalive;
	bool is_new; /* it was not there before */
	struct psk psk;
	uint16_t keepalive_s;
};
/* Allowed IPs as a client has them: one address of the IPv4 network, and at most one of the IPv6
 * network.  Adds one to *p; ERR_INVALID names what it cannot be. */
MUST_CHECK enum err_code agent_peer_ip(struct agent_peer *p, const struct settings *s,
				       const struct ip_prefix *one, struct err *e);
/* Its name in the store: "peer-" and the key in URL-safe base64. */
void agent_peer_name(char out[CLIENT_NAME_MAX + 1], const struct public_key *k);
/* Inside a transaction of the store: an unknown key becomes a client, of a known one what is given
 * changes.  *client is as stored then. */
MUST_CHECK enum err_code agent_peer_store(struct agent *a, const struct agent_peer *p,
					  struct client *client, bool *is_new, struct err *e);
/* The first free host of the networks. */
MUST_CHECK enum err_code agent_peer_place(struct agent *a, struct agent_peer *p, struct err *e);

/* ---- interfaces (iface.h) ---- */

struct agent_iface;
bool agent_is_up(const struct agent_iface *i);
/* True for a request to take an interface up or down that is so already, and is to stay so. */
bool agent_switch_is_done(struct agent *a, const struct http_request *r);
/* Serves a change of the configuration to what `body` says, with an answer in any case. */
void agent_config_change(struct http_request *r, const struct agent_iface *i, const char *action,
			 const json_t *body, bool dry_run);
/* ERR_IO, when the fault point of that name fails. */
MUST_CHECK enum err_code agent_step(const char *name, struct err *e);
/* Logs what could not be taken back. */
void agent_undone(enum err_code rc, const struct err *e);

/* Whether metrics are to be JSON: who names that type, and does not like text/plain better. */
bool agent_wants_json(struct str accept);

/* ---- handlers ---- */

void agent_health(struct http_request *r, void *ctx);
void agent_status(struct http_request *r, void *ctx);
void agent_metrics(struct http_request *r, void *ctx);
void agent_dump(struct http_request *r, void *ctx);
void agent_peer_add(struct http_request *r, void *ctx);
void agent_peer_change(struct http_request *r, void *ctx);
void agent_peer_remove(struct http_request *r, void *ctx);
void agent_syncconf(struct http_request *r, void *ctx);
void agent_config_get(struct http_request *r, void *ctx);
void agent_config_put(struct http_request *r, void *ctx);
void agent_enable(struct http_request *r, void *ctx);
void agent_disable(struct http_request *r, void *ctx);
void agent_delete(struct http_request *r, void *ctx);
void agent_history(struct http_request *r, void *ctx);
void agent_history_one(struct http_request *r, void *ctx);
void agent_rollback(struct http_request *r, void *ctx);

#endif
