/* outbound.h - TUN to UDP: reads packets and super-packets, cuts, seals and sends them.
 *
 * A packet is read with room in front for the header, and is sealed and sent where it lies.  A
 * super-packet's segments are cut once, into a second area, next to each other.  Datagrams of one
 * peer and size that stand next to each other leave as one message.
 */
#ifndef QANAT_DATAPLANE_OUTBOUND_H
#define QANAT_DATAPLANE_OUTBOUND_H

#include "dataplane/engine.h"

MUST_CHECK struct outbound *outbound_new(void);
void outbound_free(struct outbound *o);
/* Carries one batch of what waits in the worker's TUN queue. */
void outbound_run(struct worker *w);

#endif
