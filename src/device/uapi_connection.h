/* uapi_connection.h - requests to a UAPI daemon and their answers over a UNIX socket, within bounds.
 *
 * One connection serves many requests where the daemon allows that.  Where it has closed meanwhile,
 * as wg's own daemons may, or has lost step after an error, a new one is made, if there is a path.  No
 * request is longer in memory than a piece, no answer longer than a line and a peer.
 * Inside the room only.
 */
#ifndef QANAT_DEVICE_UAPI_CONNECTION_H
#define QANAT_DEVICE_UAPI_CONNECTION_H

#include "device/uapi_answer.h"

struct uapi_connection;

/* Writes a request's lines, the blank one at its end excluded, with uapi_put_piece between; may be
 * called again for the same request, over a new connection. */
typedef void uapi_request_fn(struct buf *out, struct uapi_connection *c, const void *request);

/* `path`; or `dial` (may be NULL), as in struct device_uapi_config; or, without either, `fd`, which is
 * taken over (also on failure). */
MUST_CHECK enum err_code uapi_connection_new(struct uapi_connection **out, const char *path,
					     const struct device_dial *dial, int fd,
					     unsigned timeout_ms, struct err *e);
void uapi_connection_free(struct uapi_connection *c);

/* Sends what is written so far when it is long enough. */
void uapi_put_piece(struct buf *out, struct uapi_connection *c);
/* One request, and its answer into `a`.  An answer that names an error is ERR_OK here. */
MUST_CHECK enum err_code uapi_ask(struct uapi_connection *c, uapi_request_fn *put,
				  const void *request, struct uapi_answer *a, struct err *e);
/* ERR_CLOSED when nobody is there. */
MUST_CHECK enum err_code uapi_connection_alive(struct uapi_connection *c, struct err *e);

#endif
