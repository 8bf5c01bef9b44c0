/* MODULE ACTION KEY=VALUE … : what becomes of the words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cli/command.h"

#define WORDS_MAX 8

static const struct {
	const char *words[WORDS_MAX];
	bool reference;
	enum api_code want; /* API_OK: `says` is the parameters as JSON */
	const char *says, *why;
} rows[] = {
	{ { "core", "add_client", "client_name=laptop" },
	  false,
	  API_OK,
	  "{\"client_name\":\"laptop\"}",
	  "a text" },
	{ { "core", "add_client", "client_name=123" },
	  false,
	  API_OK,
	  "{\"client_name\":\"123\"}",
	  "digits stay a text where a text is wanted" },
	{ { "core", "add_client", "client_name=a=b" },
	  false,
	  API_OK,
	  "{\"client_name\":\"a=b\"}",
	  "cut at the first equals sign" },
	{ { "core", "add_client", "client_name=" },
	  false,
	  API_OK,
	  "{\"client_name\":\"\"}",
	  "empty: the gateway's rule for names says so" },
	{ { "core", "list_clients", "page=2" },
	  false,
	  API_OK,
	  "{\"page\":2,\"per_page\":10}",
	  "a number, and a default" },
	{ { "core", "update_tweak_setting", "setting_name=s", "value=true" },
	  false,
	  API_OK,
	  "{\"setting_name\":\"s\",\"value\":true}",
	  "JSON where any value is allowed" },
	{ { "core", "update_tweak_setting", "setting_name=s", "value=[1" },
	  false,
	  API_OK,
	  "{\"setting_name\":\"s\",\"value\":\"[1\"}",
	  "no JSON: a text" },
	{ { "cor", "x" }, false, API_MODULE_NOT_FOUND, "did you mean 'core'", "nearest module" },
	{ { "zzzzzz", "x" },
	  false,
	  API_MODULE_NOT_FOUND,
	  "available modules: core",
	  "nothing is near" },
	{ { "core", "add_clinet" },
	  false,
	  API_ACTION_NOT_FOUND,
	  "did you mean 'add_client'",
	  "nearest action" },
	{ { "core", "zzzzzz\033" },
	  false,
	  API_ACTION_NOT_FOUND,
	  "'zzzzzz\\x1b'",
	  "no action is near, and the word is escaped" },
	{ { "core", "zzzzzz" },
	  false,
	  API_ACTION_NOT_FOUND,
	  "available actions: add_client, remove_client, list_clients",
	  "the message lists what there is" },
	{ { "core", "list_clients", "search=null" },
	  false,
	  API_OK,
	  "{\"page\":1,\"per_page\":10}",
	  "null for a text that may be absent: it is absent" },
	{ { "core", "add_client", "client_name=null" },
	  false,
	  API_OK,
	  "{\"client_name\":\"null\"}",
	  "a name that is needed may be the word null" },
	{ { "core", "list_clients", "page=99999999999999999999" },
	  false,
	  API_INVALID_PARAMETER,
	  "too large: it must be between -9223372036854775808 and 9223372036854775807",
	  "larger than an integer" },
	{ { "core", "list_clients", "per_page=99999999999999999999" },
	  false,
	  API_INVALID_PARAMETER,
	  "too large: it must be between 1 and 1000",
	  "larger than an integer, with limits of its own" },
	{ { "core", "add_client", "client_nam=x" },
	  false,
	  API_INVALID_PARAMETER,
	  "did you mean \"client_name\"",
	  "nearest parameter" },
	{ { "core", "add_client" }, false, API_MISSING_PARAMETER, "client_name", "a missing one" },
	{ { "core", "list_clients", "page=x" },
	  false,
	  API_INVALID_PARAMETER,
	  "page",
	  "not a number" },
	{ { "core", "list_clients", "per_page=0" },
	  false,
	  API_INVALID_PARAMETER,
	  "1 and 1000",
	  "out of range" },
	{ { "core", "add_client", "laptop" },
	  false,
	  API_INVALID_PARAMETER,
	  "'laptop' is not KEY",
	  "no equals sign" },
	{ { "core", "add_client", "=laptop" },
	  false,
	  API_INVALID_PARAMETER,
	  "is not KEY=VALUE",
	  "no key" },
	{ { "core", "add_client", "client_name=a", "client_name=b" },
	  false,
	  API_INVALID_PARAMETER,
	  "client_name is given twice",
	  "a repeated key" },
	{ { "core", "add_client", "client_name=\xff" },
	  false,
	  API_INVALID_PARAMETER,
	  "UTF-8",
	  "a value that JSON cannot hold" },
	{ { "core", "add_client", "client_name=a", "stray", "client_name=b" },
	  true,
	  API_OK,
	  "{\"client_name\":\"b\"}",
	  "as phantom-api: stray words ignored, the last key counts" },
	{ { "core", "add_client", "=x", "client_name=a" },
	  true,
	  API_INVALID_PARAMETER,
	  "KEY=VALUE; `phantom-api core",
	  "as phantom-api: an empty key is still wrong" },
};

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *words[WORDS_MAX + 1] = { 0 };
		struct command c = { 0 };
		struct command_fault fault = { 0 };
		struct err e = { 0 };
		enum err_code rc;
		size_t n = 0;

		for (; rows[i].words[n]; n++)
			words[n] = str_dup(str_of(rows[i].words[n]));
		rc = command_parse(&c, n, words, rows[i].reference, &fault, &e);
		if (!rc != (rows[i].want == API_OK) || fault.code != rows[i].want)
			fail_msg("%s: %s %s", rows[i].why, api_code_name(fault.code), e.msg);
		if (!rc) {
			json_t *want = json_loads(rows[i].says, 0, NULL);

			if (!json_equal(want, c.params))
				fail_msg("%s: other parameters", rows[i].why);
			json_decref(want);
		} else if (!strstr(e.msg, rows[i].says)) {
			fail_msg("%s: says '%s'", rows[i].why, e.msg);
		}
		json_decref(fault.data);
		command_done(&c);
		while (n--)
			free(words[n]);
	}
}

/* A caller that reads JSON gets the list of what there is. */
static void test_lists(void **state)
{
	char module[] = "nope", action[] = "x", core[] = "core";
	char *words[] = { module, action };
	struct command c = { 0 };
	struct command_fault fault = { 0 };

	(void)state;
	assert_int_equal(command_parse(&c, 2, words, true, &fault, NULL), ERR_NOT_FOUND);
	assert_string_equal(json_string_value(
				    json_array_get(json_object_get(fault.data, "available_modules"),
						   0)),
			    "core");
	json_decref(fault.data);
	words[0] = core;
	assert_int_equal(command_parse(&c, 2, words, true, &fault, NULL), ERR_NOT_FOUND);
	assert_true(json_array_size(json_object_get(fault.data, "available_actions")) >= 8);
	json_decref(fault.data);
	command_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests_name("cli/command", tests, NULL, NULL);
}
