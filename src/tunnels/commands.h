/* commands.h - the PostUp and PreDown commands of an interface, and taking back what they did.
 *
 * Before commands are run, what would take them back is noted in the store: whoever starts after a
 * kill then takes it back.  Who has the rights runs them (core_host), without a shell (net/hooks.h).  The
 * loop's thread, which waits for them.
 */
#ifndef QANAT_TUNNELS_COMMANDS_H
#define QANAT_TUNNELS_COMMANDS_H

#include "core/core.h"

/* Two of them, one after the other, are one value of the store. */
#define COMMANDS_MAX 2040

struct commands {
	char live[STORE_VALUE_MAX + 1]; /* would take back what nobody has taken back yet */
	char post_up[COMMANDS_MAX + 1], pre_down[COMMANDS_MAX + 1];
};

/* Runs a text of commands; empty: none.  With `goes_on` the rest is run when one fails. */
MUST_CHECK enum err_code commands_run(struct core *core, const char *ifname, const char *text,
				      bool goes_on, struct err *e);
/* The same for taking back: what is gone already is no failure, and only logged. */
void commands_undo(struct core *core, const char *ifname, const char *text);
/* Takes back what is live; with `up`, then runs post_up.  note(ctx, text) keeps what is live from then
 * on. */
MUST_CHECK enum err_code commands_switch(struct core *core, const struct commands *c,
					 const char *ifname, bool up,
					 enum err_code (*note)(void *ctx, struct str pre_down,
							       struct err *e),
					 void *ctx, struct err *e);

#endif
