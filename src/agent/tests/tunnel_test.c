/* Further interfaces behind the agent API's table of operations: what may be made, peers, files; all of it while
 * they are down, for which no device is needed. */
#include "base/tests/cm.h"

#include "agent/tunnel.h"
#include "core/tests/fake_host.h"

static struct fake_host host;
static const struct settings_given given;
static struct tunnels *tunnels;

static void tunnels_again(void)
{
	struct tunnels_config c = { .core = &host.core, .has_ipv6 = true };
	struct err e;

	tunnels_close(tunnels);
	tunnels = NULL;
	assert_int_equal(tunnels_open(&tunnels, &c, &e), ERR_OK);
	host.core.tunnels = tunnels;
}

static struct agent *opened(void)
{
	struct agent_config c = { .core = &host.core, .secret = STR("a secret for tests") };
	struct agent *a = NULL;
	struct err e;

	if (!fake_host_open(&host, &given))
		fail_msg("no store");
	host.core.given = &given;
	tunnels_again();
	assert_int_equal(agent_open(&a, &c, &e), ERR_OK);
	return a;
}

static void closed(struct agent *a)
{
	agent_close(a);
	tunnels_close(tunnels);
	tunnels = NULL;
	host.core.tunnels = NULL;
	fake_host_close(&host);
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;

	assert_true(ip_prefix_parse(str_of(text), &p));
	return p;
}

/* Made as a PUT does it, without its history. */
static struct agent_iface made(struct agent *a, const char *name, const char *address)
{
	struct agent_conf none = { 0 }, c;
	struct ip_prefix p = prefix(address);
	struct agent_iface i;
	struct err e = { 0 };

	assert_true(agent_tunnel(a, str_of(name), true, &i));
	i.ops->begin(&i, &c);
	secret_key_generate(&c.private_key);
	if (i.ops->set_addresses(&i, &c, &p, 1, &e) || agent_conf_check(&i, &none, &c, &e) ||
	    i.ops->store(&i, &none, &c, &e))
		fail_msg("%s", e.msg);
	i.ops->take(&i, &c);
	agent_conf_done(&c);
	return i;
}

static struct agent_peer peer(uint8_t n, struct ip_prefix *ips, const char *one)
{
	struct agent_peer p = { .key.b = { n, 7 }, .ips = ips, .has_ips = true, .ip_count = 1 };

	ips[0] = prefix(one);
	return p;
}

static void takes_addresses_of_hosts_only(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		const char *why;
	} rows[] = {
		{ "10.9.0.1/24", true, "a host" },
		{ "10.9.0.1/32", true, "alone" },
		{ "10.9.0.0/31", true, "a link of two" },
		{ "fd09::1/64", true, "IPv6" },
		{ "fd09::1/128", true, "IPv6 alone" },
		{ "10.9.0.0/24", false, "the network" },
		{ "10.9.0.255/24", false, "broadcast" },
		{ "127.0.0.2/8", false, "loopback" },
		{ "169.254.1.1/16", false, "link-local" },
		{ "224.0.0.1/24", false, "multicast" },
		{ "0.0.0.0/0", false, "everything" },
		{ "8.1.1.1/4", false, "too much" },
		{ "fe80::1/64", false, "link-local IPv6" },
		{ "ff02::1/64", false, "multicast IPv6" },
		{ "::1/128", false, "loopback IPv6" },
		{ "fd09::/64", false, "the IPv6 network" },
	};
	struct agent *a = opened();
	struct agent_iface i;
	struct agent_conf c;

	(void)state;
	assert_true(agent_tunnel(a, STR("qt_addr"), true, &i));
	i.ops->begin(&i, &c);
	for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
		struct ip_prefix p = prefix(rows[k].text);
		struct err e = { 0 };

		if ((i.ops->set_addresses(&i, &c, &p, 1, &e) == ERR_OK) != rows[k].ok)
			fail_msg("%s: %s: %s", rows[k].why, rows[k].text, e.msg);
	}
	closed(a);
}

static void refuses_what_others_have(void **state)
{
	static const struct {
		const char *address;
		uint16_t port;
		const char *says;
	} rows[] = {
		{ "10.8.0.9/24", 0, "wg_main" },  { "203.0.113.200/25", 0, "eth0" },
		{ "10.9.0.129/25", 0, "qt_one" }, { "10.10.0.1/24", 51820, "wg_main" },
		{ "10.10.0.1/24", 1, "qt_one" }, /* its port */
	};
	struct agent *a = opened();
	struct agent_iface one = made(a, "qt_one", "10.9.0.1/24"), i;
	struct agent_conf none = { 0 }, c, first;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(one.ops->load(&one, &first, &e), ERR_OK);
	assert_true(first.port != 51820 && first.port != 0);
	assert_true(agent_tunnel(a, STR("qt_two"), true, &i));
	for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
		i.ops->begin(&i, &c);
		secret_key_generate(&c.private_key);
		if (rows[k].port)
			c.port = rows[k].port == 1 ? first.port : rows[k].port;
		c.addresses[0] = prefix(rows[k].address);
		c.address_count = 1;
		assert_int_equal(i.ops->check(&i, &none, &c, &e), ERR_IN_USE);
		if (!strstr(e.msg, rows[k].says))
			fail_msg("no %s in: %s", rows[k].says, e.msg);
	}
	/* Nor may the gateway's own take its port, although it is down. */
	i = agent_own(a);
	assert_int_equal(i.ops->load(&i, &c, &e), ERR_OK);
	none = c;
	c.port = first.port;
	assert_int_equal(i.ops->check(&i, &none, &c, &e), ERR_IN_USE);
	assert_non_null(strstr(e.msg, "qt_one"));
	agent_conf_done(&none);
	/* Its own network is no overlap. */
	first.addresses[first.address_count++] = prefix("10.9.0.7/28");
	c = first;
	c.address_count = 1;
	assert_int_equal(one.ops->check(&one, &c, &first, &e), ERR_OK);
	c.address_count = 0;
	assert_int_equal(one.ops->check(&one, &first, &c, &e), ERR_MISSING);
	assert_true(agent_tunnel(a, STR("lo"), true, &i) == false);
	agent_conf_done(&c);
	agent_conf_done(&first);
	closed(a);
}

struct seen {
	unsigned n, until;
	char last[PREFIX_TEXT_MAX + 40];
};

static bool see(void *arg, const char *ifname, const struct ip_prefix *address)
{
	struct seen *s = arg;
	char text[PREFIX_TEXT_MAX];

	ip_prefix_format(text, address);
	(void)snprintf(s->last, sizeof s->last, "%s %s", ifname, text);
	return ++s->n != s->until;
}

/* For who asks which networks are taken: those that are down are not on the host. */
static void tells_which_addresses_are_to_be(void **state)
{
	struct agent *a = opened();
	struct seen s = { 0 };

	(void)state;
	assert_true(tunnels_down_walk(tunnels, see, &s));
	assert_int_equal(s.n, 0);
	(void)made(a, "qt_one", "10.9.0.1/24");
	(void)made(a, "qt_two", "fd09::1/64");
	assert_true(tunnels_down_walk(tunnels, see, &s));
	assert_int_equal(s.n, 2);
	assert_string_equal(s.last, "qt_two fd09::1/64");
	s = (struct seen){ .until = 1 };
	assert_false(tunnels_down_walk(tunnels, see, &s));
	assert_string_equal(s.last, "qt_one 10.9.0.1/24");
	closed(a);
}

static void has_room_for_fifteen(void **state)
{
	struct agent *a = opened();
	struct agent_conf none = { 0 }, c;
	struct agent_iface i, all[AGENT_IFACES_MAX];
	char name[16], address[20];
	struct err e = { 0 };

	(void)state;
	for (unsigned k = 0; k < STORE_TUNNELS_MAX; k++) {
		(void)snprintf(name, sizeof name, "qt_%u", k);
		(void)snprintf(address, sizeof address, "10.%u.0.1/24", 20 + k);
		(void)made(a, name, address);
	}
	assert_int_equal(agent_ifaces(a, all), AGENT_IFACES_MAX);
	assert_string_equal(all[0].ifname, "wg_main");
	assert_string_equal(all[2].ifname, "qt_1");
	assert_string_equal(all[3].ifname, "qt_10"); /* by name */
	assert_true(agent_tunnel(a, STR("qt_15"), true, &i));
	i.ops->begin(&i, &c);
	c.addresses[c.address_count++] = prefix("10.99.0.1/24");
	assert_int_equal(i.ops->check(&i, &none, &c, &e), ERR_IN_USE);
	assert_non_null(strstr(e.msg, "15"));
	closed(a);
}

static bool count_peers(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	unsigned *n = ctx;

	*n += 1 + 100 * (unsigned)p->allowed_ip_count;
	assert_true(!p->allowed_ip_count || ips[0].addr.family != IP_NONE);
	return true;
}

static void keeps_peers_of_any_network(void **state)
{
	struct agent *a = opened();
	struct agent_iface i = made(a, "qt_one", "10.9.0.1/24"), own = agent_own(a);
	struct ip_prefix ips[AGENT_PEER_IPS_MAX];
	struct agent_peer p = peer(1, ips, "192.168.7.9/24");
	struct public_key key = { .b = { 1, 7 } };
	struct err e = { 0 };
	unsigned n = 0;
	bool known = true;

	(void)state;
	ips[1] = prefix("192.168.7.0/24"); /* the same again */
	ips[2] = prefix("fd07::/48");
	p.ip_count = 3;
	assert_int_equal(i.ops->peer_store(&i, &p, &e), ERR_OK);
	assert_true(p.is_new && p.ip_count == 2);
	assert_true(ips[0].addr.b[3] == 0);
	/* What is not said stays. */
	p = (struct agent_peer){ .key = key, .ips = ips, .has_keepalive = true, .keepalive_s = 9 };
	assert_int_equal(i.ops->peer_store(&i, &p, &e), ERR_OK);
	assert_true(!p.is_new && p.ip_count == 2);
	p = peer(2, ips, "192.168.7.1/24");
	assert_int_equal(i.ops->peer_store(&i, &p, &e), ERR_EXISTS);
	p = peer(3, ips, "0.0.0.0/0");
	p.key = agent_tunnel_of(&i)->key;
	assert_int_equal(i.ops->peer_store(&i, &p, &e), ERR_INVALID);
	assert_int_equal(i.ops->walk(&i, count_peers, &n, &e), ERR_OK);
	assert_true(n == 201 ||
		    n == 202); /* one that was refused has no networks, outside of a transaction */
	assert_int_equal(own.ops->peer_known(&own, &key, &known, &e), ERR_OK);
	assert_false(known);
	assert_int_equal(i.ops->peer_remove(&i, &key, &e), ERR_OK);
	assert_int_equal(i.ops->peer_remove(&i, &key, &e), ERR_NOT_FOUND);
	closed(a);
}

static void file_of(struct wg_conf *out, const char *text)
{
	struct err e;

	if (wg_conf_parse(out, str_of(text), "test", &e))
		fail_msg("%s", e.msg);
}

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="
#define KEY_B "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI="
#define PEER(key, ips) "[Peer]\nPublicKey = " key "\nAllowedIPs = " ips "\n"

static void becomes_what_a_file_says(void **state)
{
	static const struct {
		const char *text;
		enum err_code rc;
		size_t added, changed, removed, unchanged;
		const char *why;
	} rows[] = {
		{ PEER(KEY_A, "10.9.0.2/32") PEER(KEY_B, "10.9.0.3/32, 172.16.0.0/12"), ERR_OK, 2,
		  0, 0, 0, "both are new" },
		{ PEER(KEY_B, "10.9.0.3/32, 172.16.0.9/12") PEER(KEY_A, "10.9.0.2/32"), ERR_OK, 0,
		  0, 0, 2, "the same in another order, with host bits" },
		{ PEER(KEY_A, "10.9.0.3/32") PEER(KEY_B, "10.9.0.2/32"), ERR_OK, 0, 2, 0, 0,
		  "they swap" },
		{ PEER(KEY_A, "10.9.0.3/32") PEER(KEY_B, "10.9.0.3/32"), ERR_EXISTS, 0, 0, 0, 0,
		  "one network of two" },
		{ PEER(KEY_A, "10.9.0.3/32") "Endpoint = somewhere.example:1\n", ERR_INVALID, 0, 0,
		  0, 0, "a name" },
		{ PEER(KEY_A, "10.9.0.3/32") "Endpoint = 192.0.2.1:1\n", ERR_OK, 0, 1, 1, 0,
		  "an endpoint; the other goes" },
		{ PEER(KEY_A, "10.9.0.3/32") "Endpoint = 192.0.2.1:1\n", ERR_OK, 0, 0, 0, 1,
		  "and stays" },
		{ "", ERR_OK, 0, 0, 1, 0, "nobody" },
	};
	struct agent *a = opened();
	struct agent_iface i = made(a, "qt_one", "10.9.0.1/24");

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
		struct agent_synced n = { 0 };
		struct wg_conf file = { 0 };
		struct err e = { 0 };
		enum err_code rc;

		file_of(&file, rows[k].text);
		rc = i.ops->sync(&i, &file, &n, &e);
		if (rc != rows[k].rc ||
		    (!rc && (n.added != rows[k].added || n.changed != rows[k].changed ||
			     n.removed != rows[k].removed || n.unchanged != rows[k].unchanged)))
			fail_msg("%s: %s (%zu %zu %zu %zu)", rows[k].why, e.msg, n.added, n.changed,
				 n.removed, n.unchanged);
		wg_conf_done(&file);
	}
	closed(a);
}

static void is_there_again_after_a_restart(void **state)
{
	struct agent *a = opened();
	struct agent_iface i = made(a, "qt_one", "10.9.0.1/24");
	struct agent_conf c, none = { 0 };
	struct err e;

	(void)state;
	tunnels_again();
	assert_true(agent_tunnel(a, STR("qt_one"), false, &i));
	assert_int_equal(i.ops->load(&i, &c, &e), ERR_OK);
	assert_int_equal(c.mtu, 1420);
	assert_true(i.ops->is_disabled(&i));
	assert_false(agent_is_up(&i));
	/* What was only about to be made is not there. */
	assert_true(agent_tunnel(a, STR("qt_two"), true, &i));
	i.ops->take(&i, &none);
	assert_false(agent_tunnel(a, STR("qt_two"), false, &i));
	assert_true(agent_tunnel(a, STR("qt_one"), false, &i));
	assert_int_equal(i.ops->remove(&i, &e), ERR_OK);
	i.ops->forget(&i);
	assert_false(agent_tunnel(a, STR("qt_one"), false, &i));
	agent_conf_done(&c);
	closed(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_addresses_of_hosts_only),
		cmocka_unit_test(refuses_what_others_have),
		cmocka_unit_test(tells_which_addresses_are_to_be),
		cmocka_unit_test(has_room_for_fifteen),
		cmocka_unit_test(keeps_peers_of_any_network),
		cmocka_unit_test(becomes_what_a_file_says),
		cmocka_unit_test(is_there_again_after_a_restart),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
