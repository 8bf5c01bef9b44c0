#include "net/tests/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include <cmocka.h>

#include "net/run.h"
#include "net/sysctl.h"

static const char *const nft_paths[] = { "/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", NULL };
static struct nl *host;

static const char *make_host(void)
{
	static const char *const argv[] = { "nft", "list", "tables", NULL };
	static char why[600];
	struct err e = { 0 };
	int fd;

	if (unshare(CLONE_NEWNET)) {
		snprintf(why, sizeof why, "no network namespace: %s", strerror(errno));
		return why;
	}
	fd = host_tun("probe0");
	if (fd < 0)
		return "no /dev/net/tun";
	close(fd);
	if (run_program(nft_paths, "nftables", argv, STR(""), NULL, &e) || nl_open(&host, &e)) {
		snprintf(why, sizeof why, "%s", e.msg);
		return why;
	}
	if (nl_link_set_up(host, host_link("lo").index, true, &e))
		return "cannot set lo up";
	return NULL;
}

bool host_ready(void)
{
	static bool asked;
	const char *why;

	if (!asked) {
		asked = true;
		why = make_host();
		if (why) {
			nl_close(host);
			host = NULL;
			print_message("tests that need a host are skipped: %s\n", why);
		}
	}
	return host != NULL;
}

struct nl *host_nl(void)
{
	return host;
}

int host_tun(const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	assert_true(str_copy(r.ifr_name, sizeof r.ifr_name, str_of(name)));
	if (ioctl(fd, TUNSETIFF, &r)) {
		close(fd);
		return -1;
	}
	return fd;
}

struct nl_link host_link(const char *name)
{
	struct nl_link l = { 0 };
	struct err e = { 0 };

	if (nl_link_by_name(host, name, &l, &e))
		fail_msg("%s", e.msg);
	return l;
}

struct ip_prefix host_prefix(const char *text)
{
	struct ip_prefix p;

	assert_true(ip_prefix_parse(str_of(text), &p));
	return p;
}

struct ip_addr host_addr(const char *text)
{
	struct ip_addr a;

	assert_true(ip_parse(str_of(text), &a));
	return a;
}

void host_sysctl(const char *name, uint32_t value)
{
	struct err e = { 0 };

	if (sysctl_write(name, value, &e))
		fail_msg("%s", e.msg);
}

uint32_t host_sysctl_value(const char *name)
{
	struct err e = { 0 };
	uint32_t v = 0;

	if (sysctl_read(name, &v, &e))
		fail_msg("%s", e.msg);
	return v;
}

void host_nft(const char *text)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };
	struct err e = { 0 };

	if (run_program(nft_paths, "nftables", argv, str_of(text), NULL, &e))
		fail_msg("%s", e.msg);
}

void host_nft_print(struct buf *out, const char *a, const char *b, const char *c, const char *d)
{
	const char *const argv[] = { "nft", a, b, c, d, NULL };
	struct err e = { 0 };

	if (run_program(nft_paths, "nftables", argv, STR(""), out, &e))
		fail_msg("%s", e.msg);
}

/* ---- the picture ---- */

static bool draw_link(void *ctx, const struct nl_link *l)
{
	buf_printf(ctx, "link %u %s mtu %u %s\n", l->index, l->name, l->mtu, l->up ? "up" : "down");
	return true;
}

static bool draw_address(void *ctx, const struct nl_address *a)
{
	char text[PREFIX_TEXT_MAX];

	ip_prefix_format(text, &a->prefix);
	/* The kernel gives an interface that goes up an IPv6 link-local address in its own time. */
	if (a->prefix.addr.family == IP_V4 || a->scope == 0)
		buf_printf(ctx, "address %u %s\n", a->ifindex, text);
	return true;
}

static bool draw_route(void *ctx, const struct nl_route *r)
{
	char text[PREFIX_TEXT_MAX];

	ip_prefix_format(text, &r->dst);
	if (r->dst.addr.b[0] != 0xfe && r->dst.addr.b[0] != 0xff)
		buf_printf(ctx, "route %s oif %u table %u metric %u\n", text, r->oif, r->table,
			   r->metric);
	return true;
}

static bool draw_rule(void *ctx, const struct nl_rule *r)
{
	char from[PREFIX_TEXT_MAX] = "all", to[PREFIX_TEXT_MAX] = "all";

	if (r->from.addr.family)
		ip_prefix_format(from, &r->from);
	if (r->to.addr.family)
		ip_prefix_format(to, &r->to);
	buf_printf(ctx, "rule IPv%u %u from %s to %s iif %s table %u\n", r->family, r->priority,
		   from, to, r->ifname, r->table);
	return true;
}

static void draw_settings(struct buf *out, unsigned version, const char *leaf)
{
	char path[64], name[SYSCTL_NAME_MAX + 64];
	struct dirent **list;
	int n, i;

	snprintf(path, sizeof path, "/proc/sys/net/ipv%u/conf", version);
	n = scandir(path, &list, NULL, alphasort);
	for (i = 0; i < n; i++) {
		uint32_t value;

		snprintf(name, sizeof name, "net/ipv%u/conf/%.15s/%s", version, list[i]->d_name,
			 leaf);
		if (list[i]->d_name[0] != '.' && !sysctl_read(name, &value, NULL))
			buf_printf(out, "%s %u\n", name, value);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

void host_picture(struct buf *out)
{
	struct err e = { 0 };

	buf_clear(out);
	if (nl_links(host, draw_link, out, &e) || nl_addresses(host, 0, draw_address, out, &e) ||
	    nl_routes(host, IP_V4, 0, draw_route, out, &e) ||
	    nl_routes(host, IP_V6, 0, draw_route, out, &e) ||
	    nl_rules(host, IP_V4, draw_rule, out, &e) || nl_rules(host, IP_V6, draw_rule, out, &e))
		fail_msg("%s", e.msg);
	buf_printf(out, "ip_forward %u\n", host_sysctl_value("net/ipv4/ip_forward"));
	draw_settings(out, 4, "forwarding");
	draw_settings(out, 4, "accept_redirects");
	draw_settings(out, 6, "forwarding");
	draw_settings(out, 6, "accept_ra");
	host_nft_print(out, "-s", "list", "ruleset", NULL);
	assert_true(buf_ok(out));
}

void host_same(const struct buf *before, const struct buf *after, const char *why)
{
	if (!str_eq(buf_view(before), buf_view(after)))
		fail_msg("%s\n--- before\n%s--- after\n%s", why, before->p, after->p);
}

void host_dir_make(struct host_dir *d)
{
	snprintf(d->dir, sizeof d->dir, "/tmp/qanat-net-test-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	snprintf(d->journal, sizeof d->journal, "%s/journal", d->dir);
}

void host_dir_remove(struct host_dir *d)
{
	unlink(d->journal);
	rmdir(d->dir);
}

struct net_want host_want(const char *ifname)
{
	struct net_want w = {
		.tunnels = { {
			.addresses = { host_prefix("10.8.0.1/24"),
				       host_prefix("fd00:70:68::1/64") },
			.address_count = 2,
			.mtu = 1420,
			.up = true,
			.masquerade = { host_prefix("10.8.0.0/24"),
					host_prefix("fd00:70:68::/64") },
			.masquerade_count = 2,
		} },
		.tunnel_count = 1,
		.forward_v4 = true,
		.forward_v6 = true,
	};

	assert_true(str_copy(w.tunnels[0].ifname, NET_NAME_MAX, str_of(ifname)));
	return w;
}

void host_want_policy(struct net_want *w)
{
	const struct ip_prefix clients = host_prefix("10.8.0.0/24"), all = host_prefix("0.0.0.0/0");
	struct net_route by_tunnel = { .to = all, .table = 100 };

	memcpy(by_tunnel.ifname, w->tunnels[0].ifname, sizeof by_tunnel.ifname);
	w->routes[w->route_count++] = by_tunnel;
	w->routes[w->route_count++] =
		(struct net_route){ .to = all, .table = 100, .metric = UINT32_MAX };
	w->routes[w->route_count++] = (struct net_route){ .to = host_prefix("::/0"), .table = 100 };
	w->rules[w->rule_count++] = (struct net_rule){
		.family = IP_V4, .priority = 99, .from = clients, .to = clients, .table = 254
	};
	w->rules[w->rule_count++] = (struct net_rule){
		.family = IP_V4, .priority = 100, .from = clients, .table = 100
	};
	w->ports[w->port_count++] = (struct net_port){ .protocol = IPPROTO_UDP, .port = 51820 };
}
