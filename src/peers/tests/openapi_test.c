/* docs/openapi/gateway.yaml against the route tables, both ways.
 *
 * The file is read by its indentation: a path is a line "  /…:" below "paths:", a method a line
 * "    get:" below its path; "    parameters:" is none. */
#include "base/tests/cm.h"

#include "base/fs.h"
#include "peers/peers.h"

#define OPERATIONS_MAX 64

struct operation {
	struct str method, path;
	bool seen;
};

static struct buf text;
static struct operation described[OPERATIONS_MAX];
static size_t described_n;

static int load(void **state)
{
	struct str rest, line, path = { 0 };
	bool in_paths = false;
	struct err e;

	(void)state;
	if (file_read(&text, QANAT_SOURCE_ROOT "/docs/openapi/gateway.yaml", 1u << 20, &e))
		fail_msg("%s", e.msg);
	rest = buf_view(&text);
	while (str_cut(&rest, '\n', &line)) {
		if (line.n && line.p[0] != ' ' && line.p[0] != '#')
			in_paths = str_eq(line, STR("paths:"));
		else if (in_paths && str_starts(line, STR("  /")) && line.p[line.n - 1] == ':')
			path = (struct str){ line.p + 2, line.n - 3 };
		else if (in_paths && str_starts(line, STR("    ")) && line.n > 5 &&
			 line.p[4] != ' ' && line.p[line.n - 1] == ':' &&
			 !str_eq(line, STR("    parameters:")) && described_n < OPERATIONS_MAX)
			described[described_n++] =
				(struct operation){ .method = { line.p + 4, line.n - 5 },
						    .path = path };
	}
	return 0;
}

static int unload(void **state)
{
	(void)state;
	buf_done(&text);
	return 0;
}

static struct operation *find(const struct http_route *r)
{
	struct str method = str_of(http_method_name(r->method));

	for (size_t i = 0; i < described_n; i++) {
		if (str_eq_nocase(described[i].method, method) &&
		    str_eq(described[i].path, str_of(r->pattern)))
			return &described[i];
	}
	return NULL;
}

/* Routes of the service are described, and what is described under `prefix` is a route. */
static void agree(const struct http_service *s, const char *prefix)
{
	for (size_t i = 0; i < s->count; i++) {
		struct operation *o = find(&s->routes[i]);

		if (!o)
			fail_msg("%s %s is not described", http_method_name(s->routes[i].method),
				 s->routes[i].pattern);
		o->seen = true;
	}
	for (size_t i = 0; i < described_n; i++) {
		if (str_starts(described[i].path, str_of(prefix)) && !described[i].seen)
			fail_msg("%.*s %.*s is described, and no route",
				 STR_ARG(described[i].method), STR_ARG(described[i].path));
	}
}

static void peers(void **state)
{
	const struct http_service s = peers_api_service(NULL);

	(void)state;
	assert_true(described_n >= s.count && s.count == 7);
	agree(&s, "/api/v1/");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(peers) };

	return cmocka_run_group_tests(tests, load, unload);
}
