#include "packet/checksum_blocks.h"
#include "packet/ip.h"

/* RFC 1071 2 (B): the sum may be taken in the machine's byte order, since a carry out of either
 * byte comes back into the other; (C): and in words wider than 16 bits, folded at the end. */

static inline uint64_t add_carry(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

uint64_t checksum_add(uint64_t sum, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t word;

	if (n >= CHECKSUM_BLOCK) {
		sum = add_carry(sum, checksum_blocks(p, n / CHECKSUM_BLOCK));
		p += n / CHECKSUM_BLOCK * CHECKSUM_BLOCK;
		n %= CHECKSUM_BLOCK;
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
