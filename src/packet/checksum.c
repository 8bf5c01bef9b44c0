#include "packet/ip.h"

/* RFC 1071 2 (B): the sum may be taken in the machine's byte order, since a carry out of either
 * byte comes back into the other; (C): and in words wider than 16 bits, folded at the end. */

static inline uint64_t add_carry(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

#define BLOCK 128
typedef uint64_t lanes __attribute__((vector_size(32)));
typedef uint64_t lanes_in_memory __attribute__((vector_size(32), aligned(1), may_alias));

/* Whole blocks: each 64-bit lane collects 32-bit words, so that nothing carries for 2^32 of them.
 * Four sums, so that no addition waits for the one before. */
__attribute__((always_inline)) static inline uint64_t blocks_sum(const uint8_t *p, size_t blocks)
{
	const lanes low = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };
	lanes a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	for (const uint8_t *end = p + blocks * BLOCK; p < end; p += BLOCK) {
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

#if defined(__x86_64__)
__attribute__((target("avx2"), noinline)) static uint64_t blocks_sum_avx2(const uint8_t *p,
									  size_t blocks)
{
	return blocks_sum(p, blocks);
}
#endif

static uint64_t blocks_sum_best(const uint8_t *p, size_t blocks)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		return blocks_sum_avx2(p, blocks);
#endif
	return blocks_sum(p, blocks);
}

uint64_t checksum_add(uint64_t sum, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t word;

	if (n >= BLOCK) {
		sum = add_carry(sum, blocks_sum_best(p, n / BLOCK));
		p += n / BLOCK * BLOCK;
		n %= BLOCK;
	}
	for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
		memcpy(&word, p, sizeof word);
		sum = add_carry(sum, word);
	}
	if (n) { /* zeros behind the end add nothing */
		word = 0;
		memcpy(&word, p, n);
		sum = add_carry(sum, word);
	}
	return sum;
}

uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & UINT32_MAX);
	sum = (sum >> 32) + (sum & UINT32_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	return __builtin_bswap16((uint16_t)~sum);
}

uint64_t checksum_pseudo(const struct ip_view *v, uint8_t protocol, uint32_t len)
{
	size_t n = v->family == IP_V4 ? 4 : 16;
	uint64_t sum = checksum_add(checksum_add(0, v->src, n), v->dst, n);

	return checksum_add_u32(checksum_add_u16(sum, protocol), len);
}
