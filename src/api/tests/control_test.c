/* control_test.c - requests and envelopes as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/control.h"

static void parses_requests(void **state)
{
	static const struct {
		struct str line;
		const char *part; /* of the message; NULL: accepted */
		const char *why;
	} rows[] = {
		{ STR("{\"module\":\"core\",\"action\":\"x\",\"params\":{\"a\":1}}"), NULL,
		  "whole" },
		{ STR("{\"action\":\"x\",\"module\":\"core\"}\r\n"), NULL, "no params, any order" },
		{ STR("{\"module\":\"core\"}"), "no \"action\"", "no action" },
		{ STR("{\"action\":\"x\"}"), "no \"module\"", "no module" },
		{ STR("{\"module\":1,\"action\":\"x\"}"), "\"module\"",
		  "a module that is no text" },
		{ STR("{\"module\":\"\",\"action\":\"x\"}"), "\"module\"", "an empty one" },
		{ STR("{\"module\":\"m\",\"action\":\"x\",\"params\":[]}"), "\"params\"",
		  "a list" },
		{ STR("{\"module\":\"m\",\"action\":\"x\",\"params\":null}"), "\"params\"",
		  "null" },
		{ STR("{\"module\":\"m\",\"action\":\"x\",\"id\\n\":1}"), "\"id\\x0a\"",
		  "unknown member" },
		{ STR("[]"), "not a JSON object", "a list" },
		{ STR(""), "not valid JSON", "nothing" },
		{ STR("core"), "not valid JSON", "a word" },
		{ STR("{\"module\":\"m\",\"action\":\"x\"} {}"), "not valid JSON",
		  "two in a line" },
		{ STR("{\"module\":\"m\",\"action\":\"x\",\"action\":\"y\"}"), "duplicate",
		  "twice" },
		{ STR("{\"module\":\"m\",\"action\":\"x\xff\"}"), "not valid JSON", "no UTF-8" },
		{ STR("{\"module\":\"m\",\"action\":\"x\\u0000\"}"), "not valid JSON",
		  "escaped NUL" },
		{ STR("{\"module\":\"m\",\"action\":\"x\0\"}"), "not valid JSON", "a NUL" },
		{ STR("{\"module\":\"m\",\"action\":\"x\"}\0"), "not valid JSON", "a NUL behind" },
		{ STR("{\"module\":\"m\",\"action\":\"x\",\"params\":{\"a\":1e999}}"),
		  "not valid JSON", "a number that fits nothing" },
		{ STR("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["), "deeper than 32", "33 levels" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct control_request r = { 0 };
		struct err e = { 0 };
		enum err_code rc = control_request_parse(&r, rows[i].line, &e);

		if ((rc == ERR_OK) != (rows[i].part == NULL))
			fail_msg("%s: %s", rows[i].why, rc ? e.msg : "accepted");
		if (rc) {
			if (!strstr(e.msg, rows[i].part))
				fail_msg("%s: the message says: %s", rows[i].why, e.msg);
			assert_null(r.root);
		} else {
			assert_true(str_eq(r.module, STR("core")) && str_eq(r.action, STR("x")));
			assert_true(json_is_object(r.params));
		}
		control_request_done(&r);
	}
}

static void limits_requests(void **state)
{
	char *line = test_malloc(CONTROL_REQUEST_MAX + 1);
	static const char front[] = "{\"module\":\"core\",\"action\":\"x\"}";
	struct control_request r;
	struct buf b = { 0 };
	struct err e = { 0 };
	json_t *params = json_object();

	(void)state;
	memset(line, ' ', CONTROL_REQUEST_MAX + 1);
	memcpy(line, front, sizeof front - 1);
	assert_int_equal(control_request_parse(&r, (struct str){ line, CONTROL_REQUEST_MAX }, &e),
			 ERR_OK);
	control_request_done(&r);
	assert_int_equal(control_request_parse(&r, (struct str){ line, CONTROL_REQUEST_MAX + 1 },
					       &e),
			 ERR_RANGE);
	assert_string_equal(e.msg, "the request has 65537 bytes: at most 65536 are allowed");

	memset(line, 'x', CONTROL_REQUEST_MAX);
	json_object_set_new(params, "a", json_stringn(line, CONTROL_REQUEST_MAX));
	assert_int_equal(control_request_write(&b, STR("m"), STR("a"), params, &e), ERR_RANGE);
	assert_int_equal(b.n, 0); /* nothing half-written */
	json_decref(params);
	buf_done(&b);
	test_free(line);
}

static void writes_what_it_reads(void **state)
{
	json_t *params = json_pack("{s:s, s:i}", "client_name", "a\nb\"", "n", 5);
	struct control_request r;
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(control_request_write(&b, STR("core"), STR("x"), params, &e), ERR_OK);
	assert_string_equal(b.p, "{\"module\":\"core\",\"action\":\"x\",\"params\":"
				 "{\"client_name\":\"a\\nb\\\"\",\"n\":5}}\n");
	assert_int_equal(control_request_parse(&r, buf_view(&b), &e), ERR_OK);
	assert_true(json_equal(r.params, params));
	control_request_done(&r);
	buf_clear(&b);
	assert_int_equal(control_request_write(&b, STR("core"), STR("x"), NULL, &e), ERR_OK);
	assert_string_equal(b.p, "{\"module\":\"core\",\"action\":\"x\",\"params\":{}}\n");
	json_decref(params);
	buf_done(&b);
}

static void envelope_is(json_t *envelope, const char *want)
{
	char *text;

	assert_non_null(envelope);
	text = json_dumps(envelope, JSON_COMPACT);
	assert_string_equal(text, want);
	free(text);
	json_decref(envelope);
}

#define META(action)                                             \
	"\"metadata\":{\"module\":\"core\",\"action\":\"" action \
	"\",\"timestamp\":\"1970-01-01T00:00:00.000001Z\",\"version\":\"core-v1\"}"

/* Reference 000, details 1.1: the members and their order. */
static void writes_envelopes(void **state)
{
	(void)state;
	envelope_is(envelope_success(STR("core"), STR("x"), 1000, json_pack("{s:b}", "ok", 1)),
		    "{\"success\":true," META("x") ",\"data\":{\"ok\":true}}");
	envelope_is(envelope_success(STR("core"), STR("x"), 1000, NULL),
		    "{\"success\":true," META("x") "}");
	envelope_is(envelope_failure(STR("core"), STR("x"), 1000, API_CLIENT_NOT_FOUND,
				     "no client \"a\"", NULL),
		    "{\"success\":false," META("x") ",\"error\":\"no client \\\"a\\\"\","
						    "\"code\":\"CLIENT_NOT_FOUND\"}");
	envelope_is(envelope_failure(STR("core"), STR("x"), 1000, API_ACTION_NOT_FOUND, "e",
				     json_pack("{s:[s]}", "available", "y")),
		    "{\"success\":false," META(
			    "x") ",\"error\":\"e\",\"code\":\"ACTION_NOT_FOUND\","
				 "\"data\":{\"available\":[\"y\"]}}");
	/* An action from a command line need not be UTF-8. */
	envelope_is(envelope_failure(STR("core"), STR("\xff"), 1000, API_INTERNAL_ERROR, "\xfe",
				     NULL),
		    "{\"success\":false," META("\\\\xff") ",\"error\":\"\\\\xfe\","
							  "\"code\":\"INTERNAL_ERROR\"}");
}

/* Every n-th allocation fails: NULL and nothing lost (the leak check sees the rest). */
static int alloc_left = -1;
static void *failing_malloc(size_t n)
{
	if (alloc_left == 0)
		return NULL;
	if (alloc_left > 0)
		alloc_left--;
	return malloc(n);
}

static void survives_failed_allocations(void **state)
{
	int failures = 0;

	(void)state;
	json_set_alloc_funcs(failing_malloc, free);
	for (int at = 0;; at++) {
		json_t *data = json_pack("{s:i}", "a", 1);
		json_t *envelope;

		assert_non_null(data);
		alloc_left = at;
		envelope =
			envelope_failure(STR("core"), STR("x"), 1000, API_CONFIG_ERROR, "e", data);
		alloc_left = -1;
		json_decref(envelope);
		if (envelope)
			break;
		failures++;
	}
	assert_true(failures > 10);
	for (int at = 0;; at++) {
		static const char line[] = "{\"module\":\"core\",\"action\":\"x\"}";
		struct control_request r = { 0 };
		struct err e;
		enum err_code rc;

		alloc_left = at;
		rc = control_request_parse(&r, STR(line), &e);
		alloc_left = -1;
		control_request_done(&r);
		if (rc == ERR_OK)
			break;
	}
	json_set_alloc_funcs(malloc, free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_requests),
		cmocka_unit_test(limits_requests),
		cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(writes_envelopes),
		cmocka_unit_test(survives_failed_allocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
