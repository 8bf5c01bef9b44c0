/* The packet calls: counters and their limits, replay, sources, ECN, events, roaming. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "wg/core.h"
#include "wg/tests/sim.h"

/* A session between the two, used both ways, and both at rest. */
static int setup(void **state)
{
	struct sim *s = malloc(sizeof *s);

	assert_non_null(s);
	sim_init(s, 43);
	sim_script(s, "setup", "send a 1\nrun 1s\nsend b 1\nrun 1s\nforget\n");
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	sim_done(*state);
	free(*state);
	return 0;
}

static struct wg_session *current(struct sim *s, unsigned side)
{
	return atomic_load(&sim_peer(s, side)->current);
}

/* A datagram of side a under its current session, with any counter and content. */
static struct sim_dgram forge(struct sim *s, uint64_t counter, const void *inner, size_t n)
{
	struct wg_session *session = current(s, 0);
	struct sim_dgram m = s->last[0][WG_TRANSPORT];
	struct aead_job job = { .key = &session->send_key,
				.counter = counter,
				.text = m.d + WG_TRANSPORT_HEADER_LEN,
				.len = n };

	if (n)
		memcpy(job.text, inner, n);
	wg_transport_header(m.d, session->remote_index, counter);
	aead_seal_batch(&job, 1);
	m.n = WG_TRANSPORT_MIN + n;
	m.ecn = 0;
	return m;
}

/* Packets of a batch: each is judged for itself, and what they tell is counted once for all. */
static void runs_count_all(void **state)
{
	static const uint8_t ours[32] = {
		0x45, [3] = 20, [12] = 10, [15] = 1, [16] = 10, [19] = 2
	};
	static const uint8_t strange[32] = { 0x45, [3] = 20, [12] = 10, [15] = 9, [16] = 10 };
	static const struct {
		uint64_t counter;
		const uint8_t *inner; /* NULL: a keepalive */
		unsigned path;
		enum wg_verdict want;
		const char *why;
	} rows[] = {
		{ 10, ours, 0, WG_OK, "the first" },
		{ 11, ours, 0, WG_OK, "its source is known by now" },
		{ 10, ours, 0, DROP_REPLAY, "again: neither counted nor heard" },
		{ 12, strange, 0, DROP_SOURCE, "another's source behind ours" },
		{ 13, ours, 0, WG_OK, "and ours again" },
		{ 14, strange, 0, DROP_SOURCE, "a refused source is not remembered as good" },
		{ 15, NULL, 0, WG_KEEPALIVE, "nothing inside" },
		{ 16, ours, 1, WG_OK, "from elsewhere: another run" },
		{ 17, strange, 1, DROP_SOURCE, "which knows its own source" },
	};
	struct sim *s = *state;
	struct sim_dgram m[ARRAY_LEN(rows)];
	struct wg_receive_run run = { 0 };
	struct wg_peer_info before, after;
	struct wg_events ev = { 0 };
	struct wg_path path[2];
	uint64_t bytes = 0;

	wg_peer_info(sim_peer(s, 1), &before);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		m[i] = forge(s, rows[i].counter, rows[i].inner, rows[i].inner ? sizeof ours : 0);
	path[0] = path[1] = m[0].path;
	path[1].remote.port = 4242;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wg_receive r;
		struct aead_job job;
		uint32_t len = 0;

		assert_int_equal(wg_receive_begin(s->side[1].d, m[i].d, m[i].n, s->now, &r), WG_OK);
		job = (struct aead_job){
			.key = r.key, .counter = r.counter, .text = r.text, .len = r.len
		};
		aead_open_batch(&job, 1);
		assert_true(job.ok);
		if (wg_receive_next(s->side[1].d, &run, &r, &path[rows[i].path], 0, s->now, &len,
				    &ev) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].why);
		assert_int_equal(len, rows[i].want == WG_OK ? 20 : 0);
		bytes += rows[i].want == DROP_REPLAY ? 0 : m[i].n;
	}
	wg_receive_end(&run, s->now, &ev);
	wg_receive_end(&run, s->now, &ev); /* nothing is left to tell */
	wg_peer_info(sim_peer(s, 1), &after);
	assert_int_equal(after.rx_packets - before.rx_packets, ARRAY_LEN(rows) - 1);
	assert_int_equal(after.rx_bytes - before.rx_bytes, bytes);
	for (size_t i = 0; i < ev.n; i++)
		if (ev.ev[i].kind == WG_EV_ROAMED)
			assert_int_equal(ev.ev[i].path.remote.port, 4242);
	assert_true(ev.n >= 1);
}

/* ---- counters ---- */

static void counters_are_64_bits(void **state)
{
	struct sim *s = *state;

	atomic_store(&current(s, 0)->send_counter, UINT32_MAX);
	sim_script(s, "64 bits",
		   "send a 3\nrun 1s\nexpect b.got == 3\nexpect b.drop.replay == 0\n");
	assert_int_equal(load_le64(s->last[0][WG_TRANSPORT].d + 8), UINT32_MAX + 2ULL);
}

static void rekey_after_messages(void **state)
{
	struct sim *s = *state;

	atomic_store(&current(s, 1)->send_counter, WG_REKEY_AFTER_MESSAGES - 1);
	sim_script(s, "rekey",
		   "send b 1\nrun 1s\nexpect b.initiations == 0\n"
		   "send b 1\nrun 1s\n"
		   "expect b.initiations == 1\n" /* the responder, too */
		   "expect b.done == 1\nexpect a.got == 2\n");
}

static void reject_after_messages(void **state)
{
	struct sim *s = *state;
	struct wg_session *old = current(s, 0);
	struct wg_events ev = { 0 };
	struct wg_send out;

	atomic_store(&old->send_counter, WG_REJECT_AFTER_MESSAGES - 2);
	/* More than are left, however many: none is taken. */
	assert_int_equal(wg_send_begin(s->side[0].d, sim_peer(s, 0), 1 << 14, s->now, &out, &ev),
			 WG_STAGE);
	assert_int_equal(wg_send_begin(s->side[0].d, sim_peer(s, 0), 3, s->now, &out, &ev),
			 WG_STAGE);
	assert_int_equal(wg_send_begin(s->side[0].d, sim_peer(s, 0), 2, s->now, &out, &ev), WG_OK);
	assert_true(out.counter == WG_REJECT_AFTER_MESSAGES - 2);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(wg_send_begin(s->side[0].d, sim_peer(s, 0), 2, s->now, &out, &ev),
				 WG_STAGE);
	/* It stands still: no wrap, ever. */
	assert_true(atomic_load(&old->send_counter) == WG_REJECT_AFTER_MESSAGES);
	sim_run(s, 10 * NS_PER_S);
	sim_script(s, "new session", "send a 1\nrun 1s\nexpect b.got == 1\nexpect a.done == 1\n");
}

static void receiving_has_the_same_limits(void **state)
{
	struct sim *s = *state;
	const struct {
		uint64_t counter;
		enum wg_verdict want;
		const char *why;
	} rows[] = {
		{ 10, WG_KEEPALIVE, "ordinary" },
		{ 10, DROP_REPLAY, "the same again" },
		{ WG_REJECT_AFTER_MESSAGES, DROP_EXPIRED, "the first that is too high" },
		{ UINT64_MAX, DROP_EXPIRED, "the highest" },
		{ WG_REJECT_AFTER_MESSAGES - 1, WG_KEEPALIVE, "the last" },
		{ WG_REJECT_AFTER_MESSAGES - 1, DROP_REPLAY, "again" },
		{ 11, DROP_REPLAY, "far behind" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sim_dgram m = forge(s, rows[i].counter, NULL, 0);

		if (sim_receive(s, 1, &m) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].why);
	}
}

static void sessions_end(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m = forge(s, 10, NULL, 0), late = forge(s, 11, NULL, 0);
	int64_t created = current(s, 1)->created;

	s->now = created + WG_REJECT_AFTER_TIME - 1;
	assert_int_equal(sim_receive(s, 1, &m), WG_KEEPALIVE);
	s->now = created + WG_REJECT_AFTER_TIME;
	assert_int_equal(sim_receive(s, 1, &late), DROP_EXPIRED);
	assert_int_equal(sim_send(s, 1, 10), WG_STAGE);
}

/* Shipped bug: a clock that steps back stops the process. */
static void clock_steps_back(void **state)
{
	struct sim *s = *state;

	s->now -= 500 * NS_PER_MS;
	sim_script(s, "back", "send a 3\nsend b 3\nrun 1s\nexpect a.got == 3\nexpect b.got == 3\n");
}

/* ---- what must not come through ---- */

static void broken_datagrams(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m, bad;

	s->drop_next[0][WG_TRANSPORT] = 1;
	sim_send(s, 0, 40);
	m = s->last[0][WG_TRANSPORT];
	for (size_t i = 0; i < m.n; i++) {
		enum wg_verdict v, want = DROP_FORGED;

		bad = m;
		bad.d[i] ^= 1;
		want = i < 4 ? DROP_MALFORMED : i < 8 ? DROP_NO_SESSION : want;
		v = sim_receive(s, 1, &bad);
		assert_int_equal(v, want);
	}
	for (size_t n = 0; n < m.n; n++) {
		bad = m;
		bad.n = n;
		assert_int_equal(sim_receive(s, 1, &bad),
				 n < WG_TRANSPORT_MIN ? DROP_MALFORMED : DROP_FORGED);
	}
	/* None of it moved the window: the true one still counts, once. */
	assert_int_equal(sim_receive(s, 1, &m), WG_OK);
	assert_int_equal(sim_receive(s, 1, &m), DROP_REPLAY);
}

static void inner_packets(void **state)
{
	struct sim *s = *state;
	static const struct {
		uint8_t b[64];
		size_t n;
		enum wg_verdict want;
		const char *why;
	} rows[] = {
		{ { 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2 },
		  32,
		  WG_OK,
		  "padding behind the length is cut" },
		{ { 0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2 },
		  32,
		  DROP_NOT_IP,
		  "longer than what came" },
		{ { 0x45, 0, 0, 19, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2 },
		  32,
		  DROP_NOT_IP,
		  "shorter than its header" },
		{ { 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 9, 10, 0, 0, 2 },
		  32,
		  DROP_SOURCE,
		  "a source that nobody owns" },
		{ { 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1 },
		  32,
		  DROP_SOURCE,
		  "our own address as source" },
		{ { 0x45 }, 16, DROP_NOT_IP, "cut off" },
		{ { 0 }, 32, DROP_NOT_IP, "no version" },
		{ { 0x60 }, 32, DROP_NOT_IP, "IPv6 cut off" },
		{ { 0x60 }, 48, DROP_SOURCE, "IPv6 of nobody" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sim_dgram m = forge(s, 100 + i, rows[i].b, rows[i].n);
		struct wg_events ev = { 0 };
		struct wg_receive r;
		uint32_t len = 0;
		struct aead_job job;
		enum wg_verdict v;

		assert_int_equal(wg_receive_begin(s->side[1].d, m.d, m.n, s->now, &r), WG_OK);
		job = (struct aead_job){
			.key = r.key, .counter = r.counter, .text = r.text, .len = r.len
		};
		aead_open_batch(&job, 1);
		assert_true(job.ok);
		v = wg_receive_done(s->side[1].d, &r, &m.path, 0, s->now, &len, &ev);
		if (v != rows[i].want || (v == WG_OK && len != 20))
			fail_msg("row %zu: %s: %s", i, rows[i].why, wg_verdict_name(v));
	}
}

/* Shipped bug: the source is checked against the peer's prefixes and not against the owner of the
 * longest one. */
static void owner_of_the_longest_prefix(void **state)
{
	struct sim *s = *state;
	struct wg_allowed_ip net = { .prefix.len = 24 }, host = { .prefix.len = 32 };
	struct wg_peer_change wide = { .allowed_ips = &net, .allowed_ip_count = 1 };
	struct wg_peer_change narrow = { .allowed_ips = &host, .allowed_ip_count = 1 };

	net.prefix.addr = ip_v4((const uint8_t[4]){ 10, 0, 0, 0 });
	host.prefix.addr = ip_v4((const uint8_t[4]){ 10, 0, 0, 66 });
	narrow.public_key.b[0] = 9;
	sim_change_peer(s, 1, wide);
	assert_int_equal(sim_send_as(s, 0, 66, 2, 0, 10), WG_OK);
	sim_run(s, NS_PER_S);
	assert_int_equal(s->side[1].seen.got, 1);
	assert_int_equal(wg_device_change_peer(s->side[1].d, &narrow, s->now, NULL), ERR_OK);
	assert_int_equal(sim_send_as(s, 0, 66, 2, 0, 10), WG_OK);
	assert_int_equal(sim_send_as(s, 0, 67, 2, 0, 10), WG_OK);
	sim_run(s, NS_PER_S);
	assert_int_equal(s->side[1].seen.verdicts[DROP_SOURCE], 1);
	assert_int_equal(s->side[1].seen.got, 2);
}

static void congestion_marks(void **state)
{
	struct sim *s = *state;

	/* ECT(0) inside is ECT(0) outside; a mark on the way comes back in. */
	s->hold = true;
	sim_send_as(s, 0, 1, 2, 0xb8 | 2, 10);
	assert_int_equal(s->wire->ecn, 2);
	s->wire->ecn = 3;
	s->hold = false;
	sim_run(s, NS_PER_S);
	/* (make_packet compares with the TOS that arrived, which has CE now) */
	assert_int_equal(s->side[1].seen.verdicts[WG_OK], 1);
	/* Not-ECT inside cannot carry the mark: it must go. */
	s->hold = true;
	sim_send_as(s, 0, 1, 2, 0, 10);
	assert_int_equal(s->wire->ecn, 0);
	s->wire->ecn = 3;
	s->hold = false;
	sim_run(s, NS_PER_S);
	assert_int_equal(s->side[1].seen.verdicts[DROP_ECN], 1);
}

static void drops_are_counted(void **state)
{
	struct sim *s = *state;
	uint64_t of_peer[WG_VERDICTS], of_device[WG_VERDICTS];

	sim_send_as(s, 0, 9, 2, 0, 10);
	sim_run(s, NS_PER_S);
	wg_counts(s->side[1].d, sim_peer(s, 1), of_peer);
	wg_counts(s->side[1].d, NULL, of_device);
	assert_int_equal(of_peer[DROP_SOURCE], 1);
	assert_int_equal(of_device[DROP_SOURCE], 1);
	wg_counts(s->side[0].d, sim_peer(s, 0), of_peer);
	assert_int_equal(of_peer[DROP_SOURCE], 0);
}

static void no_endpoint(void **state)
{
	struct sim *s = *state;
	struct wg_peer_change c = { .has_endpoint = true };

	sim_change_peer(s, 0, c);
	assert_int_equal(sim_send(s, 0, 10), DROP_NO_ENDPOINT);
}

/* ---- events ---- */

/* An array that was full, and an event that never arrived, are made up for. */
static void lost_events(void **state)
{
	struct sim *s = *state;
	struct wg_device *d = s->side[0].d;
	struct wg_peer *p = sim_peer(s, 0);
	struct wg_events ev = { .n = WG_EVENTS_MAX };
	struct wg_send out;

	s->now = current(s, 0)->created + WG_REKEY_AFTER_TIME;
	assert_int_equal(wg_send_begin(d, p, 1, s->now, &out, &ev), WG_OK);
	assert_int_equal(ev.n, WG_EVENTS_MAX);
	ev.n = 0;
	assert_int_equal(wg_send_begin(d, p, 1, s->now, &out, &ev), WG_OK);
	assert_int_equal(ev.n, 1);
	assert_int_equal(ev.ev[0].kind, WG_EV_NEED_HANDSHAKE);
	/* Once is enough for a while. */
	assert_int_equal(wg_send_begin(d, p, 1, s->now + NS_PER_S / 2, &out, &ev), WG_OK);
	assert_int_equal(ev.n, 1);
	/* Nobody has seen to it for a second. */
	assert_int_equal(wg_send_begin(d, p, 1, s->now + NS_PER_S, &out, &ev), WG_OK);
	assert_int_equal(ev.n, 2);
	wg_device_event(d, &ev.ev[0], s->now);
	wg_device_event(d, &ev.ev[1], s->now);
	assert_int_equal(s->side[0].seen.sent[WG_INITIATION], 1);
	sim_run(s, NS_PER_S);
	/* A stale one does nothing. */
	wg_device_event(d, &ev.ev[0], s->now);
	sim_run(s, 10 * NS_PER_S);
	assert_int_equal(s->side[0].seen.sent[WG_INITIATION], 1);
}

static void events_of_the_dead(void **state)
{
	struct sim *s = *state;
	struct wg_device *d = s->side[0].d;
	struct wg_event ev = { .peer = sim_peer(s, 0) };
	struct wg_peer_change c = { .public_key = s->side[1].public, .remove = true };

	assert_int_equal(wg_device_change_peer(d, &c, s->now, NULL), ERR_OK);
	for (unsigned kind = WG_EV_NEED_HANDSHAKE; kind <= WG_EV_STAGED_FLUSH; kind++) {
		ev.kind = (enum wg_event_kind)kind;
		ev.session_id = 1;
		wg_device_event(d, &ev, s->now); /* retired, not yet freed */
	}
	wg_device_stage(d, ev.peer, (const uint8_t *)"x", 1, s->now);
	assert_int_equal(wg_device_timers(d, s->now), INT64_MAX);
}

/* ---- paths ---- */

static struct wg_path path_now(struct sim *s, unsigned side)
{
	struct wg_events ev = { 0 };
	struct wg_send out;

	assert_int_equal(wg_send_begin(s->side[side].d, sim_peer(s, side), 1, s->now, &out, &ev),
			 WG_OK);
	return out.path;
}

static void sources_are_forgotten(void **state)
{
	struct sim *s = *state;
	struct wg_events ev = { 0 };

	assert_int_equal(path_now(s, 0).local.family, IP_V4);
	assert_int_equal(path_now(s, 0).local_ifindex, 1);
	wg_device_clear_sources(s->side[0].d); /* port, mark or routes changed */
	assert_int_equal(path_now(s, 0).local.family, IP_NONE);
	assert_int_equal(path_now(s, 0).local_ifindex, 0);
	assert_int_equal(path_now(s, 0).remote.port, 51820);
	sim_script(s, "relearn", "send b 1\nrun 1s\n");
	assert_int_equal(path_now(s, 0).local.family, IP_V4);

	wg_send_source_failed(sim_peer(s, 0), &ev);
	assert_int_equal(ev.n, 1);
	wg_device_event(s->side[0].d, &ev.ev[0], s->now);
	assert_int_equal(path_now(s, 0).local.family, IP_NONE);
	assert_int_equal(path_now(s, 0).remote.port, 51820);
	assert_int_equal(s->side[0].seen.notes[WG_NOTE_ROAMED], 0);
}

/* A failed source of an old path does not bring that path back. */
static void late_source_failure(void **state)
{
	struct sim *s = *state;
	struct wg_events ev = { 0 };

	wg_send_source_failed(sim_peer(s, 0), &ev);
	ev.ev[0].path.remote.port = 1;
	wg_device_event(s->side[0].d, &ev.ev[0], s->now);
	assert_int_equal(path_now(s, 0).remote.port, 51820);
	assert_int_equal(path_now(s, 0).local.family, IP_V4);
}

static void roaming_off(void **state)
{
	struct sim *s = *state;
	struct wg_peer_change c = { .has_endpoint = true };

	wg_device_set_roaming(s->side[1].d, false);
	sim_move(s, 0, 50, 5000);
	sim_script(s, "off", "send a 1\nrun 1s\nexpect b.got == 1\nexpect b.peer_port == 51820\n");
	/* Who was not configured is still learned. */
	sim_change_peer(s, 1, c);
	sim_script(s, "learned",
		   "send a 1\nrun 1s\nexpect b.peer_port == 5000\n"
		   "send b 1\nrun 1s\nexpect a.got == 1\n");
	wg_device_set_roaming(s->side[1].d, true);
	sim_move(s, 0, 51, 5001);
	sim_script(s, "on", "send a 1\nrun 1s\nexpect b.peer_port == 5001\n");
}

/* Only what is authentic and new moves the endpoint. */
static void forgers_do_not_roam(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m;

	sim_send(s, 0, 10);
	sim_run(s, NS_PER_S);
	m = s->last[0][WG_TRANSPORT];
	m.path.remote.port = 6666;
	assert_int_equal(sim_receive(s, 1, &m), DROP_REPLAY);
	m.d[m.n - 1] ^= 1;
	assert_int_equal(sim_receive(s, 1, &m), DROP_FORGED);
	m = s->last[0][WG_INITIATION];
	m.path.remote.port = 6666;
	assert_int_equal(sim_receive(s, 1, &m), DROP_OLD_TIMESTAMP);
	sim_script(s, "forged", "expect b.peer_port == 51820\n");
}

#define WITH_SIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SIM(runs_count_all),
		WITH_SIM(counters_are_64_bits),
		WITH_SIM(rekey_after_messages),
		WITH_SIM(reject_after_messages),
		WITH_SIM(receiving_has_the_same_limits),
		WITH_SIM(sessions_end),
		WITH_SIM(clock_steps_back),
		WITH_SIM(broken_datagrams),
		WITH_SIM(inner_packets),
		WITH_SIM(owner_of_the_longest_prefix),
		WITH_SIM(congestion_marks),
		WITH_SIM(drops_are_counted),
		WITH_SIM(no_endpoint),
		WITH_SIM(lost_events),
		WITH_SIM(events_of_the_dead),
		WITH_SIM(sources_are_forgotten),
		WITH_SIM(late_source_failure),
		WITH_SIM(roaming_off),
		WITH_SIM(forgers_do_not_roam),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
