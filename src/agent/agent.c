#include "agent/agent.h"

#include "base/encode.h"
#include "base/ifname.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "agent/tunnel.h"

#define WINDOW_S 300
#define BODY_MAX (64u << 10)
#define SYNC_BODY_MAX (48u << 20) /* 100,000 peers, in base64, inside JSON */

static void refuse(struct http_request *r, unsigned status, const char *detail)
{
	agent_error(r, status, "%s", detail);
}

/* ---- signatures ---- */

/* The texts of the reference where it has one. */
static void refuse_signature(struct http_request *r, enum signature_verdict v)
{
	static const char *const texts[] = {
		[SIGNATURE_MISSING] = "Missing X-Signature or X-Timestamp header",
		[SIGNATURE_BAD_TIMESTAMP] = "Invalid timestamp",
		[SIGNATURE_BAD_NONCE] = "Invalid nonce",
		[SIGNATURE_OLD] = "Request timestamp too old",
		[SIGNATURE_WRONG] = "Invalid signature",
		[SIGNATURE_REPLAYED] = "Request was sent before",
	};

	if (v == SIGNATURE_FULL) {
		http_add_header(r, "Retry-After", STR("30"));
		agent_error(r, 503, "Too many signed requests, try again later");
		return;
	}
	LOG_WARNING("agent.refused", F_STR("why", signature_verdict_text(v)),
		    F_ENDPOINT("from", &r->peer));
	agent_error(r, 401, "%s", texts[v]);
}

/* One of each header, or none at all. */
static bool headers_once(const struct http_request *r, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (http_header_count(r, names[i]) > 1)
			return false;
	}
	return true;
}

/* The panel's form, or ours when its header is there. */
static bool authorise(struct http_request *r, void *ctx)
{
	static const char *const names[] = { "x-signature", "x-timestamp", "x-qanat-signature",
					     "x-qanat-timestamp", "x-qanat-nonce" };
	struct agent *a = ctx;
	bool whole = http_header_count(r, "x-qanat-signature") > 0;
	struct signed_request s = {
		.method = str_of(http_method_name(r->method)),
		.path = whole ? r->path_raw : r->path,
		.query = r->query_raw,
		.body = r->body,
		.signature = http_header(r, whole ? "x-qanat-signature" : "x-signature"),
		.timestamp = http_header(r, whole ? "x-qanat-timestamp" : "x-timestamp"),
		.nonce = http_header(r, "x-qanat-nonce"),
	};
	bool is_read = r->method == HTTP_GET || r->method == HTTP_HEAD;
	enum signature_verdict v;

	if (!headers_once(r, names, ARRAY_LEN(names))) {
		refuse_signature(r, SIGNATURE_MISSING);
		return false;
	}
	v = signature_check(a->checker, whole ? SIGNATURE_WHOLE : SIGNATURE_AGENT, &s, is_read,
			    r->received_real_ns / NS_PER_S);
	/* Panels count on that they may ask for it as often as they like, and send the same text when they do so
	 * within a second.  Where it is so already, it makes no difference who asks. */
	if (v == SIGNATURE_REPLAYED && !whole && agent_switch_is_done(a, r))
		v = SIGNATURE_OK;
	if (v)
		refuse_signature(r, v);
	return v == SIGNATURE_OK;
}

/* Metrics are open as in the reference, unless the gateway's host says otherwise. */
static bool authorise_metrics(struct http_request *r, void *ctx)
{
	const struct agent *a = ctx;

	return !a->c.metrics_signed || authorise(r, ctx);
}

/* ---- requests ---- */

bool agent_iface_named(struct agent *a, struct str name, bool may_be_new, struct agent_iface *out)
{
	*out = agent_own(a);
	return str_eq(name, str_of(out->ifname)) || agent_tunnel(a, name, may_be_new, out);
}

static bool iface_find(struct agent *a, struct http_request *r, bool may_be_new,
		       struct agent_iface *out)
{
	struct str name = http_param(r, "iface");
	char shown[64];

	if (agent_iface_named(a, name, may_be_new, out))
		return true;
	text_escaped(shown, sizeof shown, name);
	if (ifname_ok(name))
		agent_error(r, 404, "Interface %s is not here", shown);
	else
		agent_error(r, 400, "Invalid interface name: %s", shown);
	return false;
}

bool agent_iface_find(struct agent *a, struct http_request *r, struct agent_iface *out)
{
	return iface_find(a, r, false, out);
}

bool agent_iface_find_or_begin(struct agent *a, struct http_request *r, struct agent_iface *out)
{
	return iface_find(a, r, true, out);
}

size_t agent_ifaces(struct agent *a, struct agent_iface out[AGENT_IFACES_MAX])
{
	_Static_assert(AGENT_IFACES_MAX == STORE_TUNNELS_MAX + 1, "the gateway's own beside them");
	out[0] = agent_own(a);
	return 1 + agent_tunnels(a, out + 1, AGENT_IFACES_MAX - 1);
}

/* ---- routes ---- */

static const struct http_group open_group = { .name = "agent open", .refuse = refuse };
static const struct http_group metrics_group = { .name = "agent metrics",
						 .authorise = authorise_metrics,
						 .refuse = refuse };
static const struct http_group signed_group = { .name = "agent",
						.authorise = authorise,
						.refuse = refuse };

#define OWN "/v1/wg/{iface}"
#define ROUTE(m, p, fn)                                                                 \
	{                                                                               \
		.method = (m), .pattern = (p), .handler = (fn), .group = &signed_group, \
		.body_max = BODY_MAX                                                    \
	}
/* A key as it stands may hold a '/': the rest of the path is taken. */
static const struct http_route routes[] = {
	{ .method = HTTP_GET,
	  .pattern = "/health",
	  .handler = agent_health,
	  .group = &open_group,
	  .flags = HTTP_ROUTE_EVEN_BUSY,
	  .body_max = BODY_MAX },
	{ .method = HTTP_GET,
	  .pattern = "/v1/metrics",
	  .handler = agent_metrics,
	  .group = &metrics_group,
	  .body_max = BODY_MAX },
	ROUTE(HTTP_GET, "/v1/status", agent_status),
	ROUTE(HTTP_GET, OWN "/dump", agent_dump),
	ROUTE(HTTP_POST, OWN "/peers", agent_peer_add),
	ROUTE(HTTP_PUT, OWN "/peers/{public_key*}", agent_peer_change),
	ROUTE(HTTP_DELETE, OWN "/peers/{public_key*}", agent_peer_remove),
	{ .method = HTTP_POST,
	  .pattern = OWN "/syncconf",
	  .handler = agent_syncconf,
	  .group = &signed_group,
	  .body_max = SYNC_BODY_MAX },
	ROUTE(HTTP_GET, OWN "/config", agent_config_get),
	ROUTE(HTTP_PUT, OWN "/config", agent_config_put),
	ROUTE(HTTP_POST, OWN "/enable", agent_enable),
	ROUTE(HTTP_POST, OWN "/disable", agent_disable),
	ROUTE(HTTP_GET, OWN "/history", agent_history),
	ROUTE(HTTP_GET, OWN "/history/{id}", agent_history_one),
	ROUTE(HTTP_POST, OWN "/rollback", agent_rollback),
	ROUTE(HTTP_DELETE, OWN, agent_delete),
};

struct http_service agent_service(struct agent *a)
{
	return (struct http_service){ .name = "agent",
				      .routes = routes,
				      .count = ARRAY_LEN(routes),
				      .ctx = a,
				      .unrouted = &open_group };
}

/* ---- opening ---- */

enum err_code agent_open(struct agent **out, const struct agent_config *c, struct err *e)
{
	struct str secret = c->secret;
	struct agent *a = calloc(1, sizeof *a);
	uint8_t id[SHA256_LEN];
	enum err_code rc;

	if (!a)
		return err_set(e, ERR_NOMEM, "the agent API: out of memory");
	a->c = *c;
	a->c.secret = (struct str){ 0 }; /* the checker has it */
	a->started_ns = c->core->host.wall_ns(c->core->host.ctx);
	rc = signature_checker_new(&a->checker, secret.p, secret.n, WINDOW_S, e);
	if (rc) {
		agent_close(a);
		return err_wrap(e, rc, "the agent API");
	}
	hmac_sha256(id, secret.p, secret.n, "qanat agent key id", 18);
	hex_encode(a->key_id, id, (AGENT_KEY_ID_MAX - 1) / 2);
	wipe(id, sizeof id);
	*out = a;
	return ERR_OK;
}

void agent_close(struct agent *a)
{
	if (!a)
		return;
	signature_checker_free(a->checker);
	free(a);
}
