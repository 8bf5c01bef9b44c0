/* host_table.h - exact match from addresses to owners: lpm has one for each prefix length in use.
 *
 * Open addressing with linear probing.  A slot is an owner beside one (IPv4) or two (IPv6) words
 * of key: 16 or 24 bytes, and a byte of a filter that knows most addresses without an entry;
 * between 22 and 67 bytes an entry with the free ones counted.  Large tables ask for huge pages: a
 * look-up then costs one cache miss and not a second one for the page's address.  Only lpm.c calls
 * it.
 *
 * Readers take no lock.  A slot's key is written before its first owner is published and never
 * changes in that table; a removed entry keeps its key under the owner "none".  Growing, shrinking
 * and sweeping such slots out builds a new table and retires the old one.
 */
#ifndef QANAT_BASE_HOST_TABLE_H
#define QANAT_BASE_HOST_TABLE_H

#include <stdatomic.h>

#include "base/retired.h"

/* An address, most significant bits first; IPv4 stands in the upper half of `hi`. */
struct lpm_key {
	uint64_t hi, lo;
};

struct host_slots;

/* What makes the collisions of one process differ from those of another. */
struct host_seed {
	uint64_t word[2];
};

struct host_table {
	_Atomic(struct host_slots *) slots; /* NULL while nothing was ever added */
	unsigned words; /* of key in a slot: 1 or 2; const after init */
	const struct host_seed *seed; /* borrowed; const after init */
	size_t used; /* owner: writer; slots with a key, removed ones too */
	size_t live; /* owner: writer */
};

void host_seed_init(struct host_seed *s);
void host_table_init(struct host_table *t, unsigned words, const struct host_seed *seed);
void host_table_done(struct host_table *t);
/* Sets the owner (not NULL); *before gets who had the address, or NULL.  False without memory. */
MUST_CHECK bool host_table_put(struct host_table *t, struct lpm_key k, void *owner, void **before,
			       struct retired *retired);
/* Takes the address away if `owner` holds it; true if it did. */
bool host_table_remove(struct host_table *t, struct lpm_key k, const void *owner,
		       struct retired *retired);
/* The writer: calls fn for each entry. */
void host_table_each(const struct host_table *t,
		     void (*fn)(void *ctx, struct lpm_key k, void *owner), void *ctx);

/* Where a reader will look, on its way to the cache already; nowhere when the filter knows that
 * there is nothing. */
struct host_probe {
	const struct host_slots *slots;
	size_t at;
};

/* Any thread. */
struct host_probe host_table_probe(const struct host_table *t, struct lpm_key k);
/* What stands there, or NULL; good until the reader's next quiescent point. */
void *host_table_at(const struct host_table *t, struct host_probe p, struct lpm_key k);
static inline void *host_table_find(const struct host_table *t, struct lpm_key k)
{
	return host_table_at(t, host_table_probe(t, k), k);
}

#endif
