/* Further interfaces and their peers: what is kept, what is refused, and what is sealed. */
#include "base/tests/cm.h"

#include <ftw.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/agent.h"
#include "store/inside.h"
#include "store/tunnels.h"

static char dir[64];

static int removed(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	(void)remove(path);
	return 0;
}

static struct store *opened(void)
{
	struct store *s = NULL;
	struct err e = { 0 };

	(void)snprintf(dir, sizeof dir, "/tmp/qanat-tunnels-XXXXXX");
	if (!mkdtemp(dir) || store_open(&s, dir, &e))
		fail_msg("%s", e.msg);
	return s;
}

static void closed(struct store *s)
{
	store_close(s);
	(void)nftw(dir, removed, 8, FTW_DEPTH | FTW_PHYS);
}

static struct store_tunnel tunnel_named(const char *name, const char *address)
{
	struct store_tunnel t = { .port = 51900, .mtu = 1420, .address_count = 1 };

	assert_true(str_copy(t.name, sizeof t.name, str_of(name)));
	assert_true(ip_prefix_parse(str_of(address), &t.addresses[0]));
	secret_key_generate(&t.private_key);
	return t;
}

static struct public_key key_of(uint8_t n)
{
	return (struct public_key){ .b = { n, 1 } };
}

static struct ip_prefix network(const char *text)
{
	struct ip_prefix p;

	assert_true(ip_prefix_parse(str_of(text), &p));
	return p;
}

static void keeps_a_configuration(void **state)
{
	struct store *s = opened();
	struct store_tunnel t = tunnel_named("wg7", "10.7.0.1/24"), got, all[STORE_TUNNELS_MAX];
	struct err e = { 0 };
	size_t n = 0;

	(void)state;
	t.addresses[t.address_count++] = network("fd07::1/64");
	assert_true(ip_parse(STR("9.9.9.9"), &t.dns[0]));
	assert_true(str_copy(t.table, sizeof t.table, STR("off")));
	assert_true(str_copy(t.post_up, sizeof t.post_up, STR("ip link set %i up")));
	assert_int_equal(store_tunnel_put(s, &t, &e), ERR_OK);
	assert_int_equal(store_tunnel_set_enabled(s, "wg7", true, &e), ERR_OK);
	t.port = 51901;
	assert_int_equal(store_tunnel_put(s, &t, &e), ERR_OK);
	assert_int_equal(store_tunnel(s, "wg7", true, &got, &e), ERR_OK);
	assert_int_equal(got.port, 51901);
	assert_int_equal(got.address_count, 2);
	assert_true(got.enabled && !got.may_be_live);
	assert_true(ip_eq(&got.dns[0], &t.dns[0]));
	assert_string_equal(got.table, "off");
	assert_string_equal(got.post_up, "ip link set %i up");
	assert_memory_equal(&got.private_key, &t.private_key, KEY_LEN);
	assert_int_equal(store_tunnels(s, all, &n, &e), ERR_OK);
	assert_int_equal(n, 1);
	assert_true(ct_is_zero(&all[0].private_key, KEY_LEN));
	assert_int_equal(store_tunnel(s, "wg8", false, &got, &e), ERR_NOT_FOUND);
	closed(s);
}

static void has_room_for_fifteen(void **state)
{
	struct store *s = opened();
	struct err e = { 0 };
	char name[16], address[20];
	struct store_tunnel t;

	(void)state;
	for (unsigned i = 0; i <= STORE_TUNNELS_MAX; i++) {
		(void)snprintf(name, sizeof name, "wg%u", i);
		(void)snprintf(address, sizeof address, "10.%u.0.1/24", i + 1);
		t = tunnel_named(name, address);
		assert_int_equal(store_tunnel_put(s, &t, &e), i < 15 ? ERR_OK : ERR_FULL);
	}
	assert_non_null(strstr(e.msg, "wg15"));
	/* One that is there can be changed all the same. */
	t = tunnel_named("wg3", "10.99.0.1/24");
	assert_int_equal(store_tunnel_put(s, &t, &e), ERR_OK);
	assert_int_equal(store_tunnel_remove(s, "wg3", &e), ERR_OK);
	assert_int_equal(store_tunnel_remove(s, "wg3", &e), ERR_NOT_FOUND);
	t = tunnel_named("wg15", "10.16.0.1/24");
	assert_int_equal(store_tunnel_put(s, &t, &e), ERR_OK);
	closed(s);
}

struct walk {
	unsigned n, ips;
};

static bool peer_count(void *ctx, const struct store_tunnel_peer *p)
{
	struct walk *w = ctx;

	w->n++;
	w->ips += (unsigned)p->ip_count;
	assert_true(ct_is_zero(&p->psk, KEY_LEN));
	return true;
}

static void keeps_peers_apart(void **state)
{
	struct store *s = opened();
	struct store_tunnel t = tunnel_named("wg7", "10.7.0.1/24"),
			    u = tunnel_named("wg8", "10.8.0.1/24");
	struct ip_prefix ips[3] = { network("10.7.0.2/32"), network("192.168.7.9/24"),
				    network("::/0") };
	struct ip_prefix got_ips[STORE_PEER_IPS_MAX];
	struct store_tunnel_peer p = {
		.key = key_of(1), .keepalive_s = 25, .ips = ips, .ip_count = 3
	};
	struct store_tunnel_peer q = { .key = key_of(2), .ips = ips + 1, .ip_count = 1 }, got;
	struct walk w = { 0 };
	struct err e = { 0 };
	char key[KEY_TEXT_MAX];
	uint64_t n = 0;
	bool known = true;

	(void)state;
	psk_generate(&p.psk);
	assert_int_equal(store_tunnel_put(s, &t, &e), ERR_OK);
	assert_int_equal(store_tunnel_put(s, &u, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer_put(s, "wg7", &p, &e), ERR_OK);
	/* The same network, with other host bits, of another peer: whose it is is said. */
	ips[1] = network("192.168.7.0/24");
	assert_int_equal(store_begin(s, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer_put(s, "wg7", &q, &e), ERR_EXISTS);
	store_rollback(s);
	public_key_text(key, &p.key);
	assert_non_null(strstr(e.msg, key));
	assert_non_null(strstr(e.msg, "192.168.7.0/24"));
	/* Another interface has networks of its own, and a part of one is another. */
	assert_int_equal(store_tunnel_peer_put(s, "wg8", &q, &e), ERR_OK);
	ips[1] = network("192.168.7.0/25");
	assert_int_equal(store_tunnel_peer_put(s, "wg7", &q, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer(s, "wg7", &p.key, &got, got_ips, &e), ERR_OK);
	assert_int_equal(got.ip_count, 3);
	assert_int_equal(got.ips[2].len, 0);
	assert_int_equal(got.keepalive_s, 25);
	assert_true(got.seen.addr.family == IP_NONE && got.endpoint.port == 0);
	assert_true(endpoint_parse(STR("192.0.2.2:4711"), &p.endpoint));
	assert_int_equal(store_tunnel_peer_set_seen(s, got.id, &p.endpoint, 99, &e), ERR_OK);
	p.endpoint.port = 4712;
	ips[1] = network("192.168.7.0/24");
	assert_int_equal(store_tunnel_peer_put(s, "wg7", &p, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer(s, "wg7", &p.key, &got, got_ips, &e), ERR_OK);
	assert_true(got.endpoint.port == 4712 && got.seen.port == 4711 && got.seen_ns == 99);
	assert_int_equal(store_forget_endpoints(s, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer(s, "wg7", &p.key, &got, got_ips, &e), ERR_OK);
	assert_true(got.endpoint.port == 4712 && got.seen.port == 0 && got.seen_ns == 0);
	assert_memory_equal(&got.psk, &p.psk, KEY_LEN);
	assert_int_equal(store_tunnel_peers(s, "wg7", false, peer_count, &w, &e), ERR_OK);
	assert_true(w.n == 2 && w.ips == 4);
	assert_int_equal(store_tunnel_peer_remove(s, "wg7", &p.key, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer_remove(s, "wg7", &p.key, &e), ERR_NOT_FOUND);
	assert_int_equal(store_tunnel_peer_known(s, "wg7", &p.key, &known, &e), ERR_OK);
	assert_false(known);
	assert_int_equal(store_tunnel_peer_put(s, "wg9", &p, &e), ERR_INVALID);
	/* With its interface a peer goes. */
	assert_int_equal(store_tunnel_remove(s, "wg8", &e), ERR_OK);
	assert_int_equal(store_tunnel_peer_count(s, "wg8", &n, &e), ERR_OK);
	assert_int_equal(n, 0);
	closed(s);
}

static void swaps_networks(void **state)
{
	struct store *s = opened();
	struct store_tunnel t = tunnel_named("wg7", "10.7.0.1/24");
	struct ip_prefix a = network("10.7.0.2/32"), b = network("10.7.0.3/32");
	struct ip_prefix ips[STORE_PEER_IPS_MAX];
	struct store_tunnel_peer p = { .key = key_of(1), .ips = &a, .ip_count = 1 };
	struct store_tunnel_peer q = { .key = key_of(2), .ips = &b, .ip_count = 1 }, got;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(store_tunnel_put(s, &t, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer_put(s, "wg7", &p, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer_put(s, "wg7", &q, &e), ERR_OK);
	assert_int_equal(store_begin(s, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer(s, "wg7", &p.key, &got, ips, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer_free_ips(s, got.id, &e), ERR_OK);
	q.ips = &a;
	p.ips = &b;
	assert_int_equal(store_tunnel_peer_put(s, "wg7", &q, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer_put(s, "wg7", &p, &e), ERR_OK);
	assert_int_equal(store_commit(s, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer(s, "wg7", &p.key, &got, ips, &e), ERR_OK);
	assert_true(ip_eq(&got.ips[0].addr, &b.addr));
	closed(s);
}

static void forgets_the_history_of_a_removed_one(void **state)
{
	struct store *s = opened();
	struct store_tunnel t = tunnel_named("wg7", "10.7.0.1/24");
	struct store_config c = { .made_ns = 1,
				  .author = "x",
				  .source = "",
				  .action = "update",
				  .config = STR("{}"),
				  .changes = STR("[]") };
	struct err e = { 0 };
	int64_t id = 0;

	(void)state;
	assert_int_equal(store_tunnel_put(s, &t, &e), ERR_OK);
	assert_int_equal(store_config_add(s, "wg7", &c, &id, &e), ERR_OK);
	assert_int_equal(store_tunnel_remove(s, "wg7", &e), ERR_OK);
	{
		AUTO(db_stmt_done)
		struct db_stmt st = db_sql(s->db, "SELECT 1 FROM agent_configs");
		bool row = true;

		assert_int_equal(db_step(&st, &row, &e), ERR_OK);
		assert_false(row);
	}
	closed(s);
}

static void holds_no_key_in_the_open(void **state)
{
	struct store *s = opened();
	struct store_tunnel t = tunnel_named("wg7", "10.7.0.1/24");
	struct ip_prefix ip = network("10.7.0.2/32");
	struct store_tunnel_peer p = { .key = key_of(1), .ips = &ip, .ip_count = 1 };
	static const char *const files[] = { STORE_FILE, STORE_FILE "-wal" };
	struct err e = { 0 };
	char path[128];

	(void)state;
	psk_generate(&p.psk);
	assert_int_equal(store_tunnel_put(s, &t, &e), ERR_OK);
	assert_int_equal(store_tunnel_peer_put(s, "wg7", &p, &e), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO(buf_done) struct buf b = { 0 };

		(void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		if (file_read(&b, path, 16u << 20, &e))
			continue;
		assert_null(memmem(b.p, b.n, t.private_key.b, KEY_LEN));
		assert_null(memmem(b.p, b.n, p.psk.b, KEY_LEN));
	}
	closed(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_a_configuration),
		cmocka_unit_test(has_room_for_fifteen),
		cmocka_unit_test(keeps_peers_apart),
		cmocka_unit_test(swaps_networks),
		cmocka_unit_test(forgets_the_history_of_a_removed_one),
		cmocka_unit_test(holds_no_key_in_the_open),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
