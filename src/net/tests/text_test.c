/* text_test - what is written and read as text: the nft table, the journal, lines for people; and
 * running programs.  Needs no rights. */
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/change.h"
#include "net/nft.h"
#include "net/run.h"

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;

	assert_true(ip_prefix_parse(str_of(text), &p));
	return p;
}

static void table_text(void **state UNUSED)
{
	AUTO(buf_done) struct buf text = { 0 };
	struct net_want w = {
		.tunnels = { {
			.ifname = "wg-0.1",
			/* Host bits, twice the same, and one inside another: nft would refuse the
			 * set. */
			.addresses = { prefix("10.8.0.1/24"), prefix("10.8.0.2/24"),
				       prefix("10.8.0.3/32") },
			.address_count = 3,
			.masquerade = { prefix("10.8.0.0/24"), prefix("10.9.0.0/16") },
			.masquerade_count = 2,
		} },
		.tunnel_count = 1,
	};

	nft_table_text(&text, &w);
	assert_true(buf_ok(&text));
	assert_string_equal(
		text.p,
		"table inet qanat_wg-0.1 {\n"
		"\tcounter spoofed { }\n"
		"\tchain prerouting {\n"
		"\t\ttype filter hook prerouting priority raw; policy accept;\n"
		"\t\tiifname \"wg-0.1\" ip saddr != { 10.8.0.0/24, 10.9.0.0/16 } counter name "
		"\"spoofed\" drop\n"
		"\t\tiifname \"wg-0.1\" meta nfproto ipv6 counter name \"spoofed\" drop\n"
		"\t}\n"
		"\tchain forward {\n"
		"\t\ttype filter hook forward priority mangle; policy accept;\n"
		"\t\tiifname \"wg-0.1\" tcp flags & (syn | rst) == syn tcp option maxseg size set "
		"rt mtu\n"
		"\t\toifname \"wg-0.1\" tcp flags & (syn | rst) == syn tcp option maxseg size set "
		"rt mtu\n"
		"\t}\n"
		"\tchain postrouting {\n"
		"\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
		"\t\toifname != { \"wg-0.1\", \"lo\" } ip saddr { 10.8.0.0/24, 10.9.0.0/16 } "
		"masquerade\n"
		"\t}\n"
		"}\n");
	buf_clear(&text);
	w.tunnels[0].masquerade_count = 0;
	nft_table_text(&text, &w);
	assert_int_equal(text.n, 0); /* nothing to masquerade: no table */
}

static void table_names(void **state UNUSED)
{
	static const struct {
		const char *name;
		bool want;
		const char *why;
	} rows[] = {
		{ "qanat_w0", true, "ours" },
		{ "qanat_", false, "no interface" },
		{ "filter", false, "somebody else's" },
		{ "qanat_a b", false, "two words" },
		{ "qanat_a;", false, "would end the statement" },
		{ "qanat_abcdefghijklmnop", false, "16 characters" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (nft_table_valid(str_of(rows[i].name)) != rows[i].want)
			fail_msg("%s: %s", rows[i].name, rows[i].why);
}

static void setting_names(void **state UNUSED)
{
	static const struct {
		const char *name;
		bool want;
		const char *why;
	} rows[] = {
		{ "net/ipv4/ip_forward", true, "usual" },
		{ "net/ipv6/conf/eth0.100/accept_ra", true, "a VLAN" },
		{ "kernel/core_pattern", false, "not the network" },
		{ "net/core/bpf_jit_enable", false, "not ours" },
		{ "net/ipv4/../../kernel/core_pattern", false, "upwards" },
		{ "net/ipv4/./ip_forward", false, "a detour" },
		{ "net/ipv4//ip_forward", false, "an empty part" },
		{ "net/ipv4/ip forward", false, "a space would break the journal" },
		{ "/net/ipv4/ip_forward", false, "absolute" },
		{ "net/ipv4/conf/"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/x",
		  false, "too long" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (sysctl_name_valid(str_of(rows[i].name)) != rows[i].want)
			fail_msg("%s: %s", rows[i].name, rows[i].why);
}

#define BOOT STR("00000000-1111-2222-3333-444444444444")
#define NETNS STR("net:[4026531840]")
#define HEAD "qanat-net 1 00000000-1111-2222-3333-444444444444 net:[4026531840]\n"

static void journal_round_trip(void **state UNUSED)
{
	static const char text[] = HEAD "mtu w0 7 1500 1420\n"
					"address w0 7 10.8.0.1/24 0 1\n"
					"address w0 7 fd00::1/64 1 0\n"
					"table qanat_w0 0 1\n"
					"route 10.8.0.0/24 0 1\n"
					"path 0.0.0.0/0 100 0 w1 8 10.0.0.1 0 1\n"
					"path fd00::/64 100 1024 - 0 - 0 1\n"
					"rule 4 99 10.8.0.0/24 10.8.0.0/24 w0 7 254 0 1\n"
					"rule 6 100 fd00::/64 - - 0 100 1 0\n"
					"keep net/ipv4/conf/all/accept_redirects 0 0\n"
					"sysctl net/ipv4/ip_forward 0 1\n"
					"up w0 7 0 1\n"
					"end\n";
	AUTO(changes_done) struct changes c = { 0 };
	AUTO(buf_done) struct buf again = { 0 };
	struct err e = { 0 };

	if (journal_parse(&c, STR(text), BOOT, NETNS, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(c.n, 12);
	assert_int_equal(c.p[0].kind, CHANGE_MTU);
	assert_int_equal(c.p[0].ifindex, 7);
	assert_int_equal(c.p[0].old, 1500);
	assert_int_equal(c.p[0].now, 1420);
	journal_format(&again, &c, BOOT, NETNS);
	assert_string_equal(again.p, text);
}

static void journal_of_elsewhere(void **state UNUSED)
{
	static const char text[] = HEAD "sysctl net/ipv4/ip_forward 0 1\nend\n";
	AUTO(changes_done) struct changes c = { 0 };
	struct err e = { 0 };

	assert_int_equal(journal_parse(&c, STR(text), STR("another-boot"), NETNS, &e), ERR_OK);
	assert_int_equal(c.n, 0); /* the settings went with that boot */
	assert_int_equal(journal_parse(&c, STR(text), BOOT, STR("net:[1]"), &e), ERR_OK);
	assert_int_equal(c.n, 0); /* that namespace is not this one */
	assert_int_equal(journal_parse(&c, STR(text), BOOT, NETNS, &e), ERR_OK);
	assert_int_equal(c.n, 1);
}

static void journal_damage(void **state UNUSED)
{
	static const struct {
		const char *text;
		const char *message; /* part of it */
		const char *why;
	} rows[] = {
		{ "", "line 1", "empty" },
		{ "qanat-net 2 a b\nend\n", "line 1", "another version" },
		{ "qanat-net 1 a\nend\n", "line 1", "no namespace" },
		{ HEAD, "finish", "cut off after the head" },
		{ HEAD "mtu w0 7 1500 1420\n", "finish", "cut off" },
		{ HEAD "end\nmtu w0 7 1500 1420\n", "finish", "goes on after the end" },
		{ HEAD "delete w0 7\nend\n", "line 2", "a word that is none" },
		{ HEAD "mtu w0 7 1500\nend\n", "line 2", "a number missing" },
		{ HEAD "mtu w0 7 1500 1420 9\nend\n", "line 2", "a number too many" },
		{ HEAD "mtu w0 -7 1500 1420\nend\n", "line 2", "a negative index" },
		{ HEAD "mtu w0 0 1500 1420\nend\n", "line 2", "no interface has index 0" },
		{ HEAD "up w0 7 0 2\nend\n", "line 2", "neither up nor down" },
		{ HEAD "address w0 7 10.8.0.1/33 0 1\nend\n", "line 2", "no prefix" },
		{ HEAD "address w0 7 10.8.0.1 0 1 2\nend\n", "line 2", "no prefix length, more" },
		{ HEAD "route 10.8.0.0/33 0 1\nend\n", "line 2", "no network" },
		{ HEAD "route w0 10.8.0.0/24 0 1\nend\n", "line 2",
		  "no route of ours has a device" },
		{ HEAD "route 10.8.0.0/24 0 2\nend\n", "line 2", "there or not" },
		{ HEAD "path 10.8.0.0/24 254 4294967295 - 0 - 0 1\nend\n", "line 2",
		  "has a word of its own" },
		{ HEAD "path 10.8.0.0/24 100 0 w1 0 - 0 1\nend\n", "line 2", "name, no index" },
		{ HEAD "path 10.8.0.0/24 100 0 - 3 - 0 1\nend\n", "line 2", "index, no name" },
		{ HEAD "path 10.8.0.0/24 100 0 - 0 10.0.0.1 0 1\nend\n", "line 2",
		  "a blackhole with a gateway" },
		{ HEAD "path 10.8.0.0/24 100 0 w1 3 fd00::1 0 1\nend\n", "line 2",
		  "a gateway of the other family" },
		{ HEAD "rule 5 99 - - - 0 100 0 1\nend\n", "line 2", "no such family" },
		{ HEAD "rule 4 0 - - - 0 100 0 1\nend\n", "line 2", "the kernel's own rule" },
		{ HEAD "rule 4 32766 - - - 0 100 0 1\nend\n", "line 2", "that of main" },
		{ HEAD "rule 4 99 fd00::/64 - - 0 100 0 1\nend\n", "line 2", "another family" },
		{ HEAD "rule 4 99 - - - 0 0 0 1\nend\n", "line 2", "no table" },
		{ HEAD "rule 4 99 - - a/b 0 100 0 1\nend\n", "line 2", "no interface name" },
		{ HEAD "table filter 0 1\nend\n", "line 2", "not our table" },
		{ HEAD "table qanat_a;flush 0 1\nend\n", "line 2", "no name" },
		{ HEAD "sysctl kernel/core_pattern 0 1\nend\n", "line 2", "not our setting" },
		{ HEAD "sysctl net/ipv4/../../kernel/x 0 1\nend\n", "line 2", "a way out" },
		{ HEAD "mtu w/0 7 1500 1420\nend\n", "line 2", "no interface name" },
		{ HEAD "mtu w0 7 1500 1420\nx\nend\n", "line 3", "the second change" },
	};
	struct changes c = { 0 };
	struct err e = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		if (journal_parse(&c, str_of(rows[i].text), BOOT, NETNS, &e) != ERR_CORRUPT)
			fail_msg("taken: %s", rows[i].why);
		if (!strstr(e.msg, rows[i].message))
			fail_msg("%s: %s", rows[i].why, e.msg);
		assert_null(c.p);
	}
}

static void descriptions(void **state UNUSED)
{
	const struct {
		struct change x;
		const char *want;
	} rows[] = {
		{ { .kind = CHANGE_SYSCTL,
		    .name = "net/ipv6/conf/eth0.1/accept_ra",
		    .old = 1,
		    .now = 2 },
		  "~ sysctl net.ipv6.conf.eth0/1.accept_ra 1 -> 2" },
		{ { .kind = CHANGE_TABLE, .name = "qanat_w0", .now = 1 },
		  "+ nft table inet qanat_w0" },
		{ { .kind = CHANGE_TABLE, .name = "qanat_w0", .old = 1 },
		  "- nft table inet qanat_w0" },
		{ { .kind = CHANGE_TABLE, .name = "qanat_w0", .old = 1, .now = 1 },
		  "~ nft table inet qanat_w0" },
		{ { .kind = CHANGE_ROUTE,
		    .address = prefix("10.8.0.0/24"),
		    .table = NL_TABLE_MAIN,
		    .metric = CHANGE_METRIC_WORST,
		    .now = 1 },
		  "+ blackhole route 10.8.0.0/24" },
		{ { .kind = CHANGE_ROUTE,
		    .address = prefix("0.0.0.0/0"),
		    .table = 100,
		    .metric = 9,
		    .ifname = "w1",
		    .ifindex = 4,
		    .gateway = prefix("10.0.0.1/32").addr,
		    .old = 1 },
		  "- route 0.0.0.0/0 via 10.0.0.1 dev w1 table 100 metric 9" },
		{ { .kind = CHANGE_RULE,
		    .rule = { .family = IP_V4,
			      .priority = 99,
			      .from = prefix("10.8.0.0/24"),
			      .to = prefix("10.8.0.0/24"),
			      .ifname = "w0",
			      .mark = 7,
			      .table = 254 },
		    .now = 1 },
		  "+ IPv4 rule 99 from 10.8.0.0/24 to 10.8.0.0/24 iif w0 mark 7 table 254" },
		{ { .kind = CHANGE_UP, .ifname = "w0", .old = 1 }, "~ link up -> down dev w0" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf text = { 0 };

		change_describe(&text, &rows[i].x);
		assert_string_equal(text.p, rows[i].want);
	}
}

/* ---- programs ---- */

static const char *const absent[] = { "/nonexistent/nft", "/nonexistent/sbin/nft", NULL };

static enum err_code run(const char *path, const char *a, const char *b, struct str input,
			 struct buf *out, struct err *e)
{
	const char *const paths[] = { "/nonexistent/x", path, NULL };
	const char *const argv[] = { "prog", a, b, NULL };

	return run_program(paths, "some-package", argv, input, out, e);
}

static void programs(void **state UNUSED)
{
	static const char *const argv[] = { "nft", NULL };
	AUTO(buf_done) struct buf out = { 0 }, big = { 0 };
	struct err e = { 0 };
	size_t i;

	assert_int_equal(run_program(absent, "nftables", argv, STR(""), NULL, &e), ERR_MISSING);
	assert_string_equal(e.msg,
			    "the program nft is not installed: install the package nftables");
	assert_int_equal(run("/bin/cat", NULL, NULL, STR("a\nb"), &out, &e), ERR_OK);
	assert_string_equal(out.p, "a\nb");
	for (i = 0; i < 50000; i++) /* more than any pipe holds, both ways at once */
		buf_z(&big, "0123456789\n");
	buf_clear(&out);
	assert_int_equal(run("/bin/cat", NULL, NULL, buf_view(&big), &out, &e), ERR_OK);
	assert_true(str_eq(buf_view(&big), buf_view(&out)));
	assert_int_equal(run("/bin/cat", "--", "/nonexistent/y", STR(""), &out, &e), ERR_IO);
	assert_non_null(strstr(e.msg, "prog failed with status 1: "));
	assert_non_null(strstr(e.msg, "/nonexistent/y"));
	assert_int_equal(run("/bin/false", NULL, NULL, STR(""), NULL, &e), ERR_IO);
	assert_string_equal(e.msg, "prog failed with status 1");
}

/* Only the fixed environment reaches a program. */
static void environment(void **state UNUSED)
{
	AUTO(buf_done) struct buf out = { 0 };
	struct err e = { 0 };

	setenv("LD_PRELOAD_OF_THE_TEST", "x", 1);
	assert_int_equal(run("/usr/bin/env", NULL, NULL, STR(""), &out, &e), ERR_OK);
	assert_string_equal(out.p, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_text),		cmocka_unit_test(table_names),
		cmocka_unit_test(setting_names),	cmocka_unit_test(journal_round_trip),
		cmocka_unit_test(journal_of_elsewhere), cmocka_unit_test(journal_damage),
		cmocka_unit_test(descriptions),		cmocka_unit_test(programs),
		cmocka_unit_test(environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
