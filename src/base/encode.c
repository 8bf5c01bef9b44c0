#include "base/encode.h"

#include "base/bytes.h"

/* All ones when lo <= v <= hi, else zero; no branch.  Arguments below 2^16: the differences
 * below then borrow into the top bit exactly when they are negative. */
static uint32_t in_range(uint32_t v, uint32_t lo, uint32_t hi)
{
	uint32_t outside = ((v - lo) | (hi - v)) >> 31;

	return outside - 1;
}

static char hex_digit(uint32_t v)
{
	return (char)(v + '0' + (in_range(v, 10, 15) & ('a' - '0' - 10)));
}

/* 0..15, with all ones in *bad for anything but a digit. */
static uint32_t hex_value(uint32_t c, uint32_t *bad)
{
	uint32_t digit = in_range(c, '0', '9');
	uint32_t lower = in_range(c, 'a', 'f');
	uint32_t upper = in_range(c, 'A', 'F');

	*bad |= ~(digit | lower | upper);
	return (digit & (c - '0')) | (lower & (c - 'a' + 10)) | (upper & (c - 'A' + 10));
}

void hex_encode(char *out, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		*out++ = hex_digit(p[i] >> 4);
		*out++ = hex_digit(p[i] & 15);
	}
	*out = 0;
}

bool hex_decode(uint8_t *out, size_t n, struct str s)
{
	uint32_t bad = 0;

	if (n > SIZE_MAX / 2 || s.n != HEX_LEN(n))
		return false;
	for (size_t i = 0; i < s.n; i++)
		(void)hex_value((uint8_t)s.p[i], &bad);
	if (bad)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint32_t high = hex_value((uint8_t)s.p[2 * i], &bad);

		out[i] = (uint8_t)(high << 4 | hex_value((uint8_t)s.p[2 * i + 1], &bad));
	}
	return true;
}

static char base64_digit(uint32_t v)
{
	uint32_t c = (in_range(v, 0, 25) & (v + 'A')) | (in_range(v, 26, 51) & (v - 26 + 'a')) |
		     (in_range(v, 52, 61) & (v - 52 + '0')) | (in_range(v, 62, 62) & '+') |
		     (in_range(v, 63, 63) & '/');

	return (char)c;
}

static uint32_t base64_value(char digit, uint32_t *bad)
{
	uint32_t c = (uint8_t)digit;
	uint32_t upper = in_range(c, 'A', 'Z'), lower = in_range(c, 'a', 'z');
	uint32_t number = in_range(c, '0', '9');
	uint32_t plus = in_range(c, '+', '+'), slash = in_range(c, '/', '/');

	*bad |= ~(upper | lower | number | plus | slash);
	return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (number & (c - '0' + 52)) |
	       (plus & 62) | (slash & 63);
}

/* Three bytes make four digits; a group of 1 or 2 bytes is filled up with '='. */
void base64_encode(char *out, const uint8_t *p, size_t n)
{
	while (n) {
		size_t m = MIN(n, (size_t)3);
		uint32_t v = (uint32_t)p[0] << 16 | (m > 1 ? (uint32_t)p[1] << 8 : 0) |
			     (m > 2 ? p[2] : 0u);

		for (size_t i = 0; i < 4; i++)
			*out++ = i <= m ? base64_digit(v >> (18 - 6 * i) & 63) : '=';
		p += m;
		n -= m;
	}
	*out = 0;
}

/* Decodes the four digits at `s` that stand for `m` bytes (1..3); the bits that no byte uses
 * must be zero (RFC 4648, 3.5). */
static uint32_t base64_group(const char *s, size_t m, uint32_t *bad)
{
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		v <<= 6;
		if (i <= m)
			v |= base64_value(s[i], bad);
		else
			*bad |= ~in_range((uint8_t)s[i], '=', '=');
	}
	*bad |= v & ((1u << (24 - 8 * m)) - 1);
	return v;
}

/* ---- sixteen digits at once ---- */

#define BLOCK 16 /* digits, of BLOCK_BYTES */
#define BLOCK_BYTES 12

typedef uint8_t digits __attribute__((vector_size(BLOCK)));

/* All ones where lo <= c <= hi.  Compiled to comparisons of all sixteen: no branch, no look-up. */
static inline digits within(digits c, uint8_t lo, uint8_t hi)
{
	return (digits)((c >= lo) & (c <= hi));
}

/* Their values, with all ones in *bad for each that is no digit. */
static inline digits block_values(const char *s, digits *bad)
{
	digits c, upper, lower, number, plus, slash;

	memcpy(&c, s, sizeof c);
	upper = within(c, 'A', 'Z');
	lower = within(c, 'a', 'z');
	number = within(c, '0', '9');
	plus = within(c, '+', '+');
	slash = within(c, '/', '/');
	*bad |= ~(upper | lower | number | plus | slash);
	return (upper & (c - 'A')) | (lower & (c - ('a' - 26))) | (number & (c + (52 - '0'))) |
	       (plus & 62) | (slash & 63);
}

/* Eight values of six bits become six bytes; neighbours are joined twice. */
static inline void pack_eight(uint8_t out[6], const uint8_t v[8])
{
	uint64_t x = load_be64(v);

	x = (x & 0x003f003f003f003f) | (x & 0x3f003f003f003f00) >> 2; /* 12 bits of each 16 */
	x = (x & 0x00000fff00000fff) | (x & 0x0fff00000fff0000) >> 4; /* 24 of each 32 */
	x = (x & 0x0000000000ffffff) | (x & 0x00ffffff00000000) >> 8; /* 48 */
	store_be32(out, (uint32_t)(x >> 16));
	store_be16(out + 4, (uint16_t)x);
}

/* True when `blocks` blocks hold nothing but digits. */
static bool blocks_check(const char *s, size_t blocks)
{
	digits bad = { 0 };
	uint8_t any = 0, each[BLOCK];

	for (size_t i = 0; i < blocks; i++)
		(void)block_values(s + i * BLOCK, &bad);
	memcpy(each, &bad, sizeof each);
	for (size_t i = 0; i < BLOCK; i++)
		any |= each[i];
	return !any;
}

static void blocks_decode(uint8_t *out, const char *s, size_t blocks)
{
	digits v, bad = { 0 };
	uint8_t values[BLOCK];

	for (size_t i = 0; i < blocks; i++, out += BLOCK_BYTES) {
		v = block_values(s + i * BLOCK, &bad);
		memcpy(values, &v, sizeof values);
		pack_eight(out, values);
		pack_eight(out + 6, values + 8);
	}
	wipe(values, sizeof values);
}

/* Whole blocks at once; the rest, with what fills up its last group, by groups. */
bool base64_decode(uint8_t *out, size_t n, struct str s)
{
	size_t blocks = n / BLOCK_BYTES, front = blocks * BLOCK;
	uint32_t bad = 0;

	if (n > SIZE_MAX / 4 || s.n != BASE64_LEN(n))
		return false;
	for (size_t i = front; i < s.n; i += 4)
		(void)base64_group(s.p + i, MIN(n - i / 4 * 3, (size_t)3), &bad);
	if (bad || !blocks_check(s.p, blocks))
		return false; /* before anything was written */
	blocks_decode(out, s.p, blocks);
	out += blocks * BLOCK_BYTES;
	for (size_t i = front; i < s.n; i += 4) {
		size_t m = MIN(n - i / 4 * 3, (size_t)3);
		uint32_t v = base64_group(s.p + i, m, &bad);

		for (size_t k = 0; k < m; k++)
			*out++ = (uint8_t)(v >> (16 - 8 * k));
	}
	return true;
}
