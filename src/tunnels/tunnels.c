#include "tunnels/tunnels.h"

#include "base/log.h"

static struct tunnel *tunnel_of(struct list *pos)
{
	return CONTAINER_OF(pos, struct tunnel, node);
}

struct tunnel *tunnels_find(struct tunnels *t, struct str name)
{
	if (!t)
		return NULL;
	LIST_FOR(pos, &t->list) {
		if (str_eq(str_of(tunnel_of(pos)->name), name))
			return tunnel_of(pos);
	}
	return NULL;
}

/* ---- trying again ---- */

/* One by itself: device, network, commands.  Commands that fail are an error for whoever set them,
 * and no reason to keep its peers out. */
static enum err_code bring_up(struct tunnel *t, struct err *e)
{
	struct core *core = t->all->c.core;
	struct err why;
	enum err_code rc = tunnel_announce(t, e);

	if (rc == ERR_OK)
		rc = tunnel_open(t, e);
	if (rc == ERR_OK)
		rc = core->host.apply(core->host.ctx, e);
	if (rc) {
		tunnel_close(t);
		return rc;
	}
	if (tunnel_commands(t, true, &why))
		LOG_ERR("tunnel.post_up_failed", F_STR("interface", t->name), F_ERR(&why));
	return ERR_OK;
}

static void try_again_later(struct tunnel *t, int64_t in_ns)
{
	struct loop *l = t->all->c.core->loop;

	loop_timer_set(l, &t->retry, loop_now(l) + in_ns);
}

static void say_failed(struct tunnel *t, const struct err *e)
{
	if (!t->failing)
		LOG_ERR("tunnel.down", F_STR("interface", t->name), F_ERR(e),
			F_INT("again_s", TUNNEL_RETRY_NS / NS_PER_S));
	t->failing = true;
	try_again_later(t, TUNNEL_RETRY_NS);
}

static void retry_due(struct loop_timer *timer)
{
	struct tunnel *t = CONTAINER_OF(timer, struct tunnel, retry);
	struct err e;

	if (t->lost_now)
		tunnel_close(t);
	if (!t->enabled || t->backend)
		return;
	if (bring_up(t, &e)) {
		say_failed(t, &e);
		return;
	}
	t->failing = false;
	LOG_NOTE("tunnel.up", F_STR("interface", t->name), F_INT("port", t->port));
}

static void call_due(struct loop_timer *timer)
{
	tunnel_call_end(CONTAINER_OF(timer, struct tunnel, call));
}

/* ---- the list ---- */

struct tunnel *tunnels_set(struct tunnels *t, const struct store_tunnel *row)
{
	struct tunnel *x = tunnels_find(t, str_of(row->name));
	struct list *before = t->list.next;

	if (!x) {
		x = calloc(1, sizeof *x);
		if (!x)
			return NULL;
		x->all = t;
		x->retry.fire = retry_due;
		x->call.fire = call_due;
		memcpy(x->name, row->name, sizeof x->name);
		while (before != &t->list && strcmp(tunnel_of(before)->name, x->name) < 0)
			before = before->next;
		list_add_tail(before, &x->node); /* in front of it */
	}
	x->port = row->port;
	x->mtu = row->mtu;
	x->address_count = row->address_count;
	memcpy(x->addresses, row->addresses, sizeof x->addresses);
	if (!ct_is_zero(&row->private_key, KEY_LEN))
		public_key_of(&x->key, &row->private_key);
	return x;
}

void tunnels_forget(struct tunnel *t)
{
	tunnel_close(t);
	loop_timer_cancel(&t->retry);
	list_del(&t->node);
	free(t);
}

static enum err_code load(struct tunnels *t, struct err *e)
{
	struct store_tunnel *rows = calloc(STORE_TUNNELS_MAX, sizeof *rows);
	struct store_tunnel row;
	struct tunnel *x;
	size_t n = 0;
	enum err_code rc = rows ? store_tunnels(t->c.core->store, rows, &n, e)
				: err_set(e, ERR_NOMEM, "further interfaces: out of memory");

	for (size_t i = 0; rc == ERR_OK && i < n; i++) {
		rc = store_tunnel(t->c.core->store, rows[i].name, true, &row, e);
		x = rc ? NULL : tunnels_set(t, &row);
		if (x)
			x->enabled = row.enabled;
		else if (rc == ERR_OK)
			rc = err_set(e, ERR_NOMEM, "further interfaces: out of memory");
		store_tunnel_done(&row);
	}
	free(rows);
	return rc;
}

enum err_code tunnels_open(struct tunnels **out, const struct tunnels_config *c, struct err *e)
{
	struct tunnels *t = calloc(1, sizeof *t);
	enum err_code rc;

	if (!t)
		return err_set(e, ERR_NOMEM, "further interfaces: out of memory");
	t->c = *c;
	list_init(&t->list);
	rc = load(t, e);
	if (rc) {
		tunnels_close(t);
		return rc;
	}
	*out = t;
	return ERR_OK;
}

void tunnels_close(struct tunnels *t)
{
	if (!t)
		return;
	LIST_FOR_SAFE(pos, next, &t->list) {
		tunnels_forget(tunnel_of(pos));
	}
	free(t);
}

/* ---- starting and stopping ---- */

/* The gateway's own may have been given this name since: that one goes first. */
static bool name_is_own(const struct tunnel *t)
{
	return strcmp(t->name, t->all->c.core->settings.ifname) == 0;
}

/* What a run that was killed while it made it may have left of a tunnel that is not to be up. */
static void left_over_remove(struct tunnel *t)
{
	struct store *s = t->all->c.core->store;
	struct store_tunnel row;
	struct err e;
	enum err_code rc;

	if (store_tunnel(s, t->name, false, &row, &e) || !row.may_be_live)
		return;
	t->take_over = true;
	rc = tunnel_open(t, &e);
	if (rc == ERR_OK) {
		tunnel_close(t);
		rc = tunnel_renounce(t, &e);
	}
	if (rc)
		LOG_WARNING("tunnel.left_over", F_STR("interface", t->name), F_ERR(&e));
}

void tunnels_start(struct tunnels *t)
{
	struct err e;

	LIST_FOR(pos, &t->list) {
		struct tunnel *x = tunnel_of(pos);
		enum err_code rc;

		if (name_is_own(x)) {
			LOG_ERR("tunnel.name_taken", F_STR("interface", x->name),
				F_STR("why", "it is the name of the gateway's own interface now"));
			x->enabled = false; /* for this run */
			continue;
		}
		if (!x->enabled) {
			left_over_remove(x);
			continue;
		}
		rc = tunnel_announce(x, &e);
		if (rc == ERR_OK)
			rc = tunnel_open(x, &e);
		if (rc)
			say_failed(x, &e);
	}
}

void tunnels_started(struct tunnels *t, bool made)
{
	struct err e;

	LIST_FOR(pos, &t->list) {
		struct tunnel *x = tunnel_of(pos);

		if (!x->backend)
			continue;
		if (!made) {
			tunnel_close(x);
			try_again_later(x, 0);
			continue;
		}
		if (tunnel_commands(x, true, &e))
			LOG_ERR("tunnel.post_up_failed", F_STR("interface", x->name), F_ERR(&e));
		LOG_NOTE("tunnel.up", F_STR("interface", x->name), F_INT("port", x->port));
	}
}

void tunnels_gone(struct tunnels *t, uint32_t device)
{
	if (!t)
		return;
	LIST_FOR(pos, &t->list) {
		backend_gone(tunnel_of(pos)->backend, device);
	}
}

void tunnels_save(struct tunnels *t)
{
	LIST_FOR(pos, &t->list) {
		tunnel_save(tunnel_of(pos));
	}
}

void tunnels_commands_end(struct tunnels *t)
{
	struct err e;

	LIST_FOR(pos, &t->list) {
		struct tunnel *x = tunnel_of(pos);

		if (x->backend && tunnel_commands(x, false, &e))
			LOG_ERR("tunnel.pre_down_failed", F_STR("interface", x->name), F_ERR(&e));
	}
}

void tunnels_serving_end(struct tunnels *t)
{
	LIST_FOR(pos, &t->list) {
		struct tunnel *x = tunnel_of(pos);

		loop_timer_cancel(&x->retry);
		loop_timer_cancel(&x->call);
		backend_stop(x->backend);
		tunnel_save(x);
	}
}

void tunnels_devices_end(struct tunnels *t, bool stays)
{
	struct err e;

	LIST_FOR(pos, &t->list) {
		struct tunnel *x = tunnel_of(pos);

		if (!x->backend)
			continue;
		if (stays) {
			tunnel_leave(x);
			continue;
		}
		tunnel_close(x);
		if (tunnel_renounce(x, &e))
			LOG_WARNING("tunnel.left_over", F_STR("interface", x->name), F_ERR(&e));
	}
}

/* ---- the host ---- */

bool tunnels_down_walk(struct tunnels *t,
		       bool (*fn)(void *arg, const char *ifname, const struct ip_prefix *address),
		       void *arg)
{
	bool more = true;

	LIST_FOR(pos, &t->list) {
		const struct tunnel *x = tunnel_of(pos);
		bool is_up = x->backend && !x->lost_now;

		for (size_t i = 0; more && !is_up && i < x->address_count; i++)
			more = fn(arg, x->name, &x->addresses[i]);
	}
	return more;
}

static void want_one(const struct tunnels *all, const struct tunnel *t, struct net_want *w)
{
	struct net_tunnel *to = &w->tunnels[w->tunnel_count++];

	*to = (struct net_tunnel){ .mtu = t->mtu, .up = true };
	memcpy(to->ifname, t->name, sizeof to->ifname);
	for (size_t i = 0; i < t->address_count; i++) {
		bool is_v6 = t->addresses[i].addr.family == IP_V6;

		if (is_v6 && !all->c.has_ipv6)
			continue;
		w->forward_v6 = w->forward_v6 || is_v6;
		to->addresses[to->address_count++] = t->addresses[i];
	}
}

void tunnels_want(const struct tunnels *t, struct net_want *w)
{
	LIST_FOR(pos, &t->list) {
		const struct tunnel *x = tunnel_of(pos);

		if (x->backend && !x->lost_now && w->tunnel_count < NET_TUNNELS_MAX)
			want_one(t, x, w);
	}
}
