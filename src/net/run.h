/* run.h - runs one of the host's programs without a shell: fixed argv, fixed environment, its
 * input and output in memory, an end to waiting.  For this folder only.
 */
#ifndef QANAT_NET_RUN_H
#define QANAT_NET_RUN_H

#include "base/err.h"
#include "base/text.h"

#define RUN_TIMEOUT_MS 10000
#define RUN_OUTPUT_MAX (4u << 20)

/* From now on each program that is run keeps `fd` open until its end, as descriptor 3, also when this
 * process ends before it; -1: none.  `fd` is borrowed.  The one thing here that the process remembers. */
void run_keep_open(int fd);

/* `paths` and `argv` end in NULL; the first path that may be executed is run, as argv[0] says.
 * `output` gets what it printed (stdout), may be NULL.  `package` is named when none is there
 * (ERR_MISSING).  An exit status other than 0 is ERR_IO with the first line of its stderr. */
MUST_CHECK enum err_code run_program(const char *const paths[], const char *package,
				     const char *const argv[], struct str input, struct buf *output,
				     struct err *e);

#endif
