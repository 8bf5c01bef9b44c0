/* welcome.h - what `qanat serve` prints once the gateway serves: how long it took, the endpoint,
 * the first client (made when there is none) and its QR code, and how to add more.
 */
#ifndef QANAT_CLI_WELCOME_H
#define QANAT_CLI_WELCOME_H

#include "cli/options.h"
#include "cli/term.h"

/* Asks the gateway at o->socket and appends the text; `started_ns` is the wall clock at the
 * start.  The text holds a private key when the QR code is in it: wipe it. */
MUST_CHECK enum err_code welcome_text(struct buf *out, const struct serve_options *o,
				      const struct term *t, int64_t started_ns, struct err *e);

#endif
