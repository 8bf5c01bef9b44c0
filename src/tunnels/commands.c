#include "tunnels/commands.h"

#include "base/log.h"

enum err_code commands_run(struct core *core, const char *ifname, const char *text, bool goes_on,
			   struct err *e)
{
	return *text ? core->host.hooks(core->host.ctx, ifname, text, goes_on, e) : ERR_OK;
}

void commands_undo(struct core *core, const char *ifname, const char *text)
{
	struct err e;

	if (commands_run(core, ifname, text, true, &e))
		LOG_NOTE("agent.pre_down", F_STR("interface", ifname), F_ERR(&e));
}

enum err_code commands_switch(struct core *core, const struct commands *c, const char *ifname,
			      bool up,
			      enum err_code (*note)(void *ctx, struct str pre_down, struct err *e),
			      void *ctx, struct err *e)
{
	enum err_code rc = ERR_OK;

	commands_undo(core, ifname, c->live);
	if (!up)
		return c->live[0] ? note(ctx, STR(""), e) : ERR_OK;
	/* Before anything is run: who is killed then leaves a note of what to take back. */
	if (strcmp(c->live, c->pre_down) != 0)
		rc = note(ctx, str_of(c->pre_down), e);
	return rc ? rc : commands_run(core, ifname, c->post_up, false, e);
}
