/* aead_wide.h - inside crypto only: Poly1305 (RFC 8439 2.5) of eight messages at once, each in its
 * 64-bit lane and with its own key, by multiplications of 52 bits (AVX-512 IFMA).
 *
 * Numbers modulo p = 2^130 - 5 are three limbs of 44, 44 and 42 bits, which may be a little fuller
 * between steps.  What passes 2^130 comes back times 5, products whose weights add up to 2^132
 * times 20.  Without IFMA the same is computed lane by lane, slowly: for tests on every machine.
 */
#ifndef QANAT_CRYPTO_AEAD_WIDE_H
#define QANAT_CRYPTO_AEAD_WIDE_H

#ifdef __AVX512IFMA__
#include <immintrin.h>
#endif

#include "base/bytes.h"
#include "crypto/aead_poly1305.h"

#define WIDE_LANES 8
#define WIDE_INLINE static inline __attribute__((always_inline))
#define WIDE_UNROLL _Pragma("GCC unroll 8") /* arrays then live in registers, at -O2 too */
#define WIDE_BLOCK 64 /* bytes of a message that are taken at once: four chunks */

typedef uint64_t wide __attribute__((vector_size(64)));
typedef int64_t wide_signed __attribute__((vector_size(64)));
typedef uint64_t wide_at __attribute__((vector_size(64), aligned(1), may_alias));

struct wide_number {
	wide l0, l1, l2;
};

#define LIMB44 (((uint64_t)1 << 44) - 1)
#define LIMB42 (((uint64_t)1 << 42) - 1)

/* wide_low, wide_high: sum + the low, or the high, 52 bits of the product of the low 52 bits of a
 * and b.  wide_middle: the 64 bits from bit 44 on of high:low.  wide_load_part: `len` bytes, at
 * most 64, and zeros behind them; nothing else is read. */
#ifdef __AVX512IFMA__
WIDE_INLINE wide wide_low(wide sum, wide a, wide b)
{
	return (wide)_mm512_madd52lo_epu64((__m512i)sum, (__m512i)a, (__m512i)b);
}

WIDE_INLINE wide wide_high(wide sum, wide a, wide b)
{
	return (wide)_mm512_madd52hi_epu64((__m512i)sum, (__m512i)a, (__m512i)b);
}

WIDE_INLINE wide wide_middle(wide low, wide high)
{
	return (wide)_mm512_shrdi_epi64((__m512i)low, (__m512i)high, 44);
}

WIDE_INLINE wide wide_load_part(const uint8_t *at, size_t len)
{
	return (wide)_mm512_maskz_loadu_epi8(_bzhi_u64(UINT64_MAX, (uint32_t)len), at);
}
#else
#define LIMB52 (((uint64_t)1 << 52) - 1)

WIDE_INLINE wide wide_low(wide sum, wide a, wide b)
{
	for (size_t i = 0; i < WIDE_LANES; i++)
		sum[i] += ((a[i] & LIMB52) * (b[i] & LIMB52)) & LIMB52;
	return sum;
}

WIDE_INLINE wide wide_high(wide sum, wide a, wide b)
{
	for (size_t i = 0; i < WIDE_LANES; i++)
		sum[i] += (uint64_t)((poly1305_product)(a[i] & LIMB52) * (b[i] & LIMB52) >> 52);
	return sum;
}

WIDE_INLINE wide wide_middle(wide low, wide high)
{
	return low >> 44 | high << 20;
}

WIDE_INLINE wide wide_load_part(const uint8_t *at, size_t len)
{
	wide v = { 0 };

	memcpy(&v, at, len);
	return v;
}
#endif

/* Sums of products before carrying, limb by limb: low parts and high parts. */
struct wide_sums {
	wide l0, l1, l2, h0, h1, h2;
};

WIDE_INLINE struct wide_sums wide_sums_of(struct wide_number n)
{
	return (struct wide_sums){ .l0 = n.l0, .l1 = n.l1, .l2 = n.l2 };
}

/* Adds a times b modulo p.  Limbs are below 2^46. */
WIDE_INLINE void wide_multiply(struct wide_sums *s, struct wide_number a, struct wide_number b)
{
	wide b1_back = (b.l1 << 4) + (b.l1 << 2), b2_back = (b.l2 << 4) + (b.l2 << 2);

	s->l2 = wide_low(s->l2, a.l0, b.l2), s->h2 = wide_high(s->h2, a.l0, b.l2);
	s->l1 = wide_low(s->l1, a.l0, b.l1), s->h1 = wide_high(s->h1, a.l0, b.l1);
	s->l0 = wide_low(s->l0, a.l0, b.l0), s->h0 = wide_high(s->h0, a.l0, b.l0);
	s->l2 = wide_low(s->l2, a.l1, b.l1), s->h2 = wide_high(s->h2, a.l1, b.l1);
	s->l1 = wide_low(s->l1, a.l1, b.l0), s->h1 = wide_high(s->h1, a.l1, b.l0);
	s->l0 = wide_low(s->l0, a.l1, b2_back), s->h0 = wide_high(s->h0, a.l1, b2_back);
	s->l2 = wide_low(s->l2, a.l2, b.l0), s->h2 = wide_high(s->h2, a.l2, b.l0);
	s->l1 = wide_low(s->l1, a.l2, b2_back), s->h1 = wide_high(s->h1, a.l2, b2_back);
	s->l0 = wide_low(s->l0, a.l2, b1_back), s->h0 = wide_high(s->h0, a.l2, b1_back);
}

/* The number that two products or less and one more number add up to: its limbs are below
 * 2^44 + 2^17. */
WIDE_INLINE struct wide_number wide_carry(const struct wide_sums *s)
{
	/* The high parts weigh 2^52 more: 2^8 of the next limb, 2^10 times 5 of what comes back. */
	wide l0 = s->l0 + (s->h2 << 12) + (s->h2 << 10);
	wide l1 = s->l1 + (s->h0 << 8), l2 = s->l2 + (s->h1 << 8), over = l2 >> 42;

	return (struct wide_number){ .l0 = (l0 & LIMB44) + over + (over << 2),
				     .l1 = (l1 & LIMB44) + (l0 >> 44),
				     .l2 = (l2 & LIMB42) + (l1 >> 44) };
}

/* a times b plus c. */
WIDE_INLINE struct wide_number wide_multiply_add(struct wide_number a, struct wide_number b,
						 struct wide_number c)
{
	struct wide_sums s = wide_sums_of(c);

	wide_multiply(&s, a, b);
	return wide_carry(&s);
}

WIDE_INLINE struct wide_number wide_number_of(wide low, wide high)
{
	return (struct wide_number){ .l0 = low & LIMB44,
				     .l1 = wide_middle(low, high) & LIMB44,
				     .l2 = high >> 24 };
}

/* A chunk of each message, as words; the bit 2^128 comes behind it. */
WIDE_INLINE struct wide_number wide_chunk(wide low, wide high)
{
	struct wide_number n = wide_number_of(low, high);

	n.l2 |= (uint64_t)1 << 40;
	return n;
}

/* Where `which` is all ones `yes`, where it is zero `no`. */
WIDE_INLINE struct wide_number wide_pick(wide which, struct wide_number yes, struct wide_number no)
{
	return (struct wide_number){ .l0 = (yes.l0 & which) | (no.l0 & ~which),
				     .l1 = (yes.l1 & which) | (no.l1 & ~which),
				     .l2 = (yes.l2 & which) | (no.l2 & ~which) };
}

/* The smallest number that equals n modulo p, without a branch. */
WIDE_INLINE struct wide_number wide_reduce(struct wide_number n)
{
	struct wide_number minus_p;

	/* Twice around: the first leaves less than 2^130 + 2^20, the second less than 2^130. */
	for (int i = 0; i < 2; i++) {
		n.l1 += n.l0 >> 44, n.l0 &= LIMB44;
		n.l2 += n.l1 >> 44, n.l1 &= LIMB44;
		n.l0 += (n.l2 >> 42) * 5, n.l2 &= LIMB42;
	}
	n.l1 += n.l0 >> 44, n.l0 &= LIMB44;
	minus_p.l0 = n.l0 + 5;
	minus_p.l1 = n.l1 + (minus_p.l0 >> 44);
	minus_p.l2 = n.l2 + (minus_p.l1 >> 44);
	return wide_pick(0 - (minus_p.l2 >> 42),
			 (struct wide_number){ .l0 = minus_p.l0 & LIMB44,
					       .l1 = minus_p.l1 & LIMB44,
					       .l2 = minus_p.l2 & LIMB42 },
			 n);
}

/* Rows become columns. */
WIDE_INLINE void wide_transpose(wide v[WIDE_LANES])
{
	WIDE_UNROLL
	for (size_t i = 0; i < 8; i += 2) {
		wide a = v[i], b = v[i + 1];

		v[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
		v[i + 1] = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
	}
	WIDE_UNROLL
	for (size_t k = 0; k < 4; k++) {
		size_t i = k / 2 * 4 + k % 2;
		wide a = v[i], b = v[i + 2];

		v[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
		v[i + 2] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
	}
	WIDE_UNROLL
	for (size_t i = 0; i < 4; i++) {
		wide a = v[i], b = v[i + 4];

		v[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
		v[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
	}
}

#endif
