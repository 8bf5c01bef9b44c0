/* text.h - borrowed views of text, bounded building of text, numbers from text.
 *
 * `struct str` never owns and need not end in NUL.  `struct buf` grows on the
 * heap up to its limit and keeps `full`; whoever sends its content asks once
 * with buf_ok, so nothing goes out quietly shorter.
 */
#ifndef QANAT_BASE_TEXT_H
#define QANAT_BASE_TEXT_H

#include <stdarg.h>
#include <string.h>

#include "base/defs.h"

struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){ (lit), sizeof(lit) - 1 })
/* For printf("%.*s", STR_ARG(s)); texts longer than INT_MAX are not printed. */
#define STR_ARG(s) (int)(s).n, (s).p

/* The view of a NUL-terminated text; NULL gives the empty view. */
static inline struct str str_of(const char *z)
{
	return (struct str){ z, z ? strlen(z) : 0 };
}

bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
/* Position of the first `needle` in `s` without regard to ASCII case, or -1. */
ptrdiff_t str_find_nocase(struct str s, struct str needle);
/* Without leading and trailing spaces, tabs, CR and LF. */
struct str str_trim(struct str s);
/* Takes the text before the first `sep` off the front of *rest; false when *rest was empty.
 * The separator is eaten; without one, all of *rest is taken. */
bool str_cut(struct str *rest, char sep, struct str *piece);
/* Copies into out[cap] with NUL; false (and out[0] = 0) when it does not fit. */
MUST_CHECK bool str_copy(char *out, size_t cap, struct str s);
/* A heap copy with NUL, or NULL without memory. */
char *str_dup(struct str s);

/* Whole text as a decimal number in min..max; no sign, space, or leading '+'. */
MUST_CHECK bool u32_parse(struct str s, uint32_t min, uint32_t max, uint32_t *out);
MUST_CHECK bool u64_parse(struct str s, uint64_t min, uint64_t max, uint64_t *out);

struct buf {
	char *p; /* NUL-terminated once something was written */
	size_t n;
	size_t cap;
	size_t limit; /* 0: BUF_LIMIT_DEFAULT */
	bool full; /* something did not fit the limit, or memory ran out */
};

#define BUF_LIMIT_DEFAULT (64u << 20)

/* Wipes and releases the memory (texts may hold keys); leaves an empty usable buf. */
void buf_done(struct buf *b);
/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *b);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_z(struct buf *b, const char *z);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF(2, 0);
static inline bool buf_ok(const struct buf *b)
{
	return !b->full;
}
static inline struct str buf_view(const struct buf *b)
{
	return (struct str){ b->p ? b->p : "", b->n };
}

/* Bytes of the well-formed UTF-8 character (RFC 3629) at the front of `s`, or 0. */
size_t utf8_next(struct str s, uint32_t *code_point);
bool utf8_valid(struct str s);

/* Shows foreign text on one line: printable ASCII and valid UTF-8 as is; control characters,
 * marks that turn the reading direction and broken bytes as \xNN. */
void buf_escaped(struct buf *b, struct str s);
/* The same into out[cap] (at least 4) with NUL, for messages; ends in "..." when cut. */
void text_escaped(char *out, size_t cap, struct str s);

/* Wipes `n` bytes so that the compiler cannot leave it out. */
void wipe(void *p, size_t n);

#endif
