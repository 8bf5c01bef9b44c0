/* vectors.h - reads test vector files: blocks of `name: value` lines between blank lines, bytes
 * in hex, `#` for comments.
 *
 * For tests only: what is malformed in a file fails the test, and a missing collection skips it
 * with the reason (cmocka's skip).  The collection is $QANAT_VECTORS, or shared/vectors in the
 * nearest directory above the source tree that has it.
 */
#ifndef QANAT_CRYPTO_TESTS_VECTORS_H
#define QANAT_CRYPTO_TESTS_VECTORS_H

#include "base/text.h"

#define VECTOR_FIELDS_MAX 64
#define VECTOR_BYTES_MAX 70000

struct vectors {
	const char *name; /* "aead/chacha20_poly1305.txt" */
	char *text; /* the whole file; owned */
	struct str rest;
	unsigned cases; /* given so far */
	size_t n;
	struct {
		struct str name, value;
	} fields[VECTOR_FIELDS_MAX];
	size_t used; /* of room */
	uint8_t room[4 * VECTOR_BYTES_MAX]; /* what vectors_bytes decoded for this case */
};

/* A file of the collection on the heap; skips the running test when there is none. */
struct vectors *vectors_open(const char *name);
void vectors_close(struct vectors *v);
/* Reads the next case; false at the end. */
bool vectors_next(struct vectors *v);

/* Fields of the current case.  A missing one fails the test, naming file and case. */
bool vectors_has(const struct vectors *v, const char *field);
struct str vectors_text(const struct vectors *v, const char *field);
uint64_t vectors_u64(const struct vectors *v, const char *field);
/* Decoded bytes, valid until the next case; never NULL. */
struct vector_bytes {
	const uint8_t *p;
	size_t n;
};
struct vector_bytes vectors_bytes(struct vectors *v, const char *field);
/* The same where the length is fixed: copies. */
void vectors_copy(struct vectors *v, const char *field, void *out, size_t n);

/* Fails the running test with file and case. */
NORETURN void vectors_fail(const struct vectors *v, const char *why);
#define VECTORS_MUST(v, cond)                     \
	do {                                      \
		if (!(cond))                      \
			vectors_fail((v), #cond); \
	} while (0)

#endif
