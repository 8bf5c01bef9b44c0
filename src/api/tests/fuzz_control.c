/* fuzz_control.c - the control socket's requests: what parses comes back from its own written
 * form, and checked parameters pass the check a second time unchanged. */
#include "api/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_params(const struct control_request *r)
{
	const struct action *a = api_action_find(r->module, r->action);
	json_t *before = json_deep_copy(r->params), *after;
	enum api_code code;
	struct err e = { 0 };

	if (!a) {
		json_decref(before);
		return;
	}
	if (api_params_check(a, r->params, &code, &e)) {
		BUG_ON(code != API_INVALID_PARAMETER && code != API_MISSING_PARAMETER);
		BUG_ON(!e.msg[0] || !utf8_valid(str_of(e.msg)));
		BUG_ON(!json_equal(before, r->params));
		json_decref(before);
		return;
	}
	BUG_ON(code != API_OK);
	for (const struct action_param *p = a->params; p->name; p++)
		BUG_ON((p->required || p->fallback) && !json_object_get(r->params, p->name));
	after = json_deep_copy(r->params);
	BUG_ON(api_params_check(a, r->params, &code, &e) != ERR_OK);
	BUG_ON(!json_equal(after, r->params));
	json_decref(after);
	json_decref(before);
}

static void check_round_trip(const struct control_request *r)
{
	AUTO(buf_done) struct buf line = { 0 };
	struct control_request again;
	struct err e = { 0 };

	/* Escapes may make the written form longer than what was read. */
	if (control_request_write(&line, r->module, r->action, r->params, &e)) {
		BUG_ON(e.code != ERR_RANGE);
		return;
	}
	BUG_ON(memchr(line.p, '\n', line.n) != line.p + line.n - 1);
	BUG_ON(control_request_parse(&again, (struct str){ line.p, line.n - 1 }, &e));
	BUG_ON(!str_eq(again.module, r->module) || !str_eq(again.action, r->action));
	BUG_ON(!json_equal(again.params, r->params));
	control_request_done(&again);
}

static void check_value(struct str text)
{
	const struct action_param p = { "x", PARAM_ANY };
	json_t *v = api_value_from_text(&p, text);

	BUG_ON(!v && utf8_valid(text));
	json_decref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct str line = { (const char *)data, len };
	struct control_request r;
	struct err e = { 0 };

	check_value(line);
	if (control_request_parse(&r, line, &e)) {
		BUG_ON(!e.msg[0] || !utf8_valid(str_of(e.msg)));
		return 0;
	}
	BUG_ON(!api_json_depth_ok(line) || len > CONTROL_REQUEST_MAX);
	check_round_trip(&r);
	check_params(&r);
	control_request_done(&r);
	return 0;
}
