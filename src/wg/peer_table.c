#include "wg/peer_table.h"

#include "wg/peer.h"

#define FIRST_SIZE 16

static size_t home(const struct wg_peer_table *t, const struct public_key *k)
{
	return siphash(&t->key, k->b, sizeof k->b) & (t->size - 1);
}

/* The slot of the key, or the free one where it would go.  There always is a free one. */
static size_t find(const struct wg_peer_table *t, const struct public_key *k)
{
	size_t i = home(t, k);

	while (t->slot[i] && memcmp(t->slot[i]->public_key.b, k->b, sizeof k->b) != 0)
		i = (i + 1) & (t->size - 1);
	return i;
}

struct wg_peer *wg_peer_table_find(const struct wg_peer_table *t, const struct public_key *k)
{
	return t->size ? t->slot[find(t, k)] : NULL;
}

static bool grow(struct wg_peer_table *t)
{
	size_t size = t->size ? t->size * 2 : FIRST_SIZE;
	struct wg_peer_table bigger = { .key = t->key, .size = size, .count = t->count };

	bigger.slot = calloc(size, sizeof *bigger.slot);
	if (!bigger.slot)
		return false;
	for (size_t i = 0; i < t->size; i++)
		if (t->slot[i])
			bigger.slot[find(&bigger, &t->slot[i]->public_key)] = t->slot[i];
	free(t->slot);
	*t = bigger;
	return true;
}

bool wg_peer_table_add(struct wg_peer_table *t, struct wg_peer *p)
{
	if ((t->count + 1) * 4 > t->size * 3 && !grow(t))
		return false;
	t->slot[find(t, &p->public_key)] = p;
	t->count++;
	return true;
}

/* Closes the gap, so that no marks of deleted ones pile up: what stands behind the hole and may
 * stand in it moves there. */
void wg_peer_table_del(struct wg_peer_table *t, const struct wg_peer *p)
{
	size_t mask = t->size - 1;
	size_t hole;

	if (!t->size)
		return;
	hole = find(t, &p->public_key);
	if (t->slot[hole] != p)
		return;
	for (size_t i = (hole + 1) & mask; t->slot[i]; i = (i + 1) & mask) {
		size_t want = home(t, &t->slot[i]->public_key);

		if (((i - want) & mask) >= ((i - hole) & mask)) {
			t->slot[hole] = t->slot[i];
			hole = i;
		}
	}
	t->slot[hole] = NULL;
	t->count--;
}

void wg_peer_table_done(struct wg_peer_table *t)
{
	free(t->slot);
	t->slot = NULL;
	t->size = 0;
	t->count = 0;
}
