/* Files of other installations: what is read, what is refused, and that it is all or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "core/import.h"
#include "core/tests/fake_host.h"

static struct fake_host h;
static char from[256];

/* Keys of the files: secret n is n, n, n, ... clamped. */
static struct secret_key secret(uint8_t n)
{
	struct secret_key k;

	memset(k.b, n, sizeof k.b);
	secret_key_clamp(&k);
	return k;
}

static const char *secret_text(char out[KEY_TEXT_MAX], uint8_t n)
{
	struct secret_key k = secret(n);

	base64_encode(out, k.b, KEY_LEN);
	return out;
}

static const char *public_text(char out[KEY_TEXT_MAX], uint8_t n)
{
	struct secret_key k = secret(n);
	struct public_key p;

	public_key_of(&p, &k);
	public_key_text(out, &p);
	return out;
}

static int start(void **state)
{
	struct settings_given given = { 0 };

	(void)state;
	given.v[SETTING_NETWORK] = STR("10.8.0.0/24");
	given.v[SETTING_NETWORK6] = STR("fd00:8::/64");
	if (!fake_host_open(&h, &given))
		return -1;
	(void)snprintf(from, sizeof from, "%s/from", h.dir);
	return mkdir(from, 0700);
}

static int end(void **state)
{
	(void)state;
	fake_host_close(&h);
	return 0;
}

/* Writes a file of the installation; %P1 and %S1 become the keys of number 1. */
static void put(const char *name, const char *text)
{
	struct buf out = { 0 };
	char path[512], key[KEY_TEXT_MAX];
	struct err e = { 0 };

	for (const char *p = text; *p; p++) {
		if (*p == '%' && (p[1] == 'P' || p[1] == 'S')) {
			uint8_t n = (uint8_t)(p[2] - '0');

			buf_z(&out, p[1] == 'P' ? public_text(key, n) : secret_text(key, n));
			p += 2;
		} else {
			buf_char(&out, *p);
		}
	}
	(void)snprintf(path, sizeof path, "%s/%s", from, name);
	assert_int_equal(file_replace(path, buf_view(&out).p, out.n, 0600, &e), ERR_OK);
	buf_done(&out);
}

static void dir_put(const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", from, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static json_t *import(const char *file, bool dry_run)
{
	char line[1024];

	(void)snprintf(line, sizeof line,
		       "{\"module\":\"core\",\"action\":\"import_installation\",\"params\":"
		       "{\"path\":\"%s%s\",\"dry_run\":%s}}",
		       from, file, dry_run ? "true" : "false");
	return fake_host_ask(&h, line);
}

static const json_t *at(const json_t *root, const char *path)
{
	struct str rest = str_of(path), key;
	char name[64];

	while (root && str_cut(&rest, '/', &key)) {
		assert_true(str_copy(name, sizeof name, key));
		root = json_object_get(root, name);
	}
	return root;
}

#define PHANTOM                                                                              \
	"{\"version\":\"core-v1\",\"wireguard\":{\"interface\":\"wg_main\",\"port\":51999,"  \
	"\"network\":\"10.66.0.0/24\"},\"server\":{\"ip\":\"198.51.100.7\",\"private_key\":" \
	"\"%S9\",\"public_key\":\"%P9\"},\"tweaks\":"                                        \
	"{\"restart_service_after_client_creation\":true},\"dns\":{\"primary\":\"9.9.9.9\"," \
	"\"secondary\":\"149.112.112.112\"},\"multihop\":{\"enabled\":false}}"
#define ROW(n, name, ip)                                                            \
	"\"" n "\":{\"name\":\"" name "\",\"ip\":\"" ip "\",\"private_key\":\"%S" n \
	"\",\"public_key\":\"%P" n "\",\"preshared_key\":\"%S8\",\"created\":"      \
	"\"2025-01-30T10:15:00\",\"enabled\":true}"
#define CLIENTS                                                                                   \
	"{\"_default\":{" ROW("1", "john-laptop", "10.66.0.2") "," ROW(                           \
		"2", "alice-phone", "10.66.0.9") "},\"ip_assignments\":{\"1\":{\"ip\":"           \
						 "\"10.66.0.2\",\"client_name\":\"john-laptop\"," \
						 "\"assigned_at\":\"x\"}}}"
#define SERVER_CONF                                                                   \
	"[Interface]\nPrivateKey = %S9\nAddress = 10.66.0.1/24\nListenPort = 51999\n" \
	"PostUp = iptables -A FORWARD -i %i -j ACCEPT\n\n"
#define PEER(n, comment, ip) comment "[Peer]\nPublicKey = %P" n "\nAllowedIPs = " ip "\n\n"

static void phantom_put(void)
{
	dir_put("config");
	dir_put("data");
	put("config/phantom.json", PHANTOM);
	put("data/clients.db", CLIENTS);
	put("wg_main.conf", SERVER_CONF PEER("1", "# Client: john-laptop\n", "10.66.0.2/32")
				    PEER("3", "# by hand\n", "10.66.0.5/32"));
}

static struct client stored(const char *name)
{
	struct client c = { 0 };
	struct err e = { 0 };

	if (store_client_by_name(h.core.store, str_of(name), &c, &e))
		fail_msg("%s", e.msg);
	return c;
}

static void done(json_t *answer)
{
	if (!json_is_true(at(answer, "success")))
		fail_msg("%s", json_string_value(at(answer, "error")));
	json_decref(answer);
}

static void untouched(void)
{
	char text[PREFIX_TEXT_MAX];
	uint64_t total, enabled;
	struct err e;

	assert_int_equal(store_client_count(h.core.store, STR(""), &total, &enabled, &e), ERR_OK);
	assert_int_equal(total, 0);
	assert_int_equal(h.peer_count, 0);
	ip_prefix_format(text, &h.core.settings.network);
	assert_string_equal(text, "10.8.0.0/24");
	ip_prefix_format(text, &h.network);
	assert_string_equal(text, "10.8.0.0/24");
	assert_int_equal(h.device_port, 51820);
	assert_memory_equal(&h.device_key, &h.core.server_key, KEY_LEN);
}

static void a_phantom_installation(void **state)
{
	struct secret_key k = secret(9);
	struct public_key server;
	struct client c;
	json_t *answer;

	(void)state;
	phantom_put();
	answer = import("", true);
	assert_int_equal(json_array_size(at(answer, "data/clients")), 3);
	assert_int_equal(json_array_size(at(answer, "data/files")), 3);
	assert_int_equal(json_array_size(at(answer, "data/conflicts")), 0);
	done(answer);
	untouched(); /* a dry run */
	done(import("", false));
	public_key_of(&server, &k);
	assert_memory_equal(&h.device_key, &server, KEY_LEN);
	assert_memory_equal(&h.core.server_key, &server, KEY_LEN);
	assert_int_equal(h.device_port, 51999);
	assert_int_equal(h.peer_count, 3);
	assert_true(fake_host_reopen(&h)); /* durable */
	assert_memory_equal(&h.core.server_key, &server, KEY_LEN);
	assert_int_equal(h.core.settings.port, 51999);
	assert_int_equal(h.core.settings.dns[0].b[0], 9);
	assert_string_equal(h.core.settings.endpoint_host, "198.51.100.7");
	assert_true(h.core.settings.restart_after_add);
	c = stored("alice-phone");
	assert_int_equal(c.ip.b[3], 9);
	assert_int_equal(c.ip6.b[15], 9); /* IPv6 at the same host number */
	k = secret(2);
	assert_memory_equal(&c.private_key, &k, KEY_LEN); /* kept */
	assert_int_equal(c.created_ns / NS_PER_S, 1738232100);
	c = stored("by_hand"); /* a comment is made to fit */
	assert_true(ct_is_zero(&c.private_key, KEY_LEN));
	answer = fake_host_ask(&h, "{\"module\":\"core\",\"action\":\"export_client\",\"params\":"
				   "{\"client_name\":\"by_hand\"}}");
	assert_string_equal(json_string_value(at(answer, "code")), "CONFIG_ERROR");
	assert_non_null(strstr(json_string_value(at(answer, "error")), "was never here"));
	json_decref(answer);
}

static void files_of_wg_quick(void **state)
{
	struct secret_key k = secret(1);
	struct client c;

	(void)state;
	put("wg0.conf",
	    SERVER_CONF PEER("1", "", "10.66.0.2/32") PEER("2", "# John's phone\n", "10.66.0.3/32")
		    PEER("3", "", "10.66.0.4/32"));
	put("laptop.conf", "[Interface]\nPrivateKey = %S1\nAddress = 10.66.0.2/24\n"
			   "DNS = 9.9.9.9\n[Peer]\nPublicKey = %P9\nEndpoint = x.example:51999\n"
			   "AllowedIPs = 0.0.0.0/0\n");
	put("other.conf", "[Interface]\nPrivateKey = %S7\n[Peer]\nPublicKey = %P6\n"
			  "Endpoint = y.example:1\nAllowedIPs = 0.0.0.0/0\n");
	done(import("", false));
	c = stored("laptop"); /* by its own file, which has its key */
	assert_memory_equal(&c.private_key, &k, KEY_LEN);
	assert_true(ct_is_zero(&c.psk, KEY_LEN));
	c = stored("John_s_phone");
	assert_int_equal(c.ip.b[3], 3);
	c = stored("peer-4"); /* nobody named it */
	assert_int_equal(h.core.settings.dns[0].b[0], 9);
	assert_int_equal(h.peer_count, 3);
}

static void nobody_is_a_warning(void **state)
{
	json_t *answer;

	(void)state;
	put("phantom.json", PHANTOM);
	answer = import("/phantom.json", true);
	assert_string_equal(json_string_value(json_array_get(at(answer, "data/warnings"), 0)),
			    "there are no clients in the files");
	json_decref(answer);
}

static void one_file_of_wg_quick(void **state)
{
	(void)state;
	put("wg0.conf", SERVER_CONF PEER("1", "# a\n", "10.66.0.2/32"));
	done(import("/wg0.conf", false));
	assert_int_equal(h.peer_count, 1);
	/* More of the same server, beside the clients that are there. */
	put("wg0.conf", SERVER_CONF PEER("2", "# b\n", "10.66.0.3/32"));
	done(import("/wg0.conf", false));
	assert_int_equal(h.peer_count, 2);
}

/* The comments of the scripts by which many installations were made. */
static void names_of_scripts(void **state)
{
	static const char *const names[] = { "laptop",		"phone", "tablet",
					     "end_of_the_hall", "desk",	 "peer-7" };

	(void)state;
	put("wg0.conf",
	    SERVER_CONF PEER("1", "### Client laptop\n",
			     "10.66.0.2/32") PEER("2", "### begin phone ###\n", "10.66.0.3/32")
		    PEER("3", "### end phone ###\n# BEGIN_PEER tablet\n", "10.66.0.4/32")
			    PEER("4", "# END_PEER tablet\n# end of the hall\n",
				 "10.66.0.5/32") "[Peer]\n# desk\nPublicKey = %P5\nAllowedIPs = "
						 "10.66.0.6/32\n"
						 "# PresharedKey = %S7\n" PEER("6",
									       "# END_PEER desk\n",
									       "10.66.0.7/32"));
	done(import("/wg0.conf", false));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(stored(names[i]).ip.b[3], (int)i + 2);
}

/* What was switched off may be a key: it is neither a name nor said. */
static void a_key_is_no_name(void **state)
{
	char key[KEY_TEXT_MAX], *text;
	json_t *answer;

	(void)state;
	put("wg0.conf", SERVER_CONF PEER("1", "# PresharedKey = %S7\n", "10.66.0.2/32")
				PEER("2", "#PresharedKey=%S7\n", "10.66.0.3/32"));
	answer = import("/wg0.conf", true);
	text = json_dumps(answer, 0);
	assert_null(strstr(text, "PresharedKey"));
	assert_null(strstr(text, secret_text(key, 7)));
	assert_non_null(strstr(text, "peer-3"));
	free(text);
	json_decref(answer);
}

static const char *warning_at(const json_t *answer, size_t i)
{
	const char *text = json_string_value(json_array_get(at(answer, "data/warnings"), i));

	return text ? text : "";
}

#define SERVER6(address)                                                            \
	"[Interface]\nPrivateKey = %S9\nAddress = 10.66.0.1/24\nAddress = " address \
	"\nListenPort = 51999\n"

/* Clients keep their IPv6 addresses, and it is said where they cannot. */
static void ipv6_is_taken_over(void **state)
{
	static const struct {
		const char *conf, *warning; /* "": none */
		const char *ip6; /* of the client 10.66.0.2 */
		const char *why;
	} rows6[] = {
		{ SERVER6("fd42:42::1/64") PEER("1", "# a\n", "10.66.0.2/32, fd42:42::2/128"), "",
		  "fd42:42::2", "as it was" },
		{ SERVER6("fd42:42::1/64") PEER("1", "# a\n", "10.66.0.2/32, fd42:42::7/128"),
		  "client a: its IPv6 address becomes fd42:42::2; it was fd42:42::7", "fd42:42::2",
		  "another host number" },
		{ SERVER6("fd42:42::1/64") PEER("1", "# a\n", "10.66.0.2/32"), "", "fd42:42::2",
		  "the client had none" },
		{ SERVER6("fd42:42::5/64") PEER("1", "# a\n", "10.66.0.2/32"),
		  "the server's own address becomes fd42:42::1; it was fd42:42::5", "fd42:42::2",
		  "the server is not the first host" },
		{ SERVER6("fd42:42::1/112") PEER("1", "# a\n", "10.66.0.2/32"),
		  "the tunnel's IPv6 becomes another: network6 fd42:42::/112 must be", "fd00:8::2",
		  "a network too small" },
		{ SERVER6("fd42:42::1/64\nAddress = fd43::1/64") PEER("1", "# a\n", "10.66.0.2/32"),
		  "the IPv6 address fd43::1/64 is left out", "fd42:42::2", "two networks" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows6); i++) {
		const char *ip6;
		json_t *answer;

		put("wg0.conf", rows6[i].conf);
		answer = import("/wg0.conf", true);
		ip6 = json_string_value(
			json_object_get(json_array_get(at(answer, "data/clients"), 0), "ipv6"));
		if (!strstr(warning_at(answer, 0), rows6[i].warning) ||
		    (!*rows6[i].warning && *warning_at(answer, 0)) || !ip6 ||
		    strcmp(ip6, rows6[i].ip6) != 0)
			fail_msg("%s: %s, %s", rows6[i].why, ip6, warning_at(answer, 0));
		json_decref(answer);
	}
	put("wg0.conf", rows6[0].conf);
	done(import("/wg0.conf", false));
	assert_int_equal(h.core.settings.network6.addr.b[1], 0x42);
	assert_int_equal(stored("a").ip6.b[1], 0x42);
}

/* ---- what is against it ---- */

static const struct {
	const char *file, *text;
	const char *conflict; /* part of a sentence */
	const char *why;
} rows[] = {
	{ "clients.db", CLIENTS, "private key is not in the files", "no server" },
	{ "phantom.json",
	  "{\"server\":{\"private_key\":\"%S9\",\"public_key\":\"%P8\"},\"wireguard\":{\"network\":"
	  "\"10.66.0.0/24\"}}",
	  "server.public_key is not that of server.private_key", "another server's public key" },
	{ "clients.db",
	  "{\"_default\":{\"4\":{\"name\":5,\"ip\":\"10.66.0.2\",\"public_key\":\"%P1\"}}}",
	  "row 4: name is not a text", "a number for a name" },
	{ "clients.db", "{}", "private key is not in the files",
	  "a table without a row, and no server" },
	{ "wg0.conf", SERVER_CONF PEER("1", "# a\n", "10.66.0.1/32"), "no address for a client",
	  "the server's address" },
	{ "wg0.conf", SERVER_CONF PEER("1", "# a\n", "10.66.0.255/32"), "no address for a client",
	  "broadcast" },
	{ "wg0.conf", SERVER_CONF PEER("1", "# a\n", "10.67.0.2/32"), "no address for a client",
	  "another network" },
	{ "wg0.conf", SERVER_CONF PEER("1", "# a\n", "10.66.0.2/32, 192.168.5.0/24"),
	  "192.168.5.0/24 besides its address", "a network behind a client" },
	{ "wg0.conf", SERVER_CONF PEER("1", "# a\n", "fd00::2/128"), "no IPv4 address",
	  "IPv6 alone" },
	{ "wg0.conf",
	  SERVER_CONF PEER("1", "# a\n", "10.66.0.2/32") PEER("2", "# a\n", "10.66.0.3/32"),
	  "a and a have the same name", "a name twice" },
	{ "wg0.conf",
	  SERVER_CONF PEER("1", "# a\n", "10.66.0.2/32") PEER("2", "# b\n", "10.66.0.2/32"),
	  "have the same address", "an address twice" },
	{ "wg0.conf", SERVER_CONF PEER("9", "# a\n", "10.66.0.2/32"), "the server's own key",
	  "the server as a client" },
	{ "wg0.conf", SERVER_CONF PEER("1", "# root\n", "10.66.0.2/32"), "reserved",
	  "a name that is reserved" },
	{ "wg0.conf",
	  "[Interface]\nPrivateKey = %S9\nAddress = 172.17.3.1/24\nListenPort = 51999\n",
	  "overlaps with an address of interface docker0", "a network that is elsewhere" },
	{ "wg0.conf", "[Interface]\nPrivateKey = %S9\nAddress = 127.0.0.1/8\nListenPort = 51999\n",
	  "cannot be used for clients", "a network that is none" },
	{ "wg0.conf", "[Interface]\nPrivateKey = %S9\nListenPort = 51999\n",
	  "the network is not in the files", "no network" },
};

static bool has_conflict(const json_t *answer, const char *part)
{
	const json_t *list = at(answer, "data/conflicts"), *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		if (strstr(json_string_value(one), part))
			return true;
	}
	return false;
}

static void conflicts_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char path[512], file[64];
		json_t *answer;

		put(rows[i].file, rows[i].text);
		(void)snprintf(file, sizeof file, "/%s", rows[i].file);
		answer = import(file, true);
		if (!has_conflict(answer, rows[i].conflict)) {
			char *text = json_dumps(answer, JSON_INDENT(1));

			fail_msg("%s: %s", rows[i].why, text);
		}
		json_decref(answer);
		answer = import(file, false);
		assert_string_equal(json_string_value(at(answer, "code")), "VALIDATION_ERROR");
		json_decref(answer);
		untouched();
		(void)snprintf(path, sizeof path, "%s%s", from, file);
		assert_int_equal(unlink(path), 0);
	}
}

static const struct {
	const char *file, *text;
	const char *error;
	const char *why;
} broken[] = {
	{ "phantom.json", "{\"wireguard\":", "it is not JSON", "half a file" },
	{ "phantom.json", "{\"wireguard\":1,\"wireguard\":2}", "it is not JSON", "a key twice" },
	{ "phantom.json", "{\"x\":1}", "neither a phantom.json nor", "another file" },
	{ "wg0.conf", "[Interface]\nPrivateKey = x\n", "not a key", "no key" },
	{ "wg0.conf", "[Interface]\nBogus = 1\n", "Bogus", "an unknown name" },
};

static void broken_files_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		char file[64];
		json_t *answer;

		put(broken[i].file, broken[i].text);
		(void)snprintf(file, sizeof file, "/%s", broken[i].file);
		answer = import(file, false);
		assert_string_equal(json_string_value(at(answer, "code")), "CONFIG_ERROR");
		if (!strstr(json_string_value(at(answer, "error")), broken[i].error))
			fail_msg("%s: %s", broken[i].why, json_string_value(at(answer, "error")));
		json_decref(answer);
		untouched();
	}
}

static void refused_with(const char *file, const char *part)
{
	json_t *answer = import(file, false);
	const char *error = json_string_value(at(answer, "error"));

	if (!error || !strstr(error, part))
		fail_msg("%s: %s", file, error ? error : "imported");
	json_decref(answer);
	untouched();
}

static void nobody_is_led_elsewhere(void **state)
{
	char link[300], target[300];

	(void)state;
	refused_with("/nothing", "No such file");
	refused_with("", "neither phantom.json");
	put("secret", PHANTOM);
	(void)snprintf(target, sizeof target, "%s/secret", from);
	(void)snprintf(link, sizeof link, "%s/phantom.json", from);
	assert_int_equal(symlink(target, link), 0);
	refused_with("", "symbolic link");
	refused_with("/phantom.json", "symbolic link");
	assert_int_equal(unlink(link), 0);
	assert_int_equal(mkfifo(link, 0600), 0);
	refused_with("", "not a regular file");
	assert_int_equal(unlink(link), 0);
	(void)snprintf(link, sizeof link, "%s/config", from);
	assert_int_equal(symlink("/tmp", link), 0); /* a directory that is a link */
	refused_with("", "symbolic link");
}

static void two_servers_are_one_too_many(void **state)
{
	(void)state;
	put("wg0.conf", SERVER_CONF PEER("1", "# a\n", "10.66.0.2/32"));
	put("wg1.conf", SERVER_CONF PEER("2", "# b\n", "10.66.0.2/32"));
	refused_with("", "several servers, wg0.conf and wg1.conf");
}

static void another_server_beside_our_clients(void **state)
{
	json_t *answer;

	(void)state;
	answer = fake_host_ask(&h, "{\"module\":\"core\",\"action\":\"add_client\",\"params\":"
				   "{\"client_name\":\"ours\"}}");
	json_decref(answer);
	put("wg0.conf", SERVER_CONF PEER("1", "# a\n", "10.66.0.2/32"));
	answer = import("/wg0.conf", true);
	assert_true(has_conflict(answer, "another server's key"));
	assert_true(has_conflict(answer, "the port is 51820 here and 51999"));
	assert_true(has_conflict(answer, "the network is 10.8.0.0/24 here"));
	json_decref(answer);
	assert_int_equal(h.peer_count, 1);
}

/* Each key is found among many, the first of those that are there twice, and no other. */
static void clients_are_found_by_key(void **state)
{
	struct import m = { 0 };
	struct public_key k = { 0 };

	(void)state;
	assert_null(import_client_find(&m, &k));
	for (uint32_t i = 0; i < 3000; i++) {
		struct client *c = import_client_add(&m);

		assert_non_null(c);
		/* Only the last bytes differ now and then: they fall into one place. */
		memcpy(c->public_key.b + (i % 3 ? 0 : KEY_LEN - sizeof i), &i, sizeof i);
		if (i % 7 == 0)
			assert_ptr_equal(import_client_find(&m, &c->public_key), c);
	}
	import_client_add(&m)->public_key = m.clients[17].public_key;
	for (uint32_t i = 0; i < 3000; i++)
		assert_ptr_equal(import_client_find(&m, &m.clients[i].public_key), &m.clients[i]);
	assert_ptr_equal(import_client_find(&m, &m.clients[3000].public_key), &m.clients[17]);
	memset(&k, 0xee, sizeof k);
	assert_null(import_client_find(&m, &k));
	assert_false(m.no_memory);
	import_done(&m);
}

static void each_failure_puts_all_back(void **state)
{
	(void)state;
	phantom_put();
	for (unsigned i = 1; i <= 3; i++) {
		h.change_calls = 0;
		h.change_fails_at = i;
		refused_with("", "the device refused");
	}
	h.change_fails_at = 0;
	h.applied = 0;
	h.apply_fails_at = 1;
	refused_with("", "the network refused");
	h.apply_fails_at = 0;
#ifdef QANAT_FAULT_POINTS
	static const char *const points[] = { "import.stored", "import.live" };

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		assert_int_equal(setenv("QANAT_FAULT", points[i], 1), 0);
		fault_reload();
		refused_with("", points[i]);
	}
	assert_int_equal(unsetenv("QANAT_FAULT"), 0);
	fault_reload();
#endif
	done(import("", false));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, end)
	const struct CMUnitTest tests[] = {
		T(a_phantom_installation),
		T(files_of_wg_quick),
		T(one_file_of_wg_quick),
		T(nobody_is_a_warning),
		T(names_of_scripts),
		T(a_key_is_no_name),
		T(ipv6_is_taken_over),
		T(conflicts_are_named),
		T(broken_files_are_named),
		T(nobody_is_led_elsewhere),
		T(two_servers_are_one_too_many),
		T(another_server_beside_our_clients),
		cmocka_unit_test(clients_are_found_by_key),
		T(each_failure_puts_all_back),
	};

	log_set_level(LOG_SILENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
