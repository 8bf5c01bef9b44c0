/* sysctl.h - kernel settings under /proc/sys; for this folder only.  */
#ifndef QANAT_NET_SYSCTL_H
#define QANAT_NET_SYSCTL_H

#include "base/err.h"
#include "base/text.h"

#define SYSCTL_NAME_MAX 80 /* "net/ipv6/conf/INTERFACE/accept_ra" and more */

/* `name` has slashes ("net/ipv4/ip_forward"), because interface names may have dots.
 * ERR_NOT_FOUND when the kernel has no such setting. */
MUST_CHECK enum err_code sysctl_read(const char *name, uint32_t *out, struct err *e);
MUST_CHECK enum err_code sysctl_write(const char *name, uint32_t value, struct err *e);
/* True for a name that this folder may write: nothing outside net/ipv4 and net/ipv6. */
bool sysctl_name_valid(struct str name);

#endif
