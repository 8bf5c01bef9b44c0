/* key_order.h - many public keys in order: to find one of them, or two that are equal.
 *
 * The keys stay where they are, in an array of anything, and must outlive the order.  Whatever keys a
 * stranger chooses, sorting is n log n and finding log n.  Public keys: there is nothing to hide from
 * timing.
 */
#ifndef QANAT_CRYPTO_KEY_ORDER_H
#define QANAT_CRYPTO_KEY_ORDER_H

#include "crypto/keys.h"

struct key_place;

struct key_order {
	struct key_place *places; /* by key, equal ones by number */
	size_t n;
	const struct public_key *first;
	size_t stride; /* bytes from one key to the next */
};

/* Key number i < `n` stands `stride` * i bytes behind `first`.  False without memory. */
MUST_CHECK bool key_order_init(struct key_order *o, const struct public_key *first, size_t n,
			       size_t stride);
/* Takes an empty one. */
void key_order_done(struct key_order *o);
/* The number of a key that equals `k`, or n. */
size_t key_order_find(const struct key_order *o, const struct public_key *k);
/* The numbers of two keys that are equal, *a before *b; false: all differ. */
bool key_order_twice(const struct key_order *o, size_t *a, size_t *b);

#endif
