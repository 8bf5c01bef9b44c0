/* helper_process.h - the process that was started: it keeps the rights, and serves the one that does the work.
 *
 *    qanat-gateway (helper)  --socket-->  qanat-gateway (control)    API, store, modules; no rights
 *        |                                     |
 *        +---------- qanat-device <---UAPI-----+                     packets; no rights
 *
 * Starts control, the same program executed anew, and does what it asks (priv/helper.h): the host's network,
 * devices, the listening socket.  Signals are taken here and told.  When control says that it restarts, this
 * process executes itself, so that it keeps its number; when control dies, this process ends as one
 * that crashed, with the host's network left for the next start.
 */
#ifndef QANAT_GATEWAY_HELPER_PROCESS_H
#define QANAT_GATEWAY_HELPER_PROCESS_H

#include "gateway/options.h"
#include "gateway/restart.h"
#include "gateway/rights.h"
#include "priv/helper.h"

/* The argument of the program that makes it control; a descriptor and the command line follow. */
#define CONTROL_ARGUMENT "--as-control"

/* Serves until control has ended; returns the exit status.  Reads files that *o names into it.  `reply_fd`: who waits for the restart that this
 * start is, or -1; taken over. */
int helper_process_run(struct options *o, struct restart *r, int reply_fd);
/* Whether a run that has ended left something on the host. */
bool helper_process_left(const char *state_dir);
/* Puts back what a run that has ended left on the host; nothing when it left nothing. */
enum err_code helper_process_undo(const char *state_dir, struct err *e);

/* ---- control's side ---- */

/* What control begins with. */
struct control_start {
	struct helper *helper; /* owned */
	int log_fd; /* lines of the other processes come here; owned */
	int reply_fd; /* as above, or -1; owned */
	bool restarted; /* goes on where a run before it in the helper's process stopped */
	struct rights_user user; /* whom it becomes */
};
/* Takes it over from the descriptor whose text is given. */
MUST_CHECK enum err_code control_start_take(struct control_start *out, const char *descriptor,
					    struct err *e);

#endif
