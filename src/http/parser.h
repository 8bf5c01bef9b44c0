/* parser.h - the HTTP/1.1 parser library behind one face: llhttp or http-parser, as meson chose.
 *
 * It is given only what http/strict.h has let through.  One parser serves a connection's requests
 * one after the other.  Pieces come as the library cuts them; a header's name may come in two.
 */
#ifndef QANAT_HTTP_PARSER_H
#define QANAT_HTTP_PARSER_H

#include "base/text.h"

struct http_parser_events {
	void (*target)(void *ctx, struct str piece);
	void (*name)(void *ctx, struct str piece);
	void (*value)(void *ctx, struct str piece);
	void (*body)(void *ctx, struct str piece);
};

enum http_parser_result {
	HTTP_PARSER_MORE, /* all was eaten, the message goes on */
	HTTP_PARSER_DONE, /* the message ended with the last byte eaten */
	HTTP_PARSER_BAD,
};

struct http_parsing; /* the library's state */

/* NULL without memory; `events` outlives it. */
struct http_parsing *http_parsing_new(const struct http_parser_events *events, void *ctx);
void http_parsing_free(struct http_parsing *p);
/* Before each request. */
void http_parsing_reset(struct http_parsing *p);
/* Gives it the next bytes; *used is how many it ate, *why the library's reason when it is bad. */
enum http_parser_result http_parsing_run(struct http_parsing *p, struct str in, size_t *used,
					 const char **why);
/* After the head: the method's name as the library understood it. */
const char *http_parsing_method(const struct http_parsing *p);
/* "llhttp 9.2.0" or "http-parser 2.9.4". */
void http_parsing_library(char out[32]);

#endif
