#include "gateway/control_server.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/control.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "io/unix_socket.h"

#define READ_CHUNK 16384
#define THROW_MAX (1u << 20)
#define THROW_S 5
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)
#define ANSWER_MAX (64u << 20) /* server_status of 100,000 clients has about 40 MB */

struct control_turn {
	bool is_kept; /* the connection's memory stays until it is ended */
};

struct connection {
	struct list node;
	struct control_server *server; /* NULL: closed, only the turn is left */
	struct control_turn turn;
	struct loop_fd watch;
	struct loop_timer idle;
	struct loop_timer again; /* a further request is in `in` already */
	struct buf in;
	struct buf out;
	size_t sent; /* of `out` */
	bool eof; /* the client has said all it will */
	bool ending; /* close once `out` is sent, and what the client still says is thrown away */
	size_t thrown; /* bytes of that */
};

struct control_server {
	struct loop *loop;
	struct control_handler handler;
	struct loop_fd listener;
	struct loop_timer pause; /* of the listener */
	struct list connections;
	size_t count;
};

/* ---- connections ---- */

/* Answers may hold keys. */
static void buf_forget(struct buf *b)
{
	if (b->p)
		wipe(b->p, b->cap);
	buf_done(b);
}

static void connection_close(struct connection *c)
{
	loop_timer_cancel(&c->idle);
	loop_timer_cancel(&c->again);
	loop_fd_remove(&c->watch);
	fd_close(c->watch.fd);
	buf_forget(&c->in);
	buf_forget(&c->out);
	list_del(&c->node);
	c->server->count--;
	c->server = NULL;
	if (!c->turn.is_kept)
		free(c);
}

static void progress(struct connection *c)
{
	loop_timer_set(c->server->loop, &c->idle,
		       loop_now(c->server->loop) + CONTROL_IDLE_S * NS_PER_S);
}

static void idle_fire(struct loop_timer *t)
{
	connection_close(CONTAINER_OF(t, struct connection, idle));
}

/* Sends what it can; false when the connection is gone for good. */
static bool send_some(struct connection *c)
{
	while (c->sent < c->out.n) {
		ssize_t n = send(c->watch.fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		c->sent += (size_t)n;
		progress(c);
	}
	if (c->out.n) {
		buf_forget(&c->out);
		c->out.limit = ANSWER_MAX;
		c->sent = 0;
	}
	return true;
}

/* Closing a socket that still holds unread bytes takes the answer away from the client again, so
 * what it is sending is read first, within limits.  False: close now. */
static bool throw_away(struct connection *c)
{
	char chunk[READ_CHUNK];
	ssize_t n = 1;

	while (n > 0 && c->thrown < THROW_MAX) {
		n = recv(c->watch.fd, chunk, sizeof chunk, 0);
		c->thrown += n > 0 ? (size_t)n : 0;
	}
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

static bool end_slowly(struct connection *c)
{
	if (c->thrown == 0) {
		(void)shutdown(c->watch.fd, SHUT_WR);
		loop_timer_set(c->server->loop, &c->idle,
			       loop_now(c->server->loop) + THROW_S * NS_PER_S);
		c->thrown = 1;
	}
	loop_fd_change(&c->watch, LOOP_READ);
	return throw_away(c);
}

/* Reads once; false when the connection broke. */
static bool read_some(struct connection *c)
{
	char chunk[READ_CHUNK];
	ssize_t n = recv(c->watch.fd, chunk, sizeof chunk, 0);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
	if (n == 0) {
		c->eof = true;
		return true;
	}
	progress(c);
	buf_add(&c->in, chunk, (size_t)n);
	return buf_ok(&c->in);
}

static void in_drop(struct connection *c, size_t n)
{
	memmove(c->in.p, c->in.p + n, c->in.n - n);
	c->in.n -= n;
}

/* Answers the first whole line of `in`, if there is one; false: drop the connection. */
static bool answer_one(struct connection *c)
{
	const struct control_handler *h = &c->server->handler;
	const char *end = c->in.n ? memchr(c->in.p, '\n', c->in.n) : NULL;
	size_t n = end ? (size_t)(end - c->in.p) : c->in.n;
	enum control_answer answer;

	if (n > CONTROL_REQUEST_MAX) { /* where its end is would be a guess */
		c->ending = true;
		return h->refuse(h->ctx, "the request is longer than 65536 bytes", &c->out);
	}
	if (!end)
		return true;
	answer = h->answer(h->ctx, (struct str){ c->in.p, n }, &c->turn, &c->out);
	in_drop(c, n + 1);
	c->turn.is_kept = answer == CONTROL_LATER;
	return answer != CONTROL_DROP;
}

static bool has_line(const struct connection *c)
{
	return c->in.n && memchr(c->in.p, '\n', c->in.n);
}

/* One turn of a connection: send, else answer, else read. */
static void connection_turn(struct connection *c, bool readable)
{
	bool ok;

	if (c->turn.is_kept)
		return;
	ok = send_some(c);
	if (ok && c->out.n == 0 && !c->ending) {
		if (readable && !c->eof && !has_line(c))
			ok = read_some(c);
		if (ok)
			ok = answer_one(c) && send_some(c);
	}
	if (ok && c->turn.is_kept) { /* it is our turn, so it is not the client that is slow */
		loop_timer_cancel(&c->idle);
		loop_fd_change(&c->watch, 0);
		return;
	}
	if (ok && c->out.n == 0 && c->ending && end_slowly(c))
		return;
	if (!ok || (c->out.n == 0 && (c->ending || (c->eof && !has_line(c))))) {
		connection_close(c);
		return;
	}
	if (c->out.n == 0 && has_line(c))
		loop_timer_set(c->server->loop, &c->again, loop_now(c->server->loop));
	if (c->out.n)
		loop_fd_change(&c->watch, LOOP_WRITE);
	else
		loop_fd_change(&c->watch, c->eof || has_line(c) ? 0 : LOOP_READ);
}

static void again_fire(struct loop_timer *t)
{
	connection_turn(CONTAINER_OF(t, struct connection, again), false);
}

static void connection_ready(struct loop_fd *w, uint32_t events)
{
	struct connection *c = CONTAINER_OF(w, struct connection, watch);

	/* A client that has gone may have left a whole request behind: it is carried out, and
	 * sending the answer finds that nobody is there.  Until then a hang-up that is reported
	 * again and again must not find us idle.  What is answered later is carried out too. */
	if ((events & LOOP_HANGUP) && (c->out.n || c->turn.is_kept)) {
		connection_close(c);
		return;
	}
	connection_turn(c, (events & (LOOP_READ | LOOP_HANGUP)) != 0);
}

/* ---- turns that were kept ---- */

/* False when nobody is there any more. */
static bool turn_end(struct connection *c)
{
	c->turn.is_kept = false;
	if (c->server)
		return true;
	free(c);
	return false;
}

/* Takes the answer over as what is to be sent; false when there is none. */
static bool out_set(struct connection *c, struct buf *answer)
{
	bool is_whole = buf_ok(answer) && answer->n;

	if (!is_whole) {
		buf_forget(answer);
		return false;
	}
	buf_forget(&c->out);
	c->out = *answer;
	c->out.limit = ANSWER_MAX;
	*answer = (struct buf){ 0 };
	return true;
}

void control_turn_end(struct control_turn *t, struct buf *answer)
{
	struct connection *c = CONTAINER_OF(t, struct connection, turn);

	if (!turn_end(c)) {
		buf_forget(answer);
		return;
	}
	if (!out_set(c, answer)) {
		connection_close(c);
		return;
	}
	progress(c);
	connection_turn(c, false);
}

int control_turn_take(struct control_turn *t)
{
	struct connection *c = CONTAINER_OF(t, struct connection, turn);
	int fd;

	if (!turn_end(c))
		return -1;
	fd = c->watch.fd;
	loop_fd_remove(&c->watch);
	c->watch.fd = -1;
	connection_close(c);
	return fd;
}

/* ---- the listener ---- */

static struct connection *connection_new(struct control_server *s, int fd, struct err *e)
{
	struct connection *c = calloc(1, sizeof *c);

	if (!c) {
		(void)err_set(e, ERR_NOMEM, "a control connection: out of memory");
		return NULL;
	}
	c->server = s;
	c->watch = (struct loop_fd){ .fd = fd, .events = LOOP_READ, .ready = connection_ready };
	c->idle.fire = idle_fire;
	c->again.fire = again_fire;
	c->in.limit = CONTROL_REQUEST_MAX + READ_CHUNK + 1;
	c->out.limit = ANSWER_MAX;
	if (loop_fd_add(s->loop, &c->watch, e)) {
		free(c);
		return NULL;
	}
	list_add_tail(&s->connections, &c->node);
	s->count++;
	progress(c);
	return c;
}

enum err_code control_server_adopt(struct control_server *s, int fd, struct buf *answer,
				   struct err *e)
{
	struct connection *c = connection_new(s, fd, e);

	if (!c) {
		fd_close(fd);
		return e ? e->code : ERR_NOMEM;
	}
	if (out_set(c, answer))
		connection_turn(c, false);
	else
		connection_close(c);
	return ERR_OK;
}

static void refuse_connection(struct control_server *s, int fd)
{
	AUTO(buf_done) struct buf out = { .limit = 4096 };

	LOG_WARNING("control.too_many_connections", F_INT("limit", CONTROL_CONNECTIONS_MAX));
	if (s->handler.refuse(s->handler.ctx, "too many connections to the control socket", &out))
		(void)send(fd, out.p, out.n, MSG_NOSIGNAL); /* best effort */
	fd_close(fd);
}

static void listener_ready(struct loop_fd *w, uint32_t events)
{
	struct control_server *s = CONTAINER_OF(w, struct control_server, listener);
	int fd = unix_accept(w->fd);
	struct err e;

	(void)events;
	if (fd < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		/* Out of descriptors or memory: who waits in the queue would wake us again at
		 * once, and again. */
		loop_fd_change(w, 0);
		loop_timer_set(s->loop, &s->pause, loop_now(s->loop) + ACCEPT_PAUSE_NS);
		return;
	}
	if (s->count >= CONTROL_CONNECTIONS_MAX) {
		refuse_connection(s, fd);
	} else if (!connection_new(s, fd, &e)) {
		LOG_ERR("control.accept_failed", F_ERR(&e));
		fd_close(fd);
	}
}

static void pause_fire(struct loop_timer *t)
{
	loop_fd_change(&CONTAINER_OF(t, struct control_server, pause)->listener, LOOP_READ);
}

/* The directory lets everybody through, the socket only its owner. */
static enum err_code directory_make(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	struct stat st;
	enum err_code rc;

	if (!slash || slash == path)
		return ERR_OK;
	if (!str_copy(dir, sizeof dir, (struct str){ path, (size_t)(slash - path) }))
		return err_set(e, ERR_RANGE, "the path of the control socket is too long");
	if (stat(dir, &st) == 0)
		return ERR_OK;
	rc = dir_make(dir, 0755, e);
	if (rc)
		return err_wrap(e, rc, "control socket %s", path);
	if (chmod(dir, 0755) < 0) /* whatever the umask took away */
		return err_sys(e, errno, "control socket: set the mode of %s", dir);
	return ERR_OK;
}

enum err_code control_listen(int *out, const char *path, struct err *e)
{
	enum err_code rc = directory_make(path, e);

	return rc ? rc : unix_listen(out, path, 0600, e);
}

void control_unlisten(const char *path)
{
	(void)unlink(path);
}

enum err_code control_server_open(struct control_server **out, struct loop *l, int listener,
				  const struct control_handler *h, struct err *e)
{
	struct control_server *s = calloc(1, sizeof *s);
	enum err_code rc;

	if (!s) {
		fd_close(listener);
		return err_set(e, ERR_NOMEM, "control socket: out of memory");
	}
	s->loop = l;
	s->handler = *h;
	s->listener =
		(struct loop_fd){ .fd = listener, .events = LOOP_READ, .ready = listener_ready };
	s->pause.fire = pause_fire;
	list_init(&s->connections);
	rc = loop_fd_add(l, &s->listener, e);
	if (rc) {
		control_server_close(s);
		return rc;
	}
	*out = s;
	return ERR_OK;
}

/* What is answered must also arrive, where somebody still takes it. */
static void last_send(struct connection *c, int64_t deadline)
{
	while (send_some(c) && c->sent < c->out.n) {
		struct pollfd p = { .fd = c->watch.fd, .events = POLLOUT };
		int64_t left_ms = (deadline - clock_mono_ns()) / NS_PER_MS;

		if (left_ms <= 0 || poll(&p, 1, (int)left_ms) <= 0)
			return;
	}
}

void control_server_close(struct control_server *s)
{
	int64_t deadline = clock_mono_ns() + NS_PER_S; /* for all of them together */

	if (!s)
		return;
	loop_timer_cancel(&s->pause);
	if (s->listener.fd >= 0) {
		loop_fd_remove(&s->listener);
		fd_close(s->listener.fd);
	}
	LIST_FOR_SAFE(node, next, &s->connections) {
		struct connection *c = CONTAINER_OF(node, struct connection, node);

		last_send(c, deadline);
		connection_close(c);
	}
	free(s);
}
