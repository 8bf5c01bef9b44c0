/* message_test - rtnetlink messages as bytes, well-formed and otherwise; needs no rights. */
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <cmocka.h>

#include "nl/message.h"

/* Builds one message; lengths are patched by finish. */
struct maker {
	uint8_t p[512];
	struct wr w;
};

static void begin(struct maker *m, uint16_t type, uint16_t flags, const void *fixed, size_t n)
{
	m->w = wr_over(m->p, sizeof m->p);
	wr_le32(&m->w, 0);
	wr_bytes(&m->w, &type, 2);
	wr_bytes(&m->w, &flags, 2);
	wr_le32(&m->w, 1);
	wr_le32(&m->w, 2);
	wr_bytes(&m->w, fixed, n);
}

static void attr(struct maker *m, uint16_t type, const void *p, size_t n)
{
	const uint16_t len = (uint16_t)(4 + n);

	wr_bytes(&m->w, &len, 2);
	wr_bytes(&m->w, &type, 2);
	wr_bytes(&m->w, p, n);
	wr_zero(&m->w, (4 - n % 4) % 4);
}

static void attr32(struct maker *m, uint16_t type, uint32_t v)
{
	attr(m, type, &v, sizeof v);
}

static struct nl_message finish(struct maker *m)
{
	struct rd r;
	struct nl_message out;

	assert_false(m->w.full);
	store_le32(m->p, (uint32_t)m->w.n);
	r = rd_over(m->p, m->w.n);
	assert_true(nl_message_next(&r, &out));
	return out;
}

static void framing(void **state UNUSED)
{
	static const struct {
		uint32_t claimed; /* length in the header */
		size_t have;
		bool want;
		const char *why;
	} rows[] = {
		{ 16, 16, true, "empty body" },
		{ 20, 20, true, "a body" },
		{ 17, 20, true, "padding follows" },
		{ 17, 17, true, "the last padding is missing" },
		{ 15, 16, false, "shorter than its header" },
		{ 0, 16, false, "would never advance" },
		{ 21, 20, false, "longer than the datagram" },
		{ UINT32_MAX, 20, false, "would wrap" },
		{ 16, 15, false, "the header is cut off" },
	};
	uint8_t p[32] = { 0 };
	struct nl_message m;
	struct rd r;
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		store_le32(p, rows[i].claimed);
		r = rd_over(p, rows[i].have);
		if (nl_message_next(&r, &m) != rows[i].want)
			fail_msg("%s", rows[i].why);
		if (rows[i].want)
			assert_true(rd_done(&r));
	}
}

static void results(void **state UNUSED)
{
	/* errno, then the header of the request */
	struct {
		int32_t code;
		struct nlmsghdr request;
	} body = { .code = -22, .request.nlmsg_len = 16 };
	static const char text[] = "mtu greater than device maximum";
	struct maker m;
	struct nl_message n;
	struct str why;
	int sys;

	begin(&m, NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, &body, sizeof body);
	attr(&m, NLMSGERR_ATTR_MSG, text, sizeof text);
	n = finish(&m);
	assert_true(nl_parse_result(&n, &sys, &why));
	assert_int_equal(sys, 22);
	assert_true(str_eq(why, str_of(text)));

	/* Not capped: the request's own body, here 8 bytes, comes between. */
	body.request.nlmsg_len = 24;
	begin(&m, NLMSG_ERROR, NLM_F_ACK_TLVS, &body, sizeof body);
	attr32(&m, NLMSGERR_ATTR_MSG, 0x31323334); /* as if it were an explanation */
	attr(&m, NLMSGERR_ATTR_MSG, "real", 4); /* without NUL */
	n = finish(&m);
	assert_true(nl_parse_result(&n, &sys, &why));
	assert_true(str_eq(why, STR("real")));

	/* A request longer than the message: no explanation, but the code counts. */
	body.request.nlmsg_len = UINT32_MAX;
	begin(&m, NLMSG_ERROR, NLM_F_ACK_TLVS, &body, sizeof body);
	n = finish(&m);
	assert_true(nl_parse_result(&n, &sys, &why));
	assert_int_equal(sys, 22);
	assert_int_equal(why.n, 0);

	body.code = 0;
	begin(&m, NLMSG_ERROR, NLM_F_CAPPED, &body, sizeof body);
	n = finish(&m);
	assert_true(nl_parse_result(&n, &sys, &why));
	assert_int_equal(sys, 0);
	body.code = 5;
	begin(&m, NLMSG_ERROR, NLM_F_CAPPED, &body, sizeof body);
	n = finish(&m);
	assert_false(nl_parse_result(&n, &sys, &why)); /* errors are negative */
	body.code = INT32_MIN;
	begin(&m, NLMSG_ERROR, NLM_F_CAPPED, &body, sizeof body);
	n = finish(&m);
	assert_false(nl_parse_result(&n, &sys, &why)); /* whose negation overflows */
	begin(&m, NLMSG_ERROR, 0, NULL, 0);
	n = finish(&m);
	assert_false(nl_parse_result(&n, &sys, &why));
	begin(&m, NLMSG_DONE, 0, NULL, 0);
	n = finish(&m);
	assert_true(nl_parse_result(&n, &sys, &why));
	assert_int_equal(sys, 0);
}

static void links(void **state UNUSED)
{
	struct ifinfomsg i = { .ifi_index = 9, .ifi_flags = IFF_UP | IFF_RUNNING };
	struct maker m;
	struct nl_message n;
	struct nl_link l;
	struct nl_move move;
	uint8_t info[12] = { 8, 0, IFLA_INFO_KIND, 0, 't', 'u', 'n', 0 };

	begin(&m, RTM_NEWLINK, 0, &i, sizeof i);
	attr(&m, IFLA_IFNAME, "wg0", 4);
	attr32(&m, IFLA_MTU, 1420);
	attr(&m, IFLA_LINKINFO | NLA_F_NESTED, info, 8);
	attr(&m, IFLA_MTU, "xx", 2); /* too short: absent */
	attr32(&m, 60000 & NLA_TYPE_MASK, 7); /* unknown */
	n = finish(&m);
	assert_true(nl_parse_link(&n, &l, &move));
	assert_int_equal(l.index, 9);
	assert_int_equal(l.mtu, 1420);
	assert_string_equal(l.name, "wg0");
	assert_string_equal(l.kind, "tun");
	assert_true(l.up && l.running && !l.loopback);
	assert_false(move.moved);

	begin(&m, RTM_DELLINK, 0, &i, sizeof i);
	attr32(&m, IFLA_NEW_NETNSID, 3);
	attr32(&m, IFLA_NEW_IFINDEX, 12);
	n = finish(&m);
	assert_true(nl_parse_link(&n, &l, &move));
	assert_true(move.moved);
	assert_int_equal(move.nsid, 3);
	assert_int_equal(move.index, 12);

	begin(&m, RTM_NEWLINK, 0, &i, sizeof i);
	attr(&m, IFLA_IFNAME, "abcdefghijklmnopqrst", 20);
	n = finish(&m);
	assert_false(nl_parse_link(&n, &l, NULL)); /* no name is that long */
	i.ifi_family = AF_BRIDGE;
	begin(&m, RTM_DELLINK, 0, &i, sizeof i);
	n = finish(&m);
	assert_false(nl_parse_link(&n, &l, NULL)); /* it only left a bridge */
	i.ifi_family = AF_UNSPEC;
	i.ifi_index = -1;
	begin(&m, RTM_NEWLINK, 0, &i, sizeof i);
	n = finish(&m);
	assert_false(nl_parse_link(&n, &l, NULL));
	begin(&m, RTM_NEWLINK, 0, &i, sizeof i - 1);
	n = finish(&m);
	assert_false(nl_parse_link(&n, &l, NULL));
}

static void addresses(void **state UNUSED)
{
	static const uint8_t local[] = { 10, 0, 0, 1 }, peer[] = { 10, 0, 0, 2 };
	struct ifaddrmsg i = { .ifa_family = AF_INET,
			       .ifa_prefixlen = 32,
			       .ifa_index = 4,
			       .ifa_flags = IFA_F_PERMANENT };
	struct ip_addr want = ip_v4(local);
	struct maker m;
	struct nl_message n;
	struct nl_address a;

	begin(&m, RTM_NEWADDR, 0, &i, sizeof i);
	attr(&m, IFA_ADDRESS, peer, 4); /* point to point: the other end */
	attr(&m, IFA_LOCAL, local, 4);
	attr32(&m, IFA_FLAGS, IFA_F_PERMANENT | IFA_F_NOPREFIXROUTE);
	n = finish(&m);
	assert_true(nl_parse_address(&n, &a));
	assert_true(ip_eq(&a.prefix.addr, &want));
	assert_int_equal(a.prefix.len, 32);
	assert_true(a.no_prefix_route);
	assert_false(a.temporary);

	begin(&m, RTM_NEWADDR, 0, &i, sizeof i);
	attr(&m, IFA_LOCAL, local, 3);
	n = finish(&m);
	assert_false(nl_parse_address(&n, &a)); /* too short for its family */
	i.ifa_prefixlen = 33;
	begin(&m, RTM_NEWADDR, 0, &i, sizeof i);
	attr(&m, IFA_LOCAL, local, 4);
	n = finish(&m);
	assert_false(nl_parse_address(&n, &a));
	i.ifa_family = AF_PACKET;
	begin(&m, RTM_NEWADDR, 0, &i, sizeof i);
	n = finish(&m);
	assert_false(nl_parse_address(&n, &a));
}

static void routes(void **state UNUSED)
{
	static const uint8_t gateway[] = { 192, 0, 2, 1 }, dst[] = { 10, 1, 0, 0 };
	static const uint8_t via[18] = { AF_INET6, 0, 0xfe, 0x80 };
	struct rtmsg i = { .rtm_family = AF_INET,
			   .rtm_dst_len = 16,
			   .rtm_table = RT_TABLE_COMPAT,
			   .rtm_type = RTN_UNICAST };
	struct ip_addr want = ip_v4(gateway);
	struct rtnexthop hop = { .rtnh_len = sizeof hop + 8, .rtnh_ifindex = 5 };
	struct maker m;
	struct nl_message n;
	struct nl_route r;
	uint8_t hops[64];
	struct wr w = wr_over(hops, sizeof hops);
	const uint16_t gateway_head[] = { 8, RTA_GATEWAY };

	begin(&m, RTM_NEWROUTE, 0, &i, sizeof i);
	attr(&m, RTA_DST, dst, 4);
	attr32(&m, RTA_TABLE, 4242);
	attr32(&m, RTA_PRIORITY, 77);
	attr(&m, RTA_VIA, via, sizeof via);
	attr32(&m, RTA_OIF, 3);
	n = finish(&m);
	assert_true(nl_parse_route(&n, &r));
	assert_int_equal(r.table, 4242); /* not the 8-bit one */
	assert_int_equal(r.metric, 77);
	assert_int_equal(r.oif, 3);
	assert_int_equal(r.gateway.family, IP_V6);
	assert_int_equal(r.dst.len, 16);

	/* Two next hops: the first counts. */
	wr_bytes(&w, &hop, sizeof hop);
	wr_bytes(&w, gateway_head, 4);
	wr_bytes(&w, gateway, 4);
	hop.rtnh_ifindex = 6;
	hop.rtnh_len = sizeof hop;
	wr_bytes(&w, &hop, sizeof hop);
	begin(&m, RTM_NEWROUTE, 0, &i, sizeof i);
	attr(&m, RTA_MULTIPATH, hops, w.n);
	n = finish(&m);
	assert_true(nl_parse_route(&n, &r));
	assert_int_equal(r.oif, 5);
	assert_true(ip_eq(&r.gateway, &want));

	hop.rtnh_len = 1; /* shorter than itself */
	begin(&m, RTM_NEWROUTE, 0, &i, sizeof i);
	attr(&m, RTA_MULTIPATH, &hop, sizeof hop);
	n = finish(&m);
	assert_true(nl_parse_route(&n, &r));
	assert_int_equal(r.oif, 0);
	i.rtm_dst_len = 33;
	begin(&m, RTM_NEWROUTE, 0, &i, sizeof i);
	n = finish(&m);
	assert_false(nl_parse_route(&n, &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(framing),   cmocka_unit_test(results), cmocka_unit_test(links),
		cmocka_unit_test(addresses), cmocka_unit_test(routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
