/* serve - a server with a few routes, for clients that are programs: curl, wrk, h2load, scripts.
 *
 * usage: serve DIR [PORT [OPTION...]]   DIR keeps certificate and key; prints "listening PORT".
 * OPTION: plain, tls12, short (deadlines of a second or less), rate=N, sources=N (connections of one)
 * SIGHUP reloads the certificate, SIGTERM stops in order, SIGUSR1 prints the counters.
 */
#include <limits.h>
#include <signal.h>

#include "base/clock.h"
#include "base/encode.h"
#include "crypto/hash.h"
#include "crypto/keys.h"
#include "http/query.h"
#include "http/server.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/tls.h"
#include "io/tls_cert.h"

struct app {
	struct loop *loop;
	struct tls_server *tls;
	struct http_server *server;
};

NORETURN static void die(const struct err *e)
{
	(void)fprintf(stderr, "serve: %s\n", e->msg);
	exit(1);
}

static void ping(struct http_request *r, void *ctx)
{
	(void)ctx;
	http_respond_json(r, 200, STR("{\"status\":\"ok\"}"));
}

static void echo(struct http_request *r, void *ctx)
{
	(void)ctx;
	http_respond_text(r, 200, "application/octet-stream", r->body);
}

/* What a signed request costs. */
static void signed_ping(struct http_request *r, void *ctx)
{
	uint8_t mac[32];
	uint8_t sent[32];

	hmac_sha256(mac, "key", 3, r->body.p, r->body.n);
	if (hex_decode(sent, sizeof sent, http_header(r, "signature")) &&
	    ct_equal(mac, sent, sizeof mac))
		ping(r, ctx);
	else
		http_respond_problem(r, 401, "the signature is wrong");
}

static void item(struct http_request *r, void *ctx)
{
	struct buf out = { .limit = 1u << 16 };

	(void)ctx;
	buf_str(&out, http_param(r, "name"));
	http_respond(r, 200, "text/plain", &out);
}

/* ---- later ---- */

struct later {
	struct loop_timer timer;
	struct http_request *r;
};

static void later_fire(struct loop_timer *t)
{
	struct later *l = CONTAINER_OF(t, struct later, timer);

	http_respond_json(l->r, 200, STR("{\"later\":true}"));
	free(l);
}

static void later(struct http_request *r, void *ctx)
{
	const struct app *a = ctx;
	AUTO(buf_done) struct buf text = { 0 };
	struct later *l = calloc(1, sizeof *l);
	uint32_t ms = 50;

	if (http_query_get(r->query_raw, "ms", &text) == HTTP_QUERY_ONE &&
	    !u32_parse(buf_view(&text), 0, 60000, &ms)) {
		free(l);
		http_respond_problem(r, 400, "ms is no number from 0 to 60000");
		return;
	}
	if (!l) {
		http_respond_problem(r, 503, "out of memory");
		return;
	}
	l->r = r;
	l->timer.fire = later_fire;
	loop_timer_set(a->loop, &l->timer, loop_now(a->loop) + ms * NS_PER_MS);
}

/* ---- a long body: lines of 64 bytes ---- */

struct lines {
	uint32_t left;
};

static enum http_pull lines_pull(void *ctx, struct buf *out, size_t room)
{
	struct lines *l = ctx;

	for (size_t n = 0; n < room && l->left; n += 64, l->left--)
		buf_printf(out, "%063u\n", l->left);
	return l->left ? HTTP_MORE : HTTP_END;
}

static void lines(struct http_request *r, void *ctx)
{
	struct lines *l = calloc(1, sizeof *l);

	(void)ctx;
	if (!l || !u32_parse(http_param(r, "n"), 1, 10000000, &l->left)) {
		free(l);
		http_respond_problem(r, 400, "n is no number from 1 to 10000000");
		return;
	}
	http_respond_stream(r, 200, "text/plain", &(struct http_producer){ lines_pull, free, l });
}

/* ---- an upgraded connection that echoes ---- */

struct raw {
	struct stream *stream;
};

static void raw_end(struct raw *w)
{
	stream_close(w->stream);
	free(w);
}

static void raw_readable(void *ctx)
{
	struct raw *w = ctx;
	char chunk[4096];
	ssize_t n = stream_read(w->stream, chunk, sizeof chunk);

	if (n > 0)
		buf_add(stream_out(w->stream), chunk, (size_t)n);
	if (n < 0 || !stream_flush(w->stream))
		raw_end(w);
}

static void raw_broken(void *ctx)
{
	raw_end(ctx);
}

static void raw_nothing(void *ctx)
{
	(void)ctx;
}

static const struct stream_handler raw_handler = {
	.opened = raw_nothing,
	.readable = raw_readable,
	.drained = raw_nothing,
	.broken = raw_broken,
};

static void upgrade(struct http_request *r, void *ctx)
{
	struct raw *w = calloc(1, sizeof *w);
	AUTO(buf_done) struct buf early = { 0 };
	struct err e;

	(void)ctx;
	if (!w || http_upgrade(&w->stream, &early, r, "echo", &e)) {
		http_respond_problem(r, w ? 400 : 503, "%s", w ? e.msg : "out of memory");
		free(w);
		return;
	}
	stream_handle(w->stream, &raw_handler, w);
	buf_str(stream_out(w->stream), buf_view(&early));
	stream_want_read(w->stream, true);
	if (!stream_flush(w->stream))
		raw_end(w);
}

static bool authorise(struct http_request *r, void *ctx)
{
	(void)ctx;
	if (str_eq(http_header(r, "authorization"), STR("Bearer let-me-in")))
		return true;
	http_add_header(r, "WWW-Authenticate", STR("Bearer"));
	http_respond_problem(r, 401, "a token is needed");
	return false;
}

static void refuse_in_style(struct http_request *r, unsigned status, const char *detail)
{
	struct buf out = { .limit = 4096 };

	buf_printf(&out, "{\"detail\":\"%s\"}", detail);
	http_respond(r, status, "application/json", &out);
}

static const struct http_group guarded = { "guarded", authorise, refuse_in_style };

static const struct http_route routes[] = {
	{ HTTP_GET, "/ping", ping, NULL, 0, 0 },
	{ HTTP_GET, "/health", ping, NULL, HTTP_ROUTE_NO_RATE_LIMIT | HTTP_ROUTE_EVEN_BUSY, 0 },
	{ HTTP_POST, "/echo", echo, NULL, 0, 0 },
	{ HTTP_POST, "/small", echo, NULL, 0, 10 },
	{ HTTP_POST, "/signed", signed_ping, NULL, 0, 0 },
	{ HTTP_GET, "/later", later, NULL, 0, 0 },
	{ HTTP_GET, "/lines/{n}", lines, NULL, 0, 0 },
	{ HTTP_GET, "/items/{name}", item, NULL, 0, 0 },
	{ HTTP_GET, "/upgrade", upgrade, NULL, 0, 0 },
	{ HTTP_GET, "/guarded/{name}", item, &guarded, 0, 0 },
	{ HTTP_POST, "/guarded/{name}", echo, &guarded, 0, 100 },
};

static void print_stats(void *ctx, int signo)
{
	const struct app *a = ctx;
	struct http_stats s;

	(void)signo;
	http_server_stats(a->server, &s);
	printf("connections=%u running=%u bodies=%zu accepted=%llu requests=%llu refused=%llu "
	       "handshakes_failed=%llu timeouts=%llu bad=%llu limited=%llu overloaded=%llu "
	       "floods=%llu\n",
	       s.connections, s.requests_running, s.bodies_bytes, (unsigned long long)s.accepted,
	       (unsigned long long)s.requests, (unsigned long long)s.refused_connections,
	       (unsigned long long)s.handshakes_failed, (unsigned long long)s.timeouts,
	       (unsigned long long)s.bad_requests, (unsigned long long)s.rate_limited,
	       (unsigned long long)s.overloaded, (unsigned long long)s.floods);
	(void)fflush(stdout);
}

static void reload(void *ctx, int signo)
{
	const struct app *a = ctx;
	struct err e;

	(void)signo;
	if (a->tls && tls_server_reload(a->tls, NULL, NULL, &e))
		printf("reload failed: %s\n", e.msg);
	else
		printf("reloaded\n");
	(void)fflush(stdout);
}

static void stopped(void *ctx)
{
	loop_stop(((const struct app *)ctx)->loop);
}

static void stop(void *ctx, int signo)
{
	const struct app *a = ctx;

	(void)signo;
	http_server_stop(a->server, 3000, stopped, ctx);
}

static void read_option(struct http_limits *l, bool *plain, bool *tls12, const char *option)
{
	struct str rest = str_of(option), name;

	if (!str_cut(&rest, '=', &name))
		return;
	*plain |= str_eq(name, STR("plain"));
	*tls12 |= str_eq(name, STR("tls12"));
	if (str_eq(name, STR("short"))) {
		l->handshake_ms = l->head_ms = l->body_ms = l->stall_ms = 500;
		l->idle_ms = 1000;
	}
	if ((str_eq(name, STR("rate")) && !u32_parse(rest, 1, 1000000, &l->rate_per_s)) ||
	    (str_eq(name, STR("sources")) &&
	     !u32_parse(rest, 1, 1000000, &l->connections_per_source))) {
		(void)fprintf(stderr, "serve: %s?\n", option);
		exit(2);
	}
}

static void tls_up(struct app *a, const char *dir, bool tls12)
{
	static const char *const alpn[] = { "h2", "http/1.1", NULL };
	static const char *const hosts[] = { "localhost" };
	const struct ip_addr addrs[] = { { IP_V4, { 127, 0, 0, 1 } }, { IP_V6, { [15] = 1 } } };
	const struct tls_cert_names names = { NULL, hosts, 1, addrs, 2 };
	char cert[PATH_MAX], key[PATH_MAX], print[TLS_FINGERPRINT_MAX];
	struct err e;

	(void)snprintf(cert, sizeof cert, "%s/cert.pem", dir);
	(void)snprintf(key, sizeof key, "%s/key.pem", dir);
	if (tls_cert_ensure(cert, key, &names, clock_real_ns() / NS_PER_S, NULL, &e) ||
	    tls_server_new(&a->tls,
			   &(struct tls_options){ .cert_path = cert,
						  .key_path = key,
						  .allow_tls12 = tls12,
						  .alpn = alpn },
			   &e))
		die(&e);
	tls_server_fingerprint(a->tls, print);
	printf("fingerprint %s\ngroups %s\n", print, tls_server_groups(a->tls));
}

int main(int argc, char **argv)
{
	struct app a = { 0 };
	struct http_server_options o = { .hsts_s = 0 };
	struct endpoint at = { .addr = { IP_V4, { 127, 0, 0, 1 } } };
	bool plain = false, tls12 = false;
	uint32_t port = 0;
	struct err e;

	if (argc < 2 || (argc > 2 && !u32_parse(str_of(argv[2]), 0, 65535, &port))) {
		(void)fprintf(stderr, "usage: serve DIR [PORT [OPTION...]]\n");
		return 2;
	}
	o.limits.connections_per_source = 1000;
	for (int i = 3; i < argc; i++)
		read_option(&o.limits, &plain, &tls12, argv[i]);
	if (!crypto_init() || loop_new(&a.loop, &e))
		return 1;
	if (!plain)
		tls_up(&a, argv[1], tls12);
	o.tls = a.tls;
	o.hsts_s = 3600;
	at.port = (uint16_t)port;
	if (http_server_new(&a.server, a.loop, &o, &e) ||
	    http_server_add_routes(a.server, routes, ARRAY_LEN(routes), &a, &e) ||
	    http_server_listen(a.server, &at, &at, &e) ||
	    loop_signal(a.loop, SIGHUP, reload, &a, &e) ||
	    loop_signal(a.loop, SIGTERM, stop, &a, &e) ||
	    loop_signal(a.loop, SIGUSR1, print_stats, &a, &e))
		die(&e);
	printf("listening %u\n", at.port);
	(void)fflush(stdout);
	if (loop_run(a.loop, &e))
		die(&e);
	http_server_free(a.server);
	tls_server_free(a.tls);
	loop_free(a.loop);
	printf("stopped\n");
	return 0;
}
