/* engine_hello.h - the first message to an engine process: what it shall be.
 *
 * Both ends are one program (and one version of it).  Two descriptors come with it: the gateway's
 * UAPI connection, and the socket that listens for wg(8).
 */
#ifndef QANAT_GATEWAY_ENGINE_HELLO_H
#define QANAT_GATEWAY_ENGINE_HELLO_H

#include <net/if.h>

#include "base/defs.h"

struct engine_hello {
	char ifname[IF_NAMESIZE];
	bool exclusive, unpinned;
	uint16_t listen_port, mtu;
	uint32_t fwmark;
	unsigned workers, offloads;
	int log_level;
	bool log_json;
};

enum { ENGINE_FD_UAPI, ENGINE_FD_LISTEN, ENGINE_FDS };

#endif
