/* aead_engine.h - inside crypto only: the implementations behind aead_seal_batch and
 * aead_open_batch, and which of them a process uses.
 *
 * At the first batch the fastest engine that the processor can run is asked to prove itself
 * against OpenSSL; the first that does is used from then on.  Every engine takes any number of
 * jobs of any lengths and keys.  Lengths and the number of jobs decide what is executed; keys,
 * texts, tags and verdicts never do.
 */
#ifndef QANAT_CRYPTO_AEAD_ENGINE_H
#define QANAT_CRYPTO_AEAD_ENGINE_H

#include "crypto/aead.h"

struct aead_engine {
	const char *name;
	bool (*usable)(void); /* the processor and the system have what it needs */
	void (*seal)(struct aead_job *jobs, size_t n);
	void (*open)(struct aead_job *jobs, size_t n); /* sets ok */
};

/* Packet by packet; everywhere. */
extern const struct aead_engine aead_openssl;
/* The vector engines of this build, the fastest first, then NULL. */
extern const struct aead_engine *const aead_vector_engines[];

/* Makes every thread's next batches use `engine`: for tests and benchmarks.  False, and nothing
 * changed, when this processor cannot run it. */
MUST_CHECK bool aead_use(const struct aead_engine *engine);
/* What batches use now. */
const struct aead_engine *aead_used(void);
/* The first of `candidates` (NULL behind the last) that can run here and does what OpenSSL does, or
 * aead_openssl. */
const struct aead_engine *aead_choose(const struct aead_engine *const *candidates);

/* What aead_lanes.c is compiled to, once for each width.  A packet whose tag is wrong is never
 * decrypted. */
void aead_avx2_seal(struct aead_job *jobs, size_t n);
void aead_avx2_open(struct aead_job *jobs, size_t n);
void aead_avx512_seal(struct aead_job *jobs, size_t n);
void aead_avx512_open(struct aead_job *jobs, size_t n);
void aead_avx512_few_seal(struct aead_job *jobs, size_t n);
void aead_avx512_few_open(struct aead_job *jobs, size_t n);
/* What aead_groups.c is compiled to; it gives batches of few packets to the pair above. */
void aead_ifma_seal(struct aead_job *jobs, size_t n);
void aead_ifma_open(struct aead_job *jobs, size_t n);
/* The sources of AVX-512 translated to AVX2, slowly: their logic runs in tests on every machine. */
void aead_split_seal(struct aead_job *jobs, size_t n);
void aead_split_open(struct aead_job *jobs, size_t n);
void aead_split_ifma_seal(struct aead_job *jobs, size_t n);
void aead_split_ifma_open(struct aead_job *jobs, size_t n);

#endif
