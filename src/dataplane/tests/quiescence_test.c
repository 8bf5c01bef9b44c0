/* Reclamation: nothing is freed while a worker may still see it, and everything is freed at last. */
#include "dataplane/quiescence.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/retired.h"

static void test_rules(void **state)
{
	static struct quiescence q;
	uint64_t g = 1;

	(void)state;
	memset(&q, 0, sizeof q);
	q.workers = 2;
	quiescence_begin(&q, g);
	assert_true(quiescence_passed(&q, g)); /* both wait */
	quiescence_online(&q, 0);
	quiescence_begin(&q, ++g);
	assert_false(quiescence_passed(&q, g)); /* 0 came before */
	quiescence_online(&q, 1);
	assert_false(quiescence_passed(&q, g)); /* 1 came after, 0 is still in its turn */
	quiescence_offline(&q, 0);
	assert_true(quiescence_passed(&q, g));
	quiescence_online(&q, 0);
	assert_true(quiescence_passed(&q, g)); /* it sees only what is still linked */
	quiescence_begin(&q, ++g);
	assert_false(quiescence_passed(&q, g));
	quiescence_offline(&q, 0);
	assert_false(quiescence_passed(&q, g));
	quiescence_offline(&q, 1);
	assert_true(quiescence_passed(&q, g));
}

#define READERS 3
#define ROUNDS 4000
#define ALIVE 0x600dfeedu

struct thing {
	struct retired_node node;
	_Atomic uint32_t mark;
	uint32_t index;
};

static struct {
	struct quiescence q;
	struct thing *_Atomic current;
	struct thing things[ROUNDS];
	atomic_bool stop;
	int freed;
} all;

/* Freed memory is marked rather than given back, so that a reader can tell. */
static void thing_free(struct retired_node *n)
{
	atomic_store(&CONTAINER_OF(n, struct thing, node)->mark, 0);
	all.freed++;
}

static void *reader(void *arg)
{
	unsigned worker = *(unsigned *)arg;
	uintptr_t wrong = 0;

	while (!atomic_load(&all.stop)) {
		struct thing *t;

		quiescence_online(&all.q, worker);
		t = atomic_load_explicit(&all.current, memory_order_acquire);
		for (int i = 0; i < 20; i++)
			wrong += atomic_load(&t->mark) != ALIVE;
		quiescence_offline(&all.q, worker);
	}
	return (void *)wrong;
}

static void test_readers_never_see_freed(void **state)
{
	struct retired r = { .generation = 1 };
	pthread_t thread[READERS];
	unsigned number[READERS];

	(void)state;
	all.q.workers = READERS;
	quiescence_begin(&all.q, r.generation);
	for (uint32_t i = 0; i < ROUNDS; i++)
		atomic_init(&all.things[i].mark, ALIVE);
	atomic_store(&all.current, &all.things[0]);
	for (unsigned i = 0; i < READERS; i++) {
		number[i] = i;
		assert_int_equal(pthread_create(&thread[i], NULL, reader, &number[i]), 0);
	}
	for (int i = 1; i < ROUNDS; i++) {
		struct thing *old = atomic_exchange(&all.current, &all.things[i]);
		uint64_t g;

		retired_add(&r, &old->node, thing_free);
		if (i % 4)
			continue; /* several go together */
		g = retired_advance(&r);
		quiescence_begin(&all.q, g);
		while (!quiescence_passed(&all.q, g))
			sched_yield();
		retired_free(&r, g);
		assert_int_equal(all.freed, i);
	}
	atomic_store(&all.stop, true);
	for (int i = 0; i < READERS; i++) {
		void *wrong = NULL;

		pthread_join(thread[i], &wrong);
		assert_null(wrong);
	}
	retired_free(&r, UINT64_MAX);
	assert_int_equal(all.freed, ROUNDS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_readers_never_see_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
