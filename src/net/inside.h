/* inside.h - what the files of net.h share; for this folder only. */
#ifndef QANAT_NET_INSIDE_H
#define QANAT_NET_INSIDE_H

#include "net/plan.h"

struct net {
	struct nl *nl;
	char *journal;
	int lock; /* of the journal; -1: none */
	bool applied; /* `want` is in care, and its first tunnel names the table */
	struct net_want want; /* applied last */
	struct plan_links links; /* of `want`, when they were last looked for */
	struct changes made; /* against the host as it was before us, and in the journal */
	struct plan_table table;
};

/* What the undo list `made` becomes by a change that was made. */
MUST_CHECK enum err_code net_account(struct changes *made, const struct change *x, struct err *e);
/* Puts back what is of interfaces that are not in `links`; what was done to a deleted one went
 * with it. */
MUST_CHECK enum err_code net_leave_others(struct net *n, const struct net_want *want,
					  const struct plan_links *links, struct err *e);
/* Writes the journal before anything is changed: all there is to undo, now and after each step of
 * the plan. */
MUST_CHECK enum err_code net_announce(struct net *n, const struct changes *plan, struct err *e);
/* One change of a plan; when it loads the table, text and listing are added to the two. */
MUST_CHECK enum err_code net_make(struct net *n, const struct change *x, struct buf *loaded,
				  struct buf *loaded_listing, struct err *e);

#endif
