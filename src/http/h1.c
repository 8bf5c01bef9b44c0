/* HTTP/1.1 (RFC 9112) on a connection: one request after the other, answered in their order. */
#include "http/inside.h"
#include "http/parser.h"
#include "http/strict.h"

enum h1_state {
	H1_HEAD, /* a request, or nothing yet */
	H1_BODY,
	H1_RUNNING, /* a handler works on it */
	H1_SENDING,
	H1_OVER, /* no further request */
};

struct h1 {
	struct http_connection *c;
	enum h1_state state;
	struct http_parsing *parsing;
	struct buf in; /* what is not taken yet begins at `at` */
	size_t at;
	size_t scanned; /* of the head, behind `at` */
	bool blank; /* an empty line in front of the head was skipped */
	bool advancing; /* h1_advance is on the stack */

	struct http_exchange *x; /* from the head's end to the answer's */
	struct http_head head; /* its views are dead once the head is taken */
	struct http_chunks chunks;
	struct text_at name; /* of the header whose value is awaited */
	struct text_at value;
	bool has_name;
	bool keep_alive;
	bool head_sent;
};

static struct str waiting(const struct h1 *h)
{
	return (struct str){ buf_view(&h->in).p + h->at, h->in.n - h->at };
}

static void take(struct h1 *h, size_t n)
{
	h->at += n;
	if (h->at == h->in.n) {
		buf_clear(&h->in);
		h->at = 0;
	}
}

/* ---- the parser's events ---- */

static void on_target(void *ctx, struct str piece)
{
	struct h1 *h = ctx;

	if (h->x->target.n == 0)
		h->x->target = exchange_text(h->x, piece);
	else
		h->x->target.n += exchange_text(h->x, piece).n;
}

static void field_done(struct h1 *h)
{
	if (h->has_name && !exchange_field(h->x, h->name, h->value))
		h->x->text.full = true;
	h->has_name = false;
}

static void on_name(void *ctx, struct str piece)
{
	struct h1 *h = ctx;

	/* The whole head is parsed in one call: names are not cut.  Were one, the count of headers
	 * would not be that of http_head_check. */
	field_done(h);
	h->name = exchange_text(h->x, piece);
	h->value = (struct text_at){ h->x->text.n, 0 };
	h->has_name = true;
}

static void on_value(void *ctx, struct str piece)
{
	struct h1 *h = ctx;

	h->value.n += exchange_text(h->x, piece).n;
}

static void on_body(void *ctx, struct str piece)
{
	struct h1 *h = ctx;

	if (h->x->state == EXCHANGE_BODY && !exchange_body(h->x, piece))
		return; /* answered, and the state says so */
}

static const struct http_parser_events events = {
	.target = on_target,
	.name = on_name,
	.value = on_value,
	.body = on_body,
};

/* ---- the head ---- */

/* Answers a request whose head cannot be used, and ends the connection. */
static void refuse_head(struct h1 *h, unsigned status, const char *why)
{
	struct http_exchange *x = h->x ? h->x : exchange_new(h->c);

	h->c->server->stats.bad_requests++;
	h->keep_alive = false;
	h->c->head_since = 0;
	if (!x) {
		h->c->broken = true;
		h->state = H1_OVER;
		return;
	}
	h->x = x;
	h->state = H1_RUNNING;
	exchange_refuse(x, status, why);
}

/* The library has read the same head: it must have understood the same. */
static bool same_understanding(const struct h1 *h)
{
	const struct http_exchange *x = h->x;
	struct str target = { buf_view(&x->text).p + x->target.at, x->target.n };

	return !x->text.full && str_eq(target, h->head.target) &&
	       x->names_n == 2 * h->head.fields &&
	       str_eq(h->head.method, str_of(http_parsing_method(h->parsing)));
}

static void refuse_long_head(struct h1 *h, bool by_fields)
{
	const struct http_limits *l = &h->c->server->o.limits;
	char why[96];

	if (by_fields)
		(void)snprintf(why, sizeof why, "the request has more than %zu headers",
			       l->head_fields);
	else
		(void)snprintf(why, sizeof why, "the request's head is longer than %zu bytes",
			       l->head_bytes);
	refuse_head(h, 431, why);
}

static bool method_is_known(struct str method)
{
	for (unsigned m = HTTP_GET; m <= HTTP_OPTIONS; m *= 2) {
		if (str_eq(method, str_of(http_method_name((enum http_method)m))))
			return true;
	}
	return false;
}

static void head_done(struct h1 *h)
{
	struct http_exchange *x = h->x;
	bool has_body = h->head.chunked || h->head.length > 0;

	x->has_length = h->head.has_length;
	x->length = h->head.length;
	x->wants_upgrade = h->head.upgrade.n > 0 && !has_body;
	h->keep_alive = h->head.keep_alive;
	h->chunks = (struct http_chunks){ 0 };
	h->state = has_body ? H1_BODY : H1_RUNNING;
	x->body_whole = !has_body;
	if (!exchange_head_done(x, http_parsing_method(h->parsing), h->head.version)) {
		h->state = H1_RUNNING; /* answered */
		return;
	}
	if (!has_body)
		exchange_body_done(x);
	else if (h->head.expect_continue && waiting(h).n == 0)
		buf_z(stream_out(h->c->stream), "HTTP/1.1 100 Continue\r\n\r\n");
}

static void parse_head(struct h1 *h, size_t len)
{
	struct str head = { waiting(h).p, len };
	enum http_parser_result got;
	unsigned status = 400;
	const char *why;
	size_t used = 0;

	h->c->head_since = 0;
	h->c->requests++;
	why = http_head_check(&h->head, head, h->c->server->o.limits.head_fields, &status);
	if (!why && !method_is_known(h->head.method)) {
		status = 501;
		why = "this method is not known here";
	}
	if (why && status == 431) {
		refuse_long_head(h, true);
		return;
	}
	if (why) {
		refuse_head(h, status, why);
		return;
	}
	h->x = exchange_new(h->c);
	if (!h->x) {
		refuse_head(h, 503, "out of memory");
		return;
	}
	http_parsing_reset(h->parsing);
	h->has_name = false;
	got = http_parsing_run(h->parsing, head, &used, &why);
	field_done(h);
	if (got == HTTP_PARSER_BAD)
		refuse_head(h, 400, why);
	else if (used != len || !same_understanding(h) ||
		 (got == HTTP_PARSER_DONE) == (h->head.chunked || h->head.length > 0))
		refuse_head(h, 400, "the head can be understood in two ways");
	if (h->state != H1_HEAD) {
		take(h, len);
		return;
	}
	h->x->host = exchange_text(h->x, h->head.host);
	take(h, len);
	head_done(h);
}

/* Looks for the head's end; true when something was done. */
static bool take_head(struct h1 *h)
{
	size_t max = h->c->server->o.limits.head_bytes;
	struct str in = waiting(h);

	if (h->c->winding_down && in.n == 0) {
		h->state = H1_OVER;
		connection_linger(h->c);
		return false;
	}
	/* RFC 9112, 2.2: some old clients send an empty line after a body. */
	if (!h->blank && in.n >= 2 && str_starts(in, STR("\r\n"))) {
		h->blank = true;
		take(h, 2);
		return true;
	}
	for (; h->scanned < in.n; h->scanned++) {
		size_t at = h->scanned;

		if (at >= max) {
			refuse_long_head(h, false);
			return true;
		}
		if (in.p[at] != '\n')
			continue;
		if (at == 0 || in.p[at - 1] != '\r') {
			refuse_head(h, 400, "a line ends in LF without CR");
			return true;
		}
		if (at >= 3 && in.p[at - 2] == '\n') {
			h->scanned = 0;
			h->blank = false;
			parse_head(h, at + 1);
			return true;
		}
	}
	if (in.n && !h->c->head_since)
		h->c->head_since = connection_now(h->c);
	return false;
}

/* ---- the body ---- */

static void body_bad(struct h1 *h, const char *why)
{
	h->c->server->stats.bad_requests++;
	h->keep_alive = false;
	h->state = H1_RUNNING;
	exchange_refuse(h->x, 400, why);
}

/* How many of the bytes at hand are the body's; false: it is malformed, and answered. */
static bool body_extent(struct h1 *h, struct str in, size_t *n, bool *last)
{
	const char *why = NULL;

	if (h->head.chunked) {
		enum http_chunks_result r = http_chunks_check(&h->chunks, in, n, &why);

		*last = r == HTTP_CHUNKS_DONE;
		if (r == HTTP_CHUNKS_BAD)
			body_bad(h, why);
		return r != HTTP_CHUNKS_BAD;
	}
	*n = in.n < h->head.length ? in.n : (size_t)h->head.length;
	h->head.length -= *n;
	*last = h->head.length == 0;
	return true;
}

static bool take_body(struct h1 *h)
{
	struct str in = waiting(h);
	const char *why = NULL;
	size_t n = 0, used = 0;
	bool last = false;
	enum http_parser_result got;

	if (h->x->state != EXCHANGE_BODY) { /* answered before its end */
		h->state = H1_RUNNING;
		return true;
	}
	if (in.n == 0)
		return false;
	if (!body_extent(h, in, &n, &last))
		return true;
	got = http_parsing_run(h->parsing, (struct str){ in.p, n }, &used, &why);
	if (h->x->state != EXCHANGE_BODY) {
		h->state = H1_RUNNING;
	} else if (got == HTTP_PARSER_BAD) {
		body_bad(h, why);
	} else if (used != n || (got == HTTP_PARSER_DONE) != last) {
		body_bad(h, "the body's end can be understood in two ways");
	} else if (last) {
		take(h, n);
		h->state = H1_RUNNING;
		exchange_body_done(h->x);
		return true;
	}
	take(h, n);
	return true;
}

/* ---- the answer ---- */

static void write_head(struct h1 *h)
{
	struct buf *out = stream_out(h->c->stream);
	struct http_exchange *x = h->x;
	bool has_body = exchange_has_body(x);

	/* What is left of a body that was refused would be read as the next request. */
	if (!x->body_whole || h->c->winding_down || h->c->input_over ||
	    h->c->requests >= h->c->server->o.limits.requests_per_connection ||
	    (x->is_streamed && x->r.version == 10))
		h->keep_alive = false;
	buf_printf(out, "HTTP/1.1 %u %s\r\n", x->status, http_status_phrase(x->status));
	exchange_answer_lines(x, out);
	if (!x->is_streamed && x->status != 204 && x->status != 304)
		buf_printf(out, "content-length: %zu\r\n", (size_t)x->out_length);
	else if (x->is_streamed && has_body && x->r.version != 10)
		buf_z(out, "transfer-encoding: chunked\r\n");
	if (!h->keep_alive)
		buf_z(out, "connection: close\r\n");
	else if (x->r.version == 10)
		buf_z(out, "connection: keep-alive\r\n");
	buf_z(out, "\r\n");
	h->head_sent = true;
}

static void write_piece(struct h1 *h, struct str piece)
{
	struct buf *out = stream_out(h->c->stream);
	bool chunked = h->x->is_streamed && h->x->r.version != 10;

	if (piece.n == 0)
		return;
	if (chunked)
		buf_printf(out, "%zx\r\n", piece.n);
	buf_str(out, piece);
	if (chunked)
		buf_z(out, "\r\n");
}

/* True when there is room for more of the answer. */
static bool has_room(struct h1 *h)
{
	if (stream_waiting(h->c->stream) < OUT_HIGH)
		return true;
	if (!stream_flush(h->c->stream))
		h->c->broken = true;
	return !h->c->broken && stream_waiting(h->c->stream) < OUT_HIGH;
}

/* True when the answer is written whole. */
static bool write_answer(struct h1 *h)
{
	struct http_exchange *x = h->x;
	enum http_pull said = HTTP_MORE;
	struct str piece;

	if (!h->head_sent)
		write_head(h);
	if (!exchange_has_body(x))
		return true;
	while (said == HTTP_MORE) {
		if (!has_room(h))
			return false;
		said = exchange_pull(x, &piece, READ_CHUNK);
		write_piece(h, piece);
	}
	if (said == HTTP_FAIL) { /* what there is goes out; the missing end tells the client */
		bool whole = stream_flush(h->c->stream);

		(void)whole;
		h->c->broken = true;
	}
	if (said == HTTP_END && x->is_streamed && x->r.version != 10)
		buf_z(stream_out(h->c->stream), "0\r\n\r\n");
	return said == HTTP_END;
}

static bool send_answer(struct h1 *h)
{
	struct http_exchange *x = h->x;

	if (!write_answer(h))
		return false;
	h->x = NULL;
	h->head_sent = false;
	h->state = h->keep_alive ? H1_HEAD : H1_OVER;
	exchange_finish(x);
	if (h->state == H1_OVER)
		connection_linger(h->c);
	return true;
}

/* ---- turns ---- */

static bool step(struct h1 *h)
{
	switch (h->state) {
	case H1_HEAD:
		return has_room(h) && take_head(h);
	case H1_BODY:
		return take_body(h);
	case H1_RUNNING:
		if (!h->x || h->x->state != EXCHANGE_ANSWERED)
			return false;
		h->state = H1_SENDING;
		return true;
	case H1_SENDING:
		return send_answer(h);
	case H1_OVER:
	default:
		return false;
	}
}

static void advance(struct http_connection *c)
{
	struct h1 *h = c->session;

	if (h->advancing)
		return; /* a handler answers at once: the loop below goes on by itself */
	h->advancing = true;
	while (!c->broken && !c->over && !c->lingering && step(h))
		;
	h->advancing = false;
	if (h->at && !c->over) {
		memmove(h->in.p, h->in.p + h->at, h->in.n - h->at);
		h->in.n -= h->at;
		h->at = 0;
	}
}

static void h1_input(struct http_connection *c, struct str in)
{
	struct h1 *h = c->session;

	buf_str(&h->in, in);
	if (!buf_ok(&h->in))
		c->broken = true;
	advance(c);
}

static void h1_eof(struct http_connection *c)
{
	struct h1 *h = c->session;

	/* A client may shut its side and still read; without a whole request there is nothing. */
	if (h->state == H1_HEAD || h->state == H1_BODY) {
		h->state = H1_OVER;
		c->head_since = 0;
		connection_linger(c);
	}
}

static void h1_answer(struct http_exchange *x)
{
	advance(x->conn);
}

static void h1_late(struct http_connection *c)
{
	refuse_head(c->session, 408, "the request's head came too slowly");
	advance(c);
}

static void h1_wind_down(struct http_connection *c)
{
	struct h1 *h = c->session;

	if (h->state == H1_HEAD && waiting(h).n == 0)
		connection_linger(c);
}

static bool h1_wants_input(const struct http_connection *c)
{
	const struct h1 *h = c->session;
	size_t have = h->in.n - h->at;

	switch (h->state) {
	case H1_HEAD:
		return stream_waiting(c->stream) < OUT_HIGH;
	case H1_BODY:
		return true;
	case H1_OVER:
		return false;
	case H1_RUNNING:
	case H1_SENDING:
	default:
		return have < READ_CHUNK; /* so that the client's end is noticed */
	}
}

static bool h1_start(struct http_connection *c)
{
	struct h1 *h = calloc(1, sizeof *h);

	if (!h)
		return false;
	h->c = c;
	h->parsing = http_parsing_new(&events, h);
	if (!h->parsing) {
		free(h);
		return false;
	}
	c->session = h;
	return true;
}

static void h1_free(struct http_connection *c)
{
	struct h1 *h = c->session;

	if (!h)
		return;
	http_parsing_free(h->parsing);
	buf_done(&h->in);
	free(h);
	c->session = NULL;
}

const struct http_protocol http_h1 = {
	.start = h1_start,
	.free = h1_free,
	.input = h1_input,
	.eof = h1_eof,
	.answer = h1_answer,
	.wake = h1_answer,
	.output = advance,
	.late = h1_late,
	.wind_down = h1_wind_down,
	.wants_input = h1_wants_input,
};

/* ---- upgrade ---- */

static void give_early(struct h1 *h, struct buf *early)
{
	buf_str(early, waiting(h));
	buf_clear(&h->in);
	h->at = 0;
}

enum err_code http_upgrade(struct stream **out, struct buf *early, struct http_request *r,
			   const char *protocol, struct err *e)
{
	struct http_exchange *x = CONTAINER_OF(r, struct http_exchange, r);
	struct http_connection *c = x->conn;
	struct h1 *h;
	struct buf *head;

	if (!x->wants_upgrade || r->version != 11 || r->method != HTTP_GET ||
	    !str_eq_nocase(http_header(r, "upgrade"), str_of(protocol)))
		return err_set(e, ERR_UNSUPPORTED, "this is no HTTP/1.1 GET that asks for %s",
			       protocol);
	if (!c || c->broken)
		return err_set(e, ERR_CLOSED, "the client has gone");
	BUG_ON(x->state != EXCHANGE_RUNNING);
	connection_enter(c);
	h = c->session;
	head = stream_out(c->stream);
	buf_printf(head,
		   "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: %s\r\n",
		   protocol);
	buf_str(head, buf_view(&x->lines));
	buf_z(head, "\r\n");
	give_early(h, early);
	h->x = NULL;
	h->state = H1_OVER;
	x->status = 101;
	x->state = EXCHANGE_ANSWERED;
	c->server->stats.requests_running--;
	exchange_finish(x);
	*out = connection_give_stream(c);
	connection_leave(c);
	return ERR_OK;
}
