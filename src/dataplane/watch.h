/* watch.h - follows the state of the interface and the host's routes.
 *
 * Up and down, MTU, name and deletion of the interface go to the device; changes of routes and
 * addresses void the cached sources.  The interface may be moved to another network namespace and
 * is followed there; the UDP sockets stay where they were opened.
 */
#ifndef QANAT_DATAPLANE_WATCH_H
#define QANAT_DATAPLANE_WATCH_H

#include "dataplane/engine.h"

/* Before the control thread runs; afterwards its callbacks run there. */
MUST_CHECK enum err_code watch_open(struct watch **out, struct dataplane *dp, struct err *e);
void watch_close(struct watch *w);
/* Control thread, with the lock held: looks whether the interface is up, without waiting for the
 * report. */
void watch_look(struct watch *w);

#endif
