#include "nl/rtnl.h"

#include <errno.h>
#include <net/if.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "nl/socket.h"

static uint8_t af_of(uint8_t family)
{
	return family == IP_V4 ? AF_INET : family == IP_V6 ? AF_INET6 : AF_UNSPEC;
}

/* ---- links ---- */

bool nl_name_valid(struct str s)
{
	size_t i;

	if (s.n == 0 || s.n >= NL_NAME_MAX || str_eq(s, STR(".")) || str_eq(s, STR("..")))
		return false;
	for (i = 0; i < s.n; i++)
		if (s.p[i] == '/' || s.p[i] == ':' || s.p[i] == '\0' || s.p[i] == ' ' ||
		    (s.p[i] >= '\t' && s.p[i] <= '\r'))
			return false;
	return true;
}

static bool link_found(void *ctx, const struct nl_message *m)
{
	struct nl_link *out = ctx;

	return m->type != RTM_NEWLINK || nl_parse_link(m, out, NULL);
}

/* By index, or by name when it is not NULL. */
static int link_get(struct nl *n, uint32_t index, const char *name, struct nl_link *out)
{
	const struct ifinfomsg i = { .ifi_index = (int)index };
	struct nlmsghdr *h = nl_request(n->request, RTM_GETLINK, 0, &i, sizeof i);
	struct nl_link found = { 0 };
	int sys;

	if (name)
		mnl_attr_put_strz(h, IFLA_IFNAME, name);
	/* Without statistics: an answer for a card with many virtual functions stays small. */
	mnl_attr_put_u32(h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	sys = nl_exchange(n, h, link_found, &found);
	if (sys)
		return sys;
	if (!found.index)
		return EPROTO;
	*out = found;
	return 0;
}

enum err_code nl_link_by_name(struct nl *n, const char *name, struct nl_link *out, struct err *e)
{
	int sys;

	if (!nl_name_valid(str_of(name)))
		return err_set(e, ERR_INVALID, "interface name \"%s\" is not possible", name);
	sys = link_get(n, 0, name, out);
	if (sys == ENODEV)
		return err_set(e, ERR_NOT_FOUND, "there is no interface %s", name);
	return sys ? nl_refused(n, sys, e, "read interface %s", name) : ERR_OK;
}

enum err_code nl_link_by_index(struct nl *n, uint32_t index, struct nl_link *out, struct err *e)
{
	int sys = index && index <= INT32_MAX ? link_get(n, index, NULL, out) : ENODEV;

	if (sys == ENODEV)
		return err_set(e, ERR_NOT_FOUND, "there is no interface number %u", index);
	return sys ? nl_refused(n, sys, e, "read interface number %u", index) : ERR_OK;
}

enum err_code nl_link_set_up(struct nl *n, uint32_t index, bool up, struct err *e)
{
	const struct ifinfomsg i = { .ifi_index = (int)index,
				     .ifi_flags = up ? IFF_UP : 0,
				     .ifi_change = IFF_UP };
	struct nlmsghdr *h = nl_request(n->request, RTM_NEWLINK, 0, &i, sizeof i);
	int sys = nl_exchange(n, h, NULL, NULL);

	return sys ? nl_refused(n, sys, e, "set interface number %u %s", index, up ? "up" : "down")
		   : ERR_OK;
}

enum err_code nl_link_set_mtu(struct nl *n, uint32_t index, uint32_t mtu, struct err *e)
{
	const struct ifinfomsg i = { .ifi_index = (int)index };
	struct nlmsghdr *h = nl_request(n->request, RTM_NEWLINK, 0, &i, sizeof i);
	int sys;

	mnl_attr_put_u32(h, IFLA_MTU, mtu);
	sys = nl_exchange(n, h, NULL, NULL);
	return sys ? nl_refused(n, sys, e, "set MTU %u on interface number %u", mtu, index)
		   : ERR_OK;
}

enum err_code nl_link_set_gso_max(struct nl *n, uint32_t index, uint32_t bytes, struct err *e)
{
	const struct ifinfomsg i = { .ifi_index = (int)index };
	struct nlmsghdr *h = nl_request(n->request, RTM_NEWLINK, 0, &i, sizeof i);
	int sys;

	/* Up to 65536 bytes the kernel takes it for IPv4, too. */
	mnl_attr_put_u32(h, IFLA_GSO_MAX_SIZE, bytes);
	sys = nl_exchange(n, h, NULL, NULL);
	return sys ? nl_refused(n, sys, e, "set super-packets of %u bytes on interface number %u",
				bytes, index)
		   : ERR_OK;
}

enum err_code nl_link_create(struct nl *n, const char *name, const char *kind, uint32_t mtu,
			     struct err *e)
{
	const struct ifinfomsg i = { 0 };
	struct nlmsghdr *h;
	struct nlattr *info;
	int sys;

	if (!nl_name_valid(str_of(name)))
		return err_set(e, ERR_INVALID, "interface name \"%s\" is not possible", name);
	h = nl_request(n->request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &i, sizeof i);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	if (mtu)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, kind);
	mnl_attr_nest_end(h, info);
	sys = nl_exchange(n, h, NULL, NULL);
	return sys ? nl_refused(n, sys, e, "make interface %s of kind %s", name, kind) : ERR_OK;
}

enum err_code nl_link_delete(struct nl *n, uint32_t index, struct err *e)
{
	const struct ifinfomsg i = { .ifi_index = (int)index };
	struct nlmsghdr *h = nl_request(n->request, RTM_DELLINK, 0, &i, sizeof i);
	int sys = index ? nl_exchange(n, h, NULL, NULL) : ENODEV;

	return sys ? nl_refused(n, sys, e, "delete interface number %u", index) : ERR_OK;
}

static bool link_row(void *ctx, const struct nl_message *m)
{
	struct rows *rows = ctx;
	struct nl_link l, *row;

	if (m->type != RTM_NEWLINK || !nl_parse_link(m, &l, NULL))
		return true;
	row = rows_add(rows);
	if (row)
		*row = l;
	return row != NULL;
}

enum err_code nl_links(struct nl *n, bool (*fn)(void *ctx, const struct nl_link *l), void *ctx,
		       struct err *e)
{
	AUTO(rows_done) struct rows rows = { .size = sizeof(struct nl_link) };
	const struct ifinfomsg i = { 0 };
	struct nlmsghdr *h = nl_request(n->request, RTM_GETLINK, 0, &i, sizeof i);
	const struct nl_link *l;
	size_t k;
	int sys;

	mnl_attr_put_u32(h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	sys = nl_dump(n, h, link_row, &rows, &rows);
	if (sys)
		return nl_refused(n, sys, e, "list the interfaces");
	l = (const struct nl_link *)(const void *)rows.p;
	for (k = 0; k < rows.count && fn(ctx, &l[k]); k++)
		;
	return ERR_OK;
}

/* ---- addresses ---- */

struct address_dump {
	struct rows rows;
	uint32_t ifindex;
};

static bool address_row(void *ctx, const struct nl_message *m)
{
	struct address_dump *d = ctx;
	struct nl_address a, *row;

	if (m->type != RTM_NEWADDR || !nl_parse_address(m, &a) ||
	    (d->ifindex && a.ifindex != d->ifindex))
		return true;
	row = rows_add(&d->rows);
	if (row)
		*row = a;
	return row != NULL;
}

enum err_code nl_addresses(struct nl *n, uint32_t ifindex,
			   bool (*fn)(void *ctx, const struct nl_address *a), void *ctx,
			   struct err *e)
{
	struct address_dump d = { .rows.size = sizeof(struct nl_address), .ifindex = ifindex };
	const struct ifaddrmsg i = { .ifa_family = AF_UNSPEC, .ifa_index = ifindex };
	struct nlmsghdr *h = nl_request(n->request, RTM_GETADDR, 0, &i, sizeof i);
	const struct nl_address *a;
	enum err_code rc = ERR_OK;
	size_t k;
	int sys;

	sys = nl_dump(n, h, address_row, &d.rows, &d);
	if (sys) {
		rc = nl_refused(n, sys, e, "list the addresses");
		goto out;
	}
	a = (const struct nl_address *)(const void *)d.rows.p;
	for (k = 0; k < d.rows.count && fn(ctx, &a[k]); k++)
		;
out:
	rows_done(&d.rows);
	return rc;
}

static int address_change(struct nl *n, uint16_t type, uint16_t flags, const struct nl_address *a)
{
	bool v6 = a->prefix.addr.family == IP_V6;
	const struct ifaddrmsg i = { .ifa_family = af_of(a->prefix.addr.family),
				     .ifa_prefixlen = a->prefix.len,
				     .ifa_scope = a->scope,
				     .ifa_index = a->ifindex };
	struct nlmsghdr *h = nl_request(n->request, type, flags, &i, sizeof i);

	nl_put_address(h, IFA_LOCAL, &a->prefix.addr);
	nl_put_address(h, IFA_ADDRESS, &a->prefix.addr);
	if (type == RTM_NEWADDR)
		mnl_attr_put_u32(h, IFA_FLAGS,
				 (v6 ? IFA_F_NODAD : 0u) |
					 (a->no_prefix_route ? IFA_F_NOPREFIXROUTE : 0u));
	return nl_exchange(n, h, NULL, NULL);
}

enum err_code nl_address_add(struct nl *n, const struct nl_address *a, struct err *e)
{
	char text[PREFIX_TEXT_MAX];
	int sys;

	ip_prefix_format(text, &a->prefix);
	sys = address_change(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, a);
	return sys ? nl_refused(n, sys, e, "add address %s to interface number %u", text,
				a->ifindex)
		   : ERR_OK;
}

enum err_code nl_address_delete(struct nl *n, const struct nl_address *a, struct err *e)
{
	char text[PREFIX_TEXT_MAX];
	int sys;

	ip_prefix_format(text, &a->prefix);
	sys = address_change(n, RTM_DELADDR, 0, a);
	return sys ? nl_refused(n, sys, e, "remove address %s from interface number %u", text,
				a->ifindex)
		   : ERR_OK;
}

/* ---- routes ---- */

struct route_dump {
	struct rows rows;
	uint32_t table;
	uint8_t family;
	bool only_default;
};

static bool route_row(void *ctx, const struct nl_message *m)
{
	struct route_dump *d = ctx;
	struct nl_route r, *row;

	/* An old kernel, or one without IPv6, answers with more than was asked for. */
	if (m->type != RTM_NEWROUTE || !nl_parse_route(m, &r) || r.dst.addr.family != d->family ||
	    (d->table && r.table != d->table) || (d->only_default && r.dst.len))
		return true;
	row = rows_add(&d->rows);
	if (row)
		*row = r;
	return row != NULL;
}

static enum err_code route_dump(struct nl *n, struct route_dump *d, struct err *e)
{
	const struct rtmsg i = { .rtm_family = af_of(d->family) };
	struct nlmsghdr *h = nl_request(n->request, RTM_GETROUTE, 0, &i, sizeof i);
	int sys;

	if (d->table)
		mnl_attr_put_u32(h, RTA_TABLE, d->table);
	sys = nl_dump(n, h, route_row, &d->rows, d);
	if (!sys || (sys == ENOENT && d->table)) /* a table without routes may not exist */
		return ERR_OK;
	return nl_refused(n, sys, e, "list the IPv%u routes", d->family);
}

enum err_code nl_routes(struct nl *n, uint8_t family, uint32_t table,
			bool (*fn)(void *ctx, const struct nl_route *r), void *ctx, struct err *e)
{
	struct route_dump d = { .rows.size = sizeof(struct nl_route),
				.table = table,
				.family = family };
	const struct nl_route *r;
	enum err_code rc = route_dump(n, &d, e);
	size_t k;

	if (rc)
		goto out;
	r = (const struct nl_route *)(const void *)d.rows.p;
	for (k = 0; k < d.rows.count && fn(ctx, &r[k]); k++)
		;
out:
	rows_done(&d.rows);
	return rc;
}

/* What the kernel expects of a route that somebody sets by hand (ip-route(8), "scope"). */
static uint8_t scope_of(const struct nl_route *r)
{
	if (r->scope || r->dst.addr.family == IP_V6)
		return r->scope;
	if (r->type == RTN_LOCAL)
		return RT_SCOPE_HOST;
	return r->gateway.family || !r->oif ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
}

static void put_gateway(struct nlmsghdr *h, const struct nl_route *r)
{
	uint8_t via[2 + 16] = { 0 };
	const uint16_t af = af_of(r->gateway.family);

	if (r->gateway.family == r->dst.addr.family) {
		nl_put_address(h, RTA_GATEWAY, &r->gateway);
		return;
	}
	memcpy(via, &af, sizeof af);
	memcpy(via + 2, r->gateway.b, ip_bits(r->gateway.family) / 8);
	mnl_attr_put(h, RTA_VIA, 2 + ip_bits(r->gateway.family) / 8, via);
}

static int route_change(struct nl *n, uint16_t type, uint16_t flags, const struct nl_route *r)
{
	bool deletes = type == RTM_DELROUTE;
	uint32_t table = r->table ? r->table : RT_TABLE_MAIN;
	struct ip_prefix dst = r->dst;
	const struct rtmsg i = {
		.rtm_family = af_of(dst.addr.family),
		.rtm_dst_len = dst.len,
		.rtm_table = table < RT_TABLE_MAX && table <= UINT8_MAX ? (uint8_t)table
									: RT_TABLE_UNSPEC,
		.rtm_protocol = r->protocol || deletes ? r->protocol : RTPROT_STATIC,
		.rtm_scope = deletes ? RT_SCOPE_NOWHERE : scope_of(r),
		.rtm_type = r->type || deletes ? r->type : RTN_UNICAST,
	};
	struct nlmsghdr *h = nl_request(n->request, type, flags, &i, sizeof i);

	ip_prefix_mask(&dst);
	if (dst.len)
		nl_put_address(h, RTA_DST, &dst.addr);
	mnl_attr_put_u32(h, RTA_TABLE, table);
	if (r->oif)
		mnl_attr_put_u32(h, RTA_OIF, r->oif);
	if (r->metric)
		mnl_attr_put_u32(h, RTA_PRIORITY, r->metric);
	if (r->gateway.family)
		put_gateway(h, r);
	if (r->source.family)
		nl_put_address(h, RTA_PREFSRC, &r->source);
	return nl_exchange(n, h, NULL, NULL);
}

enum err_code nl_route_add(struct nl *n, const struct nl_route *r, struct err *e)
{
	char text[PREFIX_TEXT_MAX];
	int sys;

	ip_prefix_format(text, &r->dst);
	sys = route_change(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, r);
	return sys ? nl_refused(n, sys, e, "add route to %s by interface number %u", text, r->oif)
		   : ERR_OK;
}

enum err_code nl_route_delete(struct nl *n, const struct nl_route *r, struct err *e)
{
	char text[PREFIX_TEXT_MAX];
	int sys;

	ip_prefix_format(text, &r->dst);
	sys = route_change(n, RTM_DELROUTE, 0, r);
	return sys ? nl_refused(n, sys, e, "remove route to %s by interface number %u", text,
				r->oif)
		   : ERR_OK;
}

static bool route_found(void *ctx, const struct nl_message *m)
{
	struct nl_route *out = ctx;

	return m->type != RTM_NEWROUTE || nl_parse_route(m, out);
}

enum err_code nl_route_get(struct nl *n, const struct ip_addr *to, uint32_t oif,
			   struct nl_route *out, struct err *e)
{
	const struct rtmsg i = { .rtm_family = af_of(to->family),
				 .rtm_dst_len = (uint8_t)ip_bits(to->family) };
	struct nlmsghdr *h = nl_request(n->request, RTM_GETROUTE, 0, &i, sizeof i);
	struct nl_route found = { 0 };
	char text[IP_TEXT_MAX];
	int sys;

	nl_put_address(h, RTA_DST, to);
	if (oif)
		mnl_attr_put_u32(h, RTA_OIF, oif);
	sys = nl_exchange(n, h, route_found, &found);
	if (!sys && !found.dst.addr.family)
		sys = EPROTO;
	if (!sys) {
		*out = found;
		return ERR_OK;
	}
	ip_format(text, to);
	if (sys == ENETUNREACH || sys == EHOSTUNREACH)
		return err_set(e, ERR_NOT_FOUND, "there is no route to %s", text);
	return nl_refused(n, sys, e, "look up the route to %s", text);
}

/* ---- the default route ---- */

static bool better(const struct nl_route *a, const struct nl_route *b)
{
	return a->type == RTN_UNICAST && a->oif && (!b || a->metric < b->metric);
}

/* The address that the kernel picks for far destinations is asked of the kernel itself, for an
 * address that nobody may be assigned (240.0.0.0/4, RFC 1112; 4000::/3, RFC 4291), so that no
 * narrower route interferes.  No packet is sent. */
static enum err_code default_source(struct nl *n, struct nl_route *r, struct err *e)
{
	static const struct ip_addr far_v4 = { IP_V4, { 240, 0, 0, 1 } };
	static const struct ip_addr far_v6 = { IP_V6, { 0x40, [15] = 1 } };
	uint8_t family = r->dst.addr.family;
	struct nl_route found;
	enum err_code rc;

	if (r->source.family)
		return ERR_OK;
	rc = nl_route_get(n, family == IP_V4 ? &far_v4 : &far_v6, r->oif, &found, e);
	if (rc)
		return rc;
	if (found.source.family != family)
		return err_set(e, ERR_NOT_FOUND,
			       "interface number %u has the IPv%u default route but no address",
			       r->oif, family);
	r->source = found.source;
	return ERR_OK;
}

enum err_code nl_default_route(struct nl *n, uint8_t family, struct nl_route *out, struct err *e)
{
	struct route_dump d = { .rows.size = sizeof(struct nl_route),
				.table = NL_TABLE_MAIN,
				.family = family,
				.only_default = true };
	const struct nl_route *r, *best = NULL;
	struct nl_route chosen;
	enum err_code rc = route_dump(n, &d, e);
	size_t k;

	if (rc)
		goto out;
	r = (const struct nl_route *)(const void *)d.rows.p;
	for (k = 0; k < d.rows.count; k++)
		if (better(&r[k], best))
			best = &r[k];
	if (!best) {
		rc = err_set(e, ERR_NOT_FOUND, "this host has no IPv%u default route", family);
		goto out;
	}
	chosen = *best;
	rc = default_source(n, &chosen, e);
	if (!rc)
		*out = chosen;
out:
	rows_done(&d.rows);
	return rc;
}

/* ---- rules ---- */

struct rule_dump {
	struct rows rows;
	uint8_t family;
};

static bool rule_row(void *ctx, const struct nl_message *m)
{
	struct rule_dump *d = ctx;
	struct nl_rule r, *row;

	if (m->type != RTM_NEWRULE || !nl_parse_rule(m, &r) || r.family != d->family)
		return true;
	row = rows_add(&d->rows);
	if (row)
		*row = r;
	return row != NULL;
}

enum err_code nl_rules(struct nl *n, uint8_t family, bool (*fn)(void *ctx, const struct nl_rule *r),
		       void *ctx, struct err *e)
{
	struct rule_dump d = { .rows.size = sizeof(struct nl_rule), .family = family };
	const struct fib_rule_hdr i = { .family = af_of(family) };
	struct nlmsghdr *h = nl_request(n->request, RTM_GETRULE, 0, &i, sizeof i);
	const struct nl_rule *r;
	enum err_code rc = ERR_OK;
	size_t k;
	int sys;

	sys = nl_dump(n, h, rule_row, &d.rows, &d);
	if (sys) {
		rc = nl_refused(n, sys, e, "list the IPv%u rules", family);
		goto out;
	}
	r = (const struct nl_rule *)(const void *)d.rows.p;
	for (k = 0; k < d.rows.count && fn(ctx, &r[k]); k++)
		;
out:
	rows_done(&d.rows);
	return rc;
}

/* One side; "everything" selects as much as nothing does, and the kernel reports it as nothing. */
static void put_side(struct nlmsghdr *h, uint16_t type, const struct ip_prefix *side)
{
	struct ip_prefix p = *side;

	ip_prefix_mask(&p);
	if (p.addr.family && p.len)
		nl_put_address(h, type, &p.addr);
}

static int rule_change(struct nl *n, uint16_t type, uint16_t flags, const struct nl_rule *r)
{
	const struct fib_rule_hdr i = {
		.family = af_of(r->family),
		.src_len = r->from.addr.family ? r->from.len : 0,
		.dst_len = r->to.addr.family ? r->to.len : 0,
		.table = r->table <= UINT8_MAX ? (uint8_t)r->table : RT_TABLE_UNSPEC,
		.action = FR_ACT_TO_TBL,
	};
	struct nlmsghdr *h = nl_request(n->request, type, flags, &i, sizeof i);

	BUG_ON(r->further);
	put_side(h, FRA_SRC, &r->from);
	put_side(h, FRA_DST, &r->to);
	mnl_attr_put_u32(h, FRA_PRIORITY, r->priority);
	mnl_attr_put_u32(h, FRA_TABLE, r->table);
	mnl_attr_put_u8(h, FRA_PROTOCOL, r->protocol ? r->protocol : RTPROT_STATIC);
	if (r->ifname[0])
		mnl_attr_put_strz(h, FRA_IIFNAME, r->ifname);
	if (r->mark)
		mnl_attr_put_u32(h, FRA_FWMARK, r->mark);
	return nl_exchange(n, h, NULL, NULL);
}

enum err_code nl_rule_add(struct nl *n, const struct nl_rule *r, struct err *e)
{
	int sys = rule_change(n, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, r);

	return sys ? nl_refused(n, sys, e, "add IPv%u rule %u to table %u", r->family, r->priority,
				r->table)
		   : ERR_OK;
}

enum err_code nl_rule_delete(struct nl *n, const struct nl_rule *r, struct err *e)
{
	int sys = rule_change(n, RTM_DELRULE, 0, r);

	if (sys == ENOENT)
		sys = ESRCH;
	return sys ? nl_refused(n, sys, e, "remove IPv%u rule %u to table %u", r->family,
				r->priority, r->table)
		   : ERR_OK;
}
