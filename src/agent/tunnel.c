/* A further interface behind the table of operations: its row of the store, its device. */
#include "agent/tunnel.h"

#include "core/interfaces.h"

#define PORT_FIRST 51820 /* where the search for a free one begins */
#define MTU_DEFAULT 1420

static struct core *core_of(const struct agent_iface *i)
{
	return i->a->c.core;
}

struct tunnel *agent_tunnel_of(const struct agent_iface *i)
{
	return tunnels_find(core_of(i)->tunnels, str_of(i->ifname));
}

/* ---- configuration ---- */

static void conf_of(struct agent_conf *out, const struct store_tunnel *row)
{
	_Static_assert(sizeof out->post_up == sizeof row->post_up, "one limit");
	_Static_assert(sizeof out->table == sizeof row->table, "one limit");
	_Static_assert(ARRAY_LEN(out->addresses) == ARRAY_LEN(row->addresses), "one limit");
	*out = (struct agent_conf){ .private_key = row->private_key,
				    .port = row->port,
				    .mtu = row->mtu,
				    .address_count = row->address_count };
	memcpy(out->ifname, row->name, sizeof out->ifname);
	memcpy(out->addresses, row->addresses, sizeof out->addresses);
	memcpy(out->dns, row->dns, sizeof out->dns);
	memcpy(out->table, row->table, sizeof out->table);
	memcpy(out->post_up, row->post_up, sizeof out->post_up);
	memcpy(out->pre_down, row->pre_down, sizeof out->pre_down);
}

static void row_of(struct store_tunnel *out, const struct agent_conf *c)
{
	*out = (struct store_tunnel){ .private_key = c->private_key,
				      .port = c->port,
				      .mtu = c->mtu,
				      .address_count = c->address_count };
	memcpy(out->name, c->ifname, sizeof out->name);
	memcpy(out->addresses, c->addresses, sizeof out->addresses);
	memcpy(out->dns, c->dns, sizeof out->dns);
	memcpy(out->table, c->table, sizeof out->table);
	memcpy(out->post_up, c->post_up, sizeof out->post_up);
	memcpy(out->pre_down, c->pre_down, sizeof out->pre_down);
}

static enum err_code tunnel_load(const struct agent_iface *i, struct agent_conf *out, struct err *e)
{
	struct store_tunnel row = { 0 };
	enum err_code rc = store_tunnel(core_of(i)->store, i->ifname, true, &row, e);

	if (rc == ERR_OK)
		conf_of(out, &row);
	store_tunnel_done(&row);
	return rc;
}

/* The first that nobody has, here or elsewhere on the host. */
static uint16_t port_choose(const struct agent_iface *i);

static void tunnel_begin(const struct agent_iface *i, struct agent_conf *out)
{
	*out = (struct agent_conf){ .mtu = MTU_DEFAULT, .port = port_choose(i) };
	BUG_ON(!str_copy(out->ifname, sizeof out->ifname, str_of(i->ifname)));
}

/* ---- addresses ---- */

static bool in_network(const struct ip_addr *a, const char *network)
{
	struct ip_prefix p;

	BUG_ON(!ip_prefix_parse(str_of(network), &p));
	return ip_prefix_contains(&p, a);
}

static bool is_for_hosts(const struct ip_addr *a)
{
	static const char *const v4[] = { "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16",
					  "224.0.0.0/3" };
	static const char *const v6[] = { "::/8", "fe80::/10", "ff00::/8" };
	const char *const *list = a->family == IP_V4 ? v4 : v6;
	size_t n = a->family == IP_V4 ? ARRAY_LEN(v4) : ARRAY_LEN(v6);

	for (size_t i = 0; i < n; i++) {
		if (in_network(a, list[i]))
			return false;
	}
	return true;
}

/* One that a host of the network can have. */
static enum err_code address_check(const struct ip_prefix *p, struct err *e)
{
	unsigned bits = ip_bits(p->addr.family);
	struct ip_prefix net = *p;
	struct ip_addr last;
	char text[PREFIX_TEXT_MAX];

	ip_prefix_format(text, p);
	ip_prefix_mask(&net);
	if (!is_for_hosts(&p->addr))
		return err_set(e, ERR_INVALID,
			       "address: %s is not one that a host can be routed at", text);
	if (p->len < 8)
		return err_set(e, ERR_INVALID,
			       "address: %s: a network of less than /8 is too large", text);
	if (p->len < bits - 1 && ip_eq(&net.addr, &p->addr))
		return err_set(e, ERR_INVALID,
			       "address: %s is the network's own address, not that of a host",
			       text);
	if (p->addr.family == IP_V4 && p->len < 31 &&
	    ip_prefix_host(&net, ip_prefix_size(&net) - 1, &last) && ip_eq(&last, &p->addr))
		return err_set(e, ERR_INVALID,
			       "address: %s is the broadcast address of its network", text);
	return ERR_OK;
}

static enum err_code tunnel_set_addresses(const struct agent_iface *i, struct agent_conf *c,
					  const struct ip_prefix *p, size_t n, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (!n)
		return err_set(e, ERR_INVALID, "address: interface %s needs at least one",
			       i->ifname);
	for (size_t k = 0; rc == ERR_OK && k < n; k++) {
		rc = address_check(&p[k], e);
		for (size_t m = 0; rc == ERR_OK && m < k; m++) {
			if (ip_eq(&p[m].addr, &p[k].addr))
				rc = err_set(e, ERR_INVALID, "address: one stands twice");
		}
	}
	if (rc)
		return rc;
	memset(c->addresses, 0, sizeof c->addresses);
	memcpy(c->addresses, p, n * sizeof *p);
	c->address_count = n;
	return ERR_OK;
}

/* ---- what others have ---- */

struct overlap {
	const char *ifname, *own;
	const struct ip_prefix *p;
	size_t n;
	const struct ip_prefix *found; /* of `p` */
	struct ip_prefix with;
	char of[IFNAME_LEN_MAX + 1];
};

static bool overlap_look(void *ctx, const char *ifname, const struct ip_prefix *address)
{
	struct overlap *o = ctx;

	/* The gateway's own networks are compared as they are stored. */
	if (!strcmp(ifname, o->ifname) || !strcmp(ifname, o->own) || !is_for_hosts(&address->addr))
		return true;
	for (size_t i = 0; i < o->n && !o->found; i++) {
		if (!ip_prefix_overlap(&o->p[i], address))
			continue;
		o->found = &o->p[i];
		o->with = *address;
		(void)!str_copy(o->of, sizeof o->of, str_of(ifname));
	}
	return !o->found;
}

static void overlap_own(struct overlap *o, const struct settings *s)
{
	const struct ip_prefix *own[] = { &s->network, &s->network6 };

	for (size_t k = 0; k < ARRAY_LEN(own); k++) {
		for (size_t i = 0; i < o->n && !o->found; i++) {
			if (own[k]->addr.family == IP_NONE || !ip_prefix_overlap(&o->p[i], own[k]))
				continue;
			o->found = &o->p[i];
			o->with = *own[k];
			(void)!str_copy(o->of, sizeof o->of, str_of(s->ifname));
		}
	}
}

static enum err_code overlap_check(const struct agent_iface *i, const struct ip_prefix *p, size_t n,
				   struct err *e)
{
	const struct core *core = core_of(i);
	struct overlap o = { .ifname = i->ifname, .own = core->settings.ifname, .p = p, .n = n };
	char text[PREFIX_TEXT_MAX], with[PREFIX_TEXT_MAX];
	enum err_code rc;

	overlap_own(&o, &core->settings);
	LIST_FOR(pos, &core->tunnels->list) {
		const struct tunnel *t = CONTAINER_OF(pos, struct tunnel, node);

		for (size_t k = 0; k < t->address_count; k++)
			(void)overlap_look(&o, t->name, &t->addresses[k]);
	}
	rc = o.found ? ERR_OK : core->host.interfaces(core->host.ctx, overlap_look, &o, e);
	if (rc || !o.found)
		return rc;
	ip_prefix_format(text, o.found);
	ip_prefix_format(with, &o.with);
	return err_set(e, ERR_IN_USE, "address: %s overlaps with %s of interface %s", text, with,
		       o.of);
}

const char *agent_port_owner(const struct agent_iface *i, uint16_t port)
{
	const struct core *core = core_of(i);

	if (port == core->settings.port && strcmp(core->settings.ifname, i->ifname) != 0)
		return core->settings.ifname;
	if (!core->tunnels)
		return NULL;
	LIST_FOR(pos, &core->tunnels->list) {
		const struct tunnel *t = CONTAINER_OF(pos, struct tunnel, node);

		if (t->port == port && strcmp(t->name, i->ifname) != 0)
			return t->name;
	}
	return NULL;
}

static uint16_t port_choose(const struct agent_iface *i)
{
	for (unsigned port = PORT_FIRST; port <= UINT16_MAX; port++) {
		if (!agent_port_owner(i, (uint16_t)port) &&
		    agent_port_free((uint16_t)port, NULL) == ERR_OK)
			return (uint16_t)port;
	}
	return PORT_FIRST; /* somebody's, which the check says */
}

static size_t tunnel_count(const struct core *core)
{
	size_t n = 0;

	LIST_FOR(pos, &core->tunnels->list) {
		n++;
	}
	return n;
}

static enum err_code name_check(const struct agent_iface *i, struct err *e)
{
	bool exists = false;
	enum err_code rc;

	if (tunnel_count(core_of(i)) >= STORE_TUNNELS_MAX)
		return err_set(e, ERR_IN_USE,
			       "interface %s would be one too many: there are %d beside the "
			       "gateway's own, and no more are possible",
			       i->ifname, STORE_TUNNELS_MAX);
	rc = interfaces_have(i->ifname, &exists, e);
	if (rc == ERR_OK && exists)
		rc = err_set(e, ERR_IN_USE,
			     "interface %s exists on this host already, and is not this "
			     "gateway's",
			     i->ifname);
	return rc;
}

static enum err_code key_check(const struct agent_iface *i, const struct agent_conf *c,
			       struct err *e)
{
	struct public_key own;
	bool known = false;
	enum err_code rc;

	public_key_of(&own, &c->private_key);
	rc = store_tunnel_peer_known(core_of(i)->store, i->ifname, &own, &known, e);
	if (rc == ERR_OK && known)
		rc = err_set(e, ERR_INVALID, "private_key: it is that of one of the peers");
	return rc;
}

static enum err_code tunnel_check(const struct agent_iface *i, const struct agent_conf *old,
				  const struct agent_conf *new, struct err *e)
{
	const char *owner = new->port != old->port ? agent_port_owner(i, new->port) : NULL;
	enum err_code rc = agent_tunnel_of(i) ? ERR_OK : name_check(i, e);

	if (rc == ERR_OK && !new->address_count)
		rc = err_set(e, ERR_MISSING,
			     "address: a new interface needs at least one, such as 10.9.0.1/24");
	if (rc == ERR_OK && owner)
		rc = err_set(e, ERR_IN_USE, "listen_port: UDP port %u is that of interface %s",
			     new->port, owner);
	if (rc == ERR_OK && !agent_addresses_same(old, new))
		rc = overlap_check(i, new->addresses, new->address_count, e);
	return rc ? rc : key_check(i, new, e);
}

static enum err_code tunnel_store(const struct agent_iface *i, const struct agent_conf *old,
				  const struct agent_conf *new, struct err *e)
{
	struct store_tunnel row;
	enum err_code rc;

	(void)old;
	row_of(&row, new);
	rc = store_tunnel_put(core_of(i)->store, &row, e);
	store_tunnel_done(&row);
	return rc;
}

/* Without a port it is what was before a new one: nothing. */
static void tunnel_take(const struct agent_iface *i, const struct agent_conf *c)
{
	struct tunnel *t = agent_tunnel_of(i);
	struct store_tunnel row;

	if (!c->port) {
		if (t)
			tunnels_forget(t);
		return;
	}
	row_of(&row, c);
	BUG_ON(!tunnels_set(core_of(i)->tunnels, &row)); /* a few hundred bytes */
	store_tunnel_done(&row);
}

/* ---- device and host ---- */

static bool tunnel_status(const struct agent_iface *i, struct dataplane_status *out)
{
	const struct tunnel *t = agent_tunnel_of(i);

	*out = (struct dataplane_status){ 0 };
	if (!t || !t->backend)
		return false;
	backend_status(t->backend, out);
	return true;
}

static enum err_code tunnel_set_server(const struct agent_iface *i, const struct secret_key *k,
				       uint16_t port, struct err *e)
{
	const struct tunnel *t = agent_tunnel_of(i);

	return t && t->backend ? backend_set_server(t->backend, k, port, e) : ERR_OK;
}

static enum err_code tunnel_apply(const struct agent_iface *i, struct err *e)
{
	const struct tunnel *t = agent_tunnel_of(i);

	return t && t->backend ? core_of(i)->host.apply(core_of(i)->host.ctx, e) : ERR_OK;
}

/* ---- commands ---- */

static enum err_code tunnel_get_commands(const struct agent_iface *i, struct commands *out,
					 struct err *e)
{
	return tunnel_commands_load(agent_tunnel_of(i), out, e);
}

static enum err_code tunnel_note(const struct agent_iface *i, struct str pre_down, struct err *e)
{
	return store_tunnel_set_hooks_live(core_of(i)->store, i->ifname, pre_down, e);
}

/* ---- up and down ---- */

static bool tunnel_is_disabled(const struct agent_iface *i)
{
	return !agent_tunnel_of(i)->enabled;
}

/* The host may have got other networks since. */
static enum err_code tunnel_before_up(const struct agent_iface *i, struct err *e)
{
	struct tunnel *t = agent_tunnel_of(i);
	enum err_code rc = overlap_check(i, t->addresses, t->address_count, e);

	t->losses = 0;
	return rc ? rc : tunnel_announce(t, e);
}

static enum err_code tunnel_store_up(const struct agent_iface *i, bool up, struct err *e)
{
	return store_tunnel_set_enabled(core_of(i)->store, i->ifname, up, e);
}

static enum err_code tunnel_make_up(const struct agent_iface *i, bool up, struct err *e)
{
	struct core *core = core_of(i);
	struct tunnel *t = agent_tunnel_of(i);
	enum err_code rc;

	t->enabled = up;
	if (up) {
		rc = tunnel_open(t, e);
	} else {
		tunnel_close(t);
		rc = tunnel_renounce(t, e);
	}
	return rc ? rc : core->host.apply(core->host.ctx, e);
}

static enum err_code tunnel_remove(const struct agent_iface *i, struct err *e)
{
	return store_tunnel_remove(core_of(i)->store, i->ifname, e);
}

static void tunnel_forget(const struct agent_iface *i)
{
	tunnels_forget(agent_tunnel_of(i));
}

/* ---- the table ---- */

static const struct agent_iface_ops ops = {
	.load = tunnel_load,
	.begin = tunnel_begin,
	.set_addresses = tunnel_set_addresses,
	.check = tunnel_check,
	.store = tunnel_store,
	.take = tunnel_take,
	.peers_text = agent_tunnel_peers_text,
	.status = tunnel_status,
	.set_server = tunnel_set_server,
	.apply = tunnel_apply,
	.walk = agent_tunnel_walk,
	.commands = tunnel_get_commands,
	.note = tunnel_note,
	.is_disabled = tunnel_is_disabled,
	.before_up = tunnel_before_up,
	.store_up = tunnel_store_up,
	.make_up = tunnel_make_up,
	.remove = tunnel_remove,
	.forget = tunnel_forget,
	.peer_known = agent_tunnel_peer_known,
	.peer_store = agent_tunnel_peer_store,
	.peer_remove = agent_tunnel_peer_remove,
	.peer_live = agent_tunnel_peer_live,
	.sync = agent_tunnel_sync,
};

bool agent_tunnel(struct agent *a, struct str name, bool may_be_new, struct agent_iface *out)
{
	const struct tunnel *t = tunnels_find(a->c.core->tunnels, name);

	if (!t && (!may_be_new || !a->c.core->tunnels || !ifname_ok(name)))
		return false;
	*out = (struct agent_iface){ .ops = &ops, .a = a };
	BUG_ON(!str_copy(out->ifname, sizeof out->ifname, name));
	return true;
}

size_t agent_tunnels(struct agent *a, struct agent_iface *out, size_t max)
{
	size_t n = 0;

	if (!a->c.core->tunnels)
		return 0;
	LIST_FOR(pos, &a->c.core->tunnels->list) {
		const struct tunnel *t = CONTAINER_OF(pos, struct tunnel, node);

		/* The gateway's own may have been given its name since (tunnels.c). */
		if (strcmp(t->name, a->c.core->settings.ifname) == 0)
			continue;
		if (n == max || !agent_tunnel(a, str_of(t->name), false, &out[n]))
			break;
		n++;
	}
	return n;
}
