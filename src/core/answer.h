/* answer.h - what an action comes to, as the envelope that a caller gets (docs/protocols/control.md).
 *
 * For core.c, which carries requests out; actions only return their code, or answer later (core.h).
 */
#ifndef QANAT_CORE_ANSWER_H
#define QANAT_CORE_ANSWER_H

#include "core/core.h"

/* An envelope of failure; one of ours is logged.  New reference, as of the next. */
json_t *answer_failure(struct core *c, struct str module, struct str action, enum api_code code,
		       const struct err *e);
/* Success with `data`, which is taken over, or a failure. */
json_t *answer_of(struct core *c, const struct action *a, enum api_code code, json_t *data,
		  const struct err *e);

#endif
