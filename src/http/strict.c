#include "http/strict.h"

#define CHUNK_SIZE_DIGITS 8 /* up to 4 GiB: more than any limit */
#define CHUNK_EXTENSION_MAX 256

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool all_of(struct str s, const char *others)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && (s.p[i] == 0 || !strchr(others, s.p[i])))
			return false;
	}
	return s.n > 0;
}

bool http_is_token(struct str s)
{
	return all_of(s, "!#$%&'*+-.^_`|~");
}

bool http_is_host(struct str s)
{
	return all_of(s, "-._~:[]%");
}

bool http_is_field_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* ---- the head ---- */

struct check {
	struct http_head *head;
	unsigned status;
	unsigned hosts, lengths, encodings, expects, upgrades;
	bool says_close, says_keep_alive, says_upgrade;
};

static const char *refuse(struct check *c, unsigned status, const char *why)
{
	c->status = status;
	return why;
}

/* Takes a line off the front; CRLF is the only end of one. */
static const char *next_line(struct check *c, struct str *rest, struct str *line)
{
	const char *lf = memchr(rest->p, '\n', rest->n);
	size_t n = lf ? (size_t)(lf - rest->p) : 0;

	if (!lf)
		return refuse(c, 400, "the head is not whole");
	if (n == 0 || rest->p[n - 1] != '\r')
		return refuse(c, 400, "a line ends in LF without CR");
	*line = (struct str){ rest->p, n - 1 };
	rest->p += n + 1;
	rest->n -= n + 1;
	if (memchr(line->p, '\r', line->n))
		return refuse(c, 400, "a line holds CR without LF");
	if (memchr(line->p, 0, line->n))
		return refuse(c, 400, "a line holds NUL");
	return NULL;
}

static const char *check_version(struct check *c, struct str version)
{
	if (str_eq(version, STR("HTTP/1.1")))
		c->head->version = 11;
	else if (str_eq(version, STR("HTTP/1.0")))
		c->head->version = 10;
	else if (version.n == 8 && str_starts(version, STR("HTTP/")) && is_digit(version.p[5]) &&
		 version.p[6] == '.' && is_digit(version.p[7]))
		return refuse(c, 505,
			      "only HTTP/1.1, HTTP/1.0 and, by ALPN, HTTP/2 are spoken here");
	else
		return refuse(c, 400, "the request line does not end in an HTTP version");
	return NULL;
}

static const char *check_target(struct check *c, struct str target)
{
	for (size_t i = 0; i < target.n; i++) {
		if (target.p[i] <= 0x20 || target.p[i] >= 0x7f)
			return refuse(c, 400,
				      "the request target holds a byte that must be escaped");
		if (target.p[i] == '#')
			return refuse(c, 400, "the request target holds a fragment");
	}
	return target.n ? NULL : refuse(c, 400, "the request target is empty");
}

static const char *check_request_line(struct check *c, struct str line)
{
	struct str rest = line;
	const char *why;

	/* Exactly one space each: whoever else reads this must see the same three words. */
	if (!str_cut(&rest, ' ', &c->head->method) || !http_is_token(c->head->method))
		return refuse(c, 400, "the request line does not begin with a method");
	if (!str_cut(&rest, ' ', &c->head->target))
		return refuse(c, 400, "the request line has no target");
	why = check_target(c, c->head->target);
	return why ? why : check_version(c, rest);
}

static const char *check_length(struct check *c, struct str value)
{
	if (c->lengths++)
		return refuse(c, 400, "Content-Length is there more than once");
	if (!u64_parse(value, 0, INT64_MAX, &c->head->length))
		return refuse(c, 400, "Content-Length is not a number");
	c->head->has_length = true;
	return NULL;
}

static const char *check_encoding(struct check *c, struct str value)
{
	if (c->encodings++)
		return refuse(c, 400, "Transfer-Encoding is there more than once");
	if (!str_eq_nocase(value, STR("chunked")))
		return refuse(c, 501, "the only Transfer-Encoding taken is \"chunked\"");
	c->head->chunked = true;
	return NULL;
}

static const char *check_host(struct check *c, struct str value)
{
	if (c->hosts++)
		return refuse(c, 400, "Host is there more than once");
	if (!http_is_host(value))
		return refuse(c, 400, "Host is not a host name or address with a port");
	c->head->host = value;
	return NULL;
}

static const char *check_expect(struct check *c, struct str value)
{
	if (c->expects++ || !str_eq_nocase(value, STR("100-continue")))
		return refuse(c, 417, "the only expectation met is \"100-continue\"");
	c->head->expect_continue = true;
	return NULL;
}

static const char *check_upgrade(struct check *c, struct str value)
{
	if (c->upgrades++)
		return refuse(c, 400, "Upgrade is there more than once");
	c->head->upgrade = value;
	return NULL;
}

static const char *check_connection(struct check *c, struct str value)
{
	struct str word;

	while (str_cut(&value, ',', &word)) {
		word = str_trim(word);
		if (word.n && !http_is_token(word))
			return refuse(c, 400, "Connection is not a list of names");
		c->says_close |= str_eq_nocase(word, STR("close"));
		c->says_keep_alive |= str_eq_nocase(word, STR("keep-alive"));
		c->says_upgrade |= str_eq_nocase(word, STR("upgrade"));
	}
	return NULL;
}

static const struct {
	struct str name;
	const char *(*check)(struct check *c, struct str value);
} checked_fields[] = {
	{ STR("content-length"), check_length },
	{ STR("transfer-encoding"), check_encoding },
	{ STR("host"), check_host },
	{ STR("connection"), check_connection },
	{ STR("expect"), check_expect },
	{ STR("upgrade"), check_upgrade },
};

static const char *check_field(struct check *c, struct str line)
{
	struct str value = line, name;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return refuse(c, 400, "a header is folded over two lines");
	if (!memchr(line.p, ':', line.n))
		return refuse(c, 400, "a header has no colon");
	if (!str_cut(&value, ':', &name) || !http_is_token(name))
		return refuse(c, 400,
			      "a header's name is empty or holds what no name may hold, such "
			      "as a space before the colon");
	if (!http_is_field_value(value))
		return refuse(c, 400, "a header's value holds a control character");
	value = str_trim(value);
	for (size_t i = 0; i < ARRAY_LEN(checked_fields); i++) {
		if (str_eq_nocase(name, checked_fields[i].name))
			return checked_fields[i].check(c, value);
	}
	return NULL;
}

/* What only all headers together tell. */
static const char *check_together(struct check *c)
{
	struct http_head *h = c->head;

	if (h->version == 11 && !c->hosts)
		return refuse(c, 400, "Host is missing");
	if (h->chunked && h->has_length)
		return refuse(c, 400, "Content-Length and Transfer-Encoding are both there");
	if (h->chunked && h->version == 10)
		return refuse(c, 400, "HTTP/1.0 has no Transfer-Encoding");
	h->keep_alive = !c->says_close && (h->version == 11 || c->says_keep_alive);
	h->expect_continue &= h->version == 11;
	if (!c->says_upgrade || h->version == 10)
		h->upgrade = (struct str){ 0 };
	return NULL;
}

const char *http_head_check(struct http_head *out, struct str head, size_t fields_max,
			    unsigned *status)
{
	struct check c = { .head = out };
	struct str rest = head, line = { 0 };
	const char *why;

	*out = (struct http_head){ 0 };
	why = next_line(&c, &rest, &line);
	if (!why)
		why = check_request_line(&c, line);
	while (!why && !(why = next_line(&c, &rest, &line)) && line.n) {
		if (++out->fields > fields_max)
			why = refuse(&c, 431, "too many headers");
		else
			why = check_field(&c, line);
	}
	if (!why && rest.n)
		why = refuse(&c, 400, "there is something behind the head's end");
	if (!why)
		why = check_together(&c);
	*status = c.status;
	return why;
}

/* ---- chunks ---- */

enum chunk_state {
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_END_CR, /* of the empty line behind the last chunk */
	CHUNK_END_LF,
	CHUNK_OVER,
	CHUNK_BROKEN,
};

static const char *size_byte(struct http_chunks *c, char b)
{
	if (is_digit(b))
		c->left = c->left * 16 + (uint64_t)(b - '0');
	else if ((b >= 'a' && b <= 'f') || (b >= 'A' && b <= 'F'))
		c->left = c->left * 16 + (uint64_t)((b | 0x20) - 'a' + 10);
	else if (c->digits == 0)
		return "a chunk does not begin with its size";
	else if (b == ';')
		c->state = CHUNK_EXTENSION;
	else if (b == '\r')
		c->state = CHUNK_SIZE_LF;
	else
		return "a chunk's size holds what is no hexadecimal digit";
	if (c->state == CHUNK_SIZE && ++c->digits > CHUNK_SIZE_DIGITS)
		return "a chunk's size has more than 8 digits";
	return NULL;
}

static const char *extension_byte(struct http_chunks *c, char b)
{
	if (b == '\r')
		c->state = CHUNK_SIZE_LF;
	else if (!http_is_field_value((struct str){ &b, 1 }))
		return "a chunk's extension holds a control character";
	else if (++c->extension > CHUNK_EXTENSION_MAX)
		return "a chunk's extension is longer than 256 bytes";
	return NULL;
}

/* Each of these states waits for one byte. */
static const char *fixed_byte(struct http_chunks *c, char b)
{
	static const struct {
		char want;
		unsigned next;
		const char *why;
	} steps[] = {
		[CHUNK_SIZE_LF] = { '\n', CHUNK_DATA, "a chunk's size does not end in CRLF" },
		[CHUNK_DATA_CR] = { '\r', CHUNK_DATA_LF, "a chunk's data does not end in CRLF" },
		[CHUNK_DATA_LF] = { '\n', CHUNK_SIZE, "a chunk's data does not end in CRLF" },
		[CHUNK_END_CR] = { '\r', CHUNK_END_LF, "trailer fields are not taken" },
		[CHUNK_END_LF] = { '\n', CHUNK_OVER, "the last chunk does not end in CRLF" },
	};

	if (b != steps[c->state].want)
		return steps[c->state].why;
	if (c->state == CHUNK_SIZE_LF && c->left == 0)
		c->state = CHUNK_END_CR;
	else
		c->state = steps[c->state].next;
	if (c->state == CHUNK_SIZE)
		c->digits = c->extension = 0;
	return NULL;
}

static const char *chunk_byte(struct http_chunks *c, char b)
{
	switch (c->state) {
	case CHUNK_SIZE:
		return size_byte(c, b);
	case CHUNK_EXTENSION:
		return extension_byte(c, b);
	default:
		return fixed_byte(c, b);
	}
}

enum http_chunks_result http_chunks_check(struct http_chunks *c, struct str in, size_t *used,
					  const char **why)
{
	size_t i = 0;

	while (i < in.n && c->state < CHUNK_OVER) {
		if (c->state == CHUNK_DATA) {
			size_t n = in.n - i < c->left ? in.n - i : (size_t)c->left;

			i += n;
			c->left -= n;
			if (c->left == 0)
				c->state = CHUNK_DATA_CR;
			continue;
		}
		*why = chunk_byte(c, in.p[i]);
		if (*why)
			c->state = CHUNK_BROKEN;
		else
			i++;
	}
	*used = i;
	if (c->state == CHUNK_BROKEN)
		return HTTP_CHUNKS_BAD;
	return c->state == CHUNK_OVER ? HTTP_CHUNKS_DONE : HTTP_CHUNKS_MORE;
}
