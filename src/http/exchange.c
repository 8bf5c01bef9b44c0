#include "http/exchange.h"

#include "base/fault.h"
#include "http/inside.h"
#include "http/query.h"
#include "http/strict.h"

#define BODY_AHEAD 6 /* times body_ms: what a body can earn at most */

static const struct {
	enum http_method method;
	const char *name;
} methods[HTTP_METHODS] = {
	{ HTTP_GET, "GET" },	     { HTTP_HEAD, "HEAD" },   { HTTP_POST, "POST" },
	{ HTTP_PUT, "PUT" },	     { HTTP_PATCH, "PATCH" }, { HTTP_DELETE, "DELETE" },
	{ HTTP_OPTIONS, "OPTIONS" },
};

const char *http_method_name(enum http_method m)
{
	for (size_t i = 0; i < HTTP_METHODS; i++) {
		if (methods[i].method == m)
			return methods[i].name;
	}
	return "-";
}

/* 0: none of ours. */
static unsigned method_of(const char *name)
{
	for (size_t i = 0; i < HTTP_METHODS; i++) {
		if (strcmp(methods[i].name, name) == 0)
			return methods[i].method;
	}
	return 0;
}

/* ---- receiving ---- */

static void posted(struct loop_work *w)
{
	struct http_exchange *x = CONTAINER_OF(w, struct http_exchange, work);

	x->posted(&x->r);
}

struct http_exchange *exchange_new(struct http_connection *c)
{
	struct http_exchange *x = FAULT("http.exchange") ? NULL : calloc(1, sizeof *x);

	if (!x)
		return NULL;
	x->server = c->server;
	x->conn = c;
	x->work.fn = posted;
	x->r.peer = c->peer;
	x->r.local = c->local;
	x->r.tls_version = c->server->o.tls ? stream_tls_version(c->stream) : "";
	x->r.is_tls = c->server->o.tls != NULL;
	x->r.received_ns = connection_now(c);
	list_add_tail(&c->exchanges, &x->node);
	c->server->held++;
	return x;
}

struct text_at exchange_text(struct http_exchange *x, struct str s)
{
	struct text_at t = { x->text.n, s.n };

	buf_str(&x->text, s);
	return t;
}

bool exchange_field(struct http_exchange *x, struct text_at name, struct text_at value)
{
	if (x->names_n + 2 > x->names_cap) {
		size_t cap = x->names_cap ? x->names_cap * 2 : 32;
		struct text_at *more = reallocarray(x->names, cap, sizeof *more);

		if (!more)
			return false;
		x->names = more;
		x->names_cap = cap;
	}
	x->names[x->names_n++] = name;
	x->names[x->names_n++] = value;
	return true;
}

static struct str view(const struct http_exchange *x, struct text_at t)
{
	return (struct str){ buf_view(&x->text).p + t.at, t.n };
}

/* The text moves no more: headers become views into it. */
static bool make_views(struct http_exchange *x)
{
	size_t n = x->names_n / 2;

	if (!buf_ok(&x->text))
		return false;
	x->headers = n ? calloc(n, sizeof *x->headers) : NULL;
	if (n && !x->headers)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct text_at name = x->names[2 * i];

		for (size_t k = name.at; k < name.at + name.n; k++) {
			if (x->text.p[k] >= 'A' && x->text.p[k] <= 'Z')
				x->text.p[k] |= 0x20;
		}
		x->headers[i].name = view(x, name);
		x->headers[i].value = str_trim(view(x, x->names[2 * i + 1]));
	}
	x->r.headers = x->headers;
	x->r.headers_n = n;
	x->r.target = view(x, x->target);
	x->r.host = view(x, x->host);
	return true;
}

static void set_request_id(struct http_exchange *x)
{
	struct str theirs = http_header(&x->r, "x-request-id");

	if (theirs.n && http_header_count(&x->r, "x-request-id") == 1 && http_is_token(theirs) &&
	    str_copy(x->r.id, sizeof x->r.id, theirs))
		return;
	server_request_id(x->server, x->r.id);
}

/* RFC 9112, 3.2.2: servers take a target with scheme and host too; it must name our Host, so that
 * nobody on the way can have understood another one. */
static const char *strip_authority(struct str *target, struct str host)
{
	size_t scheme = str_starts(*target, STR("http://"))    ? 7
			: str_starts(*target, STR("https://")) ? 8
							       : 0;
	struct str rest = { target->p + scheme, target->n - scheme };
	const char *slash;
	size_t n;

	if (!scheme)
		return NULL;
	slash = memchr(rest.p, '/', rest.n);
	n = slash ? (size_t)(slash - rest.p) : rest.n;
	if (!slash)
		return "the request target has no path";
	if (!str_eq_nocase((struct str){ rest.p, n }, host))
		return "the request target names another host than Host does";
	*target = (struct str){ rest.p + n, rest.n - n };
	return NULL;
}

static const char *split_target(struct http_exchange *x)
{
	struct http_request *r = &x->r;
	struct str target = r->target;
	const char *why = strip_authority(&target, r->host), *mark;

	if (why)
		return why;
	for (size_t i = 0; i < target.n; i++) {
		if (target.p[i] <= 0x20 || target.p[i] >= 0x7f || target.p[i] == '#')
			return "the request target holds a byte that must be escaped";
	}
	mark = memchr(target.p, '?', target.n);
	r->path_raw = (struct str){ target.p, mark ? (size_t)(mark - target.p) : target.n };
	r->query_raw = mark ? (struct str){ mark + 1, target.n - r->path_raw.n - 1 }
			    : (struct str){ "", 0 };
	r->path = r->path_raw;
	if (memchr(r->path_raw.p, '%', r->path_raw.n)) {
		if (!http_percent_decode(&x->path, r->path_raw, false))
			return "the path holds a broken escape, or is not UTF-8 without NUL";
		r->path = buf_view(&x->path);
	}
	return NULL;
}

/* ---- route and limits ---- */

static void add_allow(struct http_exchange *x, unsigned allowed)
{
	AUTO(buf_done) struct buf list = { 0 };

	for (size_t i = 0; i < HTTP_METHODS; i++) {
		if (allowed & methods[i].method)
			buf_printf(&list, "%s%s", list.n ? ", " : "", methods[i].name);
	}
	http_add_header(&x->r, "allow", buf_view(&list));
}

/* Everything below: true when the request may go on, false when it has been answered. */

static bool bad(struct http_exchange *x, unsigned status, const char *why)
{
	x->server->stats.bad_requests++;
	exchange_refuse(x, status, why);
	return false;
}

/* What fits no route; *why is set when it is no path at all. */
static bool find_route(struct http_exchange *x, unsigned method, const char **why)
{
	if (!method)
		return false;
	x->r.method = (enum http_method)method;
	if (method == HTTP_OPTIONS && str_eq(x->r.target, STR("*")))
		return false;
	*why = split_target(x);
	if (!*why)
		*why = http_router_find(x->server->router, &x->match, &x->segments, x->r.method,
					x->r.path_raw);
	if (*why || !x->match.route)
		return false;
	x->r.route = x->match.route;
	x->r.route_ctx = x->match.ctx;
	x->r.params = x->match.params;
	x->r.params_n = x->match.params_n;
	return true;
}

static bool unrouted(struct http_exchange *x, unsigned method, const char *why)
{
	if (!method)
		return bad(x, 501, "this method is not known here");
	if (why)
		return bad(x, 400, why);
	if (method == HTTP_OPTIONS && str_eq(x->r.target, STR("*"))) {
		add_allow(x, (1u << HTTP_METHODS) - 1);
		http_respond(&x->r, 204, NULL, NULL);
		return false;
	}
	if (!x->match.allowed) {
		exchange_refuse(x, 404, "there is nothing at this path");
		return false;
	}
	add_allow(x, x->match.allowed);
	if (method == HTTP_OPTIONS)
		http_respond(&x->r, 204, NULL, NULL);
	else
		exchange_refuse(x, 405, "this method is not allowed at this path");
	return false;
}

static void add_retry_after(struct http_exchange *x, unsigned seconds)
{
	char text[16];

	(void)snprintf(text, sizeof text, "%u", seconds);
	http_add_header(&x->r, "retry-after", str_of(text));
}

static bool overloaded(struct http_exchange *x, const char *why)
{
	x->server->stats.overloaded++;
	add_retry_after(x, 1);
	exchange_refuse(x, 503, why);
	return false;
}

/* What fits no route counts, too: guessing paths costs as much as asking for one. */
bool exchange_within_rate(struct http_exchange *x)
{
	struct http_server *s = x->server;
	unsigned wait_s = 1;

	if ((x->r.route && x->r.route->flags & HTTP_ROUTE_NO_RATE_LIMIT) ||
	    http_source_allow(s->sources, x->conn->source, x->r.received_ns, &wait_s))
		return true;
	s->stats.rate_limited++;
	add_retry_after(x, wait_s);
	exchange_refuse(x, 429, "too many requests from this address");
	return false;
}

static bool too_long(struct http_exchange *x)
{
	char why[96];

	(void)snprintf(why, sizeof why,
		       "the body is longer than the %zu bytes that this path takes", x->body_max);
	return bad(x, 413, why);
}

static bool within_limits(struct http_exchange *x)
{
	struct http_server *s = x->server;
	const struct http_route *route = x->r.route;

	if (!(route->flags & HTTP_ROUTE_EVEN_BUSY) &&
	    s->stats.requests_running >= s->o.limits.requests_running)
		return overloaded(x, "too many requests are being worked on");
	x->body_max = route->body_max ? route->body_max : s->o.limits.body_bytes;
	x->body.limit = x->body_max + 1;
	if (x->has_length && x->length > x->body_max)
		return too_long(x);
	return true;
}

bool exchange_head_done(struct http_exchange *x, const char *method, unsigned version)
{
	unsigned known = method_of(method);
	const char *why = NULL;
	bool found;

	x->r.version = version;
	x->r.received_real_ns = clock_real_ns();
	x->server->stats.requests++;
	x->state = EXCHANGE_BODY;
	x->r.received_ns = connection_now(x->conn);
	x->body_until = x->r.received_ns + (int64_t)x->server->o.limits.body_ms * NS_PER_MS;
	if (!make_views(x))
		return overloaded(x, "out of memory");
	set_request_id(x);
	found = find_route(x, known, &why);
	if (!exchange_within_rate(x))
		return false;
	return found ? within_limits(x) : unrouted(x, known, why);
}

/* A body earns time with every byte that is kept, but not for hours ahead: who has sent a large one quickly would
 * hold it for as long. */
static void earn_time(struct http_exchange *x, size_t n)
{
	const struct http_limits *l = &x->server->o.limits;
	int64_t most = connection_now(x->conn) + BODY_AHEAD * (int64_t)l->body_ms * NS_PER_MS;

	x->body_until += (int64_t)(n * (uint64_t)NS_PER_S / l->body_rate);
	x->body_until = MIN(x->body_until, most);
}

bool exchange_body(struct http_exchange *x, struct str piece)
{
	struct http_server *s = x->server;
	struct http_source *source = x->conn->source;

	if (x->body.n + piece.n > x->body_max)
		return too_long(x);
	if (s->stats.bodies_bytes + piece.n > s->o.limits.bodies_bytes ||
	    source->bodies_bytes + piece.n > s->o.limits.bodies_per_source)
		return overloaded(x, "no room for more bodies");
	buf_str(&x->body, piece);
	if (!buf_ok(&x->body))
		return overloaded(x, "out of memory");
	s->stats.bodies_bytes += piece.n;
	source->bodies_bytes += piece.n;
	earn_time(x, piece.n);
	return true;
}

void exchange_body_done(struct http_exchange *x)
{
	const struct http_route *route = x->r.route;
	const struct http_group *group = route->group;

	x->body_whole = true;
	x->r.body = buf_view(&x->body);
	x->state = EXCHANGE_RUNNING;
	x->server->stats.requests_running++;
	if (group && group->authorise && !group->authorise(&x->r, x->r.route_ctx))
		return;
	route->handler(&x->r, x->r.route_ctx);
}

void exchange_refuse(struct http_exchange *x, unsigned status, const char *detail)
{
	const struct http_group *group = x->r.route ? x->r.route->group : x->server->o.unrouted;

	if (!x->r.route && x->match.other)
		group = x->match.other->group;
	if (!x->r.id[0])
		server_request_id(x->server, x->r.id);
	if (group && group->refuse)
		group->refuse(&x->r, status, detail);
	else
		http_respond_problem(&x->r, status, "%s", detail);
}
