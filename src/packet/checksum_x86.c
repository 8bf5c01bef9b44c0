#include "packet/checksum_blocks.h"

__attribute__((target("avx2"), noinline)) static uint64_t blocks_avx2(const uint8_t *p,
								      size_t blocks)
{
	return checksum_blocks_inline(p, blocks);
}

uint64_t checksum_blocks(const uint8_t *p, size_t blocks)
{
	if (__builtin_cpu_supports("avx2"))
		return blocks_avx2(p, blocks);
	return checksum_blocks_inline(p, blocks);
}
