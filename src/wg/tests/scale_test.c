/* Many peers on one device: all are found, none holds the device for long, nothing stays behind. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "wg/core.h"
#include "wg/tests/sim.h"

#define MANY 100000

struct bed {
	struct wg_device *d;
	struct retired retired;
	uint64_t sent;
	uint64_t rng;
};

static void op_random(void *ctx, void *p, size_t n)
{
	struct bed *b = ctx;
	uint8_t *at = p;

	while (n--) {
		b->rng = b->rng * UINT64_C(6364136223846793005) + 1442695040888963407u;
		*at++ = (uint8_t)(b->rng >> 56);
	}
}

static int64_t op_wall(void *ctx)
{
	(void)ctx;
	return SIM_WALL_START;
}

static void op_send(void *ctx, struct wg_peer *p, const struct wg_path *to, const uint8_t *dgram,
		    size_t n, uint8_t ecn)
{
	struct bed *b = ctx;

	(void)p, (void)to, (void)dgram, (void)n, (void)ecn;
	b->sent++;
}

static int setup(void **state)
{
	struct bed *b = calloc(1, sizeof *b);
	const struct wg_ops ops = {
		.ctx = b, .random = op_random, .wall_ns = op_wall, .send = op_send
	};
	struct secret_key k = { .b = { 64, 7 } };

	assert_non_null(b);
	b->d = wg_device_new(&ops, &b->retired);
	assert_non_null(b->d);
	wg_device_set_private_key(b->d, &k, SIM_START);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;

	wg_device_free(b->d);
	retired_free(&b->retired, UINT64_MAX);
	free(b);
	return 0;
}

static struct public_key key_number(uint32_t i)
{
	struct public_key k = { .b = { 9 } };

	store_le32(k.b + 4, i);
	return k;
}

static struct ip_addr address_number(uint32_t i)
{
	uint8_t b[4];

	store_be32(b, (10u << 24) + i);
	return ip_v4(b);
}

static void add(struct bed *b, uint32_t i, uint16_t keepalive_s)
{
	struct wg_allowed_ip ip = { .prefix = { .addr = address_number(i), .len = 32 } };
	struct wg_peer_change c = { .public_key = key_number(i),
				    .has_endpoint = true,
				    .endpoint = { .addr = address_number(i), .port = 1 },
				    .has_keepalive = true,
				    .keepalive_s = keepalive_s,
				    .allowed_ips = &ip,
				    .allowed_ip_count = 1 };

	assert_int_equal(wg_device_change_peer(b->d, &c, SIM_START, NULL), ERR_OK);
}

static bool known(struct bed *b, uint32_t i)
{
	struct public_key k = key_number(i);
	struct ip_addr a = address_number(i);
	struct wg_peer *p = wg_device_find_peer(b->d, &k);

	assert_ptr_equal(wg_route(b->d, a.family, a.b), p);
	return p != NULL;
}

static void come_and_go(void **state)
{
	struct bed *b = *state;

	for (uint32_t i = 0; i < MANY; i++)
		add(b, i, 0);
	assert_int_equal(wg_device_peer_count(b->d), MANY);
	for (uint32_t i = 0; i < MANY; i++)
		assert_true(known(b, i));
	assert_false(known(b, MANY));

	/* every other one goes and comes back */
	for (uint32_t i = 0; i < MANY; i += 2) {
		struct wg_peer_change c = { .public_key = key_number(i), .remove = true };

		assert_int_equal(wg_device_change_peer(b->d, &c, SIM_START, NULL), ERR_OK);
	}
	retired_free(&b->retired, UINT64_MAX);
	for (uint32_t i = 0; i < MANY; i++)
		assert_int_equal(known(b, i), i % 2);
	for (uint32_t i = 0; i < MANY; i += 2)
		add(b, i, 0);
	for (uint32_t i = 0; i < MANY; i++)
		assert_true(known(b, i));
}

static void go_in_pieces(void **state)
{
	struct bed *b = *state;

	for (uint32_t i = 0; i < 25; i++)
		add(b, i, 0);
	assert_true(wg_device_remove_peers(b->d, 10, SIM_START));
	assert_int_equal(wg_device_peer_count(b->d), 15);
	assert_false(known(b, 9)); /* the oldest first */
	assert_true(known(b, 10));
	assert_true(wg_device_remove_peers(b->d, 10, SIM_START));
	assert_false(wg_device_remove_peers(b->d, 10, SIM_START));
	assert_int_equal(wg_device_peer_count(b->d), 0);
	assert_false(wg_device_remove_peers(b->d, 10, SIM_START));
}

/* What is retired is given back in pieces too, each object once. */
static void freed_in_pieces(void **state)
{
	struct bed *b = *state;
	uint64_t grace;
	unsigned turns = 0;

	for (uint32_t i = 0; i < 25; i++)
		add(b, i, 0);
	retired_free(&b->retired, UINT64_MAX);
	wg_device_remove_all_peers(b->d, SIM_START);
	grace = retired_advance(&b->retired);
	add(b, 0, 0);
	wg_device_remove_all_peers(b->d, SIM_START); /* of the next generation */
	while (!retired_free_some(&b->retired, grace, 10))
		turns++;
	assert_true(turns >= 2);
	assert_non_null(b->retired.head);
}

/* A handshake for each of many peers when the interface goes up: not all under one lock. */
static void timers_take_turns(void **state)
{
	enum { PEERS = 3 * WG_TIMERS_A_CALL + 1 };
	struct bed *b = *state;
	int64_t now = SIM_START + NS_PER_S, next;

	for (uint32_t i = 0; i < PEERS; i++)
		add(b, i, 25);
	wg_device_set_up(b->d, true, now);
	assert_int_equal(b->sent, 0);
	now += 10 * NS_PER_MS;
	for (unsigned call = 1; call <= 3; call++) {
		next = wg_device_timers(b->d, now);
		assert_int_equal(b->sent, call * WG_TIMERS_A_CALL);
		assert_true(next <= now);
	}
	next = wg_device_timers(b->d, now);
	assert_int_equal(b->sent, PEERS);
	assert_true(next > now);
}

/* ---- strangers ---- */

/* An initiation that nobody of ours made: garbage under a header, with a right or a wrong mac1. */
static void forge(struct sim *s, struct sim_dgram *m, bool good_mac1)
{
	struct wg_cookie c = { 0 };

	*m = (struct sim_dgram){ .n = WG_INITIATION_LEN, .to = 1 };
	for (size_t i = 4; i < m->n; i++)
		m->d[i] = (uint8_t)sim_random(s);
	store_le32(m->d, WG_INITIATION);
	m->path = s->side[1].here;
	m->path.remote.port = (uint16_t)(1 + sim_random(s) % UINT16_MAX);
	m->path.remote.addr = sim_random(s) % 2
				      ? address_number((uint32_t)sim_random(s))
				      : (struct ip_addr){ .family = IP_V6, .b = { 0x20, 1 } };
	if (m->path.remote.addr.family == IP_V6)
		store_le64(m->path.remote.addr.b + 2, sim_random(s));
	if (good_mac1)
		wg_cookie_sign(&c, &s->side[1].public, m->d, m->n, 0);
}

/* Thousands of sources that are not there ask beside one that is: each gets at most one cookie
 * reply, shorter than what it sent, none makes us remember anything, and the honest one is through
 * with its first retry, by its cookie. */
static void spoofed_sources(void **state)
{
	enum { A_MS = 5, MS = 6000 };
	struct sim *s = calloc(1, sizeof *s);
	struct wg_device *d;
	uint64_t good = 0;

	(void)state;
	assert_non_null(s);
	sim_init(s, 99);
	d = s->side[1].d;
	s->side[1].under_load = true;
	sim_send(s, 0, 10);
	for (unsigned i = 0; i < A_MS * MS; i++) {
		bool good_mac1 = i % 3;
		struct sim_dgram m;

		forge(s, &m, good_mac1);
		assert_int_equal(sim_receive(s, 1, &m),
				 good_mac1 ? DROP_NEED_COOKIE : DROP_BAD_MAC1);
		good += good_mac1;
		if (i % A_MS == 0)
			sim_run(s, NS_PER_MS);
	}
	assert_int_equal(s->side[1].seen.got, 1);
	assert_int_equal(s->side[0].seen.notes[WG_NOTE_HANDSHAKE_DONE], 1);
	assert_int_equal(s->side[0].seen.sent[WG_INITIATION], 2);
	assert_int_equal(s->side[1].seen.sent[WG_COOKIE_REPLY], good + 1);
	_Static_assert(WG_COOKIE_REPLY_LEN < WG_INITIATION_LEN, "no amplification");
	assert_int_equal(wg_device_peer_count(d), 1);
	assert_int_equal(d->wheel.count, 1); /* the honest peer's */
	assert_int_equal(d->staged_bytes, 0);
	sim_done(s);
	free(s);
}

#define BED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		BED(come_and_go),
		BED(go_in_pieces),
		BED(freed_in_pieces),
		BED(timers_take_turns),
		cmocka_unit_test(spoofed_sources),
	};

	return crypto_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
