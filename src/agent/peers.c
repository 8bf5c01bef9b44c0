/* Peers of an interface: reading all of them, adding, changing and removing one.
 *
 * Each change of one is stored, made live and then committed, as core does it. */
#include <inttypes.h>

#include "base/fault.h"
#include "base/log.h"
#include "agent/iface.h"

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
		   ct_is_zero(&p->psk, sizeof p->psk) ? "null" : "\"(hidden)\"");
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
	struct agent_iface i;
	struct dump *d;
	struct err e;
	enum err_code rc;

	if (!agent_iface_find(ctx, r, &i))
		return;
	d = calloc(1, sizeof *d);
	if (!d) {
		agent_json(r, 500, NULL);
		return;
	}
	BUG_ON(!str_copy(d->ifname, sizeof d->ifname, str_of(i.ifname)));
	rc = i.ops->walk(&i, dump_collect, d, &e);
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

/* ---- one peer: store, device, commit ---- */

/* What is live becomes again what the store, rolled back, says of the key. */
static void live_undo(const struct agent_iface *i, const struct public_key *k)
{
	struct err e;

	if (i->ops->peer_live(i, k, &e))
		LOG_ERR("agent.undo_failed", F_ERR(&e));
}

static enum err_code peer_steps(const struct agent_iface *i, struct agent_peer *p, bool remove,
				bool *touched, struct err *e)
{
	enum err_code rc =
		remove ? i->ops->peer_remove(i, &p->key, e) : i->ops->peer_store(i, p, e);

	if (rc)
		return rc;
	*touched = true;
	rc = i->ops->peer_live(i, &p->key, e);
	if (rc == ERR_OK && FAULT("agent.peer"))
		rc = err_set(e, ERR_IO, "failure injected at agent.peer");
	return rc ? rc : store_commit(i->a->c.core->store, e);
}

static enum err_code peer_write(const struct agent_iface *i, struct agent_peer *p, bool remove,
				struct err *e)
{
	struct store *s = i->a->c.core->store;
	bool touched = false;
	enum err_code rc = store_begin(s, e);

	if (rc)
		return rc;
	rc = peer_steps(i, p, remove, &touched, e);
	if (rc == ERR_OK)
		return ERR_OK;
	store_rollback(s);
	if (touched)
		live_undo(i, &p->key);
	return rc;
}

/* ---- requests ---- */

static bool ips_read(struct http_request *r, const json_t *body, struct agent_peer *p)
{
	const json_t *v = json_object_get(body, "allowed_ips"), *one;
	char shown[80];
	size_t i;

	if (!v || json_is_null(v))
		return true;
	if (!json_is_array(v) || json_array_size(v) > AGENT_PEER_IPS_MAX) {
		agent_error(r, 422, "allowed_ips: must be a list of at most %d networks",
			    AGENT_PEER_IPS_MAX);
		return false;
	}
	json_array_foreach(v, i, one)
	{
		struct str s = { json_string_value(one), json_string_length(one) };

		text_escaped(shown, sizeof shown, s.p ? s : STR("?"));
		if (!s.p || !ip_prefix_parse(s, &p->ips[i])) {
			agent_error(r, 422, "allowed_ips: %s is no network such as 10.8.0.2/32",
				    shown);
			return false;
		}
		p->ip_count = i + 1;
	}
	p->has_ips = true;
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

static bool settings_read(struct http_request *r, const json_t *body, struct agent_peer *p)
{
	uint32_t keepalive = 0;

	if (!ips_read(r, body, p) || !psk_read(r, body, p) ||
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

static json_t *peer_json(const struct agent_peer *p)
{
	char key[KEY_TEXT_MAX], text[PREFIX_TEXT_MAX];
	json_t *ips = json_array();

	public_key_text(key, &p->key);
	for (size_t i = 0; i < p->ip_count; i++) {
		ip_prefix_format(text, &p->ips[i]);
		(void)json_array_append_new(ips, json_string(text));
	}
	return json_pack("{s:s,s:o}", "public_key", key, "allowed_ips", ips);
}

static void say_changed(const struct agent_iface *i, const struct http_request *r,
			const char *event, const struct public_key *k)
{
	char key[KEY_TEXT_MAX];

	public_key_text(key, k);
	LOG_NOTE("agent.peer", F_STR("what", event), F_STR("interface", i->ifname),
		 F_STR("key", key), F_STR("by", i->a->key_id), F_ENDPOINT("from", &r->peer));
}

/* p->key is set. */
static void peer_serve(struct http_request *r, const struct agent_iface *i, const json_t *body,
		       struct agent_peer *p)
{
	struct err e;

	if (!settings_read(r, body, p))
		return;
	if (peer_write(i, p, false, &e)) {
		agent_fail(r, &e);
		return;
	}
	say_changed(i, r, p->is_new ? "added" : "changed", &p->key);
	agent_json(r, 200,
		   json_pack("{s:s,s:s,s:o}", "status", "success", "message",
			     p->is_new ? "Peer added successfully" : "Peer updated successfully",
			     "peer", peer_json(p)));
}

void agent_peer_add(struct http_request *r, void *ctx)
{
	static const char *const fields[] = { "public_key*", "allowed_ips", "preshared_key",
					      "persistent_keepalive", NULL };
	struct ip_prefix ips[AGENT_PEER_IPS_MAX];
	struct agent_peer p = { .ips = ips };
	struct agent_iface i;
	struct str key;
	json_t *body;

	if (!agent_iface_find(ctx, r, &i))
		return;
	body = agent_body(r, fields);
	if (!body)
		return;
	if (agent_text(r, body, "public_key", 64, &key) && key_read(r, key, &p.key))
		peer_serve(r, &i, body, &p);
	json_decref(body);
	wipe(&p, sizeof p);
}

/* The peer of the path, which must be there; else answers. */
static bool peer_known(struct http_request *r, const struct agent_iface *i, struct public_key *k)
{
	bool known = false;
	char key[KEY_TEXT_MAX];
	struct err e;

	if (!key_read(r, http_param(r, "public_key"), k))
		return false;
	if (i->ops->peer_known(i, k, &known, &e)) {
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
	struct ip_prefix ips[AGENT_PEER_IPS_MAX];
	struct agent_peer p = { .ips = ips };
	struct agent_iface i;
	json_t *body;

	if (!agent_iface_find(ctx, r, &i) || !peer_known(r, &i, &p.key))
		return;
	body = agent_body(r, fields);
	if (!body)
		return;
	peer_serve(r, &i, body, &p);
	json_decref(body);
	wipe(&p, sizeof p);
}

void agent_peer_remove(struct http_request *r, void *ctx)
{
	struct agent_peer p = { 0 };
	struct agent_iface i;
	struct err e;

	if (!agent_iface_find(ctx, r, &i) || !peer_known(r, &i, &p.key))
		return;
	if (peer_write(&i, &p, true, &e)) {
		agent_fail(r, &e);
		return;
	}
	say_changed(&i, r, "removed", &p.key);
	agent_json(r, 200,
		   json_pack("{s:s,s:s}", "status", "success", "message",
			     "Peer removed successfully"));
}
