/* files.h - the files that the reference keeps, as views of the store: clients.db (TinyDB),
 * phantom.json, wg_main.conf.
 *
 * Written on demand, never read back but by import_installation.  With `secrets`, private and
 * preshared keys are in them: wipe the text.  Layout: reference 000, State Management.
 */
#ifndef QANAT_CORE_FILES_H
#define QANAT_CORE_FILES_H

#include "core/core.h"

/* Adds the text of the file `name` to `out`; ERR_NOT_FOUND says which there are.  "INTERFACE.conf" is
 * the same as wg_main.conf. */
MUST_CHECK enum err_code file_view(struct buf *out, struct core *c, struct str name, bool secrets,
				   struct err *e);

#endif
