#include "gateway/watchdog.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
	const char *usec, *pid;
	enum err_code want;
	int64_t ns;
	const char *why;
} rows[] = {
	{ NULL, NULL, ERR_OK, 0, "nobody watches" },
	{ "", NULL, ERR_OK, 0, "set to nothing" },
	{ "30000000", NULL, ERR_OK, 15000000000, "half of it" },
	{ "30000000", "", ERR_OK, 15000000000, "any process" },
	{ "30000000", "77", ERR_OK, 15000000000, "this process" },
	{ "30000000", "78", ERR_OK, 0, "another process" },
	{ "1", NULL, ERR_OK, 500, "the shortest" },
	{ "0", NULL, ERR_INVALID, 0, "no time at all" },
	{ "-1", NULL, ERR_INVALID, 0, "negative" },
	{ "30s", NULL, ERR_INVALID, 0, "no number" },
	{ "99999999999999999999", NULL, ERR_INVALID, 0, "too much for a number" },
	{ "86400000001", NULL, ERR_INVALID, 0, "more than a day" },
	{ "30000000", "x", ERR_INVALID, 0, "no process" },
};

static void test_interval(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t got = -1;
		enum err_code rc = watchdog_interval(&got, rows[i].usec, rows[i].pid, 77, NULL);

		if (rc != rows[i].want || got != rows[i].ns)
			print_message("row %zu: %s\n", i, rows[i].why);
		assert_int_equal(rc, rows[i].want);
		assert_int_equal(got, rows[i].ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_interval) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
