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

/* Each message names the variable and what is wrong with its value. */
static void wrong_variables_are_refused(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} rows[] = {
		{ "DNS_SERVERS", "1.1.1.1", "DNS_SERVERS: this is none" },
		{ "DNS_SERVERS", "[]", "DNS_SERVERS: this is none" },
		{ "DNS_SERVERS", "{\"d1\":\"1.1.1.1\",\"d1\":\"1.1.1.1\"}", "twice" },
		{ "DNS_SERVERS", "{\"d2\":\"1.1.1.1\"}", "DNS_SERVERS: d1 is missing" },
		{ "DNS_SERVERS", "{\"d1\":\"1.1.1.1\",\"d4\":\"1.1.1.1\"}", "no choice \"d4\"" },
		{ "DNS_SERVERS", "{\"d1\":\"1.1.1.1\",\"d3\":\"9.9.9.999\"}",
		  "no IP address is \"9.9.9.999\"" },
		{ "DNS_SERVERS", "{\"d1\":7}", "no text is given for \"d1\"" },
		{ "GATEWAY_API_KEY", "short", "GATEWAY_API_KEY has 5 characters" },
		{ "GATEWAY_PUBLIC_KEY", "short", "GATEWAY_PUBLIC_KEY has 5 characters" },
		{ "GATEWAY_PUBLIC_KEY", "tqgwn3SOtqgwn3SO", "but no GATEWAY_API_KEY" },
		{ "MAX_TIMESTAMP_DIFF", "0", "MAX_TIMESTAMP_DIFF: \"0\"" },
		{ "WG_DEFAULT_PORT", "65536", "WG_DEFAULT_PORT: \"65536\"" },
		{ "QANAT_PEER_API_ALLOW", "10.0.0.0/33", "\"10.0.0.0/33\" is not a network" },
		{ "QANAT_PEER_API_LISTEN", "here", "\"here\" is not an address" },
	};
	static struct options o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char name[] = "qanat-gateway";
		char *argv[] = { name, NULL };
		struct err e = { 0 };

		assert_int_equal(setenv(rows[i].name, rows[i].value, 1), 0);
		if (!options_parse(&o, 1, argv, &e) || !strstr(e.msg, rows[i].says))
			fail_msg("%s=%s: %s", rows[i].name, rows[i].value, e.msg);
		assert_int_equal(unsetenv(rows[i].name), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_reach_the_settings),
		cmocka_unit_test(wrong_options_are_refused),
		cmocka_unit_test(wrong_variables_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
