/* GET and PUT /v1/wg/{iface}/config, enable, disable, and what was before.
 *
 * A change: checked whole, then one transaction of the store around the change of device, host and
 * commands; read back; committed last.  Killed before the commit, the next start finds the old
 * configuration in the store, after it the new one, and brings device and host to that.  A failure
 * puts all back.  Peers are not touched: with another port they answer where they are called from,
 * with another key they have to be told.
 */
#include <inttypes.h>

#include "base/fault.h"
#include "base/log.h"
#include "gateway/agent_conf.h"
#include "http/query.h"
#include "store/agent.h"

static enum err_code step(const char *name, struct err *e)
{
	(void)name;
	if (FAULT(name))
		return err_set(e, ERR_IO, "failure injected at %s", name);
	return ERR_OK;
}

/* ---- commands ---- */

static enum err_code commands_run(struct core *c, const char *ifname, const char *text,
				  bool goes_on, struct err *e)
{
	return *text ? c->host.hooks(c->host.ctx, ifname, text, goes_on, e) : ERR_OK;
}

/* What is taken back may be gone already: that is no failure. */
static void commands_undo(struct core *c, const char *ifname, const char *text)
{
	struct err e;

	if (commands_run(c, ifname, text, true, &e))
		LOG_NOTE("agent.pre_down", F_STR("interface", ifname), F_ERR(&e));
}

enum err_code agent_is_disabled(struct store *s, bool *out, struct err *e)
{
	char text[8];
	enum err_code rc = agent_setting(s, AGENT_DISABLED, text, sizeof text, e);

	*out = rc == ERR_OK && strcmp(text, "true") == 0;
	return rc;
}

enum err_code agent_hooks(struct core *c, const char *ifname, bool up, struct err *e)
{
	struct store *s = c->store;
	char live[STORE_VALUE_MAX + 1], post_up[AGENT_HOOKS_MAX + 1], pre_down[AGENT_HOOKS_MAX + 1];
	enum err_code rc = agent_setting(s, AGENT_HOOKS_LIVE, live, sizeof live, e);

	if (rc == ERR_OK)
		rc = agent_setting(s, AGENT_POST_UP, post_up, sizeof post_up, e);
	if (rc == ERR_OK)
		rc = agent_setting(s, AGENT_PRE_DOWN, pre_down, sizeof pre_down, e);
	if (rc)
		return rc;
	commands_undo(c, ifname, live);
	if (!up)
		return *live ? store_set_setting(s, AGENT_HOOKS_LIVE, STR(""), e) : ERR_OK;
	/* Before anything is run: who is killed then leaves a note of what to take back. */
	if (strcmp(live, pre_down) != 0)
		rc = store_set_setting(s, AGENT_HOOKS_LIVE, str_of(pre_down), e);
	return rc ? rc : commands_run(c, ifname, post_up, false, e);
}

/* ---- the transaction ---- */

struct change {
	struct agent *a;
	struct agent_conf old, new;
	json_t *changes;
	const char *action, *source;
	int64_t id; /* in the history */
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
	return keys_differ(x) || x->old.settings.port != x->new.settings.port;
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
	struct core *core = x->a->c.core;
	json_t *j = agent_conf_json(c, true);
	char *config = j ? json_dumps(j, JSON_COMPACT) : NULL;
	char *diff = changes ? json_dumps(changes, JSON_COMPACT) : NULL;
	struct store_config row = { .made_ns = core->host.wall_ns(core->host.ctx),
				    .author = author,
				    .source = source,
				    .action = action,
				    .config = str_of(config),
				    .changes = str_of(diff ? diff : "[]") };
	enum err_code rc =
		config && (diff || !changes)
			? store_config_add(core->store, core->settings.ifname, &row, &x->id, e)
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
	struct core *core = x->a->c.core;
	bool some = false;
	enum err_code rc =
		store_configs(core->store, core->settings.ifname, config_exists, &some, e);

	if (rc == ERR_OK && !some)
		rc = history_add(x, &x->old, "gateway", "", "found", NULL, e);
	if (rc == ERR_OK)
		rc = history_add(x, &x->new, x->a->key_id, x->source, x->action, x->changes, e);
	return rc;
}

/* Of both, for whoever starts after a kill between here and the end. */
static enum err_code hooks_note(struct change *x, struct err *e)
{
	char both[2 * AGENT_HOOKS_MAX + 8];
	const char *old = x->old.pre_down, *new = x->new.pre_down;

	(void)snprintf(both, sizeof both, "%s%s%s", new, *new &&*old ? "; " : "", old);
	return store_set_setting(x->a->c.core->store, AGENT_HOOKS_LIVE, str_of(both), e);
}

static enum err_code device_set_server(const struct change *x, const struct agent_conf *c,
				       struct err *e)
{
	const struct core *core = x->a->c.core;

	return core->host.set_server(core->host.ctx, &c->private_key, c->settings.port, e);
}

/* What clients are told and what others read is that of the device. */
static void core_take(const struct change *x, const struct agent_conf *c)
{
	struct core *core = x->a->c.core;

	core->settings = c->settings;
	public_key_of(&core->server_key, &c->private_key);
}

static enum err_code live_change(struct change *x, struct err *e)
{
	struct core *core = x->a->c.core;
	enum err_code rc = ERR_OK;

	if (device_differs(x)) {
		x->device_touched = true;
		rc = device_set_server(x, &x->new, e);
	}
	if (rc == ERR_OK)
		rc = step("agent.device", e);
	if (rc)
		return rc;
	core_take(x, &x->new);
	if (x->old.settings.mtu != x->new.settings.mtu) {
		x->net_touched = true;
		rc = core->host.apply(core->host.ctx, e);
	}
	if (rc == ERR_OK)
		rc = step("agent.net", e);
	if (rc || !hooks_differ(x))
		return rc;
	x->hooks_touched = true;
	/* What the old commands have made, the old commands take away. */
	commands_undo(core, core->settings.ifname, x->old.pre_down);
	rc = commands_run(core, core->settings.ifname, x->new.post_up, false, e);
	x->hooks_failed = rc != ERR_OK;
	if (rc)
		return err_wrap(e, rc, "post_up");
	return step("agent.hooks", e);
}

/* Is it so? */
static enum err_code verify(const struct change *x, struct err *e)
{
	const struct core *core = x->a->c.core;
	struct dataplane_status d;
	struct public_key key;

	core->host.status(core->host.ctx, &d);
	public_key_of(&key, &x->new.private_key);
	if (device_differs(x) && d.listen_port != x->new.settings.port)
		return err_set(e, ERR_IO, "interface %s listens at port %u instead of %u",
			       core->settings.ifname, d.listen_port, x->new.settings.port);
	if (device_differs(x) && !ct_equal(&key, &d.public_key, KEY_LEN))
		return err_set(e, ERR_IO, "interface %s did not take its key",
			       core->settings.ifname);
	if (d.up != x->is_up)
		return err_set(e, ERR_IO, "interface %s is %s", core->settings.ifname,
			       d.up ? "up" : "down");
	return step("agent.verify", e);
}

static enum err_code change_make(struct change *x, struct err *e)
{
	struct store *s = x->a->c.core->store;
	enum err_code rc = agent_conf_store(x->a, &x->old, &x->new, e);

	if (rc == ERR_OK)
		rc = history_write(x, e);
	if (rc == ERR_OK)
		rc = step("agent.stored", e);
	if (rc == ERR_OK)
		rc = live_change(x, e);
	if (rc == ERR_OK)
		rc = verify(x, e);
	if (rc == ERR_OK && x->hooks_touched)
		rc = store_set_setting(s, AGENT_HOOKS_LIVE, str_of(x->new.pre_down), e);
	return rc ? rc : store_commit(s, e);
}

static void undo_failed(enum err_code rc, const struct err *e)
{
	if (rc)
		LOG_ERR("agent.undo_failed", F_ERR(e));
}

static void change_undo(struct change *x)
{
	struct core *core = x->a->c.core;
	const char *ifname = core->settings.ifname;
	struct err e;

	store_rollback(core->store);
	if (x->hooks_touched) {
		commands_undo(core, ifname, x->new.pre_down);
		undo_failed(commands_run(core, ifname, x->old.post_up, false, &e), &e);
		undo_failed(store_set_setting(core->store, AGENT_HOOKS_LIVE,
					      str_of(x->old.pre_down), &e),
			    &e);
	}
	core_take(x, &x->old);
	if (x->device_touched)
		undo_failed(device_set_server(x, &x->old, &e), &e);
	if (x->net_touched)
		undo_failed(core->host.apply(core->host.ctx, &e), &e);
}

static enum err_code change_run(struct change *x, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (hooks_differ(x))
		rc = hooks_note(x, e);
	if (rc == ERR_OK)
		rc = store_begin(x->a->c.core->store, e);
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

static bool is_up(const struct agent *a)
{
	struct dataplane_status d;

	a->c.core->host.status(a->c.core->host.ctx, &d);
	return d.up;
}

/* From the configuration as it is; NULL after an answer. */
static struct change *change_new(struct http_request *r, struct agent *a, const char *action)
{
	struct change *x = calloc(1, sizeof *x);
	struct err e;

	if (!x) {
		agent_json(r, 500, NULL);
		return NULL;
	}
	x->a = a;
	x->action = action;
	x->is_up = is_up(a);
	if (agent_conf_load(&x->old, a, &e)) {
		agent_fail(r, &e);
		change_free(x);
		return NULL;
	}
	x->new = x->old;
	return x;
}

static void say_changed(const struct change *x, const struct http_request *r)
{
	LOG_NOTE("agent.config_changed", F_STR("action", x->action), F_INT("number", x->id),
		 F_INT("fields", json_array_size(x->changes)), F_STR("by", x->a->key_id),
		 F_ENDPOINT("from", &r->peer));
}

static void answer(struct http_request *r, const struct change *x, const char *message,
		   bool dry_run)
{
	bool live =
		device_differs(x) || hooks_differ(x) || x->old.settings.mtu != x->new.settings.mtu;
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
	if (agent_conf_check(x->a, &x->old, &x->new, &e)) {
		agent_error(r, e.code == ERR_IN_USE ? 409 : 400,
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

void agent_config_put(struct http_request *r, void *ctx)
{
	static const char *const fields[] = { "private_key*", "listen_port", "address",
					      "post_up",      "pre_down",    "mtu",
					      "dns",	      "table",	     NULL };
	struct agent *a = ctx;
	struct change *x;
	bool dry_run;
	json_t *body;

	if (!agent_own(a, r) || !dry_run_read(r, &dry_run))
		return;
	body = agent_body(r, fields);
	if (!body)
		return;
	x = change_new(r, a, "update");
	if (x && agent_conf_read(r, &x->new, body))
		change_serve(r, x, dry_run);
	change_free(x);
	json_decref(body);
}

void agent_config_get(struct http_request *r, void *ctx)
{
	struct agent *a = ctx;
	struct buf text = { 0 };
	struct agent_conf c;
	struct err e;
	json_t *config;

	if (!agent_own(a, r))
		return;
	if (agent_conf_load(&c, a, &e) || agent_conf_text(&text, a, &c, &e)) {
		agent_fail(r, &e);
	} else {
		config = agent_conf_json(&c, true);
		(void)json_object_set_new(config, "raw_config", json_stringn(text.p, text.n));
		agent_json(r, 200,
			   json_pack("{s:s,s:o}", "interface", c.settings.ifname, "config",
				     config));
	}
	buf_done(&text);
	agent_conf_done(&c);
}

/* ---- what was before ---- */

static json_t *row_json(const struct store_config *c)
{
	json_t *changes = json_loadb(c->changes.p, c->changes.n, 0, NULL);
	char when[CLOCK_ISO_MAX];

	clock_iso_utc(when, c->made_ns);
	return json_pack("{s:I,s:s,s:s,s:s,s:s,s:o}", "id", (json_int_t)c->id, "time", when,
			 "author", c->author, "source", c->source, "action", c->action, "changes",
			 changes ? changes : json_array());
}

static bool row_add(void *ctx, const struct store_config *c)
{
	return json_array_append_new(ctx, row_json(c)) == 0;
}

void agent_history(struct http_request *r, void *ctx)
{
	struct agent *a = ctx;
	const char *ifname = a->c.core->settings.ifname;
	json_t *list;
	struct err e;

	if (!agent_own(a, r))
		return;
	list = json_array();
	if (store_configs(a->c.core->store, ifname, row_add, list, &e)) {
		json_decref(list);
		agent_fail(r, &e);
		return;
	}
	agent_json(r, 200, json_pack("{s:s,s:o}", "interface", ifname, "history", list));
}

struct found {
	json_t *row, *config; /* config: with its secret */
};

static void row_take(void *ctx, const struct store_config *c)
{
	struct found *f = ctx;

	f->row = row_json(c);
	f->config = json_loadb(c->config.p, c->config.n, 0, NULL);
}

/* False after an answer. */
static bool found_read(struct http_request *r, struct agent *a, int64_t id, struct found *f)
{
	struct err e;

	*f = (struct found){ 0 };
	if (store_config(a->c.core->store, a->c.core->settings.ifname, id, row_take, f, &e)) {
		agent_fail(r, &e);
		return false;
	}
	if (f->row && f->config)
		return true;
	json_decref(f->row);
	json_decref(f->config);
	agent_json(r, 500, NULL);
	return false;
}

void agent_history_one(struct http_request *r, void *ctx)
{
	struct agent *a = ctx;
	struct found f;
	uint64_t id;

	if (!agent_own(a, r))
		return;
	if (!u64_parse(http_param(r, "id"), 1, INT64_MAX, &id)) {
		agent_error(r, 422, "id: must be a number");
		return;
	}
	if (!found_read(r, a, (int64_t)id, &f))
		return;
	(void)json_object_set_new(f.config, "private_key", json_string("(hidden)"));
	(void)json_object_set_new(f.row, "config", f.config);
	(void)json_object_set_new(f.row, "interface", json_string(a->c.core->settings.ifname));
	agent_json(r, 200, f.row);
}

/* What a row does not say was not set then. */
static void nulls_empty(json_t *config)
{
	static const char *const fields[] = { "post_up", "pre_down", "dns", "table" };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (json_is_null(json_object_get(config, fields[i])))
			(void)json_object_set_new(config, fields[i], json_string(""));
	}
}

void agent_rollback(struct http_request *r, void *ctx)
{
	static const char *const fields[] = { "id*", NULL };
	struct agent *a = ctx;
	const json_t *v;
	struct change *x;
	struct found f;
	json_t *body;

	if (!agent_own(a, r))
		return;
	body = agent_body(r, fields);
	if (!body)
		return;
	v = json_object_get(body, "id");
	if (!json_is_integer(v) || json_integer_value(v) < 1) {
		agent_error(r, 422, "id: must be a number of the history");
	} else if (found_read(r, a, json_integer_value(v), &f)) {
		nulls_empty(f.config);
		x = change_new(r, a, "rollback");
		if (x && agent_conf_read(r, &x->new, f.config))
			change_serve(r, x, false);
		change_free(x);
		json_decref(f.row);
		json_decref(f.config);
	}
	json_decref(body);
}

/* ---- up and down ---- */

static enum err_code switch_make(struct agent *a, bool up, struct err *e)
{
	struct core *core = a->c.core;
	enum err_code rc = store_begin(core->store, e);

	if (rc)
		return rc;
	core->is_disabled = !up;
	rc = store_set_setting(core->store, AGENT_DISABLED, up ? STR("false") : STR("true"), e);
	if (rc == ERR_OK)
		rc = step("agent.stored", e);
	if (rc == ERR_OK)
		rc = core->host.apply(core->host.ctx, e);
	if (rc == ERR_OK)
		rc = step("agent.net", e);
	if (rc == ERR_OK)
		rc = store_commit(core->store, e);
	return rc;
}

static void switch_undo(struct agent *a, bool up)
{
	struct core *core = a->c.core;
	struct err e;

	store_rollback(core->store);
	core->is_disabled = up;
	undo_failed(core->host.apply(core->host.ctx, &e), &e);
}

/* Down: the commands first, while the interface is up; up: the interface first. */
static enum err_code switch_run(struct agent *a, bool up, bool *hooks_failed, struct err *e)
{
	struct core *core = a->c.core;
	const char *ifname = core->settings.ifname;
	enum err_code rc = up ? ERR_OK : agent_hooks(core, ifname, false, e);
	struct err ignored;

	if (rc == ERR_OK)
		rc = switch_make(a, up, e);
	if (rc) {
		switch_undo(a, up);
		if (!up)
			undo_failed(agent_hooks(core, ifname, true, &ignored), &ignored);
		return rc;
	}
	if (!up)
		return ERR_OK;
	rc = agent_hooks(core, ifname, true, e);
	if (rc == ERR_OK)
		return ERR_OK;
	*hooks_failed = true;
	undo_failed(agent_hooks(core, ifname, false, &ignored), &ignored);
	undo_failed(switch_make(a, false, &ignored), &ignored);
	return err_wrap(e, rc, "post_up");
}

static void switch_serve(struct http_request *r, struct agent *a, bool up)
{
	bool was_up, differs, hooks_failed = false;
	struct err e;

	if (!agent_own(a, r))
		return;
	was_up = is_up(a);
	differs = was_up != up || a->c.core->is_disabled == up;
	if (differs && switch_run(a, up, &hooks_failed, &e)) {
		LOG_ERR("agent.switch_failed", F_ERR(&e));
		agent_error(r, hooks_failed ? 409 : 500, "Failed to %s interface: %s",
			    up ? "enable" : "disable", e.msg);
		return;
	}
	if (differs)
		LOG_NOTE("agent.switched", F_STR("interface", up ? "up" : "down"),
			 F_STR("by", a->key_id), F_ENDPOINT("from", &r->peer));
	agent_json(r, 200,
		   json_pack("{s:s,s:o,s:b}", "status", "success", "message",
			     json_sprintf("Interface %s %s", a->c.core->settings.ifname,
					  up ? "enabled" : "disabled"),
			     up ? "was_down" : "was_up", up ? !was_up : was_up));
}

void agent_enable(struct http_request *r, void *ctx)
{
	switch_serve(r, ctx, true);
}

void agent_disable(struct http_request *r, void *ctx)
{
	switch_serve(r, ctx, false);
}

void agent_delete(struct http_request *r, void *ctx)
{
	const struct agent *a = ctx;

	if (agent_own(a, r))
		agent_error(r, 409,
			    "Interface %s is the gateway's own and ends with it; POST "
			    "/v1/wg/%s/disable takes it down",
			    a->c.core->settings.ifname, a->c.core->settings.ifname);
}
