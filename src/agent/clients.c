/* Peers of the gateway's own interface: each is a client of the store, whoever made it. */
#include <inttypes.h>

#include "agent/own.h"
#include "store/agent.h"

/* ---- what a peer may be ---- */

/* "allowed_ips: 10.9.0.1/32: why 10.8.0.0/24".  The texts are made here: most addresses are taken. */
static enum err_code ip_refused(const struct ip_prefix *one, const struct ip_prefix *net,
				const char *why, struct err *e)
{
	char text[PREFIX_TEXT_MAX], network[PREFIX_TEXT_MAX + 1] = "";

	ip_prefix_format(text, one);
	if (net) {
		network[0] = ' ';
		ip_prefix_format(network + 1, net);
	}
	return err_set(e, ERR_INVALID, "allowed_ips: %s: %s%s", text, why, network);
}

enum err_code agent_peer_ip(struct agent_peer *p, const struct settings *s,
			    const struct ip_prefix *one, struct err *e)
{
	bool v4 = one->addr.family == IP_V4;
	const struct ip_prefix *net = v4 ? &s->network : &s->network6;
	struct ip_addr *to = v4 ? &p->ip : &p->ip6;
	struct ip_prefix server = settings_server_address(net), first = *net;

	if (net->addr.family == IP_NONE)
		return ip_refused(one, NULL, "the gateway has no IPv6 network", e);
	if (one->len != ip_bits(one->addr.family) || !ip_prefix_contains(net, &one->addr))
		return ip_refused(one, net, "peers of this interface have one address of", e);
	ip_prefix_mask(&first);
	if (ip_eq(&one->addr, &server.addr) || ip_eq(&one->addr, &first.addr))
		return ip_refused(one, NULL, "it is the gateway's own", e);
	if (v4 && !ip_prefix_host(net, settings_last_client(net) + 1, &first.addr))
		return ip_refused(one, net, "there is no last address in", e);
	if (v4 && ip_eq(&one->addr, &first.addr))
		return ip_refused(one, net, "it is the broadcast address of", e);
	if (to->family != IP_NONE && !ip_eq(to, &one->addr))
		return ip_refused(one, NULL, "it is a second address of its family; a peer has one",
				  e);
	*to = one->addr;
	p->has_ips = true;
	return ERR_OK;
}

void agent_peer_name(char out[CLIENT_NAME_MAX + 1], const struct public_key *k)
{
	char key[KEY_TEXT_MAX];
	int n;

	public_key_text(key, k);
	for (size_t i = 0; key[i]; i++)
		key[i] = (char)(key[i] == '+' ? '-' : key[i] == '/' ? '_' : key[i]);
	n = snprintf(out, CLIENT_NAME_MAX + 1, "peer-%.43s", key);
	BUG_ON(n < 0 || n > CLIENT_NAME_MAX);
}

enum err_code agent_peer_place(struct agent *a, struct agent_peer *p, struct err *e)
{
	const struct settings *s = &a->c.core->settings;
	uint64_t index;
	enum err_code rc = store_free_index(a->c.core->store, &s->network, SETTINGS_FIRST_CLIENT,
					    settings_last_client(&s->network), &index, e);

	if (rc)
		return rc;
	if (!ip_prefix_host(&s->network, index, &p->ip) ||
	    (s->network6.addr.family != IP_NONE && !ip_prefix_host(&s->network6, index, &p->ip6)))
		return err_set(e, ERR_RANGE, "the network has no host %" PRIu64, index);
	p->has_ips = true;
	return ERR_OK;
}

/* ---- store ---- */

/* A client of IPv6 alone keeps an IPv4 address, which nobody else gets (model/client.h). */
static enum err_code free_address(struct agent *a, struct ip_addr *out, struct err *e)
{
	struct agent_peer p = { 0 };
	enum err_code rc = agent_peer_place(a, &p, e);

	*out = p.ip;
	return rc;
}

static enum err_code client_make(struct agent *a, const struct agent_peer *p, struct client *c,
				 struct err *e)
{
	struct core *core = a->c.core;
	enum err_code rc = ERR_OK;

	*c = (struct client){ .ip = p->ip,
			      .ip6 = p->ip6,
			      .public_key = p->key,
			      .psk = p->psk,
			      .keepalive_s = p->keepalive_s,
			      .created_ns = core->host.wall_ns(core->host.ctx),
			      .enabled = true };
	if (ct_equal(&p->key, &core->server_key, KEY_LEN))
		return err_set(e, ERR_INVALID, "public_key: it is the interface's own");
	agent_peer_name(c->name, &p->key);
	c->ipv6_only = p->ip.family == IP_NONE;
	if (c->ipv6_only)
		rc = free_address(a, &c->ip, e);
	return rc ? rc : store_client_add(core->store, c, e);
}

static enum err_code client_readdress(struct agent *a, const struct agent_peer *p, struct client *c,
				      struct err *e)
{
	bool no_v4 = p->ip.family == IP_NONE;
	struct store_address to = { c->id, no_v4 ? c->ip : p->ip, p->ip6 };
	enum err_code rc;

	if (!p->has_ips ||
	    (ip_eq(&to.ip, &c->ip) && ip_eq(&to.ip6, &c->ip6) && no_v4 == c->ipv6_only))
		return ERR_OK;
	if (no_v4 != c->ipv6_only)
		return err_set(e, ERR_UNSUPPORTED,
			       "allowed_ips: client %s was made %s IPv4; remove and add it to "
			       "change that",
			       c->name, c->ipv6_only ? "without" : "with");
	rc = store_clients_readdress(a->c.core->store, &to, 1, e);
	if (rc == ERR_OK) {
		c->ip = to.ip;
		c->ip6 = to.ip6;
	}
	return rc;
}

enum err_code agent_peer_store(struct agent *a, const struct agent_peer *p, struct client *c,
			       bool *is_new, struct err *e)
{
	struct store *s = a->c.core->store;
	enum err_code rc = store_client_by_key(s, &p->key, true, c, e);

	*is_new = rc == ERR_NOT_FOUND;
	if (*is_new)
		return client_make(a, p, c, e);
	if (rc == ERR_OK)
		rc = client_readdress(a, p, c, e);
	if (rc == ERR_OK && p->has_psk && !ct_equal(&p->psk, &c->psk, KEY_LEN)) {
		rc = store_client_set_psk(s, c->id, &c->public_key, &p->psk, e);
		c->psk = p->psk;
	}
	if (rc == ERR_OK && p->has_keepalive && p->keepalive_s != c->keepalive_s) {
		rc = store_client_set_keepalive(s, c->id, p->keepalive_s, e);
		c->keepalive_s = p->keepalive_s;
	}
	return rc;
}

/* ---- what is live ---- */

/* Suspended ones stay out of the device.  Where it is and what it has used are the device's. */
static enum err_code live_set(struct agent *a, const struct client *c, struct err *e)
{
	struct wg_allowed_ip allowed[2];
	struct wg_peer_change p = core_peer_of(c, allowed);
	struct wg_peer_info info;
	enum err_code rc = ERR_OK;

	if (a->c.core->host.peer(a->c.core->host.ctx, &c->public_key, &info)) {
		wipe(&info.psk, sizeof info.psk);
		p.has_endpoint = false;
		p.limits = core_limits_of(c, false);
	}
	if (c->enabled)
		rc = a->c.core->host.change_peers(a->c.core->host.ctx, &p, 1, e);
	wipe(&p, sizeof p);
	return rc;
}

static enum err_code live_remove(struct agent *a, const struct public_key *k, struct err *e)
{
	const struct wg_peer_change p = { .public_key = *k, .remove = true };

	return a->c.core->host.change_peers(a->c.core->host.ctx, &p, 1, e);
}

enum err_code agent_client_live(const struct agent_iface *i, const struct public_key *k,
				struct err *e)
{
	struct client c = { 0 };
	enum err_code rc = store_client_by_key(i->a->c.core->store, k, true, &c, e);

	if (rc == ERR_NOT_FOUND)
		rc = live_remove(i->a, k, e);
	else if (rc == ERR_OK)
		rc = live_set(i->a, &c, e);
	client_done(&c);
	return rc;
}

/* ---- for the handlers ---- */

/* The networks of a request as a client's addresses, or the lowest free ones. */
static enum err_code addresses_of(const struct agent_iface *i, struct agent_peer *p, bool known,
				  struct err *e)
{
	enum err_code rc = ERR_OK;

	p->has_ips = false;
	for (size_t k = 0; rc == ERR_OK && k < p->ip_count; k++)
		rc = agent_peer_ip(p, &i->a->c.core->settings, &p->ips[k], e);
	return rc == ERR_OK && !known && !p->has_ips ? agent_peer_place(i->a, p, e) : rc;
}

static void addresses_to(struct agent_peer *p, const struct client *c)
{
	p->ip_count = 0;
	if (!c->ipv6_only)
		p->ips[p->ip_count++] = (struct ip_prefix){ c->ip, 32 };
	if (c->ip6.family == IP_V6)
		p->ips[p->ip_count++] = (struct ip_prefix){ c->ip6, 128 };
}

enum err_code agent_client_known(const struct agent_iface *i, const struct public_key *k,
				 bool *known, struct err *e)
{
	return store_client_key_known(i->a->c.core->store, k, known, e);
}

enum err_code agent_client_store(const struct agent_iface *i, struct agent_peer *p, struct err *e)
{
	struct client c = { 0 };
	bool known = false;
	enum err_code rc = agent_client_known(i, &p->key, &known, e);

	if (rc == ERR_OK)
		rc = addresses_of(i, p, known, e);
	if (rc == ERR_OK)
		rc = agent_peer_store(i->a, p, &c, &p->is_new, e);
	if (rc == ERR_OK)
		addresses_to(p, &c);
	client_done(&c);
	return rc;
}

enum err_code agent_client_remove(const struct agent_iface *i, const struct public_key *k,
				  struct err *e)
{
	struct store *s = i->a->c.core->store;
	struct client c = { 0 };
	enum err_code rc = store_client_by_key(s, k, false, &c, e);

	return rc ? rc : store_client_remove(s, c.id, e);
}

static bool client_text(void *ctx, const struct client *c)
{
	struct ip_prefix ips[2];
	struct agent_peer p = { .ips = ips };
	struct buf *out = ctx;

	if (!c->enabled)
		return true;
	addresses_to(&p, c);
	agent_peer_text(out, c->name, &c->public_key, &c->psk, ips, p.ip_count, c->keepalive_s);
	return buf_ok(out);
}

enum err_code agent_clients_text(const struct agent_iface *i, struct buf *out, struct err *e)
{
	const struct client_query all = { .limit = UINT64_MAX };

	return store_clients(i->a->c.core->store, &all, true, client_text, out, e);
}
