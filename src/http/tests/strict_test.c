#include "base/tests/cm.h"

#include "http/parser.h"
#include "http/strict.h"

#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: a\r\n"

static const struct {
	const char *head;
	unsigned want; /* 0: well-formed */
	const char *why;
} heads[] = {
	{ GET HOST "\r\n", 0, "the least" },
	{ "GET / HTTP/1.0\r\n\r\n", 0, "HTTP/1.0 needs no Host" },
	{ GET "Host: [::1]:8000\r\nX: \t a b\t\r\n\r\n", 0,
	  "IPv6 host; white space round a value" },
	{ GET HOST "X:\r\n\r\n", 0, "an empty value" },
	{ GET HOST "X: \xc3\xa9\r\n\r\n", 0, "bytes above 0x7f in a value" },
	{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 0, "an empty body" },
	{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n", 0, "names in any case" },
	/* lines */
	{ "GET / HTTP/1.1\n" HOST "\r\n", 400, "bare LF ends the request line" },
	{ GET "Host: a\n\r\n", 400, "bare LF ends a header" },
	{ GET "Host: a\r\n\n", 400, "bare LF for the empty line" },
	{ GET "Host: a\rX: b\r\n\r\n", 400, "bare CR, which some take for a line's end" },
	{ GET "Host: a\r\n X: b\r\n\r\n", 400, "folded line" },
	{ GET " Host: a\r\n\r\n", 400, "a fold as the first header" },
	{ GET "Host: a\r\n\tb\r\n\r\n", 400, "folded with a tab" },
	{ GET HOST "\r\nX", 400, "something behind the end" },
	/* request line */
	{ "GET  / HTTP/1.1\r\n" HOST "\r\n", 400, "two spaces" },
	{ "GET /\tHTTP/1.1\r\n" HOST "\r\n", 400, "a tab for a space" },
	{ "GET / x HTTP/1.1\r\n" HOST "\r\n", 400, "a space in the target" },
	{ " GET / HTTP/1.1\r\n" HOST "\r\n", 400, "a space in front" },
	{ "GET /\r\n" HOST "\r\n", 400, "HTTP/0.9" },
	{ "GET / HTTP/2.0\r\n" HOST "\r\n", 505, "another version" },
	{ "GET / HTTP/1.2\r\n" HOST "\r\n", 505, "another minor version" },
	{ "GET / http/1.1\r\n" HOST "\r\n", 400, "version in lower case" },
	{ "GET / HTTP/1.10\r\n" HOST "\r\n", 400, "a longer version" },
	{ "G@T / HTTP/1.1\r\n" HOST "\r\n", 400, "no token" },
	{ "GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400, "a control character in the target" },
	{ "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 400, "unescaped bytes in the target" },
	{ "GET /#x HTTP/1.1\r\n" HOST "\r\n", 400, "a fragment" },
	/* headers */
	{ GET HOST "X : b\r\n\r\n", 400, "a space before the colon" },
	{ GET HOST "X\t: b\r\n\r\n", 400, "a tab before the colon" },
	{ GET HOST ": b\r\n\r\n", 400, "no name" },
	{ GET HOST "Xb\r\n\r\n", 400, "no colon" },
	{ GET HOST "X(y): b\r\n\r\n", 400, "a name that is no token" },
	{ GET HOST "X: a\x7f\r\n\r\n", 400, "DEL in a value" },
	{ GET HOST "X: a\x0b\r\n\r\n", 400, "vertical tab in a value" },
	/* Host */
	{ GET "\r\n", 400, "no Host" },
	{ GET HOST HOST "\r\n", 400, "two Hosts" },
	{ GET "Host:\r\n\r\n", 400, "an empty Host" },
	{ GET "Host: a b\r\n\r\n", 400, "two words" },
	{ GET "Host: u@a\r\n\r\n", 400, "user information" },
	{ GET "Host: a/b\r\n\r\n", 400, "a path" },
	{ GET "Host: a, b\r\n\r\n", 400, "a list" },
	/* framing */
	{ GET HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400, "the same length twice" },
	{ GET HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "two lengths" },
	{ GET HOST "Content-Length: 1, 1\r\n\r\n", 400, "a list of lengths" },
	{ GET HOST "Content-Length: +1\r\n\r\n", 400, "a sign" },
	{ GET HOST "Content-Length: -1\r\n\r\n", 400, "negative" },
	{ GET HOST "Content-Length: 0x1\r\n\r\n", 400, "hexadecimal" },
	{ GET HOST "Content-Length: 1 1\r\n\r\n", 400, "two numbers" },
	{ GET HOST "Content-Length:\r\n\r\n", 400, "no number" },
	{ GET HOST "Content-Length: 9223372036854775808\r\n\r\n", 400, "2^63" },
	{ GET HOST "Content-Length: 99999999999999999999\r\n\r\n", 400, "beyond 64 bits" },
	{ GET HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "CL.TE" },
	{ GET HOST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400, "TE.CL" },
	{ GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
	  "TE.TE" },
	{ GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", 400,
	  "TE.TE, hidden" },
	{ GET HOST "Transfer-Encoding: xchunked\r\n\r\n", 501, "nearly chunked" },
	{ GET HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "a list of encodings" },
	{ GET HOST "Transfer-Encoding: chunked, identity\r\n\r\n", 501, "chunked is not last" },
	{ GET HOST "Transfer-Encoding: \x0b"
		   "chunked\r\n\r\n",
	  400, "hidden behind a control character" },
	{ GET HOST "Transfer-Encoding : chunked\r\n\r\n", 400, "hidden behind a space" },
	{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "HTTP/1.0 has no chunks" },
	/* connection */
	{ GET HOST "Connection: clo se\r\n\r\n", 400, "no token" },
	{ GET HOST "Expect: 200-ok\r\n\r\n", 417, "an unknown expectation" },
	{ GET HOST "Upgrade: a\r\nUpgrade: b\r\n\r\n", 400, "two upgrades" },
};

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		struct http_head h;
		unsigned status = 0;
		const char *why = http_head_check(&h, str_of(heads[i].head), 100, &status);

		if ((why ? status : 0) != heads[i].want)
			fail_msg("%s: got %u (%s), want %u", heads[i].why, why ? status : 0,
				 why ? why : "well-formed", heads[i].want);
	}
}

static void test_nul(void **state)
{
	static const char head[] = GET HOST "X: a\0b\r\n\r\n";
	struct http_head h;
	unsigned status = 0;

	(void)state;
	assert_non_null(http_head_check(&h, (struct str){ head, sizeof head - 1 }, 100, &status));
	assert_int_equal(status, 400);
}

static void test_head_values(void **state)
{
	static const char *const text =
		"POST /a?b HTTP/1.1\r\nhost: h:1\r\nConnection: keep-alive , Upgrade\r\n"
		"Upgrade: websocket\r\nContent-Length: 42\r\nExpect: 100-continue\r\n\r\n";
	struct http_head h;
	unsigned status;

	(void)state;
	assert_null(http_head_check(&h, str_of(text), 5, &status));
	assert_true(str_eq(h.method, STR("POST")) && str_eq(h.target, STR("/a?b")));
	assert_true(str_eq(h.host, STR("h:1")) && str_eq(h.upgrade, STR("websocket")));
	assert_int_equal(h.length, 42);
	assert_true(h.has_length && !h.chunked && h.keep_alive && h.expect_continue);
	assert_int_equal(h.fields, 5);
	assert_non_null(http_head_check(&h, str_of(text), 4, &status)); /* one header too many */
	assert_int_equal(status, 431);
}

static void test_keep_alive(void **state)
{
	static const struct {
		const char *head;
		bool want;
		const char *why;
	} rows[] = {
		{ GET HOST "\r\n", true, "HTTP/1.1 keeps" },
		{ GET HOST "Connection: close\r\n\r\n", false, "unless told" },
		{ GET HOST "Connection: x, CLOSE\r\n\r\n", false, "in any case, in a list" },
		{ GET HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n", false,
		  "close wins" },
		{ "GET / HTTP/1.0\r\n\r\n", false, "HTTP/1.0 closes" },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, "unless asked" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_head h;
		unsigned status;

		assert_null(http_head_check(&h, str_of(rows[i].head), 100, &status));
		if (h.keep_alive != rows[i].want)
			fail_msg("%s", rows[i].why);
	}
}

static const struct {
	const char *body;
	enum http_chunks_result want;
	size_t used; /* when it is done */
	const char *why;
} bodies[] = {
	{ "0\r\n\r\n", HTTP_CHUNKS_DONE, 5, "empty" },
	{ "3\r\nabc\r\n0\r\n\r\nGET", HTTP_CHUNKS_DONE, 13, "the next request is not eaten" },
	{ "A\r\n0123456789\r\n0\r\n\r\n", HTTP_CHUNKS_DONE, 20, "hexadecimal" },
	{ "3;a=b\r\nabc\r\n0;x\r\n\r\n", HTTP_CHUNKS_DONE, 19, "extensions" },
	{ "00000003\r\nabc\r\n0\r\n\r\n", HTTP_CHUNKS_DONE, 20, "leading zeros" },
	{ "3\r\nab", HTTP_CHUNKS_MORE, 0, "not whole" },
	{ "0\r\n", HTTP_CHUNKS_MORE, 0, "its end is missing" },
	{ "3\nabc\r\n0\r\n\r\n", HTTP_CHUNKS_BAD, 0, "LF without CR behind the size" },
	{ "3\rXabc\r\n", HTTP_CHUNKS_BAD, 0, "CR without LF" },
	{ "3\r\nabcXY0\r\n\r\n", HTTP_CHUNKS_BAD, 0, "two other bytes behind the data" },
	{ "3\r\nabc\n0\r\n\r\n", HTTP_CHUNKS_BAD, 0, "LF behind the data" },
	{ "3\r\nabcd\r\n", HTTP_CHUNKS_BAD, 0, "longer than it says" },
	{ "000000003\r\nabc\r\n", HTTP_CHUNKS_BAD, 0, "more than 8 digits" },
	{ "fffffffff\r\n", HTTP_CHUNKS_BAD, 0, "a size beyond 32 bits" },
	{ "0x3\r\nabc\r\n", HTTP_CHUNKS_BAD, 0, "a prefix" },
	{ "-3\r\n", HTTP_CHUNKS_BAD, 0, "a sign" },
	{ " 3\r\nabc\r\n", HTTP_CHUNKS_BAD, 0, "a space in front" },
	{ "3 \r\nabc\r\n", HTTP_CHUNKS_BAD, 0, "a space behind" },
	{ "\r\n", HTTP_CHUNKS_BAD, 0, "no size" },
	{ "3;a\nb\r\nabc\r\n", HTTP_CHUNKS_BAD, 0, "LF in an extension" },
	{ "0\r\nX: y\r\n\r\n", HTTP_CHUNKS_BAD, 0, "a trailer field" },
	{ "0\r\n\n", HTTP_CHUNKS_BAD, 0, "LF at the end" },
};

static void test_chunks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		for (size_t step = 1; step <= 64; step *= 8) { /* in pieces of every size */
			struct http_chunks c = { 0 };
			enum http_chunks_result got = HTTP_CHUNKS_MORE;
			size_t total = 0, used = 0, n = strlen(bodies[i].body);
			const char *why = NULL;

			while (got == HTTP_CHUNKS_MORE && total < n) {
				got = http_chunks_check(&c,
							(struct str){ bodies[i].body + total,
								      MIN(step, n - total) },
							&used, &why);
				total += used;
			}
			if (got != bodies[i].want ||
			    (got == HTTP_CHUNKS_DONE && total != bodies[i].used))
				fail_msg("%s, %zu at a time: got %d after %zu bytes", bodies[i].why,
					 step, (int)got, total);
			assert_true(got != HTTP_CHUNKS_BAD || why != NULL);
		}
	}
}

static void test_extension_limit(void **state)
{
	char body[400];
	struct http_chunks c = { 0 };
	const char *why = NULL;
	size_t used;

	(void)state;
	memset(body, 'x', sizeof body);
	memcpy(body, "1;", 2);
	assert_int_equal(http_chunks_check(&c, (struct str){ body, 200 }, &used, &why),
			 HTTP_CHUNKS_MORE);
	assert_int_equal(http_chunks_check(&c, (struct str){ body + 200, 200 }, &used, &why),
			 HTTP_CHUNKS_BAD);
}

/* ---- the library agrees with what is let through ---- */

static void count_piece(void *ctx, struct str piece)
{
	(void)piece;
	++*(size_t *)ctx;
}

static void test_library_takes_what_is_well_formed(void **state)
{
	static const struct http_parser_events events = { count_piece, count_piece, count_piece,
							  count_piece };
	char name[32];
	size_t pieces = 0;
	struct http_parsing *p = http_parsing_new(&events, &pieces);

	(void)state;
	assert_non_null(p);
	http_parsing_library(name);
	print_message("parser library: %s\n", name);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		struct str head = str_of(heads[i].head);
		const char *why = "";
		size_t used = 0;

		if (heads[i].want)
			continue;
		http_parsing_reset(p);
		if (http_parsing_run(p, head, &used, &why) == HTTP_PARSER_BAD || used != head.n)
			fail_msg("%s: the library says %s after %zu bytes", heads[i].why, why,
				 used);
	}
	assert_true(pieces > 0);
	http_parsing_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_head_values),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_extension_limit),
		cmocka_unit_test(test_library_takes_what_is_well_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
