/* command.h - MODULE ACTION key=value … from the words of a command line, checked against the
 * table of actions before anything is sent.
 */
#ifndef QANAT_CLI_COMMAND_H
#define QANAT_CLI_COMMAND_H

#include "api/modules.h"

/* The name under which the program behaves as the one of the reference. */
#define REFERENCE_NAME "phantom-api"

struct command {
	struct str module, action; /* as typed; borrowed from the words */
	const struct action *spec; /* NULL when module or action is not known */
	json_t *params; /* owned object, or NULL */
};

/* What a command line got wrong, in the terms of the envelope. */
struct command_fault {
	enum api_code code;
	json_t *data; /* owned: what there is instead; or NULL */
};

/* Reads the `n` words.  `reference`: as phantom-api does, arguments without '=' are ignored and
 * the last of a repeated key counts.  On failure module, action and *fault are filled too. */
MUST_CHECK enum err_code command_parse(struct command *out, size_t n, char *const *words,
				       bool reference, struct command_fault *fault, struct err *e);
void command_done(struct command *c);

#endif
