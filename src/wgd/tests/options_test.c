/* options_test.c - what qanat-wg takes from its command line and environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wgd/options.h"

#define ARGS_MAX 6

static enum err_code read_args(struct wgd_options *o, const char *const args[ARGS_MAX],
			       struct err *e)
{
	static char words[ARGS_MAX + 1][64];
	char *argv[ARGS_MAX + 2] = { words[0] };
	int argc = 1;

	assert_true(str_copy(words[0], sizeof words[0], STR("qanat-wg")));
	for (size_t i = 0; i < ARGS_MAX && args[i]; i++) {
		assert_true(str_copy(words[argc], sizeof words[0], str_of(args[i])));
		argv[argc] = words[argc];
		argc++;
	}
	return wgd_options_read(o, argc, argv, e);
}

static const struct {
	const char *args[ARGS_MAX];
	const char *env[2];
	const char *msg; /* NULL: taken */
	const char *why;
} rows[] = {
	{ { "wg0" }, { 0 }, NULL, "a name alone" },
	{ { "-f", "wg0" }, { 0 }, NULL, "the drop-in's -f" },
	{ { "wg0", "--foreground" }, { 0 }, NULL, "options behind the name" },
	{ { "a23456789012345" }, { 0 }, NULL, "15 characters" },
	{ { "wg0" }, { "LOG_LEVEL", "verbose" }, NULL, "wireguard-go's level" },
	{ { "wg0" }, { "LOG_LEVEL", "chatty" }, NULL, "a level of another program's" },
	{ { "wg0" }, { "WG_PROCESS_FOREGROUND", "1" }, NULL, "foreground by environment" },
	{ { "wg0" }, { "WG_TUN_FD", "3" }, NULL, "a descriptor handed over" },
	{ { 0 }, { 0 }, "no interface name; try qanat-wg --help", "no name" },
	{ { "wg0", "wg1" }, { 0 }, "unexpected \"wg1\" after the interface name", "two names" },
	{ { "" }, { 0 }, "interface name \"\": 1 to 15 characters", "an empty name" },
	{ { "a234567890123456" },
	  { 0 },
	  "interface name \"a234567890123456\": 1 to 15 characters",
	  "16 characters" },
	{ { ".." }, { 0 }, "interface name \"..\" is not allowed", "a directory" },
	{ { "w\xc3\xa4g0" }, { 0 }, NULL, "beyond ASCII, as the kernel takes it" },
	{ { "a/b" },
	  { 0 },
	  "interface name \"a/b\": no '/', ':', '%', spaces or control characters",
	  "a path" },
	{ { "wg%d" },
	  { 0 },
	  "interface name \"wg%d\": no '/', ':', '%', spaces or control characters",
	  "a pattern" },
	{ { "-l", "chatty", "wg0" },
	  { 0 },
	  "log level \"chatty\" is none of silent, error, warn, info, verbose, debug",
	  "a level asked for" },
	{ { "--formground", "wg0" },
	  { 0 },
	  "unknown option --formground: did you mean --foreground?",
	  "a slip" },
	{ { "--workers", "65", "wg0" },
	  { 0 },
	  "--workers: \"65\" is not a number from 0 to 64",
	  "too many workers" },
	{ { "wg0" },
	  { "WG_TUN_FD", "x" },
	  "WG_TUN_FD: \"x\" is not a number from 3 to 1048575",
	  "no descriptor" },
	{ { "--tun-fd", "5", "--uapi-fd", "5", "wg0" },
	  { 0 },
	  "descriptor 5 cannot be both interface and socket",
	  "one descriptor twice" },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wgd_options o;
		struct err e = { 0 };
		enum err_code rc;

		if (rows[i].env[0])
			assert_int_equal(setenv(rows[i].env[0], rows[i].env[1], 1), 0);
		rc = read_args(&o, rows[i].args, &e);
		if (rows[i].env[0])
			unsetenv(rows[i].env[0]);
		if (!rows[i].msg && rc)
			fail_msg("%s: refused: %s", rows[i].why, e.msg);
		if (rows[i].msg && (!rc || strcmp(e.msg, rows[i].msg) != 0))
			fail_msg("%s: said \"%s\"", rows[i].why, e.msg);
	}
}

static void test_values(void **state)
{
	const char *const some[ARGS_MAX] = { "-f", "-w3", "--no-udp-gso", "-l", "silent", "wg7" };
	const char *const help[ARGS_MAX] = { "--help" };
	const char *const plain[ARGS_MAX] = { "wg0" };
	struct wgd_options o;

	(void)state;
	assert_int_equal(read_args(&o, some, NULL), ERR_OK);
	assert_true(o.foreground);
	assert_int_equal(o.workers, 3);
	assert_int_equal(o.offloads, OFFLOAD_TUN | OFFLOAD_UDP_GRO);
	assert_int_equal(o.log_level, LOG_SILENT);
	assert_string_equal(o.ifname, "wg7");
	assert_int_equal(read_args(&o, help, NULL), ERR_OK);
	assert_true(o.help);
	assert_int_equal(read_args(&o, plain, NULL), ERR_OK);
	assert_false(o.foreground);
	assert_int_equal(o.offloads, OFFLOAD_ALL);
	assert_int_equal(o.mtu, 1420);
	assert_int_equal(o.tun_fd, WGD_FD_NONE);
	assert_int_equal(o.uapi_fd, WGD_FD_NONE);
	assert_int_equal(o.log_level, LOG_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_values),
	};

	/* The caller's own settings are not what is tested. */
	unsetenv("LOG_LEVEL");
	unsetenv("WG_PROCESS_FOREGROUND");
	unsetenv("WG_TUN_FD");
	unsetenv("WG_UAPI_FD");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
