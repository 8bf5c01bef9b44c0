/* GET and PUT /v1/wg/{iface}/config.
 *
 * A change: checked whole, then one transaction of the store around the change of device, host and
 * commands; read back; committed last.  Killed before the commit, the next start finds the old
 * configuration in the store, after it the new one, and brings device and host to that.  A failure
 * puts all back.  Peers are not touched: with another port they answer where they are called from,
 * with another key they have to be told.
 */
#include "base/fault.h"
#include "base/log.h"
#include "agent/iface.h"
#include "http/query.h"
#include "store/agent.h"

/* ---- the transaction ---- */

struct change {
	struct agent_iface i;
	struct agent_conf old, new;
	json_t *changes;
	const char *action, *source;
	int64_t id; /* in the history */
	bool is_new; /* there was none */
	bool is_up, device_touched, net_touched, hooks_touched;
	bool hooks_failed; /* what the panel wants to have run does not run */
};

static void change_free(struct change *x)
{
	if (!x)
		return;
	json_decref(x->changes);
	agent_conf_done(&x->old);
	agent_conf_done(&x->new);
	free(x);
}

static bool keys_differ(const struct change *x)
{
	return !ct_equal(&x->old.private_key, &x->new.private_key, KEY_LEN);
}

static bool device_differs(const struct change *x)
{
	return keys_differ(x) || x->old.port != x->new.port;
}

static bool hooks_differ(const struct change *x)
{
	return x->is_up && (strcmp(x->old.post_up, x->new.post_up) != 0 ||
			    strcmp(x->old.pre_down, x->new.pre_down) != 0);
}

static enum err_code history_add(struct change *x, const struct agent_conf *c, const char *author,
				 const char *source, const char *action, const json_t *changes,
				 struct err *e)
{
	struct core *core = x->i.a->c.core;
	json_t *j = agent_conf_json(c, true);
	char *config = j ? json_dumps(j, JSON_COMPACT) : NULL;
	char *diff = changes ? json_dumps(changes, JSON_COMPACT) : NULL;
	struct store_config row = { .made_ns = core->host.wall_ns(core->host.ctx),
				    .author = author,
				    .source = source,
				    .action = action,
				    .config = str_of(config),
				    .changes = str_of(diff ? diff : "[]") };
	enum err_code rc = config && (diff || !changes)
				   ? store_config_add(core->store, x->i.ifname, &row, &x->id, e)
				   : err_set(e, ERR_NOMEM, "the history: out of memory");

	if (config)
		wipe(config, strlen(config));
	free(config);
	free(diff);
	json_decref(j);
	return rc;
}

static bool config_exists(void *ctx, const struct store_config *c)
{
	(void)c;
	*(bool *)ctx = true;
	return false;
}

/* The first change also keeps what was before it, so that there is a way back. */
static enum err_code history_write(struct change *x, struct err *e)
{
	bool some = false;
	enum err_code rc =
		store_configs(x->i.a->c.core->store, x->i.ifname, config_exists, &some, e);

	if (rc == ERR_OK && !some && !x->is_new)
		rc = history_add(x, &x->old, "gateway", "", "found", NULL, e);
	if (rc == ERR_OK)
		rc = history_add(x, &x->new, x->i.a->key_id, x->source, x->action, x->changes, e);
	return rc;
}

/* Of both, for whoever starts after a kill between here and the end. */
static enum err_code hooks_note(struct change *x, struct err *e)
{
	char both[2 * COMMANDS_MAX + 8];
	const char *old = x->old.pre_down, *new = x->new.pre_down;

	(void)snprintf(both, sizeof both, "%s%s%s", new, *new &&*old ? "; " : "", old);
	return x->i.ops->note(&x->i, str_of(both), e);
}

static bool net_differs(const struct change *x)
{
	return x->old.mtu != x->new.mtu || !agent_addresses_same(&x->old, &x->new);
}

static enum err_code live_change(struct change *x, struct err *e)
{
	const struct agent_iface *i = &x->i;
	enum err_code rc = ERR_OK;

	if (device_differs(x)) {
		x->device_touched = true;
		rc = i->ops->set_server(i, &x->new.private_key, x->new.port, e);
	}
	if (rc == ERR_OK)
		rc = agent_step("agent.device", e);
	if (rc)
		return rc;
	i->ops->take(i, &x->new);
	if (net_differs(x)) {
		x->net_touched = true;
		rc = i->ops->apply(i, e);
	}
	if (rc == ERR_OK)
		rc = agent_step("agent.net", e);
	if (rc || !hooks_differ(x))
		return rc;
	x->hooks_touched = true;
	/* What the old commands have made, the old commands take away. */
	commands_undo(i->a->c.core, i->ifname, x->old.pre_down);
	rc = commands_run(i->a->c.core, i->ifname, x->new.post_up, false, e);
	x->hooks_failed = rc != ERR_OK;
	if (rc)
		return err_wrap(e, rc, "post_up");
	return agent_step("agent.hooks", e);
}

/* Is it so? */
static enum err_code verify(const struct change *x, struct err *e)
{
	const char *ifname = x->i.ifname;
	struct dataplane_status d = { 0 };
	struct public_key key;
	bool live = x->i.ops->status(&x->i, &d);

	public_key_of(&key, &x->new.private_key);
	if (live && device_differs(x) && d.listen_port != x->new.port)
		return err_set(e, ERR_IO, "interface %s listens at port %u instead of %u", ifname,
			       d.listen_port, x->new.port);
	if (live && device_differs(x) && !ct_equal(&key, &d.public_key, KEY_LEN))
		return err_set(e, ERR_IO, "interface %s did not take its key", ifname);
	if (d.up != x->is_up)
		return err_set(e, ERR_IO, "interface %s is %s", ifname, d.up ? "up" : "down");
	return agent_step("agent.verify", e);
}

static enum err_code change_make(struct change *x, struct err *e)
{
	const struct agent_iface *i = &x->i;
	enum err_code rc = i->ops->store(i, &x->old, &x->new, e);

	if (rc == ERR_OK)
		rc = history_write(x, e);
	if (rc == ERR_OK)
		rc = agent_step("agent.stored", e);
	if (rc == ERR_OK)
		rc = live_change(x, e);
	if (rc == ERR_OK)
		rc = verify(x, e);
	if (rc == ERR_OK && x->hooks_touched)
		rc = i->ops->note(i, str_of(x->new.pre_down), e);
	return rc ? rc : store_commit(i->a->c.core->store, e);
}

static void change_undo(struct change *x)
{
	const struct agent_iface *i = &x->i;
	struct err e;

	store_rollback(i->a->c.core->store);
	if (x->hooks_touched) {
		commands_undo(i->a->c.core, i->ifname, x->new.pre_down);
		agent_undone(commands_run(i->a->c.core, i->ifname, x->old.post_up, false, &e), &e);
		agent_undone(i->ops->note(i, str_of(x->old.pre_down), &e), &e);
	}
	i->ops->take(i, &x->old);
	if (x->device_touched)
		agent_undone(i->ops->set_server(i, &x->old.private_key, x->old.port, &e), &e);
	if (x->net_touched)
		agent_undone(i->ops->apply(i, &e), &e);
}

static enum err_code change_run(struct change *x, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (hooks_differ(x))
		rc = hooks_note(x, e);
	if (rc == ERR_OK)
		rc = store_begin(x->i.a->c.core->store, e);
	if (rc)
		return rc;
	rc = change_make(x, e);
	if (rc)
		change_undo(x);
	else
		(void)FAULT("agent.committed");
	return rc;
}

/* ---- a change that a request asks for ---- */

/* From the configuration as it is; NULL after an answer. */
static struct change *change_new(struct http_request *r, const struct agent_iface *i,
				 const char *action)
{
	struct change *x = calloc(1, sizeof *x);
	enum err_code rc;
	struct err e;

	if (!x) {
		agent_json(r, 500, NULL);
		return NULL;
	}
	x->i = *i;
	x->action = action;
	x->is_up = agent_is_up(i);
	rc = i->ops->load(i, &x->old, &e);
	x->is_new = rc == ERR_NOT_FOUND && i->ops->begin;
	if (rc && !x->is_new) {
		agent_fail(r, &e);
		change_free(x);
		return NULL;
	}
	if (x->is_new)
		i->ops->begin(i, &x->new);
	else
		x->new = x->old;
	return x;
}

static void say_changed(const struct change *x, const struct http_request *r)
{
	LOG_NOTE("agent.config_changed", F_STR("interface", x->i.ifname),
		 F_STR("action", x->action), F_INT("number", x->id),
		 F_INT("fields", json_array_size(x->changes)), F_STR("by", x->i.a->key_id),
		 F_ENDPOINT("from", &r->peer));
}

static void answer(struct http_request *r, const struct change *x, const char *message,
		   bool dry_run)
{
	bool live = device_differs(x) || hooks_differ(x) || net_differs(x);
	json_t *body = json_pack("{s:s,s:s,s:b,s:O}", "status", "success", "message", message,
				 "reloaded", x->is_up && live, "changes", x->changes);

	if (dry_run)
		(void)json_object_set_new(body, "dry_run", json_true());
	else
		(void)json_object_set_new(body, "history_id",
					  x->id ? json_integer(x->id) : json_null());
	agent_json(r, 200, body);
}

/* x->new is filled. */
static void change_serve(struct http_request *r, struct change *x, bool dry_run)
{
	char source[IP_TEXT_MAX];
	struct err e;

	ip_format(source, &r->peer.addr);
	x->source = source;
	x->changes = agent_conf_changes(&x->old, &x->new);
	if (!x->changes) {
		agent_json(r, 500, NULL);
		return;
	}
	if (agent_conf_check(&x->i, &x->old, &x->new, &e)) {
		agent_error(r, e.code == ERR_IN_USE || e.code == ERR_EXISTS ? 409 : 400,
			    "Configuration validation failed: %s", e.msg);
		return;
	}
	if (dry_run) {
		answer(r, x, "Configuration is valid, nothing was changed", true);
		return;
	}
	if (json_array_size(x->changes) && change_run(x, &e)) {
		LOG_ERR("agent.change_failed", F_ERR(&e));
		agent_error(r, x->hooks_failed ? 400 : 500, "Failed to reload interface: %s",
			    e.msg);
		return;
	}
	if (x->id)
		say_changed(x, r);
	answer(r, x, "Interface configuration updated successfully", false);
}

/* False after an answer. */
static bool dry_run_read(struct http_request *r, bool *out)
{
	AUTO(buf_done) struct buf v = { .limit = 64 };
	enum http_query_found found = http_query_get(r->query_raw, "dry_run", &v);

	*out = found == HTTP_QUERY_ONE && str_eq(buf_view(&v), STR("true"));
	if (found == HTTP_QUERY_NONE || *out ||
	    (found == HTTP_QUERY_ONE && str_eq(buf_view(&v), STR("false"))))
		return true;
	agent_error(r, 422, "dry_run: must be true or false");
	return false;
}

void agent_config_change(struct http_request *r, const struct agent_iface *i, const char *action,
			 const json_t *body, bool dry_run)
{
	struct change *x = change_new(r, i, action);

	if (x && agent_conf_read(r, i, &x->new, body))
		change_serve(r, x, dry_run);
	change_free(x);
}

void agent_config_put(struct http_request *r, void *ctx)
{
	static const char *const fields[] = { "private_key*", "listen_port", "address",
					      "post_up",      "pre_down",    "mtu",
					      "dns",	      "table",	     NULL };
	struct agent_iface i;
	bool dry_run;
	json_t *body;

	if (!agent_iface_find_or_begin(ctx, r, &i) || !dry_run_read(r, &dry_run))
		return;
	body = agent_body(r, fields);
	if (!body)
		return;
	agent_config_change(r, &i, "update", body, dry_run);
	json_decref(body);
}

void agent_config_get(struct http_request *r, void *ctx)
{
	struct buf text = { 0 };
	struct agent_conf c = { 0 };
	struct agent_iface i;
	struct err e;
	json_t *config;

	if (!agent_iface_find(ctx, r, &i))
		return;
	if (i.ops->load(&i, &c, &e) || agent_conf_text(&text, &i, &c, &e)) {
		agent_fail(r, &e);
	} else {
		config = agent_conf_json(&c, true);
		(void)json_object_set_new(config, "raw_config", json_stringn(text.p, text.n));
		agent_json(r, 200, json_pack("{s:s,s:o}", "interface", i.ifname, "config", config));
	}
	buf_done(&text);
	agent_conf_done(&c);
}
