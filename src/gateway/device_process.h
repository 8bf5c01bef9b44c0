/* device_process.h - a WireGuard device in a process of its own, seen from the helper that starts it.
 *
 * The same program, executed anew.  As the engine it makes the interface, asks its keeper (the helper; see
 * priv/engine_link.h) for its UDP sockets, gives up every right, and only then reads its first packet.  For
 * the kernel's driver it opens netlink and keeps the one capability that this needs.  Either is
 * configured in the UAPI text protocol over a socket; wg(8) reaches the engine over the socket file
 * as ever.  docs/operations/security.md lists the rights of both.
 *
 * It ends when the helper does, however that came.  When the engine ends first, the interface is gone.
 */
#ifndef QANAT_GATEWAY_DEVICE_PROCESS_H
#define QANAT_GATEWAY_DEVICE_PROCESS_H

#include "device/device.h"

/* The one argument of the program that makes it a device; its descriptor follows. */
#define DEVICE_ARGUMENT "--as-device"

struct device_process;

struct device_process_config {
	enum device_kind kind; /* DEVICE_ENGINE or DEVICE_KERNEL */
	/* Without what is `outside`.  Of the kernel's, name, MTU and `exclusive` count. */
	struct dataplane_config device;
	bool log_json;
	int log_fd; /* its lines go there, too (log_also); borrowed; -1: nowhere */
};

/* Starts it and waits until it is ready.  *uapi: a connected socket for configuring it, the caller's.
 * ERR_EXISTS when the socket file of its name is somebody else's. */
MUST_CHECK enum err_code device_process_start(struct device_process **out, int *uapi,
					      const struct device_process_config *c, struct err *e);
/* Ends it, and waits until it has ended; an engine's interface is gone then. */
void device_process_stop(struct device_process *p);
/* Readable once it has ended. */
int device_process_gone_fd(const struct device_process *p);
/* Readable when it asks for something, which device_process_serve then does. */
int device_process_keeper_fd(const struct device_process *p);
enum device_said {
	DEVICE_ASKED,
	DEVICE_GONE, /* its interface has been deleted; it can be read until it is stopped */
	DEVICE_ENDED, /* it asks no more */
};
enum device_said device_process_serve(struct device_process *p);

/* ---- the process itself ---- */

/* What the program does when it was started as a device, with the text of its descriptor; returns
 * its exit status. */
int device_process_main(const char *descriptor);

#endif
