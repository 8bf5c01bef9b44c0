/* list_clients and latest_clients: pages of clients, with what the live device knows of each. */
#include "core/core.h"

static json_t *connection_json(struct core *c, const struct wg_peer_info *info)
{
	char age[GATEWAY_TEXT_MAX], rx[GATEWAY_TEXT_MAX], tx[GATEWAY_TEXT_MAX];
	char endpoint[ENDPOINT_TEXT_MAX];

	core_handshake_text(age, c, info);
	gateway_text_bytes(rx, info->rx_bytes);
	gateway_text_bytes(tx, info->tx_bytes);
	endpoint_format(endpoint, &info->endpoint);
	return json_pack("{s:s,s:s,s:s,s:b,s:s,s:{s:I,s:I}}", "latest_handshake", age,
			 "transfer_rx", rx, "transfer_tx", tx, "connected", 1, "endpoint", endpoint,
			 "transfer", "rx", (json_int_t)info->rx_bytes, "tx",
			 (json_int_t)info->tx_bytes);
}

/* ClientInfo of the reference, with the IPv6 address and the limits besides. */
static json_t *info_json(struct core *c, const struct client *client)
{
	char ip[IP_TEXT_MAX], ip6[IP_TEXT_MAX] = "", created[CLOCK_ISO_MAX];
	struct wg_peer_info live;
	bool connected = core_connected(c, client, &live);

	ip_format(ip, &client->ip);
	if (client->ip6.family != IP_NONE)
		ip_format(ip6, &client->ip6);
	clock_iso_plain(created, client->created_ns);
	return json_pack("{s:s,s:s,s:s*,s:b,s:s,s:b,s:o*,s:o*}", "name", client->name, "ip", ip,
			 "ipv6", *ip6 ? ip6 : NULL, "enabled", client->enabled, "created", created,
			 "connected", connected, "connection",
			 connected ? connection_json(c, &live) : NULL, "limits",
			 core_has_limits(client) ? core_limits_json(c, client, &live) : NULL);
}

struct collect {
	struct core *core;
	json_t *list;
	bool failed;
};

static bool client_collect(void *ctx, const struct client *client)
{
	struct collect *to = ctx;

	to->failed = json_array_append_new(to->list, info_json(to->core, client)) < 0;
	return !to->failed;
}

static enum err_code clients_collect(struct core *c, const struct client_query *q, json_t **out,
				     struct err *e)
{
	struct collect to = { .core = c, .list = json_array() };
	enum err_code rc = store_clients(c->store, q, false, client_collect, &to, e);

	if (rc == ERR_OK && to.failed)
		rc = err_set(e, ERR_NOMEM, "list the clients: out of memory");
	if (rc)
		json_decref(to.list);
	else
		*out = to.list;
	return rc;
}

static json_t *page_json(const struct gateway_page *p)
{
	return json_pack("{s:I,s:I,s:I,s:b,s:b,s:I,s:I}", "page", (json_int_t)p->page, "per_page",
			 (json_int_t)p->per_page, "total_pages", (json_int_t)p->total_pages,
			 "has_next", p->has_next, "has_prev", p->has_prev, "showing_from",
			 (json_int_t)p->showing_from, "showing_to", (json_int_t)p->showing_to);
}

enum api_code core_list_clients(struct core *c, json_t *params, json_t **data, struct err *e)
{
	const json_t *search = json_object_get(params, "search");
	struct client_query q = {
		.search = { json_string_value(search), json_string_length(search) },
	};
	struct gateway_page page;
	uint64_t total, enabled;
	json_t *list = NULL;
	enum err_code rc;

	if (!q.search.p)
		q.search = STR("");
	rc = store_client_count(c->store, q.search, &total, &enabled, e);
	if (rc)
		return core_code_of(rc);
	page = gateway_page_of(total, json_integer_value(json_object_get(params, "page")),
			       json_integer_value(json_object_get(params, "per_page")));
	q.skip = page.skip;
	q.limit = page.per_page;
	rc = clients_collect(c, &q, &list, e);
	if (rc)
		return core_code_of(rc);
	*data = json_pack("{s:I,s:o,s:o}", "total", (json_int_t)total, "clients", list,
			  "pagination", page_json(&page));
	return *data ? API_OK : core_code_of(err_set(e, ERR_NOMEM, "list_clients: out of memory"));
}

enum api_code core_latest_clients(struct core *c, json_t *params, json_t **data, struct err *e)
{
	json_int_t count = json_integer_value(json_object_get(params, "count"));
	struct client_query q = {
		.search = STR(""),
		.newest_first = true,
		.limit = (uint64_t)MAX(count, 1),
	};
	uint64_t total, enabled;
	json_t *list = NULL;
	enum err_code rc = store_client_count(c->store, STR(""), &total, &enabled, e);

	if (rc == ERR_OK)
		rc = clients_collect(c, &q, &list, e);
	if (rc)
		return core_code_of(rc);
	count = (json_int_t)json_array_size(list);
	*data = json_pack("{s:o,s:I,s:I}", "latest_clients", list, "count", count, "total_clients",
			  (json_int_t)total);
	return *data ? API_OK
		     : core_code_of(err_set(e, ERR_NOMEM, "latest_clients: out of memory"));
}
