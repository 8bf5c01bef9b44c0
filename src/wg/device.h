/* device.h - a WireGuard device without I/O: keys, peers, allowed IPs, handshakes, timers.
 *
 * The complete protocol of the paper.  Bytes, the time and randomness go in; datagrams, events
 * and the next deadline come out.  Two kinds of callers:
 *
 * - CONTROL calls (this header): one thread at a time; the caller serialises them.
 * - PACKET calls (transport.h): any number of workers, at the same time as each other and as one
 *   control call, without locks.  What they learn they hand back as events (struct wg_events),
 *   which somebody passes to wg_device_event as a control call.
 *
 * Whatever packet calls may still see is retired (base/retired.h), never freed at once.  The
 * owner of the device drives reclamation: before retired_free it drains the queued events.
 *
 * Never: sockets, threads, logging, the clock.
 */
#ifndef QANAT_WG_DEVICE_H
#define QANAT_WG_DEVICE_H

#include "base/addr.h"
#include "base/err.h"
#include "base/retired.h"
#include "crypto/keys.h"
#include "wg/limits.h"
#include "wg/messages.h"
#include "wg/verdict.h"

struct wg_device;
struct wg_peer;

/* Where datagrams of a peer go and come from.  Zero remote: none known. */
struct wg_path {
	struct endpoint remote;
	struct ip_addr local; /* our address they came to; family IP_NONE: kernel's choice */
	uint32_t local_ifindex; /* 0: any */
};

enum wg_note {
	WG_NOTE_HANDSHAKE_DONE,
	WG_NOTE_HANDSHAKE_GAVE_UP,
	WG_NOTE_ROAMED,
	WG_NOTE_SESSION_EXPIRED,
};

/* What the core asks of its surroundings during control calls. */
struct wg_ops {
	void *ctx;
	void (*random)(void *ctx, void *p, size_t n);
	int64_t (*wall_ns)(void *ctx); /* for TAI64N; may jump */
	/* Sends one datagram (handshake, cookie reply, keepalive, staged packets).  `peer` is NULL
	 * for cookie replies.  Best effort. */
	void (*send)(void *ctx, struct wg_peer *peer, const struct wg_path *to,
		     const uint8_t *dgram, size_t n, uint8_t ecn);
	/* A lasting change worth a log line; may be NULL. */
	void (*notify)(void *ctx, struct wg_peer *peer, enum wg_note note);
};

MUST_CHECK struct wg_device *wg_device_new(const struct wg_ops *ops, struct retired *retired);
void wg_device_free(struct wg_device *d); /* no packet call may be running */

/* ---- configuration ---- */

/* Zero bytes: no key.  Removes a peer with the key's public key, forgets sessions and
 * precomputed secrets; the key that is set already changes nothing. */
void wg_device_set_private_key(struct wg_device *d, const struct secret_key *k, int64_t now);
bool wg_device_private_key(const struct wg_device *d, struct secret_key *out); /* false: none */
bool wg_device_public_key(const struct wg_device *d, struct public_key *out);

struct wg_allowed_ip {
	struct ip_prefix prefix;
	bool remove;
};

/* One change of one peer, as UAPI and configuration files express it. */
struct wg_peer_change {
	struct public_key public_key;
	bool remove; /* the peer goes; unknown: nothing happens */
	bool update_only; /* nothing happens when the peer is unknown */
	bool replace_allowed_ips; /* before `allowed_ips` */
	bool has_psk;
	bool has_endpoint;
	bool has_keepalive;
	uint16_t keepalive_s; /* 0: off */
	struct psk psk;
	struct endpoint endpoint;
	struct wg_limits_change limits; /* none set: as they are */
	const struct wg_allowed_ip *allowed_ips; /* borrowed */
	size_t allowed_ip_count;
};

/* Applies it whole; ERR_NOMEM and ERR_FULL leave the peer without part of its allowed IPs only if
 * it existed before.  The device's own public key is silently ignored.  Takes effect at once for
 * packet calls that start afterwards. */
MUST_CHECK enum err_code wg_device_change_peer(struct wg_device *d, const struct wg_peer_change *c,
					       int64_t now, struct err *e);
void wg_device_remove_all_peers(struct wg_device *d, int64_t now);
/* Up to `max` of them, oldest first; true while there are more. */
MUST_CHECK bool wg_device_remove_peers(struct wg_device *d, size_t max, int64_t now);
struct wg_peer *wg_device_find_peer(const struct wg_device *d, const struct public_key *k);
size_t wg_device_peer_count(const struct wg_device *d);

#define WG_PEERS_MAX (1u << 20)

/* Forgets cached source addresses: after a change of mark or routes. */
void wg_device_clear_sources(struct wg_device *d);
/* The same after a change of port; and every peer with a session is sent something within
 * WG_REKEY_JITTER_MAX, since that is how it learns of the port (roaming, whitepaper 2.1). */
void wg_device_port_changed(struct wg_device *d, int64_t now);
/* Whether endpoints follow authenticated packets (default true).  Off: an endpoint that was
 * configured stays; a peer without one is still learned, or it could not be answered. */
void wg_device_set_roaming(struct wg_device *d, bool on);
/* The interface is up: persistent keepalives and handshakes may start; down: sessions are
 * forgotten and timers stop.  A new device is down. */
void wg_device_set_up(struct wg_device *d, bool up, int64_t now);
void wg_device_set_mtu(struct wg_device *d, uint16_t mtu);
/* Datagrams of type 4 are spread over `n` receivers by byte WG_LANE_AT modulo n: from now on each
 * peer's indices are such that all of its datagrams reach the same one, wherever they come from.
 * Before the first peer only. */
void wg_device_set_lanes(struct wg_device *d, unsigned n);
#define WG_LANES_MAX 64
#define WG_LANE_AT 4 /* the low byte of the receiver index */

/* ---- reading ---- */

struct wg_peer_info {
	struct public_key public_key;
	struct psk psk; /* zero: none */
	struct endpoint endpoint; /* zero: none */
	uint16_t keepalive_s;
	int64_t last_handshake_wall_ns; /* 0: never */
	uint64_t rx_bytes, tx_bytes; /* as the kernel counts: whole datagrams' UDP payload */
	uint64_t rx_packets, tx_packets;
	size_t allowed_ip_count;
	struct wg_limits_info limits;
	int64_t quota_out_wall_ns; /* of limits.quota_out_at; 0: none */
};

void wg_peer_info(const struct wg_peer *p, struct wg_peer_info *out);
/* A peer is connected while keys of its last handshake may be in use, by the wall clock. */
#define WG_CONNECTED_NS WG_REJECT_AFTER_TIME
bool wg_is_connected(int64_t last_handshake_wall_ns, int64_t wall_ns);
struct wg_sums {
	uint64_t rx_bytes, tx_bytes;
	size_t connected; /* peers */
};
/* What the peers come to; looks at those alone that have sent or received something. */
void wg_device_sums(const struct wg_device *d, struct wg_sums *out);
/* Copies up to `n` allowed IPs starting with number `from`; returns how many were written. */
size_t wg_peer_allowed_ips(const struct wg_peer *p, size_t from, struct ip_prefix *out, size_t n);
const struct public_key *wg_peer_key(const struct wg_peer *p);
/* Walks the peers in order of creation; NULL starts and ends. */
struct wg_peer *wg_device_next_peer(const struct wg_device *d, const struct wg_peer *after);

/* ---- running ---- */

/* One datagram of type 1, 2 or 3.  `under_load`: demand mac2 (the caller's queue is long); that
 * holds for WG_UNDER_LOAD_HOLD.  WG_OK or the drop, which is counted already. */
enum wg_verdict wg_device_handshake(struct wg_device *d, const uint8_t *dgram, size_t n,
				    const struct wg_path *from, bool under_load, int64_t now);

/* Keeps a copy of an inner packet until a session exists, and starts a handshake; sends at once
 * when there is a session after all.  The oldest of more than WG_STAGED_MAX goes; drops are
 * counted here. */
void wg_device_stage(struct wg_device *d, struct wg_peer *p, const uint8_t *packet, size_t n,
		     int64_t now);

/* What a packet call learned.  Late, repeated and stale events do no harm. */
struct wg_event;
void wg_device_event(struct wg_device *d, const struct wg_event *ev, int64_t now);

/* Runs what is due, at most WG_TIMERS_A_CALL peers of it; returns the next deadline, which has come
 * already when there is more, and INT64_MAX for none. */
#define WG_TIMERS_A_CALL 64
int64_t wg_device_timers(struct wg_device *d, int64_t now);

#endif
