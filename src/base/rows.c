#include "base/rows.h"

#include "base/text.h"

static void elements_free(const struct rows *r)
{
	if (r->p && r->secret)
		wipe(r->p, r->cap * r->size);
	free(r->p);
}

void rows_done(struct rows *r)
{
	elements_free(r);
	*r = (struct rows){ .size = r->size, .secret = r->secret };
}

/* Not realloc: it would leave what it moves behind. */
static bool grow(struct rows *r)
{
	size_t cap = r->cap ? r->cap * 2 : 16;
	uint8_t *p = reallocarray(NULL, cap, r->size);

	if (!p) {
		r->no_memory = true;
		return false;
	}
	if (r->count)
		memcpy(p, r->p, r->count * r->size);
	elements_free(r);
	r->p = p;
	r->cap = cap;
	return true;
}

void *rows_add(struct rows *r)
{
	if (r->count == r->cap && !grow(r))
		return NULL;
	return rows_at(r, r->count++);
}
