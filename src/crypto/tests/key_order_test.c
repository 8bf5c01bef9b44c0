#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/key_order.h"

#define N 300

struct item {
	int before;
	struct public_key key;
	char behind;
};

static void fill(struct item items[N])
{
	for (int i = 0; i < N; i++) {
		items[i] = (struct item){ .before = i };
		/* Many begin alike, so that their heads decide nothing. */
		items[i].key.b[0] = (uint8_t)(i * 7 % 5);
		items[i].key.b[KEY_LEN - 2] = (uint8_t)(i * 37 % 256);
		items[i].key.b[KEY_LEN - 1] = (uint8_t)(i / 256);
	}
}

static void finds_each(void **state)
{
	static struct item items[N];
	struct public_key other = { 0 };
	struct key_order o;
	size_t a, b;

	(void)state;
	fill(items);
	assert_true(key_order_init(&o, &items[0].key, N, sizeof items[0]));
	for (size_t i = 0; i < N; i++)
		assert_int_equal(key_order_find(&o, &items[i].key), i);
	assert_false(key_order_twice(&o, &a, &b));
	for (unsigned i = 0; i < 256; i++) {
		other.b[KEY_LEN / 2] = 1;
		other.b[0] = (uint8_t)i;
		assert_int_equal(key_order_find(&o, &other), N);
	}
	key_order_done(&o);
	assert_int_equal(key_order_find(&o, &items[0].key), 0); /* of none: n */
	key_order_done(&o);
}

static void tells_of_two(void **state)
{
	static struct item items[N];
	struct key_order o;
	size_t a, b;

	(void)state;
	for (size_t from = 0; from < 3; from++) {
		fill(items);
		items[200 + from].key = items[17 * from].key;
		assert_true(key_order_init(&o, &items[0].key, N, sizeof items[0]));
		assert_true(key_order_twice(&o, &a, &b));
		assert_int_equal(a, 17 * from);
		assert_int_equal(b, 200 + from);
		key_order_done(&o);
	}
}

static void none_and_one(void **state)
{
	struct public_key k = { .b = { 1 } }, other = { .b = { 2 } };
	struct key_order o;
	size_t a, b;

	(void)state;
	assert_true(key_order_init(&o, &k, 0, sizeof k));
	assert_int_equal(key_order_find(&o, &k), 0);
	assert_false(key_order_twice(&o, &a, &b));
	key_order_done(&o);
	assert_true(key_order_init(&o, &k, 1, sizeof k));
	assert_int_equal(key_order_find(&o, &k), 0);
	assert_int_equal(key_order_find(&o, &other), 1);
	assert_false(key_order_twice(&o, &a, &b));
	key_order_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_each),
		cmocka_unit_test(tells_of_two),
		cmocka_unit_test(none_and_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
