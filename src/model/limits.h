/* limits.h - what a client may use, and its values as people write them.
 *
 * "10M" is a rate of 10,000,000 bits a second, "20G" a quota of 20,000,000,000 bytes, "2Gi" one of
 * 2^31; "2026-12-31", "2026-12-31T18:00" (UTC) or "30d" is an end.  "none" is none.  The ranges of
 * rates and quotas are the engine's (wg/limits.h).
 */
#ifndef QANAT_MODEL_LIMITS_H
#define QANAT_MODEL_LIMITS_H

#include "base/clock.h"
#include "base/err.h"

struct client_limits {
	uint64_t rate_up_bps, rate_down_bps; /* bits a second; 0: none */
	uint64_t quota; /* bytes, both directions together; 0: none */
	uint64_t quota_used; /* of it, as last stored */
	int64_t expires_ns; /* wall clock; 0: never */
};

/* A number of bits a second or of bytes, `what` in messages. */
MUST_CHECK enum err_code limits_number_parse(struct str text, const char *what, uint64_t *out,
					     struct err *e);
/* A moment, or a time from now on: "90m", "12h", "30d". */
MUST_CHECK enum err_code limits_end_parse(struct str text, int64_t now_ns, int64_t *out,
					  struct err *e);
/* As limits_number_parse reads it: "1500k", "none". */
#define LIMITS_TEXT_MAX 32
void limits_number_format(char out[LIMITS_TEXT_MAX], uint64_t n);

#endif
