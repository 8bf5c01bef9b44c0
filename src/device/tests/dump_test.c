/* dump_test.c - a dump in pieces while peers come and go: none that stays is left out or doubled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/uapi_dump.h"

#define PEERS 200

struct fixture {
	struct retired retired;
	struct wg_device *d;
	struct uapi_dump dump;
	unsigned seen[PEERS];
	size_t ips;
};

static void no_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	memset(p, 7, n);
}

static int64_t no_wall(void *ctx)
{
	(void)ctx;
	return 0;
}

static void no_send(void *ctx, struct wg_peer *peer, const struct wg_path *to, const uint8_t *dgram,
		    size_t n, uint8_t ecn)
{
	(void)ctx, (void)peer, (void)to, (void)dgram, (void)n, (void)ecn;
}

static struct public_key key_of(unsigned i)
{
	/* The first byte keeps clear of our own key. */
	return (struct public_key){ { 9, (uint8_t)i, (uint8_t)(i >> 8) } };
}

static void peer_add(struct fixture *f, unsigned i, size_t ips)
{
	struct wg_allowed_ip *list = calloc(ips + 1, sizeof *list);
	struct wg_peer_change c = { .public_key = key_of(i),
				    .allowed_ips = list,
				    .allowed_ip_count = ips };

	assert_non_null(list);
	for (size_t k = 0; k < ips; k++) {
		const uint8_t a[4] = { 10, (uint8_t)i, (uint8_t)(k >> 8), (uint8_t)k };

		list[k].prefix = (struct ip_prefix){ ip_v4(a), 32 };
	}
	assert_int_equal(wg_device_change_peer(f->d, &c, 0, NULL), ERR_OK);
	free(list);
}

static void peer_remove(struct fixture *f, unsigned i)
{
	struct wg_peer_change c = { .public_key = key_of(i), .remove = true };

	assert_int_equal(wg_device_change_peer(f->d, &c, 0, NULL), ERR_OK);
	retired_free(&f->retired, retired_advance(&f->retired));
}

static void setup(struct fixture *f, unsigned peers, size_t ips)
{
	static const struct wg_ops ops = { NULL, no_random, no_wall, no_send, NULL };

	*f = (struct fixture){ 0 };
	f->d = wg_device_new(&ops, &f->retired);
	assert_non_null(f->d);
	for (unsigned i = 0; i < peers; i++)
		peer_add(f, i, ips);
}

static void teardown(struct fixture *f)
{
	wg_device_free(f->d);
	retired_free(&f->retired, retired_advance(&f->retired));
}

/* Writes a piece and notes whom it tells of. */
static enum uapi_dump_state piece(struct fixture *f, size_t room)
{
	struct buf out = { 0 };
	enum uapi_dump_state state = uapi_dump_peers(&f->dump, f->d, &out, room);
	struct str rest = buf_view(&out), line;

	while (str_cut(&rest, '\n', &line)) {
		uint8_t key[KEY_LEN];

		if (str_starts(line, STR("allowed_ip=")))
			f->ips++;
		if (!str_starts(line, STR("public_key=")))
			continue;
		assert_true(hex_decode(key, sizeof key, (struct str){ line.p + 11, line.n - 11 }));
		f->seen[key[1] | key[2] << 8]++;
	}
	buf_done(&out);
	return state;
}

static void assert_seen(const struct fixture *f, unsigned from, unsigned to, unsigned times)
{
	for (unsigned i = from; i < to; i++)
		if (f->seen[i] != times)
			fail_msg("peer %u was written %u times, not %u", i, f->seen[i], times);
}

/* The smallest pieces: one peer each. */
static void test_whole(void **state)
{
	static const size_t rooms[] = { 1, 100, 1000, 20000, SIZE_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
		struct fixture f;

		setup(&f, PEERS, 3);
		while (piece(&f, rooms[i]) == UAPI_DUMP_MORE)
			;
		assert_seen(&f, 0, PEERS, 1);
		assert_int_equal(f.ips, 3 * PEERS);
		teardown(&f);
	}
}

static void test_empty(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 0, 0);
	assert_int_equal(piece(&f, 1000), UAPI_DUMP_DONE);
	teardown(&f);
}

/* One peer's allowed IPs go over many pieces; then it vanishes in the middle of them. */
static void test_inside(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 3, 1000);
	while (piece(&f, 1) == UAPI_DUMP_MORE)
		;
	assert_seen(&f, 0, 3, 1);
	assert_int_equal(f.ips, 3000);

	f.dump = (struct uapi_dump){ 0 };
	f.ips = 0;
	while (f.ips < 1500)
		assert_int_equal(piece(&f, 1), UAPI_DUMP_MORE);
	peer_remove(&f, 1);
	while (piece(&f, 1) == UAPI_DUMP_MORE)
		;
	assert_seen(&f, 0, 3, 2);
	assert_true(f.ips < 3000);
	teardown(&f);
}

/* `n` peers in front of and at the place where the dump stands go away. */
static void test_removed(void **state)
{
	(void)state;
	for (unsigned n = 1; n < UAPI_DUMP_RECENT - 1; n++) {
		struct fixture f;

		setup(&f, PEERS, 1);
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(piece(&f, 1), UAPI_DUMP_MORE);
		while (!f.seen[99])
			assert_int_equal(piece(&f, 1), UAPI_DUMP_MORE);
		for (unsigned i = 0; i < n; i++)
			peer_remove(&f, 99 - i);
		while (piece(&f, 1) == UAPI_DUMP_MORE)
			;
		assert_seen(&f, 0, PEERS, 1);
		teardown(&f);
	}
}

/* The newest is removed and added again, now last in line: those between must not be lost. */
static void test_added_again(void **state)
{
	static const unsigned places[] = { 0, 1, 5, 15, 16, 17, 99 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(places); k++) {
		unsigned at = places[k];
		struct fixture f;

		setup(&f, PEERS, 0);
		while (!f.seen[at])
			assert_int_equal(piece(&f, 1), UAPI_DUMP_MORE);
		peer_remove(&f, at);
		peer_add(&f, at, 0);
		while (piece(&f, 1) == UAPI_DUMP_MORE)
			;
		assert_seen(&f, 0, at, 1);
		assert_seen(&f, at, at + 1, 2);
		assert_seen(&f, at + 1, PEERS, 1);
		teardown(&f);
	}
}

/* All are replaced: the dump begins again, and ends even when that goes on for ever. */
static void test_replaced(void **state)
{
	enum uapi_dump_state end = UAPI_DUMP_MORE;
	unsigned pieces = 0;
	struct fixture f;

	(void)state;
	setup(&f, 50, 0);
	while (!f.seen[20])
		assert_int_equal(piece(&f, 1), UAPI_DUMP_MORE);
	wg_device_remove_all_peers(f.d, 0);
	for (unsigned i = 100; i < PEERS; i++)
		peer_add(&f, i, 0);
	while (piece(&f, 1) == UAPI_DUMP_MORE)
		;
	assert_seen(&f, 0, 20, 1);
	assert_seen(&f, 21, 100, 0);
	assert_seen(&f, 100, PEERS, 1);

	f.dump = (struct uapi_dump){ 0 };
	while (end == UAPI_DUMP_MORE && ++pieces < 100) {
		end = piece(&f, 1);
		wg_device_remove_all_peers(f.d, 0);
		for (unsigned i = 0; i < 50; i++)
			peer_add(&f, pieces % 2 * 50 + i, 0);
	}
	assert_int_equal(end, UAPI_DUMP_LOST);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),	    cmocka_unit_test(test_empty),
		cmocka_unit_test(test_inside),	    cmocka_unit_test(test_removed),
		cmocka_unit_test(test_added_again), cmocka_unit_test(test_replaced),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
