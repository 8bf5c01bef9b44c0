/* peer.h - what a device knows of one peer.  Inside the room only.
 *
 * A peer that never talked costs `struct wg_peer` and its allowed IPs beyond the first.  What only
 * a handshake needs (its state, cookies, staged packets) is in wg_active, which comes with it and
 * goes seconds after.
 *
 * Threads: "owner: control" fields belong to control calls; the atomic ones are shared.
 */
#ifndef QANAT_WG_PEER_H
#define QANAT_WG_PEER_H

#include "base/list.h"
#include "wg/cookie.h"
#include "wg/limits.h"
#include "wg/noise.h"
#include "wg/session.h"
#include "wg/transport.h"
#include "wg/wheel.h"

/* An immutable path; replaced whole and retired. */
struct wg_path_node {
	struct retired_node retired;
	struct wg_path path;
	uint32_t source_generation; /* of the device, when `local` was learned */
};

struct wg_counts {
	_Atomic uint64_t n[WG_VERDICTS];
};

/* Our side of a handshake that we began: message 1 is out, message 2 is awaited. */
struct wg_handshake {
	bool waiting;
	uint32_t local_index;
	uint32_t key_generation;
	struct wg_noise noise;
	struct secret_key ephemeral;
};

/* owner: control */
struct wg_active {
	struct wg_handshake handshake;
	struct wg_cookie cookie;
	int64_t sent_at; /* our last initiation; 0: none */
	int64_t began_at; /* the first of the present series */
	int64_t retry_at; /* 0: no handshake under way */
	int64_t heard_at; /* the last initiation that we answered; 0: none */
	unsigned sent; /* initiations in the present series */
	struct list staged;
	size_t staged_count;
};

enum wg_static_state { WG_STATIC_UNKNOWN, WG_STATIC_GOOD, WG_STATIC_BAD };

struct wg_peer {
	/* shared with workers */
	_Atomic(struct wg_session *) current;
	_Atomic(struct wg_session *) previous;
	_Atomic(struct wg_session *) next; /* we are responder and wait for the first data */
	_Atomic(struct wg_path_node *) path;
	_Atomic(struct wg_counts *) counts;
	_Atomic(struct wg_limits *) limits; /* NULL: none */
	_Atomic int64_t data_sent_at; /* first data since we last heard anything; 0: none */
	_Atomic int64_t data_received_at; /* first data since we last sent anything; 0: none */
	_Atomic int64_t traffic_at; /* last authentic datagram in or out */
	_Atomic int64_t armed; /* when the peer's timer runs */
	_Atomic int64_t raised_at; /* the last event */
	_Atomic uint32_t pending; /* a bit for each wg_event_kind handed out */
	atomic_bool follows; /* the endpoint follows authentic packets */
	/* owner: control; beside the counts, so that adding up many peers reads one line of each */
	union {
		struct list talker; /* of the device's `talkers`, once something was counted */
		struct retired_node retired; /* while dead */
	};
	int64_t handshake_wall_ns;
	_Atomic uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets; /* shared with workers */

	/* const after start */
	struct wg_device *device;
	struct public_key public_key;

	/* owner: control */
	bool dead; /* removed; only events may still name it */
	bool has_configured_endpoint;
	uint8_t static_state; /* enum wg_static_state, of static_generation */
	uint8_t lane; /* of its receiver indices */
	uint16_t keepalive_s;
	uint32_t static_generation;
	uint32_t jitter; /* ns, for the next unanswered data */
	uint32_t allowed_count;
	uint32_t allowed_room; /* of `many`; 0: there is `one` at most */
	union {
		struct ip_prefix one; /* most peers have one */
		struct ip_prefix *many;
	} allowed;
	struct shared_secret static_static;
	struct psk psk;
	struct list link; /* of the device's peers, in order of creation */
	struct wg_wheel_node timer;
	struct wg_active *active;
	int64_t keys_at; /* the youngest keys were made; 0: none are left */
	int64_t keepalive_at; /* the last persistent keepalive, or when they were asked for */
	uint64_t timestamp_sent; /* wall clock, ns; never smaller than before */
	uint8_t timestamp_seen[WG_TIMESTAMP_LEN];
};

MUST_CHECK struct wg_peer *wg_peer_new(struct wg_device *d, const struct public_key *k);
/* Frees and wipes what only this peer holds; sessions and path must be gone. */
void wg_peer_free(struct wg_peer *p);

/* The active part, made if need be; NULL without memory. */
struct wg_active *wg_peer_activate(struct wg_peer *p);
/* Frees it when nothing is in it, whatever it remembers of the past. */
void wg_peer_deactivate(struct wg_peer *p);
/* When what it remembers is of no more use; INT64_MAX while something is in it. */
int64_t wg_peer_idle_at(const struct wg_peer *p);

/* Where the peer is; NULL when unknown.  Any thread. */
static inline struct wg_path_node *wg_peer_path(const struct wg_peer *p)
{
	return atomic_load_explicit(&p->path, memory_order_acquire);
}

/* Replaces the path (NULL: forgets it); without memory it stays as it was. */
void wg_peer_set_path(struct wg_peer *p, const struct wg_path *path);
/* Follows an authentic datagram if that is allowed and the path differs. */
void wg_peer_roam(struct wg_peer *p, const struct wg_path *from);
/* Any thread: would wg_peer_roam change anything? */
bool wg_peer_would_roam(const struct wg_peer *p, const struct wg_path *from);
/* Chooses the source address anew with the next datagram. */
void wg_peer_clear_source(struct wg_peer *p);

/* The static-static secret, computed when first asked for after a change of our key; NULL when
 * the peer's key is of small order.  Control only. */
const struct shared_secret *wg_peer_static_static(struct wg_peer *p);

/* Puts a session into the peer's slots and retires what leaves them. */
void wg_peer_add_session(struct wg_peer *p, struct wg_session *s);
/* The first data under `next`: it becomes current. */
void wg_peer_promote_next(struct wg_peer *p);
/* Forgets all sessions; true if there were any. */
bool wg_peer_forget_sessions(struct wg_peer *p);
/* Forgets our half-done handshake. */
void wg_peer_forget_handshake(struct wg_peer *p);

/* Allowed IPs as a list of the peer; the device keeps them in step with the lookup table. */
/* The first of allowed_count; good until the next change. */
const struct ip_prefix *wg_peer_allowed(const struct wg_peer *p);
MUST_CHECK bool wg_peer_allowed_add(struct wg_peer *p, const struct ip_prefix *prefix);
void wg_peer_allowed_remove(struct wg_peer *p, const struct ip_prefix *prefix);

/* Any thread: how many of the `n` packets of len[i] bytes the peer's limits let pass, from the front;
 * *rest is why the others do not. */
size_t wg_peer_admit(struct wg_peer *p, enum wg_direction dir, const uint32_t *len, size_t n,
		     int64_t now, enum wg_verdict *rest);

/* Before anything of it is counted: from now on the device adds it up.  Control only; workers count
 * under sessions, and none comes without a handshake that was counted. */
void wg_peer_talks(struct wg_peer *p);
/* Sends a datagram of ours to the peer and counts it. */
void wg_peer_send(struct wg_peer *p, const uint8_t *dgram, size_t n, uint8_t ecn);
void wg_peer_notify(struct wg_peer *p, enum wg_note note);

#endif
