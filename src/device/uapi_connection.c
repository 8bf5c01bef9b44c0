#include "device/uapi_connection.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fs.h"
#include "io/unix_socket.h"

#define PIECE (64u << 10)
#define IN_ROOM (64u << 10) /* many times a line */
/* A daemon that says a little now and then is not silent, but no answer takes that long. */
#define PATIENCE 30

struct uapi_connection {
	char *path; /* NULL: see `dial`; else only what was handed over */
	struct device_dial dial; /* connect NULL: none */
	int fd; /* -1: none now */
	bool used; /* has answered before */
	unsigned timeout_ms;
	int64_t until; /* the end of all patience with the present request */
	/* the present request */
	struct buf out;
	bool broken; /* nothing more can be sent; an answer may be there all the same */
	bool heard; /* something of the answer */
	enum err_code rc; /* of sending */
	struct err *e;
	size_t in_n;
	char in[IN_ROOM];
};

static const char *name_of(const struct uapi_connection *c)
{
	if (c->path)
		return c->path;
	return c->dial.connect ? "the daemon's socket" : "the engine's socket";
}

/* Whether a connection that has ended can be made again. */
static bool can_dial(const struct uapi_connection *c)
{
	return c->path || c->dial.connect;
}

static void disconnect(struct uapi_connection *c)
{
	fd_close(c->fd);
	c->fd = -1;
	c->used = false;
	c->in_n = 0;
}

static enum err_code closed(const struct uapi_connection *c, struct err *e)
{
	return err_set(e, ERR_CLOSED, "%s: the daemon has closed the connection", name_of(c));
}

static enum err_code connect_new(struct uapi_connection *c, struct err *e)
{
	struct err why;
	enum err_code rc;

	if (!can_dial(c))
		return closed(c, e);
	rc = c->path ? unix_connect(&c->fd, c->path, c->timeout_ms, &why)
		     : c->dial.connect(c->dial.ctx, &c->fd, &why);
	if (rc) {
		if (e)
			*e = why;
		return rc == ERR_NOT_FOUND || why.sys == ECONNREFUSED
			       ? err_wrap(e, ERR_CLOSED, "no daemon answers")
			       : rc;
	}
	rc = fd_nonblock(c->fd, e);
	if (rc)
		disconnect(c);
	return rc;
}

/* Waits until the socket is ready; ERR_TIMEOUT after the silence that was set. */
static enum err_code wait_for(struct uapi_connection *c, short events, struct err *e)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	int64_t now = clock_mono_ns(), until = now + c->timeout_ms * NS_PER_MS;
	int n = 0;

	until = MIN(until, c->until);
	while (now < until) {
		n = poll(&p, 1, (int)((until - now) / NS_PER_MS) + 1);
		if (n > 0)
			return ERR_OK;
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "wait for %s", name_of(c));
		now = clock_mono_ns();
	}
	return err_set(e, ERR_TIMEOUT, "%s: the daemon does not answer", name_of(c));
}

/* ---- sending ---- */

static void flush(struct uapi_connection *c, struct buf *out)
{
	size_t at = 0;

	while (!c->broken && !c->rc && at < out->n) {
		ssize_t n = send(c->fd, out->p + at, out->n - at, MSG_NOSIGNAL);

		if (n >= 0)
			at += (size_t)n;
		else if (errno == EAGAIN)
			c->rc = wait_for(c, POLLOUT, c->e);
		else if (errno != EINTR)
			c->broken = true;
	}
	if (out->p)
		wipe(out->p, out->n);
	buf_clear(out);
}

void uapi_put_piece(struct buf *out, struct uapi_connection *c)
{
	if (out->n >= PIECE)
		flush(c, out);
}

/* ---- the answer ---- */

/* Reads on; ERR_CLOSED at the end of the connection. */
static enum err_code receive(struct uapi_connection *c, struct err *e)
{
	ssize_t n;
	enum err_code rc;

	for (;;) {
		n = recv(c->fd, c->in + c->in_n, sizeof c->in - c->in_n, 0);
		if (n > 0) {
			c->heard = true;
			c->in_n += (size_t)n;
			return ERR_OK;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return closed(c, e);
		rc = errno == EAGAIN ? wait_for(c, POLLIN, e) : ERR_OK;
		if (rc)
			return rc;
	}
}

static enum err_code answer_read(struct uapi_connection *c, struct uapi_answer *a, struct err *e)
{
	enum uapi_answer_state state = UAPI_ANSWER_MORE;
	enum err_code rc = ERR_OK;
	size_t used;

	while (rc == ERR_OK && state == UAPI_ANSWER_MORE) {
		rc = receive(c, e);
		if (rc)
			break;
		state = uapi_answer_text(a, (struct str){ c->in, c->in_n }, &used, e);
		c->in_n -= used;
		if (used)
			memmove(c->in, c->in + used, c->in_n);
	}
	wipe(c->in + c->in_n, sizeof c->in - c->in_n); /* it has shown keys */
	if (state == UAPI_ANSWER_BAD)
		return err_wrap(e, e ? e->code : ERR_CORRUPT, "%s: the daemon's answer",
				name_of(c));
	if (rc == ERR_OK && c->in_n)
		return err_set(e, ERR_CORRUPT, "%s: the daemon says more than its answer",
			       name_of(c));
	return rc;
}

/* ---- both ---- */

static enum err_code ask_once(struct uapi_connection *c, uapi_request_fn *put, const void *request,
			      struct uapi_answer *a, struct err *e)
{
	enum err_code rc;

	c->broken = c->heard = false;
	c->rc = ERR_OK;
	c->e = e;
	c->out.limit = 2 * PIECE;
	c->until = clock_mono_ns() + (int64_t)c->timeout_ms * PATIENCE * NS_PER_MS;
	put(&c->out, c, request);
	buf_char(&c->out, '\n');
	if (!buf_ok(&c->out))
		c->rc = err_set(e, ERR_NOMEM, "%s: no memory for a request", name_of(c));
	flush(c, &c->out);
	rc = c->rc ? c->rc : answer_read(c, a, e);
	buf_done(&c->out);
	/* After an error the daemon may take the rest of the request for another; one of ours that has
	 * begun to answer does not. */
	if (rc || (a->number && can_dial(c) && !a->extended))
		disconnect(c);
	else
		c->used = true;
	return rc;
}

/* A connection that was left open may have ended since. */
static bool is_stale(const struct uapi_connection *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	return c->fd >= 0 && poll(&p, 1, 0) != 0;
}

enum err_code uapi_ask(struct uapi_connection *c, uapi_request_fn *put, const void *request,
		       struct uapi_answer *a, struct err *e)
{
	device_peer_fn *fn = a->fn;
	void *ctx = a->ctx;
	enum err_code rc = ERR_OK;
	bool was_used;

	if (is_stale(c))
		disconnect(c);
	if (c->fd < 0)
		rc = connect_new(c, e);
	if (rc)
		return rc;
	was_used = c->used;
	rc = ask_once(c, put, request, a, e);
	/* It closed between our look and our request: nothing was heard, so nothing is heard twice, and
	 * what was changed may be changed again. */
	if (rc != ERR_CLOSED || !was_used || c->heard || !can_dial(c))
		return rc;
	uapi_answer_done(a);
	uapi_answer_init(a, fn, ctx);
	rc = connect_new(c, e);
	return rc ? rc : ask_once(c, put, request, a, e);
}

enum err_code uapi_connection_alive(struct uapi_connection *c, struct err *e)
{
	if (is_stale(c))
		disconnect(c);
	return c->fd >= 0 ? ERR_OK : connect_new(c, e);
}

enum err_code uapi_connection_new(struct uapi_connection **out, const char *path,
				  const struct device_dial *dial, int fd, unsigned timeout_ms,
				  struct err *e)
{
	struct uapi_connection *c = calloc(1, sizeof *c);
	bool dials = path || (dial && dial->connect);
	enum err_code rc = ERR_OK;

	if (!c) {
		fd_close(dials ? -1 : fd);
		return err_set(e, ERR_NOMEM, "no memory for a connection");
	}
	c->fd = dials ? -1 : fd;
	if (dial)
		c->dial = *dial;
	c->timeout_ms = timeout_ms ? timeout_ms : DEVICE_UAPI_TIMEOUT_MS;
	if (path) {
		c->path = str_dup(str_of(path));
		if (!c->path)
			rc = err_set(e, ERR_NOMEM, "no memory for a connection");
	} else if (!dials) {
		rc = fd_nonblock(c->fd, e);
	}
	if (rc) {
		uapi_connection_free(c);
		return rc;
	}
	*out = c;
	return ERR_OK;
}

void uapi_connection_free(struct uapi_connection *c)
{
	if (!c)
		return;
	fd_close(c->fd);
	buf_done(&c->out);
	free(c->path);
	wipe(c, sizeof *c);
	free(c);
}
