/* A whole server over HTTP/1.1, one client, no sockets of the network. */
#include "base/tests/cm.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "http/tests/talk.h"
#include "io/stream.h"

struct app {
	struct http_request *held; /* of /hold */
	unsigned held_n;
	unsigned gone;
	unsigned done; /* producers that have ended */
	unsigned pulled;
	bool ready; /* the waiting producer has something */
	struct http_access last;
	char last_id[HTTP_REQUEST_ID_MAX + 1];
	unsigned accesses;
	struct stream *taken;
};

static struct app app;

static void echo(struct http_request *r, void *ctx)
{
	assert_ptr_equal(ctx, &app);
	http_respond_text(r, 200, "text/plain", r->body);
}

static void gone(struct http_request *r)
{
	app.gone++;
	assert_true(http_request_is_gone(r));
}

static void hold(struct http_request *r, void *ctx)
{
	(void)ctx;
	app.held = r;
	app.held_n++;
	http_request_on_gone(r, gone);
}

static void told(struct http_request *r, void *ctx)
{
	struct buf out = { .limit = 65536 };

	(void)ctx;
	buf_printf(&out, "%s|%.*s|%.*s|%.*s|%.*s", http_method_name(r->method),
		   STR_ARG(http_param(r, "a")), STR_ARG(r->path), STR_ARG(r->path_raw),
		   STR_ARG(r->query_raw));
	http_add_header(r, "X-Told", STR("a\r\nX-Injected: b"));
	http_respond(r, 200, "text/plain", &out);
}

static enum http_pull pull_many(void *ctx, struct buf *out, size_t room)
{
	(void)ctx;
	(void)room;
	buf_z(out, "0123456789");
	return ++app.pulled < 3 ? HTTP_MORE : HTTP_END;
}

static enum http_pull pull_wait(void *ctx, struct buf *out, size_t room)
{
	(void)ctx;
	(void)room;
	if (!app.ready)
		return HTTP_WAIT;
	app.ready = false;
	buf_z(out, "event\n");
	return HTTP_MORE;
}

static enum http_pull pull_fail(void *ctx, struct buf *out, size_t room)
{
	(void)ctx;
	(void)room;
	buf_z(out, "half");
	return ++app.pulled < 2 ? HTTP_MORE : HTTP_FAIL;
}

/* As much as is asked for, without end. */
static enum http_pull pull_flood(void *ctx, struct buf *out, size_t room)
{
	(void)ctx;
	for (size_t i = 0; i < room; i++)
		buf_char(out, 'x');
	app.pulled++;
	return HTTP_MORE;
}

static void pull_done(void *ctx)
{
	(void)ctx;
	app.done++;
}

static void streamed(struct http_request *r, void *ctx)
{
	struct str kind = http_param(r, "kind");
	struct http_producer p = { pull_many, pull_done, NULL };

	(void)ctx;
	app.pulled = 0;
	app.held = r;
	if (str_eq(kind, STR("wait")))
		p.pull = pull_wait;
	if (str_eq(kind, STR("fail")))
		p.pull = pull_fail;
	if (str_eq(kind, STR("flood")))
		p.pull = pull_flood;
	http_respond_stream(r, 200, "text/plain", &p);
}

static void take(struct http_request *r, void *ctx)
{
	AUTO(buf_done) struct buf early = { 0 };
	struct err e;

	(void)ctx;
	if (http_upgrade(&app.taken, &early, r, "raw", &e)) {
		http_respond_problem(r, 400, "%s", e.msg);
		return;
	}
	buf_str(stream_out(app.taken), buf_view(&early));
	assert_true(stream_flush(app.taken));
}

static bool authorise(struct http_request *r, void *ctx)
{
	(void)ctx;
	if (str_eq(r->body, STR("let me in")))
		return true;
	http_respond_json(r, 401, STR("{\"detail\":\"who are you\"}"));
	return false;
}

static void refuse(struct http_request *r, unsigned status, const char *detail)
{
	(void)detail;
	http_respond_json(r, status, STR("{\"detail\":\"styled\"}"));
}

static const struct http_group group = { "g", authorise, refuse };

static const struct http_route routes[] = {
	{ HTTP_GET, "/", echo, NULL, 0, 0 },
	{ HTTP_POST, "/", echo, NULL, 0, 0 },
	{ HTTP_POST, "/ten", echo, NULL, 0, 10 },
	{ HTTP_GET, "/hold", hold, NULL, 0, 0 },
	{ HTTP_POST, "/hold", hold, NULL, 0, 0 },
	{ HTTP_GET, "/health", echo, NULL, HTTP_ROUTE_EVEN_BUSY | HTTP_ROUTE_NO_RATE_LIMIT, 0 },
	{ HTTP_GET, "/told/{a}", told, NULL, 0, 0 },
	{ HTTP_GET, "/stream/{kind}", streamed, NULL, 0, 0 },
	{ HTTP_GET, "/take", take, NULL, 0, 0 },
	{ HTTP_POST, "/guarded", echo, &group, 0, 20 },
};

static void access_log(void *ctx, const struct http_access *a)
{
	(void)ctx;
	app.last = *a;
	(void)snprintf(app.last_id, sizeof app.last_id, "%s", a->request_id);
	app.accesses++;
}

static void start(struct talk *t, const struct http_limits *l)
{
	struct http_server_options o = { .access = access_log };

	app = (struct app){ 0 };
	if (l)
		o.limits = *l;
	talk_start(t, &o, routes, ARRAY_LEN(routes), &app);
}

static void end(struct talk *t)
{
	struct http_stats s;

	talk_hang_up(t);
	talk_turn(t);
	http_server_stats(t->server, &s);
	assert_int_equal(s.connections, 0);
	assert_int_equal(s.bodies_bytes, 0);
	assert_int_equal(s.requests_running, 0);
	talk_end(t);
}

#define H " HTTP/1.1\r\nHost: a\r\n"

static const struct {
	const char *request;
	unsigned status;
	bool closes;
	const char *has; /* in the answer; NULL: anything */
	const char *why;
} rows[] = {
	{ "GET /" H "\r\n", 200, false, "content-length: 0\r\n", "the least" },
	{ "\r\nGET /" H "\r\n", 200, false, NULL, "an empty line in front" },
	{ "\r\n\r\nGET /" H "\r\n", 400, true, NULL, "two of them" },
	{ "GET / HTTP/1.0\r\n\r\n", 200, true, NULL, "HTTP/1.0 closes" },
	{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, false, "connection: keep-alive",
	  "unless asked" },
	{ "GET /" H "Connection: close\r\n\r\n", 200, true, "connection: close", "told to close" },
	{ "POST /" H "Content-Length: 3\r\n\r\nabc", 200, false, "\r\n\r\nabc", "a body" },
	{ "POST /" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200,
	  false, "\r\n\r\nabcde", "chunks" },
	{ "HEAD /" H "\r\n", 200, false, "content-length: 0", "HEAD" },
	{ "OPTIONS /" H "\r\n", 204, false, "allow: GET, HEAD, POST, OPTIONS\r\n", "OPTIONS" },
	{ "OPTIONS *" H "\r\n", 204, false, "allow: ", "OPTIONS *" },
	{ "DELETE /" H "\r\n", 405, false, "allow: GET, HEAD, POST, OPTIONS\r\n",
	  "405 says what is allowed" },
	{ "GET /nothing" H "\r\n", 404, false, "application/problem+json", "404 is a problem" },
	{ "TRACE /" H "\r\n", 501, true, NULL, "an unknown method" },
	{ "CONNECT a:1" H "\r\n", 501, true, NULL, "CONNECT" },
	{ "GET /told/x%2Fy%20z?q=%20" H "\r\n", 200, false,
	  "GET|x/y z|/told/x/y z|/told/x%2Fy%20z|q=%20", "parts of a target" },
	{ "GET http://a/told/x" H "\r\n", 200, false, "|/told/x|", "an absolute target" },
	{ "GET http://b/told/x" H "\r\n", 400, false, "another host", "for somebody else" },
	{ "GET http://a" H "\r\n", 400, false, NULL, "without a path" },
	{ "GET /told/../x" H "\r\n", 400, false, NULL, "dots" },
	{ "GET /told/%00" H "\r\n", 400, false, NULL, "NUL" },
	{ "GET *" H "\r\n", 400, false, NULL, "a star that is not for OPTIONS" },
	{ "GET /told/x" H "\r\n", 200, false, "x-told: a??X-Injected: b\r\n",
	  "a header cannot be injected" },
	{ "GET /" H "X-Request-ID: abc-1.2\r\n\r\n", 200, false, "x-request-id: abc-1.2\r\n",
	  "their request id" },
	{ "GET /" H "X-Request-ID: a b\r\n\r\n", 200, false, "-0\r\n",
	  "a malformed one is replaced" },
	{ "GET /" H "X-Request-ID: a\r\nX-Request-ID: b\r\n\r\n", 200, false, "-0\r\n",
	  "two are none" },
	{ "POST /ten" H "Content-Length: 10\r\n\r\n0123456789", 200, false, "0123456789",
	  "just small enough" },
	{ "POST /ten" H "Content-Length: 11\r\n\r\n", 413, true, "longer than the 10 bytes",
	  "too long, before it is sent" },
	{ "POST /ten" H "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", 413,
	  true, "longer than the 10 bytes", "too long in chunks" },
	{ "POST /ten" H "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n", 100, false,
	  "HTTP/1.1 100 Continue\r\n\r\n", "may go on" },
	{ "POST /ten" H "Content-Length: 11\r\nExpect: 100-continue\r\n\r\n", 413, true, NULL,
	  "may not" },
	{ "POST /guarded" H "Content-Length: 2\r\n\r\nno", 401, false, "who are you",
	  "the hook answers" },
	{ "POST /guarded" H "Content-Length: 9\r\n\r\nlet me in", 200, false, "let me in",
	  "the hook lets in" },
	{ "POST /guarded" H "Content-Length: 99\r\n\r\n", 413, true, "styled",
	  "refused in the group's style" },
	{ "GET /guarded" H "\r\n", 405, false, "styled", "405 in the style of its neighbour" },
	{ "GET /" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, true,
	  "both", "smuggling" },
	{ "POST /" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n", 400, true, NULL,
	  "a chunk that ends otherwise" },
	{ "POST /" H "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, true, NULL, "no chunk" },
	{ "GET /" H "X: a\nY: b\r\n\r\n", 400, true, "LF without CR", "a bare LF, at once" },
	{ "\x16\x03\x01\x02\n", 400, true, NULL, "TLS to a plain port" },
	{ "GET /stream/many" H "\r\n", 200, false,
	  "a\r\n0123456789\r\na\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "a streamed body" },
	{ "HEAD /stream/many" H "\r\n", 200, false, "\r\n\r\n", "HEAD of one" },
	{ "GET /stream/many HTTP/1.0\r\n\r\n", 200, true, "\r\n\r\n012345678901234567890123456789",
	  "without chunks" },
	{ "GET /stream/fail" H "\r\n", 200, true, "half", "a body broken off" },
	{ "GET /take" H "\r\n", 400, false, "raw", "no upgrade asked for" },
	{ "GET /take" H "Upgrade: raw\r\n\r\n", 400, false, NULL, "Connection does not name it" },
	{ "GET /take" H "Connection: upgrade\r\nUpgrade: other\r\n\r\n", 400, false, NULL,
	  "another protocol" },
	{ "GET /" H "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", 200, false, NULL,
	  "an upgrade that nobody wants" },
};

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct talk t;

		start(&t, NULL);
		talk_once(&t, rows[i].request);
		if (talk_status(&t) != rows[i].status || t.eof != rows[i].closes ||
		    (rows[i].has && !talk_count(&t, rows[i].has)))
			fail_msg("%s: want %u, closes %d, \"%s\"; got (closed: %d)\n%s",
				 rows[i].why, rows[i].status, rows[i].closes,
				 rows[i].has ? rows[i].has : "", t.eof, buf_view(&t.got).p);
		end(&t);
	}
}

/* However the bytes are cut, the answer is the same. */
static void test_in_pieces(void **state)
{
	static const char *const request =
		"POST /?a HTTP/1.1\r\nHost: a\r\nX-Request-ID: x\r\nTransfer-Encoding: "
		"chunked\r\n\r\n"
		"5;ext\r\nhello\r\n0\r\n\r\nGET /told/x HTTP/1.1\r\nHost: a\r\n\r\n";
	size_t n = strlen(request);

	(void)state;
	for (size_t cut = 1; cut < n; cut++) {
		struct talk t;

		start(&t, NULL);
		talk_connect(&t);
		talk_send(&t, (struct str){ request, cut });
		talk_turn(&t);
		talk_send(&t, (struct str){ request + cut, n - cut });
		talk_turn(&t);
		if (talk_count(&t, "HTTP/1.1 200 OK") != 2 || !talk_count(&t, "\r\n\r\nhello") ||
		    !talk_count(&t, "GET|x|"))
			fail_msg("cut after %zu: %s", cut, buf_view(&t.got).p);
		end(&t);
	}
}

/* Answers come in the order of the requests, also when the first is late. */
static void test_pipelined(void **state)
{
	struct talk t;
	size_t first, second;

	(void)state;
	start(&t, NULL);
	talk_once(&t, "GET /hold" H "\r\nGET /told/second" H "\r\n");
	assert_int_equal(t.got.n, 0);
	assert_int_equal(app.held_n, 1);
	http_respond_json(app.held, 200, STR("first"));
	talk_turn(&t);
	first = (size_t)str_find_nocase(buf_view(&t.got), STR("first"));
	second = (size_t)str_find_nocase(buf_view(&t.got), STR("second"));
	assert_int_equal(talk_count(&t, "200 OK"), 2);
	assert_true(first < second);
	end(&t);
}

static void test_gone_before_the_answer(void **state)
{
	struct talk t;
	struct http_stats s;

	(void)state;
	start(&t, NULL);
	talk_once(&t, "POST /hold" H "Content-Length: 4\r\n\r\nbody");
	assert_non_null(app.held);
	talk_hang_up(&t);
	talk_turn(&t);
	assert_int_equal(app.gone, 1);
	assert_true(http_request_is_gone(app.held));
	assert_true(str_eq(app.held->body, STR("body"))); /* it stays valid */
	http_server_stats(t.server, &s);
	assert_int_equal(s.connections, 0);
	assert_int_equal(s.requests_running, 1);
	http_respond_json(app.held, 200, STR("{}"));
	assert_int_equal(app.accesses, 1);
	end(&t);
}

/* The server may be freed while a handler still has a request. */
static void test_freed_before_the_answer(void **state)
{
	struct talk t;

	(void)state;
	start(&t, NULL);
	talk_once(&t, "GET /hold" H "\r\n");
	http_server_free(t.server);
	assert_int_equal(app.gone, 1);
	http_respond_json(app.held, 200, STR("{}")); /* frees the rest, says the leak checker */
	t.server = NULL;
	talk_end(&t);
}

static void respond_posted(struct http_request *r)
{
	http_respond_json(r, 200, STR("{\"from\":\"thread\"}"));
}

static void *other_thread(void *r)
{
	http_request_post(r, respond_posted);
	return NULL;
}

static void test_answer_from_another_thread(void **state)
{
	struct talk t;
	pthread_t thread;

	(void)state;
	start(&t, NULL);
	talk_once(&t, "GET /hold" H "\r\n");
	assert_int_equal(pthread_create(&thread, NULL, other_thread, app.held), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	talk_turn(&t);
	assert_int_equal(talk_count(&t, "from"), 1);
	end(&t);
}

static void test_events(void **state)
{
	struct talk t;

	(void)state;
	start(&t, NULL);
	talk_once(&t, "GET /stream/wait" H "\r\n");
	assert_int_equal(talk_count(&t, "event"), 0);
	for (unsigned i = 1; i <= 3; i++) {
		app.ready = true;
		http_stream_wake(app.held);
		talk_turn(&t);
		assert_int_equal(talk_count(&t, "6\r\nevent\n\r\n"), i);
	}
	talk_hang_up(&t);
	talk_turn(&t);
	assert_int_equal(app.done, 1);
	end(&t);
}

static void ask_for_flood(struct talk *t)
{
	static const char request[] = "GET /stream/flood" H "\r\n";

	assert_int_equal(send(t->fd, request, sizeof request - 1, 0), sizeof request - 1);
}

/* A client that does not read stops the producer, not the server. */
static void test_back_pressure(void **state)
{
	struct talk t;
	unsigned pulled;

	(void)state;
	start(&t, NULL);
	talk_connect(&t);
	ask_for_flood(&t);
	for (int i = 0; i < 50; i++) {
		struct err e;

		loop_stop(t.loop);
		assert_int_equal(loop_run(t.loop, &e), ERR_OK);
	}
	pulled = app.pulled;
	assert_true(pulled > 0 && pulled < 100); /* times 16 KiB */
	for (int i = 0; i < 50; i++) {
		struct err e;

		loop_stop(t.loop);
		assert_int_equal(loop_run(t.loop, &e), ERR_OK);
	}
	assert_int_equal(app.pulled, pulled);
	talk_hang_up(&t);
	talk_turn(&t);
	assert_int_equal(app.done, 1);
	end(&t);
}

static void test_upgrade(void **state)
{
	struct talk t;

	(void)state;
	start(&t, NULL);
	talk_once(&t, "GET /take" H "Connection: Upgrade\r\nUpgrade: RAW\r\n\r\nearly");
	assert_non_null(app.taken);
	assert_int_equal(talk_status(&t), 101);
	assert_int_equal(talk_count(&t, "upgrade: raw\r\n"), 1);
	assert_int_equal(talk_count(&t, "\r\n\r\nearly"), 1);
	assert_false(t.eof);
	stream_close(app.taken);
	talk_until_closed(&t);
	end(&t);
}

static void test_access_log(void **state)
{
	struct talk t;

	(void)state;
	start(&t, NULL);
	talk_once(&t, "POST /ten?secret=1" H "X-Request-ID: me\r\nContent-Length: 2\r\n\r\nhi");
	assert_int_equal(app.accesses, 1);
	assert_string_equal(app.last.method, "POST");
	assert_string_equal(app.last.pattern, "/ten");
	assert_string_equal(app.last_id, "me");
	assert_int_equal(app.last.status, 200);
	assert_int_equal(app.last.bytes, 2);
	assert_int_equal(app.last.version, 11);
	talk_once(&t, "nonsense\r\n\r\n");
	assert_int_equal(app.accesses, 2);
	assert_string_equal(app.last.method, "-");
	assert_string_equal(app.last.pattern, "-");
	assert_int_equal(app.last.status, 400);
	end(&t);
}

/* ---- limits ---- */

static void test_head_limits(void **state)
{
	const struct http_limits l = { .head_bytes = 200, .head_fields = 3 };
	AUTO(buf_done) struct buf long_head = { 0 };
	struct talk t;

	(void)state;
	start(&t, &l);
	talk_once(&t, "GET /" H "A: 1\r\nB: 2\r\nC: 3\r\n\r\n");
	assert_int_equal(talk_status(&t), 431);
	assert_int_equal(talk_count(&t, "more than 3 headers"), 1);
	buf_z(&long_head, "GET /" H "A: ");
	for (int i = 0; i < 200; i++)
		buf_char(&long_head, 'x'); /* its end never comes */
	talk_once(&t, buf_view(&long_head).p);
	assert_int_equal(talk_status(&t), 431);
	assert_int_equal(talk_count(&t, "longer than 200 bytes"), 1);
	assert_true(t.eof);
	end(&t);
}

static void test_deadlines(void **state)
{
	static const struct {
		const char *request;
		unsigned status;
		const char *why;
	} slow[] = {
		{ "", 0, "nothing at all" },
		{ "GET / HTT", 408, "half a head" },
		{ "POST /" H "Content-Length: 5\r\n\r\nab", 408, "half a body" },
		{ "POST /" H "Transfer-Encoding: chunked\r\n\r\n5\r\nab", 408, "half a chunk" },
		{ "GET /" H "\r\n", 200, "no second request" },
	};
	const struct http_limits l = {
		.head_ms = 30, .body_ms = 30, .idle_ms = 60, .body_rate = 1000000
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		struct talk t;

		start(&t, &l);
		talk_once(&t, slow[i].request);
		talk_until_closed(&t);
		if (talk_status(&t) != slow[i].status)
			fail_msg("%s: %s", slow[i].why, buf_view(&t.got).p);
		end(&t);
	}
}

/* Bytes that trickle in do not move the deadline. */
static void test_trickle(void **state)
{
	const struct http_limits l = { .head_ms = 100 };
	struct talk t;
	struct http_stats s;

	(void)state;
	start(&t, &l);
	talk_once(&t, "GET /" H);
	for (int i = 0; i < 5000 && !t.eof; i++) {
		talk_send(&t, STR("X: y\r\n"));
		talk_turn(&t);
		(void)poll(NULL, 0, 2);
	}
	assert_true(t.eof);
	http_server_stats(t.server, &s);
	assert_int_equal(s.timeouts + s.bad_requests > 0, 1);
	end(&t);
}

static void test_stalled_reader(void **state)
{
	const struct http_limits l = { .stall_ms = 50 };
	struct talk t;
	struct http_stats s;
	int64_t until = clock_mono_ns() + 10 * NS_PER_S;

	(void)state;
	start(&t, &l);
	talk_connect(&t);
	ask_for_flood(&t);
	do { /* never reads */
		struct err e;

		loop_stop(t.loop);
		assert_int_equal(loop_run(t.loop, &e), ERR_OK);
		http_server_stats(t.server, &s);
	} while (!s.timeouts && clock_mono_ns() < until);
	assert_int_equal(s.timeouts, 1);
	assert_int_equal(s.connections, 0);
	assert_int_equal(app.done, 1);
	end(&t);
}

static void test_counts(void **state)
{
	const struct http_limits l = { .connections_per_source = 1,
				       .requests_running = 1,
				       .requests_per_connection = 2,
				       .rate_per_s = 1,
				       .rate_burst = 4 };
	struct talk t, other;

	(void)state;
	start(&t, &l);
	talk_once(&t, "GET /hold" H "\r\n");
	assert_non_null(app.held);
	other = t; /* a second connection from the same source */
	other.fd = -1;
	other.got = (struct buf){ 0 };
	talk_connect(&other);
	talk_turn(&other);
	assert_true(other.eof);
	talk_hang_up(&other);
	talk_hang_up(&t);
	talk_turn(&t); /* what the handler holds still counts */
	talk_once(&t, "GET /" H "\r\n");
	assert_int_equal(talk_status(&t), 503);
	assert_int_equal(talk_count(&t, "retry-after: 1\r\n"), 1);
	talk_once(&t, "GET /health" H "\r\n");
	assert_int_equal(talk_status(&t), 200);
	http_respond_json(app.held, 200, STR("{}"));
	talk_once(&t, "GET /" H "\r\nGET /" H "\r\nGET /" H "\r\n");
	assert_int_equal(talk_count(&t, "200 OK"), 2); /* then the connection is used up */
	assert_int_equal(talk_count(&t, "connection: close"), 1);
	assert_true(t.eof);
	talk_once(&t, "GET /" H "\r\n");
	assert_int_equal(talk_status(&t), 429);
	assert_int_equal(talk_count(&t, "retry-after: 1\r\n"), 1);
	talk_once(&t, "GET /health" H "\r\n");
	assert_int_equal(talk_status(&t), 200);
	talk_once(&t, "GET /no/such/path" H "\r\n");
	assert_int_equal(talk_status(&t), 429);
	talk_once(&t, "DELETE /" H "\r\n");
	assert_int_equal(talk_status(&t), 429);
	buf_done(&other.got);
	end(&t);
}

static void test_bodies_budget(void **state)
{
	const struct http_limits l = { .bodies_bytes = 10, .bodies_per_source = 10 };
	struct talk t;

	(void)state;
	start(&t, &l);
	talk_once(&t, "POST /" H "Content-Length: 10\r\n\r\n0123456789");
	assert_int_equal(talk_status(&t), 200);
	talk_once(&t, "POST /" H "Content-Length: 11\r\n\r\n0123456789x");
	assert_int_equal(talk_status(&t), 503);
	end(&t);
}

/* Who holds bodies has no room for more, others do; it is given back when the connection ends. */
static void test_bodies_of_a_source(void **state)
{
	const struct http_limits l = { .bodies_bytes = 20, .bodies_per_source = 10 };
	struct talk t, other;
	struct http_stats s;

	(void)state;
	start(&t, &l);
	talk_once(&t, "POST /" H "Content-Length: 8\r\n\r\n012345");
	http_server_stats(t.server, &s);
	assert_int_equal(s.bodies_bytes, 6);
	other = t; /* a second connection from the same source */
	other.fd = -1;
	other.got = (struct buf){ 0 };
	talk_once(&other, "POST /" H "Content-Length: 5\r\n\r\n01234");
	assert_int_equal(talk_status(&other), 503);
	talk_once(&other, "POST /" H "Content-Length: 4\r\n\r\n0123");
	assert_int_equal(talk_status(&other), 200);
	talk_hang_up(&t);
	talk_turn(&t);
	talk_once(&other, "POST /" H "Content-Length: 10\r\n\r\n0123456789");
	assert_int_equal(talk_status(&other), 200);
	talk_hang_up(&other);
	talk_turn(&other);
	buf_done(&other.got);
	end(&t);
}

/* Bytes that came quickly are no right to keep the rest back. */
static void test_body_that_stops(void **state)
{
	const struct http_limits l = { .body_ms = 20, .body_rate = 1 }; /* 40 s for what has come */
	struct talk t;

	(void)state;
	start(&t, &l);
	talk_once(&t, "POST /" H "Content-Length: 100\r\n\r\n"
		      "0123456789012345678901234567890123456789");
	talk_until_closed(&t);
	assert_int_equal(talk_status(&t), 408);
	end(&t);
}

/* ---- stopping ---- */

static void stopped(void *ctx)
{
	++*(unsigned *)ctx;
}

static void test_stop(void **state)
{
	struct talk t;
	unsigned n = 0;

	(void)state;
	start(&t, NULL);
	talk_once(&t, "GET /hold" H "\r\n");
	http_server_stop(t.server, 60000, stopped, &n);
	talk_turn(&t);
	assert_int_equal(n, 0); /* a request is being worked on */
	http_respond_json(app.held, 200, STR("{}"));
	talk_until_closed(&t);
	assert_int_equal(talk_status(&t), 200);
	assert_int_equal(talk_count(&t, "connection: close"), 1);
	talk_hang_up(&t);
	talk_turn(&t);
	assert_int_equal(n, 1);
	talk_connect(&t); /* nobody is let in any more */
	talk_turn(&t);
	assert_true(t.eof);
	end(&t);
}

static void test_stop_deadline(void **state)
{
	struct talk t;
	unsigned n = 0;

	(void)state;
	start(&t, NULL);
	talk_once(&t, "GET /hold" H "\r\n");
	http_server_stop(t.server, 20, stopped, &n);
	talk_until_closed(&t);
	assert_int_equal(n, 1);
	assert_int_equal(app.gone, 1);
	http_respond_json(app.held, 200, STR("{}"));
	end(&t);
}

/* An idle connection is told at once. */
static void test_stop_idle(void **state)
{
	struct talk t;
	unsigned n = 0;

	(void)state;
	start(&t, NULL);
	talk_once(&t, "GET /" H "\r\n");
	http_server_stop(t.server, 60000, stopped, &n);
	talk_until_closed(&t);
	talk_hang_up(&t);
	talk_turn(&t);
	assert_int_equal(n, 1);
	end(&t);
}

static void test_listen_without_tls(void **state)
{
	struct endpoint any = { .addr = { IP_V4, { 0, 0, 0, 0 } } };
	struct endpoint loopback = { .addr = { IP_V4, { 127, 0, 0, 1 } } }, bound;
	struct talk t;
	struct err e;

	(void)state;
	start(&t, NULL);
	assert_int_equal(http_server_listen(t.server, &any, NULL, &e), ERR_DENIED);
	assert_int_equal(http_server_listen(t.server, &loopback, &bound, &e), ERR_OK);
	assert_int_not_equal(bound.port, 0);
	assert_int_equal(http_server_listen(t.server, &bound, NULL, &e), ERR_IN_USE);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_in_pieces),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_gone_before_the_answer),
		cmocka_unit_test(test_freed_before_the_answer),
		cmocka_unit_test(test_answer_from_another_thread),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_access_log),
		cmocka_unit_test(test_head_limits),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_trickle),
		cmocka_unit_test(test_stalled_reader),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_bodies_budget),
		cmocka_unit_test(test_bodies_of_a_source),
		cmocka_unit_test(test_body_that_stops),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_stop_deadline),
		cmocka_unit_test(test_stop_idle),
		cmocka_unit_test(test_listen_without_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
