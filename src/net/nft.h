/* nft.h - our own nftables table, as text for and from the program nft; for this folder only.
 *
 * libnftables is GPL-2-only and cannot be linked, so the program is run (run.h), with one
 * transaction a change.  Nothing but names checked by ifname_ok and numeric prefixes goes
 * into the text.
 *
 *    table inet qanat_IFNAME
 *	counter spoofed	  packets from a tunnel whose source is not of its networks
 *	prerouting	  drops those
 *	redirection	  ports of everywhere to ports of this host
 *	input		  closes ports
 *	forward		  fits TCP's segment size to the smaller MTU of the way (both directions);
 *			  who may reach whom among tunnels and their clients
 *	postrouting	  source NAT of the wanted networks, by any interface but the tunnel and lo
 *
 * A chain without rules is left out, and so is a table without chains.
 *
 * It accepts, and thus cannot overrule a drop in somebody else's table: in nftables each table's
 * verdict counts, and a drop is final.
 */
#ifndef QANAT_NET_NFT_H
#define QANAT_NET_NFT_H

#include "base/ifname.h"
#include "net/net.h"

#define NFT_TABLE_MAX 32 /* prefix and interface name, with NUL */

/* True for the name of a table that nft_table_name could have made. */
bool nft_table_valid(struct str table);
void nft_table_name(char out[NFT_TABLE_MAX], const char *ifname);

/* The table's definition for `want`, without the replacing; empty when nothing needs one. */
void nft_table_text(struct buf *out, const struct net_want *want);
/* Replaces or makes the table by `text` in one transaction; an empty text deletes it. */
MUST_CHECK enum err_code nft_table_load(const char *table, struct str text, struct err *e);
/* The same, and adds the table as nft prints it, of which it is certain that nobody else had a hand
 * in it in between.  ERR_IN_USE when somebody always had.  `*generation` is that of the
 * transaction, 0 when it is not known for certain. */
MUST_CHECK enum err_code nft_table_load_listed(const char *table, struct str text,
					       struct buf *listing, uint32_t *generation,
					       struct err *e);
MUST_CHECK enum err_code nft_table_exists(const char *table, bool *exists, struct err *e);
/* Adds the table as nft prints it, without counters' values; nothing when there is none. */
MUST_CHECK enum err_code nft_table_list(const char *table, struct buf *out, struct err *e);

#endif
