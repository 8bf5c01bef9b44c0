#include "peers/batch.h"

#include "base/fault.h"
#include "base/log.h"

/* Of one transaction: bounds what a turn may take. */
#define BATCH_MAX 512

struct peers_batch {
	struct core *core;
	struct list queue;
	struct loop_work work; /* posted while the queue is not empty */
	bool posted;
	struct peer_change *group[BATCH_MAX];
	size_t n;
	/* The device's changes, and those that take them back. */
	struct wg_peer_change live[BATCH_MAX];
	struct wg_allowed_ip allowed[BATCH_MAX][2];
};

/* ---- the store's part of one change ---- */

static void fail(struct peer_change *p, enum err_code code, const struct err *e)
{
	p->result = PEER_FAILED;
	p->why = *e;
	p->why.code = code;
}

/* The request's id when it is a name that is free, or else one made of the key, whose digits in the
 * form for URLs are those of names. */
static enum err_code name_choose(struct core *c, struct peer_change *p, struct err *e)
{
	struct str wanted = str_of(p->about.request_id);
	char key[KEY_TEXT_MAX];
	bool known = true;
	enum err_code rc = ERR_OK;

	if (client_name_check(wanted, NULL) == ERR_OK && !str_starts(wanted, STR("peer-")))
		rc = store_client_name_known(c->store, wanted, &known, e);
	if (rc)
		return rc;
	if (!known && str_copy(p->client.name, sizeof p->client.name, wanted))
		return ERR_OK;
	public_key_text(key, &p->key);
	for (char *at = key; *at; at++)
		*at = (char)(*at == '+' ? '-' : *at == '/' ? '_' : *at == '=' ? 0 : *at);
	(void)snprintf(p->client.name, sizeof p->client.name, "peer-%s", key);
	return ERR_OK;
}

static enum err_code addresses_choose(struct core *c, struct peer_change *p, struct err *e)
{
	enum api_code code = core_choose_addresses(c, &p->client, e);

	if (code == API_IP_ALLOCATION_ERROR)
		p->result = PEER_FULL;
	if (code)
		return e->code;
	p->client.ipv6_only = !(p->families & API_IPV4);
	if (!(p->families & API_IPV6))
		p->client.ip6 = (struct ip_addr){ 0 };
	return ERR_OK;
}

static enum err_code create(struct core *c, struct peer_change *p, struct err *e)
{
	bool known = false;
	enum err_code rc;

	if (memcmp(&p->key, &c->server_key, sizeof p->key) == 0) {
		p->result = PEER_OWN_KEY; /* a device leaves such a peer out without a word */
		return ERR_OK;
	}
	rc = store_client_key_known(c->store, &p->key, &known, e);
	if (rc)
		return rc;
	if (known) {
		p->result = PEER_EXISTS;
		return ERR_OK;
	}
	if ((p->families & API_IPV6) && c->settings.network6.addr.family == IP_NONE) {
		p->result = PEER_NO_IPV6;
		return ERR_OK;
	}
	p->client = (struct client){ .public_key = p->key,
				     .enabled = true,
				     .created_ns = c->host.wall_ns(c->host.ctx) };
	rc = name_choose(c, p, e);
	if (rc == ERR_OK)
		rc = addresses_choose(c, p, e);
	if (rc == ERR_OK)
		rc = store_client_add(c->store, &p->client, e);
	if (rc == ERR_OK)
		rc = store_api_peer_add(c->store, p->client.id, &p->about, e);
	if (rc == ERR_OK && FAULT("peers.inserted"))
		rc = err_set(e, ERR_IO, "failure injected at peers.inserted");
	p->is_live = true;
	return rc;
}

/* What the device counted is lost with the peer: the store takes it. */
static enum err_code use_keep(struct core *c, struct peer_change *p, struct err *e)
{
	core_used_now(c, &p->before);
	if (p->before.limits.quota == 0 || p->wish == PEER_DELETE)
		return ERR_OK;
	return store_client_set_used(c->store, p->before.id, p->before.limits.quota_used, e);
}

static enum err_code change(struct core *c, struct peer_change *p, struct err *e)
{
	enum err_code rc = store_client_by_key(c->store, &p->key, true, &p->before, e);
	bool enabled = p->wish == PEER_ACTIVATE;

	if (rc == ERR_NOT_FOUND) {
		p->result = PEER_NOT_FOUND;
		return ERR_OK;
	}
	if (rc)
		return rc;
	p->is_live = enabled || p->before.enabled;
	if (p->wish == PEER_DELETE)
		rc = store_client_remove(c->store, p->before.id, e);
	else if (p->before.enabled != enabled)
		rc = store_client_set_enabled(c->store, p->before.id, enabled, e);
	if (rc == ERR_OK && p->before.enabled && !enabled)
		rc = use_keep(c, p, e);
	p->client = p->before;
	p->client.enabled = enabled;
	return rc;
}

/* False when the transaction itself is lost. */
static bool store_one(struct core *c, struct peer_change *p, struct err *e)
{
	enum err_code rc = store_part_begin(c->store, e);

	p->result = PEER_DONE;
	p->is_live = false;
	p->before = (struct client){ 0 };
	if (rc)
		return false;
	rc = p->wish == PEER_CREATE ? create(c, p, e) : change(c, p, e);
	if (rc == ERR_OK)
		return store_part_keep(c->store, e) == ERR_OK;
	if (p->result == PEER_DONE)
		fail(p, rc, e);
	p->is_live = false;
	return store_part_undo(c->store, e) == ERR_OK;
}

/* ---- the device's part ---- */

/* What makes the peer live as `client` says; id 0 or not enabled: not at all. */
static struct wg_peer_change live_of(const struct client *client, const struct public_key *k,
				     struct wg_allowed_ip allowed[2])
{
	if (client->id && client->enabled)
		return core_peer_of(client, allowed);
	return (struct wg_peer_change){ .public_key = *k, .remove = true };
}

static enum err_code live_change(struct peers_batch *b, size_t n, struct err *e)
{
	struct core *c = b->core;
	enum err_code rc = n ? c->host.change_peers(c->host.ctx, b->live, n, e) : ERR_OK;

	wipe(b->live, n * sizeof *b->live);
	return rc;
}

static enum err_code live_apply(struct peers_batch *b, struct err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct peer_change *p = b->group[i];

		if (!p->is_live)
			continue;
		b->live[n] = live_of(p->wish == PEER_DELETE ? &(struct client){ 0 } : &p->client,
				     &p->key, b->allowed[n]);
		n++;
	}
	return live_change(b, n, e);
}

/* In reverse, so that of several changes of one peer the first one's past counts. */
static void live_undo(struct peers_batch *b)
{
	struct err e;
	size_t n = 0;

	for (size_t i = b->n; i-- > 0;) {
		struct peer_change *p = b->group[i];

		if (!p->is_live)
			continue;
		b->live[n] = live_of(&p->before, &p->key, b->allowed[n]);
		n++;
	}
	if (live_change(b, n, &e))
		LOG_ERR("peers.undo_failed", F_ERR(&e));
}

/* ---- a group ---- */

static void fail_all(struct peers_batch *b, const struct err *e)
{
	for (size_t i = 0; i < b->n; i++)
		fail(b->group[i], e->code, e);
}

static bool store_all(struct peers_batch *b, struct err *e)
{
	for (size_t i = 0; i < b->n; i++) {
		if (!store_one(b->core, b->group[i], e))
			return false;
	}
	return true;
}

static bool changes_something(const struct peers_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->group[i]->result == PEER_DONE)
			return true;
	}
	return false;
}

static enum err_code commit(struct peers_batch *b, struct err *e)
{
	if (FAULT("peers.live"))
		return err_set(e, ERR_IO, "failure injected at peers.live");
	return store_commit(b->core->store, e);
}

/* Carries the group out.  ERR_OK, also when single changes failed; otherwise nothing was done, and
 * *device tells that it was the device that refused. */
static enum err_code group_try(struct peers_batch *b, bool *device, struct err *e)
{
	enum err_code rc = store_begin(b->core->store, e);

	*device = false;
	if (rc)
		return rc;
	if (!store_all(b, e)) {
		store_rollback(b->core->store);
		return e->code;
	}
	if (!changes_something(b)) {
		store_rollback(b->core->store);
		return ERR_OK;
	}
	rc = live_apply(b, e);
	*device = rc != ERR_OK;
	if (rc == ERR_OK)
		rc = commit(b, e);
	if (rc) {
		store_rollback(b->core->store);
		live_undo(b);
		return rc;
	}
	(void)FAULT("peers.committed"); /* where only a crash is of interest */
	return ERR_OK;
}

/* One of the group is to blame: each for itself. */
static void one_by_one(struct peers_batch *b)
{
	struct peer_change *all[BATCH_MAX];
	size_t n = b->n;
	struct err e;
	bool device;

	memcpy(all, b->group, n * sizeof *all);
	for (size_t i = 0; i < n; i++) {
		b->group[0] = all[i];
		b->n = 1;
		if (group_try(b, &device, &e))
			fail_all(b, &e);
	}
	memcpy(b->group, all, n * sizeof *all);
	b->n = n;
}

static void group_run(struct peers_batch *b)
{
	struct err e = { 0 };
	bool device;

	if (group_try(b, &device, &e) == ERR_OK)
		return;
	if (device && b->n > 1)
		one_by_one(b);
	else
		fail_all(b, &e);
}

static void say(const struct peer_change *p)
{
	static const char *const done[] = { [PEER_CREATE] = "created",
					    [PEER_ACTIVATE] = "activated",
					    [PEER_SUSPEND] = "suspended",
					    [PEER_DELETE] = "removed" };

	if (p->result == PEER_DONE)
		LOG_NOTE("peers.changed", F_STR("what", done[p->wish]),
			 F_STR("name", p->client.name), F_IP("ip", &p->client.ip));
	else if (p->result == PEER_FAILED)
		LOG_ERR("peers.change_failed", F_STR("wish", done[p->wish]), F_ERR(&p->why));
}

static void group_answer(struct peers_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct peer_change *p = b->group[i];

		client_done(&p->before);
		client_done(&p->client);
		say(p);
		p->done(p);
	}
}

void peers_batch_run(struct peers_batch *b)
{
	while (!list_empty(&b->queue)) {
		b->n = 0;
		while (b->n < BATCH_MAX && !list_empty(&b->queue)) {
			struct list *first = b->queue.next;

			list_del(first);
			b->group[b->n++] = CONTAINER_OF(first, struct peer_change, node);
		}
		group_run(b);
		group_answer(b);
	}
}

static void work_due(struct loop_work *w)
{
	struct peers_batch *b = CONTAINER_OF(w, struct peers_batch, work);

	b->posted = false;
	peers_batch_run(b);
}

void peers_batch_add(struct peers_batch *b, struct peer_change *c)
{
	list_add_tail(&b->queue, &c->node);
	if (b->posted)
		return;
	b->posted = true;
	loop_post(b->core->loop, &b->work);
}

enum err_code peers_batch_new(struct peers_batch **out, struct core *c, struct err *e)
{
	struct peers_batch *b = calloc(1, sizeof *b);

	if (!b)
		return err_set(e, ERR_NOMEM, "out of memory for the peer API");
	b->core = c;
	b->work.fn = work_due;
	list_init(&b->queue);
	*out = b;
	return ERR_OK;
}

void peers_batch_free(struct peers_batch *b)
{
	if (!b)
		return;
	peers_batch_run(b);
	free(b);
}
