#include "cli/command.h"

/* Of a wrong word, in messages. */
#define SHOWN_MAX 64

/* An unknown key stays text: api_params_check names it and the nearest one. */
static enum err_code param_add(struct command *c, struct str key, struct str text, bool reference,
			       struct err *e)
{
	static const struct action_param plain = { .type = PARAM_TEXT };
	const struct action_param *p = api_param_find(c->spec, key);
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
				"'%s' is not KEY=VALUE; `%s %.*s %.*s --help` lists the keys",
				shown, reference ? REFERENCE_NAME : "qanat", STR_ARG(c->module),
				STR_ARG(c->action));
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
	out->spec = api_action_find(out->module, out->action);
	if (!out->spec)
		return api_not_found(out->module, out->action, &fault->code, &fault->data, e);
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
