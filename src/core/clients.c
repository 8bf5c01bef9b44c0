/* add_client, remove_client, export_client: what changes or shows one client. */
#include "base/fault.h"
#include "base/log.h"
#include "core/client_conf.h"
#include "core/core.h"

static struct str client_name(const json_t *params)
{
	const json_t *v = json_object_get(params, "client_name");

	return (struct str){ json_string_value(v), json_string_length(v) };
}

/* Anything below it failed as a test build was asked to. */
static enum err_code injected(const char *where, struct err *e)
{
	return err_set(e, ERR_IO, "failure injected at %s", where);
}

/* ---- add ---- */

static enum api_code name_free(struct core *c, struct str name, struct err *e)
{
	struct client old = { 0 };
	enum err_code rc;

	if (client_name_check(name, e))
		return API_INVALID_CLIENT_NAME;
	rc = store_client_by_name(c->store, name, &old, e);
	client_done(&old);
	if (rc == ERR_NOT_FOUND)
		return API_OK;
	if (rc)
		return core_code_of(rc);
	(void)err_set(e, ERR_EXISTS, "a client named %.*s exists already", STR_ARG(name));
	return API_CLIENT_EXISTS;
}

/* IPv4 and IPv6 at the same host number (issue 2, item 6). */
enum api_code core_choose_addresses(struct core *c, struct client *client, struct err *e)
{
	const struct settings *s = &c->settings;
	uint64_t index;
	enum err_code rc = store_free_index(c->store, &s->network, SETTINGS_FIRST_CLIENT,
					    settings_last_client(&s->network), &index, e);

	if (rc == ERR_FULL)
		return API_IP_ALLOCATION_ERROR;
	if (rc)
		return core_code_of(rc);
	if (!ip_prefix_host(&s->network, index, &client->ip) ||
	    (s->network6.addr.family != IP_NONE &&
	     !ip_prefix_host(&s->network6, index, &client->ip6))) {
		(void)err_set(e, ERR_RANGE, "the network has no host %llu",
			      (unsigned long long)index);
		return API_IP_ALLOCATION_ERROR;
	}
	return API_OK;
}

static enum err_code live_add(struct core *c, const struct client *client, struct err *e)
{
	struct wg_allowed_ip allowed[2];
	struct wg_peer_change p = core_peer_of(client, allowed);
	enum err_code rc = c->host.change_peer(c->host.ctx, &p, e);

	wipe(&p, sizeof p);
	return rc;
}

static enum err_code live_remove(struct core *c, const struct client *client, struct err *e)
{
	struct wg_peer_change p = { .public_key = client->public_key, .remove = true };

	return c->host.change_peer(c->host.ctx, &p, e);
}

static json_t *added_json(const struct client *client)
{
	char message[CLIENT_NAME_MAX + 64];

	(void)snprintf(message, sizeof message, "Client '%s' added successfully", client->name);
	return json_pack("{s:o,s:s}", "client", client_json(client, false), "message", message);
}

/* From the open transaction to its commit; *touched_live says what is to be taken back.  The answer
 * is made before the commit, since afterwards nothing may fail any more. */
static enum api_code add_steps(struct core *c, struct client *client, bool *touched_live,
			       json_t **data, struct err *e)
{
	enum api_code code = core_choose_addresses(c, client, e);
	enum err_code rc;

	if (code)
		return code;
	rc = store_client_add(c->store, client, e);
	if (rc == ERR_OK && FAULT("add.inserted"))
		rc = injected("add.inserted", e);
	if (rc)
		return core_code_of(rc);
	*data = added_json(client);
	if (!*data)
		return core_code_of(err_set(e, ERR_NOMEM, "add_client: out of memory"));
	*touched_live = true;
	rc = live_add(c, client, e);
	if (rc == ERR_OK && FAULT("add.live"))
		rc = injected("add.live", e);
	if (rc == ERR_OK)
		rc = store_commit(c->store, e);
	return core_code_of(rc);
}

static void add_undo(struct core *c, const struct client *client, bool touched_live)
{
	struct err e = { 0 };

	store_rollback(c->store);
	if (touched_live && live_remove(c, client, &e))
		LOG_ERR("client.undo_failed", F_STR("name", client->name), F_ERR(&e));
}

/* The client is there, whatever comes of this: a failure is part of the message. */
static void restart_after_add(struct core *c, json_t *data)
{
	struct err e = { 0 };
	enum err_code rc = core_restore_peers(c, &e);
	json_t *message;

	if (rc == ERR_OK)
		rc = c->host.apply(c->host.ctx, &e);
	if (rc == ERR_OK)
		return;
	LOG_ERR("service.restart_failed", F_ERR(&e));
	message = json_sprintf("%s; the restart afterwards failed: %s",
			       json_string_value(json_object_get(data, "message")), e.msg);
	(void)json_object_set_new(data, "message", message);
}

enum api_code core_add_client(struct core *c, json_t *params, json_t **data, struct err *e)
{
	struct client client = { .enabled = true, .created_ns = c->host.wall_ns(c->host.ctx) };
	struct str name = client_name(params);
	enum api_code code = name_free(c, name, e);
	bool touched_live = false;

	if (code)
		return code;
	if (!str_copy(client.name, sizeof client.name, name))
		return API_INVALID_CLIENT_NAME; /* name_free has said more */
	if (store_begin(c->store, e))
		return core_code_of(e->code);
	secret_key_generate(&client.private_key);
	public_key_of(&client.public_key, &client.private_key);
	psk_generate(&client.psk);
	code = add_steps(c, &client, &touched_live, data, e);
	if (code) {
		add_undo(c, &client, touched_live);
	} else {
		(void)FAULT("add.committed"); /* where only a crash is of interest */
		LOG_NOTE("client.added", F_STR("name", client.name), F_IP("ip", &client.ip));
		if (c->settings.restart_after_add)
			restart_after_add(c, *data);
	}
	client_done(&client);
	return code;
}

/* ---- remove ---- */

static enum api_code remove_steps(struct core *c, const struct client *client, bool *touched_live,
				  json_t **data, struct err *e)
{
	char ip[IP_TEXT_MAX];
	enum err_code rc = store_client_remove(c->store, client->id, e);

	if (rc == ERR_OK && FAULT("remove.deleted"))
		rc = injected("remove.deleted", e);
	if (rc)
		return core_code_of(rc);
	ip_format(ip, &client->ip);
	*data = json_pack("{s:b,s:s,s:s}", "removed", 1, "client_name", client->name, "client_ip",
			  ip);
	if (!*data)
		return core_code_of(err_set(e, ERR_NOMEM, "remove_client: out of memory"));
	*touched_live = true;
	rc = live_remove(c, client, e); /* from here on it is cut off */
	if (rc == ERR_OK && FAULT("remove.live"))
		rc = injected("remove.live", e);
	if (rc == ERR_OK)
		rc = store_commit(c->store, e);
	return core_code_of(rc);
}

static void remove_undo(struct core *c, const struct client *client, bool touched_live)
{
	struct err e = { 0 };

	store_rollback(c->store);
	if (touched_live && client->enabled && live_add(c, client, &e))
		LOG_ERR("client.undo_failed", F_STR("name", client->name), F_ERR(&e));
}

enum api_code core_remove_client(struct core *c, json_t *params, json_t **data, struct err *e)
{
	struct client client = { 0 };
	bool touched_live = false;
	enum api_code code;
	enum err_code rc = store_client_by_name(c->store, client_name(params), &client, e);

	if (rc)
		return core_code_of(rc);
	core_used_now(c, &client); /* should it have to come back */
	rc = store_begin(c->store, e);
	if (rc) {
		client_done(&client);
		return core_code_of(rc);
	}
	code = remove_steps(c, &client, &touched_live, data, e);
	if (code) {
		remove_undo(c, &client, touched_live);
	} else {
		(void)FAULT("remove.committed");
		LOG_NOTE("client.removed", F_STR("name", client.name), F_IP("ip", &client.ip));
	}
	client_done(&client);
	return code;
}

/* ---- export ---- */

static enum api_code export_code(enum err_code rc)
{
	return rc == ERR_MISSING ? API_CONFIG_ERROR : core_code_of(rc);
}

enum api_code core_export_client(struct core *c, json_t *params, json_t **data, struct err *e)
{
	struct buf text = { .limit = 8192 };
	struct ip_addr source = { 0 };
	struct client client = { 0 };
	struct err ignored = { 0 };
	enum err_code rc = store_client_by_name(c->store, client_name(params), &client, e);

	if (rc)
		return core_code_of(rc);
	if (c->host.default_source(c->host.ctx, &source, &ignored))
		source = (struct ip_addr){ 0 };
	if (ct_is_zero(&client.private_key, KEY_LEN)) /* of an import */
		rc = err_set(
			e, ERR_MISSING,
			"the private key of client %s was never here: only its own file has it",
			client.name);
	else
		rc = client_conf_write(&text, &client, &c->settings, &c->server_key, &source, e);
	if (rc == ERR_OK && buf_ok(&text))
		*data = json_pack("{s:o,s:s#}", "client", client_json(&client, true), "config",
				  text.p, (int)text.n);
	if (rc == ERR_OK && !*data)
		rc = err_set(e, ERR_NOMEM, "export_client: out of memory");
	client_done(&client);
	if (text.p)
		wipe(text.p, text.cap);
	buf_done(&text);
	return export_code(rc);
}
