/* Certificates, their exchange, and streams: client and server in one thread on a socket pair. */
#include "base/tests/cm.h"

#include <errno.h>
#include <limits.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/tls.h"
#include "io/tls_cert.h"

static char dir[] = "/tmp/qanat-tls-XXXXXX";
static char paths[8][PATH_MAX];

static const char *path(int slot, const char *name)
{
	(void)snprintf(paths[slot], sizeof paths[slot], "%s/%s", dir, name);
	return paths[slot];
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = {
		"c1", "k1", "c2", "k2", "broken", "locked", "c3", "k3"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlink(path(0, names[i]));
	return rmdir(dir);
}

static void create(const char *cert, const char *key)
{
	static const char *const hosts[] = { "vpn.example.org", "localhost" };
	const struct ip_addr addrs[] = { { IP_V4, { 192, 0, 2, 1 } },
					 { IP_V6, { 0x20, 1, 0xd, 0xb8, [15] = 1 } } };
	const struct tls_cert_names names = { "gateway", hosts, 2, addrs, 2 };
	struct err e;

	if (tls_cert_create(cert, key, &names, clock_real_ns() / NS_PER_S, &e))
		fail_msg("%s", e.msg);
}

static X509 *read_cert(const char *name)
{
	FILE *f = fopen(name, "r");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

	assert_non_null(x);
	(void)fclose(f);
	return x;
}

static void test_created(void **state)
{
	const char *cert = path(0, "c1"), *key = path(1, "k1");
	struct stat st;
	X509 *x;
	int days = 0, seconds = 0;

	(void)state;
	create(cert, key);
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	x = read_cert(cert);
	assert_int_equal(X509_check_host(x, "vpn.example.org", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(x, "other.example.org", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(x, "192.0.2.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(x, "2001:db8::1", 0), 1);
	assert_int_equal(X509_check_ip_asc(x, "192.0.2.2", 0), 0);
	assert_int_equal(X509_verify(x, X509_get0_pubkey(x)), 1);
	assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(x)), 256);
	assert_int_equal(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x),
					X509_get0_notAfter(x)),
			 1);
	assert_in_range(days, 3652, 3653);
	X509_free(x);
}

static void test_names_are_checked(void **state)
{
	static const char *const bad[] = { "", "a b", "a,DNS:b", "a\nb", "*" };
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct tls_cert_names names = { .hosts = &bad[i], .hosts_n = 1 };

		if (tls_cert_create(path(0, "c3"), path(1, "k3"), &names, 0, &e) == ERR_OK)
			fail_msg("host \"%s\" was taken", bad[i]);
	}
	assert_int_not_equal(access(path(1, "k3"), F_OK), 0);
}

static void test_ensure(void **state)
{
	const struct tls_cert_names names = { 0 };
	const char *cert = path(0, "c3"), *key = path(1, "k3");
	AUTO(buf_done) struct buf before = { 0 };
	AUTO(buf_done) struct buf after = { 0 };
	bool created = false;
	struct err e;

	(void)state;
	assert_int_equal(tls_cert_ensure(cert, key, &names, 1, &created, &e), ERR_OK);
	assert_true(created);
	assert_int_equal(file_read(&before, key, 10000, &e), ERR_OK);
	assert_int_equal(tls_cert_ensure(cert, key, &names, 1, &created, &e), ERR_OK);
	assert_false(created);
	assert_int_equal(unlink(cert), 0); /* as a crash between the two files leaves it */
	assert_int_equal(tls_cert_ensure(cert, key, &names, 1, &created, &e), ERR_OK);
	assert_true(created);
	assert_int_equal(file_read(&after, key, 10000, &e), ERR_OK);
	assert_true(str_eq(buf_view(&before), buf_view(&after)));
	assert_int_equal(unlink(key), 0);
	assert_int_equal(tls_cert_ensure(cert, key, &names, 1, &created, &e), ERR_MISSING);
	assert_non_null(strstr(e.msg, key));
}

static void write_file(const char *name, const char *text)
{
	struct err e;

	assert_int_equal(file_replace(name, text, strlen(text), 0600, &e), ERR_OK);
}

static void test_load_errors(void **state)
{
	const char *c1 = path(0, "c1"), *k1 = path(1, "k1"), *c2 = path(2, "c2"),
		   *k2 = path(3, "k2");
	const char *broken = path(4, "broken"), *none = path(5, "none"),
		   *locked = path(6, "locked");
	const struct {
		const char *cert, *key, *names, *why;
	} rows[] = {
		{ none, k1, none, "no certificate file" },
		{ c1, none, none, "no key file" },
		{ broken, k1, broken, "no certificate in it" },
		{ c1, broken, broken, "no key in it" },
		{ k1, c1, k1, "the two changed" },
		{ c1, k2, k2, "another certificate's key" },
		{ c1, k2, c1, "which is named as well" },
		{ c1, locked, locked, "a key under a password" },
	};

	(void)state;
	create(c2, k2);
	write_file(broken, "-----BEGIN nothing-----\n");
	write_file(locked, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGjMF8G\n"
			   "-----END ENCRYPTED PRIVATE KEY-----\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tls_server *t = NULL;
		struct err e = { 0 };

		if (tls_server_new(&t,
				   &(struct tls_options){ .cert_path = rows[i].cert,
							  .key_path = rows[i].key },
				   &e) == ERR_OK ||
		    !strstr(e.msg, rows[i].names))
			fail_msg("%s: %s", rows[i].why, e.msg);
		assert_null(t);
	}
}

/* ---- streams ---- */

struct pair {
	struct loop *loop;
	struct stream *s; /* the server's */
	SSL *client;
	SSL_CTX *client_ctx;
	unsigned opened, broken, drained;
	bool client_done;
	bool eof;
	struct buf got; /* by the server */
	size_t read_max;
};

static void opened(void *ctx)
{
	((struct pair *)ctx)->opened++;
}

static void readable(void *ctx)
{
	struct pair *p = ctx;
	char chunk[1000];
	ssize_t n = stream_read(p->s, chunk, p->read_max);

	if (n > 0)
		buf_add(&p->got, chunk, (size_t)n);
	if (n == -1) {
		p->eof = true;
		stream_want_read(p->s, false);
	}
	if (n == -2) {
		stream_close(p->s);
		p->s = NULL;
		p->broken++;
	}
}

static void drained(void *ctx)
{
	((struct pair *)ctx)->drained++;
}

static void broken(void *ctx)
{
	struct pair *p = ctx;

	p->broken++;
	stream_close(p->s);
	p->s = NULL;
}

static const struct stream_handler handler = { opened, readable, drained, broken };

static void pair_open(struct pair *p, struct tls_server *t)
{
	int fds[2];
	struct err e;

	*p = (struct pair){ .read_max = 1000 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	if (loop_new(&p->loop, &e) || stream_open(&p->s, p->loop, fds[1], t, &handler, p, &e))
		fail_msg("%s", e.msg);
	p->client_ctx = SSL_CTX_new(TLS_client_method());
	p->client = SSL_new(p->client_ctx);
	assert_non_null(p->client);
	assert_int_equal(SSL_set_fd(p->client, fds[0]), 1);
	SSL_set_connect_state(p->client);
}

static void pair_turn(struct pair *p)
{
	for (int i = 0; i < 20; i++) {
		struct err e;

		if (!p->client_done)
			p->client_done = SSL_do_handshake(p->client) == 1;
		loop_stop(p->loop);
		assert_int_equal(loop_run(p->loop, &e), ERR_OK);
	}
}

static void pair_close(struct pair *p)
{
	int fd = SSL_get_fd(p->client);

	stream_close(p->s);
	SSL_free(p->client);
	SSL_CTX_free(p->client_ctx);
	fd_close(fd);
	loop_free(p->loop);
	buf_done(&p->got);
}

static struct tls_server *server(const char *cert, const char *key, bool tls12)
{
	static const char *const alpn[] = { "h2", "http/1.1", NULL };
	struct tls_server *t = NULL;
	struct err e;

	if (tls_server_new(&t,
			   &(struct tls_options){ .cert_path = cert,
						  .key_path = key,
						  .allow_tls12 = tls12,
						  .alpn = alpn },
			   &e))
		fail_msg("%s", e.msg);
	return t;
}

static void test_handshake(void **state)
{
	struct tls_server *t = server(path(0, "c1"), path(1, "k1"), false);
	struct pair p;

	(void)state;
	pair_open(&p, t);
	assert_int_equal(SSL_set_alpn_protos(p.client, (const uint8_t *)"\x08http/1.1\x02h2", 12),
			 0);
	pair_turn(&p);
	assert_int_equal(p.opened, 1);
	assert_true(p.client_done);
	assert_string_equal(stream_tls_version(p.s), "TLSv1.3");
	assert_true(str_eq(stream_alpn(p.s), STR("h2"))); /* our order */
	pair_close(&p);
	tls_server_free(t);
}

static void test_refused_handshakes(void **state)
{
	struct tls_server *strict = server(path(0, "c1"), path(1, "k1"), false);
	struct tls_server *old = server(path(0, "c1"), path(1, "k1"), true);
	struct pair p;

	(void)state;
	pair_open(&p, strict);
	SSL_set_max_proto_version(p.client, TLS1_2_VERSION);
	pair_turn(&p);
	assert_int_equal(p.broken, 1);
	pair_close(&p);

	pair_open(&p, old);
	SSL_set_max_proto_version(p.client, TLS1_2_VERSION);
	pair_turn(&p);
	assert_int_equal(p.opened, 1);
	assert_string_equal(stream_tls_version(p.s), "TLSv1.2");
	pair_close(&p);

	pair_open(&p, old);
	SSL_set_min_proto_version(p.client, TLS1_VERSION);
	SSL_set_max_proto_version(p.client, TLS1_1_VERSION);
	pair_turn(&p);
	assert_int_equal(p.broken, 1);
	pair_close(&p);

	pair_open(&p, strict);
	assert_int_equal(SSL_set_alpn_protos(p.client, (const uint8_t *)"\x04smtp", 5), 0);
	pair_turn(&p);
	assert_int_equal(p.broken, 1);
	pair_close(&p);
	tls_server_free(strict);
	tls_server_free(old);
}

/* What TLS holds decrypted is read without another byte from the socket. */
static void test_small_reads(void **state)
{
	struct tls_server *t = server(path(0, "c1"), path(1, "k1"), false);
	char text[5000];
	struct pair p;

	(void)state;
	memset(text, 'x', sizeof text);
	pair_open(&p, t);
	p.read_max = 7;
	pair_turn(&p);
	assert_int_equal(SSL_write(p.client, text, sizeof text), sizeof text);
	for (int i = 0; i < 50; i++)
		pair_turn(&p);
	assert_int_equal(p.got.n, sizeof text);
	assert_int_equal(SSL_shutdown(p.client), 0);
	pair_turn(&p);
	assert_true(p.eof);
	assert_int_equal(p.broken, 0);
	pair_close(&p);
	tls_server_free(t);
}

static void test_large_writes(void **state)
{
	struct tls_server *t = server(path(0, "c1"), path(1, "k1"), false);
	size_t total = 0;
	struct pair p;

	(void)state;
	pair_open(&p, t);
	pair_turn(&p);
	for (uint32_t i = 0; i < 1000000; i++)
		buf_printf(stream_out(p.s), "%07u\n", i);
	assert_true(stream_flush(p.s));
	assert_true(stream_waiting(p.s) > 0);
	stream_end_write(p.s);
	for (;;) {
		char chunk[16384];
		int n = SSL_read(p.client, chunk, sizeof chunk);

		if (n <= 0 && SSL_get_error(p.client, n) == SSL_ERROR_ZERO_RETURN)
			break;
		for (int i = 0; i < n; i++, total++) { /* in order, whole */
			char want[32];

			(void)snprintf(want, sizeof want, "%07zu\n", total / 8);
			if (chunk[i] != want[total % 8])
				fail_msg("byte %zu", total);
		}
		if (n <= 0)
			pair_turn(&p);
	}
	assert_int_equal(total, 8000000);
	assert_int_equal(p.drained, 1);
	assert_true(stream_sent(p.s) > 8000000);
	pair_close(&p);
	tls_server_free(t);
}

static void fingerprint_of_peer(char out[TLS_FINGERPRINT_MAX], const SSL *client)
{
	X509 *x = SSL_get1_peer_certificate(client);
	uint8_t hash[32];
	unsigned n = sizeof hash;

	assert_int_equal(X509_digest(x, EVP_sha256(), hash, &n), 1);
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(out + 3 * i, 4, i + 1 < n ? "%02X:" : "%02X", hash[i]);
	X509_free(x);
}

static void test_reload(void **state)
{
	const char *c1 = path(0, "c1"), *k1 = path(1, "k1"), *c2 = path(2, "c2"),
		   *k2 = path(3, "k2");
	struct tls_server *t = server(c1, k1, false);
	char before[TLS_FINGERPRINT_MAX], after[TLS_FINGERPRINT_MAX], seen[TLS_FINGERPRINT_MAX];
	struct pair old, new;
	struct err e;

	(void)state;
	tls_server_fingerprint(t, before);
	pair_open(&old, t);
	pair_turn(&old);
	assert_int_not_equal(tls_server_reload(t, c2, k1, &e), ERR_OK);
	assert_non_null(strstr(e.msg, k1));
	tls_server_fingerprint(t, after);
	assert_string_equal(before, after); /* a failure changes nothing */
	assert_int_equal(tls_server_reload(t, c2, k2, &e), ERR_OK);
	tls_server_fingerprint(t, after);
	assert_string_not_equal(before, after);
	pair_open(&new, t);
	pair_turn(&new);
	fingerprint_of_peer(seen, old.client);
	assert_string_equal(seen, before);
	fingerprint_of_peer(seen, new.client);
	assert_string_equal(seen, after);
	assert_int_equal(SSL_write(old.client, "still here", 10), 10);
	pair_turn(&old);
	assert_int_equal(old.got.n, 10);
	create(c2, k2); /* in place, as a renewal does it */
	assert_int_equal(tls_server_reload(t, NULL, NULL, &e), ERR_OK);
	tls_server_fingerprint(t, seen);
	assert_string_not_equal(seen, after);
	pair_close(&old);
	pair_close(&new);
	tls_server_free(t);
}

static void test_groups(void **state)
{
	struct tls_server *t = server(path(0, "c1"), path(1, "k1"), false);
	bool hybrid = OPENSSL_version_major() > 3 ||
		      (OPENSSL_version_major() == 3 && OPENSSL_version_minor() >= 5);

	(void)state;
	assert_int_equal(strncmp(tls_server_groups(t), "X25519MLKEM768:", 15) == 0, hybrid);
	tls_server_free(t);
}

static void test_garbage(void **state)
{
	struct tls_server *t = server(path(0, "c1"), path(1, "k1"), false);
	struct pair p;

	(void)state;
	pair_open(&p, t);
	p.client_done = true; /* says something else instead */
	assert_int_equal(send(SSL_get_fd(p.client), "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	pair_turn(&p);
	assert_int_equal(p.broken, 1);
	assert_int_equal(p.opened, 0);
	pair_close(&p);
	tls_server_free(t);
}

#ifdef QANAT_FAULT_POINTS
static void test_faults(void **state)
{
	static const struct {
		const char *point;
		unsigned broken;
		const char *why;
	} points[] = {
		{ "stream.recv:1", 1, "the client's first message" },
		{ "stream.recv:2", 1, "its second" },
		{ "stream.recv:3", 1, "what it says then" },
		{ "stream.send:1", 1, "our answer to the first" },
		{ "stream.send:2", 0, "the ticket: OpenSSL goes on without one" },
		{ "stream.send:3", 1, "what we say then" },
	};
	struct tls_server *t = server(path(0, "c1"), path(1, "k1"), false);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		struct pair p;

		assert_int_equal(setenv("QANAT_FAULT", points[i].point, 1), 0);
		fault_reload();
		pair_open(&p, t);
		for (int k = 0; k < 3; k++) {
			pair_turn(&p);
			if (p.s) {
				buf_z(stream_out(p.s), "text");
				if (!stream_flush(p.s)) {
					p.broken++;
					break;
				}
			}
			if (p.client_done)
				(void)SSL_write(p.client, "x", 1);
		}
		if (p.broken != points[i].broken)
			fail_msg("%s, %s: broken %u times", points[i].point, points[i].why,
				 p.broken);
		pair_close(&p);
	}
	assert_int_equal(unsetenv("QANAT_FAULT"), 0);
	fault_reload();
	tls_server_free(t);
}
#else
static void test_faults(void **state)
{
	(void)state;
	print_message("skip: failures of the socket: a build without fault points\n");
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_created),	    cmocka_unit_test(test_names_are_checked),
		cmocka_unit_test(test_ensure),	    cmocka_unit_test(test_load_errors),
		cmocka_unit_test(test_handshake),   cmocka_unit_test(test_refused_handshakes),
		cmocka_unit_test(test_small_reads), cmocka_unit_test(test_large_writes),
		cmocka_unit_test(test_reload),	    cmocka_unit_test(test_groups),
		cmocka_unit_test(test_garbage),	    cmocka_unit_test(test_faults),
	};

	(void)signal(SIGPIPE, SIG_IGN); /* of the client, which writes as OpenSSL does */
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
