/* aead_poly1305.h - inside crypto only: Poly1305 (RFC 8439 2.5) of one message in the integer
 * registers, to be mixed with vector instructions that need other parts of the processor.
 *
 * The accumulator is h0 + 2^64 h1 + 2^128 h2 and only partly reduced: h2 stays below 5.  r's
 * clamped bits make 5 r1 / 4 a whole number, by which what passes 2^128 comes back.
 */
#ifndef QANAT_CRYPTO_AEAD_POLY1305_H
#define QANAT_CRYPTO_AEAD_POLY1305_H

#include "base/bytes.h"

#define POLY1305_CHUNK 16
#define POLY1305_KEY 32

typedef unsigned __int128 poly1305_product;
typedef uint64_t poly1305_word __attribute__((aligned(1), may_alias)); /* of a text */

struct poly1305 {
	uint64_t h0, h1, h2;
	uint64_t r0, r1;
	uint64_t r1_back; /* r1 + r1 / 4: 2^130 is 5, so 2^128 r1 is 5 r1 / 4 */
};

/* h += a + 2^64 b + 2^128 c.  By hand, because gcc keeps carries between 128-bit sums in memory
 * and takes twice as long. */
static inline __attribute__((always_inline)) void poly1305_add(struct poly1305 *p, uint64_t a,
							       uint64_t b, uint64_t c)
{
	__asm__("add %3, %0\n\tadc %4, %1\n\tadc %5, %2"
		: "+&r"(p->h0), "+&r"(p->h1), "+&r"(p->h2)
		: "r"(a), "r"(b), "ri"(c)
		: "cc");
}

/* Two words of a sum: hi:lo += a + 2^64 b. */
static inline __attribute__((always_inline)) void poly1305_add2(uint64_t *lo, uint64_t *hi,
								uint64_t a, uint64_t b)
{
	__asm__("add %2, %0\n\tadc %3, %1" : "+&r"(*lo), "+&r"(*hi) : "r"(a), "ri"(b) : "cc");
}

/* h times r, modulo 2^130 - 5.  h2 is small: its products fit into a word. */
static inline __attribute__((always_inline)) void poly1305_multiply(struct poly1305 *p)
{
	poly1305_product d0 =
		(poly1305_product)p->h0 * p->r0 + (poly1305_product)p->h1 * p->r1_back;
	poly1305_product d1 = (poly1305_product)p->h0 * p->r1 + (poly1305_product)p->h1 * p->r0;
	uint64_t word1 = (uint64_t)d1, word2 = (uint64_t)(d1 >> 64), top = p->h2 * p->r0;

	poly1305_add2(&word1, &word2, (uint64_t)(d0 >> 64), 0);
	poly1305_add2(&word1, &top, p->h2 * p->r1_back, word2);
	p->h0 = (uint64_t)d0;
	p->h1 = word1;
	p->h2 = top & 3;
	poly1305_add(p, (top >> 2) + (top & ~(uint64_t)3), 0, 0);
}

/* Takes the one-time key apart; s, its second half, is only wanted at the end. */
static inline void poly1305_begin(struct poly1305 *p, const uint8_t key[POLY1305_KEY])
{
	uint64_t r1 = load_le64(key + 8) & 0x0ffffffc0ffffffc;

	*p = (struct poly1305){ .r0 = load_le64(key) & 0x0ffffffc0fffffff,
				.r1 = r1,
				.r1_back = r1 + (r1 >> 2) };
}

/* A whole chunk, with the bit 2^128 behind it; added from where it lies. */
static inline __attribute__((always_inline)) void poly1305_absorb(struct poly1305 *p,
								  const uint8_t *chunk)
{
	const poly1305_word *word = (const poly1305_word *)chunk;

	__asm__("add %3, %0\n\tadc %4, %1\n\tadc $1, %2"
		: "+&r"(p->h0), "+&r"(p->h1), "+&r"(p->h2)
		: "m"(word[0]), "m"(word[1])
		: "cc");
	poly1305_multiply(p);
}

/* The end of a text that is not a whole chunk, filled up with zeros as RFC 8439 2.8 wants. */
static inline void poly1305_absorb_padded(struct poly1305 *p, const uint8_t *end, size_t len)
{
	uint8_t chunk[POLY1305_CHUNK] = { 0 };

	memcpy(chunk, end, len);
	poly1305_absorb(p, chunk);
}

/* The last chunk of the AEAD: no associated data, `len` bytes of text.  Then the tag as two words:
 * h modulo p = 2^130 - 5, without a branch, plus s. */
static inline void poly1305_end(uint64_t tag[2], struct poly1305 *p, uint64_t len,
				const uint8_t key[POLY1305_KEY])
{
	struct poly1305 minus_p;
	uint64_t reduced;

	poly1305_add(p, 0, len, 1);
	poly1305_multiply(p);
	minus_p = *p;
	poly1305_add(&minus_p, 5, 0, 0);
	reduced = 0 - (minus_p.h2 >> 2); /* all ones when h + 5 reaches 2^130 */
	tag[0] = (p->h0 & ~reduced) | (minus_p.h0 & reduced);
	tag[1] = (p->h1 & ~reduced) | (minus_p.h1 & reduced);
	poly1305_add2(&tag[0], &tag[1], load_le64(key + 16), load_le64(key + 24));
}

#endif
