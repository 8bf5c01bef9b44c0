/* strict.h - what an HTTP/1.1 head and chunked body must look like before the parser library sees it.
 *
 * Two servers that read the same bytes differently let a request be smuggled past the first one.
 * The libraries of the distributions differ from each other and are lax where old software was
 * (http-parser as Debian builds it lets any two bytes end a chunk), so what they are given is held
 * to RFC 9112 here: CRLF and nothing else ends a line, no folded lines, no space before a colon,
 * one Host, one Content-Length of digits only or one "Transfer-Encoding: chunked", never both.
 * Two things that the RFC allows are refused: repeated equal Content-Lengths, and trailer fields.
 *
 * No I/O, no allocation.
 */
#ifndef QANAT_HTTP_STRICT_H
#define QANAT_HTTP_STRICT_H

#include "base/text.h"

/* What the framing and the connection need to know of a head. */
struct http_head {
	unsigned version; /* 10 or 11 */
	struct str method;
	struct str target;
	struct str host; /* empty: an HTTP/1.0 request without one */
	size_t fields;
	bool has_length;
	uint64_t length;
	bool chunked;
	bool keep_alive;
	bool expect_continue;
	struct str upgrade; /* of an Upgrade header that Connection names; else empty */
};

/* Judges a whole head, from the method to the empty line.  NULL when it is well-formed; else a
 * sentence, and *status is what to answer with.  Views in `out` point into `head`. */
const char *http_head_check(struct http_head *out, struct str head, size_t fields_max,
			    unsigned *status);

/* The framing of a chunked body (RFC 9112, 7.1); zero is its start. */
struct http_chunks {
	unsigned state;
	unsigned digits; /* of the size so far */
	unsigned extension; /* bytes of it so far */
	uint64_t left; /* of the chunk's data */
};
enum http_chunks_result { HTTP_CHUNKS_MORE, HTTP_CHUNKS_DONE, HTTP_CHUNKS_BAD };
/* Walks over the next bytes; *used is how many of them belong to the body.  When it is bad *why
 * says so. */
enum http_chunks_result http_chunks_check(struct http_chunks *c, struct str in, size_t *used,
					  const char **why);

/* token of RFC 9110, 5.6.2, not empty. */
bool http_is_token(struct str s);
/* A header's value: no control characters but the tab. */
bool http_is_field_value(struct str s);
/* A host with or without a port, by its characters. */
bool http_is_host(struct str s);

#endif
