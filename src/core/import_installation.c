/* import_installation: a server that was there before, taken over whole or not at all.
 *
 * What was read (import.h) is held against this gateway; every reason against it is a conflict, and
 * with one nothing is taken.  Then one transaction of the store around the change of device and
 * network.  A gateway without clients becomes that server, with its key, port and network; one
 * with clients only takes clients of the same server.
 */
#include <inttypes.h>

#include "base/bytes.h"
#include "base/fault.h"
#include "base/log.h"
#include "core/core.h"
#include "core/import.h"

struct taking {
	struct core *core;
	struct import m;
	struct settings old, new;
	struct secret_key old_key;
	struct public_key server; /* as it will be */
	bool is_fresh; /* no clients yet */
	size_t live; /* clients that have been made peers */
};

/* ---- settings ---- */

static bool network_same(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len == b->len && ip_eq(&a->addr, &b->addr);
}

/* The setting's own rules. */
static void setting_take(struct taking *t, enum setting which, const char *text)
{
	struct err e;

	if (settings_parse(&t->new, which, str_of(text), &e))
		import_conflict(&t->m, "%s", e.msg);
}

struct overlap {
	struct taking *t;
	const char *except;
};

static bool overlap_look(void *arg, const char *ifname, const struct ip_prefix *address)
{
	const struct overlap *o = arg;
	char text[PREFIX_TEXT_MAX];

	if (strcmp(ifname, o->except) == 0 || !ip_prefix_overlap(address, &o->t->new.network))
		return true;
	ip_prefix_format(text, &o->t->new.network);
	import_conflict(&o->t->m, "network %s overlaps with an address of interface %s", text,
			ifname);
	return true;
}

static void network_take(struct taking *t)
{
	struct core *c = t->core;
	struct overlap o = { t, c->settings.ifname };
	char text[PREFIX_TEXT_MAX], own[IP_TEXT_MAX], was[IP_TEXT_MAX];
	struct ip_prefix server;
	struct err e;

	ip_prefix_format(text, &t->m.network);
	setting_take(t, SETTING_NETWORK, text);
	if (c->host.interfaces(c->host.ctx, overlap_look, &o, &e))
		import_conflict(&t->m, "%s", e.msg);
	server = settings_server_address(&t->new.network);
	if (t->m.address.addr.family == IP_NONE || ip_eq(&t->m.address.addr, &server.addr))
		return;
	ip_format(own, &server.addr);
	ip_format(was, &t->m.address.addr);
	import_warning(&t->m, "the server's own address becomes %s; it was %s", own, was);
}

/* Clients keep their IPv6 addresses, where host numbers allow it: address_check tells of those that change. */
static void network6_take(struct taking *t)
{
	struct ip_prefix server, network = t->m.address6;
	struct settings with = t->new;
	char text[PREFIX_TEXT_MAX], own[IP_TEXT_MAX], was[IP_TEXT_MAX];
	struct err e;

	if (network.addr.family == IP_NONE)
		return;
	if (t->old.network6.addr.family == IP_NONE) {
		import_warning(&t->m, "the tunnel's IPv6 is left out: it is off here");
		return;
	}
	ip_prefix_mask(&network);
	ip_prefix_format(text, &network);
	if (settings_parse(&with, SETTING_NETWORK6, str_of(text), &e)) {
		import_warning(&t->m, "the tunnel's IPv6 becomes another: %s", e.msg);
		return;
	}
	t->new.network6 = with.network6;
	server = settings_server_address(&t->new.network6);
	if (ip_eq(&t->m.address6.addr, &server.addr))
		return;
	ip_format(own, &server.addr);
	ip_format(was, &t->m.address6.addr);
	import_warning(&t->m, "the server's own address becomes %s; it was %s", own, was);
}

static void endpoint_take(struct taking *t)
{
	struct core *c = t->core;
	struct ip_addr host, source;
	struct err ignored;

	if (!*t->m.host || *t->old.endpoint_host)
		return;
	if (ip_parse(str_of(t->m.host), &host) &&
	    c->host.default_source(c->host.ctx, &source, &ignored) == ERR_OK &&
	    ip_eq(&host, &source))
		return; /* found by itself */
	setting_take(t, SETTING_ENDPOINT, t->m.host);
}

/* What a gateway without clients takes over. */
static void fresh_take(struct taking *t)
{
	struct import *m = &t->m;

	if (m->has_key)
		public_key_of(&t->server, &m->key);
	else
		import_conflict(m, "the server's private key is not in the files, and its clients "
				   "would not know another");
	if (m->has_port)
		t->new.port = m->port;
	if (m->has_network)
		network_take(t);
	else
		import_conflict(m, "the network is not in the files");
	network6_take(t);
	for (size_t i = 0; i < ARRAY_LEN(m->dns); i++) {
		if (m->dns[i].family != IP_NONE)
			t->new.dns[i] = m->dns[i];
	}
	if (m->has_restart)
		t->new.restart_after_add = m->restart_after_add;
	endpoint_take(t);
}

/* Clients of ours are there: they keep what they know. */
static void added_check(struct taking *t)
{
	struct import *m = &t->m;
	char here[PREFIX_TEXT_MAX], there[PREFIX_TEXT_MAX];
	struct public_key k;

	if (m->has_key)
		public_key_of(&k, &m->key);
	if (!m->has_key || memcmp(&k, &t->core->server_key, sizeof k) != 0)
		import_conflict(m, "this gateway has clients, and another server's key than the "
				   "files: remove its clients, or import into a new gateway");
	if (m->has_port && m->port != t->old.port)
		import_conflict(m, "the port is %u here and %u in the files", t->old.port, m->port);
	if (m->has_network && !network_same(&m->network, &t->old.network)) {
		ip_prefix_format(here, &t->old.network);
		ip_prefix_format(there, &m->network);
		import_conflict(m, "the network is %s here and %s in the files", here, there);
	}
}

/* ---- clients ---- */

static void keys_check(struct taking *t, const struct client *c)
{
	struct public_key k;

	if (memcmp(&c->public_key, &t->server, sizeof t->server) == 0)
		import_conflict(&t->m, "client %s has the server's own key", c->name);
	if (ct_is_zero(&c->private_key, KEY_LEN))
		return;
	public_key_of(&k, &c->private_key);
	if (memcmp(&k, &c->public_key, sizeof k) != 0)
		import_conflict(&t->m, "client %s: the public key is not that of the private key",
				c->name);
}

/* The host number in the network, which IPv6 shares; 0 when it is no client's. */
static uint64_t host_number(const struct settings *s, const struct ip_addr *ip)
{
	uint64_t n;

	if (ip->family != IP_V4 || !ip_prefix_contains(&s->network, ip))
		return 0;
	n = load_be32(ip->b) - load_be32(s->network.addr.b);
	return n >= SETTINGS_FIRST_CLIENT && n <= settings_last_client(&s->network) ? n : 0;
}

static void address6_compare(struct taking *t, const struct client *c, const struct ip_addr *was)
{
	char old[IP_TEXT_MAX], new[IP_TEXT_MAX] = "none";

	if (was->family == IP_NONE || ip_eq(was, &c->ip6))
		return;
	ip_format(old, was);
	if (c->ip6.family != IP_NONE)
		ip_format(new, &c->ip6);
	import_warning(&t->m, "client %s: its IPv6 address becomes %s; it was %s", c->name, new,
		       old);
}

static void address_check(struct taking *t, struct client *c)
{
	char ip[IP_TEXT_MAX], network[PREFIX_TEXT_MAX];
	uint64_t n = host_number(&t->new, &c->ip);
	struct ip_addr was = c->ip6;

	if (n == 0) {
		ip_format(ip, &c->ip);
		ip_prefix_format(network, &t->new.network);
		import_conflict(&t->m, "client %s: %s is no address for a client in %s", c->name,
				c->ip.family == IP_NONE ? "none" : ip, network);
		return;
	}
	c->ip6 = (struct ip_addr){ 0 };
	if (t->new.network6.addr.family != IP_NONE && !ip_prefix_host(&t->new.network6, n, &c->ip6))
		import_conflict(&t->m, "client %s: the IPv6 network has no host %" PRIu64, c->name,
				n);
	address6_compare(t, c, &was);
}

/* A peer without a comment is named by its place. */
static void name_give(const struct taking *t, struct client *c)
{
	if (!*c->name)
		(void)snprintf(c->name, sizeof c->name, "peer-%" PRIu64,
			       host_number(&t->new, &c->ip));
}

static enum err_code stored_check(struct taking *t, const struct client *c, struct err *e)
{
	struct client old = { 0 };
	bool known = false;
	enum err_code rc = store_client_by_name(t->core->store, str_of(c->name), &old, e);

	client_done(&old);
	if (rc == ERR_OK)
		import_conflict(&t->m, "a client named %s exists already", c->name);
	else if (rc != ERR_NOT_FOUND)
		return rc;
	rc = store_client_key_known(t->core->store, &c->public_key, &known, e);
	if (rc == ERR_OK && known)
		import_conflict(&t->m, "client %s: its key belongs to a client of this gateway",
				c->name);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct client *const *)a)->name, (*(struct client *const *)b)->name);
}

static int by_ip(const void *a, const void *b)
{
	return memcmp((*(struct client *const *)a)->ip.b, (*(struct client *const *)b)->ip.b, 4);
}

static int by_key(const void *a, const void *b)
{
	return memcmp(&(*(struct client *const *)a)->public_key,
		      &(*(struct client *const *)b)->public_key, sizeof(struct public_key));
}

/* No two have the same name, address or key. */
static enum err_code twins_check(struct taking *t, struct err *e)
{
	static const struct {
		int (*compare)(const void *a, const void *b);
		const char *what;
	} orders[] = { { by_name, "name" }, { by_ip, "address" }, { by_key, "key" } };
	struct client **p = calloc(t->m.n + 1, sizeof *p);

	if (!p)
		return err_set(e, ERR_NOMEM, "import: out of memory");
	for (size_t i = 0; i < t->m.n; i++)
		p[i] = &t->m.clients[i];
	for (size_t k = 0; k < ARRAY_LEN(orders); k++) {
		qsort(p, t->m.n, sizeof *p, orders[k].compare);
		for (size_t i = 1; i < t->m.n; i++) {
			if (orders[k].compare(&p[i - 1], &p[i]) == 0)
				import_conflict(&t->m, "clients %s and %s have the same %s",
						p[i - 1]->name, p[i]->name, orders[k].what);
		}
	}
	free(p);
	return ERR_OK;
}

static enum err_code clients_check(struct taking *t, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct err why;

	for (size_t i = 0; rc == ERR_OK && i < t->m.n; i++) {
		struct client *c = &t->m.clients[i];

		name_give(t, c);
		if (client_name_check(str_of(c->name), &why))
			import_conflict(&t->m, "%s", why.msg);
		keys_check(t, c);
		address_check(t, c);
		if (c->created_ns == 0)
			c->created_ns = t->core->host.wall_ns(t->core->host.ctx);
		rc = stored_check(t, c, e);
	}
	return rc ? rc : twins_check(t, e);
}

/* ---- taking over ---- */

/* An option that this run was started with must not undo at the next start what was taken over. */
static enum err_code option_overrule(const struct taking *t, enum setting which, struct err *e)
{
	AUTO(buf_done) struct buf old = { .limit = STORE_VALUE_MAX };
	AUTO(buf_done) struct buf new = { .limit = STORE_VALUE_MAX };

	settings_format(&t->old, which, &old);
	settings_format(&t->new, which, &new);
	return str_eq(buf_view(&old), buf_view(&new))
		       ? ERR_OK
		       : settings_overrule(t->core->store, which, t->core->given->v[which], e);
}

static enum err_code store_all(const struct taking *t, struct err *e)
{
	static const enum setting taken[] = { SETTING_PORT,
					      SETTING_NETWORK,
					      SETTING_NETWORK6,
					      SETTING_ENDPOINT,
					      SETTING_DNS_PRIMARY,
					      SETTING_DNS_SECONDARY,
					      SETTING_RESTART_AFTER_ADD };
	struct store *s = t->core->store;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < ARRAY_LEN(taken); i++)
		rc = settings_put(&t->new, s, taken[i], e);
	if (rc == ERR_OK)
		rc = settings_overrule(s, SETTING_NETWORK, t->core->network_given, e);
	for (size_t i = 0; rc == ERR_OK && t->core->given && i < ARRAY_LEN(taken); i++)
		rc = option_overrule(t, taken[i], e);
	if (rc == ERR_OK && t->is_fresh)
		rc = store_set_secret(s, CORE_SERVER_KEY, t->m.key.b, sizeof t->m.key.b, e);
	for (size_t i = 0; rc == ERR_OK && i < t->m.n; i++)
		rc = store_client_add(s, &t->m.clients[i], e);
	if (rc == ERR_OK && FAULT("import.stored"))
		rc = err_set(e, ERR_IO, "failure injected at import.stored");
	return rc;
}

static enum err_code live_all(struct taking *t, struct err *e)
{
	struct core *c = t->core;
	enum err_code rc = ERR_OK;

	if (t->is_fresh)
		rc = c->host.set_server(c->host.ctx, &t->m.key, t->new.port, e);
	c->settings = t->new;
	c->server_key = t->server;
	while (rc == ERR_OK && t->live < t->m.n) {
		const struct client *client = &t->m.clients[t->live++];
		struct wg_allowed_ip allowed[2];
		struct wg_peer_change p = core_peer_of(client, allowed);

		if (client->enabled)
			rc = c->host.change_peer(c->host.ctx, &p, e);
		wipe(&p, sizeof p);
	}
	if (rc == ERR_OK)
		rc = c->host.apply(c->host.ctx, e);
	if (rc == ERR_OK && FAULT("import.live"))
		rc = err_set(e, ERR_IO, "failure injected at import.live");
	return rc;
}

static void undo(struct taking *t)
{
	struct core *c = t->core;
	struct err e;

	store_rollback(c->store);
	c->settings = t->old;
	public_key_of(&c->server_key, &t->old_key);
	for (size_t i = 0; i < t->live; i++) {
		struct wg_peer_change p = { .public_key = t->m.clients[i].public_key,
					    .remove = true };

		if (c->host.change_peer(c->host.ctx, &p, &e))
			LOG_ERR("import.undo_failed", F_STR("client", t->m.clients[i].name),
				F_ERR(&e));
	}
	if (t->is_fresh && c->host.set_server(c->host.ctx, &t->old_key, t->old.port, &e))
		LOG_ERR("import.undo_failed", F_ERR(&e));
	if (c->host.apply(c->host.ctx, &e))
		LOG_ERR("import.undo_failed", F_ERR(&e));
}

static enum err_code take(struct taking *t, struct err *e)
{
	struct core *c = t->core;
	enum err_code rc =
		store_secret(c->store, CORE_SERVER_KEY, t->old_key.b, sizeof t->old_key.b, e);

	if (rc == ERR_OK)
		rc = store_begin(c->store, e);
	if (rc)
		return rc;
	rc = store_all(t, e);
	if (rc) {
		store_rollback(c->store);
		return rc;
	}
	rc = live_all(t, e);
	if (rc == ERR_OK)
		rc = store_commit(c->store, e);
	if (rc) {
		undo(t);
		return rc;
	}
	(void)FAULT("import.committed");
	LOG_NOTE("installation.imported", F_INT("clients", t->m.n));
	return ERR_OK;
}

/* ---- the answer ---- */

static json_t *client_row(const struct client *c)
{
	json_t *row = client_json(c, false);

	if (json_object_set_new(row, "private_key_known",
				json_boolean(!ct_is_zero(&c->private_key, KEY_LEN))) == 0)
		return row;
	json_decref(row);
	return NULL;
}

static json_t *setting_json(const struct settings *s, enum setting which)
{
	AUTO(buf_done) struct buf text = { .limit = STORE_VALUE_MAX };

	settings_format(s, which, &text);
	return json_stringn(buf_view(&text).p, text.n);
}

static json_t *settings_json(const struct taking *t)
{
	char key[KEY_TEXT_MAX];

	public_key_text(key, &t->server);
	return json_pack("{s:s,s:i,s:o,s:o,s:o,s:o}", "public_key", key, "port", (int)t->new.port,
			 "network", setting_json(&t->new, SETTING_NETWORK), "network6",
			 setting_json(&t->new, SETTING_NETWORK6), "endpoint",
			 setting_json(&t->new, SETTING_ENDPOINT), "dns",
			 core_dns_servers_json(&t->new));
}

static json_t *answer_json(const struct taking *t, bool dry_run)
{
	const struct import *m = &t->m;
	size_t conflicts = json_array_size(m->conflicts);
	json_t *clients = json_array();
	bool ok = clients != NULL;

	for (size_t i = 0; ok && i < m->n; i++)
		ok = json_array_append_new(clients, client_row(&m->clients[i])) == 0;
	if (!ok) {
		json_decref(clients);
		return NULL;
	}
	return json_pack("{s:b,s:b,s:O,s:o,s:o,s:I,s:O,s:O,s:s}", "success", conflicts == 0,
			 "dry_run", dry_run, "files", m->files, "settings", settings_json(t),
			 "clients", clients, "clients_imported", (json_int_t)(dry_run ? 0 : m->n),
			 "conflicts", m->conflicts, "warnings", m->warnings, "message",
			 conflicts ? "Nothing would be imported: see conflicts"
			 : dry_run ? "Nothing was changed: this is what would be imported"
				   : "Installation imported successfully");
}

static enum api_code conflicts_refuse(const struct taking *t, struct err *e)
{
	size_t n = json_array_size(t->m.conflicts);

	(void)err_set(e, ERR_INVALID, "nothing was imported: %s%s",
		      json_string_value(json_array_get(t->m.conflicts, 0)),
		      n > 1 ? "; dry_run=true lists all conflicts" : "");
	return API_VALIDATION_ERROR;
}

static enum err_code check(struct taking *t, struct err *e)
{
	uint64_t total, enabled;
	enum err_code rc = store_client_count(t->core->store, STR(""), &total, &enabled, e);

	if (rc)
		return rc;
	t->is_fresh = total == 0;
	if (!t->m.n)
		import_warning(&t->m, "there are no clients in the files");
	if (t->is_fresh)
		fresh_take(t);
	else
		added_check(t);
	rc = clients_check(t, e);
	if (rc == ERR_OK && t->m.no_memory)
		rc = err_set(e, ERR_NOMEM, "import: out of memory");
	return rc;
}

static enum api_code check_and_take(struct taking *t, bool dry_run, json_t **data, struct err *e)
{
	enum err_code rc = check(t, e);

	if (rc)
		return core_code_of(rc);
	if (!dry_run && json_array_size(t->m.conflicts))
		return conflicts_refuse(t, e);
	*data = answer_json(t, dry_run);
	if (!*data)
		return core_code_of(err_set(e, ERR_NOMEM, "import: out of memory"));
	return dry_run ? API_OK : take(t, e) ? API_NETWORK_ERROR : API_OK;
}

enum api_code core_import_installation(struct core *c, json_t *params, json_t **data, struct err *e)
{
	const char *path = json_string_value(json_object_get(params, "path"));
	const struct import_opener opener = { .open = c->host.open_file, .ctx = c->host.ctx };
	struct taking t = {
		.core = c, .old = c->settings, .new = c->settings, .server = c->server_key
	};
	enum api_code code;

	if (import_read(&t.m, path, &opener, e))
		return e->code == ERR_NOMEM ? API_INTERNAL_ERROR : API_CONFIG_ERROR;
	code = check_and_take(&t, json_is_true(json_object_get(params, "dry_run")), data, e);
	import_done(&t.m);
	wipe(&t.old_key, sizeof t.old_key);
	return code;
}
