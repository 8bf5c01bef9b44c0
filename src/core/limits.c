/* set_client_limits, client_limits: what a client may use; and keeping what it has used. */
#include "base/log.h"
#include "base/rows.h"
#include "core/core.h"

bool core_has_limits(const struct client *client)
{
	const struct client_limits *l = &client->limits;

	return l->rate_up_bps || l->rate_down_bps || l->quota || l->expires_ns;
}

/* ---- showing ---- */

static json_t *number_text(uint64_t n)
{
	char text[LIMITS_TEXT_MAX];

	limits_number_format(text, n);
	return n ? json_string(text) : json_null();
}

static json_t *number_or_null(bool there, uint64_t n)
{
	return there ? json_integer((json_int_t)n) : json_null();
}

json_t *core_limits_json(struct core *c, const struct client *client,
			 const struct wg_peer_info *live)
{
	const struct client_limits *l = &client->limits;
	uint64_t used = live && live->limits.quota ? live->limits.quota_used : l->quota_used;
	char expires[CLOCK_ISO_MAX];

	clock_iso_plain(expires, l->expires_ns);
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s?,s:b}", "rate_up",
			 number_text(l->rate_up_bps), "rate_up_bps",
			 number_or_null(l->rate_up_bps, l->rate_up_bps), "rate_down",
			 number_text(l->rate_down_bps), "rate_down_bps",
			 number_or_null(l->rate_down_bps, l->rate_down_bps), "quota_bytes",
			 number_or_null(l->quota, l->quota), "quota_used_bytes",
			 number_or_null(l->quota, used), "quota_left_bytes",
			 number_or_null(l->quota, l->quota > used ? l->quota - used : 0), "expires",
			 l->expires_ns ? expires : NULL, "expired",
			 l->expires_ns && c->host.wall_ns(c->host.ctx) >= l->expires_ns);
}

static json_t *answer_json(struct core *c, const struct client *client)
{
	struct wg_peer_info live;
	json_t *o;

	(void)core_connected(c, client, &live);
	o = core_limits_json(c, client, &live);
	if (o && json_object_set_new(o, "client_name", json_string(client->name))) {
		json_decref(o);
		o = NULL;
	}
	return o;
}

static struct str param(const json_t *params, const char *name)
{
	const json_t *v = json_object_get(params, name);

	return (struct str){ json_string_value(v), json_string_length(v) };
}

enum api_code core_client_limits(struct core *c, json_t *params, json_t **data, struct err *e)
{
	struct client client = { 0 };
	enum err_code rc = store_client_by_name(c->store, param(params, "client_name"), &client, e);

	if (rc)
		return core_code_of(rc);
	*data = answer_json(c, &client);
	client_done(&client);
	return *data ? API_OK : core_code_of(err_set(e, ERR_NOMEM, "client_limits: out of memory"));
}

/* ---- changing ---- */

/* "20G" begins a new quota, "+5G" adds to the present one. */
static enum err_code quota_read(struct client_limits *l, struct str text, bool *begins,
				struct err *e)
{
	bool adds = text.n && text.p[0] == '+';
	uint64_t n;
	enum err_code rc = limits_number_parse(adds ? (struct str){ text.p + 1, text.n - 1 } : text,
					       "quota", &n, e);

	if (rc)
		return rc;
	if (adds && !l->quota)
		return err_set(e, ERR_INVALID, "quota \"%.*s\": there is no quota to add to",
			       (int)MIN(text.n, (size_t)32), text.p);
	if (adds && n > UINT64_MAX - l->quota)
		return err_set(e, ERR_RANGE, "quota \"%.*s\" is too large",
			       (int)MIN(text.n, (size_t)32), text.p);
	*begins = !adds;
	l->quota = adds ? l->quota + n : n;
	if (!adds)
		l->quota_used = 0;
	return ERR_OK;
}

/* What the parameters make of `l`; *fields are enum wg_limits_field bits. */
static enum err_code limits_read(struct client_limits *l, const json_t *params, int64_t now_ns,
				 unsigned *fields, struct err *e)
{
	struct str up = param(params, "rate_up"), down = param(params, "rate_down");
	struct str quota = param(params, "quota"), expires = param(params, "expires");
	enum err_code rc = ERR_OK;
	bool begins = false;

	if (up.p)
		rc = limits_number_parse(up, "rate_up", &l->rate_up_bps, e);
	if (rc == ERR_OK && down.p)
		rc = limits_number_parse(down, "rate_down", &l->rate_down_bps, e);
	if (rc == ERR_OK && quota.p)
		rc = quota_read(l, quota, &begins, e);
	if (rc == ERR_OK && expires.p)
		rc = limits_end_parse(expires, now_ns, &l->expires_ns, e);
	*fields = (up.p ? WG_SET_RATE_UP : 0u) | (down.p ? WG_SET_RATE_DOWN : 0u) |
		  (quota.p ? WG_SET_QUOTA : 0u) | (begins ? WG_SET_QUOTA_USED : 0u) |
		  (expires.p ? WG_SET_EXPIRES : 0u);
	if (rc == ERR_OK && !*fields)
		rc = err_set(e, ERR_MISSING,
			     "set_client_limits: name at least one of rate_up, rate_down, quota "
			     "and expires");
	return rc;
}

void core_used_now(struct core *c, struct client *client)
{
	struct wg_peer_info live;

	(void)core_connected(c, client, &live);
	if (live.limits.quota)
		client->limits.quota_used = live.limits.quota_used;
}

static enum err_code live_limits(struct core *c, const struct client *client, unsigned fields,
				 struct err *e)
{
	struct wg_peer_change p = {
		.public_key = client->public_key,
		.update_only = true, /* a client that is disabled has no peer */
		.limits = core_limits_of(client, true),
	};

	p.limits.set &= fields;
	return c->host.change_peer(c->host.ctx, &p, e);
}

static enum err_code change_steps(struct core *c, const struct client *client, unsigned fields,
				  bool *touched_live, struct err *e)
{
	enum err_code rc = store_begin(c->store, e);

	if (rc == ERR_OK)
		rc = store_client_set_limits(c->store, client->id, &client->limits, e);
	if (rc)
		return rc;
	*touched_live = true;
	rc = live_limits(c, client, fields, e);
	return rc == ERR_OK ? store_commit(c->store, e) : rc;
}

static enum err_code change(struct core *c, const struct client *client, const struct client *old,
			    unsigned fields, struct err *e)
{
	bool touched_live = false;
	enum err_code rc = change_steps(c, client, fields, &touched_live, e);
	struct err undo;

	if (rc == ERR_OK)
		return rc;
	store_rollback(c->store);
	if (touched_live && live_limits(c, old, fields, &undo))
		LOG_ERR("client.undo_failed", F_STR("name", client->name), F_ERR(&undo));
	return rc;
}

static enum api_code set_limits(struct core *c, struct client *client, const json_t *params,
				json_t **data, struct err *e)
{
	const struct client old = *client;
	struct wg_limits_change wanted;
	unsigned fields;
	enum err_code rc =
		limits_read(&client->limits, params, c->host.wall_ns(c->host.ctx), &fields, e);

	wanted = core_limits_of(client, false);
	if (rc == ERR_OK)
		rc = wg_limits_check(&wanted, e);
	if (rc)
		return rc == ERR_MISSING ? API_MISSING_PARAMETER : API_INVALID_PARAMETER;
	rc = change(c, client, &old, fields, e);
	if (rc)
		return core_code_of(rc);
	LOG_NOTE("client.limited", F_STR("name", client->name),
		 F_INT("rate_up_bps", client->limits.rate_up_bps),
		 F_INT("rate_down_bps", client->limits.rate_down_bps),
		 F_INT("quota", client->limits.quota));
	*data = answer_json(c, client);
	return *data ? API_OK
		     : core_code_of(err_set(e, ERR_NOMEM, "set_client_limits: out of memory"));
}

enum api_code core_set_client_limits(struct core *c, json_t *params, json_t **data, struct err *e)
{
	struct client client = { 0 };
	enum api_code code;
	enum err_code rc = store_client_by_name(c->store, param(params, "client_name"), &client, e);

	if (rc)
		return core_code_of(rc);
	client_done(&client); /* of secrets: none is needed here */
	core_used_now(c, &client);
	code = set_limits(c, &client, params, data, e);
	return code;
}

/* ---- keeping what was used ---- */

struct usage {
	int64_t id;
	uint64_t used;
};

struct usages {
	struct core *core;
	struct rows rows;
};

static bool usage_find(void *ctx, const struct client *client)
{
	struct usages *u = ctx;
	struct wg_peer_info live;
	struct usage *row;

	if (!client->limits.quota)
		return true;
	(void)core_connected(u->core, client, &live);
	if (!live.limits.quota || live.limits.quota_used == client->limits.quota_used)
		return true;
	row = rows_add(&u->rows);
	if (row)
		*row = (struct usage){ client->id, live.limits.quota_used };
	return row != NULL;
}

static enum err_code usages_write(struct store *s, const struct rows *rows, struct err *e)
{
	enum err_code rc = store_begin(s, e);

	if (rc)
		return rc;
	for (size_t i = 0; rc == ERR_OK && i < rows->count; i++) {
		const struct usage *u = rows_at(rows, i);

		rc = store_client_set_used(s, u->id, u->used, e);
	}
	if (rc == ERR_OK)
		return store_commit(s, e);
	store_rollback(s);
	return rc;
}

enum err_code core_save_usage(struct core *c, struct err *e)
{
	const struct client_query all = { .limit = UINT64_MAX };
	struct usages u = { .core = c, .rows = { .size = sizeof(struct usage) } };
	enum err_code rc = store_clients(c->store, &all, false, usage_find, &u, e);

	if (rc == ERR_OK && u.rows.no_memory)
		rc = err_set(e, ERR_NOMEM, "save the use of quotas: out of memory");
	if (rc == ERR_OK && u.rows.count)
		rc = usages_write(c->store, &u.rows, e);
	rows_done(&u.rows);
	return rc;
}
