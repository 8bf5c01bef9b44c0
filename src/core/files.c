#include "core/files.h"

#include "wg/conf.h"

#define FILE_NAMES "clients.db, phantom.json and wg_main.conf"

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NOMEM, "write the file: out of memory");
}

static bool key_set(json_t *root, const char *name, const uint8_t b[KEY_LEN])
{
	char text[KEY_TEXT_MAX] = "";
	bool ok;

	/* All zero: it was never here. */
	if (!ct_is_zero(b, KEY_LEN))
		base64_encode(text, b, KEY_LEN);
	ok = json_object_set_new(root, name, json_string(text)) == 0;
	wipe(text, sizeof text);
	return ok;
}

static int dump_piece(const char *piece, size_t n, void *ctx)
{
	struct buf *out = ctx;

	buf_add(out, piece, n);
	return buf_ok(out) ? 0 : -1;
}

/* Takes `root` over. */
static enum err_code json_write(struct buf *out, json_t *root, struct err *e)
{
	bool ok = root && json_dump_callback(root, dump_piece, out, JSON_INDENT(2)) == 0;

	buf_char(out, '\n');
	json_decref(root);
	return ok && buf_ok(out) ? ERR_OK : no_memory(e);
}

/* ---- clients.db ---- */

struct tables {
	json_t *clients, *addresses;
	bool secrets, failed;
	size_t n;
};

static json_t *client_row(const struct client *client, bool secrets, const char *created)
{
	char ip[IP_TEXT_MAX], ip6[IP_TEXT_MAX] = "";
	json_t *row;
	bool ok = true;

	ip_format(ip, &client->ip);
	if (client->ip6.family != IP_NONE)
		ip_format(ip6, &client->ip6);
	row = json_pack("{s:s,s:s}", "name", client->name, "ip", ip);
	if (*ip6)
		ok = json_object_set_new(row, "ipv6", json_string(ip6)) == 0;
	if (secrets)
		ok = key_set(row, "private_key", client->private_key.b) && ok;
	ok = key_set(row, "public_key", client->public_key.b) && ok;
	if (secrets)
		ok = key_set(row, "preshared_key", client->psk.b) && ok;
	ok = json_object_set_new(row, "created", json_string(created)) == 0 && ok;
	ok = json_object_set_new(row, "enabled", json_boolean(client->enabled)) == 0 && ok;
	if (ok)
		return row;
	json_decref(row);
	return NULL;
}

static bool client_add(void *ctx, const struct client *client)
{
	struct tables *t = ctx;
	char number[24], ip[IP_TEXT_MAX], created[CLOCK_ISO_MAX];

	(void)snprintf(number, sizeof number, "%zu", ++t->n);
	ip_format(ip, &client->ip);
	clock_iso_plain(created, client->created_ns);
	t->failed = json_object_set_new(t->clients, number,
					client_row(client, t->secrets, created)) < 0 ||
		    json_object_set_new(t->addresses, number,
					json_pack("{s:s,s:s,s:s}", "ip", ip, "client_name",
						  client->name, "assigned_at", created)) < 0;
	return !t->failed;
}

static enum err_code clients_db(struct buf *out, struct core *c, bool secrets, struct err *e)
{
	const struct client_query all = { .search = STR(""), .limit = UINT64_MAX };
	struct tables t = { json_object(), json_object(), secrets, false, 0 };
	enum err_code rc = store_clients(c->store, &all, secrets, client_add, &t, e);

	if (rc == ERR_OK && t.failed)
		rc = no_memory(e);
	if (rc) {
		json_decref(t.clients);
		json_decref(t.addresses);
		return rc;
	}
	return json_write(out,
			  json_pack("{s:o,s:o}", "_default", t.clients, "ip_assignments",
				    t.addresses),
			  e);
}

/* ---- phantom.json ---- */

static json_t *server_json(struct core *c, const struct secret_key *k, bool secrets)
{
	const char *host = c->settings.endpoint_host;
	struct ip_addr source = { 0 };
	char ip[IP_TEXT_MAX] = "";
	json_t *server = json_object();
	bool ok;

	if (!*host && !c->host.default_source(c->host.ctx, &source, NULL))
		ip_format(ip, &source);
	ok = json_object_set_new(server, "ip", json_string(*host ? host : ip)) == 0;
	if (secrets)
		ok = key_set(server, "private_key", k->b) && ok;
	ok = key_set(server, "public_key", c->server_key.b) && ok;
	if (ok)
		return server;
	json_decref(server);
	return NULL;
}

static enum err_code phantom_json(struct buf *out, struct core *c, const struct secret_key *k,
				  bool secrets, struct err *e)
{
	const struct settings *s = &c->settings;
	char network[PREFIX_TEXT_MAX];

	ip_prefix_format(network, &s->network);
	return json_write(out,
			  json_pack("{s:s,s:{s:s,s:i,s:s},s:o,s:{s:b},s:o,s:{s:b,s:n,s:s,s:n}}",
				    "version", CONTROL_VERSION, "wireguard", "interface", s->ifname,
				    "port", (int)s->port, "network", network, "server",
				    server_json(c, k, secrets), "tweaks",
				    "restart_service_after_client_creation", s->restart_after_add,
				    "dns", core_dns_servers_json(s), "multihop", "enabled", 0,
				    "active_exit", "vpn_interface_name", "wg_vpn", "updated_at"),
			  e);
}

/* ---- wg_main.conf ---- */

struct conf_peers {
	struct wg_conf_peer *p;
	struct ip_prefix (*allowed)[2];
	size_t n, cap;
	bool no_memory;
};

static bool room_for(struct conf_peers *x)
{
	size_t cap = x->cap ? x->cap * 2 : 64;
	struct wg_conf_peer *peers;
	struct ip_prefix(*allowed)[2];

	if (x->n < x->cap)
		return true;
	peers = calloc(cap, sizeof *peers); /* not realloc: what it leaves behind holds keys */
	allowed = reallocarray(x->allowed, cap, sizeof *allowed);
	if (allowed)
		x->allowed = allowed;
	if (!peers || !allowed) {
		free(peers);
		return false;
	}
	if (x->n) {
		memcpy(peers, x->p, x->n * sizeof *peers);
		wipe(x->p, x->n * sizeof *peers);
	}
	free(x->p);
	x->p = peers;
	x->cap = cap;
	return true;
}

static bool peer_add(void *ctx, const struct client *client)
{
	struct conf_peers *x = ctx;
	struct wg_conf_peer *p;

	if (!client->enabled)
		return true;
	if (!room_for(x) || x->n == WG_CONF_PEERS_MAX)
		goto full;
	p = &x->p[x->n];
	*p = (struct wg_conf_peer){ .public_key = client->public_key,
				    .has_psk = !ct_is_zero(&client->psk, sizeof client->psk),
				    .psk = client->psk,
				    .allowed_ip_count = client->ip6.family == IP_NONE ? 1 : 2 };
	p->name = str_dup(str_of(client->name));
	if (!p->name)
		goto full;
	x->allowed[x->n][0] = (struct ip_prefix){ client->ip, 32 };
	x->allowed[x->n][1] = (struct ip_prefix){ client->ip6, 128 };
	x->n++;
	return true;
full:
	x->no_memory = true;
	return false;
}

static void conf_peers_done(struct conf_peers *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->p[i].name);
	if (x->n)
		wipe(x->p, x->n * sizeof *x->p);
	free(x->p);
	free(x->allowed);
}

/* The rows may have moved while they were added. */
static void allowed_link(struct conf_peers *x)
{
	for (size_t i = 0; i < x->n; i++)
		x->p[i].allowed_ips = x->allowed[i];
}

#define COMMANDS "%s -%c FORWARD -i %%i -j ACCEPT; %s -t nat -%c POSTROUTING -o %s -j MASQUERADE"

/* What wg-quick(8) would have to do for the clients, in the words of the reference: this gateway does it
 * by itself. */
static bool commands_add(struct wg_conf *conf, const char *program, const char *uplink)
{
	static const struct {
		enum wg_conf_hook when;
		char letter;
	} rows[] = { { WG_POST_UP, 'A' }, { WG_POST_DOWN, 'D' } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf text = { .limit = 256 };
		char *owned;

		buf_printf(&text, COMMANDS, program, rows[i].letter, program, rows[i].letter,
			   uplink);
		owned = buf_ok(&text) ? str_dup(buf_view(&text)) : NULL;
		buf_done(&text);
		if (!owned)
			return false;
		conf->commands[conf->command_count].when = rows[i].when;
		conf->commands[conf->command_count++].text = owned;
	}
	return true;
}

/* None without a way out. */
static bool all_commands_add(struct wg_conf *conf, struct core *c)
{
	json_t *uplink = core_uplink_json(c);
	const char *ifname = json_string_value(json_object_get(uplink, "interface"));
	bool ok = true;

	if (ifname && ifname_ok(str_of(ifname))) {
		ok = commands_add(conf, "iptables", ifname);
		if (ok && c->settings.network6.addr.family != IP_NONE)
			ok = commands_add(conf, "ip6tables", ifname);
	}
	json_decref(uplink);
	return ok;
}

static enum err_code wg_main_conf(struct buf *out, struct core *c, const struct secret_key *k,
				  bool secrets, struct err *e)
{
	const struct client_query all = { .search = STR(""), .limit = UINT64_MAX };
	const struct settings *s = &c->settings;
	struct conf_peers x = { 0 };
	struct wg_conf conf = { .has_private_key = secrets,
				.private_key = *k,
				.has_listen_port = true,
				.listen_port = s->port,
				.has_mtu = true,
				.mtu = s->mtu };
	enum err_code rc = store_clients(c->store, &all, secrets, peer_add, &x, e);

	if (rc == ERR_OK && x.no_memory)
		rc = no_memory(e);
	allowed_link(&x);
	conf.addresses[conf.address_count++] = settings_server_address(&s->network);
	if (s->network6.addr.family != IP_NONE)
		conf.addresses[conf.address_count++] = settings_server_address(&s->network6);
	conf.peers = x.p;
	conf.peer_count = x.n;
	if (rc == ERR_OK && !all_commands_add(&conf, c))
		rc = no_memory(e);
	if (rc == ERR_OK)
		rc = wg_conf_write(out, &conf, e);
	for (size_t i = 0; i < conf.command_count; i++)
		free(conf.commands[i].text);
	wipe(&conf, sizeof conf); /* all else is borrowed */
	conf_peers_done(&x);
	return rc;
}

/* ---- all of them ---- */

static bool is_conf(const struct core *c, struct str name)
{
	char own[32];

	(void)snprintf(own, sizeof own, "%s.conf", c->settings.ifname);
	return str_eq(name, STR("wg_main.conf")) || str_eq(name, str_of(own));
}

static enum err_code server_key(struct secret_key *k, struct core *c, bool secrets, struct err *e)
{
	*k = (struct secret_key){ 0 };
	return secrets ? store_secret(c->store, CORE_SERVER_KEY, k->b, sizeof k->b, e) : ERR_OK;
}

enum err_code file_view(struct buf *out, struct core *c, struct str name, bool secrets,
			struct err *e)
{
	struct secret_key k;
	char shown[64];
	enum err_code rc;

	if (str_eq(name, STR("clients.db")))
		return clients_db(out, c, secrets, e);
	rc = server_key(&k, c, secrets, e);
	if (rc)
		return rc;
	if (str_eq(name, STR("phantom.json"))) {
		rc = phantom_json(out, c, &k, secrets, e);
	} else if (is_conf(c, name)) {
		rc = wg_main_conf(out, c, &k, secrets, e);
	} else {
		text_escaped(shown, sizeof shown, name);
		rc = err_set(e, ERR_NOT_FOUND, "there is no file \"%s\"; there are " FILE_NAMES,
			     shown);
	}
	wipe(&k, sizeof k);
	return rc;
}
