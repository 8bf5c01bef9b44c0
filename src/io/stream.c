#include "io/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "io/loop.h"
#include "io/tls.h"

#define TLS_RECORD 16384
#define OUT_KEEP 65536 /* memory kept for the next answer */

struct stream {
	struct loop *loop;
	struct loop_fd watch;
	struct loop_timer again; /* what TLS holds already, and `opened` of a plain stream */
	struct stream_handler handler;
	void *ctx;
	SSL *ssl; /* NULL: plain */
	bool open; /* `opened` was called */
	bool want_read;
	bool dry; /* TLS holds no whole record: only the socket brings more */
	bool read_needs_write; /* TLS wants to send before it reads on */
	bool eof; /* the socket is at its end */
	bool broken;
	bool ending, ended; /* the write side */
	struct buf out;
	size_t out_sent; /* of `out` */
	uint64_t sent;
	bool *closed; /* set when the stream goes away inside a callback */
};

/* ---- OpenSSL over the socket: as its own socket BIO, but without SIGPIPE ---- */

static int bio_read(BIO *b, char *p, int n)
{
	struct stream *s = BIO_get_data(b);
	ssize_t got;

	BIO_clear_retry_flags(b);
	do {
		got = FAULT("stream.recv") ? (errno = ECONNRESET, -1)
					   : recv(s->watch.fd, p, (size_t)n, 0);
	} while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	if (got == 0)
		s->eof = true;
	return (int)got;
}

static ssize_t socket_send(struct stream *s, const void *p, size_t n)
{
	ssize_t done;

	do {
		done = FAULT("stream.send") ? (errno = EPIPE, -1)
					    : send(s->watch.fd, p, n, MSG_NOSIGNAL);
	} while (done < 0 && errno == EINTR);
	if (done > 0)
		s->sent += (uint64_t)done;
	return done;
}

static int bio_write(BIO *b, const char *p, int n)
{
	ssize_t done = socket_send(BIO_get_data(b), p, (size_t)n);

	BIO_clear_retry_flags(b);
	if (done < 0 && errno == EAGAIN)
		BIO_set_retry_write(b);
	return (int)done;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *p)
{
	const struct stream *s = BIO_get_data(b);

	(void)num;
	(void)p;
	if (cmd == BIO_CTRL_EOF)
		return s->eof;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void bio_method_make(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

	if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
	    BIO_meth_set_ctrl(m, bio_ctrl))
		bio_method = m;
	else
		BIO_meth_free(m);
}

static bool tls_attach(struct stream *s, struct tls_server *tls)
{
	BIO *b = NULL;

	if (pthread_once(&bio_once, bio_method_make) == 0 && bio_method)
		b = BIO_new(bio_method);
	s->ssl = b ? tls_server_accept(tls) : NULL;
	if (!s->ssl) {
		BIO_free(b);
		ERR_clear_error();
		return false;
	}
	BIO_set_data(b, s);
	BIO_set_init(b, 1);
	SSL_set_bio(s->ssl, b, b);
	return true;
}

/* ---- reading and writing ---- */

static void watch_update(struct stream *s)
{
	bool reads = s->want_read || (s->ssl && !s->open);
	bool writes = stream_waiting(s) || s->read_needs_write || (s->ending && !s->ended);

	loop_fd_change(&s->watch, (reads ? LOOP_READ : 0u) | (writes ? LOOP_WRITE : 0u));
}

/* What a TLS call that returned `rc` < 1 means: 0 later, -1 the end, -2 broken. */
static int tls_verdict(struct stream *s, int rc)
{
	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		s->dry = true;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		s->read_needs_write = true;
		watch_update(s);
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return -1;
	default:
		s->broken = true;
		ERR_clear_error();
		return -2;
	}
}

static ssize_t plain_read(struct stream *s, void *p, size_t n)
{
	ssize_t got;

	do {
		got = FAULT("stream.recv") ? (errno = ECONNRESET, -1) : recv(s->watch.fd, p, n, 0);
	} while (got < 0 && errno == EINTR);
	if (got > 0)
		return got;
	if (got == 0)
		return -1;
	if (errno == EAGAIN)
		return 0;
	s->broken = true;
	return -2;
}

ssize_t stream_read(struct stream *s, void *p, size_t n)
{
	size_t got = 0;
	int rc;

	if (s->broken)
		return -2;
	if (!s->open)
		return 0;
	if (!s->ssl)
		return plain_read(s, p, n);
	s->read_needs_write = false;
	ERR_clear_error();
	rc = SSL_read_ex(s->ssl, p, n, &got);
	return rc > 0 ? (ssize_t)got : tls_verdict(s, rc);
}

/* TLS holds bytes that epoll does not know of. */
static void read_again(struct stream *s)
{
	if (s->want_read && s->ssl && s->open && !s->dry && SSL_has_pending(s->ssl))
		loop_timer_set(s->loop, &s->again, loop_now(s->loop));
}

void stream_want_read(struct stream *s, bool want)
{
	s->want_read = want;
	watch_update(s);
	read_again(s);
}

struct buf *stream_out(struct stream *s)
{
	return &s->out;
}

size_t stream_waiting(const struct stream *s)
{
	return s->out.n - s->out_sent;
}

/* Answers may hold keys: what was sent is wiped. */
static void out_shrink(struct stream *s)
{
	size_t left = stream_waiting(s);

	if (s->out_sent == 0)
		return;
	if (left == 0 && s->out.cap > OUT_KEEP) {
		buf_done(&s->out);
	} else {
		memmove(s->out.p, s->out.p + s->out_sent, left);
		wipe(s->out.p + left, s->out_sent);
		s->out.n = left;
	}
	s->out_sent = 0;
}

/* One piece of `out`; 0: the kernel takes no more now. */
static ssize_t send_piece(struct stream *s, const char *p, size_t n)
{
	size_t done = 0;
	ssize_t sent;
	int rc;

	if (!s->ssl) {
		sent = socket_send(s, p, n);
		if (sent < 0 && errno == EAGAIN)
			return 0;
		s->broken = sent < 0;
		return sent;
	}
	ERR_clear_error();
	rc = SSL_write_ex(s->ssl, p, MIN(n, (size_t)TLS_RECORD), &done);
	if (rc > 0)
		return (ssize_t)done;
	if (SSL_get_error(s->ssl, rc) == SSL_ERROR_WANT_WRITE)
		return 0;
	/* WANT_READ cannot be: there is no renegotiation, and key updates do not wait. */
	s->broken = true;
	ERR_clear_error();
	return -1;
}

/* All has gone: says so to the other side, once. */
static void end_if_sent(struct stream *s)
{
	if (!s->ending || s->ended || stream_waiting(s) || !s->open)
		return;
	if (s->ssl) {
		ERR_clear_error();
		if (SSL_shutdown(s->ssl) < 0 && SSL_want_write(s->ssl))
			return; /* the next turn tries again */
	}
	(void)shutdown(s->watch.fd, SHUT_WR);
	s->ended = true;
}

bool stream_flush(struct stream *s)
{
	ssize_t n = 1;

	if (s->out.full) /* out of memory or beyond its limit: what follows would not be whole */
		s->broken = true;
	while (!s->broken && s->open && stream_waiting(s) && n > 0) {
		n = send_piece(s, s->out.p + s->out_sent, stream_waiting(s));
		s->out_sent += n > 0 ? (size_t)n : 0;
	}
	if (!s->broken && (stream_waiting(s) == 0 || s->out_sent > OUT_KEEP))
		out_shrink(s);
	if (!s->broken)
		end_if_sent(s);
	watch_update(s);
	return !s->broken;
}

void stream_end_write(struct stream *s)
{
	s->ending = true;
	if (!s->broken)
		end_if_sent(s);
	watch_update(s);
}

/* ---- events ---- */

/* Calls a callback; false when the stream does not exist any more. */
static bool tell(struct stream *s, void (*fn)(void *ctx))
{
	bool closed = false;

	s->closed = &closed;
	fn(s->ctx);
	if (!closed)
		s->closed = NULL;
	return !closed;
}

static void tell_broken(struct stream *s)
{
	s->broken = true;
	loop_timer_cancel(&s->again);
	loop_fd_remove(&s->watch); /* a hang-up is reported again and again */
	(void)tell(s, s->handler.broken);
}

/* True once the handshake is done and the owner, told of it, has kept the stream. */
static bool handshake(struct stream *s)
{
	int rc;

	s->read_needs_write = false;
	ERR_clear_error();
	rc = SSL_do_handshake(s->ssl);
	if (rc == 1) {
		s->open = true;
		s->dry = false;
		return tell(s, s->handler.opened) && !s->broken;
	}
	if (tls_verdict(s, rc) < 0)
		tell_broken(s);
	else
		watch_update(s);
	return false;
}

static void turn(struct stream *s, uint32_t events)
{
	if (s->ssl && !s->open) {
		if (!handshake(s))
			return;
		events |= LOOP_READ; /* the first request may have come with it */
	}
	if (events & LOOP_WRITE) {
		bool waited = stream_waiting(s) > 0;

		if (!stream_flush(s)) {
			tell_broken(s);
			return;
		}
		if (waited && stream_waiting(s) == 0 && !tell(s, s->handler.drained))
			return;
	}
	if ((events & LOOP_HANGUP) && !s->want_read) {
		tell_broken(s); /* both directions are shut */
		return;
	}
	if ((events & (LOOP_READ | LOOP_HANGUP)) || s->read_needs_write) {
		s->dry = false;
		if (s->want_read && !tell(s, s->handler.readable))
			return;
	}
	if (s->broken)
		return;
	watch_update(s);
	read_again(s);
}

static void watch_ready(struct loop_fd *w, uint32_t events)
{
	turn(CONTAINER_OF(w, struct stream, watch), events);
}

static void again_fire(struct loop_timer *t)
{
	struct stream *s = CONTAINER_OF(t, struct stream, again);

	if (!s->open) { /* plain */
		s->open = true;
		if (!tell(s, s->handler.opened) || s->broken)
			return;
		watch_update(s);
		return;
	}
	turn(s, LOOP_READ);
}

/* ---- life ---- */

enum err_code stream_open(struct stream **out, struct loop *l, int fd, struct tls_server *tls,
			  const struct stream_handler *h, void *ctx, struct err *e)
{
	struct stream *s = FAULT("stream.new") ? NULL : calloc(1, sizeof *s);
	enum err_code rc;

	if (!s) {
		fd_close(fd);
		return err_set(e, ERR_NOMEM, "out of memory for a connection");
	}
	s->loop = l;
	s->watch =
		(struct loop_fd){ .fd = fd, .events = tls ? LOOP_READ : 0, .ready = watch_ready };
	s->again.fire = again_fire;
	s->handler = *h;
	s->ctx = ctx;
	s->want_read = true;
	if (tls && !tls_attach(s, tls))
		rc = err_set(e, ERR_NOMEM, "out of memory for a TLS connection");
	else
		rc = loop_fd_add(l, &s->watch, e);
	if (rc) {
		stream_close(s);
		return rc;
	}
	if (!tls)
		loop_timer_set(l, &s->again, loop_now(l));
	*out = s;
	return ERR_OK;
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	if (s->closed)
		*s->closed = true;
	loop_timer_cancel(&s->again);
	loop_fd_remove(&s->watch);
	if (s->ssl) {
		ERR_clear_error();
		if (s->open && !s->broken && !s->ended && stream_waiting(s) == 0)
			(void)SSL_shutdown(s->ssl);
		SSL_free(s->ssl);
		ERR_clear_error();
	}
	fd_close(s->watch.fd);
	buf_done(&s->out);
	free(s);
}

void stream_handle(struct stream *s, const struct stream_handler *h, void *ctx)
{
	s->handler = *h;
	s->ctx = ctx;
}

uint64_t stream_sent(const struct stream *s)
{
	return s->sent;
}

int stream_fd(const struct stream *s)
{
	return s->watch.fd;
}

const char *stream_tls_version(const struct stream *s)
{
	return s->ssl && s->open ? SSL_get_version(s->ssl) : "";
}

struct str stream_alpn(const struct stream *s)
{
	const unsigned char *name = NULL;
	unsigned n = 0;

	if (s->ssl && s->open)
		SSL_get0_alpn_selected(s->ssl, &name, &n);
	return (struct str){ (const char *)name, n };
}
