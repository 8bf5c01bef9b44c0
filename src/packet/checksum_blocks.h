/* checksum_blocks.h - the part of a checksum that wide registers do; for this folder only.
 *
 * Written once with the compiler's vectors; checksum_x86.c compiles it for AVX2, too, and asks the
 * processor, checksum_generic.c takes what the target always has.
 */
#ifndef QANAT_PACKET_CHECKSUM_BLOCKS_H
#define QANAT_PACKET_CHECKSUM_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#define CHECKSUM_BLOCK 128

/* Adds up `blocks` blocks of 32-bit words in the machine's byte order; below 2^27 of them it fits. */
uint64_t checksum_blocks(const uint8_t *p, size_t blocks);

typedef uint64_t lanes __attribute__((vector_size(32)));
typedef uint64_t lanes_in_memory __attribute__((vector_size(32), aligned(1), may_alias));

/* Whole blocks: each 64-bit lane collects 32-bit words, so that nothing carries for 2^32 of them.
 * Four sums, so that no addition waits for the one before. */
__attribute__((always_inline)) static inline uint64_t checksum_blocks_inline(const uint8_t *p,
									     size_t blocks)
{
	const lanes low = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };
	lanes a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	for (const uint8_t *end = p + blocks * CHECKSUM_BLOCK; p < end; p += CHECKSUM_BLOCK) {
		const lanes_in_memory *v = (const lanes_in_memory *)p;
		const lanes v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3];

		a += (v0 & low) + (v0 >> 32);
		b += (v1 & low) + (v1 >> 32);
		c += (v2 & low) + (v2 >> 32);
		d += (v3 & low) + (v3 >> 32);
	}
	a += b + c + d;
	return a[0] + a[1] + a[2] + a[3];
}

#endif
