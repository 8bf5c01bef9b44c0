/* client_why: whether a client is connected, why its packets went no further, and what is the likely
 * cause when nothing is heard of it. */
#include "core/core.h"

struct facts {
	const struct client *client;
	struct wg_peer_info live;
	bool has_peer, connected;
	uint64_t drops[WG_VERDICTS]; /* of the client */
	struct dataplane_status device;
	int64_t now_ns;
};

/* ---- the likely cause ---- */

static bool is_down(const struct facts *f)
{
	return !f->device.up;
}

static bool is_disabled(const struct facts *f)
{
	return !f->client->enabled;
}

static bool has_no_peer(const struct facts *f)
{
	return !f->has_peer;
}

static bool has_expired(const struct facts *f)
{
	const struct client_limits *l = &f->client->limits;

	return l->expires_ns && f->now_ns >= l->expires_ns;
}

static bool has_no_quota_left(const struct facts *f)
{
	const struct wg_limits_info *l = &f->live.limits;

	return l->quota && (l->quota_out_at || l->quota_used >= l->quota);
}

static bool is_connected(const struct facts *f)
{
	return f->connected;
}

static bool never_shook_hands(const struct facts *f)
{
	return !f->live.last_handshake_wall_ns;
}

static bool is_refused(const struct facts *f)
{
	return never_shook_hands(f) && (f->drops[DROP_HANDSHAKE] || f->drops[DROP_OLD_TIMESTAMP]);
}

static bool is_called_in_vain(const struct facts *f)
{
	return never_shook_hands(f) && f->live.tx_bytes;
}

static bool server_key_differs(const struct facts *f)
{
	return never_shook_hands(f) && f->device.verdicts[DROP_BAD_MAC1];
}

static bool key_is_unknown(const struct facts *f)
{
	return never_shook_hands(f) && f->device.verdicts[DROP_UNKNOWN_PEER];
}

static bool is_under_flood(const struct facts *f)
{
	return never_shook_hands(f) &&
	       (f->device.verdicts[DROP_NEED_COOKIE] || f->device.verdicts[DROP_RATE_LIMIT]);
}

static bool always(const struct facts *f)
{
	(void)f;
	return true;
}

/* The first that holds.  Counts of the device belong to no client: they make a cause likely, not
 * certain, and say so. */
static const struct {
	bool (*holds)(const struct facts *f);
	const char *name, *text;
} causes[] = {
	{ is_disabled, "disabled", "The client is disabled, so the gateway does not talk to it." },
	{ is_down, "interface_down",
	  "The gateway's interface is down: nobody is served.  Restart the gateway." },
	{ has_no_peer, "not_live",
	  "The client is stored but not in the running device: somebody removed it there.  Restart "
	  "the gateway." },
	{ has_expired, "access_expired",
	  "The client's time is over: nothing of it passes.  Set a later end, or none." },
	{ has_no_quota_left, "quota_used_up",
	  "The client's quota is used up: packets that it does not cover are dropped.  Give it "
	  "more, or a new quota." },
	{ is_connected, "connected", "The client is connected." },
	{ is_refused, "handshake_refused",
	  "The client reaches the gateway, but its handshakes are refused; see the reasons.  "
	  "Export its configuration again." },
	{ is_called_in_vain, "no_answer",
	  "The gateway called the client where it was last seen, and it did not answer.  Switch "
	  "the tunnel on at the client; it may have moved." },
	{ server_key_differs, "never_seen_wrong_server_key",
	  "Nothing valid ever came from the client, but somebody sends handshakes meant for "
	  "another "
	  "server key.  If it is this client, export its configuration again." },
	{ key_is_unknown, "never_seen_unknown_key",
	  "Nothing valid ever came from the client, but somebody sends handshakes with a key that "
	  "is "
	  "no client's.  If it is this client, export its configuration again." },
	{ is_under_flood, "never_seen_under_flood",
	  "Nothing valid ever came from the client, and handshakes are being held back under a "
	  "flood.  Try again in some seconds." },
	{ never_shook_hands, "never_seen",
	  "Nothing ever came from the client.  Switch the tunnel on there; if it is on, check the "
	  "address and port of the gateway in its configuration, and that UDP gets through to "
	  "them." },
	{ always, "silent",
	  "The client was connected before and is silent now: its tunnel is off, its device "
	  "sleeps, "
	  "or UDP does not get through any more.  An idle client connects again with its first "
	  "packet." },
};

static json_t *cause_json(const struct facts *f)
{
	size_t i = 0;

	while (!causes[i].holds(f))
		i++; /* the last one always does */
	return json_pack("{s:s,s:s}", "name", causes[i].name, "text", causes[i].text);
}

/* ---- the reasons ---- */

struct reason {
	enum wg_verdict v;
	uint64_t n;
};

static int most_first(const void *a, const void *b)
{
	const struct reason *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? 1 : -1;
	return (int)x->v - (int)y->v;
}

static json_t *drops_json(const uint64_t counts[WG_VERDICTS])
{
	struct reason found[WG_VERDICTS];
	json_t *list = json_array();
	size_t n = 0;

	for (int v = DROP_MALFORMED; v < WG_VERDICTS; v++)
		if (counts[v])
			found[n++] = (struct reason){ (enum wg_verdict)v, counts[v] };
	qsort(found, n, sizeof *found, most_first);
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_pack("{s:s,s:I,s:s}", "reason",
							    wg_verdict_name(found[i].v), "packets",
							    (json_int_t)found[i].n, "text",
							    wg_verdict_text(found[i].v)));
	if (json_array_size(list) == n)
		return list;
	json_decref(list);
	return NULL;
}

/* ---- the answer ---- */

static void facts_find(struct facts *f, struct core *c, const struct client *client)
{
	*f = (struct facts){ .client = client, .now_ns = c->host.wall_ns(c->host.ctx) };
	f->connected = core_connected(c, client, &f->live);
	f->has_peer = c->host.drops(c->host.ctx, &client->public_key, f->drops);
	c->host.status(c->host.ctx, &f->device);
}

static json_t *since_json(int64_t ns)
{
	char text[CLOCK_ISO_MAX];

	clock_iso_plain(text, ns);
	return ns ? json_string(text) : json_null();
}

static json_t *why_json(struct core *c, const struct facts *f)
{
	char age[GATEWAY_TEXT_MAX], endpoint[ENDPOINT_TEXT_MAX];
	bool has_endpoint = f->live.endpoint.addr.family != IP_NONE;

	core_handshake_text(age, c, &f->live);
	endpoint_format(endpoint, &f->live.endpoint);
	return json_pack("{s:s,s:b,s:b,s:s,s:s?,s:I,s:I,s:o,s:o,s:o,s:o}", "client_name",
			 f->client->name, "enabled", f->client->enabled, "connected", f->connected,
			 "latest_handshake", age, "endpoint", has_endpoint ? endpoint : NULL,
			 "received_bytes", (json_int_t)f->live.rx_bytes, "sent_bytes",
			 (json_int_t)f->live.tx_bytes, "quota_out_since",
			 since_json(f->live.quota_out_wall_ns), "limits",
			 core_limits_json(c, f->client, &f->live), "cause", cause_json(f), "drops",
			 drops_json(f->drops));
}

enum api_code core_client_why(struct core *c, json_t *params, json_t **data, struct err *e)
{
	const json_t *name = json_object_get(params, "client_name");
	struct client client = { 0 };
	struct facts f;
	enum err_code rc;

	if (!c->host.drops)
		return core_code_of(
			err_set(e, ERR_UNSUPPORTED,
				"client_why needs the engine, which counts what it drops; "
				"this gateway runs on backend \"%s\"",
				c->backend ? c->backend : "unknown"));
	rc = store_client_by_name(c->store,
				  (struct str){ json_string_value(name), json_string_length(name) },
				  &client, e);

	if (rc)
		return core_code_of(rc);
	client_done(&client); /* of secrets: none is needed here */
	facts_find(&f, c, &client);
	*data = why_json(c, &f);
	return *data ? API_OK : core_code_of(err_set(e, ERR_NOMEM, "client_why: out of memory"));
}
