/* message.h - one message and some descriptors over a pair of sequenced-packet sockets of our own.
 *
 * The two ends are processes of one program, so a message is a plain struct; who receives one checks
 * each of its fields all the same.  Calls block.
 */
#ifndef QANAT_PRIV_MESSAGE_H
#define QANAT_PRIV_MESSAGE_H

#include "base/err.h"

#define MESSAGE_FDS_MAX 128

/* The descriptors stay the caller's. */
MUST_CHECK enum err_code message_send(int sock, const void *p, size_t n, const int *fds,
				      size_t fd_count, struct err *e);
/* Exactly n bytes and at most *fd_count descriptors, whose number it writes; they are
 * close-on-exec and the caller's.  ERR_CLOSED when the other end is; ERR_INVALID, with nothing kept,
 * for a message of another size. */
MUST_CHECK enum err_code message_receive(int sock, void *p, size_t n, int *fds, size_t *fd_count,
					 struct err *e);

#endif
