/* keys.h - typed keys: kinds are kept apart by type, secrets are wiped, compared in constant
 * time, and have no print function.
 *
 * Curve25519 (RFC 7748) by libsodium, clamped as WireGuard does when a private key is set.
 */
#ifndef QANAT_CRYPTO_KEYS_H
#define QANAT_CRYPTO_KEYS_H

#include "base/encode.h"

#define KEY_LEN 32
#define KEY_TEXT_MAX (BASE64_LEN(KEY_LEN) + 1)

struct secret_key {
	uint8_t b[KEY_LEN];
};

struct public_key {
	uint8_t b[KEY_LEN];
};

struct psk { /* all zero: none */
	uint8_t b[KEY_LEN];
};

struct shared_secret {
	uint8_t b[KEY_LEN];
};

/* Prepares the libraries; every program calls it once before threads start.  False: unusable. */
MUST_CHECK bool crypto_init(void);

/* Fills with bytes from getrandom(2); ends the process when the kernel cannot give them. */
void random_bytes(void *p, size_t n);
uint32_t random_u32(void);
/* Uniform in 0..below-1; `below` > 0. */
uint32_t random_below(uint32_t below);

bool ct_equal(const void *a, const void *b, size_t n);
bool ct_is_zero(const void *p, size_t n);

void secret_key_clamp(struct secret_key *k);
/* A fresh clamped key. */
void secret_key_generate(struct secret_key *k);
void psk_generate(struct psk *k);
/* Public key of `secret` (which need not be clamped). */
void public_key_of(struct public_key *out, const struct secret_key *secret);
/* X25519; false when the result is all zero (a point of small order). */
MUST_CHECK bool x25519(struct shared_secret *out, const struct secret_key *secret,
		       const struct public_key *peer);

static inline void public_key_text(char out[KEY_TEXT_MAX], const struct public_key *k)
{
	base64_encode(out, k->b, KEY_LEN);
}

/* Canonical base64 of 32 bytes. */
MUST_CHECK static inline bool public_key_parse(struct str s, struct public_key *out)
{
	return base64_decode(out->b, KEY_LEN, s);
}

/* A second key derived from nothing but a 64-bit keyed hash (SipHash-2-4), for hash tables that
 * strangers fill. */
struct siphash_key {
	uint8_t b[16];
};
uint64_t siphash(const struct siphash_key *k, const void *p, size_t n);

#endif
