/* ip-usage, server/status, server/metrics: what the peer API tells of the gateway. */
#include "base/log.h"
#include "peers/inside.h"

/* ---- addresses ---- */

struct addresses {
	json_t *v4, *v6;
	size_t rows;
	bool failed;
};

static bool address_add(json_t *list, const struct ip_addr *ip)
{
	char text[IP_TEXT_MAX];

	ip_format(text, ip);
	return json_array_append_new(list, json_string(text)) == 0;
}

static bool address_collect(void *ctx, const struct ip_addr *ip, const struct ip_addr *ip6,
			    bool ipv6_only)
{
	struct addresses *to = ctx;

	to->rows++;
	to->failed = (!ipv6_only && !address_add(to->v4, ip)) ||
		     (ip6->family != IP_NONE && !address_add(to->v6, ip6));
	return !to->failed;
}

/* Takes `list` over. */
static json_t *family_json(json_t *list, uint64_t total, uint64_t available,
			   const struct ip_prefix *network)
{
	struct ip_prefix server = settings_server_address(network);
	char gateway[IP_TEXT_MAX];

	ip_format(gateway, &server.addr);
	return json_pack("{s:I,s:I,s:I,s:o,s:s}", "total", (json_int_t)total, "used",
			 (json_int_t)json_array_size(list), "available", (json_int_t)available,
			 "assigned_ips", list, "gateway_ip", gateway);
}

/* null where the gateway has no IPv6 in the tunnel. */
static json_t *ipv6_json(json_t *list, uint64_t total, uint64_t available,
			 const struct ip_prefix *network)
{
	if (network->addr.family != IP_NONE)
		return family_json(list, total, available, network);
	json_decref(list);
	return json_null();
}

/* Both families of a client have one number, so a number that is taken in one is not available in
 * the other. */
static enum err_code ip_usage_json(struct core *c, json_t **out, struct err *e)
{
	const struct settings *s = &c->settings;
	struct addresses a = { json_array(), json_array(), 0, false };
	uint64_t total = settings_last_client(&s->network) - SETTINGS_FIRST_CLIENT + 1;
	uint64_t available;
	enum err_code rc = ERR_OK;

	if (!a.v4 || !a.v6)
		a.failed = true;
	else
		rc = store_client_addresses(c->store, address_collect, &a, e);
	if (rc || a.failed) {
		json_decref(a.v4);
		json_decref(a.v6);
		return rc ? rc : err_set(e, ERR_NOMEM, "the addresses: out of memory");
	}
	available = total > a.rows ? total - a.rows : 0;
	*out = json_pack("{s:o,s:o}", "ipv4", family_json(a.v4, total, available, &s->network),
			 "ipv6", ipv6_json(a.v6, total, available, &s->network6));
	return *out ? ERR_OK : err_set(e, ERR_NOMEM, "the addresses: out of memory");
}

static void failed(struct http_request *r, const struct err *e, const char *text)
{
	LOG_ERR("peers.status_failed", F_ERR(e));
	peers_respond_detail(r, 500, text);
}

void peers_ip_usage(struct http_request *r, void *ctx)
{
	const struct peers_api *a = ctx;
	json_t *root = NULL;
	struct err e = { 0 };

	peers_batch_run(a->batch); /* what came before counts */
	if (ip_usage_json(a->core, &root, &e))
		failed(r, &e, "Failed to get IP usage");
	else
		peers_respond(r, 200, root);
}

/* ---- status ---- */

void peers_server_status(struct http_request *r, void *ctx)
{
	const struct peers_api *a = ctx;
	struct core *c = a->core;
	struct host_ticks ticks = { 0 };
	struct dataplane_status d;
	struct host_usage u;
	char now[CLOCK_ISO_MAX];
	uint64_t total = 0;
	struct err e = { 0 };

	peers_batch_run(a->batch);
	if (store_client_total(c->store, &total, &e) ||
	    host_usage_read(&u, &ticks, c->state_dir, &e)) {
		failed(r, &e, "Failed to get server status");
		return;
	}
	c->host.status(c->host.ctx, &d);
	clock_iso_utc(now, c->host.wall_ns(c->host.ctx));
	peers_respond(r, 200,
		      json_pack("{s:I,s:I,s:f,s:f,s:s,s:s}", "wireguard_peers",
				(json_int_t)d.peer_count, "total_peers", (json_int_t)total,
				"memory_usage", host_memory_percent(&u), "load_average", u.load[0],
				"timestamp", now, "status", d.up ? "healthy" : "unhealthy"));
}

/* ---- metrics ---- */

struct handshakes {
	struct core *core;
	json_t *by_key;
	uint64_t active, total;
	bool failed;
};

/* The device knows best; what was stored is of the time before the last start. */
static bool handshake_collect(void *ctx, const struct client *client)
{
	struct handshakes *to = ctx;
	struct wg_peer_info live;
	char key[KEY_TEXT_MAX];
	int64_t last;

	to->total++;
	to->active += core_connected(to->core, client, &live);
	last = MAX(live.last_handshake_wall_ns, client->seen_ns);
	if (last == 0)
		return true;
	public_key_text(key, &client->public_key);
	to->failed =
		json_object_set_new_nocheck(to->by_key, key, json_integer(last / NS_PER_S)) < 0;
	return !to->failed;
}

static enum err_code wireguard_json(struct core *c, json_t **out, struct err *e)
{
	const struct client_query all = { .limit = UINT64_MAX };
	struct handshakes h = { .core = c, .by_key = json_object() };
	json_t *usage = NULL;
	enum err_code rc = h.by_key ? ip_usage_json(c, &usage, e)
				    : err_set(e, ERR_NOMEM, "the metrics: out of memory");

	if (rc == ERR_OK)
		rc = store_clients(c->store, &all, false, handshake_collect, &h, e);
	if (rc == ERR_OK && h.failed)
		rc = err_set(e, ERR_NOMEM, "the metrics: out of memory");
	if (rc) {
		json_decref(usage);
		json_decref(h.by_key);
		return rc;
	}
	*out = json_pack("{s:I,s:I,s:o,s:o}", "active_peers", (json_int_t)h.active, "total_peers",
			 (json_int_t)h.total, "ip_usage", usage, "last_handshakes", h.by_key);
	return *out ? ERR_OK : err_set(e, ERR_NOMEM, "the metrics: out of memory");
}

static json_t *system_json(const struct host_usage *u)
{
	return json_pack("{s:f,s:{s:I,s:I,s:f},s:{s:I,s:I,s:I,s:f},s:[f,f,f]}", "cpu_percent",
			 u->cpu_percent, "memory", "total", (json_int_t)u->memory_total,
			 "available", (json_int_t)u->memory_available, "percent",
			 host_memory_percent(u), "disk", "total", (json_int_t)u->disk_total, "used",
			 (json_int_t)u->disk_used, "free", (json_int_t)u->disk_free, "percent",
			 host_disk_percent(u), "load_average", u->load[0], u->load[1], u->load[2]);
}

void peers_server_metrics(struct http_request *r, void *ctx)
{
	struct peers_api *a = ctx;
	struct core *c = a->core;
	char now[CLOCK_ISO_MAX];
	json_t *wireguard = NULL;
	struct host_usage u;
	struct err e = { 0 };

	peers_batch_run(a->batch);
	if (host_usage_read(&u, &a->ticks, c->state_dir, &e) || wireguard_json(c, &wireguard, &e)) {
		failed(r, &e, "Failed to get server metrics");
		return;
	}
	clock_iso_utc(now, c->host.wall_ns(c->host.ctx));
	peers_respond(r, 200,
		      json_pack("{s:o,s:o,s:s}", "system", system_json(&u), "wireguard", wireguard,
				"timestamp", now));
}
