/* net.h - the host's network as desired state: one tunnel interface's addresses, routes,
 * forwarding, and masquerade in a table of our own.
 *
 * Reads what is there, changes only what differs, remembers what it changed so that net_undo
 * puts it back.  Netlink for addresses, routes, links; /proc/sys for forwarding; one `nft -f -`
 * transaction (argv, a pipe, no shell) for the table.  Nobody else's rules are touched.
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
 * docs/operations/host-network.md says what exactly is changed, for the people whose host it is.
 * FAULT points: net.journal, net.address, net.route, net.link, net.sysctl, net.nft.
 */
#ifndef QANAT_NET_NET_H
#define QANAT_NET_NET_H

#include "base/addr.h"
#include "base/err.h"

#define NET_ADDRESSES_MAX 8
#define NET_TABLE_PREFIX "qanat_" /* nft table "inet qanat_IFNAME" */

struct net_want {
	const char *ifname;
	struct ip_prefix addresses[NET_ADDRESSES_MAX]; /* host address with prefix length */
	size_t address_count;
	uint32_t mtu; /* 0: leave */
	bool up;
	bool forward_v4, forward_v6; /* sysctl ip_forward, ipv6 all.forwarding */
	/* Source-NAT for these networks when leaving by any other interface.  With at least one
	 * there is a table of ours; it also drops, and counts as "spoofed", what comes from the
	 * tunnel with a source outside of these networks and those of `addresses`, and fits TCP's
	 * segment size to the way.  Each network also gets a blackhole route with the worst metric,
	 * so that packets for clients go nowhere, not to the uplink, while the interface is away. */
	struct ip_prefix masquerade[NET_ADDRESSES_MAX];
	size_t masquerade_count;
};

struct net;

/* `journal`: path of the journal file, in a directory that exists.  What it says that an earlier run
 * has left is adopted: as if this run had made it, for net_apply as for net_undo.  A journal that
 * cannot be understood is ERR_CORRUPT. */
MUST_CHECK enum err_code net_open(struct net **out, const char *journal, struct err *e);
/* Makes it so, and reads it back; on failure everything this call changed is put back.  What is
 * already as wanted is not touched; what an earlier call changed and `want` no longer asks for
 * goes back to what it was before.  One interface at a time: another name is ERR_IN_USE until
 * net_undo; what was adopted from a run with another interface is put back first, and stays so
 * when the rest fails.  The table is replaced in one transaction.  ERR_MISSING when a program is needed that is not installed. */
MUST_CHECK enum err_code net_apply(struct net *n, const struct net_want *want, struct err *e);
/* Puts back what was changed or adopted: addresses, routes, sysctls, table.  Keeps going; the first error
 * is reported. */
enum err_code net_undo(struct net *n, struct err *e);
/* Undoes nothing: without net_undo before, all stays for the next net_open of this journal. */
void net_close(struct net *n);

/* What net_apply would change, as lines of text ("+ address 10.8.0.1/24 dev wg_main"). */
MUST_CHECK enum err_code net_diff(struct net *n, const struct net_want *want, struct buf *out,
				  struct err *e);

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
