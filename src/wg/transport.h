/* transport.h - the packet path of a WireGuard device: sessions, counters, replay, allowed IPs.
 *
 * PACKET calls of device.h: any worker, no lock, no allocation, no system call.  Pointers to peers
 * and sessions that they return are good until the worker's next quiescent point.
 *
 * Out:  wg_route -> wg_send_begin or wg_send_weigh (counters for n packets) -> seal -> wg_send_done
 * In:   wg_receive_begin -> open -> wg_receive_done (replay, source check, limits, roaming)
 */
#ifndef QANAT_WG_TRANSPORT_H
#define QANAT_WG_TRANSPORT_H

#include "wg/device.h"

enum wg_event_kind {
	WG_EV_NEED_HANDSHAKE, /* a session is missing or old */
	WG_EV_SESSION_CONFIRMED, /* first data under the next session */
	WG_EV_ROAMED, /* authentic packet from another path */
	WG_EV_TIMERS, /* the peer's timestamps changed; recompute its deadline */
	WG_EV_STAGED_FLUSH, /* for callers: a session may be there, send what is staged */
};

struct wg_event {
	enum wg_event_kind kind;
	struct wg_peer *peer;
	uint64_t session_id;
	struct wg_path path;
};

/* Filled by packet calls; the caller hands each on and resets n to 0.  Each is raised once until
 * wg_device_event has seen to it.  What a full array or the way there loses is raised again by
 * later packets: at once, or after a second. */
#define WG_EVENTS_MAX 64
struct wg_events {
	size_t n;
	struct wg_event ev[WG_EVENTS_MAX];
};

/* The peer that owns an inner destination (4 or 16 bytes), or NULL. */
struct wg_peer *wg_route(const struct wg_device *d, uint8_t family, const uint8_t *dst);

struct wg_send {
	const struct aead_key *key;
	uint32_t receiver; /* the other side's index, for the header */
	uint64_t counter; /* the first of n consecutive ones */
	struct wg_path path;
};

/* Takes counters for `n` packets of the peer's current session.  WG_OK, WG_STAGE, or
 * DROP_NO_ENDPOINT, DROP_DOWN; WG_WEIGH when the peer has limits, so that nobody passes them by. */
enum wg_verdict wg_send_begin(struct wg_device *d, struct wg_peer *p, size_t n, int64_t now,
			      struct wg_send *out, struct wg_events *ev);
/* The same for packets of a peer with limits: len[i] bytes each, inner.  From WG_OK on the first *n
 * pass, and *rest is why the others do not; or why none does, if that is what is returned. */
enum wg_verdict wg_send_weigh(struct wg_device *d, struct wg_peer *p, const uint32_t *len,
			      size_t *n, int64_t now, struct wg_send *out, enum wg_verdict *rest,
			      struct wg_events *ev);
/* Writes the 16 bytes of a transport header. */
void wg_transport_header(uint8_t out[WG_TRANSPORT_HEADER_LEN], uint32_t receiver, uint64_t counter);
/* After sending: `n` datagrams of `bytes` in all, at least one of them data. */
void wg_send_done(struct wg_peer *p, size_t n, size_t bytes, int64_t now, struct wg_events *ev);
/* The kernel refused our cached source: choose anew. */
void wg_send_source_failed(struct wg_peer *p, struct wg_events *ev);

/* A datagram that is no transport message: WG_OK when it is worth the control thread's time, else
 * the drop.  Length and mac1 are checked here, so that a flood of junk cannot fill the queue in
 * front of honest handshakes; the private key may change meanwhile, so wg_device_handshake checks
 * again. */
enum wg_verdict wg_handshake_look(const struct wg_device *d, const uint8_t *dgram, size_t n);

struct wg_receive {
	struct wg_session *session;
	struct wg_peer *peer; /* the session's, for batching by peer */
	const struct aead_key *key;
	uint64_t counter;
	uint8_t *text; /* ciphertext in the datagram; the tag follows */
	size_t len; /* without the tag */
};

/* Parses a datagram of type 4 and finds its session; WG_OK or a drop.  Nothing of *out holds after
 * a drop but `peer`, which is NULL where none is known. */
enum wg_verdict wg_receive_begin(struct wg_device *d, uint8_t *dgram, size_t n, int64_t now,
				 struct wg_receive *out);
/* After the tag was right: replay window, inner length, allowed IPs, ECN, limits, roaming, counters.
 * `outer_ecn` are the two bits of the datagram's IP header.  On WG_OK *inner_len is the length of
 * the IP packet at r->text. */
enum wg_verdict wg_receive_done(struct wg_device *d, struct wg_receive *r,
				const struct wg_path *from, uint8_t outer_ecn, int64_t now,
				uint32_t *inner_len, struct wg_events *ev);

/* The same for the packets of a batch: what those of one session and path in a row tell is counted
 * and noted once, and an inner source that repeats is looked up once.  Zero is a run that begins;
 * wg_receive_end ends the last one, before the next quiescent point.  `from` is kept till then. */
struct wg_receive_run {
	struct wg_session *session; /* NULL: nothing is noted yet */
	const struct wg_path *from;
	uint64_t packets, bytes;
	bool has_data;
	uint8_t source_family; /* IP_NONE: none was allowed yet */
	uint64_t source[2]; /* its bytes as they are; IPv4 has the first */
};

enum wg_verdict wg_receive_next(struct wg_device *d, struct wg_receive_run *run,
				struct wg_receive *r, const struct wg_path *from, uint8_t outer_ecn,
				int64_t now, uint32_t *inner_len, struct wg_events *ev);
void wg_receive_end(struct wg_receive_run *run, int64_t now, struct wg_events *ev);

/* Counts a drop; `p` may be NULL.  The drops that packet calls return are the caller's to count
 * (in batches, if he likes); control calls count their own.  The first drop of a peer allocates
 * its table of counts. */
void wg_count(struct wg_device *d, struct wg_peer *p, enum wg_verdict v, uint64_t n);
/* Sums of the device (p NULL) or of one peer (then `d` is not asked). */
void wg_counts(const struct wg_device *d, const struct wg_peer *p, uint64_t out[WG_VERDICTS]);

#endif
