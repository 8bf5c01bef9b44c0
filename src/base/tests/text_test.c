/* text_test.c - views, numbers, buffers and escaping. */
#include "base/tests/cm.h"

#include "base/text.h"

static void compares_and_finds(void **state)
{
	static const struct {
		const char *s, *needle;
		ptrdiff_t at;
		const char *why;
	} rows[] = {
		{ "laptop", "lap", 0, "at the front" },
		{ "my-LapTop", "laptop", 3, "case does not matter" },
		{ "laptop", "x", -1, "absent" },
		{ "lap", "laptop", -1, "longer than the text" },
		{ "lap", "", 0, "nothing is everywhere" },
		{ "", "", 0, "even in nothing" },
		{ "", "a", -1, "but something is not" },
		{ "aab", "ab", 1, "after a false start" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (str_find_nocase(str_of(rows[i].s), str_of(rows[i].needle)) != rows[i].at)
			fail_msg("find \"%s\" in \"%s\": %s", rows[i].needle, rows[i].s,
				 rows[i].why);
	}
	assert_true(str_eq((struct str){ NULL, 0 }, STR("")));
	assert_false(str_eq(STR("a"), STR("A")));
	assert_true(str_eq_nocase(STR("aZ"), STR("Az")));
	assert_false(str_eq_nocase(STR("@"), STR("`"))); /* beside the letters, 32 apart */
	assert_false(str_eq_nocase(STR("["), STR("{")));
	assert_true(str_starts(STR("abc"), STR("ab")));
	assert_true(str_starts(STR("abc"), STR("")));
	assert_false(str_starts(STR("a"), STR("ab")));
}

static void trims_and_cuts(void **state)
{
	struct str rest = STR("a,,b,"), piece;

	(void)state;
	assert_true(str_eq(str_trim(STR(" \t\r\na b\n ")), STR("a b")));
	assert_int_equal(str_trim(STR(" \n ")).n, 0);
	assert_true(str_cut(&rest, ',', &piece) && str_eq(piece, STR("a")));
	assert_true(str_cut(&rest, ',', &piece) && str_eq(piece, STR("")));
	assert_true(str_cut(&rest, ',', &piece) && str_eq(piece, STR("b")));
	assert_false(str_cut(&rest, ',', &piece)); /* nothing after the last separator */
	rest = STR("whole");
	assert_true(str_cut(&rest, ',', &piece) && str_eq(piece, STR("whole")));
	assert_false(str_cut(&rest, ',', &piece));
}

static void copies(void **state)
{
	char out[4] = "xyz";
	char *z;

	(void)state;
	assert_true(str_copy(out, sizeof out, STR("abc")));
	assert_string_equal(out, "abc");
	assert_false(str_copy(out, sizeof out, STR("abcd")));
	assert_string_equal(out, "");
	assert_false(str_copy(out, 0, STR("")));
	z = str_dup((struct str){ NULL, 0 });
	assert_string_equal(z, "");
	free(z);
	z = str_dup((struct str){ "a\0b", 3 });
	assert_memory_equal(z, "a\0b", 4);
	free(z);
}

static void parses_numbers(void **state)
{
	static const struct {
		const char *s;
		uint64_t min, max, want;
		bool ok;
		const char *why;
	} rows[] = {
		{ "0", 0, 10, 0, true, "zero" },
		{ "007", 0, 10, 7, true, "leading zeros are decimal" },
		{ "10", 0, 10, 10, true, "the upper end" },
		{ "11", 0, 10, 0, false, "above" },
		{ "4", 5, 10, 0, false, "below" },
		{ "", 0, 10, 0, false, "empty" },
		{ "+1", 0, 10, 0, false, "sign" },
		{ "-1", 0, UINT64_MAX, 0, false, "negative" },
		{ " 1", 0, 10, 0, false, "space in front" },
		{ "1 ", 0, 10, 0, false, "space behind" },
		{ "0x1", 0, 10, 0, false, "no hex" },
		{ "18446744073709551615", 0, UINT64_MAX, UINT64_MAX, true, "the largest" },
		{ "18446744073709551616", 0, UINT64_MAX, 0, false, "one more wraps in the sum" },
		{ "99999999999999999999", 0, UINT64_MAX, 0, false, "wraps in the product" },
	};
	uint32_t v32 = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t v = 12345;
		bool ok = u64_parse(str_of(rows[i].s), rows[i].min, rows[i].max, &v);

		if (ok != rows[i].ok || v != (ok ? rows[i].want : 12345))
			fail_msg("\"%s\": %s", rows[i].s, rows[i].why);
	}
	assert_true(u32_parse(STR("4294967295"), 0, UINT32_MAX, &v32));
	assert_int_equal(v32, UINT32_MAX);
	assert_false(u32_parse(STR("4294967296"), 0, UINT32_MAX, &v32));
	assert_false(u32_parse((struct str){ "1\0", 2 }, 0, 10, &v32));
}

static void grows_to_its_limit(void **state)
{
	struct buf b = { .limit = 100 };

	(void)state;
	assert_string_equal(buf_view(&b).p, "");
	for (int i = 0; i < 100; i++)
		buf_char(&b, 'x');
	assert_true(buf_ok(&b));
	assert_int_equal(b.n, 100);
	assert_int_equal(b.p[100], 0);
	buf_char(&b, 'y');
	assert_false(buf_ok(&b));
	buf_add(&b, "", 0);
	assert_false(buf_ok(&b)); /* sticky */
	assert_int_equal(b.n, 100);
	buf_clear(&b);
	assert_true(buf_ok(&b));
	buf_add(&b, NULL, 101); /* refused before it is read */
	assert_false(buf_ok(&b));
	buf_done(&b);
	buf_z(&b, "usable again");
	assert_string_equal(b.p, "usable again");
	assert_int_equal(b.limit, 100);
	buf_done(&b);
}

static void prints_across_growth(void **state)
{
	struct buf b = { 0 }, small = { .limit = 3 };

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&b, "%03u,", i);
	assert_true(buf_ok(&b));
	assert_int_equal(b.n, 4000);
	for (unsigned i = 0; i < 1000; i++) {
		uint32_t v;

		assert_true(u32_parse((struct str){ b.p + 4 * i, 3 }, 0, 999, &v));
		assert_int_equal(v, i);
	}
	buf_done(&b);
	buf_printf(&small, "%d", 123);
	assert_true(buf_ok(&small));
	buf_printf(&small, "%d", 4);
	assert_false(buf_ok(&small));
	assert_string_equal(small.p, "123"); /* nothing half-written */
	buf_done(&small);
}

static void reads_utf8(void **state)
{
	static const struct {
		const char *s;
		size_t n;
		uint32_t cp;
		const char *why;
	} rows[] = {
		{ "a", 1, 'a', "ASCII" },
		{ "\xc3\xa9", 2, 0xe9, "two bytes" },
		{ "\xe2\x82\xac", 3, 0x20ac, "three bytes" },
		{ "\xf0\x9f\x98\x80", 4, 0x1f600, "four bytes" },
		{ "\xf4\x8f\xbf\xbf", 4, 0x10ffff, "the last code point" },
		{ "\xf4\x90\x80\x80", 0, 0, "beyond it" },
		{ "\xed\xa0\x80", 0, 0, "a surrogate" },
		{ "\xc0\xaf", 0, 0, "overlong slash" },
		{ "\xe0\x80\xaf", 0, 0, "overlong in three" },
		{ "\xf0\x80\x80\xaf", 0, 0, "overlong in four" },
		{ "\xc3", 0, 0, "cut off" },
		{ "\xc3(", 0, 0, "no continuation" },
		{ "\x80", 0, 0, "continuation alone" },
		{ "\xf8\x88\x80\x80\x80", 0, 0, "five bytes" },
		{ "\xff", 0, 0, "never a byte of UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t cp = 0;

		if (utf8_next(str_of(rows[i].s), &cp) != rows[i].n || cp != rows[i].cp)
			fail_msg("row %zu: %s", i, rows[i].why);
	}
	assert_true(utf8_valid(STR("gr\xc3\xbc\xc3\x9f")));
	assert_false(utf8_valid(STR("gr\xfc")));
}

static void escapes(void **state)
{
	static const struct {
		const char *s, *want, *why;
	} rows[] = {
		{ "plain 'text'", "plain 'text'", "ASCII as it is" },
		{ "a\nb", "a\\x0ab", "a line break would forge a line" },
		{ "\x1b[31m", "\\x1b[31m", "a terminal's command" },
		{ "\x7f", "\\x7f", "delete" },
		{ "gr\xc3\xbcn", "gr\xc3\xbcn", "UTF-8 as it is" },
		{ "\xc2\x9b", "\\xc2\\x9b", "a C1 control, valid as UTF-8" },
		{ "\xe2\x80\xae", "\\xe2\\x80\\xae", "turns the reading direction" },
		{ "\xff", "\\xff", "broken bytes" },
		{ "", "", "nothing" },
	};
	char out[16];
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		buf_clear(&b);
		buf_escaped(&b, str_of(rows[i].s));
		if (!str_eq(buf_view(&b), str_of(rows[i].want)))
			fail_msg("\"%s\": %s", buf_view(&b).p, rows[i].why);
	}
	buf_done(&b);
	text_escaped(out, sizeof out, STR("exactly fifteen"));
	assert_string_equal(out, "exactly fifteen");
	text_escaped(out, sizeof out, STR("exactly sixteen!"));
	assert_string_equal(out, "exactly sixt...");
	text_escaped(out, sizeof out, STR("12345678901\xc3\xbc\xc3\xbc\xc3\xbc"));
	assert_string_equal(out, "12345678901..."); /* no half character */
	text_escaped(out, sizeof out, STR("\n\n\n\n"));
	assert_string_equal(out, "\\x0a\\x0a\\x0a...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_and_finds),
		cmocka_unit_test(trims_and_cuts),
		cmocka_unit_test(copies),
		cmocka_unit_test(parses_numbers),
		cmocka_unit_test(grows_to_its_limit),
		cmocka_unit_test(prints_across_growth),
		cmocka_unit_test(reads_utf8),
		cmocka_unit_test(escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
