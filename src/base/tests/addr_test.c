/* addr_test.c - addresses, prefixes and endpoints: text, sets, kernel form. */
#include "base/tests/cm.h"

#include <arpa/inet.h>

#include "base/addr.h"

static void parses_addresses(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
		const char *why;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", "IPv4" },
		{ "0.0.0.0", "0.0.0.0", "any" },
		{ "2001:DB8:0::1", "2001:db8::1", "IPv6 in its canonical form" },
		{ "::", "::", "any" },
		{ "::ffff:1.2.3.4", "::ffff:1.2.3.4", "mapped stays IPv6 outside endpoints" },
		{ "1.2.3", NULL, "three parts" },
		{ "1.2.3.256", NULL, "256" },
		{ "1.2.3.04", NULL, "a leading zero could mean octal" },
		{ "0x1.2.3.4", NULL, "hex" },
		{ "1.2.3.4 ", NULL, "a space" },
		{ "fe80::1%2", NULL, "a scope" },
		{ "[::1]", NULL, "brackets" },
		{ "1:2:3:4:5:6:7:8:9", NULL, "nine groups" },
		{ "example.org", NULL, "a name" },
		{ "", NULL, "empty" },
		{ "1111:1111:1111:1111:1111:1111:111.111.111.1111", NULL, "longer than any" },
	};
	struct ip_addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[IP_TEXT_MAX];
		bool ok = ip_parse(str_of(rows[i].text), &a);

		if (ok != (rows[i].want != NULL))
			fail_msg("\"%s\": %s", rows[i].text, rows[i].why);
		if (!ok)
			continue;
		ip_format(text, &a);
		assert_string_equal(text, rows[i].want);
	}
	assert_false(ip_parse((struct str){ "1.2.3.4\0", 8 }, &a));
	assert_false(ip_parse((struct str){ "1.2.3.4\0.evil", 13 }, &a));
}

static void parses_prefixes(void **state)
{
	static const struct {
		const char *text, *want, *masked; /* want NULL: refused */
	} rows[] = {
		{ "10.8.0.1/24", "10.8.0.1/24", "10.8.0.0/24" },
		{ "10.8.0.1", "10.8.0.1/32", "10.8.0.1/32" },
		{ "255.255.255.255/0", "255.255.255.255/0", "0.0.0.0/0" },
		{ "255.255.255.255/1", "255.255.255.255/1", "128.0.0.0/1" },
		{ "255.255.255.255/31", "255.255.255.255/31", "255.255.255.254/31" },
		{ "2001:db8:ffff::1/33", "2001:db8:ffff::1/33", "2001:db8:8000::/33" },
		{ "::1", "::1/128", "::1/128" },
		{ "ffff::ffff/127", "ffff::ffff/127", "ffff::fffe/127" },
		{ "10.0.0.0/33", NULL, NULL },
		{ "::/129", NULL, NULL },
		{ "10.0.0.0/", NULL, NULL },
		{ "10.0.0.0/-1", NULL, NULL },
		{ "10.0.0.0/8/8", NULL, NULL },
		{ "/8", NULL, NULL },
		{ "", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[PREFIX_TEXT_MAX];
		struct ip_prefix p;
		bool ok = ip_prefix_parse(str_of(rows[i].text), &p);

		if (ok != (rows[i].want != NULL))
			fail_msg("\"%s\" should be %s", rows[i].text, ok ? "refused" : "accepted");
		if (!ok)
			continue;
		ip_prefix_format(text, &p);
		assert_string_equal(text, rows[i].want);
		ip_prefix_mask(&p);
		ip_prefix_format(text, &p);
		assert_string_equal(text, rows[i].masked);
	}
}

static void parses_endpoints(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
		const char *why;
	} rows[] = {
		{ "192.0.2.1:51820", "192.0.2.1:51820", "IPv4" },
		{ "[2001:db8::1]:1", "[2001:db8::1]:1", "IPv6" },
		{ "[fe80::1%7]:65535", "[fe80::1%7]:65535", "link-local with its scope" },
		{ "[fe80::1%lo]:1", "[fe80::1%1]:1", "scope by name: lo is always 1" },
		{ "[2001:db8::1%7]:1", "[2001:db8::1]:1", "a scope means nothing here" },
		{ "[::ffff:192.0.2.1]:1", "192.0.2.1:1", "mapped becomes IPv4" },
		{ "192.0.2.1:0", NULL, "port 0" },
		{ "192.0.2.1:65536", NULL, "port too large" },
		{ "192.0.2.1", NULL, "no port" },
		{ "192.0.2.1:", NULL, "empty port" },
		{ "[192.0.2.1]:1", NULL, "IPv4 in brackets" },
		{ "2001:db8::1:1", NULL, "IPv6 without brackets" },
		{ "[::1]1", NULL, "no colon" },
		{ "[::1]", NULL, "no port" },
		{ "[::1:1", NULL, "no closing bracket" },
		{ "[fe80::1%]:1", NULL, "empty scope" },
		{ "[fe80::1%0]:1", NULL, "scope 0" },
		{ "[fe80::1%no-such-if0]:1", NULL, "no such interface" },
		{ "[fe80::1%a-name-longer-than-any]:1", NULL, "no possible interface" },
		{ "example.org:1", NULL, "names are not resolved" },
		{ "[]:1", NULL, "nothing in the brackets" },
		{ ":1", NULL, "no address" },
		{ "", NULL, "empty" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[ENDPOINT_TEXT_MAX];
		struct endpoint e, again;
		bool ok = endpoint_parse(str_of(rows[i].text), &e);

		if (ok != (rows[i].want != NULL))
			fail_msg("\"%s\": %s", rows[i].text, rows[i].why);
		if (!ok)
			continue;
		endpoint_format(text, &e);
		assert_string_equal(text, rows[i].want);
		assert_true(endpoint_parse(str_of(text), &again) && endpoint_eq(&e, &again));
	}
}

static void shows_the_zero_endpoint(void **state)
{
	char text[ENDPOINT_TEXT_MAX];
	struct endpoint none = { 0 };
	struct sockaddr_storage ss;

	(void)state;
	endpoint_format(text, &none);
	assert_string_equal(text, "(none)");
	assert_int_equal(endpoint_to_sockaddr(&none, &ss), 0);
}

static void converts_to_the_kernel_and_back(void **state)
{
	static const char *const rows[] = { "192.0.2.1:51820", "[2001:db8::1]:7", "[fe80::1%3]:9" };
	struct {
		sa_family_t family;
		char path[108];
	} other = { .family = AF_UNIX };
	struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = htons(5) };
	struct endpoint e, back;
	struct sockaddr_storage ss;
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		socklen_t len;

		assert_true(endpoint_parse(str_of(rows[i]), &e));
		len = endpoint_to_sockaddr(&e, &ss);
		assert_true(endpoint_from_sockaddr(&back, (struct sockaddr *)&ss, len));
		assert_true(endpoint_eq(&e, &back));
		assert_false(endpoint_from_sockaddr(&back, (struct sockaddr *)&ss, len - 1));
	}
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.9", &mapped.sin6_addr), 1);
	assert_true(endpoint_from_sockaddr(&e, (struct sockaddr *)&mapped, sizeof mapped));
	endpoint_format(text, &e);
	assert_string_equal(text, "192.0.2.9:5");
	assert_false(endpoint_from_sockaddr(&e, (struct sockaddr *)&other, sizeof other));
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;

	assert_true(ip_prefix_parse(str_of(text), &p));
	return p;
}

static void knows_members(void **state)
{
	static const struct {
		const char *a, *b;
		bool contains, overlap; /* a contains b's address; a overlaps b */
	} rows[] = {
		{ "10.8.0.0/24", "10.8.0.255/32", true, true },
		{ "10.8.0.0/24", "10.8.1.0/32", false, false },
		{ "10.8.0.0/24", "10.0.0.0/8", false, true },
		{ "0.0.0.0/0", "255.1.2.3/32", true, true },
		{ "0.0.0.0/0", "::/0", false, false },
		{ "::/0", "2001:db8::/32", true, true },
		{ "2001:db8::/33", "2001:db8:8000::/33", false, false },
		{ "10.8.0.77/24", "10.8.0.1/25", true, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_prefix a = prefix(rows[i].a), b = prefix(rows[i].b);

		assert_int_equal(ip_prefix_contains(&a, &b.addr), rows[i].contains);
		assert_int_equal(ip_prefix_overlap(&a, &b), rows[i].overlap);
		assert_int_equal(ip_prefix_overlap(&b, &a), rows[i].overlap);
	}
}

static void counts_hosts(void **state)
{
	static const struct {
		const char *prefix;
		uint64_t size, index;
		const char *host; /* NULL: past the end */
	} rows[] = {
		{ "10.8.0.77/24", 256, 0, "10.8.0.0" },
		{ "10.8.0.77/24", 256, 255, "10.8.0.255" },
		{ "10.8.0.77/24", 256, 256, NULL },
		{ "10.8.0.0/16", 65536, 258, "10.8.1.2" },
		{ "10.8.0.1/32", 1, 0, "10.8.0.1" },
		{ "10.8.0.1/32", 1, 1, NULL },
		{ "0.0.0.0/0", 1ULL << 32, UINT32_MAX, "255.255.255.255" },
		{ "0.0.0.0/0", 1ULL << 32, 1ULL << 32, NULL },
		{ "fd00::/64", UINT64_MAX, UINT64_MAX, "fd00::ffff:ffff:ffff:ffff" },
		{ "fd00::/65", 1ULL << 63, 1ULL << 63, NULL },
		{ "fd00::/48", UINT64_MAX, 0x1234, "fd00::1234" },
		{ "::/0", UINT64_MAX, 1, "::1" },
	};
	struct ip_prefix none = { 0 };
	struct ip_addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_prefix p = prefix(rows[i].prefix);
		char text[IP_TEXT_MAX];
		bool ok = ip_prefix_host(&p, rows[i].index, &a);

		assert_true(ip_prefix_size(&p) == rows[i].size);
		assert_int_equal(ok, rows[i].host != NULL);
		if (!ok)
			continue;
		ip_format(text, &a);
		assert_string_equal(text, rows[i].host);
	}
	assert_int_equal(ip_prefix_size(&none), 0);
	assert_false(ip_prefix_host(&none, 0, &a));
}

/* Every byte and every length, as printf writes them. */
static void every_number(void **state)
{
	(void)state;
	for (unsigned v = 0; v < 256; v++) {
		uint8_t b[4] = { (uint8_t)v, (uint8_t)~v, (uint8_t)v, (uint8_t)(v / 2) };
		struct ip_prefix p = { .addr = ip_v4(b), .len = (uint8_t)v };
		char text[PREFIX_TEXT_MAX], want[PREFIX_TEXT_MAX];

		snprintf(want, sizeof want, "%u.%u.%u.%u/%u", v, 255 - v, v, v / 2, v);
		ip_prefix_format(text, &p);
		assert_string_equal(text, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_addresses),
		cmocka_unit_test(every_number),
		cmocka_unit_test(parses_prefixes),
		cmocka_unit_test(parses_endpoints),
		cmocka_unit_test(shows_the_zero_endpoint),
		cmocka_unit_test(converts_to_the_kernel_and_back),
		cmocka_unit_test(knows_members),
		cmocka_unit_test(counts_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
