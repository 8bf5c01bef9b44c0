/* Clients: what is kept of them, in which order they are listed, and the lowest free address. */
#include "store/tests/place.h"

#include <unistd.h>

#include "base/fs.h"
#include "store/agent.h"
#include "store/inside.h"

/* ---- clients ---- */

static void assert_same(const struct client *a, const struct client *b)
{
	assert_int_equal(a->id, b->id);
	assert_string_equal(a->name, b->name);
	assert_true(ip_eq(&a->ip, &b->ip));
	assert_true(ip_eq(&a->ip6, &b->ip6));
	assert_memory_equal(&a->public_key, &b->public_key, KEY_LEN);
	assert_memory_equal(&a->private_key, &b->private_key, KEY_LEN);
	assert_memory_equal(&a->psk, &b->psk, KEY_LEN);
	assert_true(a->created_ns == b->created_ns);
	assert_int_equal(a->enabled, b->enabled);
}

static void gives_back_what_was_added(void **state)
{
	struct store *s = place_opened();
	struct client c = client_named("Alice_1-x", 2), got;
	struct client no6 = client_named("bob", 3);
	struct err e = { 0 };
	bool known = false;

	(void)state;
	no6.ip6 = (struct ip_addr){ 0 };
	no6.enabled = false;
	assert_int_equal(store_client_add(s, &c, &e), ERR_OK);
	assert_int_equal(store_client_add(s, &no6, &e), ERR_OK);
	store_close(s);
	s = place_opened();
	assert_int_equal(store_client_by_name(s, STR("Alice_1-x"), &got, &e), ERR_OK);
	assert_same(&got, &c);
	assert_int_equal(store_client_by_name(s, STR("bob"), &got, &e), ERR_OK);
	assert_same(&got, &no6);
	assert_int_equal(store_client_by_name(s, STR("alice_1-x"), &got, &e), ERR_NOT_FOUND);
	assert_int_equal(store_client_key_known(s, &c.public_key, &known, &e), ERR_OK);
	assert_true(known);
	assert_int_equal(store_client_remove(s, c.id, &e), ERR_OK);
	assert_int_equal(store_client_remove(s, c.id, &e), ERR_NOT_FOUND);
	assert_int_equal(store_client_key_known(s, &c.public_key, &known, &e), ERR_OK);
	assert_false(known);
	assert_int_equal(client_count(s), 1);
	store_close(s);
	client_done(&got);
	client_done(&c);
	client_done(&no6);
}

static void says_what_is_taken(void **state)
{
	struct store *s = place_opened();
	struct client old = client_named("alice", 2);
	struct err e = { 0 };
	static const struct {
		bool name, ip, ip6, key;
		const char *says;
	} rows[] = {
		{ true, false, false, false, "named alice" },
		{ false, true, false, false, "10.8.0.2" },
		{ false, false, true, false, "fd00::2" },
		{ false, false, false, true, "public key" },
	};

	(void)state;
	assert_int_equal(store_client_add(s, &old, &e), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client c = client_named("bob", 3);

		if (rows[i].name)
			memcpy(c.name, old.name, sizeof c.name);
		if (rows[i].ip)
			c.ip = old.ip;
		if (rows[i].ip6)
			c.ip6 = old.ip6;
		if (rows[i].key)
			c.public_key = old.public_key;
		assert_int_equal(store_client_add(s, &c, &e), ERR_EXISTS);
		if (!strstr(e.msg, rows[i].says))
			fail_msg("no \"%s\" in: %s", rows[i].says, e.msg);
		client_done(&c);
	}
	client_add(s, "ALICE", 3); /* names are case-sensitive */
	assert_int_equal(client_count(s), 2);
	store_close(s);
	client_done(&old);
}

/* The model has checked before; the tables check again. */
static void tables_refuse_what_the_model_would(void **state)
{
	static const struct {
		const char *name;
		uint8_t ip[4];
		const char *why;
	} rows[] = {
		{ "", { 10, 8, 0, 2 }, "empty" },
		{ "a\nb", { 10, 8, 0, 2 }, "a newline" },
		{ "a b", { 10, 8, 0, 2 }, "a space" },
		{ "\xc3\xa4", { 10, 8, 0, 2 }, "not ASCII" },
		{ "zero", { 0, 0, 0, 0 }, "no address" },
		{ "ones", { 255, 255, 255, 255 }, "the broadcast address" },
	};
	struct store *s = place_opened();
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client c = client_named(rows[i].name, 2);

		c.ip = ip_v4(rows[i].ip);
		if (store_client_add(s, &c, &e) != ERR_INVALID)
			fail_msg("%s: %s", rows[i].why, e.msg);
		client_done(&c);
	}
	assert_int_equal(client_count(s), 0);
	store_close(s);
}

/* A sealed value in another's row does not open, nor one in another's column. */
static void sealed_values_stay_where_they_are(void **state)
{
	struct store *s = place_opened();
	struct client c = { 0 };
	struct err e = { 0 };

	(void)state;
	client_add(s, "alice", 2);
	client_add(s, "bob", 3);
	{
		AUTO(db_stmt_done)
		struct db_stmt st = db_sql(s->db, "UPDATE clients SET private_key = (SELECT o."
						  "private_key FROM clients o WHERE o.name = 'bob')"
						  " WHERE name = 'alice'");

		assert_int_equal(db_run(&st, &e), ERR_OK);
	}
	{
		AUTO(db_stmt_done)
		struct db_stmt st =
			db_sql(s->db, "UPDATE clients SET psk = private_key WHERE name = 'bob'");

		assert_int_equal(db_run(&st, &e), ERR_OK);
	}
	assert_int_equal(store_client_by_name(s, STR("alice"), &c, &e), ERR_CORRUPT);
	assert_int_equal(store_client_by_name(s, STR("bob"), &c, &e), ERR_CORRUPT);
	assert_true(ct_is_zero(&c.private_key, sizeof c.private_key));
	store_close(s);
}

/* ---- lists ---- */

struct names {
	char text[256];
	size_t stop_after; /* 0: never */
	size_t n;
	bool had_secrets;
};

static bool name_collect(void *ctx, const struct client *c)
{
	struct names *to = ctx;
	size_t n = strlen(to->text);

	(void)snprintf(to->text + n, sizeof to->text - n, "%s ", c->name);
	to->had_secrets = !ct_is_zero(&c->private_key, KEY_LEN) && !ct_is_zero(&c->psk, KEY_LEN);
	return ++to->n != to->stop_after;
}

static void lists_in_order(void **state)
{
	static const struct {
		const char *search;
		bool newest;
		uint64_t skip, limit;
		size_t stop_after;
		const char *want;
		const char *why;
	} rows[] = {
		{ "", false, 0, 100, 0, "cat dog Catfish ant ", "oldest first" },
		{ "", true, 0, 100, 0, "ant Catfish dog cat ", "newest first" },
		{ "", false, 1, 2, 0, "dog Catfish ", "a page" },
		{ "", false, 4, 2, 0, "", "a page behind the end" },
		{ "", false, 0, 0, 0, "", "nothing asked for" },
		{ "", false, 0, UINT64_MAX, 2, "cat dog ", "stopped by the caller" },
		{ "cAt", false, 0, 100, 0, "cat Catfish ", "case is ignored" },
		{ "cAt", false, 1, 100, 0, "Catfish ", "a page of what was found" },
		{ "%", false, 0, 100, 0, "", "no wildcards" },
		{ "_", false, 0, 100, 0, "", "none at all" },
		{ "' OR 1=1 --", false, 0, 100, 0, "", "text stays text" },
	};
	struct store *s = place_opened();
	struct err e = { 0 };

	(void)state;
	client_add(s, "ant",
		   9); /* the names' order, the ids' order and the ages' order all differ */
	client_add(s, "cat", 2);
	client_add(s, "Catfish", 7);
	client_add(s, "dog", 5);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client_query q = { str_of(rows[i].search), rows[i].newest, rows[i].skip,
					  rows[i].limit };
		struct names got = { .stop_after = rows[i].stop_after };

		assert_int_equal(store_clients(s, &q, i % 2, name_collect, &got, &e), ERR_OK);
		if (strcmp(got.text, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].why, got.text);
		if (got.n)
			assert_int_equal(got.had_secrets, i % 2);
	}
	store_close(s);
}

struct peers_seen {
	struct store *store;
	size_t n, stop_after;
};

/* As the client that has the key says. */
static bool peer_collect(void *ctx, const struct store_peer *p)
{
	struct peers_seen *seen = ctx;
	struct client c = { 0 };
	struct err e;

	assert_int_equal(store_client_by_key(seen->store, &p->public_key, true, &c, &e), ERR_OK);
	assert_int_equal(p->id, c.id);
	assert_true(ip_eq(&p->ip, &c.ip) && ip_eq(&p->ip6, &c.ip6));
	assert_memory_equal(&p->psk, &c.psk, sizeof c.psk);
	assert_int_equal(p->ipv6_only, c.ipv6_only);
	assert_int_equal(p->keepalive_s, c.keepalive_s);
	client_done(&c);
	return ++seen->n != seen->stop_after;
}

static void peers_are_what_clients_are(void **state)
{
	struct store *s = place_opened();
	struct peers_seen seen = { .store = s };
	struct client six = client_named("six", 6);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(store_peers(s, peer_collect, &seen, &e), ERR_OK);
	assert_int_equal(seen.n, 0);
	client_add(s, "ant", 9);
	client_add(s, "cat", 2);
	six.ip6 = ip_v6((const uint8_t[16]){ 0xfd, [15] = 6 });
	six.ipv6_only = true;
	six.keepalive_s = 25;
	assert_int_equal(store_client_add(s, &six, &e), ERR_OK);
	assert_int_equal(store_peers(s, peer_collect, &seen, &e), ERR_OK);
	assert_int_equal(seen.n, 3);
	seen = (struct peers_seen){ .store = s, .stop_after = 2 };
	assert_int_equal(store_peers(s, peer_collect, &seen, &e), ERR_OK);
	assert_int_equal(seen.n, 2);
	store_close(s);
	client_done(&six);
}

static void counts(void **state)
{
	struct store *s = place_opened();
	struct client off = client_named("catapult", 9);
	uint64_t total, enabled;
	struct err e = { 0 };

	(void)state;
	off.enabled = false;
	client_add(s, "cat", 2);
	client_add(s, "dog", 3);
	assert_int_equal(store_client_add(s, &off, &e), ERR_OK);
	assert_int_equal(store_client_count(s, STR("CAT"), &total, &enabled, &e), ERR_OK);
	assert_int_equal(total, 2);
	assert_int_equal(enabled, 1);
	assert_int_equal(client_count(s), 3);
	store_close(s);
	client_done(&off);
}

/* ---- addresses ---- */

static const struct ip_prefix net24 = { { IP_V4, { 10, 8, 0, 0 } }, 24 };

static uint64_t free_index(struct store *s, uint64_t last)
{
	uint64_t index = 0;
	struct err e = { 0 };
	enum err_code rc = store_free_index(s, &net24, 2, last, &index, &e);

	if (rc == ERR_FULL)
		return 0;
	if (rc)
		fail_msg("%s", e.msg);
	return index;
}

static void finds_the_lowest_free_address(void **state)
{
	struct store *s = place_opened();
	struct client c = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(free_index(s, 254), 2);
	client_add(s, "c2", 2);
	client_add(s, "c3", 3);
	client_add(s, "c5", 5);
	assert_int_equal(free_index(s, 254), 4);
	assert_int_equal(free_index(s, 254), 4); /* asking takes nothing */
	client_add(s, "c4", 4);
	assert_int_equal(free_index(s, 254), 6);
	assert_int_equal(free_index(s, 5), 0); /* full */
	assert_int_equal(free_index(s, 6), 6);

	assert_int_equal(store_client_by_name(s, STR("c3"), &c, &e), ERR_OK);
	assert_int_equal(store_client_remove(s, c.id, &e), ERR_OK);
	client_done(&c);
	assert_int_equal(free_index(s, 254), 3); /* a hole is filled first */

	assert_int_equal(store_begin(s, &e), ERR_OK);
	client_add(s, "c3", 3);
	assert_int_equal(free_index(s, 254), 6);
	store_rollback(s);
	assert_int_equal(free_index(s, 254), 3); /* as if it had never been */
	store_close(s);
}

static void refuses_addresses_outside_the_network(void **state)
{
	static const struct {
		uint8_t len;
		uint64_t first, last;
		enum err_code want;
		const char *why;
	} rows[] = {
		{ 24, 2, 254, ERR_OK, "the usual" },
		{ 24, 2, 255, ERR_OK, "the last address" },
		{ 24, 2, 256, ERR_RANGE, "one behind it" },
		{ 24, 3, 2, ERR_RANGE, "upside down" },
		{ 30, 2, 2, ERR_OK, "one client" },
		{ 0, 2, UINT32_MAX, ERR_OK, "all of IPv4" },
	};
	const struct ip_prefix v6 = { { IP_V6, { 0xfd } }, 64 };
	struct store *s = place_opened();
	struct err e = { 0 };
	uint64_t index;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_prefix p = { net24.addr, rows[i].len };

		if (store_free_index(s, &p, rows[i].first, rows[i].last, &index, &e) !=
		    rows[i].want)
			fail_msg("%s", rows[i].why);
	}
	assert_int_equal(store_free_index(s, &v6, 2, 3, &index, &e), ERR_RANGE);
	store_close(s);
}

/* Thousands of random additions and removals beside a plain table. */
static void addresses_agree_with_a_table(void **state)
{
	int64_t id_at[64] = { 0 };
	struct store *s = place_opened();
	struct err e = { 0 };
	char name[16];

	(void)state;
	srandom(1);
	assert_int_equal(store_begin(s, &e), ERR_OK); /* one fsync for all */
	for (int i = 0; i < 2000; i++) {
		uint64_t want = 2, at = 2 + (uint64_t)random() % 62;

		while (want < 64 && id_at[want])
			want++;
		assert_int_equal(free_index(s, 63), want < 64 ? want : 0);
		if (random() % 3 && want < 64) {
			struct client c;

			(void)snprintf(name, sizeof name, "n%d", i);
			c = client_named(name, (uint8_t)want);
			assert_int_equal(store_client_add(s, &c, &e), ERR_OK);
			id_at[want] = c.id;
			client_done(&c);
		} else if (id_at[at]) {
			assert_int_equal(store_client_remove(s, id_at[at], &e), ERR_OK);
			id_at[at] = 0;
		}
	}
	assert_int_equal(store_commit(s, &e), ERR_OK);
	store_close(s);
}

/* ---- endpoints ---- */

static void keeps_endpoints(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "192.0.2.1:51820", "IPv4" },
		{ "1.1.1.1:1", "the shortest" },
		{ "[2001:db8::1]:65535", "IPv6" },
		{ "[fe80::ffff:ffff:ffff:ffff%4294967295]:65535", "the longest" },
	};
	struct store *s = place_opened();
	struct endpoint ep, got;
	struct err e = { 0 };

	(void)state;
	client_add(s, "a", 2);
	client_add(s, "b", 3);
	got = client_stored(s, "a").endpoint;
	assert_int_equal(got.addr.family, IP_NONE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(endpoint_parse(str_of(rows[i].text), &ep));
		if (store_client_set_endpoint(s, client_stored(s, "a").id, &ep, 7, &e))
			fail_msg("%s: %s", rows[i].why, e.msg);
		store_close(s);
		s = place_opened();
		got = client_stored(s, "a").endpoint;
		assert_int_equal(client_stored(s, "a").seen_ns, 7);
		if (!endpoint_eq(&got, &ep))
			fail_msg("%s: another one came back", rows[i].why);
	}
	got = client_stored(s, "b").endpoint;
	assert_int_equal(got.addr.family, IP_NONE);
	ep = (struct endpoint){ 0 };
	assert_int_equal(store_client_set_endpoint(s, client_stored(s, "a").id, &ep, 7, &e),
			 ERR_OK);
	got = client_stored(s, "a").endpoint;
	assert_int_equal(got.addr.family, IP_NONE);
	assert_int_equal(store_client_set_endpoint(s, 99, &ep, 7, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "99"));
	store_close(s);
}

static bool file_holds(const char *file, const char *text)
{
	char path[PATH_MAX];
	AUTO(buf_done) struct buf all = { 0 };
	struct err e = { 0 };

	place_path(path, file);
	if (access(path, F_OK) < 0)
		return false;
	assert_int_equal(file_read(&all, path, 16u << 20, &e), ERR_OK);
	return memmem(all.p, all.n, text, strlen(text)) != NULL;
}

static void forgets_endpoints(void **state)
{
	const char *const text = "203.0.113.77:40077", *const other = "203.0.113.88:40088";
	struct store *s = place_opened();
	struct endpoint ep;
	struct err e = { 0 };

	(void)state;
	client_add(s, "a", 2);
	client_add(s, "b", 3);
	assert_true(endpoint_parse(str_of(text), &ep));
	assert_int_equal(store_client_set_endpoint(s, client_stored(s, "a").id, &ep, 7, &e),
			 ERR_OK);
	assert_true(endpoint_parse(str_of(other), &ep));
	assert_int_equal(store_client_set_endpoint(s, client_stored(s, "b").id, &ep, 7, &e),
			 ERR_OK);
	store_close(s);
	assert_true(file_holds(STORE_FILE, text)); /* it would be seen */
	s = place_opened();
	assert_int_equal(store_client_remove(s, client_stored(s, "a").id, &e), ERR_OK);
	store_close(s);
	assert_false(file_holds(STORE_FILE, text)); /* with its client */
	assert_true(file_holds(STORE_FILE, other));
	s = place_opened();
	assert_int_equal(store_forget_endpoints(s, &e), ERR_OK);
	assert_int_equal(store_forget_endpoints(s, &e), ERR_OK); /* there are none */
	assert_int_equal(client_stored(s, "b").seen_ns, 0);
	store_close(s);
	assert_false(file_holds(STORE_FILE, other));
	assert_false(file_holds(STORE_FILE "-wal", other));
}

/* ---- limits ---- */

static void keeps_limits(void **state)
{
	const struct client_limits some = { 1000, 8000000, 1ull << 62, 5, INT64_MAX }, none = { 0 };
	struct store *s = place_opened();
	struct client_limits got;
	struct err e = { 0 };

	(void)state;
	client_add(s, "a", 2);
	client_add(s, "b", 3);
	got = client_stored(s, "a").limits;
	assert_memory_equal(&got, &none, sizeof got);
	assert_int_equal(store_client_set_limits(s, client_stored(s, "a").id, &some, &e), ERR_OK);
	assert_int_equal(store_client_set_used(s, client_stored(s, "a").id, 77, &e), ERR_OK);
	store_close(s);
	s = place_opened();
	got = client_stored(s, "a").limits;
	assert_true(got.rate_up_bps == 1000 && got.rate_down_bps == 8000000);
	assert_true(got.quota == 1ull << 62 && got.quota_used == 77 && got.expires_ns == INT64_MAX);
	got = client_stored(s, "b").limits;
	assert_memory_equal(&got, &none, sizeof got);
	assert_int_equal(store_client_set_limits(s, 99, &some, &e), ERR_NOT_FOUND);
	assert_int_equal(store_client_set_used(s, 99, 1, &e), ERR_NOT_FOUND);
	store_close(s);
}

static void knows_nothing_of_an_endpoint_that_it_cannot_read(void **state)
{
	struct store *s = place_opened();
	struct endpoint got;
	struct err e = { 0 };

	(void)state;
	client_add(s, "a", 2);
	{
		AUTO(db_stmt_done)
		struct db_stmt st =
			db_sql(s->db, "UPDATE clients SET endpoint = '[fe80::1%gone]:1'");

		assert_int_equal(db_run(&st, &e), ERR_OK);
	}
	got = client_stored(s, "a").endpoint;
	assert_int_equal(got.addr.family, IP_NONE);
	store_close(s);
}

static void keeps_keepalive_and_another_psk(void **state)
{
	struct psk psk = { .b = { 1, 2, 3 } };
	struct store *s = place_opened();
	struct client c = { 0 };
	struct err e = { 0 };

	(void)state;
	client_add(s, "a", 2);
	c = client_stored(s, "a");
	assert_int_equal(c.keepalive_s, 0);
	assert_int_equal(store_client_set_keepalive(s, c.id, 25, &e), ERR_OK);
	assert_int_equal(store_client_set_psk(s, c.id, &c.public_key, &psk, &e), ERR_OK);
	store_close(s);
	s = place_opened();
	assert_int_equal(store_client_by_name(s, STR("a"), &c, &e), ERR_OK);
	assert_int_equal(c.keepalive_s, 25);
	assert_memory_equal(&c.psk, &psk, sizeof psk);
	assert_int_equal(store_client_set_keepalive(s, 99, 25, &e), ERR_NOT_FOUND);
	assert_int_equal(store_client_set_psk(s, 99, &c.public_key, &psk, &e), ERR_NOT_FOUND);
	client_done(&c);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(gives_back_what_was_added),
		T(says_what_is_taken),
		T(tables_refuse_what_the_model_would),
		T(sealed_values_stay_where_they_are),
		T(lists_in_order),
		T(peers_are_what_clients_are),
		T(counts),
		T(finds_the_lowest_free_address),
		T(refuses_addresses_outside_the_network),
		T(addresses_agree_with_a_table),
		T(keeps_endpoints),
		T(keeps_limits),
		T(forgets_endpoints),
		T(keeps_keepalive_and_another_psk),
		T(knows_nothing_of_an_endpoint_that_it_cannot_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
