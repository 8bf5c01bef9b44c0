#include "packet/checksum_blocks.h"

uint64_t checksum_blocks(const uint8_t *p, size_t blocks)
{
	return checksum_blocks_inline(p, blocks);
}
