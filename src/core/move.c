/* get_subnet_info and validate_subnet_change. */
#include "core/move.h"

#include <inttypes.h>

#include "base/bytes.h"

/* ---- where each client goes ---- */

struct collecting {
	struct moves_plan *plan;
	bool no_memory;
};

static bool move_collect(void *ctx, const struct client *client)
{
	struct collecting *to = ctx;
	struct moves_plan *m = to->plan;

	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct move *more = reallocarray(m->p, cap, sizeof *more);

		to->no_memory = !more;
		if (!more)
			return false;
		m->p = more;
		m->cap = cap;
	}
	m->p[m->n] = (struct move){ .id = client->id,
				    .public_key = client->public_key,
				    .enabled = client->enabled,
				    .old = client->ip,
				    .old6 = client->ip6 };
	memcpy(m->p[m->n].name, client->name, sizeof client->name);
	m->n++;
	return true;
}

static int by_address(const void *a, const void *b)
{
	const struct move *x = a, *y = b;
	uint32_t ip = load_be32(x->old.b), other = load_be32(y->old.b);

	return ip < other ? -1 : ip > other;
}

static enum err_code moves_number(struct moves_plan *m, const struct core *c,
				  const struct ip_prefix *to, struct err *e)
{
	const struct ip_prefix *to6 = &c->settings.network6;
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < m->n; i++) {
		uint64_t host = SETTINGS_FIRST_CLIENT + i;

		if (host <= settings_last_client(to) && ip_prefix_host(to, host, &m->p[i].new) &&
		    (to6->addr.family == IP_NONE || ip_prefix_host(to6, host, &m->p[i].new6)))
			continue;
		ip_prefix_format(text, to);
		return err_set(e, ERR_FULL, "%s has no room for %zu clients", text, m->n);
	}
	return ERR_OK;
}

enum err_code moves_plan_make(struct moves_plan *out, struct core *c, const struct ip_prefix *to,
			      struct err *e)
{
	const struct client_query all = { .search = STR(""), .limit = UINT64_MAX };
	struct moves_plan m = { 0 };
	struct collecting collecting = { .plan = &m };
	enum err_code rc = store_clients(c->store, &all, false, move_collect, &collecting, e);

	if (rc == ERR_OK && collecting.no_memory)
		rc = err_set(e, ERR_NOMEM, "change the subnet: out of memory");
	if (rc == ERR_OK && m.n) {
		qsort(m.p, m.n, sizeof *m.p, by_address);
		rc = moves_number(&m, c, to, e);
	}
	if (rc) {
		moves_plan_done(&m);
		return rc;
	}
	*out = m;
	return ERR_OK;
}

void moves_plan_done(struct moves_plan *m)
{
	free(m->p);
	*m = (struct moves_plan){ 0 };
}

/* ---- facts ---- */

struct tally {
	struct core *core;
	json_t *list; /* NULL: only counted */
	uint64_t connected;
	bool failed;
};

static bool client_tally(void *ctx, const struct client *client)
{
	struct tally *t = ctx;
	char ip[IP_TEXT_MAX], created[CLOCK_ISO_MAX], seen[CLOCK_ISO_MAX];
	struct wg_peer_info live;
	int64_t seen_ns;

	t->connected += core_connected(t->core, client, &live);
	if (!t->list)
		return true;
	seen_ns = live.last_handshake_wall_ns ? live.last_handshake_wall_ns : client->seen_ns;
	ip_format(ip, &client->ip);
	clock_iso_plain(created, client->created_ns);
	clock_iso_plain(seen, seen_ns);
	t->failed = json_object_set_new(t->list, client->name,
					json_pack("{s:s,s:s,s:o}", "ip", ip, "created", created,
						  "last_seen",
						  seen_ns ? json_string(seen) : json_null())) < 0;
	return !t->failed;
}

static enum err_code clients_tally(struct tally *t, struct err *e)
{
	const struct client_query all = { .search = STR(""), .limit = UINT64_MAX };
	enum err_code rc = store_clients(t->core->store, &all, false, client_tally, t, e);

	if (rc == ERR_OK && t->failed)
		rc = err_set(e, ERR_NOMEM, "read the clients: out of memory");
	return rc;
}

enum err_code core_subnet_check(struct subnet_check *out, struct core *c, struct str text,
				struct err *e)
{
	struct tally t = { .core = c };
	struct subnet_facts f = { .current = c->settings.network,
				  .ifname = c->settings.ifname,
				  .interfaces = c->host.interfaces,
				  .ctx = c->host.ctx };
	uint64_t enabled;
	enum err_code rc = store_client_count(c->store, STR(""), &f.clients, &enabled, e);

	if (rc == ERR_OK)
		rc = clients_tally(&t, e);
	f.connected = t.connected;
	return rc ? rc : subnet_check(out, text, &f, e);
}

/* ---- get_subnet_info ---- */

struct uplink {
	struct ip_addr source;
	char ifname[16];
	struct ip_prefix network;
};

static bool uplink_look(void *arg, const char *ifname, const struct ip_prefix *address)
{
	struct uplink *u = arg;

	if (!ip_eq(&address->addr, &u->source))
		return true;
	(void)snprintf(u->ifname, sizeof u->ifname, "%s", ifname);
	u->network = *address;
	ip_prefix_mask(&u->network);
	return false;
}

json_t *core_uplink_json(struct core *c)
{
	struct uplink u = { 0 };
	char ip[IP_TEXT_MAX], network[PREFIX_TEXT_MAX];
	struct err ignored;

	if (c->host.default_source(c->host.ctx, &u.source, &ignored) ||
	    c->host.interfaces(c->host.ctx, uplink_look, &u, &ignored) || !*u.ifname)
		return json_pack("{s:n,s:n,s:n}", "interface", "ip", "network");
	ip_format(ip, &u.source);
	ip_prefix_format(network, &u.network);
	return json_pack("{s:s,s:s,s:s}", "interface", u.ifname, "ip", ip, "network", network);
}

static json_t *warnings_json(uint64_t connected)
{
	json_t *list = json_array();

	if (connected)
		(void)json_array_append_new(list,
					    json_sprintf("%" PRIu64
							 " connected client%s would lose the "
							 "connection in a change of the subnet",
							 connected, connected == 1 ? "" : "s"));
	return list;
}

enum api_code core_get_subnet_info(struct core *c, json_t *params, json_t **data, struct err *e)
{
	const struct settings *s = &c->settings;
	struct ip_prefix server = settings_server_address(&s->network);
	struct tally t = { .core = c, .list = json_object() };
	char subnet[PREFIX_TEXT_MAX], server_ip[IP_TEXT_MAX];
	uint64_t total, enabled;
	enum err_code rc = store_client_count(c->store, STR(""), &total, &enabled, e);

	(void)params;
	if (rc == ERR_OK)
		rc = clients_tally(&t, e);
	if (rc) {
		json_decref(t.list);
		return core_code_of(rc);
	}
	ip_prefix_format(subnet, &s->network);
	ip_format(server_ip, &server.addr);
	*data = json_pack("{s:s,s:I,s:{s:I,s:I,s:I,s:o},s:s,s:b,s:{s:b,s:b,s:I},s:o,s:o}",
			  "current_subnet", subnet, "subnet_size",
			  (json_int_t)ip_prefix_size(&s->network), "clients", "total",
			  (json_int_t)total, "total_configured", (json_int_t)total, "active",
			  (json_int_t)t.connected, "clients", t.list, "server_ip", server_ip,
			  "can_change", 1, "blockers", "ghost_mode", 0, "multihop", 0,
			  "active_connections", (json_int_t)t.connected, "main_interface",
			  core_uplink_json(c), "warnings", warnings_json(t.connected));
	return *data ? API_OK
		     : core_code_of(err_set(e, ERR_NOMEM, "get_subnet_info: out of memory"));
}

/* ---- validate_subnet_change ---- */

static bool mapping_add(json_t *mappings, const char *name, const struct ip_addr *old,
			const struct ip_addr *new)
{
	char from[IP_TEXT_MAX], to[IP_TEXT_MAX];

	ip_format(from, old);
	ip_format(to, new);
	return json_object_set_new(mappings, name,
				   json_pack("{s:s,s:s}", "old", from, "new", to)) == 0;
}

static json_t *preview_json(const struct core *c, const struct moves_plan *m,
			    const struct ip_prefix *to)
{
	struct ip_prefix old = settings_server_address(&c->settings.network);
	struct ip_prefix new = settings_server_address(to);
	json_t *mappings = json_object();
	bool ok = mapping_add(mappings, "server", &old.addr, &new.addr);

	for (size_t i = 0; ok && i < m->n; i++)
		ok = mapping_add(mappings, m->p[i].name, &m->p[i].old, &m->p[i].new);
	if (!ok) {
		json_decref(mappings);
		return NULL;
	}
	return json_pack("{s:I,s:o}", "total_mappings", (json_int_t)m->n + 1, "mappings", mappings);
}

static enum err_code preview_add(json_t *data, struct core *c, const struct ip_prefix *to,
				 struct err *e)
{
	struct moves_plan m = { 0 };
	enum err_code rc = moves_plan_make(&m, c, to, e);

	if (rc)
		return rc;
	if (json_object_set_new(data, "ip_mapping_preview", preview_json(c, &m, to)) < 0)
		rc = err_set(e, ERR_NOMEM, "validate_subnet_change: out of memory");
	moves_plan_done(&m);
	return rc;
}

enum api_code core_validate_subnet_change(struct core *c, json_t *params, json_t **data,
					  struct err *e)
{
	const json_t *v = json_object_get(params, "new_subnet");
	struct str text = { json_string_value(v), json_string_length(v) };
	struct subnet_check check = { 0 };
	char current[PREFIX_TEXT_MAX];
	bool valid;
	enum err_code rc = core_subnet_check(&check, c, text, e);

	if (rc)
		return core_code_of(rc);
	valid = subnet_check_passed(&check);
	ip_prefix_format(current, &c->settings.network);
	*data = json_pack("{s:b,s:s,s:s,s:O,s:O,s:O}", "valid", valid, "new_subnet", text.p,
			  "current_subnet", current, "checks", check.checks, "warnings",
			  check.warnings, "errors", check.errors);
	if (!*data)
		rc = err_set(e, ERR_NOMEM, "validate_subnet_change: out of memory");
	else if (valid)
		rc = preview_add(*data, c, &check.wanted, e);
	subnet_check_done(&check);
	return core_code_of(rc);
}
