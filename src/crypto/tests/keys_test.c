#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/keys.h"
#include "crypto/tests/vectors.h"

/* RFC 7748 5.2 and 6.1, and points that must be refused. */
static const struct {
	const char *secret, *public, *shared; /* "": refused */
	const char *why;
} x25519_rows[] = {
	{ "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
	  "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
	  "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552", "5.2, first" },
	{ "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
	  "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
	  "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957", "5.2, second" },
	{ "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
	  "0000000000000000000000000000000000000000000000000000000000000000", "", "zero" },
	{ "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
	  "0100000000000000000000000000000000000000000000000000000000000000", "", "order 1" },
	{ "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
	  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", "", "order 8" },
	{ "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
	  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "",
	  "p, which is 0 not reduced" },
};

static void x25519_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(x25519_rows); i++) {
		struct secret_key s;
		struct public_key p;
		struct shared_secret got, want = { 0 };
		bool valid = *x25519_rows[i].shared != '\0';

		memset(&got, 0xa5, sizeof got);
		assert_true(hex_decode(s.b, KEY_LEN, str_of(x25519_rows[i].secret)));
		assert_true(hex_decode(p.b, KEY_LEN, str_of(x25519_rows[i].public)));
		if (valid)
			assert_true(hex_decode(want.b, KEY_LEN, str_of(x25519_rows[i].shared)));
		if (x25519(&got, &s, &p) != valid || memcmp(&got, &want, sizeof got) != 0)
			fail_msg("%s", x25519_rows[i].why);
	}
}

static void x25519_diffie_hellman(void **state)
{
	/* RFC 7748 6.1 */
	static const struct {
		const char *secret, *public;
	} sides[2] = {
		{ "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
		  "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a" },
		{ "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
		  "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f" },
	};
	struct secret_key s[2];
	struct public_key p[2], want;
	struct shared_secret shared[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_true(hex_decode(s[i].b, KEY_LEN, str_of(sides[i].secret)));
		assert_true(hex_decode(want.b, KEY_LEN, str_of(sides[i].public)));
		public_key_of(&p[i], &s[i]);
		assert_memory_equal(&p[i], &want, sizeof want);
		secret_key_clamp(&s[i]); /* done inside before; changes nothing */
		public_key_of(&p[i], &s[i]);
		assert_memory_equal(&p[i], &want, sizeof want);
	}
	assert_true(x25519(&shared[0], &s[0], &p[1]));
	assert_true(x25519(&shared[1], &s[1], &p[0]));
	assert_true(ct_equal(&shared[0], &shared[1], sizeof shared[0]));
}

static void x25519_vectors(void **state)
{
	struct vectors *v = vectors_open("x25519/x25519.txt");
	unsigned refused = 0;

	(void)state;
	while (vectors_next(v)) {
		struct secret_key s;
		struct public_key p;
		struct shared_secret got, want;
		bool ok;

		vectors_copy(v, "private", s.b, KEY_LEN);
		vectors_copy(v, "public", p.b, KEY_LEN);
		vectors_copy(v, "shared", want.b, KEY_LEN);
		ok = x25519(&got, &s, &p);
		VECTORS_MUST(v, ok == !ct_is_zero(&want, sizeof want));
		VECTORS_MUST(v, ct_equal(&got, &want, sizeof got));
		refused += !ok;
	}
	assert_int_equal(v->cases, 355);
	assert_true(refused > 0);
	vectors_close(v);
}

static void clamping(void **state)
{
	struct secret_key k;

	(void)state;
	memset(&k, 0xff, sizeof k);
	secret_key_clamp(&k);
	assert_int_equal(k.b[0], 0xf8);
	assert_int_equal(k.b[1], 0xff);
	assert_int_equal(k.b[31], 0x7f);
	memset(&k, 0, sizeof k);
	secret_key_clamp(&k);
	assert_int_equal(k.b[31], 0x40);
	for (int i = 0; i < 50; i++) {
		secret_key_generate(&k);
		assert_int_equal(k.b[0] & 7, 0);
		assert_int_equal(k.b[31] & 0xc0, 0x40);
	}
}

static void comparing(void **state)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };

	(void)state;
	assert_true(ct_equal(a, b, 0));
	assert_true(ct_is_zero(a, 0));
	for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
		a[bit / 8] = (uint8_t)(1 << bit % 8);
		assert_false(ct_equal(a, b, sizeof a));
		assert_false(ct_is_zero(a, sizeof a));
		a[bit / 8] = 0;
	}
	assert_true(ct_equal(a, b, sizeof a));
	assert_true(ct_is_zero(a, sizeof a));
}

static void key_text(void **state)
{
	struct public_key k, back;
	char text[KEY_TEXT_MAX];

	(void)state;
	for (int i = 0; i < 100; i++) {
		random_bytes(&k, sizeof k);
		public_key_text(text, &k);
		assert_int_equal(strlen(text), 44);
		assert_true(public_key_parse(str_of(text), &back));
		assert_memory_equal(&k, &back, sizeof k);
	}
}

static void key_text_vectors(void **state)
{
	struct vectors *v = vectors_open("wireguard/key_base64.txt");
	struct secret_key s;
	unsigned refused = 0;

	(void)state;
	while (vectors_next(v)) {
		bool valid = str_eq(vectors_text(v, "accept"), STR("true"));
		struct public_key k, want;

		VECTORS_MUST(v, public_key_parse(vectors_text(v, "text"), &k) == valid);
		if (!valid) {
			refused++;
			continue;
		}
		vectors_copy(v, "raw", want.b, KEY_LEN);
		VECTORS_MUST(v, memcmp(&k, &want, sizeof k) == 0);
		memcpy(s.b, k.b, KEY_LEN);
		public_key_of(&k, &s);
		vectors_copy(v, "public", want.b, KEY_LEN);
		VECTORS_MUST(v, memcmp(&k, &want, sizeof k) == 0);
	}
	assert_int_equal(v->cases, 24);
	assert_true(refused > 0);
	vectors_close(v);
}

static void randomness(void **state)
{
	uint8_t a[64], b[64];
	unsigned counts[7] = { 0 };

	(void)state;
	random_bytes(a, sizeof a);
	random_bytes(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a); /* wrong once in 2^512 */
	random_bytes(a, 0);
	for (int i = 0; i < 7000; i++) {
		uint32_t n = random_below(7);

		assert_true(n < 7);
		counts[n]++;
	}
	for (size_t i = 0; i < 7; i++)
		assert_in_range(counts[i], 600, 1400); /* 13 standard deviations */
	assert_int_equal(random_below(1), 0);
	for (int i = 0; i < 100; i++)
		assert_true(random_below(UINT32_MAX) < UINT32_MAX);
}

static void siphash_table(void **state)
{
	/* The reference's vectors: key 00..0f, message 00..n-1 */
	static const struct {
		size_t n;
		uint64_t want;
	} rows[] = {
		{ 0, 0x726fdb47dd0e0e31 },
		{ 1, 0x74f839c593dc67fd },
		{ 8, 0x93f5f5799a932462 },
		{ 15, 0xa129ca6149be45e5 },
	};
	struct siphash_key k;
	uint8_t in[16];

	(void)state;
	for (uint8_t i = 0; i < 16; i++)
		in[i] = k.b[i] = i;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_true(siphash(&k, in, rows[i].n) == rows[i].want);
}

static int setup(void **state)
{
	(void)state;
	return crypto_init() && crypto_init() ? 0 : -1; /* a second time changes nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x25519_table),	    cmocka_unit_test(x25519_diffie_hellman),
		cmocka_unit_test(x25519_vectors),   cmocka_unit_test(clamping),
		cmocka_unit_test(comparing),	    cmocka_unit_test(key_text),
		cmocka_unit_test(randomness),	    cmocka_unit_test(siphash_table),
		cmocka_unit_test(key_text_vectors),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
