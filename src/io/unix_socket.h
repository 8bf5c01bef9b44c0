/* unix_socket.h - listening UNIX stream sockets at a path, and connecting to one.
 */
#ifndef QANAT_IO_UNIX_SOCKET_H
#define QANAT_IO_UNIX_SOCKET_H

#include <sys/types.h>

#include "base/err.h"

/* Listens at `path` with `mode`, non-blocking.  A stale socket file that nobody answers is
 * replaced; one that somebody answers is ERR_IN_USE.  A path too long for the kernel is ERR_RANGE. */
MUST_CHECK enum err_code unix_listen(int *out, const char *path, mode_t mode, struct err *e);
/* Connects; the descriptor is blocking and close-on-exec.  ERR_TIMEOUT when somebody listens but has
 * not room for another connection within `timeout_ms`, which is not 0. */
MUST_CHECK enum err_code unix_connect(int *out, const char *path, unsigned timeout_ms,
				      struct err *e);
/* Accepts one connection, non-blocking and close-on-exec; -1 when none is waiting. */
int unix_accept(int listen_fd);

#endif
