/* What an interface's configuration was before, and the way back: GET .../history, .../history/{id},
 * POST .../rollback. */
#include "base/clock.h"
#include "agent/iface.h"
#include "store/agent.h"

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
	struct agent_iface i;
	json_t *list;
	struct err e;

	if (!agent_iface_find(ctx, r, &i))
		return;
	list = json_array();
	if (store_configs(i.a->c.core->store, i.ifname, row_add, list, &e)) {
		json_decref(list);
		agent_fail(r, &e);
		return;
	}
	agent_json(r, 200, json_pack("{s:s,s:o}", "interface", i.ifname, "history", list));
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
static bool found_read(struct http_request *r, const struct agent_iface *i, int64_t id,
		       struct found *f)
{
	struct err e;

	*f = (struct found){ 0 };
	if (store_config(i->a->c.core->store, i->ifname, id, row_take, f, &e)) {
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
	struct agent_iface i;
	struct found f;
	uint64_t id;

	if (!agent_iface_find(ctx, r, &i))
		return;
	if (!u64_parse(http_param(r, "id"), 1, INT64_MAX, &id)) {
		agent_error(r, 422, "id: must be a number");
		return;
	}
	if (!found_read(r, &i, (int64_t)id, &f))
		return;
	(void)json_object_set_new(f.config, "private_key", json_string("(hidden)"));
	(void)json_object_set_new(f.row, "config", f.config);
	(void)json_object_set_new(f.row, "interface", json_string(i.ifname));
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
	struct agent_iface i;
	const json_t *v;
	struct found f;
	json_t *body;

	if (!agent_iface_find(ctx, r, &i))
		return;
	body = agent_body(r, fields);
	if (!body)
		return;
	v = json_object_get(body, "id");
	if (!json_is_integer(v) || json_integer_value(v) < 1) {
		agent_error(r, 422, "id: must be a number of the history");
	} else if (found_read(r, &i, json_integer_value(v), &f)) {
		nulls_empty(f.config);
		agent_config_change(r, &i, "rollback", f.config, false);
		json_decref(f.row);
		json_decref(f.config);
	}
	json_decref(body);
}
