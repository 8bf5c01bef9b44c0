#include "wg/peer.h"

#include "wg/core.h"
#include "wg/staged.h"
#include "wg/timers.h"

struct wg_peer *wg_peer_new(struct wg_device *d, const struct public_key *k)
{
	struct wg_peer *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->device = d;
	p->public_key = *k;
	atomic_init(&p->armed, INT64_MAX);
	atomic_init(&p->follows, true);
	return p;
}

void wg_peer_free(struct wg_peer *p)
{
	if (!p)
		return;
	BUG_ON(p->active);
	free(atomic_load_explicit(&p->counts, memory_order_relaxed));
	wg_limits_free(atomic_load_explicit(&p->limits, memory_order_relaxed));
	if (p->allowed_room)
		free(p->allowed.many);
	wipe(p, sizeof *p);
	free(p);
}

struct wg_active *wg_peer_activate(struct wg_peer *p)
{
	if (!p->active) {
		p->active = calloc(1, sizeof *p->active);
		if (p->active)
			list_init(&p->active->staged);
	}
	return p->active;
}

void wg_peer_deactivate(struct wg_peer *p)
{
	struct wg_active *a = p->active;

	if (!a || a->handshake.waiting || a->retry_at || a->staged_count)
		return;
	wipe(a, sizeof *a);
	free(a);
	p->active = NULL;
}

int64_t wg_peer_idle_at(const struct wg_peer *p)
{
	const struct wg_active *a = p->active;
	int64_t t = 0;

	if (a->handshake.waiting || a->retry_at || a->staged_count)
		return INT64_MAX;
	/* No initiation sooner than this; cookie replies to our last message come within it too. */
	if (a->sent_at || a->heard_at)
		t = MAX(a->sent_at, a->heard_at) + WG_REKEY_TIMEOUT;
	if (a->cookie.has_value)
		t = MAX(t, a->cookie.born + WG_COOKIE_SECRET_LIFE);
	return t;
}

/* ---- path ---- */

static void free_path(struct retired_node *n)
{
	free(CONTAINER_OF(n, struct wg_path_node, retired));
}

void wg_peer_set_path(struct wg_peer *p, const struct wg_path *path)
{
	struct wg_device *d = p->device;
	struct wg_path_node *old = wg_peer_path(p);
	struct wg_path_node *node = NULL;

	if (path) {
		node = calloc(1, sizeof *node);
		if (!node)
			return; /* the old one serves until the next packet tries again */
		node->path = *path;
		node->source_generation =
			atomic_load_explicit(&d->source_generation, memory_order_relaxed);
	}
	atomic_store_explicit(&p->path, node, memory_order_release);
	if (old)
		retired_add(d->retired, &old->retired, free_path);
}

bool wg_peer_would_roam(const struct wg_peer *p, const struct wg_path *from)
{
	const struct wg_path_node *node;

	if (!atomic_load_explicit(&p->follows, memory_order_relaxed))
		return false;
	node = wg_peer_path(p);
	return !node || !endpoint_eq(&node->path.remote, &from->remote) ||
	       !ip_eq(&node->path.local, &from->local) ||
	       node->path.local_ifindex != from->local_ifindex ||
	       node->source_generation !=
		       atomic_load_explicit(&p->device->source_generation, memory_order_relaxed);
}

void wg_peer_roam(struct wg_peer *p, const struct wg_path *from)
{
	const struct wg_path_node *old = wg_peer_path(p);
	bool moved;

	if (!wg_peer_would_roam(p, from))
		return;
	moved = old && !endpoint_eq(&old->path.remote, &from->remote);
	wg_peer_set_path(p, from);
	if (moved)
		wg_peer_notify(p, WG_NOTE_ROAMED);
}

void wg_peer_clear_source(struct wg_peer *p)
{
	const struct wg_path_node *node = wg_peer_path(p);
	struct wg_path path;

	if (!node || (node->path.local.family == IP_NONE && !node->path.local_ifindex))
		return;
	path = (struct wg_path){ .remote = node->path.remote };
	wg_peer_set_path(p, &path);
}

/* ---- keys ---- */

const struct shared_secret *wg_peer_static_static(struct wg_peer *p)
{
	struct wg_device *d = p->device;
	uint32_t generation = wg_key_generation(d);

	if (p->static_state == WG_STATIC_UNKNOWN || p->static_generation != generation) {
		bool ok = x25519(&p->static_static, &d->private_key, &p->public_key);

		p->static_state = ok ? WG_STATIC_GOOD : WG_STATIC_BAD;
		p->static_generation = generation;
	}
	return p->static_state == WG_STATIC_GOOD ? &p->static_static : NULL;
}

static struct wg_session *swap_session(_Atomic(struct wg_session *) *slot, struct wg_session *s)
{
	return atomic_exchange_explicit(slot, s, memory_order_acq_rel);
}

/* Out of the index table first: nobody finds it any more, some may still hold it. */
static void drop_session(struct wg_peer *p, struct wg_session *s)
{
	if (!s)
		return;
	wg_index_drop(&p->device->index, s->local_index);
	wg_session_retire(s, p->device->retired);
}

void wg_peer_add_session(struct wg_peer *p, struct wg_session *s)
{
	struct wg_session *next;

	if (!s->is_initiator) {
		/* The initiator may have begun anew and still use `current` or `previous`. */
		drop_session(p, swap_session(&p->next, s));
		return;
	}
	/* Both sides may have begun at once: then the other one completes too and sends under what
	 * is our `next`, which therefore stays able to receive. */
	next = swap_session(&p->next, NULL);
	if (next) {
		drop_session(p, swap_session(&p->previous, next));
		drop_session(p, swap_session(&p->current, s));
	} else {
		drop_session(p, swap_session(&p->previous, swap_session(&p->current, s)));
	}
}

void wg_peer_promote_next(struct wg_peer *p)
{
	struct wg_session *next = swap_session(&p->next, NULL);

	if (next)
		drop_session(p, swap_session(&p->previous, swap_session(&p->current, next)));
}

void wg_peer_forget_handshake(struct wg_peer *p)
{
	struct wg_handshake *h;

	if (!p->active)
		return;
	h = &p->active->handshake;
	if (h->waiting)
		wg_index_drop(&p->device->index, h->local_index);
	wipe(h, sizeof *h);
}

bool wg_peer_forget_sessions(struct wg_peer *p)
{
	struct wg_session *s[3] = {
		swap_session(&p->current, NULL),
		swap_session(&p->previous, NULL),
		swap_session(&p->next, NULL),
	};

	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		drop_session(p, s[i]);
	p->keys_at = 0;
	return s[0] || s[1] || s[2];
}

/* ---- allowed IPs ---- */

const struct ip_prefix *wg_peer_allowed(const struct wg_peer *p)
{
	return p->allowed_room ? p->allowed.many : &p->allowed.one;
}

/* Room for one more behind the first. */
static bool allowed_grow(struct wg_peer *p)
{
	uint32_t room = p->allowed_room ? p->allowed_room * 2 : 4;
	struct ip_prefix *more;
	size_t bytes;

	if (room <= p->allowed_room || !mul_ok(room, sizeof *more, &bytes))
		return false;
	more = realloc(p->allowed_room ? p->allowed.many : NULL, bytes);
	if (!more)
		return false;
	if (!p->allowed_room)
		more[0] = p->allowed.one;
	p->allowed.many = more;
	p->allowed_room = room;
	return true;
}

bool wg_peer_allowed_add(struct wg_peer *p, const struct ip_prefix *prefix)
{
	if (!p->allowed_count && !p->allowed_room) {
		p->allowed.one = *prefix;
		p->allowed_count = 1;
		return true;
	}
	if (p->allowed_count >= p->allowed_room && !allowed_grow(p))
		return false;
	p->allowed.many[p->allowed_count++] = *prefix;
	return true;
}

void wg_peer_allowed_remove(struct wg_peer *p, const struct ip_prefix *prefix)
{
	struct ip_prefix *list = p->allowed_room ? p->allowed.many : &p->allowed.one;

	for (uint32_t i = 0; i < p->allowed_count; i++) {
		struct ip_prefix *a = &list[i];

		if (a->len != prefix->len || !ip_eq(&a->addr, &prefix->addr))
			continue;
		p->allowed_count--;
		memmove(a, a + 1, (p->allowed_count - i) * sizeof *a);
		return;
	}
}

/* ---- limits ---- */

size_t wg_peer_admit(struct wg_peer *p, enum wg_direction dir, const uint32_t *len, size_t n,
		     int64_t now, enum wg_verdict *rest)
{
	struct wg_limits *l = atomic_load_explicit(&p->limits, memory_order_acquire);

	*rest = WG_OK;
	return l ? wg_limits_admit(l, dir, len, n, now, wg_device_wall(p->device, now), rest) : n;
}

/* ---- reading ---- */

const struct public_key *wg_peer_key(const struct wg_peer *p)
{
	return &p->public_key;
}

size_t wg_peer_allowed_ips(const struct wg_peer *p, size_t from, struct ip_prefix *out, size_t n)
{
	size_t have = from < p->allowed_count ? p->allowed_count - from : 0;

	n = MIN(n, have);
	if (n)
		memcpy(out, wg_peer_allowed(p) + from, n * sizeof *out);
	return n;
}

void wg_peer_info(const struct wg_peer *p, struct wg_peer_info *out)
{
	const struct wg_path_node *path = wg_peer_path(p);

	*out = (struct wg_peer_info){
		.public_key = p->public_key,
		.psk = p->psk,
		.keepalive_s = p->keepalive_s,
		.last_handshake_wall_ns = p->handshake_wall_ns,
		.rx_bytes = atomic_load_explicit(&p->rx_bytes, memory_order_relaxed),
		.tx_bytes = atomic_load_explicit(&p->tx_bytes, memory_order_relaxed),
		.rx_packets = atomic_load_explicit(&p->rx_packets, memory_order_relaxed),
		.tx_packets = atomic_load_explicit(&p->tx_packets, memory_order_relaxed),
		.allowed_ip_count = p->allowed_count,
	};
	if (path)
		out->endpoint = path->path.remote;
	wg_limits_info(atomic_load_explicit(&p->limits, memory_order_relaxed), &out->limits);
	if (out->limits.quota_out_at)
		out->quota_out_wall_ns = wg_device_wall(p->device, out->limits.quota_out_at);
}

bool wg_is_connected(int64_t last_handshake_wall_ns, int64_t wall_ns)
{
	return last_handshake_wall_ns != 0 && wall_ns - last_handshake_wall_ns < WG_CONNECTED_NS;
}

void wg_device_sums(const struct wg_device *d, struct wg_sums *out)
{
	int64_t wall_ns = d->ops.wall_ns(d->ops.ctx);

	*out = (struct wg_sums){ 0 };
	LIST_FOR(n, &d->talkers) {
		const struct wg_peer *p = CONTAINER_OF(n, struct wg_peer, talker);

		out->rx_bytes += atomic_load_explicit(&p->rx_bytes, memory_order_relaxed);
		out->tx_bytes += atomic_load_explicit(&p->tx_bytes, memory_order_relaxed);
		out->connected += wg_is_connected(p->handshake_wall_ns, wall_ns);
	}
}

void wg_peer_talks(struct wg_peer *p)
{
	if (!p->dead && !list_linked(&p->talker))
		list_add_tail(&p->device->talkers, &p->talker);
}

/* ---- outwards ---- */

void wg_peer_send(struct wg_peer *p, const uint8_t *dgram, size_t n, uint8_t ecn)
{
	struct wg_device *d = p->device;
	const struct wg_path_node *node = wg_peer_path(p);
	struct wg_path to;

	if (!node)
		return;
	to = node->path;
	if (node->source_generation !=
	    atomic_load_explicit(&d->source_generation, memory_order_relaxed)) {
		to.local = (struct ip_addr){ 0 };
		to.local_ifindex = 0;
	}
	wg_peer_talks(p);
	atomic_fetch_add_explicit(&p->tx_bytes, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->tx_packets, 1, memory_order_relaxed);
	d->ops.send(d->ops.ctx, p, &to, dgram, n, ecn);
}

void wg_peer_notify(struct wg_peer *p, enum wg_note note)
{
	const struct wg_ops *ops = &p->device->ops;

	if (ops->notify)
		ops->notify(ops->ctx, p, note);
}
