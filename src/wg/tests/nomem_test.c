/* Every allocation of the room fails once: nothing breaks, and afterwards all works.
 *
 * malloc and its kin are wrapped by the linker; the libraries below are not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "wg/core.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);

static long until_failure = -1; /* below zero: never */

static bool fails(void)
{
	return until_failure >= 0 && until_failure-- == 0;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return fails() ? NULL : __real_aligned_alloc(align, n);
}

/* Two devices; what one sends reaches the other when the test says so. */
struct pair {
	struct wg_device *d[2];
	struct retired retired[2];
	struct secret_key secret[2];
	struct public_key public[2];
	struct {
		unsigned to;
		size_t n;
		uint8_t b[256];
	} wire[64];
	size_t wired;
	unsigned got;
	int64_t now;
};

static struct pair *the_pair;

static void op_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	random_bytes(p, n);
}

static int64_t op_wall(void *ctx)
{
	(void)ctx;
	return 1700000000LL * NS_PER_S + the_pair->now;
}

static void op_send(void *ctx, struct wg_peer *peer, const struct wg_path *to, const uint8_t *dgram,
		    size_t n, uint8_t ecn)
{
	struct pair *w = the_pair;

	(void)peer;
	(void)to;
	(void)ecn;
	assert_true(n <= sizeof w->wire[0].b);
	if (w->wired == ARRAY_LEN(w->wire))
		return;
	w->wire[w->wired].to = ctx == &w->d[0];
	w->wire[w->wired].n = n;
	memcpy(w->wire[w->wired++].b, dgram, n);
}

static void deliver(struct pair *w)
{
	struct wg_path from = { .remote.port = 9 };

	for (size_t i = 0; i < w->wired; i++) {
		unsigned to = w->wire[i].to;
		struct wg_events ev = { 0 };
		struct wg_receive r;
		uint32_t len;

		from.remote.addr = ip_v4((const uint8_t[4]){ 192, 0, 2, (uint8_t)!to });
		if (wg_message_type(w->wire[i].b, w->wire[i].n) != WG_TRANSPORT) {
			wg_device_handshake(w->d[to], w->wire[i].b, w->wire[i].n, &from,
					    w->got == 0, w->now);
			continue;
		}
		if (wg_receive_begin(w->d[to], w->wire[i].b, w->wire[i].n, w->now, &r) != WG_OK)
			continue;
		struct aead_job job = {
			.key = r.key, .counter = r.counter, .text = r.text, .len = r.len
		};
		aead_open_batch(&job, 1);
		assert_true(job.ok);
		if (wg_receive_done(w->d[to], &r, &from, 0, w->now, &len, &ev) == WG_OK)
			w->got++;
		else
			wg_count(w->d[to], r.peer, DROP_REPLAY, 1);
		for (size_t e = 0; e < ev.n; e++)
			wg_device_event(w->d[to], &ev.ev[e], w->now);
	}
	w->wired = 0;
}

static void add_peers(struct pair *w)
{
	for (unsigned i = 0; i < 2; i++) {
		struct wg_allowed_ip a[2] = { { .prefix.len = 32 }, { .prefix.len = 16 } };
		struct wg_peer_change c = { .public_key = w->public[!i],
					    .has_endpoint = true,
					    .endpoint.port = 9,
					    .allowed_ips = a,
					    .allowed_ip_count = 2 };

		a[0].prefix.addr = ip_v4((const uint8_t[4]){ 10, 0, 0, (uint8_t)(!i + 1) });
		a[1].prefix.addr = ip_v4((const uint8_t[4]){ 10, (uint8_t)(!i + 1), 0, 0 });
		c.endpoint.addr = ip_v4((const uint8_t[4]){ 192, 0, 2, (uint8_t)!i });
		if (wg_device_change_peer(w->d[i], &c, w->now, NULL))
			assert_null(wg_device_find_peer(w->d[i], &c.public_key)); /* whole or not */
	}
}

static void talk(struct pair *w)
{
	const uint8_t packet[20] = { 0x45, 0, 0,  20, 0, 0, 0,	0, 64, 17,
				     0,	   0, 10, 0,  0, 1, 10, 0, 0,  2 };
	struct wg_peer *p = wg_device_find_peer(w->d[0], &w->public[1]);

	if (p)
		wg_device_stage(w->d[0], p, packet, sizeof packet, w->now);
	for (unsigned i = 0; i < 8; i++) {
		deliver(w);
		w->now += 3 * NS_PER_S;
		for (unsigned s = 0; s < 2; s++)
			wg_device_timers(w->d[s], w->now);
	}
}

static struct wg_device *device(struct pair *w, unsigned i)
{
	struct wg_ops ops = {
		.ctx = &w->d[i], .random = op_random, .wall_ns = op_wall, .send = op_send
	};
	struct wg_device *d = wg_device_new(&ops, &w->retired[i]);

	if (!d)
		return NULL;
	wg_device_set_private_key(d, &w->secret[i], w->now);
	wg_device_set_up(d, true, w->now);
	return d;
}

/* One life with the n-th allocation failing; true if it was reached. */
static bool life(long n)
{
	struct pair w = { .now = NS_PER_S };
	bool reached;

	the_pair = &w;
	for (unsigned i = 0; i < 2; i++) {
		secret_key_generate(&w.secret[i]);
		public_key_of(&w.public[i], &w.secret[i]);
	}
	until_failure = n;
	for (unsigned i = 0; i < 2; i++)
		w.d[i] = device(&w, i);
	if (w.d[0] && w.d[1]) {
		add_peers(&w);
		talk(&w);
	}
	reached = until_failure < 0;
	until_failure = -1;
	for (unsigned i = 0; i < 2; i++)
		if (!w.d[i])
			w.d[i] = device(&w, i);
	add_peers(&w);
	w.now += 200 * NS_PER_S;
	w.wired = 0;
	w.got = 0;
	talk(&w);
	talk(&w);
	assert_true(w.got >= 1);
	for (unsigned i = 0; i < 2; i++) {
		wg_device_free(w.d[i]);
		retired_free(&w.retired[i], retired_advance(&w.retired[i]));
	}
	return reached;
}

static void each_allocation_fails(void **state)
{
	long n = 0;

	(void)state;
	while (life(n))
		n++;
	assert_true(n >= 20);
}

/* The window of a session without memory for a larger one: it forgets sooner, and never accepts
 * a counter twice, also once there is memory again. */
static void replay_without_memory(void **state)
{
	enum { SPAN = 4000, SMALL = WG_REPLAY_FEW * 64 - 64 };
	static uint8_t seen[SPAN];
	struct wg_replay w = { 0 };

	(void)state;
	for (uint64_t c = 0; c < SPAN / 2; c += 3) {
		until_failure = 0;
		seen[c] = wg_replay_accept(&w, c);
		assert_true(seen[c]);
	}
	assert_null(w.many);
	until_failure = -1;
	for (uint64_t c = 0; c < SPAN; c++) {
		bool inside = c + SMALL >= SPAN / 2;

		if (wg_replay_accept(&w, c)) {
			assert_false(seen[c]);
			seen[c] = 1;
		}
		if (inside)
			assert_true(seen[c]);
	}
	assert_non_null(w.many);
	for (uint64_t c = 0; c < SPAN; c++)
		assert_false(wg_replay_accept(&w, c) && seen[c]);
	wg_replay_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_allocation_fails),
					    cmocka_unit_test(replay_without_memory) };

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
