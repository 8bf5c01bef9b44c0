#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/log.h"
#include "core/tests/fake_host.h"

static struct fake_host h;

static void open_with(const char *network)
{
	struct settings_given given = { 0 };

	given.v[SETTING_NETWORK] = str_of(network);
	given.v[SETTING_NETWORK6] = STR("fd00:8::/64");
	assert_true(fake_host_open(&h, &given));
}

static int start(void **state)
{
	(void)state;
	open_with("10.8.0.0/24");
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_host_close(&h);
	return 0;
}

/* ---- asking ---- */

static json_t *ask(const char *action, const char *params)
{
	char line[16384];

	(void)snprintf(line, sizeof line, "{\"module\":\"core\",\"action\":\"%s\",\"params\":%s}",
		       action, params);
	return fake_host_ask(&h, line);
}

static bool succeeded(const json_t *answer)
{
	return json_is_true(json_object_get(answer, "success"));
}

/* The data of an answer that must be a success; a new reference. */
static json_t *data_of(const char *action, const char *params)
{
	json_t *answer = ask(action, params), *data;

	if (!succeeded(answer))
		fail_msg("%s %s: %s", action, params,
			 json_string_value(json_object_get(answer, "error")));
	data = json_incref(json_object_get(answer, "data"));
	json_decref(answer);
	assert_non_null(data);
	return data;
}

static bool add(const char *name)
{
	char params[128];
	json_t *answer;
	bool ok;

	(void)snprintf(params, sizeof params, "{\"client_name\":\"%s\"}", name);
	answer = ask("add_client", params);
	ok = succeeded(answer);
	json_decref(answer);
	return ok;
}

/* Text at a path of keys, "a.b"; NULL when there is none. */
static const char *text_at(const json_t *root, const char *path)
{
	struct str rest = str_of(path), key;
	char name[64];

	while (root && str_cut(&rest, '.', &key)) {
		assert_true(str_copy(name, sizeof name, key));
		root = json_object_get(root, name);
	}
	return json_string_value(root);
}

static json_int_t int_at(const json_t *root, const char *a, const char *b)
{
	return json_integer_value(json_object_get(json_object_get(root, a), b));
}

/* The names of an object in their order. */
static void keys_are(const json_t *object, const char *want)
{
	struct buf got = { 0 };
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
		buf_printf(&got, "%s%s", got.n ? " " : "", key);
	assert_string_equal(buf_view(&got).p, want);
	buf_done(&got);
}

/* ---- what must always hold ---- */

static size_t agreed;

static bool client_is_live(void *ctx, const struct client *c)
{
	struct fake_peer *p = fake_host_peer(&h, &c->public_key);

	(void)ctx;
	agreed += p && p->allowed_count >= 1 && ip_eq(&p->allowed[0].addr, &c->ip) &&
		  p->allowed[0].len == 32 && memcmp(&p->info.psk, &c->psk, sizeof c->psk) == 0;
	return true;
}

/* Store and device hold the same clients; returns how many. */
static size_t store_and_live_agree(void)
{
	const struct client_query all = { .limit = UINT64_MAX };
	uint64_t total, enabled;
	struct err e = { 0 };

	agreed = 0;
	assert_int_equal(store_clients(h.core.store, &all, true, client_is_live, NULL, &e), 0);
	assert_int_equal(store_client_count(h.core.store, STR(""), &total, &enabled, &e), 0);
	assert_int_equal(agreed, total);
	assert_int_equal(h.peer_count, total);
	return agreed;
}

static bool stored(const char *name)
{
	struct client c = { 0 };
	struct err e = { 0 };
	enum err_code rc = store_client_by_name(h.core.store, str_of(name), &c, &e);

	client_done(&c);
	assert_true(rc == ERR_OK || rc == ERR_NOT_FOUND);
	return rc == ERR_OK;
}

/* ---- add, remove ---- */

static void adds_a_client(void **state)
{
	json_t *data = data_of("add_client", "{\"client_name\":\"john-laptop\"}");
	const struct fake_peer *p = &h.peers[0];
	char text[PREFIX_TEXT_MAX];

	(void)state;
	keys_are(data, "client message");
	keys_are(json_object_get(data, "client"), "name ip ipv6 public_key created enabled");
	assert_string_equal(text_at(data, "message"), "Client 'john-laptop' added successfully");
	assert_string_equal(text_at(data, "client.ip"), "10.8.0.2");
	assert_string_equal(text_at(data, "client.ipv6"), "fd00:8::2"); /* the same host number */
	assert_string_equal(text_at(data, "client.created"), "2026-01-30T10:00:00");
	assert_true(json_is_true(json_object_get(json_object_get(data, "client"), "enabled")));
	json_decref(data);
	assert_int_equal(store_and_live_agree(), 1);
	assert_int_equal(p->allowed_count, 2);
	ip_prefix_format(text, &p->allowed[1]);
	assert_string_equal(text, "fd00:8::2/128");
	assert_true(fake_host_reopen(&h));
	assert_true(stored("john-laptop"));
	assert_int_equal(h.applied, 0); /* the tweak is off */
}

static void removes_a_client(void **state)
{
	json_t *data;

	(void)state;
	assert_true(add("a") && add("b") && add("c"));
	data = data_of("remove_client", "{\"client_name\":\"b\"}");
	keys_are(data, "removed client_name client_ip");
	assert_true(json_is_true(json_object_get(data, "removed")));
	assert_string_equal(text_at(data, "client_ip"), "10.8.0.3");
	json_decref(data);
	assert_false(stored("b"));
	assert_int_equal(store_and_live_agree(), 2);
	data = data_of("add_client", "{\"client_name\":\"d\"}"); /* the hole is filled */
	assert_string_equal(text_at(data, "client.ip"), "10.8.0.3");
	json_decref(data);
}

static void says_that_the_pool_is_used_up(void **state)
{
	char name[] = "c0";
	json_t *answer;

	(void)state;
	fake_host_close(&h);
	open_with("10.8.0.0/29");
	for (int i = 0; i < 5; i++) {
		name[1] = (char)('0' + i);
		assert_true(add(name));
	}
	answer = ask("add_client", "{\"client_name\":\"one-more\"}");
	assert_string_equal(text_at(answer, "code"), "IP_ALLOCATION_ERROR");
	assert_non_null(strstr(text_at(answer, "error"), "all 5 addresses"));
	assert_non_null(strstr(text_at(answer, "error"), "10.8.0.0/29"));
	json_decref(answer);
	answer = ask("add_client", "{\"client_name\":\"c0\"}"); /* the duplicate is said first */
	assert_string_equal(text_at(answer, "code"), "CLIENT_EXISTS");
	json_decref(answer);
	assert_int_equal(store_and_live_agree(), 5);
}

/* ---- refusals ---- */

static void refuses(void **state)
{
	static char long_line[12000];
	static const struct {
		const char *line;
		const char *code;
		const char *says;
	} rows[] = {
		{ "", "VALIDATION_ERROR", "JSON" },
		{ "{}", "VALIDATION_ERROR", "module" },
		{ "[1,2]", "VALIDATION_ERROR", "object" },
		{ "{\"module\":\"core\",\"action\":\"add_client\",\"params\":[]}",
		  "VALIDATION_ERROR", "params" },
		{ "{\"module\":\"x\",\"action\":\"add_client\",\"params\":{}}", "MODULE_NOT_FOUND",
		  "x" },
		{ "{\"module\":\"core\",\"action\":\"fly\",\"params\":{}}", "ACTION_NOT_FOUND",
		  "fly" },
		{ "{\"module\":\"core\",\"action\":\"add_client\",\"params\":{}}",
		  "MISSING_PARAMETER", "client_name" },
		{ "{\"module\":\"core\",\"action\":\"add_client\",\"params\":{\"client_name\":1}}",
		  "INVALID_PARAMETER", "client_name" },
		{ "{\"module\":\"core\",\"action\":\"add_client\",\"params\":{\"client_name\":\"a"
		  "\\nb\"}}",
		  "INVALID_CLIENT_NAME", "\\x0a" },
		{ "{\"module\":\"core\",\"action\":\"add_client\",\"params\":{\"client_name\":\""
		  "Root\"}}",
		  "INVALID_CLIENT_NAME", "reserved" },
		{ "{\"module\":\"core\",\"action\":\"add_client\",\"params\":{\"client_name\":"
		  "\"taken\"}}",
		  "CLIENT_EXISTS", "taken" },
		{ long_line, "INVALID_CLIENT_NAME", "10000" },
		{ "{\"module\":\"core\",\"action\":\"remove_client\",\"params\":{\"client_name\":"
		  "\"nobody\"}}",
		  "CLIENT_NOT_FOUND", "nobody" },
		{ "{\"module\":\"core\",\"action\":\"export_client\",\"params\":{\"client_name\":"
		  "\"no\\u000abody\"}}",
		  "CLIENT_NOT_FOUND", "\\x0a" },
		{ "{\"module\":\"core\",\"action\":\"update_tweak_setting\",\"params\":{"
		  "\"setting_name\":\"x\",\"value\":true}}",
		  "VALIDATION_ERROR", "restart_service_after_client_creation" },
		{ "{\"module\":\"core\",\"action\":\"update_tweak_setting\",\"params\":{"
		  "\"setting_name\":\"restart_service_after_client_creation\",\"value\":1}}",
		  "VALIDATION_ERROR",
		  "value 1: restart_service_after_client_creation must be true or "
		  "false" },
		{ "{\"module\":\"core\",\"action\":\"update_tweak_setting\",\"params\":{"
		  "\"setting_name\":\"restart_service_after_client_creation\",\"value\":"
		  "\"ye\\ns\"}}",
		  "VALIDATION_ERROR", "value \"ye" },
	};
	char name[10001];

	(void)state;
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = 0;
	(void)snprintf(long_line, sizeof long_line,
		       "{\"module\":\"core\",\"action\":\"add_client\",\"params\":{"
		       "\"client_name\":\"%s\"}}",
		       name);
	assert_true(add("taken"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *answer = fake_host_ask(&h, rows[i].line);
		const char *error = text_at(answer, "error"), *code = text_at(answer, "code");

		assert_false(succeeded(answer));
		if (!error || !code || strcmp(code, rows[i].code) != 0 ||
		    !strstr(error, rows[i].says) || strlen(error) > 500)
			fail_msg("%.100s: %s: %s", rows[i].line, code ? code : "no code",
				 error ? error : "no error");
		json_decref(answer);
		assert_int_equal(store_and_live_agree(), 1);
	}
}

static void says_what_there_is(void **state)
{
	json_t *answer = fake_host_ask(&h, "{\"module\":\"x\",\"action\":\"y\",\"params\":{}}");
	const json_t *list = json_object_get(json_object_get(answer, "data"), "available_modules");
	size_t of_core = 0;

	(void)state;
	for (const struct action *a = api_actions; a->module; a++)
		of_core += strcmp(a->module, "core") == 0;
	assert_string_equal(json_string_value(json_array_get(list, 0)), "core");
	json_decref(answer);
	answer = ask("y", "{}");
	list = json_object_get(json_object_get(answer, "data"), "available_actions");
	assert_int_equal(json_array_size(list), of_core);
	assert_string_equal(text_at(answer, "metadata.module"), "core");
	assert_string_equal(text_at(answer, "metadata.action"), "y");
	json_decref(answer);
}

/* ---- lists, export, status ---- */

static void lists_pages(void **state)
{
	char name[16];
	json_t *data;
	const json_t *first;

	(void)state;
	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof name, "client-%d", i);
		assert_true(add(name));
	}
	data = data_of("list_clients", "{}");
	keys_are(data, "total clients pagination");
	keys_are(json_object_get(data, "pagination"),
		 "page per_page total_pages has_next has_prev showing_from showing_to");
	assert_int_equal(json_array_size(json_object_get(data, "clients")), 10);
	first = json_array_get(json_object_get(data, "clients"), 0);
	keys_are(first, "name ip ipv6 enabled created connected");
	assert_string_equal(text_at(first, "name"), "client-0");
	json_decref(data);

	data = data_of("list_clients", "{\"page\":99,\"per_page\":5,\"search\":\"CLIENT\"}");
	assert_int_equal(int_at(data, "pagination", "page"), 3);
	assert_int_equal(int_at(data, "pagination", "showing_from"), 11);
	assert_int_equal(json_array_size(json_object_get(data, "clients")), 2);
	json_decref(data);

	data = data_of("list_clients", "{\"search\":\"-11\"}");
	assert_int_equal(json_integer_value(json_object_get(data, "total")), 1);
	json_decref(data);

	data = data_of("latest_clients", "{\"count\":3}");
	keys_are(data, "latest_clients count total_clients");
	first = json_array_get(json_object_get(data, "latest_clients"), 0);
	assert_string_equal(text_at(first, "name"), "client-11");
	assert_int_equal(json_integer_value(json_object_get(data, "count")), 3);
	assert_int_equal(json_integer_value(json_object_get(data, "total_clients")), 12);
	json_decref(data);
}

static void shows_who_is_connected(void **state)
{
	static const struct {
		int64_t age_s; /* of the handshake; -1: none */
		bool connected;
		const char *why;
	} rows[] = {
		{ -1, false, "never" },	   { 0, true, "just now" },
		{ 60, true, "a minute" },  { 179, true, "nearly too old" },
		{ 180, false, "too old" },
	};

	(void)state;
	assert_true(add("a"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wg_peer_info *info = &h.peers[0].info;
		json_t *data, *client, *status;

		info->last_handshake_wall_ns =
			rows[i].age_s < 0 ? 0 : h.now_ns - rows[i].age_s * NS_PER_S;
		info->rx_bytes = 1200000000;
		info->tx_bytes = 450000000;
		info->endpoint = (struct endpoint){ ip_v4((const uint8_t[]){ 192, 0, 2, 7 }), 99 };
		data = data_of("list_clients", "{}");
		client = json_array_get(json_object_get(data, "clients"), 0);
		if (json_is_true(json_object_get(client, "connected")) != rows[i].connected ||
		    (json_object_get(client, "connection") != NULL) != rows[i].connected)
			fail_msg("%s", rows[i].why);
		if (rows[i].age_s == 60) {
			assert_string_equal(text_at(client, "connection.latest_handshake"),
					    "1 minute ago");
			assert_string_equal(text_at(client, "connection.transfer_rx"), "1.2 GB");
			assert_string_equal(text_at(client, "connection.transfer_tx"), "450 MB");
			assert_string_equal(text_at(client, "connection.endpoint"), "192.0.2.7:99");
		}
		json_decref(data);
		status = data_of("server_status", "{}");
		assert_int_equal(int_at(status, "clients", "active_connections"),
				 rows[i].connected);
		json_decref(status);
	}
}

static void exports_a_client(void **state)
{
	json_t *data;
	const json_t *client;
	const char *config;

	(void)state;
	assert_true(add("a"));
	data = data_of("export_client", "{\"client_name\":\"a\"}");
	keys_are(data, "client config");
	client = json_object_get(data, "client");
	config = text_at(data, "config");
	assert_non_null(strstr(config, text_at(client, "private_key")));
	assert_non_null(strstr(config, text_at(client, "preshared_key")));
	assert_non_null(strstr(config, "Endpoint = 203.0.113.1:51820\n"));
	json_decref(data);

	h.has_default_route = false;
	data = ask("export_client", "{\"client_name\":\"a\"}");
	assert_string_equal(text_at(data, "code"), "CONFIG_ERROR");
	json_decref(data);
}

static void shows_the_status(void **state)
{
	json_t *data;
	const json_t *peer;

	(void)state;
	assert_true(add("a"));
	data = data_of("server_status", "{}");
	keys_are(data, "service interface clients configuration system drops");
	keys_are(json_object_get(data, "service"), "running service_name started_at pid");
	assert_string_equal(text_at(data, "service.service_name"), "qanat-gateway");
	assert_string_equal(text_at(data, "service.started_at"), "2026-01-30 10:00:00");
	keys_are(json_object_get(data, "interface"),
		 "active interface peers public_key port rx_bytes tx_bytes");
	keys_are(json_object_get(data, "clients"),
		 "total_configured enabled_clients disabled_clients active_connections");
	keys_are(json_object_get(data, "system"),
		 "install_dir config_dir data_dir firewall wireguard_module");
	assert_string_equal(text_at(data, "system.firewall.status"), "active");
	assert_string_equal(text_at(data, "configuration.network"), "10.8.0.0/24");
	assert_true(json_is_true(
		json_object_get(json_object_get(data, "configuration"), "config_exists")));
	assert_int_equal(int_at(data, "drops", "replay"), 7);
	peer = json_array_get(json_object_get(json_object_get(data, "interface"), "peers"), 0);
	keys_are(peer, "name public_key allowed_ips latest_handshake rx_bytes tx_bytes transfer");
	assert_string_equal(text_at(peer, "allowed_ips"), "10.8.0.2/32, fd00:8::2/128");
	assert_string_equal(text_at(peer, "latest_handshake"), "never");
	json_decref(data);
}

/* ---- ufw, whose files are these ---- */

static const char *ufw_conf, *ufw_rules; /* NULL: it cannot be read */

static enum err_code ufw_open(void *ctx, const char *path, const char *name, int *out,
			      struct err *e)
{
	const char *text = strcmp(path, "/etc/ufw/ufw.conf") == 0     ? ufw_conf
			   : strcmp(path, "/etc/ufw/user.rules") == 0 ? ufw_rules
								      : NULL;

	(void)ctx;
	(void)name;
	if (!text)
		return err_sys(e, EACCES, "open %s", path);
	*out = memfd_create("ufw", MFD_CLOEXEC);
	assert_int_equal(write(*out, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(lseek(*out, 0, SEEK_SET), 0);
	return ERR_OK;
}

#define TUPLE(rest) "*filter\n### tuple ### " rest "\n-A ufw-user-input -j ACCEPT\n"

static void tells_what_ufw_says(void **state)
{
	static const struct {
		const char *conf, *rules, *status, *port;
	} rows[] = {
		{ NULL, NULL, "not installed", "allowed" },
		{ "ENABLED=no\n", TUPLE(""), "inactive", "allowed" },
		{ "# ufw\nENABLED=yes\n", NULL, "active", "unknown" },
		{ "ENABLED=yes\n", "", "active", "not allowed" },
		{ "ENABLED=yes\n", TUPLE("allow udp 51820 0.0.0.0/0 any 0.0.0.0/0 in"), "active",
		  "allowed" },
		{ "ENABLED=yes\n", TUPLE("limit any 51820 0.0.0.0/0 any 0.0.0.0/0 in"), "active",
		  "allowed" },
		{ "ENABLED=yes\n", TUPLE("allow udp 51000:52000 0.0.0.0/0 any 0.0.0.0/0 in"),
		  "active", "allowed" },
		{ "ENABLED=yes\n", TUPLE("allow udp 53,51810:51820 0.0.0.0/0 any 0.0.0.0/0 in"),
		  "active", "allowed" },
		{ "ENABLED=yes\n", TUPLE("allow udp 51821:52000 0.0.0.0/0 any 0.0.0.0/0 in"),
		  "active", "not allowed" },
		{ "ENABLED=yes\n", TUPLE("allow tcp 51820 0.0.0.0/0 any 0.0.0.0/0 in"), "active",
		  "not allowed" },
		{ "ENABLED=yes\n", TUPLE("allow udp 51820 0.0.0.0/0 any 192.0.2.0/24 in"), "active",
		  "not allowed" },
		{ "ENABLED=yes\n", TUPLE("allow udp 51820 0.0.0.0/0 any 0.0.0.0/0 out"), "active",
		  "not allowed" },
		{ "ENABLED=yes\n",
		  TUPLE("deny udp 51820 0.0.0.0/0 any 0.0.0.0/0 in")
			  TUPLE("allow udp 51820 0.0.0.0/0 any 0.0.0.0/0 in"),
		  "active", "not allowed" },
		{ "ENABLED=yes\n",
		  TUPLE("allow any any 0.0.0.0/0 any 0.0.0.0/0 in_eth0 comment=78"), "active",
		  "allowed" },
		{ "ENABLED=yes\n", TUPLE("allow udp 51820"), "active", "not allowed" },
	};

	(void)state;
	h.core.host.open_file = ufw_open;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *data;

		ufw_conf = rows[i].conf;
		ufw_rules = rows[i].rules;
		data = data_of("get_firewall_status", "{}");
		if (strcmp(text_at(data, "ufw.status"), rows[i].status) != 0 ||
		    strcmp(text_at(data, "ufw.port_51820"), rows[i].port) != 0)
			fail_msg("%s: %s, %s", rows[i].rules, text_at(data, "ufw.status"),
				 text_at(data, "ufw.port_51820"));
		json_decref(data);
	}
}

/* Only export_client shows secrets. */
static void shows_no_secrets(void **state)
{
	static const char *const actions[] = { "list_clients", "latest_clients", "server_status",
					       "get_tweak_settings" };
	char key[KEY_TEXT_MAX], psk[KEY_TEXT_MAX];
	struct client c = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_true(add("a"));
	assert_int_equal(store_client_by_name(h.core.store, STR("a"), &c, &e), ERR_OK);
	base64_encode(key, c.private_key.b, KEY_LEN);
	base64_encode(psk, c.psk.b, KEY_LEN);
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		json_t *data = data_of(actions[i], "{}");
		char *text = json_dumps(data, 0);

		assert_null(strstr(text, key));
		assert_null(strstr(text, psk));
		free(text);
		json_decref(data);
	}
	client_done(&c);
}

/* ---- the tweak ---- */

static void restarts_after_an_addition(void **state)
{
	const char *on = "{\"setting_name\":\"restart_service_after_client_creation\","
			 "\"value\":true}";
	struct wg_peer_change stranger = { .public_key = { .b = { 9 } },
					   .replace_allowed_ips = true };
	json_t *data = data_of("get_tweak_settings", "{}");
	struct err e = { 0 };

	(void)state;
	keys_are(data, "restart_service_after_client_creation "
		       "restart_service_after_client_creation_description");
	json_decref(data);
	data = data_of("update_tweak_setting", on);
	keys_are(data, "setting new_value old_value message description");
	assert_true(json_is_true(json_object_get(data, "new_value")));
	assert_true(json_is_false(json_object_get(data, "old_value")));
	json_decref(data);
	assert_true(fake_host_reopen(&h)); /* it is kept */
	assert_true(h.core.settings.restart_after_add);

	assert_int_equal(h.core.host.change_peer(&h, &stranger, &e), ERR_OK);
	assert_true(add("a"));
	assert_int_equal(h.applied, 1);
	assert_int_equal(store_and_live_agree(), 1); /* the stranger has gone */

	h.apply_fails = true;
	data = data_of("add_client", "{\"client_name\":\"b\"}"); /* it was added, whatever then */
	assert_non_null(strstr(text_at(data, "message"), "the network refused"));
	json_decref(data);
	assert_true(stored("b"));
}

static void restores_peers(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_true(add("a") && add("b"));
	h.peer_count = 0; /* a new device */
	assert_int_equal(core_restore_peers(&h.core, &e), ERR_OK);
	assert_int_equal(store_and_live_agree(), 2);
	h.change_fails_at = h.change_calls + 2;
	assert_int_equal(core_restore_peers(&h.core, &e), ERR_IO);
	assert_non_null(strstr(e.msg, "clients a to b"));
}

/* More than are set in one call, strangers and clients; what fails in a later call is seen too. */
static void restores_many(void **state)
{
	struct err e = { 0 };
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof name, "c%04u", i);
		assert_true(add(name));
	}
	h.peer_count = 0;
	for (uint8_t i = 0; i < 150; i++) {
		struct wg_peer_change stranger = { .public_key = { .b = { 9, i } },
						   .replace_allowed_ips = true };

		assert_int_equal(h.core.host.change_peer(&h, &stranger, &e), ERR_OK);
	}
	assert_int_equal(core_restore_peers(&h.core, &e), ERR_OK);
	assert_int_equal(store_and_live_agree(), 200);
	h.change_fails_at = h.change_calls + 190;
	assert_int_equal(core_restore_peers(&h.core, &e), ERR_IO);
	assert_non_null(strstr(e.msg, "to c0199"));
	assert_null(strstr(e.msg, "c0000"));
}

/* ---- whatever fails: an answer of success means both, an error neither ---- */

/* One action on a gateway with clients "old" and "gone"; returns whether it was a success. */
static bool attempt(const char *action, const char *name)
{
	char params[64];
	json_t *answer;
	bool ok;

	(void)snprintf(params, sizeof params, "{\"client_name\":\"%s\"}", name);
	answer = ask(action, params);
	ok = succeeded(answer);
	if (!ok)
		assert_non_null(text_at(answer, "error"));
	json_decref(answer);
	return ok;
}

static void outcome_holds(bool ok, const char *action, const char *name, const char *why)
{
	bool want = strcmp(action, "add_client") == 0 ? ok : !ok;

	if (stored(name) != want)
		fail_msg("%s %s after %s: stored is %d", action, name, why, !want);
	assert_int_equal(store_and_live_agree(), 2u + want - (name[0] == 'g'));
}

static const struct {
	const char *action, *name;
} attempts[] = { { "add_client", "new" }, { "remove_client", "gone" } };

/* ---- endpoints ---- */

static void put_at(const char *client, const char *endpoint)
{
	struct client c = { 0 };
	struct fake_peer *p;
	struct err e = { 0 };

	assert_int_equal(store_client_by_name(h.core.store, str_of(client), &c, &e), 0);
	p = fake_host_peer(&h, &c.public_key);
	assert_non_null(p);
	assert_true(endpoint_parse(str_of(endpoint), &p->info.endpoint));
	client_done(&c);
}

static void is_at(const char *client, const char *want)
{
	char live[ENDPOINT_TEXT_MAX];
	struct client c = { 0 };
	struct err e = { 0 };

	assert_int_equal(store_client_by_name(h.core.store, str_of(client), &c, &e), 0);
	endpoint_format(live, &fake_host_peer(&h, &c.public_key)->info.endpoint);
	client_done(&c);
	assert_string_equal(live, want);
}

static void save(void)
{
	struct err e = { 0 };

	if (core_save_endpoints(&h.core, &e))
		fail_msg("%s", e.msg);
}

/* What the next run begins with: the store, and a device that knows nothing. */
static void next_run(void)
{
	struct err e = { 0 };

	assert_true(fake_host_reopen(&h));
	h.peer_count = 0;
	if (core_restore_peers(&h.core, &e))
		fail_msg("%s", e.msg);
}

static off_t log_size(void)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/" STORE_FILE "-wal", h.dir);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void keeps_endpoints(void **state)
{
	struct err e = { 0 };
	off_t before;

	(void)state;
	assert_true(add("a") && add("b") && add("c"));
	put_at("a", "192.0.2.7:4500");
	put_at("b", "[2001:db8::7]:51820");
	save();
	next_run();
	is_at("a", "192.0.2.7:4500");
	is_at("b", "[2001:db8::7]:51820");
	is_at("c", "(none)");
	put_at("a", "192.0.2.8:1"); /* not saved: the run crashes */
	next_run();
	is_at("a", "192.0.2.7:4500");
	put_at("a", "192.0.2.8:1");
	assert_int_equal(core_restore_peers(&h.core, &e), ERR_OK);
	is_at("a", "192.0.2.8:1"); /* the device knows better */
	save();
	before = log_size();
	save();
	assert_int_equal(log_size(), before); /* nobody has moved: nothing is written */
	assert_int_equal(store_forget_endpoints(h.core.store, &e), ERR_OK);
	next_run();
	is_at("a", "(none)");
	is_at("b", "(none)");
	assert_int_equal(store_and_live_agree(), 3);
}

static uint16_t keepalive_of(const char *name)
{
	struct client c = { 0 };
	struct err e = { 0 };
	uint16_t s;

	assert_int_equal(store_client_by_name(h.core.store, str_of(name), &c, &e), 0);
	s = fake_host_peer(&h, &c.public_key)->info.keepalive_s;
	client_done(&c);
	return s;
}

static void calls_who_was_connected(void **state)
{
	static const struct {
		const char *name;
		int64_t age_s; /* of its last handshake when the next run starts */
		bool want;
		const char *why;
	} rows[] = {
		{ "now", 1, true, "connected" },
		{ "rekeys", 300, true, "may have shaken hands since it was stored" },
		{ "away", 361, false, "its session had ended in any case" },
		{ "future", -60, false, "the clock was set back" },
		{ "never", 0, false, "configured by hand, never there" },
	};
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_true(add(rows[i].name));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		put_at(rows[i].name, "192.0.2.7:4500");
		h.peers[i].info.last_handshake_wall_ns =
			rows[i].age_s ? FAKE_NOW_NS - rows[i].age_s * NS_PER_S : 0;
	}
	save();
	h.core.calling = true;
	h.now_ns = FAKE_NOW_NS; /* moves on by a second with each change */
	next_run();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (keepalive_of(rows[i].name) != (rows[i].want ? CORE_CALL_S : 0))
			fail_msg("%s: %s", rows[i].name, rows[i].why);
	}
	assert_int_equal(core_call_end(&h.core, &e), ERR_OK);
	assert_int_equal(store_and_live_agree(), ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(keepalive_of(rows[i].name), 0);
	next_run(); /* no longer */
	assert_int_equal(keepalive_of("now"), 0);
}

static void undoes_what_the_device_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		bool ok;

		fake_host_close(&h);
		open_with("10.8.0.0/24");
		assert_true(add("old") && add("gone"));
		h.change_fails_at = h.change_calls + 1;
		ok = attempt(attempts[i].action, attempts[i].name);
		assert_false(ok);
		outcome_holds(ok, attempts[i].action, attempts[i].name, "a refusal");
		assert_true(attempt(attempts[i].action, attempts[i].name)); /* and works then */
		outcome_holds(true, attempts[i].action, attempts[i].name, "a second try");
	}
}

static unsigned fail_in; /* allocations until one fails; 0: never */

static void *failing_malloc(size_t n)
{
	if (fail_in && --fail_in == 0)
		return NULL;
	return malloc(n);
}

/* Every allocation of the JSON library fails once. */
static void survives_each_lack_of_memory(void **state)
{
	unsigned tried = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		for (unsigned n = 1;; n++) {
			struct buf out = { 0 };
			char line[128];
			json_t *answer;
			bool answered, done, failed;

			fake_host_close(&h);
			open_with("10.8.0.0/24");
			assert_true(add("old") && add("gone"));
			(void)snprintf(line, sizeof line,
				       "{\"module\":\"core\",\"action\":\"%s\",\"params\":{"
				       "\"client_name\":\"%s\"}}",
				       attempts[i].action, attempts[i].name);
			fail_in = n;
			json_set_alloc_funcs(failing_malloc, free);
			answered = core_answer_line(&h.core, str_of(line), NULL, NULL, &out);
			failed = fail_in == 0;
			fail_in = 0;
			json_set_alloc_funcs(malloc, free);
			answer = answered ? json_loadb(out.p, out.n, 0, NULL) : NULL;
			done = stored(attempts[i].name) == (i == 0);
			/* No answer at all: the connection ends, and either may be true. */
			if (answer)
				assert_int_equal(succeeded(answer), done);
			outcome_holds(done, attempts[i].action, attempts[i].name, "no memory");
			json_decref(answer);
			buf_done(&out);
			tried++;
			if (!failed)
				break;
			assert_true(n < 1000);
		}
	}
	print_message("%u runs\n", tried);
	assert_true(tried > 20);
}

#ifdef QANAT_FAULT_POINTS

static void survives_each_failure(void **state)
{
	static const char *const points[] = { "db.begin",	"db.write",	"db.commit",
					      "store.read",	"add.inserted", "add.live",
					      "remove.deleted", "remove.live" };
	unsigned tried = 0, failures = 0;
	char fault[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attempts) * ARRAY_LEN(points); i++) {
		const char *action = attempts[i % 2].action, *name = attempts[i % 2].name;

		for (unsigned k = 1;; k++) {
			bool ok;

			fake_host_close(&h);
			open_with("10.8.0.0/24");
			assert_true(add("old") && add("gone"));
			(void)snprintf(fault, sizeof fault, "%s:%u", points[i / 2], k);
			(void)setenv("QANAT_FAULT", fault, 1);
			fault_reload();
			ok = attempt(action, name);
			(void)unsetenv("QANAT_FAULT");
			fault_reload();
			outcome_holds(ok, action, name, fault);
			assert_true(fake_host_reopen(&h));
			outcome_holds(ok, action, name, fault); /* and on the disk */
			tried++;
			failures += !ok;
			if (ok)
				break;
			assert_true(k < 100);
		}
	}
	print_message("%u runs, %u failures\n", tried, failures);
	assert_true(failures >= 10);
}

#else

static void survives_each_failure(void **state)
{
	(void)state;
	print_message("skipped: built without fault points\n");
	skip();
}

#endif

#define T(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(adds_a_client),
		T(removes_a_client),
		T(says_that_the_pool_is_used_up),
		T(refuses),
		T(says_what_there_is),
		T(lists_pages),
		T(shows_who_is_connected),
		T(exports_a_client),
		T(shows_the_status),
		T(tells_what_ufw_says),
		T(shows_no_secrets),
		T(restarts_after_an_addition),
		T(restores_peers),
		T(restores_many),
		T(keeps_endpoints),
		T(calls_who_was_connected),
		T(undoes_what_the_device_refuses),
		T(survives_each_lack_of_memory),
		T(survives_each_failure),
	};

	log_set_level(LOG_SILENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
