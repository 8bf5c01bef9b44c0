#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "packet/tests/packets.h"

static void checksums_by_the_book(void **state)
{
	static uint8_t bytes[4096 + 64];

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 167 + (i >> 7));
	for (size_t n = 0; n <= 1600; n++)
		for (size_t at = 0; at < 3; at++) {
			uint16_t want = (uint16_t)~book_sum(0, bytes + at, n);

			if (checksum_fold(checksum_add(0, bytes + at, n)) != want)
				fail_msg("%zu bytes at %zu", n, at);
		}
	for (size_t cut = 0; cut <= 4096; cut += 2) {
		uint64_t sum = checksum_add(checksum_add(0, bytes, cut), bytes + cut, 4096 - cut);

		assert_int_equal(checksum_fold(sum), (uint16_t)~book_sum(0, bytes, 4096));
	}
	memset(bytes, 0xff, sizeof bytes); /* carries everywhere */
	for (size_t n = 0; n <= 4096; n++)
		assert_int_equal(checksum_fold(checksum_add(UINT64_MAX, bytes, n)),
				 (uint16_t)~book_sum(0xffff, bytes, n));
}

static void checksum_of_rfc1071(void **state)
{
	/* RFC 1071 3: the sum of these is ddf2 */
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	uint64_t sum = 0;

	(void)state;
	assert_int_equal(checksum_fold(checksum_add(0, bytes, 8)), 0xffff ^ 0xddf2);
	sum = checksum_add_u32(checksum_add_u16(checksum_add_u16(sum, 0x0001), 0xf203), 0xf4f5f6f7);
	assert_int_equal(checksum_fold(sum), 0xffff ^ 0xddf2);
	assert_int_equal(checksum_fold(0), 0xffff);
}

static void views(void **state)
{
	static const struct {
		uint8_t first; /* byte 0 */
		uint16_t length; /* what the header's length field says */
		size_t given;
		bool want;
		const char *why;
	} rows[] = {
		{ 0x45, 20, 20, true, "an IPv4 header alone" },
		{ 0x45, 60, 64, true, "padding behind it" },
		{ 0x45, 61, 60, false, "longer than given" },
		{ 0x45, 19, 60, false, "shorter than its header" },
		{ 0x45, 20, 19, false, "cut in the header" },
		{ 0x44, 60, 60, false, "IHL below 5" },
		{ 0x4f, 60, 60, true, "40 bytes of options and nothing else" },
		{ 0x4f, 59, 60, false, "options cut off" },
		{ 0x60, 0, 40, true, "an IPv6 header alone" },
		{ 0x60, 20, 60, true, "IPv6" },
		{ 0x60, 21, 60, false, "IPv6 longer than given" },
		{ 0x60, 0, 39, false, "IPv6 cut in the header" },
		{ 0x55, 60, 60, false, "version 5" },
		{ 0x05, 60, 60, false, "version 0" },
		{ 0x45, 0, 0, false, "nothing" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t *p = calloc(1, rows[i].given ? rows[i].given : 1);
		uint8_t head[8] = { rows[i].first };
		struct ip_view v;

		assert_non_null(p);
		store_be16(head + (rows[i].first >> 4 == 6 ? IPV6_LEN : IPV4_LEN), rows[i].length);
		memcpy(p, head, MIN(sizeof head, rows[i].given));
		if (ip_view(&v, p, rows[i].given) != rows[i].want)
			fail_msg("%s", rows[i].why);
		free(p);
	}
}

static void view_fields(void **state)
{
	static uint8_t p[2000];
	struct ip_view v;
	size_t n;

	(void)state;
	n = packet_build(p, &(struct packet_spec){ .family = IP_V4, .protocol = 17, .payload = 9 });
	assert_true(ip_view(&v, p, n + 7));
	assert_int_equal(v.family, IP_V4);
	assert_int_equal(v.protocol, 17);
	assert_int_equal(v.tos, 2);
	assert_int_equal(v.header_len, 20);
	assert_int_equal(v.len, n);
	assert_ptr_equal(v.src, p + 12);
	assert_ptr_equal(v.dst, p + 16);
	n = packet_build(p, &(struct packet_spec){ .family = IP_V6, .protocol = 6, .payload = 9 });
	assert_true(ip_view(&v, p, n));
	assert_int_equal(v.family, IP_V6);
	assert_int_equal(v.protocol, 6);
	assert_int_equal(v.tos, 2);
	assert_int_equal(v.header_len, 40);
	assert_int_equal(v.len, n);
	assert_ptr_equal(v.src, p + 8);
	assert_ptr_equal(v.dst, p + 24);
}

#define DROP 9
static void ecn(void **state)
{
	/* RFC 6040 figure 4; 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE */
	static const uint8_t want[4][4] = {
		{ 0, 0, 0, DROP }, { 1, 1, 1, 3 }, { 2, 1, 2, 3 }, { 3, 3, 3, 3 }
	};
	static const uint8_t families[] = { IP_V4, IP_V6 };
	static uint8_t p[2000];

	(void)state;
	for (unsigned i = 0; i < 2 * 4 * 4 * 64; i++) {
		uint8_t family = families[i % 2], inner = i / 2 % 4, outer = i / 8 % 4;
		uint8_t dscp = (uint8_t)(i / 32);
		struct packet_spec spec = { .family = family, .protocol = 17, .payload = 9 };
		uint16_t version = family == IP_V4 ? 0x4500 : 0;
		struct ip_view v;
		size_t n = packet_build(p, &spec);
		bool kept;

		if (family == IP_V4)
			store_be16(p, (uint16_t)(version | dscp << 2 | inner));
		else
			store_be32(p, 0x60012345u | (uint32_t)(dscp << 2 | inner) << 20);
		book_fix(p, n);
		assert_true(ip_view(&v, p, n));
		assert_int_equal(v.tos, dscp << 2 | inner);
		assert_int_equal(ecn_encapsulate(v.tos), inner);
		kept = ecn_decapsulate(p, &v, outer);
		assert_int_equal(kept, want[inner][outer] != DROP);
		if (!kept)
			continue;
		assert_true(ip_view(&v, p, n));
		assert_int_equal(v.tos, dscp << 2 | want[inner][outer]);
		assert_true(book_right(p, n));
		if (family == IP_V6)
			assert_int_equal(load_be32(p) & 0xfffff, 0x12345);
	}
}

static void icmp_answers(void **state)
{
	static const struct {
		uint8_t family;
		enum icmp_error what;
		size_t payload;
		uint8_t type, code;
		uint32_t rest; /* bytes 4 to 7 */
		size_t len;
		const char *why;
	} rows[] = {
		{ IP_V4, ICMP_HOST_UNREACHABLE, 100, 3, 1, 0, 20 + 8 + 128, "quoted whole" },
		{ IP_V4, ICMP_NO_DESTINATION_ADDRESS, 1000, 3, 1, 0, 576, "RFC 1812: to 576" },
		{ IP_V4, ICMP_TOO_BIG, 1400, 3, 4, 1280, 576, "with the MTU" },
		{ IP_V6, ICMP_HOST_UNREACHABLE, 100, 1, 3, 0, 40 + 8 + 148, "quoted whole" },
		{ IP_V6, ICMP_NO_DESTINATION_ADDRESS, 1400, 1, 3, 0, 1280, "RFC 4443: to 1280" },
		{ IP_V6, ICMP_TOO_BIG, 1400, 2, 0, 1280, 1280, "with the MTU" },
	};
	static uint8_t p[2000], out[ICMP_ERROR_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct packet_spec spec = { .family = rows[i].family,
					    .protocol = 17,
					    .payload = rows[i].payload };
		size_t n = packet_build(p, &spec), l4 = rows[i].family == IP_V4 ? 20 : 40;
		size_t len = icmp_error(out, p, n, rows[i].what, 1280, NULL);
		struct ip_view v, asked;
		uint32_t sum;

		if (len != rows[i].len)
			fail_msg("%s: %zu bytes", rows[i].why, len);
		assert_true(ip_view(&v, out, len) && ip_view(&asked, p, n));
		assert_int_equal(v.len, len);
		assert_memory_equal(v.src, asked.dst, rows[i].family == IP_V4 ? 4 : 16);
		assert_memory_equal(v.dst, asked.src, rows[i].family == IP_V4 ? 4 : 16);
		assert_int_equal(out[l4], rows[i].type);
		assert_int_equal(out[l4 + 1], rows[i].code);
		assert_int_equal(load_be32(out + l4 + 4), rows[i].rest);
		assert_memory_equal(out + l4 + 8, p, len - l4 - 8);
		sum = rows[i].family == IP_V4 ? 0 : book_pseudo(out, len, l4, IP_PROTO_ICMPV6);
		assert_int_equal(book_sum(sum, out + l4, len - l4), 0xffff);
		if (rows[i].family == IP_V4)
			assert_int_equal(book_sum(0, out, l4), 0xffff);
		/* and it is never answered itself */
		memcpy(p, out, len);
		assert_int_equal(icmp_error(out, p, len, ICMP_HOST_UNREACHABLE, 0, NULL), 0);
	}
}

static void icmp_source(void **state)
{
	static uint8_t p[200], out[ICMP_ERROR_MAX];
	struct packet_spec spec = { .family = IP_V4, .protocol = 17, .payload = 9 };
	struct ip_addr from = { .family = IP_V4, .b = { 10, 8, 0, 1 } };
	struct ip_addr other = { .family = IP_V6 };
	size_t n = packet_build(p, &spec);

	(void)state;
	assert_true(icmp_error(out, p, n, ICMP_HOST_UNREACHABLE, 0, &from) > 0);
	assert_memory_equal(out + 12, from.b, 4);
	assert_true(icmp_error(out, p, n, ICMP_HOST_UNREACHABLE, 0, &other) > 0);
	assert_memory_equal(out + 12, p + 16, 4); /* of the other family: not used */
	from.family = IP_NONE;
	assert_true(icmp_error(out, p, n, ICMP_HOST_UNREACHABLE, 0, &from) > 0);
	assert_memory_equal(out + 12, p + 16, 4);
}

/* A change to an ordinary packet of 8 + 40 payload bytes, and whether it is answered. */
static void icmp_silence(void **state)
{
	static const struct {
		uint8_t family;
		uint8_t at, n;
		uint8_t bytes[16];
		enum icmp_error what;
		bool answered;
		const char *why;
	} rows[] = {
		{ IP_V4, 0, 0, { 0 }, ICMP_TOO_BIG, true, "as it was" },
		{ IP_V4, 6, 2, { 0x20, 0x00 }, ICMP_TOO_BIG, true, "the first fragment" },
		{ IP_V4, 6, 2, { 0x20, 0x01 }, ICMP_TOO_BIG, false, "a middle fragment" },
		{ IP_V4, 6, 2, { 0x00, 0x01 }, ICMP_TOO_BIG, false, "the last fragment" },
		{ IP_V4, 12, 4, { 0, 0, 0, 0 }, ICMP_TOO_BIG, false, "unspecified source" },
		{ IP_V4, 12, 4, { 224, 0, 0, 1 }, ICMP_TOO_BIG, false, "multicast source" },
		{ IP_V4, 12, 4, { 255, 255, 255, 255 }, ICMP_TOO_BIG, false, "broadcast source" },
		{ IP_V4, 12, 4, { 127, 0, 0, 1 }, ICMP_TOO_BIG, false, "loopback source" },
		{ IP_V4, 16, 4, { 239, 1, 1, 1 }, ICMP_TOO_BIG, false, "multicast destination" },
		{ IP_V4, 9, 1, { 1 }, ICMP_HOST_UNREACHABLE, true, "ICMP type 0: echo reply" },
		{ IP_V6, 0, 0, { 0 }, ICMP_TOO_BIG, true, "as it was" },
		{ IP_V6, 8, 1, { 0xff }, ICMP_TOO_BIG, false, "multicast source" },
		{ IP_V6, 8, 16, { 0 }, ICMP_TOO_BIG, false, "unspecified source" },
		{ IP_V6, 24, 1, { 0xff }, ICMP_HOST_UNREACHABLE, false, "multicast destination" },
		{ IP_V6, 24, 1, { 0xff }, ICMP_TOO_BIG, true, "RFC 4443 2.4 (e.3): except this" },
		{ IP_V6, 6, 1, { 58 }, ICMP_HOST_UNREACHABLE, false, "ICMPv6 type 0: an error" },
		{ IP_V6, 6, 1, { 44 }, ICMP_HOST_UNREACHABLE, false, "a later fragment" },
		{ IP_V6, 6, 1, { 60 }, ICMP_HOST_UNREACHABLE, false, "options that do not end" },
		{ IP_V6, 6, 1, { 59 }, ICMP_HOST_UNREACHABLE, true, "no next header" },
	};
	static uint8_t p[200], out[ICMP_ERROR_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct packet_spec spec = {
			.family = rows[i].family, .protocol = 17, .payload = 40, .port = 0x00ff
		};
		size_t n = packet_build(p, &spec);

		memcpy(p + rows[i].at, rows[i].bytes, rows[i].n);
		if ((icmp_error(out, p, n, rows[i].what, 1280, NULL) > 0) != rows[i].answered)
			fail_msg("%s", rows[i].why);
		assert_int_equal(icmp_error(out, p, n - 1, rows[i].what, 1280, NULL), 0);
	}
}

/* Behind a fragment header and options there is an ICMPv6 error, or an echo request. */
static void icmp_behind_extension_headers(void **state)
{
	static const uint8_t extensions[] = { 44, 0, 1, 4, 0,	0, 0, 0, /* hop-by-hop */
					      58, 0, 0, 1, 0xa, 0, 0, 0 }; /* fragment */
	static const struct {
		uint8_t type, offset;
		bool answered;
		const char *why;
	} rows[] = {
		{ 1, 0x01, false, "an error" },
		{ 128, 0x01, true, "an echo request" },
		{ 128, 0x09, false, "a later fragment, whatever its bytes look like" },
	};
	static uint8_t p[200], out[ICMP_ERROR_MAX];
	struct packet_spec spec = { .family = IP_V6, .protocol = 0, .payload = 40 };
	size_t n = packet_build(p, &spec);

	(void)state;
	memcpy(p + 40, extensions, sizeof extensions);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		p[51] = rows[i].offset;
		p[56] = rows[i].type;
		if ((icmp_error(out, p, n, ICMP_HOST_UNREACHABLE, 0, NULL) > 0) != rows[i].answered)
			fail_msg("%s", rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums_by_the_book),
		cmocka_unit_test(checksum_of_rfc1071),
		cmocka_unit_test(views),
		cmocka_unit_test(view_fields),
		cmocka_unit_test(ecn),
		cmocka_unit_test(icmp_answers),
		cmocka_unit_test(icmp_source),
		cmocka_unit_test(icmp_silence),
		cmocka_unit_test(icmp_behind_extension_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
