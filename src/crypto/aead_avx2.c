#include "crypto/aead_engine.h"

#include <immintrin.h>

#include "base/bytes.h"
#include "base/text.h"

/* ChaCha20-Poly1305 of RFC 8439 on 8 packets at once.
 *
 * ChaCha20: word i of the state of all 8 packets is one vector of 32-bit lanes, so its rounds are
 * plain adds, xors and rotations; an 8 by 8 transposition turns keystream words into bytes in a
 * row.  Poly1305: the even packets are the 64-bit lanes of one set of accumulators, the odd
 * packets those of another; 130-bit numbers are five limbs of 26 bits.
 *
 * This file alone is compiled for AVX2; nothing in it runs unless aead_avx2_usable() said so.
 */
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16") /* arrays then live in registers, at -O2 too */
#define BLOCK 64 /* of ChaCha20 */
#define CHUNK 16 /* of Poly1305 */
#define LIMB 26
#define LIMB_MASK ((1 << LIMB) - 1)
#define HALF (AEAD_LANES / 2)

struct group {
	__m256i state[16]; /* what ChaCha20 starts from; [12] is the block counter */
	uint8_t *text[AEAD_LANES];
	size_t len[AEAD_LANES];
	size_t n; /* lanes from here on repeat lane 0, and their results go nowhere */
	size_t shortest, longest;
	uint8_t stage[AEAD_LANES][BLOCK]; /* stands in for text that ends within a block */
};

struct poly { /* four packets */
	__m256i h[5]; /* the accumulators */
	__m256i r[5];
	__m256i r5[5]; /* 5 r: what passes 2^130 comes back times 5 */
};

struct mac {
	struct poly even, odd;
	__m256i s[4]; /* the second halves of the one-time keys, 32 bits of 8 packets each */
};

INLINE __m256i load(const void *p)
{
	return _mm256_loadu_si256((const __m256i_u *)p);
}

INLINE void store(void *p, __m256i v)
{
	_mm256_storeu_si256((__m256i_u *)p, v);
}

/* Row i, word j becomes row j, word i. */
INLINE void transpose(__m256i v[8])
{
	__m256i a0 = _mm256_unpacklo_epi32(v[0], v[1]), a1 = _mm256_unpackhi_epi32(v[0], v[1]);
	__m256i a2 = _mm256_unpacklo_epi32(v[2], v[3]), a3 = _mm256_unpackhi_epi32(v[2], v[3]);
	__m256i a4 = _mm256_unpacklo_epi32(v[4], v[5]), a5 = _mm256_unpackhi_epi32(v[4], v[5]);
	__m256i a6 = _mm256_unpacklo_epi32(v[6], v[7]), a7 = _mm256_unpackhi_epi32(v[6], v[7]);
	__m256i b0 = _mm256_unpacklo_epi64(a0, a2), b1 = _mm256_unpackhi_epi64(a0, a2);
	__m256i b2 = _mm256_unpacklo_epi64(a1, a3), b3 = _mm256_unpackhi_epi64(a1, a3);
	__m256i b4 = _mm256_unpacklo_epi64(a4, a6), b5 = _mm256_unpackhi_epi64(a4, a6);
	__m256i b6 = _mm256_unpacklo_epi64(a5, a7), b7 = _mm256_unpackhi_epi64(a5, a7);

	v[0] = _mm256_permute2x128_si256(b0, b4, 0x20);
	v[1] = _mm256_permute2x128_si256(b1, b5, 0x20);
	v[2] = _mm256_permute2x128_si256(b2, b6, 0x20);
	v[3] = _mm256_permute2x128_si256(b3, b7, 0x20);
	v[4] = _mm256_permute2x128_si256(b0, b4, 0x31);
	v[5] = _mm256_permute2x128_si256(b1, b5, 0x31);
	v[6] = _mm256_permute2x128_si256(b2, b6, 0x31);
	v[7] = _mm256_permute2x128_si256(b3, b7, 0x31);
}

/* ---- ChaCha20 (RFC 8439 2.1 to 2.4) ---- */

INLINE __m256i rotate(__m256i v, int bits)
{
	return _mm256_or_si256(_mm256_slli_epi32(v, bits), _mm256_srli_epi32(v, 32 - bits));
}

/* Whole bytes are moved by one shuffle. */
INLINE __m256i rotate16(__m256i v)
{
	return _mm256_shuffle_epi8(v, _mm256_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15,
						       12, 13, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9,
						       14, 15, 12, 13));
}

INLINE __m256i rotate8(__m256i v)
{
	return _mm256_shuffle_epi8(v, _mm256_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12,
						       13, 14, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10,
						       15, 12, 13, 14));
}

/* Two quarter rounds side by side: enough work to hide latencies, few enough live words for 16
 * registers. */
INLINE void quarters(__m256i *a, __m256i *b, __m256i *c, __m256i *d, __m256i *a2, __m256i *b2,
		     __m256i *c2, __m256i *d2)
{
	*a = _mm256_add_epi32(*a, *b), *a2 = _mm256_add_epi32(*a2, *b2);
	*d = rotate16(_mm256_xor_si256(*d, *a)), *d2 = rotate16(_mm256_xor_si256(*d2, *a2));
	*c = _mm256_add_epi32(*c, *d), *c2 = _mm256_add_epi32(*c2, *d2);
	*b = rotate(_mm256_xor_si256(*b, *c), 12), *b2 = rotate(_mm256_xor_si256(*b2, *c2), 12);
	*a = _mm256_add_epi32(*a, *b), *a2 = _mm256_add_epi32(*a2, *b2);
	*d = rotate8(_mm256_xor_si256(*d, *a)), *d2 = rotate8(_mm256_xor_si256(*d2, *a2));
	*c = _mm256_add_epi32(*c, *d), *c2 = _mm256_add_epi32(*c2, *d2);
	*b = rotate(_mm256_xor_si256(*b, *c), 7), *b2 = rotate(_mm256_xor_si256(*b2, *c2), 7);
}

/* Keystream block `counter` of all packets, as words. */
INLINE void keystream(__m256i x[16], struct group *g, uint32_t counter)
{
	g->state[12] = _mm256_set1_epi32((int)counter);
	UNROLL
	for (int i = 0; i < 16; i++)
		x[i] = g->state[i];
	for (int i = 0; i < 10; i++) {
		quarters(&x[0], &x[4], &x[8], &x[12], &x[1], &x[5], &x[9], &x[13]);
		quarters(&x[2], &x[6], &x[10], &x[14], &x[3], &x[7], &x[11], &x[15]);
		quarters(&x[0], &x[5], &x[10], &x[15], &x[1], &x[6], &x[11], &x[12]);
		quarters(&x[2], &x[7], &x[8], &x[13], &x[3], &x[4], &x[9], &x[14]);
	}
	UNROLL
	for (int i = 0; i < 16; i++)
		x[i] = _mm256_add_epi32(x[i], g->state[i]);
}

INLINE void xor_row(uint8_t *p, __m256i v)
{
	store(p, _mm256_xor_si256(load(p), v));
}

/* A block into the text of each packet. */
INLINE void xor_block(uint8_t *const at[AEAD_LANES], __m256i x[16])
{
	transpose(x);
	UNROLL
	for (int i = 0; i < AEAD_LANES; i++)
		xor_row(at[i], x[i]);
	transpose(x + 8);
	UNROLL
	for (int i = 0; i < AEAD_LANES; i++)
		xor_row(at[i] + BLOCK / 2, x[i + 8]);
}

static size_t left_of(const struct group *g, size_t lane, size_t from)
{
	return from < g->len[lane] ? g->len[lane] - from : 0;
}

/* Where a lane's next block is worked on: in the packet, or beside it where the packet ends. */
static uint8_t *block_begin(struct group *g, size_t lane, size_t from)
{
	size_t left = left_of(g, lane, from);

	if (lane >= g->n)
		return g->stage[lane];
	if (left >= BLOCK)
		return g->text[lane] + from;
	if (left)
		memcpy(g->stage[lane], g->text[lane] + from, left);
	return g->stage[lane];
}

static void block_end(struct group *g, size_t lane, size_t from)
{
	size_t left = left_of(g, lane, from);

	if (lane < g->n && left && left < BLOCK)
		memcpy(g->text[lane] + from, g->stage[lane], left);
}

static void crypt(struct group *g)
{
	uint8_t *at[AEAD_LANES];
	uint32_t counter = 1; /* RFC 8439 2.8: block 0 is the one-time key */
	__m256i x[16];

	for (size_t from = 0; from < g->longest; from += BLOCK) {
		bool whole = g->shortest - MIN(g->shortest, from) >= BLOCK;

		keystream(x, g, counter++);
		for (size_t i = 0; i < AEAD_LANES; i++)
			at[i] = whole && i < g->n ? g->text[i] + from : block_begin(g, i, from);
		xor_block(at, x);
		for (size_t i = 0; !whole && i < AEAD_LANES; i++)
			block_end(g, i, from);
	}
}

/* ---- Poly1305 (RFC 8439 2.5) ---- */

INLINE __m256i low_words(__m256i v)
{
	return _mm256_and_si256(v, _mm256_set1_epi64x(0xffffffff));
}

/* Lane 2k to even, lane 2k+1 to odd, as 64 bits each. */
INLINE void split(__m256i *even, __m256i *odd, __m256i v)
{
	*even = low_words(v);
	*odd = _mm256_srli_epi64(v, 32);
}

/* 26 bits of hi:lo, two neighbouring words, from bit `bit` of lo on. */
INLINE __m256i limb_at(__m256i lo, __m256i hi, int bit)
{
	__m256i v = _mm256_or_si256(_mm256_srli_epi32(lo, bit), _mm256_slli_epi32(hi, 32 - bit));

	return _mm256_and_si256(v, _mm256_set1_epi32(LIMB_MASK));
}

/* Takes the one-time keys, words 0 to 7 of keystream block 0, apart and clamps r. */
INLINE void mac_begin(struct mac *m, const __m256i x[8])
{
	__m256i w0 = _mm256_and_si256(x[0], _mm256_set1_epi32(0x0fffffff));
	__m256i w1 = _mm256_and_si256(x[1], _mm256_set1_epi32(0x0ffffffc));
	__m256i w2 = _mm256_and_si256(x[2], _mm256_set1_epi32(0x0ffffffc));
	__m256i w3 = _mm256_and_si256(x[3], _mm256_set1_epi32(0x0ffffffc));
	__m256i r[5] = {
		_mm256_and_si256(w0, _mm256_set1_epi32(LIMB_MASK)),
		limb_at(w0, w1, 26),
		limb_at(w1, w2, 20),
		limb_at(w2, w3, 14),
		_mm256_srli_epi32(w3, 8),
	};

	UNROLL
	for (int i = 0; i < 5; i++) {
		split(&m->even.r[i], &m->odd.r[i], r[i]);
		split(&m->even.r5[i], &m->odd.r5[i],
		      _mm256_add_epi32(r[i], _mm256_slli_epi32(r[i], 2)));
		m->even.h[i] = m->odd.h[i] = _mm256_setzero_si256();
	}
	UNROLL
	for (int i = 0; i < 4; i++)
		m->s[i] = x[4 + i];
}

INLINE void carry(__m256i *from, __m256i *to)
{
	*to = _mm256_add_epi64(*to, _mm256_srli_epi64(*from, LIMB));
	*from = _mm256_and_si256(*from, _mm256_set1_epi64x(LIMB_MASK));
}

/* From limb 4 into limb 0: 2^130 is 5. */
INLINE void carry_around(__m256i h[5])
{
	__m256i c = _mm256_srli_epi64(h[4], LIMB);

	h[4] = _mm256_and_si256(h[4], _mm256_set1_epi64x(LIMB_MASK));
	h[0] = _mm256_add_epi64(h[0], _mm256_add_epi64(c, _mm256_slli_epi64(c, 2)));
}

INLINE __m256i sum5(__m256i a, __m256i b, __m256i c, __m256i d, __m256i e)
{
	return _mm256_add_epi64(_mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d)),
				e);
}

#define MUL _mm256_mul_epu32
/* h times r.  Limbs of h stay below 2^28, those of 5 r below 2^29: sums of five products below
 * 2^60, so a pass of carries at the end is enough. */
INLINE void multiply(struct poly *p)
{
	const __m256i *h = p->h, *r = p->r, *r5 = p->r5;
	__m256i d[5] = {
		sum5(MUL(h[0], r[0]), MUL(h[1], r5[4]), MUL(h[2], r5[3]), MUL(h[3], r5[2]),
		     MUL(h[4], r5[1])),
		sum5(MUL(h[0], r[1]), MUL(h[1], r[0]), MUL(h[2], r5[4]), MUL(h[3], r5[3]),
		     MUL(h[4], r5[2])),
		sum5(MUL(h[0], r[2]), MUL(h[1], r[1]), MUL(h[2], r[0]), MUL(h[3], r5[4]),
		     MUL(h[4], r5[3])),
		sum5(MUL(h[0], r[3]), MUL(h[1], r[2]), MUL(h[2], r[1]), MUL(h[3], r[0]),
		     MUL(h[4], r5[4])),
		sum5(MUL(h[0], r[4]), MUL(h[1], r[3]), MUL(h[2], r[2]), MUL(h[3], r[1]),
		     MUL(h[4], r[0])),
	};

	/* Two chains at once, from limb 0 and from limb 3. */
	carry(&d[0], &d[1]);
	carry(&d[3], &d[4]);
	carry(&d[1], &d[2]);
	carry_around(d);
	carry(&d[2], &d[3]);
	carry(&d[0], &d[1]);
	carry(&d[3], &d[4]);
	UNROLL
	for (int i = 0; i < 5; i++)
		p->h[i] = d[i];
}
#undef MUL

INLINE __m256i two_chunks(const uint8_t *low, const uint8_t *high)
{
	return _mm256_inserti128_si256(_mm256_castsi128_si256(
					       _mm_loadu_si128((const __m128i_u *)low)),
				       _mm_loadu_si128((const __m128i_u *)high), 1);
}

/* Adds a whole chunk of four packets, with the bit 2^128 behind it, and multiplies. */
INLINE void absorb(struct poly *p, const uint8_t *c0, const uint8_t *c1, const uint8_t *c2,
		   const uint8_t *c3)
{
	const __m256i mask = _mm256_set1_epi64x(LIMB_MASK);
	__m256i a = two_chunks(c0, c2), b = two_chunks(c1, c3);
	__m256i lo = _mm256_unpacklo_epi64(a, b), hi = _mm256_unpackhi_epi64(a, b);
	__m256i m2 = _mm256_or_si256(_mm256_srli_epi64(lo, 52), _mm256_slli_epi64(hi, 12));
	__m256i m4 = _mm256_or_si256(_mm256_srli_epi64(hi, 40), _mm256_set1_epi64x(1 << 24));

	p->h[0] = _mm256_add_epi64(p->h[0], _mm256_and_si256(lo, mask));
	p->h[1] = _mm256_add_epi64(p->h[1], _mm256_and_si256(_mm256_srli_epi64(lo, 26), mask));
	p->h[2] = _mm256_add_epi64(p->h[2], _mm256_and_si256(m2, mask));
	p->h[3] = _mm256_add_epi64(p->h[3], _mm256_and_si256(_mm256_srli_epi64(hi, 14), mask));
	p->h[4] = _mm256_add_epi64(p->h[4], m4);
	multiply(p);
}

INLINE void absorb_all(struct mac *m, const uint8_t *const at[AEAD_LANES])
{
	absorb(&m->even, at[0], at[2], at[4], at[6]);
	absorb(&m->odd, at[1], at[3], at[5], at[7]);
}

static size_t chunks_of(size_t len)
{
	return (len + CHUNK - 1) / CHUNK;
}

/* A lane's chunk number `i` (RFC 8439 2.8): ciphertext padded with zeros, then the lengths of the
 * associated data, none, and of the ciphertext.  `stage` has CHUNK bytes. */
static const uint8_t *chunk_at(const struct group *g, uint8_t *stage, size_t lane, size_t i)
{
	size_t left = left_of(g, lane, i * CHUNK);

	if (left >= CHUNK)
		return g->text[lane] + i * CHUNK;
	memset(stage, 0, CHUNK);
	if (left)
		memcpy(stage, g->text[lane] + i * CHUNK, left);
	else
		store_le64(stage + 8, g->len[lane]);
	return stage;
}

/* Undoes a step where `keep` is all ones: in lanes whose message has ended. */
INLINE void poly_restore(struct poly *p, const __m256i old[5], __m256i keep)
{
	UNROLL
	for (int i = 0; i < 5; i++)
		p->h[i] = _mm256_blendv_epi8(p->h[i], old[i], keep);
}

/* Chunks where lanes end, each in its own time. */
static void absorb_ends(struct mac *m, struct group *g, size_t i)
{
	for (; i <= chunks_of(g->longest); i++) {
		const uint8_t *at[AEAD_LANES];
		uint64_t ended[2][HALF];
		struct mac old = *m;

		for (size_t lane = 0; lane < AEAD_LANES; lane++) {
			at[lane] = chunk_at(g, g->stage[lane], lane, i);
			ended[lane % 2][lane / 2] = i > chunks_of(g->len[lane]) ? UINT64_MAX : 0;
		}
		absorb_all(m, at);
		poly_restore(&m->even, old.even.h, load(ended[0]));
		poly_restore(&m->odd, old.odd.h, load(ended[1]));
		wipe(&old, sizeof old);
	}
}

/* The rest modulo 2^130 - 5, plus s, modulo 2^128 (RFC 8439 2.5.1), as two halves. */
INLINE void poly_end(__m256i *lo, __m256i *hi, struct poly *p, const __m256i s[4])
{
	__m256i *h = p->h, g[5], w[4], keep;

	UNROLL
	for (int i = 0; i < 4; i++)
		carry(&h[i], &h[i + 1]);
	carry_around(h);
	UNROLL
	for (int i = 0; i < 4; i++)
		carry(&h[i], &h[i + 1]);
	/* g = h + 5 - 2^130: the rest, unless it is negative. */
	g[0] = _mm256_add_epi64(h[0], _mm256_set1_epi64x(5));
	UNROLL
	for (int i = 1; i < 5; i++)
		g[i] = h[i];
	UNROLL
	for (int i = 0; i < 4; i++)
		carry(&g[i], &g[i + 1]);
	g[4] = _mm256_sub_epi64(g[4], _mm256_set1_epi64x(1 << LIMB));
	keep = _mm256_cmpgt_epi64(_mm256_setzero_si256(), g[4]);
	UNROLL
	for (int i = 0; i < 5; i++)
		h[i] = _mm256_blendv_epi8(g[i], h[i], keep);
	w[0] = _mm256_or_si256(h[0], _mm256_slli_epi64(h[1], 26));
	w[1] = _mm256_or_si256(_mm256_srli_epi64(h[1], 6), _mm256_slli_epi64(h[2], 20));
	w[2] = _mm256_or_si256(_mm256_srli_epi64(h[2], 12), _mm256_slli_epi64(h[3], 14));
	w[3] = _mm256_or_si256(_mm256_srli_epi64(h[3], 18), _mm256_slli_epi64(h[4], 8));
	UNROLL
	for (int i = 0; i < 4; i++)
		w[i] = _mm256_add_epi64(low_words(w[i]), s[i]);
	UNROLL
	for (int i = 0; i < 3; i++)
		w[i + 1] = _mm256_add_epi64(w[i + 1], _mm256_srli_epi64(w[i], 32));
	*lo = _mm256_or_si256(low_words(w[0]), _mm256_slli_epi64(w[1], 32));
	*hi = _mm256_or_si256(low_words(w[2]), _mm256_slli_epi64(w[3], 32));
}

/* Tags of four packets into every second row. */
INLINE void tags_store(uint8_t (*tag)[AEAD_TAG_LEN], struct poly *p, const __m256i s[4])
{
	__m256i lo, hi, a, b;

	poly_end(&lo, &hi, p, s);
	a = _mm256_unpacklo_epi64(lo, hi);
	b = _mm256_unpackhi_epi64(lo, hi);
	_mm_storeu_si128((__m128i_u *)tag[0], _mm256_castsi256_si128(a));
	_mm_storeu_si128((__m128i_u *)tag[2], _mm256_castsi256_si128(b));
	_mm_storeu_si128((__m128i_u *)tag[4], _mm256_extracti128_si256(a, 1));
	_mm_storeu_si128((__m128i_u *)tag[6], _mm256_extracti128_si256(b, 1));
}

/* The tags of the ciphertexts. */
static void authenticate(uint8_t tag[AEAD_LANES][AEAD_TAG_LEN], struct group *g)
{
	size_t whole = g->shortest / CHUNK;
	__m256i x[16], s[2][4];
	struct mac m;

	keystream(x, g, 0);
	mac_begin(&m, x);
	for (size_t i = 0; i < whole; i++) {
		const uint8_t *at[AEAD_LANES];

		for (size_t lane = 0; lane < AEAD_LANES; lane++)
			at[lane] = g->text[lane] + i * CHUNK;
		absorb_all(&m, at);
	}
	absorb_ends(&m, g, whole);
	UNROLL
	for (int i = 0; i < 4; i++)
		split(&s[0][i], &s[1][i], m.s[i]);
	tags_store(tag, &m.even, s[0]);
	tags_store(tag + 1, &m.odd, s[1]);
	wipe(x, sizeof x);
	wipe(s, sizeof s);
	wipe(&m, sizeof m);
}

/* ---- groups ---- */

/* RFC 8439 2.3: constants, key, block counter, nonce; WireGuard's nonces begin with 32 zeros. */
static void group_begin(struct group *g, struct aead_job *const *jobs, size_t n)
{
	static const char words[] = "expand 32-byte k";
	uint32_t nonce[2][AEAD_LANES];

	BUG_ON(n == 0 || n > AEAD_LANES);
	g->n = n;
	g->shortest = SIZE_MAX;
	g->longest = 0;
	for (size_t i = 0; i < AEAD_LANES; i++) {
		const struct aead_job *j = jobs[i < n ? i : 0];

		g->text[i] = j->text;
		g->len[i] = j->len;
		g->shortest = MIN(g->shortest, g->len[i]);
		g->longest = MAX(g->longest, g->len[i]);
		g->state[4 + i] = load(j->key->b);
		nonce[0][i] = (uint32_t)j->counter;
		nonce[1][i] = (uint32_t)(j->counter >> 32);
	}
	transpose(g->state + 4);
	UNROLL
	for (int i = 0; i < 4; i++)
		g->state[i] = _mm256_set1_epi32((int)load_le32(words + 4 * i));
	g->state[13] = _mm256_setzero_si256();
	g->state[14] = load(nonce[0]);
	g->state[15] = load(nonce[1]);
}

void aead_avx2_seal(struct aead_job *const *jobs, size_t n)
{
	uint8_t tag[AEAD_LANES][AEAD_TAG_LEN];
	struct group g;

	group_begin(&g, jobs, n);
	crypt(&g);
	authenticate(tag, &g);
	for (size_t i = 0; i < n; i++)
		memcpy(jobs[i]->text + jobs[i]->len, tag[i], AEAD_TAG_LEN);
	wipe(&g, sizeof g);
}

/* All ones when the tag behind the text is `tag`, else zero, without a branch. */
static uint32_t tag_matches(const uint8_t *behind, const uint8_t *tag)
{
	uint64_t differ =
		(load_le64(behind) ^ load_le64(tag)) | (load_le64(behind + 8) ^ load_le64(tag + 8));

	return (uint32_t)((differ | (0 - differ)) >> 63) - 1;
}

void aead_avx2_open(struct aead_job *const *jobs, size_t n)
{
	uint8_t tag[AEAD_LANES][AEAD_TAG_LEN];
	uint32_t ok[AEAD_LANES] = { 0 };
	struct group g;

	group_begin(&g, jobs, n);
	authenticate(tag, &g);
	for (size_t i = 0; i < n; i++) {
		ok[i] = tag_matches(jobs[i]->text + jobs[i]->len, tag[i]);
		jobs[i]->ok = ok[i] & 1;
	}
	/* A forged packet is decrypted with a key of zeros: its plaintext never comes to be, and the
	 * verdict decides no branch. */
	UNROLL
	for (int i = 4; i < 12; i++)
		g.state[i] = _mm256_and_si256(g.state[i], load(ok));
	crypt(&g);
	wipe(tag, sizeof tag); /* what a forger would have to send */
	wipe(&g, sizeof g);
}
