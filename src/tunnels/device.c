/* One further interface: its device and its commands (tunnels.h). */
#include "base/log.h"
#include "tunnels/tunnels.h"

/* As the gateway's own: up within milliseconds, and a peer takes a round trip to answer. */
#define CALL_NS (5 * NS_PER_S)
#define MINUTE_NS (60 * NS_PER_S)

static struct store *store_of(const struct tunnel *t)
{
	return t->all->c.core->store;
}

/* ---- commands ---- */

enum err_code tunnel_commands_load(struct tunnel *t, struct commands *c, struct err *e)
{
	AUTO(buf_done) struct buf live = { .limit = STORE_VALUE_MAX };
	struct store_tunnel row;
	enum err_code rc = store_tunnel_hooks_live(store_of(t), t->name, &live, e);

	if (rc == ERR_OK)
		rc = store_tunnel(store_of(t), t->name, false, &row, e);
	if (rc)
		return rc;
	BUG_ON(!str_copy(c->live, sizeof c->live, buf_view(&live)));
	_Static_assert(sizeof c->post_up == sizeof row.post_up, "one limit");
	memcpy(c->post_up, row.post_up, sizeof c->post_up);
	memcpy(c->pre_down, row.pre_down, sizeof c->pre_down);
	return ERR_OK;
}

static enum err_code note(void *ctx, struct str pre_down, struct err *e)
{
	const struct tunnel *t = ctx;

	return store_tunnel_set_hooks_live(store_of(t), t->name, pre_down, e);
}

enum err_code tunnel_commands(struct tunnel *t, bool up, struct err *e)
{
	struct commands c;
	enum err_code rc = tunnel_commands_load(t, &c, e);

	return rc ? rc : commands_switch(t->all->c.core, &c, t->name, up, note, t, e);
}

/* ---- the device ---- */

/* From within the backend, which is closed later, by the timer. */
static void gone(void *ctx, const struct err *why)
{
	struct tunnel *t = ctx;
	struct loop *l = t->all->c.core->loop;
	int64_t now = loop_now(l);

	if (now - t->losses_from > MINUTE_NS)
		t->losses = 0;
	if (!t->losses++)
		t->losses_from = now;
	LOG_WARNING("tunnel.interface_gone", F_STR("interface", t->name), F_ERR(why),
		    F_INT("times", t->losses));
	t->lost_now = true;
	if (t->losses >= TUNNEL_LOSSES_MAX) {
		LOG_ERR("tunnel.given_up", F_STR("interface", t->name),
			F_STR("why", "somebody deletes it again and again; it stays down until "
				     "it is enabled again, or the gateway is started"));
		t->enabled = false; /* for this run */
	}
	loop_timer_set(l, &t->retry, now);
}

static enum err_code backend_start(struct tunnel *t, const struct store_tunnel *row, struct err *e)
{
	const struct tunnels_config *from = &t->all->c;
	const struct backend_config c = {
		.helper = from->helper,
		.take_over = t->take_over,
		.is_further = true,
		.ifname = t->name,
		.listen_port = row->port,
		.mtu = row->mtu,
		.private_key = &row->private_key,
		.gone = gone,
		.ctx = t,
	};

	return backend_open(&t->backend, from->core->loop, &c, e);
}

enum err_code tunnel_open(struct tunnel *t, struct err *e)
{
	struct loop *l = t->all->c.core->loop;
	struct store_tunnel row = { 0 };
	enum err_code rc;

	if (t->lost_now)
		tunnel_close(t);
	if (t->backend)
		return ERR_OK;
	rc = store_tunnel(store_of(t), t->name, true, &row, e);
	if (rc == ERR_OK)
		rc = backend_start(t, &row, e);
	store_tunnel_done(&row);
	if (rc == ERR_OK)
		rc = tunnel_restore_peers(t, e);
	if (rc) {
		tunnel_close(t);
		return err_wrap(e, rc, "interface %s", t->name);
	}
	loop_timer_set(l, &t->call, loop_now(l) + CALL_NS);
	return ERR_OK;
}

static void device_end(struct tunnel *t, bool stays)
{
	loop_timer_cancel(&t->call);
	backend_close(t->backend, stays);
	t->backend = NULL;
	t->lost_now = false;
}

void tunnel_close(struct tunnel *t)
{
	device_end(t, false);
}

void tunnel_leave(struct tunnel *t)
{
	device_end(t, true);
}

enum err_code tunnel_announce(struct tunnel *t, struct err *e)
{
	struct store_tunnel row;
	enum err_code rc = store_tunnel(store_of(t), t->name, false, &row, e);

	if (rc)
		return rc;
	t->take_over = row.may_be_live;
	return row.may_be_live ? ERR_OK
			       : store_tunnel_set_may_be_live(store_of(t), t->name, true, e);
}

enum err_code tunnel_renounce(struct tunnel *t, struct err *e)
{
	t->take_over = false;
	return store_tunnel_set_may_be_live(store_of(t), t->name, false, e);
}
