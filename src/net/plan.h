/* plan.h - what is to be changed so that the host is as wanted; for this folder only.
 *
 * Reads the host, changes nothing.  Takes into account what we have changed before (`made`): an
 * address, value or table of ours that is no longer wanted goes back to what was there before us;
 * what we never touched is left alone.
 */
#ifndef QANAT_NET_PLAN_H
#define QANAT_NET_PLAN_H

#include "net/change.h"

/* Our table as wanted, as it is, and as nft printed it when we loaded it. */
struct plan_table {
	struct buf wanted; /* text to load; empty: no table */
	struct buf loaded; /* text loaded last */
	struct buf loaded_listing; /* what nft printed after that */
	struct buf listing; /* what nft prints now; empty: no table */
	/* While nftables is at this generation, our table is as it was loaded. */
	uint32_t generation;
	bool has_generation;
	uint32_t own_generation; /* of our last transaction; 0: not known */
};
void plan_table_done(struct plan_table *t);
/* Nothing is known of what was loaded. */
void plan_table_forget(struct plan_table *t);

/* The tunnels of a want as the host has them; index 0: away. */
struct plan_links {
	struct nl_link l[NET_TUNNELS_MAX];
	size_t n;
};
/* ERR_NOT_FOUND names a tunnel that is away, unless `may_be_away`. */
MUST_CHECK enum err_code plan_links(struct plan_links *out, struct nl *nl,
				    const struct net_want *want, bool may_be_away, struct err *e);
bool plan_links_have(const struct plan_links *links, uint32_t ifindex);

/* ERR_INVALID or ERR_RANGE for what cannot be. */
MUST_CHECK enum err_code plan_check(const struct net_want *want, struct err *e);
/* Adds to `out` in the order in which the changes are to be made; sets t->wanted, t->listing.
 * What belongs to tunnels that are away in `links` is left out, and when any is, so are routes by
 * interfaces that do not exist: else those are ERR_NOT_FOUND. */
MUST_CHECK enum err_code plan_make(struct nl *nl, const struct net_want *want,
				   const struct plan_links *links, const struct changes *made,
				   struct plan_table *t, struct changes *out, struct err *e);

#endif
