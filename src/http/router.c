#include "http/router.h"

#include "http/query.h"

enum segment_kind { SEGMENT_LITERAL, SEGMENT_PARAM, SEGMENT_REST };

struct segment {
	enum segment_kind kind;
	struct str text; /* the literal, or the parameter's name */
};

struct entry {
	const struct http_route *route;
	void *ctx;
	struct segment segments[HTTP_SEGMENTS_MAX];
	size_t n;
};

struct http_router {
	struct entry *entries;
	size_t n;
	size_t cap;
};

/* A path in decoded segments. */
struct split {
	struct str raw[HTTP_SEGMENTS_MAX]; /* each to the path's end */
	struct str decoded[HTTP_SEGMENTS_MAX];
	size_t n;
};

struct http_router *http_router_new(void)
{
	return calloc(1, sizeof(struct http_router));
}

void http_router_free(struct http_router *r)
{
	if (!r)
		return;
	free(r->entries);
	free(r);
}

/* ---- patterns ---- */

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
		      (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_'))
			return false;
	}
	return s.n > 0;
}

static bool segment_read(struct segment *out, struct str s)
{
	*out = (struct segment){ SEGMENT_LITERAL, s };
	if (s.n == 0 || s.p[0] != '{')
		return !s.n || (!memchr(s.p, '{', s.n) && !memchr(s.p, '}', s.n));
	if (s.p[s.n - 1] != '}')
		return false;
	out->kind = SEGMENT_PARAM;
	out->text = (struct str){ s.p + 1, s.n - 2 };
	if (out->text.n && out->text.p[out->text.n - 1] == '*') {
		out->kind = SEGMENT_REST;
		out->text.n--;
	}
	return is_name(out->text);
}

static enum err_code entry_read(struct entry *out, const struct http_route *route, struct err *e)
{
	struct str rest = str_of(route->pattern);
	size_t params = 0;
	bool ok = rest.n && rest.p[0] == '/';

	while (ok && rest.n) {
		const char *slash = memchr(rest.p + 1, '/', rest.n - 1);
		size_t n = slash ? (size_t)(slash - rest.p) : rest.n;
		struct segment *s = &out->segments[out->n];

		ok = out->n < HTTP_SEGMENTS_MAX &&
		     segment_read(s, (struct str){ rest.p + 1, n - 1 });
		rest.p += n;
		rest.n -= n;
		if (ok) {
			out->n++;
			params += s->kind != SEGMENT_LITERAL;
			ok = params <= HTTP_PARAMS_MAX && (s->kind != SEGMENT_REST || !rest.n);
		}
	}
	if (!ok)
		return err_set(e, ERR_INVALID, "route pattern \"%s\" is malformed", route->pattern);
	return ERR_OK;
}

static bool same_path(const struct entry *a, const struct entry *b)
{
	for (size_t i = 0; i < a->n && a->n == b->n; i++) {
		if (a->segments[i].kind != b->segments[i].kind ||
		    (a->segments[i].kind == SEGMENT_LITERAL &&
		     !str_eq(a->segments[i].text, b->segments[i].text)))
			return false;
	}
	return a->n == b->n;
}

enum err_code http_router_add(struct http_router *r, const struct http_route *route, void *ctx,
			      struct err *e)
{
	struct entry new = { .route = route, .ctx = ctx };
	enum err_code rc = entry_read(&new, route, e);

	if (rc)
		return rc;
	for (size_t i = 0; i < r->n; i++) {
		if (r->entries[i].route->method == route->method && same_path(&r->entries[i], &new))
			return err_set(e, ERR_EXISTS, "route %s %s is there already, as %s",
				       http_method_name(route->method), route->pattern,
				       r->entries[i].route->pattern);
	}
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 32;
		struct entry *more = reallocarray(r->entries, cap, sizeof *more);

		if (!more)
			return err_set(e, ERR_NOMEM, "out of memory for routes");
		r->entries = more;
		r->cap = cap;
	}
	r->entries[r->n++] = new;
	return ERR_OK;
}

void http_router_walk(const struct http_router *r,
		      void (*fn)(void *arg, const struct http_route *route), void *arg)
{
	for (size_t i = 0; i < r->n; i++)
		fn(arg, r->entries[i].route);
}

/* ---- paths ---- */

static const char *split_path(struct split *out, struct buf *text, struct str path)
{
	size_t ends[HTTP_SEGMENTS_MAX];
	size_t begin = text->n;

	out->n = 0;
	if (path.n == 0 || path.p[0] != '/')
		return "the path does not begin with '/'";
	while (path.n) {
		const char *slash = memchr(path.p + 1, '/', path.n - 1);
		size_t n = slash ? (size_t)(slash - path.p) : path.n;

		if (out->n == HTTP_SEGMENTS_MAX)
			return "the path has more than 32 segments";
		out->raw[out->n] = (struct str){ path.p + 1, path.n - 1 };
		if (!http_percent_decode(text, (struct str){ path.p + 1, n - 1 }, false))
			return "the path holds a broken escape, or is not UTF-8 without NUL";
		ends[out->n++] = text->n;
		path.p += n;
		path.n -= n;
	}
	for (size_t i = 0; i < out->n; i++) { /* `text` does not move any more */
		out->decoded[i] = (struct str){ buf_view(text).p + begin, ends[i] - begin };
		begin = ends[i];
		if (str_eq(out->decoded[i], STR(".")) || str_eq(out->decoded[i], STR("..")))
			return "the path holds a segment \".\" or \"..\"";
	}
	return NULL;
}

static bool entry_fits(const struct entry *e, const struct split *path)
{
	bool rest = e->n && e->segments[e->n - 1].kind == SEGMENT_REST;

	if (rest ? path->n < e->n : path->n != e->n)
		return false;
	for (size_t i = 0; i < e->n; i++) {
		const struct segment *s = &e->segments[i];

		if (s->kind == SEGMENT_LITERAL ? !str_eq(s->text, path->decoded[i])
		    : s->kind == SEGMENT_PARAM ? path->decoded[i].n == 0
					       : false)
			return false;
	}
	return true;
}

/* A literal beats a parameter beats the rest of a path, from the left. */
static bool more_exact(const struct entry *a, const struct entry *b)
{
	for (size_t i = 0; i < a->n && i < b->n; i++) {
		if (a->segments[i].kind != b->segments[i].kind)
			return a->segments[i].kind < b->segments[i].kind;
	}
	return a->n > b->n;
}

/* The last parameter gets `raw` decoded; those in front of it move with the text. */
static bool take_rest(struct http_match *out, struct buf *text, struct str raw)
{
	size_t offsets[HTTP_PARAMS_MAX];
	size_t begin = text->n;

	for (size_t i = 0; i < out->params_n; i++)
		offsets[i] = (size_t)(out->params[i].value.p - buf_view(text).p);
	if (!http_percent_decode(text, raw, false))
		return false;
	for (size_t i = 0; i < out->params_n; i++)
		out->params[i].value.p = buf_view(text).p + offsets[i];
	out->params[out->params_n].value =
		(struct str){ buf_view(text).p + begin, text->n - begin };
	return true;
}

static const char *take_params(struct http_match *out, struct buf *text, const struct entry *e,
			       const struct split *path)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct segment *s = &e->segments[i];
		struct http_field *p = &out->params[out->params_n];

		if (s->kind == SEGMENT_LITERAL)
			continue;
		*p = (struct http_field){ s->text, path->decoded[i] };
		if (s->kind == SEGMENT_REST && !take_rest(out, text, path->raw[i]))
			return "out of memory";
		out->params_n++;
	}
	return NULL;
}

const char *http_router_find(const struct http_router *r, struct http_match *out, struct buf *text,
			     enum http_method method, struct str path)
{
	const struct entry *best = NULL, *any = NULL;
	struct split split;
	const char *why;

	*out = (struct http_match){ 0 };
	why = split_path(&split, text, path);
	if (why)
		return why;
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->entries[i];
		bool fits = entry_fits(e, &split);

		if (!fits)
			continue;
		out->allowed |= e->route->method;
		if (!any || more_exact(e, any))
			any = e;
		/* A route of its own for HEAD is taken before the GET of the same path. */
		if (e->route->method != method &&
		    !(method == HTTP_HEAD && e->route->method == HTTP_GET))
			continue;
		if (!best || more_exact(e, best) ||
		    (e->route->method == method && !more_exact(best, e)))
			best = e;
	}
	if (out->allowed)
		out->allowed |= HTTP_OPTIONS | (out->allowed & HTTP_GET ? HTTP_HEAD : 0u);
	if (!best) {
		out->other = any ? any->route : NULL;
		return NULL;
	}
	out->route = best->route;
	out->ctx = best->ctx;
	return take_params(out, text, best, &split);
}
