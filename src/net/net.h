/* net.h - the host's network as desired state: tunnel interfaces with their addresses, routes, rules,
 * forwarding, and a table of our own in nftables.
 *
 * Reads what is there, changes only what differs, remembers what it changed so that net_undo
 * puts it back.  Netlink for addresses, routes, rules, links; /proc/sys for forwarding; one
 * `nft -f -` transaction (argv, a pipe, no shell) for the table.  Nobody else's rules are touched.
 *
 * What is about to be changed is first written to a journal file, so that after a crash the next
 * start goes on from there, and its stop knows what to put back.  A value that somebody else has
 * changed since is left alone.  Changes do not outlive a boot or a network namespace, and neither
 * does the journal.
 *
 * Between two runs, after a crash or a net_close without net_undo, table and forwarding stay: were
 * the table gone for a moment, the kernel would stop translating, the host's own TCP would answer
 * the servers of the clients' connections with a reset, and every transfer would die.
 *
 * What somebody else takes away or changes while we run is found by net_check and put back by
 * net_repair; net_watch_open tells when there is something to look for.
 *
 * docs/operations/host-network.md says what exactly is changed, for the people whose host it is.
 * FAULT points: net.journal, net.address, net.route, net.rule, net.link, net.sysctl, net.nft.
 */
#ifndef QANAT_NET_NET_H
#define QANAT_NET_NET_H

#include "base/addr.h"
#include "base/err.h"
#include "base/ifname.h"

#define NET_NAME_MAX (IFNAME_LEN_MAX + 1)
#define NET_ADDRESSES_MAX 8
#define NET_TUNNELS_MAX 16
#define NET_ROUTES_MAX 64
#define NET_RULES_MAX 64
#define NET_RULE_PRIORITY_MAX 32765 /* before the kernel's rules of main and default */
#define NET_PORTS_MAX 16
#define NET_SOURCES_MAX 16
#define NET_PASSES_MAX 64
#define NET_REDIRECTS_MAX 16
#define NET_TABLE_PREFIX "qanat_" /* nft table "inet qanat_IFNAME" */

/* An interface in our care.  It exists already, or does when it is repaired. */
struct net_tunnel {
	char ifname[NET_NAME_MAX];
	struct ip_prefix addresses[NET_ADDRESSES_MAX]; /* host address with prefix length */
	size_t address_count;
	uint32_t mtu; /* 0: leave */
	bool up;
	/* Source-NAT for these networks when leaving by any other interface, but for passes that
	 * keep the source.  With at least one, what comes from the tunnel with a source outside of these
	 * networks and those of `addresses` is dropped, and counted as "spoofed", and TCP's segment
	 * size is fitted to the way.  Each network also gets a blackhole route with the worst
	 * metric, so that packets for clients go nowhere, not to the uplink, while the interface is
	 * away. */
	struct ip_prefix masquerade[NET_ADDRESSES_MAX];
	size_t masquerade_count;
	bool isolated; /* its clients do not reach each other */
};

/* A route by an interface, ours or another, or with ifname "" one that swallows (blackhole). */
struct net_route {
	struct ip_prefix to; /* length 0: default; its family is the route's */
	char ifname[NET_NAME_MAX];
	struct ip_addr gateway; /* family IP_NONE: on the link */
	uint32_t table; /* 0: main */
	uint32_t metric; /* 0: the kernel's default */
};

/* A rule of policy routing: what matches looks in `table`. */
struct net_rule {
	uint8_t family;
	uint32_t priority; /* 1..NET_RULE_PRIORITY_MAX */
	struct ip_prefix from, to; /* family IP_NONE: any */
	char ifname[NET_NAME_MAX]; /* comes in by this interface; "": any */
	uint32_t mark; /* 0: any */
	uint32_t table; /* 1..: a number of its own, or 254, main */
};

/* A port of this host that is closed but to this host itself and, if any are named, these sources. */
struct net_port {
	uint8_t protocol; /* IPPROTO_UDP or IPPROTO_TCP */
	uint16_t port;
	struct ip_prefix from[NET_SOURCES_MAX];
	size_t from_count;
};

/* What comes in by `ifname` for a port, whatever its address, goes to a port of this host. */
struct net_redirect {
	char ifname[NET_NAME_MAX];
	uint8_t protocol; /* IPPROTO_UDP or IPPROTO_TCP */
	uint16_t port, to_port;
};

/* From one tunnel to another. */
struct net_pass {
	char from[NET_NAME_MAX], to[NET_NAME_MAX];
	bool keeps_source; /* not masqueraded on this way */
};

struct net_want {
	struct net_tunnel tunnels[NET_TUNNELS_MAX]; /* the first names the table */
	size_t tunnel_count;
	bool forward_v4, forward_v6; /* sysctl ip_forward, ipv6 all.forwarding */
	struct net_route routes[NET_ROUTES_MAX];
	size_t route_count;
	struct net_rule rules[NET_RULES_MAX];
	size_t rule_count;
	struct net_port ports[NET_PORTS_MAX];
	size_t port_count;
	struct net_redirect redirects[NET_REDIRECTS_MAX];
	size_t redirect_count;
	bool separate; /* nothing is forwarded from one tunnel to another but by `passes` */
	struct net_pass passes[NET_PASSES_MAX];
	size_t pass_count;
};

struct net;

/* `journal`: path of the journal file, in a directory that exists.  What it says that an earlier run
 * has left is adopted: as if this run had made it, for net_apply as for net_undo; a program that a killed
 * run had started is waited for.  A journal that cannot be understood is ERR_CORRUPT, one that another
 * process has in care, or such a program that does not end, ERR_IN_USE. */
MUST_CHECK enum err_code net_open(struct net **out, const char *journal, struct err *e);
/* Makes it so, and reads it back; on failure everything this call changed is put back.  What is
 * already as wanted is not touched; what an earlier call changed and `want` no longer asks for
 * goes back to what it was before.  The first tunnel names the table: another name is ERR_IN_USE
 * until net_undo; what was done to interfaces that are not in `want` is put back first, and stays
 * so when the rest fails.  The table is replaced in one transaction.  ERR_MISSING when a program
 * is needed that is not installed. */
MUST_CHECK enum err_code net_apply(struct net *n, const struct net_want *want, struct err *e);
/* Puts back what was changed or adopted: addresses, routes, sysctls, table.  Keeps going; the first error
 * is reported. */
enum err_code net_undo(struct net *n, struct err *e);
/* Undoes nothing: without net_undo before, all stays for the next net_open of this journal. */
void net_close(struct net *n);

/* What net_apply would change, as lines of text ("+ address 10.8.0.1/24 dev wg_main"). */
MUST_CHECK enum err_code net_diff(struct net *n, const struct net_want *want, struct buf *out,
				  struct err *e);

/* ---- while we run ---- */

/* One thing that is not as net_apply made it. */
struct net_difference {
	const char *change; /* what puts it right: "+ address 10.8.0.1/24 dev wg_main" */
	const char *sentence; /* "address 10.8.0.1/24 was missing on wg_main" */
	const char *repair; /* "it was added again"; "" while an interface is away */
	bool is_away; /* an interface does not exist: nothing that net could do */
};
typedef void net_difference_fn(void *ctx, const struct net_difference *d);

/* Compares the host with what was applied last and tells each difference to fn(ctx, ...); before
 * net_apply there is none.  Changes nothing.  Our table counts as ours only rule by rule as it was
 * loaded. */
MUST_CHECK enum err_code net_check(struct net *n, net_difference_fn *fn, void *ctx, struct err *e);
/* Puts right what differs, each thing for itself, the table in one transaction, and tells what was
 * put right (fn may be NULL).  Goes on where one fails; the first error is reported.  Interfaces
 * that are away are left out, and told. */
enum err_code net_repair(struct net *n, net_difference_fn *fn, void *ctx, struct err *e);

/* Who has touched our table, as the kernel says it. */
struct net_culprit {
	char program[16]; /* "" when an old kernel does not say */
	uint32_t pid;
};

struct loop;
struct net_watch;
/* Calls changed(ctx, who) in the loop's thread when somebody changed something that concerns what was
 * applied: our table (with `who`; NULL for all else, and for our own transactions), the tunnels,
 * their addresses, the routes and rules wanted, a default route.  Our own changes are told as well.
 * Settings under /proc/sys are not: the kernel has no report for them.
 * After net_apply; ERR_MISSING before. */
MUST_CHECK enum err_code net_watch_open(struct net_watch **out, struct net *n, struct loop *l,
					void (*changed)(void *ctx, const struct net_culprit *who),
					void *ctx, struct err *e);
/* Before net_close. */
void net_watch_close(struct net_watch *w);

/* ---- questions ---- */

/* The source address and interface of the default route of a family; ERR_NOT_FOUND without one. */
MUST_CHECK enum err_code net_default_route(struct net *n, uint8_t family, struct ip_addr *source,
					   char ifname[16], struct err *e);
/* True when the network of an address of another interface shares addresses with `p`; that
 * interface's name goes to ifname[16]. */
MUST_CHECK enum err_code net_overlap(struct net *n, const struct ip_prefix *p,
				     const char *except_ifname, bool *overlaps, char ifname[16],
				     struct err *e);
bool net_link_exists(struct net *n, const char *ifname);
/* Is our nft table there and masquerading? (server_status, get_firewall_status) */
bool net_firewall_active(struct net *n, const char *ifname);

#endif
