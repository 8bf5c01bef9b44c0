/* The peers of one further interface, live and as stored (tunnels.h). */
#include <stdlib.h>

#include "base/log.h"
#include "tunnels/tunnels.h"

#define PEERS_AT_ONCE 64

static struct store *store_of(const struct tunnel *t)
{
	return t->all->c.core->store;
}

/* ---- one ---- */

struct wg_peer_change tunnel_peer_change(const struct store_tunnel_peer *p,
					 struct wg_allowed_ip *allowed, bool place)
{
	const struct endpoint *at = p->seen.addr.family != IP_NONE ? &p->seen : &p->endpoint;

	for (size_t i = 0; i < p->ip_count; i++)
		allowed[i] = (struct wg_allowed_ip){ .prefix = p->ips[i] };
	return (struct wg_peer_change){
		.public_key = p->key,
		.replace_allowed_ips = true,
		.allowed_ips = allowed,
		.allowed_ip_count = p->ip_count,
		.has_psk = true,
		.psk = p->psk,
		.has_keepalive = true,
		.keepalive_s = p->keepalive_s,
		.has_endpoint = place && at->addr.family != IP_NONE,
		.endpoint = *at,
	};
}

enum err_code tunnel_peer_live(struct tunnel *t, const struct public_key *k, struct err *e)
{
	struct wg_allowed_ip allowed[STORE_PEER_IPS_MAX];
	struct ip_prefix ips[STORE_PEER_IPS_MAX];
	struct wg_peer_change c = { .public_key = *k, .remove = true };
	struct store_tunnel_peer p = { 0 };
	enum err_code rc;

	if (!t->backend)
		return ERR_OK;
	rc = store_tunnel_peer(store_of(t), t->name, k, &p, ips, e);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (rc == ERR_OK)
		c = tunnel_peer_change(&p, allowed, false);
	rc = backend_change_peer(t->backend, &c, e);
	wipe(&c, sizeof c);
	wipe(&p, sizeof p);
	return rc;
}

/* ---- all of them at one moment ---- */

/* What the device knows of a peer, beside what the store does. */
struct live {
	struct public_key key;
	struct endpoint endpoint;
	int64_t handshake_ns;
	uint16_t keepalive_s;
	bool is_stored;
};

struct lives {
	struct live *p; /* sorted by key */
	size_t n, cap;
	bool no_memory;
};

static int by_key(const void *a, const void *b)
{
	const struct live *x = a, *y = b;

	return memcmp(x->key.b, y->key.b, KEY_LEN);
}

static bool live_take(void *ctx, const struct wg_peer_info *info, const struct ip_prefix *ips)
{
	struct lives *l = ctx;

	(void)ips;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct live *more = reallocarray(l->p, cap, sizeof *more);

		l->no_memory = !more;
		if (!more)
			return false;
		l->p = more;
		l->cap = cap;
	}
	l->p[l->n++] = (struct live){ .key = info->public_key,
				      .endpoint = info->endpoint,
				      .handshake_ns = info->last_handshake_wall_ns,
				      .keepalive_s = info->keepalive_s };
	return true;
}

static void lives_done(struct lives *l)
{
	free(l->p);
}

static enum err_code lives_read(struct lives *l, struct tunnel *t, struct err *e)
{
	enum err_code rc = backend_walk_peers(t->backend, live_take, l, e);

	if (rc == ERR_OK && l->no_memory)
		rc = err_set(e, ERR_NOMEM, "read the peers of %s: out of memory", t->name);
	if (rc == ERR_OK && l->n)
		qsort(l->p, l->n, sizeof *l->p, by_key);
	return rc;
}

/* NULL: the device has no such peer. */
static struct live *lives_find(const struct lives *l, const struct public_key *k)
{
	const struct live key = { .key = *k };

	return l->n ? bsearch(&key, l->p, l->n, sizeof *l->p, by_key) : NULL;
}

/* ---- changes of many ---- */

struct changes {
	struct tunnel *t;
	struct lives lives;
	struct wg_peer_change c[PEERS_AT_ONCE];
	struct wg_allowed_ip allowed[PEERS_AT_ONCE][STORE_PEER_IPS_MAX];
	size_t n;
	enum err_code rc;
	struct err *e;
};

static void changes_free(struct changes *x)
{
	wipe(x->c, sizeof x->c);
	lives_done(&x->lives);
	free(x);
}

/* With what the device has now. */
static struct changes *changes_new(struct tunnel *t, struct err *e)
{
	struct changes *x = calloc(1, sizeof *x);

	if (!x) {
		(void)err_set(e, ERR_NOMEM, "peers of %s: out of memory", t->name);
		return NULL;
	}
	x->t = t;
	x->e = e;
	if (lives_read(&x->lives, t, e) == ERR_OK)
		return x;
	changes_free(x);
	return NULL;
}

static void changes_flush(struct changes *x)
{
	if (x->n && x->rc == ERR_OK)
		x->rc = backend_change_peers(x->t->backend, x->c, x->n, x->e);
	wipe(x->c, sizeof x->c);
	x->n = 0;
}

/* After c[n] has been filled.  False: no further. */
static bool changes_next(struct changes *x)
{
	if (++x->n == PEERS_AT_ONCE)
		changes_flush(x);
	return x->rc == ERR_OK;
}

/* ---- restoring ---- */

/* Who was connected shortly before is called, as core_call does it. */
static bool is_called(const struct tunnel *t, const struct store_tunnel_peer *p)
{
	const struct core *core = t->all->c.core;
	int64_t age = core->host.wall_ns(core->host.ctx) - p->seen_ns;

	return p->seen.addr.family != IP_NONE && !p->keepalive_s && p->seen_ns != 0 && age >= 0 &&
	       age < 2 * CORE_CONNECTED_NS;
}

static bool restore_one(void *ctx, const struct store_tunnel_peer *p)
{
	struct changes *x = ctx;
	struct wg_peer_change *c = &x->c[x->n];
	struct live *live = lives_find(&x->lives, &p->key);
	bool is_somewhere = live && live->endpoint.addr.family != IP_NONE;

	if (live)
		live->is_stored = true;
	*c = tunnel_peer_change(p, x->allowed[x->n], !is_somewhere);
	if (!is_somewhere && is_called(x->t, p))
		c->keepalive_s = CORE_CALL_S;
	return changes_next(x);
}

/* Peers of the device that the store does not have. */
static void strangers_remove(struct changes *x)
{
	for (size_t i = 0; x->rc == ERR_OK && i < x->lives.n; i++) {
		if (x->lives.p[i].is_stored)
			continue;
		x->c[x->n] =
			(struct wg_peer_change){ .public_key = x->lives.p[i].key, .remove = true };
		(void)changes_next(x);
	}
}

enum err_code tunnel_restore_peers(struct tunnel *t, struct err *e)
{
	struct changes *x;
	enum err_code rc;

	if (!t->backend)
		return ERR_OK;
	x = changes_new(t, e);
	if (!x)
		return e->code;
	rc = store_tunnel_peers(store_of(t), t->name, true, restore_one, x, e);
	if (rc == ERR_OK)
		strangers_remove(x);
	if (rc == ERR_OK)
		changes_flush(x);
	rc = rc ? rc : x->rc;
	changes_free(x);
	return rc;
}

/* ---- the end of calling ---- */

static bool called_end(void *ctx, const struct store_tunnel_peer *p)
{
	struct changes *x = ctx;
	const struct live *live = lives_find(&x->lives, &p->key);

	if (p->keepalive_s || !live || live->keepalive_s != CORE_CALL_S)
		return true;
	x->c[x->n] = (struct wg_peer_change){ .public_key = p->key,
					      .update_only = true,
					      .has_keepalive = true };
	return changes_next(x);
}

void tunnel_call_end(struct tunnel *t)
{
	struct changes *x;
	struct err e;

	if (!t->backend)
		return;
	x = changes_new(t, &e);
	if (x && store_tunnel_peers(store_of(t), t->name, false, called_end, x, &e) == ERR_OK)
		changes_flush(x);
	if (!x || x->rc)
		LOG_WARNING("tunnel.call_failed", F_STR("interface", t->name), F_ERR(&e));
	if (x)
		changes_free(x);
}

/* ---- where they are ---- */

struct moves {
	struct lives lives;
	struct seen {
		int64_t id;
		const struct live *live;
	} * p;
	size_t n, cap;
};

static bool move_find(void *ctx, const struct store_tunnel_peer *p)
{
	struct moves *m = ctx;
	const struct live *live = lives_find(&m->lives, &p->key);
	struct seen *more;

	/* The time is not worth a write for each handshake. */
	if (!live || live->endpoint.addr.family == IP_NONE || !live->handshake_ns ||
	    (endpoint_eq(&live->endpoint, &p->seen) &&
	     live->handshake_ns - p->seen_ns < CORE_CONNECTED_NS))
		return true;
	if (m->n == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 64;
		more = reallocarray(m->p, m->cap, sizeof *more);
		if (!more)
			return false; /* the rest is kept later */
		m->p = more;
	}
	m->p[m->n++] = (struct seen){ p->id, live };
	return true;
}

static enum err_code moves_write(struct store *s, const struct moves *m, struct err *e)
{
	enum err_code rc = store_begin(s, e);

	if (rc)
		return rc;
	for (size_t i = 0; rc == ERR_OK && i < m->n; i++)
		rc = store_tunnel_peer_set_seen(s, m->p[i].id, &m->p[i].live->endpoint,
						m->p[i].live->handshake_ns, e);
	if (rc == ERR_OK)
		return store_commit(s, e);
	store_rollback(s);
	return rc;
}

/* A failure costs peers some seconds at the next start, nothing else. */
void tunnel_save(struct tunnel *t)
{
	struct moves m = { 0 };
	struct err e;
	enum err_code rc;

	if (!t->backend || t->lost_now || t->all->c.forget_endpoints)
		return;
	rc = lives_read(&m.lives, t, &e);
	if (rc == ERR_OK)
		rc = store_tunnel_peers(store_of(t), t->name, false, move_find, &m, &e);
	if (rc == ERR_OK && m.n)
		rc = moves_write(store_of(t), &m, &e);
	if (rc)
		LOG_WARNING("tunnel.save_failed", F_STR("interface", t->name), F_ERR(&e));
	lives_done(&m.lives);
	free(m.p);
}
