/* Packet calls on four threads, and one control thread that meanwhile rekeys, roams, adds and
 * removes peers and changes keys.  Made for the thread sanitizer; it also checks that what
 * arrives is what was sent, each packet at most once.
 *
 * Two devices; each direction has two workers, which pass sealed packets to each other and open
 * them at the other end at once, twice.  Reclamation by quiescence, as in the dataplane: each worker
 * counts its rounds, and what is retired is freed when all have counted on.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "base/bytes.h"
#include "packet/ip.h"
#include "wg/core.h"

#define WORKERS 4
#define PEERS 8
#define PACKETS 8 /* of a worker's round */
#define CONTROL_ROUNDS 280
#define QUEUE 4096

struct queue {
	pthread_mutex_t lock;
	size_t n;
	struct item {
		unsigned side;
		struct wg_event ev;
		bool is_event, is_stage;
		struct wg_peer *peer;
		size_t dgram_n;
		struct wg_path from;
		uint8_t dgram[256];
	} item[QUEUE];
};

struct world {
	struct wg_device *d[2];
	struct retired retired[2];
	struct public_key public[2];
	struct secret_key own[2];
	_Atomic int64_t now;
	atomic_bool stop;
	_Atomic uint64_t rounds[WORKERS];
	_Atomic uint64_t delivered;
	_Atomic uint64_t forged;
	_Atomic uint64_t twice; /* replays that were taken */
	struct queue queue;
};

struct worker {
	struct world *w;
	unsigned id;
};

struct side_ctx {
	struct world *w;
	unsigned side;
};

static void op_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	random_bytes(p, n);
}

static int64_t op_wall(void *ctx)
{
	return 1700000000LL * NS_PER_S + atomic_load(&((struct side_ctx *)ctx)->w->now);
}

static struct wg_path path_of(unsigned side, uint16_t port)
{
	struct wg_path p = { .remote.port = port };

	p.remote.addr = ip_v4((const uint8_t[4]){ 192, 0, 2, (uint8_t)(side + 1) });
	return p;
}

static void push(struct world *w, const struct item *i)
{
	pthread_mutex_lock(&w->queue.lock);
	if (w->queue.n < QUEUE) /* else it is lost, as on a network */
		w->queue.item[w->queue.n++] = *i;
	pthread_mutex_unlock(&w->queue.lock);
}

static void op_send(void *ctx, struct wg_peer *peer, const struct wg_path *to, const uint8_t *dgram,
		    size_t n, uint8_t ecn)
{
	struct side_ctx *c = ctx;
	struct item i = { .side = !c->side, .dgram_n = n, .from = path_of(c->side, 1) };

	(void)peer;
	(void)to;
	(void)ecn;
	if (n > sizeof i.dgram)
		return;
	memcpy(i.dgram, dgram, n);
	push(c->w, &i);
}

static void push_events(struct world *w, unsigned side, struct wg_events *ev)
{
	for (size_t k = 0; k < ev->n; k++)
		push(w, &(struct item){ .side = side, .is_event = true, .ev = ev->ev[k] });
	ev->n = 0;
}

/* ---- a packet from one side to the other, all on this thread ---- */

static enum wg_verdict open_packet(struct world *w, unsigned side, uint8_t *dgram, size_t n,
				   const struct wg_path *from, struct wg_events *ev)
{
	int64_t now = atomic_load(&w->now);
	struct wg_receive r;
	struct aead_job job;
	enum wg_verdict v = wg_receive_begin(w->d[side], dgram, n, now, &r);
	uint32_t len;

	if (v == WG_OK) {
		job = (struct aead_job){
			.key = r.key, .counter = r.counter, .text = r.text, .len = r.len
		};
		aead_open_batch(&job, 1);
		if (!job.ok)
			atomic_fetch_add(&w->forged, 1);
		v = job.ok ? wg_receive_done(w->d[side], &r, from, 0, now, &len, ev) : DROP_FORGED;
	}
	if (v == WG_OK)
		atomic_fetch_add(&w->delivered, 1);
	else if (v != WG_KEEPALIVE)
		wg_count(w->d[side], r.peer, v, 1);
	return v;
}

static void send_packet(struct world *w, unsigned side, unsigned k, uint16_t port,
			struct wg_events *ev, struct wg_events *other_ev)
{
	uint8_t buf[WG_TRANSPORT_MIN + 32] = { 0 }, again[sizeof buf];
	uint8_t *ip = buf + WG_TRANSPORT_HEADER_LEN;
	const uint8_t dst[4] = { 10, 0, (uint8_t)!side, (uint8_t)k };
	const uint8_t header[20] = { 0x45,
				     0,
				     0,
				     20,
				     0,
				     0,
				     0,
				     0,
				     64,
				     17,
				     0,
				     0,
				     10,
				     0,
				     (uint8_t)side,
				     1,
				     10,
				     0,
				     (uint8_t)!side,
				     (uint8_t)k };
	int64_t now = atomic_load(&w->now);
	struct wg_peer *p = wg_route(w->d[side], IP_V4, dst);
	struct wg_path from = path_of(side, port);
	enum wg_verdict v, rest;
	struct wg_send out;

	if (!p)
		return;
	memcpy(ip, header, sizeof header);
	v = wg_send_begin(w->d[side], p, 1, now, &out, ev);
	if (v == WG_WEIGH)
		v = wg_send_weigh(w->d[side], p, &(uint32_t){ sizeof header }, &(size_t){ 1 }, now,
				  &out, &rest, ev);
	if (v == WG_OK) {
		struct aead_job job = {
			.key = out.key, .counter = out.counter, .text = ip, .len = 32
		};

		wg_transport_header(buf, out.receiver, out.counter);
		aead_seal_batch(&job, 1);
		wg_send_done(p, 1, sizeof buf, now, ev);
		memcpy(again, buf, sizeof again);
		open_packet(w, !side, buf, sizeof buf, &from, other_ev);
		if (open_packet(w, !side, again, sizeof again, &from, other_ev) == WG_OK)
			atomic_fetch_add(&w->twice, 1);
	} else if (v == WG_STAGE) {
		struct item i = { .side = side, .is_stage = true, .peer = p, .dgram_n = 20 };

		memcpy(i.dgram, ip, 20);
		push(w, &i);
	} else {
		wg_count(w->d[side], p, v, 1);
	}
}

static void *work(void *arg)
{
	struct worker *me = arg;
	struct world *w = me->w;
	unsigned side = me->id % 2;
	struct wg_events ev = { 0 }, other = { 0 };
	unsigned n = 0;

	while (!atomic_load(&w->stop)) {
		for (unsigned i = 0; i < PACKETS; i++, n++)
			send_packet(w, side, 1 + n % PEERS, n / 5000 % 2 ? 1 : 2, &ev, &other);
		push_events(w, side, &ev);
		push_events(w, !side, &other);
		atomic_fetch_add(&w->rounds[me->id], 1); /* holds nothing here */
	}
	return NULL;
}

/* ---- control ---- */

static void change(struct world *w, unsigned side, unsigned k, bool remove)
{
	struct wg_allowed_ip a = { .prefix.len = 32 };
	struct wg_peer_change c = { .remove = remove,
				    .has_endpoint = true,
				    .endpoint = path_of(!side, 1).remote,
				    .allowed_ips = &a,
				    .allowed_ip_count = 1 };

	a.prefix.addr = ip_v4((const uint8_t[4]){ 10, 0, (uint8_t)!side, (uint8_t)k });
	c.public_key = w->public[!side];
	if (k > 1) { /* peers that never answer: they only come and go */
		memset(c.public_key.b, (int)k, KEY_LEN);
		c.public_key.b[31] = 1;
	}
	assert_int_equal(wg_device_change_peer(w->d[side], &c, atomic_load(&w->now), NULL), ERR_OK);
}

/* Limits that come, change and go; what they let pass is enough for the talk to go on. */
static void limit(struct world *w, unsigned side, unsigned round)
{
	struct wg_peer_change c = {
		.public_key = w->public[!side],
		.update_only = true,
		.limits = { .set = WG_SET_RATE_UP | WG_SET_RATE_DOWN | WG_SET_QUOTA |
				   WG_SET_EXPIRES },
	};

	if (round % 5 != 4) {
		c.limits.rate_bps[WG_UP] = WG_RATE_MAX;
		c.limits.rate_bps[WG_DOWN] = 1000000 * (1 + round % 3);
		c.limits.quota = WG_QUOTA_MAX - round;
		c.limits.expires_wall_ns = INT64_MAX;
	}
	assert_int_equal(wg_device_change_peer(w->d[side], &c, atomic_load(&w->now), NULL), ERR_OK);
}

static void drain(struct world *w)
{
	static struct item items[QUEUE];
	int64_t now = atomic_load(&w->now);
	size_t n;

	pthread_mutex_lock(&w->queue.lock);
	n = w->queue.n;
	memcpy(items, w->queue.item, n * sizeof items[0]);
	w->queue.n = 0;
	pthread_mutex_unlock(&w->queue.lock);
	for (size_t k = 0; k < n; k++) {
		struct item *i = &items[k];
		struct wg_events ev = { 0 };

		if (i->is_event)
			wg_device_event(w->d[i->side], &i->ev, now);
		else if (i->is_stage)
			wg_device_stage(w->d[i->side], i->peer, i->dgram, i->dgram_n, now);
		else if (wg_message_type(i->dgram, i->dgram_n) == WG_TRANSPORT)
			open_packet(w, i->side, i->dgram, i->dgram_n, &i->from, &ev);
		else
			wg_device_handshake(w->d[i->side], i->dgram, i->dgram_n, &i->from, false,
					    now);
		for (size_t e = 0; e < ev.n; e++)
			wg_device_event(w->d[i->side], &ev.ev[e], now);
	}
}

/* Frees what was retired before all workers finished another round; the queue is drained first,
 * for events name peers. */
static void reclaim(struct world *w)
{
	uint64_t seen[WORKERS], generation[2];

	for (unsigned s = 0; s < 2; s++)
		generation[s] = retired_advance(&w->retired[s]);
	for (unsigned i = 0; i < WORKERS; i++)
		seen[i] = atomic_load(&w->rounds[i]);
	for (unsigned i = 0; i < WORKERS; i++)
		while (atomic_load(&w->rounds[i]) == seen[i])
			sched_yield();
	drain(w);
	for (unsigned s = 0; s < 2; s++)
		retired_free(&w->retired[s], generation[s]);
}

static void control_round(struct world *w, unsigned round)
{
	unsigned side = round % 2;

	atomic_fetch_add(&w->now, NS_PER_S); /* sessions age and are renewed */
	for (unsigned s = 0; s < 2; s++)
		wg_device_timers(w->d[s], atomic_load(&w->now));
	drain(w);
	change(w, side, 2 + round / 2 % (PEERS - 1), round % 3 == 0);
	limit(w, side, round / 2);
	if (round % 90 == 45) { /* the peer that talks leaves and comes back */
		change(w, 0, 1, true);
		drain(w);
		change(w, 0, 1, false);
	}
	if (round % 130 == 100) {
		struct secret_key other;

		memset(other.b, 0x41, sizeof other.b);
		wg_device_set_private_key(w->d[1], &other, atomic_load(&w->now));
		wg_device_set_private_key(w->d[1], &w->own[1], atomic_load(&w->now));
	}
	if (round % 50 == 10)
		wg_device_clear_sources(w->d[side]);
	if (round % 140 == 70) {
		wg_device_set_up(w->d[side], false, atomic_load(&w->now));
		wg_device_set_up(w->d[side], true, atomic_load(&w->now));
	}
	reclaim(w);
}

static void everything_at_once(void **state)
{
	static struct world w;
	static struct side_ctx ctx[2];
	struct worker workers[WORKERS];
	pthread_t threads[WORKERS];

	(void)state;
	atomic_store(&w.now, 1000 * NS_PER_S);
	pthread_mutex_init(&w.queue.lock, NULL);
	for (unsigned s = 0; s < 2; s++) {
		struct wg_ops ops = {
			.ctx = &ctx[s], .random = op_random, .wall_ns = op_wall, .send = op_send
		};

		ctx[s] = (struct side_ctx){ .w = &w, .side = s };
		secret_key_generate(&w.own[s]);
		public_key_of(&w.public[s], &w.own[s]);
		w.d[s] = wg_device_new(&ops, &w.retired[s]);
		assert_non_null(w.d[s]);
		wg_device_set_private_key(w.d[s], &w.own[s], 1);
		wg_device_set_up(w.d[s], true, atomic_load(&w.now));
	}
	for (unsigned s = 0; s < 2; s++)
		change(&w, s, 1, false);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .w = &w, .id = i };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned round = 0; round < CONTROL_ROUNDS; round++)
		control_round(&w, round);
	atomic_store(&w.stop, true);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	drain(&w);
	assert_true(atomic_load(&w.delivered) > 100);
	assert_int_equal(atomic_load(&w.forged), 0);
	assert_int_equal(atomic_load(&w.twice), 0);
	for (unsigned s = 0; s < 2; s++) {
		wg_device_free(w.d[s]);
		retired_free(&w.retired[s], retired_advance(&w.retired[s]));
	}
	pthread_mutex_destroy(&w.queue.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(everything_at_once) };

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
