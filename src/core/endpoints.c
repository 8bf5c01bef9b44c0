/* Where clients are: kept from one run to the next, so that a gateway that was restarted can begin
 * the handshake itself.  A client notices only after 15 s that its session leads nowhere, and then
 * TCP, which has backed off meanwhile, waits as long again. */
#include "base/log.h"
#include "core/core.h"

struct moved {
	int64_t id;
	struct endpoint to;
	int64_t seen_ns;
};

struct moves {
	struct core *core;
	struct moved *p;
	size_t n, cap;
	bool no_memory;
};

static bool move_add(struct moves *m, int64_t id, const struct wg_peer_info *info)
{
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct moved *more = reallocarray(m->p, cap, sizeof *more);

		if (!more) {
			m->no_memory = true;
			return false;
		}
		m->p = more;
		m->cap = cap;
	}
	m->p[m->n++] = (struct moved){ id, info->endpoint, info->last_handshake_wall_ns };
	return true;
}

/* The time is not worth a write for each handshake, that is every two minutes. */
static bool has_moved(const struct client *c, const struct wg_peer_info *now)
{
	if (now->endpoint.addr.family == IP_NONE)
		return false;
	return !endpoint_eq(&now->endpoint, &c->endpoint) ||
	       now->last_handshake_wall_ns - c->seen_ns >= CORE_CONNECTED_NS;
}

static bool move_find(void *ctx, const struct client *client)
{
	struct moves *m = ctx;
	struct wg_peer_info info;

	if (!m->core->host.peer(m->core->host.ctx, &client->public_key, &info))
		return true;
	wipe(&info.psk, sizeof info.psk);
	return !has_moved(client, &info) || move_add(m, client->id, &info);
}

static enum err_code moves_write(struct store *s, const struct moves *m, struct err *e)
{
	enum err_code rc = store_begin(s, e);

	if (rc)
		return rc;
	for (size_t i = 0; rc == ERR_OK && i < m->n; i++)
		rc = store_client_set_endpoint(s, m->p[i].id, &m->p[i].to, m->p[i].seen_ns, e);
	if (rc == ERR_OK)
		return store_commit(s, e);
	store_rollback(s);
	return rc;
}

enum err_code core_save_endpoints(struct core *c, struct err *e)
{
	const struct client_query all = { .limit = UINT64_MAX };
	struct moves m = { .core = c };
	enum err_code rc = store_clients(c->store, &all, false, move_find, &m, e);

	if (rc == ERR_OK && m.no_memory)
		rc = err_set(e, ERR_NOMEM, "save the endpoints of clients: out of memory");
	if (rc == ERR_OK && m.n)
		rc = moves_write(c->store, &m, e);
	free(m.p);
	return rc;
}

/* ---- calling ---- */

/* Whoever may have been connected when the run before ended: what is stored is at most that much
 * older than the last handshake, and a session lives as long again. */
static bool was_connected(struct core *c, const struct client *client)
{
	int64_t age = c->host.wall_ns(c->host.ctx) - client->seen_ns;

	return client->seen_ns != 0 && age >= 0 && age < 2 * CORE_CONNECTED_NS;
}

void core_call(struct core *c, const struct client *client, struct wg_peer_change *p)
{
	if (!c->calling || !p->has_endpoint || client->keepalive_s || !was_connected(c, client))
		return;
	/* A peer with persistent keepalives gets its first one when the interface goes up, and a
	 * handshake before it. */
	p->has_keepalive = true;
	p->keepalive_s = CORE_CALL_S;
}

static bool called_end(void *ctx, const struct client *client)
{
	struct core *c = ctx;
	struct wg_peer_change p = { .public_key = client->public_key,
				    .update_only = true,
				    .has_keepalive = true };
	struct wg_peer_info info;
	struct err e;

	if (!c->host.peer(c->host.ctx, &client->public_key, &info))
		return true;
	wipe(&info.psk, sizeof info.psk);
	if (info.keepalive_s == CORE_CALL_S && !client->keepalive_s &&
	    c->host.change_peer(c->host.ctx, &p, &e))
		LOG_WARNING("client.call_failed", F_STR("name", client->name), F_ERR(&e));
	return true;
}

enum err_code core_call_end(struct core *c, struct err *e)
{
	const struct client_query all = { .limit = UINT64_MAX };

	c->calling = false;
	return store_clients(c->store, &all, false, called_end, c, e);
}
