#include "wg/transport.h"

#include "packet/ip.h"
#include "wg/core.h"
#include "wg/timers.h"

/* An event that was lost on its way to wg_device_event is raised again after this. */
#define RAISE_AGAIN_AFTER (1 * NS_PER_S)

/* Once per transition: the bit stays set until wg_device_event has seen to it.  False when the
 * array is full; nothing is remembered then, so that the next packet tries again. */
static bool raise_event(struct wg_peer *p, struct wg_events *ev, enum wg_event_kind kind,
			uint64_t session_id, const struct wg_path *path, int64_t now)
{
	uint32_t bit = 1u << kind;
	bool pending = atomic_load_explicit(&p->pending, memory_order_relaxed) & bit;

	if (pending &&
	    now - atomic_load_explicit(&p->raised_at, memory_order_relaxed) < RAISE_AGAIN_AFTER)
		return true;
	if (ev->n >= WG_EVENTS_MAX)
		return false;
	if (atomic_fetch_or(&p->pending, bit) & bit && !pending)
		return true; /* another worker was first */
	atomic_store_explicit(&p->raised_at, now, memory_order_relaxed);
	ev->ev[ev->n] = (struct wg_event){ .kind = kind, .peer = p, .session_id = session_id };
	if (path)
		ev->ev[ev->n].path = *path;
	ev->n++;
	return true;
}

struct wg_peer *wg_route(const struct wg_device *d, uint8_t family, const uint8_t *dst)
{
	return lpm_find(d->allowed, family, dst);
}

/* ---- out ---- */

/* What there is to send with.  WG_OK, WG_STAGE, DROP_NO_ENDPOINT or DROP_DOWN. */
static enum wg_verdict way_out(struct wg_device *d, struct wg_peer *p, int64_t now,
			       struct wg_session **s, const struct wg_path_node **node)
{
	if (!wg_device_is_up(d))
		return DROP_DOWN;
	*node = wg_peer_path(p);
	if (!*node)
		return DROP_NO_ENDPOINT;
	*s = atomic_load_explicit(&p->current, memory_order_acquire);
	return !*s || wg_session_void(d, *s, now) ? WG_STAGE : WG_OK;
}

static enum wg_verdict send_with(struct wg_device *d, struct wg_peer *p, struct wg_session *s,
				 const struct wg_path_node *node, size_t n, int64_t now,
				 struct wg_send *out, struct wg_events *ev)
{
	if (!wg_session_take_counters(s, n, &out->counter))
		return WG_STAGE;
	out->key = &s->send_key;
	out->receiver = s->remote_index;
	out->path = node->path;
	if (node->source_generation !=
	    atomic_load_explicit(&d->source_generation, memory_order_relaxed)) {
		out->path.local = (struct ip_addr){ 0 };
		out->path.local_ifindex = 0;
	}
	if (wg_timers_rekey_on_send(s, now))
		raise_event(p, ev, WG_EV_NEED_HANDSHAKE, s->id, NULL, now);
	return WG_OK;
}

enum wg_verdict wg_send_begin(struct wg_device *d, struct wg_peer *p, size_t n, int64_t now,
			      struct wg_send *out, struct wg_events *ev)
{
	const struct wg_path_node *node;
	struct wg_session *s;
	enum wg_verdict v = way_out(d, p, now, &s, &node);

	if (v != WG_OK)
		return v;
	if (UNLIKELY(atomic_load_explicit(&p->limits, memory_order_relaxed) != NULL))
		return WG_WEIGH;
	return send_with(d, p, s, node, n, now, out, ev);
}

enum wg_verdict wg_send_weigh(struct wg_device *d, struct wg_peer *p, const uint32_t *len,
			      size_t *n, int64_t now, struct wg_send *out, enum wg_verdict *rest,
			      struct wg_events *ev)
{
	const struct wg_path_node *node;
	struct wg_session *s;
	enum wg_verdict v = way_out(d, p, now, &s, &node);

	/* What is staged is weighed when it is sent. */
	if (v != WG_OK)
		return v;
	*n = wg_peer_admit(p, WG_DOWN, len, *n, now, rest);
	return *n ? send_with(d, p, s, node, *n, now, out, ev) : *rest;
}

/* Paper 5.4.6
 *
 *    0        4          8                16
 *    | type 4 | receiver | counter, le64  | sealed packet, padded + 16-byte tag ...
 */
void wg_transport_header(uint8_t out[WG_TRANSPORT_HEADER_LEN], uint32_t receiver, uint64_t counter)
{
	store_le32(out, WG_TRANSPORT);
	store_le32(out + 4, receiver);
	store_le64(out + 8, counter);
}

void wg_send_done(struct wg_peer *p, size_t n, size_t bytes, int64_t now, struct wg_events *ev)
{
	atomic_fetch_add_explicit(&p->tx_bytes, bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->tx_packets, n, memory_order_relaxed);
	if (wg_timers_data_sent(p, now))
		raise_event(p, ev, WG_EV_TIMERS, 0, NULL, now);
}

void wg_send_source_failed(struct wg_peer *p, struct wg_events *ev)
{
	const struct wg_path_node *node = wg_peer_path(p);
	int64_t now = atomic_load_explicit(&p->traffic_at, memory_order_relaxed);
	struct wg_path path;

	if (!node)
		return;
	/* Session 0: no packet told it; see wg_device_event. */
	path = (struct wg_path){ .remote = node->path.remote };
	raise_event(p, ev, WG_EV_ROAMED, 0, &path, now);
}

/* ---- in ---- */

enum wg_verdict wg_handshake_look(const struct wg_device *d, const uint8_t *dgram, size_t n)
{
	enum wg_message_type type = wg_message_type(dgram, n);
	const struct wg_door *door;

	if (type == WG_NO_MESSAGE || type == WG_TRANSPORT)
		return DROP_MALFORMED;
	if (type == WG_COOKIE_REPLY)
		return WG_OK;
	door = atomic_load_explicit(&d->door, memory_order_acquire);
	return !door || wg_mac1_ok(&door->mac1, dgram, n) ? WG_OK : DROP_BAD_MAC1;
}

enum wg_verdict wg_receive_begin(struct wg_device *d, uint8_t *dgram, size_t n, int64_t now,
				 struct wg_receive *out)
{
	struct rd r = rd_over(dgram, n);
	uint32_t type = rd_le32(&r);
	uint32_t receiver = rd_le32(&r);
	struct wg_session *s;

	out->peer = NULL;
	out->counter = rd_le64(&r);
	if (r.bad || type != WG_TRANSPORT || r.left < AEAD_TAG_LEN)
		return DROP_MALFORMED;
	if (!wg_device_is_up(d))
		return DROP_DOWN;
	s = wg_index_session(&d->index, receiver);
	if (!s || s->key_generation != wg_key_generation(d))
		return DROP_NO_SESSION;
	out->session = s;
	out->peer = s->peer;
	out->key = &s->receive_key;
	out->text = dgram + WG_TRANSPORT_HEADER_LEN;
	out->len = r.left - AEAD_TAG_LEN;
	if (wg_session_too_old(s, now) || out->counter >= WG_REJECT_AFTER_MESSAGES)
		return DROP_EXPIRED;
	return WG_OK;
}

/* What authentic packets of a session tell, whatever is in them. */
static void note_authentic(const struct wg_receive_run *run, int64_t now, struct wg_events *ev)
{
	struct wg_session *s = run->session;
	struct wg_peer *p = s->peer;

	atomic_fetch_add_explicit(&p->rx_bytes, run->bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->rx_packets, run->packets, memory_order_relaxed);
	wg_timers_received(p, now);
	if (wg_peer_would_roam(p, run->from))
		raise_event(p, ev, WG_EV_ROAMED, s->id, run->from, now);
	if (s->is_initiator) {
		if (wg_timers_rekey_on_receive(s, now) &&
		    s == atomic_load_explicit(&p->current, memory_order_relaxed) &&
		    !atomic_load_explicit(&s->asked_late_rekey, memory_order_relaxed) &&
		    raise_event(p, ev, WG_EV_NEED_HANDSHAKE, s->id, NULL, now))
			atomic_store_explicit(&s->asked_late_rekey, true, memory_order_relaxed);
	} else if (s == atomic_load_explicit(&p->next, memory_order_relaxed)) {
		raise_event(p, ev, WG_EV_SESSION_CONFIRMED, s->id, NULL, now);
	}
	if (run->has_data && wg_timers_data_received(p, now))
		raise_event(p, ev, WG_EV_TIMERS, 0, NULL, now);
}

void wg_receive_end(struct wg_receive_run *run, int64_t now, struct wg_events *ev)
{
	if (run->packets)
		note_authentic(run, now, ev);
	run->packets = 0;
	run->session = NULL;
}

/* The owner of the longest prefix and nobody else: that some prefix of the peer holds the address
 * is not enough (paper, section 2). */
static bool source_allowed(const struct wg_device *d, struct wg_receive_run *run,
			   const struct wg_peer *p, const struct ip_view *v)
{
	bool v6 = v->family == IP_V6;
	uint64_t first = v6 ? load_le64(v->src) : load_le32(v->src);
	uint64_t second = v6 ? load_le64(v->src + 8) : 0;

	if (run->source_family == v->family && run->source[0] == first && run->source[1] == second)
		return true;
	if (lpm_find(d->allowed, v->family, v->src) != p)
		return false;
	run->source_family = v->family;
	run->source[0] = first;
	run->source[1] = second;
	return true;
}

enum wg_verdict wg_receive_next(struct wg_device *d, struct wg_receive_run *run,
				struct wg_receive *r, const struct wg_path *from, uint8_t outer_ecn,
				int64_t now, uint32_t *inner_len, struct wg_events *ev)
{
	enum wg_verdict over;
	struct ip_view v;

	if (!wg_session_accept(r->session, r->counter))
		return DROP_REPLAY;
	if (run->session != r->session || run->from != from) {
		wg_receive_end(run, now, ev);
		run->session = r->session;
		run->from = from;
		run->bytes = 0;
		run->has_data = false;
		run->source_family = IP_NONE;
	}
	run->packets++;
	run->bytes += r->len + WG_TRANSPORT_MIN;
	if (!r->len)
		return WG_KEEPALIVE; /* and never an answer to it */
	run->has_data = true;
	if (!ip_view(&v, r->text, r->len))
		return DROP_NOT_IP;
	if (!source_allowed(d, run, r->peer, &v))
		return DROP_SOURCE;
	if (!ecn_decapsulate(r->text, &v, outer_ecn))
		return DROP_ECN;
	*inner_len = v.len;
	if (UNLIKELY(atomic_load_explicit(&r->peer->limits, memory_order_relaxed) != NULL) &&
	    !wg_peer_admit(r->peer, WG_UP, inner_len, 1, now, &over))
		return over;
	return WG_OK;
}

enum wg_verdict wg_receive_done(struct wg_device *d, struct wg_receive *r,
				const struct wg_path *from, uint8_t outer_ecn, int64_t now,
				uint32_t *inner_len, struct wg_events *ev)
{
	struct wg_receive_run run = { 0 };
	enum wg_verdict v = wg_receive_next(d, &run, r, from, outer_ecn, now, inner_len, ev);

	wg_receive_end(&run, now, ev);
	return v;
}

/* ---- counts ---- */

/* A peer's table of counts is made with its first drop, the only allocation of a packet call;
 * without memory only the device's sum grows. */
static struct wg_counts *counts_of(struct wg_peer *p)
{
	struct wg_counts *have = atomic_load_explicit(&p->counts, memory_order_acquire);
	struct wg_counts *fresh;

	if (have)
		return have;
	fresh = calloc(1, sizeof *fresh);
	if (!fresh)
		return NULL;
	if (atomic_compare_exchange_strong(&p->counts, &have, fresh))
		return fresh;
	free(fresh);
	return have;
}

void wg_count(struct wg_device *d, struct wg_peer *p, enum wg_verdict v, uint64_t n)
{
	struct wg_counts *of_peer = p ? counts_of(p) : NULL;

	BUG_ON((unsigned)v >= WG_VERDICTS);
	atomic_fetch_add_explicit(&d->counts.n[v], n, memory_order_relaxed);
	if (of_peer)
		atomic_fetch_add_explicit(&of_peer->n[v], n, memory_order_relaxed);
}

void wg_counts(const struct wg_device *d, const struct wg_peer *p, uint64_t out[WG_VERDICTS])
{
	const struct wg_counts *c =
		p ? atomic_load_explicit(&p->counts, memory_order_acquire) : &d->counts;

	for (size_t i = 0; i < WG_VERDICTS; i++)
		out[i] = c ? atomic_load_explicit(&c->n[i], memory_order_relaxed) : 0;
}
