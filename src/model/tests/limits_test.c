/* limits_test.c - numbers with units and ends in time, as people write them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "model/limits.h"

#define NOW (1769767200 * NS_PER_S) /* 2026-01-30T10:00:00 */

static void numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t want;
		const char *refused, *why;
	} rows[] = {
		{ "none", 0, NULL, "none" },
		{ "0", 0, NULL, "the same as a number" },
		{ "10M", 10000000, NULL, "decimal" },
		{ "500k", 500000, NULL, "decimal" },
		{ "500K", 500000, NULL, "there is no other k" },
		{ "20g", 20000000000, NULL, "in any case" },
		{ "1T", 1000000000000, NULL, "the largest unit" },
		{ "2Gi", 2147483648, NULL, "binary" },
		{ "1500", 1500, NULL, "without a unit" },
		{ "18446744073709551615", UINT64_MAX, NULL, "the largest" },
		{ "18446744073709551616", 0, "too large", "one more" },
		{ "18446745T", 0, "too large", "times its unit" },
		{ "", 0, "whole number", "empty" },
		{ "M", 0, "whole number", "no number" },
		{ "1.5G", 0, "whole number", "a fraction: write 1500M" },
		{ "-5", 0, "whole number", "negative" },
		{ "10 M", 0, "whole number", "a space" },
		{ "10Mbit", 0, "whole number", "an unknown unit" },
		{ "None", 0, "whole number", "one spelling of none" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		uint64_t got = 0;
		enum err_code rc = limits_number_parse(str_of(rows[i].text), "quota", &got, &e);

		if ((rc != ERR_OK) != (rows[i].refused != NULL) || got != rows[i].want ||
		    (rows[i].refused &&
		     (!strstr(e.msg, rows[i].refused) || !strstr(e.msg, "quota"))))
			fail_msg("%s: %s: %s", rows[i].text, rows[i].why, e.msg);
	}
}

static void shown_as_written(void **state)
{
	static const struct {
		uint64_t n;
		const char *want;
	} rows[] = {
		{ 0, "none" },
		{ 1, "1" },
		{ 999, "999" },
		{ 1000, "1k" },
		{ 1500000, "1500k" },
		{ 20000000000, "20G" },
		{ 5000000000000000, "5000T" },
		{ UINT64_MAX, "18446744073709551615" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[LIMITS_TEXT_MAX];
		uint64_t back;

		limits_number_format(text, rows[i].n);
		assert_string_equal(text, rows[i].want);
		assert_int_equal(limits_number_parse(str_of(text), "", &back, NULL), ERR_OK);
		assert_true(back == rows[i].n);
	}
}

static void ends(void **state)
{
	static const struct {
		const char *text;
		int64_t want_s;
		const char *refused, *why;
	} rows[] = {
		{ "none", 0, NULL, "never" },
		{ "30d", 1769767200 + 30 * 86400, NULL, "days from now on" },
		{ "12h", 1769767200 + 12 * 3600, NULL, "hours" },
		{ "90m", 1769767200 + 5400, NULL, "minutes" },
		{ "0m", 1769767200, NULL, "now" },
		{ "2026-12-31", 1798675200, NULL, "a day, from its beginning on" },
		{ "2026-12-31T18:00", 1798675200 + 18 * 3600, NULL, "an hour" },
		{ "2026-12-31T18:00Z", 1798675200 + 18 * 3600, NULL, "in UTC, as always" },
		{ "2026-12-31T23:59:59", 1798675200 + 86399, NULL, "a second" },
		{ "2020-01-01", 1577836800, NULL, "gone by: that cuts off at once" },
		{ "2024-02-29", 1709164800, NULL, "a leap day" },
		{ "2026-02-29", 0, "write a date", "no leap day" },
		{ "2026-13-01", 0, "write a date", "no such month" },
		{ "2026-1-01", 0, "write a date", "one digit" },
		{ "2026-12-31T", 0, "write a date", "half a time" },
		{ "2026-12-31T24:00", 0, "write a date", "no such hour" },
		{ "2026-12-31T18:00:00x", 0, "write a date", "something behind it" },
		{ "2026-12-31 18:00", 0, "write a date", "a space" },
		{ "9999-01-01", 0, "write a date", "beyond what nanoseconds reach" },
		{ "106751d", 0, "too far", "the same" },
		{ "99999999999999999999d", 0, "too far", "beyond any number" },
		{ "30", 0, "write a date", "30 of what" },
		{ "", 0, "write a date", "empty" },
		{ "tomorrow", 0, "write a date", "words" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		int64_t got = 0;
		enum err_code rc = limits_end_parse(str_of(rows[i].text), NOW, &got, &e);

		if ((rc != ERR_OK) != (rows[i].refused != NULL) ||
		    (!rc && got != rows[i].want_s * NS_PER_S) ||
		    (rows[i].refused && !strstr(e.msg, rows[i].refused)))
			fail_msg("%s: %s: %s", rows[i].text, rows[i].why, e.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(shown_as_written),
		cmocka_unit_test(ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
