/* defs.h - the few macros that every file may use.
 *
 * Compiler attributes, cleanup at scope end, overflow-checked arithmetic and
 * the check for broken invariants of our own.  Nothing here allocates.
 */
#ifndef QANAT_BASE_DEFS_H
#define QANAT_BASE_DEFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define AUTO(fn) __attribute__((cleanup(fn)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* True and the sum (product) in *out, or false on overflow. */
static inline bool add_ok(size_t a, size_t b, size_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

static inline bool mul_ok(size_t a, size_t b, size_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

/* Stops the process with file and line: a bug of ours, never input, config or the kernel. */
NORETURN void bug_at(const char *file, int line, const char *what);
#define BUG_ON(cond)                                       \
	do {                                               \
		if (UNLIKELY(cond))                        \
			bug_at(__FILE__, __LINE__, #cond); \
	} while (0)

/* Functions that cannot be used safely do not compile; the headers above declare them first.  Some
 * fortified builds have macros for the last two, which cannot be poisoned. */
#pragma GCC poison strcpy strcat strncpy strncat strtok atoi atol gets gmtime localtime
#if !defined(sprintf) && !defined(vsprintf)
#pragma GCC poison sprintf vsprintf
#endif

#endif
