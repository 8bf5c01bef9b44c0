#include "crypto/ossl.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <pthread.h>

static struct ossl_algorithms algorithms;
static pthread_once_t algorithms_once = PTHREAD_ONCE_INIT;
static bool algorithms_ok;
static pthread_key_t thread_end; /* its destructor frees the contexts of an ending thread */

static _Thread_local struct ossl_thread *this_thread;

NORETURN void ossl_fatal(const char *what)
{
	fprintf(stderr, "fatal: cryptographic library failed: %s\n", what);
	abort();
}

static void thread_free(void *p)
{
	struct ossl_thread *t = p;

	if (!t)
		return;
	EVP_MAC_CTX_free(t->hmac_sha256);
	EVP_CIPHER_CTX_free(t->seal);
	EVP_CIPHER_CTX_free(t->open);
	EVP_CIPHER_CTX_free(t->once);
	free(t);
	/* A destructor that runs after this one may still ask for a hash: it gets new contexts. */
	this_thread = NULL;
}

static void algorithms_fetch(void)
{
	struct ossl_algorithms *a = &algorithms;

	a->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	a->hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	a->chacha20_poly1305 = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	a->aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	algorithms_ok = a->hmac && a->hkdf && a->chacha20_poly1305 && a->aes_256_gcm &&
			pthread_key_create(&thread_end, thread_free) == 0;
}

bool ossl_init(void)
{
	return pthread_once(&algorithms_once, algorithms_fetch) == 0 && algorithms_ok;
}

const struct ossl_algorithms *ossl(void)
{
	if (UNLIKELY(!ossl_init()))
		ossl_fatal("an algorithm is not there");
	return &algorithms;
}

static struct ossl_thread *thread_new(void)
{
	static char sha256[] = "SHA256";
	const OSSL_PARAM hmac_params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end(),
	};
	const struct ossl_algorithms *a = ossl();
	struct ossl_thread *t = calloc(1, sizeof *t);

	OSSL_MUST(t);
	OSSL_MUST(t->hmac_sha256 = EVP_MAC_CTX_new(a->hmac));
	OSSL_MUST(EVP_MAC_CTX_set_params(t->hmac_sha256, hmac_params));
	OSSL_MUST(t->seal = EVP_CIPHER_CTX_new());
	OSSL_MUST(t->open = EVP_CIPHER_CTX_new());
	OSSL_MUST(t->once = EVP_CIPHER_CTX_new());
	OSSL_MUST(EVP_EncryptInit_ex2(t->seal, a->chacha20_poly1305, NULL, NULL, NULL));
	OSSL_MUST(EVP_DecryptInit_ex2(t->open, a->chacha20_poly1305, NULL, NULL, NULL));
	OSSL_MUST(EVP_EncryptInit_ex2(t->once, a->chacha20_poly1305, NULL, NULL, NULL));
	OSSL_MUST(pthread_setspecific(thread_end, t) == 0);
	return t;
}

struct ossl_thread *ossl_thread(void)
{
	if (UNLIKELY(!this_thread))
		this_thread = thread_new();
	return this_thread;
}
