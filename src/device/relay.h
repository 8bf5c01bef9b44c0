/* relay.h - a device of any kind, configured over one connection in the UAPI text protocol.
 *
 * For a process that holds a device whose rights its asker does not have: the kernel's, behind netlink.
 * (Our engine is served by uapi_server.h, which streams, and speaks our extensions.)  A `set` is gathered
 * into changes of many peers, since each request to the kernel costs; a failure ends it, and
 * what stood before it may have been made.  Blocks; one thread.
 */
#ifndef QANAT_DEVICE_RELAY_H
#define QANAT_DEVICE_RELAY_H

#include "device/device.h"

struct relay;

/* Both are the relay's from now on, also on failure. */
MUST_CHECK enum err_code relay_new(struct relay **out, struct device *d, int fd, struct err *e);
/* Closes the connection and lets go of the device.  Takes NULL. */
void relay_free(struct relay *r);
/* Takes what has arrived and answers it; false when the other end has closed or has broken the
 * protocol. */
bool relay_serve(struct relay *r);

#endif
