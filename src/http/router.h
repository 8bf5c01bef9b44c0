/* router.h - finds the route of a path, segment by segment.
 *
 * A path is split at '/' as it was sent and each segment is decoded once, so that an escaped slash
 * stays inside its segment.  "." and ".." are refused: no client that means well sends them.
 */
#ifndef QANAT_HTTP_ROUTER_H
#define QANAT_HTTP_ROUTER_H

#include "http/server.h"

#define HTTP_SEGMENTS_MAX 32
#define HTTP_PARAMS_MAX 8

struct http_router;

struct http_match {
	const struct http_route *route; /* NULL: none */
	void *ctx;
	unsigned allowed; /* methods that the path has routes for */
	const struct http_route *other; /* when only the method does not fit: one of these */
	struct http_field params[HTTP_PARAMS_MAX]; /* names in the pattern, values in `text` */
	size_t params_n;
};

struct http_router *http_router_new(void);
void http_router_free(struct http_router *r);
MUST_CHECK enum err_code http_router_add(struct http_router *r, const struct http_route *route,
					 void *ctx, struct err *e);
/* Finds the route for `method` at `path` (raw, without query).  HEAD falls back to GET.  `text`
 * takes the decoded segments that the parameters point into.  NULL, or what is wrong with the
 * path. */
const char *http_router_find(const struct http_router *r, struct http_match *out, struct buf *text,
			     enum http_method method, struct str path);
void http_router_walk(const struct http_router *r,
		      void (*fn)(void *arg, const struct http_route *route), void *arg);

#endif
