/* tcp.h - listening TCP sockets and accepting from them.
 */
#ifndef QANAT_IO_TCP_H
#define QANAT_IO_TCP_H

#include "base/addr.h"
#include "base/err.h"

/* Listens at `at`, non-blocking and close-on-exec; IPv6 sockets take IPv6 only.  Port 0: the
 * kernel's choice.  *bound (may be NULL) gets the address listened at. */
MUST_CHECK enum err_code tcp_listen(int *out, const struct endpoint *at, struct endpoint *bound,
				    struct err *e);
/* Accepts one connection, non-blocking, close-on-exec, without Nagle's delay; -1 (errno) when none
 * is waiting.  Connections over UNIX sockets have the zero endpoint. */
int tcp_accept(int listen_fd, struct endpoint *peer);
/* The local end of a connected or listening socket; zero for other families. */
struct endpoint tcp_local(int fd);

#endif
