/* The mailbox: bounds, order, and no lost wake-up with many putting threads. */
#include "io/mailbox.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct item {
	uint32_t from;
	uint32_t number;
	uint8_t rest[40];
};

static void test_bounds(void **state)
{
	struct mailbox *m = NULL;
	struct err e = { 0 };
	struct item it = { 0 };

	(void)state;
	assert_int_equal(mailbox_new(&m, 8, sizeof it, &e), ERR_OK);
	assert_int_equal(mailbox_capacity(m), 8);
	for (uint32_t round = 0; round < 100; round++) {
		uint32_t n = round % 9;

		assert_false(mailbox_take(m, &it));
		for (uint32_t i = 0; i < n; i++) {
			it = (struct item){ .number = i };
			assert_true(mailbox_put(m, &it));
			assert_int_equal(mailbox_count(m), i + 1);
		}
		if (n == 8)
			assert_false(mailbox_put(m, &it));
		for (uint32_t i = 0; i < n; i++) {
			assert_true(mailbox_take(m, &it));
			assert_int_equal(it.number, i);
		}
	}
	mailbox_free(m);
	mailbox_free(NULL);
}

static bool readable(const struct mailbox *m)
{
	struct pollfd p = { .fd = mailbox_fd(m), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void test_wakes_only_a_sleeper(void **state)
{
	struct mailbox *m = NULL;
	struct err e = { 0 };
	struct item it = { 0 };

	(void)state;
	assert_int_equal(mailbox_new(&m, 8, sizeof it, &e), ERR_OK);
	assert_true(mailbox_sleep(m));
	assert_false(readable(m));
	assert_true(mailbox_put(m, &it));
	assert_true(readable(m));
	mailbox_awake(m);
	assert_false(readable(m));
	assert_true(mailbox_put(m, &it));
	assert_false(readable(m)); /* it is awake and will look */
	assert_false(mailbox_sleep(m)); /* it may not sleep over them */
	assert_true(mailbox_take(m, &it));
	assert_true(mailbox_take(m, &it));
	assert_true(mailbox_sleep(m));
	mailbox_free(m);
}

#define PUTTERS 4
#define EACH 50000

static void *putter(void *arg)
{
	struct mailbox *m = ((void **)arg)[0];
	uint32_t id = *(uint32_t *)((void **)arg)[1];

	for (uint32_t i = 0; i < EACH; i++) {
		struct item it = { .from = id, .number = i };

		memset(it.rest, (int)(i & 0xff), sizeof it.rest);
		while (!mailbox_put(m, &it))
			sched_yield();
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	struct mailbox *m = NULL;
	struct err e = { 0 };
	pthread_t thread[PUTTERS];
	uint32_t id[PUTTERS];
	void *arg[PUTTERS][2];
	uint32_t next[PUTTERS] = { 0 };
	size_t got = 0;

	(void)state;
	assert_int_equal(mailbox_new(&m, 64, sizeof(struct item), &e), ERR_OK);
	for (uint32_t i = 0; i < PUTTERS; i++) {
		id[i] = i;
		arg[i][0] = m;
		arg[i][1] = &id[i];
		assert_int_equal(pthread_create(&thread[i], NULL, putter, arg[i]), 0);
	}
	while (got < PUTTERS * EACH) {
		struct pollfd p = { .fd = mailbox_fd(m), .events = POLLIN };
		struct item it;

		/* a wake-up lost would let the poll run out */
		if (mailbox_sleep(m))
			assert_int_equal(poll(&p, 1, 20000), 1);
		mailbox_awake(m);
		while (mailbox_take(m, &it)) {
			assert_true(it.from < PUTTERS);
			assert_int_equal(it.number, next[it.from]);
			assert_int_equal(it.rest[39], it.number & 0xff);
			next[it.from]++;
			got++;
		}
	}
	for (int i = 0; i < PUTTERS; i++)
		pthread_join(thread[i], NULL);
	mailbox_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_wakes_only_a_sleeper),
		cmocka_unit_test(test_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
