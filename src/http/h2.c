/* HTTP/2 (RFC 9113) on a connection: nghttp2 keeps the protocol, we keep the limits. */
#include <nghttp2/nghttp2.h>

#include "http/flood.h"
#include "http/inside.h"
#include "http/strict.h"

#define NV_MAX 64
#define CLOSED_FIELD_COST 32 /* RFC 9113, 6.5.2: what a field costs beside its bytes */
#define THROWN_MAX (256u << 10)
#define HEAD_RAW_MAX (128u << 10) /* bytes on the wire while one head is open: CONTINUATION */

struct h2 {
	struct http_connection *c;
	nghttp2_session *session;
	struct http_flood flood;
	bool flooded;
	bool receiving; /* inside nghttp2_session_mem_recv */
	int32_t head_of; /* the stream whose head is open; 0: none */
	size_t head_raw;
};

/* What a head's fields are collected in, beside its exchange. */
struct h2_head {
	struct text_at path, authority, host, method;
	bool has_authority, has_host;
	size_t bytes, fields;
	unsigned status; /* not 0: it is refused */
};

struct h2_stream {
	struct http_exchange *x;
	struct h2_head head;
	bool answered; /* the answer was handed to nghttp2 */
	size_t thrown; /* bytes of a body that nobody wants */
};

static struct h2_stream *stream_of(struct h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->session, id);
}

/* ---- receiving ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2 *h = ctx;
	struct http_connection *c = h->c;
	struct h2_stream *st;

	h->head_of = frame->hd.stream_id;
	h->head_raw = 0;
	if (!c->head_since)
		c->head_since = connection_now(c);
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0; /* trailers */
	st = calloc(1, sizeof *st);
	if (st)
		st->x = exchange_new(c);
	if (!st || !st->x) {
		free(st);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
	}
	st->x->stream_id = frame->hd.stream_id;
	c->requests++;
	return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, st);
}

static bool pseudo_field(struct h2_stream *st, struct str name, struct str value)
{
	struct http_exchange *x = st->x;

	if (str_eq(name, STR(":path")))
		st->head.path = exchange_text(x, value);
	else if (str_eq(name, STR(":method")))
		st->head.method = exchange_text(x, value);
	else if (str_eq(name, STR(":authority"))) {
		st->head.authority = exchange_text(x, value);
		st->head.has_authority = true;
	}
	return name.n > 0 && name.p[0] == ':';
}

static void header_field(struct h2_stream *st, struct str name, struct str value)
{
	struct http_exchange *x = st->x;
	struct text_at n, v;

	if (pseudo_field(st, name, value))
		return;
	n = exchange_text(x, name);
	v = exchange_text(x, value);
	if (!exchange_field(x, n, v))
		x->text.full = true;
	if (str_eq(name, STR("host"))) {
		st->head.has_host = true;
		st->head.host = v;
	} else if (str_eq(name, STR("content-length"))) {
		/* nghttp2 has checked that it is a number and the only one. */
		x->has_length = u64_parse(value, 0, INT64_MAX, &x->length);
	}
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
	struct h2 *h = ctx;
	const struct http_limits *l = &h->c->server->o.limits;
	struct h2_stream *st = stream_of(h, frame->hd.stream_id);

	(void)session;
	(void)flags;
	if (!st || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	st->head.bytes += name_n + value_n + CLOSED_FIELD_COST;
	st->head.fields++;
	if (st->head.bytes > l->head_bytes || st->head.fields > l->head_fields) {
		st->head.status = 431; /* the rest is decoded, for HPACK's sake, and dropped */
		return 0;
	}
	header_field(st, (struct str){ (const char *)name, name_n },
		     (struct str){ (const char *)value, value_n });
	return 0;
}

static struct str text_view(const struct http_exchange *x, struct text_at t)
{
	return (struct str){ buf_view(&x->text).p + t.at, t.n };
}

/* What is wrong with the head beyond what nghttp2 has refused already. */
static const char *judge_head(struct h2_stream *st)
{
	struct http_exchange *x = st->x;
	struct h2_head *head = &st->head;

	head->status = 400;
	if (head->has_authority && head->has_host &&
	    !str_eq_nocase(text_view(x, head->authority), text_view(x, head->host)))
		return ":authority and Host name different hosts";
	x->host = head->has_authority ? head->authority : head->host;
	if (!http_is_host(text_view(x, x->host)))
		return "the host is not a host name or address with a port";
	x->target = head->path;
	head->status = 0;
	return NULL;
}

static void head_complete(struct h2 *h, struct h2_stream *st, bool ends)
{
	struct http_exchange *x = st->x;
	const struct http_limits *l = &h->c->server->o.limits;
	const char *why;
	char method[16], too_long[112];

	x->r.version = 20;
	if (st->head.status == 431) {
		(void)snprintf(too_long, sizeof too_long,
			       "the request's head is longer than %zu bytes, or %zu headers",
			       l->head_bytes, l->head_fields);
		why = too_long;
	} else {
		why = judge_head(st);
	}
	if (why) {
		h->c->server->stats.bad_requests++;
		/* Unlike HTTP/1.1's, the connection goes on, and could ask so for ever. */
		if (exchange_within_rate(x))
			exchange_refuse(x, st->head.status, why);
		return;
	}
	if (!str_copy(method, sizeof method, text_view(x, st->head.method)))
		method[0] = 0; /* none that we know is as long */
	if (ends)
		x->body_whole = true;
	if (exchange_head_done(x, method, 20) && ends)
		exchange_body_done(x);
}

static void body_complete(struct http_exchange *x)
{
	if (x->state != EXCHANGE_BODY)
		return;
	exchange_body_done(x);
}

/* A client that waits to be told gets its 100 (RFC 9110, 10.1.1). */
static void send_continue(struct h2 *h, const struct http_exchange *x)
{
	static uint8_t name[] = ":status", value[] = "100";
	const nghttp2_nv nv = { name, value, sizeof name - 1, sizeof value - 1,
				NGHTTP2_NV_FLAG_NONE };

	if (x->state == EXCHANGE_BODY &&
	    str_eq_nocase(http_header(&x->r, "expect"), STR("100-continue")))
		(void)nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, x->stream_id, NULL, &nv,
					     1, NULL);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *st = stream_of(h, frame->hd.stream_id);
	bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	(void)session;
	if (frame->hd.type == NGHTTP2_HEADERS) {
		h->head_of = 0;
		h->c->head_since = 0;
		if (st && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
			head_complete(h, st, ends);
			if (!ends && (st = stream_of(h, frame->hd.stream_id)) != NULL)
				send_continue(h, st->x);
			return 0;
		}
	}
	if (st && ends && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)) {
		st->x->body_whole = true;
		body_complete(st->x);
	}
	return 0;
}

/* The rest of a body is not wanted: the request was answered before its end (RFC 9113, 8.1).  Not
 * at once with the answer: curl 7.88 then throws the answer away. */
static void h2_abandon(struct http_exchange *x)
{
	const struct h2 *h = x->conn->session;

	(void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, x->stream_id,
					NGHTTP2_NO_ERROR);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
		   void *ctx)
{
	struct h2_stream *st = stream_of(ctx, id);

	(void)session;
	(void)flags;
	if (!st)
		return 0;
	if (st->x->state != EXCHANGE_BODY) {
		st->thrown += n;
		if (st->thrown > THROWN_MAX)
			h2_abandon(st->x);
	} else if (!exchange_body(st->x, (struct str){ (const char *)p, n })) {
		return 0; /* answered, and the state says so */
	}
	return 0;
}

static bool costs(const nghttp2_frame_hd *hd, unsigned *cost)
{
	*cost = hd->type == NGHTTP2_RST_STREAM ? FLOOD_RESET : FLOOD_FRAME;
	if (hd->type == NGHTTP2_DATA)
		return hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM);
	return hd->type != NGHTTP2_HEADERS;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *ctx)
{
	struct h2 *h = ctx;
	unsigned cost;

	(void)session;
	if (costs(hd, &cost) && !http_flood_take(&h->flood, cost, connection_now(h->c))) {
		h->flooded = true;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	return 0;
}

static int on_invalid(nghttp2_session *session, const nghttp2_frame *frame, int code, void *ctx)
{
	struct h2 *h = ctx;

	(void)session;
	(void)frame;
	(void)code;
	h->c->server->stats.bad_requests++;
	h->head_of = 0;
	h->c->head_since = 0;
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *st = stream_of(h, id);
	struct http_exchange *x;

	(void)code;
	if (h->head_of == id) {
		h->head_of = 0;
		h->c->head_since = 0;
	}
	if (!st)
		return 0;
	x = st->x;
	(void)nghttp2_session_set_stream_user_data(session, id, NULL);
	free(st);
	if (x->state == EXCHANGE_ANSWERED)
		exchange_finish(x);
	else
		exchange_orphan(x);
	return 0;
}

/* ---- answering ---- */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t n,
			 uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
	struct http_exchange *x = source->ptr;
	struct h2 *h = ctx;
	struct str piece;
	enum http_pull said = exchange_pull(x, &piece, n);

	(void)session;
	(void)id;
	if (said == HTTP_FAIL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* a reset: not whole */
	if (said == HTTP_WAIT)
		return NGHTTP2_ERR_DEFERRED;
	if (said == HTTP_END)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (piece.n)
		memcpy(out, piece.p, piece.n);
	/* The client answers DATA with window updates, for the stream and the connection. */
	http_flood_credit(&h->flood, 2);
	return (ssize_t)piece.n;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2_stream *st = stream_of(ctx, frame->hd.stream_id);

	(void)session;
	if (st && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
	    (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
		st->x->sent = true;
	return 0;
}

/* nghttp2 takes names and values as bytes it does not write to, but not as const. */
static nghttp2_nv nv_of(struct str name, struct str value)
{
	nghttp2_nv nv = { .namelen = name.n, .valuelen = value.n };

	memcpy(&nv.name, &name.p, sizeof nv.name);
	memcpy(&nv.value, &value.p, sizeof nv.value);
	return nv;
}

/* "name: value\r\n" lines as the pairs that HPACK wants. */
static size_t nv_from_lines(nghttp2_nv *nv, size_t max, struct str lines)
{
	struct str line, name;
	size_t n = 0;

	while (n < max && str_cut(&lines, '\n', &line)) {
		if (line.n == 0 || !str_cut(&line, ':', &name))
			continue;
		nv[n++] = nv_of(name, str_trim(line));
	}
	return n;
}

static void h2_answer(struct http_exchange *x)
{
	struct h2 *h = x->conn->session;
	struct h2_stream *st = stream_of(h, x->stream_id);
	nghttp2_data_provider body = { .source.ptr = x, .read_callback = read_body };
	AUTO(buf_done) struct buf lines = { 0 };
	nghttp2_nv nv[NV_MAX];
	char status[8];
	size_t n = 1;

	if (!st || st->answered)
		return;
	st->answered = true;
	(void)snprintf(status, sizeof status, "%u", x->status);
	exchange_answer_lines(x, &lines);
	if (!x->is_streamed && x->status != 204 && x->status != 304)
		buf_printf(&lines, "content-length: %zu\r\n", (size_t)x->out_length);
	nv[0] = nv_of(STR(":status"), str_of(status));
	n += nv_from_lines(nv + 1, NV_MAX - 1, buf_view(&lines));
	if (!buf_ok(&lines) || nghttp2_submit_response(h->session, x->stream_id, nv, n,
						       exchange_has_body(x) ? &body : NULL))
		x->conn->broken = true;
	if (x->conn->requests >= x->conn->server->o.limits.requests_per_connection)
		connection_wind_down(x->conn);
}

static void h2_wake(struct http_exchange *x)
{
	struct h2 *h = x->conn->session;

	(void)nghttp2_session_resume_data(h->session, x->stream_id);
}

/* ---- turns ---- */

/* All is said on both sides. */
static bool has_ended(const struct h2 *h)
{
	if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session))
		return true;
	return h->c->winding_down && list_empty(&h->c->exchanges) &&
	       !nghttp2_session_want_write(h->session);
}

static void h2_output(struct http_connection *c)
{
	struct h2 *h = c->session;
	const uint8_t *p;
	ssize_t n;

	if (c->lingering || h->receiving)
		return;
	while (!c->broken) {
		if (stream_waiting(c->stream) >= OUT_HIGH) {
			if (!stream_flush(c->stream))
				c->broken = true;
			if (c->broken || stream_waiting(c->stream) >= OUT_HIGH)
				return;
		}
		n = nghttp2_session_mem_send(h->session, &p);
		if (n < 0)
			c->broken = true;
		if (n <= 0)
			break;
		buf_add(stream_out(c->stream), p, (size_t)n);
	}
	if (!c->broken && has_ended(h))
		connection_linger(c);
}

static void end_for(struct h2 *h, uint32_t code)
{
	(void)nghttp2_session_terminate_session(h->session, code);
}

static void h2_input(struct http_connection *c, struct str in)
{
	struct h2 *h = c->session;
	ssize_t n;

	h->receiving = true;
	n = nghttp2_session_mem_recv(h->session, (const uint8_t *)in.p, in.n);
	h->receiving = false;
	if (h->head_of) {
		h->head_raw += in.n;
		h->flooded |= h->head_raw > HEAD_RAW_MAX;
	}
	if (h->flooded) {
		c->server->stats.floods++;
		end_for(h, NGHTTP2_ENHANCE_YOUR_CALM);
		h2_output(c);
		connection_linger(c);
	} else if (n < 0) {
		c->server->stats.bad_requests++;
		end_for(h, NGHTTP2_PROTOCOL_ERROR);
		h2_output(c);
		connection_linger(c);
	}
}

static void h2_eof(struct http_connection *c)
{
	/* Nothing can be agreed on any more (RFC 9113, 5.4: frames go both ways). */
	c->broken = true;
}

static void h2_late(struct http_connection *c)
{
	end_for(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void h2_wind_down(struct http_connection *c)
{
	struct h2 *h = c->session;

	(void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
				    nghttp2_session_get_last_proc_stream_id(h->session),
				    NGHTTP2_NO_ERROR, NULL, 0);
}

static bool h2_wants_input(const struct http_connection *c)
{
	const struct h2 *h = c->session;

	/* Whoever does not take our frames may not send more of his. */
	return stream_waiting(c->stream) < OUT_HIGH && nghttp2_session_want_read(h->session);
}

static void set_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
}

static bool session_new(struct h2 *h)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *option = NULL;
	bool ok = nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&option) == 0;

	if (ok) {
		set_callbacks(cb);
		/* Closed streams are kept only for a priority tree that nobody uses. */
		nghttp2_option_set_no_closed_streams(option, 1);
		ok = nghttp2_session_server_new2(&h->session, cb, h, option) == 0;
	}
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cb);
	return ok;
}

static bool send_settings(struct h2 *h)
{
	const struct http_limits *l = &h->c->server->o.limits;
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->h2_streams },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)l->head_bytes },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
	};

	return nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
				       ARRAY_LEN(settings)) == 0;
}

static void h2_free(struct http_connection *c)
{
	struct h2 *h = c->session;

	if (!h)
		return;
	LIST_FOR(at, &c->exchanges) {
		struct http_exchange *x = CONTAINER_OF(at, struct http_exchange, node);

		free(stream_of(h, x->stream_id));
	}
	nghttp2_session_del(h->session);
	free(h);
	c->session = NULL;
}

static bool h2_start(struct http_connection *c)
{
	struct h2 *h = calloc(1, sizeof *h);

	if (!h)
		return false;
	h->c = c;
	c->session = h;
	if (session_new(h) && send_settings(h))
		return true;
	h2_free(c);
	return false;
}

const struct http_protocol http_h2 = {
	.start = h2_start,
	.free = h2_free,
	.input = h2_input,
	.eof = h2_eof,
	.answer = h2_answer,
	.wake = h2_wake,
	.output = h2_output,
	.late = h2_late,
	.abandon = h2_abandon,
	.wind_down = h2_wind_down,
	.wants_input = h2_wants_input,
};
