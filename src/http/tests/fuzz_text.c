/* Heads, chunks, paths and queries, without a server. */
#include "http/parser.h"
#include "http/query.h"
#include "http/router.h"
#include "http/strict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct str target;

static void on_target(void *ctx, struct str piece)
{
	(void)ctx;
	target = piece;
}

static void ignore(void *ctx, struct str piece)
{
	(void)ctx;
	(void)piece;
}

/* What both take, both understand in the same way. */
static void head(struct str in)
{
	static const struct http_parser_events events = { on_target, ignore, ignore, ignore };
	static struct http_parsing *p;
	struct http_head h;
	const char *why = NULL;
	unsigned status = 0;
	size_t used = 0;

	if (!p)
		p = http_parsing_new(&events, NULL);
	BUG_ON(!p);
	why = http_head_check(&h, in, 20, &status);
	if (why) {
		BUG_ON(status < 400 || status > 505);
		return;
	}
	BUG_ON(h.chunked && h.has_length);
	http_parsing_reset(p);
	target = (struct str){ 0 };
	if (http_parsing_run(p, in, &used, &why) == HTTP_PARSER_BAD)
		return;
	BUG_ON(used != in.n);
	BUG_ON(!str_eq(target, h.target));
	BUG_ON(!str_eq(h.method, str_of(http_parsing_method(p))));
}

static enum http_chunks_result walk(struct str in, size_t step, size_t *total)
{
	struct http_chunks c = { 0 };
	enum http_chunks_result r = HTTP_CHUNKS_MORE;
	const char *why;
	size_t used;

	*total = 0;
	while (r == HTTP_CHUNKS_MORE && *total < in.n) {
		r = http_chunks_check(&c, (struct str){ in.p + *total, MIN(step, in.n - *total) },
				      &used, &why);
		*total += used;
	}
	return r;
}

static void chunks(struct str in)
{
	size_t whole, cut;

	BUG_ON(walk(in, in.n + 1, &whole) != walk(in, 3, &cut) || whole != cut);
}

static void nothing(struct http_request *r, void *ctx)
{
	(void)r;
	(void)ctx;
}

static void path(struct str in)
{
	static const struct http_route routes[] = {
		{ HTTP_GET, "/a/{b}", nothing, NULL, 0, 0 },
		{ HTTP_GET, "/a/{b}/{c*}", nothing, NULL, 0, 0 },
		{ HTTP_GET, "/{x}/b", nothing, NULL, 0, 0 },
	};
	static struct http_router *r;
	AUTO(buf_done) struct buf text = { 0 };
	struct http_match m;
	struct err e;

	if (!r) {
		r = http_router_new();
		for (size_t i = 0; i < ARRAY_LEN(routes); i++)
			BUG_ON(!r || http_router_add(r, &routes[i], NULL, &e));
	}
	if (http_router_find(r, &m, &text, HTTP_GET, in))
		return;
	for (size_t i = 0; i < m.params_n; i++) {
		struct str v = m.params[i].value;

		BUG_ON(v.n && (v.p < text.p || v.p + v.n > text.p + text.n));
		BUG_ON(!utf8_valid(v) || (v.n && memchr(v.p, 0, v.n)));
	}
}

static void query(struct str in)
{
	AUTO(buf_done) struct buf key = { 0 };
	AUTO(buf_done) struct buf value = { 0 };
	bool bad;

	while (http_query_next(&in, &key, &value, &bad))
		BUG_ON(bad || !utf8_valid(buf_view(&key)) || !utf8_valid(buf_view(&value)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct str in = { (const char *)data + 1, len - 1 };

	if (len < 2)
		return 0;
	switch (data[0] % 4) {
	case 0:
		head(in);
		break;
	case 1:
		chunks(in);
		break;
	case 2:
		path(in);
		break;
	default:
		query(in);
	}
	return 0;
}
