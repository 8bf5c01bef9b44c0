/* lpm.h - longest-prefix match for allowed IPs: 0.0.0.0/0 to whole addresses, both families.
 *
 * A hash table for each prefix length in use; few prefixes (shorter than an address) of a family
 * are a list as well, which is faster for them.  A look-up costs about one cache miss for four
 * lengths, whatever the number of prefixes.  Readers (lpm_find) run on any thread; writers are
 * serialised by the caller.  What a reader might still see is put on the caller's `struct retired`
 * list and may be freed only when each reader has passed a quiescent point.
 */
#ifndef QANAT_BASE_LPM_H
#define QANAT_BASE_LPM_H

#include "base/addr.h"
#include "base/err.h"
#include "base/retired.h"

struct lpm;

MUST_CHECK struct lpm *lpm_new(struct retired *retired); /* NULL without memory */
void lpm_free(struct lpm *t); /* no reader may be left */

/* Gives the masked prefix to `owner` (not NULL); *stolen_from is who had exactly this prefix
 * before, or NULL.  ERR_NOMEM and ERR_INVALID (no family, or too long) change nothing. */
MUST_CHECK enum err_code lpm_insert(struct lpm *t, const struct ip_prefix *p, void *owner,
				    void **stolen_from);
/* Takes the exact prefix away if `owner` holds it; true if it did. */
bool lpm_remove(struct lpm *t, const struct ip_prefix *p, const void *owner);
/* The owner of the longest prefix that holds the address, or NULL.  `b` is 4 or 16 bytes. */
void *lpm_find(const struct lpm *t, uint8_t family, const uint8_t *b);
size_t lpm_count(const struct lpm *t);

#endif
