/* Lengths as Python 3.11 gave them: len(json.dumps(json.loads(text), sort_keys=True)). */
#include "api/json_length.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/defs.h"

static const struct {
	const char *text;
	size_t length;
} rows[] = {
	{ "{\"b\":1,\"a\":\"x\"}", 18 },
	{ "[]", 2 },
	{ "{}", 2 },
	{ "[1,2,3]", 9 },
	{ "{\"a\":[],\"b\":{}}", 18 },
	{ "0.1", 3 },
	{ "1.0", 3 },
	{ "-0.0", 4 },
	{ "-0", 1 },
	{ "-17", 3 },
	{ "100000.0", 8 },
	{ "1e5", 8 },
	{ "1e15", 18 },
	{ "1e16", 5 },
	{ "123456789012345680.0", 22 },
	{ "1.5e16", 7 },
	{ "1e22", 5 },
	{ "1e100", 6 },
	{ "1.25e-100", 9 },
	{ "0.0001", 6 },
	{ "0.00001", 5 },
	{ "0.00012345", 10 },
	{ "1e-7", 5 },
	{ "123.456", 7 },
	{ "5e-324", 6 },
	{ "1.7976931348623157e308", 23 },
	{ "0.30000000000000004", 19 },
	{ "9007199254740993.0", 18 },
	{ "[true,false,null]", 19 },
	{ "\"\\u00e9\"", 8 },
	{ "\"\303\251\"", 8 },
	{ "\"\360\237\230\200\"", 14 },
	{ "\"\\ud83d\\ude00\"", 14 },
	{ "\"\177\"", 8 },
	{ "\"a\\\"b\\\\c\\/d\"", 11 },
	{ "\"\\b\\f\\n\\r\\t\\u0001\\u001f\"", 24 },
	{ "\"~ \"", 4 },
	{ "{\"\303\251\":\"\342\202\254\",\"a\":[{\"x\":-1.5e-9}]}", 44 },
	{ "9223372036854775807", 19 },
	{ "-9223372036854775808", 20 },
};

static void as_python_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *v = json_loads(rows[i].text, JSON_DECODE_ANY, NULL);

		if (!v)
			fail_msg("%s is no JSON", rows[i].text);
		if (json_python_length(v) != rows[i].length)
			fail_msg("%s: %zu, but Python says %zu", rows[i].text,
				 json_python_length(v), rows[i].length);
		json_decref(v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(as_python_counts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
