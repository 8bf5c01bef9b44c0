#include "core/core.h"

#include "base/log.h"

/* ---- peers ---- */

struct wg_peer_change core_peer_of(const struct client *client, struct wg_allowed_ip allowed[2])
{
	struct wg_peer_change p = {
		.public_key = client->public_key,
		.replace_allowed_ips = true,
		.has_psk = true,
		.psk = client->psk,
		.allowed_ips = allowed,
		.has_endpoint = client->endpoint.addr.family != IP_NONE,
		.endpoint = client->endpoint,
		.has_keepalive = true,
		.keepalive_s = client->keepalive_s,
		.limits = core_limits_of(client, true),
	};

	if (!client->ipv6_only)
		allowed[p.allowed_ip_count++] =
			(struct wg_allowed_ip){ .prefix = { .addr = client->ip, .len = 32 } };
	if (client->ip6.family != IP_NONE)
		allowed[p.allowed_ip_count++] =
			(struct wg_allowed_ip){ .prefix = { .addr = client->ip6, .len = 128 } };
	return p;
}

struct keys {
	struct public_key *k;
	size_t n, cap;
	bool no_memory;
};

static bool key_collect(void *arg, const struct public_key *k)
{
	struct keys *keys = arg;

	if (keys->n == keys->cap) {
		size_t cap = keys->cap ? keys->cap * 2 : 64;
		struct public_key *more = reallocarray(keys->k, cap, sizeof *more);

		if (!more) {
			keys->no_memory = true;
			return false;
		}
		keys->k = more;
		keys->cap = cap;
	}
	keys->k[keys->n++] = *k;
	return true;
}

/* Peers that somebody else put into the device.  They are gathered at the front of keys->k. */
static enum err_code strangers_find(struct core *c, struct keys *keys, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t n = 0;
	bool known = true;

	for (size_t i = 0; rc == ERR_OK && i < keys->n; i++) {
		rc = store_client_key_known(c->store, &keys->k[i], &known, e);
		if (rc == ERR_OK && !known)
			keys->k[n++] = keys->k[i];
	}
	keys->n = n;
	return rc;
}

/* Peers that are set in one call: enough that neither an engine's lock nor a daemon's answer is waited
 * for often, and little enough to stand in memory. */
#define RESTORE_PEERS 128

static enum err_code strangers_remove(struct core *c, const struct keys *keys, struct err *e)
{
	struct wg_peer_change gone[64];
	enum err_code rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < keys->n;) {
		size_t n = 0;

		while (n < ARRAY_LEN(gone) && i < keys->n)
			gone[n++] = (struct wg_peer_change){ .public_key = keys->k[i++],
							     .remove = true };
		rc = c->host.change_peers(c->host.ctx, gone, n, e);
	}
	return rc;
}

static enum err_code unknown_remove(struct core *c, struct err *e)
{
	struct keys keys = { 0 };
	enum err_code rc = ERR_OK;

	c->host.walk(c->host.ctx, key_collect, &keys);
	if (keys.no_memory)
		rc = err_set(e, ERR_NOMEM, "read the peers: out of memory");
	if (rc == ERR_OK)
		rc = strangers_find(c, &keys, e);
	if (rc == ERR_OK)
		rc = strangers_remove(c, &keys, e);
	free(keys.k);
	return rc;
}

struct restore {
	struct core *core;
	enum err_code rc;
	struct err *e;
	int64_t n;
	size_t waiting; /* gathered, and not yet set */
	char first[CLIENT_NAME_MAX + 1], last[CLIENT_NAME_MAX + 1]; /* of these */
	struct wg_peer_change peers[RESTORE_PEERS];
	struct wg_allowed_ip allowed[RESTORE_PEERS][2];
};

/* What the device knows is newer than what was stored. */
static void known_keep(struct core *c, const struct client *client, struct wg_peer_change *p)
{
	struct wg_peer_info info;

	if (!c->host.peer(c->host.ctx, &client->public_key, &info))
		return;
	wipe(&info.psk, sizeof info.psk);
	if (info.endpoint.addr.family != IP_NONE)
		p->has_endpoint = false;
	if (info.limits.quota)
		p->limits = core_limits_of(client, false);
}

static void restore_flush(struct restore *r)
{
	const struct core_host *host = &r->core->host;

	if (r->waiting && r->rc == ERR_OK) {
		r->rc = host->change_peers(host->ctx, r->peers, r->waiting, r->e);
		if (r->rc)
			(void)err_wrap(r->e, r->rc, "clients %s to %s", r->first, r->last);
	}
	wipe(r->peers, r->waiting * sizeof *r->peers);
	r->waiting = 0;
}

static bool peer_restore(void *ctx, const struct client *client)
{
	struct restore *r = ctx;
	struct wg_peer_change *p = &r->peers[r->waiting];

	if (!client->enabled)
		return true;
	*p = core_peer_of(client, r->allowed[r->waiting]);
	known_keep(r->core, client, p);
	core_call(r->core, client, p);
	if (r->waiting == 0)
		memcpy(r->first, client->name, sizeof r->first);
	memcpy(r->last, client->name, sizeof r->last);
	r->n++;
	if (++r->waiting == RESTORE_PEERS)
		restore_flush(r);
	return r->rc == ERR_OK;
}

enum err_code core_restore_peers(struct core *c, struct err *e)
{
	const struct client_query all = { .limit = UINT64_MAX };
	struct restore *r = calloc(1, sizeof *r);
	enum err_code rc;

	if (!r)
		return err_set(e, ERR_NOMEM, "restore the peers: out of memory");
	r->core = c;
	r->e = e;
	rc = unknown_remove(c, e);
	if (rc == ERR_OK)
		rc = store_clients(c->store, &all, true, peer_restore, r, e);
	if (rc == ERR_OK)
		restore_flush(r);
	if (rc == ERR_OK)
		rc = r->rc;
	if (rc == ERR_OK)
		LOG_NOTE("peers.restored", F_INT("count", r->n));
	wipe(r->peers, sizeof r->peers); /* a reading that broke off has left some */
	free(r);
	return rc;
}

bool core_connected(struct core *c, const struct client *client, struct wg_peer_info *info)
{
	*info = (struct wg_peer_info){ 0 };
	if (!c->host.peer(c->host.ctx, &client->public_key, info))
		return false;
	wipe(&info->psk, sizeof info->psk);
	return info->last_handshake_wall_ns != 0 &&
	       c->host.wall_ns(c->host.ctx) - info->last_handshake_wall_ns < CORE_CONNECTED_NS;
}

void core_handshake_text(char out[GATEWAY_TEXT_MAX], struct core *c,
			 const struct wg_peer_info *info)
{
	int64_t age = c->host.wall_ns(c->host.ctx) - info->last_handshake_wall_ns;

	if (info->last_handshake_wall_ns == 0)
		(void)snprintf(out, GATEWAY_TEXT_MAX, "never");
	else
		gateway_text_age(out, age / NS_PER_S);
}

/* ---- requests ---- */

static const struct {
	const char *module, *name;
	enum api_code (*run)(struct core *c, json_t *params, json_t **data, struct err *e);
} actions[] = {
	{ "core", "add_client", core_add_client },
	{ "core", "remove_client", core_remove_client },
	{ "core", "list_clients", core_list_clients },
	{ "core", "latest_clients", core_latest_clients },
	{ "core", "export_client", core_export_client },
	{ "core", "set_client_limits", core_set_client_limits },
	{ "core", "client_limits", core_client_limits },
	{ "core", "client_why", core_client_why },
	{ "core", "server_status", core_server_status },
	{ "core", "get_tweak_settings", core_get_tweak_settings },
	{ "core", "update_tweak_setting", core_update_tweak_setting },
	{ "net", "diff", core_net_diff },
	{ "net", "repair", core_net_repair },
	{ "net", "status", core_net_status },
	{ "core", "service_logs", core_service_logs },
	{ "core", "restart_service", core_restart_service },
	{ "core", "get_firewall_status", core_get_firewall_status },
	{ "core", "get_subnet_info", core_get_subnet_info },
	{ "core", "validate_subnet_change", core_validate_subnet_change },
	{ "core", "change_subnet", core_change_subnet },
	{ "core", "show_file", core_show_file },
	{ "core", "import_installation", core_import_installation },
	{ "dns", "change_dns_servers", core_change_dns_servers },
	{ "dns", "test_dns_servers", core_test_dns_servers },
	{ "dns", "status", core_dns_status },
	{ "dns", "get_dns_servers", core_get_dns_servers },
};

enum api_code core_code_of(enum err_code rc)
{
	switch (rc) {
	case ERR_OK:
		return API_OK;
	case ERR_NOMEM:
		return API_INTERNAL_ERROR;
	case ERR_EXISTS:
		return API_CLIENT_EXISTS;
	case ERR_NOT_FOUND:
		return API_CLIENT_NOT_FOUND;
	default:
		return API_SERVICE_OPERATION_FAILED;
	}
}

static json_t *not_found(struct core *c, struct str module, struct str action)
{
	enum api_code code;
	json_t *data = NULL;
	struct err e;

	(void)api_not_found(module, action, &code, &data, &e);
	return envelope_failure(module, action, c->host.wall_ns(c->host.ctx), code, e.msg, data);
}

/* Failures of ours, not of the request, are somebody's work: they are logged. */
static bool is_our_failure(enum api_code code)
{
	return code == API_INTERNAL_ERROR || code == API_SERVICE_OPERATION_FAILED ||
	       code == API_NETWORK_ERROR || code == API_CONFIG_ERROR;
}

static json_t *failure(struct core *c, struct str module, struct str action, enum api_code code,
		       const struct err *e)
{
	const char *message = e->msg;

	if (is_our_failure(code))
		LOG_ERR("request.failed", F_VIEW("module", module), F_VIEW("action", action),
			F_STR("code", api_code_name(code)), F_ERR(e));
	if (code == API_INTERNAL_ERROR) /* details 1.1 */
		message = "An unexpected error occurred";
	return envelope_failure(module, action, c->host.wall_ns(c->host.ctx), code, message, NULL);
}

/* Takes `data` over. */
static json_t *envelope_of(struct core *c, const struct action *a, enum api_code code, json_t *data,
			   const struct err *e)
{
	struct str module = str_of(a->module), action = str_of(a->name);

	if (code == API_OK)
		return envelope_success(module, action, c->host.wall_ns(c->host.ctx), data);
	json_decref(data);
	return failure(c, module, action, code, e);
}

bool core_later(struct core *c, struct core_later *out, struct err *e)
{
	if (!c->now.reply || !c->loop) {
		(void)err_set(e, ERR_UNSUPPORTED,
			      "%s %s takes time, and nobody here can wait for its answer",
			      c->now.action->module, c->now.action->name);
		return false;
	}
	*out = c->now;
	return true;
}

void core_later_answer(const struct core_later *l, enum api_code code, json_t *data,
		       const struct err *e)
{
	l->reply->send(l->reply, envelope_of(l->core, l->action, code, data, e));
}

static enum api_code action_run(struct core *c, const struct action *a, json_t *params,
				json_t **data, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		if (strcmp(actions[i].module, a->module) == 0 &&
		    strcmp(actions[i].name, a->name) == 0)
			return actions[i].run(c, params, data, e);
	}
	(void)err_set(e, ERR_UNSUPPORTED, "%s %s is not built in", a->module, a->name);
	return API_INTERNAL_ERROR;
}

json_t *core_dispatch(struct core *c, struct str module, struct str action, json_t *params,
		      struct core_reply *reply, bool *is_later)
{
	const struct action *a = api_action_find(module, action);
	enum api_code code;
	struct err e = { 0 };
	json_t *data = NULL;

	if (is_later)
		*is_later = false;
	if (!a)
		return not_found(c, module, action);
	if (api_params_check(a, params, &code, &e))
		return failure(c, module, action, code, &e);
	c->now = (struct core_later){ c, a, is_later ? reply : NULL };
	code = action_run(c, a, params, &data, &e);
	c->now = (struct core_later){ 0 };
	if (code != CORE_LATER)
		return envelope_of(c, a, code, data, &e);
	*is_later = true;
	return NULL;
}

/* 18.2 as 18.2: fifteen digits are what a double keeps of any decimal. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(15))

/* The text ends up in a buf, byte by byte wiped there; jansson's own pieces are wiped by the
 * allocator that main gives it. */
static int dump_piece(const char *piece, size_t n, void *ctx)
{
	struct buf *out = ctx;

	buf_add(out, piece, n);
	return buf_ok(out) ? 0 : -1;
}

bool core_envelope_line(json_t *answer, struct buf *out)
{
	bool ok = answer && json_dump_callback(answer, dump_piece, out, DUMP_FLAGS) == 0;

	buf_char(out, '\n');
	json_decref(answer);
	return ok && buf_ok(out);
}

bool core_refuse_line(int64_t wall_ns, const char *why, struct buf *out)
{
	return core_envelope_line(envelope_failure(STR(""), STR(""), wall_ns, API_VALIDATION_ERROR,
						   why, NULL),
				  out);
}

void core_cancel(struct core *c)
{
	core_dns_cancel(c);
}

bool core_answer_line(struct core *c, struct str line, struct core_reply *reply, bool *is_later,
		      struct buf *out)
{
	struct control_request r = { 0 };
	struct err e = { 0 };
	json_t *envelope;

	if (is_later)
		*is_later = false;
	if (control_request_parse(&r, line, &e))
		return core_refuse_line(c->host.wall_ns(c->host.ctx), e.msg, out);
	envelope = core_dispatch(c, r.module, r.action, r.params, reply, is_later);
	control_request_done(&r);
	if (is_later && *is_later)
		return true;
	return core_envelope_line(envelope, out);
}
