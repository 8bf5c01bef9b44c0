/* nft_watch.h - tells when one table of nftables changes, and who did it.
 *
 * The kernel reports each transaction to the group NFNLGRP_NFTABLES: what was added and deleted,
 * then the new generation with the program that made it.  A transaction that does not touch the
 * table is passed over here.  Everything concerns the network namespace of the thread that calls.
 */
#ifndef QANAT_NL_NFT_WATCH_H
#define QANAT_NL_NFT_WATCH_H

#include "base/err.h"

struct loop;
struct nl_nft_watch;

/* The end of a transaction that touched the table. */
struct nl_nft_change {
	uint32_t generation;
	uint32_t pid; /* of the program; 0 when an old kernel does not say */
	char program[16]; /* its name, or "" */
};

#define NL_NFT_TABLE_MAX 32 /* name of the table, with NUL */

/* Watches table "inet TABLE", whether it is there or not.  changed(ctx, c) runs in the loop's
 * thread and may close the watch; c is NULL when reports were lost. */
MUST_CHECK enum err_code nl_nft_watch_open(
	struct nl_nft_watch **out, struct loop *l, const char *table,
	void (*changed)(void *ctx, const struct nl_nft_change *c), void *ctx, struct err *e);
void nl_nft_watch_close(struct nl_nft_watch *w);

/* The number of the latest transaction of any table: the same number, the same rules. */
MUST_CHECK enum err_code nl_nft_generation(uint32_t *out, struct err *e);

#endif
