/* Signatures of requests: the texts that clients sign, the window, and no request twice. */
#include "api/signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/defs.h"
#include "crypto/keys.h"

#define KEY "8f29c82c0d1e4a5b"
#define NOW 1735689600
#define NOW_TEXT "1735689600"

static struct signature_checker *checker(unsigned window)
{
	struct signature_checker *c = NULL;
	struct err e = { 0 };

	if (signature_checker_new(&c, KEY, sizeof KEY - 1, window, &e))
		fail_msg("%s", e.msg);
	return c;
}

static struct signed_request request(char hex[SIGNATURE_HEX_LEN + 1], enum signature_form form)
{
	struct signed_request r = {
		.method = STR("POST"),
		.path = STR("/api/v1/configurations/"),
		.query = STR("dry_run=true"),
		.body = STR("{\"b\": 1, \"a\": \"x\"}"),
		.timestamp = STR(NOW_TEXT),
		.nonce = STR("0123456789abcdef"),
	};

	signature_make(hex, form, KEY, sizeof KEY - 1, &r);
	r.signature = str_of(hex);
	return r;
}

/* Made with other software: `printf TEXT | openssl dgst -sha256 -hmac KEY`. */
static void known_answers(void **state)
{
	static const struct {
		enum signature_form form;
		const char *want;
	} rows[] = {
		{ SIGNATURE_LENGTH,
		  "7034fcc2df506676145a396d791bb3adbac042fbcb89643e2b3c8b68276f2145" },
		{ SIGNATURE_AGENT,
		  "1a9ed3151dbde7a23cd12a0796944e68066752172f10f7107f3d6c1a704b5af1" },
		{ SIGNATURE_WHOLE,
		  "06a450a6790bb868b064596b33b936b01c4743a8a6caca58f689f07c74dcacd2" },
	};
	char hex[SIGNATURE_HEX_LEN + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)request(hex, rows[i].form);
		assert_string_equal(hex, rows[i].want);
	}
}

/* What each form covers: a change of it must be noticed where it is covered. */
static void what_is_covered(void **state)
{
	enum { METHOD, PATH, QUERY, BODY, LENGTH, TIME, NONCE };
	static const struct {
		int part;
		bool covered[3];
		const char *why;
	} rows[] = {
		{ METHOD, { false, true, true }, "another method" },
		{ PATH, { false, true, true }, "re-targeted" },
		{ QUERY, { false, false, true }, "another query" },
		{ BODY, { false, true, true }, "another body of the same length" },
		{ LENGTH, { true, true, true }, "a longer body" },
		{ TIME, { true, true, true }, "another time" },
		{ NONCE, { false, false, true }, "another nonce" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (int form = 0; form < 3; form++) {
			struct signature_checker *c = checker(60);
			char hex[SIGNATURE_HEX_LEN + 1];
			struct signed_request r = request(hex, (enum signature_form)form);
			enum signature_verdict v;

			switch (rows[i].part) {
			case METHOD:
				r.method = STR("DELETE");
				break;
			case PATH:
				r.path = STR("/api/v1/configurations/x");
				break;
			case QUERY:
				r.query = STR("");
				break;
			case BODY:
				r.body = STR("{\"b\": 2, \"a\": \"x\"}");
				break;
			case LENGTH:
				r.body = STR("{\"b\": 11, \"a\": \"x\"}");
				break;
			case TIME:
				r.timestamp = STR("1735689601");
				break;
			default:
				r.nonce = STR("0123456789abcdeF");
			}
			v = signature_check(c, (enum signature_form)form, &r, false, NOW);
			if ((v == SIGNATURE_WRONG) != rows[i].covered[form])
				fail_msg("%s, form %d: %s", rows[i].why, form,
					 signature_verdict_text(v));
			signature_checker_free(c);
		}
	}
}

static void the_window(void **state)
{
	static const struct {
		int64_t now;
		enum signature_verdict want;
		const char *why;
	} rows[] = {
		{ NOW, SIGNATURE_OK, "the same second" },
		{ NOW + 60, SIGNATURE_OK, "the last second of the past" },
		{ NOW + 61, SIGNATURE_OLD, "one more" },
		{ NOW - 60, SIGNATURE_OK, "the last second of the future" },
		{ NOW - 61, SIGNATURE_OLD, "one more" },
		{ 0, SIGNATURE_OLD, "a clock that was never set" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct signature_checker *c = checker(60);
		char hex[SIGNATURE_HEX_LEN + 1];
		struct signed_request r = request(hex, SIGNATURE_LENGTH);

		if (signature_check(c, SIGNATURE_LENGTH, &r, false, rows[i].now) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].why);
		signature_checker_free(c);
	}
}

static void malformed(void **state)
{
	static const struct {
		const char *timestamp, *nonce, *signature; /* NULL: missing, "": as they are */
		enum signature_verdict want;
		const char *why;
	} rows[] = {
		{ NULL, "", "", SIGNATURE_MISSING, "no timestamp" },
		{ "", NULL, "", SIGNATURE_MISSING, "no nonce" },
		{ "", "", NULL, SIGNATURE_MISSING, "no signature" },
		{ "now", "", "", SIGNATURE_BAD_TIMESTAMP, "no number" },
		{ "-1", "", "", SIGNATURE_BAD_TIMESTAMP, "a sign" },
		{ " " NOW_TEXT, "", "", SIGNATURE_BAD_TIMESTAMP, "a space" },
		{ NOW_TEXT ".5", "", "", SIGNATURE_BAD_TIMESTAMP, "a fraction" },
		{ "18446744073709551616", "", "", SIGNATURE_BAD_TIMESTAMP, "beyond 64 bits" },
		{ "9999999999", "", "", SIGNATURE_OLD, "far in the future" },
		{ "", "0123456789abcde", "", SIGNATURE_BAD_NONCE, "a short nonce" },
		{ "", "0123456789abcde\n", "", SIGNATURE_BAD_NONCE, "a newline in it" },
		{ "", "", "00", SIGNATURE_WRONG, "a short signature" },
		{ "", "", "zz", SIGNATURE_WRONG, "no hex" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct signature_checker *c = checker(60);
		char hex[SIGNATURE_HEX_LEN + 1];
		struct signed_request r = request(hex, SIGNATURE_WHOLE);
		const struct {
			const char *given;
			struct str *field;
		} fields[] = { { rows[i].timestamp, &r.timestamp },
			       { rows[i].nonce, &r.nonce },
			       { rows[i].signature, &r.signature } };
		enum signature_verdict v;

		for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
			if (!fields[f].given)
				*fields[f].field = (struct str){ 0 };
			else if (*fields[f].given)
				*fields[f].field = str_of(fields[f].given);
		}
		v = signature_check(c, SIGNATURE_WHOLE, &r, false, NOW);
		if (v != rows[i].want)
			fail_msg("%s: %s", rows[i].why, signature_verdict_text(v));
		signature_checker_free(c);
	}
}

/* The legacy length is that of the bytes, or of the JSON as Python's json.dumps(sort_keys=True)
 * writes it. */
static void lengths(void **state)
{
	static const struct {
		const char *body;
		size_t length;
		bool ok;
		const char *why;
	} rows[] = {
		{ "{\"b\":1,\"a\":\"x\"}", 15, true, "its bytes" },
		{ "{\"b\":1,\"a\":\"x\"}", 18, true, "written again with spaces" },
		{ "{\"b\":1,\"a\":\"x\"}", 17, false, "neither" },
		{ "{\"a\":\"\xc3\xa9\"}", 15, true, "e acute becomes \\u00e9" },
		{ "{\"a\":\"\xf0\x9f\x98\x80\"}", 21, true, "a surrogate pair" },
		{ "", 0, true, "nothing" },
		{ "no json", 7, true, "its bytes, whatever they are" },
		{ "no json", 9, false, "nothing to write again" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct signature_checker *c = checker(60);
		char hex[SIGNATURE_HEX_LEN + 1], filler[64];
		struct signed_request r = request(hex, SIGNATURE_LENGTH);

		/* Signed by its length alone: any body of that length will do. */
		memset(filler, 'x', sizeof filler);
		r.body = (struct str){ filler, rows[i].length };
		signature_make(hex, SIGNATURE_LENGTH, KEY, sizeof KEY - 1, &r);
		r.body = str_of(rows[i].body);
		if ((signature_check(c, SIGNATURE_LENGTH, &r, false, NOW) == SIGNATURE_OK) !=
		    rows[i].ok)
			fail_msg("row %zu: %s", i, rows[i].why);
		signature_checker_free(c);
	}
}

/* Calls that take no body are signed with a length of 0, also by clients that send "{}". */
static void bodies_ignored(void **state)
{
	static const struct {
		bool ignores;
		const char *signed_body, *body;
		enum signature_verdict want, again;
		const char *why;
	} rows[] = {
		{ true, "", "{}", SIGNATURE_OK, SIGNATURE_REPLAYED, "signed as none" },
		{ true, "{}", "{}", SIGNATURE_OK, SIGNATURE_REPLAYED, "signed as it is" },
		{ true, "{", "{}", SIGNATURE_WRONG, SIGNATURE_WRONG, "another length" },
		{ false, "", "{}", SIGNATURE_WRONG, SIGNATURE_WRONG, "the body counts" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct signature_checker *c = checker(60);
		char hex[SIGNATURE_HEX_LEN + 1];
		struct signed_request r = request(hex, SIGNATURE_LENGTH);

		r.ignores_body = rows[i].ignores;
		r.body = str_of(rows[i].signed_body);
		signature_make(hex, SIGNATURE_LENGTH, KEY, sizeof KEY - 1, &r);
		r.body = str_of(rows[i].body);
		if (signature_check(c, SIGNATURE_LENGTH, &r, false, NOW) != rows[i].want)
			fail_msg("%s", rows[i].why);
		if (!*rows[i].signed_body)
			r.body = STR("[]"); /* a copy with another body is a copy */
		if (signature_check(c, SIGNATURE_LENGTH, &r, false, NOW) != rows[i].again)
			fail_msg("%s, again", rows[i].why);
		signature_checker_free(c);
	}
}

static void no_request_twice(void **state)
{
	(void)state;
	for (int form = 0; form < 3; form++) {
		struct signature_checker *c = checker(60);
		char hex[SIGNATURE_HEX_LEN + 1];
		struct signed_request r = request(hex, (enum signature_form)form), other = r;
		enum signature_form f = (enum signature_form)form;

		assert_int_equal(signature_check(c, f, &r, false, NOW - 60), SIGNATURE_OK);
		assert_int_equal(signature_check(c, f, &r, false, NOW - 60), SIGNATURE_REPLAYED);
		/* To the end of the window, whenever the first one came. */
		assert_int_equal(signature_check(c, f, &r, false, NOW + 60), SIGNATURE_REPLAYED);
		assert_int_equal(signature_check(c, f, &r, false, NOW + 61), SIGNATURE_OLD);
		if (f != SIGNATURE_LENGTH) {
			signature_checker_free(c);
			continue;
		}
		/* Two requests of one second and one length have one signature. */
		other.body = STR("{\"b\": 2, \"a\": \"x\"}");
		assert_int_equal(signature_check(c, f, &other, false, NOW), SIGNATURE_OK);
		assert_int_equal(signature_check(c, f, &other, false, NOW), SIGNATURE_REPLAYED);
		signature_checker_free(c);
	}
}

/* Clients of the older forms send the same text when they ask twice within a second; a copy of it
 * that comes later is somebody else's. */
static void questions_again(void **state)
{
	static const struct {
		enum signature_form form;
		int64_t after_s;
		enum signature_verdict want;
	} rows[] = {
		{ SIGNATURE_LENGTH, 0, SIGNATURE_OK },
		{ SIGNATURE_LENGTH, 5, SIGNATURE_OK },
		{ SIGNATURE_LENGTH, 6, SIGNATURE_REPLAYED },
		{ SIGNATURE_LENGTH, 60, SIGNATURE_REPLAYED },
		{ SIGNATURE_LENGTH, 61, SIGNATURE_OLD },
		{ SIGNATURE_AGENT, 5, SIGNATURE_OK },
		{ SIGNATURE_AGENT, 6, SIGNATURE_REPLAYED },
		{ SIGNATURE_WHOLE, 0, SIGNATURE_REPLAYED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct signature_checker *c = checker(60);
		char hex[SIGNATURE_HEX_LEN + 1];
		struct signed_request r = request(hex, rows[i].form);

		r.method = STR("GET");
		signature_make(hex, rows[i].form, KEY, sizeof KEY - 1, &r);
		assert_int_equal(signature_check(c, rows[i].form, &r, true, NOW), SIGNATURE_OK);
		if (signature_check(c, rows[i].form, &r, true, NOW + rows[i].after_s) !=
		    rows[i].want)
			fail_msg("row %zu", i);
		/* With another path and query it counts as often, where those are not covered. */
		r.query = STR("again");
		if (rows[i].form == SIGNATURE_LENGTH)
			r.path = STR("/api/v1/ip-usage");
		if (rows[i].form != SIGNATURE_WHOLE)
			assert_int_equal(signature_check(c, rows[i].form, &r, true,
							 NOW + rows[i].after_s),
					 rows[i].want);
		signature_checker_free(c);
	}
}

/* Many requests: all are remembered, the memory is used again when their time is over. */
static void many(void **state)
{
	enum { MANY = 20000 };
	struct signature_checker *c = checker(60);
	char nonce[33], hex[SIGNATURE_HEX_LEN + 1];

	(void)state;
	for (int round = 0; round < 3; round++) {
		int64_t now = NOW + round * 200;
		char ts[24];

		(void)snprintf(ts, sizeof ts, "%lld", (long long)now);
		for (int i = 0; i < MANY; i++) {
			struct signed_request r = request(hex, SIGNATURE_WHOLE);

			(void)snprintf(nonce, sizeof nonce, "nonce-number-%05d", i);
			r.timestamp = str_of(ts);
			r.nonce = str_of(nonce);
			signature_make(hex, SIGNATURE_WHOLE, KEY, sizeof KEY - 1, &r);
			assert_int_equal(signature_check(c, SIGNATURE_WHOLE, &r, false, now),
					 SIGNATURE_OK);
			if (i % 100 == 0)
				assert_int_equal(signature_check(c, SIGNATURE_WHOLE, &r, false,
								 now),
						 SIGNATURE_REPLAYED);
		}
	}
	signature_checker_free(c);
}

static void bad_checkers(void **state)
{
	struct signature_checker *c = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(signature_checker_new(&c, "", 0, 60, &e), ERR_RANGE);
	assert_int_equal(signature_checker_new(&c, "k", 1, 0, &e), ERR_RANGE);
	assert_int_equal(signature_checker_new(&c, "k", 1, SIGNATURE_WINDOW_MAX_S + 1, &e),
			 ERR_RANGE);
	assert_null(c);
}

static int setup(void **state)
{
	(void)state;
	return crypto_init() ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),  cmocka_unit_test(what_is_covered),
		cmocka_unit_test(the_window),	  cmocka_unit_test(malformed),
		cmocka_unit_test(lengths),	  cmocka_unit_test(no_request_twice),
		cmocka_unit_test(bodies_ignored), cmocka_unit_test(questions_again),
		cmocka_unit_test(many),		  cmocka_unit_test(bad_checkers),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
