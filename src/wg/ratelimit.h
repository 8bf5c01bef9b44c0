/* ratelimit.h - handshake messages per source under load: WG_LIMIT_PER_SECOND after a burst of
 * WG_LIMIT_BURST, for each IPv4 address and each IPv6 /64 (paper 5.3).
 *
 * A fixed table, taken on first use: strangers cannot make it grow.  Asked only after mac2 has
 * proved the source, or a forger could use up another's share.
 */
#ifndef QANAT_WG_RATELIMIT_H
#define QANAT_WG_RATELIMIT_H

#include "base/addr.h"
#include "crypto/keys.h"
#include "wg/messages.h"

struct wg_ratelimit_entry;

struct wg_ratelimit {
	struct siphash_key key;
	struct wg_ratelimit_entry *entries; /* NULL until first use */
};

void wg_ratelimit_done(struct wg_ratelimit *l);
/* True when a message of this source may be worked on now.  The key must be set (random). */
bool wg_ratelimit_allow(struct wg_ratelimit *l, const struct ip_addr *source, int64_t now);

#endif
