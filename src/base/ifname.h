/* ifname.h - names of interfaces that we choose or configure ourselves.
 *
 * One rule for all that carries such a name: a table's name in nft, a path under /proc/sys, the file of
 * a UAPI socket, a line of a log.  The kernel takes more (io/tun.h), and so does a daemon that is only
 * told a name (qanat-wg); what configures the host's network takes no other than these.
 */
#ifndef QANAT_BASE_IFNAME_H
#define QANAT_BASE_IFNAME_H

#include "base/err.h"
#include "base/text.h"

#define IFNAME_LEN_MAX 15

/* 1 to 15 letters, digits, '_', '-' and '.', beginning with a letter, a digit or '_'; not "lo", and
 * not "all" or "default", which mean something else under /proc/sys. */
bool ifname_ok(struct str name);
/* The same, and says why not: ERR_INVALID. */
MUST_CHECK enum err_code ifname_check(struct str name, struct err *e);

#endif
