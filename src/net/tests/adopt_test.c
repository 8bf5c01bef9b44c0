/* adopt_test - a run that ended without undo, and the next one, which goes on from there. */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <cmocka.h>

#include "base/fs.h"
#include "net/change.h"
#include "net/tests/host.h"

#define NLA_HEAD 4 /* NLA_HDRLEN counts with signs */

/* ---- how often has the kernel's nft ruleset changed? ---- */

struct generation_request {
	struct nlmsghdr h;
	struct nfgenmsg g;
};

static uint32_t generation_of(const uint8_t *p, size_t n)
{
	const size_t head = (size_t)NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	struct nlattr a;
	uint32_t value;

	assert_true(n >= head + NLA_HEAD + sizeof value);
	memcpy(&a, p + head, sizeof a);
	assert_int_equal(a.nla_type, NFTA_GEN_ID);
	memcpy(&value, p + head + NLA_HEAD, sizeof value);
	return be32toh(value);
}

/* Each committed transaction counts one. */
static uint32_t generation(void)
{
	const struct generation_request r = {
		.h = { .nlmsg_len = sizeof r,
		       .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
		       .nlmsg_flags = NLM_F_REQUEST },
	};
	AUTO(fd_done) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	uint8_t answer[4096];
	ssize_t n;

	assert_true(fd >= 0);
	assert_int_equal(send(fd, &r, sizeof r, 0), (ssize_t)sizeof r);
	n = recv(fd, answer, sizeof answer, 0);
	assert_true(n > 0);
	return generation_of(answer, (size_t)n);
}

/* ---- scene ---- */

struct fixture {
	int tun;
	struct host_dir dir;
	struct net *net;
	struct buf before, after; /* the host without our interface */
	struct err e;
};

static void open_net(struct fixture *f)
{
	if (net_open(&f->net, f->dir.journal, &f->e))
		fail_msg("%s", f->e.msg);
}

static void apply(struct fixture *f, const struct net_want *w)
{
	if (net_apply(f->net, w, &f->e))
		fail_msg("%s", f->e.msg);
}

/* The process goes, its TUN with it when `link_goes`; another comes. */
static void restart(struct fixture *f, const char *ifname, bool link_goes)
{
	net_close(f->net);
	if (link_goes) {
		close(f->tun);
		f->tun = host_tun(ifname);
		assert_true(f->tun >= 0);
	}
	open_net(f);
}

static void begin(struct fixture *f, const char *ifname)
{
	*f = (struct fixture){ .tun = -1 };
	host_dir_make(&f->dir);
	host_picture(&f->before);
	f->tun = host_tun(ifname);
	assert_true(f->tun >= 0);
	open_net(f);
}

static void end(struct fixture *f, const char *why)
{
	if (net_undo(f->net, &f->e))
		fail_msg("%s", f->e.msg);
	assert_int_equal(access(f->dir.journal, F_OK), -1);
	net_close(f->net);
	close(f->tun);
	host_picture(&f->after);
	host_same(&f->before, &f->after, why);
	host_dir_remove(&f->dir);
	buf_done(&f->before);
	buf_done(&f->after);
}

static void differs(struct fixture *f, const struct net_want *w, const char *lines)
{
	AUTO(buf_done) struct buf text = { 0 };

	if (net_diff(f->net, w, &text, &f->e))
		fail_msg("%s", f->e.msg);
	assert_string_equal(text.p ? text.p : "", lines);
}

static struct str journal_text(const struct fixture *f, struct buf *out)
{
	buf_clear(out);
	assert_int_equal(file_read(out, f->dir.journal, JOURNAL_MAX, NULL), ERR_OK);
	return buf_view(out);
}

/* ---- tests ---- */

/* The table is there all the time: before, after, and one transaction between. */
static void goes_on(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("a0");
	uint32_t count;

	NEED_HOST();
	begin(&f, "a0");
	apply(&f, &w);
	count = generation();
	restart(&f, "a0", true);
	assert_int_equal(generation(), count);
	assert_true(net_firewall_active(f.net, "a0"));
	assert_int_equal(host_sysctl_value("net/ipv4/ip_forward"), 1);
	assert_int_equal(host_sysctl_value("net/ipv6/conf/all/forwarding"), 1);
	differs(&f, &w,
		"~ mtu 1500 -> 1420 dev a0\n"
		"+ address 10.8.0.1/24 dev a0\n"
		"+ address fd00:70:68::1/64 dev a0\n"
		"~ nft table inet qanat_a0\n"
		"~ link down -> up dev a0\n");
	apply(&f, &w);
	assert_int_equal(generation(), count + 1);
	assert_true(net_firewall_active(f.net, "a0"));
	differs(&f, &w, "");
	apply(&f, &w);
	assert_int_equal(generation(), count + 1);
	end(&f, "the second run's undo is the first's too");
}

/* An interface that stays, such as one handed over: its addresses are adopted as well. */
static void link_stays(void **state UNUSED)
{
	AUTO(buf_done) struct buf left = { 0 }, now = { 0 }, journal = { 0 }, again = { 0 };
	struct fixture f;
	struct net_want w = host_want("a1");

	NEED_HOST();
	begin(&f, "a1");
	apply(&f, &w);
	host_picture(&left);
	journal_text(&f, &journal);
	restart(&f, "a1", false);
	host_picture(&now);
	host_same(&left, &now, "opening touches nothing");
	assert_true(str_eq(buf_view(&journal), journal_text(&f, &again)));
	differs(&f, &w, "~ nft table inet qanat_a1\n");
	apply(&f, &w);
	host_picture(&now);
	host_same(&left, &now, "nor does applying the same");
	w.tunnels[0].addresses[0] = host_prefix("10.8.0.7/24");
	w.tunnels[0].mtu = 0;
	apply(&f, &w);
	assert_int_equal(host_link("a1").mtu, 1500);
	end(&f, "undone");
}

static void undone_without_apply(void **state UNUSED)
{
	static const bool goes[] = { false, true };
	struct fixture f;
	struct net_want w = host_want("a2");
	size_t i;

	NEED_HOST();
	for (i = 0; i < ARRAY_LEN(goes); i++) {
		begin(&f, "a2");
		apply(&f, &w);
		restart(&f, "a2", goes[i]);
		end(&f, "a stop is enough");
	}
}

/* What the next run no longer wants goes back to what it was before the first. */
static void wants_less(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("a3"),
			less = { .tunnels = { { .ifname = "a3", .up = true } }, .tunnel_count = 1 };

	NEED_HOST();
	begin(&f, "a3");
	apply(&f, &w);
	restart(&f, "a3", true);
	differs(&f, &less,
		"- blackhole route 10.8.0.0/24\n"
		"- blackhole route fd00:70:68::/64\n"
		"- nft table inet qanat_a3\n"
		"~ sysctl net.ipv4.ip_forward 1 -> 0\n"
		"~ sysctl net.ipv6.conf.all.forwarding 1 -> 0\n"
		"~ link down -> up dev a3\n");
	apply(&f, &less);
	assert_false(net_firewall_active(f.net, "a3"));
	end(&f, "undone");
}

/* The crashed run cared for an interface of another name, which is gone, or there still. */
static void another_name(void **state UNUSED)
{
	static const struct {
		bool gone;
		const char *lines;
	} rows[] = {
		{ true, "- nft table inet qanat_old0\n" },
		{ false, "~ link up -> down dev old0\n"
			 "- nft table inet qanat_old0\n"
			 "- address fd00:70:68::1/64 dev old0\n"
			 "- address 10.8.0.1/24 dev old0\n"
			 "~ mtu 1420 -> 1500 dev old0\n" },
	};
	struct net_want old = host_want("old0"), new = host_want("new0");
	struct fixture f;
	size_t i;

	NEED_HOST();
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf expected = { 0 };
		AUTO(fd_done) int tun = -1;

		begin(&f, "old0");
		apply(&f, &old);
		restart(&f, "old0", false);
		tun = host_tun("new0");
		if (rows[i].gone)
			close(f.tun);
		buf_printf(&expected,
			   "%s~ mtu 1500 -> 1420 dev new0\n"
			   "+ address 10.8.0.1/24 dev new0\n"
			   "+ address fd00:70:68::1/64 dev new0\n"
			   "+ nft table inet qanat_new0\n"
			   "~ link down -> up dev new0\n",
			   rows[i].lines);
		differs(&f, &new, expected.p);
		apply(&f, &new);
		assert_false(net_firewall_active(f.net, "old0"));
		assert_true(net_firewall_active(f.net, "new0"));
		if (!rows[i].gone) {
			assert_int_equal(host_link("old0").mtu, 1500);
			assert_false(host_link("old0").up);
			close(f.tun);
		}
		assert_int_equal(net_apply(f.net, &old, &f.e), ERR_IN_USE);
		f.tun = tun;
		tun = -1;
		end(&f, "nothing of either is left");
	}
}

/* Values that somebody else has set since are theirs; what they deleted is made again. */
static void changed_since(void **state UNUSED)
{
	struct fixture f;
	struct net_want w = host_want("a4");

	NEED_HOST();
	begin(&f, "a4");
	apply(&f, &w);
	host_sysctl("net/ipv4/ip_forward", 0);
	host_nft("delete table inet qanat_a4");
	assert_int_equal(nl_link_set_mtu(host_nl(), host_link("a4").index, 1400, NULL), ERR_OK);
	restart(&f, "a4", false);
	differs(&f, &w,
		"~ mtu 1400 -> 1420 dev a4\n"
		"+ nft table inet qanat_a4\n"
		"~ sysctl net.ipv4.ip_forward 0 -> 1\n");
	apply(&f, &w);
	restart(&f, "a4", false);
	assert_int_equal(net_undo(f.net, &f.e), ERR_OK);
	assert_int_equal(host_link("a4").mtu, 1400);
	assert_int_equal(host_sysctl_value("net/ipv4/ip_forward"), 0);
	end(&f, "undone");
}

/* What the kernel resets with forwarding comes back through any number of runs. */
static void kept_settings(void **state UNUSED)
{
	AUTO(fd_done) int other = -1;
	struct fixture f;
	struct net_want w = host_want("a5");
	int i;

	NEED_HOST();
	other = host_tun("other0");
	host_sysctl("net/ipv4/conf/other0/forwarding", 1);
	host_sysctl("net/ipv6/conf/other0/forwarding", 1);
	host_sysctl("net/ipv4/conf/all/accept_redirects", 0);
	begin(&f, "a5");
	for (i = 0; i < 3; i++) {
		apply(&f, &w);
		restart(&f, "a5", i % 2 == 0);
	}
	end(&f, "undone by the fourth");
	host_sysctl("net/ipv4/conf/all/accept_redirects", 1);
}

/* Journals as a crash in the middle of a change leaves them: written before, done in part. */
static void half_done(void **state UNUSED)
{
	static const struct {
		const char *name; /* of a setting whose value before all was 0 */
		uint32_t value; /* now */
		struct change changes[4];
		size_t n;
		const char *why;
	} rows[] = {
		{ "net/ipv4/ip_forward",
		  0,
		  { { .kind = CHANGE_SYSCTL, .name = "net/ipv4/ip_forward", .now = 1 } },
		  1,
		  "announced, never made" },
		{ "net/ipv4/conf/default/forwarding",
		  2,
		  { { .kind = CHANGE_SYSCTL, .name = "net/ipv4/conf/default/forwarding", .now = 1 },
		    { .kind = CHANGE_SYSCTL,
		      .name = "net/ipv4/conf/default/forwarding",
		      .old = 1,
		      .now = 2 } },
		  2,
		  "changed twice, the second time made" },
		{ "net/ipv4/conf/default/forwarding",
		  1,
		  { { .kind = CHANGE_SYSCTL, .name = "net/ipv4/conf/default/forwarding", .now = 1 },
		    { .kind = CHANGE_SYSCTL,
		      .name = "net/ipv4/conf/default/forwarding",
		      .old = 1,
		      .now = 2 } },
		  2,
		  "the second time not made" },
		{ "net/ipv4/conf/default/forwarding",
		  1,
		  { { .kind = CHANGE_KEEP, .name = "net/ipv4/conf/default/forwarding" },
		    { .kind = CHANGE_SYSCTL, .name = "net/ipv4/ip_forward", .now = 1 },
		    { .kind = CHANGE_SYSCTL, .name = "net/ipv4/ip_forward", .old = 1 },
		    { .kind = CHANGE_SYSCTL,
		      .name = "net/ipv4/conf/default/forwarding",
		      .old = 1 } },
		  4,
		  "forwarding went off, what the kernel reset was not yet set again" },
	};
	struct fixture f;
	size_t i;

	NEED_HOST();
	begin(&f, "a6");
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct changes c = { 0 };
		size_t k;

		for (k = 0; k < rows[i].n; k++)
			assert_int_equal(changes_add(&c, &rows[i].changes[k], &f.e), ERR_OK);
		host_sysctl(rows[i].name, rows[i].value);
		assert_int_equal(journal_write(f.dir.journal, &c, &f.e), ERR_OK);
		changes_done(&c);
		restart(&f, "a6", false);
		assert_int_equal(net_undo(f.net, &f.e), ERR_OK);
		if (host_sysctl_value(rows[i].name) != 0)
			fail_msg("%s", rows[i].why);
	}
	end(&f, "all undone");
}

/* Other routes to a network win, those of others stay, and "everything" gets none. */
static void routes(void **state UNUSED)
{
	const struct ip_addr client = host_addr("10.8.0.2");
	struct fixture f;
	struct net_want w = host_want("a7");
	struct nl_route way;

	NEED_HOST();
	begin(&f, "a7");
	w.tunnels[0].masquerade[1] = host_prefix("0.0.0.0/0");
	w.tunnels[0].masquerade[2] = host_prefix("10.8.0.9/24"); /* the first, with host bits */
	w.tunnels[0].masquerade_count = 3;
	apply(&f, &w);
	differs(&f, &w, "");
	assert_int_equal(nl_route_get(host_nl(), &client, 0, &way, &f.e), ERR_OK);
	assert_int_equal(way.oif, host_link("a7").index);
	close(f.tun);
	assert_int_not_equal(nl_route_get(host_nl(), &client, 0, &way, &f.e), ERR_OK);
	assert_int_not_equal(f.e.code, ERR_NOT_FOUND); /* refused, not unknown */
	f.tun = host_tun("a7");
	apply(&f, &w);
	end(&f, "undone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_on),	 cmocka_unit_test(link_stays),
		cmocka_unit_test(wants_less),	 cmocka_unit_test(undone_without_apply),
		cmocka_unit_test(another_name),	 cmocka_unit_test(changed_since),
		cmocka_unit_test(kept_settings), cmocka_unit_test(half_done),
		cmocka_unit_test(routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
