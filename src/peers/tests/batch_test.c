/* Changes of clients in groups, over a real store and a device that fails when it is asked to. */
#include "base/tests/cm.h"

#include "base/fault.h"
#include "base/log.h"
#include "peers/batch.h"
#include "core/tests/fake_host.h"

#define CHANGES_MAX 40

static struct fake_host h;
static struct peers_batch *batch;
static struct peer_change changes[CHANGES_MAX];
static unsigned answered;

static int start_in(const char *network, const char *network6)
{
	struct settings_given given = { 0 };
	struct err e;

	given.v[SETTING_NETWORK] = str_of(network);
	given.v[SETTING_NETWORK6] = str_of(network6);
	assert_true(fake_host_open(&h, &given));
	assert_int_equal(loop_new(&h.core.loop, &e), 0);
	assert_int_equal(peers_batch_new(&batch, &h.core, &e), 0);
	answered = 0;
	return 0;
}

static int start(void **state)
{
	(void)state;
	return start_in("10.8.0.0/24", "fd00:8::/64");
}

static int end(void **state)
{
	(void)state;
	peers_batch_free(batch);
	loop_free(h.core.loop);
	fake_host_close(&h);
	return 0;
}

static void answer(struct peer_change *c)
{
	(void)c;
	answered++;
}

static struct public_key key_of(unsigned who)
{
	return (struct public_key){ .b = { (uint8_t)who, (uint8_t)(who >> 8), 7 } };
}

/* Queues a change of peer number `who`, as changes[i]. */
static void want(size_t i, enum peer_wish wish, unsigned who)
{
	struct peer_change *c = &changes[i];

	*c = (struct peer_change){
		.wish = wish,
		.key = key_of(who),
		.families = API_IPV4 | API_IPV6,
		.about = { .protocol = API_PROTOCOL_DUAL,
			   .traffic = 3,
			   .port = 51820,
			   .dns = "d1" },
		.done = answer,
	};
	(void)snprintf(c->about.request_id, sizeof c->about.request_id, "order-%u", who);
	peers_batch_add(batch, c);
}

static enum peer_result result_of(enum peer_wish wish, unsigned who)
{
	want(0, wish, who);
	peers_batch_run(batch);
	return changes[0].result;
}

/* ---- what must hold ---- */

static size_t stored, enabled_n;

static bool is_as_live(void *ctx, const struct client *c)
{
	const struct fake_peer *p = fake_host_peer(&h, &c->public_key);

	(void)ctx;
	stored++;
	assert_int_equal(p != NULL, c->enabled);
	if (!p)
		return true;
	enabled_n++;
	assert_int_equal(p->allowed_count, c->ipv6_only || c->ip6.family == IP_NONE ? 1 : 2);
	assert_true(ip_eq(&p->allowed[0].addr, c->ipv6_only ? &c->ip6 : &c->ip));
	return true;
}

/* Store and device agree; returns how many clients are stored. */
static size_t agreement(void)
{
	const struct client_query all = { .limit = UINT64_MAX };
	struct err e;

	stored = enabled_n = 0;
	assert_int_equal(store_clients(h.core.store, &all, true, is_as_live, NULL, &e), 0);
	assert_int_equal(h.peer_count, enabled_n);
	return stored;
}

static struct client stored_client(unsigned who)
{
	struct public_key k = key_of(who);
	struct client c;
	struct err e;

	assert_int_equal(store_client_by_key(h.core.store, &k, true, &c, &e), 0);
	return c;
}

/* ---- one by one ---- */

static const struct {
	enum peer_wish wish;
	unsigned who;
	enum peer_result result;
	size_t stored, live;
	const char *why;
} rows[] = {
	{ PEER_SUSPEND, 1, PEER_NOT_FOUND, 0, 0, "nobody to suspend" },
	{ PEER_CREATE, 1, PEER_DONE, 1, 1, "the first" },
	{ PEER_CREATE, 1, PEER_EXISTS, 1, 1, "again: as it is" },
	{ PEER_SUSPEND, 1, PEER_DONE, 1, 0, "suspended, its row stays" },
	{ PEER_SUSPEND, 1, PEER_DONE, 1, 0, "and once more" },
	{ PEER_CREATE, 1, PEER_EXISTS, 1, 0, "a creation does not resume it" },
	{ PEER_CREATE, 2, PEER_DONE, 2, 1, "another does not get its address" },
	{ PEER_ACTIVATE, 1, PEER_DONE, 2, 2, "resumed" },
	{ PEER_ACTIVATE, 1, PEER_DONE, 2, 2, "resumed twice" },
	{ PEER_DELETE, 1, PEER_DONE, 1, 1, "deleted" },
	{ PEER_DELETE, 1, PEER_NOT_FOUND, 1, 1, "it is gone" },
	{ PEER_ACTIVATE, 1, PEER_NOT_FOUND, 1, 1, "for good" },
};

static void carries_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum peer_result got = result_of(rows[i].wish, rows[i].who);

		if (got != rows[i].result || agreement() != rows[i].stored ||
		    h.peer_count != rows[i].live)
			fail_msg("%s: result %d, %zu stored, %zu live", rows[i].why, (int)got,
				 agreement(), h.peer_count);
	}
	assert_int_equal(answered, ARRAY_LEN(rows));
}

static void keeps_addresses(void **state)
{
	struct client before, after;

	(void)state;
	assert_int_equal(result_of(PEER_CREATE, 1), PEER_DONE);
	before = stored_client(1);
	assert_true(ct_is_zero(&before.private_key, KEY_LEN));
	assert_int_equal(result_of(PEER_SUSPEND, 1), PEER_DONE);
	assert_int_equal(result_of(PEER_CREATE, 2), PEER_DONE);
	assert_true(fake_host_reopen(&h));
	assert_int_equal(result_of(PEER_ACTIVATE, 1), PEER_DONE);
	after = stored_client(1);
	assert_true(ip_eq(&before.ip, &after.ip) && ip_eq(&before.ip6, &after.ip6));
	assert_int_equal(agreement(), 2);
}

/* ---- names, families, the pool ---- */

static void names_are_chosen(void **state)
{
	static const struct {
		const char *request_id, *name;
	} names[] = {
		{ "laptop-7", "laptop-7" },
		{ "laptop-7", "peer-AgAHAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }, /* taken */
		{ "admin", "peer-AwAHAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }, /* reserved */
		{ "a b", "peer-BAAHAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }, /* no name */
		{ "peer-x", "peer-BQAHAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }, /* of keys */
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		struct api_peer about;
		struct client c;
		struct err e;

		want(0, PEER_CREATE, i + 1);
		(void)snprintf(changes[0].about.request_id, sizeof changes[0].about.request_id,
			       "%s", names[i].request_id);
		peers_batch_run(batch);
		assert_int_equal(changes[0].result, PEER_DONE);
		c = stored_client(i + 1);
		assert_string_equal(c.name, names[i].name);
		assert_int_equal(store_api_peer(h.core.store, c.id, &about, &e), 0);
		assert_string_equal(about.request_id, names[i].request_id);
		assert_string_equal(about.dns, "d1");
		assert_int_equal(about.protocol, API_PROTOCOL_DUAL);
	}
}

static void families_are_given(void **state)
{
	struct client c;

	(void)state;
	want(0, PEER_CREATE, 1);
	changes[0].families = API_IPV4;
	want(1, PEER_CREATE, 2);
	changes[1].families = API_IPV6;
	want(2, PEER_CREATE, 3);
	peers_batch_run(batch);
	assert_int_equal(agreement(), 3);
	c = stored_client(1);
	assert_true(c.ip6.family == IP_NONE && !c.ipv6_only);
	c = stored_client(2);
	assert_true(c.ipv6_only && c.ip6.b[15] == 3); /* the number of its IPv4 address */
	c = stored_client(3);
	assert_true(c.ip.b[3] == 4 && c.ip6.b[15] == 4);
}

static void the_pool_ends(void **state)
{
	(void)state;
	(void)end(state);
	(void)start_in("10.8.0.0/29", "none");
	for (unsigned i = 0; i < 8; i++) {
		want(i, PEER_CREATE, i + 1);
		changes[i].families = API_IPV4;
	}
	peers_batch_run(batch);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(changes[i].result, i < 5 ? PEER_DONE : PEER_FULL);
	assert_int_equal(agreement(), 5);
	assert_int_equal(result_of(PEER_DELETE, 2), PEER_DONE);
	want(0, PEER_CREATE, 9);
	changes[0].families = API_IPV4;
	peers_batch_run(batch);
	assert_int_equal(changes[0].client.ip.b[3], 3); /* the hole */
	want(0, PEER_CREATE, 10);
	peers_batch_run(batch);
	assert_int_equal(changes[0].result, PEER_NO_IPV6);
}

/* ---- groups ---- */

static void a_group_is_one(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++)
		want(i, PEER_CREATE, i + 1);
	want(20, PEER_CREATE, 3); /* exists, by one of its own group */
	want(21, PEER_DELETE, 4);
	want(22, PEER_SUSPEND, 5);
	want(23, PEER_DELETE, 99);
	want(24, PEER_CREATE, 4); /* anew */
	peers_batch_run(batch);
	assert_int_equal(answered, 25);
	assert_int_equal(changes[20].result, PEER_EXISTS);
	assert_int_equal(changes[23].result, PEER_NOT_FOUND);
	assert_int_equal(changes[24].result, PEER_DONE);
	assert_int_equal(agreement(), 20);
	assert_int_equal(h.peer_count, 19);
	assert_true(fake_host_reopen(&h));
	assert_int_equal(agreement(), 20);
}

/* The device refuses one of the group: it alone has failed. */
static void the_device_refuses(void **state)
{
	(void)state;
	assert_int_equal(result_of(PEER_CREATE, 50), PEER_DONE);
	for (unsigned k = 1; k <= 6; k++) {
		unsigned done = 0;

		for (unsigned i = 0; i < 5; i++)
			want(i, PEER_CREATE, 10 * k + 100 + i);
		want(5, PEER_SUSPEND, 50);
		h.change_calls = 0;
		h.change_fails_at = k;
		peers_batch_run(batch);
		h.change_fails_at = 0;
		for (unsigned i = 0; i < 6; i++)
			done += changes[i].result == PEER_DONE;
		/* It failed once, in the group; alone, each of them passed. */
		assert_int_equal(done, 6);
		(void)agreement();
		assert_int_equal(result_of(PEER_ACTIVATE, 50), PEER_DONE);
	}
	assert_int_equal(agreement(), 31);
}

static void refused_alone(void **state)
{
	(void)state;
	assert_int_equal(result_of(PEER_CREATE, 1), PEER_DONE);
	h.change_calls = 0;
	h.change_fails_at = 1;
	assert_int_equal(result_of(PEER_CREATE, 2), PEER_FAILED);
	assert_non_null(strstr(changes[0].why.msg, "refused"));
	h.change_fails_at = 0;
	assert_int_equal(agreement(), 1);
	h.change_calls = 0;
	h.change_fails_at = 1;
	assert_int_equal(result_of(PEER_DELETE, 1), PEER_FAILED);
	h.change_fails_at = 0;
	assert_int_equal(agreement(), 1);
}

#ifdef QANAT_FAULT_POINTS
static void fault_at(const char *point, unsigned k)
{
	char text[64];

	(void)snprintf(text, sizeof text, "%s:%u", point, k);
	assert_int_equal(setenv("QANAT_FAULT", text, 1), 0);
	fault_reload();
}

static void fault_off(void)
{
	(void)unsetenv("QANAT_FAULT");
	fault_reload();
}
#endif

/* One insertion fails: the others of its group are there. */
static void one_fails(void **state)
{
	(void)state;
#ifndef QANAT_FAULT_POINTS
	print_message("skipped: this build has no fault points\n");
	skip();
#else
	for (unsigned k = 1; k <= 4; k++) {
		for (unsigned i = 0; i < 4; i++)
			want(i, PEER_CREATE, 10 * k + i);
		fault_at("peers.inserted", k);
		peers_batch_run(batch);
		fault_off();
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(changes[i].result, i + 1 == k ? PEER_FAILED : PEER_DONE);
		assert_int_equal(agreement(), 3 * k);
	}
#endif
}

/* The commit fails: nothing has happened, and everybody hears of it. */
static void the_commit_fails(void **state)
{
	(void)state;
#ifndef QANAT_FAULT_POINTS
	print_message("skipped: this build has no fault points\n");
	skip();
#else
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(result_of(PEER_CREATE, i + 1), PEER_DONE);
	assert_int_equal(result_of(PEER_SUSPEND, 2), PEER_DONE);
	want(0, PEER_DELETE, 1);
	want(1, PEER_ACTIVATE, 2);
	want(2, PEER_SUSPEND, 3);
	want(3, PEER_CREATE, 4); /* exists */
	want(4, PEER_CREATE, 9);
	want(5, PEER_DELETE, 9);
	want(6, PEER_CREATE, 9);
	fault_at("peers.live", 1);
	peers_batch_run(batch);
	fault_off();
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(changes[i].result, PEER_FAILED);
	assert_int_equal(agreement(), 5);
	assert_int_equal(h.peer_count, 4);
	assert_true(fake_host_reopen(&h));
	assert_int_equal(agreement(), 5);
	assert_int_equal(result_of(PEER_CREATE, 9), PEER_DONE); /* its address is free */
	assert_int_equal(changes[0].client.ip.b[3], 7);
#endif
}

/* Every write of the store fails once: each change is whole or has not been. */
static void each_write_fails(void **state)
{
	unsigned failed = 0, k = 0;

	(void)state;
#ifndef QANAT_FAULT_POINTS
	print_message("skipped: this build has no fault points\n");
	skip();
#else
	do {
		size_t before = agreement(), done = 0;

		k++;
		failed = 0;
		for (unsigned i = 0; i < 3; i++)
			want(i, PEER_CREATE, 10 * k + i);
		fault_at("db.write", k);
		peers_batch_run(batch);
		fault_off();
		for (unsigned i = 0; i < 3; i++) {
			done += changes[i].result == PEER_DONE;
			failed += changes[i].result == PEER_FAILED;
		}
		assert_int_equal(agreement(), before + done);
		assert_int_equal(done + failed, 3);
	} while (failed && k < 100);
	assert_true(k > 6 && k < 100);
#endif
	(void)failed;
	(void)k;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(carries_out, start, end),
		cmocka_unit_test_setup_teardown(keeps_addresses, start, end),
		cmocka_unit_test_setup_teardown(names_are_chosen, start, end),
		cmocka_unit_test_setup_teardown(families_are_given, start, end),
		cmocka_unit_test_setup_teardown(the_pool_ends, start, end),
		cmocka_unit_test_setup_teardown(a_group_is_one, start, end),
		cmocka_unit_test_setup_teardown(the_device_refuses, start, end),
		cmocka_unit_test_setup_teardown(refused_alone, start, end),
		cmocka_unit_test_setup_teardown(one_fails, start, end),
		cmocka_unit_test_setup_teardown(the_commit_fails, start, end),
		cmocka_unit_test_setup_teardown(each_write_fails, start, end),
	};

	log_set_level(LOG_SILENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
