/* aead - nanoseconds a packet of the batch AEAD, by engine, size and number of packets in a batch.
 *
 * usage: bench_aead [ROUNDS]     (default 21)
 *
 * The engines take turns within each round, so that what else the machine does falls on all of
 * them; the median of the rounds is shown, of the thread's processor time.  "avx2" is what a
 * process uses, with OpenSSL for what is too few; "always" shows what a group would cost there.
 * Packets lie 2 KB and a cache line apart, in place, and are in the cache; all have one key
 * ("same") or one key each ("own").
 */
#include <inttypes.h>

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/aead_engine.h"

#define PACKETS 64
#define STRIDE (2048 + 64)
#define ROUNDS_MAX 1001
#define BATCH_BYTES (1 << 20) /* worked on in one measurement, about */

static const struct {
	enum aead_engine engine;
	const char *name;
} engines[] = { { AEAD_OPENSSL, "openssl" },
		{ AEAD_AVX2, "avx2" },
		{ AEAD_AVX2_ALWAYS, "always" } };

struct bench {
	struct aead_key key[PACKETS];
	uint8_t text[PACKETS * STRIDE];
	struct aead_job job[PACKETS];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	BUG_ON(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void prepare(struct bench *b, size_t n, size_t len, bool own_keys)
{
	for (size_t i = 0; i < n; i++)
		b->job[i] = (struct aead_job){ .key = &b->key[own_keys ? i : 0],
					       .counter = i,
					       .text = b->text + i * STRIDE,
					       .len = len };
}

/* Tenths of a nanosecond a packet. */
static uint64_t measure_seal(struct bench *b, size_t n, size_t times)
{
	uint64_t begin = now_ns();

	for (size_t t = 0; t < times; t++)
		aead_seal_batch(b->job, n);
	return (now_ns() - begin) * 10 / (times * n);
}

/* The clock is read around each batch, some hundred nanoseconds: for large batches only. */
static uint64_t measure_open(struct bench *b, size_t n, size_t times)
{
	uint64_t begin, spent = 0;

	for (size_t t = 0; t < times; t++) {
		aead_seal_batch(b->job, n);
		begin = now_ns();
		aead_open_batch(b->job, n);
		spent += now_ns() - begin;
		for (size_t i = 0; i < n; i++)
			BUG_ON(!b->job[i].ok);
	}
	return spent * 10 / (times * n);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static uint64_t median(uint64_t *v, size_t n)
{
	qsort(v, n, sizeof *v, compare);
	return v[n / 2];
}

static void row(struct bench *b, size_t rounds, size_t n, size_t len, bool own_keys, bool open)
{
	static uint64_t took[ARRAY_LEN(engines)][ROUNDS_MAX];
	size_t times = 1 + BATCH_BYTES / (n * (len + 64));

	prepare(b, n, len, own_keys);
	for (size_t r = 0; r < rounds; r++)
		for (size_t e = 0; e < ARRAY_LEN(engines); e++)
			if (aead_use(engines[e].engine))
				took[e][r] = open ? measure_open(b, n, times)
						  : measure_seal(b, n, times);
	printf("%-5s %5zu %4zu  %-4s", open ? "open" : "seal", len, n, own_keys ? "own" : "same");
	for (size_t e = 0; e < ARRAY_LEN(engines); e++) {
		uint64_t m = median(took[e], rounds);

		if (aead_use(engines[e].engine))
			printf(" %7" PRIu64 ".%" PRIu64, m / 10, m % 10);
		else
			printf(" %9s", "-");
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 64, 512, 1420 }, counts[] = { 1, 2, 3, 4, 5, 6, 8, 12, 64 };
	static struct bench b;
	uint32_t rounds = 21;
	uint8_t raw[KEY_LEN];

	if (argc > 2 || (argc == 2 && !u32_parse(str_of(argv[1]), 1, ROUNDS_MAX, &rounds))) {
		fprintf(stderr, "usage: bench_aead [ROUNDS]   (1 to %d)\n", ROUNDS_MAX);
		return 2;
	}
	if (!crypto_init()) {
		fprintf(stderr, "bench_aead: OpenSSL or libsodium cannot be used\n");
		return 1;
	}
	for (size_t i = 0; i < PACKETS; i++) {
		random_bytes(raw, sizeof raw);
		aead_key_set(&b.key[i], raw);
	}
	printf("      bytes batch keys");
	for (size_t e = 0; e < ARRAY_LEN(engines); e++)
		printf(" %9s", engines[e].name);
	printf("   (ns a packet, medians of %" PRIu32 " rounds)\n", rounds);
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		for (size_t c = 0; c < ARRAY_LEN(counts); c++)
			row(&b, rounds, counts[c], sizes[s], false, false);
		row(&b, rounds, PACKETS, sizes[s], true, false);
		row(&b, rounds, PACKETS, sizes[s], false, true);
	}
	return 0;
}
