/* handshake.h - initiations, responses and cookie replies of a device (paper 5.4).  Inside the
 * room only; wg_device_handshake is the door for datagrams.
 */
#ifndef QANAT_WG_HANDSHAKE_H
#define QANAT_WG_HANDSHAKE_H

#include "wg/peer.h"

/* Begins a series of initiations, unless one is under way or there is no key, no endpoint or no
 * interface. */
void wg_handshake_start(struct wg_peer *p, int64_t now);
/* The next initiation of a series. */
void wg_handshake_retry(struct wg_peer *p, int64_t now);

#endif
