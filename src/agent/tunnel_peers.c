/* Peers of a further interface: rows of the store of their own, with whatever networks a panel gives
 * them. */
#include "agent/tunnel.h"

size_t agent_networks_tidy(struct ip_prefix *p, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		bool twice = false;

		ip_prefix_mask(&p[i]);
		for (size_t k = 0; k < kept && !twice; k++)
			twice = ip_eq(&p[k].addr, &p[i].addr) && p[k].len == p[i].len;
		if (!twice)
			p[kept++] = p[i];
	}
	return kept;
}

static struct store *store_of(const struct agent_iface *i)
{
	return i->a->c.core->store;
}

enum err_code agent_tunnel_peer_known(const struct agent_iface *i, const struct public_key *k,
				      bool *known, struct err *e)
{
	return store_tunnel_peer_known(store_of(i), i->ifname, k, known, e);
}

static enum err_code room_check(const struct agent_iface *i, struct err *e)
{
	uint64_t n = 0;
	enum err_code rc = store_tunnel_peer_count(store_of(i), i->ifname, &n, e);

	if (rc == ERR_OK && n >= STORE_TUNNEL_PEERS_MAX)
		rc = err_set(e, ERR_FULL, "interface %s has %d peers, and no more are possible",
			     i->ifname, STORE_TUNNEL_PEERS_MAX);
	return rc;
}

static enum err_code new_check(const struct agent_iface *i, const struct agent_peer *p,
			       struct err *e)
{
	const struct tunnel *t = agent_tunnel_of(i);

	if (ct_equal(&p->key, &t->key, KEY_LEN))
		return err_set(e, ERR_INVALID, "public_key: it is the interface's own");
	return room_check(i, e);
}

enum err_code agent_tunnel_peer_store(const struct agent_iface *i, struct agent_peer *p,
				      struct err *e)
{
	struct ip_prefix ips[STORE_PEER_IPS_MAX];
	struct store_tunnel_peer to = { .ips = ips };
	enum err_code rc = store_tunnel_peer(store_of(i), i->ifname, &p->key, &to, ips, e);

	_Static_assert(STORE_PEER_IPS_MAX == AGENT_PEER_IPS_MAX, "one limit");
	p->is_new = rc == ERR_NOT_FOUND;
	if (p->is_new) {
		to.key = p->key;
		rc = new_check(i, p, e);
	}
	if (rc)
		return rc;
	if (p->has_ips) {
		p->ip_count = agent_networks_tidy(p->ips, p->ip_count);
	} else {
		memcpy(p->ips, ips, to.ip_count * sizeof *ips);
		p->ip_count = to.ip_count;
	}
	to.ips = p->ips;
	to.ip_count = p->ip_count;
	if (p->has_psk)
		to.psk = p->psk;
	if (p->has_keepalive)
		to.keepalive_s = p->keepalive_s;
	rc = store_tunnel_peer_put(store_of(i), i->ifname, &to, e);
	wipe(&to.psk, sizeof to.psk);
	return rc;
}

enum err_code agent_tunnel_peer_remove(const struct agent_iface *i, const struct public_key *k,
				       struct err *e)
{
	return store_tunnel_peer_remove(store_of(i), i->ifname, k, e);
}

enum err_code agent_tunnel_peer_live(const struct agent_iface *i, const struct public_key *k,
				     struct err *e)
{
	return tunnel_peer_live(agent_tunnel_of(i), k, e);
}

/* ---- all of them ---- */

static bool peer_text(void *ctx, const struct store_tunnel_peer *p)
{
	struct buf *out = ctx;
	char endpoint[ENDPOINT_TEXT_MAX];

	agent_peer_text(out, NULL, &p->key, &p->psk, p->ips, p->ip_count, p->keepalive_s);
	if (p->endpoint.addr.family != IP_NONE) {
		endpoint_format(endpoint, &p->endpoint);
		buf_printf(out, "Endpoint = %s\n", endpoint);
	}
	return buf_ok(out);
}

enum err_code agent_tunnel_peers_text(const struct agent_iface *i, struct buf *out, struct err *e)
{
	return store_tunnel_peers(store_of(i), i->ifname, true, peer_text, out, e);
}

struct walk {
	device_peer_fn *fn;
	void *arg;
};

/* Of one that is down, what is stored is all there is to say. */
static bool stored_walk(void *ctx, const struct store_tunnel_peer *p)
{
	const struct walk *w = ctx;
	struct wg_peer_info info = { .public_key = p->key,
				     .psk = p->psk,
				     .endpoint = p->endpoint,
				     .keepalive_s = p->keepalive_s,
				     .allowed_ip_count = p->ip_count };
	bool goes_on = w->fn(w->arg, &info, p->ips);

	wipe(&info.psk, sizeof info.psk);
	return goes_on;
}

enum err_code agent_tunnel_walk(const struct agent_iface *i, device_peer_fn *fn, void *arg,
				struct err *e)
{
	const struct tunnel *t = agent_tunnel_of(i);
	struct walk w = { fn, arg };

	if (t->backend && !t->lost_now)
		return backend_walk_peers(t->backend, fn, arg, e);
	return store_tunnel_peers(store_of(i), i->ifname, true, stored_walk, &w, e);
}
