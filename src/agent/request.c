/* What handlers share: the fields of a request's body, and answers as existing panels read them. */
#include "agent/inside.h"

#include "base/encode.h"
#include "base/log.h"

#define JSON_DEPTH_MAX 16

/* ---- answers ---- */

void agent_json(struct http_request *r, unsigned status, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

	if (text)
		http_respond_json(r, status, str_of(text));
	else
		http_respond_json(r, 500, STR("{\"error\":\"out of memory\"}"));
	json_decref(body);
	free(text); /* the allocator of main wipes it */
}

static void error_text(struct http_request *r, unsigned status, const char *text)
{
	agent_json(r, status, json_pack("{s:s}", "error", text));
}

void agent_error(struct http_request *r, unsigned status, const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	error_text(r, status, text);
}

void agent_fail(struct http_request *r, const struct err *e)
{
	unsigned status = 500;

	switch (e->code) {
	case ERR_INVALID:
	case ERR_RANGE:
	case ERR_MISSING:
		status = 400;
		break;
	case ERR_NOT_FOUND:
		status = 404;
		break;
	case ERR_EXISTS:
	case ERR_IN_USE:
	case ERR_UNSUPPORTED:
		status = 409;
		break;
	case ERR_FULL:
		status = 507;
		break;
	default:
		LOG_ERR("agent.failed", F_STR("route", r->route->pattern), F_ERR(e));
		break;
	}
	error_text(r, status, e->msg);
}

/* ---- requests ---- */

/* jansson goes as deep as its caller's text; nothing of ours is deeper than this. */
static bool is_shallow(struct str s)
{
	bool in_text = false;
	unsigned depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (in_text && c == '\\')
			i++;
		else if (c == '"')
			in_text = !in_text;
		else if (!in_text && (c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX)
			return false;
		else if (!in_text && (c == '}' || c == ']') && depth)
			depth--;
	}
	return true;
}

/* "name" or, required, "name*". */
static bool field_is(const char *field, const char *name, bool *required)
{
	size_t n = strlen(field);

	*required = n && field[n - 1] == '*';
	n -= *required;
	return strlen(name) == n && memcmp(field, name, n) == 0;
}

static bool field_known(const char *const *fields, const char *name)
{
	bool required;

	for (size_t i = 0; fields[i]; i++) {
		if (field_is(fields[i], name, &required))
			return true;
	}
	return false;
}

static bool fields_check(struct http_request *r, json_t *body, const char *const *fields)
{
	const char *name;
	json_t *v;
	char shown[64];

	json_object_foreach(body, name, v)
	{
		if (field_known(fields, name))
			continue;
		text_escaped(shown, sizeof shown, str_of(name));
		agent_error(r, 422, "%s: unknown field", shown);
		return false;
	}
	for (size_t i = 0; fields[i]; i++) {
		size_t n = strlen(fields[i]);

		if (fields[i][n - 1] != '*')
			continue;
		v = json_object_getn(body, fields[i], n - 1);
		if (v && !json_is_null(v))
			continue;
		agent_error(r, 422, "%.*s: field required", (int)n - 1, fields[i]);
		return false;
	}
	return true;
}

json_t *agent_body(struct http_request *r, const char *const *fields)
{
	json_error_t why;
	json_t *body = NULL;

	if (!is_shallow(r->body)) {
		agent_error(r, 422, "The body is nested deeper than %d", JSON_DEPTH_MAX);
		return NULL;
	}
	body = json_loadb(r->body.p ? r->body.p : "", r->body.n, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(body)) {
		agent_error(r, 422, "The body must be a JSON object%s%s", body ? "" : ": ",
			    body ? "" : "it cannot be read");
		json_decref(body);
		return NULL;
	}
	if (fields_check(r, body, fields))
		return body;
	json_decref(body);
	return NULL;
}

bool agent_text(struct http_request *r, const json_t *body, const char *name, size_t max,
		struct str *out)
{
	const json_t *v = json_object_get(body, name);

	*out = (struct str){ 0 };
	if (!v || json_is_null(v))
		return true;
	if (!json_is_string(v)) {
		agent_error(r, 422, "%s: must be a text", name);
		return false;
	}
	*out = (struct str){ json_string_value(v), json_string_length(v) };
	if (out->n > max) {
		agent_error(r, 422, "%s: has %zu bytes, at most %zu are taken", name, out->n, max);
		return false;
	}
	for (size_t i = 0; i < out->n; i++) {
		if ((unsigned char)out->p[i] >= 0x20 && out->p[i] != 0x7f)
			continue;
		agent_error(r, 422, "%s: control character \\x%02x at byte %zu", name,
			    (unsigned)(unsigned char)out->p[i], i);
		return false;
	}
	return true;
}

bool agent_number(struct http_request *r, const json_t *body, const char *name, uint32_t min,
		  uint32_t max, uint32_t *out, bool *found)
{
	const json_t *v = json_object_get(body, name);

	*found = v && !json_is_null(v);
	if (!*found)
		return true;
	if (json_is_integer(v) && json_integer_value(v) >= (json_int_t)min &&
	    json_integer_value(v) <= (json_int_t)max) {
		*out = (uint32_t)json_integer_value(v);
		return true;
	}
	agent_error(r, 422, "%s: must be a whole number from %u to %u", name, min, max);
	return false;
}

/* Panels put keys into paths as they are, percent-encoded, or in the alphabet for URLs. */
bool agent_key_parse(struct str s, struct public_key *out)
{
	char text[KEY_TEXT_MAX];

	if (s.n != KEY_TEXT_MAX - 1 && s.n != KEY_TEXT_MAX - 2)
		return false;
	memcpy(text, s.p, s.n);
	for (size_t i = 0; i < s.n; i++)
		text[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	if (s.n == KEY_TEXT_MAX - 2)
		text[KEY_TEXT_MAX - 2] = '=';
	return public_key_parse((struct str){ text, KEY_TEXT_MAX - 1 }, out);
}
