/* ask.h - one action from the words of the command line to the exit status: parse, ask the
 * gateway, show the answer.
 */
#ifndef QANAT_CLI_ASK_H
#define QANAT_CLI_ASK_H

#include "cli/options.h"
#include "cli/term.h"

struct ask {
	const struct cli_options *options;
	struct term term; /* stdout */
	bool reference; /* called as phantom-api */
};

/* Does MODULE ACTION KEY=VALUE …, `n` >= 2 words; returns the exit status. */
int ask_run(const struct ask *a, size_t n, char *const *words);
/* Complains about the command line itself, with the nearest sensible thing to do. */
int ask_usage(const char *message);
/* The names of clients that start with `prefix`, one a line, for completion: within a second and
 * without a word when there is no gateway. */
int ask_client_names(const struct cli_options *o, struct str prefix);

#endif
