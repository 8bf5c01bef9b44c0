/* err_test.c - messages: cut, flattened, wrapped, and codes of errno. */
#include "base/tests/cm.h"

#include <errno.h>

#include "base/err.h"

static void sets_and_wraps(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_set(&e, ERR_NOT_FOUND, "client %s", "x"), ERR_NOT_FOUND);
	assert_string_equal(e.msg, "client x");
	assert_int_equal(err_wrap(&e, ERR_CORRUPT, "line %d", 3), ERR_CORRUPT);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_string_equal(e.msg, "line 3: client x");
	assert_int_equal(err_set(&e, ERR_IO, "again: %s", e.msg), ERR_IO);
	assert_string_equal(e.msg, "again: line 3: client x"); /* its own message as argument */
	assert_int_equal(err_set(NULL, ERR_FULL, "unheard"), ERR_FULL);
	assert_int_equal(err_wrap(NULL, ERR_FULL, "unheard"), ERR_FULL);
}

static void maps_errno(void **state)
{
	static const struct {
		int sys;
		enum err_code want;
	} rows[] = {
		{ EACCES, ERR_DENIED },	  { EPERM, ERR_DENIED },  { EADDRINUSE, ERR_IN_USE },
		{ ENOMEM, ERR_NOMEM },	  { EEXIST, ERR_EXISTS }, { ENOENT, ERR_NOT_FOUND },
		{ ECONNREFUSED, ERR_IO },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(err_sys(&e, rows[i].sys, "x"), rows[i].want);
		assert_int_equal(err_sys(NULL, rows[i].sys, "x"), rows[i].want);
		assert_int_equal(e.sys, rows[i].sys);
	}
	assert_int_equal(err_sys(&e, ENOENT, "open %s", "/x"), ERR_NOT_FOUND);
	assert_string_equal(e.msg, "open /x: No such file or directory");
}

static void stays_one_line_of_limited_length(void **state)
{
	struct err e;
	char longest[sizeof e.msg], over[sizeof e.msg + 1], wide[sizeof e.msg + 1];

	(void)state;
	err_set(&e, ERR_INVALID, "a\nb\tc\x7f");
	assert_string_equal(e.msg, "a b c ");

	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	err_set(&e, ERR_INVALID, "%s", longest);
	assert_string_equal(e.msg, longest);

	memset(over, 'x', sizeof over - 1);
	over[sizeof over - 1] = 0;
	err_set(&e, ERR_INVALID, "%s", over);
	assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
	assert_string_equal(e.msg + sizeof e.msg - 4, "...");

	for (size_t i = 0; i + 1 < sizeof wide; i += 2)
		memcpy(wide + i, "\xc3\xbc", 2);
	wide[sizeof wide - 1] = 0;
	err_set(&e, ERR_INVALID, "%s", wide);
	assert_string_equal(e.msg + strlen(e.msg) - 5, "\xc3\xbc..."); /* no half character */
	err_wrap(&e, ERR_INVALID, "front");
	assert_int_equal(strncmp(e.msg, "front: \xc3\xbc", 9), 0);
	assert_string_equal(e.msg + strlen(e.msg) - 3, "...");
}

static void names_every_code(void **state)
{
	(void)state;
	for (int c = ERR_OK; c <= ERR_CLOSED; c++)
		assert_true(strlen(err_name((enum err_code)c)) > 0);
	assert_string_equal(err_name(ERR_NOT_FOUND), "not found");
	assert_string_equal(err_name((enum err_code)999), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_and_wraps),
		cmocka_unit_test(maps_errno),
		cmocka_unit_test(stays_one_line_of_limited_length),
		cmocka_unit_test(names_every_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
