/* POST /v1/wg/{iface}/syncconf: the peers become those of a file, by the smallest change.
 *
 * The clients of the store are the peers, so the file is compared with them: what is in the file
 * and not there is added, what differs is changed, and what is there and not in the file goes.  All in
 * one transaction, and the device gets only what has changed: nobody else notices.
 */
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "gateway/agent_own.h"
#include "store/agent.h"

#define INVALID "Invalid base64-encoded configuration"

struct sync {
	struct agent *a;
	struct wg_conf conf; /* borrowed from the handler */
	struct agent_peer *want; /* sorted by key */
	bool *found; /* as long: the store has it */
	struct client *changed; /* to be set; with secrets once they are stored */
	size_t changed_n, changed_cap;
	struct client *removed; /* without secrets */
	size_t removed_n, removed_cap;
	size_t added, updated, unchanged;
	size_t applied; /* changes that the device may have seen */
	enum err_code rc;
	struct err *e;
};

static int by_key(const void *a, const void *b)
{
	const struct agent_peer *x = a, *y = b;

	return memcmp(x->key.b, y->key.b, KEY_LEN);
}

static void sync_done(struct sync *s)
{
	for (size_t i = 0; i < s->changed_n; i++)
		client_done(&s->changed[i]);
	if (s->want)
		wipe(s->want, s->conf.peer_count * sizeof *s->want);
	free(s->want);
	free(s->found);
	free(s->changed);
	free(s->removed);
}

static enum err_code keep(struct client **list, size_t *n, size_t *cap, const struct client *c,
			  struct err *e)
{
	if (*n == *cap) {
		size_t room = *cap ? *cap * 2 : 64;
		struct client *more = calloc(room, sizeof *more);

		if (!more)
			return err_set(e, ERR_NOMEM, "syncconf: out of memory");
		if (*n) {
			memcpy(more, *list, *n * sizeof *more);
			wipe(*list, *n * sizeof *more);
		}
		free(*list);
		*list = more;
		*cap = room;
	}
	(*list)[(*n)++] = *c;
	return ERR_OK;
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
	public_key_text(key, &to->key);
	return rc ? err_wrap(e, rc, "peer %s", key) : ERR_OK;
}

static enum err_code want_fill(struct sync *s, struct err *e)
{
	size_t n = s->conf.peer_count;
	char key[KEY_TEXT_MAX];
	enum err_code rc = ERR_OK;

	s->want = calloc(n + 1, sizeof *s->want);
	s->found = calloc(n + 1, sizeof *s->found);
	if (!s->want || !s->found)
		return err_set(e, ERR_NOMEM, "syncconf: out of memory");
	for (size_t i = 0; rc == ERR_OK && i < n; i++)
		rc = want_one(s, &s->conf.peers[i], &s->want[i], e);
	if (rc)
		return rc;
	qsort(s->want, n, sizeof *s->want, by_key);
	for (size_t i = 1; i < n; i++) {
		if (by_key(&s->want[i - 1], &s->want[i]) != 0)
			continue;
		public_key_text(key, &s->want[i].key);
		return err_set(e, ERR_INVALID, "peer %s stands twice", key);
	}
	return ERR_OK;
}

/* Decoded base64 of any length; false when it is none. */
static bool decode(struct buf *out, struct str text)
{
	size_t n = text.n / 4 * 3;
	uint8_t *p;
	bool ok;

	if (!text.n || text.n % 4)
		return false;
	n -= (size_t)(text.p[text.n - 1] == '=') + (size_t)(text.p[text.n - 2] == '=');
	p = malloc(n + 1);
	ok = p && base64_decode(p, n, text);
	if (ok)
		buf_add(out, p, n);
	if (p)
		wipe(p, n);
	free(p);
	return ok && buf_ok(out);
}

/* ---- the store ---- */

/* The engine has the preshared key as the store has it, and opens no seal to say so; of other kinds
 * of devices keys are not at hand. */
static bool psk_same(struct sync *s, const struct agent_peer *p, const struct client *c)
{
	const struct core *core = s->a->c.core;
	struct wg_peer_info info = { 0 };
	struct client stored = { 0 };
	bool same = core->backend && strcmp(core->backend, "engine") == 0 &&
		    core->host.peer(core->host.ctx, &c->public_key, &info) &&
		    ct_equal(&p->psk, &info.psk, KEY_LEN);

	wipe(&info.psk, sizeof info.psk);
	if (same)
		return true;
	s->rc = store_client_by_key(core->store, &c->public_key, true, &stored, s->e);
	same = s->rc == ERR_OK && ct_equal(&p->psk, &stored.psk, KEY_LEN);
	client_done(&stored);
	return same;
}

static bool is_same(struct sync *s, const struct agent_peer *p, const struct client *c)
{
	return (c->ipv6_only ? p->ip.family == IP_NONE : ip_eq(&p->ip, &c->ip)) &&
	       ip_eq(&p->ip6, &c->ip6) && p->keepalive_s == c->keepalive_s && psk_same(s, p, c);
}

static bool client_compare(void *ctx, const struct client *c)
{
	struct sync *s = ctx;
	struct agent_peer key = { .key = c->public_key };
	const struct agent_peer *p =
		bsearch(&key, s->want, s->conf.peer_count, sizeof *s->want, by_key);

	if (!p) {
		s->rc = keep(&s->removed, &s->removed_n, &s->removed_cap, c, s->e);
	} else {
		s->found[p - s->want] = true;
		if (is_same(s, p, c))
			s->unchanged++;
		else if (s->rc == ERR_OK)
			s->rc = keep(&s->changed, &s->changed_n, &s->changed_cap, c, s->e);
	}
	return s->rc == ERR_OK;
}

static const struct agent_peer *want_of(const struct sync *s, const struct client *c)
{
	struct agent_peer key = { .key = c->public_key };

	return bsearch(&key, s->want, s->conf.peer_count, sizeof *s->want, by_key);
}

/* Addresses may go from one client to another: all at once. */
static enum err_code addresses_store(struct sync *s, struct err *e)
{
	struct store_address *to = calloc(s->changed_n + 1, sizeof *to);
	size_t n = 0;
	enum err_code rc = ERR_OK;

	if (!to)
		return err_set(e, ERR_NOMEM, "syncconf: out of memory");
	for (size_t i = 0; i < s->changed_n; i++) {
		struct client *c = &s->changed[i];
		const struct agent_peer *p = want_of(s, c);

		/* Whether it has IPv4 at all is checked where it is stored. */
		if (p->ip.family == IP_NONE || c->ipv6_only ||
		    (ip_eq(&p->ip, &c->ip) && ip_eq(&p->ip6, &c->ip6)))
			continue;
		to[n++] = (struct store_address){ c->id, p->ip, p->ip6 };
	}
	if (n)
		rc = store_clients_readdress(s->a->c.core->store, to, n, e);
	free(to);
	return rc;
}

static enum err_code store_changes(struct sync *s, struct err *e)
{
	struct store *store = s->a->c.core->store;
	enum err_code rc = ERR_OK;
	struct client c;
	bool is_new;

	for (size_t i = 0; rc == ERR_OK && i < s->removed_n; i++)
		rc = store_client_remove(store, s->removed[i].id, e);
	if (rc == ERR_OK)
		rc = addresses_store(s, e);
	for (size_t i = 0; rc == ERR_OK && i < s->changed_n; i++) {
		rc = agent_peer_store(s->a, want_of(s, &s->changed[i]), &c, &is_new, e);
		if (rc)
			break;
		s->changed[i] = c;
		s->updated++;
	}
	for (size_t i = 0; rc == ERR_OK && i < s->conf.peer_count; i++) {
		if (s->found[i])
			continue;
		rc = agent_peer_store(s->a, &s->want[i], &c, &is_new, e);
		if (rc == ERR_OK)
			rc = keep(&s->changed, &s->changed_n, &s->changed_cap, &c, e);
		wipe(&c, sizeof c);
		s->added++;
	}
	return rc;
}

/* ---- the device ---- */

/* One change for each client that is not as it was, in the order that a file would set them: who
 * goes first, so that an address is free before another takes it. */
static enum err_code live_changes(struct sync *s, struct err *e)
{
	const struct core *core = s->a->c.core;
	size_t n = 0, all = s->removed_n + s->changed_n;
	struct wg_peer_change *c = calloc(all + 1, sizeof *c);
	struct wg_allowed_ip(*ips)[2] = calloc(s->changed_n + 1, sizeof *ips);
	struct wg_peer_info info;
	enum err_code rc = ERR_OK;

	if (!c || !ips)
		rc = err_set(e, ERR_NOMEM, "syncconf: out of memory");
	for (size_t i = 0; rc == ERR_OK && i < s->removed_n; i++)
		c[n++] = (struct wg_peer_change){ .public_key = s->removed[i].public_key,
						  .remove = true };
	for (size_t i = 0; rc == ERR_OK && i < s->changed_n; i++) {
		const struct client *to = &s->changed[i];

		if (!to->enabled)
			continue;
		c[n] = core_peer_of(to, ips[i]);
		if (core->host.peer(core->host.ctx, &to->public_key, &info)) {
			wipe(&info.psk, sizeof info.psk);
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
	const struct client_query all = { .limit = UINT64_MAX };
	struct core *core = s->a->c.core;
	enum err_code rc = want_fill(s, e);
	struct err undo;

	s->e = e;
	if (rc == ERR_OK)
		rc = store_clients(core->store, &all, false, client_compare, s, e);
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
	struct sync s = { .a = i->a, .conf = *file };
	enum err_code rc = sync_run(&s, e);

	*out = (struct agent_synced){ .added = s.added,
				      .changed = s.updated,
				      .removed = s.removed_n,
				      .unchanged = s.unchanged };
	sync_done(&s);
	return rc;
}

/* ---- the request ---- */

static bool conf_read(struct http_request *r, struct wg_conf *out, const json_t *body)
{
	const json_t *v = json_object_get(body, "config");
	struct str text = { json_string_value(v), json_string_length(v) };
	struct buf conf = { 0 };
	struct err e;
	bool ok = false;

	if (!json_is_string(v)) {
		agent_error(r, 422, "config: must be a text");
		return false;
	}
	if (!decode(&conf, text) || !utf8_valid(buf_view(&conf)))
		agent_error(r, 400, INVALID);
	else if (wg_conf_parse(out, buf_view(&conf), "config", &e))
		agent_error(r, 400, "Configuration validation failed: %s", e.msg);
	else
		ok = true;
	buf_done(&conf);
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
	static const char *const fields[] = { "config*", NULL };
	struct agent_synced n = { 0 };
	struct wg_conf file = { 0 };
	struct agent_iface i;
	struct err e;
	json_t *body;

	if (!agent_iface_find(ctx, r, &i))
		return;
	body = agent_body(r, fields);
	if (!body)
		return;
	if (conf_read(r, &file, body) && interface_same(r, &i, &file)) {
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
	json_decref(body);
	wg_conf_done(&file);
}
