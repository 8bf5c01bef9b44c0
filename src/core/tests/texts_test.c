#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/texts.h"

static void ages(void **state)
{
	static const struct {
		int64_t s;
		const char *want;
	} rows[] = {
		{ INT64_MIN, "just now" }, { -1, "just now" },	      { 0, "just now" },
		{ 1, "1 second ago" },	   { 59, "59 seconds ago" },  { 60, "1 minute ago" },
		{ 119, "1 minute ago" },   { 120, "2 minutes ago" },  { 3599, "59 minutes ago" },
		{ 3600, "1 hour ago" },	   { 86399, "23 hours ago" }, { 86400, "1 day ago" },
		{ 864000, "10 days ago" },
	};
	char text[GATEWAY_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		gateway_text_age(text, rows[i].s);
		assert_string_equal(text, rows[i].want);
	}
}

static void sizes(void **state)
{
	static const struct {
		uint64_t n;
		const char *want;
	} rows[] = {
		{ 0, "0 B" },
		{ 999, "999 B" },
		{ 1000, "1.0 KB" },
		{ 1999, "1.9 KB" }, /* cut, not rounded */
		{ 9999, "9.9 KB" },
		{ 10000, "10 KB" },
		{ 999999, "999 KB" },
		{ 1000000, "1.0 MB" },
		{ 450000000, "450 MB" }, /* the reference's own two */
		{ 1200000000, "1.2 GB" },
		{ 1000000000000ULL, "1.0 TB" },
		{ 1000000000000000ULL, "1.0 PB" },
		{ UINT64_MAX, "18 EB" },
	};
	char text[GATEWAY_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		gateway_text_bytes(text, rows[i].n);
		assert_string_equal(text, rows[i].want);
	}
}

static void pages(void **state)
{
	static const struct {
		uint64_t total;
		int64_t page, per_page;
		struct gateway_page want;
		const char *why;
	} rows[] = {
		{ 0, 1, 10, { 1, 10, 1, 0, 0, 0, false, false }, "nothing is one empty page" },
		{ 0, 9, 10, { 1, 10, 1, 0, 0, 0, false, false }, "and no other" },
		{ 10, 1, 10, { 1, 10, 1, 0, 1, 10, false, false }, "exactly full" },
		{ 11, 1, 10, { 1, 10, 2, 0, 1, 10, true, false }, "one too many" },
		{ 11, 2, 10, { 2, 10, 2, 10, 11, 11, false, true }, "the rest" },
		{ 11, 3, 10, { 2, 10, 2, 10, 11, 11, false, true }, "clamped to the last" },
		{ 11, INT64_MAX, 10, { 2, 10, 2, 10, 11, 11, false, true }, "however far" },
		{ 11, 0, 10, { 1, 10, 2, 0, 1, 10, true, false }, "clamped to the first" },
		{ 11, INT64_MIN, 10, { 1, 10, 2, 0, 1, 10, true, false }, "however far" },
		{ 3, 2, 1, { 2, 1, 3, 1, 2, 2, true, true }, "in the middle" },
		{ 3, 2, 0, { 2, 1, 3, 1, 2, 2, true, true }, "at least one a page" },
		{ 3, 1, INT64_MAX, { 1, INT64_MAX, 1, 0, 1, 3, false, false }, "all on one" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct gateway_page *w = &rows[i].want;
		struct gateway_page p =
			gateway_page_of(rows[i].total, rows[i].page, rows[i].per_page);

		if (p.page != w->page || p.per_page != w->per_page ||
		    p.total_pages != w->total_pages || p.skip != w->skip ||
		    p.showing_from != w->showing_from || p.showing_to != w->showing_to ||
		    p.has_next != w->has_next || p.has_prev != w->has_prev)
			fail_msg("row %zu: %s", i, rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ages),
		cmocka_unit_test(sizes),
		cmocka_unit_test(pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
