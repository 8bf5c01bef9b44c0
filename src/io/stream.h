/* stream.h - a connected stream socket on a loop, plain or under TLS, that never blocks.
 *
 * The owner reads when told to, writes into `out` and flushes; what the kernel does not take is
 * kept and sent as it can.  Callbacks come from the loop; each may close the stream.
 */
#ifndef QANAT_IO_STREAM_H
#define QANAT_IO_STREAM_H

#include <sys/types.h>

#include "base/err.h"
#include "base/text.h"

struct loop;
struct stream;
struct tls_server;

struct stream_handler {
	void (*opened)(void *ctx); /* TLS is set up; without TLS in the loop's next turn */
	void (*readable)(void *ctx); /* stream_read may give something */
	void (*drained)(void *ctx); /* all that was written has been taken by the kernel */
	/* The connection broke, or TLS could not be set up: nothing comes or goes any more, and the
	 * owner closes the stream. */
	void (*broken)(void *ctx);
};

/* Takes over `fd` (closed on failure too).  `tls` NULL: plain. */
MUST_CHECK enum err_code stream_open(struct stream **out, struct loop *l, int fd,
				     struct tls_server *tls, const struct stream_handler *h,
				     void *ctx, struct err *e);
/* Sends a TLS close_notify when it can be sent at once, and closes. */
void stream_close(struct stream *s);
/* A new owner. */
void stream_handle(struct stream *s, const struct stream_handler *h, void *ctx);

/* Reads up to `n` bytes: how many, 0 for nothing now, -1 at the end, -2 when it is broken (the
 * handler is not called then). */
ssize_t stream_read(struct stream *s, void *p, size_t n);
/* Whether `readable` is wanted; on at the start.  Bytes that TLS has decrypted already bring it
 * in the loop's next turn. */
void stream_want_read(struct stream *s, bool want);

/* What waits to be sent: append to it, then flush. */
struct buf *stream_out(struct stream *s);
/* How many bytes wait. */
size_t stream_waiting(const struct stream *s);
/* Sends what can be sent now; false when the connection is broken (the handler is not called). */
MUST_CHECK bool stream_flush(struct stream *s);
/* Nothing more will be written: sends close_notify and FIN once all has gone; reading goes on. */
void stream_end_write(struct stream *s);

/* Bytes that the kernel has taken since the start: whether a slow reader still reads. */
uint64_t stream_sent(const struct stream *s);
int stream_fd(const struct stream *s);
/* "" without TLS; valid after `opened`. */
const char *stream_tls_version(const struct stream *s);
/* The protocol chosen by ALPN; empty for none. */
struct str stream_alpn(const struct stream *s);

#endif
