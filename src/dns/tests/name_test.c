#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/name.h"

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static const struct {
	const char *text;
	const char *want; /* as formatted; NULL: refused */
	bool is_host;
	const char *why;
} rows[] = {
	{ "example.com", "example.com", true, "a name" },
	{ "example.com.", "example.com", true, "absolute" },
	{ "Example.COM", "Example.COM", true, "case is kept" },
	{ ".", ".", false, "the root" },
	{ "a", "a", true, "one label" },
	{ "1.2.3", "1.2.3", true, "digits" },
	{ "x-1.example", "x-1.example", true, "an inner hyphen" },
	{ "-x.example", "-x.example", false, "a leading hyphen is no host" },
	{ "x-.example", "x-.example", false, "a trailing hyphen is no host" },
	{ "_dns.example", "_dns.example", false, "an underscore is no host" },
	{ "a\\.b.c", "a\\.b.c", false, "an escaped point" },
	{ "a\\046b.c", "a\\.b.c", false, "the same by number" },
	{ "\\000.c", "\\000.c", false, "a zero byte" },
	{ "\\255.c", "\\255.c", false, "the last byte" },
	{ "a b.c", "a\\032b.c", false, "a space" },
	{ "\\\\.c", "\\\\.c", false, "a backslash" },
	{ L63 ".x", L63 ".x", true, "the longest label" },
	{ L63 "g.x", NULL, false, "a label too long" },
	{ "", NULL, false, "nothing" },
	{ "..", NULL, false, "empty labels" },
	{ ".a", NULL, false, "an empty first label" },
	{ "a..b", NULL, false, "an empty label inside" },
	{ "a\\", NULL, false, "an escape without a character" },
	{ "a\\25", NULL, false, "an escape cut off" },
	{ "a\\256", NULL, false, "no byte" },
	{ L63 "." L63 "." L63 "." L63, NULL, false, "257 bytes" },
	{ L63 "." L63 "." L63 ".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg",
	  L63 "." L63 "." L63 ".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg",
	  true, "255 bytes" },
};

static void names_are_read_and_written(void **state)
{
	char text[DNS_NAME_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dns_name name = { 0 };
		bool ok = dns_name_parse(&name, str_of(rows[i].text));

		if (ok != (rows[i].want != NULL))
			fail_msg("%s: %s", rows[i].why, ok ? "accepted" : "refused");
		if (!ok)
			continue;
		dns_name_format(text, &name);
		if (strcmp(text, rows[i].want) != 0)
			fail_msg("%s: became %s", rows[i].why, text);
		if (dns_name_is_host(&name) != rows[i].is_host)
			fail_msg("%s: host or not", rows[i].why);
	}
}

static struct dns_name name_of(const char *text)
{
	struct dns_name name;

	assert_true(dns_name_parse(&name, str_of(text)));
	return name;
}

static const struct {
	const char *a, *b;
	bool eq, in;
	const char *why;
} pairs[] = {
	{ "a.b", "A.B", true, true, "case does not count" },
	{ "a.b", "a.c", false, false, "another" },
	{ "x.a.b", "A.b", false, true, "below" },
	{ "xa.b", "a.b", false, false, "the end of a label is no label" },
	{ "a.b", "x.a.b", false, false, "above" },
	{ "a.b", ".", false, true, "all is below the root" },
	{ ".", ".", true, true, "the root" },
	{ "[a", "{A", false, false, "only letters have case" },
};

static void names_are_compared(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct dns_name a = name_of(pairs[i].a), b = name_of(pairs[i].b);

		if (dns_name_eq(&a, &b) != pairs[i].eq || dns_name_in(&a, &b) != pairs[i].in)
			fail_msg("%s", pairs[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_read_and_written),
		cmocka_unit_test(names_are_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
