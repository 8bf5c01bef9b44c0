#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "core/client_conf.h"
#include "core/tests/fake_host.h"

/* ---- texts of settings ---- */

static void parses_and_formats(void **state)
{
	static const struct {
		enum setting which;
		const char *in;
		const char *out; /* NULL: refused */
		const char *why;
	} rows[] = {
		{ SETTING_INTERFACE, "wg_main", "wg_main", "the default" },
		{ SETTING_INTERFACE, "a_b.c-d9", "a_b.c-d9", "all that is allowed" },
		{ SETTING_INTERFACE, "a=b", NULL,
		  "the file of a UAPI socket and more have the name" },
		{ SETTING_INTERFACE, "all", NULL, "all interfaces, in /proc/sys" },
		{ SETTING_INTERFACE, "default", NULL, "future ones, in /proc/sys" },
		{ SETTING_INTERFACE, "", NULL, "empty" },
		{ SETTING_INTERFACE, "sixteen_chars_xx", NULL, "longer than the kernel takes" },
		{ SETTING_INTERFACE, "-x", NULL, "looks like an option" },
		{ SETTING_INTERFACE, "..", NULL, "a directory in /proc/sys" },
		{ SETTING_INTERFACE, "a/b", NULL, "a path" },
		{ SETTING_INTERFACE, "a\nb", NULL, "a newline" },
		{ SETTING_PORT, "51820", "51820", "the default" },
		{ SETTING_PORT, "0", NULL, "no port" },
		{ SETTING_PORT, "65536", NULL, "too big" },
		{ SETTING_PORT, "51820x", NULL, "not whole" },
		{ SETTING_MTU, "576", "576", "the least" },
		{ SETTING_MTU, "575", NULL, "below it" },
		{ SETTING_NETWORK, "10.8.0.0/24", "10.8.0.0/24", "the default" },
		{ SETTING_NETWORK, "10.0.0.0/8", "10.0.0.0/8", "the largest" },
		{ SETTING_NETWORK, "10.0.0.0/7", NULL, "larger" },
		{ SETTING_NETWORK, "10.8.0.0/30", "10.8.0.0/30", "one client" },
		{ SETTING_NETWORK, "10.8.0.0/31", NULL, "no client" },
		{ SETTING_NETWORK, "100.64.0.0/10", "100.64.0.0/10", "shared, and usable" },
		{ SETTING_NETWORK, "0.0.0.0/8", NULL, "this network" },
		{ SETTING_NETWORK, "127.1.0.0/16", NULL, "loopback" },
		{ SETTING_NETWORK, "169.254.8.0/24", NULL, "link-local" },
		{ SETTING_NETWORK, "169.0.0.0/8", NULL, "has link-local in it" },
		{ SETTING_NETWORK, "224.0.0.0/24", NULL, "multicast" },
		{ SETTING_NETWORK, "239.8.0.0/24", NULL, "multicast, to its end" },
		{ SETTING_NETWORK, "240.0.0.0/24", NULL, "reserved" },
		{ SETTING_NETWORK, "255.255.255.0/24", NULL, "with broadcast" },
		{ SETTING_NETWORK, "10.8.0.1/24", NULL, "host bits" },
		{ SETTING_NETWORK, "10.8.0.0", NULL, "no length" },
		{ SETTING_NETWORK, "fd00::/64", NULL, "the other family" },
		{ SETTING_NETWORK, "10.8.0.0/24\n", NULL, "a newline" },
		{ SETTING_NETWORK6, "none", "none", "off" },
		{ SETTING_NETWORK6, "fd00:8::/64", "fd00:8::/64", "given" },
		{ SETTING_NETWORK6, "fd00:8::/48", "fd00:8::/48", "a whole site" },
		{ SETTING_NETWORK6, "fd00::/47", NULL, "more than a site" },
		{ SETTING_NETWORK6, "2001:db8:8::/104", "2001:db8:8::/104", "the smallest" },
		{ SETTING_NETWORK6, "fd00:8::/105", NULL, "too small for the IPv4 hosts" },
		{ SETTING_NETWORK6, "::/64", NULL, "unspecified and loopback are in it" },
		{ SETTING_NETWORK6, "64:ff9b::/96", NULL, "translated addresses" },
		{ SETTING_NETWORK6, "fe80::/64", NULL, "link-local" },
		{ SETTING_NETWORK6, "febf:1::/64", NULL, "link-local, to its end" },
		{ SETTING_NETWORK6, "ff02::/64", NULL, "multicast" },
		{ SETTING_NETWORK6, "10.8.0.0/24", NULL, "the other family" },
		{ SETTING_ENDPOINT, "auto", "auto", "the default" },
		{ SETTING_ENDPOINT, "vpn.example.com", "vpn.example.com", "a name" },
		{ SETTING_ENDPOINT, "vpn.example.com:443", "vpn.example.com:443", "and a port" },
		{ SETTING_ENDPOINT, "192.0.2.1:443", "192.0.2.1:443", "IPv4 and a port" },
		{ SETTING_ENDPOINT, "2001:db8::1", "[2001:db8::1]", "IPv6" },
		{ SETTING_ENDPOINT, "[2001:db8::1]:443", "[2001:db8::1]:443", "IPv6 and a port" },
		{ SETTING_ENDPOINT, "[192.0.2.1]:443", NULL, "IPv4 in brackets" },
		{ SETTING_ENDPOINT, "[2001:db8::1", NULL, "half a bracket" },
		{ SETTING_ENDPOINT, "[2001:db8::1]443", NULL, "no colon" },
		{ SETTING_ENDPOINT, "host:", NULL, "no port" },
		{ SETTING_ENDPOINT, ":443", NULL, "no host" },
		{ SETTING_ENDPOINT, "host:0", NULL, "port 0" },
		{ SETTING_ENDPOINT, "a:b:c", NULL, "too many colons for a name" },
		{ SETTING_ENDPOINT, "a b", NULL, "a space" },
		{ SETTING_ENDPOINT, "a\nPostUp = x", NULL, "a line of its own" },
		{ SETTING_ENDPOINT, "", NULL, "empty" },
		{ SETTING_DNS_PRIMARY, "9.9.9.9", "9.9.9.9", "IPv4" },
		{ SETTING_DNS_SECONDARY, "2620:fe::fe", "2620:fe::fe", "IPv6" },
		{ SETTING_DNS_SECONDARY, "none", "none", "no second" },
		{ SETTING_DNS_PRIMARY, "dns.example", NULL, "a name" },
		{ SETTING_RESTART_AFTER_ADD, "true", "true", "on" },
		{ SETTING_RESTART_AFTER_ADD, "yes", NULL, "neither true nor false" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings s = { .ifname = "untouched" };
		struct buf text = { 0 };
		struct err e = { 0 };
		enum err_code rc = settings_parse(&s, rows[i].which, str_of(rows[i].in), &e);

		if ((rc == ERR_OK) != (rows[i].out != NULL))
			fail_msg("\"%s\": %s: %s", rows[i].in, rows[i].why, e.msg);
		if (rc) {
			assert_null(memchr(e.msg, '\n', strlen(e.msg)));
			assert_string_equal(s.ifname, "untouched");
			continue;
		}
		settings_format(&s, rows[i].which, &text);
		assert_string_equal(buf_view(&text).p, rows[i].out);
		buf_done(&text);
	}
}

static void makes_a_random_local_network(void **state)
{
	struct settings a = { 0 }, b = { 0 };
	struct ip_prefix first;

	(void)state;
	assert_int_equal(settings_parse(&a, SETTING_NETWORK6, STR("auto"), NULL), ERR_OK);
	assert_int_equal(settings_parse(&b, SETTING_NETWORK6, STR("auto"), NULL), ERR_OK);
	assert_int_equal(a.network6.addr.family, IP_V6);
	assert_int_equal(a.network6.addr.b[0], 0xfd); /* RFC 4193: fc00::/7 with the L bit */
	assert_int_equal(a.network6.len, 64);
	assert_false(ip_eq(&a.network6.addr, &b.network6.addr)); /* 2^-40 that it fails */
	first = a.network6;
	assert_int_equal(settings_parse(&a, SETTING_NETWORK6, STR("auto"), NULL), ERR_OK);
	assert_true(ip_eq(&a.network6.addr, &first.addr)); /* what there is stays */
}

static void hosts_of_a_network(void **state)
{
	struct settings s = { 0 };
	char text[PREFIX_TEXT_MAX];
	struct ip_prefix server;

	(void)state;
	assert_int_equal(settings_parse(&s, SETTING_NETWORK, STR("10.8.0.8/29"), NULL), ERR_OK);
	server = settings_server_address(&s.network);
	ip_prefix_format(text, &server);
	assert_string_equal(text, "10.8.0.9/29");
	assert_int_equal(settings_last_client(&s.network), 6); /* .14; .15 is broadcast */
}

static void refused_networks_are_named(void **state)
{
	static const struct {
		enum setting which;
		const char *in, *example;
	} rows[] = {
		{ SETTING_NETWORK, "127.0.0.0/24", "10.8.0.0/24" },
		{ SETTING_NETWORK, "10.8.0.0/31", "10.8.0.0/24" },
		{ SETTING_NETWORK, "10.8.0.0", "10.8.0.0/24" },
		{ SETTING_NETWORK6, "fe80::/64", "fd00:70:68::/64" },
		{ SETTING_NETWORK6, "fd00::/8", "fd00:70:68::/64" },
		{ SETTING_NETWORK6, "x", "fd00:70:68::/64" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings s = { 0 };
		struct err e = { 0 };

		assert_int_equal(settings_parse(&s, rows[i].which, str_of(rows[i].in), &e),
				 ERR_INVALID);
		if (!strstr(e.msg, rows[i].in) || !strstr(e.msg, rows[i].example))
			fail_msg("%s", e.msg);
	}
}

/* ---- stored ---- */

static void first_start_stores_later_ones_keep(void **state)
{
	static struct fake_host h;
	struct settings_given given = { 0 };
	struct ip_prefix ula;
	struct err e = { 0 };

	(void)state;
	given.v[SETTING_NETWORK] = STR("10.9.0.0/24");
	assert_true(fake_host_open(&h, &given));
	ula = h.core.settings.network6;
	assert_int_equal(ula.addr.family, IP_V6);
	assert_true(fake_host_reopen(&h)); /* without options */
	assert_int_equal(h.core.settings.network.addr.b[1], 9);
	assert_true(ip_eq(&h.core.settings.network6.addr, &ula.addr));
	assert_int_equal(h.core.settings.port, 51820);

	/* Without clients a network may change; other settings always.  Not before they are
	 * stored: a start that fails in between leaves nothing. */
	given.v[SETTING_NETWORK] = STR("10.10.0.0/24");
	given.v[SETTING_PORT] = STR("4000");
	assert_int_equal(settings_load(&h.core.settings, h.core.store, &given, &e), ERR_OK);
	assert_int_equal(h.core.settings.port, 4000);
	assert_true(fake_host_reopen(&h));
	assert_int_equal(h.core.settings.port, 51820);
	assert_int_equal(settings_load(&h.core.settings, h.core.store, &given, &e), ERR_OK);
	assert_int_equal(settings_store(&h.core.settings, h.core.store, &e), ERR_OK);
	assert_true(fake_host_reopen(&h));
	assert_int_equal(h.core.settings.network.addr.b[1], 10);
	assert_int_equal(h.core.settings.port, 4000);
	fake_host_close(&h);
}

static void clients_hold_their_network(void **state)
{
	static const struct {
		enum setting which;
		struct str v;
		bool ok;
		const char *why;
	} rows[] = {
		{ SETTING_NETWORK, STR("10.8.0.0/24"), true, "the same again" },
		{ SETTING_NETWORK, STR("10.8.0.0/25"), false, "another" },
		{ SETTING_NETWORK6, STR("auto"), true, "keeps what there is" },
		{ SETTING_NETWORK6, STR("none"), false, "clients have addresses in it" },
		{ SETTING_NETWORK6, STR("fd00:99::/64"), false, "another" },
		{ SETTING_PORT, STR("4001"), true, "clients need not be renumbered" },
		{ SETTING_MTU, STR("1279"), false, "IPv6 needs 1280" },
	};
	static struct fake_host h;
	const struct settings_given none = { 0 };
	json_t *answer;

	(void)state;
	assert_true(fake_host_open(&h, &none));
	answer = fake_host_ask(&h, "{\"module\":\"core\",\"action\":\"add_client\","
				   "\"params\":{\"client_name\":\"alice\"}}");
	assert_true(json_is_true(json_object_get(answer, "success")));
	json_decref(answer);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings_given given = { 0 };
		struct settings s = { 0 };
		struct err e = { 0 };
		enum err_code rc;

		given.v[rows[i].which] = rows[i].v;
		rc = settings_load(&s, h.core.store, &given, &e);
		if ((rc == ERR_OK) != rows[i].ok)
			fail_msg("%s: %s", rows[i].why, e.msg);
		if (rc)
			assert_int_equal(s.port, 0); /* untouched */
	}
	assert_true(fake_host_reopen(&h)); /* what was refused left nothing */
	assert_int_equal(h.core.settings.network.len, 24);
	assert_int_equal(h.core.settings.mtu, 1420);
	fake_host_close(&h);
}

static void damaged_settings_are_named(void **state)
{
	static struct fake_host h;
	const struct settings_given none = { 0 };
	struct settings s;
	struct err e = { 0 };

	(void)state;
	assert_true(fake_host_open(&h, &none));
	assert_int_equal(store_set_setting(h.core.store, "port", STR("many"), &e), ERR_OK);
	assert_int_equal(settings_load(&s, h.core.store, &none, &e), ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "port"));
	fake_host_close(&h);
}

/* ---- the client's file ---- */

static void writes_the_clients_file(void **state)
{
	static const struct {
		const char *network6, *endpoint;
		bool has_ip6, has_route;
		const char *want; /* between the keys; NULL: refused */
	} rows[] = {
		{ "fd00:8::/64", "auto", true, true,
		  "Address = 10.8.0.2/24, fd00:8::2/64\nDNS = 8.8.8.8, 1.1.1.1\nMTU = 1420\n|"
		  "Endpoint = 203.0.113.1:51820\n"
		  "AllowedIPs = 0.0.0.0/0, 10.8.0.0/24, ::/0, fd00:8::/64\n"
		  "PersistentKeepalive = 25\n" },
		{ "none", "[2001:db8::1]", false, false,
		  "Address = 10.8.0.2/24\nDNS = 8.8.8.8, 1.1.1.1\nMTU = 1420\n|"
		  "Endpoint = [2001:db8::1]:51820\n"
		  "AllowedIPs = 0.0.0.0/0, 10.8.0.0/24\nPersistentKeepalive = 25\n" },
		{ "none", "vpn.example.com:443", false, true,
		  "Address = 10.8.0.2/24\nDNS = 8.8.8.8, 1.1.1.1\nMTU = 1420\n|"
		  "Endpoint = vpn.example.com:443\n"
		  "AllowedIPs = 0.0.0.0/0, 10.8.0.0/24\nPersistentKeepalive = 25\n" },
		{ "none", "auto", false, false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings s = { .port = 51820, .mtu = 1420 };
		struct client c = { .name = "alice" };
		struct ip_addr route = { 0 };
		struct public_key server;
		char want[1024], keys[3][KEY_TEXT_MAX];
		struct buf text = { 0 };
		struct err e = { 0 };
		struct str rest = str_of(rows[i].want), first;
		enum err_code rc;

		assert_int_equal(settings_parse(&s, SETTING_NETWORK, STR("10.8.0.0/24"), &e), 0);
		assert_int_equal(settings_parse(&s, SETTING_NETWORK6, str_of(rows[i].network6), &e),
				 0);
		assert_int_equal(settings_parse(&s, SETTING_ENDPOINT, str_of(rows[i].endpoint), &e),
				 0);
		s.dns[0] = ip_v4((const uint8_t[]){ 8, 8, 8, 8 });
		s.dns[1] = ip_v4((const uint8_t[]){ 1, 1, 1, 1 });
		c.ip = ip_v4((const uint8_t[]){ 10, 8, 0, 2 });
		if (rows[i].has_ip6)
			assert_true(ip_prefix_host(&s.network6, 2, &c.ip6));
		if (rows[i].has_route)
			route = ip_v4((const uint8_t[]){ 203, 0, 113, 1 });
		secret_key_generate(&c.private_key);
		psk_generate(&c.psk);
		public_key_of(&server, &c.private_key);
		rc = client_conf_write(&text, &c, &s, &server, &route, &e);
		if (!rows[i].want) {
			assert_int_equal(rc, ERR_MISSING);
			assert_non_null(strstr(e.msg, "--endpoint"));
			continue;
		}
		assert_int_equal(rc, ERR_OK);
		base64_encode(keys[0], c.private_key.b, KEY_LEN);
		public_key_text(keys[1], &server);
		base64_encode(keys[2], c.psk.b, KEY_LEN);
		assert_true(str_cut(&rest, '|', &first));
		(void)snprintf(want, sizeof want,
			       "[Interface]\nPrivateKey = %s\n%.*s\n"
			       "[Peer]\nPublicKey = %s\nPresharedKey = %s\n%.*s",
			       keys[0], STR_ARG(first), keys[1], keys[2], STR_ARG(rest));
		assert_string_equal(text.p, want);
		buf_done(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_formats),
		cmocka_unit_test(makes_a_random_local_network),
		cmocka_unit_test(hosts_of_a_network),
		cmocka_unit_test(refused_networks_are_named),
		cmocka_unit_test(first_start_stores_later_ones_keep),
		cmocka_unit_test(clients_hold_their_network),
		cmocka_unit_test(damaged_settings_are_named),
		cmocka_unit_test(writes_the_clients_file),
	};

	log_set_level(LOG_SILENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
