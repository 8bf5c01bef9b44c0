/* syncconf of a further interface: its peers become those of a file, by the smallest change.
 *
 * What is in the file and not in the store is added, what differs is changed, and what is not in the file
 * goes.  One transaction; the device gets only what has changed: nobody else notices.
 */
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "agent/tunnel.h"

/* A peer that the file and the store disagree about; or that only one of them has. */
struct difference {
	struct store_tunnel_peer peer; /* as it is to be */
	struct ip_prefix *ips; /* of it; owned */
	int64_t id; /* in the store; 0: new */
	bool remove, moved; /* moved: another endpoint */
};

struct sync {
	const struct agent_iface *i;
	const struct wg_conf *file;
	const struct wg_conf_peer **want; /* sorted by key */
	bool *found; /* as long: the store has it */
	struct difference *d;
	size_t n, cap;
	struct agent_synced count;
	bool applied; /* the device may have seen some of it */
	enum err_code rc;
	struct err *e;
};

static int by_key(const void *a, const void *b)
{
	const struct wg_conf_peer *const *x = a, *const *y = b;

	return memcmp((*x)->public_key.b, (*y)->public_key.b, KEY_LEN);
}

static void sync_done(struct sync *s)
{
	for (size_t k = 0; k < s->n; k++)
		free(s->d[k].ips);
	if (s->d)
		wipe(s->d, s->n * sizeof *s->d);
	free(s->d);
	free(s->want);
	free(s->found);
}

/* ---- the file ---- */

static enum err_code peer_wrap(struct err *e, enum err_code rc, const struct public_key *k)
{
	char key[KEY_TEXT_MAX];

	public_key_text(key, k);
	return err_wrap(e, rc, "peer %s", key);
}

static enum err_code want_check(const struct sync *s, const struct wg_conf_peer *p, struct err *e)
{
	struct endpoint endpoint;

	if (p->allowed_ip_count > STORE_PEER_IPS_MAX)
		return err_set(e, ERR_INVALID, "AllowedIPs has %zu networks; at most %d are taken",
			       p->allowed_ip_count, STORE_PEER_IPS_MAX);
	if (ct_equal(&p->public_key, &agent_tunnel_of(s->i)->key, KEY_LEN))
		return err_set(e, ERR_INVALID, "PublicKey is the interface's own");
	if (p->endpoint && !endpoint_parse(str_of(p->endpoint), &endpoint))
		return err_set(
			e, ERR_INVALID,
			"Endpoint %s is no address with a port; names are not looked up here",
			p->endpoint);
	return ERR_OK;
}

static enum err_code want_fill(struct sync *s, struct err *e)
{
	size_t n = s->file->peer_count;
	enum err_code rc = ERR_OK;

	s->want = calloc(n + 1, sizeof(const struct wg_conf_peer *));
	s->found = calloc(n + 1, sizeof *s->found);
	if (!s->want || !s->found)
		return err_set(e, ERR_NOMEM, "syncconf: out of memory");
	if (n > STORE_TUNNEL_PEERS_MAX)
		return err_set(e, ERR_INVALID, "%zu peers; an interface has at most %d", n,
			       STORE_TUNNEL_PEERS_MAX);
	for (size_t k = 0; rc == ERR_OK && k < n; k++) {
		s->want[k] = &s->file->peers[k];
		rc = want_check(s, s->want[k], e);
		if (rc)
			return peer_wrap(e, rc, &s->want[k]->public_key);
	}
	qsort(s->want, n, sizeof(const struct wg_conf_peer *), by_key);
	for (size_t k = 1; k < n; k++) {
		if (by_key(&s->want[k - 1], &s->want[k]) == 0)
			return peer_wrap(e, err_set(e, ERR_INVALID, "it stands twice"),
					 &s->want[k]->public_key);
	}
	return ERR_OK;
}

/* ---- the store ---- */

static struct difference *difference_add(struct sync *s)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct difference *more = calloc(cap, sizeof *more);

		if (!more) {
			s->rc = err_set(s->e, ERR_NOMEM, "syncconf: out of memory");
			return NULL;
		}
		if (s->n) {
			memcpy(more, s->d, s->n * sizeof *more);
			wipe(s->d, s->n * sizeof *more);
		}
		free(s->d);
		s->d = more;
		s->cap = cap;
	}
	return &s->d[s->n++];
}

static struct endpoint endpoint_of(const struct wg_conf_peer *p)
{
	struct endpoint out = { 0 };

	if (p->endpoint && !endpoint_parse(str_of(p->endpoint), &out))
		out = (struct endpoint){ 0 };
	return out;
}

/* `old` NULL: it is new. */
static void change_add(struct sync *s, const struct wg_conf_peer *p,
		       const struct store_tunnel_peer *old)
{
	struct difference *d = difference_add(s);

	if (!d)
		return;
	d->ips = calloc(p->allowed_ip_count + 1, sizeof *d->ips);
	if (!d->ips) {
		s->rc = err_set(s->e, ERR_NOMEM, "syncconf: out of memory");
		return;
	}
	if (p->allowed_ip_count)
		memcpy(d->ips, p->allowed_ips, p->allowed_ip_count * sizeof *d->ips);
	d->peer = (struct store_tunnel_peer){ .key = p->public_key,
					      .psk = p->psk,
					      .keepalive_s = p->keepalive_s,
					      .endpoint = endpoint_of(p),
					      .ips = d->ips };
	d->peer.ip_count = agent_networks_tidy(d->ips, p->allowed_ip_count);
	d->id = old ? old->id : 0;
	d->moved = p->endpoint && (!old || !endpoint_eq(&d->peer.endpoint, &old->endpoint));
	if (old)
		s->count.changed++;
	else
		s->count.added++;
}

static bool ips_same(const struct wg_conf_peer *p, const struct store_tunnel_peer *old)
{
	struct ip_prefix ips[STORE_PEER_IPS_MAX];
	size_t n;

	if (p->allowed_ip_count)
		memcpy(ips, p->allowed_ips, p->allowed_ip_count * sizeof *ips);
	n = agent_networks_tidy(ips, p->allowed_ip_count);
	for (size_t k = 0; k < n && n == old->ip_count; k++) {
		if (!ip_eq(&ips[k].addr, &old->ips[k].addr) || ips[k].len != old->ips[k].len)
			return false;
	}
	return n == old->ip_count;
}

static bool is_same(const struct wg_conf_peer *p, const struct store_tunnel_peer *old)
{
	struct endpoint endpoint = endpoint_of(p);

	return p->keepalive_s == old->keepalive_s && ct_equal(&p->psk, &old->psk, KEY_LEN) &&
	       endpoint_eq(&endpoint, &old->endpoint) && ips_same(p, old);
}

static bool compare(void *ctx, const struct store_tunnel_peer *old)
{
	struct sync *s = ctx;
	const struct wg_conf_peer key = { .public_key = old->key }, *of_key = &key;
	const struct wg_conf_peer **p = bsearch(&of_key, s->want, s->file->peer_count,
						sizeof(const struct wg_conf_peer *), by_key);
	struct difference *d;

	if (p) {
		s->found[p - s->want] = true;
		if (is_same(*p, old))
			s->count.unchanged++;
		else
			change_add(s, *p, old);
	} else {
		d = difference_add(s);
		if (d) {
			d->peer.key = old->key;
			d->id = old->id;
			d->remove = true;
			s->count.removed++;
		}
	}
	return s->rc == ERR_OK;
}

static enum err_code differences_find(struct sync *s, struct err *e)
{
	enum err_code rc =
		store_tunnel_peers(s->i->a->c.core->store, s->i->ifname, true, compare, s, e);

	for (size_t k = 0; rc == ERR_OK && s->rc == ERR_OK && k < s->file->peer_count; k++) {
		if (!s->found[k])
			change_add(s, s->want[k], NULL);
	}
	return rc ? rc : s->rc;
}

/* Networks may go from one peer to another: first all are free. */
static enum err_code differences_store(struct sync *s, struct err *e)
{
	struct store *store = s->i->a->c.core->store;
	enum err_code rc = ERR_OK;

	for (size_t k = 0; rc == ERR_OK && k < s->n; k++) {
		if (s->d[k].remove)
			rc = store_tunnel_peer_remove(store, s->i->ifname, &s->d[k].peer.key, e);
		else if (s->d[k].id)
			rc = store_tunnel_peer_free_ips(store, s->d[k].id, e);
	}
	for (size_t k = 0; rc == ERR_OK && k < s->n; k++) {
		if (s->d[k].remove)
			continue;
		rc = store_tunnel_peer_put(store, s->i->ifname, &s->d[k].peer, e);
		if (rc)
			(void)peer_wrap(e, rc, &s->d[k].peer.key);
	}
	return rc;
}

/* ---- the device ---- */

static size_t ips_total(const struct sync *s)
{
	size_t n = 0;

	for (size_t k = 0; k < s->n; k++)
		n += s->d[k].peer.ip_count;
	return n;
}

/* Those who go first, so that a network is free before another takes it. */
static enum err_code differences_live(struct sync *s, struct err *e)
{
	const struct tunnel *t = agent_tunnel_of(s->i);
	struct wg_peer_change *c = calloc(s->n + 1, sizeof *c);
	struct wg_allowed_ip *ips = calloc(ips_total(s) + 1, sizeof *ips);
	size_t n = 0, at = 0;
	enum err_code rc = ERR_OK;

	if (!c || !ips)
		rc = err_set(e, ERR_NOMEM, "syncconf: out of memory");
	for (size_t k = 0; rc == ERR_OK && k < s->n; k++) {
		if (s->d[k].remove)
			c[n++] = (struct wg_peer_change){ .public_key = s->d[k].peer.key,
							  .remove = true };
	}
	for (size_t k = 0; rc == ERR_OK && k < s->n; k++) {
		if (s->d[k].remove)
			continue;
		c[n++] = tunnel_peer_change(&s->d[k].peer, ips + at, s->d[k].moved);
		at += s->d[k].peer.ip_count;
	}
	s->applied = rc == ERR_OK && n > 0;
	if (s->applied)
		rc = backend_change_peers(t->backend, c, n, e);
	if (rc == ERR_OK && FAULT("agent.peer"))
		rc = err_set(e, ERR_IO, "failure injected at agent.peer");
	if (c)
		wipe(c, (s->n + 1) * sizeof *c);
	free(c);
	free(ips);
	return rc;
}

static enum err_code sync_run(struct sync *s, struct err *e)
{
	struct tunnel *t = agent_tunnel_of(s->i);
	struct store *store = s->i->a->c.core->store;
	enum err_code rc = want_fill(s, e);
	struct err undo;

	s->e = e;
	if (rc == ERR_OK)
		rc = differences_find(s, e);
	if (rc == ERR_OK)
		rc = store_begin(store, e);
	if (rc)
		return rc;
	rc = differences_store(s, e);
	if (rc == ERR_OK && t->backend)
		rc = differences_live(s, e);
	if (rc == ERR_OK)
		rc = store_commit(store, e);
	if (rc == ERR_OK)
		return ERR_OK;
	store_rollback(store);
	if (s->applied)
		agent_undone(tunnel_restore_peers(t, &undo), &undo);
	return rc;
}

enum err_code agent_tunnel_sync(const struct agent_iface *i, const struct wg_conf *file,
				struct agent_synced *out, struct err *e)
{
	struct sync s = { .i = i, .file = file };
	enum err_code rc = sync_run(&s, e);

	*out = s.count;
	sync_done(&s);
	return rc;
}
