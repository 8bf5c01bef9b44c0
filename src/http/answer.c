/* The second half of an exchange: its answer. */
#include "http/exchange.h"

#include <jansson.h>

#include "http/inside.h"

static const struct {
	unsigned status;
	const char *phrase;
} phrases[] = {
	{ 101, "Switching Protocols" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 207, "Multi-Status" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 423, "Locked" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

const char *http_status_phrase(unsigned status)
{
	for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
		if (phrases[i].status == status)
			return phrases[i].phrase;
	}
	return "Status";
}

static struct http_exchange *exchange_of(struct http_request *r)
{
	return CONTAINER_OF(r, struct http_exchange, r);
}

static const struct http_exchange *exchange_of_const(const struct http_request *r)
{
	return (const struct http_exchange *)(const void *)((const char *)r -
							    offsetof(struct http_exchange, r));
}

/* ---- what a handler asks of its request ---- */

struct str http_header(const struct http_request *r, const char *name)
{
	for (size_t i = 0; i < r->headers_n; i++) {
		if (str_eq_nocase(r->headers[i].name, str_of(name)))
			return r->headers[i].value;
	}
	return (struct str){ 0 };
}

size_t http_header_count(const struct http_request *r, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < r->headers_n; i++)
		n += str_eq_nocase(r->headers[i].name, str_of(name));
	return n;
}

struct str http_param(const struct http_request *r, const char *name)
{
	for (size_t i = 0; i < r->params_n; i++) {
		if (str_eq(r->params[i].name, str_of(name)))
			return r->params[i].value;
	}
	BUG_ON(true);
}

bool http_request_is_gone(const struct http_request *r)
{
	return exchange_of_const(r)->conn == NULL;
}

void http_request_on_gone(struct http_request *r, void (*fn)(struct http_request *r))
{
	exchange_of(r)->on_gone = fn;
}

void http_request_post(struct http_request *r, void (*fn)(struct http_request *r))
{
	struct http_exchange *x = exchange_of(r);

	x->posted = fn;
	loop_post(x->server->loop, &x->work);
}

/* ---- headers ---- */

/* Text that came from elsewhere cannot end the line it is put in. */
static void add_visible(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_char(out, s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?');
}

static void add_line(struct buf *out, const char *name, struct str value)
{
	for (; *name; name++)
		buf_char(out, *name >= 'A' && *name <= 'Z' ? (char)(*name | 0x20) : *name);
	buf_z(out, ": ");
	add_visible(out, value);
	buf_z(out, "\r\n");
}

static bool is_ours(struct str name)
{
	static const struct str ours[] = { STR("content-length"), STR("transfer-encoding"),
					   STR("connection"), STR("date"), STR("x-request-id") };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (str_eq_nocase(name, ours[i]))
			return true;
	}
	return false;
}

void http_add_header(struct http_request *r, const char *name, struct str value)
{
	struct http_exchange *x = exchange_of(r);

	BUG_ON(x->status || is_ours(str_of(name)));
	x->has_cache_control |= str_eq_nocase(str_of(name), STR("cache-control"));
	add_line(&x->lines, name, value);
}

void exchange_answer_lines(struct http_exchange *x, struct buf *lines)
{
	const struct http_server_options *o = &x->server->o;

	add_line(lines, "date", str_of(server_date(x->server)));
	if (o->server_name)
		add_line(lines, "server", str_of(o->server_name));
	if (!x->has_cache_control)
		buf_z(lines, "cache-control: no-store\r\n");
	buf_z(lines, "x-content-type-options: nosniff\r\n");
	if (o->hsts_s && x->r.is_tls)
		buf_printf(lines, "strict-transport-security: max-age=%u\r\n", o->hsts_s);
	add_line(lines, "x-request-id", str_of(x->r.id));
	buf_str(lines, buf_view(&x->lines));
}

bool exchange_has_body(const struct http_exchange *x)
{
	return x->r.method != HTTP_HEAD && x->status != 204 && x->status != 304;
}

/* ---- answering ---- */

static void forget_body(struct http_exchange *x)
{
	x->server->stats.bodies_bytes -= x->body.n;
	if (x->conn)
		x->conn->source->bodies_bytes -= x->body.n;
	buf_done(&x->body);
	x->r.body = (struct str){ 0 };
}

static void answered(struct http_exchange *x)
{
	struct http_connection *c = x->conn;

	if (x->state == EXCHANGE_RUNNING)
		x->server->stats.requests_running--;
	x->state = EXCHANGE_ANSWERED;
	if (!x->streaming)
		x->on_gone = NULL;
	forget_body(x);
	if (!c) {
		exchange_finish(x);
		return;
	}
	connection_enter(c);
	c->protocol->answer(x);
	connection_leave(c);
}

static void begin(struct http_exchange *x, unsigned status, const char *content_type)
{
	BUG_ON(x->status || status < 200 || status > 599);
	x->status = status;
	if (content_type)
		add_line(&x->lines, "content-type", str_of(content_type));
}

void http_respond(struct http_request *r, unsigned status, const char *content_type,
		  struct buf *body)
{
	struct http_exchange *x = exchange_of(r);

	if (body && !buf_ok(body)) {
		buf_done(body);
		http_respond_problem(r, 500, "out of memory for the answer");
		return;
	}
	begin(x, status, content_type);
	if (body) {
		x->out = *body;
		*body = (struct buf){ .limit = body->limit };
	}
	x->out_length = x->out.n;
	answered(x);
}

void http_respond_text(struct http_request *r, unsigned status, const char *content_type,
		       struct str body)
{
	struct buf copy = { .limit = body.n + 1 };

	buf_str(&copy, body);
	http_respond(r, status, content_type, &copy);
}

void http_respond_json(struct http_request *r, unsigned status, struct str json)
{
	http_respond_text(r, status, "application/json", json);
}

static int dump_to_buf(const char *p, size_t n, void *ctx)
{
	buf_add(ctx, p, n);
	return 0;
}

void http_respond_problem(struct http_request *r, unsigned status, const char *fmt, ...)
{
	struct buf body = { .limit = 8192 };
	AUTO(buf_done) struct buf detail = { .limit = 2048 };
	json_t *doc;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&detail, fmt, ap);
	va_end(ap);
	doc = json_pack("{s:s, s:s, s:i, s:s%, s:s}", "type", "about:blank", "title",
			http_status_phrase(status), "status", (int)status, "detail",
			buf_view(&detail).p, detail.n, "request_id", r->id);
	if (!doc || json_dump_callback(doc, dump_to_buf, &body, JSON_COMPACT))
		buf_clear(
			&body); /* without memory, or text that is not UTF-8: the status says it */
	json_decref(doc);
	http_respond(r, status, "application/problem+json", &body);
}

void http_respond_stream(struct http_request *r, unsigned status, const char *content_type,
			 const struct http_producer *p)
{
	struct http_exchange *x = exchange_of(r);

	begin(x, status, content_type);
	x->producer = *p;
	x->is_streamed = true;
	x->streaming = true;
	answered(x);
}

void http_stream_wake(struct http_request *r)
{
	struct http_exchange *x = exchange_of(r);
	struct http_connection *c = x->conn;

	if (!c || !x->waiting)
		return;
	x->waiting = false;
	connection_enter(c);
	c->protocol->wake(x);
	connection_leave(c);
}

enum http_pull exchange_pull(struct http_exchange *x, struct str *out, size_t n)
{
	*out = (struct str){ "", 0 };
	if (x->out_at == x->out.n && x->streaming) {
		enum http_pull said;

		buf_clear(&x->out);
		x->out_at = 0;
		said = x->producer.pull(x->producer.ctx, &x->out, n);
		if (said == HTTP_FAIL || !buf_ok(&x->out) || (said == HTTP_MORE && !x->out.n))
			return HTTP_FAIL;
		if (said == HTTP_END)
			x->streaming = false;
		if (said == HTTP_WAIT && !x->out.n) {
			x->waiting = true;
			return HTTP_WAIT;
		}
	}
	if (x->out.n > x->out_at) {
		*out = (struct str){ x->out.p + x->out_at, MIN(n, x->out.n - x->out_at) };
		x->out_at += out->n;
	}
	x->body_sent += out->n;
	x->conn->body_progress += out->n;
	return x->out_at == x->out.n && !x->streaming ? HTTP_END : HTTP_MORE;
}

/* ---- the end ---- */

static void tell_access(struct http_exchange *x)
{
	const struct http_server *s = x->server;
	struct http_access a = {
		.method = http_method_name(x->r.method),
		.pattern = x->r.route ? x->r.route->pattern : "-",
		.status = x->status,
		.bytes = x->body_sent,
		.duration_ns = loop_now(s->loop) - x->r.received_ns,
		.request_id = x->r.id,
		.peer = &x->r.peer,
		.version = x->r.version,
	};

	if (s->o.access)
		s->o.access(s->o.ctx, &a);
}

void exchange_finish(struct http_exchange *x)
{
	struct http_server *s = x->server;

	list_del(&x->node);
	forget_body(x);
	x->conn = NULL;
	if (x->is_streamed && x->producer.done)
		x->producer.done(x->producer.ctx);
	if (x->status || x->r.id[0])
		tell_access(x);
	buf_done(&x->text);
	buf_done(&x->segments);
	buf_done(&x->path);
	buf_done(&x->lines);
	buf_done(&x->out);
	free(x->names);
	free(x->headers);
	free(x);
	server_exchange_gone(s);
}

void exchange_orphan(struct http_exchange *x)
{
	void (*fn)(struct http_request * r) = x->on_gone;

	list_del(&x->node);
	x->conn = NULL;
	x->on_gone = NULL;
	if (x->state == EXCHANGE_RUNNING) {
		if (fn)
			fn(&x->r);
		return;
	}
	if (fn && x->streaming)
		fn(&x->r);
	exchange_finish(x);
}
