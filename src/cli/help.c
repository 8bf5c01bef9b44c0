#include "cli/help.h"

#include <inttypes.h>

#include "base/opt.h"
#include "cli/options.h"
#include "cli/peer.h"

static const char exit_text[] =
	"EXIT STATUS\n"
	"  0 when it was done; 1 when the answer says success: false, whether the gateway, the "
	"want "
	"of one or a wrong module, action or parameter is the reason; 2 for a wrong option, where "
	"there is no answer.\n"
	"  --compat-exit: " COMPAT_EXIT_HELP ".\n";

const char *help_param_type(const struct action_param *p)
{
	switch (p->type) {
	case PARAM_INT:
		return "NUMBER";
	case PARAM_BOOL:
		return "true|false";
	case PARAM_ANY:
		return "VALUE";
	case PARAM_TEXT:
	default:
		return "TEXT";
	}
}

static size_t name_width(const char *name, size_t width)
{
	return MAX(width, strlen(name));
}

static void actions_list(struct buf *out, struct str module)
{
	size_t width = 0;

	for (const struct action *a = api_actions; a->module; a++)
		if (str_eq(module, str_of(a->module)))
			width = name_width(a->name, width);
	for (const struct action *a = api_actions; a->module; a++)
		if (str_eq(module, str_of(a->module)))
			buf_printf(out, "  %-*s  %s\n", (int)width, a->name, a->help);
}

static const struct module *module_find(struct str name)
{
	for (const struct module *m = api_modules; m->name; m++)
		if (str_eq(name, str_of(m->name)))
			return m;
	return NULL;
}

void help_program(struct buf *out, const char *program)
{
	struct opt_program named = cli_program;

	named.name = program;
	opt_help(&named, out);
	buf_printf(out, "\nModules (`%s MODULE --help` says more):\n", program);
	for (const struct module *m = api_modules; m->name; m++)
		buf_printf(out, "  %-10s  %s\n", m->name, m->help);
	buf_z(out, "\nOther commands:\n"
		   "  serve       run a gateway in the foreground (`qanat serve --help`)\n"
		   "  peer        why a client's packets are dropped, and its limits (`qanat peer "
		   "--help`)\n"
		   "  completion  print a completion script: `qanat completion bash` or `zsh`\n");
}

static void peer_forms_list(struct buf *out, const char *indent)
{
	for (const struct peer_form *f = peer_forms; f->name; f++)
		buf_printf(out,
			   "%sqanat peer %s %s\n%s    %s; as `qanat core %s client_name=NAME`\n",
			   indent, f->name, f->usage, indent, f->help, f->action);
}

void help_peer(struct buf *out)
{
	const struct action *a = api_action_find(STR("core"), STR("set_client_limits"));

	buf_z(out, "peer: one client, in short forms\n\nUsage:\n");
	peer_forms_list(out, "  ");
	buf_z(out, "\nKeys of limit:\n");
	for (const struct action_param *p = a->params; p->name; p++)
		if (!p->required)
			buf_printf(out, "  %-9s  %s\n", p->name, p->help);
}

void help_completion(struct buf *out)
{
	buf_z(out, "completion: print a completion script for a shell\n\n"
		   "Usage: qanat completion bash|zsh\n\n"
		   "  bash  eval \"$(qanat completion bash)\"\n"
		   "  zsh   qanat completion zsh >DIR/_qanat, with DIR in $fpath\n");
}

void help_serve(struct buf *out)
{
	opt_help(&serve_program, out);
}

void help_module(struct buf *out, const char *program, struct str module)
{
	const struct module *m = module_find(module);

	if (m)
		buf_printf(out, "%s: %s\n", m->name, m->help);
	buf_printf(out, "\nUsage: %s %.*s ACTION [KEY=VALUE ...]\n\nActions:\n", program,
		   STR_ARG(module));
	actions_list(out, module);
	buf_printf(out, "\n`%s %.*s ACTION --help` explains one.\n", program, STR_ARG(module));
}

static void param_usage(struct buf *out, const struct action_param *p)
{
	buf_printf(out, p->required ? " %s=%s" : " [%s=%s]", p->name, help_param_type(p));
}

static void param_explain(struct buf *out, const struct action_param *p, size_t width)
{
	buf_printf(out, "  %-*s  %s", (int)width, p->name, p->help);
	if (p->type == PARAM_INT && p->max > p->min)
		buf_printf(out, "; %" PRId64 " to %" PRId64, p->min, p->max);
	if (p->type == PARAM_TEXT && p->max > 0)
		buf_printf(out, "; at most %" PRId64 " bytes", p->max);
	if (p->fallback)
		buf_printf(out, "; default %s", p->fallback);
	buf_z(out, p->required ? " (required)\n" : "\n");
}

void help_action(struct buf *out, const char *program, const struct action *a)
{
	size_t width = 0;

	buf_printf(out, "%s %s: %s\n\nUsage: %s %s %s", a->module, a->name, a->help, program,
		   a->module, a->name);
	for (const struct action_param *p = a->params; p->name; p++) {
		param_usage(out, p);
		width = name_width(p->name, width);
	}
	buf_char(out, '\n');
	if (a->params[0].name)
		buf_z(out, "\nParameters:\n");
	for (const struct action_param *p = a->params; p->name; p++)
		param_explain(out, p, width);
	if (strcmp(a->name, "export_client") == 0)
		buf_z(out, "\nOptions of this action:\n"
			   "  --qr         draw the configuration as a QR code\n"
			   "  --out FILE   write it to a new file, mode 0600 (-: standard output)\n"
			   "  --force      let --out replace a file that exists\n");
}

void help_reference(struct buf *out, const char *program)
{
	buf_printf(out, "Usage: %s <module> <action> [key=value ...]\n\nModules:\n", program);
	for (const struct module *m = api_modules; m->name; m++) {
		buf_printf(out, "%s: %s\n", m->name, m->help);
		actions_list(out, str_of(m->name));
	}
}

/* Begins with a capital and ends with a point: help texts do neither. */
static void man_sentence(struct buf *out, const char *text)
{
	int first = text[0] >= 'a' && text[0] <= 'z' ? text[0] - 'a' + 'A' : text[0];

	buf_printf(out, "  %c%s.\n", first, text[0] ? text + 1 : "");
}

static void man_action(struct buf *out, const struct action *a)
{
	buf_printf(out, "  `qanat %s %s`", a->module, a->name);
	for (const struct action_param *p = a->params; p->name; p++)
		param_usage(out, p);
	buf_z(out, "\n\n");
	man_sentence(out, a->help);
	for (const struct action_param *p = a->params; p->name; p++)
		buf_printf(out, "  `%s`: %s%s%s%s.\n", p->name, p->help,
			   p->fallback ? " (default " : "", p->fallback ? p->fallback : "",
			   p->fallback ? ")" : "");
	buf_char(out, '\n');
}

static void man_actions(struct buf *out)
{
	for (const struct module *m = api_modules; m->name; m++) {
		buf_printf(out, "MODULE %s\n", m->name);
		man_sentence(out, m->help);
		buf_char(out, '\n');
		for (const struct action *a = api_actions; a->module; a++)
			if (strcmp(a->module, m->name) == 0)
				man_action(out, a);
	}
}

void help_man(struct buf *out)
{
	struct buf extra = { 0 };
	struct opt_program page = cli_program;

	man_actions(&extra);
	buf_z(&extra, "SHORT FORMS\n");
	peer_forms_list(&extra, "  ");
	buf_z(&extra, exit_text);
	buf_z(&extra, "EXAMPLES\n"
		      "    qanat core add_client client_name=laptop\n"
		      "    qanat core export_client client_name=laptop --qr\n"
		      "    qanat core list_clients search=lap --json\n"
		      "    qanat peer limit laptop rate_down=20M quota=50G\n"
		      "    qanat peer why laptop\n"
		      "SEE ALSO\n"
		      "  qanat-serve(1), qanat-gateway(8), qanat-wg(8)\n");
	page.extra = buf_view(&extra).p;
	opt_man(&page, out);
	out->full |= extra.full;
	buf_done(&extra);
}

void help_man_serve(struct buf *out)
{
	opt_man(&serve_program, out);
}
