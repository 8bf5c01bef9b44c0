/* What core asks of the running gateway (core_host). */
#include "base/log.h"
#include "core/interfaces.h"
#include "gateway/gateway_inside.h"
#include "tunnels/tunnels.h"

static enum err_code host_change_peer(void *ctx, const struct wg_peer_change *c, struct err *e)
{
	const struct gateway *g = ctx;

	return backend_change_peer(g->backend, c, e);
}

static enum err_code host_change_peers(void *ctx, const struct wg_peer_change *c, size_t n,
				       struct err *e)
{
	const struct gateway *g = ctx;

	return backend_change_peers(g->backend, c, n, e);
}

static enum err_code host_walk_peers(void *ctx, device_peer_fn *fn, void *arg, struct err *e)
{
	const struct gateway *g = ctx;

	return backend_walk_peers(g->backend, fn, arg, e);
}

static json_t *host_https(void *ctx)
{
	const struct gateway *g = ctx;

	return apis_json(g->apis);
}

static bool host_peer(void *ctx, const struct public_key *k, struct wg_peer_info *out)
{
	const struct gateway *g = ctx;

	return backend_peer(g->backend, k, out, NULL);
}

static bool host_drops(void *ctx, const struct public_key *k, uint64_t verdicts[WG_VERDICTS])
{
	const struct gateway *g = ctx;
	struct wg_peer_info info;
	bool found = backend_peer(g->backend, k, &info, verdicts);

	wipe(&info.psk, sizeof info.psk);
	return found;
}

static void host_status(void *ctx, struct dataplane_status *out)
{
	const struct gateway *g = ctx;

	backend_status(g->backend, out);
}

static void host_walk(void *ctx, bool (*fn)(void *arg, const struct public_key *k), void *arg)
{
	const struct gateway *g = ctx;

	backend_walk(g->backend, fn, arg);
}

static enum err_code host_apply(void *ctx, struct err *e)
{
	return gateway_apply(ctx, e);
}

struct looking {
	interface_fn *fn;
	void *arg;
	bool ended;
};

static bool look(void *arg, const char *ifname, const struct ip_prefix *address)
{
	struct looking *l = arg;

	l->ended = !l->fn(l->arg, ifname, address);
	return !l->ended;
}

static enum err_code host_interfaces(void *ctx, interface_fn *fn, void *arg, struct err *e)
{
	const struct gateway *g = ctx;
	struct looking l = { .fn = fn, .arg = arg };
	enum err_code rc = interfaces_walk(look, &l, e);

	if (rc == ERR_OK && !l.ended && g->tunnels)
		(void)tunnels_down_walk(g->tunnels, fn, arg);
	return rc;
}

static enum err_code host_set_server(void *ctx, const struct secret_key *k, uint16_t port,
				     struct err *e)
{
	const struct gateway *g = ctx;

	return backend_set_server(g->backend, k, port, e);
}

static bool host_restart(void *ctx, const struct core_later *asker)
{
	struct gateway *g = ctx;

	if (g->restart_asked || g->stop_asked)
		return false;
	g->restart_asked = true;
	if (asker)
		g->restart_asker = *asker;
	loop_stop(g->loop);
	return true;
}

static bool host_firewall_active(void *ctx)
{
	const struct gateway *g = ctx;

	return helper_net_firewall_active(g->helper, g->core.settings.ifname);
}

/* IPv4 first, as the reference's server.ip; a host without it serves by IPv6. */
static enum err_code host_default_source(void *ctx, struct ip_addr *out, struct err *e)
{
	const struct gateway *g = ctx;
	char ifname[16];
	enum err_code rc = helper_net_default_route(g->helper, IP_V4, out, ifname, e);

	if (rc == ERR_NOT_FOUND)
		rc = helper_net_default_route(g->helper, IP_V6, out, ifname, e);
	return rc;
}

static enum err_code host_net_compare(void *ctx, bool repair, net_difference_fn *fn, void *arg,
				      struct err *e)
{
	const struct gateway *g = ctx;

	return repair ? network_repair(g->network, fn, arg, e)
		      : helper_net_check(g->helper, fn, arg, e);
}

static void host_net_status(void *ctx, struct network_status *out)
{
	const struct gateway *g = ctx;

	network_status(g->network, out);
}

static enum err_code host_hooks(void *ctx, const char *ifname, const char *text, bool goes_on,
				struct err *e)
{
	const struct gateway *g = ctx;

	return helper_hooks(g->helper, ifname, text, goes_on, e);
}

static enum err_code host_open_file(void *ctx, const char *path, const char *name, int *out,
				    struct err *e)
{
	const struct gateway *g = ctx;

	return helper_open_file(g->helper, path, name, out, e);
}

static enum err_code host_open_tls(void *ctx, bool is_key, int *out, struct err *e)
{
	const struct gateway *g = ctx;

	return helper_open_tls(g->helper, is_key, out, e);
}

static int64_t host_wall_ns(void *ctx)
{
	(void)ctx;
	return clock_real_ns();
}

struct core_host gateway_host(struct gateway *g)
{
	return (struct core_host){
		.ctx = g,
		.change_peer = host_change_peer,
		.change_peers = host_change_peers,
		.https = host_https,
		.walk_peers = host_walk_peers,
		.peer = host_peer,
		.status = host_status,
		.walk = host_walk,
		.apply = host_apply,
		.firewall_active = host_firewall_active,
		.default_source = host_default_source,
		.wall_ns = host_wall_ns,
		.drops = host_drops,
		.interfaces = host_interfaces,
		.restart = host_restart,
		.set_server = host_set_server,
		.net_compare = host_net_compare,
		.net_status = host_net_status,
		.hooks = host_hooks,
		.open_file = host_open_file,
		.open_tls = host_open_tls,
	};
}
