/* phantom.json and clients.db of the reference. */
#include "api/modules.h"
#include "core/import.h"

static struct str text_at(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return (struct str){ json_string_value(v), json_string_length(v) };
}

/* A key in base64; false when there is none, and a conflict when there is something else. */
static bool key_read(struct import *m, const char *file, const char *whose, const json_t *o,
		     const char *name, uint8_t out[KEY_LEN])
{
	struct str text = text_at(o, name);
	const json_t *v = json_object_get(o, name);

	if (!v || json_is_null(v) || (json_is_string(v) && text.n == 0))
		return false;
	if (json_is_string(v) && base64_decode(out, KEY_LEN, text))
		return true;
	import_conflict(m, "%s: %s: %s is not a key of 32 bytes in base64", file, whose, name);
	return false;
}

/* ---- clients.db ---- */

/* "2025-01-30T10:15:00", with or without a fraction and a zone, which are left out. */
static bool time_read(struct str s, int64_t *out)
{
	static const struct {
		uint32_t at, n, min, max;
	} parts[] = { { 0, 4, 1970, 9999 }, { 5, 2, 1, 12 },  { 8, 2, 1, 31 },
		      { 11, 2, 0, 23 },	    { 14, 2, 0, 59 }, { 17, 2, 0, 60 } };
	uint32_t v[ARRAY_LEN(parts)];
	struct tm tm = { 0 };

	if (s.n < 19 || (s.p[10] != 'T' && s.p[10] != ' '))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (!u32_parse((struct str){ s.p + parts[i].at, parts[i].n }, parts[i].min,
			       parts[i].max, &v[i]))
			return false;
	}
	tm.tm_year = (int)v[0] - 1900;
	tm.tm_mon = (int)v[1] - 1;
	tm.tm_mday = (int)v[2];
	tm.tm_hour = (int)v[3];
	tm.tm_min = (int)v[4];
	tm.tm_sec = (int)v[5];
	*out = (int64_t)timegm(&tm) * NS_PER_S;
	return true;
}

/* Its fields; the name is checked with all others, later. */
static void client_row(struct import *m, const char *file, const char *number, const json_t *row)
{
	struct str name = text_at(row, "name"), created = text_at(row, "created");
	const json_t *enabled = json_object_get(row, "enabled");
	struct client c = { .enabled = !enabled || json_is_true(enabled) }, *added;
	char shown[80];

	text_escaped(shown, sizeof shown, name);
	if (!name.n) {
		import_conflict(m, "%s: row %.40s: name is not a text, or empty", file, number);
		return;
	}
	if (!str_copy(c.name, sizeof c.name, name)) {
		import_conflict(m, "%s: the name \"%s\" is longer than %d characters", file, shown,
				CLIENT_NAME_MAX);
		return;
	}
	if (!ip_parse(text_at(row, "ip"), &c.ip) || c.ip.family != IP_V4)
		import_conflict(m, "%s: %s: ip is not an IPv4 address", file, shown);
	if (text_at(row, "ipv6").n &&
	    (!ip_parse(text_at(row, "ipv6"), &c.ip6) || c.ip6.family != IP_V6))
		import_conflict(m, "%s: %s: ipv6 is not an IPv6 address", file, shown);
	if (enabled && !json_is_boolean(enabled))
		import_conflict(m, "%s: %s: enabled must be true or false", file, shown);
	if (created.n && !time_read(created, &c.created_ns))
		import_conflict(m, "%s: %s: created is not a time", file, shown);
	if (key_read(m, file, shown, row, "private_key", c.private_key.b))
		secret_key_clamp(&c.private_key);
	(void)key_read(m, file, shown, row, "preshared_key", c.psk.b);
	if (!key_read(m, file, shown, row, "public_key", c.public_key.b)) {
		if (ct_is_zero(&c.private_key, KEY_LEN))
			import_conflict(m, "%s: %s has no key", file, shown);
		else
			public_key_of(&c.public_key, &c.private_key);
	}
	added = import_client_add(m);
	if (added)
		*added = c;
	client_done(&c);
}

/* Who has which name: it must not be looked for among all of them each time. */
struct names {
	const struct client **p; /* in the order of their names */
	size_t n;
};

static int names_compare(const void *a, const void *b)
{
	return strcmp((*(const struct client *const *)a)->name,
		      (*(const struct client *const *)b)->name);
}

static bool names_make(struct names *names, struct import *m)
{
	names->p = calloc(m->n + 1, sizeof(struct client *));
	if (!names->p)
		return false;
	for (size_t i = 0; i < m->n; i++)
		names->p[i] = &m->clients[i];
	names->n = m->n;
	qsort(names->p, names->n, sizeof *names->p, names_compare);
	return true;
}

static const struct client *names_find(const struct names *names, struct str name)
{
	struct client wanted = { 0 };
	const struct client *key = &wanted, **found;

	if (!str_copy(wanted.name, sizeof wanted.name, name))
		return NULL;
	found = bsearch(&key, names->p, names->n, sizeof *names->p, names_compare);
	return found ? *found : NULL;
}

/* The same address for the same client, or something has gone wrong there before. */
static void assignment_row(struct import *m, const char *file, const struct names *names,
			   const json_t *row)
{
	struct str name = text_at(row, "client_name"), ip = text_at(row, "ip");
	const struct client *c = names_find(names, name);
	char shown[80], text[IP_TEXT_MAX];

	if (!c) {
		text_escaped(shown, sizeof shown, name);
		import_warning(m, "%s: ip_assignments names client %s, which there is not", file,
			       shown);
		return;
	}
	ip_format(text, &c->ip);
	if (str_eq(ip, str_of(text)))
		return;
	text_escaped(shown, sizeof shown, ip);
	import_conflict(m, "%s: client %s has %s, but ip_assignments says %s", file, c->name, text,
			shown);
}

/* Tables of rows, or tables of tables where each has one named _default; of clients, or with `names` of what
 * was assigned to them. */
static void table_read(struct import *m, const char *file, const json_t *table,
		       const struct names *names, unsigned depth)
{
	const char *key;
	json_t *row;

	json_object_foreach((json_t *)(uintptr_t)table, key, row)
	{
		if (!json_is_object(row))
			import_conflict(m, "%s: row %.40s is not an object", file, key);
		else if (json_object_get(row, "client_name") && names)
			assignment_row(m, file, names, row);
		else if (json_object_get(row, "name") && !names)
			client_row(m, file, key, row);
		else if (depth == 0)
			table_read(m, file, row, names, 1);
	}
}

static void clients_db(struct import *m, const char *file, const json_t *root)
{
	const json_t *assignments = json_object_get(root, "ip_assignments");
	struct names names = { 0 };

	table_read(m, file, json_object_get(root, "_default"), NULL, 1);
	table_read(m, file, json_object_get(root, "clients"), NULL, 0);
	if (assignments && !names_make(&names, m))
		m->no_memory = true;
	else if (assignments)
		table_read(m, file, assignments, &names, 0);
	free(names.p);
}

/* ---- phantom.json ---- */

static void dns_read(struct import *m, const char *file, const json_t *dns)
{
	static const char *const names[] = { "primary", "secondary" };
	char shown[64];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct str text = text_at(dns, names[i]);

		if (text.n == 0 || ip_parse(text, &m->dns[i]))
			continue;
		text_escaped(shown, sizeof shown, text);
		import_conflict(m, "%s: dns.%s \"%s\" is not an address", file, names[i], shown);
	}
}

static void wireguard_read(struct import *m, const char *file, const json_t *wg)
{
	const json_t *port = json_object_get(wg, "port");
	struct str network = text_at(wg, "network");
	struct ip_prefix p;
	char shown[64];

	if (json_is_integer(port) && json_integer_value(port) > 0 &&
	    json_integer_value(port) < 65536)
		import_port(m, file, (uint16_t)json_integer_value(port));
	else if (port)
		import_conflict(m, "%s: wireguard.port is not a port", file);
	text_escaped(shown, sizeof shown, network);
	if (network.n && ip_prefix_parse(network, &p))
		import_network(m, file, &p);
	else if (network.n)
		import_conflict(m, "%s: wireguard.network \"%s\" is not a network", file, shown);
}

/* Clients have the public key in their files. */
static void server_check(struct import *m, const char *file, const json_t *server,
			 const struct secret_key *k)
{
	struct public_key said, own;

	public_key_of(&own, k);
	if (key_read(m, file, "server", server, "public_key", said.b) &&
	    memcmp(&said, &own, sizeof own) != 0)
		import_conflict(m, "%s: server.public_key is not that of server.private_key", file);
}

static void phantom_json(struct import *m, const char *file, const json_t *root)
{
	const json_t *server = json_object_get(root, "server");
	const json_t *multihop = json_object_get(root, "multihop");
	const json_t *restart = json_object_get(json_object_get(root, "tweaks"),
						"restart_service_after_client_creation");
	struct str host = text_at(server, "ip");
	struct secret_key k = { 0 };

	wireguard_read(m, file, json_object_get(root, "wireguard"));
	dns_read(m, file, json_object_get(root, "dns"));
	if (key_read(m, file, "server", server, "private_key", k.b)) {
		secret_key_clamp(&k);
		import_key(m, file, &k);
		server_check(m, file, server, &k);
	}
	wipe(&k, sizeof k);
	if (host.n && !str_copy(m->host, sizeof m->host, host))
		import_conflict(m, "%s: server.ip is too long", file);
	m->has_restart = json_is_boolean(restart);
	m->restart_after_add = json_is_true(restart);
	if (json_is_true(json_object_get(multihop, "enabled")))
		import_warning(m, "%s: multihop is on there; its exits are not taken over", file);
}

enum err_code import_json_text(struct import *m, const char *file, struct str text, struct err *e)
{
	bool is_phantom, is_clients;
	json_error_t why;
	json_t *root;

	if (!api_json_depth_ok(text))
		return err_set(e, ERR_INVALID, "%s is nested deeper than %d", file,
			       API_JSON_DEPTH_MAX);
	root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		return err_set(e, ERR_INVALID, "%s, line %d: it is not JSON, or has a name twice",
			       file, why.line);
	is_phantom = json_object_get(root, "wireguard") || json_object_get(root, "server");
	/* A TinyDB in which nothing was ever stored is {}. */
	is_clients = json_object_get(root, "_default") || json_object_get(root, "clients") ||
		     (json_is_object(root) && !json_object_size(root));
	if (is_phantom)
		phantom_json(m, file, root);
	else if (is_clients)
		clients_db(m, file, root);
	json_decref(root);
	if (is_phantom || is_clients)
		return ERR_OK;
	return err_set(e, ERR_INVALID, "%s is neither a phantom.json nor a clients.db", file);
}
