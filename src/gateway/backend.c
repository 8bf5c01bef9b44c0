#include "gateway/backend.h"

#include <net/if.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/engine_process.h"

struct backend {
	struct device *device;
	struct engine_process *process; /* NULL: the engine is here, or it is not the engine */
	struct loop *loop;
	struct loop_fd gone_fd;
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

static void gone_ready(struct loop_fd *w, uint32_t events)
{
	struct backend *b = CONTAINER_OF(w, struct backend, gone_fd);
	struct err why;

	(void)events;
	if (b->process)
		(void)err_set(&why, ERR_CLOSED,
			      "somebody has deleted it, or the engine's process has died");
	else
		(void)err_set(&why, ERR_NOT_FOUND, "somebody has deleted it");
	loop_fd_remove(w);
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

static enum err_code gone_watch(struct backend *b, struct err *e)
{
	b->gone_fd = (struct loop_fd){ .fd = b->process ? engine_process_gone_fd(b->process)
							: device_gone_fd(b->device),
				       .events = LOOP_READ,
				       .ready = gone_ready };
	if (b->gone_fd.fd >= 0)
		return loop_fd_add(b->loop, &b->gone_fd, e);
	b->look.fire = look_due;
	loop_timer_set(b->loop, &b->look, loop_now(b->loop) + BACKEND_LOOK_NS);
	return ERR_OK;
}

/* ---- opening ---- */

static enum err_code open_engine(struct backend *b, const struct backend_config *c, struct err *e)
{
	struct device_uapi_config uapi = { .fd = -1,
					   .ifname = c->engine.ifname,
					   .extensions = true };
	enum err_code rc;

	if (!c->separate)
		return device_open_engine(&b->device, &c->engine, e);
	rc = engine_process_start(&b->process, &uapi.fd, &c->engine, c->log_json, e);
	return rc ? rc : device_open_uapi(&b->device, &uapi, e);
}

static enum err_code open_kind(struct backend *b, const struct backend_config *c,
			       const struct device_choice *choice, struct err *e)
{
	const struct device_uapi_config uapi = { .path = choice->path, .fd = -1 };
	const struct device_kernel_config kernel = {
		.ifname = c->engine.ifname,
		.existing = c->take_over ? DEVICE_MAY_EXIST : DEVICE_MUST_BE_NEW,
		.mtu = c->engine.mtu,
	};
	enum err_code rc;

	switch (choice->kind) {
	case DEVICE_KERNEL:
		rc = device_open_kernel(&b->device, &kernel, e);
		break;
	case DEVICE_UAPI:
		rc = device_open_uapi(&b->device, &uapi, e);
		break;
	case DEVICE_AUTO:
	case DEVICE_ENGINE:
	default:
		rc = open_engine(b, c, e);
		if (rc == ERR_IN_USE)
			return err_wrap(e, rc, "option --%s",
					if_nametoindex(c->engine.ifname) ? "interface" : "port");
		return rc;
	}
	if (rc == ERR_EXISTS || rc == ERR_IN_USE)
		return err_wrap(e, ERR_IN_USE, "option --interface");
	return rc ? err_wrap(e, rc, "option --backend") : ERR_OK;
}

/* A daemon has its interface already: all that we do to the host is for that one's name. */
static enum err_code name_check(const struct backend *b, const struct backend_config *c,
				struct err *e)
{
	const char *name = device_ifname(b->device);

	if (strcmp(name, c->engine.ifname) == 0)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
		       "option --backend: the daemon's interface is \"%s\", but --interface is %s",
		       name, c->engine.ifname);
}

static enum err_code settle(struct backend *b, const struct backend_config *c, struct err *e)
{
	struct device_change own = {
		.has_private_key = true,
		.has_listen_port = !backend_is_engine(b), /* which has opened it */
		.to = { .private_key = *c->private_key, .listen_port = c->engine.listen_port },
	};
	enum err_code rc = device_set(b->device, &own, e);

	wipe(&own, sizeof own);
	b->settled = true; /* even when only a part was done */
	return rc == ERR_IN_USE ? err_wrap(e, rc, "option --port") : rc;
}

enum err_code backend_open(struct backend **out, struct loop *l, const struct backend_config *c,
			   struct err *e)
{
	struct backend *b = calloc(1, sizeof *b);
	struct device_choice choice = { 0 };
	enum err_code rc;

	if (!b)
		return err_set(e, ERR_NOMEM, "out of memory");
	b->loop = l;
	b->gone = c->gone;
	b->ctx = c->ctx;
	b->gone_fd.fd = -1;
	rc = device_choice_parse(&choice, c->choice, e);
	if (rc == ERR_OK && choice.kind == DEVICE_AUTO)
		choice.kind = device_choose(c->needs);
	if (rc == ERR_OK)
		rc = open_kind(b, c, &choice, e);
	if (rc == ERR_OK)
		rc = name_check(b, c, e);
	if (rc == ERR_OK)
		rc = settle(b, c, e);
	if (rc == ERR_OK)
		rc = gone_watch(b, e);
	if (rc) {
		backend_close(b, false);
		return rc;
	}
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

static void device_end(struct backend *b)
{
	struct device *d = b->device;
	struct err e;

	if (b->process) {
		device_close(d);
	} else if (device_can(d) & DEVICE_CAN_DELETE) {
		if (device_delete(d, &e))
			LOG_ERR("device.delete_failed", F_ERR(&e));
	} else if (b->settled) {
		daemon_leave(d);
	} else {
		device_close(d);
	}
}

void backend_close(struct backend *b, bool stays)
{
	if (!b)
		return;
	loop_timer_cancel(&b->look);
	loop_fd_remove(&b->gone_fd);
	device_view_free(b->view);
	if (b->device && stays)
		device_close(b->device);
	else if (b->device)
		device_end(b);
	engine_process_stop(b->process);
	free(b);
}

/* ---- asking ---- */

struct dataplane *backend_engine(struct backend *b)
{
	return device_engine(b->device);
}

bool backend_is_engine(const struct backend *b)
{
	return backend_kind(b) == DEVICE_ENGINE;
}

enum device_kind backend_kind(const struct backend *b)
{
	return b->process ? DEVICE_ENGINE : device_kind(b->device);
}

unsigned backend_can(const struct backend *b)
{
	return device_can(b->device);
}

enum err_code backend_check(struct backend *b, struct err *e)
{
	struct dataplane *engine = backend_engine(b);
	uint16_t port;
	uint32_t mark;

	if (!engine)
		return device_alive(b->device, e);
	dataplane_binding(engine, &port, &mark); /* waits for its lock */
	return ERR_OK;
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
	if (device_engine(b->device) || (verdicts && (device_can(b->device) & DEVICE_CAN_DROPS)))
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
