/* Peers of the interface: reading all of them, adding, changing and removing one.
 *
 * A peer is a client of the store, whoever made it, and each change of one is inserted, made live and
 * then committed, as core does it. */
#include <inttypes.h>

#include "base/fault.h"
#include "base/log.h"
#include "gateway/agent_inside.h"
#include "store/agent.h"

#define ALLOWED_IPS_MAX 64 /* of one request */

/* ---- dump ---- */

/* All peers at one moment, sent piece by piece: a hundred thousand of them are 20 MB of JSON. */
struct dump {
	char ifname[16];
	struct wg_peer_info *p;
	struct ip_prefix *ips; /* of all peers, in their order */
	size_t n, cap, ip_n, ip_cap;
	size_t at, ip_at;
	bool no_memory;
};

static bool room(void **p, size_t *cap, size_t need, size_t each)
{
	size_t more = MAX(*cap * 2, MAX(need, (size_t)64));
	void *grown;

	if (need <= *cap)
		return true;
	grown = reallocarray(*p, more, each);
	if (!grown)
		return false;
	*p = grown;
	*cap = more;
	return true;
}

static bool dump_collect(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	struct dump *d = ctx;
	void *peers = d->p, *all = d->ips;

	d->no_memory = !room(&peers, &d->cap, d->n + 1, sizeof *d->p);
	d->p = peers;
	if (d->no_memory)
		return false;
	d->no_memory = !room(&all, &d->ip_cap, d->ip_n + p->allowed_ip_count, sizeof *d->ips);
	d->ips = all;
	if (d->no_memory)
		return false;
	for (size_t i = 0; i < p->allowed_ip_count; i++)
		d->ips[d->ip_n++] = ips[i];
	d->p[d->n] = *p;
	/* Only whether there is one is told. */
	d->p[d->n].psk = (struct psk){ .b = { !ct_is_zero(&p->psk, KEY_LEN) } };
	d->n++;
	return true;
}

static void dump_peer(struct buf *out, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	char key[KEY_TEXT_MAX], endpoint[ENDPOINT_TEXT_MAX], prefix[PREFIX_TEXT_MAX];

	public_key_text(key, &p->public_key);
	buf_printf(out, "{\"public_key\":\"%s\",\"preshared_key\":%s,\"endpoint\":", key,
		   p->psk.b[0] ? "\"(hidden)\"" : "null");
	endpoint_format(endpoint, &p->endpoint);
	if (p->endpoint.addr.family == IP_NONE)
		buf_z(out, "null");
	else
		buf_printf(out, "\"%s\"", endpoint);
	buf_z(out, ",\"allowed_ips\":[");
	for (size_t i = 0; i < p->allowed_ip_count; i++) {
		ip_prefix_format(prefix, &ips[i]);
		buf_printf(out, "%s\"%s\"", i ? "," : "", prefix);
	}
	buf_z(out, "],\"latest_handshake\":");
	if (p->last_handshake_wall_ns)
		buf_printf(out, "%lld", p->last_handshake_wall_ns / NS_PER_S);
	else
		buf_z(out, "null");
	buf_printf(out,
		   ",\"transfer_rx\":%" PRIu64 ",\"transfer_tx\":%" PRIu64
		   ",\"persistent_keepalive\":%u}",
		   p->rx_bytes, p->tx_bytes, p->keepalive_s);
}

static enum http_pull dump_pull(void *ctx, struct buf *out, size_t want)
{
	struct dump *d = ctx;
	size_t end = out->n + want;

	if (d->at == 0)
		buf_printf(out, "{\"interface\":\"%s\",\"peers\":[", d->ifname);
	while (d->at < d->n && out->n < end) {
		const struct wg_peer_info *p = &d->p[d->at];

		if (d->at)
			buf_char(out, ',');
		dump_peer(out, p, d->ips + d->ip_at);
		d->ip_at += p->allowed_ip_count;
		d->at++;
	}
	if (d->at < d->n)
		return HTTP_MORE;
	buf_z(out, "]}");
	return HTTP_END;
}

static void dump_done(void *ctx)
{
	struct dump *d = ctx;

	free(d->p);
	free(d->ips);
	free(d);
}

void agent_dump(struct http_request *r, void *ctx)
{
	const struct agent *a = ctx;
	struct dump *d;
	struct err e;
	enum err_code rc;

	if (!agent_own(a, r))
		return;
	d = calloc(1, sizeof *d);
	if (!d) {
		agent_json(r, 500, NULL);
		return;
	}
	BUG_ON(!str_copy(d->ifname, sizeof d->ifname, str_of(a->c.core->settings.ifname)));
	rc = a->c.core->host.walk_peers(a->c.core->host.ctx, dump_collect, d, &e);
	if (rc == ERR_OK && d->no_memory)
		rc = err_set(&e, ERR_NOMEM, "read the peers: out of memory");
	if (rc) {
		dump_done(d);
		agent_fail(r, &e);
		return;
	}
	http_respond_stream(r, 200, "application/json",
			    &(struct http_producer){ dump_pull, dump_done, d });
}

/* ---- what a peer may be ---- */

enum err_code agent_peer_ip(struct agent_peer *p, const struct settings *s,
			    const struct ip_prefix *one, struct err *e)
{
	bool v4 = one->addr.family == IP_V4;
	const struct ip_prefix *net = v4 ? &s->network : &s->network6;
	struct ip_addr *to = v4 ? &p->ip : &p->ip6;
	struct ip_prefix server = settings_server_address(net), first = *net;
	char text[PREFIX_TEXT_MAX], network[PREFIX_TEXT_MAX];

	ip_prefix_format(text, one);
	if (net->addr.family == IP_NONE)
		return err_set(e, ERR_INVALID, "allowed_ips: %s: the gateway has no IPv6 network",
			       text);
	ip_prefix_format(network, net);
	if (one->len != ip_bits(one->addr.family) || !ip_prefix_contains(net, &one->addr))
		return err_set(e, ERR_INVALID,
			       "allowed_ips: %s is not one address of %s, and peers of this "
			       "interface have no other",
			       text, network);
	ip_prefix_mask(&first);
	if (ip_eq(&one->addr, &server.addr) || ip_eq(&one->addr, &first.addr))
		return err_set(e, ERR_INVALID, "allowed_ips: %s is the gateway's own", text);
	if (v4 && !ip_prefix_host(net, settings_last_client(net) + 1, &first.addr))
		return err_set(e, ERR_RANGE, "network %s has no last address", network);
	if (v4 && ip_eq(&one->addr, &first.addr))
		return err_set(e, ERR_INVALID, "allowed_ips: %s is the broadcast address of %s",
			       text, network);
	if (to->family != IP_NONE && !ip_eq(to, &one->addr))
		return err_set(e, ERR_INVALID,
			       "allowed_ips: %s is a second address of its family; a peer has one",
			       text);
	*to = one->addr;
	p->has_ips = true;
	return ERR_OK;
}

void agent_peer_name(char out[CLIENT_NAME_MAX + 1], const struct public_key *k)
{
	char key[KEY_TEXT_MAX];
	int n;

	public_key_text(key, k);
	for (size_t i = 0; key[i]; i++)
		key[i] = (char)(key[i] == '+' ? '-' : key[i] == '/' ? '_' : key[i]);
	n = snprintf(out, CLIENT_NAME_MAX + 1, "peer-%.43s", key);
	BUG_ON(n < 0 || n > CLIENT_NAME_MAX);
}

enum err_code agent_peer_place(struct agent *a, struct agent_peer *p, struct err *e)
{
	const struct settings *s = &a->c.core->settings;
	uint64_t index;
	enum err_code rc = store_free_index(a->c.core->store, &s->network, SETTINGS_FIRST_CLIENT,
					    settings_last_client(&s->network), &index, e);

	if (rc)
		return rc;
	if (!ip_prefix_host(&s->network, index, &p->ip) ||
	    (s->network6.addr.family != IP_NONE && !ip_prefix_host(&s->network6, index, &p->ip6)))
		return err_set(e, ERR_RANGE, "the network has no host %" PRIu64, index);
	p->has_ips = true;
	return ERR_OK;
}

/* ---- store ---- */

/* A client of IPv6 alone keeps an IPv4 address, which nobody else gets (model/client.h). */
static enum err_code free_address(struct agent *a, struct ip_addr *out, struct err *e)
{
	struct agent_peer p = { 0 };
	enum err_code rc = agent_peer_place(a, &p, e);

	*out = p.ip;
	return rc;
}

static enum err_code client_make(struct agent *a, const struct agent_peer *p, struct client *c,
				 struct err *e)
{
	struct core *core = a->c.core;
	enum err_code rc = ERR_OK;

	*c = (struct client){ .ip = p->ip,
			      .ip6 = p->ip6,
			      .public_key = p->key,
			      .psk = p->psk,
			      .keepalive_s = p->keepalive_s,
			      .created_ns = core->host.wall_ns(core->host.ctx),
			      .enabled = true };
	if (ct_equal(&p->key, &core->server_key, KEY_LEN))
		return err_set(e, ERR_INVALID, "public_key: it is the interface's own");
	agent_peer_name(c->name, &p->key);
	c->ipv6_only = p->ip.family == IP_NONE;
	if (c->ipv6_only)
		rc = free_address(a, &c->ip, e);
	return rc ? rc : store_client_add(core->store, c, e);
}

static enum err_code client_readdress(struct agent *a, const struct agent_peer *p, struct client *c,
				      struct err *e)
{
	bool no_v4 = p->ip.family == IP_NONE;
	struct store_address to = { c->id, no_v4 ? c->ip : p->ip, p->ip6 };
	enum err_code rc;

	if (!p->has_ips ||
	    (ip_eq(&to.ip, &c->ip) && ip_eq(&to.ip6, &c->ip6) && no_v4 == c->ipv6_only))
		return ERR_OK;
	if (no_v4 != c->ipv6_only)
		return err_set(e, ERR_UNSUPPORTED,
			       "allowed_ips: client %s was made %s IPv4; remove and add it to "
			       "change that",
			       c->name, c->ipv6_only ? "without" : "with");
	rc = store_clients_readdress(a->c.core->store, &to, 1, e);
	if (rc == ERR_OK) {
		c->ip = to.ip;
		c->ip6 = to.ip6;
	}
	return rc;
}

enum err_code agent_peer_store(struct agent *a, const struct agent_peer *p, struct client *c,
			       bool *is_new, struct err *e)
{
	struct store *s = a->c.core->store;
	enum err_code rc = store_client_by_key(s, &p->key, true, c, e);

	*is_new = rc == ERR_NOT_FOUND;
	if (*is_new)
		return client_make(a, p, c, e);
	if (rc == ERR_OK)
		rc = client_readdress(a, p, c, e);
	if (rc == ERR_OK && p->has_psk && !ct_equal(&p->psk, &c->psk, KEY_LEN)) {
		rc = store_client_set_psk(s, c->id, &c->public_key, &p->psk, e);
		c->psk = p->psk;
	}
	if (rc == ERR_OK && p->has_keepalive && p->keepalive_s != c->keepalive_s) {
		rc = store_client_set_keepalive(s, c->id, p->keepalive_s, e);
		c->keepalive_s = p->keepalive_s;
	}
	return rc;
}

/* ---- one peer: store, device, commit ---- */

static enum err_code injected(const char *where, struct err *e)
{
	return err_set(e, ERR_IO, "failure injected at %s", where);
}

/* Suspended ones stay out of the device.  Where it is and what it has used are the device's. */
static enum err_code live_set(struct agent *a, const struct client *c, struct err *e)
{
	struct wg_allowed_ip allowed[2];
	struct wg_peer_change p = core_peer_of(c, allowed);
	struct wg_peer_info info;
	enum err_code rc = ERR_OK;

	if (a->c.core->host.peer(a->c.core->host.ctx, &c->public_key, &info)) {
		wipe(&info.psk, sizeof info.psk);
		p.has_endpoint = false;
		p.limits = core_limits_of(c, false);
	}
	if (c->enabled)
		rc = a->c.core->host.change_peers(a->c.core->host.ctx, &p, 1, e);
	wipe(&p, sizeof p);
	if (rc == ERR_OK && FAULT("agent.peer"))
		rc = injected("agent.peer", e);
	return rc;
}

static enum err_code live_remove(struct agent *a, const struct public_key *k, struct err *e)
{
	const struct wg_peer_change p = { .public_key = *k, .remove = true };
	enum err_code rc = a->c.core->host.change_peers(a->c.core->host.ctx, &p, 1, e);

	if (rc == ERR_OK && FAULT("agent.peer"))
		rc = injected("agent.peer", e);
	return rc;
}

/* What is live becomes again what the store, rolled back, says of the key. */
static void live_undo(struct agent *a, const struct public_key *k)
{
	struct client c = { 0 };
	struct err e;
	enum err_code rc = store_client_by_key(a->c.core->store, k, true, &c, &e);

	if (rc == ERR_NOT_FOUND)
		rc = live_remove(a, k, &e);
	else if (rc == ERR_OK)
		rc = live_set(a, &c, &e);
	if (rc)
		LOG_ERR("agent.undo_failed", F_ERR(&e));
	client_done(&c);
}

static enum err_code peer_set(struct agent *a, struct agent_peer *p, struct client *c, bool *is_new,
			      struct err *e)
{
	enum err_code rc = store_begin(a->c.core->store, e);
	bool touched = false, known = false;

	if (rc)
		return rc;
	rc = store_client_key_known(a->c.core->store, &p->key, &known, e);
	if (rc == ERR_OK && !known && !p->has_ips)
		rc = agent_peer_place(a, p, e);
	if (rc == ERR_OK)
		rc = agent_peer_store(a, p, c, is_new, e);
	if (rc == ERR_OK) {
		touched = true;
		rc = live_set(a, c, e);
	}
	if (rc == ERR_OK)
		rc = store_commit(a->c.core->store, e);
	if (rc) {
		store_rollback(a->c.core->store);
		if (touched)
			live_undo(a, &p->key);
	}
	return rc;
}

/* ---- requests ---- */

/* A list of texts, or one text with commas. */
static bool ips_read(struct http_request *r, const struct agent *a, const json_t *body,
		     struct agent_peer *p)
{
	const json_t *v = json_object_get(body, "allowed_ips"), *one;
	struct ip_prefix prefix;
	struct err e;
	char shown[80];
	size_t i;

	if (!v || json_is_null(v))
		return true;
	if (!json_is_array(v) || json_array_size(v) > ALLOWED_IPS_MAX) {
		agent_error(r, 422, "allowed_ips: must be a list of at most %d networks",
			    ALLOWED_IPS_MAX);
		return false;
	}
	json_array_foreach(v, i, one)
	{
		struct str s = { json_string_value(one), json_string_length(one) };

		text_escaped(shown, sizeof shown, s.p ? s : STR("?"));
		if (!s.p || !ip_prefix_parse(s, &prefix)) {
			agent_error(r, 422, "allowed_ips: %s is no network such as 10.8.0.2/32",
				    shown);
			return false;
		}
		if (agent_peer_ip(p, &a->c.core->settings, &prefix, &e)) {
			agent_fail(r, &e);
			return false;
		}
	}
	return true;
}

static bool psk_read(struct http_request *r, const json_t *body, struct agent_peer *p)
{
	struct str text;

	if (!agent_text(r, body, "preshared_key", KEY_TEXT_MAX, &text))
		return false;
	if (!text.n)
		return true;
	p->has_psk = base64_decode(p->psk.b, KEY_LEN, text);
	if (!p->has_psk)
		agent_error(r, 422, "preshared_key: not a key of 32 bytes in base64");
	return p->has_psk;
}

static bool settings_read(struct http_request *r, const struct agent *a, const json_t *body,
			  struct agent_peer *p)
{
	uint32_t keepalive = 0;

	if (!ips_read(r, a, body, p) || !psk_read(r, body, p) ||
	    !agent_number(r, body, "persistent_keepalive", 0, UINT16_MAX, &keepalive,
			  &p->has_keepalive))
		return false;
	p->keepalive_s = (uint16_t)keepalive;
	return true;
}

static bool key_read(struct http_request *r, struct str text, struct public_key *out)
{
	char shown[80];

	if (agent_key_parse(text, out) && !ct_is_zero(out, KEY_LEN))
		return true;
	text_escaped(shown, sizeof shown, text);
	agent_error(r, 422, "public_key: %s is not a key of 32 bytes in base64", shown);
	return false;
}

static json_t *client_json_of(const struct client *c)
{
	char key[KEY_TEXT_MAX], ip[IP_TEXT_MAX];
	json_t *ips = json_array();

	public_key_text(key, &c->public_key);
	ip_format(ip, &c->ip);
	if (!c->ipv6_only)
		(void)json_array_append_new(ips, json_sprintf("%s/32", ip));
	if (c->ip6.family == IP_V6) {
		ip_format(ip, &c->ip6);
		(void)json_array_append_new(ips, json_sprintf("%s/128", ip));
	}
	return json_pack("{s:s,s:o}", "public_key", key, "allowed_ips", ips);
}

static void say_changed(const struct agent *a, const struct http_request *r, const char *event,
			const struct client *c)
{
	LOG_NOTE("agent.peer", F_STR("what", event), F_STR("name", c->name), F_IP("ip", &c->ip),
		 F_STR("by", a->key_id), F_ENDPOINT("from", &r->peer));
}

void agent_peer_add(struct http_request *r, void *ctx)
{
	static const char *const fields[] = { "public_key*", "allowed_ips", "preshared_key",
					      "persistent_keepalive", NULL };
	struct agent *a = ctx;
	struct agent_peer p = { 0 };
	struct client c = { 0 };
	struct str key;
	struct err e;
	bool is_new;
	json_t *body;

	if (!agent_own(a, r))
		return;
	body = agent_body(r, fields);
	if (!body)
		return;
	if (!agent_text(r, body, "public_key", 64, &key) || !key_read(r, key, &p.key) ||
	    !settings_read(r, a, body, &p))
		goto out;
	if (peer_set(a, &p, &c, &is_new, &e)) {
		agent_fail(r, &e);
		goto out;
	}
	say_changed(a, r, is_new ? "added" : "changed", &c);
	agent_json(r, 200,
		   json_pack("{s:s,s:s,s:o}", "status", "success", "message",
			     is_new ? "Peer added successfully" : "Peer updated successfully",
			     "peer", client_json_of(&c)));
out:
	json_decref(body);
	wipe(&p, sizeof p);
	client_done(&c);
}

/* The peer of the path, which must be there; else answers. */
static bool peer_known(struct http_request *r, struct agent *a, struct public_key *k)
{
	bool known = false;
	char key[KEY_TEXT_MAX];
	struct err e;

	if (!key_read(r, http_param(r, "public_key"), k))
		return false;
	if (store_client_key_known(a->c.core->store, k, &known, &e)) {
		agent_fail(r, &e);
		return false;
	}
	public_key_text(key, k);
	if (!known)
		agent_error(r, 404, "Peer %s not found", key);
	return known;
}

void agent_peer_change(struct http_request *r, void *ctx)
{
	static const char *const fields[] = { "allowed_ips", "persistent_keepalive",
					      "preshared_key", NULL };
	struct agent *a = ctx;
	struct agent_peer p = { 0 };
	struct client c = { 0 };
	struct err e;
	bool is_new;
	json_t *body;

	if (!agent_own(a, r) || !peer_known(r, a, &p.key))
		return;
	body = agent_body(r, fields);
	if (!body)
		return;
	if (!settings_read(r, a, body, &p))
		goto out;
	if (peer_set(a, &p, &c, &is_new, &e)) {
		agent_fail(r, &e);
		goto out;
	}
	say_changed(a, r, "changed", &c);
	agent_json(r, 200,
		   json_pack("{s:s,s:s,s:o}", "status", "success", "message",
			     "Peer updated successfully", "peer", client_json_of(&c)));
out:
	json_decref(body);
	wipe(&p, sizeof p);
	client_done(&c);
}

static enum err_code peer_drop(struct agent *a, const struct client *c, struct err *e)
{
	struct store *s = a->c.core->store;
	enum err_code rc = store_begin(s, e);
	bool touched = false;

	if (rc)
		return rc;
	rc = store_client_remove(s, c->id, e);
	if (rc == ERR_OK) {
		touched = true;
		rc = live_remove(a, &c->public_key, e);
	}
	if (rc == ERR_OK)
		rc = store_commit(s, e);
	if (rc) {
		store_rollback(s);
		if (touched)
			live_undo(a, &c->public_key);
	}
	return rc;
}

void agent_peer_remove(struct http_request *r, void *ctx)
{
	struct agent *a = ctx;
	struct client c = { 0 };
	struct public_key k;
	struct err e;

	if (!agent_own(a, r) || !peer_known(r, a, &k))
		return;
	if (store_client_by_key(a->c.core->store, &k, false, &c, &e) || peer_drop(a, &c, &e)) {
		agent_fail(r, &e);
		return;
	}
	say_changed(a, r, "removed", &c);
	agent_json(r, 200,
		   json_pack("{s:s,s:s}", "status", "success", "message",
			     "Peer removed successfully"));
}
