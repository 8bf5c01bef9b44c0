/* connection.h - inside http: a connection from accept to close, whichever protocol it speaks.
 *
 * Each entry from outside (an event, a timer, an answer) is bracketed by connection_enter and
 * connection_leave; the outermost leave sends what is to be sent, closes what has ended and sets
 * the next deadline.  So nothing is freed below anybody's feet.
 */
#ifndef QANAT_HTTP_CONNECTION_H
#define QANAT_HTTP_CONNECTION_H

#include "http/exchange.h"
#include "http/source.h"
#include "io/stream.h"

#define OUT_HIGH 65536 /* bytes waiting to be sent, above which no more is made */
#define READ_CHUNK 16384

struct http_connection;

/* What HTTP/1.1 and HTTP/2 do differently.  All are called between enter and leave. */
struct http_protocol {
	bool (*start)(struct http_connection *c); /* false: no memory */
	void (*free)(struct http_connection *c);
	void (*input)(struct http_connection *c, struct str in); /* bytes arrived */
	void (*eof)(struct http_connection *c); /* the client says no more */
	void (*answer)(struct http_exchange *x); /* its answer is there */
	void (*wake)(struct http_exchange *x); /* its producer has something again */
	void (*output)(struct http_connection *c); /* makes what can be sent, up to OUT_HIGH */
	void (*late)(struct http_connection *c); /* a head is overdue: says so and ends */
	/* It was answered long ago, and the client still sends its body.  NULL: cannot be. */
	void (*abandon)(struct http_exchange *x);
	void (*wind_down)(struct http_connection *c); /* ends in order */
	bool (*wants_input)(const struct http_connection *c);
};
extern const struct http_protocol http_h1, http_h2;

struct http_connection {
	struct list node;
	struct http_server *server;
	struct stream *stream; /* NULL: handed over by an upgrade */
	const struct http_protocol *protocol; /* NULL: TLS is being set up */
	void *session;
	struct endpoint peer, local;
	struct http_source *source;
	struct list exchanges;
	unsigned requests;
	unsigned depth; /* of enter */
	bool broken; /* close without a word */
	bool over; /* all is said: close */
	bool winding_down; /* no further request */
	bool lingering; /* FIN is sent; reads until the client's, so that it gets the answer */
	bool input_over; /* EOF was seen */
	size_t thrown; /* bytes read while lingering */
	uint64_t body_progress; /* bytes of answers' bodies that were sent */

	struct loop_timer deadline;
	int64_t opened_at; /* while TLS is being set up; else 0 */
	int64_t head_since; /* a head is incomplete since; 0: none is */
	int64_t idle_since; /* 0: something goes on */
	int64_t stall_since; /* the client takes nothing since; 0: nothing waits for it */
	int64_t linger_since;
	uint64_t stall_mark; /* what had been taken when stall_since was set */
};

/* Takes over `fd`. */
MUST_CHECK enum err_code connection_open(struct http_server *s, int fd, const struct endpoint *peer,
					 struct http_source *source, struct err *e);
void connection_enter(struct http_connection *c);
/* `c` may be gone afterwards. */
void connection_leave(struct http_connection *c);
/* Ends in order. */
void connection_wind_down(struct http_connection *c);
/* At once.  Between enter and leave it is the leave that frees. */
void connection_break(struct http_connection *c);
/* Sends FIN after what is waiting and reads on for a moment. */
void connection_linger(struct http_connection *c);
/* Gives the stream away and leaves the rest to be freed. */
struct stream *connection_give_stream(struct http_connection *c);
int64_t connection_now(const struct http_connection *c);

#endif
