/* aead.h - ChaCha20-Poly1305 (RFC 8439) in batches and alone, XChaCha20-Poly1305.
 *
 * The packet path seals and opens many packets in one call, in place, so that an implementation
 * may work across packets.  Nonce: 32 zero bits, then the 64-bit little-endian counter
 * (WireGuard paper 5.4.6).  Thread-safe: contexts are kept per thread inside.
 */
#ifndef QANAT_CRYPTO_AEAD_H
#define QANAT_CRYPTO_AEAD_H

#include "crypto/keys.h"

#define AEAD_TAG_LEN 16
#define NONCE_LEN 12
#define XNONCE_LEN 24

struct aead_key {
	uint8_t b[KEY_LEN];
	uint64_t id; /* unique in the process, from aead_key_set; never 0 */
};

/* Takes a key into use and gives it its id. */
void aead_key_set(struct aead_key *k, const uint8_t raw[KEY_LEN]);

struct aead_job {
	const struct aead_key *key;
	uint64_t counter;
	uint8_t *text; /* in place; a tag follows the plaintext */
	size_t len; /* plaintext bytes, without the tag */
	bool ok; /* open: the tag was right */
};

/* Encrypts job.len bytes at job.text and writes the tag behind them. */
void aead_seal_batch(struct aead_job *jobs, size_t n);
/* Checks and decrypts job.len bytes (the tag follows); sets ok.  Where it is false the text is
 * undefined and must not be used. */
void aead_open_batch(struct aead_job *jobs, size_t n);
/* Wipes the calling thread's copies of the keys that its last batches used; a worker calls it
 * when a session it served is erased. */
void aead_forget(void);

/* One message with associated data, out of place or in place (out == in): the handshake's AEAD.
 * `out` has in_len + AEAD_TAG_LEN bytes. */
void aead_seal(uint8_t *out, const uint8_t key[KEY_LEN], uint64_t counter, const void *in,
	       size_t in_len, const void *ad, size_t ad_len);
/* `out` has in_len - AEAD_TAG_LEN bytes; false (and `out` wiped) when forged or too short. */
MUST_CHECK bool aead_open(uint8_t *out, const uint8_t key[KEY_LEN], uint64_t counter,
			  const void *in, size_t in_len, const void *ad, size_t ad_len);
/* The same with RFC 8439's whole nonce. */
void aead_seal_nonce(uint8_t *out, const uint8_t key[KEY_LEN], const uint8_t nonce[NONCE_LEN],
		     const void *in, size_t in_len, const void *ad, size_t ad_len);
MUST_CHECK bool aead_open_nonce(uint8_t *out, const uint8_t key[KEY_LEN],
				const uint8_t nonce[NONCE_LEN], const void *in, size_t in_len,
				const void *ad, size_t ad_len);
/* XChaCha20-Poly1305: a nonce long enough to be random. */
void xaead_seal(uint8_t *out, const uint8_t key[KEY_LEN], const uint8_t nonce[XNONCE_LEN],
		const void *in, size_t in_len, const void *ad, size_t ad_len);
MUST_CHECK bool xaead_open(uint8_t *out, const uint8_t key[KEY_LEN],
			   const uint8_t nonce[XNONCE_LEN], const void *in, size_t in_len,
			   const void *ad, size_t ad_len);

#endif
