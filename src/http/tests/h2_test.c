/* A whole server over HTTP/2: nghttp2 on the client's side too, and frames made by hand. */
#include "base/tests/cm.h"

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include "http/tests/talk.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static struct http_request *held;
static unsigned gone_n, done_n, wait_n;

static void echo(struct http_request *r, void *ctx)
{
	(void)ctx;
	http_respond_text(r, 200, "text/plain", r->body);
}

static void gone(struct http_request *r)
{
	(void)r;
	gone_n++;
}

static void hold(struct http_request *r, void *ctx)
{
	(void)ctx;
	held = r;
	http_request_on_gone(r, gone);
}

static enum http_pull pull(void *ctx, struct buf *out, size_t room)
{
	size_t *left = ctx;

	if (wait_n) {
		wait_n--;
		return HTTP_WAIT;
	}
	for (; room && *left; room--, --*left)
		buf_char(out, 'x');
	return *left ? HTTP_MORE : HTTP_END;
}

static size_t left;

static void pulled_all(void *ctx)
{
	(void)ctx;
	done_n++;
}

static void streamed(struct http_request *r, void *ctx)
{
	(void)ctx;
	held = r;
	left = 200000;
	http_respond_stream(r, 200, "text/plain",
			    &(struct http_producer){ pull, pulled_all, &left });
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/", echo, NULL, 0, 0 },	       { HTTP_POST, "/", echo, NULL, 0, 0 },
	{ HTTP_POST, "/ten", echo, NULL, 0, 10 },      { HTTP_GET, "/hold", hold, NULL, 0, 0 },
	{ HTTP_GET, "/stream", streamed, NULL, 0, 0 },
};

/* ---- a client ---- */

struct client {
	struct talk t;
	nghttp2_session *session;
	unsigned status[16]; /* by stream id / 2 */
	size_t bytes[16];
	uint32_t closed[16]; /* error code + 1 */
	uint32_t goaway; /* error code + 1 */
	const char *body;
};

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
	struct client *c = ctx;
	uint32_t status = 0;

	(void)session;
	(void)flags;
	if (name_n == 7 && memcmp(name, ":status", 7) == 0) {
		assert_true(
			u32_parse((struct str){ (const char *)value, value_n }, 100, 599, &status));
		c->status[frame->hd.stream_id / 2] = status;
	}
	return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
		    void *ctx)
{
	struct client *c = ctx;

	(void)session;
	(void)flags;
	(void)p;
	c->bytes[id / 2] += n;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
	(void)session;
	((struct client *)ctx)->closed[id / 2] = code + 1;
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	(void)session;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		((struct client *)ctx)->goaway = frame->goaway.error_code + 1;
	return 0;
}

static void client_start(struct client *c, const struct http_limits *l)
{
	struct http_server_options o = { .plain_h2 = true };
	nghttp2_session_callbacks *cb;

	*c = (struct client){ 0 };
	held = NULL;
	gone_n = done_n = wait_n = 0;
	if (l)
		o.limits = *l;
	talk_start(&c->t, &o, routes, ARRAY_LEN(routes), NULL);
	assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	assert_int_equal(nghttp2_session_client_new(&c->session, cb, c), 0);
	nghttp2_session_callbacks_del(cb);
	assert_int_equal(nghttp2_submit_settings(c->session, 0, NULL, 0), 0);
	talk_connect(&c->t);
}

static void client_end(struct client *c)
{
	struct http_stats s;

	nghttp2_session_del(c->session);
	talk_hang_up(&c->t);
	talk_turn(&c->t);
	http_server_stats(c->t.server, &s);
	assert_int_equal(s.connections, 0);
	assert_int_equal(s.bodies_bytes, 0);
	assert_int_equal(s.requests_running, 0);
	talk_end(&c->t);
}

static void client_turn(struct client *c)
{
	const uint8_t *p;
	ssize_t n;

	for (int i = 0; i < 20; i++) {
		while ((n = nghttp2_session_mem_send(c->session, &p)) > 0)
			talk_send(&c->t, (struct str){ (const char *)p, (size_t)n });
		talk_turn(&c->t);
		if (c->t.got.n)
			assert_true(nghttp2_session_mem_recv(c->session, (uint8_t *)c->t.got.p,
							     c->t.got.n) >= 0);
		buf_clear(&c->t.got);
	}
}

static ssize_t send_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t n,
			 uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
	const char *body = source->ptr;

	(void)session;
	(void)id;
	(void)ctx;
	assert_true(strlen(body) <= n);
	memcpy(out, body, strlen(body));
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)strlen(body);
}

static nghttp2_nv nv(char *name, char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), 0 };
}

static int32_t ask(struct client *c, const char *method, const char *path, char *body,
		   const char *name, const char *value)
{
	char m[16], p[256], n[64], v[512], scheme[] = "https", host[] = "a", s0[] = ":method",
					   s1[] = ":path", s2[] = ":scheme", s3[] = ":authority";
	nghttp2_nv head[5];
	nghttp2_data_provider provider = { .source.ptr = body, .read_callback = send_body };

	(void)snprintf(m, sizeof m, "%s", method);
	(void)snprintf(p, sizeof p, "%s", path);
	(void)snprintf(n, sizeof n, "%s", name ? name : "x");
	(void)snprintf(v, sizeof v, "%s", value ? value : "y");
	head[0] = nv(s0, m);
	head[1] = nv(s1, p);
	head[2] = nv(s2, scheme);
	head[3] = nv(s3, host);
	head[4] = nv(n, v);
	return nghttp2_submit_request(c->session, NULL, head, 5, body ? &provider : NULL, NULL);
}

/* ---- tests ---- */

static void test_answers(void **state)
{
	static const struct {
		const char *method, *path, *body, *name, *value;
		unsigned status;
		size_t bytes; /* 0: any */
		const char *why;
	} rows[] = {
		{ "GET", "/", NULL, NULL, NULL, 200, 0, "the least" },
		{ "POST", "/", "hello", NULL, NULL, 200, 5, "a body" },
		{ "POST", "/", "hello", "content-length", "5", 200, 5, "with its length" },
		{ "HEAD", "/", NULL, NULL, NULL, 200, 0, "HEAD" },
		{ "OPTIONS", "/", NULL, NULL, NULL, 204, 0, "OPTIONS" },
		{ "GET", "/none", NULL, NULL, NULL, 404, 0, "404" },
		{ "PUT", "/", NULL, NULL, NULL, 405, 0, "405" },
		{ "BREW", "/", NULL, NULL, NULL, 501, 0, "an unknown method" },
		{ "GET", "/../x", NULL, NULL, NULL, 400, 0, "dots" },
		{ "GET", "/#x", NULL, NULL, NULL, 400, 0, "a fragment" },
		{ "GET", "/", NULL, "host", "b", 400, 0, "another Host" },
		{ "GET", "/", NULL, "host", "a", 200, 0, "the same Host" },
		{ "POST", "/ten", "0123456789", NULL, NULL, 200, 10, "just small enough" },
		{ "POST", "/ten", "0123456789x", NULL, NULL, 413, 0, "too long" },
		{ "POST", "/ten", "0123456789x", "content-length", "11", 413, 0,
		  "too long, and says so" },
		{ "GET", "/stream", NULL, NULL, NULL, 200, 200000, "a streamed body" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client c;
		char body[64];

		client_start(&c, NULL);
		(void)snprintf(body, sizeof body, "%s", rows[i].body ? rows[i].body : "");
		assert_int_equal(ask(&c, rows[i].method, rows[i].path, rows[i].body ? body : NULL,
				     rows[i].name, rows[i].value),
				 1);
		client_turn(&c);
		if (c.status[0] != rows[i].status ||
		    (rows[i].bytes && c.bytes[0] != rows[i].bytes) ||
		    c.closed[0] != NGHTTP2_NO_ERROR + 1)
			fail_msg("%s: status %u, %zu bytes, closed %u", rows[i].why, c.status[0],
				 c.bytes[0], c.closed[0]);
		client_end(&c);
	}
}

/* Answers overtake each other. */
static void test_concurrent(void **state)
{
	struct client c;

	(void)state;
	client_start(&c, NULL);
	assert_int_equal(ask(&c, "GET", "/hold", NULL, NULL, NULL), 1);
	assert_int_equal(ask(&c, "GET", "/", NULL, NULL, NULL), 3);
	client_turn(&c);
	assert_int_equal(c.status[0], 0);
	assert_int_equal(c.status[1], 200);
	http_respond_json(held, 202, STR("{}"));
	client_turn(&c);
	assert_int_equal(c.status[0], 202);
	client_end(&c);
}

static void test_waiting_producer(void **state)
{
	struct client c;

	(void)state;
	client_start(&c, NULL);
	wait_n = 1;
	assert_int_equal(ask(&c, "GET", "/stream", NULL, NULL, NULL), 1);
	client_turn(&c);
	assert_int_equal(c.status[0], 200);
	assert_int_equal(c.bytes[0], 0);
	http_stream_wake(held);
	client_turn(&c);
	assert_int_equal(c.bytes[0], 200000);
	assert_int_equal(done_n, 1);
	client_end(&c);
}

/* A request that the client resets is gone; its connection is not. */
static void test_reset(void **state)
{
	struct client c;

	(void)state;
	client_start(&c, NULL);
	assert_int_equal(ask(&c, "GET", "/hold", NULL, NULL, NULL), 1);
	client_turn(&c);
	assert_int_equal(nghttp2_submit_rst_stream(c.session, 0, 1, NGHTTP2_CANCEL), 0);
	client_turn(&c);
	assert_int_equal(gone_n, 1);
	assert_true(http_request_is_gone(held));
	http_respond_json(held, 200, STR("{}"));
	assert_int_equal(ask(&c, "GET", "/", NULL, NULL, NULL), 3);
	client_turn(&c);
	assert_int_equal(c.status[1], 200);
	client_end(&c);
}

static void test_connection_lost(void **state)
{
	struct client c;

	(void)state;
	client_start(&c, NULL);
	assert_int_equal(ask(&c, "GET", "/hold", NULL, NULL, NULL), 1);
	wait_n = 1;
	client_turn(&c);
	assert_int_equal(ask(&c, "GET", "/stream", NULL, NULL, NULL), 3);
	struct http_request *first = held;
	client_turn(&c);
	talk_hang_up(&c.t);
	talk_turn(&c.t);
	assert_int_equal(gone_n, 1);
	assert_int_equal(done_n, 1);
	http_respond_json(first, 200, STR("{}"));
	client_end(&c);
}

static void test_head_too_long(void **state)
{
	const struct http_limits l = { .head_bytes = 400 };
	struct client c;
	char value[301];

	(void)state;
	memset(value, 'x', sizeof value - 1);
	value[sizeof value - 1] = 0;
	client_start(&c, &l);
	assert_int_equal(ask(&c, "GET", "/", NULL, "x-long", value), 1);
	client_turn(&c);
	assert_int_equal(c.status[0], 431);
	client_end(&c);
}

/* A head that is refused costs as much as any other: the connection goes on after it. */
static void test_refused_heads_have_a_rate(void **state)
{
	const struct http_limits l = { .head_fields = 4, .rate_per_s = 1, .rate_burst = 2 };
	struct client c;

	(void)state;
	client_start(&c, &l);
	for (unsigned i = 0; i < 3; i++) /* in one write, so at one time */
		(void)ask(&c, "GET", "/", NULL, "x-more", "1");
	client_turn(&c);
	assert_int_equal(c.status[0], 431);
	assert_int_equal(c.status[1], 431);
	assert_int_equal(c.status[2], 429);
	client_end(&c);
}

static void test_goaway_at_the_end(void **state)
{
	const struct http_limits l = { .requests_per_connection = 2 };
	struct client c;

	(void)state;
	client_start(&c, &l);
	assert_int_equal(ask(&c, "GET", "/", NULL, NULL, NULL), 1);
	client_turn(&c);
	assert_int_equal(c.goaway, 0);
	assert_int_equal(ask(&c, "GET", "/", NULL, NULL, NULL), 3);
	client_turn(&c);
	assert_int_equal(c.status[1], 200);
	assert_int_equal(c.goaway, NGHTTP2_NO_ERROR + 1);
	talk_until_closed(&c.t);
	client_end(&c);
}

static void stopped(void *ctx)
{
	++*(unsigned *)ctx;
}

static void test_stop(void **state)
{
	struct client c;
	unsigned n = 0;

	(void)state;
	client_start(&c, NULL);
	assert_int_equal(ask(&c, "GET", "/hold", NULL, NULL, NULL), 1);
	client_turn(&c);
	http_server_stop(c.t.server, 60000, stopped, &n);
	client_turn(&c);
	assert_int_equal(c.goaway, NGHTTP2_NO_ERROR + 1);
	assert_int_equal(n, 0);
	http_respond_json(held, 200, STR("{}"));
	client_turn(&c);
	assert_int_equal(c.status[0], 200);
	talk_until_closed(&c.t);
	talk_hang_up(&c.t);
	talk_turn(&c.t);
	assert_int_equal(n, 1);
	client_end(&c);
}

/* ---- floods, in frames made by hand ---- */

static void add_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream, const void *p,
		      size_t n)
{
	const uint8_t head[9] = { (uint8_t)(n >> 16),
				  (uint8_t)(n >> 8),
				  (uint8_t)n,
				  type,
				  flags,
				  (uint8_t)(stream >> 24),
				  (uint8_t)(stream >> 16),
				  (uint8_t)(stream >> 8),
				  (uint8_t)stream };

	buf_add(out, head, sizeof head);
	buf_add(out, p, n);
}

/* GET https://a/hold in HPACK: static entries, and literals without Huffman code. */
static const char hold_head[] = "\x82\x87\x04\x05/hold\x01\x01"
				"a";

enum flood {
	FLOOD_PING,
	FLOOD_SETTINGS,
	FLOOD_RESETS,
	FLOOD_EMPTY_DATA,
	FLOOD_CONTINUATION,
	FLOOD_PRIORITY
};

static void add_flood(struct buf *out, enum flood kind, uint32_t i)
{
	static const uint8_t zeros[8];
	uint32_t id = 2 * i + 3;

	switch (kind) {
	case FLOOD_PING:
		add_frame(out, NGHTTP2_PING, 0, 0, zeros, 8);
		break;
	case FLOOD_SETTINGS:
		add_frame(out, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
		break;
	case FLOOD_RESETS:
		add_frame(out, NGHTTP2_HEADERS, 5, id, hold_head, sizeof hold_head - 1);
		add_frame(out, NGHTTP2_RST_STREAM, 0, id, zeros, 4);
		break;
	case FLOOD_EMPTY_DATA:
		add_frame(out, NGHTTP2_DATA, 0, 1, NULL, 0);
		break;
	case FLOOD_CONTINUATION:
		add_frame(out, NGHTTP2_CONTINUATION, 0, 1, NULL, 0);
		break;
	case FLOOD_PRIORITY:
		add_frame(out, NGHTTP2_PRIORITY, 0, id, "\0\0\0\0\1", 5);
		break;
	}
}

static void answer_gone(struct http_request *r)
{
	http_respond_json(r, 200, STR("{}"));
}

static void hold_until_gone(struct http_request *r, void *ctx)
{
	(void)ctx;
	http_request_on_gone(r, answer_gone);
}

static const struct http_route flood_routes[] = {
	{ HTTP_GET, "/hold", hold_until_gone, NULL, 0, 0 },
	{ HTTP_POST, "/hold", echo, NULL, 0, 0 },
};

static void test_floods(void **state)
{
	(void)state;
	for (enum flood kind = FLOOD_PING; kind <= FLOOD_PRIORITY; kind++) {
		const struct http_server_options o = { .plain_h2 = true };
		AUTO(buf_done) struct buf text = { 0 };
		struct talk t;

		talk_start(&t, &o, flood_routes, ARRAY_LEN(flood_routes), NULL);
		talk_connect(&t);
		buf_add(&text, PREFACE, sizeof PREFACE - 1);
		add_frame(&text, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
		if (kind == FLOOD_EMPTY_DATA) /* POST */
			add_frame(&text, NGHTTP2_HEADERS, 4, 1,
				  "\x83\x87\x04\x05/hold\x01\x01"
				  "a",
				  12);
		if (kind == FLOOD_CONTINUATION)
			add_frame(&text, NGHTTP2_HEADERS, 0, 1, "\x82", 1);
		for (uint32_t i = 0; i < 30000 && !t.eof; i++) {
			add_flood(&text, kind, i);
			if (i % 100 == 99) {
				talk_send(&t, buf_view(&text));
				buf_clear(&text);
			}
		}
		talk_until_closed(&t);
		talk_end(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_concurrent),
		cmocka_unit_test(test_waiting_producer),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_connection_lost),
		cmocka_unit_test(test_head_too_long),
		cmocka_unit_test(test_refused_heads_have_a_rate),
		cmocka_unit_test(test_goaway_at_the_end),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_floods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
