/* Files of variables, and what the host says of itself. */
#include "base/tests/cm.h"

#include "gateway/env_file.h"
#include "core/host_usage.h"

static const char *const allowed[] = { "QT_KEY", "QT_PATH", NULL };

static const struct {
	const char *text;
	const char *first, *second; /* entries; first NULL: refused, with `second` in the message */
	const char *why;
} rows[] = {
	{ "QT_KEY=a\nQT_PATH=b\n", "QT_KEY=a", "QT_PATH=b", "two" },
	{ "QT_KEY=a", "QT_KEY=a", NULL, "no newline at the end" },
	{ "# c\n\n  QT_KEY = a b \r\n", "QT_KEY=a b", NULL, "comments, blanks, CR" },
	{ "QT_KEY=\"a #b\"", "QT_KEY=a #b", NULL, "double quotes" },
	{ "QT_KEY='a\"b'", "QT_KEY=a\"b", NULL, "single quotes" },
	{ "QT_KEY=a=b", "QT_KEY=a=b", NULL, "a sign in the value" },
	{ "QT_KEY=$HOME", "QT_KEY=$HOME", NULL, "nothing is replaced" },
	{ "QT_KEY=", "QT_KEY=", NULL, "an empty value" },
	{ "QT_KAY=a", NULL, "f:1: \"QT_KAY\" is not known; did you mean QT_KEY?", "a wrong name" },
	{ "export QT_KEY=a", "QT_KEY=a", NULL, "a shell's word" },
	{ "export", NULL, "f:1: no NAME=VALUE", "the word alone" },
	{ "\nexported QT_KEY=a", NULL, "f:2: ", "another word" },
	{ "QT_KEY=a # b", "QT_KEY=a", NULL, "a comment behind the value" },
	{ "QT_KEY=a#b", "QT_KEY=a#b", NULL, "a sign in the value, no blank before it" },
	{ "QT_KEY= # b", "QT_KEY=", NULL, "a comment alone" },
	{ "QT_KEY='a' # b", "QT_KEY=a", NULL, "a comment behind the quotes" },
	{ "QT_KEY", NULL, "f:1: no NAME=VALUE", "no value" },
	{ "QT_KEY=a\nQT_KEY=b", NULL, "f:2: the name stands there twice", "twice" },
	{ "QT_KEY=\"a", NULL, "does not end", "a quote that does not end" },
	{ "QT_KEY=\"a\"b\"", NULL, "behind the quote", "something behind the quote" },
};

static void reads_variables(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf text = { 0 };
		struct env_file f;
		struct err e = { 0 };
		enum err_code rc;

		buf_z(&text, rows[i].text);
		rc = env_file_parse(&f, "f", &text, allowed, &e);
		if (!rows[i].first) {
			if (!rc || !strstr(e.msg, rows[i].second))
				fail_msg("%s: %s", rows[i].why, e.msg);
			continue;
		}
		if (rc || f.n != (rows[i].second ? 2u : 1u))
			fail_msg("%s: %s", rows[i].why, e.msg);
		assert_string_equal(f.entries[0], rows[i].first);
		if (rows[i].second)
			assert_string_equal(f.entries[1], rows[i].second);
		env_file_done(&f);
	}
}

static void the_environment_wins(void **state)
{
	struct buf text = { 0 };
	struct env_file f;
	struct err e;

	(void)state;
	assert_int_equal(setenv("QT_PATH", "was there", 1), 0);
	buf_z(&text, "QT_KEY=of the file\nQT_PATH=of the file\n");
	assert_int_equal(env_file_parse(&f, "f", &text, allowed, &e), 0);
	env_file_apply(&f);
	assert_string_equal(getenv("QT_KEY"), "of the file");
	assert_string_equal(getenv("QT_PATH"), "was there");
	env_file_withdraw(&f);
	assert_null(getenv("QT_KEY"));
	assert_string_equal(getenv("QT_PATH"), "was there");
	env_file_done(&f);
	assert_int_equal(unsetenv("QT_PATH"), 0);
}

static void reads_memory(void **state)
{
	struct host_usage u;

	(void)state;
	assert_true(host_memory_parse(
		&u, STR("MemTotal:     1000 kB\nMemFree: 1 kB\nMemAvailable:  250 kB\n")));
	assert_int_equal(u.memory_total, 1024000);
	assert_int_equal(u.memory_available, 256000);
	assert_true(host_memory_percent(&u) > 74.9 && host_memory_percent(&u) < 75.1);
	assert_false(host_memory_parse(&u, STR("MemTotal: 1000 kB\n")));
	assert_false(host_memory_parse(&u, STR("MemTotal: much kB\nMemAvailable: 1 kB\n")));
}

static void reads_ticks(void **state)
{
	struct host_ticks t;

	(void)state;
	assert_true(host_ticks_parse(&t, STR("cpu  1 2 3 40 50 6 7 8 9 9\ncpu0 1\n")));
	assert_int_equal(t.busy, 1 + 2 + 3 + 6 + 7 + 8);
	assert_int_equal(t.total, 27 + 40 + 50);
	assert_false(host_ticks_parse(&t, STR("cpu0 1 2 3 4\n")));
	assert_false(host_ticks_parse(&t, STR("cpu  1 2 x 4\n")));
}

static void reads_this_host(void **state)
{
	struct host_ticks since = { 0 };
	struct host_usage u;
	struct err e;

	(void)state;
	assert_int_equal(host_usage_read(&u, &since, "/", &e), 0);
	assert_true(u.memory_total > u.memory_available && u.disk_total >= u.disk_used);
	assert_true(u.cpu_percent >= 0 && u.cpu_percent <= 100 && since.total > 0);
	assert_int_equal(host_usage_read(&u, &since, "/no such place", &e), ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_variables), cmocka_unit_test(the_environment_wins),
		cmocka_unit_test(reads_memory),	   cmocka_unit_test(reads_ticks),
		cmocka_unit_test(reads_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
