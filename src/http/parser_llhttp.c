/* With llhttp: Debian 13.  See parser_http_parser.c for the other. */
#include "http/parser.h"

#include <llhttp.h>

struct http_parsing {
	llhttp_t lib;
	llhttp_settings_t settings;
	const struct http_parser_events *events;
	void *ctx;
	bool done;
};

static int on_target(llhttp_t *lib, const char *p, size_t n)
{
	struct http_parsing *s = lib->data;

	s->events->target(s->ctx, (struct str){ p, n });
	return 0;
}

static int on_name(llhttp_t *lib, const char *p, size_t n)
{
	struct http_parsing *s = lib->data;

	s->events->name(s->ctx, (struct str){ p, n });
	return 0;
}

static int on_value(llhttp_t *lib, const char *p, size_t n)
{
	struct http_parsing *s = lib->data;

	s->events->value(s->ctx, (struct str){ p, n });
	return 0;
}

static int on_body(llhttp_t *lib, const char *p, size_t n)
{
	struct http_parsing *s = lib->data;

	s->events->body(s->ctx, (struct str){ p, n });
	return 0;
}

/* Stops there: the next request waits until this one is answered. */
static int on_done(llhttp_t *lib)
{
	struct http_parsing *s = lib->data;

	s->done = true;
	return HPE_PAUSED;
}

struct http_parsing *http_parsing_new(const struct http_parser_events *events, void *ctx)
{
	struct http_parsing *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->events = events;
	p->ctx = ctx;
	llhttp_settings_init(&p->settings);
	p->settings.on_url = on_target;
	p->settings.on_header_field = on_name;
	p->settings.on_header_value = on_value;
	p->settings.on_body = on_body;
	p->settings.on_message_complete = on_done;
	http_parsing_reset(p);
	return p;
}

void http_parsing_free(struct http_parsing *p)
{
	free(p);
}

void http_parsing_reset(struct http_parsing *p)
{
	llhttp_init(&p->lib, HTTP_REQUEST, &p->settings);
	p->lib.data = p;
	p->done = false;
}

enum http_parser_result http_parsing_run(struct http_parsing *p, struct str in, size_t *used,
					 const char **why)
{
	llhttp_errno_t error = llhttp_execute(&p->lib, in.p, in.n);
	const char *at = llhttp_get_error_pos(&p->lib);

	*used = error == HPE_OK ? in.n : at ? (size_t)(at - in.p) : 0;
	if ((error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE) && p->done)
		return HTTP_PARSER_DONE;
	if (error == HPE_OK)
		return HTTP_PARSER_MORE;
	*why = llhttp_get_error_reason(&p->lib);
	if (!*why || !**why)
		*why = llhttp_errno_name(error);
	return HTTP_PARSER_BAD;
}

const char *http_parsing_method(const struct http_parsing *p)
{
	return llhttp_method_name((llhttp_method_t)p->lib.method);
}

void http_parsing_library(char out[32])
{
	(void)snprintf(out, 32, "llhttp %d.%d.%d", LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR,
		       LLHTTP_VERSION_PATCH);
}
