/* The gateway's own interface behind the table of operations: settings, clients, core's host. */
#include "agent/own.h"

#include "agent/tunnel.h"
#include "store/agent.h"

/* Names of settings of the store. */
#define POST_UP "agent.post_up"
#define PRE_DOWN "agent.pre_down"
#define TABLE "agent.table"
#define DISABLED "agent.disabled"
#define HOOKS_LIVE "agent.hooks_live"

static struct core *core_of(const struct agent_iface *i)
{
	return i->a->c.core;
}

/* A setting that may be missing: then empty.  ERR_CORRUPT when it is longer than out[cap] takes. */
static enum err_code setting(struct store *s, const char *name, char *out, size_t cap,
			     struct err *e)
{
	AUTO(buf_done) struct buf text = { .limit = STORE_VALUE_MAX };
	enum err_code rc = store_setting(s, name, &text, e);

	out[0] = 0;
	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if (rc == ERR_OK && !str_copy(out, cap, buf_view(&text)))
		rc = err_set(e, ERR_CORRUPT, "stored setting %s has %zu bytes", name, text.n);
	return rc;
}

/* ---- configuration ---- */

static void address_add(struct agent_conf *c, const struct ip_prefix *network)
{
	if (network->addr.family != IP_NONE)
		c->addresses[c->address_count++] = settings_server_address(network);
}

static enum err_code own_load(const struct agent_iface *i, struct agent_conf *out, struct err *e)
{
	const struct settings *from = &core_of(i)->settings;
	struct store *s = core_of(i)->store;
	enum err_code rc;

	*out = (struct agent_conf){ .port = from->port, .mtu = from->mtu };
	BUG_ON(!str_copy(out->ifname, sizeof out->ifname, str_of(from->ifname)));
	memcpy(out->dns, from->dns, sizeof out->dns);
	address_add(out, &from->network);
	address_add(out, &from->network6);
	rc = store_secret(s, CORE_SERVER_KEY, out->private_key.b, KEY_LEN, e);
	if (rc == ERR_OK)
		rc = setting(s, TABLE, out->table, sizeof out->table, e);
	if (rc == ERR_OK)
		rc = setting(s, POST_UP, out->post_up, sizeof out->post_up, e);
	if (rc == ERR_OK)
		rc = setting(s, PRE_DOWN, out->pre_down, sizeof out->pre_down, e);
	return rc;
}

static bool has_address(const struct agent_conf *c, const struct ip_prefix *p)
{
	for (size_t i = 0; i < c->address_count; i++) {
		if (ip_eq(&p->addr, &c->addresses[i].addr) && p->len == c->addresses[i].len)
			return true;
	}
	return false;
}

/* The network of the clients is what their addresses are in: a change of it is another matter, and
 * here only said to be as it is. */
static enum err_code own_set_addresses(const struct agent_iface *i, struct agent_conf *c,
				       const struct ip_prefix *p, size_t n, struct err *e)
{
	char shown[PREFIX_TEXT_MAX], first[PREFIX_TEXT_MAX], second[PREFIX_TEXT_MAX];

	for (size_t k = 0; k < n; k++) {
		if (has_address(c, &p[k]))
			continue;
		ip_prefix_format(shown, &p[k]);
		ip_prefix_format(first, &c->addresses[0]);
		ip_prefix_format(second, &c->addresses[c->address_count - 1]);
		return err_set(e, ERR_INVALID,
			       "address: %s is not %s%s%s; the network of %s is changed by "
			       "change_subnet, which moves its clients",
			       shown, first, c->address_count > 1 ? ", " : "",
			       c->address_count > 1 ? second : "", i->ifname);
	}
	return ERR_OK;
}

static enum err_code own_check(const struct agent_iface *i, const struct agent_conf *old,
			       const struct agent_conf *new, struct err *e)
{
	const char *owner = new->port != old->port ? agent_port_owner(i, new->port) : NULL;
	struct public_key own;
	bool known = false;
	enum err_code rc;

	if (owner)
		return err_set(e, ERR_IN_USE, "listen_port: UDP port %u is that of interface %s",
			       new->port, owner);
	public_key_of(&own, &new->private_key);
	rc = store_client_key_known(core_of(i)->store, &own, &known, e);
	if (rc == ERR_OK && known)
		rc = err_set(e, ERR_INVALID, "private_key: it is that of one of the peers");
	return rc;
}

static void settings_fill(struct settings *s, const struct agent_conf *c)
{
	s->port = c->port;
	s->mtu = c->mtu;
	memcpy(s->dns, c->dns, sizeof s->dns);
}

static enum err_code settings_changed(struct core *core, const struct settings *new, struct err *e)
{
	static const enum setting which[] = { SETTING_PORT, SETTING_MTU, SETTING_DNS_PRIMARY,
					      SETTING_DNS_SECONDARY };
	AUTO(buf_done) struct buf old_text = { 0 };
	AUTO(buf_done) struct buf new_text = { 0 };
	enum err_code rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < ARRAY_LEN(which); i++) {
		buf_clear(&old_text);
		buf_clear(&new_text);
		settings_format(&core->settings, which[i], &old_text);
		settings_format(new, which[i], &new_text);
		if (str_eq(buf_view(&old_text), buf_view(&new_text)))
			continue;
		rc = settings_put(new, core->store, which[i], e);
		if (rc == ERR_OK)
			rc = settings_overrule(core->store, which[i], core->given->v[which[i]], e);
	}
	return rc;
}

static enum err_code text_store(struct store *s, const char *name, const char *old, const char *new,
				struct err *e)
{
	return strcmp(old, new) == 0 ? ERR_OK : store_set_setting(s, name, str_of(new), e);
}

static enum err_code own_store(const struct agent_iface *i, const struct agent_conf *old,
			       const struct agent_conf *new, struct err *e)
{
	struct store *s = core_of(i)->store;
	struct settings to = core_of(i)->settings;
	enum err_code rc;

	settings_fill(&to, new);
	rc = settings_changed(core_of(i), &to, e);
	if (rc == ERR_OK && !ct_equal(&old->private_key, &new->private_key, KEY_LEN))
		rc = store_set_secret(s, CORE_SERVER_KEY, new->private_key.b, KEY_LEN, e);
	if (rc == ERR_OK)
		rc = text_store(s, TABLE, old->table, new->table, e);
	if (rc == ERR_OK)
		rc = text_store(s, POST_UP, old->post_up, new->post_up, e);
	if (rc == ERR_OK)
		rc = text_store(s, PRE_DOWN, old->pre_down, new->pre_down, e);
	return rc;
}

/* What clients are told and what others read is that of the device. */
static void own_take(const struct agent_iface *i, const struct agent_conf *c)
{
	settings_fill(&core_of(i)->settings, c);
	public_key_of(&core_of(i)->server_key, &c->private_key);
}

/* ---- device and host ---- */

static bool own_status(const struct agent_iface *i, struct dataplane_status *out)
{
	core_of(i)->host.status(core_of(i)->host.ctx, out);
	return true;
}

static enum err_code own_set_server(const struct agent_iface *i, const struct secret_key *k,
				    uint16_t port, struct err *e)
{
	return core_of(i)->host.set_server(core_of(i)->host.ctx, k, port, e);
}

static enum err_code own_apply(const struct agent_iface *i, struct err *e)
{
	return core_of(i)->host.apply(core_of(i)->host.ctx, e);
}

static enum err_code own_walk(const struct agent_iface *i, device_peer_fn *fn, void *arg,
			      struct err *e)
{
	return core_of(i)->host.walk_peers(core_of(i)->host.ctx, fn, arg, e);
}

/* ---- commands ---- */

static enum err_code commands_load(struct store *s, struct commands *out, struct err *e)
{
	enum err_code rc = setting(s, HOOKS_LIVE, out->live, sizeof out->live, e);

	if (rc == ERR_OK)
		rc = setting(s, POST_UP, out->post_up, sizeof out->post_up, e);
	if (rc == ERR_OK)
		rc = setting(s, PRE_DOWN, out->pre_down, sizeof out->pre_down, e);
	return rc;
}

static enum err_code own_commands(const struct agent_iface *i, struct commands *out, struct err *e)
{
	return commands_load(core_of(i)->store, out, e);
}

static enum err_code own_note(const struct agent_iface *i, struct str pre_down, struct err *e)
{
	return store_set_setting(core_of(i)->store, HOOKS_LIVE, pre_down, e);
}

static enum err_code note(void *ctx, struct str pre_down, struct err *e)
{
	return store_set_setting(ctx, HOOKS_LIVE, pre_down, e);
}

enum err_code agent_hooks(struct core *core, const char *ifname, bool up, struct err *e)
{
	struct commands c;
	enum err_code rc = commands_load(core->store, &c, e);

	return rc ? rc : commands_switch(core, &c, ifname, up, note, core->store, e);
}

/* ---- up and down ---- */

enum err_code agent_is_disabled(struct store *s, bool *out, struct err *e)
{
	char text[8];
	enum err_code rc = setting(s, DISABLED, text, sizeof text, e);

	*out = rc == ERR_OK && strcmp(text, "true") == 0;
	return rc;
}

static bool own_is_disabled(const struct agent_iface *i)
{
	return core_of(i)->is_disabled;
}

static enum err_code own_store_up(const struct agent_iface *i, bool up, struct err *e)
{
	return store_set_setting(core_of(i)->store, DISABLED, up ? STR("false") : STR("true"), e);
}

static enum err_code own_make_up(const struct agent_iface *i, bool up, struct err *e)
{
	core_of(i)->is_disabled = !up;
	return own_apply(i, e);
}

/* ---- the table ---- */

static const struct agent_iface_ops ops = {
	.load = own_load,
	.set_addresses = own_set_addresses,
	.check = own_check,
	.store = own_store,
	.take = own_take,
	.peers_text = agent_clients_text,
	.status = own_status,
	.set_server = own_set_server,
	.apply = own_apply,
	.walk = own_walk,
	.commands = own_commands,
	.note = own_note,
	.is_disabled = own_is_disabled,
	.store_up = own_store_up,
	.make_up = own_make_up,
	.peer_known = agent_client_known,
	.peer_store = agent_client_store,
	.peer_remove = agent_client_remove,
	.peer_live = agent_client_live,
	.sync = agent_clients_sync,
};

struct agent_iface agent_own(struct agent *a)
{
	struct agent_iface i = { .ops = &ops, .a = a };

	BUG_ON(!str_copy(i.ifname, sizeof i.ifname, str_of(a->c.core->settings.ifname)));
	return i;
}
