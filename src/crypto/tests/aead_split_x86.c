#include "crypto/tests/aead_split.h"

static bool split_usable(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

const struct aead_engine aead_split = { "avx512, split", split_usable, aead_split_seal,
					aead_split_open };
const struct aead_engine aead_split_ifma = { "ifma, split", split_usable, aead_split_ifma_seal,
					     aead_split_ifma_open };
