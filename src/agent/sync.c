/* POST /v1/wg/{iface}/syncconf: the peers become those of a file, by the smallest change.
 *
 * The clients of the store are the peers, so the file is compared with them: what is in the file
 * and not there is added, what differs is changed, and what is there and not in the file goes.  All in
 * one transaction, and the device gets only what has changed: nobody else notices.
 */
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/rows.h"
#include "agent/own.h"
#include "store/agent.h"

#define INVALID "Invalid base64-encoded configuration"

struct sync {
	struct agent *a;
	struct wg_conf conf; /* borrowed from the handler */
	struct agent_peer *want; /* of each of the file's peers */
	bool *found; /* as long: the store has it */
	struct rows removed, differing; /* struct store_peer, as they are stored */
	struct rows
		stored; /* struct client, as they are to be: those of `differing`, then new ones */
	size_t unchanged;
	size_t applied; /* changes that the device may have seen */
	enum err_code rc;
	struct err *e;
};

static void sync_done(struct sync *s)
{
	if (s->want)
		wipe(s->want, s->conf.peer_count * sizeof *s->want);
	free(s->want);
	free(s->found);
	rows_done(&s->removed);
	rows_done(&s->differing);
	rows_done(&s->stored);
}

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NOMEM, "syncconf: out of memory");
}

/* ---- the file ---- */

static enum err_code want_one(struct sync *s, const struct wg_conf_peer *from,
			      struct agent_peer *to, struct err *e)
{
	char key[KEY_TEXT_MAX];
	enum err_code rc = ERR_OK;

	*to = (struct agent_peer){ .key = from->public_key,
				   .has_psk = true, /* none in the file: none at all */
				   .psk = from->psk,
				   .has_keepalive = true,
				   .keepalive_s = from->keepalive_s };
	for (size_t i = 0; rc == ERR_OK && i < from->allowed_ip_count; i++)
		rc = agent_peer_ip(to, &s->a->c.core->settings, &from->allowed_ips[i], e);
	if (rc == ERR_OK && !to->has_ips)
		rc = err_set(e, ERR_INVALID, "AllowedIPs has no address of the gateway's network");
	if (rc == ERR_OK && ct_equal(&to->key, &s->a->c.core->server_key, KEY_LEN))
		rc = err_set(e, ERR_INVALID, "PublicKey is the interface's own");
	if (rc == ERR_OK)
		return ERR_OK;
	public_key_text(key, &to->key);
	return err_wrap(e, rc, "peer %s", key);
}

static enum err_code want_fill(struct sync *s, struct err *e)
{
	size_t n = s->conf.peer_count;
	enum err_code rc = ERR_OK;

	s->want = calloc(n + 1, sizeof *s->want);
	s->found = calloc(n + 1, sizeof *s->found);
	if (!s->want || !s->found)
		return no_memory(e);
	for (size_t i = 0; rc == ERR_OK && i < n; i++)
		rc = want_one(s, &s->conf.peers[i], &s->want[i], e);
	return rc;
}

/* What the file wants of a key; NULL: it does not name it. */
static const struct agent_peer *want_of(const struct sync *s, const struct public_key *k)
{
	size_t i = key_order_find(&s->conf.by_key, k);

	return i < s->conf.peer_count ? &s->want[i] : NULL;
}

/* ---- the store ---- */

static bool is_same(const struct agent_peer *want, const struct store_peer *p)
{
	return (p->ipv6_only ? want->ip.family == IP_NONE : ip_eq(&want->ip, &p->ip)) &&
	       ip_eq(&want->ip6, &p->ip6) && want->keepalive_s == p->keepalive_s &&
	       ct_equal(&want->psk, &p->psk, KEY_LEN);
}

static bool client_compare(void *ctx, const struct store_peer *p)
{
	struct sync *s = ctx;
	const struct agent_peer *want = want_of(s, &p->public_key);
	struct store_peer *kept;

	if (want)
		s->found[want - s->want] = true;
	if (want && is_same(want, p)) {
		s->unchanged++;
		return true;
	}
	kept = rows_add(want ? &s->differing : &s->removed);
	if (kept)
		*kept = *p;
	else
		s->rc = no_memory(s->e);
	return kept != NULL;
}

/* Addresses may go from one client to another: all at once. */
static enum err_code addresses_store(struct sync *s, struct err *e)
{
	struct store_address *to = calloc(s->differing.count + 1, sizeof *to);
	size_t n = 0;
	enum err_code rc = ERR_OK;

	if (!to)
		return no_memory(e);
	for (size_t i = 0; i < s->differing.count; i++) {
		const struct store_peer *p = rows_at(&s->differing, i);
		const struct agent_peer *want = want_of(s, &p->public_key);

		/* Whether it has IPv4 at all is checked where it is stored. */
		if (want->ip.family == IP_NONE || p->ipv6_only ||
		    (ip_eq(&want->ip, &p->ip) && ip_eq(&want->ip6, &p->ip6)))
			continue;
		to[n++] = (struct store_address){ p->id, want->ip, want->ip6 };
	}
	if (n)
		rc = store_clients_readdress(s->a->c.core->store, to, n, e);
	free(to);
	return rc;
}

static enum err_code store_one(struct sync *s, const struct agent_peer *want, struct err *e)
{
	struct client *c = rows_add(&s->stored);
	enum err_code rc;
	bool is_new;

	if (!c)
		return no_memory(e);
	rc = agent_peer_store(s->a, want, c, &is_new, e);
	if (rc) {
		wipe(c, sizeof *c);
		s->stored.count--;
	}
	return rc;
}

static enum err_code store_changes(struct sync *s, struct err *e)
{
	struct store *store = s->a->c.core->store;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < s->removed.count; i++) {
		const struct store_peer *p = rows_at(&s->removed, i);

		rc = store_client_remove(store, p->id, e);
	}
	if (rc == ERR_OK)
		rc = addresses_store(s, e);
	for (size_t i = 0; rc == ERR_OK && i < s->differing.count; i++) {
		const struct store_peer *p = rows_at(&s->differing, i);

		rc = store_one(s, want_of(s, &p->public_key), e);
	}
	for (size_t i = 0; rc == ERR_OK && i < s->conf.peer_count; i++) {
		if (!s->found[i])
			rc = store_one(s, &s->want[i], e);
	}
	return rc;
}

/* ---- the device ---- */

/* One change for each client that is not as it was, in the order that a file would set them: who
 * goes first, so that an address is free before another takes it.  Where one is that was there before,
 * and what it has used, is the device's to know. */
static enum err_code live_changes(struct sync *s, struct err *e)
{
	const struct core *core = s->a->c.core;
	size_t n = 0, all = s->removed.count + s->stored.count;
	struct wg_peer_change *c = calloc(all + 1, sizeof *c);
	struct wg_allowed_ip(*ips)[2] = calloc(s->stored.count + 1, sizeof *ips);
	enum err_code rc = ERR_OK;

	if (!c || !ips)
		rc = no_memory(e);
	for (size_t i = 0; rc == ERR_OK && i < s->removed.count; i++) {
		const struct store_peer *p = rows_at(&s->removed, i);

		c[n++] = (struct wg_peer_change){ .public_key = p->public_key, .remove = true };
	}
	for (size_t i = 0; rc == ERR_OK && i < s->stored.count; i++) {
		const struct client *to = rows_at(&s->stored, i);

		if (!to->enabled)
			continue;
		c[n] = core_peer_of(to, ips[i]);
		if (i < s->differing.count) {
			c[n].has_endpoint = false;
			c[n].limits = core_limits_of(to, false);
		}
		n++;
	}
	s->applied = n;
	if (rc == ERR_OK && n)
		rc = core->host.change_peers(core->host.ctx, c, n, e);
	if (rc == ERR_OK && FAULT("agent.peer"))
		rc = err_set(e, ERR_IO, "failure injected at agent.peer");
	if (c)
		wipe(c, (all + 1) * sizeof *c);
	free(c);
	free(ips);
	return rc;
}

static enum err_code sync_run(struct sync *s, struct err *e)
{
	struct core *core = s->a->c.core;
	enum err_code rc = want_fill(s, e);
	struct err undo;

	s->e = e;
	if (rc == ERR_OK)
		rc = store_peers(core->store, client_compare, s, e);
	if (rc == ERR_OK)
		rc = s->rc;
	if (rc == ERR_OK)
		rc = store_begin(core->store, e);
	if (rc)
		return rc;
	rc = store_changes(s, e);
	if (rc == ERR_OK)
		rc = live_changes(s, e);
	if (rc == ERR_OK)
		rc = store_commit(core->store, e);
	if (rc == ERR_OK)
		return ERR_OK;
	store_rollback(core->store);
	if (s->applied && core_restore_peers(core, &undo))
		LOG_ERR("agent.undo_failed", F_ERR(&undo));
	return rc;
}

enum err_code agent_clients_sync(const struct agent_iface *i, const struct wg_conf *file,
				 struct agent_synced *out, struct err *e)
{
	struct sync s = {
		.a = i->a,
		.conf = *file,
		.removed = { .size = sizeof(struct store_peer), .secret = true },
		.differing = { .size = sizeof(struct store_peer), .secret = true },
		.stored = { .size = sizeof(struct client), .secret = true },
	};
	enum err_code rc = sync_run(&s, e);

	*out = (struct agent_synced){ .added = s.stored.count - s.differing.count,
				      .changed = s.differing.count,
				      .removed = s.removed.count,
				      .unchanged = s.unchanged };
	sync_done(&s);
	return rc;
}

/* ---- the body ---- */

/* Decoded base64 of any length, in memory of its own that holds one byte more; NULL when it is none. */
static uint8_t *decode(struct str text, size_t *n)
{
	uint8_t *p;

	if (!text.n || text.n % 4)
		return NULL;
	*n = text.n / 4 * 3 - (size_t)(text.p[text.n - 1] == '=') -
	     (size_t)(text.p[text.n - 2] == '=');
	p = malloc(*n + 1);
	if (p && !base64_decode(p, *n, text)) {
		free(p);
		p = NULL;
	}
	return p;
}

/* Spaces, then `token`. */
static bool take(struct str *s, struct str token)
{
	*s = str_trim(*s);
	if (!str_starts(*s, token))
		return false;
	*s = (struct str){ s->p + token.n, s->n - token.n };
	return true;
}

/* {"config": "…"}, as panels write it: the text where it stands.  Whatever has another form, or
 * something in the text that JSON escapes, is for a JSON library to judge; this only spares it a
 * body of many megabytes. */
static bool plain_body(struct str body, struct str *text)
{
	const char *end;

	if (!take(&body, STR("{")) || !take(&body, STR("\"config\"")) || !take(&body, STR(":")) ||
	    !take(&body, STR("\"")))
		return false;
	end = memchr(body.p, '"', body.n);
	if (!end)
		return false;
	*text = (struct str){ body.p, (size_t)(end - body.p) };
	body = (struct str){ end + 1, body.n - text->n - 1 };
	return take(&body, STR("}")) && str_trim(body).n == 0;
}

/* ---- the request ---- */

/* The same by the JSON library; NULL after an answer. */
static uint8_t *json_decode(struct http_request *r, size_t *n)
{
	static const char *const fields[] = { "config*", NULL };
	json_t *body = agent_body(r, fields), *v = json_object_get(body, "config");
	uint8_t *conf = NULL;

	if (body && !json_is_string(v)) {
		agent_error(r, 422, "config: must be a text");
	} else if (body) {
		conf = decode((struct str){ json_string_value(v), json_string_length(v) }, n);
		if (!conf)
			agent_error(r, 400, INVALID);
	}
	json_decref(body);
	return conf;
}

/* False after an answer. */
static bool conf_read(struct http_request *r, struct wg_conf *out)
{
	struct str text;
	uint8_t *conf = NULL;
	size_t n;
	struct err e;
	bool ok = false;

	if (plain_body(r->body, &text))
		conf = decode(text, &n);
	if (!conf)
		conf = json_decode(r, &n);
	if (!conf)
		return false;
	text = (struct str){ (const char *)conf, n };
	if (!utf8_valid(text))
		agent_error(r, 400, INVALID);
	else if (wg_conf_parse(out, text, "config", &e))
		agent_error(r, 400, "Configuration validation failed: %s", e.msg);
	else
		ok = true;
	wipe(conf, n);
	free(conf);
	return ok;
}

/* What a file says of the interface belongs to PUT .../config; the same is no contradiction. */
static bool interface_same(struct http_request *r, const struct agent_iface *i,
			   const struct wg_conf *c)
{
	struct agent_conf own = { 0 };
	const char *differs = NULL;
	struct err e;

	if (!c->has_private_key && !c->has_listen_port)
		return true;
	if (i->ops->load(i, &own, &e)) {
		agent_fail(r, &e);
		return false;
	}
	if (c->has_private_key && !ct_equal(&own.private_key, &c->private_key, KEY_LEN))
		differs = "PrivateKey";
	else if (c->has_listen_port && c->listen_port != own.port)
		differs = "ListenPort";
	agent_conf_done(&own);
	if (differs)
		agent_error(r, 409,
			    "config: %s is not the interface's; PUT /v1/wg/{interface}/config "
			    "changes it",
			    differs);
	return !differs;
}

void agent_syncconf(struct http_request *r, void *ctx)
{
	struct agent_synced n = { 0 };
	struct wg_conf file = { 0 };
	struct agent_iface i;
	struct err e;

	if (!agent_iface_find(ctx, r, &i))
		return;
	if (conf_read(r, &file) && interface_same(r, &i, &file)) {
		if (i.ops->sync(&i, &file, &n, &e)) {
			agent_fail(r, &e);
		} else {
			LOG_NOTE("agent.synced", F_STR("interface", i.ifname),
				 F_INT("added", n.added), F_INT("changed", n.changed),
				 F_INT("removed", n.removed), F_INT("unchanged", n.unchanged),
				 F_STR("by", i.a->key_id), F_ENDPOINT("from", &r->peer));
			agent_json(r, 200,
				   json_pack("{s:s,s:s,s:I,s:I,s:I,s:I}", "status", "success",
					     "message", "Configuration synchronized successfully",
					     "added", (json_int_t)n.added, "changed",
					     (json_int_t)n.changed, "removed",
					     (json_int_t)n.removed, "unchanged",
					     (json_int_t)n.unchanged));
		}
	}
	wg_conf_done(&file);
}
