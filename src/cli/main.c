/* main.c - program qanat: picks what the first words ask for. */
#include <jansson.h>
#include <libgen.h>
#include <signal.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/command.h"
#include "cli/complete.h"
#include "cli/help.h"
#include "cli/options.h"
#include "cli/peer.h"
#include "cli/serve.h"
#include "cli/term.h"

/* What stands beside the modules. */
static const char *const commands[] = { "serve", "completion", "peer", "help" };

static int print_done(struct buf *out, int status)
{
	struct err e = { 0 };

	if (!buf_ok(out) || term_write(STDOUT_FILENO, buf_view(out), &e)) {
		term_complain(e.code ? e.msg : "no memory for the text");
		status = CLI_FAILED;
	}
	buf_done(out);
	return status;
}

static int usage_unknown(const char *what, const char *got, const char *near, const char *program)
{
	char shown[64];
	struct err e;

	text_escaped(shown, sizeof shown, str_of(got));
	if (near)
		err_set(&e, ERR_NOT_FOUND, "there is no %s '%s': did you mean '%s'?", what, shown,
			near);
	else
		err_set(&e, ERR_NOT_FOUND, "there is no %s '%s': `%s --help` says more", what,
			shown, program);
	return ask_usage(e.msg);
}

/* A wrong option, and where the right ones stand. */
static int usage_option(const struct err *why, const char *help)
{
	struct err e;

	err_set(&e, why->code, "%s; `%s` explains the options", why->msg, help);
	return ask_usage(e.msg);
}

/* The command, none of them a module, that `word` is or was meant to be; or NULL. */
static const char *command_nearest(const char *word)
{
	if (api_module_known(str_of(word)) || api_module_nearest(str_of(word)))
		return NULL;
	return opt_nearest(str_of(word), commands, ARRAY_LEN(commands));
}

static int run_help(const char *program, int n, char **words)
{
	struct buf out = { 0 };
	struct str module = str_of(n > 0 ? words[0] : NULL);
	struct str action = str_of(n > 1 ? words[1] : NULL);

	if (!module.n || str_eq(module, STR("help"))) {
		help_program(&out, program);
	} else if (str_eq(module, STR("serve"))) {
		help_serve(&out);
	} else if (str_eq(module, STR("completion"))) {
		help_completion(&out);
	} else if (str_eq(module, STR("peer"))) {
		help_peer(&out);
	} else if (!api_module_known(module)) {
		return usage_unknown("module", words[0], api_module_nearest(module), program);
	} else if (!action.n || str_eq(action, STR("help"))) {
		help_module(&out, program, module);
	} else {
		const struct action *a = api_action_find(module, action);

		if (!a)
			return usage_unknown("action", words[1], api_action_nearest(module, action),
					     program);
		help_action(&out, program, a);
	}
	return print_done(&out, CLI_DONE);
}

/* completion bash | zsh, and for those scripts: completion clients PREFIX */
static int run_completion(const struct cli_options *o, int n, char **words)
{
	struct str shell = str_of(n > 1 ? words[1] : NULL);
	struct buf out = { 0 };

	if (str_eq(shell, STR("clients")))
		return ask_client_names(o, str_of(n > 2 ? words[2] : ""));
	if (str_eq(shell, STR("bash")))
		complete_bash(&out);
	else if (str_eq(shell, STR("zsh")))
		complete_zsh(&out);
	else
		return ask_usage("name a shell: `qanat completion bash` or `qanat completion zsh`");
	return print_done(&out, CLI_DONE);
}

/* What the words ask for, the options being read. */
static int run_words(const struct cli_options *o, bool reference, int n, char **words)
{
	struct ask a = { .options = o,
			 .term = term_probe(STDOUT_FILENO, o->no_color),
			 .reference = reference };
	const char *program = reference ? REFERENCE_NAME : "qanat";
	struct buf out = { 0 };

	if (o->version) {
		buf_z(&out, "qanat " QANAT_VERSION "\n");
		return print_done(&out, CLI_DONE);
	}
	if (n > 0 && strcmp(words[0], "help") == 0)
		return run_help(program, n - 1, words + 1);
	if (o->help ||
	    (n == 2 && api_module_known(str_of(words[0])) && strcmp(words[1], "help") == 0))
		return run_help(program, n, words);
	if (n > 0 && strcmp(words[0], "completion") == 0)
		return run_completion(o, n, words);
	if (!reference && n > 0 && strcmp(words[0], "peer") == 0)
		return peer_run(&a, n - 1, words + 1);
	if (n >= 2)
		return ask_run(&a, (size_t)n, words);
	if (reference) {
		help_reference(&out, REFERENCE_NAME);
		return print_done(&out, CLI_FAILED);
	}
	if (n == 0)
		return ask_usage("say what to do, MODULE ACTION; `qanat --help` lists both");
	if (!api_module_known(str_of(words[0])))
		return usage_unknown("module", words[0], api_module_nearest(str_of(words[0])),
				     program);
	return ask_usage("an action is missing; `qanat MODULE --help` lists those of a module");
}

static int run_serve(int argc, char **argv)
{
	struct serve_options o = { 0 };
	struct buf out = { 0 };
	struct err e = { 0 };

	if (argc == 3 && strcmp(argv[2], "--man") == 0) {
		help_man_serve(&out);
		return print_done(&out, CLI_DONE);
	}
	if (serve_options_parse(&o, &argc, argv, &e))
		return usage_option(&e, "qanat serve --help");
	if (o.help) {
		help_serve(&out);
		return print_done(&out, CLI_DONE);
	}
	return serve_run(&o);
}

int main(int argc, char **argv)
{
	struct cli_options o = { 0 };
	const char *word = NULL, *near;
	struct err e = { 0 };
	bool reference = argc > 0 && strcmp(basename(argv[0]), REFERENCE_NAME) == 0;

	const char *help = reference ? REFERENCE_NAME " --help" : "qanat --help";

	signal(SIGPIPE, SIG_IGN);
	api_json_init();
	if (argc == 2 && strcmp(argv[1], "--man") == 0) {
		struct buf out = { 0 };

		help_man(&out);
		return print_done(&out, CLI_DONE);
	}
	if (cli_first_word(&word, argc, argv, &e))
		return usage_option(&e, help);
	if (!reference && word && strcmp(word, "serve") == 0)
		return run_serve(argc, argv);
	/* Before the options: those of serve are not known to the others. */
	near = reference || !word ? NULL : command_nearest(word);
	if (near && strcmp(near, word) != 0)
		return usage_unknown("command", word, near, "qanat");
	if (cli_options_parse(&o, &argc, argv, &e))
		return usage_option(&e, help);
	return run_words(&o, reference, argc - 1, argv + 1);
}
