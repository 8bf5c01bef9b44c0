#include "core/tests/fake_host.h"

#include <ftw.h>
#include <unistd.h>

#include "priv/helper_serve.h"

static void limits_change(struct wg_limits_info *to, const struct wg_limits_change *c)
{
	if (c->set & WG_SET_RATE_UP)
		to->rate_bps[WG_UP] = c->rate_bps[WG_UP];
	if (c->set & WG_SET_RATE_DOWN)
		to->rate_bps[WG_DOWN] = c->rate_bps[WG_DOWN];
	if (c->set & WG_SET_QUOTA)
		to->quota = c->quota;
	if (c->set & WG_SET_QUOTA_USED)
		to->quota_used = c->quota_used;
	if (c->set & WG_SET_EXPIRES)
		to->expires_wall_ns = c->expires_wall_ns;
}

static enum err_code change_peer(void *ctx, const struct wg_peer_change *c, struct err *e)
{
	struct fake_host *h = ctx;
	struct fake_peer *p = fake_host_peer(h, &c->public_key);

	if (++h->change_calls == h->change_fails_at)
		return err_set(e, ERR_IO, "the device refused");
	h->now_ns += NS_PER_S;
	if (c->remove) {
		if (p)
			*p = h->peers[--h->peer_count];
		return ERR_OK;
	}
	if (!p && c->update_only)
		return ERR_OK;
	if (!p) {
		if (h->peer_count == FAKE_PEERS_MAX)
			return err_set(e, ERR_FULL, "the device is full");
		p = &h->peers[h->peer_count++];
		*p = (struct fake_peer){ .info.public_key = c->public_key };
	}
	if (c->has_psk)
		p->info.psk = c->psk;
	if (c->has_endpoint)
		p->info.endpoint = c->endpoint;
	if (c->has_keepalive)
		p->info.keepalive_s = c->keepalive_s;
	limits_change(&p->info.limits, &c->limits);
	if (c->update_only && !c->replace_allowed_ips)
		return ERR_OK;
	BUG_ON(c->allowed_ip_count > 2 || !c->replace_allowed_ips);
	p->allowed_count = c->allowed_ip_count;
	for (size_t i = 0; i < p->allowed_count; i++)
		p->allowed[i] = c->allowed_ips[i].prefix;
	return ERR_OK;
}

static enum err_code change_peers(void *ctx, const struct wg_peer_change *c, size_t n,
				  struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < n; i++)
		rc = change_peer(ctx, &c[i], e);
	return rc;
}

static enum err_code hooks(void *ctx, const char *ifname, const char *text, bool goes_on,
			   struct err *e)
{
	struct hooks h = { 0 };
	enum err_code rc = hooks_parse(&h, str_of(text), ifname, STR(""), e);

	(void)ctx;
	if (rc == ERR_OK)
		rc = hooks_run(&h, goes_on, e);
	hooks_done(&h);
	return rc;
}

static enum err_code open_file(void *ctx, const char *path, const char *name, int *out,
			       struct err *e)
{
	(void)ctx;
	return helper_file_open(path, name, out, e);
}

static bool peer(void *ctx, const struct public_key *k, struct wg_peer_info *out)
{
	const struct fake_peer *p = fake_host_peer(ctx, k);

	if (p)
		*out = p->info;
	return p != NULL;
}

static bool drops(void *ctx, const struct public_key *k, uint64_t verdicts[WG_VERDICTS])
{
	const struct fake_peer *p = fake_host_peer(ctx, k);

	if (p)
		memcpy(verdicts, p->drops, sizeof p->drops);
	return p != NULL;
}

static void status(void *ctx, struct dataplane_status *out)
{
	const struct fake_host *h = ctx;

	*out = (struct dataplane_status){
		.ifname = "wg_main",
		.listen_port = 51820,
		.up = !h->is_down,
		.workers = 2,
		.public_key = h->core.server_key,
		.peer_count = h->peer_count,
		.rx_bytes = 1234567890,
		.tx_bytes = 987654321,
		.verdicts = { [DROP_REPLAY] = 7, [DROP_BAD_MAC1] = h->bad_mac1 },
	};
}

static void walk(void *ctx, bool (*fn)(void *arg, const struct public_key *k), void *arg)
{
	const struct fake_host *h = ctx;

	for (size_t i = 0; i < h->peer_count; i++) {
		if (!fn(arg, &h->peers[i].info.public_key))
			return;
	}
}

static enum err_code apply(void *ctx, struct err *e)
{
	struct fake_host *h = ctx;

	h->applied++;
	if (h->applied == h->apply_fails_at)
		return err_set(e, ERR_IO, "the network refused this time");
	h->network = h->core.settings.network;
	return h->apply_fails ? err_set(e, ERR_IO, "the network refused") : ERR_OK;
}

static bool firewall_active(void *ctx)
{
	(void)ctx;
	return true;
}

static enum err_code default_source(void *ctx, struct ip_addr *out, struct err *e)
{
	const struct fake_host *h = ctx;

	if (!h->has_default_route)
		return err_set(e, ERR_NOT_FOUND, "no default route");
	*out = ip_v4((const uint8_t[]){ 203, 0, 113, 1 });
	return ERR_OK;
}

static enum err_code interfaces(void *ctx,
				bool (*fn)(void *arg, const char *ifname,
					   const struct ip_prefix *p),
				void *arg, struct err *e)
{
	const struct fake_host *h = ctx;
	struct ip_prefix own = settings_server_address(&h->network), p;

	(void)e;
	BUG_ON(!ip_prefix_parse(STR("203.0.113.1/24"), &p));
	if (!fn(arg, "eth0", &p))
		return ERR_OK;
	BUG_ON(!ip_prefix_parse(STR("172.17.0.1/16"), &p));
	if (!fn(arg, "docker0", &p))
		return ERR_OK;
	(void)fn(arg, "wg_main", &own);
	return ERR_OK;
}

static enum err_code set_server(void *ctx, const struct secret_key *k, uint16_t port, struct err *e)
{
	struct fake_host *h = ctx;

	(void)e;
	public_key_of(&h->device_key, k);
	h->device_port = port;
	return ERR_OK;
}

static int64_t wall_ns(void *ctx)
{
	const struct fake_host *h = ctx;

	return h->now_ns;
}

static bool core_open(struct fake_host *h, const struct settings_given *given)
{
	struct secret_key k = { .b = { 1, 2, 3 } }, stored;
	struct err e = { 0 };

	h->core.state_dir = h->dir;
	h->core.started_ns = FAKE_NOW_NS;
	h->core.host = (struct core_host){ h,	  change_peer,	   peer,	   status, walk,
					   apply, firewall_active, default_source, wall_ns };
	h->core.host.drops = drops;
	h->core.host.change_peers = change_peers;
	h->core.host.interfaces = interfaces;
	h->core.host.hooks = hooks;
	h->core.host.open_file = open_file;
	h->core.host.set_server = set_server;
	if (store_open(&h->core.store, h->dir, &e) ||
	    settings_load(&h->core.settings, h->core.store, given, &e) ||
	    settings_store(&h->core.settings, h->core.store, &e)) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return false;
	}
	if (store_secret(h->core.store, CORE_SERVER_KEY, stored.b, sizeof stored.b, &e) == ERR_OK)
		k = stored;
	else if (store_set_secret(h->core.store, CORE_SERVER_KEY, k.b, sizeof k.b, &e))
		return false;
	public_key_of(&h->core.server_key, &k);
	h->network = h->core.settings.network;
	return set_server(h, &k, h->core.settings.port, &e) == ERR_OK;
}

bool fake_host_open(struct fake_host *h, const struct settings_given *given)
{
	/* In memory where that can be had: each commit is synced. */
	const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	*h = (struct fake_host){ .now_ns = FAKE_NOW_NS, .has_default_route = true };
	(void)snprintf(h->dir, sizeof h->dir, "%s/qanat-gateway-XXXXXX", place);
	return crypto_init() && mkdtemp(h->dir) && core_open(h, given);
}

bool fake_host_reopen(struct fake_host *h)
{
	const struct settings_given none = { 0 };

	store_close(h->core.store);
	h->core.store = NULL;
	return core_open(h, &none);
}

static int removed(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	(void)remove(path);
	return 0;
}

void fake_host_close(struct fake_host *h)
{
	store_close(h->core.store);
	(void)nftw(h->dir, removed, 8, FTW_DEPTH | FTW_PHYS);
	wipe(h->peers, sizeof h->peers);
}

struct fake_peer *fake_host_peer(struct fake_host *h, const struct public_key *k)
{
	for (size_t i = 0; i < h->peer_count; i++) {
		if (memcmp(&h->peers[i].info.public_key, k, sizeof *k) == 0)
			return &h->peers[i];
	}
	return NULL;
}

json_t *fake_host_ask(struct fake_host *h, const char *line)
{
	struct buf out = { 0 };
	json_t *answer = NULL;

	if (core_answer_line(&h->core, str_of(line), NULL, NULL, &out)) {
		BUG_ON(memchr(out.p, '\n', out.n) != out.p + out.n - 1); /* one line */
		answer = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
	}
	buf_done(&out);
	return answer;
}
