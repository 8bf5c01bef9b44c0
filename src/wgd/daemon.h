/* daemon.h - going to the background.
 *
 * Before threads start.
 */
#ifndef QANAT_WGD_DAEMON_H
#define QANAT_WGD_DAEMON_H

#include "base/err.h"

/* Forks.  The child goes on with *ready_fd; the parent waits in here until the child calls
 * daemon_ready, and exits with 0, or until the child has ended, and exits with 1. */
MUST_CHECK enum err_code daemon_fork(int *ready_fd, struct err *e);
/* The child can do its work: lets the parent go, and leaves terminal and directory.  `keep_log`:
 * standard error stays where it is.  With ready_fd -1 (never forked) nothing happens. */
void daemon_ready(int *ready_fd, bool keep_log);

#endif
