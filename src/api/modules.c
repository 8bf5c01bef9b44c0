#include "api/modules.h"

#include <inttypes.h>
#include <malloc.h>

#include "base/opt.h"

/* More names than this are not offered as "did you mean"; the table has some forty. */
#define NAMES_MAX 128
/* Of a word that is not known, in messages. */
#define SHOWN_MAX 64

const struct module api_modules[] = {
	{ "core", "clients, their configurations, the state of the gateway" },
	{ "dns", "the DNS servers that clients are given" },
	{ "net", "the host's network: what differs from what it should be" },
	{ 0 },
};

/* The name's own rule is client_name_check's: its failures have a code of their own. */
#define CLIENT_NAME_PARAM                                        \
	{                                                        \
		"client_name", PARAM_TEXT, true, 0, 0, NULL,     \
			"letters, digits, '_' and '-', up to 50" \
	}

#define NEW_SUBNET_HELP "private IPv4 network from /8 to /28, such as 10.9.0.0/24"

const struct action api_actions[] = {
	{ "core",
	  "add_client",
	  "make a client with keys and addresses of its own",
	  true,
	  { CLIENT_NAME_PARAM } },
	{ "core",
	  "remove_client",
	  "delete a client and cut it off at once",
	  true,
	  { CLIENT_NAME_PARAM } },
	{ "core",
	  "list_clients",
	  "list clients page by page, the oldest first",
	  false,
	  { { "page", PARAM_INT, false, 0, 0, "1", "page to show, moved to the first or last" },
	    { "per_page", PARAM_INT, false, 1, 1000, "10", "clients on a page" },
	    { "search", PARAM_TEXT, false, 0, 255, NULL, "only names that hold this text" } } },
	{ "core",
	  "export_client",
	  "show a client's configuration file, keys included",
	  false,
	  { CLIENT_NAME_PARAM } },
	{ "core",
	  "client_why",
	  "say whether a client is connected and why packets of it were dropped",
	  false,
	  { CLIENT_NAME_PARAM } },
	{ "core",
	  "client_limits",
	  "show the limits of a client and what it has used",
	  false,
	  { CLIENT_NAME_PARAM } },
	{ "core",
	  "set_client_limits",
	  "limit a client's speed, volume or time; what is not named stays",
	  true,
	  { CLIENT_NAME_PARAM,
	    { "rate_up", PARAM_TEXT, false, 0, 0, NULL,
	      "bits a second that it may send, such as 10M, or none" },
	    { "rate_down", PARAM_TEXT, false, 0, 0, NULL,
	      "bits a second that it may receive, or none" },
	    { "quota", PARAM_TEXT, false, 0, 0, NULL,
	      "bytes that it may send and receive together, such as 20G, from now on; +5G adds to "
	      "the present quota; or none" },
	    { "expires", PARAM_TEXT, false, 0, 0, NULL,
	      "when its access ends: 2026-12-31, 2026-12-31T18:00 (UTC), 30d, 12h, 90m, or "
	      "none" } } },
	{ "core",
	  "latest_clients",
	  "show the clients made last, the newest first",
	  false,
	  { { "count", PARAM_INT, false, 1, 1000, "5", "how many" } } },
	{ "core",
	  "server_status",
	  "show service, interface, clients and configuration",
	  false,
	  { { 0 } } },
	{ "core",
	  "get_tweak_settings",
	  "show the settings that change how actions work",
	  false,
	  { { 0 } } },
	{ "core",
	  "update_tweak_setting",
	  "change one of those settings",
	  true,
	  { { "setting_name", PARAM_TEXT, true, 0, 0, NULL, "name as get_tweak_settings shows it" },
	    { "value", PARAM_ANY, true, 0, 0, NULL, "true or false" } } },
	{ "core",
	  "service_logs",
	  "show the last lines of the gateway's log",
	  false,
	  { { "lines", PARAM_INT, false, 1, 1000, "50", "how many" } } },
	{ "core",
	  "restart_service",
	  "start the gateway anew; connections of clients survive it",
	  true,
	  { { 0 } } },
	{ "core",
	  "get_firewall_status",
	  "show packet filter, address translation and ports",
	  false,
	  { { 0 } } },
	{ "core",
	  "get_subnet_info",
	  "show the clients' network and who is in it",
	  false,
	  { { 0 } } },
	{ "core",
	  "validate_subnet_change",
	  "check a new network for the clients, and show each one's new address",
	  false,
	  { { "new_subnet", PARAM_TEXT, true, 1, 64, NULL, NEW_SUBNET_HELP } } },
	{ "core",
	  "change_subnet",
	  "move all clients to a new network; each needs its configuration again",
	  true,
	  { { "new_subnet", PARAM_TEXT, true, 1, 64, NULL, NEW_SUBNET_HELP },
	    { "confirm", PARAM_BOOL, false, 0, 0, "false", "must be true" } } },
	{ "core",
	  "show_file",
	  "show what the reference keeps in a file, keys included",
	  false,
	  { { "name", PARAM_TEXT, true, 1, 64, NULL, "clients.db, phantom.json or wg_main.conf" } },
	  .local = true },
	{ "core",
	  "import_installation",
	  "take over a server that was there before, with its clients",
	  true,
	  { { "path", PARAM_TEXT, true, 1, 4095, NULL,
	      "directory with phantom.json and clients.db, or with files of wg-quick; or one "
	      "file" },
	    { "dry_run", PARAM_BOOL, false, 0, 0, "false",
	      "only show what would be imported, and what is against it" } },
	  .local = true },
	{ "dns",
	  "change_dns_servers",
	  "change the DNS servers in all configurations that are exported from now on",
	  true,
	  { { "primary", PARAM_TEXT, false, 0, 0, NULL, "IPv4 address; as it is when not given" },
	    { "secondary", PARAM_TEXT, false, 0, 0, NULL,
	      "IPv4 address; as it is when not given" } } },
	{ "dns",
	  "test_dns_servers",
	  "ask DNS servers for a name, and how long they take",
	  false,
	  { { "servers", PARAM_ANY, false, 0, 0, NULL,
	      "list of addresses, [\"9.9.9.9\"] or 9.9.9.9,1.1.1.1; the configured ones when not "
	      "given" },
	    { "domain", PARAM_TEXT, false, 1, 253, "google.com", "the name to ask for" } } },
	{ "dns",
	  "status",
	  "show the configured DNS servers and whether they answer",
	  false,
	  { { 0 } } },
	{ "dns", "get_dns_servers", "show the configured DNS servers", false, { { 0 } } },
	{ "net",
	  "diff",
	  "show what on the host's network is not as it should be",
	  false,
	  { { 0 } } },
	{ "net", "repair", "put right at once what is not as it should be", true, { { 0 } } },
	{ "net",
	  "status",
	  "show what was put right, and whether somebody undoes it",
	  false,
	  { { 0 } } },
	{ 0 },
};

static const char *const code_names[API_CODES] = {
	[API_OK] = "OK",
	[API_PHANTOM_ERROR] = "PHANTOM_ERROR",
	[API_CONFIG_ERROR] = "CONFIG_ERROR",
	[API_CONFIG_NOT_FOUND] = "CONFIG_NOT_FOUND",
	[API_CLIENT_ERROR] = "CLIENT_ERROR",
	[API_CLIENT_EXISTS] = "CLIENT_EXISTS",
	[API_CLIENT_NOT_FOUND] = "CLIENT_NOT_FOUND",
	[API_INVALID_CLIENT_NAME] = "INVALID_CLIENT_NAME",
	[API_SERVICE_ERROR] = "SERVICE_ERROR",
	[API_SERVICE_NOT_RUNNING] = "SERVICE_NOT_RUNNING",
	[API_SERVICE_OPERATION_FAILED] = "SERVICE_OPERATION_FAILED",
	[API_NETWORK_ERROR] = "NETWORK_ERROR",
	[API_IP_ALLOCATION_ERROR] = "IP_ALLOCATION_ERROR",
	[API_PORT_IN_USE] = "PORT_IN_USE",
	[API_MODULE_ERROR] = "MODULE_ERROR",
	[API_MODULE_NOT_FOUND] = "MODULE_NOT_FOUND",
	[API_ACTION_NOT_FOUND] = "ACTION_NOT_FOUND",
	[API_VALIDATION_ERROR] = "VALIDATION_ERROR",
	[API_MISSING_PARAMETER] = "MISSING_PARAMETER",
	[API_INVALID_PARAMETER] = "INVALID_PARAMETER",
	[API_PERMISSION_ERROR] = "PERMISSION_ERROR",
	[API_INSUFFICIENT_PRIVILEGES] = "INSUFFICIENT_PRIVILEGES",
	[API_INTERNAL_ERROR] = "INTERNAL_ERROR",
};

const char *api_code_name(enum api_code c)
{
	return (unsigned)c < API_CODES ? code_names[c] : code_names[API_INTERNAL_ERROR];
}

const struct action *api_action_find(struct str module, struct str name)
{
	for (const struct action *a = api_actions; a->module; a++) {
		if (str_eq(module, str_of(a->module)) && str_eq(name, str_of(a->name)))
			return a;
	}
	return NULL;
}

bool api_module_known(struct str module)
{
	for (const struct module *m = api_modules; m->name; m++) {
		if (str_eq(module, str_of(m->name)))
			return true;
	}
	return false;
}

const char *api_module_nearest(struct str got)
{
	const char *names[NAMES_MAX];
	size_t n = 0;

	for (const struct module *m = api_modules; m->name && n < NAMES_MAX; m++)
		names[n++] = m->name;
	return opt_nearest(got, names, n);
}

const char *api_action_nearest(struct str module, struct str got)
{
	const char *names[NAMES_MAX];
	size_t n = 0;

	for (const struct action *a = api_actions; a->module && n < NAMES_MAX; a++)
		if (str_eq(module, str_of(a->module)))
			names[n++] = a->name;
	return opt_nearest(got, names, n);
}

/* A name more, for the message and for the envelope. */
static void name_list(struct buf *text, json_t *list, const char *name)
{
	buf_printf(text, "%s%s", text->n ? ", " : "", name);
	(void)json_array_append_new(list, json_string(name));
}

/* " did you mean 'x'?", or nothing. */
static void nearest_add(struct buf *out, const char *near)
{
	if (near)
		buf_printf(out, " did you mean '%s'?", near);
}

enum err_code api_not_found(struct str module, struct str action, enum api_code *code,
			    json_t **data, struct err *e)
{
	AUTO(buf_done) struct buf text = { 0 }, near = { 0 };
	bool known = api_module_known(module);
	char where[SHOWN_MAX], shown[SHOWN_MAX];
	json_t *list = json_array();

	text_escaped(where, sizeof where, module);
	text_escaped(shown, sizeof shown, action);
	*code = known ? API_ACTION_NOT_FOUND : API_MODULE_NOT_FOUND;
	if (!known) {
		for (const struct module *m = api_modules; m->name; m++)
			name_list(&text, list, m->name);
		*data = json_pack("{s:o}", "available_modules", list);
		nearest_add(&near, api_module_nearest(module));
		return err_set(e, ERR_NOT_FOUND, "there is no module '%s':%s available modules: %s",
			       where, buf_view(&near).p, buf_view(&text).p);
	}
	for (const struct action *a = api_actions; a->module; a++)
		if (str_eq(module, str_of(a->module)))
			name_list(&text, list, a->name);
	*data = json_pack("{s:o}", "available_actions", list);
	nearest_add(&near, api_action_nearest(module, action));
	return err_set(e, ERR_NOT_FOUND, "module %s has no action '%s':%s available actions: %s",
		       where, shown, buf_view(&near).p, buf_view(&text).p);
}

static void free_wiped(void *p)
{
	if (p)
		wipe(p, malloc_usable_size(p));
	free(p);
}

void api_json_init(void)
{
	json_set_alloc_funcs(malloc, free_wiped);
}

bool api_json_depth_ok(struct str text)
{
	bool quoted = false;
	size_t depth = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (quoted && c == '\\')
			i++; /* whatever it escapes does not end the string */
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '[' || c == '{') && ++depth > API_JSON_DEPTH_MAX)
			return false;
		else if (!quoted && (c == ']' || c == '}') && depth > 0)
			depth--;
	}
	return true;
}

json_t *api_value_from_text(const struct action_param *p, struct str text)
{
	json_t *value = NULL;

	/* The reference reads every value as JSON first: search=null asks for no search there. */
	if (p->type == PARAM_TEXT && !p->required && str_eq(text, STR("null")))
		return json_null();
	if (p->type != PARAM_TEXT && text.n && api_json_depth_ok(text))
		value = json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	return value ? value : json_stringn(text.p ? text.p : "", text.n);
}

/* A value as a message shows it. */
static void show(char out[64], const json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	text_escaped(out, 64, str_of(text ? text : "?"));
	free(text);
}

const struct action_param *api_param_find(const struct action *a, struct str name)
{
	for (const struct action_param *p = a->params; p->name; p++) {
		if (str_eq(name, str_of(p->name)))
			return p;
	}
	return NULL;
}

static enum err_code unknown_param(const struct action *a, struct str name, struct err *e)
{
	const char *names[ACTION_PARAMS_MAX];
	AUTO(buf_done) struct buf list = { 0 };
	char shown[64];
	const char *near;
	size_t n = 0;

	for (const struct action_param *p = a->params; p->name && n < ARRAY_LEN(names); p++) {
		buf_printf(&list, "%s%s", n ? ", " : "", p->name);
		names[n++] = p->name;
	}
	near = opt_nearest(name, names, n);
	text_escaped(shown, sizeof shown, name);
	if (near)
		return err_set(e, ERR_INVALID,
			       "%s %s has no parameter \"%s\": did you mean \"%s\"?", a->module,
			       a->name, shown, near);
	if (n == 0)
		return err_set(e, ERR_INVALID, "%s %s takes no parameters, but \"%s\" was given",
			       a->module, a->name, shown);
	return err_set(e, ERR_INVALID, "%s %s has no parameter \"%s\": it takes %s", a->module,
		       a->name, shown, buf_view(&list).p);
}

/* A text of digits: what was too large for an integer of JSON. */
static bool is_whole_number(const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text)
		return false;
	text += *text == '-';
	return *text && text[strspn(text, "0123456789")] == 0;
}

static enum err_code int_check(const struct action_param *p, const json_t *value, struct err *e)
{
	json_int_t v = json_integer_value(value);
	char shown[64];

	show(shown, value);
	if (is_whole_number(value)) /* and yet a text */
		return err_set(e, ERR_RANGE,
			       "%s: %s is too large: it must be between %" PRId64 " and %" PRId64,
			       p->name, shown, p->min < p->max ? p->min : INT64_MIN,
			       p->min < p->max ? p->max : INT64_MAX);
	if (!json_is_integer(value))
		return err_set(e, ERR_INVALID, "%s: %s is not a whole number", p->name, shown);
	if (p->min < p->max && (v < p->min || v > p->max))
		return err_set(e, ERR_RANGE, "%s: %s is not between %" PRId64 " and %" PRId64,
			       p->name, shown, p->min, p->max);
	return ERR_OK;
}

static enum err_code text_check(const struct action_param *p, const json_t *value, struct err *e)
{
	size_t n = json_string_length(value);
	char shown[64];

	show(shown, value);
	if (!json_is_string(value))
		return err_set(e, ERR_INVALID, "%s: %s is not a text", p->name, shown);
	if (strlen(json_string_value(value)) != n)
		return err_set(e, ERR_INVALID, "%s: %s holds a NUL character", p->name, shown);
	if (p->min < p->max && (n < (uint64_t)p->min || n > (uint64_t)p->max))
		return err_set(e, ERR_RANGE,
			       "%s: %s has %zu bytes, not between %" PRId64 " and %" PRId64,
			       p->name, shown, n, p->min, p->max);
	return ERR_OK;
}

static enum err_code value_check(const struct action_param *p, const json_t *value, struct err *e)
{
	char shown[64];

	switch (p->type) {
	case PARAM_TEXT:
		return text_check(p, value, e);
	case PARAM_INT:
		return int_check(p, value, e);
	case PARAM_BOOL:
		if (json_is_boolean(value))
			return ERR_OK;
		show(shown, value);
		return err_set(e, ERR_INVALID, "%s: %s is not true or false", p->name, shown);
	case PARAM_ANY:
		return ERR_OK;
	}
	return ERR_OK;
}

static enum err_code given_check(const struct action *a, json_t *params, enum api_code *code,
				 struct err *e)
{
	const char *name;
	json_t *value;

	*code = API_INVALID_PARAMETER;
	json_object_foreach(params, name, value)
	{
		if (!api_param_find(a, str_of(name)))
			return unknown_param(a, str_of(name), e);
	}
	for (const struct action_param *p = a->params; p->name; p++) {
		enum err_code rc;

		value = json_object_get(params, p->name);
		if (value && !json_is_null(value)) {
			rc = value_check(p, value, e);
			if (rc)
				return rc;
		} else if (p->required) {
			*code = API_MISSING_PARAMETER;
			return err_set(e, ERR_MISSING, "%s %s needs the parameter %s: %s",
				       a->module, a->name, p->name, p->help);
		}
	}
	return ERR_OK;
}

/* What is absent or null gets its default, or goes. */
static bool defaults_fill(const struct action *a, json_t *params)
{
	for (const struct action_param *p = a->params; p->name; p++) {
		const json_t *value = json_object_get(params, p->name);

		if (value && !json_is_null(value))
			continue;
		if (!p->fallback) {
			(void)json_object_del(params, p->name);
			continue;
		}
		if (json_object_set_new(params, p->name,
					api_value_from_text(p, str_of(p->fallback))) < 0)
			return false;
	}
	return true;
}

enum err_code api_params_check(const struct action *a, json_t *params, enum api_code *code,
			       struct err *e)
{
	enum err_code rc;

	*code = API_INVALID_PARAMETER;
	if (!json_is_object(params))
		return err_set(e, ERR_INVALID, "%s %s: the parameters are not an object", a->module,
			       a->name);
	rc = given_check(a, params, code, e);
	if (rc)
		return rc;
	if (!defaults_fill(a, params)) {
		*code = API_INTERNAL_ERROR;
		return err_set(e, ERR_NOMEM, "%s %s: no memory for the parameters", a->module,
			       a->name);
	}
	*code = API_OK;
	return ERR_OK;
}
