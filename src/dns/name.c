#include "dns/name.h"

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes one character of a label off the front of *s, an escaped one too. */
static bool char_take(struct str *s, uint8_t *out)
{
	size_t used = 1;
	unsigned v = (uint8_t)s->p[0];

	if (s->p[0] == '\\') {
		if (s->n >= 4 && is_digit(s->p[1]) && is_digit(s->p[2]) && is_digit(s->p[3])) {
			v = (unsigned)(s->p[1] - '0') * 100 + (unsigned)(s->p[2] - '0') * 10 +
			    (unsigned)(s->p[3] - '0');
			used = 4;
		} else if (s->n >= 2 && !is_digit(s->p[1])) {
			v = (uint8_t)s->p[1];
			used = 2;
		} else {
			return false;
		}
	}
	if (v > 255)
		return false;
	*out = (uint8_t)v;
	s->p += used;
	s->n -= used;
	return true;
}

/* One label up to its point or the end of the text. */
static bool label_take(struct dns_name *name, struct str *s)
{
	size_t at = name->n, n = 0;
	uint8_t c;

	while (s->n && s->p[0] != '.') {
		/* Room for this byte and the root. */
		if (!char_take(s, &c) || ++n > DNS_LABEL_MAX || at + n + 1 >= DNS_NAME_MAX)
			return false;
		name->b[at + n] = c;
	}
	if (n == 0)
		return false;
	name->b[at] = (uint8_t)n;
	name->n = (uint8_t)(at + n + 1);
	if (s->n) { /* the point */
		s->p++;
		s->n--;
	}
	return true;
}

bool dns_name_parse(struct dns_name *out, struct str text)
{
	struct dns_name name = { 0 };

	if (text.n == 0)
		return false;
	if (str_eq(text, STR(".")))
		text.n = 0;
	while (text.n) {
		if (!label_take(&name, &text))
			return false;
	}
	name.b[name.n++] = 0;
	*out = name;
	return true;
}

static size_t char_add(char *out, uint8_t c)
{
	if (c == '.' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	if (c > ' ' && c < 0x7f) {
		out[0] = (char)c;
		return 1;
	}
	out[0] = '\\';
	out[1] = (char)('0' + c / 100);
	out[2] = (char)('0' + c / 10 % 10);
	out[3] = (char)('0' + c % 10);
	return 4;
}

void dns_name_format(char out[DNS_NAME_TEXT_MAX], const struct dns_name *name)
{
	size_t n = 0;

	for (size_t at = 0; at < name->n && name->b[at]; at += (size_t)name->b[at] + 1) {
		if (at)
			out[n++] = '.';
		for (size_t i = 1; i <= name->b[at]; i++)
			n += char_add(out + n, name->b[at + i]);
	}
	if (n == 0 && name->n)
		out[n++] = '.';
	out[n] = 0;
}

/* Length bytes are below 'A', so that they are left alone. */
static bool bytes_eq(const uint8_t *a, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (lower(a[i]) != lower(b[i]))
			return false;
	}
	return true;
}

bool dns_name_eq(const struct dns_name *a, const struct dns_name *b)
{
	return a->n == b->n && bytes_eq(a->b, b->b, a->n);
}

bool dns_name_in(const struct dns_name *name, const struct dns_name *zone)
{
	for (size_t at = 0; at < name->n; at += (size_t)name->b[at] + 1) {
		if ((size_t)name->n - at == zone->n)
			return bytes_eq(name->b + at, zone->b, zone->n);
	}
	return false;
}

static bool is_alnum(uint8_t c)
{
	return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
}

static bool label_is_host(const uint8_t *label, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_alnum(label[i]) && (label[i] != '-' || i == 0 || i == n - 1))
			return false;
	}
	return true;
}

bool dns_name_is_host(const struct dns_name *name)
{
	if (name->n < 2)
		return false;
	for (size_t at = 0; name->b[at]; at += (size_t)name->b[at] + 1) {
		if (!label_is_host(name->b + at + 1, name->b[at]))
			return false;
	}
	return true;
}
