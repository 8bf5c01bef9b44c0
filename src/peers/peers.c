#include "peers/peers.h"

#include "base/log.h"
#include "peers/inside.h"

/* ---- answers ---- */

void peers_respond(struct http_request *r, unsigned status, json_t *root)
{
	char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

	if (text)
		http_respond_json(r, status, str_of(text));
	else
		http_respond_json(r, 500, STR("{\"detail\":\"Out of memory\"}"));
	free(text);
	json_decref(root);
}

void peers_respond_detail(struct http_request *r, unsigned status, const char *text)
{
	peers_respond(r, status, json_pack("{s:s}", "detail", text));
}

static void respond_status(struct http_request *r, const char *text)
{
	peers_respond(r, 200, json_pack("{s:s}", "status", text));
}

/* 422 with the list of what is wrong, which is taken over. */
static void respond_errors(struct http_request *r, json_t *errors)
{
	peers_respond(r, 422, json_pack("{s:o}", "detail", errors));
}

/* 422 for one value that is wrong. */
static void respond_error(struct http_request *r, const char *place, const char *field,
			  struct str value, const char *msg)
{
	json_t *errors = json_array();
	json_t *input = value.p ? json_stringn(value.p, value.n) : NULL;
	bool ok = errors && peer_error_add(errors, place, field, "value_error", msg, input);

	json_decref(input);
	if (ok) {
		respond_errors(r, errors);
		return;
	}
	json_decref(errors);
	peers_respond(r, 500, NULL);
}

/* ---- who asks ---- */

/* The only header of that name: one that comes twice says nothing. */
static struct str header(const struct http_request *r, const char *name)
{
	if (http_header_count(r, name) != 1)
		return (struct str){ 0 };
	return http_header(r, name);
}

static void missing_add(json_t *errors, bool *ok, const struct http_request *r, const char *name)
{
	size_t n = http_header_count(r, name);

	if (n == 0)
		*ok = peer_error_add(errors, "header", name, "missing", "Field required", NULL) &&
		      *ok;
	else if (n > 1)
		*ok = peer_error_add(errors, "header", name, "value_error",
				     "the header is there more than once", NULL) &&
		      *ok;
}

static void respond_missing(struct http_request *r, bool whole)
{
	json_t *errors = json_array();
	bool ok = errors != NULL;

	missing_add(errors, &ok, r, whole ? "X-Qanat-Signature" : "signature");
	missing_add(errors, &ok, r, whole ? "X-Qanat-Timestamp" : "timestamp");
	if (whole)
		missing_add(errors, &ok, r, "X-Qanat-Nonce");
	if (ok) {
		respond_errors(r, errors);
		return;
	}
	json_decref(errors);
	peers_respond(r, 500, NULL);
}

static void respond_verdict(struct http_request *r, enum signature_verdict v)
{
	static const char *const texts[] = {
		[SIGNATURE_BAD_TIMESTAMP] = "Invalid timestamp",
		[SIGNATURE_BAD_NONCE] = "Invalid nonce",
		[SIGNATURE_OLD] = "Timestamp too old",
		[SIGNATURE_WRONG] = "Invalid signature",
		[SIGNATURE_REPLAYED] = "Replay detected",
	};

	if ((size_t)v < ARRAY_LEN(texts) && texts[v]) {
		peers_respond_detail(r, 401, texts[v]);
		return;
	}
	http_add_header(r, "Retry-After", STR("1"));
	peers_respond_detail(r, 503, "Too many requests to remember");
}

static void create(struct http_request *r, void *ctx);
static void put_status(struct http_request *r, void *ctx);

static bool takes_body(const struct http_request *r)
{
	return r->route->handler == create || r->route->handler == put_status;
}

static bool authorise(struct http_request *r, void *ctx)
{
	struct peers_api *a = ctx;
	bool whole = http_header_count(r, "x-qanat-signature") > 0;
	struct signed_request s = {
		.method = str_of(http_method_name(r->method)),
		.path = r->path_raw,
		.query = r->query_raw,
		.body = r->body,
		.signature = header(r, whole ? "x-qanat-signature" : "signature"),
		.timestamp = header(r, whole ? "x-qanat-timestamp" : "timestamp"),
		.nonce = header(r, "x-qanat-nonce"),
		.ignores_body = !takes_body(r),
	};
	enum signature_verdict v;

	if (!whole && a->refuse_legacy) {
		peers_respond_detail(r, 401,
				     "Requests must be signed with the X-Qanat-Signature header");
		return false;
	}
	v = signature_check(a->signatures, whole ? SIGNATURE_WHOLE : SIGNATURE_LENGTH, &s,
			    r->method == HTTP_GET || r->method == HTTP_HEAD,
			    r->received_real_ns / NS_PER_S);
	if (v == SIGNATURE_MISSING)
		respond_missing(r, whole);
	else if (v != SIGNATURE_OK)
		respond_verdict(r, v);
	return v == SIGNATURE_OK;
}

static void refuse(struct http_request *r, unsigned status, const char *detail)
{
	bool has_phrase = status == 404 || status == 405;

	peers_respond_detail(r, status, has_phrase ? http_status_phrase(status) : detail);
}

/* ---- changes ---- */

/* A request whose change is under way. */
struct pending {
	struct peer_change change;
	struct peers_api *api;
	struct http_request *r;
	bool is_sealed;
};

static struct pending *pending_new(struct http_request *r, struct peers_api *a, enum peer_wish wish,
				   void (*done)(struct peer_change *c))
{
	struct pending *p = calloc(1, sizeof *p);

	if (!p) {
		peers_respond(r, 500, NULL);
		return NULL;
	}
	p->change = (struct peer_change){ .wish = wish, .done = done };
	p->api = a;
	p->r = r;
	return p;
}

/* ---- create ---- */

static json_t *created_json(const struct peer_change *c)
{
	char ip[IP_TEXT_MAX], ip6[IP_TEXT_MAX];

	if (c->result == PEER_EXISTS)
		return json_pack("{s:s}", "status", "exists");
	ip_format(ip, &c->client.ip);
	ip_format(ip6, &c->client.ip6);
	return json_pack("{s:s,s:s?,s:s*}", "status", "created", "assigned_ip",
			 c->client.ipv6_only ? NULL : ip, "assigned_ipv6",
			 c->client.ip6.family == IP_NONE ? NULL : ip6);
}

/* The answer in the way that the request came; takes `root` over. */
static void respond_sealed(struct pending *p, json_t *root)
{
	char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	struct buf sealed = { 0 };

	if (text)
		payload_seal(&sealed, &p->api->payload_key, str_of(text));
	if (text && buf_ok(&sealed))
		peers_respond(p->r, 200, json_pack("{s:s}", "encrypted_response", sealed.p));
	else
		peers_respond(p->r, 500, NULL);
	buf_done(&sealed);
	free(text);
	json_decref(root);
}

static void create_done(struct peer_change *c)
{
	struct pending *p = CONTAINER_OF(c, struct pending, change);

	switch (c->result) {
	case PEER_DONE:
	case PEER_EXISTS:
		if (p->is_sealed)
			respond_sealed(p, created_json(c));
		else
			peers_respond(p->r, 200, created_json(c));
		break;
	case PEER_OWN_KEY:
		respond_error(p->r, "body", "public_key", (struct str){ 0 },
			      "the public key is this gateway's own");
		break;
	case PEER_NO_IPV6:
		respond_error(p->r, "body", "protocol", (struct str){ 0 },
			      "this gateway has no IPv6 network");
		break;
	case PEER_FULL:
		peers_respond_detail(p->r, 503, "No available IP addresses");
		break;
	case PEER_NOT_FOUND:
	case PEER_FAILED:
		peers_respond_detail(p->r, 500, "Failed to configure WireGuard peer");
		break;
	}
	free(p);
}

static void create(struct http_request *r, void *ctx)
{
	struct peers_api *a = ctx;
	struct peer_body body;
	struct pending *p;
	json_t *errors;

	switch (peer_body_parse(&body, r->body, &a->payload_key, &errors)) {
	case PEER_BODY_INVALID:
		respond_errors(r, errors);
		return;
	case PEER_BODY_BAD_PAYLOAD:
		peers_respond_detail(r, 400, "Invalid encrypted payload");
		return;
	case PEER_BODY_NO_MEMORY:
		peers_respond(r, 500, NULL);
		return;
	case PEER_BODY_OK:
		break;
	}
	p = pending_new(r, a, PEER_CREATE, create_done);
	if (!p)
		return;
	p->change.key = body.key;
	p->change.about = body.about;
	p->change.families = body.families;
	p->is_sealed = body.is_sealed;
	peers_batch_add(a->batch, &p->change);
}

/* ---- status and deletion ---- */

static void change_done(struct peer_change *c)
{
	static const struct {
		const char *done, *failed;
	} texts[] = {
		[PEER_CREATE] = { "created", "Failed to configure WireGuard peer" },
		[PEER_ACTIVATE] = { "updated", "Failed to activate peer" },
		[PEER_SUSPEND] = { "suspended", "Failed to suspend peer" },
		[PEER_DELETE] = { "deleted", "Failed to delete peer" },
	};
	struct pending *p = CONTAINER_OF(c, struct pending, change);

	if (c->result == PEER_DONE)
		respond_status(p->r, texts[c->wish].done);
	else if (c->result == PEER_NOT_FOUND)
		peers_respond_detail(p->r, 404, "Configuration not found");
	else
		peers_respond_detail(p->r, 500, texts[c->wish].failed);
	free(p);
}

static void change(struct http_request *r, struct peers_api *a, enum peer_wish wish)
{
	struct str text = http_param(r, "public_key");
	struct public_key key;
	struct pending *p;

	if (!peer_key_parse(text, &key)) {
		respond_error(r, "path", "public_key", text,
			      "a public key is the base64 of 32 bytes, percent-encoded or with - "
			      "and _ for + and /");
		return;
	}
	p = pending_new(r, a, wish, change_done);
	if (!p)
		return;
	p->change.key = key;
	peers_batch_add(a->batch, &p->change);
}

static void put_status(struct http_request *r, void *ctx)
{
	json_t *errors;
	bool active = false;

	switch (peer_status_parse(&active, r->body, &errors)) {
	case PEER_BODY_OK:
		change(r, ctx, active ? PEER_ACTIVATE : PEER_SUSPEND);
		return;
	case PEER_BODY_INVALID:
		respond_errors(r, errors);
		return;
	case PEER_BODY_BAD_PAYLOAD:
	case PEER_BODY_NO_MEMORY:
		break;
	}
	peers_respond(r, 500, NULL);
}

static void delete (struct http_request *r, void *ctx)
{
	change(r, ctx, PEER_DELETE);
}

/* The store is the truth: the device's peers become those that it has. */
static void sync_ips(struct http_request *r, void *ctx)
{
	const struct peers_api *a = ctx;
	struct err e;

	peers_batch_run(a->batch); /* what came before is asked first */
	if (core_restore_peers(a->core, &e)) {
		LOG_ERR("peers.sync_failed", F_ERR(&e));
		peers_respond_detail(r, 500, "Failed to synchronize peers");
		return;
	}
	respond_status(r, "synced");
}

/* ---- the service ---- */

static const struct http_group group = { "peers", authorise, refuse };

#define API "/api/v1"
static const struct http_route routes[] = {
	{ HTTP_POST, API "/configurations/", create, &group, 0, PEER_BODY_MAX },
	{ HTTP_PUT, API "/configurations/{public_key}/status", put_status, &group, 0,
	  PEER_BODY_MAX },
	{ HTTP_DELETE, API "/configurations/{public_key}", delete, &group, 0, PEER_BODY_MAX },
	{ HTTP_GET, API "/ip-usage", peers_ip_usage, &group, 0, PEER_BODY_MAX },
	{ HTTP_POST, API "/sync-ips", sync_ips, &group, 0, PEER_BODY_MAX },
	{ HTTP_GET, API "/server/status", peers_server_status, &group, 0, PEER_BODY_MAX },
	{ HTTP_GET, API "/server/metrics", peers_server_metrics, &group, 0, PEER_BODY_MAX },
};

struct http_service peers_api_service(struct peers_api *a)
{
	return (struct http_service){ .name = "peers",
				      .routes = routes,
				      .count = ARRAY_LEN(routes),
				      .ctx = a,
				      .unrouted = &group };
}

enum err_code peers_api_new(struct peers_api **out, struct core *core,
			    const struct peers_api_config *c, struct err *e)
{
	struct peers_api *a = calloc(1, sizeof *a);
	enum err_code rc;

	if (!a)
		return err_set(e, ERR_NOMEM, "out of memory for the peer API");
	a->core = core;
	a->refuse_legacy = c->refuse_legacy;
	if (c->payload_key.p)
		payload_key_set(&a->payload_key, c->payload_key);
	rc = signature_checker_new(&a->signatures, c->key.p, c->key.n, c->window_s, e);
	if (rc == ERR_OK)
		rc = peers_batch_new(&a->batch, core, e);
	if (rc) {
		peers_api_free(a);
		return rc;
	}
	*out = a;
	return ERR_OK;
}

void peers_api_free(struct peers_api *a)
{
	if (!a)
		return;
	peers_batch_free(a->batch);
	signature_checker_free(a->signatures);
	wipe(a, sizeof *a);
	free(a);
}
