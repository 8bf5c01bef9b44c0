/* complete.h - completion scripts for bash and zsh, written from the tables of options and
 * actions, so that they never lag behind.
 *
 * Client names are asked from the gateway by `qanat completion clients PREFIX`, which prints
 * nothing but names of letters, digits, '-' and '_', and the scripts never evaluate them.
 */
#ifndef QANAT_CLI_COMPLETE_H
#define QANAT_CLI_COMPLETE_H

#include "base/text.h"

void complete_bash(struct buf *out);
void complete_zsh(struct buf *out);

#endif
