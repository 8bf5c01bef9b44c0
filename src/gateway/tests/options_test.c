#include "base/tests/cm.h"

#include "gateway/options.h"

static void options_reach_the_settings(void **state)
{
	static struct options o;
	char *argv[] = { (char[]){ "qanat-gateway" },
			 (char[]){ "--port=4000" },
			 (char[]){ "--dns" },
			 (char[]){ "9.9.9.9, 1.1.1.1" },
			 (char[]){ "--network6" },
			 (char[]){ "none" },
			 NULL };
	struct err e = { 0 };

	(void)state;
	if (options_parse(&o, 6, argv, &e))
		fail_msg("%s", e.msg);
	assert_string_equal(o.state_dir, "/var/lib/qanat");
	assert_true(str_eq(o.given.v[SETTING_PORT], STR("4000")));
	assert_true(str_eq(o.given.v[SETTING_DNS_PRIMARY], STR("9.9.9.9")));
	assert_true(str_eq(o.given.v[SETTING_DNS_SECONDARY], STR("1.1.1.1")));
	assert_true(str_eq(o.given.v[SETTING_NETWORK6], STR("none")));
	assert_null(o.given.v[SETTING_NETWORK].p);
	assert_null(o.given.v[SETTING_MTU].p);
}

static void wrong_options_are_refused(void **state)
{
	static const char *const rows[] = {
		"--network=10.8.0.1/24",
		"--port=0",
		"--dns=8.8.8.8,x",
		"--mtu=1",
		"--interface=a/b",
		"--endpoint=a b",
		"--nonsense",
		"word",
		"--workers=65",
		"--log-level=loud",
		"--dns=8.8.8.8,1.1.1.1,9.9.9.9",
		"--network=127.0.0.0/8",
		"--network6=fe80::/64",
	};
	static struct options o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char name[] = "qanat-gateway", arg[64];
		char *argv[] = { name, arg, NULL };
		struct err e = { 0 };

		assert_true(str_copy(arg, sizeof arg, str_of(rows[i])));
		if (!options_parse(&o, 2, argv, &e))
			fail_msg("%s was taken", rows[i]);
		assert_true(e.msg[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_reach_the_settings),
		cmocka_unit_test(wrong_options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
