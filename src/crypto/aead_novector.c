#include "crypto/aead_engine.h"

/* Processors other than x86-64: OpenSSL does it all. */
const struct aead_engine *const aead_vector_engines[] = { NULL };
