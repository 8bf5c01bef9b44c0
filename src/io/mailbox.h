/* mailbox.h - a bounded queue of fixed-size items from many threads to one.
 *
 * Putting never blocks, allocates or takes a lock; a full mailbox refuses.  The taker sleeps on
 * the descriptor, which is written to only when it has said that it sleeps: busy traffic makes no
 * system calls.
 *
 * The ring is Vyukov's bounded queue: each cell carries the number of the turn that may use it
 * next, so that a cell is published by one store.
 */
#ifndef QANAT_IO_MAILBOX_H
#define QANAT_IO_MAILBOX_H

#include "base/err.h"

struct mailbox;

/* `capacity` is a power of two. */
MUST_CHECK enum err_code mailbox_new(struct mailbox **out, size_t capacity, size_t item_size,
				     struct err *e);
void mailbox_free(struct mailbox *m);

/* Any thread: copies `item` in; false when it is full. */
MUST_CHECK bool mailbox_put(struct mailbox *m, const void *item);

/* The taker: copies the oldest item out; false when there is none. */
MUST_CHECK bool mailbox_take(struct mailbox *m, void *item);
/* The taker: readable when there is something to take after mailbox_sleep. */
int mailbox_fd(const struct mailbox *m);
/* The taker is about to wait: from now on a put wakes it.  False when there already is an item,
 * and then there is no need to wait. */
MUST_CHECK bool mailbox_sleep(struct mailbox *m);
/* The taker is awake: clears the descriptor. */
void mailbox_awake(struct mailbox *m);

/* Any thread: about how many items wait. */
size_t mailbox_count(const struct mailbox *m);
size_t mailbox_capacity(const struct mailbox *m);

#endif
