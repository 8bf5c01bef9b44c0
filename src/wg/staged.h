/* staged.h - packets that wait for a session, and what control calls send under one.
 *
 * At most WG_STAGED_MAX packets for a peer, of which the oldest goes first, and at most
 * WG_STAGED_BYTES_MAX for the device: forwarded traffic makes us store them.  Inside the room only.
 */
#ifndef QANAT_WG_STAGED_H
#define QANAT_WG_STAGED_H

#include "wg/peer.h"

/* Keeps a copy; what does not fit is counted as dropped. */
void wg_staged_add(struct wg_peer *p, const uint8_t *packet, size_t n);
/* Sends all under the current session; false when there is none to use and packets remain or
 * nothing was staged.  True: at least one packet went out. */
bool wg_staged_flush(struct wg_peer *p, int64_t now);
void wg_staged_drop(struct wg_peer *p, enum wg_verdict why);
/* Sends an empty packet; false without a usable session. */
bool wg_keepalive_send(struct wg_peer *p, int64_t now);
/* What the peer can be sent something under; NULL: nothing. */
struct wg_session *wg_session_usable(struct wg_peer *p, int64_t now);

#endif
