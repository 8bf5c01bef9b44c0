/* server.h - an HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113) server on an io loop, over TLS.
 *
 * The server belongs to the thread that runs its loop: every function here is called there, or
 * before it runs.  Others hand over work with loop_post, and requests with http_request_post.
 *
 * A request's way: the source's limits -> head, checked strictly (http/strict.h) -> route ->
 * declared length -> body -> the group's auth hook -> the handler (http/request.h).  What fails on
 * the way is answered with a problem document (RFC 9457), or by the group's own `refuse`.
 *
 * The server never logs: it calls `access` once a request and counts what it refuses.
 */
#ifndef QANAT_HTTP_SERVER_H
#define QANAT_HTTP_SERVER_H

#include "http/request.h"

struct http_server;
struct loop;
struct tls_server;

typedef void http_handler(struct http_request *r, void *route_ctx);

/* Routes that are guarded together and fail in the same style; static, one for many routes. */
struct http_group {
	const char *name;
	/* After the body is complete: true lets the handler run; false: it has answered itself.
	 * NULL: open to everybody. */
	bool (*authorise)(struct http_request *r, void *route_ctx);
	/* Answers what the server refuses by itself on such a route (413, 429, 503, 405 …) in the
	 * group's own style; the headers that belong to it are already added.  NULL: a problem. */
	void (*refuse)(struct http_request *r, unsigned status, const char *detail);
};

#define HTTP_ROUTE_NO_RATE_LIMIT 1u /* not counted against the source's requests a second */
#define HTTP_ROUTE_EVEN_BUSY 2u /* answered even when the server is overloaded: health checks */

/* One row of a route table, which outlives the server. */
struct http_route {
	enum http_method method;
	/* Segments are literal or "{name}"; the last may be "{name*}", which takes the rest of the
	 * path.  A literal segment wins over a parameter.  A trailing '/' counts. */
	const char *pattern;
	http_handler *handler;
	const struct http_group *group; /* may be NULL */
	unsigned flags;
	size_t body_max; /* bytes; 0: the server's limit */
};

/* Routes with what their handlers need, as an API offers them to whoever listens for it. */
struct http_service {
	const char *name; /* in the log */
	const struct http_route *routes;
	size_t count; /* 0: nothing is served */
	void *ctx; /* of handlers and hooks */
	const struct http_group *unrouted; /* answers what fits no route; NULL: a problem */
};

/* Zero means the default in brackets, everywhere. */
struct http_limits {
	size_t head_bytes; /* [16384] request line and headers; for HTTP/2 decoded names and values */
	size_t head_fields; /* [100] */
	size_t body_bytes; /* [1 MiB] where the route does not say */
	size_t bodies_bytes; /* [64 MiB] of all unfinished and unanswered requests together: 503 */
	size_t bodies_per_source; /* [three quarters of that] of one source: 503 */
	unsigned connections; /* [1024] in all: a further one is closed at once */
	unsigned connections_per_source; /* [64]; a source is an IPv4 address or an IPv6 /64 */
	unsigned requests_per_connection; /* [100000], then the connection is closed in order */
	unsigned h2_streams; /* [100] at once on a connection */
	unsigned requests_running; /* [4096] handed to handlers and not answered: then 503 */
	unsigned rate_per_s; /* [0: no limit] requests of a source: then 429 with Retry-After */
	unsigned rate_burst; /* [twice the rate] */
	/* Absolute deadlines, in milliseconds. */
	unsigned handshake_ms; /* [5000] of TLS */
	unsigned head_ms; /* [10000] from the first byte of a request to the end of its head */
	unsigned
		body_ms; /* [10000] of grace for a body; what body_rate adds is at most 6 times that */
	unsigned body_rate; /* [1024] least bytes a second */
	unsigned idle_ms; /* [60000] between requests */
	unsigned stall_ms; /* [30000] without the client taking anything of an answer */
};

/* What an access log may hold: no query, no headers, no body. */
struct http_access {
	const char *method; /* "-" when there was none to read */
	const char *pattern; /* of the route; "-" when none matched */
	unsigned status; /* 0: the client went before the answer */
	uint64_t bytes; /* of the answer's body, as sent */
	int64_t duration_ns; /* from the head's end to the answer's */
	const char *request_id;
	const struct endpoint *peer;
	unsigned version; /* 10, 11, 20 */
};

struct http_server_options {
	struct tls_server *tls; /* io/tls.h, owned by the caller; NULL: plain HTTP, loopback only */
	struct http_limits limits;
	/* Asked for each connection before a byte is read: false closes it (a list of source
	 * networks).  May be NULL. */
	bool (*admit)(void *ctx, const struct endpoint *peer);
	void (*access)(void *ctx, const struct http_access *a); /* may be NULL */
	void *ctx; /* of admit and access */
	/* Without TLS: connections begin with HTTP/2 at once (RFC 9113, 3.3) instead of HTTP/1.1. */
	bool plain_h2;
	unsigned hsts_s; /* Strict-Transport-Security: max-age; 0: none is sent */
	const char *server_name; /* Server header; NULL: none is sent */
	/* Whose `refuse` answers what fits no route; NULL: problems. */
	const struct http_group *unrouted;
};

/* Counted since the start, but for the first three. */
struct http_stats {
	unsigned connections; /* open now */
	unsigned requests_running; /* handed to handlers now */
	size_t bodies_bytes; /* held now */
	uint64_t accepted;
	uint64_t requests;
	uint64_t refused_connections; /* too many, too many of one source, not admitted */
	uint64_t handshakes_failed;
	uint64_t timeouts; /* deadlines of handshake, head, body, and stalled answers */
	uint64_t bad_requests; /* malformed: 400, 413, 414, 431, 501, 505, and HTTP/2 errors */
	uint64_t rate_limited;
	uint64_t overloaded;
	uint64_t floods; /* HTTP/2 connections closed for frames that only cost */
};

/* A server without listeners. */
MUST_CHECK enum err_code http_server_new(struct http_server **out, struct loop *l,
					 const struct http_server_options *o, struct err *e);
/* Breaks off all connections.  Requests that handlers hold become gone and are still to be
 * answered: until then parts of the server stay. */
void http_server_free(struct http_server *s);

/* Adds `n` routes; `ctx` is handed to their handlers and hooks.  ERR_EXISTS for a route that is
 * there, ERR_INVALID for a malformed pattern. */
MUST_CHECK enum err_code http_server_add_routes(struct http_server *s,
						const struct http_route *routes, size_t n,
						void *ctx, struct err *e);
/* The routes in the order added: calls fn(arg, route) for each. */
void http_server_walk_routes(const struct http_server *s,
			     void (*fn)(void *arg, const struct http_route *route), void *arg);

/* Listens at `at`; an IPv6 address takes no IPv4 connections; port 0 is chosen by the kernel and
 * written to *bound (may be NULL). */
MUST_CHECK enum err_code http_server_listen(struct http_server *s, const struct endpoint *at,
					    struct endpoint *bound, struct err *e);
/* Takes over a listening TCP or UNIX socket that somebody else opened. */
MUST_CHECK enum err_code http_server_adopt_listener(struct http_server *s, int fd, struct err *e);
/* Takes over a connected stream socket, as if accepted from `peer`; closed when refused. */
MUST_CHECK enum err_code http_server_adopt_connection(struct http_server *s, int fd,
						      const struct endpoint *peer, struct err *e);

/* Ends in order: no new connections, GOAWAY or Connection: close, requests at work are answered
 * within `deadline_ms`, then what is left is broken off.  Calls done(ctx) in the loop, once. */
void http_server_stop(struct http_server *s, unsigned deadline_ms, void (*done)(void *ctx),
		      void *ctx);
void http_server_stats(const struct http_server *s, struct http_stats *out);

#endif
