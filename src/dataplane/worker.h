/* worker.h - one packet worker: a thread that carries packets both ways to the end.
 *
 * It waits only in epoll, where it is quiescent; each turn serves every descriptor that is ready
 * with one batch, then hands its events to control.
 */
#ifndef QANAT_DATAPLANE_WORKER_H
#define QANAT_DATAPLANE_WORKER_H

#include "dataplane/engine.h"

/* What an epoll event stands for. */
enum worker_tag { WORKER_TUN, WORKER_V4, WORKER_V6, WORKER_WAKE };

MUST_CHECK enum err_code worker_new(struct worker **out, struct dataplane *dp, unsigned number,
				    struct err *e);
MUST_CHECK enum err_code worker_start(struct worker *w, struct err *e);
/* Ends the thread, after dp->stopping is set. */
void worker_stop(struct worker *w);
void worker_free(struct worker *w);

/* Before a packet is delivered: if it confirmed a session or came from a new path, the answer to it
 * should already go by that session and path.  Done at once when the lock is free or soon is, else left
 * to control. */
void worker_settle(struct worker *w);

/* Writes a packet that is not joined to others; counts what the kernel refuses. */
void worker_tun_write(struct worker *w, uint8_t *packet, size_t n);
/* After a failed read or write: `sys` is a positive errno. */
void worker_tun_failed(struct worker *w, int sys);

#endif
