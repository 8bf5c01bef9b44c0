#include "crypto/key_order.h"

#include "base/bytes.h"

/* The first bytes of a key decide nearly always, so that sorting and finding read only these. */
struct key_place {
	uint64_t head;
	size_t number;
};

static const struct public_key *key_at(const struct key_order *o, size_t number)
{
	return (const void *)((const uint8_t *)o->first + number * o->stride);
}

static int key_compare(const struct key_order *o, const struct key_place *p, uint64_t head,
		       const struct public_key *k)
{
	if (p->head != head)
		return p->head < head ? -1 : 1;
	return memcmp(key_at(o, p->number)->b, k->b, KEY_LEN);
}

static int place_compare(const void *a, const void *b, void *ctx)
{
	const struct key_order *o = ctx;
	const struct key_place *x = a, *y = b;
	int d = key_compare(o, x, y->head, key_at(o, y->number));

	return d ? d : (x->number > y->number) - (x->number < y->number);
}

bool key_order_init(struct key_order *o, const struct public_key *first, size_t n, size_t stride)
{
	*o = (struct key_order){ .first = first, .stride = stride };
	o->places = calloc(n + 1, sizeof *o->places);
	if (!o->places)
		return false;
	o->n = n;
	for (size_t i = 0; i < n; i++)
		o->places[i] = (struct key_place){ load_be64(key_at(o, i)->b), i };
	qsort_r(o->places, n, sizeof *o->places, place_compare, o);
	return true;
}

void key_order_done(struct key_order *o)
{
	free(o->places);
	*o = (struct key_order){ 0 };
}

size_t key_order_find(const struct key_order *o, const struct public_key *k)
{
	uint64_t head = load_be64(k->b);
	size_t low = 0, high = o->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (key_compare(o, &o->places[mid], head, k) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < o->n && key_compare(o, &o->places[low], head, k) == 0)
		return o->places[low].number;
	return o->n;
}

bool key_order_twice(const struct key_order *o, size_t *a, size_t *b)
{
	for (size_t i = 1; i < o->n; i++) {
		const struct key_place *p = &o->places[i];

		if (key_compare(o, &o->places[i - 1], p->head, key_at(o, p->number)) != 0)
			continue;
		*a = o->places[i - 1].number;
		*b = p->number;
		return true;
	}
	return false;
}
