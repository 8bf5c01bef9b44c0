#include "http/query.h"

#include "base/encode.h"

bool http_percent_decode(struct buf *out, struct str s, bool plus_is_space)
{
	size_t before = out->n;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t byte = (uint8_t)s.p[i];

		if (byte == '%') {
			if (s.n - i < 3 || !hex_decode(&byte, 1, (struct str){ s.p + i + 1, 2 }))
				goto bad;
			i += 2;
		} else if (byte == '+' && plus_is_space) {
			byte = ' ';
		}
		if (byte == 0)
			goto bad;
		buf_char(out, (char)byte);
	}
	if (!buf_ok(out) ||
	    (out->n > before && !utf8_valid((struct str){ out->p + before, out->n - before })))
		goto bad;
	return true;
bad:
	out->n = before;
	if (out->p)
		out->p[before] = 0;
	return false;
}

bool http_query_next(struct str *query, struct buf *key, struct buf *value, bool *bad)
{
	struct str pair, name;

	*bad = false;
	buf_clear(key);
	buf_clear(value);
	while (str_cut(query, '&', &pair)) {
		if (pair.n == 0)
			continue;
		if (!str_cut(&pair, '=', &name) || !http_percent_decode(key, name, true) ||
		    !http_percent_decode(value, pair, true)) {
			*bad = true;
			return false;
		}
		return true;
	}
	return false;
}

enum http_query_found http_query_get(struct str query, const char *name, struct buf *value)
{
	AUTO(buf_done) struct buf key = { 0 };
	AUTO(buf_done) struct buf other = { 0 };
	enum http_query_found found = HTTP_QUERY_NONE;
	bool bad = false;

	buf_clear(value);
	while (http_query_next(&query, &key, &other, &bad)) {
		if (!str_eq(buf_view(&key), str_of(name)))
			continue;
		if (found == HTTP_QUERY_ONE)
			return HTTP_QUERY_BAD;
		found = HTTP_QUERY_ONE;
		buf_str(value, buf_view(&other));
	}
	return bad || !buf_ok(value) ? HTTP_QUERY_BAD : found;
}
