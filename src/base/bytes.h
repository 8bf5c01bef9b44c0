/* bytes.h - cursors over bytes: a bounded reader and a bounded writer, both sticky on failure.
 *
 * A parser is a list of reads and one test at the end; a builder is a list of
 * writes and one test at the end.  No pointer arithmetic outside this file.
 * rd borrows its input; the views it returns live as long as that input.
 */
#ifndef QANAT_BASE_BYTES_H
#define QANAT_BASE_BYTES_H

#include <string.h>

#include "base/defs.h"

struct rd {
	const uint8_t *p;
	size_t left;
	bool bad; /* a read went past the end; stays set */
};

static inline struct rd rd_over(const void *p, size_t n)
{
	return (struct rd){ .p = p, .left = n };
}

static inline const uint8_t *rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *b = r->p;

	if (r->bad || n > r->left) { /* against what is left: p + n could wrap */
		r->bad = true;
		return NULL;
	}
	if (n) {
		r->p += n;
		r->left -= n;
	}
	return b;
}

static inline bool rd_copy(struct rd *r, void *out, size_t n)
{
	const uint8_t *b = rd_bytes(r, n);

	if (b && n)
		memcpy(out, b, n);
	return !r->bad;
}

static inline uint8_t rd_u8(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 1);

	return b ? b[0] : 0;
}

static inline uint16_t load_be16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return __builtin_bswap16(v);
}

static inline uint32_t load_be32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return __builtin_bswap32(v);
}

static inline uint64_t load_be64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return __builtin_bswap64(v);
}

static inline uint32_t load_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline uint64_t load_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline void store_be16(void *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, sizeof v);
}

static inline void store_be32(void *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof v);
}

static inline void store_be64(void *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof v);
}

static inline void store_le32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof v);
}

static inline void store_le64(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof v);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "load_le and store_le assume a little-endian machine");

static inline uint16_t rd_be16(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 2);

	return b ? load_be16(b) : 0;
}

static inline uint32_t rd_be32(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 4);

	return b ? load_be32(b) : 0;
}

static inline uint32_t rd_le32(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 4);

	return b ? load_le32(b) : 0;
}

static inline uint64_t rd_le64(struct rd *r)
{
	const uint8_t *b = rd_bytes(r, 8);

	return b ? load_le64(b) : 0;
}

/* All was read, nothing is left over, nothing ran past the end. */
static inline bool rd_done(const struct rd *r)
{
	return !r->bad && r->left == 0;
}

struct wr {
	uint8_t *p; /* start */
	size_t n; /* written so far */
	size_t cap;
	bool full; /* a write did not fit; stays set */
};

static inline struct wr wr_over(void *p, size_t cap)
{
	return (struct wr){ .p = p, .cap = cap };
}

/* Reserves `n` bytes, for a length or tag patched later; NULL when they do not fit. */
static inline uint8_t *wr_reserve(struct wr *w, size_t n)
{
	uint8_t *b = w->p + w->n;

	if (w->full || n > w->cap - w->n) {
		w->full = true;
		return NULL;
	}
	w->n += n;
	return b;
}

static inline void wr_bytes(struct wr *w, const void *p, size_t n)
{
	uint8_t *b = wr_reserve(w, n);

	if (!w->full && n)
		memcpy(b, p, n);
}

static inline void wr_zero(struct wr *w, size_t n)
{
	uint8_t *b = wr_reserve(w, n);

	if (!w->full && n)
		memset(b, 0, n);
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
	wr_bytes(w, &v, 1);
}

static inline void wr_be16(struct wr *w, uint16_t v)
{
	uint8_t *b = wr_reserve(w, 2);

	if (!w->full)
		store_be16(b, v);
}

static inline void wr_be32(struct wr *w, uint32_t v)
{
	uint8_t *b = wr_reserve(w, 4);

	if (!w->full)
		store_be32(b, v);
}

static inline void wr_le32(struct wr *w, uint32_t v)
{
	uint8_t *b = wr_reserve(w, 4);

	if (!w->full)
		store_le32(b, v);
}

static inline void wr_le64(struct wr *w, uint64_t v)
{
	uint8_t *b = wr_reserve(w, 8);

	if (!w->full)
		store_le64(b, v);
}

#endif
