/* guard_test - when the guard looks, in a time of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "net/guard.h"

#define S NS_PER_S
#define T0 (1000 * S)

static bool look(struct net_guard *g, int64_t now, const char *repaired)
{
	if (repaired)
		net_guard_repaired(g, now, repaired);
	return net_guard_looked(g, now);
}

static void quiet_host(void **state UNUSED)
{
	struct net_guard g;
	int64_t now = T0;
	int i;

	net_guard_start(&g, now);
	for (i = 0; i < 100; i++) {
		assert_int_equal(g.look_at, now + NET_GUARD_POLL_NS);
		now = g.look_at;
		assert_false(look(&g, now, NULL));
	}
}

static void reports_are_bundled(void **state UNUSED)
{
	struct net_guard g;

	net_guard_start(&g, T0);
	net_guard_reported(&g, T0 + 1);
	net_guard_reported(&g, T0 + 2);
	net_guard_reported(&g, T0 + NET_GUARD_SETTLE_NS);
	/* The first decides: a burst that goes on does not put the look off. */
	assert_int_equal(g.look_at, T0 + 1 + NET_GUARD_SETTLE_NS);
	assert_false(look(&g, g.look_at, "table"));
	/* Our own repair is reported as well; the look that follows finds nothing. */
	net_guard_reported(&g, T0 + S);
	assert_false(look(&g, g.look_at, NULL));
	assert_int_equal(g.wait_ns, 0);
	assert_int_equal(g.not_before, 0);
}

/* Somebody undoes it at once after each repair. */
static void fight(void **state UNUSED)
{
	static const int waits[] = { 0, 0, 0, 0, 5, 10, 20, 40, 60, 60, 60 };
	struct net_guard g;
	int64_t now = T0, repaired;
	size_t i;

	net_guard_start(&g, now);
	for (i = 0; i < ARRAY_LEN(waits); i++) {
		bool longer = i > 0 && waits[i] != waits[i - 1];

		net_guard_reported(&g, now);
		assert_true(g.look_at >= g.not_before);
		repaired = g.look_at;
		assert_int_equal(look(&g, repaired, "table"), longer);
		assert_int_equal(g.wait_ns, waits[i] * S);
		now = repaired + 1;
		net_guard_reported(&g, now);
		if (waits[i])
			assert_int_equal(g.look_at, repaired + waits[i] * S);
		else
			assert_int_equal(g.look_at, now + NET_GUARD_SETTLE_NS);
	}
}

/* Many things changed one after the other are no fight, even more than are remembered. */
static void many_things(void **state UNUSED)
{
	struct net_guard g;
	char thing[32];
	int i;

	net_guard_start(&g, T0);
	for (i = 0; i < 10 * NET_GUARD_THINGS_MAX; i++) {
		snprintf(thing, sizeof thing, "thing %d", i % (2 * NET_GUARD_THINGS_MAX));
		assert_false(look(&g, T0 + i * S, thing));
	}
	for (i = 0; i < NET_GUARD_REPAIRS - 1; i++)
		assert_false(look(&g, T0 + 1000 * S + i, "one"));
	assert_true(look(&g, T0 + 1001 * S, "one"));
}

static void peace(void **state UNUSED)
{
	struct net_guard g;
	int64_t now = T0;
	int i;

	net_guard_start(&g, now);
	for (i = 0; i < NET_GUARD_REPAIRS; i++, now = g.look_at)
		(void)!look(&g, now, "table");
	assert_int_equal(g.wait_ns, NET_GUARD_WAIT_NS);
	/* Calm is counted from the end of the waiting. */
	now = g.not_before + NET_GUARD_CALM_NS;
	assert_false(look(&g, now - 1, NULL));
	assert_int_equal(g.wait_ns, NET_GUARD_WAIT_NS);
	assert_false(look(&g, now, "table"));
	assert_int_equal(g.wait_ns, 0);
	net_guard_reported(&g, now);
	assert_int_equal(g.look_at, now + NET_GUARD_SETTLE_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quiet_host), cmocka_unit_test(reports_are_bundled),
		cmocka_unit_test(fight),      cmocka_unit_test(many_things),
		cmocka_unit_test(peace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
