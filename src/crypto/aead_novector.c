#include "crypto/aead_engine.h"

/* Processors other than x86-64: OpenSSL does it all. */
bool aead_avx2_usable(void)
{
	return false;
}

void aead_avx2_seal(struct aead_job *const *jobs, size_t n)
{
	BUG_ON(jobs || n);
}

void aead_avx2_open(struct aead_job *const *jobs, size_t n)
{
	BUG_ON(jobs || n);
}
