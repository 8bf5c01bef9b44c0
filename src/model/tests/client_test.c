/* client_test.c - names, JSON with and without secrets, wiping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/client.h"

#define FIFTY "abcdefghijABCDEFGHIJ0123456789-_-_-_-_-_abcdefghij"

static void checks_names(void **state)
{
	static const struct {
		struct str name;
		const char *part; /* of the message; NULL: accepted */
		const char *why;
	} rows[] = {
		{ STR("laptop"), NULL, "plain" },
		{ STR("a"), NULL, "the shortest" },
		{ STR(FIFTY), NULL, "the longest, with every kind of character" },
		{ STR("123"), NULL, "digits alone" },
		{ STR("servers"), NULL, "only begins like a reserved word" },
		{ STR(""), "empty", "empty" },
		{ STR(FIFTY "k"), "51 bytes", "too long" },
		{ STR("a b"), "\"a b\"", "a space" },
		{ STR("a\nPostUp = x"), "\"a\\x0aPostUp = x\"", "a line break is shown escaped" },
		{ STR("../x"), "letters", "a path" },
		{ STR("a.b"), "letters", "a dot" },
		{ STR("gr\xc3\xbcn"), "letters", "beyond ASCII" },
		{ STR("a\0b"), "\"a\\x00b\"", "a NUL" },
		{ STR("server"), "reserved", "a reserved word" },
		{ STR("Admin"), "reserved", "in any case" },
		{ STR("ROOT"), "reserved", "in any case" },
		{ STR("system"), "reserved", "system" },
		{ STR("ghost"), "reserved", "ghost" },
		{ STR("MultiHop"), "reserved", "multihop" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		enum err_code rc = client_name_check(rows[i].name, &e);

		if ((rc == ERR_OK) != (rows[i].part == NULL))
			fail_msg("row %zu: %s", i, rows[i].why);
		if (rc && !strstr(e.msg, rows[i].part))
			fail_msg("%s: the message says: %s", rows[i].why, e.msg);
		assert_int_equal(client_name_check(rows[i].name, NULL), rc);
	}
}

static void shows_a_name_of_ten_thousand(void **state)
{
	struct err e = { 0 };
	char name[10000];

	(void)state;
	memset(name, 'x', sizeof name);
	assert_int_equal(client_name_check((struct str){ name, sizeof name }, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "has 10000 bytes: at most 50"));
}

static struct client sample(void)
{
	struct client c = { .name = "laptop", .enabled = true };

	c.created_ns = 1795258047 * NS_PER_S;
	assert_true(ip_parse(STR("10.8.0.2"), &c.ip));
	memset(c.public_key.b, 1, KEY_LEN);
	memset(c.private_key.b, 2, KEY_LEN);
	memset(c.psk.b, 3, KEY_LEN);
	return c;
}

static void json_is(const struct client *c, bool secrets, const char *want)
{
	json_t *j = client_json(c, secrets);
	char *text;

	assert_non_null(j);
	text = json_dumps(j, JSON_COMPACT);
	assert_string_equal(text, want);
	free(text);
	json_decref(j);
}

#define PUBLIC "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define PRIVATE "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
#define SHARED "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="

static void writes_json(void **state)
{
	struct client c = sample();

	(void)state;
	json_is(&c, false,
		"{\"name\":\"laptop\",\"ip\":\"10.8.0.2\",\"public_key\":\"" PUBLIC
		"\",\"created\":\"2026-11-21T10:47:27\",\"enabled\":true}");
	assert_true(ip_parse(STR("fd00::2"), &c.ip6));
	c.enabled = false;
	json_is(&c, true,
		"{\"name\":\"laptop\",\"ip\":\"10.8.0.2\",\"ipv6\":\"fd00::2\",\"created\":"
		"\"2026-11-21T10:47:27\",\"enabled\":false,\"private_key\":\"" PRIVATE
		"\",\"public_key\":\"" PUBLIC "\",\"preshared_key\":\"" SHARED "\"}");
	client_done(&c);
}

static void wipes_secrets(void **state)
{
	static const uint8_t zero[KEY_LEN];
	struct client c = sample();

	(void)state;
	client_done(&c);
	assert_memory_equal(c.private_key.b, zero, KEY_LEN);
	assert_memory_equal(c.psk.b, zero, KEY_LEN);
	assert_string_equal(c.name, "laptop"); /* only the secrets go */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_names),
		cmocka_unit_test(shows_a_name_of_ten_thousand),
		cmocka_unit_test(writes_json),
		cmocka_unit_test(wipes_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
