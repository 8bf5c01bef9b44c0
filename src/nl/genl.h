/* genl.h - generic netlink: families of messages that the kernel numbers when they are loaded.
 *
 * A message is a netlink message whose body begins with four bytes: command, version, reserved.
 */
#ifndef QANAT_NL_GENL_H
#define QANAT_NL_GENL_H

#include "base/err.h"

#define NL_GENL_HEADER 4

struct nl;

/* A socket for requests of generic netlink; closed with nl_close. */
MUST_CHECK enum err_code nl_genl_open(struct nl **out, struct err *e);
/* The number of the family `name`, whose module the kernel loads if it can; ERR_UNSUPPORTED when it
 * has none. */
MUST_CHECK enum err_code nl_genl_family(struct nl *n, const char *name, uint16_t *out,
					struct err *e);

#endif
