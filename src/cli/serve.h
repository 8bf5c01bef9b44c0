/* serve.h - `qanat serve`: a gateway in the foreground, supervised.
 */
#ifndef QANAT_CLI_SERVE_H
#define QANAT_CLI_SERVE_H

#include "cli/options.h"

/* Runs until a signal ends it or the gateway cannot be kept running; returns the exit status. */
int serve_run(const struct serve_options *o);
/* "1700000000.25" as nanoseconds since 1970. */
MUST_CHECK bool serve_time_parse(struct str text, int64_t *ns);
/* The pause before start number `crashes` + 1 after so many crashes in a row. */
int64_t serve_pause_ns(unsigned crashes);

#endif
