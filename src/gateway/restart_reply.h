/* restart_reply.h - the connection of whoever asked for a restart, across the restart.
 *
 * Its descriptor stays open through execve(2), and a variable of the environment says which it is.
 */
#ifndef QANAT_GATEWAY_RESTART_REPLY_H
#define QANAT_GATEWAY_RESTART_REPLY_H

#include "base/err.h"

/* Before the new program is executed; nothing to do for -1. */
void restart_reply_pass_on(int fd);
/* In the new program: the descriptor, closed on exec again, or -1. */
int restart_reply_take(void);
/* Tells that the restart has failed, waiting a second at most, and closes; nothing to do for -1. */
void restart_reply_fail(int fd, const struct err *why);

#endif
