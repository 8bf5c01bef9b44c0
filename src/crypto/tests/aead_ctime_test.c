#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <valgrind/memcheck.h>

#include "base/bytes.h"
#include "crypto/aead_engine.h"

/* Keys and texts are marked undefined: memcheck then reports every branch and every address that
 * depends on them, and the test counts the reports.  Of the AVX2 engine alone, called directly:
 * built without sanitizers, which valgrind cannot run. */
#define LEN_MAX 1420

struct bed {
	struct aead_key key[AEAD_LANES];
	uint8_t text[AEAD_LANES][LEN_MAX + AEAD_TAG_LEN];
	struct aead_job job[AEAD_LANES];
	struct aead_job *jobs[AEAD_LANES];
};

static void watched_or_skip(void)
{
	if (!RUNNING_ON_VALGRIND) {
		print_message("skipped: not under valgrind\n");
		skip();
	}
}

/* The instrument itself: a branch on a secret is counted. */
static void branch_is_seen(void **state)
{
	volatile uint8_t secret = 1, seen = 0;
	unsigned before;

	(void)state;
	watched_or_skip();
	print_message("one report follows, on purpose:\n");
	before = (unsigned)VALGRIND_COUNT_ERRORS;
	(void)VALGRIND_MAKE_MEM_UNDEFINED(&secret, sizeof secret);
	if (secret)
		seen = 1;
	assert_true(seen);
	assert_true((unsigned)VALGRIND_COUNT_ERRORS > before);
}

static void group_of(struct bed *b, const size_t lens[AEAD_LANES], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < KEY_LEN; k++)
			b->key[i].b[k] = (uint8_t)(i * 37 + k * 11);
		memset(b->text[i], (int)i, sizeof b->text[i]);
		b->job[i] = (struct aead_job){
			.key = &b->key[i], .counter = i, .text = b->text[i], .len = lens[i]
		};
		b->jobs[i] = &b->job[i];
		(void)VALGRIND_MAKE_MEM_UNDEFINED(b->key[i].b, KEY_LEN);
		(void)VALGRIND_MAKE_MEM_UNDEFINED(b->text[i], lens[i]);
	}
}

static void secrets_decide_nothing(void **state)
{
	static const struct {
		size_t lens[AEAD_LANES], n;
		const char *why;
	} rows[] = {
		{ { 0, 1, 16, 63, 64, 65, 200, LEN_MAX }, 8, "each its own end" },
		{ { 300, 300, 300, 300, 300, 300, 300, 300 }, 8, "equal lengths" },
		{ { 64, 64, 64, 64, 64 }, 5, "a group that is not full" },
	};
	static struct bed b;
	unsigned before;

	(void)state;
	watched_or_skip();
	if (!aead_avx2_usable()) {
		print_message("skipped: the processor has no AVX2\n");
		skip();
	}
	before = (unsigned)VALGRIND_COUNT_ERRORS;
	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		group_of(&b, rows[r].lens, rows[r].n);
		aead_avx2_seal(b.jobs, rows[r].n);
		b.text[3][0] ^= 1; /* refused as quietly as the others are accepted */
		aead_avx2_open(b.jobs, rows[r].n);
		assert_int_equal((unsigned)VALGRIND_COUNT_ERRORS, before);
		for (size_t i = 0; i < rows[r].n; i++) {
			uint8_t undefined[AEAD_TAG_LEN] = { 0 };

			/* Sealing and opening saw secrets: what they wrote is still marked. */
			if (rows[r].lens[i])
				assert_int_equal(VALGRIND_GET_VBITS(b.text[i], undefined, 1), 1);
			assert_true(undefined[0] || rows[r].lens[i] == 0);
			/* A verdict is public, once it is given. */
			(void)VALGRIND_MAKE_MEM_DEFINED(&b.job[i].ok, sizeof b.job[i].ok);
			assert_int_equal(b.job[i].ok, i != 3);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(branch_is_seen),
		cmocka_unit_test(secrets_decide_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
