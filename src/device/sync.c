/* From the peers that are there to those that are wanted, by the smallest change.
 *
 * Both sides are sorted, by key and by allowed IP, and merged; what differs becomes changes in three
 * steps: peers that go, allowed IPs that go, peers that come or change.  An allowed IP that moves to
 * another peer is simply given to that one: it has one owner at a time, and is never without. */
#include "base/rows.h"
#include "device/backend.h"
#include "device/removal.h"

#define NONE SIZE_MAX

struct have {
	struct wg_peer_info info;
	size_t want; /* which entry wants it; NONE: it goes */
	bool loses; /* allowed IPs, to another or to nobody */
};

struct owner {
	struct ip_prefix prefix;
	size_t peer; /* an index of `have` or of `want` */
};

struct sync {
	struct device *device;
	const struct wg_peer_change *want;
	size_t n;
	struct public_key self; /* a peer with our own key is none */
	bool has_self;
	struct rows have; /* struct have */
	struct rows have_ips, want_ips; /* struct owner */
	size_t *order; /* of `want`, by key; those that count */
	size_t order_n;
	size_t *match; /* of each of `want`: its index in `have`, or NONE */
	struct rows gains, losses; /* struct owner; by want, by have */
	struct rows ips; /* struct wg_allowed_ip, for the changes */
	struct rows changes; /* struct wg_peer_change */
	struct device_sync_result result;
};

static void sync_done(struct sync *s)
{
	struct rows *all[] = { &s->have,   &s->have_ips, &s->want_ips, &s->gains,
			       &s->losses, &s->ips,	 &s->changes };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		rows_done(all[i]);
	free(s->order);
	free(s->match);
}

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NOMEM, "no memory to compare the peers");
}

static struct have *have_at(const struct sync *s, size_t i)
{
	return rows_at(&s->have, i);
}

/* ---- collecting ---- */

static bool owner_add(struct rows *to, const struct ip_prefix *p, size_t peer)
{
	struct owner *o = rows_add(to);

	if (!o)
		return false;
	*o = (struct owner){ *p, peer };
	ip_prefix_mask(&o->prefix);
	return true;
}

static bool have_add(void *ctx, const struct wg_peer_info *info, const struct ip_prefix *ips)
{
	struct sync *s = ctx;
	struct have *h = rows_add(&s->have);
	bool ok = h != NULL;

	if (ok)
		*h = (struct have){ .info = *info, .want = NONE };
	for (size_t i = 0; ok && i < info->allowed_ip_count; i++)
		ok = owner_add(&s->have_ips, &ips[i], s->have.count - 1);
	s->have.no_memory |= !ok;
	return ok;
}

static int key_compare(const struct public_key *a, const struct public_key *b)
{
	return memcmp(a->b, b->b, sizeof a->b);
}

static int have_compare(const void *a, const void *b)
{
	const struct have *x = a, *y = b;

	return key_compare(&x->info.public_key, &y->info.public_key);
}

static int want_compare(const void *a, const void *b, void *ctx)
{
	const size_t *x = a, *y = b;
	const struct sync *s = ctx;

	return key_compare(&s->want[*x].public_key, &s->want[*y].public_key);
}

static bool is_self(const struct sync *s, size_t i)
{
	return s->has_self && key_compare(&s->self, &s->want[i].public_key) == 0;
}

static enum err_code want_collect(struct sync *s, struct err *e)
{
	char text[DEVICE_PEER_TEXT_MAX];

	s->order = calloc(s->n + 1, sizeof *s->order);
	s->match = calloc(s->n + 1, sizeof *s->match);
	if (!s->order || !s->match)
		return no_memory(e);
	for (size_t i = 0; i < s->n; i++) {
		const struct wg_peer_change *c = &s->want[i];

		BUG_ON(c->remove || c->update_only);
		s->match[i] = NONE;
		if (is_self(s, i))
			continue;
		s->order[s->order_n++] = i;
		for (size_t k = 0; k < c->allowed_ip_count; k++) {
			BUG_ON(c->allowed_ips[k].remove);
			if (!owner_add(&s->want_ips, &c->allowed_ips[k].prefix, i))
				return no_memory(e);
		}
	}
	qsort_r(s->order, s->order_n, sizeof *s->order, want_compare, s);
	for (size_t i = 1; i < s->order_n; i++) {
		const struct public_key *k = &s->want[s->order[i]].public_key;

		if (key_compare(&s->want[s->order[i - 1]].public_key, k) != 0)
			continue;
		device_peer_text(text, k);
		return err_set(e, ERR_INVALID, "%s is named twice", text);
	}
	return ERR_OK;
}

static enum err_code have_collect(struct sync *s, struct device_settings *own, struct err *e)
{
	enum err_code rc = s->device->ops->walk(s->device, have_add, s, own, e);

	if (rc == ERR_OK && s->have.no_memory)
		return no_memory(e);
	return rc;
}

/* ---- comparing ---- */

static int prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b)
{
	int d = memcmp(a->addr.b, b->addr.b, sizeof a->addr.b);

	if (a->addr.family != b->addr.family)
		return a->addr.family < b->addr.family ? -1 : 1;
	return d ? d : (int)a->len - (int)b->len;
}

/* By prefix; the later of two that claim it stands last. */
static int owner_compare(const void *a, const void *b)
{
	const struct owner *x = a, *y = b;
	int d = prefix_compare(&x->prefix, &y->prefix);

	return d ? d : (x->peer > y->peer) - (x->peer < y->peer);
}

static int owner_by_peer(const void *a, const void *b)
{
	const struct owner *x = a, *y = b;

	return x->peer == y->peer ? owner_compare(a, b) : x->peer < y->peer ? -1 : 1;
}

static void owners_sort(struct rows *r, int (*compare)(const void *a, const void *b))
{
	if (r->count)
		qsort(r->p, r->count, r->size, compare);
}

/* Peers: both in order of their keys.  Before it, the allowed IPs that are there name peers by
 * their place in the walk; here that place changes. */
static bool peers_match(struct sync *s)
{
	size_t *place = calloc(s->have.count + 1, sizeof *place), w = 0;

	if (!place)
		return false;
	/* The place in the walk is kept where `want` will stand. */
	for (size_t i = 0; i < s->have.count; i++)
		have_at(s, i)->want = i;
	if (s->have.count)
		qsort(s->have.p, s->have.count, s->have.size, have_compare);
	for (size_t i = 0; i < s->have.count; i++) {
		place[have_at(s, i)->want] = i;
		have_at(s, i)->want = NONE;
	}
	for (size_t i = 0; i < s->have_ips.count; i++) {
		struct owner *o = rows_at(&s->have_ips, i);

		o->peer = place[o->peer];
	}
	free(place);
	for (size_t i = 0; i < s->have.count && w < s->order_n;) {
		struct have *h = have_at(s, i);
		int d = key_compare(&h->info.public_key, &s->want[s->order[w]].public_key);

		if (d == 0) {
			h->want = s->order[w];
			s->match[s->order[w]] = i;
		}
		i += d <= 0;
		w += d >= 0;
	}
	return true;
}

/* Of the wanted ones that are equal, moves on to the last. */
static const struct owner *want_ip_at(const struct sync *s, size_t *i)
{
	const struct owner *o = NULL;

	for (; *i < s->want_ips.count; ++*i) {
		o = rows_at(&s->want_ips, *i);
		if (*i + 1 == s->want_ips.count ||
		    prefix_compare(
			    &o->prefix,
			    &((const struct owner *)rows_at(&s->want_ips, *i + 1))->prefix) != 0)
			return o;
	}
	return NULL;
}

static bool lose(struct sync *s, const struct owner *had)
{
	struct have *h = have_at(s, had->peer);

	if (h->want == NONE) /* it goes with its peer */
		return true;
	h->loses = true;
	return owner_add(&s->losses, &had->prefix, had->peer);
}

static bool ips_match(struct sync *s)
{
	size_t i = 0, k = 0;
	bool ok = true;

	owners_sort(&s->have_ips, owner_compare);
	owners_sort(&s->want_ips, owner_compare);
	for (;;) {
		const struct owner *w = want_ip_at(s, &i), *h = NULL;
		int d;

		if (k < s->have_ips.count)
			h = rows_at(&s->have_ips, k);
		if (!ok || (!w && !h))
			break;
		d = !w ? -1 : !h ? 1 : prefix_compare(&h->prefix, &w->prefix);
		if (d < 0)
			ok = lose(s, h);
		else if (d > 0 || s->match[w->peer] != h->peer)
			ok = owner_add(&s->gains, &w->prefix, w->peer);
		if (d == 0 && s->match[w->peer] != h->peer)
			have_at(s, h->peer)->loses = true;
		k += d <= 0;
		i += d >= 0;
	}
	owners_sort(&s->gains, owner_by_peer);
	owners_sort(&s->losses, owner_by_peer);
	return ok;
}

/* ---- changing ---- */

/* The run of `all` from *at that is of `peer`, as allowed IPs of a change; *at moves past it.
 * Where they stand is written when s->ips has stopped moving. */
static bool ips_put(struct sync *s, const struct rows *all, size_t *at, size_t peer, bool remove,
		    struct wg_peer_change *c)
{
	size_t first = s->ips.count;

	for (; *at < all->count; ++*at) {
		const struct owner *o = rows_at(all, *at);
		struct wg_allowed_ip *ip;

		if (o->peer != peer)
			break;
		ip = rows_add(&s->ips);
		if (!ip)
			return false;
		*ip = (struct wg_allowed_ip){ o->prefix, remove };
	}
	c->allowed_ip_count = s->ips.count - first;
	return true;
}

static bool change_add(struct sync *s, const struct wg_peer_change *c)
{
	struct wg_peer_change *row = rows_add(&s->changes);

	if (row)
		*row = *c;
	return row != NULL;
}

/* The allowed IPs of the changes stand one after the other in s->ips. */
static enum err_code changes_apply(struct sync *s, bool ok, struct err *e)
{
	size_t at = 0;
	enum err_code rc;

	if (!ok)
		return no_memory(e);
	for (size_t i = 0; i < s->changes.count; i++) {
		struct wg_peer_change *c = rows_at(&s->changes, i);

		if (c->allowed_ip_count)
			c->allowed_ips = rows_at(&s->ips, at);
		at += c->allowed_ip_count;
	}
	rc = device_change_peers(s->device, rows_at(&s->changes, 0), s->changes.count, e);
	s->changes.count = s->ips.count = 0;
	return rc;
}

static enum err_code peers_remove(struct sync *s, struct err *e)
{
	bool ok = true;

	for (size_t i = 0; ok && i < s->have.count; i++) {
		const struct have *h = have_at(s, i);
		const struct wg_peer_change c = { .public_key = h->info.public_key,
						  .remove = true };

		if (h->want != NONE)
			continue;
		ok = change_add(s, &c);
		s->result.removed++;
	}
	return s->result.removed ? changes_apply(s, ok, e) : ERR_OK;
}

static enum err_code ips_remove_native(struct sync *s, struct err *e)
{
	size_t at = 0;
	bool ok = true;

	while (ok && at < s->losses.count) {
		const struct owner *o = rows_at(&s->losses, at);
		struct wg_peer_change c = { .public_key = have_at(s, o->peer)->info.public_key,
					    .update_only = true };

		ok = ips_put(s, &s->losses, &at, o->peer, true, &c) && change_add(s, &c);
	}
	return changes_apply(s, ok, e);
}

/* Nobody wants them: one stray peer takes them all. */
static enum err_code ips_remove_by_stray(struct sync *s, struct err *e)
{
	enum err_code rc;

	for (size_t i = 0; i < s->losses.count; i++) {
		const struct owner *o = rows_at(&s->losses, i);
		struct wg_allowed_ip *ip = rows_add(&s->ips);

		if (!ip)
			return no_memory(e);
		*ip = (struct wg_allowed_ip){ .prefix = o->prefix };
	}
	rc = removal_take(s->device, rows_at(&s->ips, 0), s->ips.count, e);
	s->ips.count = 0;
	return rc;
}

static enum err_code ips_remove(struct sync *s, struct err *e)
{
	bool native;
	enum err_code rc;

	if (s->losses.count == 0)
		return ERR_OK;
	rc = removal_is_native(s->device, &native, e);
	if (rc)
		return rc;
	return native ? ips_remove_native(s, e) : ips_remove_by_stray(s, e);
}

/* Of the limits that are given, those that are others than the peer has. */
static unsigned limits_differ(const struct wg_limits_change *w, const struct wg_limits_info *h)
{
	unsigned differ = 0;

	if (w->rate_bps[WG_UP] != h->rate_bps[WG_UP])
		differ |= WG_SET_RATE_UP;
	if (w->rate_bps[WG_DOWN] != h->rate_bps[WG_DOWN])
		differ |= WG_SET_RATE_DOWN;
	if (w->burst != h->burst)
		differ |= WG_SET_BURST;
	if (w->quota != h->quota)
		differ |= WG_SET_QUOTA;
	if (w->expires_wall_ns != h->expires_wall_ns)
		differ |= WG_SET_EXPIRES;
	return w->set & differ;
}

/* What has to be said of a wanted peer, its allowed IPs apart; false: nothing. */
static bool differs(const struct sync *s, size_t i, struct wg_peer_change *out)
{
	const struct wg_peer_change *w = &s->want[i];
	const struct wg_peer_info *h = s->match[i] == NONE ? NULL : &have_at(s, s->match[i])->info;

	*out = (struct wg_peer_change){ .public_key = w->public_key, .replace_allowed_ips = !h };
	if (w->has_psk)
		out->psk = w->psk;
	out->has_psk = !ct_equal(out->psk.b, h ? h->psk.b : (const uint8_t[KEY_LEN]){ 0 }, KEY_LEN);
	if (w->has_endpoint && !(h && endpoint_eq(&h->endpoint, &w->endpoint))) {
		out->has_endpoint = true;
		out->endpoint = w->endpoint;
	}
	if (w->has_keepalive)
		out->keepalive_s = w->keepalive_s;
	out->has_keepalive = out->keepalive_s != (h ? h->keepalive_s : 0);
	out->limits = w->limits;
	if (h)
		out->limits.set = limits_differ(&w->limits, &h->limits);
	return !h || out->has_psk || out->has_endpoint || out->has_keepalive || out->limits.set;
}

static bool loses(const struct sync *s, size_t i)
{
	return s->match[i] != NONE && have_at(s, s->match[i])->loses;
}

static enum err_code peers_change(struct sync *s, struct err *e)
{
	struct wg_peer_change c = { 0 };
	size_t at = 0;
	bool ok = true;

	for (size_t i = 0; ok && i < s->n; i++) {
		bool differ;

		if (is_self(s, i))
			continue;
		differ = differs(s, i, &c);
		ok = ips_put(s, &s->gains, &at, i, false, &c);
		if (differ || c.allowed_ip_count)
			ok = ok && change_add(s, &c);
		if (s->match[i] == NONE)
			s->result.added++;
		else if (differ || c.allowed_ip_count || loses(s, i))
			s->result.changed++;
		else
			s->result.unchanged++;
	}
	wipe(&c, sizeof c);
	return s->changes.count || !ok ? changes_apply(s, ok, e) : ERR_OK;
}

/* ---- the device itself ---- */

/* Changes what differs from `now`, which becomes what is then. */
static enum err_code own_sync(struct sync *s, const struct device_change *own,
			      struct device_settings *now, struct err *e)
{
	struct device_change c = { 0 };
	enum err_code rc = ERR_OK;

	if (own) {
		c = *own;
		c.has_private_key &= !ct_equal(now->private_key.b, c.to.private_key.b, KEY_LEN);
		c.has_listen_port &= now->listen_port != c.to.listen_port;
		c.has_fwmark &= now->fwmark != c.to.fwmark;
		rc = device_set(s->device, &c, e);
	}
	if (c.has_private_key)
		now->private_key = c.to.private_key;
	s->has_self = !ct_is_zero(now->private_key.b, KEY_LEN);
	if (s->has_self)
		public_key_of(&s->self, &now->private_key);
	wipe(&c, sizeof c);
	return rc;
}

static enum err_code compare(struct sync *s, const struct device_change *own, struct err *e)
{
	struct device_settings now = { 0 };
	enum err_code rc = have_collect(s, &now, e);

	if (rc == ERR_OK)
		rc = own_sync(s, own, &now, e);
	wipe(&now, sizeof now);
	if (rc == ERR_OK)
		rc = want_collect(s, e);
	if (rc == ERR_OK && (!peers_match(s) || !ips_match(s)))
		rc = no_memory(e);
	return rc;
}

enum err_code device_sync(struct device *d, const struct device_change *own,
			  const struct wg_peer_change *want, size_t n,
			  struct device_sync_result *out, struct err *e)
{
	struct sync s = {
		.device = d,
		.want = want,
		.n = n,
		.have = { .size = sizeof(struct have), .secret = true },
		.have_ips.size = sizeof(struct owner),
		.want_ips.size = sizeof(struct owner),
		.gains.size = sizeof(struct owner),
		.losses.size = sizeof(struct owner),
		.ips.size = sizeof(struct wg_allowed_ip),
		.changes = { .size = sizeof(struct wg_peer_change), .secret = true },
	};
	enum err_code rc = ERR_OK;

	if (n > WG_PEERS_MAX)
		return err_set(e, ERR_RANGE, "%zu peers are more than %u", n, WG_PEERS_MAX);
	rc = device_changes_check(d, want, n, e);
	if (rc == ERR_OK)
		rc = compare(&s, own, e);
	if (rc == ERR_OK)
		rc = peers_remove(&s, e);
	if (rc == ERR_OK)
		rc = ips_remove(&s, e);
	if (rc == ERR_OK)
		rc = peers_change(&s, e);
	if (rc == ERR_OK && out)
		*out = s.result;
	sync_done(&s);
	return rc;
}
