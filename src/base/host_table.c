#include "base/host_table.h"

#include <sys/mman.h>
#include <sys/random.h>

#define SLOTS_MIN 16
#define HUGE_PAGE (2u << 20)

/* A slot is `words` + 1 cells: the owner, then the key. */
union cell {
	_Atomic(void *) owner; /* NULL: free; NOBODY: removed, the key stays */
	uint64_t key;
};

/* Eight bits a slot, of which each key in the table has set one: where the bit is clear, nobody
 * needs to look.  A sixteenth of the cells or less, it is in the cache where they are not, and most
 * addresses that nobody has are known by it. */
typedef _Atomic(uint8_t) filter_byte;

struct host_slots {
	struct retired_node retired;
	size_t mask; /* slots - 1, slots being a power of two */
	filter_byte *filter; /* behind the cells */
	union cell cells[];
};

static const char nobody;
#define NOBODY ((void *)(uintptr_t)&nobody)

void host_seed_init(struct host_seed *s)
{
	*s = (struct host_seed){ 0 };
	/* Whoever picks the addresses shall not pick the collisions.  Without entropy the table
	 * still works, so a failure is no reason to stop. */
	if (getrandom(s->word, sizeof s->word, GRND_NONBLOCK) < 0)
		s->word[0] = (uintptr_t)s;
}

void host_table_init(struct host_table *t, unsigned words, const struct host_seed *seed)
{
	*t = (struct host_table){ .words = words, .seed = seed };
}

void host_table_done(struct host_table *t)
{
	free(atomic_load_explicit(&t->slots, memory_order_relaxed));
	host_table_init(t, t->words, t->seed);
}

static void slots_free(struct retired_node *n)
{
	free(CONTAINER_OF(n, struct host_slots, retired));
}

/* Both halves of a 128-bit product: one multiplication carries every bit both ways. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t hash(const struct host_table *t, struct lpm_key k)
{
	/* Two odd numbers with half of their bits set, from the fractions of the golden ratio
	 * and of the square root of 2. */
	uint64_t h = fold(k.hi ^ t->seed->word[0], UINT64_C(0x9e3779b97f4a7c15));

	return fold(h ^ k.lo ^ t->seed->word[1], UINT64_C(0x6a09e667f3bcc909));
}

/* The filter goes by other bits of the hash than the slot. */
static filter_byte *filter_at(const struct host_slots *s, uint64_t h)
{
	return &s->filter[(h >> 35) & s->mask];
}

static uint8_t filter_bit(uint64_t h)
{
	return (uint8_t)(1 << (h >> 32 & 7));
}

/* The slot from `i` on that holds the key, or the free one where it would go; the owner seen
 * there in *owner.  At least a quarter of the slots is free, so the walk ends. */
static const union cell *walk(const struct host_table *t, const struct host_slots *s, size_t i,
			      struct lpm_key k, void **owner)
{
	for (;;) {
		const union cell *c = &s->cells[i * (t->words + 1)];

		*owner = atomic_load_explicit(&c->owner, memory_order_acquire);
		if (!*owner)
			return c;
		if (c[1].key == k.hi && (t->words == 1 || c[2].key == k.lo))
			return c;
		i = (i + 1) & s->mask;
	}
}

/* The same for the writer. */
static union cell *probe(const struct host_table *t, struct host_slots *s, struct lpm_key k,
			 void **owner)
{
	return &s->cells[walk(t, s, hash(t, k) & s->mask, k, owner) - s->cells];
}

/* Fills a free slot; the owner comes last, for the readers. */
static void fill(const struct host_table *t, struct host_slots *s, union cell *c, struct lpm_key k,
		 void *owner)
{
	uint64_t h = hash(t, k);
	filter_byte *f = filter_at(s, h);

	c[1].key = k.hi;
	if (t->words == 2)
		c[2].key = k.lo;
	atomic_store_explicit(f, atomic_load_explicit(f, memory_order_relaxed) | filter_bit(h),
			      memory_order_relaxed);
	atomic_store_explicit(&c->owner, owner, memory_order_release);
}

/* Enough slots for `live` entries to fill at most half. */
static size_t slots_for(size_t live)
{
	size_t n = SLOTS_MIN;

	while (n / 2 < live)
		n *= 2;
	return n;
}

/* Memory of zeros, in huge pages where that pays; the kernel may have none, and that is fine. */
static void *zeroed(size_t size)
{
	void *p;

	if (size < 2 * HUGE_PAGE || !add_ok(size, HUGE_PAGE - 1, &size))
		return calloc(1, size);
	size &= ~(size_t)(HUGE_PAGE - 1);
	p = aligned_alloc(HUGE_PAGE, size);
	if (!p)
		return NULL;
	(void)madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0, size);
	return p;
}

static struct host_slots *slots_new(const struct host_table *t, size_t n)
{
	struct host_slots *s;
	size_t cells, size;

	if (!mul_ok(n, (t->words + 1) * sizeof(union cell), &cells) ||
	    !add_ok(cells, sizeof *s + n, &size))
		return NULL;
	s = zeroed(size);
	if (!s)
		return NULL;
	s->mask = n - 1;
	s->filter = (filter_byte *)((uint8_t *)s->cells + cells);
	return s;
}

/* Copies what lives into a table of `n` slots and puts that in place of the old one. */
static bool rebuild(struct host_table *t, size_t n, struct retired *retired)
{
	struct host_slots *old = atomic_load_explicit(&t->slots, memory_order_relaxed);
	struct host_slots *s = slots_new(t, n);
	void *owner, *taken;

	if (!s)
		return false;
	for (size_t i = 0; old && i <= old->mask; i++) {
		union cell *c = &old->cells[i * (t->words + 1)];
		struct lpm_key k = { .hi = c[1].key, .lo = t->words == 2 ? c[2].key : 0 };

		owner = atomic_load_explicit(&c->owner, memory_order_relaxed);
		if (owner && owner != NOBODY)
			fill(t, s, probe(t, s, k, &taken), k, owner);
	}
	t->used = t->live;
	atomic_store_explicit(&t->slots, s, memory_order_release);
	if (old)
		retired_add(retired, &old->retired, slots_free);
	return true;
}

/* Room for one more key, with a quarter of the slots left free. */
static bool make_room(struct host_table *t, struct retired *retired)
{
	struct host_slots *s = atomic_load_explicit(&t->slots, memory_order_relaxed);

	if (s && t->used + 1 <= (s->mask + 1) / 4 * 3)
		return true;
	return rebuild(t, slots_for(t->live + 1), retired);
}

bool host_table_put(struct host_table *t, struct lpm_key k, void *owner, void **before,
		    struct retired *retired)
{
	struct host_slots *s;
	union cell *c;
	void *old;

	if (!make_room(t, retired))
		return false;
	s = atomic_load_explicit(&t->slots, memory_order_relaxed);
	c = probe(t, s, k, &old);
	if (!old) {
		fill(t, s, c, k, owner);
		t->used++;
	} else {
		atomic_store_explicit(&c->owner, owner, memory_order_release);
	}
	if (!old || old == NOBODY)
		t->live++;
	*before = old == NOBODY ? NULL : old;
	return true;
}

bool host_table_remove(struct host_table *t, struct lpm_key k, const void *owner,
		       struct retired *retired)
{
	struct host_slots *s = atomic_load_explicit(&t->slots, memory_order_relaxed);
	union cell *c;
	void *old;

	if (!s)
		return false;
	c = probe(t, s, k, &old);
	if (!old || old != owner)
		return false;
	atomic_store_explicit(&c->owner, NOBODY, memory_order_release);
	t->live--;
	/* Without memory for a smaller table, the large one goes on to serve. */
	if (s->mask + 1 > SLOTS_MIN && t->live < (s->mask + 1) / 8)
		(void)rebuild(t, slots_for(t->live), retired);
	return true;
}

void host_table_each(const struct host_table *t,
		     void (*fn)(void *ctx, struct lpm_key k, void *owner), void *ctx)
{
	const struct host_slots *s = atomic_load_explicit(&t->slots, memory_order_relaxed);

	for (size_t i = 0; s && i <= s->mask; i++) {
		const union cell *c = &s->cells[i * (t->words + 1)];
		void *owner = atomic_load_explicit(&c->owner, memory_order_relaxed);

		if (owner && owner != NOBODY)
			fn(ctx,
			   (struct lpm_key){ .hi = c[1].key, .lo = t->words == 2 ? c[2].key : 0 },
			   owner);
	}
}

struct host_probe host_table_probe(const struct host_table *t, struct lpm_key k)
{
	struct host_probe p = { atomic_load_explicit(&t->slots, memory_order_acquire), 0 };
	uint64_t h;

	if (!p.slots)
		return p;
	h = hash(t, k);
	/* A bit that is set too late for us belongs to a key that came too late. */
	if (!(atomic_load_explicit(filter_at(p.slots, h), memory_order_relaxed) & filter_bit(h)))
		return (struct host_probe){ NULL, 0 };
	p.at = h & p.slots->mask;
	__builtin_prefetch(&p.slots->cells[p.at * (t->words + 1)]);
	return p;
}

void *host_table_at(const struct host_table *t, struct host_probe p, struct lpm_key k)
{
	void *owner;

	if (!p.slots)
		return NULL;
	(void)walk(t, p.slots, p.at, k, &owner);
	return owner == NOBODY ? NULL : owner;
}
