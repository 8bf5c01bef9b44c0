/* retired.h - memory taken out of a shared structure that concurrent readers may still see.
 *
 * Quiescent-state reclamation: the one writer retires an object after unlinking it; it is freed
 * after every reader thread has since passed a point where it holds no reference.  This file
 * keeps the objects and generations; who counts the readers' passes is the caller's business
 * (the dataplane; single-threaded tests reclaim at once).
 */
#ifndef QANAT_BASE_RETIRED_H
#define QANAT_BASE_RETIRED_H

#include "base/defs.h"

/* Sits inside each object that may be retired. */
struct retired_node {
	struct retired_node *next;
	void (*free_fn)(struct retired_node *node);
	uint64_t generation;
};

struct retired {
	struct retired_node *head, *tail; /* oldest first */
	uint64_t generation; /* current; objects retired now carry it */
};

/* Hands over an unlinked object; `free_fn` runs when it is safe. */
static inline void retired_add(struct retired *r, struct retired_node *n,
			       void (*free_fn)(struct retired_node *))
{
	n->next = NULL;
	n->free_fn = free_fn;
	n->generation = r->generation;
	if (r->tail)
		r->tail->next = n;
	else
		r->head = n;
	r->tail = n;
}

/* Starts a new generation and returns its number: once every reader has passed after this call,
 * retired_free(r, that number) is allowed. */
static inline uint64_t retired_advance(struct retired *r)
{
	return ++r->generation;
}

/* Frees up to `max` objects retired before generation `before`; false when there are more. */
static inline bool retired_free_some(struct retired *r, uint64_t before, size_t max)
{
	while (r->head && r->head->generation < before) {
		struct retired_node *n = r->head;

		if (!max--)
			return false;
		r->head = n->next;
		if (!r->head)
			r->tail = NULL;
		n->free_fn(n);
	}
	return true;
}

/* Frees all objects retired before generation `before`. */
static inline void retired_free(struct retired *r, uint64_t before)
{
	(void)retired_free_some(r, before, SIZE_MAX);
}

#endif
