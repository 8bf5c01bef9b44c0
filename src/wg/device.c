#include "wg/device.h"

#include "wg/core.h"
#include "wg/handshake.h"
#include "wg/staged.h"
#include "wg/timers.h"

struct wg_device *wg_device_new(const struct wg_ops *ops, struct retired *retired)
{
	struct wg_device *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->ops = *ops;
	d->retired = retired;
	d->roaming = true;
	list_init(&d->peers);
	list_init(&d->talkers);
	wg_wheel_init(&d->wheel);
	ops->random(ops->ctx, &d->table.key, sizeof d->table.key);
	ops->random(ops->ctx, &d->limit.key, sizeof d->limit.key);
	d->allowed = lpm_new(retired);
	if (!d->allowed || !wg_index_init(&d->index, retired)) {
		wg_device_free(d);
		return NULL;
	}
	return d;
}

static void free_retired_peer(struct retired_node *n)
{
	wg_peer_free(CONTAINER_OF(n, struct wg_peer, retired));
}

/* Forgets all that a peer keeps for talking. */
static void quiet_peer(struct wg_peer *p)
{
	wg_timers_stop(p);
	wg_peer_forget_sessions(p);
	wg_peer_forget_handshake(p);
	wg_staged_drop(p, DROP_DOWN);
	atomic_store(&p->pending, 0);
	if (p->active)
		p->active->retry_at = 0;
	wg_peer_deactivate(p);
}

static void remove_peer(struct wg_device *d, struct wg_peer *p)
{
	p->dead = true;
	quiet_peer(p);
	for (uint32_t i = 0; i < p->allowed_count; i++)
		lpm_remove(d->allowed, &wg_peer_allowed(p)[i], p);
	p->allowed_count = 0;
	wg_peer_set_path(p, NULL);
	wg_peer_table_del(&d->table, p);
	list_del(&p->link);
	list_del(&p->talker);
	retired_add(d->retired, &p->retired, free_retired_peer);
}

bool wg_device_remove_peers(struct wg_device *d, size_t max, int64_t now)
{
	(void)now;
	for (; max && !list_empty(&d->peers); max--)
		remove_peer(d, CONTAINER_OF(d->peers.next, struct wg_peer, link));
	return !list_empty(&d->peers);
}

void wg_device_remove_all_peers(struct wg_device *d, int64_t now)
{
	while (wg_device_remove_peers(d, SIZE_MAX, now))
		;
}

void wg_device_free(struct wg_device *d)
{
	if (!d)
		return;
	wg_device_remove_all_peers(d, 0);
	wg_peer_table_done(&d->table);
	wg_ratelimit_done(&d->limit);
	if (atomic_load_explicit(&d->index.table, memory_order_relaxed))
		wg_index_done(&d->index);
	lpm_free(d->allowed);
	free(atomic_load_explicit(&d->door, memory_order_relaxed));
	wipe(d, sizeof *d);
	free(d);
}

void wg_device_set_lanes(struct wg_device *d, unsigned n)
{
	BUG_ON(n > WG_LANES_MAX || d->table.count);
	d->index.lanes = n;
}

/* ---- keys ---- */

bool wg_device_private_key(const struct wg_device *d, struct secret_key *out)
{
	if (d->has_key)
		*out = d->private_key;
	return d->has_key;
}

bool wg_device_public_key(const struct wg_device *d, struct public_key *out)
{
	if (d->has_key)
		*out = d->public_key;
	return d->has_key;
}

static void door_free(struct retired_node *n)
{
	free(CONTAINER_OF(n, struct wg_door, retired));
}

/* Without memory there is no door, and control looks at all that comes. */
static void renew_door(struct wg_device *d)
{
	struct wg_door *fresh = d->has_key ? calloc(1, sizeof *fresh) : NULL, *old;

	if (fresh)
		fresh->mac1 = d->checker.mac1;
	old = atomic_exchange(&d->door, fresh);
	if (old)
		retired_add(d->retired, &old->retired, door_free);
}

/* What belonged to the old key (sessions, half-done handshakes, static-static secrets) is void by
 * its generation at once; each peer frees it in its own time, so that a million of them wait for
 * nothing. */
void wg_device_set_private_key(struct wg_device *d, const struct secret_key *k, int64_t now)
{
	bool has_key = !ct_is_zero(k->b, sizeof k->b);
	struct wg_peer *self;

	(void)now;
	if (has_key == d->has_key && ct_equal(k->b, d->private_key.b, sizeof k->b))
		return; /* the same again must not end the sessions */
	atomic_fetch_add(&d->key_generation, 1);
	wipe(&d->private_key, sizeof d->private_key);
	wipe(&d->public_key, sizeof d->public_key);
	wipe(&d->checker, sizeof d->checker);
	d->has_key = has_key;
	if (!has_key) {
		renew_door(d);
		return;
	}
	d->private_key = *k;
	secret_key_clamp(&d->private_key);
	public_key_of(&d->public_key, &d->private_key);
	wg_cookie_checker_init(&d->checker, &d->public_key);
	renew_door(d);
	self = wg_device_find_peer(d, &d->public_key);
	if (self)
		remove_peer(d, self);
}

/* ---- peers ---- */

struct wg_peer *wg_device_find_peer(const struct wg_device *d, const struct public_key *k)
{
	return wg_peer_table_find(&d->table, k);
}

size_t wg_device_peer_count(const struct wg_device *d)
{
	return d->table.count;
}

struct wg_peer *wg_device_next_peer(const struct wg_device *d, const struct wg_peer *after)
{
	struct list *next = after ? after->link.next : d->peers.next;

	/* A removed peer is on no list: the walk ends. */
	return next && next != &d->peers ? CONTAINER_OF(next, struct wg_peer, link) : NULL;
}

static enum err_code check_change(const struct wg_peer_change *c, struct err *e)
{
	for (size_t i = 0; i < c->allowed_ip_count; i++) {
		const struct ip_prefix *a = &c->allowed_ips[i].prefix;

		if (!ip_bits(a->addr.family))
			return err_set(e, ERR_INVALID, "allowed IP %zu has no address family", i);
		if (a->len > ip_bits(a->addr.family))
			return err_set(e, ERR_RANGE, "allowed IP %zu: prefix length %u above %u", i,
				       a->len, ip_bits(a->addr.family));
	}
	if (c->has_endpoint && c->endpoint.addr.family != IP_NONE && !c->endpoint.port)
		return err_set(e, ERR_RANGE, "endpoint without a port");
	return wg_limits_check(&c->limits, e);
}

static enum err_code add_peer(struct wg_device *d, const struct public_key *k, struct wg_peer **out,
			      struct err *e)
{
	struct wg_peer *p;

	if (d->table.count >= WG_PEERS_MAX)
		return err_set(e, ERR_FULL, "the device has its %u peers", WG_PEERS_MAX);
	p = wg_peer_new(d, k);
	if (!p || !wg_peer_table_add(&d->table, p)) {
		wg_peer_free(p);
		return err_set(e, ERR_NOMEM, "no memory for a peer");
	}
	list_add_tail(&d->peers, &p->link);
	p->lane = (uint8_t)(d->next_lane++ % MAX(d->index.lanes, 1u));
	*out = p;
	return ERR_OK;
}

static void set_follows(struct wg_peer *p)
{
	atomic_store_explicit(&p->follows, p->device->roaming || !p->has_configured_endpoint,
			      memory_order_relaxed);
}

static void set_endpoint(struct wg_peer *p, const struct endpoint *remote)
{
	struct wg_path path = { .remote = *remote };

	p->has_configured_endpoint = remote->addr.family != IP_NONE;
	set_follows(p);
	wg_peer_set_path(p, p->has_configured_endpoint ? &path : NULL);
}

static enum err_code add_allowed(struct wg_device *d, struct wg_peer *p,
				 const struct ip_prefix *prefix, struct err *e)
{
	struct wg_peer *other;
	void *stolen_from;

	/* The peer's own list first: that can be undone without a trace. */
	if (!wg_peer_allowed_add(p, prefix))
		return err_set(e, ERR_NOMEM, "no memory for an allowed IP");
	if (lpm_insert(d->allowed, prefix, p, &stolen_from)) {
		p->allowed_count--;
		return err_set(e, ERR_NOMEM, "no memory for an allowed IP");
	}
	other = stolen_from;
	if (other == p)
		p->allowed_count--; /* it was there already */
	else if (other)
		wg_peer_allowed_remove(other, prefix);
	return ERR_OK;
}

static enum err_code change_allowed(struct wg_device *d, struct wg_peer *p,
				    const struct wg_peer_change *c, struct err *e)
{
	if (c->replace_allowed_ips) {
		for (uint32_t i = 0; i < p->allowed_count; i++)
			lpm_remove(d->allowed, &wg_peer_allowed(p)[i], p);
		p->allowed_count = 0;
	}
	for (size_t i = 0; i < c->allowed_ip_count; i++) {
		struct ip_prefix prefix = c->allowed_ips[i].prefix;
		enum err_code rc;

		ip_prefix_mask(&prefix);
		if (c->allowed_ips[i].remove) {
			if (lpm_remove(d->allowed, &prefix, p))
				wg_peer_allowed_remove(p, &prefix);
			continue;
		}
		rc = add_allowed(d, p, &prefix, e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

static void look_at_wall_clock(struct wg_device *d, int64_t now)
{
	atomic_store_explicit(&d->wall_offset, d->ops.wall_ns(d->ops.ctx) - now,
			      memory_order_relaxed);
}

static enum err_code change_limits(struct wg_device *d, struct wg_peer *p,
				   const struct wg_limits_change *c, int64_t now, struct err *e)
{
	look_at_wall_clock(d, now);
	return wg_limits_change(&p->limits, c, now, d->retired, e);
}

static void change_keepalive(struct wg_peer *p, uint16_t keepalive_s, int64_t now)
{
	bool begins = keepalive_s && !p->keepalive_s;

	p->keepalive_s = keepalive_s;
	if (begins)
		wg_timers_keepalive_changed(p, now);
}

enum err_code wg_device_change_peer(struct wg_device *d, const struct wg_peer_change *c,
				    int64_t now, struct err *e)
{
	enum err_code rc = check_change(c, e);
	struct wg_peer *p;
	bool is_new;

	if (rc)
		return rc;
	if (d->has_key && memcmp(c->public_key.b, d->public_key.b, KEY_LEN) == 0)
		return ERR_OK; /* a list of peers for many hosts holds our own, too */
	p = wg_device_find_peer(d, &c->public_key);
	is_new = !p;
	if (c->remove) {
		if (p)
			remove_peer(d, p);
		return ERR_OK;
	}
	if (is_new && c->update_only)
		return ERR_OK;
	if (is_new)
		rc = add_peer(d, &c->public_key, &p, e);
	if (rc)
		return rc;
	set_follows(p);
	rc = change_allowed(d, p, c, e);
	if (!rc && c->limits.set)
		rc = change_limits(d, p, &c->limits, now, e);
	if (rc) {
		if (is_new)
			remove_peer(d, p);
		return rc;
	}
	if (c->has_psk)
		p->psk = c->psk;
	if (c->has_endpoint)
		set_endpoint(p, &c->endpoint);
	if (c->has_keepalive)
		change_keepalive(p, c->keepalive_s, now);
	wg_timers_arm(p, now);
	/* Packets may be waiting for the endpoint. */
	if (p->active && p->active->staged_count && !wg_staged_flush(p, now))
		wg_handshake_start(p, now);
	return ERR_OK;
}

/* ---- state of the interface ---- */

void wg_device_clear_sources(struct wg_device *d)
{
	atomic_fetch_add_explicit(&d->source_generation, 1, memory_order_relaxed);
}

void wg_device_port_changed(struct wg_device *d, int64_t now)
{
	wg_device_clear_sources(d);
	if (!wg_device_is_up(d))
		return;
	LIST_FOR(n, &d->peers) {
		struct wg_peer *p = CONTAINER_OF(n, struct wg_peer, link);

		if (wg_session_usable(p, now))
			wg_timers_keepalive_once(p, now);
	}
}

void wg_device_set_roaming(struct wg_device *d, bool on)
{
	d->roaming = on;
	LIST_FOR(n, &d->peers)
		set_follows(CONTAINER_OF(n, struct wg_peer, link));
}

void wg_device_set_mtu(struct wg_device *d, uint16_t mtu)
{
	d->mtu = mtu;
}

void wg_device_set_up(struct wg_device *d, bool up, int64_t now)
{
	if (up == wg_device_is_up(d))
		return;
	atomic_store_explicit(&d->up, up, memory_order_relaxed);
	LIST_FOR(n, &d->peers) {
		struct wg_peer *p = CONTAINER_OF(n, struct wg_peer, link);

		if (!up)
			quiet_peer(p);
		else if (p->keepalive_s)
			wg_timers_keepalive_due(p, now);
	}
}

/* ---- running ---- */

void wg_device_stage(struct wg_device *d, struct wg_peer *p, const uint8_t *packet, size_t n,
		     int64_t now)
{
	if (p->dead || !wg_device_is_up(d)) {
		wg_count(d, p->dead ? NULL : p, DROP_DOWN, 1);
		return;
	}
	if (!wg_peer_path(p)) {
		wg_count(d, p, DROP_NO_ENDPOINT, 1);
		return;
	}
	wg_staged_add(p, packet, n);
	/* The session may have come while the packet was on its way here. */
	if (!wg_staged_flush(p, now))
		wg_handshake_start(p, now);
}

static void need_handshake(struct wg_peer *p, uint64_t session_id, int64_t now)
{
	struct wg_session *s = atomic_load_explicit(&p->current, memory_order_relaxed);

	if (s && s->id == session_id)
		wg_handshake_start(p, now);
	/* The bit stays while a handshake is under way, so that workers stay quiet. */
	if (!p->active || !p->active->retry_at)
		atomic_fetch_and(&p->pending, ~(1u << WG_EV_NEED_HANDSHAKE));
}

static void session_confirmed(struct wg_peer *p, uint64_t session_id, int64_t now)
{
	struct wg_session *next = atomic_load_explicit(&p->next, memory_order_relaxed);

	if (!next || next->id != session_id)
		return;
	wg_peer_promote_next(p);
	wg_timers_handshake_complete(p, now);
	wg_staged_flush(p, now);
}

static void roamed(struct wg_peer *p, const struct wg_event *ev)
{
	const struct wg_path_node *node = wg_peer_path(p);

	if (ev->session_id)
		wg_peer_roam(p, &ev->path);
	else if (node && endpoint_eq(&node->path.remote, &ev->path.remote))
		wg_peer_clear_source(p); /* wg_send_source_failed */
}

void wg_device_event(struct wg_device *d, const struct wg_event *ev, int64_t now)
{
	struct wg_peer *p = ev->peer;

	if (p->dead || !wg_device_is_up(d))
		return;
	if (ev->kind != WG_EV_NEED_HANDSHAKE)
		atomic_fetch_and(&p->pending, ~(1u << ev->kind));
	switch (ev->kind) {
	case WG_EV_NEED_HANDSHAKE:
		need_handshake(p, ev->session_id, now);
		break;
	case WG_EV_SESSION_CONFIRMED:
		session_confirmed(p, ev->session_id, now);
		break;
	case WG_EV_ROAMED:
		roamed(p, ev);
		break;
	case WG_EV_TIMERS:
		wg_timers_arm(p, now);
		break;
	case WG_EV_STAGED_FLUSH:
		wg_staged_flush(p, now);
		break;
	}
}

int64_t wg_device_timers(struct wg_device *d, int64_t now)
{
	struct wg_wheel_node *n;

	look_at_wall_clock(d, now);
	for (unsigned i = 0; i < WG_TIMERS_A_CALL; i++) {
		n = wg_wheel_pop(&d->wheel, now);
		if (!n)
			return wg_wheel_next(&d->wheel);
		wg_timers_run(CONTAINER_OF(n, struct wg_peer, timer), now);
	}
	return now; /* others want the device too: a timer may cost a handshake */
}
