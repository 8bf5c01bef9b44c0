/* Command lines, and the two numbers that `qanat serve` computes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cli/options.h"
#include "cli/serve.h"

#define WORDS_MAX 8

/* Copies a row's words into an argv of its own, which parsing rearranges. */
static int argv_make(char **argv, const char *const *words)
{
	int n = 1;

	argv[0] = str_dup(STR("qanat"));
	for (; words[n - 1]; n++)
		argv[n] = str_dup(str_of(words[n - 1]));
	argv[n] = NULL;
	return n;
}

static void argv_free(char *const *all, int n)
{
	while (n--)
		free(all[n]);
}

static void test_calls(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		enum err_code want;
		int left; /* words that stay */
		const char *first, *says, *why;
	} rows[] = {
		{ { "core", "add_client", "client_name=x" }, ERR_OK, 3, "core", NULL, "plain" },
		{ { "--json", "core", "list_clients" }, ERR_OK, 2, "core", NULL, "options first" },
		{ { "core", "export_client", "--out", "f", "client_name=x", "--qr" },
		  ERR_OK,
		  3,
		  "core",
		  NULL,
		  "options anywhere" },
		{ { "-s", "/x", "serve" }, ERR_OK, 1, "serve", NULL, "a value is no word" },
		{ { NULL }, ERR_OK, 0, NULL, NULL, "nothing at all" },
		{ { "core", "--qr", "--json" }, ERR_INVALID, 0, "core", "--json", "contradiction" },
		{ { "core", "--force" }, ERR_INVALID, 0, "core", "--out", "force without a file" },
		{ { "core", "--jsno" }, ERR_INVALID, 0, "core", "--json", "the nearest option" },
		{ { "core", "--out" }, ERR_INVALID, 0, "core", "--out", "a missing value" },
		{ { "core", "--out=" }, ERR_INVALID, 0, "core", "out", "an empty value" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *argv[WORDS_MAX + 2], *all[WORDS_MAX + 2];
		int argc = argv_make(argv, rows[i].words), n = argc;
		struct cli_options o = { 0 };
		struct err e = { 0 };
		const char *first = NULL;
		enum err_code rc;

		memcpy(all, argv, sizeof all);
		assert_int_equal(cli_first_word(&first, argc, argv, &e), ERR_OK);
		if (!first != !rows[i].first || (first && strcmp(first, rows[i].first) != 0))
			fail_msg("%s: first word %s", rows[i].why, first);
		rc = cli_options_parse(&o, &argc, argv, &e);
		if (!rc != !rows[i].want)
			fail_msg("%s: %d %s", rows[i].why, (int)rc, e.msg);
		if (!rc)
			assert_int_equal(argc, rows[i].left + 1);
		else if (!strstr(e.msg, rows[i].says))
			fail_msg("%s: says '%s'", rows[i].why, e.msg);
		argv_free(all, n);
	}
}

static void test_defaults(void **state)
{
	static const char *const words[] = { "core", NULL };
	char *argv[4], *all[4];
	int argc = argv_make(argv, words), n = argc;
	struct cli_options o = { 0 };

	(void)state;
	memcpy(all, argv, sizeof all);
	unsetenv("QANAT_SOCKET");
	assert_int_equal(cli_options_parse(&o, &argc, argv, NULL), ERR_OK);
	assert_string_equal(o.socket, "/run/qanat/control.sock");
	setenv("QANAT_SOCKET", "/elsewhere", 1);
	assert_int_equal(cli_options_parse(&o, &argc, argv, NULL), ERR_OK);
	assert_string_equal(o.socket, "/elsewhere");
	unsetenv("QANAT_SOCKET");
	assert_false(o.json || o.qr || o.force || o.help || o.compat_exit);
	assert_null(o.out);
	argv_free(all, n);
}

static void test_serve(void **state)
{
	static const char *const good[] = { "serve", "--state", "/s", "--port=7", NULL };
	static const char *const word[] = { "serve", "phone", NULL };
	char *argv[8], *all[8];
	int argc = argv_make(argv, good), n = argc;
	struct serve_options o = { 0 };
	struct err e = { 0 };

	(void)state;
	memcpy(all, argv, sizeof all);
	assert_int_equal(serve_options_parse(&o, &argc, argv, &e), ERR_OK);
	assert_string_equal(o.state, "/s");
	assert_string_equal(o.port, "7");
	assert_string_equal(o.client, "phone");
	assert_null(o.network);
	argv_free(all, n);
	argc = n = argv_make(argv, word);
	memcpy(all, argv, sizeof all);
	assert_int_equal(serve_options_parse(&o, &argc, argv, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "'phone'"));
	argv_free(all, n);
}

static void test_time(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t want;
		const char *why;
	} rows[] = {
		{ "0", true, 0, "the beginning" },
		{ "1700000000", true, 1700000000000000000, "whole seconds" },
		{ "1700000000.25", true, 1700000000250000000, "as EPOCHREALTIME gives it" },
		{ "1.000000001", true, 1000000001, "nanoseconds" },
		{ "1.", false, 0, "a point without digits" },
		{ "1.0000000001", false, 0, "finer than we count" },
		{ ".5", false, 0, "no seconds" },
		{ "", false, 0, "nothing" },
		{ "-1", false, 0, "a sign" },
		{ "1.2.3", false, 0, "two points" },
		{ "1e9", false, 0, "an exponent" },
		{ "9999999999999", false, 0, "more than nanoseconds can say" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ns = -1;
		bool good = serve_time_parse(str_of(rows[i].text), &ns);

		if (good != rows[i].good || (good && ns != rows[i].want))
			fail_msg("%s: %d, %lld", rows[i].why, good, (long long)ns);
	}
}

static void test_pause(void **state)
{
	static const struct {
		unsigned crashes;
		int64_t want_ms;
	} rows[] = { { 1, 500 },   { 2, 1000 },	  { 3, 2000 },		{ 6, 16000 },
		     { 7, 30000 }, { 10, 30000 }, { UINT32_MAX, 30000 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(serve_pause_ns(rows[i].crashes), rows[i].want_ms * 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls), cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_serve), cmocka_unit_test(test_time),
		cmocka_unit_test(test_pause),
	};

	return cmocka_run_group_tests_name("cli/options", tests, NULL, NULL);
}
