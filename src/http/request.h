/* request.h - one HTTP request as a handler sees it, and how it is answered.
 *
 * A handler gets the request once its body is complete and the auth hook of its group has let it
 * through.  It answers exactly once, now or later, with one of the http_respond functions (or
 * takes the connection with http_upgrade).  Until then the request and all views into it stay
 * valid, whatever becomes of the connection: an answer that nobody waits for is thrown away.
 *
 * All functions belong to the loop's thread, but http_request_post.  A request may be handed to
 * another thread, which reads its fields (they do not change) and hands it back by
 * http_request_post; it is answered in the loop's thread.
 */
#ifndef QANAT_HTTP_REQUEST_H
#define QANAT_HTTP_REQUEST_H

#include "base/addr.h"
#include "base/err.h"

struct http_route;
struct stream;

/* Each a bit, so that a set of them is an unsigned. */
enum http_method {
	HTTP_GET = 1,
	HTTP_HEAD = 2,
	HTTP_POST = 4,
	HTTP_PUT = 8,
	HTTP_PATCH = 16,
	HTTP_DELETE = 32,
	HTTP_OPTIONS = 64,
};
#define HTTP_METHODS 7

#define HTTP_REQUEST_ID_MAX 64

/* A header, a query parameter or a path parameter. */
struct http_field {
	struct str name; /* of a header: in lower case */
	struct str value;
};

struct http_request {
	enum http_method method; /* a HEAD that a GET route answers stays HEAD */
	unsigned version; /* 10, 11 or 20 */
	struct str target; /* path and query as sent: what signatures cover */
	struct str path_raw; /* as sent, before '?' */
	struct str query_raw; /* as sent, after '?'; empty without one: http/query.h reads it */
	struct str path; /* percent-decoded once: for people, not for routing */
	struct str host; /* Host or :authority */
	const struct http_field *headers; /* in the order received */
	size_t headers_n;
	const struct http_field *params; /* of the pattern, decoded once, in its order */
	size_t params_n;
	struct str body; /* whole; empty without one */
	struct endpoint peer;
	struct endpoint local;
	const struct http_route *route;
	void *route_ctx; /* as given with the route table */
	char id[HTTP_REQUEST_ID_MAX +
		1]; /* the client's X-Request-ID when well-formed, or ours; echoed */
	bool is_tls;
	const char *tls_version; /* such as "TLSv1.3"; "" without TLS */
	int64_t received_ns; /* monotonic: when its head was complete */
	int64_t received_real_ns; /* the same moment since 1970 */
	void *user; /* the auth hook's and the handler's own; starts NULL */
};

const char *http_method_name(enum http_method m);
/* The value of the first header `name` (any case), or the empty view with p NULL. */
struct str http_header(const struct http_request *r, const char *name);
/* How many headers of that name there are: a signature that comes twice is no signature. */
size_t http_header_count(const struct http_request *r, const char *name);
/* The path parameter `name` of the pattern; a name that the pattern lacks is a bug. */
struct str http_param(const struct http_request *r, const char *name);
/* The client has gone: nobody will read the answer, which is still to be given. */
bool http_request_is_gone(const struct http_request *r);
/* Calls fn(r) once if the client goes before the answer (or, with a stream, before its end);
 * fn may answer.  NULL takes it back. */
void http_request_on_gone(struct http_request *r, void (*fn)(struct http_request *r));
/* Any thread that holds the request: runs fn(r) in the loop's thread, soon, in order.  At most one
 * at a time. */
void http_request_post(struct http_request *r, void (*fn)(struct http_request *r));

/* The phrase of a status code, such as "Not Found". */
const char *http_status_phrase(unsigned status);

/* ---- answers ---- */

/* Before the answer: adds a header.  Both are copied; bytes that would end the line become '?'.
 * Content-Length, Transfer-Encoding, Connection, Date and X-Request-ID are the server's; a
 * Cache-Control given here replaces the default no-store. */
void http_add_header(struct http_request *r, const char *name, struct str value);

/* Answers with the content of `body`, which is taken over and left empty.  `body` may be NULL for
 * none, `content_type` NULL for none; a body that is not whole (buf_ok) becomes a 500. */
void http_respond(struct http_request *r, unsigned status, const char *content_type,
		  struct buf *body);
/* Answers with a copy of `body`. */
void http_respond_text(struct http_request *r, unsigned status, const char *content_type,
		       struct str body);
/* The same as application/json. */
void http_respond_json(struct http_request *r, unsigned status, struct str json);
/* Answers with a problem document (RFC 9457): type "about:blank", the status and its phrase, the
 * detail as formatted, and the request id as `request_id`. */
void http_respond_problem(struct http_request *r, unsigned status, const char *fmt, ...)
	PRINTF(3, 4);

enum http_pull {
	HTTP_MORE, /* something was added, and there is more */
	HTTP_WAIT, /* nothing now: http_stream_wake says when */
	HTTP_END, /* that was all; the last bytes may have been added by this call */
	HTTP_FAIL, /* broken off: the client sees an incomplete body, never a shorter one */
};

/* A body made while it is sent: as fast as the client reads, in bounded memory. */
struct http_producer {
	/* Appends about `room` bytes to `out` (more is kept, but not for long). */
	enum http_pull (*pull)(void *ctx, struct buf *out, size_t room);
	/* Called once, after the last pull: at the end, or when the client has gone.  The request
	 * is gone afterwards.  May be NULL. */
	void (*done)(void *ctx);
	void *ctx;
};
/* Answers with chunks (or DATA frames).  The request stays valid until p->done. */
void http_respond_stream(struct http_request *r, unsigned status, const char *content_type,
			 const struct http_producer *p);
/* The producer that said HTTP_WAIT has something again. */
void http_stream_wake(struct http_request *r);

/* Answers an HTTP/1.1 GET that asks to upgrade: 101 with `Upgrade: protocol` and the headers added
 * before, then the stream belongs to the caller, who sets its own handler (io/stream.h); `early`
 * gets what was read behind the head.  The request is gone afterwards.  ERR_UNSUPPORTED when the
 * request is no such thing (HTTP/2, no Upgrade header, or another protocol there), ERR_CLOSED when
 * the client has gone; then it is still to be answered. */
MUST_CHECK enum err_code http_upgrade(struct stream **out, struct buf *early,
				      struct http_request *r, const char *protocol, struct err *e);

#endif
