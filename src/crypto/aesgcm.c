#include "crypto/aesgcm.h"

#include <limits.h>

#include "crypto/ossl.h"

void aes256gcm_seal(uint8_t *out, const uint8_t key[KEY_LEN], const uint8_t nonce[NONCE_LEN],
		    const void *in, size_t in_len, const void *ad, size_t ad_len)
{
	EVP_CIPHER_CTX *ctx;
	int n = 0;

	BUG_ON(in_len > INT_MAX || ad_len > INT_MAX);
	OSSL_MUST(ctx = EVP_CIPHER_CTX_new());
	OSSL_MUST(EVP_EncryptInit_ex2(ctx, ossl()->aes_256_gcm, key, nonce, NULL));
	if (ad_len)
		OSSL_MUST(EVP_EncryptUpdate(ctx, NULL, &n, ad, (int)ad_len));
	if (in_len)
		OSSL_MUST(EVP_EncryptUpdate(ctx, out, &n, in, (int)in_len));
	OSSL_MUST(EVP_EncryptFinal_ex(ctx, out + in_len, &n));
	OSSL_MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, out + in_len));
	EVP_CIPHER_CTX_free(ctx); /* wipes the key */
}

bool aes256gcm_open(uint8_t *out, const uint8_t key[KEY_LEN], const uint8_t nonce[NONCE_LEN],
		    const void *in, size_t in_len, const void *ad, size_t ad_len)
{
	uint8_t tag[AEAD_TAG_LEN], none[AEAD_TAG_LEN];
	EVP_CIPHER_CTX *ctx;
	size_t len;
	int n = 0;
	bool ok;

	if (in_len < AEAD_TAG_LEN || in_len > INT_MAX || ad_len > INT_MAX)
		return false;
	len = in_len - AEAD_TAG_LEN;
	memcpy(tag, (const uint8_t *)in + len, sizeof tag);
	OSSL_MUST(ctx = EVP_CIPHER_CTX_new());
	OSSL_MUST(EVP_DecryptInit_ex2(ctx, ossl()->aes_256_gcm, key, nonce, NULL));
	if (ad_len)
		OSSL_MUST(EVP_DecryptUpdate(ctx, NULL, &n, ad, (int)ad_len));
	if (len)
		OSSL_MUST(EVP_DecryptUpdate(ctx, out, &n, in, (int)len));
	OSSL_MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag));
	ok = EVP_DecryptFinal_ex(ctx, none, &n) == 1; /* a stream: nothing is left to write */
	EVP_CIPHER_CTX_free(ctx);
	if (!ok)
		wipe(out, len);
	return ok;
}
