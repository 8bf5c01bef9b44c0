/* clock_test.c - the two written forms of a time, and clocks that go forward. */
#include "base/tests/cm.h"

#include "base/clock.h"

static void writes_times(void **state)
{
	static const struct {
		int64_t ns;
		const char *utc, *plain, *why;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00", "the epoch" },
		{ 1795258047123456789, "2026-11-21T10:47:27.123456Z", "2026-11-21T10:47:27",
		  "the fraction is cut, not rounded" },
		{ 951782400 * NS_PER_S, "2000-02-29T00:00:00.000000Z", "2000-02-29T00:00:00",
		  "a leap day of a century" },
		{ -1, "1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59", "just before" },
		{ INT64_MAX, "2262-04-11T23:47:16.854775Z", "2262-04-11T23:47:16", "the last" },
		{ INT64_MIN, "1677-09-21T00:12:43.145224Z", "1677-09-21T00:12:43", "the first" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[CLOCK_ISO_MAX];

		clock_iso_utc(text, rows[i].ns);
		if (strcmp(text, rows[i].utc) != 0)
			fail_msg("%s, not %s: %s", text, rows[i].utc, rows[i].why);
		clock_iso_plain(text, rows[i].ns);
		assert_string_equal(text, rows[i].plain);
	}
}

static void goes_forward(void **state)
{
	int64_t last = clock_mono_ns();

	(void)state;
	assert_true(last > 0);
	for (int i = 0; i < 1000; i++) {
		int64_t now = clock_mono_ns();

		assert_true(now >= last);
		last = now;
	}
	assert_true(clock_real_ns() > 1700000000 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_times),
		cmocka_unit_test(goes_forward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
