#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/tests/vectors.h"

#define JOBS_MAX 200
#define TEXT_MAX 1500

static void rfc8439_like(void **state)
{
	/* RFC 8439 A.5: its nonce is one that WireGuard's form can hold. */
	static const char key_hex[] =
		"1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0";
	static const char head_hex[] = "64a0861575861af460f062c79be643bd";
	static const char tag_hex[] = "eead9d67890cbb22392336fea1851f38";
	static const char ad_hex[] = "f33388860000000000004e91";
	static const char text[] =
		"Internet-Drafts are draft documents valid for a maximum of six months and may be "
		"updated, replaced, or obsoleted by other documents at any time. It is "
		"inappropriate to use Internet-Drafts as reference material or to cite them other "
		"than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
	uint8_t key[32], head[16], tag[16], ad[12], out[sizeof text - 1 + 16], back[sizeof text];
	const uint64_t counter = 0x0807060504030201;
	const size_t n = sizeof text - 1;

	(void)state;
	assert_true(hex_decode(key, 32, str_of(key_hex)));
	assert_true(hex_decode(head, 16, str_of(head_hex)));
	assert_true(hex_decode(tag, 16, str_of(tag_hex)));
	assert_true(hex_decode(ad, 12, str_of(ad_hex)));
	assert_int_equal(n, 265);
	aead_seal(out, key, counter, text, n, ad, sizeof ad);
	assert_memory_equal(out, head, sizeof head);
	assert_memory_equal(out + n, tag, sizeof tag);
	assert_true(aead_open(back, key, counter, out, n + 16, ad, sizeof ad));
	assert_memory_equal(back, text, n);
}

static void chacha_vectors(void **state)
{
	struct vectors *v = vectors_open("aead/chacha20_poly1305.txt");
	static uint8_t sealed[VECTOR_BYTES_MAX + 16], out[VECTOR_BYTES_MAX + 16];
	unsigned valids = 0, counters = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes key = vectors_bytes(v, "key"), iv = vectors_bytes(v, "iv");
		struct vector_bytes ad = vectors_bytes(v, "aad"), msg = vectors_bytes(v, "msg");
		struct vector_bytes ct = vectors_bytes(v, "ct"), tag = vectors_bytes(v, "tag");
		bool valid = str_eq(vectors_text(v, "result"), STR("valid"));

		if (key.n != KEY_LEN || iv.n != NONCE_LEN || tag.n != AEAD_TAG_LEN) {
			VECTORS_MUST(v, !valid); /* our types cannot say such a thing */
			continue;
		}
		memcpy(sealed, ct.p, ct.n);
		memcpy(sealed + ct.n, tag.p, tag.n);
		VECTORS_MUST(v, aead_open_nonce(out, key.p, iv.p, sealed, ct.n + 16, ad.p, ad.n) ==
					valid);
		if (!valid)
			continue;
		valids++;
		VECTORS_MUST(v, memcmp(out, msg.p, msg.n) == 0);
		memcpy(out, msg.p, msg.n); /* in place */
		aead_seal_nonce(out, key.p, iv.p, out, msg.n, ad.p, ad.n);
		VECTORS_MUST(v, memcmp(out, sealed, msg.n + 16) == 0);
		VECTORS_MUST(v, aead_open_nonce(out, key.p, iv.p, out, msg.n + 16, ad.p, ad.n));
		VECTORS_MUST(v, memcmp(out, msg.p, msg.n) == 0);
		if (load_le32(iv.p) != 0)
			continue;
		counters++; /* a nonce as WireGuard has it */
		aead_seal(out, key.p, load_le64(iv.p + 4), msg.p, msg.n, ad.p, ad.n);
		VECTORS_MUST(v, memcmp(out, sealed, msg.n + 16) == 0);
	}
	assert_int_equal(v->cases, 221);
	assert_true(valids > 100 && counters > 0);
	vectors_close(v);
}

static void xchacha_vectors(void **state)
{
	struct vectors *v = vectors_open("aead/xchacha20_poly1305.txt");
	static uint8_t sealed[VECTOR_BYTES_MAX + 16], out[VECTOR_BYTES_MAX + 16];
	unsigned valids = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes key = vectors_bytes(v, "key"), iv = vectors_bytes(v, "iv");
		struct vector_bytes ad = vectors_bytes(v, "aad"), msg = vectors_bytes(v, "msg");
		struct vector_bytes ct = vectors_bytes(v, "ct"), tag = vectors_bytes(v, "tag");
		bool valid = str_eq(vectors_text(v, "result"), STR("valid"));

		if (key.n != 32 || iv.n != XNONCE_LEN || tag.n != 16) {
			VECTORS_MUST(v, !valid);
			continue;
		}
		memcpy(sealed, ct.p, ct.n);
		memcpy(sealed + ct.n, tag.p, 16);
		VECTORS_MUST(v,
			     xaead_open(out, key.p, iv.p, sealed, ct.n + 16, ad.p, ad.n) == valid);
		if (!valid)
			continue;
		valids++;
		VECTORS_MUST(v, memcmp(out, msg.p, msg.n) == 0);
		xaead_seal(out, key.p, iv.p, msg.p, msg.n, ad.p, ad.n);
		VECTORS_MUST(v, memcmp(out, sealed, msg.n + 16) == 0);
	}
	assert_int_equal(v->cases, 214);
	assert_true(valids > 0);
	vectors_close(v);
}

static void forged_is_wiped(void **state)
{
	uint8_t key[32] = { 7 }, nonce[24] = { 9 }, sealed[40 + 16], out[40], zero[40] = { 0 };
	static const uint8_t text[40] = { 1, 2, 3 };

	(void)state;
	for (size_t i = 0; i < sizeof sealed; i++) {
		aead_seal(sealed, key, 5, text, sizeof text, "ad", 2);
		sealed[i] ^= 1;
		memset(out, 0xa5, sizeof out);
		assert_false(aead_open(out, key, 5, sealed, sizeof sealed, "ad", 2));
		assert_memory_equal(out, zero, sizeof out);
		xaead_seal(sealed, key, nonce, text, sizeof text, "ad", 2);
		sealed[i] ^= 1;
		memset(out, 0xa5, sizeof out);
		assert_false(xaead_open(out, key, nonce, sealed, sizeof sealed, "ad", 2));
		assert_memory_equal(out, zero, sizeof out);
	}
	for (size_t n = 0; n < AEAD_TAG_LEN; n++) {
		assert_false(aead_open(out, key, 5, sealed, n, NULL, 0));
		assert_false(xaead_open(out, key, nonce, sealed, n, NULL, 0));
	}
	aead_seal(sealed, key, 5, text, sizeof text, "ad", 2);
	assert_false(aead_open(out, key, 6, sealed, sizeof sealed, "ad", 2));
	assert_false(aead_open(out, key, 5, sealed, sizeof sealed, "aD", 2));
	assert_false(aead_open(out, key, 5, sealed, sizeof sealed, NULL, 0));
	assert_true(aead_open(out, key, 5, sealed, sizeof sealed, "ad", 2));
}

struct batch {
	struct aead_key keys[5];
	struct aead_job jobs[JOBS_MAX];
	uint8_t texts[JOBS_MAX][TEXT_MAX + AEAD_TAG_LEN];
	uint8_t plain[JOBS_MAX][TEXT_MAX];
};

/* A batch of random lengths, keys and counters, against the single calls; one in four packets is
 * then altered and must be the only ones refused. */
static void batch_round(struct batch *b, size_t n)
{
	uint8_t want[TEXT_MAX + AEAD_TAG_LEN];
	bool altered[JOBS_MAX];

	for (size_t i = 0; i < ARRAY_LEN(b->keys); i++) {
		uint8_t raw[KEY_LEN];

		random_bytes(raw, sizeof raw);
		aead_key_set(&b->keys[i], raw);
	}
	for (size_t i = 0; i < n; i++) {
		struct aead_job *j = &b->jobs[i];

		*j = (struct aead_job){ .key = &b->keys[random_below(ARRAY_LEN(b->keys))],
					.counter = random_u32() * 0x100000001ull,
					.text = b->texts[i],
					.len = random_below(TEXT_MAX + 1) };
		random_bytes(b->plain[i], j->len);
		memcpy(j->text, b->plain[i], j->len);
	}
	aead_seal_batch(b->jobs, n);
	for (size_t i = 0; i < n; i++) {
		struct aead_job *j = &b->jobs[i];

		aead_seal(want, j->key->b, j->counter, b->plain[i], j->len, NULL, 0);
		assert_memory_equal(j->text, want, j->len + AEAD_TAG_LEN);
		altered[i] = random_below(4) == 0;
		if (altered[i])
			j->text[random_below((uint32_t)j->len + AEAD_TAG_LEN)] ^= 0x10;
	}
	aead_open_batch(b->jobs, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(b->jobs[i].ok, !altered[i]);
		if (b->jobs[i].ok)
			assert_memory_equal(b->jobs[i].text, b->plain[i], b->jobs[i].len);
	}
}

static void batches(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 7, 8, 9, 15, 16, 17, 64, 199, 200 };
	struct batch *b = calloc(1, sizeof *b);

	(void)state;
	assert_non_null(b);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		batch_round(b, sizes[i]);
	free(b);
}

static void key_in_the_same_place(void **state)
{
	uint8_t raw1[KEY_LEN] = { 1 }, raw2[KEY_LEN] = { 2 }, text[32] = { 0 }, want[32];
	struct aead_key k;
	struct aead_job j = { .key = &k, .text = text, .len = 16 };
	uint64_t id;

	(void)state;
	aead_key_set(&k, raw1);
	id = k.id;
	assert_true(id != 0);
	aead_seal_batch(&j, 1);
	aead_key_set(&k, raw2); /* a session's storage used again: a context must notice */
	assert_true(k.id != id);
	memset(text, 0, sizeof text);
	aead_seal_batch(&j, 1);
	aead_seal(want, raw2, 0, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, NULL, 0);
	assert_memory_equal(text, want, sizeof want);
	aead_forget();
	memset(text, 0, sizeof text);
	aead_seal_batch(&j, 1);
	assert_memory_equal(text, want, sizeof want);
	aead_forget();
	aead_open_batch(&j, 1);
	assert_true(j.ok);
}

static void *thread_main(void *arg)
{
	struct batch *b = calloc(1, sizeof *b);

	(void)arg;
	assert_non_null(b);
	for (int i = 0; i < 5; i++)
		batch_round(b, 50);
	free(b);
	return NULL; /* the leak checker sees whether the thread's contexts go with it */
}

static void threads_at_once(void **state)
{
	pthread_t t[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, thread_main, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
}

static int setup(void **state)
{
	(void)state;
	return crypto_init() ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc8439_like),	   cmocka_unit_test(chacha_vectors),
		cmocka_unit_test(xchacha_vectors), cmocka_unit_test(forged_is_wiped),
		cmocka_unit_test(batches),	   cmocka_unit_test(key_in_the_same_place),
		cmocka_unit_test(threads_at_once),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
