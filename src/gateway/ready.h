/* ready.h - telling whoever started the gateway that it is ready, or stopping.
 */
#ifndef QANAT_GATEWAY_READY_H
#define QANAT_GATEWAY_READY_H

#include "base/err.h"

/* Sends `state` ("READY=1") to the socket in the environment's NOTIFY_SOCKET, if there is one, as
 * sd_notify(3) describes. */
MUST_CHECK enum err_code ready_notify(const char *state, struct err *e);
/* The same, that a restart in place begins: READY=1 ends it (sd_notify(3), RELOADING=1). */
MUST_CHECK enum err_code ready_notify_reloading(struct err *e);
/* Writes "ready\n" to `fd` and closes it. */
MUST_CHECK enum err_code ready_write(int fd, struct err *e);

#endif
