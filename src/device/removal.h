/* removal.h - taking allowed IPs away from a peer on devices that know no such request.
 *
 * Linux before 6.16 and daemons of its age can only replace all allowed IPs of a peer, which drops
 * the packets of those that stay for a moment.  But an allowed IP has one owner at a time: a stray
 * peer with a random key takes over what is to go, and is removed with it.  Nobody else's is touched.
 * Inside the room only.
 */
#ifndef QANAT_DEVICE_REMOVAL_H
#define QANAT_DEVICE_REMOVAL_H

#include "device/backend.h"

bool removal_wanted(const struct wg_peer_change *c, size_t n);
/* Whether the device does it itself; found out once, with a stray peer. */
MUST_CHECK enum err_code removal_is_native(struct device *d, bool *native, struct err *e);
/* One change with removals, on a device that does not: reads the peers to see what is the peer's. */
MUST_CHECK enum err_code removal_change_peer(struct device *d, const struct wg_peer_change *c,
					     struct err *e);
/* Takes prefixes away from whoever has them. */
MUST_CHECK enum err_code removal_take(struct device *d, const struct wg_allowed_ip *ips, size_t n,
				      struct err *e);

#endif
