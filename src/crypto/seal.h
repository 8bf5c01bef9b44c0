/* seal.h - secrets at rest: XChaCha20-Poly1305 under a key file of mode 0600.
 *
 * Sealed form: version byte 1 | key id, 4 bytes | nonce, 24 | ciphertext | tag, 16.  The label
 * (what the secret is and whose, such as "client/7/private_key") is associated data, so that a
 * sealed value cannot be moved to another row.
 */
#ifndef QANAT_CRYPTO_SEAL_H
#define QANAT_CRYPTO_SEAL_H

#include "base/err.h"
#include "crypto/keys.h"

#define SEAL_OVERHEAD (1 + 4 + 24 + 16)

struct seal_key;

/* Reads the key file, or makes it (0600, durable) when `create` and it is not there.  A file
 * that others may read, or of another form, is an error that says so. */
MUST_CHECK enum err_code seal_key_open(struct seal_key **out, const char *path, bool create,
				       struct err *e);
void seal_key_close(struct seal_key *k);
/* `out` has n + SEAL_OVERHEAD bytes. */
void seal(const struct seal_key *k, uint8_t *out, const void *secret, size_t n, struct str label);
/* `out` has n - SEAL_OVERHEAD bytes; ERR_CORRUPT names the label when it does not open. */
MUST_CHECK enum err_code unseal(const struct seal_key *k, uint8_t *out, const void *sealed,
				size_t n, struct str label, struct err *e);

#endif
