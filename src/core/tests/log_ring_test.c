#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "core/log_ring.h"

struct got {
	size_t n;
	char first[LOG_RING_LINE_MAX + 1], last[LOG_RING_LINE_MAX + 1];
};

static void take(void *ctx, struct str line)
{
	struct got *g = ctx;

	if (g->n++ == 0)
		assert_true(str_copy(g->first, sizeof g->first, line));
	assert_true(str_copy(g->last, sizeof g->last, line));
}

static void keeps_the_last_lines(void **state)
{
	struct log_ring *r = log_ring_new();
	struct got g = { 0 };
	char line[32];

	(void)state;
	assert_non_null(r);
	log_ring_walk(r, 10, take, &g);
	assert_int_equal(g.n, 0);
	for (int i = 0; i < LOG_RING_LINES + 5; i++) {
		(void)snprintf(line, sizeof line, "line %d\n", i);
		log_ring_add(r, str_of(line));
		if (i == 2) {
			log_ring_walk(r, 10, take, &g);
			assert_int_equal(g.n, 3);
			assert_string_equal(g.first, "line 0");
		}
	}
	g = (struct got){ 0 };
	log_ring_walk(r, 2, take, &g);
	assert_int_equal(g.n, 2);
	assert_string_equal(g.first, "line 1003");
	assert_string_equal(g.last, "line 1004");
	g = (struct got){ 0 };
	log_ring_walk(r, SIZE_MAX, take, &g);
	assert_int_equal(g.n, LOG_RING_LINES);
	assert_string_equal(g.first, "line 5");
	log_ring_free(r);
	log_ring_free(NULL);
}

static void cuts_long_lines(void **state)
{
	struct log_ring *r = log_ring_new();
	char line[2 * LOG_RING_LINE_MAX];
	struct got g = { 0 };

	(void)state;
	memset(line, 'x', sizeof line);
	log_ring_add(r, (struct str){ line, LOG_RING_LINE_MAX });
	log_ring_walk(r, 1, take, &g);
	assert_int_equal(strlen(g.last), LOG_RING_LINE_MAX);
	assert_true(g.last[LOG_RING_LINE_MAX - 1] == 'x');
	for (size_t i = 0; i + 1 < sizeof line; i += 2)
		memcpy(line + i, "\xc3\xa4", 2);
	log_ring_add(r, (struct str){ line, sizeof line });
	log_ring_walk(r, 1, take, &g);
	assert_true(utf8_valid(str_of(g.last)));
	assert_string_equal(g.last + strlen(g.last) - 3, "...");
	log_ring_free(r);
}

static void hears_the_log(void **state)
{
	struct log_ring *r = log_ring_new();
	struct got g = { 0 };

	(void)state;
	log_also(log_ring_add, r);
	LOG_NOTE("test.event", F_STR("text", "a\nb"));
	LOG_TRACE("test.hidden"); /* below the level */
	log_also(NULL, NULL);
	LOG_NOTE("test.late");
	log_ring_walk(r, 10, take, &g);
	assert_int_equal(g.n, 1);
	assert_non_null(strstr(g.last, "Z info test.event text=\"a\\\\x0ab\""));
	log_ring_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_last_lines),
		cmocka_unit_test(cuts_long_lines),
		cmocka_unit_test(hears_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
