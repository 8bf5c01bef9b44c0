#include "crypto/aead_engine.h"

/* Compiled for any x86-64, unlike aead_lanes.c.  The builtins ask the system too, whether it keeps
 * the wide registers.  BMI2 has the multiplication that leaves the flags alone. */
static bool avx2_usable(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

static bool avx512_usable(void)
{
	return avx2_usable() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512dq");
}

static bool ifma_usable(void)
{
	return avx512_usable() && __builtin_cpu_supports("avx512ifma") &&
	       __builtin_cpu_supports("avx512vbmi2");
}

static const struct aead_engine ifma = { "ifma", ifma_usable, aead_ifma_seal, aead_ifma_open };
static const struct aead_engine avx512 = { "avx512", avx512_usable, aead_avx512_seal,
					   aead_avx512_open };
static const struct aead_engine avx2 = { "avx2", avx2_usable, aead_avx2_seal, aead_avx2_open };

const struct aead_engine *const aead_vector_engines[] = { &ifma, &avx512, &avx2, NULL };
