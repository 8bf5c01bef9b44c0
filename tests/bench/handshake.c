/* handshake - handshakes that one core answers as responder, beside what its library allows.
 *
 * usage: bench_handshake [ROUNDS]     (default 9)
 *
 * The bound is the time of the four X25519 that no responder can avoid (three with a foreign
 * point, one with the base point; static-static is kept): measured in the same rounds, one after
 * the other, so that what else the machine does falls on all.  Medians of the thread's processor
 * time.  "engine" is wg_device_handshake whole: mac1, the message, the session, the response.
 */
#include <inttypes.h>

#include "crypto/hash.h"
#include "wg/transport.h"

#define PEERS 64
#define ROUNDS_MAX 1001
#define BASE_TIMES 256

struct bench {
	struct wg_device *server;
	struct retired retired;
	struct public_key server_public;
	struct secret_key secret[PEERS];
	uint8_t initiation[PEERS][WG_INITIATION_LEN];
	size_t sent; /* by whom does not matter */
	uint8_t last[256];
	int64_t now;
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	BUG_ON(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void op_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	random_bytes(p, n);
}

/* Grows with each round, so that each initiation is newer than the last of its peer. */
static int64_t op_wall(void *ctx)
{
	const struct bench *b = ctx;

	return 1700000000 * INT64_C(1000000000) + b->now;
}

static void op_send(void *ctx, struct wg_peer *p, const struct wg_path *to, const uint8_t *dgram,
		    size_t n, uint8_t ecn)
{
	struct bench *b = ctx;

	(void)p, (void)to, (void)ecn;
	BUG_ON(n > sizeof b->last);
	memcpy(b->last, dgram, n);
	b->sent = n;
}

static struct wg_device *device_new(struct bench *b, const struct secret_key *k)
{
	const struct wg_ops ops = {
		.ctx = b, .random = op_random, .wall_ns = op_wall, .send = op_send
	};
	struct wg_device *d = wg_device_new(&ops, &b->retired);

	BUG_ON(!d);
	wg_device_set_private_key(d, k, b->now);
	wg_device_set_up(d, true, b->now);
	return d;
}

static void add_peer(struct bench *b, struct wg_device *d, const struct public_key *k)
{
	struct wg_peer_change c = { .public_key = *k,
				    .has_endpoint = true,
				    .endpoint = { .addr = ip_v4((uint8_t[]){ 192, 0, 2, 1 }),
						  .port = 51820 } };

	BUG_ON(wg_device_change_peer(d, &c, b->now, NULL));
}

static void prepare(struct bench *b)
{
	struct secret_key k;

	b->now = 1000000000;
	secret_key_generate(&k);
	b->server = device_new(b, &k);
	public_key_of(&b->server_public, &k);
	for (unsigned i = 0; i < PEERS; i++) {
		struct public_key p;

		secret_key_generate(&b->secret[i]);
		public_key_of(&p, &b->secret[i]);
		add_peer(b, b->server, &p);
	}
	wipe(&k, sizeof k);
}

/* An initiation of each peer, made by a device of its own. */
static void initiate(struct bench *b)
{
	for (unsigned i = 0; i < PEERS; i++) {
		struct wg_device *d = device_new(b, &b->secret[i]);

		add_peer(b, d, &b->server_public);
		wg_device_stage(d, wg_device_next_peer(d, NULL), (uint8_t[]){ 0x45 }, 1, b->now);
		BUG_ON(b->sent != WG_INITIATION_LEN);
		memcpy(b->initiation[i], b->last, WG_INITIATION_LEN);
		wg_device_free(d);
	}
	retired_free(&b->retired, UINT64_MAX);
}

/* ns a handshake */
static uint64_t answer(struct bench *b)
{
	const struct wg_path from = { .remote = { .addr = ip_v4((uint8_t[]){ 192, 0, 2, 1 }),
						  .port = 51820 } };
	uint64_t begin = cpu_ns();

	for (unsigned i = 0; i < PEERS; i++)
		BUG_ON(wg_device_handshake(b->server, b->initiation[i], WG_INITIATION_LEN, &from,
					   false, b->now) != WG_OK);
	begin = cpu_ns() - begin;
	retired_free(&b->retired, UINT64_MAX);
	return begin / PEERS;
}

/* ns an X25519 with a foreign point */
static uint64_t variable_base(const struct bench *b)
{
	struct shared_secret s;
	uint64_t begin = cpu_ns();

	for (unsigned i = 0; i < BASE_TIMES; i++)
		BUG_ON(!x25519(&s, &b->secret[i % PEERS], &b->server_public));
	wipe(&s, sizeof s);
	return (cpu_ns() - begin) / BASE_TIMES;
}

/* ns an X25519 with the base point */
static uint64_t fixed_base(const struct bench *b)
{
	struct public_key p;
	uint64_t begin = cpu_ns();

	for (unsigned i = 0; i < BASE_TIMES; i++)
		public_key_of(&p, &b->secret[i % PEERS]);
	return (cpu_ns() - begin) / BASE_TIMES;
}

/* ns a KDF with two outputs */
static uint64_t kdf(void)
{
	uint8_t key[BLAKE2S_LEN] = { 1 }, out[BLAKE2S_LEN];
	uint64_t begin = cpu_ns();

	for (unsigned i = 0; i < BASE_TIMES; i++)
		kdf_blake2s(key, out, NULL, key, out, sizeof out);
	return (cpu_ns() - begin) / BASE_TIMES;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double median(uint64_t *v, size_t n)
{
	qsort(v, n, sizeof *v, by_value);
	return (double)v[n / 2];
}

int main(int argc, char **argv)
{
	static struct bench b;
	static uint64_t v[4][ROUNDS_MAX];
	uint32_t rounds = 9;
	double engine, variable, fixed, bound;

	if (argc > 2 || (argc == 2 && !u32_parse(str_of(argv[1]), 1, ROUNDS_MAX, &rounds))) {
		fprintf(stderr, "usage: bench_handshake [ROUNDS]   (1 to %d)\n", ROUNDS_MAX);
		return 2;
	}
	if (!crypto_init()) {
		fprintf(stderr, "bench_handshake: OpenSSL or libsodium cannot be used\n");
		return 1;
	}
	prepare(&b);
	initiate(&b);
	(void)answer(&b); /* computes static-static, once for all */
	for (uint32_t i = 0; i < rounds; i++) {
		b.now += 1000000000;
		initiate(&b);
		v[0][i] = answer(&b);
		v[1][i] = variable_base(&b);
		v[2][i] = fixed_base(&b);
		v[3][i] = kdf();
	}
	engine = median(v[0], rounds);
	variable = median(v[1], rounds);
	fixed = median(v[2], rounds);
	bound = 3 * variable + fixed;
	printf("X25519, ns: foreign point %.0f, base point %.0f; KDF with two outputs %.0f\n",
	       variable, fixed, median(v[3], rounds));
	printf("handshakes a second and core: engine %.0f, bound of 3 + 1 X25519 %.0f: %.1f %%\n",
	       1e9 / engine, 1e9 / bound, 100 * bound / engine);
	printf("beside 4 X25519 with foreign points %.0f: %.1f %%\n", 1e9 / (4 * variable),
	       100 * 4 * variable / engine);
	wg_device_free(b.server);
	retired_free(&b.retired, UINT64_MAX);
	wipe(&b, sizeof b);
	return 0;
}
