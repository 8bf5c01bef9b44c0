/* source.h - what one source may have: connections, bodies, and requests a second.
 *
 * A source is an IPv4 address or the /64 of an IPv6 address, since a customer has at least that.
 * The table has a fixed size; when all its entries are in use, strangers share one more.
 */
#ifndef QANAT_HTTP_SOURCE_H
#define QANAT_HTTP_SOURCE_H

#include "base/addr.h"
#include "base/list.h"

#define HTTP_SOURCES_MAX 8192

struct http_source {
	struct list chain; /* of its hash; all zero: not in use */
	struct list age; /* the longest unused first, while it has no connection */
	struct ip_addr addr;
	unsigned connections;
	size_t bodies_bytes; /* held for requests of its connections */
	int64_t tokens_ns; /* time saved up for requests, each of which costs a part of a second */
	int64_t filled_ns; /* when that was true */
};

struct http_sources;

/* `rate_per_s` 0: no limit.  NULL without memory. */
struct http_sources *http_sources_new(unsigned rate_per_s, unsigned burst);
void http_sources_free(struct http_sources *t);
/* The entry of an address; one connection more is counted there.  Give it back with _leave. */
struct http_source *http_source_enter(struct http_sources *t, const struct ip_addr *addr,
				      int64_t now);
void http_source_leave(struct http_sources *t, struct http_source *s);
/* Whether a request may pass now; if not, *wait_s is when to come again (at least 1). */
bool http_source_allow(const struct http_sources *t, struct http_source *s, int64_t now,
		       unsigned *wait_s);

#endif
