/* rows.h - a growing row of equal elements.
 *
 * Pointers into it hold until the next rows_add.  Limits are the caller's: whoever collects what a
 * stranger sends compares `count` first.
 */
#ifndef QANAT_BASE_ROWS_H
#define QANAT_BASE_ROWS_H

#include "base/defs.h"

struct rows {
	uint8_t *p;
	size_t count, cap;
	size_t size; /* of one element; set before the first is added */
	bool secret; /* wiped when the row moves or ends */
	bool no_memory; /* an element found no room; stays set */
};

/* Room for one more, not cleared; NULL without memory. */
void *rows_add(struct rows *r);
/* Element number `i` < count. */
static inline void *rows_at(const struct rows *r, size_t i)
{
	return r->p + r->size * i;
}
/* Frees the elements; leaves an empty usable row. */
void rows_done(struct rows *r);

#endif
