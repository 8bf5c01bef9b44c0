/* aead_chacha20.h - inside crypto only: LANES blocks of ChaCha20 (RFC 8439 2.1 to 2.4) at once, in
 * the compilers' vector types.
 *
 * Word i of the states of all blocks is one vector.  LANES is given by the build; whoever includes
 * this is compiled with the instructions of that width, and entered only after the processor was
 * asked.
 */
#ifndef QANAT_CRYPTO_AEAD_CHACHA20_H
#define QANAT_CRYPTO_AEAD_CHACHA20_H

#include "base/bytes.h"
#include "crypto/keys.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16") /* arrays then live in registers, at -O2 too */
#define BLOCK 64 /* of ChaCha20 */
#define DOUBLE_ROUNDS 10

_Static_assert(LANES == 8 || LANES == 16, "the transpositions know these");

typedef uint32_t vec __attribute__((vector_size(4 * LANES)));
typedef uint8_t vec_bytes __attribute__((vector_size(4 * LANES)));
typedef int32_t lane_numbers __attribute__((vector_size(4 * LANES)));
/* The same in memory, where nothing is aligned. */
typedef uint32_t vec_at __attribute__((vector_size(4 * LANES), aligned(1), may_alias));

/* ---- vectors: shuffles by formula, lane i of the result being lane f(i) of two vectors ---- */

#define EACH4(f, i) f(i), f((i) + 1), f((i) + 2), f((i) + 3)
#define EACH8(f, i) EACH4(f, i), EACH4(f, (i) + 4)
#define EACH16(f, i) EACH8(f, i), EACH8(f, (i) + 8)
#define EACH32(f, i) EACH16(f, i), EACH16(f, (i) + 16)
#if LANES == 8
#define EACH_LANE(f) EACH8(f, 0)
#define EACH_BYTE(f) EACH32(f, 0)
#else
#define EACH_LANE(f) EACH16(f, 0)
#define EACH_BYTE(f) EACH32(f, 0), EACH32(f, 32)
#endif

/* Within each four lanes: the low or high words, or pairs of words, of both, taking turns. */
#define UNPACK(i, lanes) (((i) & ~3) + ((i)&3) / 2 + ((i)&1) * (lanes))
#define UNPACK_PAIRS(i, lanes) (((i) & ~3) + ((i)&1) + ((i) >> 1 & 1) * (lanes))
/* Every other four lanes of both, the first one's in front. */
#define DEAL(i, lanes) ((i) / 4 * 8 % (lanes) + (i) / (lanes / 2) * (lanes) + ((i)&3))
#define LOW(i) UNPACK(i, LANES)
#define HIGH(i) (UNPACK(i, LANES) + 2)
#define LOW_PAIRS(i) UNPACK_PAIRS(i, LANES)
#define HIGH_PAIRS(i) (UNPACK_PAIRS(i, LANES) + 2)
#define EVEN_FOURS(i) DEAL(i, LANES)
#define ODD_FOURS(i) (DEAL(i, LANES) + 4)
#define PICK(a, b, f) __builtin_shufflevector(a, b, EACH_LANE(f))

#define SAME(i) (i)

/* ---- ChaCha20 (RFC 8439 2.1 to 2.4) ---- */

INLINE void rotate(vec *v, int bits)
{
	*v = *v << bits | *v >> (32 - bits);
}

#define BYTES_UP_2(i) (((i) & ~3) + (((i) + 2) & 3))
#define BYTES_UP_1(i) (((i) & ~3) + (((i) + 3) & 3))

/* Without an instruction for rotations, whole bytes are moved by one shuffle.  The empty asm hides
 * where the value comes from: clang would shuffle both sides of the xor before it. */
#if LANES == 8
INLINE void rotate16(vec *v)
{
	__asm__("" : "+x"(*v));
	*v = (vec)__builtin_shufflevector((vec_bytes)*v, (vec_bytes)*v, EACH_BYTE(BYTES_UP_2));
}

INLINE void rotate8(vec *v)
{
	__asm__("" : "+x"(*v));
	*v = (vec)__builtin_shufflevector((vec_bytes)*v, (vec_bytes)*v, EACH_BYTE(BYTES_UP_1));
}
#else
INLINE void rotate16(vec *v)
{
	rotate(v, 16);
}

INLINE void rotate8(vec *v)
{
	rotate(v, 8);
}
#endif

/* Two quarter rounds side by side: enough work to hide latencies, few enough live words for 16
 * registers. */
INLINE void quarters(vec *a, vec *b, vec *c, vec *d, vec *a2, vec *b2, vec *c2, vec *d2)
{
	*a += *b, *a2 += *b2;
	*d ^= *a, *d2 ^= *a2;
	rotate16(d), rotate16(d2);
	*c += *d, *c2 += *d2;
	*b ^= *c, *b2 ^= *c2;
	rotate(b, 12), rotate(b2, 12);
	*a += *b, *a2 += *b2;
	*d ^= *a, *d2 ^= *a2;
	rotate8(d), rotate8(d2);
	*c += *d, *c2 += *d2;
	*b ^= *c, *b2 ^= *c2;
	rotate(b, 7), rotate(b2, 7);
}

INLINE void double_round(vec x[16])
{
	quarters(&x[0], &x[4], &x[8], &x[12], &x[1], &x[5], &x[9], &x[13]);
	quarters(&x[2], &x[6], &x[10], &x[14], &x[3], &x[7], &x[11], &x[15]);
	quarters(&x[0], &x[5], &x[10], &x[15], &x[1], &x[6], &x[11], &x[12]);
	quarters(&x[2], &x[7], &x[8], &x[13], &x[3], &x[4], &x[9], &x[14]);
}

/* Word i of all lanes' blocks is x[i]; then the blocks stand in x as they will in memory, lane by
 * lane. */
INLINE void blocks_transpose(vec x[16])
{
	vec y[16] __attribute__((uninitialized));

	UNROLL
	for (int i = 0; i < 16; i += 4) {
		vec a = PICK(x[i], x[i + 1], LOW), b = PICK(x[i], x[i + 1], HIGH);
		vec c = PICK(x[i + 2], x[i + 3], LOW), d = PICK(x[i + 2], x[i + 3], HIGH);

		/* Each four lanes of y[i + k] are now words i to i + 3 of one block. */
		y[i] = PICK(a, c, LOW_PAIRS);
		y[i + 1] = PICK(a, c, HIGH_PAIRS);
		y[i + 2] = PICK(b, d, LOW_PAIRS);
		y[i + 3] = PICK(b, d, HIGH_PAIRS);
	}
	UNROLL
	for (size_t k = 0; k < 4; k++) {
		vec a = PICK(y[k], y[4 + k], EVEN_FOURS), b = PICK(y[8 + k], y[12 + k], EVEN_FOURS);
		vec c = PICK(y[k], y[4 + k], ODD_FOURS), d = PICK(y[8 + k], y[12 + k], ODD_FOURS);

		if (LANES == 16) {
			x[k] = PICK(a, b, EVEN_FOURS);
			x[4 + k] = PICK(c, d, EVEN_FOURS);
			x[8 + k] = PICK(a, b, ODD_FOURS);
			x[12 + k] = PICK(c, d, ODD_FOURS);
		} else {
			x[2 * k] = a;
			x[2 * k + 1] = b;
			x[8 + 2 * k] = c;
			x[8 + 2 * k + 1] = d;
		}
	}
}

/* The same, and writes them. */
INLINE void blocks_store(uint8_t *out, vec x[16])
{
	blocks_transpose(x);
	UNROLL
	for (size_t i = 0; i < 16; i++)
		*(vec_at *)(out + i * sizeof(vec)) = x[i];
}

static inline size_t blocks_of(size_t len)
{
	return len / BLOCK + (len % BLOCK != 0);
}

/* ---- lanes and texts ---- */

/* Lanes from `from` on take `v`, the others stay. */
INLINE void lanes_take(vec *words, const lane_numbers *stays, const vec *v)
{
	*words = ((*words ^ *v) & (vec)*stays) ^ *v;
}

/* What all states begin with (RFC 8439 2.3: constant, key, block counter, nonce). */
static inline void lanes_begin(vec state[16])
{
	static const char words[] = "expand 32-byte k";

	memset(state, 0, 16 * sizeof state[0]);
	for (size_t i = 0; i < 4; i++)
		state[i] = (vec){ 0 } + load_le32(words + 4 * i);
}

/* Lanes from `from` on become block `block` and those behind it. */
INLINE void lanes_count(vec state[16], size_t from, size_t block)
{
	lane_numbers lane = { EACH_LANE(SAME) }, stays = lane < (int32_t)from;
	vec v = (vec)lane + (uint32_t)(block - from);

	lanes_take(&state[12], &stays, &v);
}

/* Lanes from `from` on become blocks of this key and counter; WireGuard's nonces begin with 32
 * zeros. */
INLINE void lanes_key(vec state[16], size_t from, const uint8_t key[KEY_LEN], uint64_t counter)
{
	lane_numbers lane = { EACH_LANE(SAME) }, stays = lane < (int32_t)from;
	vec v;

	UNROLL
	for (size_t i = 0; i < 8; i++) {
		v = (vec){ 0 } + load_le32(key + 4 * i);
		lanes_take(&state[4 + i], &stays, &v);
	}
	v = (vec){ 0 } + (uint32_t)counter;
	lanes_take(&state[14], &stays, &v);
	v = (vec){ 0 } + (uint32_t)(counter >> 32);
	lanes_take(&state[15], &stays, &v);
}

/* Forged texts meet zeros instead of the keystream: their plaintext never comes to be, and the
 * verdict decides no branch. */
static inline void text_mix(uint8_t *text, const uint8_t *stream, size_t len, uint64_t verdict)
{
	vec all = (vec){ 0 } + (uint32_t)verdict;

	for (; len >= BLOCK; len -= BLOCK, text += BLOCK, stream += BLOCK) {
		UNROLL
		for (size_t i = 0; i < BLOCK; i += sizeof all)
			*(vec_at *)(text + i) ^= *(const vec_at *)(stream + i) & all;
	}
	for (; len >= 8; len -= 8, text += 8, stream += 8)
		store_le64(text, load_le64(text) ^ (load_le64(stream) & verdict));
	for (size_t i = 0; i < len; i++)
		text[i] ^= stream[i] & (uint8_t)verdict;
}

#endif
