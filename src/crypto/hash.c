#include "crypto/hash.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <sodium.h>

#include "crypto/blake2s.h"
#include "crypto/ossl.h"

void blake2s_hash2(uint8_t out[BLAKE2S_LEN], const void *a, size_t a_len, const void *b,
		   size_t b_len)
{
	struct blake2s s;

	blake2s_begin(&s, BLAKE2S_LEN, NULL, 0);
	blake2s_add(&s, a, a_len);
	blake2s_add(&s, b, b_len);
	blake2s_end(&s, out, BLAKE2S_LEN);
}

void blake2s_keyed(uint8_t *out, size_t out_len, const void *key, size_t key_len, const void *in,
		   size_t in_len)
{
	struct blake2s s;

	BUG_ON(out_len < 1 || out_len > BLAKE2S_LEN || key_len < 1 || key_len > BLAKE2S_LEN);
	blake2s_begin(&s, out_len, key, key_len);
	blake2s_add(&s, in, in_len);
	blake2s_end(&s, out, out_len);
}

/* An HMAC's key in use: the two hashes, each with its block of key (RFC 2104). */
struct hmac_state {
	struct blake2s inner, outer;
};

/* H((K ^ opad) || H((K ^ ipad) || text)), a key longer than a block hashed first. */
static void hmac_begin(struct hmac_state *m, const void *key, size_t key_len)
{
	uint8_t pad[BLAKE2S_BLOCK] = { 0 };

	if (key_len > sizeof pad)
		blake2s_hash2(pad, key, key_len, NULL, 0);
	else if (key_len)
		memcpy(pad, key, key_len);
	for (size_t i = 0; i < sizeof pad; i++)
		pad[i] ^= 0x36;
	blake2s_begin(&m->inner, BLAKE2S_LEN, NULL, 0);
	blake2s_add(&m->inner, pad, sizeof pad);
	for (size_t i = 0; i < sizeof pad; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	blake2s_begin(&m->outer, BLAKE2S_LEN, NULL, 0);
	blake2s_add(&m->outer, pad, sizeof pad);
	wipe(pad, sizeof pad);
}

/* One text under the key, which stays in use. */
static void hmac_of(const struct hmac_state *m, uint8_t out[BLAKE2S_LEN], const void *in,
		    size_t in_len)
{
	struct blake2s s = m->inner;
	uint8_t inner[BLAKE2S_LEN];

	blake2s_add(&s, in, in_len);
	blake2s_end(&s, inner, sizeof inner);
	s = m->outer;
	blake2s_add(&s, inner, sizeof inner);
	blake2s_end(&s, out, BLAKE2S_LEN);
	wipe(inner, sizeof inner);
}

void hmac_blake2s(uint8_t out[BLAKE2S_LEN], const void *key, size_t key_len, const void *in,
		  size_t in_len)
{
	struct hmac_state m;

	hmac_begin(&m, key, key_len);
	hmac_of(&m, out, in, in_len);
	wipe(&m, sizeof m);
}

/* WireGuard paper 5.4: t0 = HMAC(key, input), t1 = HMAC(t0, 0x1), ti = HMAC(t0, t(i-1) || i). */
void kdf_blake2s(uint8_t out1[BLAKE2S_LEN], uint8_t *out2, uint8_t *out3,
		 const uint8_t key[BLAKE2S_LEN], const void *in, size_t in_len)
{
	uint8_t t0[BLAKE2S_LEN], t[BLAKE2S_LEN + 1];
	uint8_t *const outs[] = { out1, out2, out3 };
	struct hmac_state m;
	size_t t_len = 0;

	hmac_blake2s(t0, key, BLAKE2S_LEN, in, in_len);
	hmac_begin(&m, t0, sizeof t0);
	blake2s_flush(&m.inner); /* once for all outputs: their texts are never empty */
	blake2s_flush(&m.outer);
	for (uint8_t i = 0; i < ARRAY_LEN(outs) && outs[i]; i++) {
		t[t_len] = (uint8_t)(i + 1);
		hmac_of(&m, t, t, t_len + 1);
		memcpy(outs[i], t, BLAKE2S_LEN);
		t_len = BLAKE2S_LEN;
	}
	wipe(&m, sizeof m);
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
