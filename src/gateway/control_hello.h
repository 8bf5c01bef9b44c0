/* control_hello.h - the first message to the control process.
 *
 * Both ends are one program (and one version of it).  Descriptors come with it, in the order of enum
 * control_fd.
 */
#ifndef QANAT_GATEWAY_CONTROL_HELLO_H
#define QANAT_GATEWAY_CONTROL_HELLO_H

#include "gateway/rights.h"

struct control_hello {
	bool restarted; /* as in struct control_start, as the next */
	struct rights_user user;
};

enum control_fd {
	CONTROL_FD_LINK, /* of priv/helper.h, as the next */
	CONTROL_FD_EVENTS,
	CONTROL_FD_LOG,
	CONTROL_FD_REPLY, /* may be missing */
	CONTROL_FDS,
};

#endif
