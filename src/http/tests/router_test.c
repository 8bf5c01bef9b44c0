#include "base/tests/cm.h"

#include "http/query.h"
#include "http/router.h"

static void nothing(struct http_request *r, void *ctx)
{
	(void)r;
	(void)ctx;
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/", nothing, NULL, 0, 0 },
	{ HTTP_GET, "/v1/peers", nothing, NULL, 0, 0 },
	{ HTTP_POST, "/v1/peers", nothing, NULL, 0, 0 },
	{ HTTP_POST, "/v1/peers/", nothing, NULL, 0, 0 },
	{ HTTP_GET, "/v1/peers/{id}", nothing, NULL, 0, 0 },
	{ HTTP_GET, "/v1/peers/count", nothing, NULL, 0, 0 },
	{ HTTP_DELETE, "/v1/peers/{id}", nothing, NULL, 0, 0 },
	{ HTTP_PUT, "/v1/{kind}/{id}/status", nothing, NULL, 0, 0 },
	{ HTTP_GET, "/page/{name}/{rest*}", nothing, NULL, 0, 0 },
	{ HTTP_HEAD, "/v1/peers/count", nothing, NULL, 0, 0 },
};

static struct http_router *router_with_all(void)
{
	struct http_router *r = http_router_new();
	struct err e;

	assert_non_null(r);
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (http_router_add(r, &routes[i], NULL, &e))
			fail_msg("%s", e.msg);
	}
	return r;
}

static const struct {
	enum http_method method;
	const char *path;
	int want; /* row of `routes`; -1: no route; -2: refused */
	unsigned allowed;
	const char *params; /* "name=value " each */
	const char *why;
} rows[] = {
	{ HTTP_GET, "/", 0, HTTP_GET | HTTP_HEAD | HTTP_OPTIONS, "", "the root" },
	{ HTTP_GET, "/v1/peers", 1, HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_OPTIONS, "",
	  "literal" },
	{ HTTP_POST, "/v1/peers", 2, HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_OPTIONS, "",
	  "by method" },
	{ HTTP_POST, "/v1/peers/", 3, HTTP_POST | HTTP_OPTIONS, "", "the last slash counts" },
	{ HTTP_GET, "/v1/peers/", -1, HTTP_POST | HTTP_OPTIONS, "", "no empty parameter" },
	{ HTTP_HEAD, "/v1/peers", 1, HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_OPTIONS, "",
	  "HEAD by GET" },
	{ HTTP_GET, "/v1/peers/x", 4, HTTP_GET | HTTP_HEAD | HTTP_DELETE | HTTP_OPTIONS, "id=x ",
	  "a parameter" },
	{ HTTP_GET, "/v1/peers/count", 5, HTTP_GET | HTTP_HEAD | HTTP_DELETE | HTTP_OPTIONS, "",
	  "literal first" },
	{ HTTP_HEAD, "/v1/peers/count", 9, HTTP_GET | HTTP_HEAD | HTTP_DELETE | HTTP_OPTIONS, "",
	  "HEAD of its own" },
	{ HTTP_DELETE, "/v1/peers/count", 6, HTTP_GET | HTTP_HEAD | HTTP_DELETE | HTTP_OPTIONS,
	  "id=count ", "the literal lacks it" },
	{ HTTP_PATCH, "/v1/peers/x", -1, HTTP_GET | HTTP_HEAD | HTTP_DELETE | HTTP_OPTIONS, "",
	  "405" },
	{ HTTP_GET, "/v1/peers/a%2Fb", 4, HTTP_GET | HTTP_HEAD | HTTP_DELETE | HTTP_OPTIONS,
	  "id=a/b ", "an escaped slash stays inside" },
	{ HTTP_GET, "/v1/peers/%2541", 4, HTTP_GET | HTTP_HEAD | HTTP_DELETE | HTTP_OPTIONS,
	  "id=%41 ", "decoded once" },
	{ HTTP_GET, "/v1/peers/a+b", 4, HTTP_GET | HTTP_HEAD | HTTP_DELETE | HTTP_OPTIONS,
	  "id=a+b ", "plus is plus in a path" },
	{ HTTP_GET, "/v1/%70eers", 1, HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_OPTIONS, "",
	  "a literal in escapes" },
	{ HTTP_PUT, "/v1/a/b/status", 7, HTTP_PUT | HTTP_OPTIONS, "kind=a id=b ",
	  "two parameters" },
	{ HTTP_GET, "/page/n/a/b%20c", 8, HTTP_GET | HTTP_HEAD | HTTP_OPTIONS, "name=n rest=a/b c ",
	  "the rest" },
	{ HTTP_GET, "/page/n/", 8, HTTP_GET | HTTP_HEAD | HTTP_OPTIONS,
	  "name=n rest= ", "an empty rest" },
	{ HTTP_GET, "/page/n", -1, 0, "", "no rest at all" },
	{ HTTP_GET, "/nothing", -1, 0, "", "404" },
	{ HTTP_GET, "//v1/peers", -1, 0, "", "an empty segment is one" },
	{ HTTP_GET, "/v1/../v1/peers", -2, 0, "", "dots" },
	{ HTTP_GET, "/v1/%2e%2E/peers", -2, 0, "", "dots in escapes" },
	{ HTTP_GET, "/v1/peers/.", -2, 0, "", "one dot" },
	{ HTTP_GET, "/v1/peers/%zz", -2, 0, "", "a broken escape" },
	{ HTTP_GET, "/v1/peers/%4", -2, 0, "", "a short escape" },
	{ HTTP_GET, "/v1/peers/%00", -2, 0, "", "NUL" },
	{ HTTP_GET, "/v1/peers/%ff", -2, 0, "", "no UTF-8" },
	{ HTTP_GET, "v1", -2, 0, "", "no slash in front" },
	{ HTTP_GET, "", -2, 0, "", "empty" },
};

static void test_find(void **state)
{
	struct http_router *r = router_with_all();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf text = { 0 };
		AUTO(buf_done) struct buf params = { 0 };
		struct http_match m;
		const char *why =
			http_router_find(r, &m, &text, rows[i].method, str_of(rows[i].path));
		int got = why ? -2 : m.route ? (int)(m.route - routes) : -1;

		for (size_t k = 0; k < m.params_n; k++)
			buf_printf(&params, "%.*s=%.*s ", STR_ARG(m.params[k].name),
				   STR_ARG(m.params[k].value));
		if (got != rows[i].want || m.allowed != rows[i].allowed ||
		    !str_eq(buf_view(&params), str_of(rows[i].params)))
			fail_msg("%s (%s): route %d, allowed %x, parameters %s", rows[i].why,
				 rows[i].path, got, m.allowed, buf_view(&params).p);
	}
	http_router_free(r);
}

static void test_many_segments(void **state)
{
	struct http_router *r = router_with_all();
	AUTO(buf_done) struct buf path = { 0 };
	AUTO(buf_done) struct buf text = { 0 };
	struct http_match m;

	(void)state;
	for (size_t i = 0; i < HTTP_SEGMENTS_MAX + 1; i++)
		buf_z(&path, "/a");
	assert_non_null(http_router_find(r, &m, &text, HTTP_GET, buf_view(&path)));
	http_router_free(r);
}

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern;
		enum err_code want;
	} patterns[] = {
		{ "/a/{b}", ERR_OK },	   { "/a/{c}", ERR_EXISTS },
		{ "/a/{b}/", ERR_OK },	   { "", ERR_INVALID },
		{ "a", ERR_INVALID },	   { "/{}", ERR_INVALID },
		{ "/{a", ERR_INVALID },	   { "/a}", ERR_INVALID },
		{ "/x{a}", ERR_INVALID },  { "/{a*}/b", ERR_INVALID },
		{ "/{a b}", ERR_INVALID }, { "/{1}/{2}/{3}/{4}/{5}/{6}/{7}/{8}/{9}", ERR_INVALID },
	};
	struct http_route r[ARRAY_LEN(patterns)];
	struct http_router *router = http_router_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		struct err e;
		enum err_code rc;

		r[i] = (struct http_route){ HTTP_GET, patterns[i].pattern, nothing, NULL, 0, 0 };
		rc = http_router_add(router, &r[i], NULL, &e);
		if (rc != patterns[i].want)
			fail_msg("\"%s\": %s", patterns[i].pattern, rc ? e.msg : "accepted");
	}
	http_router_free(router);
}

static void count(void *arg, const struct http_route *route)
{
	size_t *n = arg;

	assert_ptr_equal(route, &routes[*n]);
	++*n;
}

static void test_walk(void **state)
{
	struct http_router *r = router_with_all();
	size_t n = 0;

	(void)state;
	http_router_walk(r, count, &n);
	assert_int_equal(n, ARRAY_LEN(routes));
	http_router_free(r);
}

static void test_query(void **state)
{
	static const struct {
		const char *query, *name;
		enum http_query_found want;
		const char *value, *why;
	} queries[] = {
		{ "a=1&b=2", "b", HTTP_QUERY_ONE, "2", "the second" },
		{ "a=1&b=2", "c", HTTP_QUERY_NONE, "", "not there" },
		{ "", "c", HTTP_QUERY_NONE, "", "no query" },
		{ "a", "a", HTTP_QUERY_ONE, "", "no '='" },
		{ "a=b=c", "a", HTTP_QUERY_ONE, "b=c", "a further '='" },
		{ "a=x+y%2Bz", "a", HTTP_QUERY_ONE, "x y+z", "plus is a space" },
		{ "%61=1", "a", HTTP_QUERY_ONE, "1", "an escaped name" },
		{ "&&a=1&", "a", HTTP_QUERY_ONE, "1", "empty pairs" },
		{ "a=1&a=1", "a", HTTP_QUERY_BAD, "1", "twice" },
		{ "a=1&b=%", "a", HTTP_QUERY_BAD, "1", "a broken escape elsewhere" },
		{ "a=%00", "a", HTTP_QUERY_BAD, "", "NUL" },
		{ "a=%c3%28", "a", HTTP_QUERY_BAD, "", "no UTF-8" },
		{ "a=%252e", "a", HTTP_QUERY_ONE, "%2e", "decoded once" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		AUTO(buf_done) struct buf value = { 0 };
		enum http_query_found got =
			http_query_get(str_of(queries[i].query), queries[i].name, &value);

		if (got != queries[i].want || !str_eq(buf_view(&value), str_of(queries[i].value)))
			fail_msg("%s: got %d, \"%s\"", queries[i].why, (int)got,
				 buf_view(&value).p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),	 cmocka_unit_test(test_many_segments),
		cmocka_unit_test(test_patterns), cmocka_unit_test(test_walk),
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
