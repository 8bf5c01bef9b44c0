/* blake2s.h - the compression of BLAKE2s (RFC 7693) and what a hash over parts needs of it.
 *
 * Inside the room only; hash.h is for others.  A state is a value: one that has taken the padded
 * key of an HMAC is copied for each message under that key.  Why it is not OpenSSL's stands in
 * docs/decisions/0017.
 */
#ifndef QANAT_CRYPTO_BLAKE2S_H
#define QANAT_CRYPTO_BLAKE2S_H

#include "base/bytes.h"
#include "base/text.h"

#define BLAKE2S_BLOCK 64

struct blake2s {
	uint32_t h[8];
	uint64_t fed; /* bytes compressed */
	size_t n; /* bytes in `block` */
	uint8_t block[BLAKE2S_BLOCK];
};

/* `key_len` 0..32: 0 hashes without a key; `out_len` 1..32. */
void blake2s_begin(struct blake2s *s, size_t out_len, const void *key, size_t key_len);
void blake2s_add(struct blake2s *s, const void *in, size_t n);
/* Compresses a full block that waits; only where more will be added. */
void blake2s_flush(struct blake2s *s);
/* Writes `out_len` bytes and wipes the state. */
void blake2s_end(struct blake2s *s, uint8_t *out, size_t out_len);

#endif
