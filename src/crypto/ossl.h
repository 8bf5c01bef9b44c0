/* ossl.h - inside crypto only: OpenSSL's algorithms, fetched once, and each thread's contexts.
 *
 * Fetching walks OpenSSL's providers and costs microseconds, making a context costs an
 * allocation; both are kept.  A thread's contexts are made at its first use, belong to it, and
 * are freed when it ends.
 */
#ifndef QANAT_CRYPTO_OSSL_H
#define QANAT_CRYPTO_OSSL_H

#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "base/defs.h"

struct ossl_algorithms { /* const after crypto_init */
	EVP_MAC *hmac;
	EVP_KDF *hkdf;
	EVP_CIPHER *chacha20_poly1305;
	EVP_CIPHER *aes_256_gcm;
};

struct ossl_thread { /* owner: its thread */
	EVP_MAC_CTX *hmac_sha256; /* digest already chosen */
	EVP_CIPHER_CTX *seal; /* of batches: keyed with aead_key `seal_id`, 0: with none */
	EVP_CIPHER_CTX *open;
	EVP_CIPHER_CTX *once; /* of single messages: keyed anew for each */
	uint64_t seal_id;
	uint64_t open_id;
};

/* Fetches the algorithms, at the first call; false when OpenSSL lacks one. */
bool ossl_init(void);
const struct ossl_algorithms *ossl(void);
struct ossl_thread *ossl_thread(void);

/* Ends the process: a cryptographic library that fails on good arguments cannot be worked
 * around, and going on without it is worse. */
NORETURN void ossl_fatal(const char *what);
#define OSSL_MUST(call)                    \
	do {                               \
		if (UNLIKELY(!(call)))     \
			ossl_fatal(#call); \
	} while (0)

#endif
