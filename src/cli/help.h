/* help.h - help on the program, a module and an action, and the manual page: all from the tables
 * of options (options.c) and actions (api/modules.h).
 */
#ifndef QANAT_CLI_HELP_H
#define QANAT_CLI_HELP_H

#include "api/modules.h"
#include "base/text.h"

/* `qanat --help`: usage, modules, options.  `program` is the name it was called by. */
void help_program(struct buf *out, const char *program);
/* `qanat MODULE --help`: the actions of one module. */
void help_module(struct buf *out, const char *program, struct str module);
/* `qanat MODULE ACTION --help`: parameters with type, range and default. */
void help_action(struct buf *out, const char *program, const struct action *a);
/* `qanat completion --help`, `qanat peer --help`, `qanat serve --help`. */
void help_completion(struct buf *out);
void help_peer(struct buf *out);
void help_serve(struct buf *out);
/* The usage of the reference's program, for phantom-api without enough words. */
void help_reference(struct buf *out, const char *program);
/* qanat(1), and qanat-serve(1), in mdoc. */
void help_man(struct buf *out);
void help_man_serve(struct buf *out);
/* "NUMBER", "TEXT", "true|false", "VALUE": what stands after key= in help and completion. */
const char *help_param_type(const struct action_param *p);

#endif
