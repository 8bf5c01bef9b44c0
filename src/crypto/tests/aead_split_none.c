#include "crypto/tests/aead_split.h"

static bool split_usable(void)
{
	return false;
}

const struct aead_engine aead_split = { "avx512, split", split_usable, NULL, NULL };
const struct aead_engine aead_split_ifma = { "ifma, split", split_usable, NULL, NULL };
