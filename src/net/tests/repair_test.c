/* repair_test - several tunnels and policy on a host of the test's own, and what somebody else takes
 * apart is found, told and put right. */
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/tests/host.h"

struct fixture {
	int tun, second;
	struct host_dir dir;
	struct net *net;
	struct buf before, after, told;
	struct err e;
};

static void begin(struct fixture *f, const char *first, const char *second)
{
	*f = (struct fixture){ .tun = host_tun(first), .second = host_tun(second) };
	assert_true(f->tun >= 0 && f->second >= 0);
	host_dir_make(&f->dir);
	host_picture(&f->before);
	if (net_open(&f->net, f->dir.journal, &f->e))
		fail_msg("%s", f->e.msg);
}

/* Undone, all must be as it was. */
static void end(struct fixture *f, const char *why)
{
	if (net_undo(f->net, &f->e))
		fail_msg("%s", f->e.msg);
	host_picture(&f->after);
	host_same(&f->before, &f->after, why);
	assert_int_equal(access(f->dir.journal, F_OK), -1);
	net_close(f->net);
	close(f->tun);
	close(f->second);
	host_dir_remove(&f->dir);
	buf_done(&f->before);
	buf_done(&f->after);
	buf_done(&f->told);
}

static struct net_want two_tunnels(const char *first, const char *second)
{
	struct net_want w = host_want(first), other = host_want(second);
	struct net_tunnel *t = &w.tunnels[1];

	*t = other.tunnels[0];
	t->addresses[0] = host_prefix("10.9.0.1/24");
	t->masquerade[0] = host_prefix("10.9.0.0/24");
	t->address_count = t->masquerade_count = 1;
	t->isolated = true;
	w.tunnel_count = 2;
	w.separate = true;
	w.passes[0].keeps_source = true;
	memcpy(w.passes[0].from, w.tunnels[0].ifname, NET_NAME_MAX);
	memcpy(w.passes[0].to, t->ifname, NET_NAME_MAX);
	w.pass_count = 1;
	w.redirects[0] =
		(struct net_redirect){ .protocol = IPPROTO_UDP, .port = 53, .to_port = 5353 };
	memcpy(w.redirects[0].ifname, w.tunnels[0].ifname, NET_NAME_MAX);
	w.redirect_count = 1;
	host_want_policy(&w);
	w.ports[1] = (struct net_port){ .protocol = IPPROTO_TCP,
					.port = 8000,
					.from = { host_prefix("192.0.2.0/24") },
					.from_count = 1 };
	w.port_count = 2;
	return w;
}

static void write_down(void *ctx, const struct net_difference *d)
{
	struct fixture *f = ctx;

	buf_printf(&f->told, "%s%s%s\n", d->sentence, *d->repair ? ": " : "", d->repair);
}

static void told(struct fixture *f, bool repair, const char *lines)
{
	enum err_code rc;

	buf_clear(&f->told);
	rc = repair ? net_repair(f->net, write_down, f, &f->e)
		    : net_check(f->net, write_down, f, &f->e);
	if (rc)
		fail_msg("%s", f->e.msg);
	assert_string_equal(f->told.n ? f->told.p : "", lines);
}

/* Found twice, repaired once, then nothing. */
static void found_and_repaired(struct fixture *f, const char *lines)
{
	told(f, false, lines);
	told(f, false, lines);
	told(f, true, lines);
	told(f, true, "");
	told(f, false, "");
}

static void apply(struct fixture *f, const struct net_want *w)
{
	if (net_apply(f->net, w, &f->e))
		fail_msg("%s", f->e.msg);
}

static void several_tunnels(void **state UNUSED)
{
	static const char *const lines[] = {
		"iifname \"r0\" udp dport 53 redirect to :5353",
		"iifname != \"lo\" meta nfproto ipv4 udp dport 51820 drop",
		"iifname != \"lo\" meta nfproto ipv6 udp dport 51820 drop",
		"tcp dport 8000 ip saddr != 192.0.2.0/24 drop",
		"iifname \"r1\" oifname \"r1\" drop",
		"iifname \"r0\" oifname \"r1\" accept",
		"iifname \"r0\" oifname \"r1\" drop",
		"iifname \"r1\" oifname \"r0\" drop",
		"iifname \"r1\" ip saddr != 10.9.0.0/24",
		"ip saddr 10.8.0.0/24 masquerade",
		"ip saddr 10.9.0.0/24 masquerade",
	};
	AUTO(buf_done) struct buf table = { 0 };
	struct fixture f;
	struct net_want w;
	size_t i;

	NEED_HOST();
	begin(&f, "r0", "r1");
	w = two_tunnels("r0", "r1");
	apply(&f, &w);
	told(&f, false, "");
	host_nft_print(&table, "list", "table", "inet", "qanat_r0");
	for (i = 0; i < ARRAY_LEN(lines); i++)
		if (!strstr(table.p, lines[i]))
			fail_msg("no %s in\n%s", lines[i], table.p);
	assert_true(host_link("r1").up && host_link("r1").mtu == 1420);
	/* The second goes, and so does what was for it; the first stays. */
	w = host_want("r0");
	apply(&f, &w);
	told(&f, false, "");
	assert_false(host_link("r1").up);
	assert_int_equal(host_link("r1").mtu, 1500);
	buf_clear(&table);
	host_nft_print(&table, "list", "table", "inet", "qanat_r0");
	assert_null(strstr(table.p, "r1"));
	w = two_tunnels("r1", "r0");
	assert_int_equal(net_apply(f.net, &w, &f.e), ERR_IN_USE);
	end(&f, "undone");
}

static void repairs(void **state UNUSED)
{
	const struct nl_rule rule = { .family = IP_V4,
				      .priority = 100,
				      .from = host_prefix("10.8.0.0/24"),
				      .table = 100,
				      .protocol = 81 };
	struct nl_address address = { .prefix = host_prefix("10.9.0.1/24") };
	struct nl_route route = { .dst = host_prefix("0.0.0.0/0"), .table = 100, .type = 1 };
	struct fixture f;
	struct net_want w;

	NEED_HOST();
	begin(&f, "r2", "r3");
	w = two_tunnels("r2", "r3");
	told(&f, true, ""); /* before anything was applied */
	apply(&f, &w);
	host_nft("table inet theirs {\nchain c {\ntype filter hook input priority 0;\n}\n}\n");
	told(&f, false, "");
	host_nft("flush table inet qanat_r2");
	found_and_repaired(&f, "nft table inet qanat_r2 was not as it was loaded: it was loaded "
			       "again\n");
	host_nft("delete table inet qanat_r2");
	found_and_repaired(&f, "nft table inet qanat_r2 was missing: it was loaded again\n");
	host_nft("delete table inet theirs"); /* it was left where it was */
	host_sysctl("net/ipv4/ip_forward", 0);
	found_and_repaired(&f, "net.ipv4.ip_forward was 0: it was set to 1\n");
	assert_int_equal(nl_rule_delete(host_nl(), &rule, &f.e), ERR_OK);
	found_and_repaired(&f, "IPv4 rule 100 from 10.8.0.0/24 table 100 was missing: it was added "
			       "again\n");
	address.ifindex = host_link("r3").index;
	assert_int_equal(nl_address_delete(host_nl(), &address, &f.e), ERR_OK);
	found_and_repaired(&f, "address 10.9.0.1/24 was missing on r3: it was added again\n");
	route.oif = host_link("r2").index;
	assert_int_equal(nl_route_delete(host_nl(), &route, &f.e), ERR_OK);
	found_and_repaired(&f,
			   "route 0.0.0.0/0 dev r2 table 100 was missing: it was added again\n");
	assert_int_equal(nl_link_set_mtu(host_nl(), host_link("r2").index, 1300, &f.e), ERR_OK);
	found_and_repaired(&f, "the MTU of r2 was 1300: it was set to 1420\n");
	end(&f, "after all these repairs");
}

/* What is there is repaired while an interface is away; made anew, it gets all that it had. */
static void away(void **state UNUSED)
{
	struct fixture f;
	struct net_want w;

	NEED_HOST();
	begin(&f, "r4", "r5");
	w = two_tunnels("r4", "r5");
	apply(&f, &w);
	close(f.second);
	told(&f, false, "interface r5 does not exist\n");
	host_nft("delete table inet qanat_r4");
	told(&f, true,
	     "interface r5 does not exist\n"
	     "nft table inet qanat_r4 was missing: it was loaded again\n");
	f.second = host_tun("r5");
	told(&f, true,
	     "the MTU of r5 was 1500: it was set to 1420\n"
	     "address 10.9.0.1/24 was missing on r5: it was added again\n"
	     "interface r5 was down: it was set up\n");
	told(&f, false, "");
	/* Its number is another now. */
	if (net_undo(f.net, &f.e))
		fail_msg("%s", f.e.msg);
	assert_false(host_link("r5").up);
	close(f.second);
	f.second = host_tun("r5");
	host_picture(&f.before);
	end(&f, "undone");
}

static void impossible(void **state UNUSED)
{
	struct fixture f;
	struct net_want w;

	NEED_HOST();
	begin(&f, "r6", "r7");
#define REFUSED(code, ...)                                          \
	do {                                                        \
		w = two_tunnels("r6", "r7");                        \
		__VA_ARGS__;                                        \
		assert_int_equal(net_apply(f.net, &w, &f.e), code); \
		assert_true(f.e.msg[0] && !strchr(f.e.msg, '\n'));  \
	} while (0)
	REFUSED(ERR_MISSING, w.tunnel_count = 0);
	REFUSED(ERR_INVALID, memcpy(w.tunnels[1].ifname, "r6", 3));
	REFUSED(ERR_RANGE, w.rules[0].priority = 32766);
	REFUSED(ERR_RANGE, w.rules[0].priority = 0);
	REFUSED(ERR_INVALID, w.rules[0].table = 255);
	REFUSED(ERR_INVALID, w.rules[0].family = IP_V6);
	REFUSED(ERR_INVALID, w.routes[1].table = 0);
	REFUSED(ERR_INVALID, w.routes[0].gateway = host_addr("fd00::1"));
	REFUSED(ERR_INVALID, w.routes[1].gateway = host_addr("10.0.0.1"));
	REFUSED(ERR_INVALID, w.ports[0].protocol = 1);
	REFUSED(ERR_RANGE, w.ports[0].port = 0);
	REFUSED(ERR_RANGE, w.ports[1].from_count = NET_SOURCES_MAX + 1);
	REFUSED(ERR_RANGE, w.redirects[0].to_port = 0);
	REFUSED(ERR_INVALID, memcpy(w.redirects[0].ifname, "a b", 4));
	REFUSED(ERR_INVALID, w.passes[0].to[0] = '"');
	REFUSED(ERR_NOT_FOUND, memcpy(w.routes[0].ifname, "absent0", 8));
	end(&f, "nothing was changed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(several_tunnels),
		cmocka_unit_test(repairs),
		cmocka_unit_test(away),
		cmocka_unit_test(impossible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
