/* host.h - a host of the tests' own: a network namespace with TUN interfaces, and a picture of
 * everything that net may change, to compare before and after.
 */
#ifndef QANAT_NET_TESTS_HOST_H
#define QANAT_NET_TESTS_HOST_H

#include "net/net.h"
#include "nl/rtnl.h"

/* Makes the namespace once; false, with the reason printed, when that is not possible here. */
bool host_ready(void);
/* A TUN that lives as long as the descriptor. */
int host_tun(const char *name);
#define NEED_HOST()                \
	do {                       \
		if (!host_ready()) \
			skip();    \
	} while (0)
struct nl *host_nl(void);
struct nl_link host_link(const char *name);
struct ip_prefix host_prefix(const char *text);
struct ip_addr host_addr(const char *text);
void host_sysctl(const char *name, uint32_t value);
uint32_t host_sysctl_value(const char *name);
/* Loads or prints with nft; fails the test when nft does. */
void host_nft(const char *text);
void host_nft_print(struct buf *out, const char *a, const char *b, const char *c, const char *d);
/* Links, addresses, routes, settings and nft rules, as text. */
void host_picture(struct buf *out);
/* Fails with both texts when they differ. */
void host_same(const struct buf *before, const struct buf *after, const char *why);

/* What a gateway wants. */
struct net_want host_want(const char *ifname);
/* And what multihop adds to it: clients leave by table 100, or nowhere; a port closed to others. */
void host_want_policy(struct net_want *w);

/* A directory for a journal, and the journal's path in it. */
struct host_dir {
	char dir[64];
	char journal[80];
};
void host_dir_make(struct host_dir *d);
void host_dir_remove(struct host_dir *d);

#endif
