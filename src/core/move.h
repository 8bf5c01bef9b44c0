/* move.h - moving all clients to another network: where each would go.
 *
 * The server is the first host, then the clients in the order of their addresses, one after the
 * other, with IPv6 at the same host number.  move.c shows, move_apply.c does.
 */
#ifndef QANAT_CORE_MOVE_H
#define QANAT_CORE_MOVE_H

#include "core/core.h"
#include "core/subnet.h"

struct move {
	int64_t id;
	char name[CLIENT_NAME_MAX + 1];
	struct public_key public_key;
	bool enabled;
	struct ip_addr old, old6, new, new6;
};

struct moves_plan {
	struct move *p; /* by old address */
	size_t n, cap;
};

MUST_CHECK enum err_code moves_plan_make(struct moves_plan *out, struct core *c,
					 const struct ip_prefix *to, struct err *e);
void moves_plan_done(struct moves_plan *m);
/* Checks `text` against this gateway. */
MUST_CHECK enum err_code core_subnet_check(struct subnet_check *out, struct core *c,
					   struct str text, struct err *e);

#endif
