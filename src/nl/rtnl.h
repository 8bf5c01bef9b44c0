/* rtnl.h - links, addresses, routes and rules of the host through rtnetlink (RFC 3549, rtnetlink(7)).
 *
 * Requests: each is acknowledged by the kernel before the function returns, and an error carries
 * the kernel's own explanation where it gave one.  Lists are whole: a dump that the kernel marks
 * as interrupted is asked for again.  A request blocks for the kernel's answer, at most
 * NL_TIMEOUT_MS.  One `struct nl` belongs to one thread at a time.
 *
 * Watching: callbacks on an io/loop.  Open the watch first and read the state afterwards, so that
 * no change falls between.
 *
 * Everything concerns the network namespace of the thread that opened it.
 */
#ifndef QANAT_NL_RTNL_H
#define QANAT_NL_RTNL_H

#include "base/addr.h"
#include "base/err.h"

struct loop;

#define NL_NAME_MAX 16 /* IFNAMSIZ: interface name with NUL */
#define NL_TIMEOUT_MS 5000
#define NL_TABLE_MAIN 254

struct nl_link {
	uint32_t index;
	char name[NL_NAME_MAX];
	char kind[NL_NAME_MAX]; /* "tun", "veth"; "" for a device without one */
	uint32_t mtu;
	bool up; /* IFF_UP: somebody wants it up */
	bool running; /* IFF_RUNNING: it can carry packets */
	bool loopback;
};

struct nl_address {
	uint32_t ifindex;
	struct ip_prefix prefix; /* the host's own address, with the prefix length */
	uint8_t scope; /* RT_SCOPE_UNIVERSE 0, RT_SCOPE_LINK 253, RT_SCOPE_HOST 254 */
	bool no_prefix_route; /* the kernel makes no route to the prefix */
	bool temporary; /* of limited lifetime: from a router or DHCP */
	bool tentative; /* IPv6: not usable before duplicate detection */
};

struct nl_route {
	struct ip_prefix dst; /* length 0: default; its family is the route's */
	uint32_t table; /* NL_TABLE_MAIN, or another; 0 in a request: main */
	uint32_t oif; /* interface, 0: none (blackhole); of several next hops the first */
	uint32_t metric; /* 0 in a request: the kernel's default */
	struct ip_addr gateway; /* family IP_NONE: on the link */
	struct ip_addr source; /* preferred source; family IP_NONE: not set */
	uint8_t type; /* RTN_UNICAST 1, RTN_LOCAL 2 ...; 0 in a request: unicast */
	uint8_t protocol; /* who made it, RTPROT_KERNEL 2 ...; 0 in a request: RTPROT_STATIC 4 */
	uint8_t scope;
};

/* A rule of policy routing (ip-rule(8)). */
struct nl_rule {
	uint8_t family;
	uint32_t priority; /* the lower, the earlier */
	struct ip_prefix from, to; /* family IP_NONE: any */
	char ifname[NL_NAME_MAX]; /* comes in by; "": any */
	uint32_t mark; /* 0: any */
	uint32_t table;
	uint8_t protocol; /* who made it; 0 in a request: RTPROT_STATIC */
	bool further; /* has selectors or an action beyond these: never set in a request */
};

struct nl;

MUST_CHECK enum err_code nl_open(struct nl **out, struct err *e);
void nl_close(struct nl *n);

/* ---- links ---- */

/* True when the kernel would take `s` as an interface name: 1..15 bytes, no '/', ':' or white
 * space, not "." or "..". */
bool nl_name_valid(struct str s);
/* ERR_NOT_FOUND names the interface. */
MUST_CHECK enum err_code nl_link_by_name(struct nl *n, const char *name, struct nl_link *out,
					 struct err *e);
MUST_CHECK enum err_code nl_link_by_index(struct nl *n, uint32_t index, struct nl_link *out,
					  struct err *e);
MUST_CHECK enum err_code nl_link_set_up(struct nl *n, uint32_t index, bool up, struct err *e);
MUST_CHECK enum err_code nl_link_set_mtu(struct nl *n, uint32_t index, uint32_t mtu, struct err *e);
/* The largest super-packet in bytes, headers included, that the kernel's TCP hands to this link;
 * for IPv4 and IPv6 alike. */
MUST_CHECK enum err_code nl_link_set_gso_max(struct nl *n, uint32_t index, uint32_t bytes,
					     struct err *e);
/* Makes a link that its kind alone describes ("wireguard", "dummy"); `mtu` 0: the kernel's choice.
 * ERR_EXISTS when the name is taken, ERR_UNSUPPORTED when the kernel has no such kind. */
MUST_CHECK enum err_code nl_link_create(struct nl *n, const char *name, const char *kind,
					uint32_t mtu, struct err *e);
MUST_CHECK enum err_code nl_link_delete(struct nl *n, uint32_t index, struct err *e);
/* Calls fn for each link until it returns false. */
MUST_CHECK enum err_code nl_links(struct nl *n, bool (*fn)(void *ctx, const struct nl_link *l),
				  void *ctx, struct err *e);

/* ---- addresses ---- */

/* Calls fn for each address of `ifindex` (0: of all links), both families, until it returns
 * false. */
MUST_CHECK enum err_code nl_addresses(struct nl *n, uint32_t ifindex,
				      bool (*fn)(void *ctx, const struct nl_address *a), void *ctx,
				      struct err *e);
/* Adds a->prefix to a->ifindex; scope and no_prefix_route count, an IPv6 address skips duplicate
 * detection.  ERR_EXISTS when it is there. */
MUST_CHECK enum err_code nl_address_add(struct nl *n, const struct nl_address *a, struct err *e);
/* ERR_NOT_FOUND when it is not there. */
MUST_CHECK enum err_code nl_address_delete(struct nl *n, const struct nl_address *a, struct err *e);

/* ---- routes ---- */

/* Calls fn for each route of `family` in `table` (0: all tables) until it returns false. */
MUST_CHECK enum err_code nl_routes(struct nl *n, uint8_t family, uint32_t table,
				   bool (*fn)(void *ctx, const struct nl_route *r), void *ctx,
				   struct err *e);
/* ERR_EXISTS when the same destination, metric and table are taken. */
MUST_CHECK enum err_code nl_route_add(struct nl *n, const struct nl_route *r, struct err *e);
/* ERR_NOT_FOUND when it is not there. */
MUST_CHECK enum err_code nl_route_delete(struct nl *n, const struct nl_route *r, struct err *e);
/* How the kernel would send to `to`, by interface `oif` (0: any); ERR_NOT_FOUND without a route. */
MUST_CHECK enum err_code nl_route_get(struct nl *n, const struct ip_addr *to, uint32_t oif,
				      struct nl_route *out, struct err *e);
/* The default route of the main table with the lowest metric, `source` filled with the address
 * that the kernel would use; ERR_NOT_FOUND without a default route or a usable source. */
MUST_CHECK enum err_code nl_default_route(struct nl *n, uint8_t family, struct nl_route *out,
					  struct err *e);

/* ---- rules ---- */

/* Calls fn for each rule of `family` until it returns false. */
MUST_CHECK enum err_code nl_rules(struct nl *n, uint8_t family,
				  bool (*fn)(void *ctx, const struct nl_rule *r), void *ctx,
				  struct err *e);
/* ERR_EXISTS when the same rule is there. */
MUST_CHECK enum err_code nl_rule_add(struct nl *n, const struct nl_rule *r, struct err *e);
/* ERR_NOT_FOUND when it is not there.  The kernel takes the first rule that has all of these: where
 * another with further selectors may stand before it, only r->protocol tells them apart. */
MUST_CHECK enum err_code nl_rule_delete(struct nl *n, const struct nl_rule *r, struct err *e);

/* ---- watching ---- */

/* What a watch reports; NULL members are not subscribed.  Callbacks run in the loop's thread and
 * may close the watch. */
struct nl_watch_events {
	/* State of a link: of the watched one when the watch opens, then whenever something about
	 * it has changed (flags, MTU, name); the same state may come more than once. */
	void (*link)(void *ctx, const struct nl_link *l);
	/* The link was deleted.  A watched one that moved to another namespace was not: the watch
	 * follows it there and reports it with its new index. */
	void (*link_gone)(void *ctx, uint32_t ifindex);
	/* The watched link moved to where this watch cannot follow (a second move, or missing
	 * rights): nothing more will be reported about it. */
	void (*link_out_of_sight)(void *ctx);
	void (*address)(void *ctx, const struct nl_address *a, bool added);
	void (*route)(void *ctx, const struct nl_route *r, bool added);
	void (*rule)(void *ctx, const struct nl_rule *r, bool added); /* only with ifindex 0 */
	/* Reports came faster than they were read and some were dropped: read addresses, routes,
	 * rules and, when all links are watched, links again.  The watched link is read again by the
	 * watch itself. */
	void (*lost)(void *ctx);
};

struct nl_watch;

/* Reports on `ifindex` only (0: on all links; routes without interface are then included). */
MUST_CHECK enum err_code nl_watch_open(struct nl_watch **out, struct loop *l, uint32_t ifindex,
				       const struct nl_watch_events *events, void *ctx,
				       struct err *e);
void nl_watch_close(struct nl_watch *w);

#endif
