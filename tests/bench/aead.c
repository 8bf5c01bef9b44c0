/* aead - nanoseconds a packet of the batch AEAD, by engine, size and number of packets in a batch.
 *
 * usage: bench_aead [ROUNDS]     (default 15)
 *
 * The engines take turns within each round, so that what else the machine does falls on all of
 * them; the median of the rounds is shown, of the thread's processor time.  Packets lie 2 KB and a
 * cache line apart, in place, and are in the cache; all have one key ("same") or one key each
 * ("own").
 */
#include <inttypes.h>

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/aead_engine.h"

#define PACKETS 64
#define STRIDE (2048 + 64)
#define ROUNDS_MAX 1001
#define ENGINES_MAX 8
#define BATCH_BYTES (1 << 18) /* worked on in one measurement, about */

struct bench {
	const struct aead_engine *engine[ENGINES_MAX];
	size_t engines;
	struct aead_key key[PACKETS];
	uint8_t text[PACKETS * STRIDE];
	uint8_t sealed[PACKETS * STRIDE];
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

/* Nanoseconds of sealing or opening, tenths of one a packet.  What is opened is right: it is copied
 * anew each time, and the copying is measured alone and taken off. */
static uint64_t measure(struct bench *b, size_t n, size_t times, bool open)
{
	size_t bytes = (n - 1) * STRIDE + b->job[0].len + AEAD_TAG_LEN;
	uint64_t begin, spent, copying = 0;

	aead_seal_batch(b->job, n);
	memcpy(b->sealed, b->text, bytes);
	begin = now_ns();
	for (size_t t = 0; open && t < times; t++) {
		memcpy(b->text, b->sealed, bytes);
		__asm__ volatile("" : : "r"(b->text) : "memory");
	}
	copying = now_ns() - begin;
	begin = now_ns();
	for (size_t t = 0; t < times; t++) {
		if (open) {
			memcpy(b->text, b->sealed, bytes);
			aead_open_batch(b->job, n);
		} else {
			aead_seal_batch(b->job, n);
		}
	}
	spent = now_ns() - begin;
	for (size_t i = 0; open && i < n; i++)
		BUG_ON(!b->job[i].ok);
	return (spent - MIN(copying, spent)) * 10 / (times * n);
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
	static uint64_t took[ENGINES_MAX][ROUNDS_MAX];
	size_t times = 1 + BATCH_BYTES / (n * (len + 64));

	prepare(b, n, len, own_keys);
	for (size_t r = 0; r < rounds; r++)
		for (size_t e = 0; e < b->engines; e++)
			if (aead_use(b->engine[e]))
				took[e][r] = measure(b, n, times, open);
	printf("%-5s %5zu %4zu  %-4s", open ? "open" : "seal", len, n, own_keys ? "own" : "same");
	for (size_t e = 0; e < b->engines; e++) {
		uint64_t m = median(took[e], rounds);

		if (aead_use(b->engine[e]))
			printf(" %7" PRIu64 ".%" PRIu64, m / 10, m % 10);
		else
			printf(" %9s", "-");
	}
	printf("\n");
}

static void bench_prepare(struct bench *b)
{
	uint8_t raw[KEY_LEN];

	b->engine[b->engines++] = &aead_openssl;
	for (size_t i = 0; aead_vector_engines[i]; i++) {
		BUG_ON(b->engines == ENGINES_MAX);
		b->engine[b->engines++] = aead_vector_engines[i];
	}
	for (size_t i = 0; i < PACKETS; i++) {
		random_bytes(raw, sizeof raw);
		aead_key_set(&b->key[i], raw);
	}
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 64, 512, 1420 }, counts[] = { 1, 2, 4, 8, 16, 64 };
	static struct bench b;
	uint32_t rounds = 15;

	if (argc > 2 || (argc == 2 && !u32_parse(str_of(argv[1]), 1, ROUNDS_MAX, &rounds))) {
		fprintf(stderr, "usage: bench_aead [ROUNDS]   (1 to %d)\n", ROUNDS_MAX);
		return 2;
	}
	if (!crypto_init()) {
		fprintf(stderr, "bench_aead: OpenSSL or libsodium cannot be used\n");
		return 1;
	}
	bench_prepare(&b);
	printf("      bytes batch keys");
	for (size_t e = 0; e < b.engines; e++)
		printf(" %9s", b.engine[e]->name);
	printf("   (ns a packet, medians of %" PRIu32 " rounds)\n", rounds);
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
		for (int open = 0; open < 2; open++) {
			for (size_t c = 0; c < ARRAY_LEN(counts); c++)
				row(&b, rounds, counts[c], sizes[s], false, open);
			row(&b, rounds, PACKETS, sizes[s], true, open);
		}
	return 0;
}
