/* engine_process.h - the packet engine as a process of its own, seen from the gateway.
 *
 * The same program, executed anew: it makes the interface, asks its keeper (a thread here, see
 * priv/engine_link.h) for its UDP sockets, gives up every right (docs/operations/security.md says which
 * it keeps), and only then reads its first packet.  The gateway configures it in the UAPI text protocol
 * over a pair of sockets, as it would any daemon, and wg(8) over the socket file as ever.
 *
 * It ends when the gateway does, however that came.  When it ends first, the interface is gone.
 */
#ifndef QANAT_GATEWAY_ENGINE_PROCESS_H
#define QANAT_GATEWAY_ENGINE_PROCESS_H

#include "dataplane/dataplane.h"

/* The one argument of the program that makes it the engine; its descriptor follows. */
#define ENGINE_ARGUMENT "--as-engine"

struct engine_process;

/* Starts it and waits until it is ready.  `c` without what is `outside`.  *uapi: a connected socket
 * for configuring it, the caller's. */
MUST_CHECK enum err_code engine_process_start(struct engine_process **out, int *uapi,
					      const struct dataplane_config *c, bool log_json,
					      struct err *e);
/* Ends it, and waits until its interface is gone. */
void engine_process_stop(struct engine_process *p);
/* Readable once it has ended. */
int engine_process_gone_fd(const struct engine_process *p);

/* ---- the process itself ---- */

/* What the program does when it was started as the engine, with the text of its descriptor; returns
 * its exit status. */
int engine_process_main(const char *descriptor);

#endif
