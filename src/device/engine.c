/* The engine in this process, as a device. */
#include <poll.h>

#include "device/backend.h"

/* Peers and allowed IPs in one holding of the engine's lock. */
#define RUN_WEIGHT 512

struct engine {
	struct device device; /* first */
	struct dataplane *dp;
};

static struct engine *engine_of(struct device *d)
{
	return CONTAINER_OF(d, struct engine, device);
}

static void engine_close(struct device *d)
{
	struct engine *g = engine_of(d);

	dataplane_close(g->dp);
	free(g);
}

/* The interface goes with the engine. */
static enum err_code engine_remove(struct device *d, struct err *e)
{
	(void)d;
	(void)e;
	return ERR_OK;
}

static int engine_gone_fd(struct device *d)
{
	return dataplane_gone_fd(engine_of(d)->dp);
}

static enum err_code engine_alive(struct device *d, struct err *e)
{
	struct pollfd p = { .fd = engine_gone_fd(d), .events = POLLIN };

	if (poll(&p, 1, 0) > 0)
		return err_set(e, ERR_NOT_FOUND, "interface %s has gone", d->ifname);
	return ERR_OK;
}

static enum err_code engine_status(struct device *d, struct dataplane_status *out, struct err *e)
{
	(void)e;
	dataplane_status(engine_of(d)->dp, out);
	return ERR_OK;
}

static void key_read(void *ctx, const struct wg_device *d)
{
	struct secret_key *k = ctx;

	if (!wg_device_private_key(d, k))
		wipe(k, sizeof *k);
}

static void settings_read(struct dataplane *dp, struct device_settings *out)
{
	*out = (struct device_settings){ 0 };
	dataplane_binding(dp, &out->listen_port, &out->fwmark);
	dataplane_with_device(dp, key_read, &out->private_key);
}

static enum err_code engine_settings(struct device *d, struct device_settings *out, struct err *e)
{
	(void)e;
	settings_read(engine_of(d)->dp, out);
	return ERR_OK;
}

static enum err_code engine_set(struct device *d, const struct device_change *c, struct err *e)
{
	struct dataplane *dp = engine_of(d)->dp;
	enum err_code rc = ERR_OK;

	if (c->has_private_key)
		rc = dataplane_set_private_key(dp, &c->to.private_key, e);
	if (rc == ERR_OK && c->has_listen_port)
		rc = dataplane_set_listen_port(dp, c->to.listen_port, e);
	if (rc == ERR_OK && c->has_fwmark)
		rc = dataplane_set_fwmark(dp, c->to.fwmark, e);
	return rc;
}

/* A run holds the device's lock: a millisecond or so, but a change may have many allowed IPs. */
static size_t run_length(const struct wg_peer_change *c, size_t n)
{
	size_t weight = 0, i = 0;

	while (i < n && weight < RUN_WEIGHT)
		weight += 1 + c[i++].allowed_ip_count;
	return i;
}

static enum err_code engine_change_peers(struct device *d, const struct wg_peer_change *c, size_t n,
					 size_t *done, struct err *e)
{
	struct dataplane *dp = engine_of(d)->dp;
	enum err_code rc = ERR_OK;

	for (*done = 0; rc == ERR_OK && *done < n;) {
		size_t end = *done + run_length(c + *done, n - *done);

		dataplane_run_begin(dp);
		while (rc == ERR_OK && *done < end) {
			rc = dataplane_run_change_peer(dp, &c[*done], e);
			*done += rc == ERR_OK;
		}
		dataplane_run_end(dp);
	}
	return rc;
}

static enum err_code engine_remove_peers(struct device *d, struct err *e)
{
	return dataplane_replace_peers(engine_of(d)->dp, e);
}

static enum err_code engine_stop(struct device *d, struct err *e)
{
	(void)e;
	dataplane_stop(engine_of(d)->dp);
	return ERR_OK;
}

static enum err_code engine_peer(struct device *d, const struct public_key *k,
				 struct wg_peer_info *out, uint64_t verdicts[WG_VERDICTS],
				 struct err *e)
{
	char text[DEVICE_PEER_TEXT_MAX];

	if (dataplane_peer(engine_of(d)->dp, k, out, verdicts))
		return ERR_OK;
	device_peer_text(text, k);
	return err_set(e, ERR_NOT_FOUND, "interface %s has no %s", d->ifname, text);
}

/* ---- walking ---- */

struct walk {
	device_peer_fn *fn;
	void *ctx;
	struct ip_prefix *ips;
	size_t room;
	bool no_memory;
};

static bool ips_fit(struct walk *w, size_t n)
{
	struct ip_prefix *more;

	if (n <= w->room)
		return true;
	more = reallocarray(w->ips, n, sizeof *more);
	if (!more) {
		w->no_memory = true;
		return false;
	}
	w->ips = more;
	w->room = n;
	return true;
}

static bool walk_peer(void *ctx, const struct wg_peer *p)
{
	struct walk *w = ctx;
	struct wg_peer_info info;
	bool more;

	wg_peer_info(p, &info);
	if (!ips_fit(w, info.allowed_ip_count))
		return false;
	info.allowed_ip_count = wg_peer_allowed_ips(p, 0, w->ips, info.allowed_ip_count);
	more = w->fn(w->ctx, &info, w->ips);
	wipe(&info.psk, sizeof info.psk);
	return more;
}

static enum err_code engine_walk(struct device *d, device_peer_fn *fn, void *ctx,
				 struct device_settings *own, struct err *e)
{
	struct walk w = { .fn = fn, .ctx = ctx };

	if (own)
		settings_read(engine_of(d)->dp, own);
	dataplane_walk(engine_of(d)->dp, walk_peer, &w);
	free(w.ips);
	return w.no_memory ? err_set(e, ERR_NOMEM, "no memory to read the peers of %s", d->ifname)
			   : ERR_OK;
}

/* ---- opening ---- */

static const struct device_ops engine_ops = {
	.kind = DEVICE_ENGINE,
	.close = engine_close,
	.remove = engine_remove,
	.gone_fd = engine_gone_fd,
	.alive = engine_alive,
	.status = engine_status,
	.settings = engine_settings,
	.set = engine_set,
	.change_peers = engine_change_peers,
	.remove_peers = engine_remove_peers,
	.stop = engine_stop,
	.peer = engine_peer,
	.walk = engine_walk,
};

enum err_code device_open_engine(struct device **out, const struct dataplane_config *c,
				 struct err *e)
{
	struct engine *g = calloc(1, sizeof *g);
	struct dataplane_status s;
	enum err_code rc;

	if (!g)
		return err_set(e, ERR_NOMEM, "no memory for interface %s", c->ifname);
	rc = dataplane_open(&g->dp, c, e);
	if (rc) {
		free(g);
		return rc;
	}
	dataplane_status(g->dp, &s);
	g->device = (struct device){
		.ops = &engine_ops,
		.can = DEVICE_CAN_DROPS | DEVICE_CAN_LIMITS | DEVICE_CAN_SERVE_UAPI |
		       DEVICE_CAN_DELETE,
		.removal = REMOVAL_NATIVE,
	};
	memcpy(g->device.ifname, s.ifname, sizeof g->device.ifname);
	*out = &g->device;
	return ERR_OK;
}

struct dataplane *device_engine(struct device *d)
{
	return d->ops == &engine_ops ? engine_of(d)->dp : NULL;
}
