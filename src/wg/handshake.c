#include "wg/handshake.h"

#include "wg/core.h"
#include "wg/staged.h"
#include "wg/timers.h"

#define TAI64_BASE 0x400000000000000aULL /* 1970, ten leap seconds on */
#define WHITEN_STEP (1ULL << 24) /* about 16 ms: hides the exact clock */

/* TAI64N of the wall clock, whitened.  Whatever the clock does, a peer's timestamps grow, or the
 * other side would take the next initiation for a replay. */
static void make_timestamp(struct wg_peer *p, uint8_t out[WG_TIMESTAMP_LEN])
{
	struct wg_device *d = p->device;
	int64_t wall = d->ops.wall_ns(d->ops.ctx);
	uint64_t ns = wall > 0 ? (uint64_t)wall : 0;
	uint64_t rest = ns % NS_PER_S & ~(WHITEN_STEP - 1);
	struct wr w = wr_over(out, WG_TIMESTAMP_LEN);

	ns = ns - ns % NS_PER_S + rest;
	if (ns <= p->timestamp_sent) {
		rest = p->timestamp_sent % NS_PER_S + WHITEN_STEP;
		ns = p->timestamp_sent - p->timestamp_sent % NS_PER_S;
		ns += rest < NS_PER_S ? rest : (uint64_t)NS_PER_S;
	}
	p->timestamp_sent = ns;
	wr_be32(&w, (uint32_t)((TAI64_BASE + ns / NS_PER_S) >> 32));
	wr_be32(&w, (uint32_t)(TAI64_BASE + ns / NS_PER_S));
	wr_be32(&w, (uint32_t)(ns % NS_PER_S));
}

static void make_ephemeral(struct wg_device *d, struct secret_key *k)
{
	d->ops.random(d->ops.ctx, k->b, sizeof k->b);
	secret_key_clamp(k);
}

/* ---- message 1, outwards ---- */

/* Fills `h` and the datagram; the index is taken last but one, so that failing leaves nothing. */
static bool make_initiation(struct wg_peer *p, struct wg_handshake *h,
			    uint8_t dgram[WG_INITIATION_LEN], int64_t now)
{
	struct wg_device *d = p->device;
	const struct wg_noise_initiator in = {
		.ephemeral = &h->ephemeral,
		.own_static = &d->public_key,
		.responder_static = &p->public_key,
		.static_static = wg_peer_static_static(p),
	};
	uint8_t timestamp[WG_TIMESTAMP_LEN];
	struct wg_initiation m;

	if (!in.static_static)
		return false;
	make_ephemeral(d, &h->ephemeral);
	make_timestamp(p, timestamp);
	wg_noise_start(&h->noise, wg_noise_identifier(), &p->public_key);
	if (!wg_noise_write_initiation(&h->noise, &in, m.ephemeral, m.sealed_static,
				       m.sealed_timestamp, timestamp, sizeof timestamp))
		return false;
	if (!wg_index_take(&d->index, &h->local_index, p, p->lane, d->ops.random, d->ops.ctx))
		return false;
	h->waiting = true;
	h->key_generation = wg_key_generation(d);
	m.sender = h->local_index;
	wg_initiation_write(dgram, &m);
	wg_cookie_sign(&p->active->cookie, &p->public_key, dgram, WG_INITIATION_LEN, now);
	return true;
}

void wg_handshake_retry(struct wg_peer *p, int64_t now)
{
	struct wg_active *a = p->active;
	struct wg_handshake h = { 0 };
	uint8_t dgram[WG_INITIATION_LEN];

	/* Also without memory the series goes on and comes to its end. */
	if (make_initiation(p, &h, dgram, now)) {
		wg_peer_forget_handshake(p);
		a->handshake = h;
		wg_peer_send(p, dgram, sizeof dgram, 0);
	}
	wipe(&h, sizeof h);
	wg_timers_initiation_sent(p, now);
}

void wg_handshake_start(struct wg_peer *p, int64_t now)
{
	struct wg_device *d = p->device;
	struct wg_active *a;

	if (p->dead || !wg_device_is_up(d) || !d->has_key || !wg_peer_path(p))
		return;
	a = wg_peer_activate(p);
	if (!a || a->retry_at)
		return;
	a->sent = 0;
	a->began_at = now;
	if (a->sent_at && now - a->sent_at < WG_REKEY_TIMEOUT) {
		/* Paper 6.4: never more often than every WG_REKEY_TIMEOUT. */
		a->retry_at = a->sent_at + WG_REKEY_TIMEOUT;
		wg_timers_arm(p, now);
		return;
	}
	wg_handshake_retry(p, now);
}

/* ---- sessions ---- */

/* Derives the session of a finished handshake and wipes the state; NULL without memory. */
static struct wg_session *derive(struct wg_peer *p, struct wg_noise *n, bool is_initiator,
				 uint32_t local, uint32_t remote, int64_t now)
{
	struct wg_device *d = p->device;
	uint8_t to_responder[KEY_LEN], to_initiator[KEY_LEN];
	struct wg_session *s;

	wg_noise_split(n, to_responder, to_initiator);
	if (is_initiator)
		s = wg_session_new(to_responder, to_initiator);
	else
		s = wg_session_new(to_initiator, to_responder);
	wipe(to_responder, sizeof to_responder);
	wipe(to_initiator, sizeof to_initiator);
	if (!s)
		return NULL;
	s->peer = p;
	s->id = ++d->last_session_id;
	s->created = now;
	s->local_index = local;
	s->remote_index = remote;
	s->key_generation = wg_key_generation(d);
	s->is_initiator = is_initiator;
	return s;
}

/* What every authentic handshake message means for its peer. */
static void heard_from(struct wg_peer *p, const struct wg_path *from, size_t n, int64_t now)
{
	wg_peer_talks(p);
	atomic_fetch_add_explicit(&p->rx_bytes, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->rx_packets, 1, memory_order_relaxed);
	wg_timers_received(p, now);
	wg_peer_roam(p, from);
}

/* ---- message 1 inwards, message 2 outwards ---- */

/* Fills `reply` and takes an index; on success *out is the session. */
static enum wg_verdict make_response(struct wg_peer *p, struct wg_noise *n,
				     const struct wg_initiation *m, uint8_t reply[WG_RESPONSE_LEN],
				     struct wg_session **out, int64_t now)
{
	struct wg_device *d = p->device;
	struct wg_response r = { .receiver = m->sender };
	struct secret_key ephemeral;
	const struct wg_noise_responder responder = {
		.ephemeral = &ephemeral,
		.initiator_ephemeral = m->ephemeral,
		.initiator_static = &p->public_key,
		.psk = &p->psk,
	};
	struct wg_session *s;
	bool ok;

	make_ephemeral(d, &ephemeral);
	ok = wg_noise_write_response(n, &responder, r.ephemeral, r.sealed_nothing, NULL, 0);
	wipe(&ephemeral, sizeof ephemeral);
	if (!ok)
		return DROP_HANDSHAKE;
	if (!wg_index_take(&d->index, &r.sender, p, p->lane, d->ops.random, d->ops.ctx))
		return DROP_NO_MEMORY;
	s = derive(p, n, false, r.sender, m->sender, now);
	if (!s) {
		wg_index_drop(&d->index, r.sender);
		return DROP_NO_MEMORY;
	}
	wg_response_write(reply, &r);
	*out = s;
	return WG_OK;
}

/* Replay and flood (paper 5.1): an initiation is newer than all before, and not the next one
 * within WG_INITIATION_INTERVAL_MIN. */
static enum wg_verdict check_fresh(const struct wg_peer *p,
				   const uint8_t timestamp[WG_TIMESTAMP_LEN], int64_t now)
{
	if (memcmp(timestamp, p->timestamp_seen, WG_TIMESTAMP_LEN) <= 0)
		return DROP_OLD_TIMESTAMP;
	if (p->active && p->active->heard_at &&
	    now - p->active->heard_at < WG_INITIATION_INTERVAL_MIN)
		return DROP_RATE_LIMIT;
	return WG_OK;
}

/* Who sent it, and is it new?  *out is set as soon as the peer is known. */
static enum wg_verdict open_initiation(struct wg_device *d, struct wg_noise *n,
				       const struct wg_initiation *m,
				       uint8_t timestamp[WG_TIMESTAMP_LEN], struct wg_peer **out,
				       int64_t now)
{
	const struct shared_secret *static_static;
	struct public_key initiator;
	struct wg_peer *p;

	wg_noise_start(n, wg_noise_identifier(), &d->public_key);
	if (!wg_noise_read_initiator(n, &initiator, &d->private_key, m->ephemeral,
				     m->sealed_static))
		return DROP_HANDSHAKE;
	p = wg_peer_table_find(&d->table, &initiator);
	if (!p)
		return DROP_UNKNOWN_PEER;
	static_static = wg_peer_static_static(p);
	if (!static_static ||
	    !wg_noise_read_payload(n, timestamp, static_static, m->sealed_timestamp,
				   sizeof m->sealed_timestamp))
		return DROP_HANDSHAKE;
	*out = p; /* proved: he made the timestamp */
	return check_fresh(p, timestamp, now);
}

static enum wg_verdict consume_initiation(struct wg_device *d, const uint8_t *dgram, size_t len,
					  const struct wg_path *from, struct wg_peer **who,
					  int64_t now)
{
	uint8_t timestamp[WG_TIMESTAMP_LEN], reply[WG_RESPONSE_LEN];
	struct wg_initiation m;
	struct wg_session *s = NULL;
	struct wg_noise n;
	struct wg_peer *p;
	enum wg_verdict v;

	if (!wg_initiation_read(&m, dgram, len))
		return DROP_MALFORMED;
	v = open_initiation(d, &n, &m, timestamp, who, now);
	p = *who;
	if (v == WG_OK && !wg_peer_activate(p))
		v = DROP_NO_MEMORY;
	if (v == WG_OK)
		v = make_response(p, &n, &m, reply, &s, now);
	wipe(&n, sizeof n);
	if (v != WG_OK)
		return v;

	/* Nothing can fail from here on.  A handshake that we began ourselves stays under way: when
	 * both begin at once, both may end. */
	memcpy(p->timestamp_seen, timestamp, sizeof timestamp);
	p->active->heard_at = now ? now : 1;
	wg_index_set_session(&d->index, s->local_index, s);
	wg_peer_add_session(p, s);
	heard_from(p, from, len, now);
	wg_timers_session_derived(p, now);
	wg_cookie_sign(&p->active->cookie, &p->public_key, reply, sizeof reply, now);
	wg_timers_sent(p, now);
	wg_peer_send(p, reply, sizeof reply, 0);
	return WG_OK;
}

/* ---- message 2, inwards ---- */

static enum wg_verdict consume_response(struct wg_device *d, const uint8_t *dgram, size_t len,
					const struct wg_path *from, struct wg_peer **who,
					int64_t now)
{
	struct wg_handshake *h;
	struct wg_response m;
	struct wg_session *s;
	struct wg_noise n;
	struct wg_peer *p;
	uint8_t nothing[1];

	if (!wg_response_read(&m, dgram, len))
		return DROP_MALFORMED;
	p = wg_index_handshake(&d->index, m.receiver);
	if (!p)
		return DROP_NO_SESSION;
	h = &p->active->handshake;
	if (h->key_generation != wg_key_generation(d))
		return DROP_EXPIRED;
	n = h->noise;
	if (!wg_noise_read_response(&n, nothing, &h->ephemeral, &d->private_key, &p->psk,
				    m.ephemeral, m.sealed_nothing, sizeof m.sealed_nothing)) {
		wipe(&n, sizeof n);
		return DROP_HANDSHAKE;
	}
	*who = p;
	s = derive(p, &n, true, m.receiver, m.sender, now);
	if (!s)
		return DROP_NO_MEMORY;

	h->waiting = false; /* its index is the session's now */
	wg_index_set_session(&d->index, s->local_index, s);
	wg_peer_add_session(p, s);
	heard_from(p, from, len, now);
	wg_timers_session_derived(p, now);
	wg_timers_handshake_complete(p, now);
	/* The responder may send only after our first packet: an empty one if there is no other. */
	if (!wg_staged_flush(p, now))
		wg_keepalive_send(p, now);
	wg_timers_arm(p, now);
	return WG_OK;
}

/* ---- cookies ---- */

static enum wg_verdict consume_cookie_reply(struct wg_device *d, const uint8_t *dgram, size_t len,
					    struct wg_peer **who, int64_t now)
{
	struct wg_cookie_reply m;
	struct wg_session *s;
	struct wg_peer *p;

	if (!wg_cookie_reply_read(&m, dgram, len))
		return DROP_MALFORMED;
	p = wg_index_handshake(&d->index, m.receiver);
	if (!p) { /* it may answer our response */
		s = wg_index_session(&d->index, m.receiver);
		p = s ? s->peer : NULL;
	}
	if (!p || !p->active)
		return DROP_NO_SESSION;
	if (!wg_cookie_accept(&p->active->cookie, &p->public_key, &m, now))
		return DROP_HANDSHAKE;
	/* No roaming and no timers: whoever sees our message on its way can make this answer.  And
	 * nothing is sent now: the cookie goes out with the next retry. */
	*who = p;
	wg_peer_talks(p);
	atomic_fetch_add_explicit(&p->rx_bytes, len, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->rx_packets, 1, memory_order_relaxed);
	return WG_OK;
}

static void send_cookie_reply(struct wg_device *d, const uint8_t *dgram, size_t n,
			      const struct wg_path *from, int64_t now)
{
	struct rd r = rd_over(dgram, n);
	uint8_t reply[WG_COOKIE_REPLY_LEN];
	uint32_t sender;

	(void)rd_le32(&r);
	sender = rd_le32(&r);
	wg_cookie_reply_make(reply, &d->checker, sender, dgram, n, &from->remote, d->ops.random,
			     d->ops.ctx, now);
	d->ops.send(d->ops.ctx, NULL, from, reply, sizeof reply, 0);
}

/* Cheap proofs first, each before what costs more (paper 5.3).  The limiter stands behind mac2:
 * an unproved source address proves nothing against its owner. */
static enum wg_verdict check_sender(struct wg_device *d, const uint8_t *dgram, size_t n,
				    const struct wg_path *from, bool under_load, int64_t now)
{
	if (!wg_mac1_ok(&d->checker.mac1, dgram, n))
		return DROP_BAD_MAC1;
	if (under_load)
		d->load_until = now + WG_UNDER_LOAD_HOLD;
	if (now >= d->load_until)
		return WG_OK;
	if (!wg_mac2_ok(&d->checker, dgram, n, &from->remote, d->ops.random, d->ops.ctx, now)) {
		send_cookie_reply(d, dgram, n, from, now);
		return DROP_NEED_COOKIE;
	}
	if (!wg_ratelimit_allow(&d->limit, &from->remote.addr, now))
		return DROP_RATE_LIMIT;
	return WG_OK;
}

/* ---- the door ---- */

static enum wg_verdict handle(struct wg_device *d, const uint8_t *dgram, size_t n,
			      const struct wg_path *from, bool under_load, struct wg_peer **who,
			      int64_t now)
{
	enum wg_message_type type = wg_message_type(dgram, n);
	enum wg_verdict v;

	if (type == WG_NO_MESSAGE || type == WG_TRANSPORT)
		return DROP_MALFORMED;
	if (!wg_device_is_up(d))
		return DROP_DOWN;
	if (!d->has_key)
		return DROP_HANDSHAKE;
	if (type == WG_COOKIE_REPLY)
		return consume_cookie_reply(d, dgram, n, who, now);
	v = check_sender(d, dgram, n, from, under_load, now);
	if (v != WG_OK)
		return v;
	if (type == WG_INITIATION)
		return consume_initiation(d, dgram, n, from, who, now);
	return consume_response(d, dgram, n, from, who, now);
}

enum wg_verdict wg_device_handshake(struct wg_device *d, const uint8_t *dgram, size_t n,
				    const struct wg_path *from, bool under_load, int64_t now)
{
	struct wg_peer *who = NULL;
	enum wg_verdict v = handle(d, dgram, n, from, under_load, &who, now);

	if (v != WG_OK)
		wg_count(d, who, v, 1);
	return v;
}
