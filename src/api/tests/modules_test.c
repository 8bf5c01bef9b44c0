/* modules_test.c - the table against the reference, values from text, checks of parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/modules.h"

static const struct action *action(const char *name)
{
	const struct action *a = api_action_find(STR("core"), str_of(name));

	if (!a)
		fail_msg("there is no action %s", name);
	return a;
}

/* Reference 000, details 1.2. */
static void holds_the_reference(void **state)
{
	static const struct {
		const char *name, *params;
		bool writes;
	} rows[] = {
		{ "add_client", "client_name*", true },
		{ "remove_client", "client_name*", true },
		{ "list_clients", "page=1 per_page=10 search", false },
		{ "export_client", "client_name*", false },
		{ "latest_clients", "count=5", false },
		{ "server_status", "", false },
		{ "get_tweak_settings", "", false },
		{ "update_tweak_setting", "setting_name* value*", true },
		{ "service_logs", "lines=50", false },
		{ "restart_service", "", true },
		{ "get_firewall_status", "", false },
		{ "get_subnet_info", "", false },
		{ "validate_subnet_change", "new_subnet*", false },
		{ "change_subnet", "new_subnet* confirm=false", true },
		{ "show_file", "name*", false },
		{ "import_installation", "path* dry_run=false", true },
		/* ours */
		{ "client_why", "client_name*", false },
		{ "client_limits", "client_name*", false },
		{ "set_client_limits", "client_name* rate_up rate_down quota expires", true },
	};
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct action *a = action(rows[i].name);
		struct buf b = { 0 };

		for (const struct action_param *p = a->params; p->name; p++)
			buf_printf(&b, "%s%s%s%s%s", b.n ? " " : "", p->name,
				   p->required ? "*" : "", p->fallback ? "=" : "",
				   p->fallback ? p->fallback : "");
		assert_string_equal(buf_view(&b).p, rows[i].params);
		assert_int_equal(a->writes, rows[i].writes);
		buf_done(&b);
	}
	for (const struct action *a = api_actions; a->module; a++) {
		assert_true(api_module_known(str_of(a->module)));
		assert_true(strlen(a->help) > 0);
		n += strcmp(a->module, "core") == 0;
	}
	assert_int_equal(n, ARRAY_LEN(rows)); /* and nothing else yet */
	assert_false(api_module_known(STR("ghost")));
	assert_false(api_module_known(STR("Core")));
	assert_null(api_action_find(STR("core"), STR("restart")));
	assert_null(api_action_find(STR("dns"), STR("add_client")));
}

/* A default that the check itself would refuse is a mistake in the table. */
static void defaults_pass_their_own_check(void **state)
{
	(void)state;
	for (const struct action *a = api_actions; a->module; a++) {
		json_t *params = json_object();
		enum api_code code;
		struct err e;

		for (const struct action_param *p = a->params; p->name; p++) {
			assert_true(!p->required || !p->fallback);
			if (p->required)
				json_object_set_new(params, p->name, json_string("x"));
			if (p->fallback)
				json_object_set_new(params, p->name,
						    api_value_from_text(p, str_of(p->fallback)));
		}
		if (api_params_check(a, params, &code, &e))
			fail_msg("%s: %s", a->name, e.msg);
		json_decref(params);
	}
}

static void names_every_code(void **state)
{
	(void)state;
	for (int c = API_OK; c < API_CODES; c++) {
		assert_non_null(api_code_name((enum api_code)c));
		assert_true(strlen(api_code_name((enum api_code)c)) > 0);
	}
	assert_string_equal(api_code_name(API_CLIENT_NOT_FOUND), "CLIENT_NOT_FOUND");
	assert_string_equal(api_code_name(API_CODES), "INTERNAL_ERROR");
}

static void reads_values(void **state)
{
	static const struct {
		enum param_type type;
		struct str text;
		const char *want; /* as compact JSON; NULL: refused */
		const char *why;
	} rows[] = {
		{ PARAM_TEXT, STR("123"), "\"123\"", "a text stays one" },
		{ PARAM_TEXT, STR("true"), "\"true\"", "a text stays one" },
		{ PARAM_TEXT, STR(""), "\"\"", "empty" },
		{ PARAM_TEXT, STR("gr\xc3\xbcn"), "\"gr\xc3\xbcn\"", "UTF-8" },
		{ PARAM_TEXT, STR("\xff"), NULL, "not UTF-8" },
		{ PARAM_INT, STR("2"), "2", "a number" },
		{ PARAM_INT, STR("-2"), "-2", "a negative one" },
		{ PARAM_INT, STR("2x"), "\"2x\"", "does not parse whole" },
		{ PARAM_INT, STR("2 3"), "\"2 3\"", "does not parse whole" },
		{ PARAM_INT, STR("99999999999999999999"), "\"99999999999999999999\"", "too big" },
		{ PARAM_BOOL, STR("true"), "true", "a boolean" },
		{ PARAM_ANY, STR("false"), "false", "whatever it is" },
		{ PARAM_ANY, STR("[\"8.8.8.8\"]"), "[\"8.8.8.8\"]", "a list" },
		{ PARAM_ANY, STR("{\"a\":1,\"a\":2}"), "\"{\\\"a\\\":1,\\\"a\\\":2}\"",
		  "a duplicate key is no JSON here" },
		{ PARAM_ANY, STR("yes"), "\"yes\"", "a word" },
		{ PARAM_ANY, STR(""), "\"\"", "empty" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct action_param p = { "x", rows[i].type };
		json_t *v = api_value_from_text(&p, rows[i].text);
		char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

		if (rows[i].want ? !text || strcmp(text, rows[i].want) != 0 : v != NULL)
			fail_msg("%s: %s", rows[i].why, text ? text : "refused");
		free(text);
		json_decref(v);
	}
}

static void limits_depth(void **state)
{
	char text[2 * API_JSON_DEPTH_MAX + 2];
	struct str at_limit = { text + 1, 2 * API_JSON_DEPTH_MAX };
	const struct action_param p = { "x", PARAM_ANY };
	json_t *v;

	(void)state;
	memset(text, '[', API_JSON_DEPTH_MAX + 1);
	memset(text + API_JSON_DEPTH_MAX + 1, ']', API_JSON_DEPTH_MAX + 1);
	assert_true(api_json_depth_ok(at_limit));
	assert_false(api_json_depth_ok((struct str){ text, sizeof text }));
	v = api_value_from_text(&p, (struct str){ text, sizeof text });
	assert_true(json_is_string(v)); /* not parsed at all */
	json_decref(v);
	memset(text + 1, '[', sizeof text - 2);
	text[0] = text[sizeof text - 1] = '"';
	assert_true(api_json_depth_ok((struct str){ text, sizeof text })); /* only text */
	text[sizeof text - 2] = '\\';
	assert_true(api_json_depth_ok((struct str){ text, sizeof text })); /* an escaped quote */
	assert_true(api_json_depth_ok(STR("]]]]")));
	assert_true(api_json_depth_ok(STR("\"\\")));
}

static void checks_parameters(void **state)
{
	static const struct {
		const char *action, *params;
		enum api_code code;
		const char *want; /* the parameters afterwards, or a part of the message */
	} rows[] = {
		{ "add_client", "{\"client_name\":\"123\"}", API_OK, "{\"client_name\":\"123\"}" },
		{ "list_clients", "{}", API_OK, "{\"page\":1,\"per_page\":10}" },
		{ "list_clients", "{\"search\":null,\"page\":null}", API_OK,
		  "{\"page\":1,\"per_page\":10}" },
		{ "list_clients", "{\"page\":-5,\"search\":\"\"}", API_OK,
		  "{\"page\":-5,\"per_page\":10,\"search\":\"\"}" },
		{ "list_clients", "{\"per_page\":1000}", API_OK, "{\"page\":1,\"per_page\":1000}" },
		{ "server_status", "{}", API_OK, "{}" },
		{ "update_tweak_setting", "{\"setting_name\":\"x\",\"value\":[1]}", API_OK,
		  "{\"setting_name\":\"x\",\"value\":[1]}" },
		{ "update_tweak_setting", "{\"setting_name\":\"x\",\"value\":false}", API_OK,
		  "{\"setting_name\":\"x\",\"value\":false}" },

		{ "add_client", "{}", API_MISSING_PARAMETER,
		  "core add_client needs the parameter client_name" },
		{ "add_client", "{\"client_name\":null}", API_MISSING_PARAMETER, "client_name" },
		{ "update_tweak_setting", "{\"setting_name\":\"x\"}", API_MISSING_PARAMETER,
		  "needs the parameter value" },
		{ "add_client", "{\"client_nam\":\"x\"}", API_INVALID_PARAMETER,
		  "core add_client has no parameter \"client_nam\": did you mean "
		  "\"client_name\"?" },
		{ "list_clients", "{\"x\\ny\":1}", API_INVALID_PARAMETER,
		  "no parameter \"x\\x0ay\": it takes page, per_page, search" },
		{ "server_status", "{\"a\":1}", API_INVALID_PARAMETER,
		  "core server_status takes no parameters, but \"a\" was given" },
		{ "add_client", "{\"client_name\":123}", API_INVALID_PARAMETER,
		  "client_name: 123 is not a text" },
		{ "list_clients", "{\"page\":\"abc\"}", API_INVALID_PARAMETER,
		  "page: \"abc\" is not a whole number" },
		{ "list_clients", "{\"page\":1.5}", API_INVALID_PARAMETER, "page: 1.5" },
		{ "list_clients", "{\"page\":true}", API_INVALID_PARAMETER, "page: true" },
		{ "list_clients", "{\"per_page\":0}", API_INVALID_PARAMETER,
		  "per_page: 0 is not between 1 and 1000" },
		{ "list_clients", "{\"per_page\":1001}", API_INVALID_PARAMETER, "1 and 1000" },
		{ "latest_clients", "{\"count\":-1}", API_INVALID_PARAMETER, "count: -1" },
		{ "list_clients", "[]", API_INVALID_PARAMETER, "not an object" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *params = json_loads(rows[i].params, 0, NULL), *before;
		enum api_code code = API_CODES;
		struct err e = { 0 };
		enum err_code rc;

		assert_non_null(params);
		before = json_deep_copy(params);
		rc = api_params_check(action(rows[i].action), params, &code, &e);
		assert_int_equal(code, rows[i].code);
		assert_int_equal(rc == ERR_OK, code == API_OK);
		if (rc == ERR_OK) {
			json_t *want = json_loads(rows[i].want, 0, NULL);

			if (!json_equal(params, want))
				fail_msg("row %zu: not %s", i, rows[i].want);
			json_decref(want);
		} else {
			if (!strstr(e.msg, rows[i].want))
				fail_msg("row %zu: \"%s\" lacks \"%s\"", i, e.msg, rows[i].want);
			assert_true(json_equal(params, before)); /* nothing is changed */
		}
		json_decref(before);
		json_decref(params);
	}
}

static void checks_texts_and_booleans(void **state)
{
	static const struct action a = {
		"m", "a", "", false, { { "flag", PARAM_BOOL }, { "text", PARAM_TEXT, false, 2, 4 } }
	};
	enum api_code code;
	struct err e;
	json_t *params = json_object();

	(void)state;
	json_object_set_new(params, "flag", json_integer(1));
	assert_int_equal(api_params_check(&a, params, &code, &e), ERR_INVALID);
	assert_string_equal(e.msg, "flag: 1 is not true or false");
	json_object_set_new(params, "flag", json_true());
	json_object_set_new(params, "text", json_string("12345"));
	assert_int_equal(api_params_check(&a, params, &code, &e), ERR_RANGE);
	assert_string_equal(e.msg, "text: \"12345\" has 5 bytes, not between 2 and 4");
	json_object_set_new(params, "text", json_stringn("a\0b", 3));
	assert_int_equal(api_params_check(&a, params, &code, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "NUL"));
	json_object_set_new(params, "text", json_string("1234"));
	assert_int_equal(api_params_check(&a, params, &code, &e), ERR_OK);
	json_decref(params);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_the_reference),
		cmocka_unit_test(defaults_pass_their_own_check),
		cmocka_unit_test(names_every_code),
		cmocka_unit_test(reads_values),
		cmocka_unit_test(limits_depth),
		cmocka_unit_test(checks_parameters),
		cmocka_unit_test(checks_texts_and_booleans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
