/* export.h - the configuration that export_client answers with, as a QR code or as a file.
 *
 * The configuration holds the client's private key: the file is for its owner alone, nothing is
 * overwritten unasked, and a file reported as written is on the disk.
 */
#ifndef QANAT_CLI_EXPORT_H
#define QANAT_CLI_EXPORT_H

#include <jansson.h>

#include "cli/options.h"
#include "cli/term.h"

/* Draws `config` into `out`.  Says how many columns are missing when the terminal is too narrow
 * to show it whole. */
MUST_CHECK enum err_code export_qr(struct buf *out, struct str config, const struct term *t,
				   struct err *e);
/* Makes `path` with mode 0600; one that exists is ERR_EXISTS unless `force`, and
 * what is no regular file in any case.  After a failure
 * nothing is left of the new file. */
MUST_CHECK enum err_code export_file(const char *path, struct str config, bool force,
				     struct err *e);

#endif
