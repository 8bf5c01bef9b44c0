#include "api/json_length.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define SHORT_ESCAPE_LEN 2 /* \" \\ \b \f \n \r \t */
#define UNICODE_ESCAPE_LEN 6 /* \u00e9; two beyond U+FFFF */
#define REAL_DIGITS_MAX 17 /* enough for each double */
/* Of repr(float): the exponents that are written out. */
#define FIXED_LEAST (-4)
#define FIXED_MOST 15

static size_t character_length(uint32_t c)
{
	if (c < 0x80 && strchr("\"\\\b\f\n\r\t", (int)c) && c)
		return SHORT_ESCAPE_LEN;
	if (c >= 0x20 && c < 0x7f)
		return 1;
	return c > 0xffff ? 2 * UNICODE_ESCAPE_LEN : UNICODE_ESCAPE_LEN;
}

static size_t string_length(struct str s)
{
	size_t total = 2; /* its quotes */

	while (s.n) {
		uint32_t c = 0;
		size_t n = utf8_next(s, &c);

		BUG_ON(n == 0); /* jansson holds nothing else */
		total += character_length(c);
		s.p += n;
		s.n -= n;
	}
	return total;
}

/* The fewest digits that give `x` back, and its exponent: 0.25 is 2 digits and -1. */
static void shortest(double x, size_t *digits, long *exponent)
{
	char text[40];

	for (int n = 1; n <= REAL_DIGITS_MAX; n++) {
		(void)snprintf(text, sizeof text, "%.*e", n - 1, x);
		*digits = (size_t)n;
		*exponent = strtol(strchr(text, 'e') + 1, NULL, 10);
		if (strtod(text, NULL) == x)
			return;
	}
}

/* 1.5, 100.0, 0.001, 1e-05, 1.5e+16 */
static size_t real_length(double x)
{
	size_t digits, sign = signbit(x) ? 1 : 0;
	long exponent;

	shortest(x, &digits, &exponent);
	if (exponent >= FIXED_LEAST && exponent < 0)
		return sign + 2 + (size_t)(-exponent - 1) + digits;
	if (exponent >= 0 && exponent <= FIXED_MOST)
		return sign + (digits > (size_t)exponent + 1 ? digits + 1 : (size_t)exponent + 3);
	/* A point behind the first of several digits; "e", a sign, two digits or three. */
	return sign + digits + (digits > 1) + 2 + (labs(exponent) < 100 ? 2 : 3);
}

static size_t array_length(json_t *v)
{
	size_t total = 2, i;
	json_t *item;

	json_array_foreach(v, i, item)
	{
		total += (i ? 2 : 0) + json_python_length(item);
	}
	return total;
}

static size_t object_length(json_t *v)
{
	size_t total = 2;
	bool first = true;

	for (void *at = json_object_iter(v); at; at = json_object_iter_next(v, at)) {
		total += (first ? 0 : 2) + string_length(str_of(json_object_iter_key(at))) + 2 +
			 json_python_length(json_object_iter_value(at));
		first = false;
	}
	return total;
}

size_t json_python_length(json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return object_length(v);
	case JSON_ARRAY:
		return array_length(v);
	case JSON_STRING:
		return string_length((struct str){ json_string_value(v), json_string_length(v) });
	case JSON_INTEGER:
		return (size_t)snprintf(NULL, 0, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	case JSON_REAL:
		return real_length(json_real_value(v));
	case JSON_TRUE:
	case JSON_NULL:
		return 4;
	case JSON_FALSE:
		break;
	}
	return 5;
}
