/* control_server.h - the control socket: lines in, lines out, for a few local clients.
 *
 * Framing as api/control.h; what a line means is the business of `answer`, which runs in the
 * loop's thread, one request of a connection a turn.  A connection's next request waits until the
 * answer before it has been taken, so that a client holds at most one answer and one request.
 * Silent or slow for CONTROL_IDLE_S: dropped.  One more than CONTROL_CONNECTIONS_MAX: told so and
 * closed.
 */
#ifndef QANAT_GATEWAY_CONTROL_SERVER_H
#define QANAT_GATEWAY_CONTROL_SERVER_H

#include "base/text.h"
#include "io/loop.h"

#define CONTROL_CONNECTIONS_MAX 64
#define CONTROL_IDLE_S 60

struct control_server;

struct control_handler {
	void *ctx;
	/* Answers one line (without its newline); false: the connection is dropped. */
	bool (*answer)(void *ctx, struct str line, struct buf *out);
	/* The answer to a line that is too long, or to a connection too many. */
	bool (*refuse)(void *ctx, const char *why, struct buf *out);
};

/* Makes the directory (0755) if need be and listens at `path` with mode 0600. */
MUST_CHECK enum err_code control_server_open(struct control_server **out, struct loop *l,
					     const char *path, const struct control_handler *h,
					     struct err *e);
/* Removes the socket, gives answers under way a second to leave, closes. */
void control_server_close(struct control_server *s);

#endif
