#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/aesgcm.h"
#include "crypto/tests/vectors.h"

/* Test cases 13 to 16 of the GCM specification (McGrew and Viega), those with 256-bit keys. */
static const struct {
	const char *key, *nonce, *text, *ad, *sealed, *why;
} rows[] = {
	{ "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b",
	  "nothing at all" },
	{ "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "00000000000000000000000000000000", "",
	  "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919", "one block" },
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	  "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
	  "76fc6ece0f4e1768cddf8853bb2d551b",
	  "associated data, and a part of a block" },
};

static size_t bytes(uint8_t out[128], const char *hex)
{
	size_t n = strlen(hex) / 2;

	assert_true(n <= 128 && hex_decode(out, n, str_of(hex)));
	return n;
}

static void specification(void **state)
{
	uint8_t key[128], nonce[128], text[128], ad[128], sealed[128], out[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = bytes(text, rows[i].text), ad_n = bytes(ad, rows[i].ad);

		assert_int_equal(bytes(key, rows[i].key), KEY_LEN);
		assert_int_equal(bytes(nonce, rows[i].nonce), NONCE_LEN);
		assert_int_equal(bytes(sealed, rows[i].sealed), n + AEAD_TAG_LEN);
		aes256gcm_seal(out, key, nonce, text, n, ad, ad_n);
		assert_memory_equal(out, sealed, n + AEAD_TAG_LEN);
		assert_true(aes256gcm_open(out, key, nonce, out, n + AEAD_TAG_LEN, ad, ad_n));
		assert_memory_equal(out, text, n);
	}
}

static void one_bit(void **state)
{
	static const uint8_t key[KEY_LEN] = { 1 }, nonce[NONCE_LEN] = { 2 };
	uint8_t sealed[20 + AEAD_TAG_LEN], out[20];
	static const uint8_t zero[20];

	(void)state;
	aes256gcm_seal(sealed, key, nonce, "twenty bytes of text", 20, "ad", 2);
	assert_true(aes256gcm_open(out, key, nonce, sealed, sizeof sealed, "ad", 2));
	assert_memory_equal(out, "twenty bytes of text", 20);
	assert_false(aes256gcm_open(out, key, nonce, sealed, sizeof sealed, "ae", 2));
	assert_false(aes256gcm_open(out, key, nonce, sealed, AEAD_TAG_LEN - 1, "ad", 2));
	for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		memset(out, 0xaa, sizeof out);
		assert_false(aes256gcm_open(out, key, nonce, sealed, sizeof sealed, "ad", 2));
		assert_memory_equal(out, zero, sizeof out);
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void wycheproof(void **state)
{
	struct vectors *v = vectors_open("aead/aes_gcm.txt");
	static uint8_t sealed[VECTOR_BYTES_MAX + AEAD_TAG_LEN],
		out[VECTOR_BYTES_MAX + AEAD_TAG_LEN];
	unsigned tried = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes key = vectors_bytes(v, "key"), iv = vectors_bytes(v, "iv");
		struct vector_bytes ad = vectors_bytes(v, "aad"), msg = vectors_bytes(v, "msg");
		struct vector_bytes ct = vectors_bytes(v, "ct"), tag = vectors_bytes(v, "tag");
		bool valid = str_eq(vectors_text(v, "result"), STR("valid"));
		bool ok;

		if (key.n != KEY_LEN || iv.n != NONCE_LEN || tag.n != AEAD_TAG_LEN)
			continue; /* our types cannot say such a thing */
		memcpy(sealed, ct.p, ct.n);
		memcpy(sealed + ct.n, tag.p, tag.n);
		ok = aes256gcm_open(out, key.p, iv.p, sealed, ct.n + tag.n, ad.p, ad.n);
		VECTORS_MUST(v, ok == valid);
		if (valid) {
			VECTORS_MUST(v, memcmp(out, msg.p, msg.n) == 0);
			aes256gcm_seal(out, key.p, iv.p, msg.p, msg.n, ad.p, ad.n);
			VECTORS_MUST(v, memcmp(out, sealed, ct.n + tag.n) == 0);
		}
		tried++;
	}
	assert_true(tried > 30);
	vectors_close(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(specification),
		cmocka_unit_test(one_bit),
		cmocka_unit_test(wycheproof),
	};

	return crypto_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
