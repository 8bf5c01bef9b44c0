/* restart.h - starting the gateway anew in the same process, with the program that is installed now.
 *
 * The process keeps its number, so whoever supervises it sees nothing but a pause.  The new
 * program gets the same command line and environment, and one variable more, which says that it
 * goes on where another stopped and in which state directory.
 *
 * The signals of the loop stay blocked across execve(2): one that arrives in between is answered
 * by the new program's loop instead of killing it half-way.
 */
#ifndef QANAT_GATEWAY_RESTART_H
#define QANAT_GATEWAY_RESTART_H

#include <limits.h>

#include "base/err.h"

/* Somebody who deletes the interface more often than so does not want it. */
#define RESTART_LOSSES_MAX 5
#define RESTART_LOSSES_S 60

struct restart {
	char path[PATH_MAX]; /* of the program */
	char **argv; /* a copy: parsing takes the original apart */
	char state_dir[PATH_MAX]; /* of the run before in this process; empty: it is the first */
	/* When runs of this process lost their interface, in seconds of the monotonic clock; the last
	 * is the latest, 0 is none.  Handed on in a variable of the environment. */
	uint64_t losses[RESTART_LOSSES_MAX];
};

/* Remembers how to start again, before anything is parsed, and takes the variable out of the
 * environment. */
MUST_CHECK enum err_code restart_init(struct restart *r, int argc, char **argv, struct err *e);
void restart_done(struct restart *r);
/* Takes down that the interface was lost at `now_s`; ERR_FULL when that has happened too often to
 * go on. */
MUST_CHECK enum err_code restart_lost(struct restart *r, uint64_t now_s, struct err *e);
/* Becomes the new program; returns only when that fails. */
enum err_code restart_exec(const struct restart *r, const char *state_dir, struct err *e);

#endif
