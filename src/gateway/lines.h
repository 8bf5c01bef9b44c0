/* lines.h - between the control socket and the actions: a line in, its answer now or later.
 */
#ifndef QANAT_GATEWAY_LINES_H
#define QANAT_GATEWAY_LINES_H

#include "gateway/control_server.h"
#include "core/core.h"

/* The handler of a control server; `c` is borrowed for as long as that. */
struct control_handler lines_handler(struct core *c);

#endif
