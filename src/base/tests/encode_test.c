/* encode_test.c - hex and base64 against RFC 4648, recorded wg(8) behaviour and bad input. */
#include "base/tests/cm.h"

#include "base/encode.h"
#include "base/tests/vectors.h"

#define BYTES_MAX 512

static size_t raw_of(uint8_t out[BYTES_MAX], struct str hex)
{
	assert_true(hex.n <= 2 * BYTES_MAX);
	assert_true(hex_decode(out, hex.n / 2, hex));
	return hex.n / 2;
}

static void matches_vectors(void **state)
{
	uint8_t raw[BYTES_MAX], got[BYTES_MAX];
	char text[BASE64_LEN(BYTES_MAX) + 1];
	struct vectors v;
	unsigned cases = 0;

	(void)state;
	if (!vectors_open(&v, "web/base_n.txt"))
		skip();
	for (; vectors_next(&v); cases++) {
		struct str hex, want;
		size_t n;

		if (!vectors_has(&v, "raw", &hex) || !vectors_has(&v, "base64", &want))
			continue;
		n = raw_of(raw, hex);
		base64_encode(text, raw, n);
		assert_true(str_eq(str_of(text), want));
		assert_true(base64_decode(got, n, want));
		assert_memory_equal(got, raw, n);
	}
	assert_true(cases > 0);
	buf_done(&v.text);
}

static void matches_wg_keys(void **state)
{
	uint8_t raw[BYTES_MAX], got[32];
	struct vectors v;
	unsigned accepted = 0, refused = 0;

	(void)state;
	if (!vectors_open(&v, "wireguard/key_base64.txt"))
		skip();
	while (vectors_next(&v)) {
		struct str text = vectors_get(&v, "text");
		bool want = str_eq(vectors_get(&v, "accept"), STR("true"));

		if (base64_decode(got, sizeof got, text) != want)
			fail_msg("\"%.*s\" should be %s", STR_ARG(text),
				 want ? "accepted" : "refused");
		if (want) {
			assert_int_equal(raw_of(raw, vectors_get(&v, "raw")), 32);
			assert_memory_equal(got, raw, 32);
			accepted++;
		} else {
			refused++;
		}
	}
	assert_true(accepted > 0 && refused > 0);
	buf_done(&v.text);
}

/* RFC 4648 section 10, and each way to be wrong. */
static void base64_rows(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *raw; /* NULL: refused */
		const char *why;
	} rows[] = {
		{ "", 0, "", "empty" },
		{ "Zg==", 1, "f", "one byte" },
		{ "Zm8=", 2, "fo", "two bytes" },
		{ "Zm9v", 3, "foo", "three" },
		{ "Zm9vYmFy", 6, "foobar", "six" },
		{ "+/+/", 3, "\xfb\xff\xbf", "the last two digits" },
		{ "-_-_", 3, NULL, "the digits of base64url" },
		{ "Zh==", 1, NULL, "bits that no byte uses are set" },
		{ "Zm9=", 2, NULL, "the same with two bytes" },
		{ "Zg=", 1, NULL, "padding missing" },
		{ "Zg", 1, NULL, "all padding missing" },
		{ "Zg==", 2, NULL, "another length than asked for" },
		{ "Zm9v", 2, NULL, "no padding where it must stand" },
		{ "Zg=A", 1, NULL, "a digit where padding must stand" },
		{ "Z===", 1, NULL, "padding where a digit must stand" },
		{ "Zm8 ", 2, NULL, "a space" },
		{ "Zm9\n", 3, NULL, "a line break" },
		{ "Zm9\x80", 3, NULL, "a byte above ASCII" },
		{ "Zm9v=", 3, NULL, "one too many" },
		{ "@m9v", 3, NULL, "beside 'A'" },
		{ "[m9v", 3, NULL, "beside 'Z'" },
		{ "`m9v", 3, NULL, "beside 'a'" },
		{ "{m9v", 3, NULL, "beside 'z'" },
		{ ":m9v", 3, NULL, "beside '9'" },
		{ ".m9v", 3, NULL, "between '+' and '/'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t out[8] = "untouch";
		bool ok = base64_decode(out, rows[i].n, str_of(rows[i].text));

		if (ok != (rows[i].raw != NULL))
			fail_msg("\"%s\": %s", rows[i].text, rows[i].why);
		if (ok)
			assert_memory_equal(out, rows[i].raw, rows[i].n);
		else
			assert_memory_equal(out, "untouch", 8);
	}
}

/* Each byte at each place of texts that are several blocks long, and long ones back and forth. */
static void base64_of_any_length(void **state)
{
	static const char all[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t raw[BYTES_MAX], got[BYTES_MAX];
	char text[BASE64_LEN(BYTES_MAX) + 1];

	(void)state;
	for (size_t i = 0; i < sizeof raw; i++)
		raw[i] = (uint8_t)(i * 167 + i / 256);
	for (size_t n = 0; n < 100; n++) {
		base64_encode(text, raw, n);
		assert_true(base64_decode(got, n, str_of(text)));
		assert_memory_equal(got, raw, n);
	}
	for (size_t at = 0; at < 48; at++) {
		for (unsigned c = 0; c < 256; c++) {
			bool is_digit = c && strchr(all, (int)c);

			base64_encode(text, raw, 36);
			text[at] = (char)c;
			memset(got, 7, sizeof got);
			assert_int_equal(base64_decode(got, 36, (struct str){ text, 48 }),
					 is_digit);
			if (!is_digit)
				assert_int_equal(got[0], 7); /* nothing was written */
		}
	}
}

static void hex_rows(void **state)
{
	static const char bad[] = "/:@G`g \n-+";
	uint8_t all[256], got[256];
	char text[HEX_LEN(256) + 1];

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	hex_encode(text, all, sizeof all);
	assert_true(str_starts(str_of(text), STR("000102030405060708090a0b")));
	assert_true(hex_decode(got, sizeof got, str_of(text)));
	assert_memory_equal(got, all, sizeof all);
	assert_true(hex_decode(got, 2, STR("aBCd")));
	assert_memory_equal(got, "\xab\xcd", 2);
	assert_false(hex_decode(got, 2, STR("abc")));
	assert_false(hex_decode(got, 2, STR("abcdef")));
	for (const char *c = bad; *c; c++) {
		char one[3] = { 'a', *c, 0 };

		assert_false(hex_decode(got, 1, str_of(one)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches_vectors), cmocka_unit_test(matches_wg_keys),
		cmocka_unit_test(base64_rows),	   cmocka_unit_test(base64_of_any_length),
		cmocka_unit_test(hex_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
