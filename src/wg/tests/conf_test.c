/* conf_test.c - reading and writing of configuration files: what is taken, what is refused and how.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wg/conf.h"

#define K1 "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="
#define K2 "zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0="
#define I "[Interface]\n"
#define P "[Peer]\nPublicKey = " K1 "\n"

/* Read, then written. */
static const struct {
	const char *text;
	const char *canonical;
	const char *why;
} good[] = {
	{ "", I, "an empty file" },
	{ "# only a comment\n\n", I, "comments and blank lines" },
	{ I "PrivateKey = " K1, I "PrivateKey = " K1 "\n", "no newline at the end" },
	{ "\t[interface] \r\n privatekey\t= " K1 "\r\n", I "PrivateKey = " K1 "\n",
	  "any case, tabs, CRLF" },
	{ I "ListenPort=51820#x\n", I "ListenPort = 51820\n", "no spaces; a comment behind" },
	{ I "FwMark = 0xCA6c\n", I "FwMark = 0xca6c\n", "a hexadecimal mark" },
	{ I "FwMark = 51820\n", I "FwMark = 0xca6c\n", "a decimal mark" },
	{ I "FwMark = OFF\n", I "FwMark = off\n", "no mark" },
	{ I "Address = 10.0.0.1/24,fd00::1/64\nAddress=10.9.9.9\n",
	  I "Address = 10.0.0.1/24, fd00::1/64, 10.9.9.9/32\n", "addresses keep their host bits" },
	{ I "DNS = 9.9.9.9, example.org, ::1\nDNS = lan\n",
	  I "DNS = 9.9.9.9, ::1\nDNS = example.org,lan\n", "servers and search domains" },
	{ I "MTU = 1280\nTable = off\nSaveConfig = true\n",
	  I "MTU = 1280\nTable = off\nSaveConfig = true\n", "wg-quick's own keys" },
	{ I "SaveConfig = false\nTable = 1234\n", I "Table = 1234\n",
	  "the default is not written" },
	{ I "PostUp = iptables -A FORWARD -i %i; echo \"a = [b]\"\nPreUp = x\nPostUp = y\tz # z\n",
	  I "PostUp = iptables -A FORWARD -i %i; echo \"a = [b]\"\nPreUp = x\nPostUp = y\tz\n",
	  "commands keep their order and text" },
	{ P, I "\n" P, "a peer alone, as wg addconf takes it" },
	{ P "PresharedKey = " K2 "\nEndpoint = vpn.example.org:51820\nPersistentKeepalive = 25\n",
	  I "\n" P "PresharedKey = " K2
	    "\nEndpoint = vpn.example.org:51820\nPersistentKeepalive = 25\n",
	  "a host name stays a name" },
	{ P "Endpoint = [fe80::1%nosuchif0]:1\n", NULL, "a scope that this host does not have" },
	{ P "Endpoint = [2001:db8::1]:65535\nPersistentKeepalive = off\n",
	  I "\n" P "Endpoint = [2001:db8::1]:65535\nPersistentKeepalive = off\n", "IPv6, off" },
	{ P "AllowedIPs = 10.0.0.7/8 , ::/0\nAllowedIPs=192.0.2.1\nAllowedIPs =\n",
	  I "\n" P "AllowedIPs = 10.0.0.0/8, ::/0, 192.0.2.1/32\n",
	  "allowed IPs add up; host bits go; an empty line of them is fine" },
	{ P "PersistentKeepalive = 25\nAllowedIPs = ::/0\nEndpoint = 192.0.2.1:1\n",
	  I "\n" P "Endpoint = 192.0.2.1:1\nAllowedIPs = ::/0\nPersistentKeepalive = 25\n",
	  "the order of the reference (000, details 1.2)" },
	{ "# Client: alice #1\n" P "# bob\n[Peer]\nPublicKey = " K2 "\n",
	  I "\n# Client: alice #1\n" P "\n# Client: bob\n[Peer]\nPublicKey = " K2 "\n",
	  "names in comments" },
	{ P "AllowedIPs = 10.0.0.1/32\n[Peer]\n# bob\nPublicKey = " K2 "\n",
	  I "\n" P "AllowedIPs = 10.0.0.1/32\n\n# Client: bob\n[Peer]\nPublicKey = " K2 "\n",
	  "a name right behind [Peer]" },
	{ P "# bob\n", I "\n" P, "further down it is no name" },
	{ "# Client: alice\n[Peer]\n# bob\nPublicKey = " K2 "\n",
	  I "\n# Client: alice\n[Peer]\nPublicKey = " K2 "\n", "the one in front counts" },
	{ "# PresharedKey = " K2 "\n" P, I "\n" P, "what was switched off is no name" },
	{ "[Peer]\n#PresharedKey=" K2 "\nPublicKey = " K2 "\n", I "\n[Peer]\nPublicKey = " K2 "\n",
	  "nor is it behind [Peer]" },
	{ "# Client: a = b\n" P, I "\n# Client: a = b\n" P, "a name may say so" },
	{ "# not a name\n\n" P, I "\n" P, "a blank line parts comment and peer" },
	{ "# a\x1b[2Jb\n" P, I "\n" P, "a comment with control characters is no name" },
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct wg_conf c;
		struct err e = { 0 };
		struct buf b = { 0 }, again = { 0 };

		if (!good[i].canonical) { /* refused, but not for its form */
			assert_int_equal(wg_conf_parse(&c, str_of(good[i].text), "f", &e),
					 ERR_INVALID);
			continue;
		}
		if (wg_conf_parse(&c, str_of(good[i].text), "f", &e))
			fail_msg("%s: %s", good[i].why, e.msg);
		assert_int_equal(wg_conf_write(&b, &c, &e), ERR_OK);
		wg_conf_done(&c);
		if (!str_eq(buf_view(&b), str_of(good[i].canonical)))
			fail_msg("%s: wrote\n%s", good[i].why, b.p);

		assert_int_equal(wg_conf_parse(&c, buf_view(&b), "f", &e), ERR_OK);
		assert_int_equal(wg_conf_write(&again, &c, &e), ERR_OK);
		assert_string_equal(again.p, b.p);
		wg_conf_done(&c);
		buf_done(&again);
		buf_done(&b);
	}
}

/* Refused, with the whole message. */
static const struct {
	const char *text;
	enum err_code code;
	const char *msg;
} bad[] = {
	{ "PrivateKey = x", ERR_INVALID, "f:1: PrivateKey stands before any section" },
	{ I "nonsense\n", ERR_INVALID, "f:2: neither [Section] nor Key = value" },
	{ "[Intreface]\n", ERR_INVALID,
	  "f:1: unknown section [Intreface]; there are [Interface] and [Peer]" },
	{ I I, ERR_INVALID, "f:2: a second [Interface]" },
	{ I "PrivatKey = secret\n", ERR_INVALID,
	  "f:2: unknown key PrivatKey; did you mean PrivateKey?" },
	{ I "Zzzzzzzzzzzzzzzzzz = 1\n", ERR_INVALID, "f:2: unknown key Zzzzzzzzzzzzzzzzzz" },
	{ I "PublicKey = " K1, ERR_INVALID,
	  "f:2: PublicKey belongs in [Peer], not in [Interface]" },
	{ P "MTU = 1420", ERR_INVALID, "f:3: MTU belongs in [Interface], not in [Peer]" },
	{ I "\nMTU = 1420\nmtu = 1420\n", ERR_INVALID, "f:4: MTU stands twice in one section" },
	{ I "PrivateKey =\n", ERR_MISSING, "f:2: PrivateKey has no value" },
	{ I "PrivateKey = " K1 "x\n", ERR_INVALID,
	  "f:2: PrivateKey: not a key; a key is 44 characters of base64 and ends in =" },
	{ I "ListenPort = 65536\n", ERR_INVALID, "f:2: ListenPort = 65536: a port is 0 to 65535" },
	{ I "FwMark = 0x100000000\n", ERR_INVALID,
	  "f:2: FwMark = 0x100000000: a mark is a 32-bit number, 0x... or off" },
	{ I "FwMark = 0x\n", ERR_INVALID,
	  "f:2: FwMark = 0x: a mark is a 32-bit number, 0x... or off" },
	{ I "MTU = 575\n", ERR_INVALID, "f:2: MTU = 575: an MTU is 576 to 65535" },
	{ I "Address = 10.0.0.1/33\n", ERR_INVALID,
	  "f:2: Address = 10.0.0.1/33: not an address such as 10.0.0.1/24" },
	{ I "DNS = a b\n", ERR_INVALID, "f:2: DNS = a b: neither an address nor a search domain" },
	{ I "Table = main; reboot\n", ERR_INVALID,
	  "f:2: Table = main; reboot: a table is off, auto or a number" },
	{ I "SaveConfig = yes\n", ERR_INVALID, "f:2: SaveConfig = yes: true or false" },
	{ I "PostUp = a\x01z\n", ERR_INVALID, "f:2: control character \\x01" },
	{ "[Peer]\nAllowedIPs = ::/0\n", ERR_MISSING, "f:1: this [Peer] has no PublicKey" },
	{ I "[Peer]\n" P, ERR_MISSING, "f:2: this [Peer] has no PublicKey" },
	{ P I P, ERR_EXISTS, "f:4: peer " K1 " stands in line 1 already" },
	{ P "Endpoint = example.org\n", ERR_INVALID,
	  "f:3: Endpoint = example.org: not host:port, 192.0.2.1:port or [IPv6]:port" },
	{ P "Endpoint = example.org:0\n", ERR_INVALID,
	  "f:3: Endpoint = example.org:0: not host:port, 192.0.2.1:port or [IPv6]:port" },
	{ P "Endpoint = $(reboot):1\n", ERR_INVALID,
	  "f:3: Endpoint = $(reboot):1: not host:port, 192.0.2.1:port or [IPv6]:port" },
	{ P "AllowedIPs = ::/0, 1.2.3.4/x\n", ERR_INVALID,
	  "f:3: AllowedIPs = 1.2.3.4/x: not a network such as 10.0.0.0/24" },
	{ P "AllowedIPs = ::/0,,::/1\n", ERR_INVALID,
	  "f:3: AllowedIPs = : not a network such as 10.0.0.0/24" },
	{ P "PersistentKeepalive = 65536\n", ERR_INVALID,
	  "f:3: PersistentKeepalive = 65536: 0 to 65535 seconds, or off" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct wg_conf c;
		struct err e = { 0 };
		enum err_code rc = wg_conf_parse(&c, str_of(bad[i].text), "f", &e);

		if (rc != bad[i].code || strcmp(e.msg, bad[i].msg) != 0)
			fail_msg("wanted \"%s\", got %s: \"%s\"", bad[i].msg, err_name(rc), e.msg);
	}
}

static void test_fields(void **state)
{
	struct wg_conf c;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(wg_conf_parse(&c,
				       STR(I "PrivateKey = " K2
					     "\nListenPort = 7\n# Client: zoe\n" P
					     "PersistentKeepalive = 0\n"),
				       "f", &e),
			 ERR_OK);
	assert_true(c.has_private_key && c.has_listen_port && !c.has_fwmark && !c.has_mtu);
	assert_int_equal(c.private_key.b[0], 0xcd);
	assert_int_equal(c.listen_port, 7);
	assert_int_equal(c.peer_count, 1);
	assert_string_equal(c.peers[0].name, "zoe");
	assert_int_equal(c.peers[0].public_key.b[31], 0xab);
	assert_true(c.peers[0].has_keepalive && !c.peers[0].has_psk);
	assert_null(c.peers[0].endpoint);
	wg_conf_done(&c);
}

/* A value of ours that would open a line or a comment is refused, whatever field it is in. */
static void test_write_refuses(void **state)
{
	static char newline[] = "x\n[Peer]", hash[] = "a#b", escape[] = "\x1b", space[] = " x",
		    empty[] = "", host[] = "-x:1";
	struct wg_conf_peer p = { 0 };
	struct wg_conf c = { .peers = &p, .peer_count = 1 };
	struct {
		char **field;
		char *value;
	} rows[] = {
		{ &p.name, newline },
		{ &p.name, escape },
		{ &p.name, empty },
		{ &p.endpoint, newline },
		{ &p.endpoint, host },
		{ &c.dns_search, newline },
		{ &c.dns_search, space },
		{ &c.table, newline },
		{ &c.table, hash },
		{ &c.commands[0].text, newline },
		{ &c.commands[0].text, hash },
		{ &c.commands[0].text, space },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = { 0 };
		struct err e = { 0 };

		c.command_count = rows[i].field == &c.commands[0].text;
		*rows[i].field = rows[i].value;
		if (wg_conf_write(&b, &c, &e) != ERR_INVALID)
			fail_msg("row %zu was written: %s", i, b.p);
		*rows[i].field = NULL;
		buf_done(&b);
	}
}

/* Limits: one more than each is refused. */
static void test_limits(void **state)
{
	static const struct {
		const char *line;
		unsigned n;
		enum err_code code;
	} rows[] = {
		{ "Address = 10.0.0.1/8\n", WG_CONF_ADDRESSES_MAX, ERR_FULL },
		{ "DNS = 10.0.0.1\n", WG_CONF_DNS_MAX, ERR_FULL },
		{ "PostUp = x\n", WG_CONF_COMMANDS_MAX, ERR_FULL },
		{ "DNS = abcdefghijklmno\n", WG_CONF_SEARCH_MAX / 16, ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = { 0 };
		struct wg_conf c;

		buf_z(&b, I);
		for (unsigned k = 0; k < rows[i].n; k++)
			buf_z(&b, rows[i].line);
		assert_int_equal(wg_conf_parse(&c, buf_view(&b), "f", NULL), ERR_OK);
		wg_conf_done(&c);
		buf_z(&b, rows[i].line);
		assert_int_equal(wg_conf_parse(&c, buf_view(&b), "f", NULL), rows[i].code);
		buf_done(&b);
	}
}

static void test_many(void **state)
{
	struct buf b = { 0 }, again = { 0 };
	struct err e = { 0 };
	struct wg_conf c;

	(void)state;
	for (unsigned i = 0; i <= WG_CONF_PEERS_MAX; i++) {
		uint8_t key[KEY_LEN] = { (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16) };
		char text[KEY_TEXT_MAX];

		base64_encode(text, key, sizeof key);
		if (i == WG_CONF_PEERS_MAX) {
			assert_int_equal(wg_conf_parse(&c, buf_view(&b), "f", &e), ERR_OK);
			assert_int_equal(c.peer_count, WG_CONF_PEERS_MAX);
			assert_int_equal(wg_conf_write(&again, &c, &e), ERR_OK);
			wg_conf_done(&c);
		}
		buf_printf(&b, "[Peer]\nPublicKey = %s\nAllowedIPs = 10.0.%u.%u\n", text,
			   i / 256 % 256, i % 256);
	}
	assert_int_equal(wg_conf_parse(&c, buf_view(&b), "f", &e), ERR_FULL);
	assert_string_equal(e.msg, "f:393217: more than 131072 peers");
	assert_int_equal(wg_conf_parse(&c, buf_view(&again), "f", &e), ERR_OK);
	wg_conf_done(&c);
	buf_done(&again);
	buf_clear(&b);
	for (unsigned i = 0; i <= WG_CONF_LINE_MAX; i++)
		buf_char(&b, '#');
	assert_int_equal(wg_conf_parse(&c, buf_view(&b), "f", &e), ERR_RANGE);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),   cmocka_unit_test(test_bad),
		cmocka_unit_test(test_fields), cmocka_unit_test(test_write_refuses),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
