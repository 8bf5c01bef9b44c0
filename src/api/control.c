#include "api/control.h"

#include "base/clock.h"

static enum err_code text_member(struct str *out, json_t *root, const char *key, struct err *e)
{
	const json_t *v = json_object_get(root, key);

	if (!v)
		return err_set(e, ERR_MISSING, "the request has no \"%s\"", key);
	if (!json_is_string(v) || json_string_length(v) == 0)
		return err_set(e, ERR_INVALID, "\"%s\" of the request is not a text", key);
	*out = (struct str){ json_string_value(v), json_string_length(v) };
	return ERR_OK;
}

static enum err_code members_known(json_t *root, struct err *e)
{
	const char *key;
	json_t *value;
	char shown[64];

	json_object_foreach(root, key, value)
	{
		if (strcmp(key, "module") == 0 || strcmp(key, "action") == 0 ||
		    strcmp(key, "params") == 0)
			continue;
		text_escaped(shown, sizeof shown, str_of(key));
		return err_set(e, ERR_INVALID, "the request has an unknown member \"%s\"", shown);
	}
	return ERR_OK;
}

/* Takes module, action and params out of the root; absent params become an empty object. */
static enum err_code members_read(struct control_request *r, struct err *e)
{
	enum err_code rc;

	if (!json_is_object(r->root))
		return err_set(e, ERR_INVALID, "the request is not a JSON object");
	rc = members_known(r->root, e);
	if (rc)
		return rc;
	rc = text_member(&r->module, r->root, "module", e);
	if (rc)
		return rc;
	rc = text_member(&r->action, r->root, "action", e);
	if (rc)
		return rc;
	if (!json_object_get(r->root, "params") &&
	    json_object_set_new(r->root, "params", json_object()) < 0)
		return err_set(e, ERR_NOMEM, "no memory for the request");
	r->params = json_object_get(r->root, "params");
	if (!json_is_object(r->params))
		return err_set(e, ERR_INVALID, "\"params\" of the request is not an object");
	return ERR_OK;
}

enum err_code control_request_parse(struct control_request *out, struct str line, struct err *e)
{
	struct control_request r = { 0 };
	enum err_code rc;
	json_error_t why;

	if (line.n > CONTROL_REQUEST_MAX)
		return err_set(e, ERR_RANGE, "the request has %zu bytes: at most %d are allowed",
			       line.n, CONTROL_REQUEST_MAX);
	if (!api_json_depth_ok(line))
		return err_set(e, ERR_RANGE, "the request nests deeper than %d levels",
			       API_JSON_DEPTH_MAX);
	/* jansson refuses NUL, escaped or not, and what is not UTF-8, by itself. */
	r.root = json_loadb(line.p ? line.p : "", line.n, JSON_REJECT_DUPLICATES, &why);
	if (!r.root) {
		char shown[sizeof why.text];

		text_escaped(shown, sizeof shown, str_of(why.text));
		return err_set(e, ERR_INVALID, "the request is not valid JSON at byte %d: %s",
			       why.position, shown);
	}
	rc = members_read(&r, e);
	if (rc) {
		control_request_done(&r);
		return rc;
	}
	*out = r;
	return ERR_OK;
}

void control_request_done(struct control_request *r)
{
	json_decref(r->root);
	*r = (struct control_request){ 0 };
}

/* Any text as JSON: what is not UTF-8 is shown escaped rather than lost. */
static json_t *text_json(struct str s)
{
	AUTO(buf_done) struct buf b = { 0 };

	if (utf8_valid(s))
		return json_stringn(s.p ? s.p : "", s.n);
	buf_escaped(&b, s);
	return buf_ok(&b) ? json_stringn(buf_view(&b).p, b.n) : NULL;
}

static int dump_chunk(const char *p, size_t n, void *out)
{
	buf_add(out, p, n);
	return buf_ok(out) ? 0 : -1;
}

enum err_code control_request_write(struct buf *out, struct str module, struct str action,
				    json_t *params, struct err *e)
{
	AUTO(buf_done) struct buf line = { .limit = CONTROL_REQUEST_MAX };
	json_t *root = json_object();
	bool ok = root && json_object_set_new(root, "module", text_json(module)) == 0 &&
		  json_object_set_new(root, "action", text_json(action)) == 0 &&
		  (params ? json_object_set(root, "params", params)
			  : json_object_set_new(root, "params", json_object())) == 0;

	if (!ok) {
		json_decref(root);
		return err_set(e, ERR_NOMEM, "no memory for the request");
	}
	ok = json_dump_callback(root, dump_chunk, &line, JSON_COMPACT) == 0 && buf_ok(&line);
	json_decref(root);
	if (!ok)
		return err_set(e, ERR_RANGE, "the request is longer than the %d bytes allowed",
			       CONTROL_REQUEST_MAX);
	buf_str(out, buf_view(&line));
	buf_char(out, '\n');
	return buf_ok(out) ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for the request");
}

/* {"success":…,"metadata":{…}}: the front of every envelope, in the reference's order. */
static json_t *envelope_new(bool success, struct str module, struct str action, int64_t wall_ns)
{
	json_t *root = json_object(), *metadata = json_object();
	char time[CLOCK_ISO_MAX];

	clock_iso_utc(time, wall_ns);
	if (root && metadata && json_object_set_new(metadata, "module", text_json(module)) == 0 &&
	    json_object_set_new(metadata, "action", text_json(action)) == 0 &&
	    json_object_set_new(metadata, "timestamp", json_string(time)) == 0 &&
	    json_object_set_new(metadata, "version", json_string(CONTROL_VERSION)) == 0 &&
	    json_object_set_new(root, "success", json_boolean(success)) == 0 &&
	    json_object_set(root, "metadata", metadata) == 0) {
		json_decref(metadata); /* root holds it */
		return root;
	}
	json_decref(metadata);
	json_decref(root);
	return NULL;
}

/* Adds `data` unless it is NULL; takes it over in any case. */
static bool add_data(json_t *root, json_t *data)
{
	return !data || json_object_set_new(root, "data", data) == 0;
}

json_t *envelope_success(struct str module, struct str action, int64_t wall_ns, json_t *data)
{
	json_t *root = envelope_new(true, module, action, wall_ns);

	if (!add_data(root, data)) {
		json_decref(root);
		return NULL;
	}
	return root;
}

json_t *envelope_failure(struct str module, struct str action, int64_t wall_ns, enum api_code code,
			 const char *message, json_t *data)
{
	json_t *root = envelope_new(false, module, action, wall_ns);
	bool ok = root && json_object_set_new(root, "error", text_json(str_of(message))) == 0 &&
		  json_object_set_new(root, "code", json_string(api_code_name(code))) == 0;

	if (!add_data(root, data) || !ok) {
		json_decref(root);
		return NULL;
	}
	return root;
}
