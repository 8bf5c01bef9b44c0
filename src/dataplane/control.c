#include "dataplane/control.h"

#include <signal.h>

#include "base/log.h"
#include "dataplane/watch.h"

/* A handshake costs four X25519, some 200 us: so many hold the lock for a few milliseconds. */
#define HANDSHAKES_A_TURN 16
/* Workers under load pass at least this often; idle ones count as passed. */
#define RECLAIM_INTERVAL (2 * NS_PER_MS)
/* Objects freed under one taking of the lock: a million removed peers are no reason to hold it. */
#define RECLAIM_A_TURN 2048

/* ---- what the device asks for ---- */

static void ops_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	random_bytes(p, n);
}

static int64_t ops_wall_ns(void *ctx)
{
	(void)ctx;
	return clock_real_ns();
}

static void raise_source_failed(struct dataplane *dp, struct wg_peer *peer)
{
	if (peer)
		wg_send_source_failed(peer, &dp->own_events);
}

/* Called inside control calls, so with the lock held: the sockets cannot be closed meanwhile. */
static void ops_send(void *ctx, struct wg_peer *peer, const struct wg_path *to,
		     const uint8_t *dgram, size_t n, uint8_t ecn)
{
	struct dataplane *dp = ctx;
	struct sockets *s = atomic_load_explicit(&dp->sockets, memory_order_relaxed);
	struct udp_out m = { .data = dgram,
			     .len = n,
			     .segment = n,
			     .to = to->remote,
			     .from = { .addr = to->local, .ifindex = to->local_ifindex },
			     .ecn = ecn };

	if (!s || !n)
		return;
	udp_send(s->udp[0], &m, 1);
	if (m.result == UDP_SENT_WITHOUT_SOURCE)
		raise_source_failed(dp, peer);
	else if (m.result != UDP_SENT)
		LOG_TRACE("dataplane.send_failed", F_ENDPOINT("to", &to->remote),
			  F_STR("why", strerror(m.sys)));
}

static void ops_notify(void *ctx, struct wg_peer *peer, enum wg_note note)
{
	static const char *const events[] = {
		[WG_NOTE_HANDSHAKE_DONE] = "peer.handshake_done",
		[WG_NOTE_HANDSHAKE_GAVE_UP] = "peer.handshake_gave_up",
		[WG_NOTE_ROAMED] = "peer.roamed",
		[WG_NOTE_SESSION_EXPIRED] = "peer.session_expired",
	};
	struct dataplane *dp = ctx;
	char key[KEY_TEXT_MAX];

	if (log_get_level() < LOG_DEBUG || (size_t)note >= ARRAY_LEN(events))
		return;
	public_key_text(key, wg_peer_key(peer));
	LOG_TRACE(events[note], F_STR("interface", dp->ifname), F_STR("peer", key));
}

struct wg_ops control_ops(struct dataplane *dp)
{
	return (struct wg_ops){ .ctx = dp,
				.random = ops_random,
				.wall_ns = ops_wall_ns,
				.send = ops_send,
				.notify = ops_notify };
}

/* ---- one turn ---- */

void control_own_events(struct dataplane *dp)
{
	/* Handling one may send and so raise others; they stand behind it. */
	for (size_t i = 0; i < dp->own_events.n; i++) {
		struct wg_event ev = dp->own_events.ev[i];

		wg_device_event(dp->device, &ev, clock_mono_ns());
	}
	dp->own_events.n = 0;
}

static void take_events(struct dataplane *dp, int64_t now)
{
	struct wg_event ev;

	/* No more than there is room for: busy workers must not keep us here. */
	for (size_t n = mailbox_capacity(dp->events); n && mailbox_take(dp->events, &ev); n--)
		wg_device_event(dp->device, &ev, now);
}

static void take_staged(struct dataplane *dp, int64_t now)
{
	struct staged_item item;

	for (size_t n = mailbox_capacity(dp->staged); n && mailbox_take(dp->staged, &item); n--) {
		if (!dp->up)
			watch_look(dp->watch);
		wg_device_stage(dp->device, item.peer, item.copy, item.len, now);
		free(item.copy);
	}
}

static void take_handshakes(struct dataplane *dp)
{
	struct handshake_item item;

	for (int i = 0; i < HANDSHAKES_A_TURN; i++) {
		size_t waiting = mailbox_count(dp->handshakes);
		int64_t now = clock_mono_ns();
		enum wg_verdict v;

		if (!mailbox_take(dp->handshakes, &item))
			return;
		v = wg_device_handshake(dp->device, item.dgram, item.len, &item.from,
					waiting >= HANDSHAKE_QUEUE / 8, now);
		if (v != WG_OK)
			LOG_TRACE("handshake.refused", F_STR("interface", dp->ifname),
				  F_ENDPOINT("from", &item.from.remote),
				  F_STR("why", wg_verdict_name(v)));
	}
}

/* Frees what was unlinked, once each worker has passed since.  Events and staged packets name
 * peers: they are taken before. */
static void reclaim(struct dataplane *dp, int64_t now)
{
	if (dp->grace && quiescence_passed(&dp->quiescence, dp->grace)) {
		take_events(dp, now);
		take_staged(dp, now);
		if (retired_free_some(&dp->retired, dp->grace, RECLAIM_A_TURN))
			dp->grace = 0;
	}
	if (dp->retired.head && !dp->grace) {
		dp->grace = retired_advance(&dp->retired);
		quiescence_begin(&dp->quiescence, dp->grace);
	}
	if (dp->grace)
		loop_timer_set(dp->loop, &dp->reclaim, now + RECLAIM_INTERVAL);
}

/* True when nothing waits any more and puts will wake us. */
static bool may_sleep(struct dataplane *dp)
{
	bool events = mailbox_sleep(dp->events);
	bool staged = mailbox_sleep(dp->staged);
	bool handshakes = mailbox_sleep(dp->handshakes);

	return events && staged && handshakes;
}

static void turn(struct dataplane *dp)
{
	int64_t now = clock_mono_ns();
	int64_t next;

	pthread_mutex_lock(&dp->lock);
	take_events(dp, now);
	take_staged(dp, now);
	take_handshakes(dp);
	now = clock_mono_ns();
	next = wg_device_timers(dp->device, now);
	control_own_events(dp);
	reclaim(dp, now);
	pthread_mutex_unlock(&dp->lock);

	if (next == INT64_MAX)
		loop_timer_cancel(&dp->deadline);
	else
		loop_timer_set(dp->loop, &dp->deadline, next);
	if (!may_sleep(dp))
		control_kick(dp);
}

static void turn_posted(struct loop_work *w)
{
	struct dataplane *dp = CONTAINER_OF(w, struct dataplane, turn);

	atomic_store(&dp->turn_posted, false);
	turn(dp);
}

void control_kick(struct dataplane *dp)
{
	if (!atomic_exchange(&dp->turn_posted, true))
		loop_post(dp->loop, &dp->turn);
}

static void deadline_due(struct loop_timer *t)
{
	turn(CONTAINER_OF(t, struct dataplane, deadline));
}

static void reclaim_due(struct loop_timer *t)
{
	turn(CONTAINER_OF(t, struct dataplane, reclaim));
}

static void events_ready(struct loop_fd *w, uint32_t events)
{
	struct dataplane *dp = CONTAINER_OF(w, struct dataplane, event_watch);

	(void)events;
	mailbox_awake(dp->events);
	turn(dp);
}

static void handshakes_ready(struct loop_fd *w, uint32_t events)
{
	struct dataplane *dp = CONTAINER_OF(w, struct dataplane, handshake_watch);

	(void)events;
	mailbox_awake(dp->handshakes);
	turn(dp);
}

static void staged_ready(struct loop_fd *w, uint32_t events)
{
	struct dataplane *dp = CONTAINER_OF(w, struct dataplane, staged_watch);

	(void)events;
	mailbox_awake(dp->staged);
	turn(dp);
}

enum err_code control_prepare(struct dataplane *dp, struct err *e)
{
	struct {
		struct loop_fd *watch;
		struct mailbox *mailbox;
		void (*ready)(struct loop_fd *w, uint32_t events);
	} rows[] = {
		{ &dp->event_watch, dp->events, events_ready },
		{ &dp->handshake_watch, dp->handshakes, handshakes_ready },
		{ &dp->staged_watch, dp->staged, staged_ready },
	};
	enum err_code rc = ERR_OK;

	dp->deadline.fire = deadline_due;
	dp->reclaim.fire = reclaim_due;
	dp->turn.fn = turn_posted;
	for (size_t i = 0; !rc && i < ARRAY_LEN(rows); i++) {
		*rows[i].watch = (struct loop_fd){ .fd = mailbox_fd(rows[i].mailbox),
						   .events = LOOP_READ,
						   .ready = rows[i].ready };
		rc = loop_fd_add(dp->loop, rows[i].watch, e);
	}
	return rc;
}

static void *control_main(void *arg)
{
	struct dataplane *dp = arg;
	struct err e = { 0 };

	if (loop_run(dp->loop, &e)) {
		LOG_ERR("dataplane.control_failed", F_STR("interface", dp->ifname), F_ERR(&e));
		dataplane_report_gone(dp);
	}
	return NULL;
}

enum err_code control_start(struct dataplane *dp, struct err *e)
{
	sigset_t all, before;
	int sys;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	sys = pthread_create(&dp->control, NULL, control_main, dp);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (sys)
		return err_sys(e, sys, "start the control thread of %s", dp->ifname);
	dp->control_running = true;
	return ERR_OK;
}

void control_stop(struct dataplane *dp)
{
	if (!dp->control_running)
		return;
	loop_stop(dp->loop);
	pthread_join(dp->control, NULL);
	dp->control_running = false;
}
