#include <openssl/bn.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "crypto/aead_engine.h"
#include "crypto/tests/aead_split.h"
#include "crypto/tests/vectors.h"

/* Every engine against the single calls, which are OpenSSL's, on packets that begin or end where the
 * memory does: around each room lie pages that can be neither read nor written. */
#define JOBS_MAX 200
#define GROUP 16 /* as many packets as the widest engine has lanes */
#define KEYS 7
#define LEN_MAX 65535
#define PAGE 4096
#define ROOM (17 * PAGE) /* a packet of 65535 bytes, its tag, an offset */
#define AROUND 64 /* bytes in front of a packet that must stay */
#define AT_FRONT SIZE_MAX

#define ENGINES_MAX 8
static const struct aead_engine *engines[ENGINES_MAX];
static size_t engines_n;

struct packet {
	uint8_t *text;
	uint8_t *want;
	uint8_t *plain;
	size_t before, behind; /* bytes around it that must stay */
	bool forged;
};

struct bed {
	struct aead_key key[KEYS];
	struct aead_job job[JOBS_MAX];
	struct packet packet[JOBS_MAX];
	uint8_t *area; /* a guard page, JOBS_MAX rooms, each with a guard page behind it */
};

#define AREA (PAGE + JOBS_MAX * (ROOM + PAGE))

static uint8_t *room_end(struct bed *b, size_t i)
{
	return b->area + (i + 1) * (ROOM + PAGE);
}

static struct bed *bed_new(void)
{
	struct bed *b = calloc(1, sizeof *b);

	assert_non_null(b);
	b->area = mmap(NULL, AREA, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(b->area, MAP_FAILED);
	assert_int_equal(mprotect(b->area, PAGE, PROT_NONE), 0);
	for (size_t i = 0; i < JOBS_MAX; i++)
		assert_int_equal(mprotect(room_end(b, i), PAGE, PROT_NONE), 0);
	for (size_t i = 0; i < KEYS; i++) {
		uint8_t raw[KEY_LEN];

		random_bytes(raw, sizeof raw);
		aead_key_set(&b->key[i], raw);
	}
	return b;
}

static void bed_free(struct bed *b)
{
	assert_int_equal(munmap(b->area, AREA), 0);
	free(b);
}

/* `slack` bytes before the end of its room, or AT_FRONT. */
static void packet_make(struct bed *b, size_t i, size_t len, size_t slack)
{
	struct packet *p = &b->packet[i];

	if (slack == AT_FRONT)
		p->text = room_end(b, i) - ROOM;
	else
		p->text = room_end(b, i) - slack - AEAD_TAG_LEN - len;
	p->before = slack == AT_FRONT ? 0 : AROUND;
	p->behind = MIN(slack, (size_t)AROUND);
	p->plain = malloc(len + 1);
	p->want = malloc(len + AEAD_TAG_LEN);
	assert_true(p->plain && p->want);
	random_bytes(p->plain, len);
	memcpy(p->text, p->plain, len);
	memset(p->text + len, 0xee, AEAD_TAG_LEN);
	/* What lies around must stay: other packets, headers. */
	memset(p->text - p->before, 0x5a, p->before);
	memset(p->text + len + AEAD_TAG_LEN, 0x5a, p->behind);
	b->job[i] = (struct aead_job){
		.key = &b->key[random_below(KEYS)],
		.counter = (uint64_t)random_u32() << 32 | random_u32(),
		.text = p->text,
		.len = len,
		.ok = random_below(2) != 0, /* as whatever was there before */
	};
	aead_seal(p->want, b->job[i].key->b, b->job[i].counter, p->plain, len, NULL, 0);
}

static void surroundings_same(const struct bed *b, size_t i)
{
	const struct packet *p = &b->packet[i];

	for (size_t k = 1; k <= p->before; k++)
		assert_int_equal(p->text[-(ptrdiff_t)k], 0x5a);
	for (size_t k = 0; k < p->behind; k++)
		assert_int_equal(p->text[b->job[i].len + AEAD_TAG_LEN + k], 0x5a);
}

/* Seals, alters one bit in some packets, opens: what is right and what is forged is told apart. */
static void round_trip(struct bed *b, size_t n, unsigned forge_one_in)
{
	aead_seal_batch(b->job, n);
	for (size_t i = 0; i < n; i++) {
		struct packet *p = &b->packet[i];
		size_t sealed = b->job[i].len + AEAD_TAG_LEN;

		assert_memory_equal(p->text, p->want, sealed);
		surroundings_same(b, i);
		p->forged = forge_one_in && random_below(forge_one_in) == 0;
		if (p->forged)
			p->text[random_below((uint32_t)sealed)] ^= (uint8_t)(1 << random_below(8));
	}
	aead_open_batch(b->job, n);
	for (size_t i = 0; i < n; i++) {
		struct packet *p = &b->packet[i];

		assert_int_equal(b->job[i].ok, !p->forged);
		/* OpenSSL decrypts before it knows; our own engines promise not to. */
		if (p->forged && b->job[i].len >= 16 && aead_used() != &aead_openssl)
			assert_memory_not_equal(p->text, p->plain, b->job[i].len);
		if (!p->forged)
			assert_memory_equal(p->text, p->plain, b->job[i].len);
		surroundings_same(b, i);
		free(p->plain);
		free(p->want);
	}
}

static bool engine_begin(size_t e)
{
	if (aead_use(engines[e]))
		return true;
	print_message("skipped engine %s: the processor cannot run it\n", engines[e]->name);
	return false;
}

/* Each length once among equals: every way to end within a block. */
static void equal_lengths(void **state)
{
	struct bed *b = bed_new();

	(void)state;
	for (size_t e = 0; e < engines_n; e++) {
		if (!engine_begin(e))
			continue;
		for (size_t len = 0; len <= 2000; len += len < 300 ? 1 : 1 + random_below(17)) {
			for (size_t i = 0; i < GROUP; i++)
				packet_make(b, i, len, i % 2 ? AT_FRONT : 0);
			round_trip(b, GROUP, 5);
		}
	}
	bed_free(b);
}

static void random_batches(void **state)
{
	static const struct {
		uint32_t jobs_max, len_max, rounds;
		enum { ANY, EQUAL, SIMILAR } lens;
		const char *why;
	} rows[] = {
		{ 200, 2000, 12, ANY, "any lengths" },
		{ 200, 1424, 12, EQUAL, "segments of super-packets" },
		{ 20, 64, 60, ANY, "small packets of many peers" },
		{ 20, 2000, 60, ANY, "few of any length" },
		{ 9, 130, 200, ANY, "around the block size" },
		{ 8, 600, 100, EQUAL, "few equals" },
		{ 1, 2000, 100, ANY, "alone" },
		{ 64, 300, 60, EQUAL, "groups of eight, the last one smaller" },
		{ 64, 1500, 30, SIMILAR, "groups whose packets do not end together" },
		{ 6, 12000, 40, ANY, "as much keystream as is kept, and more" },
		{ 10, LEN_MAX, 6, ANY, "up to the greatest length" },
	};
	struct bed *b = bed_new();

	(void)state;
	for (size_t e = 0; e < engines_n; e++) {
		if (!engine_begin(e))
			continue;
		for (size_t r = 0; r < ARRAY_LEN(rows) * rows[0].rounds * 20; r++) {
			size_t row = r % ARRAY_LEN(rows);
			size_t n = 1 + random_below(rows[row].jobs_max);
			size_t equal = random_below(rows[row].len_max + 1);

			if (r / ARRAY_LEN(rows) >= rows[row].rounds)
				continue;
			for (size_t i = 0; i < n; i++) {
				size_t len = equal;

				if (rows[row].lens == ANY)
					len = random_below(rows[row].len_max + 1);
				else if (rows[row].lens == SIMILAR)
					len -= random_below((uint32_t)len / 5 + 1);
				packet_make(b, i, len, random_below(2) ? random_below(AROUND) : 0);
			}
			round_trip(b, n, 4);
		}
	}
	bed_free(b);
}

/* One forged lane does not spoil its neighbours, wherever the flipped bit is. */
static void single_lanes_forged(void **state)
{
	struct bed *b = bed_new();

	(void)state;
	for (size_t e = 0; e < engines_n; e++) {
		if (!engine_begin(e))
			continue;
		for (size_t bit = 0; bit < 8 * (65 + AEAD_TAG_LEN); bit += 3) {
			size_t bad = bit % GROUP;

			for (size_t i = 0; i < GROUP; i++)
				packet_make(b, i, 65, 0);
			aead_seal_batch(b->job, GROUP);
			b->packet[bad].text[bit / 8] ^= (uint8_t)(1 << bit % 8);
			aead_open_batch(b->job, GROUP);
			for (size_t i = 0; i < GROUP; i++) {
				struct packet *p = &b->packet[i];

				assert_int_equal(b->job[i].ok, i != bad);
				if (i != bad)
					assert_memory_equal(p->text, p->plain, 65);
				free(p->plain);
				free(p->want);
			}
		}
	}
	bed_free(b);
}

/* What Poly1305 holds after the last chunk, before s is added, chosen: numbers whose reduction
 * modulo p = 2^130 - 5 is delicate.  Random texts never come near them, and the published cases
 * (EdgeCasePoly) have nonces or associated data that a batch cannot say. */
static const struct {
	const char *hex;
	const char *why;
} finals[] = {
	{ "0", "nothing left" },
	{ "1", "may come as p + 1" },
	{ "4", "the greatest that fits twice into 130 bits" },
	{ "5", "2^130, reduced" },
	{ "3fffffffffffffffffffffffffffffffa", "p - 1" },
	{ "3fffffffffffffffffffffffffffffff9", "p - 2" },
	{ "3ffffffffffffffffffffffffffffff00", "all ones but the lowest byte" },
	{ "ffffffffffffffffffffffffffffffff", "2^128 - 1: adding s carries all the way" },
	{ "100000000000000000000000000000000", "2^128: nothing of it in the tag" },
	{ "3ffffff", "lowest limb full" },
	{ "fffffffffffff", "two limbs full" },
	{ "3ffffffffffffffffffff", "three limbs" },
	{ "ffffffffffffffffffffffffffffffff00000", "reduced first" },
	{ "3ffffffffffffffffffffffffffffffff", "2^130 - 1, which is 4" },
};

struct bignums {
	BN_CTX *ctx;
	BIGNUM *p, *r, *inverse, *want, *sum, *t;
};

static void bignums_done(struct bignums *b)
{
	BN_free(b->p);
	BN_free(b->r);
	BN_free(b->inverse);
	BN_free(b->want);
	BN_free(b->sum);
	BN_free(b->t);
	BN_CTX_free(b->ctx);
}

static void bignums_init(struct bignums *b)
{
	*b = (struct bignums){ BN_CTX_new(), BN_new(), BN_new(), BN_new(),
			       BN_new(),     BN_new(), BN_new() };
	assert_true(BN_set_bit(b->p, 130) && BN_sub_word(b->p, 5));
}

/* The bytes of a ciphertext of two chunks that leaves `want` in the accumulator, by solving
 *   want = (((c0 r) + c1) r + lengths) r  for c1; false when c1 needs more than 128 bits. */
static bool solve(struct bignums *b, uint8_t c[32], const uint8_t one_time[16])
{
	uint8_t lengths[17] = { [8] = 32, [16] = 1 }, c0[17], r[16];

	memcpy(r, one_time, sizeof r);
	for (size_t i = 3; i < 16; i += 4)
		r[i] &= 0x0f;
	for (size_t i = 4; i < 16; i += 4)
		r[i] &= 0xfc;
	random_bytes(c0, 16);
	c0[16] = 1;
	memcpy(c, c0, 16);
	assert_non_null(BN_lebin2bn(r, 16, b->r));
	assert_non_null(BN_mod_inverse(b->inverse, b->r, b->p, b->ctx));
	assert_non_null(BN_lebin2bn(lengths, 17, b->t));
	assert_true(BN_mod_mul(b->sum, b->want, b->inverse, b->p, b->ctx));
	assert_true(BN_mod_sub(b->sum, b->sum, b->t, b->p, b->ctx));
	assert_true(BN_mod_mul(b->sum, b->sum, b->inverse, b->p, b->ctx));
	assert_non_null(BN_lebin2bn(c0, 17, b->t));
	assert_true(BN_mod_mul(b->t, b->t, b->r, b->p, b->ctx));
	assert_true(BN_mod_sub(b->sum, b->sum, b->t, b->p, b->ctx));
	BN_zero(b->t);
	assert_true(BN_set_bit(b->t, 128));
	assert_true(BN_mod_sub(b->sum, b->sum, b->t, b->p, b->ctx));
	return BN_num_bits(b->sum) <= 128 && BN_bn2lebinpad(b->sum, c + 16, 16) == 16;
}

/* Keystream of RFC 8439: block `block` for counter 0's nonce of zeros. */
static void keystream_of(uint8_t out[64], const struct aead_key *k, uint64_t counter,
			 uint32_t block)
{
	uint8_t nonce[NONCE_LEN] = { 0 };

	store_le64(nonce + 4, counter);
	memset(out, 0, 64);
	assert_int_equal(crypto_stream_chacha20_ietf_xor_ic(out, out, 64, nonce, block, k->b), 0);
}

static void delicate_finals(void **state)
{
	struct bignums n;
	struct bed *b = bed_new();

	(void)state;
	bignums_init(&n);
	for (size_t f = 0; f < ARRAY_LEN(finals) * engines_n; f++) {
		if (!aead_use(engines[f % engines_n]))
			continue;
		assert_true(BN_hex2bn(&n.want, finals[f / engines_n].hex));
		for (size_t i = 0; i < GROUP; i++) {
			struct packet *p = &b->packet[i];
			uint8_t c[32], one_time[64], stream[64];

			packet_make(b, i, sizeof c, 0);
			do { /* about one key in four has such a ciphertext */
				b->job[i].counter++;
				keystream_of(one_time, b->job[i].key, b->job[i].counter, 0);
			} while (!solve(&n, c, one_time));
			keystream_of(stream, b->job[i].key, b->job[i].counter, 1);
			for (size_t k = 0; k < sizeof c; k++)
				p->text[k] = p->plain[k] = c[k] ^ stream[k];
			aead_seal(p->want, b->job[i].key->b, b->job[i].counter, p->plain, sizeof c,
				  NULL, 0);
			/* The tag itself, by arithmetic: want + s modulo 2^128. */
			assert_memory_equal(p->want, c, sizeof c);
			assert_non_null(BN_lebin2bn(one_time + 16, 16, n.t));
			assert_true(BN_nnmod(n.sum, n.want, n.p, n.ctx));
			assert_true(BN_add(n.sum, n.sum, n.t));
			if (BN_num_bits(n.sum) > 128)
				assert_true(BN_mask_bits(n.sum, 128));
			assert_int_equal(BN_bn2lebinpad(n.sum, stream, 16), 16);
			assert_memory_equal(p->want + sizeof c, stream, AEAD_TAG_LEN);
		}
		round_trip(b, GROUP, 0);
	}
	bignums_done(&n);
	bed_free(b);
}

/* The published cases that a batch can say, as a whole group. */
static void published_vectors(void **state)
{
	struct vectors *v = vectors_open("aead/chacha20_poly1305.txt");
	static uint8_t text[GROUP][VECTOR_BYTES_MAX + AEAD_TAG_LEN];
	struct aead_job job[GROUP];
	struct aead_key key;
	unsigned used = 0;

	(void)state;
	while (vectors_next(v)) {
		struct vector_bytes k = vectors_bytes(v, "key"), iv = vectors_bytes(v, "iv");
		struct vector_bytes msg = vectors_bytes(v, "msg"), ct = vectors_bytes(v, "ct");
		uint8_t *want = text[0];

		if (k.n != KEY_LEN || iv.n != NONCE_LEN || load_le32(iv.p) != 0)
			continue;
		used++;
		aead_key_set(&key, k.p);
		for (size_t e = 0; e < engines_n; e++) {
			if (!aead_use(engines[e]))
				continue;
			for (size_t i = 0; i < GROUP; i++) {
				memcpy(text[i], msg.p, msg.n);
				job[i] = (struct aead_job){ .key = &key,
							    .counter = load_le64(iv.p + 4),
							    .text = text[i],
							    .len = msg.n };
			}
			aead_seal_batch(job, GROUP);
			/* Associated data changes the tag alone; every case with such a nonce has it. */
			for (size_t i = 0; i < GROUP; i++) {
				VECTORS_MUST(v, memcmp(text[i], ct.p, ct.n) == 0);
				VECTORS_MUST(v, memcmp(text[i] + ct.n, want + ct.n, 16) == 0);
			}
			aead_open_batch(job, GROUP);
			for (size_t i = 0; i < GROUP; i++)
				VECTORS_MUST(v, job[i].ok && memcmp(text[i], msg.p, msg.n) == 0);
		}
	}
	vectors_close(v);
	assert_int_equal(used, 7);
}

/* ---- the choice ---- */

static bool always(void)
{
	return true;
}

static bool never(void)
{
	return false;
}

/* Right, but for the tag of the longest packet. */
static void seal_wrong(struct aead_job *jobs, size_t n)
{
	struct aead_job *longest = jobs;

	aead_openssl.seal(jobs, n);
	for (size_t i = 1; i < n; i++)
		if (jobs[i].len > longest->len)
			longest = &jobs[i];
	longest->text[longest->len + AEAD_TAG_LEN - 1] ^= 0x80;
}

static void open_all(struct aead_job *jobs, size_t n)
{
	aead_openssl.open(jobs, n);
	for (size_t i = 0; i < n; i++)
		jobs[i].ok = true;
}

static void open_nothing(struct aead_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		jobs[i].ok = false;
}

/* An engine that seals or opens wrongly on this machine is passed over. */
static void engines_prove_themselves(void **state)
{
	const struct aead_engine good = { "right", always, aead_openssl.seal, aead_openssl.open };
	const struct aead_engine bad[] = {
		{ "wrong tag", always, seal_wrong, aead_openssl.open },
		{ "accepts forgeries", always, aead_openssl.seal, open_all },
		{ "refuses all", always, aead_openssl.seal, open_nothing },
		{ "would crash", never, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct aead_engine *then_good[] = { &bad[i], &good, NULL };
		const struct aead_engine *alone[] = { &bad[i], NULL };

		assert_ptr_equal(aead_choose(then_good), &good);
		assert_ptr_equal(aead_choose(alone), &aead_openssl);
	}
	for (size_t e = 0; e < engines_n; e++) {
		const struct aead_engine *alone[] = { engines[e], NULL };

		if (engine_begin(e))
			assert_ptr_equal(aead_choose(alone), engines[e]);
	}
}

static int setup(void **state)
{
	(void)state;
	engines[engines_n++] = &aead_openssl;
	engines[engines_n++] = &aead_split;
	engines[engines_n++] = &aead_split_ifma;
	for (size_t i = 0; aead_vector_engines[i]; i++)
		engines[engines_n++] = aead_vector_engines[i];
	return crypto_init() && engines_n <= ENGINES_MAX ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_lengths),       cmocka_unit_test(random_batches),
		cmocka_unit_test(single_lanes_forged), cmocka_unit_test(delicate_finals),
		cmocka_unit_test(published_vectors),   cmocka_unit_test(engines_prove_themselves),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
