#include "nl/message.h"

#include <net/if.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#define ATTR_HEADER 4u /* NLA_HDRLEN, without its sign */

_Static_assert(NL_NAME_MAX == IF_NAMESIZE, "nl_link.name holds any interface name");
_Static_assert(NL_TABLE_MAIN == RT_TABLE_MAIN, "the kernel's number of the main table");

/* Eats `n` bytes and their padding to 4; the padding of the last one may be missing. */
static struct rd take_aligned(struct rd *r, size_t n)
{
	struct rd piece = rd_over(rd_bytes(r, n), n);

	if (r->bad)
		return (struct rd){ .bad = true };
	rd_bytes(r, MIN(r->left, (4 - n % 4) % 4));
	return piece;
}

uint16_t nl_rd_u16(struct rd *r)
{
	uint16_t v = 0;

	rd_copy(r, &v, sizeof v);
	return v;
}

static int32_t rd_i32(struct rd *r)
{
	int32_t v = 0;

	rd_copy(r, &v, sizeof v);
	return v;
}

bool nl_message_next(struct rd *datagram, struct nl_message *m)
{
	uint32_t len = rd_le32(datagram);

	m->type = nl_rd_u16(datagram);
	m->flags = nl_rd_u16(datagram);
	m->seq = rd_le32(datagram);
	m->portid = rd_le32(datagram);
	if (datagram->bad || len < NLMSG_HDRLEN)
		return false;
	m->body = take_aligned(datagram, len - NLMSG_HDRLEN);
	return !m->body.bad;
}

/* Length with its own 4 bytes, type, value. */
bool nl_attr_next(struct rd *r, uint16_t *type, struct rd *value)
{
	uint16_t len = nl_rd_u16(r);

	*type = nl_rd_u16(r) & (uint16_t)NLA_TYPE_MASK;
	if (r->bad || len < ATTR_HEADER)
		return false;
	*value = take_aligned(r, len - ATTR_HEADER);
	return !value->bad;
}

bool nl_attr_u32(struct rd value, uint32_t *out)
{
	uint32_t v = rd_le32(&value);

	if (value.bad)
		return false;
	*out = v;
	return true;
}

static bool attr_address(struct rd value, uint8_t family, struct ip_addr *out)
{
	size_t n = ip_bits(family) / 8;
	struct ip_addr a = { .family = family };

	if (value.left != n || !n || !rd_copy(&value, a.b, n))
		return false;
	*out = a;
	return true;
}

struct str nl_attr_text(struct rd value)
{
	const char *p = (const char *)value.p;

	return (struct str){ p, value.left ? strnlen(p, value.left) : 0 };
}

static uint8_t family_of(uint8_t af)
{
	return af == AF_INET ? IP_V4 : af == AF_INET6 ? IP_V6 : IP_NONE;
}

/* NLMSG_ERROR: errno, the request's header, its body unless capped, then attributes.
 * NLMSG_DONE: errno, then attributes. */
bool nl_parse_result(const struct nl_message *m, int *sys, struct str *why)
{
	struct rd r = m->body, value;
	int32_t code = rd_i32(&r);
	uint16_t type;

	*sys = 0;
	*why = STR("");
	if (r.bad)
		return m->type == NLMSG_DONE; /* older kernels send no code there */
	if (code > 0 || code < -4095) /* the kernel's MAX_ERRNO */
		return false;
	*sys = -code;
	if (m->type == NLMSG_ERROR) {
		uint32_t request_len = rd_le32(&r);

		rd_bytes(&r, NLMSG_HDRLEN - sizeof request_len);
		if (!(m->flags & NLM_F_CAPPED) && request_len > NLMSG_HDRLEN)
			take_aligned(&r, request_len - NLMSG_HDRLEN);
	}
	if (!(m->flags & NLM_F_ACK_TLVS))
		return true;
	while (nl_attr_next(&r, &type, &value))
		if (type == NLMSGERR_ATTR_MSG)
			*why = nl_attr_text(value);
	return true;
}

static void parse_link_info(struct rd r, struct nl_link *out)
{
	struct rd value;
	uint16_t type;

	while (nl_attr_next(&r, &type, &value))
		if (type == IFLA_INFO_KIND &&
		    !str_copy(out->kind, sizeof out->kind, nl_attr_text(value)))
			out->kind[0] = '\0';
}

bool nl_parse_link(const struct nl_message *m, struct nl_link *out, struct nl_move *move)
{
	struct rd r = m->body, value;
	struct ifinfomsg i;
	struct nl_link l = { 0 };
	struct nl_move gone = { 0 };
	uint32_t nsid;
	uint16_t type;

	if (!rd_copy(&r, &i, sizeof i) || i.ifi_family != AF_UNSPEC || i.ifi_index <= 0)
		return false;
	l.index = gone.index = (uint32_t)i.ifi_index;
	l.up = i.ifi_flags & IFF_UP;
	l.running = i.ifi_flags & IFF_RUNNING;
	l.loopback = i.ifi_flags & IFF_LOOPBACK;
	while (nl_attr_next(&r, &type, &value)) {
		if (type == IFLA_IFNAME) {
			if (!str_copy(l.name, sizeof l.name, nl_attr_text(value)))
				return false;
		} else if (type == IFLA_MTU) {
			nl_attr_u32(value, &l.mtu);
		} else if (type == IFLA_LINKINFO) {
			parse_link_info(value, &l);
		} else if (type == IFLA_NEW_NETNSID && nl_attr_u32(value, &nsid)) {
			gone.moved = true;
			gone.nsid = (int32_t)nsid;
		} else if (type == IFLA_NEW_IFINDEX) {
			nl_attr_u32(value, &gone.index);
		}
	}
	*out = l;
	if (move)
		*move = gone;
	return true;
}

bool nl_parse_address(const struct nl_message *m, struct nl_address *out)
{
	struct rd r = m->body, value;
	struct ifaddrmsg i;
	struct ip_addr address = { 0 }, local = { 0 };
	uint32_t flags;
	uint16_t type;
	uint8_t family;

	if (!rd_copy(&r, &i, sizeof i))
		return false;
	family = family_of(i.ifa_family);
	if (!family || i.ifa_prefixlen > ip_bits(family))
		return false;
	flags = i.ifa_flags;
	while (nl_attr_next(&r, &type, &value)) {
		if (type == IFA_ADDRESS)
			attr_address(value, family, &address);
		else if (type == IFA_LOCAL)
			attr_address(value, family, &local);
		else if (type == IFA_FLAGS)
			nl_attr_u32(value, &flags);
	}
	/* On a point-to-point link IFA_ADDRESS is the other end's; else only it may be there. */
	if (!local.family)
		local = address;
	if (!local.family)
		return false;
	*out = (struct nl_address){
		.ifindex = i.ifa_index,
		.prefix = { .addr = local, .len = i.ifa_prefixlen },
		.scope = i.ifa_scope,
		.no_prefix_route = flags & IFA_F_NOPREFIXROUTE,
		.temporary = !(flags & IFA_F_PERMANENT),
		.tentative = flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED),
	};
	return true;
}

/* RTA_VIA: a gateway of another family than the route's. */
static void parse_via(struct rd r, struct ip_addr *out)
{
	uint16_t af = nl_rd_u16(&r);

	if (!r.bad && af <= UINT8_MAX)
		attr_address(r, family_of((uint8_t)af), out);
}

static void parse_next_hop(uint16_t type, struct rd value, uint8_t family, struct nl_route *out)
{
	if (type == RTA_OIF)
		nl_attr_u32(value, &out->oif);
	else if (type == RTA_GATEWAY)
		attr_address(value, family, &out->gateway);
	else if (type == RTA_VIA)
		parse_via(value, &out->gateway);
}

/* RTA_MULTIPATH: a row of next hops, each with its own length and attributes; the first counts. */
static void parse_multipath(struct rd r, uint8_t family, struct nl_route *out)
{
	struct rtnexthop hop;
	struct rd attrs, value;
	uint16_t type;

	if (!rd_copy(&r, &hop, sizeof hop) || hop.rtnh_len < sizeof hop || hop.rtnh_ifindex < 0)
		return;
	attrs = take_aligned(&r, hop.rtnh_len - sizeof hop);
	if (attrs.bad)
		return;
	out->oif = (uint32_t)hop.rtnh_ifindex;
	while (nl_attr_next(&attrs, &type, &value))
		if (type != RTA_OIF)
			parse_next_hop(type, value, family, out);
}

bool nl_parse_route(const struct nl_message *m, struct nl_route *out)
{
	struct rd r = m->body, value;
	struct rtmsg i;
	struct nl_route route;
	uint16_t type;
	uint8_t family;

	if (!rd_copy(&r, &i, sizeof i))
		return false;
	family = family_of(i.rtm_family);
	if (!family || i.rtm_dst_len > ip_bits(family))
		return false;
	route = (struct nl_route){
		.dst = { .addr = { .family = family }, .len = i.rtm_dst_len },
		.table = i.rtm_table,
		.type = i.rtm_type,
		.protocol = i.rtm_protocol,
		.scope = i.rtm_scope,
	};
	while (nl_attr_next(&r, &type, &value)) {
		if (type == RTA_DST)
			attr_address(value, family, &route.dst.addr);
		else if (type == RTA_PREFSRC)
			attr_address(value, family, &route.source);
		else if (type == RTA_PRIORITY)
			nl_attr_u32(value, &route.metric);
		else if (type == RTA_TABLE)
			nl_attr_u32(value, &route.table);
		else if (type == RTA_MULTIPATH)
			parse_multipath(value, family, &route);
		else
			parse_next_hop(type, value, family, &route);
	}
	*out = route;
	return true;
}

/* A source or destination: the header has its length, the attribute its address. */
static void parse_side(struct rd value, uint8_t family, uint8_t len, struct ip_prefix *out)
{
	if (len <= ip_bits(family) && attr_address(value, family, &out->addr))
		out->len = len;
}

/* Attributes that select nothing, or say the obvious. */
static bool selects_further(uint16_t type, struct rd value)
{
	uint32_t n = 0;

	switch (type) {
	case FRA_SUPPRESS_PREFIXLEN:
	case FRA_SUPPRESS_IFGROUP:
	case FRA_FWMASK: /* with a mark: all of its bits */
		return nl_attr_u32(value, &n) && n != UINT32_MAX;
	case FRA_FWMARK:
	case FRA_SRC:
	case FRA_DST:
	case FRA_IIFNAME:
	case FRA_PRIORITY:
	case FRA_TABLE:
	case FRA_PROTOCOL:
	case FRA_PAD:
		return false;
	case FRA_FLOW:
		return nl_attr_u32(value, &n) && n != 0;
	default:
		return true;
	}
}

bool nl_parse_rule(const struct nl_message *m, struct nl_rule *out)
{
	struct rd r = m->body, value;
	struct fib_rule_hdr h;
	struct nl_rule rule;
	uint16_t type;

	if (!rd_copy(&r, &h, sizeof h))
		return false;
	rule = (struct nl_rule){
		.family = family_of(h.family),
		.table = h.table,
		.further = h.tos || h.action != FR_ACT_TO_TBL || (h.flags & FIB_RULE_INVERT),
	};
	if (!rule.family)
		return false;
	while (nl_attr_next(&r, &type, &value)) {
		if (selects_further(type, value))
			rule.further = true;
		if (type == FRA_SRC)
			parse_side(value, rule.family, h.src_len, &rule.from);
		else if (type == FRA_DST)
			parse_side(value, rule.family, h.dst_len, &rule.to);
		else if (type == FRA_PRIORITY)
			nl_attr_u32(value, &rule.priority);
		else if (type == FRA_TABLE)
			nl_attr_u32(value, &rule.table);
		else if (type == FRA_FWMARK)
			nl_attr_u32(value, &rule.mark);
		else if (type == FRA_PROTOCOL)
			rule.protocol = rd_u8(&value);
		else if (type == FRA_IIFNAME &&
			 !str_copy(rule.ifname, sizeof rule.ifname, nl_attr_text(value)))
			return false;
	}
	*out = rule;
	return true;
}

/* The first attribute of every message about a table or something in it is the table's name. */
_Static_assert((int)NFTA_TABLE_NAME == 1 && (int)NFTA_CHAIN_TABLE == 1 &&
		       (int)NFTA_RULE_TABLE == 1 && (int)NFTA_SET_TABLE == 1 &&
		       (int)NFTA_SET_ELEM_LIST_TABLE == 1 && (int)NFTA_OBJ_TABLE == 1 &&
		       (int)NFTA_FLOWTABLE_TABLE == 1,
	       "names of tables");

static void parse_generation(struct rd r, struct nl_nft_report *out)
{
	struct rd value;
	uint16_t type;

	while (nl_attr_next(&r, &type, &value)) {
		if (type == NFTA_GEN_ID)
			out->generation = rd_be32(&value);
		else if (type == NFTA_GEN_PROC_PID)
			out->pid = rd_be32(&value);
		else if (type == NFTA_GEN_PROC_NAME &&
			 !str_copy(out->program, sizeof out->program, nl_attr_text(value)))
			out->program[0] = '\0';
	}
}

bool nl_parse_nft(const struct nl_message *m, struct nl_nft_report *out)
{
	struct rd r = m->body, value;
	struct nfgenmsg h;
	uint16_t type;

	*out = (struct nl_nft_report){ .table = STR("") };
	if (m->type >> 8 != NFNL_SUBSYS_NFTABLES || !rd_copy(&r, &h, sizeof h))
		return false;
	out->family = h.nfgen_family;
	if ((m->type & 0xff) == NFT_MSG_NEWGEN) {
		out->is_end = true;
		parse_generation(r, out);
		return true;
	}
	while (nl_attr_next(&r, &type, &value))
		if (type == NFTA_TABLE_NAME)
			out->table = nl_attr_text(value);
	return out->table.n > 0;
}
