/* exchange.h - inside http: a request with its answer, as the server keeps it.
 *
 * An exchange belongs to its connection until that ends, and to the handler from its call to its
 * answer; it is freed when neither has it.  Both protocols fill it the same way: text of the head
 * into `text` and `fields`, then exchange_head_done, body pieces, exchange_body_done.
 */
#ifndef QANAT_HTTP_EXCHANGE_H
#define QANAT_HTTP_EXCHANGE_H

#include "base/list.h"
#include "http/router.h"
#include "io/loop.h"

struct http_connection;

enum exchange_state {
	EXCHANGE_HEAD, /* its head is being received */
	EXCHANGE_BODY, /* its body is */
	EXCHANGE_RUNNING, /* a handler has it */
	EXCHANGE_ANSWERED, /* the answer is known and being sent */
};

/* A piece of `text`; views are made once that moves no more. */
struct text_at {
	size_t at, n;
};

struct http_exchange {
	struct http_request r;
	struct list node; /* in its connection; unlinked: that has gone */
	struct http_server *server;
	struct http_connection *conn; /* NULL: gone */
	enum exchange_state state;
	int32_t stream_id; /* HTTP/2 */

	/* what was received */
	struct buf text;
	struct text_at target, host, method;
	struct text_at *names; /* two a header: name and value */
	size_t names_n, names_cap;
	struct http_field *headers;
	struct buf segments; /* of the path, decoded */
	struct buf path; /* decoded whole, when that differs from the raw one */
	struct http_match match;
	struct buf body;
	size_t body_max;
	int64_t body_until; /* more of it must have come */
	bool has_length;
	uint64_t length;
	bool wants_upgrade; /* Connection names Upgrade */
	bool body_whole;

	/* the answer */
	unsigned status; /* 0: none yet */
	struct buf lines; /* headers, "name: value\r\n" each, names in lower case */
	bool has_cache_control;
	struct buf out; /* the body, or what the producer gave last */
	size_t out_at; /* of it, handed on */
	uint64_t out_length; /* of the whole body when it is known */
	struct http_producer producer;
	bool is_streamed; /* by `producer` */
	bool streaming; /* and it may still be asked */
	bool waiting; /* it has said HTTP_WAIT */
	uint64_t body_sent;
	bool sent; /* whole; the client still sends a body that nobody wants */

	void (*on_gone)(struct http_request *r);
	void (*posted)(struct http_request *r);
	struct loop_work work;
};

/* NULL without memory. */
struct http_exchange *exchange_new(struct http_connection *c);
/* Header text into `text`. */
struct text_at exchange_text(struct http_exchange *x, struct str s);
/* A header, when name and value are in `text`; false: no memory. */
MUST_CHECK bool exchange_field(struct http_exchange *x, struct text_at name, struct text_at value);
/* The head is whole: makes the views, finds the route, asks the limits.  False: it is answered
 * already, and a body must not be read. */
MUST_CHECK bool exchange_head_done(struct http_exchange *x, const char *method, unsigned version);
/* A piece of the body; false: it is answered already (too large, or no room). */
MUST_CHECK bool exchange_body(struct http_exchange *x, struct str piece);
/* The body is whole: auth hook and handler. */
void exchange_body_done(struct http_exchange *x);

/* Counts the request against its source's rate; false: it has been answered with 429. */
MUST_CHECK bool exchange_within_rate(struct http_exchange *x);

/* Answers by ourselves, in the style of the route's group. */
void exchange_refuse(struct http_exchange *x, unsigned status, const char *detail);
/* The header lines of the answer that both protocols send, but those of framing. */
void exchange_answer_lines(struct http_exchange *x, struct buf *lines);
/* Whether the answer has a body: not for HEAD, 204, 304. */
bool exchange_has_body(const struct http_exchange *x);
/* The next of the answer's body: up to `n` bytes, borrowed until the next call. */
enum http_pull exchange_pull(struct http_exchange *x, struct str *out, size_t n);

/* The answer has been sent, or cannot be: the access log hears of it, and all is freed. */
void exchange_finish(struct http_exchange *x);
/* The connection has gone: what a handler holds stays until its answer. */
void exchange_orphan(struct http_exchange *x);

#endif
