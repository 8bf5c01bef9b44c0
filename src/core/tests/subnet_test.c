/* Checks of a new network, and the change: whole, or not at all, whatever fails. */
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
#include "core/backups.h"
#include "core/tests/fake_host.h"

static struct fake_host h;

static json_t *ask(const char *action, const char *params)
{
	char line[1024];

	(void)snprintf(line, sizeof line, "{\"module\":\"core\",\"action\":\"%s\",\"params\":%s}",
		       action, params);
	return fake_host_ask(&h, line);
}

static bool ok(const char *action, const char *params)
{
	json_t *answer = ask(action, params);
	bool is_ok = json_is_true(json_object_get(answer, "success"));

	json_decref(answer);
	return is_ok;
}

static int start(void **state)
{
	struct settings_given given = { 0 };

	(void)state;
	given.v[SETTING_NETWORK] = STR("10.8.0.0/24");
	given.v[SETTING_NETWORK6] = STR("fd00:8::/64");
	return fake_host_open(&h, &given) && ok("add_client", "{\"client_name\":\"a\"}") &&
			       ok("add_client", "{\"client_name\":\"b\"}") &&
			       ok("add_client", "{\"client_name\":\"c\"}") &&
			       ok("remove_client", "{\"client_name\":\"a\"}") &&
			       ok("add_client", "{\"client_name\":\"d\"}") /* gets .2 */
		       ? 0
		       : -1;
}

static int end(void **state)
{
	(void)state;
	fake_host_close(&h);
	return 0;
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

/* ---- checks ---- */

static const struct {
	const char *subnet;
	const char *refused; /* part of the error; NULL: fit */
	const char *why;
} rows[] = {
	{ "10.9.0.0/24", NULL, "another one" },
	{ "192.168.7.0/28", NULL, "the smallest" },
	{ "10.0.0.0/8", NULL, "the largest, around its own" },
	{ "10.8.0.0/25", NULL, "its own, smaller" },
	{ "10.8.0.0/16", NULL, "its own, larger" },
	{ "172.31.255.240/28", NULL, "the end of the second range" },
	{ "10.8.0.0/24", "current subnet already", "the same" },
	{ "10.9.0.0", "with a prefix length", "no length" },
	{ "10.9.0.0/33", "with a prefix length", "no such length" },
	{ "10.9.0/24", "with a prefix length", "three numbers" },
	{ "fd00::/64", "IPv4 network", "IPv6" },
	{ "x", "with a prefix length", "a word" },
	{ "10.9.0.1/24", "did you mean 10.9.0.0/24", "host bits" },
	{ "10.9.0.0/29", "/28 with 14 is the smallest", "six hosts" },
	{ "10.9.0.0/32", "smallest", "one" },
	{ "10.0.0.0/7", "/8 is the largest", "larger than it may be" },
	{ "8.8.8.0/24", "not private", "a public network" },
	{ "172.32.0.0/24", "not private", "behind the second range" },
	{ "192.0.0.0/8", "not private", "only partly private" },
	{ "100.64.0.0/24", "not private", "of RFC 6598" },
	{ "172.17.5.0/24", "172.17.0.0/16 of interface docker0", "inside another interface's" },
	{ "172.16.0.0/12", "docker0", "around another interface's" },
};

static void networks_are_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char params[128];
		const char *error;
		json_t *answer;
		bool valid;

		(void)snprintf(params, sizeof params, "{\"new_subnet\":\"%s\"}", rows[i].subnet);
		answer = ask("validate_subnet_change", params);
		valid = json_is_true(at(answer, "data/valid"));
		error = json_string_value(json_array_get(at(answer, "data/errors"), 0));
		if (valid != !rows[i].refused || (error && !strstr(error, rows[i].refused)))
			fail_msg("%s (%s): %s", rows[i].subnet, rows[i].why, error ? error : "fit");
		assert_true(valid == (at(answer, "data/ip_mapping_preview") != NULL));
		json_decref(answer);
	}
}

static void preview_is_in_order(void **state)
{
	json_t *answer = ask("validate_subnet_change", "{\"new_subnet\":\"10.9.0.0/24\"}");
	const json_t *m = at(answer, "data/ip_mapping_preview/mappings");

	(void)state;
	assert_int_equal(json_integer_value(at(answer, "data/ip_mapping_preview/total_mappings")),
			 4);
	assert_string_equal(json_string_value(at(m, "server/new")), "10.9.0.1");
	assert_string_equal(json_string_value(at(m, "d/old")),
			    "10.8.0.2"); /* by address, not name */
	assert_string_equal(json_string_value(at(m, "d/new")), "10.9.0.2");
	assert_string_equal(json_string_value(at(m, "b/new")), "10.9.0.3");
	assert_string_equal(json_string_value(at(m, "c/new")), "10.9.0.4");
	json_decref(answer);
}

static void room_for_a_fifth_more(void **state)
{
	char params[64];
	json_t *answer;

	(void)state;
	for (int i = 0; i < 8; i++) { /* 11 clients: 11 + 2 + 1 = 14 fit a /28 */
		(void)snprintf(params, sizeof params, "{\"client_name\":\"x%d\"}", i);
		assert_true(ok("add_client", params));
	}
	assert_true(ok("change_subnet", "{\"new_subnet\":\"10.9.0.0/28\",\"confirm\":true}"));
	assert_true(ok("change_subnet", "{\"new_subnet\":\"10.8.0.0/24\",\"confirm\":true}"));
	assert_true(ok("add_client", "{\"client_name\":\"y\"}")); /* 12 + 2 + 1 = 15 do not */
	answer = ask("change_subnet", "{\"new_subnet\":\"10.9.0.0/28\",\"confirm\":true}");
	assert_string_equal(json_string_value(at(answer, "code")), "VALIDATION_ERROR");
	assert_non_null(strstr(json_string_value(at(answer, "error")), "12 clients need 15"));
	json_decref(answer);
}

/* ---- the change ---- */

static const char *address_of(const char *name, char out[IP_TEXT_MAX])
{
	struct client c = { 0 };
	struct fake_peer *p;
	struct err e;

	assert_int_equal(store_client_by_name(h.core.store, str_of(name), &c, &e), ERR_OK);
	p = fake_host_peer(&h, &c.public_key);
	assert_non_null(p);
	assert_true(ip_eq(&p->allowed[0].addr, &c.ip)); /* store and device agree */
	assert_int_equal(p->allowed_count, 2);
	assert_true(ip_eq(&p->allowed[1].addr, &c.ip6));
	assert_int_equal(c.ip6.b[15], c.ip.b[3]); /* the same host number */
	ip_format(out, &c.ip);
	client_done(&c);
	return out;
}

static void all_are_at(const char *network, const char *d, const char *b, const char *c)
{
	char text[PREFIX_TEXT_MAX], ip[IP_TEXT_MAX];

	ip_prefix_format(text, &h.core.settings.network);
	assert_string_equal(text, network);
	ip_prefix_format(text, &h.network);
	assert_string_equal(text, network);
	assert_string_equal(address_of("d", ip), d);
	assert_string_equal(address_of("b", ip), b);
	assert_string_equal(address_of("c", ip), c);
}

static void backup_has(const char *id, const char *file, const char *text)
{
	struct buf content = { 0 };
	char path[256];
	struct stat st;
	struct err e = { 0 };

	(void)snprintf(path, sizeof path, "%s/backups/%s/%s", h.dir, id, file);
	assert_int_equal(file_read(&content, path, 1u << 20, &e), ERR_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	if (!strstr(buf_view(&content).p, text))
		fail_msg("%s has no %s: %s", file, text, content.p);
	assert_null(strstr(content.p, "private_key"));
	assert_null(strstr(content.p, "PrivateKey"));
	assert_null(strstr(content.p, "PresharedKey"));
	buf_done(&content);
}

static void all_move(void **state)
{
	json_t *answer = ask("change_subnet", "{\"new_subnet\":\"10.9.0.0/25\",\"confirm\":true}");
	const char *id = json_string_value(at(answer, "data/backup_id"));

	(void)state;
	assert_non_null(id);
	assert_string_equal(json_string_value(at(answer, "data/old_subnet")), "10.8.0.0/24");
	assert_int_equal(json_integer_value(at(answer, "data/clients_updated")), 3);
	assert_int_equal(json_object_size(at(answer, "data/ip_mapping")), 4);
	all_are_at("10.9.0.0/25", "10.9.0.2", "10.9.0.3", "10.9.0.4");
	backup_has(id, "clients.db", "10.8.0.2");
	backup_has(id, "phantom.json", "10.8.0.0/24");
	backup_has(id, "wg_main.conf", "10.8.0.1/24");
	backup_has(id, "firewall_rules.json", "inet qanat_wg_main");
	backup_has(id, "backup_metadata.json", "\"new_subnet\": \"10.9.0.0/25\"");
	json_decref(answer);
	assert_true(fake_host_reopen(&h)); /* durable */
	all_are_at("10.9.0.0/25", "10.9.0.2", "10.9.0.3", "10.9.0.4");
}

static void backup_make(const char *name, const char *file)
{
	char path[256];
	struct err e = { 0 };

	(void)snprintf(path, sizeof path, "%s/backups/%s", h.dir, name);
	assert_int_equal(dir_make(path, 0700, &e), ERR_OK);
	(void)snprintf(path, sizeof path, "%s/backups/%s/%s", h.dir, name, file);
	assert_int_equal(file_replace(path, "{}", 2, 0600, &e), ERR_OK);
}

static bool backup_there(const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/backups/%s", h.dir, name);
	return access(path, F_OK) == 0;
}

static void backups_are_tidied(void **state)
{
	char name[64];

	(void)state;
	backups_tidy(h.dir); /* none yet */
	for (unsigned i = 0; i < BACKUPS_MAX + 3; i++) {
		(void)snprintf(name, sizeof name, BACKUP_PREFIX "%u",
			       900 + i * 50); /* 3 and 4 digits */
		backup_make(name, BACKUP_METADATA);
	}
	backup_make(BACKUP_PREFIX "5000", "clients.db.tmp"); /* as after a crash */
	backup_make(BACKUP_PREFIX "5001", "wg_main.conf");
	backup_make(BACKUP_PREFIX "5002", "notes"); /* somebody's own */
	backup_make(BACKUP_PREFIX "x", "clients.db");
	backup_make("other", "clients.db");
	backups_tidy(h.dir);
	for (unsigned i = 0; i < BACKUPS_MAX + 3; i++) {
		(void)snprintf(name, sizeof name, BACKUP_PREFIX "%u", 900 + i * 50);
		if (backup_there(name) != (i >= 3))
			fail_msg("%s", name);
	}
	assert_false(backup_there(BACKUP_PREFIX "5000"));
	assert_false(backup_there(BACKUP_PREFIX "5001"));
	assert_true(backup_there(BACKUP_PREFIX "5002/notes"));
	assert_true(backup_there(BACKUP_PREFIX "x/clients.db"));
	assert_true(backup_there("other/clients.db"));
}

/* In place, where each takes the address that another had. */
static void all_move_up_and_down(void **state)
{
	(void)state;
	assert_true(ok("remove_client", "{\"client_name\":\"d\"}"));
	assert_true(ok("change_subnet", "{\"new_subnet\":\"10.8.0.0/28\",\"confirm\":true}"));
	assert_true(ok("add_client", "{\"client_name\":\"d\"}"));
	all_are_at("10.8.0.0/28", "10.8.0.4", "10.8.0.2", "10.8.0.3");
}

static void needs_a_yes(void **state)
{
	json_t *answer = ask("change_subnet", "{\"new_subnet\":\"10.9.0.0/24\"}");

	(void)state;
	assert_string_equal(json_string_value(at(answer, "code")), "VALIDATION_ERROR");
	json_decref(answer);
	all_are_at("10.8.0.0/24", "10.8.0.2", "10.8.0.3", "10.8.0.4");
}

static void refused_at(const char *what)
{
	json_t *answer = ask("change_subnet", "{\"new_subnet\":\"10.9.0.0/24\",\"confirm\":true}");
	const char *code = json_string_value(at(answer, "code"));

	if (!code || strcmp(code, "NETWORK_ERROR") != 0)
		fail_msg("%s: %s", what, code ? code : "done");
	assert_non_null(
		strstr(json_string_value(at(answer, "error")), "the subnet stays 10.8.0.0/24"));
	json_decref(answer);
	all_are_at("10.8.0.0/24", "10.8.0.2", "10.8.0.3", "10.8.0.4");
	assert_true(fake_host_reopen(&h));
	all_are_at("10.8.0.0/24", "10.8.0.2", "10.8.0.3", "10.8.0.4");
}

static void each_failure_puts_all_back(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		h.change_calls = 0;
		h.change_fails_at = i;
		refused_at("a peer");
	}
	h.change_fails_at = 0;
	h.applied = 0;
	h.apply_fails_at = 1;
	refused_at("the network");
	h.apply_fails_at = 0;
#ifdef QANAT_FAULT_POINTS
	static const char *const points[] = { "subnet.backup", "subnet.stored", "subnet.peer",
					      "subnet.peer:2", "subnet.peer:3", "subnet.applied",
					      "subnet.verify", "file.write",	"file.rename:3" };

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		assert_int_equal(setenv("QANAT_FAULT", points[i], 1), 0);
		fault_reload();
		refused_at(points[i]);
	}
	assert_int_equal(unsetenv("QANAT_FAULT"), 0);
	fault_reload();
#endif
	assert_true(ok("change_subnet", "{\"new_subnet\":\"10.9.0.0/24\",\"confirm\":true}"));
}

static void an_option_that_was_overruled(void **state)
{
	struct settings_given given = { 0 };
	struct settings s;
	struct err e;

	(void)state;
	given.v[SETTING_NETWORK] = STR("10.8.0.0/24");
	h.core.network_given = given.v[SETTING_NETWORK];
	assert_true(ok("change_subnet", "{\"new_subnet\":\"10.9.0.0/24\",\"confirm\":true}"));
	assert_int_equal(settings_load(&s, h.core.store, &given, &e), ERR_OK);
	assert_int_equal(s.network.addr.b[1], 9); /* what is stored counts */
	given.v[SETTING_NETWORK] = STR("10.7.0.0/24");
	assert_int_equal(settings_load(&s, h.core.store, &given, &e), ERR_INVALID);
}

static void info_is_given(void **state)
{
	json_t *answer = ask("get_subnet_info", "{}");

	(void)state;
	assert_string_equal(json_string_value(at(answer, "data/current_subnet")), "10.8.0.0/24");
	assert_int_equal(json_integer_value(at(answer, "data/subnet_size")), 256);
	assert_string_equal(json_string_value(at(answer, "data/server_ip")), "10.8.0.1");
	assert_string_equal(json_string_value(at(answer, "data/clients/clients/b/ip")), "10.8.0.3");
	assert_string_equal(json_string_value(at(answer, "data/main_interface/interface")), "eth0");
	assert_string_equal(json_string_value(at(answer, "data/main_interface/network")),
			    "203.0.113.0/24");
	json_decref(answer);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, end)
	const struct CMUnitTest tests[] = {
		T(networks_are_checked),
		T(preview_is_in_order),
		T(room_for_a_fifth_more),
		T(all_move),
		T(backups_are_tidied),
		T(all_move_up_and_down),
		T(needs_a_yes),
		T(each_failure_puts_all_back),
		T(an_option_that_was_overruled),
		T(info_is_given),
	};

	log_set_level(LOG_SILENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
