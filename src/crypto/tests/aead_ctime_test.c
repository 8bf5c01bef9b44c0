#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <valgrind/memcheck.h>

#include "base/bytes.h"
#include "crypto/tests/aead_split.h"

/* Keys and texts are marked undefined: memcheck then reports every branch and every address that
 * depends on them, and the test counts the reports.  The vector engines are called directly and
 * built without sanitizers, which valgrind cannot run; valgrind has no AVX-512, so those engines are
 * looked at as their sources are split to AVX2. */
#define LEN_MAX 1420
#define PACKETS 8

struct bed {
	struct aead_key key[PACKETS];
	uint8_t text[PACKETS][LEN_MAX + AEAD_TAG_LEN];
	struct aead_job job[PACKETS];
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

static void batch_of(struct bed *b, const size_t lens[PACKETS], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < KEY_LEN; k++)
			b->key[i].b[k] = (uint8_t)(i * 37 + k * 11);
		memset(b->text[i], (int)i, sizeof b->text[i]);
		b->job[i] = (struct aead_job){
			.key = &b->key[i], .counter = i, .text = b->text[i], .len = lens[i]
		};
		(void)VALGRIND_MAKE_MEM_UNDEFINED(b->key[i].b, KEY_LEN);
		(void)VALGRIND_MAKE_MEM_UNDEFINED(b->text[i], lens[i]);
	}
}

static void secrets_decide_nothing(const struct aead_engine *e)
{
	static const struct {
		size_t lens[PACKETS], n;
		const char *why;
	} rows[] = {
		{ { 0, 1, 16, 63, 64, 65, 200, LEN_MAX }, 8, "each its own end" },
		{ { LEN_MAX, 200, 65, 300, 64, 63, 1, 0 }, 8, "the longest first" },
		{ { 300, 300, 300, 300, 300, 300, 300, 300 }, 8, "equal lengths" },
		{ { 300, 320, 319, 257, 256, 255, 301, 302 }, 8, "a group, ends apart" },
		{ { 64, 64, 64, 64, 64 }, 5, "small packets, lanes to spare" },
	};
	static struct bed b;
	unsigned before;

	watched_or_skip();
	if (!e->usable()) {
		print_message("skipped: the processor cannot run %s\n", e->name);
		skip();
	}
	before = (unsigned)VALGRIND_COUNT_ERRORS;
	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		batch_of(&b, rows[r].lens, rows[r].n);
		e->seal(b.job, rows[r].n);
		b.text[3][0] ^= 1; /* refused as quietly as the others are accepted */
		e->open(b.job, rows[r].n);
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

static void eight_lanes(void **state)
{
	const struct aead_engine *avx2 = NULL;

	(void)state;
	for (size_t i = 0; aead_vector_engines[i]; i++)
		if (aead_vector_engines[i]->seal == aead_avx2_seal)
			avx2 = aead_vector_engines[i];
	assert_non_null(avx2);
	secrets_decide_nothing(avx2);
}

static void sixteen_lanes(void **state)
{
	(void)state;
	secrets_decide_nothing(&aead_split);
}

static void groups_of_eight(void **state)
{
	(void)state;
	secrets_decide_nothing(&aead_split_ifma);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(branch_is_seen),
		cmocka_unit_test(eight_lanes),
		cmocka_unit_test(sixteen_lanes),
		cmocka_unit_test(groups_of_eight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
