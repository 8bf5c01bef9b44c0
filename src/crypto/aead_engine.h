/* aead_engine.h - inside crypto only: the implementations behind aead_seal_batch and
 * aead_open_batch, and which of them a process uses.
 *
 * The fastest that the processor can run is chosen at the first batch.  A vector engine works on a
 * group of packets at once, one packet in each lane: every lane has its own key, counter, length
 * and one-time key, so nothing is shared between packets but the instruction stream.  Lengths
 * decide what is executed; keys, texts and tags never do.
 */
#ifndef QANAT_CRYPTO_AEAD_ENGINE_H
#define QANAT_CRYPTO_AEAD_ENGINE_H

#include "crypto/aead.h"

#define AEAD_LANES 8 /* packets in a group of the AVX2 engine */

enum aead_engine {
	AEAD_OPENSSL, /* packet by packet; everywhere */
	AEAD_AVX2, /* groups of 8, the rest through OpenSSL; x86-64 */
	AEAD_AVX2_ALWAYS, /* groups however small and mixed: for tests, never chosen by itself */
};

/* Makes every thread's next batches use `engine`: for tests and benchmarks.  False, and nothing
 * changed, when this processor or this build cannot run it. */
MUST_CHECK bool aead_use(enum aead_engine engine);
/* What batches use now. */
enum aead_engine aead_used(void);

/* Whether the next two were built and the processor and the system have what they need. */
bool aead_avx2_usable(void);
/* Seals `n` jobs, 1 to AEAD_LANES, of any lengths; time follows the longest. */
void aead_avx2_seal(struct aead_job *const *jobs, size_t n);
/* Opens them and sets ok.  A forged packet's text is mixed with a stream that is not its key's. */
void aead_avx2_open(struct aead_job *const *jobs, size_t n);

#endif
