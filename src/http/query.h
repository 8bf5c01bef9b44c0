/* query.h - percent-encoded text (RFC 3986 2.1) and query strings of key=value pairs.
 *
 * Decoding happens once: what comes out is never decoded again.
 */
#ifndef QANAT_HTTP_QUERY_H
#define QANAT_HTTP_QUERY_H

#include "base/text.h"

/* Appends `s` decoded.  False, and *out as it was but for its memory, for a broken escape, a NUL
 * or what is not UTF-8 then.  `plus_is_space`: in queries. */
MUST_CHECK bool http_percent_decode(struct buf *out, struct str s, bool plus_is_space);

/* Takes the next pair off the front of *query (a request's query_raw): appends its decoded key and
 * value to the cleared `key` and `value`.  False at the end; *bad tells a malformed pair from that.
 * Empty pairs are skipped; a pair without '=' has an empty value. */
MUST_CHECK bool http_query_next(struct str *query, struct buf *key, struct buf *value, bool *bad);

/* The decoded value of `name` in `value` (cleared first).  HTTP_QUERY_BAD when the query is
 * malformed or has the name more than once. */
enum http_query_found { HTTP_QUERY_NONE, HTTP_QUERY_ONE, HTTP_QUERY_BAD };
MUST_CHECK enum http_query_found http_query_get(struct str query, const char *name,
						struct buf *value);

#endif
