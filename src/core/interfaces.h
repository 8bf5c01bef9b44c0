/* interfaces.h - this host's interfaces and their addresses, for a process without rights.
 */
#ifndef QANAT_CORE_INTERFACES_H
#define QANAT_CORE_INTERFACES_H

#include "base/addr.h"
#include "base/err.h"

typedef bool interface_fn(void *arg, const char *ifname, const struct ip_prefix *address);

/* Calls fn for each address with its prefix length, until it returns false. */
MUST_CHECK enum err_code interfaces_walk(interface_fn *fn, void *arg, struct err *e);
/* Is there an interface of that name, with or without addresses? */
MUST_CHECK enum err_code interfaces_have(const char *ifname, bool *out, struct err *e);

#endif
