/* Changes in words: what change.h says about it. */
#include "net/change.h"

/* "net/ipv4/ip_forward" the way sysctl(8) and people write it. */
static void add_sysctl(struct buf *out, const char *name)
{
	const char *c;

	for (c = name; *c; c++)
		buf_char(out, *c == '/' ? '.' : *c == '.' ? '/' : *c);
}

static void add_prefix(struct buf *out, const char *before, const struct ip_prefix *p)
{
	char text[PREFIX_TEXT_MAX];

	if (!p->addr.family)
		return;
	ip_prefix_format(text, p);
	buf_printf(out, "%s%s", before, text);
}

static void add_route(struct buf *out, const struct change *x)
{
	char text[IP_TEXT_MAX];

	add_prefix(out, x->ifindex ? "route " : "blackhole route ", &x->address);
	if (x->gateway.family) {
		ip_format(text, &x->gateway);
		buf_printf(out, " via %s", text);
	}
	if (x->ifindex)
		buf_printf(out, " dev %s", x->ifname);
	if (x->table != NL_TABLE_MAIN)
		buf_printf(out, " table %u", x->table);
	if (x->metric && !change_is_hold(x))
		buf_printf(out, " metric %u", x->metric);
}

static void add_rule(struct buf *out, const struct net_rule *r)
{
	buf_printf(out, "IPv%u rule %u", r->family, r->priority);
	add_prefix(out, " from ", &r->from);
	add_prefix(out, " to ", &r->to);
	if (r->ifname[0])
		buf_printf(out, " iif %s", r->ifname);
	if (r->mark)
		buf_printf(out, " mark %u", r->mark);
	buf_printf(out, " table %u", r->table);
}

void change_describe(struct buf *out, const struct change *x)
{
	char sign = x->old == x->now ? '~' : x->now ? '+' : '-';

	switch (x->kind) {
	case CHANGE_ADDRESS:
		buf_char(out, sign);
		add_prefix(out, " address ", &x->address);
		buf_printf(out, " dev %s", x->ifname);
		break;
	case CHANGE_ROUTE:
		buf_printf(out, "%c ", sign);
		add_route(out, x);
		break;
	case CHANGE_RULE:
		buf_printf(out, "%c ", sign);
		add_rule(out, &x->rule);
		break;
	case CHANGE_MTU:
		buf_printf(out, "~ mtu %u -> %u dev %s", x->old, x->now, x->ifname);
		break;
	case CHANGE_UP:
		buf_printf(out, "~ link %s -> %s dev %s", x->old ? "up" : "down",
			   x->now ? "up" : "down", x->ifname);
		break;
	case CHANGE_SYSCTL:
		buf_z(out, "~ sysctl ");
		add_sysctl(out, x->name);
		buf_printf(out, " %u -> %u", x->old, x->now);
		break;
	case CHANGE_KEEP:
		buf_z(out, "= sysctl ");
		add_sysctl(out, x->name);
		buf_printf(out, " %u", x->old);
		break;
	case CHANGE_TABLE:
		buf_printf(out, "%c nft table inet %s", sign, x->name);
		break;
	}
}

/* ---- as what was found ---- */

/* Of a thing that is there or not. */
static void tell_presence(struct buf *found, struct buf *repair, const struct change *x)
{
	buf_z(found, x->now ? " was missing" : " was left over");
	buf_z(repair, x->now ? "it was added again" : "it was removed");
}

static void tell_table(struct buf *found, struct buf *repair, const struct change *x)
{
	buf_printf(found, "nft table inet %s %s", x->name,
		   !x->now  ? "was left over"
		   : x->old ? "was not as it was loaded"
			    : "was missing");
	buf_z(repair, x->now ? "it was loaded again" : "it was removed");
}

void change_tell(struct buf *found, struct buf *repair, const struct change *x)
{
	switch (x->kind) {
	case CHANGE_ADDRESS:
		add_prefix(found, "address ", &x->address);
		tell_presence(found, repair, x);
		buf_printf(found, " on %s", x->ifname);
		break;
	case CHANGE_ROUTE:
		add_route(found, x);
		tell_presence(found, repair, x);
		break;
	case CHANGE_RULE:
		add_rule(found, &x->rule);
		tell_presence(found, repair, x);
		break;
	case CHANGE_MTU:
		buf_printf(found, "the MTU of %s was %u", x->ifname, x->old);
		buf_printf(repair, "it was set to %u", x->now);
		break;
	case CHANGE_UP:
		buf_printf(found, "interface %s was %s", x->ifname, x->old ? "up" : "down");
		buf_printf(repair, "it was set %s", x->now ? "up" : "down");
		break;
	case CHANGE_SYSCTL:
	case CHANGE_KEEP:
		add_sysctl(found, x->name);
		buf_printf(found, " was %u", x->old);
		buf_printf(repair, "it was set to %u", x->now);
		break;
	case CHANGE_TABLE:
		tell_table(found, repair, x);
		break;
	}
}
