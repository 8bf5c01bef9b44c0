#include "cli/complete.h"

#include "api/modules.h"
#include "cli/options.h"
#include "cli/peer.h"

/* Quotes for both shells: 'text', where ' itself is left and entered again. */
static void quote(struct buf *out, const char *text)
{
	buf_char(out, '\'');
	for (; *text; text++) {
		if (*text == '\'')
			buf_z(out, "'\\''");
		else
			buf_char(out, *text);
	}
	buf_char(out, '\'');
}

/* A client that is there already; add_client wants a name that is new. */
static bool key_names_client(const struct action *a, const struct action_param *p)
{
	return strcmp(p->name, "client_name") == 0 && strcmp(a->name, "add_client") != 0;
}

/* "--socket --json …" */
static void option_names(struct buf *out, const struct opt *opts)
{
	const char *gap = "";

	for (const struct opt *o = opts; o->name; o++) {
		buf_printf(out, "%s--%s", gap, o->name);
		gap = " ";
	}
}

/* "--socket|-s|…": the options whose value is the next word. */
static void option_patterns(struct buf *out, const struct opt *opts)
{
	const char *gap = "";

	for (const struct opt *o = opts; o->name; o++) {
		if (o->type == OPT_FLAG)
			continue;
		buf_printf(out, "%s--%s", gap, o->name);
		if (o->letter)
			buf_printf(out, "|-%c", o->letter);
		gap = "|";
	}
}

/* The same for both of our tables. */
static void all_option_patterns(struct buf *out)
{
	option_patterns(out, cli_program.opts);
	buf_char(out, '|');
	option_patterns(out, serve_program.opts);
}

static void case_modules(struct buf *out)
{
	for (const struct module *m = api_modules; m->name; m++) {
		buf_printf(out, "\t%s) words=\"", m->name);
		for (const struct action *a = api_actions; a->module; a++)
			if (strcmp(a->module, m->name) == 0)
				buf_printf(out, "%s ", a->name);
		buf_z(out, "\" ;;\n");
	}
}

static void case_keys(struct buf *out)
{
	for (const struct action *a = api_actions; a->module; a++) {
		buf_printf(out, "\t'%s %s') words=\"", a->module, a->name);
		for (const struct action_param *p = a->params; p->name; p++)
			buf_printf(out, "%s= ", p->name);
		buf_z(out, "\" ;;\n");
	}
}

static void case_clients(struct buf *out)
{
	for (const struct action *a = api_actions; a->module; a++)
		for (const struct action_param *p = a->params; p->name; p++)
			if (key_names_client(a, p))
				buf_printf(out, "\t\t'%s %s %s') clients=1 ;;\n", a->module,
					   a->name, p->name);
}

static void case_flags(struct buf *out)
{
	for (const struct action *a = api_actions; a->module; a++)
		for (const struct action_param *p = a->params; p->name; p++)
			if (p->type == PARAM_BOOL)
				buf_printf(out, "\t'%s %s %s') words=\"true false\" ;;\n",
					   a->module, a->name, p->name);
}

static void module_names(struct buf *out)
{
	for (const struct module *m = api_modules; m->name; m++)
		buf_printf(out, "%s ", m->name);
}

/* Words are cut at blanks only: readline's own words break at '=', which keys contain. */
static const char bash_head[] =
	"# bash completion for qanat; made by `qanat completion bash`\n"
	"_qanat() {\n"
	"\tlocal line cur prev word words clients front prog module action name socket skip i\n"
	"\tlocal -a typed named\n"
	"\tline=${COMP_LINE:0:COMP_POINT}\n"
	"\tread -ra typed <<<\"$line\"\n"
	"\tcase $line in *[[:space:]]) typed+=('') ;; esac\n"
	"\tprog=${typed[0]} cur=${typed[-1]} prev= module= action= name=\n"
	"\twords= clients= front= skip=\n"
	"\tsocket=()\n"
	"\tCOMPREPLY=()\n"
	"\tif ((${#typed[@]} > 1)); then prev=${typed[-2]}; fi\n"
	"\tfor ((i = 1; i < ${#typed[@]} - 1; i++)); do\n"
	"\t\tword=${typed[i]}\n"
	"\t\tif [[ $skip ]]; then\n"
	"\t\t\tif [[ $skip == socket ]]; then socket=(--socket \"$word\"); fi\n"
	"\t\t\tskip=\n"
	"\t\t\tcontinue\n"
	"\t\tfi\n"
	"\t\tcase $word in\n"
	"\t\t--socket|-s) skip=socket ;;\n"
	"\t\t--socket=*) socket=(--socket \"${word#--socket=}\") ;;\n";

static const char bash_words[] = "\t\t-*) ;;\n"
				 "\t\t*)\n"
				 "\t\t\tif [[ ! $module ]]; then module=$word\n"
				 "\t\t\telif [[ ! $action ]]; then action=$word\n"
				 "\t\t\telif [[ ! $name ]]; then name=$word\n"
				 "\t\t\tfi\n"
				 "\t\t\t;;\n"
				 "\t\tesac\n"
				 "\tdone\n"
				 "\tcase $prev in\n"
				 "\t--socket|-s|--out|-o|--state)\n"
				 "\t\tcompopt -o filenames 2>/dev/null\n"
				 "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
				 "\t\treturn\n"
				 "\t\t;;\n";

static const char bash_names[] =
	"\tif [[ $clients ]]; then\n"
	"\t\tmapfile -t named < <(\"$prog\" completion clients \"$cur\" \"${socket[@]}\" "
	"2>/dev/null)\n"
	"\t\tCOMPREPLY=(\"${named[@]/#/$front}\")\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tmapfile -t COMPREPLY < <(compgen -P \"$front\" -W \"$words\" -- \"$cur\")\n"
	"\tif [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then\n"
	"\t\tcompopt -o nospace 2>/dev/null\n"
	"\tfi\n"
	"}\n"
	"complete -F _qanat qanat phantom-api\n";

/* The keys of a short form. */
static void peer_keys(struct buf *out, const struct peer_form *f)
{
	const struct action *a = api_action_find(STR("core"), str_of(f->action));

	for (const struct action_param *p = a->params; p->name; p++)
		if (!p->required)
			buf_printf(out, "%s= ", p->name);
}

/* peer FORM NAME KEY=… */
static void bash_peer(struct buf *out)
{
	buf_z(out, "\telif [[ $module == peer ]]; then\n"
		   "\t\tif [[ $action && ! $name ]]; then clients=1; fi\n"
		   "\t\tcase $action in\n\t\t'') words=\"");
	for (const struct peer_form *f = peer_forms; f->name; f++)
		buf_printf(out, "%s ", f->name);
	buf_z(out, "\" ;;\n");
	for (const struct peer_form *f = peer_forms; f->name; f++) {
		buf_printf(out, "\t\t%s) words=\"", f->name);
		peer_keys(out, f);
		buf_z(out, "\" ;;\n");
	}
	buf_z(out, "\t\tesac\n");
}

static void bash_options(struct buf *out)
{
	buf_z(out, "\tif [[ $cur == -* ]]; then\n\t\tif [[ $module == serve ]]; then\n"
		   "\t\t\twords='");
	option_names(out, serve_program.opts);
	buf_z(out, "'\n\t\telse\n\t\t\twords='");
	option_names(out, cli_program.opts);
	buf_z(out, "'\n\t\tfi\n"
		   "\telif [[ $module == completion ]]; then\n\t\twords='bash zsh'\n"
		   "\telif [[ $module == serve ]]; then\n\t\twords=\n");
	bash_peer(out);
	buf_z(out, "\telif [[ ! $module ]]; then\n\t\twords='");
	module_names(out);
	buf_z(out, "serve completion peer'\n"
		   "\telif [[ ! $action ]]; then\n\t\tcase $module in\n");
	case_modules(out);
	buf_z(out, "\t\tesac\n"
		   "\telif [[ $cur == *=* ]]; then\n"
		   "\t\tcase \"$module $action ${cur%%=*}\" in\n");
	case_clients(out);
	case_flags(out);
	/* readline replaces only what stands after its own last break, by default '='. */
	buf_z(out, "\t\tesac\n"
		   "\t\tif [[ $COMP_WORDBREAKS != *=* ]]; then front=${cur%%=*}=; fi\n"
		   "\t\tcur=${cur#*=}\n"
		   "\telse\n\t\tcase \"$module $action\" in\n");
	case_keys(out);
	buf_z(out, "\t\tesac\n\tfi\n");
}

void complete_bash(struct buf *out)
{
	buf_z(out, bash_head);
	buf_z(out, "\t\t");
	all_option_patterns(out);
	buf_z(out, ") skip=value ;;\n");
	buf_z(out, bash_words);
	buf_z(out, "\t");
	all_option_patterns(out);
	buf_z(out, ") return ;;\n\tesac\n");
	bash_options(out);
	buf_z(out, bash_names);
}

/* "name:help" entries for _describe, which wants colons of a name escaped (ours have none). */
static void zsh_entry(struct buf *out, const char *name, const char *help)
{
	struct buf entry = { 0 };

	buf_printf(&entry, "%s:%s", name, help);
	buf_z(out, " ");
	if (entry.p)
		quote(out, entry.p);
	out->full |= entry.full;
	buf_done(&entry);
}

static void zsh_option_list(struct buf *out, const struct opt *opts)
{
	for (const struct opt *o = opts; o->name; o++) {
		char name[64];

		snprintf(name, sizeof name, "--%s", o->name);
		zsh_entry(out, name, o->help ? o->help : "");
	}
}

static const char zsh_head[] =
	"#compdef qanat phantom-api\n"
	"# zsh completion for qanat; made by `qanat completion zsh`\n"
	"_qanat() {\n"
	"\tlocal cur prev word clients module action name skip key i\n"
	"\tlocal -a entries socket named\n"
	"\tcur=${words[CURRENT]} prev=${words[CURRENT-1]}\n"
	"\tfor ((i = 2; i < CURRENT; i++)); do\n"
	"\t\tword=${words[i]}\n"
	"\t\tif [[ -n $skip ]]; then\n"
	"\t\t\tif [[ $skip == socket ]]; then socket=(--socket \"$word\"); fi\n"
	"\t\t\tskip=\n"
	"\t\t\tcontinue\n"
	"\t\tfi\n"
	"\t\tcase $word in\n"
	"\t\t(--socket|-s) skip=socket ;;\n"
	"\t\t(--socket=*) socket=(--socket \"${word#--socket=}\") ;;\n";

static const char zsh_words[] = "\t\t(-*) ;;\n"
				"\t\t(*)\n"
				"\t\t\tif [[ -z $module ]]; then module=$word\n"
				"\t\t\telif [[ -z $action ]]; then action=$word\n"
				"\t\t\telif [[ -z $name ]]; then name=$word\n"
				"\t\t\tfi\n"
				"\t\t\t;;\n"
				"\t\tesac\n"
				"\tdone\n"
				"\tcase $prev in\n"
				"\t(--socket|-s|--out|-o|--state) _files; return ;;\n";

static void zsh_peer(struct buf *out)
{
	buf_z(out, "\tif [[ $module == peer && -z $name ]]; then\n"
		   "\t\tnamed=(${(f)\"$(${words[1]} completion clients \"$cur\" $socket "
		   "2>/dev/null)\"})\n"
		   "\t\tcompadd -a named\n\t\treturn\n\tfi\n"
		   "\tif [[ $module == peer ]]; then\n\t\tcase $action in\n");
	for (const struct peer_form *f = peer_forms; f->name; f++) {
		buf_printf(out, "\t\t(%s) compadd -S '' -- ", f->name);
		peer_keys(out, f);
		buf_z(out, ";;\n");
	}
	buf_z(out, "\t\tesac\n\t\treturn\n\tfi\n");
}

static void zsh_modules(struct buf *out)
{
	buf_z(out, "\tif [[ -z $module ]]; then\n\t\tentries=(");
	for (const struct module *m = api_modules; m->name; m++)
		zsh_entry(out, m->name, m->help);
	zsh_entry(out, "serve", "run a gateway in the foreground");
	zsh_entry(out, "completion", "print a completion script");
	zsh_entry(out, "peer", "why a client's packets are dropped, and its limits");
	buf_z(out, ")\n\t\t_describe command entries\n\t\treturn\n\tfi\n"
		   "\tif [[ -z $action ]]; then\n\t\tcase $module in\n"
		   "\t\t(completion) entries=(bash zsh) ;;\n");
	for (const struct module *m = api_modules; m->name; m++) {
		buf_printf(out, "\t\t(%s) entries=(", m->name);
		for (const struct action *a = api_actions; a->module; a++)
			if (strcmp(a->module, m->name) == 0)
				zsh_entry(out, a->name, a->help);
		buf_z(out, ") ;;\n");
	}
	buf_z(out, "\t\t(peer) entries=(");
	for (const struct peer_form *f = peer_forms; f->name; f++)
		zsh_entry(out, f->name, f->help);
	buf_z(out, ") ;;\n"
		   "\t\tesac\n\t\t_describe action entries\n\t\treturn\n\tfi\n");
	zsh_peer(out);
}

static void zsh_values(struct buf *out)
{
	buf_z(out, "\tif [[ $cur == *=* ]]; then\n\t\tkey=${cur%%=*}\n\t\tcompset -P '*='\n"
		   "\t\tcase \"$module $action $key\" in\n");
	for (const struct action *a = api_actions; a->module; a++)
		for (const struct action_param *p = a->params; p->name; p++) {
			if (key_names_client(a, p))
				buf_printf(out, "\t\t('%s %s %s') clients=1 ;;\n", a->module,
					   a->name, p->name);
			else if (p->type == PARAM_BOOL)
				buf_printf(out, "\t\t('%s %s %s') compadd true false ;;\n",
					   a->module, a->name, p->name);
		}
	buf_z(out, "\t\tesac\n"
		   "\t\tif [[ -n $clients ]]; then\n"
		   "\t\t\tnamed=(${(f)\"$(${words[1]} completion clients \"${cur#*=}\" $socket "
		   "2>/dev/null)\"})\n"
		   "\t\t\tcompadd -a named\n\t\tfi\n\t\treturn\n\tfi\n");
}

static void zsh_keys(struct buf *out)
{
	buf_z(out, "\tcase \"$module $action\" in\n");
	for (const struct action *a = api_actions; a->module; a++) {
		buf_printf(out, "\t('%s %s') entries=(", a->module, a->name);
		for (const struct action_param *p = a->params; p->name; p++)
			zsh_entry(out, p->name, p->help);
		buf_z(out, ") ;;\n");
	}
	buf_z(out, "\tesac\n\t_describe parameter entries -S =\n");
}

void complete_zsh(struct buf *out)
{
	buf_z(out, zsh_head);
	buf_z(out, "\t\t(");
	all_option_patterns(out);
	buf_z(out, ") skip=value ;;\n");
	buf_z(out, zsh_words);
	buf_z(out, "\t(");
	all_option_patterns(out);
	buf_z(out, ") return ;;\n\tesac\n"
		   "\tif [[ $cur == -* ]]; then\n\t\tif [[ $module == serve ]]; then\n"
		   "\t\t\tentries=(");
	zsh_option_list(out, serve_program.opts);
	buf_z(out, ")\n\t\telse\n\t\t\tentries=(");
	zsh_option_list(out, cli_program.opts);
	buf_z(out, ")\n\t\tfi\n\t\t_describe option entries\n\t\treturn\n\tfi\n");
	zsh_modules(out);
	zsh_values(out);
	zsh_keys(out);
	buf_z(out, "}\n"
		   "if [[ ${funcstack[1]} == _qanat ]]; then _qanat \"$@\"; "
		   "else compdef _qanat qanat phantom-api; fi\n");
}
