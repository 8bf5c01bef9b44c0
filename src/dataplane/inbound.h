/* inbound.h - UDP to TUN: receives datagrams in batches, opens them in place, joins what belongs
 * together and writes it.  Handshake messages go to the control thread.
 */
#ifndef QANAT_DATAPLANE_INBOUND_H
#define QANAT_DATAPLANE_INBOUND_H

#include "dataplane/engine.h"

MUST_CHECK struct inbound *inbound_new(struct worker *w);
void inbound_free(struct inbound *in);
/* Carries one batch of what waits in the worker's socket of a family. */
void inbound_run(struct worker *w, uint8_t family);

#endif
