/* child.h - the gateway as a child process: found, started, waited for, stopped.
 *
 * The child dies with us (PR_SET_PDEATHSIG), stands in a process group of its own so that a
 * Ctrl-C on the terminal reaches it only through us, and says "ready" on a pipe once it serves.
 * The caller has SIGCHLD and the signals that end it blocked and reads them from a signalfd.
 */
#ifndef QANAT_CLI_CHILD_H
#define QANAT_CLI_CHILD_H

#include <sys/types.h>

#include "base/err.h"
#include "base/text.h"

/* From this status on nobody has said a word: 126 and 127 as of a shell, and signals. */
#define CHILD_NOT_RUN 126

struct child {
	pid_t pid; /* 0: not running */
	int ready_fd; /* our end of the pipe, or -1 */
	int status; /* of waitpid, once it has ended */
};

/* The path of `program`: beside our own binary, in the sbin of our installation, in the build
 * tree, or in PATH.  Owned by the caller. */
MUST_CHECK enum err_code child_find(char **path, const char *program, struct err *e);
/* Starts path with argv; "--ready-fd" and its number are put behind argv's last argument.
 * argv ends in two NULLs spare: its room is argc + 3. */
MUST_CHECK enum err_code child_start(struct child *out, const char *path, char **argv, size_t argc,
				     struct err *e);
/* Reads the pipe: true when "ready" arrived; *over when the pipe closed without it. */
bool child_ready(struct child *c, bool *over);
/* Takes the status of a child that has ended; true when it had. */
bool child_reap(struct child *c);
void child_signal(const struct child *c, int sig);
/* "exited with status 1", "was killed by signal 9 (Killed)". */
void child_end_text(struct buf *out, int status);
/* The exit status for us that passes the child's on: 128 + n for signal n. */
int child_exit_status(int status);

#endif
