#include "wg/index.h"

#include "wg/session.h"

/* Two numbers are never given out: they mark slots. */
#define FREE 0u
#define GONE 1u
#define FIRST_SIZE 64

/* Values are addresses of at least 8-byte alignment; the low bit marks a handshake's peer. */
#define IS_HANDSHAKE ((uintptr_t)1)

struct slot {
	_Atomic uint32_t index;
	_Atomic uintptr_t value;
};

struct wg_index_table {
	struct retired_node retired;
	size_t mask;
	size_t used; /* live numbers; owner: control */
	size_t touched; /* live ones and GONE marks */
	struct slot slot[];
};

static struct wg_index_table *table_new(size_t size)
{
	struct wg_index_table *t;
	size_t bytes;

	if (!mul_ok(size, sizeof t->slot[0], &bytes) || !add_ok(bytes, sizeof *t, &bytes))
		return NULL;
	t = calloc(1, bytes);
	if (t)
		t->mask = size - 1;
	return t;
}

static void table_free(struct retired_node *n)
{
	free(CONTAINER_OF(n, struct wg_index_table, retired));
}

static struct wg_index_table *table_of(const struct wg_index *x)
{
	return atomic_load_explicit(&x->table, memory_order_acquire);
}

bool wg_index_init(struct wg_index *x, struct retired *retired)
{
	struct wg_index_table *t = table_new(FIRST_SIZE);

	x->retired = retired;
	atomic_store_explicit(&x->table, t, memory_order_release);
	return t != NULL;
}

void wg_index_done(struct wg_index *x)
{
	free(table_of(x));
	atomic_store_explicit(&x->table, NULL, memory_order_relaxed);
}

/* The slot of a number, or NULL.  The numbers are our own random ones: their low bits are the
 * hash. */
static const struct slot *find(const struct wg_index_table *t, uint32_t index)
{
	for (size_t i = index & t->mask, n = 0; n <= t->mask; i = (i + 1) & t->mask, n++) {
		const struct slot *s = &t->slot[i];
		uint32_t have = atomic_load_explicit(&s->index, memory_order_acquire);

		if (have == index)
			return s;
		if (have == FREE)
			break;
	}
	return NULL;
}

/* The same for the one writer. */
static struct slot *find_mutable(struct wg_index *x, uint32_t index)
{
	struct wg_index_table *t = table_of(x);
	const struct slot *s = index > GONE ? find(t, index) : NULL;

	return s ? &t->slot[s - t->slot] : NULL;
}

/* The value goes in before the number: who sees the number sees its value or a newer one. */
static void put(struct wg_index_table *t, uint32_t index, uintptr_t value)
{
	for (size_t i = index & t->mask;; i = (i + 1) & t->mask) {
		struct slot *s = &t->slot[i];
		uint32_t have = atomic_load_explicit(&s->index, memory_order_relaxed);

		if (have != FREE && have != GONE)
			continue;
		atomic_store_explicit(&s->value, value, memory_order_relaxed);
		atomic_store_explicit(&s->index, index, memory_order_release);
		t->used++;
		t->touched += have == FREE;
		return;
	}
}

/* Room for one more: at most three quarters of the slots are ever touched. */
static bool make_room(struct wg_index *x)
{
	struct wg_index_table *old = table_of(x), *t;
	size_t size = old->mask + 1;

	if ((old->touched + 1) * 4 <= size * 3)
		return true;
	t = table_new(old->used * 2 >= size ? size * 2 : size);
	if (!t)
		return false;
	for (size_t i = 0; i < size; i++) {
		uint32_t index = atomic_load_explicit(&old->slot[i].index, memory_order_relaxed);

		if (index != FREE && index != GONE)
			put(t, index,
			    atomic_load_explicit(&old->slot[i].value, memory_order_relaxed));
	}
	atomic_store_explicit(&x->table, t, memory_order_release);
	retired_add(x->retired, &old->retired, table_free);
	return true;
}

static uint32_t into_lane(uint32_t index, unsigned lane, unsigned lanes)
{
	uint32_t low = index & 0xff;

	if (lanes < 2)
		return index;
	low = low - low % lanes + lane % lanes;
	if (low > 0xff)
		low -= lanes;
	return (index & ~0xffu) | low;
}

bool wg_index_take(struct wg_index *x, uint32_t *out, struct wg_peer *p, unsigned lane,
		   wg_random *random, void *ctx)
{
	uint32_t index;

	if (!make_room(x))
		return false;
	do {
		random(ctx, &index, sizeof index);
		index = into_lane(index, lane, x->lanes);
	} while (index == FREE || index == GONE || find(table_of(x), index));
	put(table_of(x), index, (uintptr_t)p | IS_HANDSHAKE);
	*out = index;
	return true;
}

void wg_index_set_session(struct wg_index *x, uint32_t index, struct wg_session *s)
{
	struct slot *slot = find_mutable(x, index);

	BUG_ON(!slot);
	atomic_store_explicit(&slot->value, (uintptr_t)s, memory_order_release);
}

void wg_index_drop(struct wg_index *x, uint32_t index)
{
	struct slot *slot = find_mutable(x, index);

	if (!slot)
		return;
	atomic_store_explicit(&slot->index, GONE, memory_order_release);
	atomic_store_explicit(&slot->value, 0, memory_order_relaxed);
	table_of(x)->used--;
}

struct wg_session *wg_index_session(const struct wg_index *x, uint32_t index)
{
	const struct slot *slot = index > GONE ? find(table_of(x), index) : NULL;
	uintptr_t value = slot ? atomic_load_explicit(&slot->value, memory_order_acquire) : 0;
	struct wg_session *s;

	if (!value || value & IS_HANDSHAKE)
		return NULL;
	s = (struct wg_session *)value;
	/* The slot may have got another number between the two loads. */
	return s->local_index == index ? s : NULL;
}

struct wg_peer *wg_index_handshake(const struct wg_index *x, uint32_t index)
{
	const struct slot *slot = index > GONE ? find(table_of(x), index) : NULL;
	uintptr_t value = slot ? atomic_load_explicit(&slot->value, memory_order_relaxed) : 0;

	return value & IS_HANDSHAKE ? (struct wg_peer *)(value & ~IS_HANDSHAKE) : NULL;
}
