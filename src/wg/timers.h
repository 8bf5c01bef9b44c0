/* timers.h - when a peer acts by itself.  Inside the room only; the rules stand in timers.c. */
#ifndef QANAT_WG_TIMERS_H
#define QANAT_WG_TIMERS_H

#include "wg/peer.h"

/* Packet calls: what just happened.  True: the peer's timer is armed too late now, so a
 * WG_EV_TIMERS is wanted. */
bool wg_timers_data_sent(struct wg_peer *p, int64_t now);
bool wg_timers_data_received(struct wg_peer *p, int64_t now);
/* Any authentic datagram, keepalives and handshake messages too. */
void wg_timers_sent(struct wg_peer *p, int64_t now);
void wg_timers_received(struct wg_peer *p, int64_t now);

/* Control calls: what just happened; each leaves the timer armed. */
void wg_timers_initiation_sent(struct wg_peer *p, int64_t now);
void wg_timers_session_derived(struct wg_peer *p, int64_t now);
void wg_timers_handshake_complete(struct wg_peer *p, int64_t now);
void wg_timers_keepalive_changed(struct wg_peer *p, int64_t now);
/* The same by the timer, in its turn: for many peers at once. */
void wg_timers_keepalive_due(struct wg_peer *p, int64_t now);
/* One keepalive, within WG_REKEY_JITTER_MAX, unless something else is sent before. */
void wg_timers_keepalive_once(struct wg_peer *p, int64_t now);
/* Puts the timer where the present state wants it. */
void wg_timers_arm(struct wg_peer *p, int64_t now);
void wg_timers_stop(struct wg_peer *p);
/* The timer came: does all that is due. */
void wg_timers_run(struct wg_peer *p, int64_t now);

/* For each session: would data under it call for a new handshake? */
bool wg_timers_rekey_on_send(const struct wg_session *s, int64_t now);
bool wg_timers_rekey_on_receive(const struct wg_session *s, int64_t now);

/* 0..WG_REKEY_JITTER_MAX */
uint32_t wg_timers_jitter(struct wg_device *d);

#endif
