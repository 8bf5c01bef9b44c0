/* sockets.h - the UDP sockets of all workers as one snapshot that is replaced whole.
 *
 * Called with the dataplane's lock held.
 */
#ifndef QANAT_DATAPLANE_SOCKETS_H
#define QANAT_DATAPLANE_SOCKETS_H

#include "dataplane/engine.h"

/* Opens sockets on `port` (0: any) and puts them into use; what was open is closed once no worker
 * can be using it.  On failure what was open stays. */
MUST_CHECK enum err_code sockets_replace(struct dataplane *dp, uint16_t port, struct err *e);
/* Takes the sockets out of use. */
void sockets_drop(struct dataplane *dp);
/* At the very end, without workers. */
void sockets_close(struct dataplane *dp);

#endif
