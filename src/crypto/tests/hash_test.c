#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/encode.h"
#include "crypto/hash.h"
#include "crypto/keys.h"
#include "crypto/tests/vectors.h"

static const struct {
	const char *in, *key, *out, *why;
} blake2s_rows[] = {
	{ "616263", "", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
	  "RFC 7693 appendix B, \"abc\"" },
	{ "", "", "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9",
	  "nothing at all" },
	{ "", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	  "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49",
	  "a key and nothing else" },
};

static size_t hex(uint8_t *out, size_t room, const char *text)
{
	size_t n = strlen(text) / 2;

	assert_true(n <= room);
	assert_true(hex_decode(out, n, str_of(text)));
	return n;
}

static void blake2s_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(blake2s_rows); i++) {
		uint8_t in[64], key[32], want[32], out[32] = { 0 };
		size_t in_len = hex(in, sizeof in, blake2s_rows[i].in);
		size_t key_len = hex(key, sizeof key, blake2s_rows[i].key);

		hex(want, sizeof want, blake2s_rows[i].out);
		if (key_len)
			blake2s_keyed(out, sizeof out, key, key_len, in, in_len);
		else
			blake2s_hash2(out, in, in_len, NULL, 0);
		if (memcmp(out, want, sizeof out) != 0)
			fail_msg("%s", blake2s_rows[i].why);
	}
}

static void blake2s_kat(void **state)
{
	struct vectors *v = vectors_open("hash/blake2s_kat.txt");

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes in = vectors_bytes(v, "in"), key = vectors_bytes(v, "key");
		uint8_t want[32], out[32];

		vectors_copy(v, "out", want, sizeof want);
		if (key.n) {
			blake2s_keyed(out, sizeof out, key.p, key.n, in.p, in.n);
			VECTORS_MUST(v, memcmp(out, want, sizeof out) == 0);
			continue;
		}
		for (size_t cut = 0; cut <= in.n; cut++) {
			blake2s_hash2(out, in.p, cut, in.p + cut, in.n - cut);
			VECTORS_MUST(v, memcmp(out, want, sizeof out) == 0);
		}
	}
	assert_int_equal(v->cases, 208);
	vectors_close(v);
}

static void blake2s_short(void **state)
{
	struct vectors *v = vectors_open("hash/blake2s_short.txt");
	unsigned unkeyed = 0, keyed = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes in = vectors_bytes(v, "in"), key = vectors_bytes(v, "key");
		struct vector_bytes want = vectors_bytes(v, "out");
		uint8_t out[33];

		VECTORS_MUST(v, want.n == vectors_u64(v, "outlen") && want.n <= 32);
		if (!key.n) { /* the paper's MAC has a key always; plain hashes are 32 bytes */
			unkeyed++;
			continue;
		}
		memset(out, 0xa5, sizeof out);
		blake2s_keyed(out, want.n, key.p, key.n, in.p, in.n);
		VECTORS_MUST(v, memcmp(out, want.p, want.n) == 0);
		VECTORS_MUST(v, out[want.n] == 0xa5);
		keyed++;
	}
	assert_int_equal(v->cases, 72);
	assert_true(keyed > unkeyed);
	vectors_close(v);
}

static void blake2s_aliasing(void **state)
{
	uint8_t a[32] = { 1, 2, 3 }, b[32] = { 4, 5, 6 }, want[32], x[32];

	(void)state;
	blake2s_hash2(want, a, sizeof a, b, sizeof b);
	memcpy(x, a, sizeof x);
	blake2s_hash2(x, x, sizeof x, b, sizeof b);
	assert_memory_equal(x, want, sizeof x);
	memcpy(x, b, sizeof x);
	blake2s_hash2(x, a, sizeof a, x, sizeof x);
	assert_memory_equal(x, want, sizeof x);
}

/* Against OpenSSL's, on every length up to some blocks, cut in two anywhere. */
static void blake2s_is_openssls(void **state)
{
	EVP_MD *md = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
	uint8_t in[300], want[32], out[32];

	(void)state;
	assert_non_null(md);
	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (uint8_t)(i * 37 + i / 7);
	for (size_t n = 0; n <= sizeof in; n++) {
		assert_int_equal(EVP_Digest(in, n, want, NULL, md, NULL), 1);
		for (size_t cut = 0; cut <= n; cut += 1 + n / 9) {
			blake2s_hash2(out, in, cut, in + cut, n - cut);
			assert_memory_equal(out, want, sizeof want);
		}
	}
	EVP_MD_free(md);
}

/* The same for HMAC, with keys below, at and above a block, and with nothing to authenticate. */
static void hmac_blake2s_is_openssls(void **state)
{
	static const size_t key_lens[] = { 1, 32, 63, 64, 65, 130 }, lens[] = { 0, 1, 33, 64, 200 };
	EVP_MD *md = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
	uint8_t key[130], in[200], want[32], out[32];
	unsigned len;

	(void)state;
	assert_non_null(md);
	memset(key, 0x5a, sizeof key);
	memset(in, 0xa5, sizeof in);
	for (size_t k = 0; k < ARRAY_LEN(key_lens); k++) {
		for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
			assert_non_null(HMAC(md, key, (int)key_lens[k], in, lens[i], want, &len));
			hmac_blake2s(out, key, key_lens[k], in, lens[i]);
			assert_memory_equal(out, want, sizeof want);
		}
	}
	EVP_MD_free(md);
}

static void keyed_leaves_no_trace(void **state)
{
	uint8_t k1[32] = { 1 }, k2[16] = { 2 }, first[16], again[16], other[32];

	(void)state;
	blake2s_keyed(first, 16, k1, 32, "x", 1);
	blake2s_keyed(other, 32, k2, 16, "y", 1);
	blake2s_keyed(again, 16, k1, 32, "x", 1);
	assert_memory_equal(first, again, sizeof first);
}

static void kdf_vectors(void **state)
{
	struct vectors *v = vectors_open("hash/wg_kdf_blake2s.txt");
	unsigned kdfs = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes key = vectors_bytes(v, "key"), in = vectors_bytes(v, "in");
		uint8_t hmac[32], t1[32], t2[32], t3[32], o1[32], o2[32], o3[32], k[32];

		vectors_copy(v, "t1", t1, 32);
		vectors_copy(v, "t2", t2, 32);
		vectors_copy(v, "t3", t3, 32);
		if (vectors_has(v, "hmac")) {
			vectors_copy(v, "hmac", hmac, 32);
			hmac_blake2s(o1, key.p, key.n, in.p, in.n);
			VECTORS_MUST(v, memcmp(o1, hmac, 32) == 0);
		}
		if (key.n > BLAKE2S_LEN)
			continue;
		kdfs++;
		/* RFC 2104: a short key is one padded with zeros */
		memset(k, 0, sizeof k);
		memcpy(k, key.p, key.n);
		kdf_blake2s(o1, o2, o3, k, in.p, in.n);
		VECTORS_MUST(v, !memcmp(o1, t1, 32) && !memcmp(o2, t2, 32) && !memcmp(o3, t3, 32));
		kdf_blake2s(k, NULL, NULL, k, in.p, in.n);
		VECTORS_MUST(v, memcmp(k, t1, 32) == 0);
		memset(k, 0, sizeof k);
		memcpy(k, key.p, key.n);
		kdf_blake2s(k, o2, NULL, k, in.p, in.n);
		VECTORS_MUST(v, !memcmp(k, t1, 32) && !memcmp(o2, t2, 32));
	}
	assert_int_equal(v->cases, 29);
	assert_true(kdfs > 0);
	vectors_close(v);
}

typedef bool hkdf_fn(uint8_t *out, size_t out_len, const void *ikm, size_t ikm_len,
		     const void *salt, size_t salt_len, const void *info, size_t info_len);

static void hkdf_file(const char *name, hkdf_fn *fn, unsigned cases)
{
	struct vectors *v = vectors_open(name);
	static uint8_t out[256 * 64 + 1];
	unsigned invalid = 0;

	while (vectors_next(v)) {
		struct vector_bytes ikm = vectors_bytes(v, "ikm");
		struct vector_bytes salt = vectors_bytes(v, "salt");
		struct vector_bytes info = vectors_bytes(v, "info");
		size_t size = (size_t)vectors_u64(v, "size");
		bool valid = str_eq(vectors_text(v, "result"), STR("valid"));
		bool ok;

		VECTORS_MUST(v, size < sizeof out);
		ok = fn(out, size, ikm.p, ikm.n, salt.p, salt.n, info.p, info.n);
		VECTORS_MUST(v, ok == valid);
		if (!valid) {
			invalid++;
			continue;
		}
		VECTORS_MUST(v, vectors_bytes(v, "okm").n == size);
		VECTORS_MUST(v, memcmp(out, vectors_bytes(v, "okm").p, size) == 0);
	}
	assert_int_equal(v->cases, cases);
	assert_true(invalid > 0);
	vectors_close(v);
}

static void hkdf_vectors(void **state)
{
	(void)state;
	hkdf_file("kdf/hkdf_sha256.txt", hkdf_sha256, 59);
	hkdf_file("kdf/hkdf_sha512.txt", hkdf_sha512, 56);
}

static void hkdf_table(void **state)
{
	/* RFC 5869 A.1 and A.3 */
	static const struct {
		const char *ikm, *salt, *info, *okm, *why;
	} rows[] = {
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
		  "f0f1f2f3f4f5f6f7f8f9",
		  "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
		  "34007208d5b887185865",
		  "A.1, basic" },
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
		  "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
		  "9d201395faa4b61a96c8",
		  "A.3, neither salt nor info" },
	};
	static uint8_t most[255 * 64 + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t ikm[32], salt[32], info[32], want[64], out[64];
		size_t ikm_len = hex(ikm, sizeof ikm, rows[i].ikm);
		size_t salt_len = hex(salt, sizeof salt, rows[i].salt);
		size_t info_len = hex(info, sizeof info, rows[i].info);
		size_t n = hex(want, sizeof want, rows[i].okm);

		assert_true(hkdf_sha256(out, n, ikm, ikm_len, salt, salt_len, info, info_len));
		if (memcmp(out, want, n) != 0)
			fail_msg("%s", rows[i].why);
	}
	assert_true(hkdf_sha256(most, 255 * 32, "k", 1, NULL, 0, NULL, 0));
	assert_false(hkdf_sha256(most, 255 * 32 + 1, "k", 1, NULL, 0, NULL, 0));
	assert_true(hkdf_sha512(most, 255 * 64, "k", 1, NULL, 0, NULL, 0));
	assert_false(hkdf_sha512(most, 255 * 64 + 1, "k", 1, NULL, 0, NULL, 0));
	assert_true(hkdf_sha256(most, 0, "k", 1, NULL, 0, NULL, 0));
	assert_true(hkdf_sha256(most, 32, NULL, 0, NULL, 0, NULL, 0));
}

static void hmac_sha256_vectors(void **state)
{
	struct vectors *v = vectors_open("mac/hmac_sha256.txt");

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes key = vectors_bytes(v, "key"), msg = vectors_bytes(v, "msg");
		struct vector_bytes tag = vectors_bytes(v, "tag");
		size_t n = (size_t)vectors_u64(v, "tagbits") / 8;
		bool valid = str_eq(vectors_text(v, "result"), STR("valid"));
		uint8_t out[32];

		hmac_sha256(out, key.p, key.n, msg.p, msg.n);
		VECTORS_MUST(v, (tag.n == n && n <= 32 && ct_equal(out, tag.p, n)) == valid);
	}
	assert_int_equal(v->cases, 116);
	vectors_close(v);
}

static void hmac_sha256_table(void **state)
{
	/* RFC 4231 4.3; and the empty key, which is not "the key before". */
	static const char want_hex[] =
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
	uint8_t want[32], out[32], zero[32] = { 0 }, of_zero[32];

	(void)state;
	hex(want, sizeof want, want_hex);
	hmac_sha256(out, "Jefe", 4, "what do ya want for nothing?", 28);
	assert_memory_equal(out, want, sizeof out);
	hmac_sha256(out, NULL, 0, "x", 1);
	hmac_sha256(of_zero, zero, sizeof zero, "x", 1); /* RFC 2104: keys are padded with zeros */
	assert_memory_equal(out, of_zero, sizeof out);
}

static int setup(void **state)
{
	(void)state;
	return crypto_init() ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blake2s_table),	 cmocka_unit_test(blake2s_kat),
		cmocka_unit_test(blake2s_short),	 cmocka_unit_test(blake2s_aliasing),
		cmocka_unit_test(blake2s_is_openssls),	 cmocka_unit_test(hmac_blake2s_is_openssls),
		cmocka_unit_test(keyed_leaves_no_trace), cmocka_unit_test(kdf_vectors),
		cmocka_unit_test(hkdf_vectors),		 cmocka_unit_test(hkdf_table),
		cmocka_unit_test(hmac_sha256_vectors),	 cmocka_unit_test(hmac_sha256_table),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
