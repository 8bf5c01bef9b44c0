#include "crypto/aead_engine.h"

/* Compiled for any x86-64, unlike aead_avx2.c.  The builtin asks the system too, whether it keeps
 * the wide registers. */
bool aead_avx2_usable(void)
{
	return __builtin_cpu_supports("avx2") != 0;
}
