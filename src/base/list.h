/* list.h - intrusive doubly linked list: the node sits in the element, linking never allocates.
 *
 * A list is a circle through its head; a node that is all zero is on no list.
 */
#ifndef QANAT_BASE_LIST_H
#define QANAT_BASE_LIST_H

#include "base/defs.h"

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_linked(const struct list *node)
{
	return node->next != NULL;
}

static inline void list_add_tail(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Unlinks and zeroes `node`; nothing happens when it is on no list. */
static inline void list_del(struct list *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = NULL;
	node->prev = NULL;
}

#define LIST_FOR(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
/* The current element may be unlinked or freed. */
#define LIST_FOR_SAFE(pos, tmp, head)                                          \
	for (struct list *pos = (head)->next, *tmp = pos->next; pos != (head); \
	     pos = tmp, tmp = pos->next)

#endif
