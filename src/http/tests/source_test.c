#include "base/tests/cm.h"

#include "base/clock.h"
#include "http/flood.h"
#include "http/source.h"

static struct ip_addr addr(const char *text)
{
	struct ip_addr a = { 0 };

	assert_true(ip_parse(str_of(text), &a));
	return a;
}

static struct http_source *enter(struct http_sources *t, const char *text)
{
	struct ip_addr a = addr(text);

	return http_source_enter(t, &a, NS_PER_S);
}

static void test_what_a_source_is(void **state)
{
	struct http_sources *t = http_sources_new(0, 0);
	struct http_source *a = enter(t, "192.0.2.1");

	(void)state;
	assert_ptr_equal(enter(t, "192.0.2.1"), a);
	assert_int_equal(a->connections, 2);
	assert_ptr_not_equal(enter(t, "192.0.2.2"), a);
	assert_ptr_equal(enter(t, "2001:db8::1"), enter(t, "2001:db8::ffff:1"));
	assert_ptr_not_equal(enter(t, "2001:db8::1"), enter(t, "2001:db8:0:1::1"));
	http_sources_free(t);
}

static void test_rate(void **state)
{
	struct http_sources *t = http_sources_new(10, 5);
	struct http_source *s = enter(t, "192.0.2.1");
	int64_t now = NS_PER_S;
	unsigned wait = 0;

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_true(http_source_allow(t, s, now, &wait));
	assert_false(http_source_allow(t, s, now, &wait)); /* the burst is spent */
	assert_int_equal(wait, 1);
	assert_true(http_source_allow(t, s, now + NS_PER_S / 10, &wait)); /* one has come back */
	assert_false(http_source_allow(t, s, now + NS_PER_S / 10, &wait));
	for (int i = 0; i < 5; i++) /* an hour later: no more than the burst */
		assert_true(http_source_allow(t, s, now + 3600 * NS_PER_S, &wait));
	assert_false(http_source_allow(t, s, now + 3600 * NS_PER_S, &wait));
	assert_false(http_source_allow(t, s, now, &wait)); /* time that runs back gives nothing */
	http_sources_free(t);
}

static void test_no_rate(void **state)
{
	struct http_sources *t = http_sources_new(0, 0);
	struct http_source *s = enter(t, "192.0.2.1");
	unsigned wait;

	(void)state;
	for (int i = 0; i < 100000; i++)
		assert_true(http_source_allow(t, s, NS_PER_S, &wait));
	http_sources_free(t);
}

/* A source that has spent its burst does not get another by coming back. */
static void test_memory_of_the_idle(void **state)
{
	struct http_sources *t = http_sources_new(1, 1);
	struct http_source *s = enter(t, "192.0.2.1");
	unsigned wait;

	(void)state;
	assert_true(http_source_allow(t, s, NS_PER_S, &wait));
	http_source_leave(t, s);
	s = enter(t, "192.0.2.1");
	assert_false(http_source_allow(t, s, NS_PER_S, &wait));
	http_sources_free(t);
}

static struct http_source *enter_number(struct http_sources *t, uint32_t n)
{
	const uint8_t b[4] = { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
	struct ip_addr a = ip_v4(b);

	return http_source_enter(t, &a, NS_PER_S);
}

static void test_full_table(void **state)
{
	struct http_sources *t = http_sources_new(1, 1);
	struct http_source *first = enter_number(t, 0), *over;

	(void)state;
	for (uint32_t i = 1; i < HTTP_SOURCES_MAX; i++)
		(void)enter_number(t, i);
	over = enter_number(t, HTTP_SOURCES_MAX);
	assert_ptr_equal(enter_number(t, HTTP_SOURCES_MAX + 1), over); /* strangers share one */
	http_source_leave(t, over);
	http_source_leave(t, first);
	assert_ptr_equal(enter_number(t, HTTP_SOURCES_MAX + 2), first); /* whose place was free */
	assert_int_equal(first->connections, 1);
	assert_ptr_equal(enter_number(t, 0), over); /* and is forgotten */
	http_sources_free(t);
}

static void test_flood(void **state)
{
	struct http_flood f = { 0 };
	int64_t now = 5 * NS_PER_S;

	(void)state;
	for (int i = 0; i < FLOOD_FULL; i++)
		assert_true(http_flood_take(&f, FLOOD_FRAME, now));
	assert_false(http_flood_take(&f, FLOOD_FRAME, now));
	f = (struct http_flood){ 0 };
	for (int i = 0; i < FLOOD_FULL / FLOOD_RESET; i++)
		assert_true(http_flood_take(&f, FLOOD_RESET, now));
	assert_false(http_flood_take(&f, FLOOD_RESET, now));
	f = (struct http_flood){ 0 };
	for (int i = 0; i < 100000; i++) { /* a frame every 20 ms is half of what is earned */
		now += 20 * NS_PER_MS;
		assert_true(http_flood_take(&f, FLOOD_FRAME, now));
	}
	for (int i = 0; i < 100000; i++) { /* window updates for what we send cost nothing */
		http_flood_credit(&f, 2);
		assert_true(http_flood_take(&f, FLOOD_FRAME, now));
		assert_true(http_flood_take(&f, FLOOD_FRAME, now));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_source_is), cmocka_unit_test(test_rate),
		cmocka_unit_test(test_no_rate),		 cmocka_unit_test(test_memory_of_the_idle),
		cmocka_unit_test(test_full_table),	 cmocka_unit_test(test_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
