/* Where clients are: kept from one run to the next, so that a gateway that was restarted can begin
 * the handshake when there is traffic for a client, before the client has noticed anything. */
#include "gateway/core.h"

struct moved {
	int64_t id;
	struct endpoint to;
};

struct moves {
	struct core *core;
	struct moved *p;
	size_t n, cap;
	bool no_memory;
};

static bool move_add(struct moves *m, int64_t id, const struct endpoint *to)
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
	m->p[m->n++] = (struct moved){ id, *to };
	return true;
}

static bool move_find(void *ctx, const struct client *client)
{
	struct moves *m = ctx;
	struct wg_peer_info info;

	if (!m->core->host.peer(m->core->host.ctx, &client->public_key, &info))
		return true;
	wipe(&info.psk, sizeof info.psk);
	if (info.endpoint.addr.family == IP_NONE || endpoint_eq(&info.endpoint, &client->endpoint))
		return true;
	return move_add(m, client->id, &info.endpoint);
}

static enum err_code moves_write(struct store *s, const struct moves *m, struct err *e)
{
	enum err_code rc = store_begin(s, e);

	if (rc)
		return rc;
	for (size_t i = 0; rc == ERR_OK && i < m->n; i++)
		rc = store_client_set_endpoint(s, m->p[i].id, &m->p[i].to, e);
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
