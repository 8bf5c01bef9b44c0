/* peers - how many clients a second a gateway creates over its peer API, and how long each waits.
 *
 * usage: bench_peers HOST:PORT COUNT CONNECTIONS     the key is $GATEWAY_API_KEY
 *        bench_peers HOST:PORT status N              N times GET server/status on one connection
 *
 * Each connection keeps TLS and sends the next request when the last is answered, signed in the whole
 * form.  Prints "creates_per_s", "p50_ms", "p99_ms" and "max_ms", one a line; with `status` the same
 * without the first.  Any answer but the one wanted ends it with status 1.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/signature.h"
#include "base/addr.h"
#include "base/clock.h"
#include "crypto/keys.h"

#define CONNECTIONS_MAX 256
#define PATH_CREATE "/api/v1/configurations/"
#define PATH_STATUS "/api/v1/server/status"

struct load {
	struct endpoint at;
	SSL_CTX *tls;
	const char *key;
	bool creates;
	uint32_t per_connection;
};

struct connection {
	pthread_t thread;
	const struct load *load;
	int64_t *took; /* per_connection of them */
};

NORETURN static void die(const char *what)
{
	fprintf(stderr, "bench_peers: %s\n", what);
	exit(1);
}

static SSL *connect_to(const struct load *l)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&l->at, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	SSL *s = SSL_new(l->tls);

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, len) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
		die(strerror(errno));
	if (!s || SSL_set_fd(s, fd) != 1 || SSL_connect(s) != 1)
		die("no TLS");
	return s;
}

static void request_make(struct buf *out, const struct load *l)
{
	char body[256] = "", key[KEY_TEXT_MAX], stamp[24], nonce[33],
	     signature[SIGNATURE_HEX_LEN + 1];
	struct public_key k;
	struct signed_request r = { .method = l->creates ? STR("POST") : STR("GET"),
				    .path = l->creates ? STR(PATH_CREATE) : STR(PATH_STATUS),
				    .query = STR("") };

	random_bytes(&k, sizeof k);
	k.b[31] &= 0x7f; /* as keys are written */
	public_key_text(key, &k);
	if (l->creates)
		(void)snprintf(body, sizeof body,
			       "{\"public_key\": \"%s\", \"request_id\": \"%.16s\", \"protocol\": "
			       "\"dual\", \"dns\": \"d1\", \"port\": 51820}",
			       key, key);
	r.body = str_of(body);
	(void)snprintf(stamp, sizeof stamp, "%lld", (long long)(clock_real_ns() / NS_PER_S));
	signature_nonce(nonce);
	r.timestamp = str_of(stamp);
	r.nonce = str_of(nonce);
	signature_make(signature, SIGNATURE_WHOLE, l->key, strlen(l->key), &r);
	buf_clear(out);
	buf_printf(out,
		   "%.*s %.*s HTTP/1.1\r\nHost: gateway\r\nX-Qanat-Signature: %s\r\n"
		   "X-Qanat-Timestamp: %s\r\nX-Qanat-Nonce: %s\r\n",
		   STR_ARG(r.method), STR_ARG(r.path), signature, stamp, nonce);
	if (l->creates)
		buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
			   r.body.n);
	buf_z(out, "\r\n");
	buf_str(out, r.body);
}

/* Bytes of a whole answer, or 0 while some are missing. */
static size_t answer_len(const struct buf *in)
{
	ptrdiff_t head = str_find_nocase(buf_view(in), STR("\r\n\r\n"));
	ptrdiff_t at = str_find_nocase(buf_view(in), STR("\r\ncontent-length: "));
	size_t n;

	if (head < 0)
		return 0;
	if (at < 0 || at > head)
		die("an answer without a length");
	n = (size_t)head + 4 + strtoul(in->p + at + 18, NULL, 10);
	return in->n >= n ? n : 0;
}

static void answer_read(SSL *s, struct buf *in)
{
	char piece[4096];

	buf_clear(in);
	while (answer_len(in) == 0) {
		int n = SSL_read(s, piece, sizeof piece);

		if (n <= 0)
			die("the gateway has closed the connection");
		buf_add(in, piece, (size_t)n);
	}
	if (!str_starts(buf_view(in), STR("HTTP/1.1 200 "))) {
		fprintf(stderr, "bench_peers: %.*s\n", STR_ARG(buf_view(in)));
		exit(1);
	}
}

static void *run(void *arg)
{
	struct connection *c = arg;
	struct buf out = { 0 }, in = { 0 };
	SSL *s = connect_to(c->load);

	for (uint32_t i = 0; i < c->load->per_connection; i++) {
		int64_t begin;

		request_make(&out, c->load);
		begin = clock_mono_ns();
		if (SSL_write(s, out.p, (int)out.n) != (int)out.n)
			die("the gateway takes nothing any more");
		answer_read(s, &in);
		c->took[i] = clock_mono_ns() - begin;
		if (c->load->creates &&
		    str_find_nocase(buf_view(&in), STR("\"status\":\"created\"")) < 0)
			die("something else than created");
	}
	close(SSL_get_fd(s));
	SSL_free(s);
	buf_done(&out);
	buf_done(&in);
	return NULL;
}

static int by_time(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure(const struct load *l, uint32_t connections)
{
	static struct connection all[CONNECTIONS_MAX];
	size_t n = (size_t)connections * l->per_connection;
	int64_t *took = calloc(n, sizeof *took), begin = clock_mono_ns(), end;

	if (!took)
		die("out of memory");
	for (uint32_t i = 0; i < connections; i++) {
		all[i] = (struct connection){ .load = l,
					      .took = took + (size_t)i * l->per_connection };
		if (pthread_create(&all[i].thread, NULL, run, &all[i]))
			die("no thread");
	}
	for (uint32_t i = 0; i < connections; i++)
		(void)pthread_join(all[i].thread, NULL);
	end = clock_mono_ns();
	qsort(took, n, sizeof *took, by_time);
	if (l->creates)
		printf("creates_per_s %.0f\n", (double)n * 1e9 / (double)(end - begin));
	printf("p50_ms %.2f\np99_ms %.2f\nmax_ms %.2f\n", (double)took[n / 2] / 1e6,
	       (double)took[n * 99 / 100] / 1e6, (double)took[n - 1] / 1e6);
	free(took);
}

int main(int argc, char **argv)
{
	struct load l = { .key = getenv("GATEWAY_API_KEY"),
			  .tls = SSL_CTX_new(TLS_client_method()) };
	uint32_t count, connections = 1;

	if (argc != 4 || !endpoint_parse(str_of(argv[1]), &l.at) || !l.key || !l.tls ||
	    !crypto_init()) {
		fprintf(stderr, "usage: bench_peers HOST:PORT COUNT|status CONNECTIONS|N\n");
		return 2;
	}
	l.creates = strcmp(argv[2], "status") != 0;
	if (l.creates && (!u32_parse(str_of(argv[2]), 1, 10000000, &count) ||
			  !u32_parse(str_of(argv[3]), 1, CONNECTIONS_MAX, &connections)))
		die("COUNT or CONNECTIONS is no number");
	if (!l.creates && !u32_parse(str_of(argv[3]), 1, 1000000, &count))
		die("N is no number");
	l.per_connection = (count + connections - 1) / connections;
	measure(&l, connections);
	SSL_CTX_free(l.tls);
	return 0;
}
