/* lpm_test.c - longest-prefix match against vectors, a linear model, failing memory, and readers
 * beside a writer (the thread sanitizer's business as much as ours).
 */
#include "base/tests/cm.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/lpm.h"
#include "base/tests/vectors.h"

/* The linker sends every calloc of the room here: the one after `calloc_left` more fails. */
static int calloc_left = -1;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
	if (calloc_left == 0)
		return NULL;
	if (calloc_left > 0)
		calloc_left--;
	return __real_calloc(n, size);
}

/* A small generator of its own: the same numbers in every run. */
static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*seed >> 33);
}

/* The model: a list of prefixes, searched from end to end. */
struct model {
	struct {
		struct ip_prefix p;
		void *owner;
	} rows[4096];
	size_t n;
};

static size_t model_exact(const struct model *m, const struct ip_prefix *p)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->rows[i].p.len == p->len && ip_eq(&m->rows[i].p.addr, &p->addr))
			return i;
	}
	return SIZE_MAX;
}

static void *model_insert(struct model *m, struct ip_prefix p, void *owner)
{
	void *before = NULL;
	size_t i;

	ip_prefix_mask(&p);
	i = model_exact(m, &p);
	if (i == SIZE_MAX) {
		assert_true(m->n < ARRAY_LEN(m->rows));
		i = m->n++;
		m->rows[i].p = p;
	} else {
		before = m->rows[i].owner;
	}
	m->rows[i].owner = owner;
	return before;
}

static bool model_remove(struct model *m, struct ip_prefix p, const void *owner)
{
	size_t i;

	ip_prefix_mask(&p);
	i = model_exact(m, &p);
	if (i == SIZE_MAX || m->rows[i].owner != owner)
		return false;
	m->rows[i] = m->rows[--m->n];
	return true;
}

static void *model_find(const struct model *m, const struct ip_addr *a)
{
	void *best = NULL;
	int len = -1;

	for (size_t i = 0; i < m->n; i++) {
		if (m->rows[i].p.len > len && ip_prefix_contains(&m->rows[i].p, a)) {
			best = m->rows[i].owner;
			len = m->rows[i].p.len;
		}
	}
	return best;
}

static char owners[8]; /* their addresses stand for peers */

struct table {
	struct retired retired;
	struct lpm *lpm;
	struct model model;
};

static struct table *table_new(void)
{
	struct table *t = test_calloc(1, sizeof *t);

	t->lpm = lpm_new(&t->retired);
	assert_non_null(t->lpm);
	return t;
}

static void table_free(struct table *t)
{
	retired_free(&t->retired, UINT64_MAX);
	lpm_free(t->lpm);
	test_free(t);
}

static void table_insert(struct table *t, const struct ip_prefix *p, void *owner)
{
	void *want = model_insert(&t->model, *p, owner), *got = &got;

	assert_int_equal(lpm_insert(t->lpm, p, owner, &got), ERR_OK);
	assert_ptr_equal(got, want);
	assert_int_equal(lpm_count(t->lpm), t->model.n);
}

static void table_remove(struct table *t, const struct ip_prefix *p, const void *owner)
{
	assert_int_equal(lpm_remove(t->lpm, p, owner), model_remove(&t->model, *p, owner));
	assert_int_equal(lpm_count(t->lpm), t->model.n);
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;

	assert_true(ip_prefix_parse(str_of(text), &p));
	return p;
}

static void *find(const struct table *t, const char *text)
{
	struct ip_prefix p = prefix(text);

	return lpm_find(t->lpm, p.addr.family, p.addr.b);
}

static void longest_wins_and_exact_steals(void **state)
{
	struct table *t = table_new();
	struct ip_prefix p;
	void *from;

	(void)state;
	assert_null(find(t, "10.0.0.1"));
	p = prefix("0.0.0.0/0");
	table_insert(t, &p, &owners[0]);
	p = prefix("10.0.0.99/24"); /* host bits do not matter */
	table_insert(t, &p, &owners[1]);
	p = prefix("10.0.0.1/32");
	table_insert(t, &p, &owners[2]);
	assert_ptr_equal(find(t, "10.0.0.1"), &owners[2]);
	assert_ptr_equal(find(t, "10.0.0.2"), &owners[1]);
	assert_ptr_equal(find(t, "11.0.0.2"), &owners[0]);
	assert_null(find(t, "::1")); /* families are apart, defaults too */

	p = prefix("10.0.0.0/24");
	assert_int_equal(lpm_insert(t->lpm, &p, &owners[3], &from), ERR_OK);
	assert_ptr_equal(from, &owners[1]);
	assert_ptr_equal(find(t, "10.0.0.2"), &owners[3]);
	assert_false(lpm_remove(t->lpm, &p, &owners[1])); /* it lost it */
	assert_ptr_equal(find(t, "10.0.0.2"), &owners[3]);
	assert_true(lpm_remove(t->lpm, &p, &owners[3]));
	assert_ptr_equal(find(t, "10.0.0.2"), &owners[0]);
	p = prefix("10.0.0.1/32");
	assert_true(lpm_remove(t->lpm, &p, &owners[2]));
	assert_ptr_equal(find(t, "10.0.0.1"), &owners[0]);
	table_free(t);
}

static void refuses_what_is_no_prefix(void **state)
{
	struct table *t = table_new();
	struct ip_prefix none = { 0 }, too_long = prefix("10.0.0.0/8");
	void *from;

	(void)state;
	too_long.len = 33;
	assert_int_equal(lpm_insert(t->lpm, &none, &owners[0], &from), ERR_INVALID);
	assert_int_equal(lpm_insert(t->lpm, &too_long, &owners[0], &from), ERR_INVALID);
	assert_false(lpm_remove(t->lpm, &none, &owners[0]));
	assert_false(lpm_remove(t->lpm, &too_long, &owners[0]));
	assert_int_equal(lpm_count(t->lpm), 0);
	lpm_free(NULL);
	table_free(t);
}

/* "add PEER CIDR" and "rmpeer PEER". */
static void vector_op(struct table *t, struct str op)
{
	struct str verb = { 0 }, peer = { 0 };
	struct ip_prefix p;
	uint32_t n;

	assert_true(str_cut(&op, ' ', &verb) && str_cut(&op, ' ', &peer));
	assert_true(u32_parse(peer, 0, ARRAY_LEN(owners) - 1, &n));
	if (str_eq(verb, STR("add"))) {
		assert_true(ip_prefix_parse(op, &p));
		table_insert(t, &p, &owners[n]);
		return;
	}
	assert_true(str_eq(verb, STR("rmpeer")));
	for (size_t i = t->model.n; i-- > 0;) {
		p = t->model.rows[i].p;
		table_remove(t, &p, &owners[n]);
	}
}

static void vector_lookup(const struct table *t, struct str lookup)
{
	struct str addr = { 0 };
	struct ip_addr a;
	uint32_t n;
	void *want = NULL;

	assert_true(str_cut(&lookup, '=', &addr) && ip_parse(addr, &a));
	if (!str_eq(lookup, STR("-"))) {
		assert_true(u32_parse(lookup, 0, ARRAY_LEN(owners) - 1, &n));
		want = &owners[n];
	}
	if (lpm_find(t->lpm, a.family, a.b) != want)
		fail_msg("%.*s is not found at its owner", STR_ARG(addr));
}

static void matches_vectors(void **state)
{
	struct vectors v;
	unsigned cases = 0;

	(void)state;
	if (!vectors_open(&v, "wireguard/allowedips.txt"))
		skip();
	for (; vectors_next(&v); cases++) {
		struct table *t = table_new();
		struct str ops = vectors_get(&v, "ops"), one;
		struct str lookups = vectors_get(&v, "lookups");

		while (str_cut(&ops, ';', &one))
			vector_op(t, str_trim(one));
		while (str_cut(&lookups, ' ', &one))
			vector_lookup(t, one);
		table_free(t);
	}
	assert_true(cases > 0);
	buf_done(&v.text);
}

/* Few distinct bits, so that prefixes nest, meet and part often. */
static struct ip_prefix random_prefix(uint64_t *seed, uint8_t family, bool dense)
{
	struct ip_prefix p = { .addr = { .family = family } };
	unsigned bits = ip_bits(family);

	for (unsigned i = 0; i < bits / 8; i++)
		p.addr.b[i] = (uint8_t)(dense ? (next_random(seed) & 1) * 0xff : next_random(seed));
	if (next_random(seed) % 3 == 0)
		p.len = (uint8_t)bits;
	else
		p.len = (uint8_t)(next_random(seed) % (bits + 1));
	if (dense) /* all of it decides, down to the last byte */
		p.addr.b[bits / 8 - 1] = (uint8_t)next_random(seed);
	return p;
}

static void random_round(uint64_t seed, uint8_t family, bool dense, unsigned steps)
{
	struct table *t = table_new();

	for (unsigned step = 0; step < steps; step++) {
		struct ip_prefix p = random_prefix(&seed, family, dense);
		void *owner = &owners[next_random(&seed) % ARRAY_LEN(owners)];
		bool growing = step % 500 < 300; /* then shrink: prune, sweep, shrink the hash */

		if (next_random(&seed) % 10 < (growing ? 8 : 3)) {
			table_insert(t, &p, owner);
		} else if (t->model.n) {
			size_t i = next_random(&seed) % t->model.n;

			p = t->model.rows[i].p;
			table_remove(t, &p,
				     next_random(&seed) % 4 ? t->model.rows[i].owner : owner);
		}
		for (int k = 0; k < 4; k++) {
			p = random_prefix(&seed, family, dense);
			assert_ptr_equal(lpm_find(t->lpm, family, p.addr.b),
					 model_find(&t->model, &p.addr));
		}
	}
	while (t->model.n) {
		struct ip_prefix p = t->model.rows[0].p;

		table_remove(t, &p, t->model.rows[0].owner);
	}
	table_free(t);
}

static void agrees_with_the_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2; seed++) {
		random_round(seed, IP_V4, true, 1000);
		random_round(seed, IP_V4, false, 1000);
		random_round(seed, IP_V6, true, 1000);
		random_round(seed, IP_V6, false, 1000);
	}
}

/* Many whole addresses: the hash grows, is swept and shrinks, and never loses one. */
static void keeps_many_hosts(void **state)
{
	struct retired retired = { 0 };
	struct lpm *lpm = lpm_new(&retired);
	struct ip_prefix p = { .addr = { .family = IP_V4 }, .len = 32 };
	void *from;

	(void)state;
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 20000; i++) {
			uint32_t be = __builtin_bswap32(0x0a000000 + round * 77777 + i);

			memcpy(p.addr.b, &be, 4);
			assert_int_equal(lpm_insert(lpm, &p, &owners[i % 8], &from), ERR_OK);
			assert_null(from);
			if (i % 100 == 0)
				retired_free(&retired, UINT64_MAX);
		}
		assert_int_equal(lpm_count(lpm), 20000);
		for (uint32_t i = 0; i < 20000; i++) {
			uint32_t be = __builtin_bswap32(0x0a000000 + round * 77777 + i);

			memcpy(p.addr.b, &be, 4);
			assert_ptr_equal(lpm_find(lpm, IP_V4, p.addr.b), &owners[i % 8]);
			assert_true(lpm_remove(lpm, &p, &owners[i % 8]));
			assert_null(lpm_find(lpm, IP_V4, p.addr.b));
		}
	}
	assert_int_equal(lpm_count(lpm), 0);
	retired_free(&retired, UINT64_MAX);
	lpm_free(lpm);
}

/* A few addresses inside and beside what there is. */
static void table_look(const struct table *t, uint64_t *seed, uint8_t family)
{
	for (unsigned i = 0; i < 4; i++) {
		struct ip_addr a = { .family = family };
		unsigned bytes = ip_bits(family) / 8;

		if (t->model.n)
			a = t->model.rows[next_random(seed) % t->model.n].p.addr;
		if (i % 2) {
			unsigned at = next_random(seed) % bytes;

			a.b[at] = (uint8_t)(a.b[at] ^ 1u << next_random(seed) % 8);
		}
		assert_ptr_equal(lpm_find(t->lpm, family, a.b), model_find(&t->model, &a));
	}
}

/* From a list to tables and back, with every length that there is. */
static void few_and_many(void **state)
{
	static const uint8_t families[] = { IP_V4, IP_V6 };

	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		unsigned bits = ip_bits(families[f]);
		struct table *t = table_new();
		struct ip_prefix p = { .addr.family = families[f] };
		uint64_t seed = 3;

		for (unsigned turn = 0; turn < 4; turn++) {
			for (unsigned len = 0; len <= bits; len++) {
				for (unsigned i = 0; i < bits / 8; i++)
					p.addr.b[i] = (uint8_t)(next_random(&seed) % 2 ? 42 : 43);
				p.len = (uint8_t)len;
				table_insert(t, &p, &owners[len % ARRAY_LEN(owners)]);
				table_look(t, &seed, families[f]);
			}
		}
		while (t->model.n) {
			size_t i = next_random(&seed) % t->model.n;

			p = t->model.rows[i].p;
			table_remove(t, &p, t->model.rows[i].owner);
			table_look(t, &seed, families[f]);
		}
		table_free(t);
	}
}

/* Each allocation fails once: the insert says so and nothing has changed. */
static void survives_every_failed_allocation(void **state)
{
	static const char *const texts[] = { "10.0.0.0/8",  "10.1.0.0/16",   "10.2.0.0/16",
					     "10.2.3.4/32", "2001:db8::/32", "2001:db8::1/128" };
	unsigned failures = 0;

	(void)state;
	for (int fail_at = 0;; fail_at++) {
		struct table *t = table_new();
		bool failed = false;

		calloc_left = fail_at;
		for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
			struct ip_prefix p = prefix(texts[i]);
			void *from = &from;
			enum err_code rc = lpm_insert(t->lpm, &p, &owners[i], &from);

			if (rc == ERR_OK) {
				(void)model_insert(&t->model, p, &owners[i]);
			} else {
				assert_int_equal(rc, ERR_NOMEM);
				assert_ptr_equal(from, &from);
				failed = true;
				calloc_left = -1; /* only this one */
			}
			assert_int_equal(lpm_count(t->lpm), t->model.n);
			for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
				struct ip_prefix q = prefix(texts[k]);

				assert_ptr_equal(find(t, texts[k]), model_find(&t->model, &q.addr));
			}
		}
		calloc_left = -1;
		table_free(t);
		failures += failed;
		if (!failed)
			break;
	}
	/* The table of each of five lengths; a list that cannot be had is no failure. */
	assert_true(failures >= 5);
}

/* Readers beside a writer.  `passes` is each reader's quiescent point: it counts up where the
 * reader holds nothing.  An owner carries the prefix it was given, which the reader checks, and
 * a mark that the writer would wipe when it frees the owner too early. */
#define READERS 2
#define WRITES 2000

struct owner {
	struct retired_node retired;
	struct ip_prefix p;
	uint32_t alive;
};

struct race {
	struct lpm *lpm;
	atomic_bool stop;
	struct {
		_Alignas(64) _Atomic uint64_t passes;
	} readers[READERS];
	uint64_t found[READERS]; /* owner: its reader, until joined */
	uint64_t wrong[READERS];
};

struct reader {
	struct race *race;
	unsigned index;
};

static void owner_free(struct retired_node *n)
{
	struct owner *o = CONTAINER_OF(n, struct owner, retired);

	o->alive = 0;
	free(o);
}

static void *reader_main(void *arg)
{
	const struct reader *r = arg;
	uint64_t seed = 1000 + r->index;

	while (!atomic_load(&r->race->stop)) {
		for (int i = 0; i < 16; i++) {
			uint8_t family = next_random(&seed) % 2 ? IP_V4 : IP_V6;
			struct ip_prefix p = random_prefix(&seed, family, true);
			const struct owner *o = lpm_find(r->race->lpm, family, p.addr.b);

			if (!o)
				continue;
			r->race->found[r->index]++;
			if (o->alive != 0xa11fe || !ip_prefix_contains(&o->p, &p.addr))
				r->race->wrong[r->index]++;
		}
		atomic_fetch_add(&r->race->readers[r->index].passes, 1);
		sched_yield(); /* the writer may share our core */
	}
	return NULL;
}

/* Waits until every reader has passed once more. */
static void quiesce(struct race *race)
{
	for (unsigned i = 0; i < READERS; i++) {
		uint64_t seen = atomic_load(&race->readers[i].passes);

		while (atomic_load(&race->readers[i].passes) == seen)
			sched_yield();
	}
}

static void writer_step(struct race *race, struct retired *retired, uint64_t *seed,
			struct owner **live, size_t *n)
{
	struct owner *o;
	void *from = NULL;

	if (*n && (*n == 500 || next_random(seed) % 5 < 2)) {
		size_t i = next_random(seed) % *n;

		o = live[i];
		assert_true(lpm_remove(race->lpm, &o->p, o));
		live[i] = live[--*n];
		retired_add(retired, &o->retired, owner_free);
		return;
	}
	o = malloc(sizeof *o);
	assert_non_null(o);
	*o = (struct owner){ .alive = 0xa11fe };
	o->p = random_prefix(seed, next_random(seed) % 2 ? IP_V4 : IP_V6, true);
	ip_prefix_mask(&o->p);
	assert_int_equal(lpm_insert(race->lpm, &o->p, o, &from), ERR_OK);
	for (size_t i = 0; from && i < *n; i++) {
		if (live[i] != from)
			continue;
		live[i] = live[--*n];
		retired_add(retired, &((struct owner *)from)->retired, owner_free);
		from = NULL;
	}
	live[(*n)++] = o;
}

static void readers_run_beside_a_writer(void **state)
{
	struct retired retired = { 0 };
	struct race race = { .lpm = lpm_new(&retired) };
	struct owner *live[501];
	struct reader readers[READERS];
	pthread_t threads[READERS];
	uint64_t seed = 42;
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ &race, i };
		assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &readers[i]), 0);
	}
	for (unsigned step = 0; step < WRITES; step++) {
		writer_step(&race, &retired, &seed, live, &n);
		if (step % 100 == 99) {
			uint64_t generation = retired_advance(&retired);

			quiesce(&race);
			retired_free(&retired, generation);
		}
	}
	atomic_store(&race.stop, true);
	for (unsigned i = 0; i < READERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(race.wrong[i], 0);
		assert_true(race.found[i] > 0);
	}
	while (n) {
		assert_true(lpm_remove(race.lpm, &live[n - 1]->p, live[n - 1]));
		free(live[--n]);
	}
	assert_int_equal(lpm_count(race.lpm), 0);
	retired_free(&retired, UINT64_MAX);
	lpm_free(race.lpm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(longest_wins_and_exact_steals),
		cmocka_unit_test(refuses_what_is_no_prefix),
		cmocka_unit_test(matches_vectors),
		cmocka_unit_test(agrees_with_the_model),
		cmocka_unit_test(keeps_many_hosts),
		cmocka_unit_test(few_and_many),
		cmocka_unit_test(survives_every_failed_allocation),
		cmocka_unit_test(readers_run_beside_a_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
