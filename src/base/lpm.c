#include "base/lpm.h"

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/host_table.h"

/* Up to so many prefixes a list is faster than a table for each of their lengths: the sets that
 * people write by hand, "all but my own networks" among them. */
#define FEW_MAX 64
#define LENGTHS_MAX 129
/* Look-ups in flight at once: one cache miss then hides the others. */
#define AHEAD 4

struct few {
	struct retired_node retired;
	size_t n;
	struct few_row {
		struct lpm_key key, mask;
		void *owner;
	} row[]; /* the longest first; const once published */
};

struct family {
	unsigned bits; /* const after start */
	struct host_table *table; /* for each length, 0..bits; const after start */
	/* The lengths below `bits` that have prefixes: bit len%64 of word len/64.  Set behind the
	 * first prefix and cleared behind the last. */
	_Atomic uint64_t used[(LENGTHS_MAX + 63) / 64];
	/* All prefixes shorter than an address; NULL: none, too many, or no memory for the list */
	_Atomic(struct few *) few;
	size_t prefixes; /* owner: writer; shorter than an address */
};

struct lpm {
	struct family v4, v6;
	struct host_table tables[33 + LENGTHS_MAX];
	struct host_seed seed;
	struct retired *retired;
	size_t count; /* owner: writer */
};

static struct lpm_key key_of(uint8_t family, const uint8_t *b)
{
	if (family == IP_V4)
		return (struct lpm_key){ .hi = (uint64_t)load_be32(b) << 32 };
	return (struct lpm_key){ .hi = load_be64(b), .lo = load_be64(b + 8) };
}

static struct lpm_key mask_of(unsigned len)
{
	return (struct lpm_key){ .hi = len == 0	   ? 0
				       : len >= 64 ? UINT64_MAX
						   : UINT64_MAX << (64 - len),
				 .lo = len <= 64    ? 0
				       : len >= 128 ? UINT64_MAX
						    : UINT64_MAX << (128 - len) };
}

static struct lpm_key key_and(struct lpm_key k, struct lpm_key mask)
{
	return (struct lpm_key){ .hi = k.hi & mask.hi, .lo = k.lo & mask.lo };
}

static void family_init(struct family *f, unsigned bits, struct host_table *tables,
			const struct host_seed *seed)
{
	f->bits = bits;
	f->table = tables;
	for (unsigned len = 0; len <= bits; len++)
		host_table_init(&tables[len], bits > 64 ? 2 : 1, seed);
}

struct lpm *lpm_new(struct retired *retired)
{
	struct lpm *t = calloc(1, sizeof *t);

	if (t) {
		t->retired = retired;
		host_seed_init(&t->seed);
		family_init(&t->v4, 32, t->tables, &t->seed);
		family_init(&t->v6, 128, t->tables + 33, &t->seed);
	}
	return t;
}

static void family_done(struct family *f)
{
	for (unsigned len = 0; len <= f->bits; len++)
		host_table_done(&f->table[len]);
	free(atomic_load_explicit(&f->few, memory_order_relaxed));
}

void lpm_free(struct lpm *t)
{
	if (!t)
		return;
	family_done(&t->v4);
	family_done(&t->v6);
	free(t);
}

size_t lpm_count(const struct lpm *t)
{
	return t->count;
}

/* ---- writing ---- */

static struct family *family_of(struct lpm *t, uint8_t family)
{
	return family == IP_V4 ? &t->v4 : &t->v6;
}

static void used_set(struct family *f, unsigned len)
{
	uint64_t bit = UINT64_C(1) << (len % 64);

	if (f->table[len].live)
		atomic_fetch_or_explicit(&f->used[len / 64], bit, memory_order_release);
	else
		atomic_fetch_and_explicit(&f->used[len / 64], ~bit, memory_order_release);
}

static void few_free(struct retired_node *n)
{
	free(CONTAINER_OF(n, struct few, retired));
}

struct few_fill {
	struct few *few;
	struct lpm_key mask;
};

static void few_add(void *ctx, struct lpm_key k, void *owner)
{
	struct few_fill *fill = ctx;

	fill->few->row[fill->few->n++] =
		(struct few_row){ .key = k, .mask = fill->mask, .owner = owner };
}

/* Puts the list in step with the tables.  Without it the tables serve, and they hold all. */
static void few_renew(struct lpm *t, struct family *f)
{
	struct few *old = atomic_load_explicit(&f->few, memory_order_relaxed), *few = NULL;

	if (f->prefixes && f->prefixes <= FEW_MAX)
		few = calloc(1, sizeof *few + f->prefixes * sizeof few->row[0]);
	for (unsigned len = f->bits; few && len-- > 0;) {
		struct few_fill fill = { few, mask_of(len) };

		if (f->table[len].live)
			host_table_each(&f->table[len], few_add, &fill);
	}
	atomic_store_explicit(&f->few, few, memory_order_release);
	if (old)
		retired_add(t->retired, &old->retired, few_free);
}

enum err_code lpm_insert(struct lpm *t, const struct ip_prefix *p, void *owner, void **stolen_from)
{
	unsigned bits = ip_bits(p->addr.family);
	struct family *f = family_of(t, p->addr.family);
	void *before = NULL;
	struct lpm_key key;

	if (bits == 0 || p->len > bits)
		return ERR_INVALID;
	key = key_and(key_of(p->addr.family, p->addr.b), mask_of(p->len));
	if (!host_table_put(&f->table[p->len], key, owner, &before, t->retired))
		return ERR_NOMEM;
	t->count += !before;
	if (p->len < bits) {
		f->prefixes += !before;
		used_set(f, p->len);
		few_renew(t, f);
	}
	*stolen_from = before;
	return ERR_OK;
}

bool lpm_remove(struct lpm *t, const struct ip_prefix *p, const void *owner)
{
	unsigned bits = ip_bits(p->addr.family);
	struct family *f = family_of(t, p->addr.family);
	struct lpm_key key;

	if (bits == 0 || p->len > bits || !owner)
		return false;
	key = key_and(key_of(p->addr.family, p->addr.b), mask_of(p->len));
	if (!host_table_remove(&f->table[p->len], key, owner, t->retired))
		return false;
	t->count--;
	if (p->len < bits) {
		f->prefixes--;
		used_set(f, p->len);
		few_renew(t, f);
	}
	return true;
}

/* ---- looking up ---- */

static void *few_find(const struct few *few, struct lpm_key key)
{
	for (size_t i = 0; i < few->n; i++) {
		const struct few_row *r = &few->row[i];

		if ((((key.hi ^ r->key.hi) & r->mask.hi) | ((key.lo ^ r->key.lo) & r->mask.lo)) ==
		    0)
			return r->owner;
	}
	return NULL;
}

/* Goes through the lengths in use, longest first. */
struct lengths {
	const struct family *f;
	unsigned word; /* of f->used */
	uint64_t left; /* of it */
};

static bool next_length(struct lengths *l, unsigned *len)
{
	unsigned bit;

	while (!l->left) {
		if (!l->word)
			return false;
		l->left = atomic_load_explicit(&l->f->used[--l->word], memory_order_acquire);
	}
	bit = 63 - (unsigned)__builtin_clzll(l->left);
	l->left &= ~(UINT64_C(1) << bit);
	*len = l->word * 64 + bit;
	return true;
}

/* What is shorter than an address. */
static void *tables_find(const struct family *f, struct lpm_key key)
{
	struct lengths lengths = { .f = f, .word = ARRAY_LEN(f->used) };
	unsigned len[AHEAD];
	struct host_probe probe[AHEAD];
	size_t n;

	do {
		for (n = 0; n < AHEAD && next_length(&lengths, &len[n]); n++)
			probe[n] =
				host_table_probe(&f->table[len[n]], key_and(key, mask_of(len[n])));
		for (size_t i = 0; i < n; i++) {
			void *owner = host_table_at(&f->table[len[i]], probe[i],
						    key_and(key, mask_of(len[i])));

			if (owner)
				return owner;
		}
	} while (n == AHEAD);
	return NULL;
}

void *lpm_find(const struct lpm *t, uint8_t family, const uint8_t *b)
{
	const struct family *f = family == IP_V4 ? &t->v4 : &t->v6;
	struct lpm_key key = key_of(family, b);
	void *owner = host_table_find(&f->table[f->bits], key);
	const struct few *few;

	if (owner)
		return owner;
	few = atomic_load_explicit(&f->few, memory_order_acquire);
	return few ? few_find(few, key) : tables_find(f, key);
}
