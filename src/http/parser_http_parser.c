/* With http-parser: Debian 12, Ubuntu 24.04.  See parser_llhttp.c for the other. */
#include "http/parser.h"

#include <http_parser.h>

struct http_parsing {
	http_parser lib;
	const struct http_parser_events *events;
	void *ctx;
	bool done;
};

static int on_target(http_parser *lib, const char *p, size_t n)
{
	struct http_parsing *s = lib->data;

	s->events->target(s->ctx, (struct str){ p, n });
	return 0;
}

static int on_name(http_parser *lib, const char *p, size_t n)
{
	struct http_parsing *s = lib->data;

	s->events->name(s->ctx, (struct str){ p, n });
	return 0;
}

static int on_value(http_parser *lib, const char *p, size_t n)
{
	struct http_parsing *s = lib->data;

	s->events->value(s->ctx, (struct str){ p, n });
	return 0;
}

static int on_body(http_parser *lib, const char *p, size_t n)
{
	struct http_parsing *s = lib->data;

	s->events->body(s->ctx, (struct str){ p, n });
	return 0;
}

/* Stops there: the next request waits until this one is answered. */
static int on_done(http_parser *lib)
{
	struct http_parsing *s = lib->data;

	s->done = true;
	http_parser_pause(lib, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_url = on_target,
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_body = on_body,
	.on_message_complete = on_done,
};

struct http_parsing *http_parsing_new(const struct http_parser_events *events, void *ctx)
{
	struct http_parsing *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->events = events;
	p->ctx = ctx;
	http_parsing_reset(p);
	return p;
}

void http_parsing_free(struct http_parsing *p)
{
	free(p);
}

void http_parsing_reset(struct http_parsing *p)
{
	http_parser_init(&p->lib, HTTP_REQUEST);
	p->lib.data = p;
	p->done = false;
}

enum http_parser_result http_parsing_run(struct http_parsing *p, struct str in, size_t *used,
					 const char **why)
{
	enum http_errno error;

	*used = http_parser_execute(&p->lib, &settings, in.p, in.n);
	error = HTTP_PARSER_ERRNO(&p->lib);
	if (error == HPE_PAUSED && p->done)
		return HTTP_PARSER_DONE;
	if (error != HPE_OK || *used != in.n) {
		*why = http_errno_description(error);
		return HTTP_PARSER_BAD;
	}
	return HTTP_PARSER_MORE;
}

const char *http_parsing_method(const struct http_parsing *p)
{
	return http_method_str((enum http_method)p->lib.method);
}

void http_parsing_library(char out[32])
{
	unsigned long v = http_parser_version();

	(void)snprintf(out, 32, "http-parser %lu.%lu.%lu", v >> 16 & 255, v >> 8 & 255, v & 255);
}
