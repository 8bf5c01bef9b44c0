/* net_test - apply, diff and undo on a host of the test's own. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/rtnetlink.h>
#include <cmocka.h>

#include "base/fs.h"
#include "net/tests/host.h"
struct fixture {
	int tun;
	struct host_dir dir;
	struct net *net;
	struct buf before, after;
	struct err e;
};

static void begin(struct fixture *f, const char *ifname)
{
	*f = (struct fixture){ .tun = host_tun(ifname) };
	assert_true(f->tun >= 0);
	host_dir_make(&f->dir);
	host_picture(&f->before);
	if (net_open(&f->net, f->dir.journal, &f->e))
		fail_msg("%s", f->e.msg);
}

/* All must be as it was. */
static void end(struct fixture *f, const char *why)
{
	host_picture(&f->after);
	host_same(&f->before, &f->after, why);
	assert_int_equal(access(f->dir.journal, F_OK), -1);
	net_close(f->net);
	close(f->tun);
	host_dir_remove(&f->dir);
	buf_done(&f->before);
	buf_done(&f->after);
}

static void apply(struct fixture *f, const struct net_want *w)
{
	if (net_apply(f->net, w, &f->e))
		fail_msg("%s", f->e.msg);
}

static void undo(struct fixture *f)
{
	if (net_undo(f->net, &f->e))
		fail_msg("%s", f->e.msg);
}

/* The differences must be exactly these lines. */
static void differs(struct fixture *f, const struct net_want *w, const char *lines)
{
	AUTO(buf_done) struct buf text = { 0 };

	if (net_diff(f->net, w, &text, &f->e))
		fail_msg("%s", f->e.msg);
	assert_string_equal(text.p ? text.p : "", lines);
}

static void apply_and_undo(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("w0");
	struct stat st;
	struct nl_link l;

	NEED_HOST();
	begin(&f, "w0");
	differs(&f, &w,
		"~ mtu 1500 -> 1420 dev w0\n"
		"+ address 10.8.0.1/24 dev w0\n"
		"+ address fd00:70:68::1/64 dev w0\n"
		"+ blackhole route 10.8.0.0/24\n"
		"+ blackhole route fd00:70:68::/64\n"
		"+ nft table inet qanat_w0\n"
		"~ sysctl net.ipv4.ip_forward 0 -> 1\n"
		"~ sysctl net.ipv6.conf.all.forwarding 0 -> 1\n"
		"~ link down -> up dev w0\n");
	host_picture(&f.after);
	host_same(&f.before, &f.after, "a diff changes nothing");
	assert_false(net_firewall_active(f.net, "w0"));

	apply(&f, &w);
	differs(&f, &w, "");
	l = host_link("w0");
	assert_true(l.up);
	assert_int_equal(l.mtu, 1420);
	assert_int_equal(host_sysctl_value("net/ipv4/ip_forward"), 1);
	assert_int_equal(host_sysctl_value("net/ipv6/conf/all/forwarding"), 1);
	assert_true(net_firewall_active(f.net, "w0"));
	assert_false(net_firewall_active(f.net, "w1"));
	assert_int_equal(stat(f.dir.journal, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	undo(&f);
	assert_false(net_firewall_active(f.net, "w0"));
	undo(&f); /* twice is nothing */
	end(&f, "undone");
}

static ino_t journal_inode(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(f->dir.journal, &st), 0);
	return st.st_ino;
}

/* The kernel reports changes of IPv4 before it acknowledges them (those of links and IPv6 may come
 * later by themselves); and no change is made without the journal being replaced. */
static void second_apply_is_silent(void **state UNUSED)
{
	struct sockaddr_nl groups = { .nl_family = AF_NETLINK,
				      .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE };
	AUTO(fd_done) int reports = -1, held = -1;
	struct fixture f;
	struct net_want w = host_want("w1");
	uint8_t report[8192];
	ino_t journal;

	NEED_HOST();
	begin(&f, "w1");
	apply(&f, &w);
	held = open(f.dir.journal, O_RDONLY | O_CLOEXEC); /* so that its number is not used again */
	assert_true(held >= 0);
	journal = journal_inode(&f);
	reports = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	assert_int_equal(bind(reports, (struct sockaddr *)&groups, sizeof groups), 0);
	apply(&f, &w);
	apply(&f, &w);
	assert_int_equal(recv(reports, report, sizeof report, 0), -1);
	assert_true(journal_inode(&f) == journal);
	w.tunnels[0].addresses[0] =
		host_prefix("10.8.0.9/24"); /* now something is to be reported */
	apply(&f, &w);
	assert_true(recv(reports, report, sizeof report, 0) > 0);
	assert_true(journal_inode(&f) != journal);
	undo(&f);
	end(&f, "undone");
}

/* What is no longer wanted goes back; what is wanted newly comes. */
static void other_wishes(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("w2"),
			less = { .tunnels = { { .ifname = "w2" } }, .tunnel_count = 1 };

	NEED_HOST();
	begin(&f, "w2");
	apply(&f, &w);
	w.tunnels[0].addresses[0] = host_prefix("10.8.0.5/24");
	w.tunnels[0].masquerade[0] = host_prefix("10.9.0.0/16");
	w.tunnels[0].mtu = 1380;
	differs(&f, &w,
		"~ mtu 1420 -> 1380 dev w2\n"
		"- address 10.8.0.1/24 dev w2\n"
		"+ address 10.8.0.5/24 dev w2\n"
		"- blackhole route 10.8.0.0/24\n"
		"+ blackhole route 10.9.0.0/16\n"
		"~ nft table inet qanat_w2\n");
	apply(&f, &w);
	differs(&f, &w, "");
	differs(&f, &less,
		"~ mtu 1380 -> 1500 dev w2\n"
		"- address fd00:70:68::1/64 dev w2\n"
		"- address 10.8.0.5/24 dev w2\n"
		"- blackhole route fd00:70:68::/64\n"
		"- blackhole route 10.9.0.0/16\n"
		"- nft table inet qanat_w2\n"
		"~ sysctl net.ipv4.ip_forward 1 -> 0\n"
		"~ sysctl net.ipv6.conf.all.forwarding 1 -> 0\n"
		"~ link up -> down dev w2\n");
	apply(&f, &less);
	end(&f, "nothing is wanted any more");
}

/* A route that somebody else (a PostUp command) made by our interface outlives a change of our network. */
static void routes_of_others_stay(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("w17");
	struct nl_route theirs = { .dst = host_prefix("198.51.100.0/24") }, found;
	const struct ip_addr to = host_addr("198.51.100.9");

	NEED_HOST();
	begin(&f, "w17");
	apply(&f, &w);
	theirs.oif = host_link("w17").index;
	assert_int_equal(nl_route_add(host_nl(), &theirs, &f.e), ERR_OK);
	w.tunnels[0].addresses[0] = host_prefix("10.9.0.1/24");
	w.tunnels[0].masquerade[0] = host_prefix("10.9.0.0/24");
	differs(&f, &w,
		"+ address 10.9.0.1/24 dev w17\n"
		"- address 10.8.0.1/24 dev w17\n"
		"- blackhole route 10.8.0.0/24\n"
		"+ blackhole route 10.9.0.0/24\n"
		"~ nft table inet qanat_w17\n");
	apply(&f, &w);
	assert_int_equal(nl_route_get(host_nl(), &to, 0, &found, &f.e), ERR_OK);
	assert_int_equal(found.oif, theirs.oif);
	w.tunnels[0].addresses[0] =
		host_prefix("10.9.0.1/25"); /* the same address, a smaller network */
	apply(&f, &w);
	assert_int_equal(nl_route_get(host_nl(), &to, 0, &found, &f.e), ERR_OK);
	assert_int_equal(found.oif, theirs.oif);
	assert_int_equal(nl_route_delete(host_nl(), &theirs, &f.e), ERR_OK);
	undo(&f);
	end(&f, "undone");
}

/* What others have set stays, before, during and after. */
static void others_are_left_alone(void **state UNUSED)
{
	AUTO(buf_done) struct buf foreign = { 0 }, now = { 0 };
	AUTO(fd_done) int other = -1;
	struct fixture f;
	struct net_want w = host_want("w3");
	struct nl_address own = { .prefix = host_prefix("172.16.3.1/24") };

	NEED_HOST();
	other = host_tun("other0");
	host_nft("table inet theirs { chain c { type filter hook forward priority 0; policy drop;\n"
		 "counter packets 3 bytes 4 accept\n}\n}\n"
		 "table ip qanatlike { }\n");
	host_sysctl("net/ipv4/conf/other0/forwarding", 1);
	host_sysctl("net/ipv6/conf/other0/forwarding", 1);
	host_sysctl("net/ipv4/conf/all/accept_redirects", 0);
	begin(&f, "w3");
	own.ifindex = host_link("w3").index;
	assert_int_equal(nl_address_add(host_nl(), &own, &f.e), ERR_OK);
	host_picture(&f.before);
	host_nft_print(&foreign, "list", "table", "inet", "theirs");
	apply(&f, &w);
	host_nft_print(&now, "list", "table", "inet", "theirs");
	host_same(&foreign, &now, "somebody else's table");
	w.tunnels[0].address_count = 0; /* ours go; the one that we never made stays */
	apply(&f, &w);
	undo(&f);
	end(&f, "settings of others come back though the kernel resets them");
	host_nft("delete table inet theirs; delete table ip qanatlike");
	host_sysctl("net/ipv4/conf/all/accept_redirects", 1);
}

static void already_forwarding(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("w4");

	NEED_HOST();
	host_sysctl("net/ipv4/ip_forward", 1);
	begin(&f, "w4");
	apply(&f, &w);
	undo(&f);
	assert_int_equal(host_sysctl_value("net/ipv4/ip_forward"), 1);
	end(&f, "forwarding was on before us and stays on");

	begin(&f, "w4");
	host_sysctl("net/ipv4/ip_forward", 0);
	host_picture(&f.before);
	apply(&f, &w);
	host_sysctl("net/ipv4/ip_forward", 0); /* somebody turns it off behind our back */
	differs(&f, &w, "~ sysctl net.ipv4.ip_forward 0 -> 1\n");
	apply(&f, &w);
	undo(&f);
	end(&f, "turned on again, and off at the end");
}

/* An uplink that lives on router advertisements keeps hearing them. */
static void router_advertisements(void **state UNUSED)
{
	AUTO(fd_done) int uplink = -1, plain = -1;
	struct fixture f;
	struct net_want w = host_want("w5");
	struct nl_route r = { .dst = host_prefix("::/0"), .protocol = RTPROT_RA, .metric = 1024 };

	NEED_HOST();
	uplink = host_tun("ra.0");
	plain = host_tun("plain0");
	r.oif = host_link("ra.0").index;
	assert_int_equal(nl_link_set_up(host_nl(), r.oif, true, NULL), ERR_OK);
	assert_int_equal(nl_route_add(host_nl(), &r, NULL), ERR_OK);
	host_sysctl("net/ipv6/conf/ra.0/accept_ra", 1);
	host_sysctl("net/ipv6/conf/plain0/accept_ra", 1);
	begin(&f, "w5");
	apply(&f, &w);
	assert_int_equal(host_sysctl_value("net/ipv6/conf/ra.0/accept_ra"), 2);
	assert_int_equal(host_sysctl_value("net/ipv6/conf/plain0/accept_ra"), 1);
	w.forward_v6 = false;
	differs(&f, &w,
		"~ sysctl net.ipv6.conf.all.forwarding 1 -> 0\n"
		"~ sysctl net.ipv6.conf.ra/0.accept_ra 2 -> 1\n");
	apply(&f, &w);
	assert_int_equal(host_sysctl_value("net/ipv6/conf/ra.0/accept_ra"), 1);
	w.forward_v6 = true;
	apply(&f, &w);
	undo(&f);
	end(&f, "undone");
}

/* Somebody empties or deletes our table: seen, and mended. */
static void table_drift(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("w6");

	NEED_HOST();
	begin(&f, "w6");
	apply(&f, &w);
	host_nft("flush chain inet qanat_w6 postrouting");
	assert_false(net_firewall_active(f.net, "w6"));
	differs(&f, &w, "~ nft table inet qanat_w6\n");
	apply(&f, &w);
	assert_true(net_firewall_active(f.net, "w6"));
	host_nft("delete table inet qanat_w6");
	differs(&f, &w, "+ nft table inet qanat_w6\n");
	apply(&f, &w);
	assert_true(net_firewall_active(f.net, "w6"));
	host_nft("delete table inet qanat_w6");
	undo(&f); /* nothing there to delete, and no error */
	end(&f, "undone");
}

static void interface_made_again(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("w7");

	NEED_HOST();
	begin(&f, "w7");
	apply(&f, &w);
	close(f.tun);
	assert_int_equal(net_apply(f.net, &w, &f.e), ERR_NOT_FOUND);
	assert_non_null(strstr(f.e.msg, "w7"));
	f.tun = host_tun("w7");
	apply(&f, &w);
	differs(&f, &w, "");
	close(f.tun);
	undo(&f);
	f.tun = host_tun("w7");
	buf_clear(&f.before); /* its number is a new one: compare only what is the host's */
	host_picture(&f.before);
	assert_int_equal(host_sysctl_value("net/ipv4/ip_forward"), 0);
	end(&f, "undone after the interface has gone");
}

static void refusals(void **state UNUSED)
{
	static const struct {
		const char *ifname;
		const char *why;
	} names[] = {
		{ "", "empty" },
		{ "w\"; drop", "a quote would end nft's string" },
		{ "w*", "nft's wildcard" },
		{ "w 8", "a space" },
		{ "w\n8", "a newline" },
		{ "w/8", "a path" },
		{ "..", "a path" },
		{ "-f", "an option" },
		{ "w\xc3\xa4", "not ASCII" },
		{ "lo", "the loopback interface" },
		{ "all", "all interfaces, under /proc/sys" },
		{ "default", "those to come, under /proc/sys" },
	};
	struct fixture f;
	struct net_want w;
	size_t i;

	NEED_HOST();
	begin(&f, "w8");
	for (i = 0; i < ARRAY_LEN(names); i++) {
		w = host_want(names[i].ifname);
		if (net_apply(f.net, &w, &f.e) != ERR_INVALID)
			fail_msg("taken: %s", names[i].why);
		assert_non_null(strstr(f.e.msg, "interface name"));
		assert_null(strchr(f.e.msg, '\n'));
	}
	w = host_want("absent0");
	assert_int_equal(net_apply(f.net, &w, &f.e), ERR_NOT_FOUND);
	assert_non_null(strstr(f.e.msg, "absent0"));
	w = host_want("w8");
	w.tunnels[0].mtu = 1200;
	assert_int_equal(net_apply(f.net, &w, &f.e), ERR_RANGE);
	assert_non_null(strstr(f.e.msg, "1200"));
	w.tunnels[0].mtu = 70000;
	assert_int_equal(net_apply(f.net, &w, &f.e), ERR_RANGE);
	w = host_want("w8");
	w.tunnels[0].address_count = NET_ADDRESSES_MAX + 1;
	assert_int_equal(net_apply(f.net, &w, &f.e), ERR_RANGE);
	w = host_want("w8");
	w.tunnels[0].addresses[1].addr.family = IP_NONE;
	assert_int_equal(net_apply(f.net, &w, &f.e), ERR_INVALID);
	w = host_want("w8");
	w.tunnels[0].masquerade[0].len = 33;
	assert_int_equal(net_apply(f.net, &w, &f.e), ERR_INVALID);
	w = host_want("w8");
	w.tunnels[0].mtu = 0;
	w.tunnels[0].addresses[0] =
		host_prefix("224.0.0.1/24"); /* the kernel refuses it: after the MTU */
	if (net_apply(f.net, &w, &f.e) == ERR_OK)
		undo(&f);
	apply(&f, &(struct net_want){ .tunnels = { { .ifname = "w8", .up = true } },
				      .tunnel_count = 1 });
	w = host_want("probe1");
	assert_int_equal(net_apply(f.net, &w, &f.e), ERR_IN_USE);
	undo(&f);
	end(&f, "refused");
}

/* IPv6 turned off for the interface: the kernel refuses the address after other changes were made,
 * and those are put back; without IPv6 wanted it does not matter. */
static void without_ipv6(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("w15");

	NEED_HOST();
	begin(&f, "w15");
	host_sysctl("net/ipv6/conf/w15/disable_ipv6", 1);
	host_picture(&f.before);
	assert_int_not_equal(net_apply(f.net, &w, &f.e), ERR_OK);
	assert_non_null(strstr(f.e.msg, "fd00:70:68::1/64"));
	assert_non_null(strstr(f.e.msg, "w15"));
	host_picture(&f.after);
	host_same(&f.before, &f.after, "refused");
	w.tunnels[0].address_count = w.tunnels[0].masquerade_count = 1;
	w.forward_v6 = false;
	apply(&f, &w);
	undo(&f);
	end(&f, "undone");
}

/* A journal that cannot be written stops the change before it begins. */
static void journal_unwritable(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("w9");
	struct net *n = NULL;

	NEED_HOST();
	begin(&f, "w9");
	net_close(f.net);
	assert_int_equal(net_open(&f.net, "/nonexistent/dir/journal", &f.e), ERR_OK);
	assert_int_not_equal(net_apply(f.net, &w, &f.e), ERR_OK);
	assert_non_null(strstr(f.e.msg, "/nonexistent/dir/journal"));

	assert_int_equal(file_replace(f.dir.journal, "nonsense\n", 9, 0600, &f.e), ERR_OK);
	assert_int_equal(net_open(&n, f.dir.journal, &f.e), ERR_CORRUPT);
	assert_non_null(strstr(f.e.msg, f.dir.journal));
	assert_null(n);
	assert_int_equal(unlink(f.dir.journal), 0);
	end(&f, "nothing was changed");
}

/* A disk that fills up stops neither a change nor the way back, and one that was full stays usable. */
static void full_disk(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("w18"), other = host_want("w18");
	char path[128], block[4096] = { 1 };
	int fd;

	NEED_HOST();
	begin(&f, "w18");
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", f.dir.dir, "tmpfs", 0, "size=256k")) {
		print_message("skipped: no tmpfs of our own\n");
		end(&f, "nothing was done");
		skip();
	}
	apply(&f, &w);
	(void)snprintf(path, sizeof path, "%s/filled", f.dir.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	other.tunnels[0].mtu = 1380;
	other.tunnels[0].addresses[0] = host_prefix("10.9.0.1/24");
	for (int i = 0; i < 5; i++) {
		while (write(fd, block, sizeof block) > 0)
			;
		apply(&f, i % 2 ? &w : &other);
	}
	undo(&f);
	close(fd);
	host_picture(&f.after);
	host_same(&f.before, &f.after, "undone on a full disk");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(umount(f.dir.dir), 0); /* and no reserve was left in it */
	end(&f, "all is undone");
}

static void questions(void **state UNUSED)
{
	AUTO(fd_done) int uplink = -1;
	struct fixture f;
	struct ip_addr source, want = { 0 };
	struct ip_prefix p;
	struct nl_address a = { .prefix = host_prefix("192.0.2.10/24") };
	struct nl_route r = { .dst = host_prefix("0.0.0.0/0") };
	char name[16];
	bool overlaps = true;

	NEED_HOST();
	uplink = host_tun("up0");
	begin(&f, "w10");
	assert_int_equal(net_default_route(f.net, IP_V4, &source, name, &f.e), ERR_NOT_FOUND);
	a.ifindex = r.oif = host_link("up0").index;
	assert_int_equal(nl_address_add(host_nl(), &a, &f.e), ERR_OK);
	assert_int_equal(nl_link_set_up(host_nl(), a.ifindex, true, &f.e), ERR_OK);
	assert_int_equal(nl_route_add(host_nl(), &r, &f.e), ERR_OK);
	assert_int_equal(net_default_route(f.net, IP_V4, &source, name, &f.e), ERR_OK);
	want = host_addr("192.0.2.10");
	assert_true(ip_eq(&source, &want));
	assert_string_equal(name, "up0");

	p = host_prefix("10.8.0.0/24");
	assert_int_equal(net_overlap(f.net, &p, "w10", &overlaps, name, &f.e), ERR_OK);
	assert_false(overlaps);
	p = host_prefix("192.0.0.0/16");
	assert_int_equal(net_overlap(f.net, &p, "w10", &overlaps, name, &f.e), ERR_OK);
	assert_true(overlaps);
	assert_string_equal(name, "up0");
	p = host_prefix("192.0.2.128/25"); /* a part of that interface's network */
	assert_int_equal(net_overlap(f.net, &p, "w10", &overlaps, name, &f.e), ERR_OK);
	assert_true(overlaps);
	assert_int_equal(net_overlap(f.net, &p, "up0", &overlaps, name, &f.e), ERR_OK);
	assert_false(overlaps);
	assert_true(net_link_exists(f.net, "w10"));
	assert_false(net_link_exists(f.net, "w11"));
	assert_false(net_link_exists(f.net, "not/a name"));
	host_picture(&f.before);
	end(&f, "questions change nothing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apply_and_undo),
		cmocka_unit_test(second_apply_is_silent),
		cmocka_unit_test(other_wishes),
		cmocka_unit_test(others_are_left_alone),
		cmocka_unit_test(routes_of_others_stay),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(already_forwarding),
		cmocka_unit_test(router_advertisements),
		cmocka_unit_test(table_drift),
		cmocka_unit_test(interface_made_again),
		cmocka_unit_test(refusals),
		cmocka_unit_test(journal_unwritable),
		cmocka_unit_test(without_ipv6),
		cmocka_unit_test(questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
