/* POST /v1/wg/{iface}/enable and .../disable, DELETE /v1/wg/{iface}. */
#include "base/fault.h"
#include "base/log.h"
#include "agent/iface.h"

bool agent_is_up(const struct agent_iface *i)
{
	struct dataplane_status d = { 0 };

	return i->ops->status(i, &d) && d.up;
}

enum err_code agent_step(const char *name, struct err *e)
{
	(void)name;
	if (FAULT(name))
		return err_set(e, ERR_IO, "failure injected at %s", name);
	return ERR_OK;
}

void agent_undone(enum err_code rc, const struct err *e)
{
	if (rc)
		LOG_ERR("agent.undo_failed", F_ERR(e));
}

/* ---- commands ---- */

static enum err_code note(void *ctx, struct str pre_down, struct err *e)
{
	const struct agent_iface *i = ctx;

	return i->ops->note(i, pre_down, e);
}

static enum err_code switch_commands(const struct agent_iface *i, bool up, struct err *e)
{
	struct agent_iface of = *i;
	struct commands c;
	enum err_code rc = i->ops->commands(i, &c, e);

	return rc ? rc : commands_switch(i->a->c.core, &c, i->ifname, up, note, &of, e);
}

/* ---- up and down ---- */

static enum err_code switch_make(const struct agent_iface *i, bool up, struct err *e)
{
	struct store *s = i->a->c.core->store;
	enum err_code rc = up && i->ops->before_up ? i->ops->before_up(i, e) : ERR_OK;

	if (rc == ERR_OK)
		rc = store_begin(s, e);
	if (rc)
		return rc;
	rc = i->ops->store_up(i, up, e);
	if (rc == ERR_OK)
		rc = agent_step("agent.stored", e);
	if (rc == ERR_OK)
		rc = i->ops->make_up(i, up, e);
	if (rc == ERR_OK)
		rc = agent_step("agent.net", e);
	return rc ? rc : store_commit(s, e);
}

static void switch_undo(const struct agent_iface *i, bool up)
{
	struct err e;

	store_rollback(i->a->c.core->store);
	agent_undone(i->ops->make_up(i, !up, &e), &e);
}

/* Down: the commands first, while the interface is up; up: the interface first. */
static enum err_code switch_run(const struct agent_iface *i, bool up, bool *commands_failed,
				struct err *e)
{
	enum err_code rc = up ? ERR_OK : switch_commands(i, false, e);
	struct err ignored;

	if (rc == ERR_OK)
		rc = switch_make(i, up, e);
	if (rc) {
		switch_undo(i, up);
		if (!up)
			agent_undone(switch_commands(i, true, &ignored), &ignored);
		return rc;
	}
	if (!up)
		return ERR_OK;
	rc = switch_commands(i, true, e);
	if (rc == ERR_OK)
		return ERR_OK;
	*commands_failed = true;
	agent_undone(switch_commands(i, false, &ignored), &ignored);
	agent_undone(switch_make(i, false, &ignored), &ignored);
	return err_wrap(e, rc, "post_up");
}

static bool is_so(const struct agent_iface *i, bool up)
{
	return agent_is_up(i) == up && i->ops->is_disabled(i) != up;
}

bool agent_switch_is_done(struct agent *a, const struct http_request *r)
{
	bool up = r->route->handler == agent_enable;
	struct agent_iface i;

	return (up || r->route->handler == agent_disable) &&
	       agent_iface_named(a, http_param(r, "iface"), false, &i) && is_so(&i, up);
}

/* What somebody else has, 409; all else is ours. */
static unsigned failure_status(const struct err *e, bool commands_failed)
{
	return commands_failed || e->code == ERR_IN_USE || e->code == ERR_EXISTS ? 409 : 500;
}

static bool switch_to(struct http_request *r, const struct agent_iface *i, bool up, bool *was_up)
{
	bool differs, commands_failed = false;
	struct err e;

	*was_up = agent_is_up(i);
	differs = !is_so(i, up);
	if (differs && switch_run(i, up, &commands_failed, &e)) {
		LOG_ERR("agent.switch_failed", F_STR("interface", i->ifname), F_ERR(&e));
		agent_error(r, failure_status(&e, commands_failed), "Failed to %s interface: %s",
			    up ? "enable" : "disable", e.msg);
		return false;
	}
	if (differs)
		LOG_NOTE("agent.switched", F_STR("interface", i->ifname),
			 F_STR("to", up ? "up" : "down"), F_STR("by", i->a->key_id),
			 F_ENDPOINT("from", &r->peer));
	return true;
}

static void switch_serve(struct http_request *r, struct agent *a, bool up)
{
	struct agent_iface i;
	bool was_up;

	if (!agent_iface_find(a, r, &i) || !switch_to(r, &i, up, &was_up))
		return;
	agent_json(r, 200,
		   json_pack("{s:s,s:o,s:b}", "status", "success", "message",
			     json_sprintf("Interface %s %s", i.ifname, up ? "enabled" : "disabled"),
			     up ? "was_down" : "was_up", up ? !was_up : was_up));
}

void agent_enable(struct http_request *r, void *ctx)
{
	switch_serve(r, ctx, true);
}

void agent_disable(struct http_request *r, void *ctx)
{
	switch_serve(r, ctx, false);
}

/* ---- for good ---- */

static enum err_code remove_run(const struct agent_iface *i, struct err *e)
{
	struct store *s = i->a->c.core->store;
	enum err_code rc = store_begin(s, e);

	if (rc)
		return rc;
	rc = i->ops->remove(i, e);
	if (rc == ERR_OK)
		rc = agent_step("agent.stored", e);
	if (rc == ERR_OK)
		rc = store_commit(s, e);
	if (rc)
		store_rollback(s);
	else
		i->ops->forget(i);
	return rc;
}

void agent_delete(struct http_request *r, void *ctx)
{
	struct agent_iface i;
	char name[16];
	bool was_up;
	struct err e;

	if (!agent_iface_find(ctx, r, &i))
		return;
	if (!i.ops->remove) {
		agent_error(r, 409,
			    "Interface %s is the gateway's own and ends with it; POST "
			    "/v1/wg/%s/disable takes it down",
			    i.ifname, i.ifname);
		return;
	}
	BUG_ON(!str_copy(name, sizeof name, str_of(i.ifname)));
	if (!switch_to(r, &i, false, &was_up))
		return;
	if (remove_run(&i, &e)) {
		agent_fail(r, &e);
		return;
	}
	LOG_NOTE("agent.removed", F_STR("interface", name), F_STR("by", i.a->key_id),
		 F_ENDPOINT("from", &r->peer));
	agent_json(r, 200,
		   json_pack("{s:s,s:o}", "status", "success", "message",
			     json_sprintf("Interface %s deleted", name)));
}
