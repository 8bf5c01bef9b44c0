/* The device's peers, as the store wants them and as the device knows them. */
#include "core/core.h"

#include "base/log.h"

struct wg_limits_change core_limits_of(const struct client *client, bool restart)
{
	const struct client_limits *l = &client->limits;

	return (struct wg_limits_change){
		.set = WG_SET_RATE_UP | WG_SET_RATE_DOWN | WG_SET_QUOTA | WG_SET_EXPIRES |
		       (restart ? WG_SET_QUOTA_USED : 0u),
		.rate_bps = { [WG_UP] = l->rate_up_bps, [WG_DOWN] = l->rate_down_bps },
		.quota = l->quota,
		.quota_used = l->quota_used,
		.expires_wall_ns = l->expires_ns,
	};
}

struct wg_peer_change core_peer_of(const struct client *client, struct wg_allowed_ip allowed[2])
{
	struct wg_peer_change p = {
		.public_key = client->public_key,
		.replace_allowed_ips = true,
		.has_psk = true,
		.psk = client->psk,
		.allowed_ips = allowed,
		.has_endpoint = client->endpoint.addr.family != IP_NONE,
		.endpoint = client->endpoint,
		.has_keepalive = true,
		.keepalive_s = client->keepalive_s,
		.limits = core_limits_of(client, true),
	};

	if (!client->ipv6_only)
		allowed[p.allowed_ip_count++] =
			(struct wg_allowed_ip){ .prefix = { .addr = client->ip, .len = 32 } };
	if (client->ip6.family != IP_NONE)
		allowed[p.allowed_ip_count++] =
			(struct wg_allowed_ip){ .prefix = { .addr = client->ip6, .len = 128 } };
	return p;
}

struct keys {
	struct public_key *k;
	size_t n, cap;
	bool no_memory;
};

static bool key_collect(void *arg, const struct public_key *k)
{
	struct keys *keys = arg;

	if (keys->n == keys->cap) {
		size_t cap = keys->cap ? keys->cap * 2 : 64;
		struct public_key *more = reallocarray(keys->k, cap, sizeof *more);

		if (!more) {
			keys->no_memory = true;
			return false;
		}
		keys->k = more;
		keys->cap = cap;
	}
	keys->k[keys->n++] = *k;
	return true;
}

/* Peers that somebody else put into the device.  They are gathered at the front of keys->k. */
static enum err_code strangers_find(struct core *c, struct keys *keys, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t n = 0;
	bool known = true;

	for (size_t i = 0; rc == ERR_OK && i < keys->n; i++) {
		rc = store_client_key_known(c->store, &keys->k[i], &known, e);
		if (rc == ERR_OK && !known)
			keys->k[n++] = keys->k[i];
	}
	keys->n = n;
	return rc;
}

/* Peers that are set in one call: enough that neither an engine's lock nor a daemon's answer is waited
 * for often, and little enough to stand in memory. */
#define RESTORE_PEERS 128

static enum err_code strangers_remove(struct core *c, const struct keys *keys, struct err *e)
{
	struct wg_peer_change gone[64];
	enum err_code rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < keys->n;) {
		size_t n = 0;

		while (n < ARRAY_LEN(gone) && i < keys->n)
			gone[n++] = (struct wg_peer_change){ .public_key = keys->k[i++],
							     .remove = true };
		rc = c->host.change_peers(c->host.ctx, gone, n, e);
	}
	return rc;
}

static enum err_code unknown_remove(struct core *c, struct err *e)
{
	struct keys keys = { 0 };
	enum err_code rc = ERR_OK;

	c->host.walk(c->host.ctx, key_collect, &keys);
	if (keys.no_memory)
		rc = err_set(e, ERR_NOMEM, "read the peers: out of memory");
	if (rc == ERR_OK)
		rc = strangers_find(c, &keys, e);
	if (rc == ERR_OK)
		rc = strangers_remove(c, &keys, e);
	free(keys.k);
	return rc;
}

struct restore {
	struct core *core;
	enum err_code rc;
	struct err *e;
	int64_t n;
	size_t waiting; /* gathered, and not yet set */
	char first[CLIENT_NAME_MAX + 1], last[CLIENT_NAME_MAX + 1]; /* of these */
	struct wg_peer_change peers[RESTORE_PEERS];
	struct wg_allowed_ip allowed[RESTORE_PEERS][2];
};

/* What the device knows is newer than what was stored. */
static void known_keep(struct core *c, const struct client *client, struct wg_peer_change *p)
{
	struct wg_peer_info info;

	if (!c->host.peer(c->host.ctx, &client->public_key, &info))
		return;
	wipe(&info.psk, sizeof info.psk);
	if (info.endpoint.addr.family != IP_NONE)
		p->has_endpoint = false;
	if (info.limits.quota)
		p->limits = core_limits_of(client, false);
}

static void restore_flush(struct restore *r)
{
	const struct core_host *host = &r->core->host;

	if (r->waiting && r->rc == ERR_OK) {
		r->rc = host->change_peers(host->ctx, r->peers, r->waiting, r->e);
		if (r->rc)
			(void)err_wrap(r->e, r->rc, "clients %s to %s", r->first, r->last);
	}
	wipe(r->peers, r->waiting * sizeof *r->peers);
	r->waiting = 0;
}

static bool peer_restore(void *ctx, const struct client *client)
{
	struct restore *r = ctx;
	struct wg_peer_change *p = &r->peers[r->waiting];

	if (!client->enabled)
		return true;
	*p = core_peer_of(client, r->allowed[r->waiting]);
	known_keep(r->core, client, p);
	core_call(r->core, client, p);
	if (r->waiting == 0)
		memcpy(r->first, client->name, sizeof r->first);
	memcpy(r->last, client->name, sizeof r->last);
	r->n++;
	if (++r->waiting == RESTORE_PEERS)
		restore_flush(r);
	return r->rc == ERR_OK;
}

enum err_code core_restore_peers(struct core *c, struct err *e)
{
	const struct client_query all = { .limit = UINT64_MAX };
	struct restore *r = calloc(1, sizeof *r);
	enum err_code rc;

	if (!r)
		return err_set(e, ERR_NOMEM, "restore the peers: out of memory");
	r->core = c;
	r->e = e;
	rc = unknown_remove(c, e);
	if (rc == ERR_OK)
		rc = store_clients(c->store, &all, true, peer_restore, r, e);
	if (rc == ERR_OK)
		restore_flush(r);
	if (rc == ERR_OK)
		rc = r->rc;
	if (rc == ERR_OK)
		LOG_NOTE("peers.restored", F_INT("count", r->n));
	wipe(r->peers, sizeof r->peers); /* a reading that broke off has left some */
	free(r);
	return rc;
}

bool core_connected(struct core *c, const struct client *client, struct wg_peer_info *info)
{
	*info = (struct wg_peer_info){ 0 };
	if (!c->host.peer(c->host.ctx, &client->public_key, info))
		return false;
	wipe(&info->psk, sizeof info->psk);
	return info->last_handshake_wall_ns != 0 &&
	       c->host.wall_ns(c->host.ctx) - info->last_handshake_wall_ns < CORE_CONNECTED_NS;
}

void core_handshake_text(char out[GATEWAY_TEXT_MAX], struct core *c,
			 const struct wg_peer_info *info)
{
	int64_t age = c->host.wall_ns(c->host.ctx) - info->last_handshake_wall_ns;

	if (info->last_handshake_wall_ns == 0)
		(void)snprintf(out, GATEWAY_TEXT_MAX, "never");
	else
		gateway_text_age(out, age / NS_PER_S);
}
