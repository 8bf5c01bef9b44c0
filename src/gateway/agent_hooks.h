/* agent_hooks.h - the PostUp and PreDown commands of an interface, and taking back what they did.
 *
 * Before commands are run, what would take them back is noted in the store: whoever starts after a
 * kill then takes it back.  Who has the rights runs them (core_host), without a shell (net/hooks.h).  The
 * loop's thread, which waits for them.
 */
#ifndef QANAT_GATEWAY_AGENT_HOOKS_H
#define QANAT_GATEWAY_AGENT_HOOKS_H

#include "gateway/core.h"

/* Two of them, one after the other, are one value of the store. */
#define AGENT_HOOKS_MAX 2040

struct agent_commands {
	char live[STORE_VALUE_MAX + 1]; /* would take back what nobody has taken back yet */
	char post_up[AGENT_HOOKS_MAX + 1], pre_down[AGENT_HOOKS_MAX + 1];
};

/* Runs a text of commands; empty: none.  With `goes_on` the rest is run when one fails. */
MUST_CHECK enum err_code agent_commands_run(struct core *core, const char *ifname, const char *text,
					    bool goes_on, struct err *e);
/* The same for taking back: what is gone already is no failure, and only logged. */
void agent_commands_undo(struct core *core, const char *ifname, const char *text);
/* Takes back what is live; with `up`, then runs post_up.  note(ctx, text) keeps what is live from then
 * on. */
MUST_CHECK enum err_code agent_commands_switch(struct core *core, const struct agent_commands *c,
					       const char *ifname, bool up,
					       enum err_code (*note)(void *ctx, struct str pre_down,
								     struct err *e),
					       void *ctx, struct err *e);

#endif
