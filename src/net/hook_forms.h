/* hook_forms.h - the commands that a hook may be; for this folder only. */
#ifndef QANAT_NET_HOOK_FORMS_H
#define QANAT_NET_HOOK_FORMS_H

#include "base/err.h"

/* `argv` ends in NULL and has at least one word.  ERR_INVALID names the word that no form takes. */
MUST_CHECK enum err_code hook_form_check(const char *const argv[], struct err *e);
/* Where the program argv[0] may be, ending in NULL, and its package; NULL for another program. */
const char *const *hook_form_paths(const char *program, const char **package);

#endif
