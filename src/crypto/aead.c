#include "crypto/aead.h"

#include <limits.h>
#include <sodium.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "crypto/aead_engine.h"
#include "crypto/ossl.h"

static const uint8_t zero_key[KEY_LEN];

void aead_key_set(struct aead_key *k, const uint8_t raw[KEY_LEN])
{
	static _Atomic uint64_t last_id;

	memmove(k->b, raw, KEY_LEN);
	k->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
}

/* WireGuard paper 5.4.6: 32 bits of zeros, then the counter in little endian. */
static void nonce_write(uint8_t nonce[NONCE_LEN], uint64_t counter)
{
	memset(nonce, 0, 4);
	store_le64(nonce + 4, counter);
}

/* One message through a context whose key and nonce are set: associated data, text, tag. */
static void seal_text(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t in_len,
		      const uint8_t *ad, size_t ad_len)
{
	int n;

	BUG_ON(in_len > INT_MAX || ad_len > INT_MAX);
	if (ad_len)
		OSSL_MUST(EVP_EncryptUpdate(ctx, NULL, &n, ad, (int)ad_len));
	if (in_len)
		OSSL_MUST(EVP_EncryptUpdate(ctx, out, &n, in, (int)in_len));
	OSSL_MUST(EVP_EncryptFinal_ex(ctx, out + in_len, &n));
	OSSL_MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, out + in_len));
}

static bool open_text(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t text_len,
		      const uint8_t *ad, size_t ad_len)
{
	uint8_t tag[AEAD_TAG_LEN], unused[1];
	int n;

	BUG_ON(text_len > INT_MAX || ad_len > INT_MAX);
	memcpy(tag, in + text_len, sizeof tag);
	OSSL_MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, tag));
	if (ad_len)
		OSSL_MUST(EVP_DecryptUpdate(ctx, NULL, &n, ad, (int)ad_len));
	if (text_len)
		OSSL_MUST(EVP_DecryptUpdate(ctx, out, &n, in, (int)text_len));
	return EVP_DecryptFinal_ex(ctx, unused, &n) > 0;
}

static void seal_one(struct aead_job *j)
{
	struct ossl_thread *t = ossl_thread();
	bool rekey = t->seal_id != j->key->id;
	uint8_t nonce[NONCE_LEN];

	nonce_write(nonce, j->counter);
	OSSL_MUST(EVP_EncryptInit_ex2(t->seal, NULL, rekey ? j->key->b : NULL, nonce, NULL));
	t->seal_id = j->key->id;
	seal_text(t->seal, j->text, j->text, j->len, NULL, 0);
}

static void open_one(struct aead_job *j)
{
	struct ossl_thread *t = ossl_thread();
	bool rekey = t->open_id != j->key->id;
	uint8_t nonce[NONCE_LEN];

	nonce_write(nonce, j->counter);
	OSSL_MUST(EVP_DecryptInit_ex2(t->open, NULL, rekey ? j->key->b : NULL, nonce, NULL));
	t->open_id = j->key->id;
	j->ok = open_text(t->open, j->text, j->text, j->len, NULL, 0);
}

static void openssl_seal(struct aead_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		seal_one(&jobs[i]);
}

static void openssl_open(struct aead_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		open_one(&jobs[i]);
}

static bool openssl_usable(void)
{
	return true;
}

const struct aead_engine aead_openssl = { "openssl", openssl_usable, openssl_seal, openssl_open };

/* ---- which engine ---- */

static _Atomic(const struct aead_engine *) engine; /* a cache of aead_choose; NULL: not asked yet */

#define PROOF_JOBS 14
/* Lengths of the proof.  Engines treat batches of unlike and of similar packets differently. */
static const size_t proof_lens[][PROOF_JOBS] = {
	/* empty, ends of chunks and blocks, more than a pass of any engine */
	{ 0, 1, 15, 16, 63, 64, 65, 200, 1420, 512, 129, 1408, 700, 301 },
	/* a whole group of similar packets and a smaller one */
	{ 324, 326, 325, 319, 320, 321, 335, 336, 323, 322, 330, 334, 328, 327 },
};
#define PROOF_STRIDE (1420 + AEAD_TAG_LEN)

struct proof {
	struct aead_key key[2];
	struct aead_job job[PROOF_JOBS];
	uint8_t text[PROOF_JOBS][PROOF_STRIDE];
};

static void proof_prepare(struct proof *p, const size_t lens[PROOF_JOBS])
{
	uint8_t raw[KEY_LEN];

	for (size_t k = 0; k < ARRAY_LEN(p->key); k++) {
		memset(raw, (int)(0x51 + k), sizeof raw); /* no secrets: the texts are nobody's */
		aead_key_set(&p->key[k], raw);
	}
	for (size_t i = 0; i < PROOF_JOBS; i++) {
		memset(p->text[i], (int)i, sizeof p->text[i]);
		p->job[i] = (struct aead_job){ .key = &p->key[i % ARRAY_LEN(p->key)],
					       .counter = (i << 40) + i,
					       .text = p->text[i],
					       .len = lens[i] };
	}
}

/* Whether `e` seals a batch as OpenSSL does, opens that, and refuses it when one bit is changed. */
static bool engine_proves_batch(const struct aead_engine *e, const size_t lens[PROOF_JOBS])
{
	struct proof ours, theirs;
	bool right;

	proof_prepare(&ours, lens);
	proof_prepare(&theirs, lens);
	e->seal(ours.job, PROOF_JOBS);
	aead_openssl.seal(theirs.job, PROOF_JOBS);
	right = memcmp(ours.text, theirs.text, sizeof ours.text) == 0;
	ours.text[PROOF_JOBS - 3][300] ^= 1;
	e->open(ours.job, PROOF_JOBS);
	aead_openssl.open(theirs.job, PROOF_JOBS);
	for (size_t i = 0; i < PROOF_JOBS; i++) {
		bool forged = i == PROOF_JOBS - 3;

		right = right && ours.job[i].ok == !forged && theirs.job[i].ok;
		right = right &&
			(forged || memcmp(ours.text[i], theirs.text[i], sizeof ours.text[i]) == 0);
	}
	return right;
}

static bool engine_proves(const struct aead_engine *e)
{
	for (size_t i = 0; i < ARRAY_LEN(proof_lens); i++)
		if (!engine_proves_batch(e, proof_lens[i]))
			return false;
	return true;
}

const struct aead_engine *aead_choose(const struct aead_engine *const *candidates)
{
	for (; *candidates; candidates++)
		if ((*candidates)->usable() && engine_proves(*candidates))
			return *candidates;
	return &aead_openssl;
}

const struct aead_engine *aead_used(void)
{
	const struct aead_engine *e = atomic_load_explicit(&engine, memory_order_relaxed);

	if (LIKELY(e))
		return e;
	e = aead_choose(aead_vector_engines);
	atomic_store_explicit(&engine, e, memory_order_relaxed);
	return e;
}

bool aead_use(const struct aead_engine *e)
{
	if (!e->usable())
		return false;
	atomic_store_explicit(&engine, e, memory_order_relaxed);
	return true;
}

/* ---- batches ---- */

static void keys_must_be_set(const struct aead_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		BUG_ON(jobs[i].key->id == 0);
}

void aead_seal_batch(struct aead_job *jobs, size_t n)
{
	keys_must_be_set(jobs, n);
	aead_used()->seal(jobs, n);
}

void aead_open_batch(struct aead_job *jobs, size_t n)
{
	keys_must_be_set(jobs, n);
	aead_used()->open(jobs, n);
}

void aead_forget(void)
{
	struct ossl_thread *t = ossl_thread();

	OSSL_MUST(EVP_EncryptInit_ex2(t->seal, NULL, zero_key, NULL, NULL));
	OSSL_MUST(EVP_DecryptInit_ex2(t->open, NULL, zero_key, NULL, NULL));
	t->seal_id = 0;
	t->open_id = 0;
}

void aead_seal_nonce(uint8_t *out, const uint8_t key[KEY_LEN], const uint8_t nonce[NONCE_LEN],
		     const void *in, size_t in_len, const void *ad, size_t ad_len)
{
	EVP_CIPHER_CTX *ctx = ossl_thread()->once;

	OSSL_MUST(EVP_EncryptInit_ex2(ctx, NULL, key, nonce, NULL));
	seal_text(ctx, out, in, in_len, ad, ad_len);
	OSSL_MUST(EVP_EncryptInit_ex2(ctx, NULL, zero_key, NULL, NULL));
}

bool aead_open_nonce(uint8_t *out, const uint8_t key[KEY_LEN], const uint8_t nonce[NONCE_LEN],
		     const void *in, size_t in_len, const void *ad, size_t ad_len)
{
	EVP_CIPHER_CTX *ctx;
	bool ok;

	if (in_len < AEAD_TAG_LEN)
		return false;
	ctx = ossl_thread()->once;
	OSSL_MUST(EVP_DecryptInit_ex2(ctx, NULL, key, nonce, NULL));
	ok = open_text(ctx, out, in, in_len - AEAD_TAG_LEN, ad, ad_len);
	OSSL_MUST(EVP_DecryptInit_ex2(ctx, NULL, zero_key, NULL, NULL));
	if (!ok)
		wipe(out, in_len - AEAD_TAG_LEN);
	return ok;
}

void aead_seal(uint8_t *out, const uint8_t key[KEY_LEN], uint64_t counter, const void *in,
	       size_t in_len, const void *ad, size_t ad_len)
{
	uint8_t nonce[NONCE_LEN];

	nonce_write(nonce, counter);
	aead_seal_nonce(out, key, nonce, in, in_len, ad, ad_len);
}

bool aead_open(uint8_t *out, const uint8_t key[KEY_LEN], uint64_t counter, const void *in,
	       size_t in_len, const void *ad, size_t ad_len)
{
	uint8_t nonce[NONCE_LEN];

	nonce_write(nonce, counter);
	return aead_open_nonce(out, key, nonce, in, in_len, ad, ad_len);
}

void xaead_seal(uint8_t *out, const uint8_t key[KEY_LEN], const uint8_t nonce[XNONCE_LEN],
		const void *in, size_t in_len, const void *ad, size_t ad_len)
{
	OSSL_MUST(crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, in, in_len, ad, ad_len,
							     NULL, nonce, key) == 0);
}

bool xaead_open(uint8_t *out, const uint8_t key[KEY_LEN], const uint8_t nonce[XNONCE_LEN],
		const void *in, size_t in_len, const void *ad, size_t ad_len)
{
	if (in_len < AEAD_TAG_LEN)
		return false;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, in, in_len, ad, ad_len,
						       nonce, key) != 0) {
		wipe(out, in_len - AEAD_TAG_LEN);
		return false;
	}
	return true;
}
