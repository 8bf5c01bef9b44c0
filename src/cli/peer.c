#include "cli/peer.h"

#include "api/modules.h"
#include "base/opt.h"

const struct peer_form peer_forms[] = {
	{ "why", "NAME", "say whether NAME is connected and why packets of it were dropped",
	  "client_why", NULL },
	{ "limit", "NAME [KEY=VALUE ...]", "limit NAME, or show its limits when nothing is named",
	  "set_client_limits", "client_limits" },
	{ 0 },
};

static const struct peer_form *form_find(const char *name)
{
	for (const struct peer_form *f = peer_forms; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static int form_unknown(const char *got)
{
	const char *names[8], *near;
	char shown[64];
	size_t n = 0;
	struct err e;

	for (const struct peer_form *f = peer_forms; f->name && n < ARRAY_LEN(names); f++)
		names[n++] = f->name;
	near = opt_nearest(str_of(got), names, n);
	text_escaped(shown, sizeof shown, str_of(got));
	if (near)
		err_set(&e, ERR_NOT_FOUND, "there is no command 'peer %s': did you mean 'peer %s'?",
			shown, near);
	else
		err_set(&e, ERR_NOT_FOUND,
			"there is no command 'peer %s': `qanat peer --help` says more", shown);
	return ask_usage(e.msg);
}

/* core ACTION client_name=NAME and what else was given. */
static int form_run(const struct ask *a, const struct peer_form *f, int n, char **words)
{
	bool bare = n == 1 && f->bare;
	struct buf module = { 0 }, action = { 0 }, name = { 0 };
	char **all = calloc((size_t)n + 2, sizeof *all);
	int status = CLI_FAILED;

	buf_z(&module, "core");
	buf_z(&action, bare ? f->bare : f->action);
	buf_printf(&name, "client_name=%s", words[0]);
	if (all && buf_ok(&module) && buf_ok(&action) && buf_ok(&name)) {
		all[0] = module.p;
		all[1] = action.p;
		all[2] = name.p;
		memcpy(all + 3, words + 1, (size_t)(n - 1) * sizeof *all);
		status = ask_run(a, (size_t)n + 2, all);
	} else {
		term_complain("no memory for the request");
	}
	free(all);
	buf_done(&module);
	buf_done(&action);
	buf_done(&name);
	return status;
}

int peer_run(const struct ask *a, int n, char **words)
{
	const struct peer_form *f;
	struct err e;

	if (n < 1)
		return ask_usage("say what about a peer: `qanat peer --help` lists it");
	f = form_find(words[0]);
	if (!f)
		return form_unknown(words[0]);
	if (n < 2 || strchr(words[1], '=')) {
		err_set(&e, ERR_MISSING, "name the client: qanat peer %s %s", f->name, f->usage);
		return ask_usage(e.msg);
	}
	return form_run(a, f, n - 1, words + 1);
}
