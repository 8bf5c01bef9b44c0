/* ifname_test.c - which names of interfaces we take. */
#include "base/tests/cm.h"

#include "base/ifname.h"

static const struct {
	const char *name;
	bool want;
	const char *why;
} rows[] = {
	{ "wg_main", true, "usual" },
	{ "a", true, "the shortest" },
	{ "fifteen-letters", true, "the longest" },
	{ "sixteen--letters", false, "one too many" },
	{ "", false, "empty" },
	{ "0wg.1-b", true, "a digit first, a dot and a dash inside" },
	{ "_x", true, "an underscore first" },
	{ "-x", false, "programs take it for an option" },
	{ ".x", false, "hidden, and \"..\" is a directory" },
	{ "a/b", false, "a path" },
	{ "a b", false, "a space" },
	{ "a\nb", false, "a line" },
	{ "a\"b", false, "nft's text would end there" },
	{ "a=b", false, "wide enough for the kernel only" },
	{ "a+b", false, "the same" },
	{ "a*", false, "nft takes it for a pattern" },
	{ "w\xc3\xbcg", false, "not ASCII" },
	{ "lo", false, "the host's own" },
	{ "all", false, "every interface under /proc/sys" },
	{ "default", false, "every later interface under /proc/sys" },
	{ "lo0", true, "not lo" },
};

static void takes_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		enum err_code rc = ifname_check(str_of(rows[i].name), &e);

		if (ifname_ok(str_of(rows[i].name)) != rows[i].want ||
		    rc != (rows[i].want ? ERR_OK : ERR_INVALID))
			fail_msg("%s: \"%s\"", rows[i].why, rows[i].name);
		if (rc)
			assert_non_null(strstr(e.msg, "1 to 15 letters"));
	}
	assert_false(ifname_ok((struct str){ "a\0b", 3 })); /* NUL inside */
}

static void shows_what_it_refuses(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(ifname_check(STR("a b\x1b"), &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "\"a b\\x1b\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_names),
		cmocka_unit_test(shows_what_it_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
