/* clean_up.h - after a crash: the host as it was before the gateway.
 *
 * A start takes over what a crashed run left; this is for when there shall be no start.
 */
#ifndef QANAT_GATEWAY_CLEAN_UP_H
#define QANAT_GATEWAY_CLEAN_UP_H

#include "gateway/options.h"

/* Takes back what commands of the agent API did, deletes the kernel's interfaces that the run left (those
 * with a key of the store's), puts back the host's network as the journal in o->state_dir says, and
 * removes the sockets that nobody serves any more.  Nothing when no gateway has used the directory; ERR_IN_USE when one is running with
 * it. */
MUST_CHECK enum err_code gateway_clean_up(struct options *o, struct err *e);

#endif
