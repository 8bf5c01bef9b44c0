#include "http/connection.h"

#include "base/fs.h"
#include "http/inside.h"
#include "io/tcp.h"

#define LINGER_MS 2000
#define LINGER_BYTES (256u << 10)
#define READS_A_TURN 4 /* then other connections have their turn */

int64_t connection_now(const struct http_connection *c)
{
	return loop_now(c->server->loop);
}

/* ---- the end ---- */

static void connection_free(struct http_connection *c)
{
	struct http_server *s = c->server;
	struct list orphans;

	loop_timer_cancel(&c->deadline);
	if (c->protocol)
		c->protocol->free(c);
	/* No request finds this connection any more when the first handler hears of it. */
	list_init(&orphans);
	while (!list_empty(&c->exchanges)) {
		struct http_exchange *x =
			CONTAINER_OF(c->exchanges.next, struct http_exchange, node);

		list_del(&x->node);
		c->source->bodies_bytes -= x->body.n;
		x->conn = NULL;
		list_add_tail(&orphans, &x->node);
	}
	stream_close(c->stream);
	http_source_leave(s->sources, c->source);
	list_del(&c->node);
	s->stats.connections--;
	free(c);
	while (!list_empty(&orphans))
		exchange_orphan(CONTAINER_OF(orphans.next, struct http_exchange, node));
	server_connection_gone(s);
}

void connection_break(struct http_connection *c)
{
	c->broken = true;
	if (c->depth == 0)
		connection_free(c);
}

void connection_linger(struct http_connection *c)
{
	if (c->lingering || c->broken || !c->stream)
		return;
	c->lingering = true;
	c->linger_since = connection_now(c);
}

void connection_wind_down(struct http_connection *c)
{
	if (c->winding_down)
		return;
	connection_enter(c);
	c->winding_down = true;
	if (c->protocol)
		c->protocol->wind_down(c);
	else
		c->broken = true;
	connection_leave(c);
}

struct stream *connection_give_stream(struct http_connection *c)
{
	struct stream *s = c->stream;

	c->stream = NULL;
	c->over = true;
	return s;
}

/* ---- deadlines ---- */

static int64_t after_ms(int64_t since, unsigned ms)
{
	return since + (int64_t)ms * NS_PER_MS;
}

/* Whether the client is to send the rest of a body. */
static bool is_receiving(const struct http_exchange *x)
{
	return x->state == EXCHANGE_BODY || (x->sent && !x->body_whole);
}

/* Something waits for the client to take it. */
static bool is_blocked(const struct http_connection *c)
{
	if (stream_waiting(c->stream))
		return true;
	LIST_FOR(at, &c->exchanges) {
		const struct http_exchange *x = CONTAINER_OF(at, struct http_exchange, node);

		if (x->state == EXCHANGE_ANSWERED && !x->waiting && !x->sent)
			return true;
	}
	return false;
}

static void note_progress(struct http_connection *c)
{
	int64_t now = connection_now(c);
	uint64_t mark = stream_waiting(c->stream) ? stream_sent(c->stream) : c->body_progress;

	if (!is_blocked(c)) {
		c->stall_since = 0;
	} else if (!c->stall_since || mark != c->stall_mark) {
		c->stall_since = now;
		c->stall_mark = mark;
	}
	if (!c->protocol || c->head_since || !list_empty(&c->exchanges))
		c->idle_since = 0;
	else if (!c->idle_since)
		c->idle_since = now;
}

static int64_t next_deadline(const struct http_connection *c)
{
	const struct http_limits *l = &c->server->o.limits;
	int64_t at = INT64_MAX;

	if (c->opened_at)
		at = MIN(at, after_ms(c->opened_at, l->handshake_ms));
	if (c->head_since)
		at = MIN(at, after_ms(c->head_since, l->head_ms));
	if (c->idle_since)
		at = MIN(at, after_ms(c->idle_since, l->idle_ms));
	if (c->stall_since)
		at = MIN(at, after_ms(c->stall_since, l->stall_ms));
	if (c->lingering)
		at = MIN(at, after_ms(c->linger_since, LINGER_MS));
	LIST_FOR(pos, &c->exchanges) {
		const struct http_exchange *x = CONTAINER_OF(pos, struct http_exchange, node);

		if (is_receiving(x))
			at = MIN(at, x->body_until);
	}
	return at;
}

/* The timer is moved only to earlier times: one that fires too early looks again. */
static void arm(struct http_connection *c)
{
	int64_t at = next_deadline(c);

	if (at != INT64_MAX && (!c->deadline.loop || c->deadline.at > at))
		loop_timer_set(c->server->loop, &c->deadline, at);
}

static void refuse_late_bodies(struct http_connection *c)
{
	int64_t now = connection_now(c);

	LIST_FOR_SAFE(pos, next, &c->exchanges) {
		struct http_exchange *x = CONTAINER_OF(pos, struct http_exchange, node);

		if (!is_receiving(x) || now < x->body_until)
			continue;
		c->server->stats.timeouts++;
		if (x->state == EXCHANGE_BODY)
			exchange_refuse(x, 408, "the body came too slowly");
		else
			c->protocol->abandon(x);
	}
}

static void deadline_fire(struct loop_timer *t)
{
	struct http_connection *c = CONTAINER_OF(t, struct http_connection, deadline);
	const struct http_limits *l = &c->server->o.limits;
	int64_t now = connection_now(c);

	connection_enter(c);
	if ((c->opened_at && now >= after_ms(c->opened_at, l->handshake_ms)) ||
	    (c->stall_since && now >= after_ms(c->stall_since, l->stall_ms))) {
		c->server->stats.timeouts++;
		c->broken = true;
	} else if (c->lingering) {
		c->broken |= now >= after_ms(c->linger_since, LINGER_MS);
	} else if (c->head_since && now >= after_ms(c->head_since, l->head_ms)) {
		c->server->stats.timeouts++;
		c->head_since = 0;
		c->protocol->late(c);
	} else if (c->idle_since && now >= after_ms(c->idle_since, l->idle_ms)) {
		if (c->winding_down)
			c->broken = true;
		c->idle_since = now; /* whoever does not take the farewell is cut off next time */
		c->winding_down = true;
		c->protocol->wind_down(c);
	} else {
		refuse_late_bodies(c);
	}
	connection_leave(c);
}

/* ---- turns ---- */

void connection_enter(struct http_connection *c)
{
	c->depth++;
}

void connection_leave(struct http_connection *c)
{
	if (c->depth > 1) {
		c->depth--;
		return;
	}
	if (!c->broken && !c->over && c->stream) {
		if (c->protocol)
			c->protocol->output(c);
		if (!c->over && c->stream && !stream_flush(c->stream))
			c->broken = true;
		if (c->lingering && !c->broken && c->stream)
			stream_end_write(c->stream);
		if (c->lingering && c->input_over && c->stream && !stream_waiting(c->stream))
			c->over = true;
	}
	c->depth--;
	if (c->broken || c->over || !c->stream) {
		connection_free(c);
		return;
	}
	stream_want_read(c->stream, !c->input_over && c->protocol &&
					    (c->lingering || c->protocol->wants_input(c)));
	note_progress(c);
	arm(c);
}

static void opened(void *ctx)
{
	struct http_connection *c = ctx;
	bool is_h2;

	connection_enter(c);
	c->opened_at = 0;
	c->local = tcp_local(stream_fd(c->stream));
	is_h2 = c->server->o.tls ? str_eq(stream_alpn(c->stream), STR("h2"))
				 : c->server->o.plain_h2;
	c->protocol = is_h2 ? &http_h2 : &http_h1;
	if (!c->protocol->start(c)) {
		c->protocol = NULL;
		c->broken = true;
	} else if (c->server->stopping) {
		c->winding_down = true;
		c->protocol->wind_down(c);
	}
	connection_leave(c);
}

static void throw_away(struct http_connection *c, size_t n)
{
	c->thrown += n;
	if (c->thrown > LINGER_BYTES)
		c->broken = true;
}

static void readable(void *ctx)
{
	struct http_connection *c = ctx;
	char chunk[READ_CHUNK];
	ssize_t n = 1;

	connection_enter(c);
	for (int i = 0;
	     i < READS_A_TURN && n > 0 && c->stream && !c->broken && !c->over && !c->input_over &&
	     c->protocol && (c->lingering || c->protocol->wants_input(c));
	     i++) {
		n = stream_read(c->stream, chunk, sizeof chunk);
		if (n == -2) {
			c->broken = true;
		} else if (n == -1) {
			c->input_over = true;
			if (!c->lingering)
				c->protocol->eof(c);
		} else if (n > 0 && c->lingering) {
			throw_away(c, (size_t)n);
		} else if (n > 0) {
			c->protocol->input(c, (struct str){ chunk, (size_t)n });
		}
	}
	wipe(chunk, n > 0 ? (size_t)n : 0);
	connection_leave(c);
}

static void drained(void *ctx)
{
	connection_enter(ctx);
	connection_leave(ctx); /* which makes more */
}

static void broken(void *ctx)
{
	struct http_connection *c = ctx;

	if (!c->protocol)
		c->server->stats.handshakes_failed++;
	connection_break(c);
}

static const struct stream_handler handler = {
	.opened = opened,
	.readable = readable,
	.drained = drained,
	.broken = broken,
};

enum err_code connection_open(struct http_server *s, int fd, const struct endpoint *peer,
			      struct http_source *source, struct err *e)
{
	struct http_connection *c = calloc(1, sizeof *c);
	enum err_code rc;

	if (!c) {
		fd_close(fd);
		return err_set(e, ERR_NOMEM, "out of memory for a connection");
	}
	c->server = s;
	c->peer = *peer;
	c->source = source;
	c->deadline.fire = deadline_fire;
	c->opened_at = loop_now(s->loop);
	list_init(&c->exchanges);
	rc = stream_open(&c->stream, s->loop, fd, s->o.tls, &handler, c, e);
	if (rc) {
		free(c);
		return rc;
	}
	list_add_tail(&s->connections, &c->node);
	s->stats.connections++;
	arm(c);
	return ERR_OK;
}
