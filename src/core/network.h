/* network.h - keeps the host's network as it was applied, while the gateway runs.
 *
 * The kernel's reports, and a slow look where it has none, lead to net_repair; net/guard.h says
 * when.  Each thing that was put right is logged with a sentence of its own
 * ("net.repaired"); a fight over it with another program is logged as an error that names the
 * program ("net.fight"), and slows us down.  Also tells when the default route has moved.
 *
 * An interface that was deleted is the gateway's affair; here it is only told.  The loop's thread.
 */
#ifndef QANAT_CORE_NETWORK_H
#define QANAT_CORE_NETWORK_H

#include "io/loop.h"
#include "priv/helper.h"

struct network;

struct network_status {
	uint64_t looks; /* since the start */
	uint64_t repairs; /* looks that found something to put right */
	int64_t repaired_ns; /* wall clock of the last; 0: never */
	int64_t wait_ns; /* how long looks wait because repairs are undone; 0: they do not */
	char last[160]; /* the last thing that was put right, a sentence; "" before */
	char culprit
		[16]; /* program that touched our table last, other than ours; "" when nobody did */
	uint32_t culprit_pid;
};

/* After helper_net_apply.  `h` and `l` are kept until network_close. */
MUST_CHECK enum err_code network_open(struct network **out, struct helper *h, struct loop *l,
				      struct err *e);
/* The helper says that something has changed.  Takes NULL. */
void network_changed(struct network *w, const struct net_culprit *who);
void network_close(struct network *w);
/* Repairs now, whatever the guard says; fn as in net_repair. */
enum err_code network_repair(struct network *w, net_difference_fn *fn, void *ctx, struct err *e);
void network_status(const struct network *w, struct network_status *out);

#endif
