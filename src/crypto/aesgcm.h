/* aesgcm.h - AES-256-GCM (NIST SP 800-38D), for callers whose protocol demands it.
 *
 * Over OpenSSL.  12-byte nonce, 16-byte tag behind the text.  A nonce must never be used twice
 * with one key: a random one is good for 2^32 messages (8.3 there).  Any thread.
 */
#ifndef QANAT_CRYPTO_AESGCM_H
#define QANAT_CRYPTO_AESGCM_H

#include "crypto/aead.h"

/* `out` has in_len + AEAD_TAG_LEN bytes; in place when out == in. */
void aes256gcm_seal(uint8_t *out, const uint8_t key[KEY_LEN], const uint8_t nonce[NONCE_LEN],
		    const void *in, size_t in_len, const void *ad, size_t ad_len);
/* `out` has in_len - AEAD_TAG_LEN bytes; false (and `out` wiped) when forged or too short. */
MUST_CHECK bool aes256gcm_open(uint8_t *out, const uint8_t key[KEY_LEN],
			       const uint8_t nonce[NONCE_LEN], const void *in, size_t in_len,
			       const void *ad, size_t ad_len);

#endif
