/* aead_split.h - for tests: the sources of the AVX-512 engines with vectors that the compiler
 * splits, so that their logic runs where there is no AVX-512.
 */
#ifndef QANAT_CRYPTO_TESTS_AEAD_SPLIT_H
#define QANAT_CRYPTO_TESTS_AEAD_SPLIT_H

#include "crypto/aead_engine.h"

/* Usable where the AVX2 engine is; nowhere but on x86-64. */
extern const struct aead_engine aead_split, aead_split_ifma;

#endif
