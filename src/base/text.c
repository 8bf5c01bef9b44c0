#include "base/text.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq((struct str){ s.p, prefix.n }, prefix);
}

ptrdiff_t str_find_nocase(struct str s, struct str needle)
{
	for (size_t at = 0; needle.n <= s.n && at <= s.n - needle.n; at++) {
		if (needle.n == 0 || str_eq_nocase((struct str){ s.p + at, needle.n }, needle))
			return (ptrdiff_t)at;
	}
	return -1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.n && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool str_cut(struct str *rest, char sep, struct str *piece)
{
	const char *at;

	if (rest->n == 0)
		return false;
	at = memchr(rest->p, sep, rest->n);
	if (!at) {
		*piece = *rest;
		*rest = (struct str){ rest->p + rest->n, 0 };
		return true;
	}
	*piece = (struct str){ rest->p, (size_t)(at - rest->p) };
	rest->p = at + 1;
	rest->n -= piece->n + 1;
	return true;
}

bool str_copy(char *out, size_t cap, struct str s)
{
	if (cap == 0)
		return false;
	if (s.n >= cap) {
		out[0] = 0;
		return false;
	}
	if (s.n)
		memcpy(out, s.p, s.n);
	out[s.n] = 0;
	return true;
}

char *str_dup(struct str s)
{
	size_t size;
	char *z;

	if (!add_ok(s.n, 1, &size))
		return NULL;
	z = malloc(size);
	if (!z)
		return NULL;
	if (s.n)
		memcpy(z, s.p, s.n);
	z[s.n] = 0;
	return z;
}

bool u64_parse(struct str s, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool u32_parse(struct str s, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t v;

	if (!u64_parse(s, min, max, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

void wipe(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}

void buf_done(struct buf *b)
{
	if (b->p)
		wipe(b->p, b->cap);
	free(b->p);
	*b = (struct buf){ .limit = b->limit };
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->full = false;
	if (b->p)
		b->p[0] = 0;
}

/* Makes room for `n` more bytes and a NUL.  Not realloc, which may leave a copy of a key behind. */
static bool reserve(struct buf *b, size_t n)
{
	size_t limit = b->limit ? b->limit : BUF_LIMIT_DEFAULT;
	size_t need, cap;
	char *p;

	if (b->full)
		return false;
	if (n > limit || b->n > limit - n || !add_ok(b->n + n, 1, &need)) {
		b->full = true;
		return false;
	}
	if (need <= b->cap)
		return true;
	cap = MAX(need, b->cap > limit / 2 ? limit + 1 : MAX(b->cap * 2, (size_t)64));
	p = malloc(cap);
	if (!p) {
		b->full = true;
		return false;
	}
	if (b->p) {
		memcpy(p, b->p, b->n + 1);
		wipe(b->p, b->cap);
		free(b->p);
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	if (!reserve(b, n))
		return;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = 0;
}

void buf_str(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

void buf_z(struct buf *b, const char *z)
{
	buf_add(b, z, strlen(z));
}

void buf_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t room;
	int n;

	if (!reserve(b, 0))
		return;
	room = b->cap - b->n;
	va_copy(again, ap);
	n = vsnprintf(b->p + b->n, room, fmt, ap);
	if (n < 0 || !reserve(b, (size_t)n)) { /* room may be larger than the limit allows */
		b->full = true;
		b->p[b->n] = 0;
	} else {
		if ((size_t)n >= room)
			(void)vsnprintf(b->p + b->n, b->cap - b->n, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

/* RFC 3629: the shortest form only, no surrogates, nothing above U+10FFFF. */
size_t utf8_next(struct str s, uint32_t *code_point)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c, v;
	size_t n;

	if (s.n == 0)
		return 0;
	c = (unsigned char)s.p[0];
	if (c < 0x80) {
		*code_point = c;
		return 1;
	}
	n = c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc0 && c < 0xe0 ? 2 : 0;
	if (n == 0 || n > s.n)
		return 0;
	v = c & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		c = (unsigned char)s.p[i];
		if ((c & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (c & 0x3f);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*code_point = v;
	return n;
}

/* How many bytes of ASCII stand in front, counted by eights. */
static size_t ascii_run(struct str s)
{
	size_t n = 0;
	uint64_t w;

	for (; s.n - n >= sizeof w; n += sizeof w) {
		memcpy(&w, s.p + n, sizeof w);
		if (w & 0x8080808080808080)
			break;
	}
	return n;
}

bool utf8_valid(struct str s)
{
	uint32_t cp;

	while (s.n) {
		size_t n = ascii_run(s);

		if (n == 0)
			n = utf8_next(s, &cp);
		if (n == 0)
			return false;
		s.p += n;
		s.n -= n;
	}
	return true;
}

/* What a terminal could take for a command or a line break, or that turns the reading direction
 * of what follows: C0, DEL, C1, U+200E/F, U+2028..202E, U+2066..2069, U+FEFF. */
static bool is_tricky(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x200e || cp == 0x200f ||
	       (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff;
}

void buf_escaped(struct buf *b, struct str s)
{
	uint32_t cp = 0;

	while (s.n) {
		size_t n = utf8_next(s, &cp);

		if (n && !is_tricky(cp)) {
			buf_add(b, s.p, n);
		} else {
			n = MAX(n, (size_t)1);
			for (size_t i = 0; i < n; i++)
				buf_printf(b, "\\x%02x", (unsigned)(unsigned char)s.p[i]);
		}
		s.p += n;
		s.n -= n;
	}
}

void text_escaped(char *out, size_t cap, struct str s)
{
	struct buf b = { .limit = 4096 };

	BUG_ON(cap < sizeof "...");
	buf_escaped(&b, (struct str){ s.p, MIN(s.n, cap) });
	if (s.n <= cap && buf_ok(&b) && b.n < cap) {
		memcpy(out, b.p ? b.p : "", b.n + 1);
	} else {
		size_t n = MIN(b.n, cap - sizeof "...");

		while (n > 0 && n < b.n && ((unsigned char)b.p[n] & 0xc0) == 0x80)
			n--;
		if (n)
			memcpy(out, b.p, n);
		memcpy(out + n, "...", sizeof "...");
	}
	buf_done(&b);
}
