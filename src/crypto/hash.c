#include "crypto/hash.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <sodium.h>

#include "crypto/ossl.h"

#define BLAKE2S_BLOCK 64

/* OpenSSL wipes the digest's state in EVP_DigestFinal_ex. */
void blake2s_hash2(uint8_t out[BLAKE2S_LEN], const void *a, size_t a_len, const void *b,
		   size_t b_len)
{
	EVP_MD_CTX *ctx = ossl_thread()->blake2s;

	OSSL_MUST(EVP_DigestInit_ex2(ctx, ossl()->blake2s, NULL));
	OSSL_MUST(EVP_DigestUpdate(ctx, a, a_len));
	OSSL_MUST(EVP_DigestUpdate(ctx, b, b_len));
	OSSL_MUST(EVP_DigestFinal_ex(ctx, out, NULL));
}

void blake2s_keyed(uint8_t *out, size_t out_len, const void *key, size_t key_len, const void *in,
		   size_t in_len)
{
	static uint8_t zero_key[BLAKE2S_LEN]; /* not const only for OSSL_PARAM; never written */
	EVP_MAC_CTX *ctx = ossl_thread()->blake2s_mac;
	size_t size = out_len, made = 0;
	OSSL_PARAM set_size[] = {
		OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
		OSSL_PARAM_construct_end(),
	};
	OSSL_PARAM set_zero_key[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, zero_key, sizeof zero_key),
		OSSL_PARAM_construct_end(),
	};

	BUG_ON(out_len < 1 || out_len > BLAKE2S_LEN || key_len < 1 || key_len > BLAKE2S_LEN);
	OSSL_MUST(EVP_MAC_init(ctx, key, key_len, set_size));
	OSSL_MUST(EVP_MAC_update(ctx, in, in_len));
	OSSL_MUST(EVP_MAC_final(ctx, out, &made, out_len) && made == out_len);
	OSSL_MUST(EVP_MAC_CTX_set_params(ctx, set_zero_key)); /* it would keep the key */
}

/* RFC 2104: H((K ^ opad) || H((K ^ ipad) || text)), a key longer than a block hashed first.  Two
 * plain digests cost half of what OpenSSL's HMAC object does with its set-up. */
void hmac_blake2s(uint8_t out[BLAKE2S_LEN], const void *key, size_t key_len, const void *in,
		  size_t in_len)
{
	uint8_t pad[BLAKE2S_BLOCK] = { 0 };
	uint8_t inner[BLAKE2S_LEN];

	if (key_len > sizeof pad)
		blake2s_hash2(pad, key, key_len, NULL, 0);
	else if (key_len)
		memcpy(pad, key, key_len);
	for (size_t i = 0; i < sizeof pad; i++)
		pad[i] ^= 0x36;
	blake2s_hash2(inner, pad, sizeof pad, in, in_len);
	for (size_t i = 0; i < sizeof pad; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	blake2s_hash2(out, pad, sizeof pad, inner, sizeof inner);
	wipe(pad, sizeof pad);
	wipe(inner, sizeof inner);
}

/* WireGuard paper 5.4: t0 = HMAC(key, input), t1 = HMAC(t0, 0x1), ti = HMAC(t0, t(i-1) || i). */
void kdf_blake2s(uint8_t out1[BLAKE2S_LEN], uint8_t *out2, uint8_t *out3,
		 const uint8_t key[BLAKE2S_LEN], const void *in, size_t in_len)
{
	uint8_t t0[BLAKE2S_LEN], t[BLAKE2S_LEN + 1];
	uint8_t *const outs[] = { out1, out2, out3 };
	size_t t_len = 0;

	hmac_blake2s(t0, key, BLAKE2S_LEN, in, in_len);
	for (uint8_t i = 0; i < ARRAY_LEN(outs) && outs[i]; i++) {
		t[t_len] = (uint8_t)(i + 1);
		hmac_blake2s(t, t0, sizeof t0, t, t_len + 1);
		memcpy(outs[i], t, BLAKE2S_LEN);
		t_len = BLAKE2S_LEN;
	}
	wipe(t0, sizeof t0);
	wipe(t, sizeof t);
}

void sha256(uint8_t out[SHA256_LEN], const void *in, size_t in_len)
{
	/* It never fails; the interface is that of functions that can. */
	(void)crypto_hash_sha256(out, in, in_len);
}

void hmac_sha256(uint8_t out[32], const void *key, size_t key_len, const void *in, size_t in_len)
{
	static const uint8_t zero_key[32];
	EVP_MAC_CTX *ctx = ossl_thread()->hmac_sha256;
	size_t made = 0;

	/* A NULL key would mean: the one before. */
	OSSL_MUST(EVP_MAC_init(ctx, key_len ? key : zero_key, key_len, NULL));
	OSSL_MUST(EVP_MAC_update(ctx, in, in_len));
	OSSL_MUST(EVP_MAC_final(ctx, out, &made, 32) && made == 32);
	OSSL_MUST(EVP_MAC_init(ctx, zero_key, sizeof zero_key, NULL));
}

static void *unconst(const void *p)
{
	union {
		const void *in;
		void *out;
	} u = { .in = p };

	return u.out; /* OSSL_PARAM has one pointer for reading and writing; this is read */
}

static bool hkdf(char *digest, size_t digest_len, uint8_t *out, size_t out_len, const void *ikm,
		 size_t ikm_len, const void *salt, size_t salt_len, const void *info,
		 size_t info_len)
{
	static const uint8_t empty[1];
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
						  unconst(ikm_len ? ikm : empty), ikm_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT,
						  unconst(salt_len ? salt : empty), salt_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
						  unconst(info_len ? info : empty), info_len),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF_CTX *ctx;

	if (out_len > 255 * digest_len) /* RFC 5869 2.3 */
		return false;
	if (!out_len)
		return true;
	OSSL_MUST(ctx = EVP_KDF_CTX_new(ossl()->hkdf));
	OSSL_MUST(EVP_KDF_derive(ctx, out, out_len, params) > 0);
	EVP_KDF_CTX_free(ctx); /* wipes its copy of the input key */
	return true;
}

bool hkdf_sha256(uint8_t *out, size_t out_len, const void *ikm, size_t ikm_len, const void *salt,
		 size_t salt_len, const void *info, size_t info_len)
{
	static char digest[] = "SHA256";

	return hkdf(digest, 32, out, out_len, ikm, ikm_len, salt, salt_len, info, info_len);
}

bool hkdf_sha512(uint8_t *out, size_t out_len, const void *ikm, size_t ikm_len, const void *salt,
		 size_t salt_len, const void *info, size_t info_len)
{
	static char digest[] = "SHA512";

	return hkdf(digest, 64, out, out_len, ikm, ikm_len, salt, salt_len, info, info_len);
}
