/* scale - what N peers cost a device: adding, memory, reading, looking up, timers, removing.
 *
 * usage: bench_scale core PEERS             in this process, on a device without I/O
 *        bench_scale lookup PEERS           the table of allowed IPs alone
 *        bench_scale socket PEERS PATH PID  over the UAPI socket PATH of process PID; with
 *                                           BENCH_KEEP in the environment the peers stay
 *
 * Each prints lines "NAME VALUE"; tests/bench/scale runs it, takes medians and makes tables.
 * Peer i has a key of its own and one IPv4 address as allowed IP.  Some of the keys are real, for
 * sessions: a client device takes one private key after the other and makes a handshake with each.
 */
#include <errno.h>
#include <malloc.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/lpm.h"
#include "device/uapi_dump.h"
#include "wg/transport.h"
#include "wg/uapi.h"

#define PEERS_MAX WG_PEERS_MAX
#define SESSIONS_MIN 1000
#define SESSIONS_MAX 10000
#define LOOKUPS (1u << 20)
#define KEEPALIVE_S 25
#define BUSY 1000
#define SESSION_STEP (10 * NS_PER_MS) /* between the handshakes of two peers */
#define PIECE (256u << 10)

/* ---- numbers ---- */

static void say(const char *name, double value)
{
	printf("%s %.9g\n", name, value);
	fflush(stdout);
}

static double seconds_since(int64_t begin)
{
	return (double)(clock_mono_ns() - begin) / 1e9;
}

/* The finaliser of splitmix64: any i to a number that looks random. */
static uint64_t scatter(uint64_t i)
{
	i += UINT64_C(0x9e3779b97f4a7c15);
	i = (i ^ i >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	i = (i ^ i >> 27) * UINT64_C(0x94d049bb133111eb);
	return i ^ i >> 31;
}

/* Bytes of memory that a process holds. */
static double rss_of(long pid)
{
	char path[64];
	unsigned long all = 0, resident = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/statm", pid);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%lu %lu", &all, &resident) != 2) {
		fprintf(stderr, "bench_scale: cannot read %s\n", path);
		exit(1);
	}
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* ---- the peers ---- */

static void secret_of(struct secret_key *k, uint32_t i)
{
	for (unsigned w = 0; w < 4; w++)
		store_le64(k->b + 8 * w, scatter(4ull * i + w));
	secret_key_clamp(k);
}

struct peers {
	uint32_t n;
	uint32_t real; /* so many have a private key */
	struct public_key *key;
};

static void peers_make(struct peers *p, uint32_t n, uint32_t real)
{
	*p = (struct peers){ .n = n, .real = MIN(real, n), .key = calloc(n, sizeof *p->key) };
	BUG_ON(!p->key);
	for (uint32_t i = 0; i < n; i++) {
		struct secret_key k;

		secret_of(&k, i);
		if (i < p->real)
			public_key_of(&p->key[i], &k);
		else
			memcpy(p->key[i].b, k.b, KEY_LEN);
	}
}

/* Peer i's address: 10.0.0.0 and on. */
static uint32_t address_of(uint32_t i)
{
	return (10u << 24) + i;
}

/* Appends the lines of peer i. */
static void peer_text(struct buf *out, const struct peers *p, uint32_t i, unsigned keepalive_s)
{
	char hex[HEX_LEN(KEY_LEN) + 1];
	uint32_t a = address_of(i);

	hex_encode(hex, p->key[i].b, KEY_LEN);
	buf_printf(out, "public_key=%s\nreplace_allowed_ips=true\nallowed_ip=%u.%u.%u.%u/32\n", hex,
		   a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
	if (keepalive_s)
		buf_printf(out, "persistent_keepalive_interval=%u\n", keepalive_s);
}

/* 192.0.2.host, and a port. */
static struct endpoint endpoint_of(uint8_t host)
{
	return (struct endpoint){ .addr = ip_v4((uint8_t[]){ 192, 0, 2, host }), .port = 51820 };
}

/* ---- core: a device without I/O ---- */

struct core {
	struct wg_device *server, *client;
	struct retired retired;
	int64_t now, client_now;
	/* the last datagram that each sent */
	struct dgram {
		size_t n;
		uint8_t b[256];
	} from_server, from_client;
	uint64_t keepalives;
};

static void op_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	random_bytes(p, n);
}

static int64_t op_wall(void *ctx)
{
	(void)ctx;
	return clock_real_ns();
}

static void keep(struct dgram *d, const uint8_t *b, size_t n)
{
	d->n = MIN(n, sizeof d->b);
	memcpy(d->b, b, d->n);
}

static void server_sends(void *ctx, struct wg_peer *p, const struct wg_path *to, const uint8_t *b,
			 size_t n, uint8_t ecn)
{
	struct core *c = ctx;

	(void)p, (void)to, (void)ecn;
	c->keepalives += n == WG_TRANSPORT_MIN;
	keep(&c->from_server, b, n);
}

static void client_sends(void *ctx, struct wg_peer *p, const struct wg_path *to, const uint8_t *b,
			 size_t n, uint8_t ecn)
{
	struct core *c = ctx;

	(void)p, (void)to, (void)ecn;
	keep(&c->from_client, b, n);
}

static struct wg_device *device_make(struct core *c,
				     void (*send)(void *, struct wg_peer *, const struct wg_path *,
						  const uint8_t *, size_t, uint8_t))
{
	const struct wg_ops ops = {
		.ctx = c, .random = op_random, .wall_ns = op_wall, .send = send
	};
	struct wg_device *d = wg_device_new(&ops, &c->retired);

	BUG_ON(!d);
	return d;
}

static enum err_code core_change(void *ctx, const struct wg_peer_change *change, struct err *e)
{
	struct core *c = ctx;

	return wg_device_change_peer(c->server, change, c->now, e);
}

/* Adds all peers by their text, as it comes from the socket; only reading it is timed. */
static void core_add(struct core *c, const struct peers *p)
{
	const struct wg_uapi_target target = { .ctx = c, .change_peer = core_change };
	struct wg_uapi_set *set = wg_uapi_set_new(&target);
	struct buf text = { 0 };
	struct err e = { 0 };
	int64_t took = 0;

	BUG_ON(!set);
	for (uint32_t i = 0; i < p->n;) {
		struct str rest, line;
		int64_t begin;

		buf_clear(&text);
		for (; i < p->n && text.n < PIECE; i++)
			peer_text(&text, p, i, KEEPALIVE_S);
		BUG_ON(!buf_ok(&text));
		rest = (struct str){ text.p, text.n };
		begin = clock_mono_ns();
		while (str_cut(&rest, '\n', &line))
			wg_uapi_set_line(set, line);
		took += clock_mono_ns() - begin;
		retired_free(&c->retired, UINT64_MAX);
	}
	if (wg_uapi_set_end(set, &e)) {
		fprintf(stderr, "bench_scale: %s\n", e.msg);
		exit(1);
	}
	wg_uapi_set_free(set);
	buf_done(&text);
	retired_free(&c->retired, UINT64_MAX);
	say("add_per_s", p->n / ((double)took / 1e9));
}

static void core_dump(struct core *c)
{
	struct uapi_dump dump = { 0 };
	struct buf out = { .limit = 1 << 20 };
	int64_t begin = clock_mono_ns();
	double worst = 0;
	enum uapi_dump_state state;

	do {
		int64_t piece = clock_mono_ns();

		buf_clear(&out);
		state = uapi_dump_peers(&dump, c->server, &out, 64u << 10);
		worst = MAX(worst, seconds_since(piece));
	} while (state == UAPI_DUMP_MORE);
	BUG_ON(state != UAPI_DUMP_DONE);
	say("dump_s", seconds_since(begin));
	say("dump_piece_us", worst * 1e6);
	buf_done(&out);
}

/* The server gets transport data; what that means for it happens at once. */
static void server_receives(struct core *c, uint8_t *dgram, size_t n, const struct wg_path *from)
{
	struct wg_events ev = { 0 };
	struct wg_receive rx;
	struct aead_job job;
	uint32_t inner;

	BUG_ON(wg_receive_begin(c->server, dgram, n, c->now, &rx) != WG_OK);
	job = (struct aead_job){
		.key = rx.key, .counter = rx.counter, .text = rx.text, .len = rx.len
	};
	aead_open_batch(&job, 1);
	BUG_ON(!job.ok);
	(void)wg_receive_done(c->server, &rx, from, 0, c->now, &inner, &ev);
	for (size_t i = 0; i < ev.n; i++)
		wg_device_event(c->server, &ev.ev[i], c->now);
	retired_free(&c->retired, UINT64_MAX);
}

/* Peer i talks: initiation, response, and the first data, which confirms the session.  The
 * client's clock runs faster, or it would hold its initiations back. */
static void session_make(struct core *c, struct wg_peer *server, uint32_t i)
{
	static const uint8_t packet[20] = { 0x45, [3] = sizeof packet };
	const struct wg_path path = { .remote = endpoint_of(1) };
	struct secret_key k;
	enum wg_verdict v;

	c->client_now += 2 * WG_REKEY_TIMEOUT;
	c->now += SESSION_STEP;
	while (wg_device_timers(c->server, c->now) <= c->now)
		;
	secret_of(&k, i);
	wg_device_set_private_key(c->client, &k, c->client_now);
	wg_device_stage(c->client, server, packet, sizeof packet, c->client_now);
	v = wg_device_handshake(c->server, c->from_client.b, c->from_client.n, &path, false,
				c->now);
	BUG_ON(v != WG_OK);
	v = wg_device_handshake(c->client, c->from_server.b, c->from_server.n, &path, false,
				c->client_now);
	BUG_ON(v != WG_OK);
	server_receives(c, c->from_client.b, c->from_client.n, &path);
}

/* The last of BUSY packets arrives and no other: the session keeps its whole window from now on. */
static void session_use(struct core *c, struct wg_peer *server)
{
	const struct wg_path path = { .remote = endpoint_of(1) };
	struct wg_events ev = { 0 };
	uint8_t dgram[WG_TRANSPORT_MIN];
	struct wg_send tx;
	struct aead_job job;

	BUG_ON(wg_send_begin(c->client, server, BUSY, c->client_now, &tx, &ev) != WG_OK);
	wg_transport_header(dgram, tx.receiver, tx.counter + BUSY - 1);
	job = (struct aead_job){ .key = tx.key,
				 .counter = tx.counter + BUSY - 1,
				 .text = dgram + WG_TRANSPORT_HEADER_LEN };
	aead_seal_batch(&job, 1);
	server_receives(c, dgram, sizeof dgram, &path);
}

/* The client knows the server as its only peer. */
static struct wg_peer *client_prepare(struct core *c)
{
	struct wg_allowed_ip any = { .prefix = { .addr = { .family = IP_V4 } } };
	struct wg_peer_change to_server = { .has_endpoint = true,
					    .endpoint = endpoint_of(2),
					    .allowed_ips = &any,
					    .allowed_ip_count = 1 };

	BUG_ON(!wg_device_public_key(c->server, &to_server.public_key));
	BUG_ON(wg_device_change_peer(c->client, &to_server, c->client_now, NULL));
	wg_device_set_up(c->client, true, c->client_now);
	return wg_device_find_peer(c->client, &to_server.public_key);
}

/* Sessions from peer `from` on; what each costs the process. */
static double sessions_make(struct core *c, struct wg_peer *server, uint32_t from, uint32_t end,
			    bool busy)
{
	double before = rss_of(getpid());

	for (uint32_t i = from; i < end; i++) {
		session_make(c, server, i);
		if (busy)
			session_use(c, server);
	}
	return (rss_of(getpid()) - before) / (end - from);
}

static void core_sessions(struct core *c, const struct peers *p)
{
	struct wg_peer *server = client_prepare(c);

	wg_device_set_up(c->server, true, c->now);
	(void)sessions_make(c, server, 0, 1, true); /* what is made once for all */
	say("session_bytes", sessions_make(c, server, 1, p->real / 2, false));
	say("busy_bytes", sessions_make(c, server, p->real / 2, p->real, true));
}

/* All sessions send persistent keepalives for some intervals; no rekey falls into them. */
static void core_timers(struct core *c)
{
	const int64_t end = c->now + 2 * KEEPALIVE_S * NS_PER_S;
	int64_t begin;

	c->keepalives = 0;
	begin = clock_mono_ns();
	while (c->now < end) {
		c->now += 10 * NS_PER_MS;
		while (wg_device_timers(c->server, c->now) <= c->now)
			;
	}
	say("keepalive_ns", seconds_since(begin) * 1e9 / (double)c->keepalives);
}

static void core_key(struct core *c)
{
	struct secret_key k;
	int64_t begin;

	secret_key_generate(&k);
	begin = clock_mono_ns();
	wg_device_set_private_key(c->server, &k, c->now);
	say("key_us", seconds_since(begin) * 1e6);
	wipe(&k, sizeof k);
}

static void core_remove(struct core *c)
{
	int64_t begin = clock_mono_ns();

	wg_device_remove_all_peers(c->server, c->now);
	retired_free(&c->retired, UINT64_MAX);
	say("remove_s", seconds_since(begin));
}

static int core_run(uint32_t n)
{
	struct core c = { .now = NS_PER_S, .client_now = NS_PER_S };
	struct secret_key k;
	struct peers p;
	double before;

	peers_make(&p, n, MIN(MAX(n / 10, SESSIONS_MIN), SESSIONS_MAX));
	c.server = device_make(&c, server_sends);
	c.client = device_make(&c, client_sends);
	secret_key_generate(&k);
	wg_device_set_private_key(c.server, &k, c.now);
	wipe(&k, sizeof k);
	before = rss_of(getpid());
	core_add(&c, &p);
	say("peer_bytes", (rss_of(getpid()) - before) / n);
	core_dump(&c);
	core_sessions(&c, &p);
	core_timers(&c);
	core_key(&c);
	core_remove(&c);
	wg_device_free(c.server);
	wg_device_free(c.client);
	retired_free(&c.retired, UINT64_MAX);
	free(p.key);
	return 0;
}

/* ---- lookup: the table of allowed IPs alone ---- */

/* Address i of a family; IPv6 ones share their first half, as those of one network do. */
static struct ip_prefix host_of(uint8_t family, uint32_t i)
{
	struct ip_prefix p = { .addr.family = family, .len = (uint8_t)ip_bits(family) };

	if (family == IP_V4) {
		store_be32(p.addr.b, address_of(i));
	} else {
		store_be64(p.addr.b, UINT64_C(0xfd00000000000000));
		store_be64(p.addr.b + 8, scatter(i));
	}
	return p;
}

/* Nanoseconds a lookup of random addresses in random order; `miss`: of ones that nobody has. */
static double lookup_ns(const struct lpm *t, uint8_t family, uint32_t n, bool miss)
{
	struct ip_prefix *want = calloc(LOOKUPS, sizeof *want);
	size_t found = 0;
	int64_t begin;
	double ns;

	BUG_ON(!want);
	for (uint32_t i = 0; i < LOOKUPS; i++)
		want[i] = host_of(family, (uint32_t)(scatter(i) % n) + (miss ? PEERS_MAX : 0));
	begin = clock_mono_ns();
	for (uint32_t i = 0; i < LOOKUPS; i++)
		found += lpm_find(t, family, want[i].addr.b) != NULL;
	ns = seconds_since(begin) * 1e9 / LOOKUPS;
	BUG_ON(found != (miss ? 0 : LOOKUPS));
	free(want);
	return ns;
}

/* The same behind prefixes that are not whole addresses: a /24 or /64 each. */
static double lookup_prefix_ns(uint32_t n)
{
	struct retired retired = { 0 };
	struct lpm *t = lpm_new(&retired);
	struct ip_prefix p = { .addr.family = IP_V4, .len = 24 };
	uint8_t(*want)[4] = calloc(LOOKUPS, sizeof *want);
	static char owner;
	void *before;
	size_t found = 0;
	int64_t begin;
	double ns;

	BUG_ON(!t || !want);
	for (uint32_t i = 0; i < n; i++) {
		store_be32(p.addr.b, i << 8);
		BUG_ON(lpm_insert(t, &p, &owner, &before));
	}
	for (uint32_t i = 0; i < LOOKUPS; i++)
		store_be32(want[i], (uint32_t)(scatter(i) % n) << 8 | (i & 255));
	begin = clock_mono_ns();
	for (uint32_t i = 0; i < LOOKUPS; i++)
		found += lpm_find(t, IP_V4, want[i]) != NULL;
	ns = seconds_since(begin) * 1e9 / LOOKUPS;
	BUG_ON(found != LOOKUPS);
	lpm_free(t);
	retired_free(&retired, UINT64_MAX);
	free(want);
	return ns;
}

static int lookup_run(uint32_t n)
{
	static const struct {
		uint8_t family;
		const char *hit, *miss;
	} rows[] = { { IP_V4, "hit4_ns", "miss4_ns" }, { IP_V6, "hit6_ns", "miss6_ns" } };

	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		struct retired retired = { 0 };
		struct lpm *t = lpm_new(&retired);
		void *before;

		BUG_ON(!t);
		for (uint32_t i = 0; i < n; i++) {
			struct ip_prefix p = host_of(rows[r].family, i);

			BUG_ON(lpm_insert(t, &p, &retired, &before));
			retired_free(&retired, UINT64_MAX);
		}
		say(rows[r].hit, lookup_ns(t, rows[r].family, n, false));
		say(rows[r].miss, lookup_ns(t, rows[r].family, n, true));
		lpm_free(t);
	}
	say("prefix4_ns", lookup_prefix_ns(n));
	return 0;
}

/* ---- socket: a program's UAPI ---- */

static int socket_open(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || !str_copy(to.sun_path, sizeof to.sun_path, str_of(path)) ||
	    connect(fd, (const struct sockaddr *)&to, sizeof to) < 0) {
		fprintf(stderr, "bench_scale: connect to %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return fd;
}

static void socket_say(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0) {
			fprintf(stderr, "bench_scale: the program closed: %s\n", strerror(errno));
			exit(1);
		}
		p += k;
		n -= (size_t)k;
	}
}

/* Reads an answer to its end; returns its peers (lines that begin with "public_key="). */
static size_t socket_hear(int fd)
{
	static const char end[] = "errno=0\n\n", peer[] = "public_key=";
	static char b[1 << 20];
	size_t have = 0, peers = 0;

	for (;;) {
		ssize_t n = recv(fd, b + have, sizeof b - have, 0);
		const char *at = b, *next, *last = b;

		if (n <= 0) {
			fprintf(stderr, "bench_scale: the answer broke off\n");
			exit(1);
		}
		have += (size_t)n;
		while ((next = memchr(at, '\n', have - (size_t)(at - b)))) {
			peers += strncmp(at, peer, sizeof peer - 1) == 0;
			if (strncmp(at, "errno=", 6) == 0 && strncmp(at, end, 8) != 0) {
				fprintf(stderr, "bench_scale: the answer is %.16s\n", at);
				exit(1);
			}
			at = next + 1;
			last = at;
		}
		if (have >= sizeof end - 1 && memcmp(b + have - (sizeof end - 1), end, 9) == 0)
			return peers;
		have -= (size_t)(last - b);
		memmove(b, last, have);
		if (have == 0)
			continue;
	}
}

/* One request, timed to the end of its answer. */
static double request(const char *path, const struct buf *text, size_t *peers)
{
	int fd = socket_open(path);
	int64_t begin = clock_mono_ns();
	double took;

	socket_say(fd, text->p, text->n);
	*peers = socket_hear(fd);
	took = seconds_since(begin);
	fd_close(fd);
	return took;
}

static int socket_run(uint32_t n, const char *path, long pid)
{
	struct buf text = { .limit = (size_t)n * 512 + 4096 };
	struct peers p;
	double before = rss_of(pid);
	size_t seen;

	peers_make(&p, n, 0);
	buf_str(&text, STR("set=1\n"));
	for (uint32_t i = 0; i < n; i++)
		peer_text(&text, &p, i, 0);
	buf_char(&text, '\n');
	BUG_ON(!buf_ok(&text));
	say("add_per_s", n / request(path, &text, &seen));
	say("peer_bytes", (rss_of(pid) - before) / n);

	buf_clear(&text);
	buf_str(&text, STR("get=1\n\n"));
	say("dump_s", request(path, &text, &seen));
	if (seen != n) {
		fprintf(stderr, "bench_scale: %zu peers in the dump, not %u\n", seen, n);
		return 1;
	}
	buf_clear(&text);
	buf_printf(&text, "set=1\nprivate_key=%064x\n\n", 8);
	say("key_us", request(path, &text, &seen) * 1e6);
	if (getenv("BENCH_KEEP")) /* somebody else looks at the peers, and removes them */
		return 0;
	buf_clear(&text);
	buf_str(&text, STR("set=1\nreplace_peers=true\n\n"));
	say("remove_s", request(path, &text, &seen));
	buf_done(&text);
	free(p.key);
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t n = 0, pid = 0;
	bool known = argc >= 3 && u32_parse(str_of(argv[2]), 2, PEERS_MAX, &n);

	if (!crypto_init()) {
		fprintf(stderr, "bench_scale: OpenSSL or libsodium cannot be used\n");
		return 1;
	}
	if (known && argc == 3 && strcmp(argv[1], "core") == 0)
		return core_run(n);
	if (known && argc == 3 && strcmp(argv[1], "lookup") == 0)
		return lookup_run(n);
	if (known && argc == 5 && strcmp(argv[1], "socket") == 0 &&
	    u32_parse(str_of(argv[4]), 1, INT32_MAX, &pid))
		return socket_run(n, argv[3], (long)pid);
	fprintf(stderr, "usage: bench_scale core|lookup PEERS | socket PEERS PATH PID  (2 to %u)\n",
		PEERS_MAX);
	return 2;
}
