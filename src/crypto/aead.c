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

/* ---- batches ---- */

/* One way of working: a packet alone, and a group of up to AEAD_LANES. */
struct direction {
	void (*one)(struct aead_job *job);
	void (*group)(struct aead_job *const *jobs, size_t n);
};

static const struct direction sealing = { seal_one, aead_avx2_seal };
static const struct direction opening = { open_one, aead_avx2_open };

#define ENGINE_UNKNOWN (-1)
static _Atomic int engine = ENGINE_UNKNOWN; /* a cache of what the processor can do */

enum aead_engine aead_used(void)
{
	int e = atomic_load_explicit(&engine, memory_order_relaxed);

	if (LIKELY(e != ENGINE_UNKNOWN))
		return (enum aead_engine)e;
	e = aead_avx2_usable() ? AEAD_AVX2 : AEAD_OPENSSL;
	atomic_store_explicit(&engine, e, memory_order_relaxed);
	return (enum aead_engine)e;
}

bool aead_use(enum aead_engine e)
{
	if (e != AEAD_OPENSSL && !aead_avx2_usable())
		return false;
	atomic_store_explicit(&engine, (int)e, memory_order_relaxed);
	return true;
}

/* Nanoseconds, by tests/bench/aead, that decide what is worth a group; only their ratio matters,
 * and in doubt OpenSSL has it.  A group's time follows its longest packet, however few lanes are
 * filled: 2 packets of 64 bytes pay, or 5 of 512, or 7 of 1420. */
static size_t group_cost(size_t longest)
{
	return 500 + 5 * longest;
}

static size_t single_cost(size_t len)
{
	return 430 + len * 27 / 50;
}

/* Sorted from long to short, so that neighbours are alike.  Lengths are seen on the wire, so
 * their order is no secret; equal ones, the common case, cost a comparison each. */
static void sort_by_length(struct aead_job **order, struct aead_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = i;

		for (; at > 0 && order[at - 1]->len < jobs[i].len; at--)
			order[at] = order[at - 1];
		order[at] = &jobs[i];
	}
}

/* How many of the `n` sorted jobs are to go together: 1 to AEAD_LANES, 0 where the first is better
 * alone. */
static size_t group_size(struct aead_job *const *order, size_t n, enum aead_engine e)
{
	size_t lanes = MIN(n, (size_t)AEAD_LANES), singles = 0;

	if (e == AEAD_AVX2_ALWAYS)
		return lanes;
	for (size_t i = 0; i < lanes; i++)
		singles += single_cost(order[i]->len);
	return group_cost(order[0]->len) < singles ? lanes : 0;
}

#define SORT_MAX 64 /* jobs looked at together: the sort is quadratic when lengths are random */

static void batch_part(const struct direction *d, struct aead_job *jobs, size_t n,
		       enum aead_engine e)
{
	struct aead_job *order[SORT_MAX];
	size_t lanes;

	sort_by_length(order, jobs, n);
	for (size_t i = 0; i < n; i += lanes ? lanes : 1) {
		lanes = group_size(order + i, n - i, e);
		if (lanes)
			d->group(order + i, lanes);
		else
			d->one(order[i]);
	}
}

static void batch(const struct direction *d, struct aead_job *jobs, size_t n)
{
	enum aead_engine e = aead_used();

	for (size_t i = 0; i < n; i++)
		BUG_ON(jobs[i].key->id == 0);
	if (e == AEAD_OPENSSL || (n == 1 && e == AEAD_AVX2)) {
		for (size_t i = 0; i < n; i++)
			d->one(&jobs[i]);
		return;
	}
	for (size_t i = 0; i < n; i += SORT_MAX)
		batch_part(d, jobs + i, MIN(n - i, (size_t)SORT_MAX), e);
}

void aead_seal_batch(struct aead_job *jobs, size_t n)
{
	batch(&sealing, jobs, n);
}

void aead_open_batch(struct aead_job *jobs, size_t n)
{
	batch(&opening, jobs, n);
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
