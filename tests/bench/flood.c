/* flood - hostile WireGuard datagrams from spoofed sources, at an exact rate, for a bounded time.
 *
 * usage: bench_flood MODE --device DEV --mac MAC --from PREFIX [OPTION...] ADDRESS:PORT
 *        bench_flood record --device DEV --pool FILE [--seconds S] ADDRESS:PORT
 *
 * MODE is what is sent to ADDRESS:PORT, the server's, whose link-layer address is MAC:
 *   bad-mac1    initiations, random but for the type
 *   good-mac1   initiations whose mac1 is right for the server's public key (--key), else random
 *   junk        transport data, random but for the type
 *   replay      datagrams that `record` saw (--pool), again and again
 * Each has another random source address of PREFIX and another source port.  Prints: datagrams
 * sent, nanoseconds.  `record` writes what is sent to ADDRESS:PORT over DEV to a file, and prints
 * how many datagrams that are.
 *
 * Written to be used in network namespaces made for a test, and only there: frames leave by a
 * packet socket, past routes and filters.
 */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/opt.h"
#include "crypto/hash.h"
#include "crypto/keys.h"
#include "frame.h"
#include "pace.h"

#define POOL 8192 /* payloads made before the first is sent, then used in turn */
#define PAYLOAD_MAX 1500
#define POOL_FILE_MAX (64u << 20)
#define INITIATION_LEN 148 /* paper 5.4.2 */
#define INITIATION_MAC1 116
#define RECORD_TICK_US 100000

struct options {
	const char *device, *mac, *key, *pool;
	struct ip_prefix from;
	uint32_t rate, seconds, size;
};

#define AT(field) offsetof(struct options, field)
static const struct opt rows[] = {
	{ "device", 'd', OPT_TEXT, AT(device), 1, IFNAMSIZ - 1, NULL, NULL, "DEV",
	  "interface that frames leave by", NULL },
	{ "mac", 'm', OPT_TEXT, AT(mac), 17, 17, NULL, NULL, "MAC",
	  "the next hop's link-layer address", NULL },
	{ "key", 'k', OPT_TEXT, AT(key), 44, 44, NULL, NULL, "KEY", "the server's public key",
	  NULL },
	{ "pool", 'p', OPT_TEXT, AT(pool), 1, 4096, NULL, NULL, "FILE",
	  "file of recorded datagrams", NULL },
	{ "from", 'f', OPT_PREFIX, AT(from), 0, 0, NULL, NULL, "PREFIX",
	  "what sources are taken from", NULL },
	{ "rate", 'r', OPT_U32, AT(rate), 1, 100000000, "100000", NULL, "PPS", "datagrams a second",
	  NULL },
	{ "seconds", 't', OPT_U32, AT(seconds), 1, 3600, "5", NULL, "S", "how long", NULL },
	{ "size", 's', OPT_U32, AT(size), 32, PAYLOAD_MAX, "96", NULL, "BYTES", "junk's length",
	  NULL },
	{ 0 },
};
static const struct opt_program program = {
	.name = "bench_flood",
	.usage = "bad-mac1|good-mac1|junk|replay|record [OPTION...] ADDRESS:PORT",
	.opts = rows,
};

static NORETURN void die(const char *what)
{
	fprintf(stderr, "bench_flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static NORETURN void wrong(const char *what, const char *value)
{
	fprintf(stderr, "bench_flood: %s \"%s\"\n", what, value ? value : "(not given)");
	exit(2);
}

/* ---- payloads ---- */

struct pool {
	struct frame_payload item[POOL];
	size_t n;
	uint8_t *memory;
};

static void pool_add(struct pool *p, const uint8_t *data, size_t len)
{
	p->item[p->n++] = (struct frame_payload){ data, len, checksum_add(0, data, len) };
}

/* `key`: the server's public key for a right mac1, or NULL. */
static void pool_make(struct pool *p, uint8_t type, size_t len, const struct public_key *key)
{
	uint8_t mac1_key[BLAKE2S_LEN], mac1[MAC_LEN];

	p->memory = malloc(POOL * len);
	if (!p->memory)
		die("memory");
	random_bytes(p->memory, POOL * len);
	if (key) /* paper 5.4.4: mac1 := MAC(HASH(LABEL-MAC1 || Spub), msg) */
		blake2s_hash2(mac1_key, "mac1----", 8, key->b, sizeof key->b);
	for (size_t i = 0; i < POOL; i++) {
		uint8_t *m = p->memory + i * len;

		store_le32(m, type);
		if (key) {
			blake2s_keyed(mac1, sizeof mac1, mac1_key, sizeof mac1_key, m,
				      INITIATION_MAC1);
			memcpy(m + INITIATION_MAC1, mac1, sizeof mac1);
		}
		pool_add(p, m, len);
	}
}

/* A pool file is datagrams, each behind its length as le32. */
static void pool_read(struct pool *p, const char *path)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	struct rd r;

	if (file_read(&b, path, POOL_FILE_MAX, &e)) {
		fprintf(stderr, "bench_flood: %s\n", e.msg);
		exit(1);
	}
	r = rd_over(b.p, b.n);
	while (r.left && p->n < POOL) {
		uint32_t len = rd_le32(&r);
		const uint8_t *data = rd_bytes(&r, len);

		if (r.bad || len == 0 || len > PAYLOAD_MAX)
			wrong("no pool of datagrams in", path);
		pool_add(p, data, len);
	}
	if (p->n == 0)
		wrong("no datagram in", path);
	p->memory = (uint8_t *)b.p;
}

/* ---- frames ---- */

struct flood {
	struct pool pool;
	struct endpoint to;
	struct ip_prefix from;
	uint64_t hosts; /* addresses in `from` */
	uint64_t seed;
	struct frame_batch batch;
};

/* splitmix64: spread and quick; nothing here has to be unpredictable. */
static uint64_t flood_random(struct flood *f)
{
	uint64_t z = f->seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static struct endpoint flood_source(struct flood *f)
{
	uint64_t r = flood_random(f);
	struct endpoint src = { .port = (uint16_t)(1024 + (r >> 48) % 60000) };

	BUG_ON(!ip_prefix_host(&f->from, r % f->hosts, &src.addr));
	return src;
}

static bool mac_parse(uint8_t out[ETH_ALEN], const char *text)
{
	unsigned b[ETH_ALEN];
	int end = 0;

	if (!text ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != ETH_ALEN ||
	    text[end])
		return false;
	for (size_t i = 0; i < ETH_ALEN; i++)
		out[i] = (uint8_t)b[i];
	return true;
}

static void flood_open(struct flood *f, const struct options *o)
{
	uint8_t mac[ETH_ALEN];

	if (o->from.addr.family != f->to.addr.family)
		wrong("--from is wanted, of the family of the server's address;", NULL);
	f->from = o->from;
	f->hosts = ip_prefix_size(&f->from);
	random_bytes(&f->seed, sizeof f->seed);
	if (!mac_parse(mac, o->mac))
		wrong("no link-layer address in --mac", o->mac);
	if (!o->device || !frame_open(&f->batch, o->device, f->to.addr.family, mac))
		die(o->device ? o->device : "--device");
}

static uint64_t flood_batch(struct flood *f, uint64_t first, size_t n)
{
	int sent;

	for (size_t i = 0; i < n; i++) {
		struct endpoint src = flood_source(f);

		frame_set(&f->batch, i, &src, &f->to, &f->pool.item[(first + i) % f->pool.n]);
	}
	sent = frame_send(&f->batch, n);
	if (sent < 0)
		die("send");
	return (uint64_t)sent;
}

static int flood_run(struct flood *f, const struct options *o)
{
	struct pace pace = pace_begin(o->rate);
	int64_t start = pace.begin, end = start + o->seconds * NS_PER_S, now = start;
	uint64_t most = (uint64_t)o->rate * o->seconds;

	while (now < end && pace.done < most) {
		size_t n = pace_due(&pace, MIN(FRAME_BATCH, most - pace.done));

		pace.done += flood_batch(f, pace.done, n);
		now = pace_now_ns();
	}
	printf("%llu %lld\n", (unsigned long long)pace.done, (long long)(now - start));
	return 0;
}

/* ---- record ---- */

/* The payload when the packet is a whole UDP datagram to `to`, else NULL. */
static const uint8_t *payload_of(const uint8_t *packet, size_t n, const struct endpoint *to,
				 size_t *len)
{
	struct ip_view v;
	struct rd r;

	if (!ip_view(&v, packet, n) || v.protocol != IP_PROTO_UDP || v.family != to->addr.family ||
	    memcmp(v.dst, to->addr.b, ip_bits(v.family) / 8) != 0)
		return NULL;
	r = rd_over(packet, v.len);
	rd_bytes(&r, v.header_len + 2u); /* to the destination port */
	if (rd_be16(&r) != to->port)
		return NULL;
	*len = rd_be16(&r) - (size_t)FRAME_UDP_LEN;
	rd_be16(&r); /* the checksum, which an offload may still owe */
	return *len <= r.left && *len <= PAYLOAD_MAX ? rd_bytes(&r, *len) : NULL;
}

static int record(const struct options *o, const struct endpoint *to)
{
	struct timeval tick = { .tv_usec = RECORD_TICK_US };
	int64_t end = pace_now_ns() + o->seconds * NS_PER_S;
	struct buf out = { .limit = POOL_FILE_MAX };
	struct frame_batch b = { 0 };
	struct err e = { 0 };
	uint8_t packet[65536], length[4];
	unsigned seen = 0;

	if (!o->device || !frame_open(&b, o->device, to->addr.family, NULL))
		die(o->device ? o->device : "--device");
	if (setsockopt(b.fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick) != 0 ||
	    bind(b.fd, (struct sockaddr *)&b.to, sizeof b.to) != 0)
		die("bind");
	while (seen < POOL && pace_now_ns() < end) {
		ssize_t n = recv(b.fd, packet, sizeof packet, 0);
		size_t len = 0;
		const uint8_t *p = n > 0 ? payload_of(packet, (size_t)n, to, &len) : NULL;

		if (!p || len == 0)
			continue;
		store_le32(length, (uint32_t)len);
		buf_add(&out, length, sizeof length);
		buf_add(&out, p, len);
		seen++;
	}
	if (!buf_ok(&out) || file_replace(o->pool, out.p, out.n, 0600, &e)) {
		fprintf(stderr, "bench_flood: %s\n", e.msg);
		return 1;
	}
	printf("%u\n", seen);
	buf_done(&out);
	close(b.fd);
	return seen ? 0 : 1;
}

static void pool_fill(struct flood *f, const char *mode, const struct options *o)
{
	struct public_key key;

	if (strcmp(mode, "bad-mac1") == 0) {
		pool_make(&f->pool, 1, INITIATION_LEN, NULL);
	} else if (strcmp(mode, "good-mac1") == 0) {
		if (!public_key_parse(str_of(o->key), &key))
			wrong("no public key in --key", o->key);
		pool_make(&f->pool, 1, INITIATION_LEN, &key);
	} else if (strcmp(mode, "junk") == 0) {
		pool_make(&f->pool, 4, o->size, NULL);
	} else if (strcmp(mode, "replay") == 0) {
		if (!o->pool)
			wrong("no --pool", NULL);
		pool_read(&f->pool, o->pool);
	} else {
		wrong("no mode", mode);
	}
}

int main(int argc, char **argv)
{
	static struct flood f;
	struct options o = { 0 };
	struct err e = { 0 };
	const char *mode = argc > 1 ? argv[1] : NULL;

	if (!mode || !crypto_init()) {
		fprintf(stderr, "usage: bench_flood %s\n", program.usage);
		return 2;
	}
	argc--;
	argv++;
	if (opt_parse(&program, &o, &argc, argv, false, &e)) {
		fprintf(stderr, "bench_flood: %s\n", e.msg);
		return 2;
	}
	if (argc != 2 || !endpoint_parse(str_of(argv[1]), &f.to))
		wrong("no ADDRESS:PORT", argc > 1 ? argv[1] : NULL);
	if (prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL) != 0)
		die("timer slack");
	if (strcmp(mode, "record") == 0) {
		if (!o.pool)
			wrong("no --pool", NULL);
		return record(&o, &f.to);
	}
	pool_fill(&f, mode, &o);
	flood_open(&f, &o);
	return flood_run(&f, &o);
}
