/* device_hello.h - the first message to a device's process: what it shall be.
 *
 * Both ends are one program (and one version of it).  Descriptors come with it, in the order of enum
 * device_fd.
 */
#ifndef QANAT_GATEWAY_DEVICE_HELLO_H
#define QANAT_GATEWAY_DEVICE_HELLO_H

#include <net/if.h>

#include "base/defs.h"

struct device_hello {
	char ifname[IF_NAMESIZE];
	bool is_kernel; /* the kernel's driver; else our engine */
	bool exclusive, unpinned;
	uint16_t listen_port, mtu;
	uint32_t fwmark;
	unsigned workers, offloads;
	int log_level;
	bool log_json;
};

enum device_fd {
	DEVICE_FD_UAPI, /* the gateway's connection */
	DEVICE_FD_LOG, /* a datagram a line */
	DEVICE_FD_LISTEN, /* for wg(8); not with the kernel, whose devices it finds itself */
	DEVICE_FDS,
};

#endif
