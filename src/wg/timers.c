/* All timer rules of the protocol (paper 6.1 to 6.5), each named for what happened.
 *
 *  1. New keys on sending.  Who sends under a session that has carried WG_REKEY_AFTER_MESSAGES,
 *     or that he began and that is WG_REKEY_AFTER_TIME old, begins a handshake.  Only the initiator
 *     goes by time, so that both sides do not begin at once.
 *  2. New keys on receiving.  The initiator who receives under a current session older than
 *     WG_REKEY_ON_RECEIVE_AFTER begins one handshake, once in that session: the side that only
 *     listens would otherwise let the session end.
 *  3. The end of a session.  After WG_REJECT_AFTER_TIME or WG_REJECT_AFTER_MESSAGES nothing is sent
 *     or accepted under it.
 *  4. Retries.  An initiation without a response is sent anew, with a new ephemeral key, after
 *     WG_REKEY_TIMEOUT and a jitter of up to WG_REKEY_JITTER_MAX, and from a source address chosen
 *     anew.  After WG_REKEY_ATTEMPTS of them, or WG_REKEY_ATTEMPT_TIME, it ends: what was staged
 *     is dropped, and the next packet begins a new series.
 *  5. Passive keepalive.  WG_KEEPALIVE_TIMEOUT after the first data that we received since we last
 *     sent anything, an empty packet goes out.  An empty packet is no data: it is not answered.
 *  6. Unanswered data.  WG_KEEPALIVE_TIMEOUT + WG_REKEY_TIMEOUT and a jitter after the first data
 *     that we sent since we last heard anything, a handshake begins; the source address is
 *     forgotten, for it may be what is wrong.
 *  7. Persistent keepalive.  When nothing authentic went in or out for the configured interval, an
 *     empty packet goes out; without a session, an initiation does.
 *  8. Forgetting.  WG_FORGET_AFTER after the youngest keys were made all keys are wiped.
 *  9. Tidying.  What a handshake needed is freed when it is over: its limits of rate have passed, and
 *     a cookie is too old to send.
 *
 * Rules 1 to 3 are asked on the packet path.  The others are deadlines: one node in the wheel for
 * each peer, armed for the nearest.  Packets only stamp times; they ask for the timer to be armed
 * anew (`true`) when a deadline came nearer than that, never because one moved away.
 */
#include "wg/timers.h"

#include "wg/core.h"
#include "wg/handshake.h"
#include "wg/staged.h"

#define UNANSWERED_AFTER (WG_KEEPALIVE_TIMEOUT + WG_REKEY_TIMEOUT)

/* Zero means "not", so a clock that reads zero is off by one. */
static int64_t stamp_of(int64_t now)
{
	return now ? now : 1;
}

static int64_t stamp_read(const _Atomic int64_t *stamp)
{
	return atomic_load_explicit(stamp, memory_order_relaxed);
}

/* Written only where it changes: a line that many workers read stays shared. */
static void stamp_write(_Atomic int64_t *stamp, int64_t value)
{
	if (stamp_read(stamp) != value)
		atomic_store_explicit(stamp, value, memory_order_relaxed);
}

/* Sets a stamp that is not set.  Sequentially consistent with wg_timers_arm: either that sees the
 * stamp, or we see what it armed. */
static bool stamp_begin(struct wg_peer *p, _Atomic int64_t *stamp, int64_t now, int64_t after)
{
	if (stamp_read(stamp))
		return false;
	atomic_store(stamp, stamp_of(now));
	return now + after < atomic_load(&p->armed);
}

/* ---- packet calls ---- */

bool wg_timers_data_sent(struct wg_peer *p, int64_t now)
{
	wg_timers_sent(p, now);
	return stamp_begin(p, &p->data_sent_at, now, UNANSWERED_AFTER + WG_REKEY_JITTER_MAX);
}

bool wg_timers_data_received(struct wg_peer *p, int64_t now)
{
	wg_timers_received(p, now);
	return stamp_begin(p, &p->data_received_at, now, WG_KEEPALIVE_TIMEOUT);
}

void wg_timers_sent(struct wg_peer *p, int64_t now)
{
	stamp_write(&p->data_received_at, 0);
	stamp_write(&p->traffic_at, now);
}

void wg_timers_received(struct wg_peer *p, int64_t now)
{
	stamp_write(&p->data_sent_at, 0);
	stamp_write(&p->traffic_at, now);
}

bool wg_timers_rekey_on_send(const struct wg_session *s, int64_t now)
{
	if (atomic_load_explicit(&s->send_counter, memory_order_relaxed) > WG_REKEY_AFTER_MESSAGES)
		return true;
	return s->is_initiator && now - s->created >= WG_REKEY_AFTER_TIME;
}

bool wg_timers_rekey_on_receive(const struct wg_session *s, int64_t now)
{
	return s->is_initiator && now - s->created >= WG_REKEY_ON_RECEIVE_AFTER;
}

/* ---- control calls ---- */

uint32_t wg_timers_jitter(struct wg_device *d)
{
	uint64_t r;

	d->ops.random(d->ops.ctx, &r, sizeof r);
	return (uint32_t)(r % (WG_REKEY_JITTER_MAX + 1));
}

static int64_t persistent_deadline(const struct wg_peer *p)
{
	int64_t from = MAX(stamp_read(&p->traffic_at), p->keepalive_at);

	return p->keepalive_s && wg_peer_path(p) ? from + p->keepalive_s * NS_PER_S : INT64_MAX;
}

static int64_t nearest_deadline(const struct wg_peer *p)
{
	int64_t sent = atomic_load(&p->data_sent_at);
	int64_t received = atomic_load(&p->data_received_at);
	int64_t t = persistent_deadline(p);

	if (p->active && p->active->retry_at)
		t = MIN(t, p->active->retry_at);
	else if (p->active)
		t = MIN(t, wg_peer_idle_at(p));
	if (sent)
		t = MIN(t, sent + UNANSWERED_AFTER + p->jitter);
	if (received)
		t = MIN(t, received + WG_KEEPALIVE_TIMEOUT);
	if (p->keys_at)
		t = MIN(t, p->keys_at + WG_FORGET_AFTER);
	return t;
}

void wg_timers_arm(struct wg_peer *p, int64_t now)
{
	struct wg_device *d = p->device;
	int64_t t, seen;

	if (p->dead || !wg_device_is_up(d)) {
		wg_timers_stop(p);
		return;
	}
	/* See stamp_begin: publish, then look again. */
	t = nearest_deadline(p);
	do {
		seen = t;
		atomic_store(&p->armed, seen);
		t = nearest_deadline(p);
	} while (t < seen);
	if (seen == INT64_MAX)
		wg_wheel_del(&d->wheel, &p->timer);
	else
		wg_wheel_set(&d->wheel, &p->timer, seen, now);
}

void wg_timers_stop(struct wg_peer *p)
{
	wg_wheel_del(&p->device->wheel, &p->timer);
	atomic_store(&p->armed, INT64_MAX);
	stamp_write(&p->data_sent_at, 0);
	stamp_write(&p->data_received_at, 0);
}

void wg_timers_initiation_sent(struct wg_peer *p, int64_t now)
{
	struct wg_active *a = p->active;

	a->sent++;
	a->sent_at = stamp_of(now);
	a->retry_at = now + WG_REKEY_TIMEOUT + wg_timers_jitter(p->device);
	wg_timers_sent(p, now);
	wg_timers_arm(p, now);
}

void wg_timers_session_derived(struct wg_peer *p, int64_t now)
{
	p->keys_at = stamp_of(now);
	p->jitter = wg_timers_jitter(p->device);
	wg_timers_arm(p, now);
}

void wg_timers_handshake_complete(struct wg_peer *p, int64_t now)
{
	struct wg_device *d = p->device;

	if (p->active) {
		p->active->retry_at = 0;
		p->active->sent = 0;
	}
	wg_peer_forget_handshake(p);
	atomic_fetch_and(&p->pending, ~(1u << WG_EV_NEED_HANDSHAKE));
	p->handshake_wall_ns = d->ops.wall_ns(d->ops.ctx);
	wg_timers_arm(p, now);
	wg_peer_notify(p, WG_NOTE_HANDSHAKE_DONE);
}

void wg_timers_keepalive_changed(struct wg_peer *p, int64_t now)
{
	if (p->keepalive_s && wg_device_is_up(p->device)) {
		p->keepalive_at = stamp_of(now);
		if (!wg_keepalive_send(p, now))
			wg_handshake_start(p, now);
	}
	wg_timers_arm(p, now);
}

void wg_timers_keepalive_due(struct wg_peer *p, int64_t now)
{
	p->keepalive_at = now - p->keepalive_s * NS_PER_S;
	wg_timers_arm(p, now);
}

void wg_timers_keepalive_once(struct wg_peer *p, int64_t now)
{
	int64_t at = now + wg_timers_jitter(p->device);

	stamp_write(&p->data_received_at, stamp_of(at - WG_KEEPALIVE_TIMEOUT));
	wg_timers_arm(p, now);
}

/* ---- the timer ---- */

static void give_up(struct wg_peer *p)
{
	p->active->retry_at = 0;
	p->active->sent = 0;
	wg_peer_forget_handshake(p);
	wg_staged_drop(p, DROP_NO_SESSION);
	atomic_fetch_and(&p->pending, ~(1u << WG_EV_NEED_HANDSHAKE));
	wg_peer_notify(p, WG_NOTE_HANDSHAKE_GAVE_UP);
}

/* Rule 4. */
static void run_retry(struct wg_peer *p, int64_t now)
{
	struct wg_active *a = p->active;

	if (!a || !a->retry_at || a->retry_at > now)
		return;
	if (a->sent >= WG_REKEY_ATTEMPTS || now - a->began_at >= WG_REKEY_ATTEMPT_TIME) {
		give_up(p);
		return;
	}
	wg_peer_clear_source(p);
	wg_handshake_retry(p, now);
}

/* Rule 6. */
static void run_unanswered(struct wg_peer *p, int64_t now)
{
	int64_t sent = stamp_read(&p->data_sent_at);

	if (!sent || now < sent + UNANSWERED_AFTER + p->jitter)
		return;
	stamp_write(&p->data_sent_at, 0);
	p->jitter = wg_timers_jitter(p->device);
	wg_peer_clear_source(p);
	wg_handshake_start(p, now);
}

/* Rule 5. */
static void run_passive_keepalive(struct wg_peer *p, int64_t now)
{
	int64_t received = stamp_read(&p->data_received_at);

	if (!received || now < received + WG_KEEPALIVE_TIMEOUT)
		return;
	stamp_write(&p->data_received_at, 0);
	if (!wg_keepalive_send(p, now))
		wg_handshake_start(p, now);
}

/* Rule 7. */
static void run_persistent_keepalive(struct wg_peer *p, int64_t now)
{
	if (now < persistent_deadline(p))
		return;
	p->keepalive_at = stamp_of(now);
	if (!wg_keepalive_send(p, now))
		wg_handshake_start(p, now);
}

/* Rule 8. */
static void run_forget(struct wg_peer *p, int64_t now)
{
	if (!p->keys_at || now < p->keys_at + WG_FORGET_AFTER)
		return;
	/* A handshake under way keeps its ephemeral key: rule 4 bounds that. */
	if (wg_peer_forget_sessions(p))
		wg_peer_notify(p, WG_NOTE_SESSION_EXPIRED);
}

void wg_timers_run(struct wg_peer *p, int64_t now)
{
	atomic_store(&p->armed, INT64_MAX);
	if (p->dead || !wg_device_is_up(p->device))
		return;
	run_forget(p, now);
	run_retry(p, now);
	run_unanswered(p, now);
	run_passive_keepalive(p, now);
	run_persistent_keepalive(p, now);
	if (p->active && now >= wg_peer_idle_at(p))
		wg_peer_deactivate(p);
	wg_timers_arm(p, now);
}
