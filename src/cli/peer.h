/* peer.h - `qanat peer why NAME` and `qanat peer limit NAME …`: short forms of actions of module core.
 */
#ifndef QANAT_CLI_PEER_H
#define QANAT_CLI_PEER_H

#include "cli/ask.h"

/* The short forms, for help and completion; a NULL name ends. */
struct peer_form {
	const char *name, *usage, *help;
	const char *action; /* of module core */
	const char *bare; /* the action when nothing but NAME is given; NULL: the same */
};
extern const struct peer_form peer_forms[];

/* Does what the `n` words behind "peer" ask for; returns the exit status. */
int peer_run(const struct ask *a, int n, char **words);

#endif
