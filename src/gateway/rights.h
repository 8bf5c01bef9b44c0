/* rights.h - may this process make tunnels?  One sentence when not.
 */
#ifndef QANAT_GATEWAY_RIGHTS_H
#define QANAT_GATEWAY_RIGHTS_H

#include "base/err.h"

/* CAP_NET_ADMIN and a usable /dev/net/tun; ERR_DENIED or ERR_NOT_FOUND says what is missing. */
MUST_CHECK enum err_code rights_check(struct err *e);

#endif
