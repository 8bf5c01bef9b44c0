/* fuzz_text.c - numbers, addresses, encodings and escapes from any text: what is accepted must
 * come back from its own written form, and what is shown must be one safe line. */
#include "base/addr.h"
#include "base/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_numbers(struct str s)
{
	uint64_t v = 0;
	uint32_t w = 0;

	if (u64_parse(s, 5, UINT64_MAX - 5, &v))
		BUG_ON(v < 5 || v > UINT64_MAX - 5);
	if (u32_parse(s, 1, 65535, &w))
		BUG_ON(w < 1 || w > 65535 || v != (w < 5 ? 0 : w));
}

static void check_prefix(struct str s)
{
	char text[PREFIX_TEXT_MAX];
	struct ip_prefix p, again;
	struct ip_addr a;

	if (!ip_prefix_parse(s, &p))
		return;
	ip_prefix_format(text, &p);
	BUG_ON(!ip_prefix_parse(str_of(text), &again));
	BUG_ON(!ip_eq(&p.addr, &again.addr) || p.len != again.len);
	BUG_ON(!ip_prefix_contains(&p, &p.addr) || !ip_prefix_overlap(&p, &again));
	ip_prefix_mask(&again);
	BUG_ON(!ip_prefix_host(&p, 0, &a) || !ip_eq(&a, &again.addr));
	BUG_ON(ip_prefix_size(&p) < UINT64_MAX && ip_prefix_host(&p, ip_prefix_size(&p), &a));
}

static void check_endpoint(struct str s)
{
	char text[ENDPOINT_TEXT_MAX];
	struct endpoint e, again;
	struct sockaddr_storage ss;
	socklen_t len;

	if (!endpoint_parse(s, &e))
		return;
	endpoint_format(text, &e);
	BUG_ON(!endpoint_parse(str_of(text), &again) || !endpoint_eq(&e, &again));
	len = endpoint_to_sockaddr(&e, &ss);
	BUG_ON(!endpoint_from_sockaddr(&again, (const struct sockaddr *)&ss, len));
	BUG_ON(!endpoint_eq(&e, &again));
}

static void check_decoding(struct str s)
{
	uint8_t raw[64];
	char text[BASE64_LEN(64) + 1];

	for (size_t n = 0; n <= sizeof raw; n++) {
		if (base64_decode(raw, n, s)) {
			base64_encode(text, raw, n);
			BUG_ON(!str_eq(str_of(text), s)); /* canonical: one text for each value */
		}
		if (hex_decode(raw, n, s) && n <= sizeof raw / 2) {
			hex_encode(text, raw, n);
			BUG_ON(!str_eq_nocase(str_of(text), s));
		}
	}
}

static void check_encoding(struct str s)
{
	char text[BASE64_LEN(64) + 1];
	uint8_t raw[64];
	size_t n = MIN(s.n, sizeof raw);

	base64_encode(text, (const uint8_t *)s.p, n);
	BUG_ON(strlen(text) != BASE64_LEN(n));
	BUG_ON(!base64_decode(raw, n, str_of(text)) || (n && memcmp(raw, s.p, n) != 0));
}

static void check_shown(struct str s)
{
	struct buf b = { 0 };
	char text[48];
	uint32_t cp;

	buf_escaped(&b, s);
	BUG_ON(!buf_ok(&b) || !utf8_valid(buf_view(&b)));
	for (size_t i = 0; i < b.n; i++)
		BUG_ON((unsigned char)b.p[i] < 0x20 || b.p[i] == 0x7f);
	buf_done(&b);
	text_escaped(text, sizeof text, s);
	BUG_ON(!utf8_valid(str_of(text)));
	BUG_ON(utf8_next(s, &cp) > s.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct str s = { (const char *)data, len };

	check_numbers(s);
	check_prefix(s);
	check_endpoint(s);
	check_decoding(s);
	check_encoding(s);
	check_shown(s);
	return 0;
}
