/* main.c - program qanat: picks what the first words ask for. */
#include <jansson.h>
#include <libgen.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/command.h"
#include "cli/complete.h"
#include "cli/help.h"
#include "cli/options.h"
#include "cli/serve.h"
#include "cli/term.h"

#define REFERENCE_NAME "phantom-api"

/* Answers hold private keys: nothing that jansson frees stays readable. */
static void free_wiped(void *p)
{
	if (p)
		wipe(p, malloc_usable_size(p));
	free(p);
}

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

static int usage_unknown(const char *what, const char *got, const char *near)
{
	char shown[64];
	struct err e;

	text_escaped(shown, sizeof shown, str_of(got));
	if (near)
		err_set(&e, ERR_NOT_FOUND, "there is no %s '%s': did you mean '%s'?", what, shown,
			near);
	else
		err_set(&e, ERR_NOT_FOUND, "there is no %s '%s': `qanat --help` says more", what,
			shown);
	return ask_usage(e.msg);
}

static int run_help(int n, char **words)
{
	struct buf out = { 0 };
	struct str module = str_of(n > 0 ? words[0] : NULL);
	struct str action = str_of(n > 1 ? words[1] : NULL);

	if (!module.n) {
		help_program(&out);
	} else if (!api_module_known(module)) {
		return usage_unknown("module", words[0], command_nearest_module(module));
	} else if (!action.n) {
		help_module(&out, module);
	} else {
		const struct action *a = api_action_find(module, action);

		if (!a)
			return usage_unknown("action", words[1],
					     command_nearest_action(module, action));
		help_action(&out, a);
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
	struct buf out = { 0 };

	if (o->version) {
		buf_z(&out, "qanat " QANAT_VERSION "\n");
		return print_done(&out, CLI_DONE);
	}
	if (n > 0 && strcmp(words[0], "help") == 0)
		return run_help(n - 1, words + 1);
	if (o->help)
		return run_help(n, words);
	if (n > 0 && strcmp(words[0], "completion") == 0)
		return run_completion(o, n, words);
	if (n >= 2)
		return ask_run(&a, (size_t)n, words);
	if (reference) {
		help_reference(&out, REFERENCE_NAME);
		return print_done(&out, CLI_FAILED);
	}
	if (n == 0)
		return ask_usage("say what to do, MODULE ACTION; `qanat --help` lists both");
	if (!api_module_known(str_of(words[0])))
		return usage_unknown("module", words[0], command_nearest_module(str_of(words[0])));
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
		return ask_usage(e.msg);
	if (o.help) {
		opt_help(&serve_program, &out);
		return print_done(&out, CLI_DONE);
	}
	return serve_run(&o);
}

int main(int argc, char **argv)
{
	struct cli_options o = { 0 };
	const char *word = NULL;
	struct err e = { 0 };
	bool reference = argc > 0 && strcmp(basename(argv[0]), REFERENCE_NAME) == 0;

	signal(SIGPIPE, SIG_IGN);
	json_set_alloc_funcs(malloc, free_wiped);
	if (argc == 2 && strcmp(argv[1], "--man") == 0) {
		struct buf out = { 0 };

		help_man(&out);
		return print_done(&out, CLI_DONE);
	}
	if (cli_first_word(&word, argc, argv, &e))
		return ask_usage(e.msg);
	if (!reference && word && strcmp(word, "serve") == 0)
		return run_serve(argc, argv);
	if (cli_options_parse(&o, &argc, argv, &e))
		return ask_usage(e.msg);
	return run_words(&o, reference, argc - 1, argv + 1);
}
