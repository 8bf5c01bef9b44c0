/* The host's network, as the settings and further interfaces have it. */
#include <unistd.h>

#include "base/log.h"
#include "gateway/gateway_inside.h"
#include "tunnels/tunnels.h"

#define FORWARD6 "/proc/sys/net/ipv6/conf/all/forwarding"

/* A host without IPv6 carries IPv4 alone; clients keep their IPv6 addresses for better days. */
bool gateway_host_has_ipv6(void)
{
	return access(FORWARD6, F_OK) == 0;
}

static void want_add(struct net_tunnel *w, const struct ip_prefix *network)
{
	w->addresses[w->address_count++] = settings_server_address(network);
	w->masquerade[w->masquerade_count++] = *network;
}

/* The tunnel, as the settings have it; with IPv6 if the host has it. */
static void tunnel_fill(struct gateway *g)
{
	const struct settings *s = &g->core.settings;
	struct net_tunnel *t = &g->want.tunnels[0];

	*t = (struct net_tunnel){ .mtu = s->mtu, .up = !g->core.is_disabled };
	BUG_ON(!str_copy(t->ifname, sizeof t->ifname, str_of(s->ifname)));
	want_add(t, &s->network);
	if (g->has_ipv6)
		want_add(t, &s->network6);
	/* The kernel takes IPv6 addresses from an interface that goes down. */
	if (!t->up)
		t->address_count = 1;
	g->want.tunnel_count = 1;
	g->want.forward_v6 = g->has_ipv6;
	if (g->tunnels)
		tunnels_want(g->tunnels, &g->want);
}

void gateway_want_fill(struct gateway *g)
{
	bool wants_ipv6 = g->core.settings.network6.addr.family != IP_NONE;

	g->want = (struct net_want){ .tunnel_count = 1, .forward_v4 = true };
	g->has_ipv6 = wants_ipv6 && gateway_host_has_ipv6();
	if (wants_ipv6 && !g->has_ipv6)
		LOG_WARNING("net.no_ipv6", F_STR("why", "this kernel has IPv6 turned off"));
	tunnel_fill(g);
}

/* Those that are down have no address on the host yet. */
static enum err_code tunnel_overlap(struct gateway *g, const struct ip_prefix *p, bool *overlaps,
				    char ifname[16], struct err *e)
{
	struct store_tunnel *rows = calloc(STORE_TUNNELS_MAX, sizeof *rows);
	size_t n = 0;
	enum err_code rc = rows ? store_tunnels(g->store, rows, &n, e)
				: err_set(e, ERR_NOMEM, "further interfaces: out of memory");

	for (size_t i = 0; rc == ERR_OK && i < n && !*overlaps; i++) {
		bool is_own = !strcmp(rows[i].name, g->core.settings.ifname);

		for (size_t k = 0; k < rows[i].address_count && !is_own && !*overlaps; k++)
			*overlaps = ip_prefix_overlap(p, &rows[i].addresses[k]);
		if (*overlaps)
			(void)!str_copy(ifname, 16, str_of(rows[i].name));
	}
	free(rows);
	return rc;
}

/* A network that the host is already in would cut the host off from it.  With clients in it, it
 * is too late to say no. */
static enum err_code overlap_check(struct gateway *g, const struct ip_prefix *p, struct err *e)
{
	char text[PREFIX_TEXT_MAX], ifname[16];
	uint64_t total, enabled;
	bool overlaps = false;
	enum err_code rc =
		helper_net_overlap(g->helper, p, g->core.settings.ifname, &overlaps, ifname, e);

	if (rc == ERR_OK && !overlaps)
		rc = tunnel_overlap(g, p, &overlaps, ifname, e);
	if (rc || !overlaps)
		return rc;
	rc = store_client_count(g->store, STR(""), &total, &enabled, e);
	if (rc)
		return rc;
	ip_prefix_format(text, p);
	if (total > 0) {
		LOG_WARNING("net.overlap", F_STR("network", text), F_STR("interface", ifname));
		return ERR_OK;
	}
	return err_set(e, ERR_IN_USE,
		       "network %s overlaps with an address of interface %s; choose another with "
		       "--network%s",
		       text, ifname, p->addr.family == IP_V6 ? "6" : "");
}

enum err_code gateway_net_open(struct gateway *g, struct err *e)
{
	bool left = false;
	enum err_code rc = helper_net_open(g->helper, &left, e);

	g->net_open = rc == ERR_OK;
	g->take_over = g->options->restarted || left;
	for (size_t i = 0; rc == ERR_OK && i < g->want.tunnels[0].masquerade_count; i++)
		rc = overlap_check(g, &g->want.tunnels[0].masquerade[i], e);
	return rc;
}

/* The settings may have changed since. */
enum err_code gateway_apply(struct gateway *g, struct err *e)
{
	tunnel_fill(g);
	return helper_net_apply(g->helper, &g->want, e);
}
