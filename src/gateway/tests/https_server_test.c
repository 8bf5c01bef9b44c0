/* Options of the HTTPS APIs: where they are served, and whom they let in. */
#include "base/tests/cm.h"

#include "gateway/https_server.h"

static const struct {
	const char *allow, *from;
	bool in;
	const char *why;
} rows[] = {
	{ NULL, "203.0.113.9", true, "no list: everybody" },
	{ "192.0.2.7", "192.0.2.7", true, "a host alone" },
	{ "192.0.2.7", "192.0.2.8", false, "its neighbour" },
	{ "192.0.2.7/24", "192.0.2.8", true, "a network, whatever its host bits" },
	{ "192.0.2.0/24, 2001:db8::/32", "2001:db8:1::1", true, "the second of two" },
	{ "192.0.2.0/24, 2001:db8::/32", "2001:db9::1", false, "neither" },
	{ "::ffff:192.0.2.0/120", "192.0.2.7", true, "mapped addresses mean IPv4" },
	{ "::ffff:192.0.2.0/120", "192.0.3.7", false, "and only those" },
	{ "::ffff:0:0/96", "203.0.113.9", true, "all of IPv4" },
	{ "::/0", "203.0.113.9", false, "all of IPv6 is not IPv4" },
	{ "::/0", "::1", true, "all of IPv6" },
	{ "0.0.0.0/0", "::1", false, "all of IPv4 is not IPv6" },
};

static void lets_in(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct https_listener l = { 0 };
		struct err e = { 0 };
		struct ip_addr from;

		if (rows[i].allow && https_networks_parse(&l, "--allow", str_of(rows[i].allow), &e))
			fail_msg("%s: %s", rows[i].why, e.msg);
		assert_true(ip_parse(str_of(rows[i].from), &from));
		if (https_listener_admits(&l, &from) != rows[i].in)
			fail_msg("%s", rows[i].why);
	}
}

static void refuses_networks(void **state)
{
	static const char *const texts[] = { "",
					     "x",
					     "192.0.2.0/33",
					     "192.0.2.0/24,,10.0.0.0/8",
					     "::ffff:192.0.2.0/129",
					     "192.0.2.0/24 10.0.0.0/8" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct https_listener l = { 0 };
		struct err e = { 0 };

		if (!https_networks_parse(&l, "--allow", str_of(texts[i]), &e))
			fail_msg("\"%s\" was taken", texts[i]);
		assert_non_null(strstr(e.msg, "--allow"));
	}
}

static void where(void **state)
{
	struct https_listener l = { 0 };
	struct err e = { 0 };
	char text[ENDPOINT_TEXT_MAX];
	static const char *const want[] = { "192.0.2.1:8000", "192.0.2.1:9000",
					    "[2001:db8::1]:8000", "[2001:db8::1]:9000" };

	(void)state;
	if (https_addresses_parse(&l, "--listen",
				  STR("192.0.2.1,192.0.2.1:9000, 2001:db8::1,[2001:db8::1]:9000"),
				  8000, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(l.at_n, ARRAY_LEN(want));
	for (size_t i = 0; i < l.at_n; i++) {
		endpoint_format(text, &l.at[i]);
		assert_string_equal(text, want[i]);
	}
	assert_int_equal(https_addresses_parse(&l, "--listen", STR("a.example"), 8000, &e),
			 ERR_INVALID);
	assert_non_null(strstr(e.msg, "--listen: \"a.example\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lets_in),
		cmocka_unit_test(refuses_networks),
		cmocka_unit_test(where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
