/* process.h - how a program of ours that holds keys stands in the system.
 *
 * Once, first thing in main and again after each exec, before threads start.
 */
#ifndef QANAT_BASE_PROCESS_H
#define QANAT_BASE_PROCESS_H

#include "base/err.h"

/* Keys in memory are for nobody else, and files for the owner alone: no core dumps, no tracing, no
 * new privileges by exec, umask 077.  Descriptors 0 to 2 are open afterwards (else a socket could
 * get such a number, and a stray message), and a reader that goes away is an error, no signal. */
MUST_CHECK enum err_code process_harden(struct err *e);
/* Of that, what the kernel forgets when a process becomes another user: its memory is for nobody else. */
MUST_CHECK enum err_code process_hide(struct err *e);

#endif
