#include "tunnels/backend.h"

#include "base/clock.h"
#include "base/log.h"

struct backend {
	struct device *device;
	struct helper *helper;
	uint32_t number; /* the helper's for it; 0: none */
	enum helper_device_kind kind;
	struct loop *loop;
	struct loop_timer look;
	void (*gone)(void *ctx, const struct err *why);
	void *ctx;
	struct device_view *view; /* NULL: none now */
	int64_t view_at;
	bool settled; /* key and peers of the device are ours */
};

/* Reading fails only when the device is going away: that is noticed elsewhere, once. */
static void read_failed(const struct backend *b, const struct err *e)
{
	LOG_WARNING("device.unreadable", F_STR("interface", device_ifname(b->device)), F_ERR(e));
}

/* ---- it has gone ---- */

static void say_gone(struct backend *b, const struct err *why)
{
	void (*gone)(void *ctx, const struct err *why) = b->gone;

	b->gone = NULL;
	if (gone)
		gone(b->ctx, why);
}

void backend_gone(struct backend *b, uint32_t number)
{
	struct err why;

	if (!b || number != b->number)
		return;
	(void)err_set(&why, ERR_CLOSED, "somebody has deleted it, or its process has died");
	say_gone(b, &why);
}

static void look_due(struct loop_timer *t)
{
	struct backend *b = CONTAINER_OF(t, struct backend, look);
	struct err why;

	if (device_alive(b->device, &why))
		say_gone(b, &why);
	else
		loop_timer_set(b->loop, t, loop_now(b->loop) + BACKEND_LOOK_NS);
}

/* Of ours the helper tells. */
static void gone_watch(struct backend *b)
{
	if (b->kind != HELPER_DAEMON)
		return;
	b->look.fire = look_due;
	loop_timer_set(b->loop, &b->look, loop_now(b->loop) + BACKEND_LOOK_NS);
}

/* ---- opening ---- */

static enum err_code daemon_dial(void *ctx, int *fd, struct err *e)
{
	return helper_daemon(ctx, fd, e);
}

static enum err_code open_device(struct backend *b, const struct backend_config *c, struct err *e)
{
	struct helper_device d = { .needs = c->needs,
				   .take_over = c->take_over,
				   .is_further = c->is_further,
				   .listen_port = c->listen_port,
				   .mtu = c->mtu };
	struct device_uapi_config uapi = { .fd = -1, .ifname = c->ifname };
	struct helper_opened o;
	enum err_code rc;

	if (!str_copy(d.ifname, sizeof d.ifname, str_of(c->ifname)))
		return err_set(e, ERR_RANGE, "interface name \"%s\" is too long", c->ifname);
	rc = helper_device_open(b->helper, &d, &o, e);
	if (rc)
		return rc;
	b->number = o.number;
	b->kind = o.kind;
	uapi.fd = o.uapi;
	uapi.extensions = o.kind == HELPER_ENGINE;
	if (o.kind == HELPER_DAEMON)
		uapi.dial = (struct device_dial){ daemon_dial, b->helper };
	rc = device_open_uapi(&b->device, &uapi, e);
	return rc && o.kind != HELPER_ENGINE ? err_wrap(e, rc, "option --backend") : rc;
}

static enum err_code settle(struct backend *b, const struct backend_config *c, struct err *e)
{
	struct device_change own = {
		.has_private_key = true,
		.has_listen_port = !backend_is_engine(b), /* which has opened it */
		.to = { .private_key = *c->private_key, .listen_port = c->listen_port },
	};
	enum err_code rc = device_set(b->device, &own, e);

	wipe(&own, sizeof own);
	b->settled = true; /* even when only a part was done */
	return rc == ERR_IN_USE && !c->is_further ? err_wrap(e, rc, "option --port") : rc;
}

enum err_code backend_open(struct backend **out, struct loop *l, const struct backend_config *c,
			   struct err *e)
{
	struct backend *b = calloc(1, sizeof *b);
	enum err_code rc;

	if (!b)
		return err_set(e, ERR_NOMEM, "out of memory");
	b->helper = c->helper;
	b->loop = l;
	b->gone = c->gone;
	b->ctx = c->ctx;
	rc = open_device(b, c, e);
	if (rc == ERR_OK)
		rc = settle(b, c, e);
	if (rc) {
		backend_close(b, false);
		return rc;
	}
	gone_watch(b);
	*out = b;
	return ERR_OK;
}

/* A daemon that we only came to must not go on with our key and our clients. */
static void daemon_leave(struct device *d)
{
	const struct device_change no_key = { .has_private_key = true };
	struct err e;

	if (device_remove_peers(d, &e) || device_set(d, &no_key, &e))
		LOG_WARNING("device.key_stays", F_STR("interface", device_ifname(d)), F_ERR(&e));
	device_close(d);
}

void backend_close(struct backend *b, bool stays)
{
	struct err e;

	if (!b)
		return;
	loop_timer_cancel(&b->look);
	device_view_free(b->view);
	if (b->device && b->kind == HELPER_DAEMON && b->settled && !stays)
		daemon_leave(b->device);
	else
		device_close(b->device);
	if (b->number && helper_device_close(b->helper, b->number, !stays, &e))
		LOG_ERR("device.delete_failed", F_ERR(&e));
	free(b);
}

void backend_stop(struct backend *b)
{
	struct err e;

	if (b && device_stop(b->device, &e))
		LOG_WARNING("device.not_stopped", F_STR("interface", device_ifname(b->device)),
			    F_ERR(&e));
}

/* ---- asking ---- */

bool backend_is_engine(const struct backend *b)
{
	return b->kind == HELPER_ENGINE;
}

enum device_kind backend_kind(const struct backend *b)
{
	if (b->kind == HELPER_ENGINE)
		return DEVICE_ENGINE;
	return b->kind == HELPER_KERNEL ? DEVICE_KERNEL : DEVICE_UAPI;
}

unsigned backend_can(const struct backend *b)
{
	return device_can(b->device);
}

enum err_code backend_check(struct backend *b, struct err *e)
{
	struct device_settings own;
	enum err_code rc = b->kind == HELPER_ENGINE ? device_settings(b->device, &own, e)
						    : device_alive(b->device, e);

	if (b->kind == HELPER_ENGINE)
		wipe(&own, sizeof own);
	return rc;
}

/* The port first: it is what somebody else may hold. */
enum err_code backend_set_server(struct backend *b, const struct secret_key *k, uint16_t port,
				 struct err *e)
{
	struct device_change to_port = { .has_listen_port = true, .to.listen_port = port };
	struct device_change to_key = { .has_private_key = true, .to.private_key = *k };
	enum err_code rc = device_set(b->device, &to_port, e);

	if (rc == ERR_OK)
		rc = device_set(b->device, &to_key, e);
	wipe(&to_key, sizeof to_key);
	return rc;
}

enum err_code backend_change_peer(struct backend *b, const struct wg_peer_change *c, struct err *e)
{
	return device_change_peers(b->device, c, 1, e);
}

enum err_code backend_change_peers(struct backend *b, const struct wg_peer_change *c, size_t n,
				   struct err *e)
{
	return device_change_peers(b->device, c, n, e);
}

enum err_code backend_walk_peers(struct backend *b, device_peer_fn *fn, void *arg, struct err *e)
{
	return device_walk(b->device, fn, arg, e);
}

/* The view, renewed when it is too old; NULL when the device cannot be read. */
static const struct device_view *view_of(struct backend *b)
{
	int64_t now = clock_mono_ns();
	struct err e;

	if (b->view && now - b->view_at < BACKEND_VIEW_NS)
		return b->view;
	device_view_free(b->view);
	b->view = NULL;
	if (device_view_new(&b->view, b->device, &e))
		read_failed(b, &e);
	b->view_at = now;
	return b->view;
}

bool backend_peer(struct backend *b, const struct public_key *k, struct wg_peer_info *out,
		  uint64_t verdicts[WG_VERDICTS])
{
	const struct wg_peer_info *found;
	const struct device_view *v;

	/* The view has no counts of drops: who wants them asks for the peer itself, where it has them. */
	if (b->kind == HELPER_ENGINE || (verdicts && (device_can(b->device) & DEVICE_CAN_DROPS)))
		return device_peer(b->device, k, out, verdicts, NULL) == ERR_OK;
	if (verdicts)
		memset(verdicts, 0, sizeof *verdicts * WG_VERDICTS);
	v = view_of(b);
	found = v ? device_view_find(v, k) : NULL;
	if (found)
		*out = *found;
	return found != NULL;
}

void backend_status(struct backend *b, struct dataplane_status *out)
{
	struct err e;

	if (device_status(b->device, out, &e) == ERR_OK)
		return;
	*out = (struct dataplane_status){ 0 };
	read_failed(b, &e);
}

struct walk {
	bool (*fn)(void *arg, const struct public_key *k);
	void *arg;
};

static bool walk_peer(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	const struct walk *w = ctx;

	(void)ips;
	return w->fn(w->arg, &p->public_key);
}

void backend_walk(struct backend *b, bool (*fn)(void *arg, const struct public_key *k), void *arg)
{
	struct walk w = { fn, arg };
	struct err e;

	if (device_walk(b->device, walk_peer, &w, &e))
		read_failed(b, &e);
}
