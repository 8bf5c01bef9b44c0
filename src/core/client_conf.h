/* client_conf.h - the configuration file of a client, in the form of wg-quick(8).
 */
#ifndef QANAT_CORE_CLIENT_CONF_H
#define QANAT_CORE_CLIENT_CONF_H

#include "core/settings.h"

/* `fallback` is the gateway's own address where no endpoint is set; family IP_NONE: unknown, which
 * is ERR_MISSING then.  `c` is with its secrets, and so is the text: wipe it. */
MUST_CHECK enum err_code client_conf_write(struct buf *out, const struct client *c,
					   const struct settings *s,
					   const struct public_key *server,
					   const struct ip_addr *fallback, struct err *e);
/* "host:port", with an IPv6 address in brackets; ERR_MISSING as above. */
MUST_CHECK enum err_code client_conf_endpoint(struct buf *out, const struct settings *s,
					      const struct ip_addr *fallback, struct err *e);

#endif
