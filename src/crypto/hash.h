/* hash.h - BLAKE2s (RFC 7693), HMAC and the KDFs of the WireGuard paper (5.4), HKDF (RFC 5869).
 *
 * BLAKE2s is ours (docs/decisions/0017), the rest OpenSSL's.  Any thread.  Inputs may alias
 * outputs where noted.
 */
#ifndef QANAT_CRYPTO_HASH_H
#define QANAT_CRYPTO_HASH_H

#include "base/text.h"

#define BLAKE2S_LEN 32
#define MAC_LEN 16

/* HASH(a || b): BLAKE2s-256 of two parts; `out` may alias either. */
void blake2s_hash2(uint8_t out[BLAKE2S_LEN], const void *a, size_t a_len, const void *b,
		   size_t b_len);
/* Keyed BLAKE2s with `out_len` 1..32 and key 1..32 bytes: MAC(key, input) of the paper with 16. */
void blake2s_keyed(uint8_t *out, size_t out_len, const void *key, size_t key_len, const void *in,
		   size_t in_len);
/* HMAC-BLAKE2s-256, any key length. */
void hmac_blake2s(uint8_t out[BLAKE2S_LEN], const void *key, size_t key_len, const void *in,
		  size_t in_len);

/* KDF1, KDF2, KDF3 of the paper: HKDF over HMAC-BLAKE2s.  Outputs may alias `key`; a NULL output
 * behind the first is not computed. */
void kdf_blake2s(uint8_t out1[BLAKE2S_LEN], uint8_t *out2, uint8_t *out3,
		 const uint8_t key[BLAKE2S_LEN], const void *in, size_t in_len);

/* HKDF-SHA256 and HKDF-SHA512: false when out_len is beyond 255 hashes. */
MUST_CHECK bool hkdf_sha256(uint8_t *out, size_t out_len, const void *ikm, size_t ikm_len,
			    const void *salt, size_t salt_len, const void *info, size_t info_len);
MUST_CHECK bool hkdf_sha512(uint8_t *out, size_t out_len, const void *ikm, size_t ikm_len,
			    const void *salt, size_t salt_len, const void *info, size_t info_len);
#define SHA256_LEN 32
void sha256(uint8_t out[SHA256_LEN], const void *in, size_t in_len);
void hmac_sha256(uint8_t out[32], const void *key, size_t key_len, const void *in, size_t in_len);

#endif
