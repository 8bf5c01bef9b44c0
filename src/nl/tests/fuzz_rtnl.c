/* fuzz_rtnl - a datagram as if from the kernel: framing, results, links, addresses, routes,
 * rules, and reports of nftables. */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "nl/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_inside(struct str s, const uint8_t *data, size_t len)
{
	const uint8_t *p = (const uint8_t *)s.p;

	BUG_ON(s.n && (p < data || s.n > len || (size_t)(p - data) > len - s.n));
}

static void check_prefix(const struct ip_prefix *p)
{
	BUG_ON(!ip_bits(p->addr.family) || p->len > ip_bits(p->addr.family));
}

static void check_link(const struct nl_message *m)
{
	struct nl_link l;
	struct nl_move move;

	if (!nl_parse_link(m, &l, &move))
		return;
	BUG_ON(!l.index || l.index > INT32_MAX);
	BUG_ON(!memchr(l.name, '\0', sizeof l.name) || !memchr(l.kind, '\0', sizeof l.kind));
}

static void check_route(const struct nl_message *m)
{
	struct nl_route r;

	if (!nl_parse_route(m, &r))
		return;
	check_prefix(&r.dst);
	BUG_ON(r.gateway.family && !ip_bits(r.gateway.family));
	BUG_ON(r.source.family && r.source.family != r.dst.addr.family);
}

static void check_rule(const struct nl_message *m)
{
	struct nl_rule r;

	if (!nl_parse_rule(m, &r))
		return;
	BUG_ON(!ip_bits(r.family) || !memchr(r.ifname, '\0', sizeof r.ifname));
	BUG_ON(r.from.addr.family && r.from.addr.family != r.family);
	BUG_ON(r.from.len > ip_bits(r.family) || r.to.len > ip_bits(r.family));
}

static void check_nft(const struct nl_message *m, const uint8_t *data, size_t len)
{
	struct nl_nft_report r;

	if (!nl_parse_nft(m, &r))
		return;
	BUG_ON(!r.is_end && !r.table.n);
	BUG_ON(!memchr(r.program, '\0', sizeof r.program));
	check_inside(r.table, data, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rd r = rd_over(data, len);
	struct nl_message m;
	struct nl_address a;
	struct str why;
	size_t left = r.left;
	int sys;

	while (nl_message_next(&r, &m)) {
		BUG_ON(r.left >= left); /* it ends */
		left = r.left;
		/* Each parser meets each message: the type is only its caller's choice. */
		check_link(&m);
		if (nl_parse_address(&m, &a))
			check_prefix(&a.prefix);
		check_route(&m);
		check_rule(&m);
		check_nft(&m, data, len);
		if (nl_parse_result(&m, &sys, &why)) {
			BUG_ON(sys < 0 || sys > 4095);
			check_inside(why, data, len);
		}
	}
	return 0;
}
