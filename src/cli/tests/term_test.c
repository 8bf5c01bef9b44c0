/* What of foreign text reaches a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cli/term.h"

static const struct {
	const char *text;
	size_t n; /* 0: up to the NUL */
	const char *shown;
	size_t width;
	const char *why;
} rows[] = {
	{ "laptop-1", 0, "laptop-1", 8, "a plain name" },
	{ "", 0, "", 0, "nothing" },
	{ "caf\xc3\xa9", 0, "caf\xc3\xa9", 4, "two bytes, one column" },
	{ "\xf0\x9f\x98\x80", 0, "\xf0\x9f\x98\x80", 1, "four bytes, one code point" },
	{ "a\033[2Jb", 0, "a\\x1b[2Jb", 9, "ESC would clear the screen" },
	{ "one\ntwo\n", 0, "one\ntwo\n", 8, "newlines stay" },
	{ "one\n\ntwo", 0, "one\n\ntwo", 8, "an empty line, and no newline at the end" },
	{ "a\r\nb\tc", 0, "a\\x0d\nb\\x09c", 12, "no other control does" },
	{ "a\0b", 3, "a\\x00b", 6, "a NUL inside" },
	{ "\xc2\x9b"
	  "31m",
	  0, "\\xc2\\x9b31m", 11, "C1: a CSI in one character" },
	{ "\xe2\x80\xae"
	  "txt",
	  0, "\\xe2\\x80\\xaetxt", 15, "right-to-left override" },
	{ "\xff", 0, "\\xff", 4, "not UTF-8" },
};

static void test_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = { 0 };
		size_t n = rows[i].n ? rows[i].n : strlen(rows[i].text);

		term_lines(&out, (struct str){ rows[i].text, n });
		if (!str_eq(buf_view(&out), str_of(rows[i].shown)) ||
		    term_width(buf_view(&out)) != rows[i].width)
			fail_msg("%s: shown as '%s', %zu columns", rows[i].why, buf_view(&out).p,
				 term_width(buf_view(&out)));
		buf_done(&out);
	}
}

/* Every byte and every pair of bytes: no control character comes through. */
static void test_no_control(void **state)
{
	(void)state;
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			const char pair[2] = { (char)a, (char)b };
			struct buf out = { 0 };

			term_lines(&out, (struct str){ pair, 2 });
			for (size_t i = 0; i < out.n; i++) {
				unsigned char c = (unsigned char)out.p[i];

				assert_true((c >= 0x20 && c != 0x7f) || c == '\n');
				/* U+0080 to U+009F are c2 80 to c2 9f. */
				assert_false(c == 0xc2 && (unsigned char)out.p[i + 1] < 0xa0);
			}
			buf_done(&out);
		}
	}
}

static void test_style(void **state)
{
	const struct term plain = { 0 }, coloured = { .colour = true };

	(void)state;
	assert_string_equal(term_style(&plain, TERM_BOLD), "");
	assert_string_equal(term_style(&coloured, TERM_BOLD), TERM_BOLD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_no_control),
		cmocka_unit_test(test_style),
	};

	return cmocka_run_group_tests_name("cli/term", tests, NULL, NULL);
}
