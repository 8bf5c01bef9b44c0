/* control_server.h - the control socket: lines in, lines out, for a few local clients.
 *
 * Framing as api/control.h; what a line means is the business of `answer`, which runs in the
 * loop's thread, one request of a connection a turn, and must not wait: what takes time is answered
 * later, while other connections are served.  A connection's next request waits until the answer
 * before it has been taken, so that a client holds at most one answer and one request.
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
struct control_turn; /* a line that waits for its answer */

enum control_answer {
	CONTROL_DROP, /* the connection is dropped */
	CONTROL_ANSWERED,
	CONTROL_LATER, /* `turn` is kept, for exactly one of the functions below */
};

struct control_handler {
	void *ctx;
	/* Answers one line (without its newline). */
	enum control_answer (*answer)(void *ctx, struct str line, struct control_turn *turn,
				      struct buf *out);
	/* The answer to a line that is too long, or to a connection too many. */
	bool (*refuse)(void *ctx, const char *why, struct buf *out);
};

/* Makes the directory (0755) if need be and listens at `path` with mode 0600; *out is the caller's. */
MUST_CHECK enum err_code control_listen(int *out, const char *path, struct err *e);
/* Removes the socket's file: before its server is closed, so that who finds it finds somebody there. */
void control_unlisten(const char *path);
/* Serves the listening socket `listener`, which it takes over, also on failure. */
MUST_CHECK enum err_code control_server_open(struct control_server **out, struct loop *l,
					     int listener, const struct control_handler *h,
					     struct err *e);
/* Stops listening, gives answers under way a second to leave, closes.  Turns that were kept must
 * still be ended; nobody hears of it. */
void control_server_close(struct control_server *s);

/* Ends a turn that was kept, also when its client or the server has gone: `answer` is taken over and
 * left empty; one that is empty or incomplete drops the connection.  Not from inside `answer`. */
void control_turn_end(struct control_turn *t, struct buf *answer);
/* Ends a turn by taking the connection away from the server: its descriptor, or -1 when the client
 * has gone. */
int control_turn_take(struct control_turn *t);
/* Makes the descriptor `fd` (which it takes over, also on failure) a connection, with an answer to
 * send first, as in control_turn_end. */
MUST_CHECK enum err_code control_server_adopt(struct control_server *s, int fd, struct buf *answer,
					      struct err *e);

#endif
