#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/message.h"

static struct dns_name name_of(const char *text)
{
	struct dns_name name;

	assert_true(dns_name_parse(&name, str_of(text)));
	return name;
}

static void name_is(const struct dns_name *name, const char *want)
{
	char text[DNS_NAME_TEXT_MAX];

	dns_name_format(text, name);
	assert_string_equal(text, want);
}

/* ---- what is refused ---- */

#define HEAD(q, an, ns, ar) "\x12\x34\x81\x80\0" q "\0" an "\0" ns "\0" ar
#define QUESTION "\1a\1b\0\0\1\0\1" /* at 12; a.b is 5 bytes, b stands at 14 */
#define RR(type, len) "\xc0\x0c\0" type "\0\1\0\0\0\x3c\0" len /* a.b, class IN, TTL 60 */

#define BYTES(lit) (lit), sizeof(lit) - 1

static const struct {
	const char *bytes;
	size_t n;
	bool good;
	const char *why;
} rows[] = {
	{ BYTES(HEAD("\0", "\0", "\0", "\0")), true, "a header alone" },
	{ "\x12\x34\x81\x80\0\0\0\0\0\0\0", 11, false, "a header cut off" },
	{ BYTES(""), false, "nothing" },
	{ BYTES(HEAD("\1", "\0", "\0", "\0") QUESTION), true, "a question" },
	{ BYTES(HEAD("\1", "\0", "\0", "\0") QUESTION "x"), false, "a byte behind it" },
	{ BYTES(HEAD("\2", "\0", "\0", "\0") QUESTION), false, "a question too few" },
	{ BYTES(HEAD("\1", "\0", "\0", "\0") "\1a\1b\0\0\1\0"), false, "a class cut off" },
	{ BYTES(HEAD("\1", "\0", "\0", "\0") "\xc0\x0c\0\1\0\1"), false, "a pointer to itself" },
	{ BYTES(HEAD("\1", "\0", "\0", "\0") "\xc0\x0d\0\1\0\1"), false, "a pointer forwards" },
	{ BYTES(HEAD("\1", "\0", "\0", "\0") "\xc0\x02\0\1\0\1"), false, "into the header" },
	{ BYTES(HEAD("\1", "\0", "\0", "\0") "\1a\xc0\x0c\0\1\0\1"), false,
	  "a pointer to its own beginning" },
	{ BYTES(HEAD("\2", "\0", "\0", "\0") QUESTION "\1x\xc0\x0c\0\1\0\1"), true,
	  "a pointer back" },
	{ BYTES(HEAD("\2", "\0", "\0", "\0") QUESTION "\xc0\x0f\0\1\0\1"), false,
	  "a pointer into a label, whose bytes are no name" },
	{ BYTES(HEAD("\1", "\0", "\0", "\0") "\x40"
					     "a\0\0\1\0\1"),
	  false, "a length with the bits of RFC 2673" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\1", "\4") "\1\2\3\4"), true, "A" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\1", "\5") "\1\2\3\4\5"), false,
	  "A of five bytes" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\1", "\4") "\1\2\3"), false,
	  "data cut off" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\x1c", "\4") "\1\2\3\4"), false,
	  "AAAA of four bytes" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\5", "\2") "\xc0\x0e"), true, "CNAME" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\5", "\3") "\xc0\x0e\0"), false,
	  "a byte behind the name" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\5", "\1") "\1x\0"), false,
	  "a name that runs out of its data" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\x0f", "\4") "\0\xa\xc0\x0e"), true,
	  "MX" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\x0f", "\1") "\0"), false, "MX cut off" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\x10", "\4") "\1x\1y"), true, "TXT" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\x10", "\0")), false,
	  "TXT without a string" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\x10", "\2") "\2x"), false,
	  "a string that runs out of its data" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR("\x63", "\0")), true, "an unknown type" },
	{ BYTES(HEAD("\1", "\0", "\0", "\1") QUESTION "\0\0\x29\x04\xd0\0\0\0\0\0\0"), true,
	  "EDNS" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION "\0\0\x29\x04\xd0\0\0\0\0\0\0"), false,
	  "EDNS among the answers" },
	{ BYTES(HEAD("\1", "\0", "\0", "\2") QUESTION
		"\0\0\x29\x04\xd0\0\0\0\0\0\0\0\0\x29\x04\xd0\0\0\0\0\0\0"),
	  false, "EDNS twice" },
	{ BYTES(HEAD("\1", "\0", "\0", "\1") QUESTION "\1x\0\0\x29\x04\xd0\0\0\0\0\0\0"), false,
	  "EDNS of a name" },
	{ BYTES(HEAD("\1", "\0", "\0", "\1") QUESTION "\0\0\x29\x04\xd0\0\0\0\0\0\4\0\xa\0\0"),
	  true, "an option" },
	{ BYTES(HEAD("\1", "\0", "\0", "\1") QUESTION "\0\0\x29\x04\xd0\0\0\0\0\0\4\0\xa\0\1"),
	  false, "an option that runs out of its data" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0") QUESTION RR(
		  "\x06", "\x18") "\xc0\x0c\xc0\x0e\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5"),
	  true, "SOA" },
	{ BYTES(HEAD("\1", "\1", "\0", "\0")
			QUESTION RR("\x06",
				    "\x14") "\xc0\x0c\xc0\x0e\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4"),
	  false, "SOA cut off" },
};

static bool read_all(const void *p, size_t n)
{
	struct dns_header h;
	struct dns_question q;
	struct dns_record rr;
	struct dns_reader r = dns_read_begin(&h, p, n);

	while (dns_read_question(&r, &q))
		;
	while (dns_read_record(&r, &rr))
		;
	return dns_read_done(&r);
}

static void messages_are_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		/* A copy of its own, so that a byte behind it is seen by the sanitizer. */
		uint8_t *copy = malloc(rows[i].n ? rows[i].n : 1);

		assert_non_null(copy);
		if (rows[i].n)
			memcpy(copy, rows[i].bytes, rows[i].n);
		if (read_all(copy, rows[i].n) != rows[i].good)
			fail_msg("%s", rows[i].why);
		free(copy);
	}
}

/* Names of 255 bytes out of pieces of 3: each points to the one before. */
static void compression_ends(void **state)
{
	uint8_t m[DNS_HEADER_LEN + 5 + 4 * 200 + 4] = { 0 };
	struct dns_header h;
	struct dns_question q;
	struct dns_reader r;
	struct wr w = wr_over(m, sizeof m);

	(void)state;
	wr_zero(&w, DNS_HEADER_LEN);
	m[5] = 130;
	wr_bytes(&w, "\1a\0\0\1\0\1", 7);
	for (unsigned i = 0; i < 129; i++) { /* question i + 1 has i + 2 labels */
		size_t before = i ? DNS_HEADER_LEN + 7 + 8u * (i - 1) : DNS_HEADER_LEN;

		if (w.n + 8 > sizeof m)
			break;
		wr_bytes(&w, "\1a", 2);
		wr_be16(&w, (uint16_t)(0xc000u | before));
		wr_bytes(&w, "\0\1\0\1", 4);
	}
	r = dns_read_begin(&h, m, w.n);
	for (unsigned i = 0; dns_read_question(&r, &q); i++)
		assert_int_equal(q.name.n, 3 + 2 * i);
	assert_false(dns_read_done(&r));
}

/* ---- there and back ---- */

static struct dns_record record(enum dns_section section, const char *name, uint16_t type)
{
	return (struct dns_record){
		.section = section,
		.name = name_of(name),
		.type = type,
		.class = type == DNS_OPT ? 0 : DNS_CLASS_IN,
		.ttl = type == DNS_OPT ? 0 : 300,
	};
}

static size_t sample_write(uint8_t *out, size_t cap, size_t *written)
{
	const struct dns_header h = { .id = 0xbeef,
				      .response = true,
				      .recursion_desired = true,
				      .recursion_available = true,
				      .authentic = true,
				      .rcode = DNS_NXDOMAIN };
	const struct dns_question q = { name_of("WWW.example.com"), DNS_A, DNS_CLASS_IN };
	struct dns_writer w = dns_write_begin(out, cap, &h);
	struct dns_record rr;

	*written = dns_write_question(&w, &q);
	rr = record(DNS_ANSWER, "WWW.example.com", DNS_CNAME);
	rr.target = name_of("web.example.com");
	*written += dns_write_record(&w, &rr);
	rr = record(DNS_ANSWER, "web.example.com", DNS_A);
	rr.address = ip_v4((const uint8_t[]){ 192, 0, 2, 1 });
	*written += dns_write_record(&w, &rr);
	rr = record(DNS_ANSWER, "web.example.com", DNS_AAAA);
	rr.address = ip_v6((const uint8_t[16]){ 0x20, 1, 0xd, 0xb8, [15] = 1 });
	*written += dns_write_record(&w, &rr);
	rr = record(DNS_ANSWER, "example.com", DNS_MX);
	rr.mx.preference = 10;
	rr.mx.exchange = name_of("mail.example.com");
	*written += dns_write_record(&w, &rr);
	rr = record(DNS_ANSWER, "_sip._udp.example.com", DNS_SRV);
	rr.srv.port = 5060;
	rr.srv.target = name_of("sip.example.com");
	*written += dns_write_record(&w, &rr);
	rr = record(DNS_AUTHORITY, "example.com", DNS_SOA);
	rr.soa.primary = name_of("ns.example.com");
	rr.soa.mailbox = name_of("hostmaster.example.com");
	rr.soa.serial = 2026;
	rr.soa.minimum = 60;
	*written += dns_write_record(&w, &rr);
	rr = record(DNS_ADDITIONAL, "t.example.com", DNS_TXT);
	rr.data = (const uint8_t *)"\5hello\5world";
	rr.data_len = 12;
	*written += dns_write_record(&w, &rr);
	rr = record(DNS_ADDITIONAL, ".", DNS_OPT);
	rr.opt.udp_size = 1232;
	rr.opt.rcode_high = 1;
	rr.opt.dnssec_ok = true;
	rr.data = (const uint8_t *)"\0\12\0\2ab";
	rr.data_len = 6;
	*written += dns_write_record(&w, &rr);
	return dns_write_end(&w);
}

#define SAMPLE_PARTS 9

static void a_message_comes_back(void **state)
{
	uint8_t m[1024];
	struct dns_header h;
	struct dns_question q;
	struct dns_record rr;
	struct dns_reader r;
	struct str text;
	uint16_t code;
	size_t parts, at = 0, n = sample_write(m, sizeof m, &parts);

	(void)state;
	assert_int_equal(parts, SAMPLE_PARTS);
	r = dns_read_begin(&h, m, n);
	assert_int_equal(h.id, 0xbeef);
	assert_true(h.response && h.recursion_desired && h.recursion_available && h.authentic);
	assert_false(h.truncated || h.authoritative || h.checking_disabled);
	assert_int_equal(h.rcode, DNS_NXDOMAIN);
	assert_int_equal(h.questions, 1);
	assert_int_equal(h.answers, 5);
	assert_int_equal(h.authorities, 1);
	assert_int_equal(h.additionals, 2);
	assert_true(dns_read_question(&r, &q));
	name_is(&q.name, "WWW.example.com");
	assert_true(dns_read_record(&r, &rr));
	name_is(&rr.target, "web.example.com");
	assert_true(dns_read_record(&r, &rr));
	assert_int_equal(rr.address.b[3], 1);
	assert_int_equal(rr.ttl, 300);
	assert_true(dns_read_record(&r, &rr));
	assert_int_equal(rr.address.family, IP_V6);
	assert_true(dns_read_record(&r, &rr));
	assert_int_equal(rr.mx.preference, 10);
	name_is(&rr.mx.exchange, "mail.example.com");
	assert_true(dns_read_record(&r, &rr));
	assert_int_equal(rr.srv.port, 5060);
	name_is(&rr.srv.target, "sip.example.com");
	/* RFC 2782: not compressed. */
	assert_int_equal(rr.data_len, 6 + 17);
	assert_true(dns_read_record(&r, &rr));
	assert_int_equal(rr.section, DNS_AUTHORITY);
	name_is(&rr.soa.mailbox, "hostmaster.example.com");
	assert_int_equal(rr.soa.minimum, 60);
	assert_true(dns_read_record(&r, &rr));
	assert_true(dns_text_next(&rr, &at, &text) && str_eq(text, STR("hello")));
	assert_true(dns_text_next(&rr, &at, &text) && str_eq(text, STR("world")));
	assert_false(dns_text_next(&rr, &at, &text));
	assert_true(dns_read_record(&r, &rr));
	assert_int_equal(rr.opt.udp_size, 1232);
	assert_int_equal(rr.opt.rcode_high, 1);
	assert_true(rr.opt.dnssec_ok);
	at = 0;
	assert_true(dns_option_next(&rr, &at, &code, &text) && code == 10);
	assert_true(str_eq(text, STR("ab")));
	assert_false(dns_option_next(&rr, &at, &code, &text));
	assert_false(dns_read_record(&r, &rr));
	assert_true(dns_read_done(&r));
}

static void names_are_compressed(void **state)
{
	uint8_t m[512];
	const struct dns_header h = { 0 };
	struct dns_question q = { name_of("www.example.com"), DNS_A, DNS_CLASS_IN };
	struct dns_writer w = dns_write_begin(m, sizeof m, &h);
	struct dns_record rr = record(DNS_ANSWER, "mail.example.com", DNS_NS);

	(void)state;
	assert_true(dns_write_question(&w, &q));
	rr.target = name_of("MAIL.example.com"); /* another spelling: only its end is shared */
	assert_true(dns_write_record(&w, &rr));
	/* 12 | 17 + 4 | "mail" and a pointer, 10, "MAIL" and a pointer */
	assert_int_equal(dns_write_end(&w), 12 + 21 + 7 + 10 + 7);
	rr = record(DNS_ANSWER, "mail.example.com", DNS_A);
	assert_true(dns_write_record(&w, &rr));
	assert_int_equal(dns_write_end(&w), 12 + 21 + 7 + 10 + 7 + 2 + 10 + 4);
	assert_true(read_all(m, dns_write_end(&w)));
}

static void what_does_not_fit_leaves_no_trace(void **state)
{
	uint8_t m[1024];
	size_t parts, whole = sample_write(m, sizeof m, &parts);

	(void)state;
	for (size_t cap = 0; cap < whole; cap++) {
		uint8_t *small = malloc(cap ? cap : 1);
		size_t n;

		assert_non_null(small);
		n = sample_write(small, cap, &parts);
		assert_true(n <= cap && parts < SAMPLE_PARTS);
		assert_int_equal(n == 0, cap < DNS_HEADER_LEN);
		assert_true(n == 0 || read_all(small, n));
		free(small);
	}
}

static void sections_are_in_order(void **state)
{
	uint8_t m[512];
	struct dns_header h = { 0 };
	const struct dns_question q = { name_of("a"), DNS_A, DNS_CLASS_IN };
	struct dns_writer w = dns_write_begin(m, sizeof m, &h);
	struct dns_record rr = record(DNS_AUTHORITY, "a", DNS_A);

	(void)state;
	assert_true(dns_write_record(&w, &rr));
	assert_false(dns_write_question(&w, &q));
	rr.section = DNS_ANSWER;
	assert_false(dns_write_record(&w, &rr));
	rr.section = DNS_ADDITIONAL;
	rr.name = (struct dns_name){ 0 };
	assert_false(dns_write_record(&w, &rr)); /* no name */
	dns_write_truncated(&w);
	assert_true(read_all(m, dns_write_end(&w)));
	(void)dns_read_begin(&h, m, dns_write_end(&w));
	assert_true(h.truncated);
	assert_int_equal(h.authorities, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_checked),
		cmocka_unit_test(compression_ends),
		cmocka_unit_test(a_message_comes_back),
		cmocka_unit_test(names_are_compressed),
		cmocka_unit_test(what_does_not_fit_leaves_no_trace),
		cmocka_unit_test(sections_are_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
