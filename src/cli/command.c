#include "cli/command.h"

#include "base/opt.h"

/* More names than this are not offered as "did you mean"; the table has some forty. */
#define NAMES_MAX 128
/* Of a wrong word, in messages. */
#define SHOWN_MAX 64

json_t *command_modules(void)
{
	json_t *list = json_array();

	for (const struct module *m = api_modules; m->name; m++)
		json_array_append_new(list, json_string(m->name));
	return list;
}

json_t *command_actions(struct str module)
{
	json_t *list = json_array();

	for (const struct action *a = api_actions; a->module; a++)
		if (str_eq(module, str_of(a->module)))
			json_array_append_new(list, json_string(a->name));
	return list;
}

const char *command_nearest_module(struct str got)
{
	const char *names[NAMES_MAX];
	size_t n = 0;

	for (const struct module *m = api_modules; m->name && n < NAMES_MAX; m++)
		names[n++] = m->name;
	return opt_nearest(got, names, n);
}

const char *command_nearest_action(struct str module, struct str got)
{
	const char *names[NAMES_MAX];
	size_t n = 0;

	for (const struct action *a = api_actions; a->module && n < NAMES_MAX; a++)
		if (str_eq(module, str_of(a->module)))
			names[n++] = a->name;
	return opt_nearest(got, names, n);
}

static void fault_set(struct command_fault *fault, enum api_code code, json_t *data)
{
	fault->code = code;
	fault->data = data;
}

static enum err_code module_unknown(const struct command *c, struct command_fault *fault,
				    struct err *e)
{
	const char *near = command_nearest_module(c->module);
	char shown[SHOWN_MAX];

	text_escaped(shown, sizeof shown, c->module);
	fault_set(fault, API_MODULE_NOT_FOUND,
		  json_pack("{s:o}", "available_modules", command_modules()));
	if (near)
		return err_set(e, ERR_NOT_FOUND, "there is no module '%s': did you mean '%s'?",
			       shown, near);
	return err_set(e, ERR_NOT_FOUND, "there is no module '%s': `qanat --help` lists them",
		       shown);
}

static enum err_code action_unknown(const struct command *c, struct command_fault *fault,
				    struct err *e)
{
	const char *near = command_nearest_action(c->module, c->action);
	char shown[SHOWN_MAX];

	text_escaped(shown, sizeof shown, c->action);
	fault_set(fault, API_ACTION_NOT_FOUND,
		  json_pack("{s:o}", "available_actions", command_actions(c->module)));
	if (near)
		return err_set(e, ERR_NOT_FOUND,
			       "module %.*s has no action '%s': did you mean '%s'?",
			       STR_ARG(c->module), shown, near);
	return err_set(e, ERR_NOT_FOUND,
		       "module %.*s has no action '%s': `qanat %.*s --help` lists them",
		       STR_ARG(c->module), shown, STR_ARG(c->module));
}

static const struct action_param *param_find(const struct action *a, struct str name)
{
	for (const struct action_param *p = a->params; p->name; p++)
		if (str_eq(name, str_of(p->name)))
			return p;
	return NULL;
}

/* An unknown key stays text: api_params_check names it and the nearest one. */
static enum err_code param_add(struct command *c, struct str key, struct str text, bool reference,
			       struct err *e)
{
	static const struct action_param plain = { .type = PARAM_TEXT };
	const struct action_param *p = param_find(c->spec, key);
	char *name = str_dup(key);
	json_t *value = api_value_from_text(p ? p : &plain, text);
	enum err_code rc = ERR_OK;

	if (!name)
		rc = err_set(e, ERR_NOMEM, "no memory for a parameter");
	else if (!value)
		rc = err_set(e, ERR_INVALID, "%.64s: the value is not valid UTF-8", name);
	else if (!reference && json_object_get(c->params, name))
		rc = err_set(e, ERR_INVALID, "%s is given twice", name);
	else if (json_object_set(c->params, name, value))
		rc = err_set(e, ERR_INVALID, "the name of a parameter is not valid UTF-8");
	json_decref(value);
	free(name);
	return rc;
}

static enum err_code params_read(struct command *c, size_t n, char *const *words, bool reference,
				 struct err *e)
{
	c->params = json_object();
	if (!c->params)
		return err_set(e, ERR_NOMEM, "no memory for the parameters");
	for (size_t i = 0; i < n; i++) {
		const char *equals = strchr(words[i], '=');
		char shown[SHOWN_MAX];
		enum err_code rc;

		if (!equals && reference)
			continue;
		text_escaped(shown, sizeof shown, str_of(words[i]));
		if (!equals || equals == words[i])
			return err_set(
				e, ERR_INVALID,
				"'%s' is not KEY=VALUE; `qanat %.*s %.*s --help` lists the keys",
				shown, STR_ARG(c->module), STR_ARG(c->action));
		rc = param_add(c, (struct str){ words[i], (size_t)(equals - words[i]) },
			       str_of(equals + 1), reference, e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

enum err_code command_parse(struct command *out, size_t n, char *const *words, bool reference,
			    struct command_fault *fault, struct err *e)
{
	enum err_code rc;

	*out = (struct command){ .module = str_of(words[0]), .action = str_of(words[1]) };
	*fault = (struct command_fault){ .code = API_INVALID_PARAMETER };
	if (!api_module_known(out->module))
		return module_unknown(out, fault, e);
	out->spec = api_action_find(out->module, out->action);
	if (!out->spec)
		return action_unknown(out, fault, e);
	rc = params_read(out, n - 2, words + 2, reference, e);
	if (rc)
		return rc;
	return api_params_check(out->spec, out->params, &fault->code, e);
}

void command_done(struct command *c)
{
	json_decref(c->params);
	*c = (struct command){ 0 };
}
