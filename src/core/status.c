/* server_status, get_tweak_settings, update_tweak_setting. */
#include <limits.h>
#include <unistd.h>

#include "base/log.h"
#include "core/core.h"

/* ---- status ---- */

struct tally {
	struct core *core;
	json_t *peers;
	int64_t connected;
	bool failed;
};

static json_t *peer_json(struct core *c, const struct client *client,
			 const struct wg_peer_info *info)
{
	char key[KEY_TEXT_MAX], ip[IP_TEXT_MAX], ip6[IP_TEXT_MAX], age[GATEWAY_TEXT_MAX];
	char rx[GATEWAY_TEXT_MAX], tx[GATEWAY_TEXT_MAX], allowed[2 * PREFIX_TEXT_MAX + 2];
	char endpoint[ENDPOINT_TEXT_MAX];
	bool has_endpoint = info->endpoint.addr.family != IP_NONE;

	public_key_text(key, &client->public_key);
	ip_format(ip, &client->ip);
	if (client->ipv6_only) {
		ip_format(ip6, &client->ip6);
		(void)snprintf(allowed, sizeof allowed, "%s/128", ip6);
	} else if (client->ip6.family != IP_NONE) {
		ip_format(ip6, &client->ip6);
		(void)snprintf(allowed, sizeof allowed, "%s/32, %s/128", ip, ip6);
	} else {
		(void)snprintf(allowed, sizeof allowed, "%s/32", ip);
	}
	core_handshake_text(age, c, info);
	gateway_text_bytes(rx, info->rx_bytes);
	gateway_text_bytes(tx, info->tx_bytes);
	endpoint_format(endpoint, &info->endpoint);
	return json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:s*,s:{s:s,s:s,s:I,s:I}}", "name", client->name,
			 "public_key", key, "allowed_ips", allowed, "latest_handshake", age,
			 "rx_bytes", (json_int_t)info->rx_bytes, "tx_bytes",
			 (json_int_t)info->tx_bytes, "endpoint", has_endpoint ? endpoint : NULL,
			 "transfer", "received", rx, "sent", tx, "received_bytes",
			 (json_int_t)info->rx_bytes, "sent_bytes", (json_int_t)info->tx_bytes);
}

static bool client_tally(void *ctx, const struct client *client)
{
	struct tally *t = ctx;
	struct wg_peer_info info;

	t->connected += core_connected(t->core, client, &info);
	if (!client->enabled)
		return true;
	t->failed = json_array_append_new(t->peers, peer_json(t->core, client, &info)) < 0;
	return !t->failed;
}

static json_t *service_json(const struct core *c)
{
	char started[CLOCK_ISO_MAX], pid[16];
	char *t;

	clock_iso_plain(started, c->started_ns);
	t = strchr(started, 'T');
	if (t)
		*t = ' '; /* the reference shows this one with a space */
	(void)snprintf(pid, sizeof pid, "%d", c->service_pid ? c->service_pid : (int)getpid());
	return json_pack("{s:b,s:s,s:s,s:s}", "running", 1, "service_name", "qanat-gateway",
			 "started_at", started, "pid", pid);
}

static json_t *interface_json(const struct dataplane_status *d, json_t *peers)
{
	char key[KEY_TEXT_MAX];

	public_key_text(key, &d->public_key);
	return json_pack("{s:b,s:s,s:o,s:s,s:i,s:I,s:I}", "active", d->up, "interface", d->ifname,
			 "peers", peers, "public_key", key, "port", (int)d->listen_port, "rx_bytes",
			 (json_int_t)d->rx_bytes, "tx_bytes", (json_int_t)d->tx_bytes);
}

static json_t *dns_json(const struct settings *s)
{
	json_t *list = json_array();
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_LEN(s->dns); i++) {
		if (s->dns[i].family == IP_NONE)
			continue;
		ip_format(text, &s->dns[i]);
		(void)json_array_append_new(list, json_string(text));
	}
	return list;
}

static json_t *text_json(const struct settings *s, enum setting which)
{
	AUTO(buf_done) struct buf text = { .limit = STORE_VALUE_MAX };

	settings_format(s, which, &text);
	return json_stringn(buf_view(&text).p, text.n);
}

static json_t *configuration_json(const struct core *c, const struct dataplane_status *d)
{
	const struct settings *s = &c->settings;
	json_t *file = json_sprintf("%s/%s", c->state_dir, STORE_FILE);
	bool exists = file && access(json_string_value(file), R_OK) == 0;

	return json_pack("{s:s,s:o,s:i,s:o,s:o,s:b,s:o,s:o,s:i,s:i}", "interface", s->ifname,
			 "config_file", file, "port", (int)s->port, "network",
			 text_json(s, SETTING_NETWORK), "dns", dns_json(s), "config_exists", exists,
			 "network6", text_json(s, SETTING_NETWORK6), "endpoint",
			 text_json(s, SETTING_ENDPOINT), "mtu", (int)s->mtu, "workers",
			 (int)d->workers);
}

static json_t *system_json(struct core *c)
{
	bool firewall = c->host.firewall_active(c->host.ctx);
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	char *slash;

	exe[MAX(n, (ssize_t)0)] = 0;
	slash = strrchr(exe, '/');
	if (slash)
		*slash = 0;
	return json_pack("{s:s,s:s,s:s,s:{s:s},s:s}", "install_dir", exe, "config_dir",
			 c->state_dir, "data_dir", c->state_dir, "firewall", "status",
			 firewall ? "active" : "inactive", "wireguard_module",
			 c->backend && strcmp(c->backend, "kernel") == 0 ? "kernel" : "userspace");
}

/* Why packets went no further: {"no_session": 12, ...}, all reasons. */
static json_t *drops_json(const struct dataplane_status *d)
{
	json_t *o = json_object();

	for (int v = DROP_MALFORMED; v < WG_VERDICTS; v++) {
		(void)json_object_set_new(o, wg_verdict_name((enum wg_verdict)v),
					  json_integer((json_int_t)d->verdicts[v]));
	}
	return o;
}

enum api_code core_server_status(struct core *c, json_t *params, json_t **data, struct err *e)
{
	const struct client_query all = { .search = STR(""), .limit = UINT64_MAX };
	struct tally t = { .core = c, .peers = json_array() };
	struct dataplane_status d;
	uint64_t total, enabled;
	enum err_code rc = store_client_count(c->store, STR(""), &total, &enabled, e);

	(void)params;
	if (rc == ERR_OK)
		rc = store_clients(c->store, &all, false, client_tally, &t, e);
	if (rc || t.failed) {
		json_decref(t.peers);
		return core_code_of(rc ? rc
				       : err_set(e, ERR_NOMEM, "server_status: out of memory"));
	}
	c->host.status(c->host.ctx, &d);
	*data = json_pack("{s:o,s:o,s:{s:I,s:I,s:I,s:I},s:o,s:o,s:o,s:o*}", "service",
			  service_json(c), "interface", interface_json(&d, t.peers), "clients",
			  "total_configured", (json_int_t)total, "enabled_clients",
			  (json_int_t)enabled, "disabled_clients", (json_int_t)(total - enabled),
			  "active_connections", (json_int_t)t.connected, "configuration",
			  configuration_json(c, &d), "system", system_json(c), "drops",
			  drops_json(&d), "https",
			  c->host.https ? c->host.https(c->host.ctx) : NULL);
	return *data ? API_OK : core_code_of(err_set(e, ERR_NOMEM, "server_status: out of memory"));
}

/* ---- tweaks ---- */

#define TWEAK "restart_service_after_client_creation"
#define TWEAK_DESCRIPTION                                                      \
	"Apply the interface's whole configuration from the store again after" \
	" a client was created"

enum api_code core_get_tweak_settings(struct core *c, json_t *params, json_t **data, struct err *e)
{
	(void)params;
	*data = json_pack("{s:b,s:s}", TWEAK, c->settings.restart_after_add, TWEAK "_description",
			  TWEAK_DESCRIPTION);
	return *data ? API_OK
		     : core_code_of(err_set(e, ERR_NOMEM, "get_tweak_settings: out of memory"));
}

static void value_refuse(const json_t *value, struct err *e)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	char shown[80];

	text_escaped(shown, sizeof shown, str_of(text ? text : "that"));
	(void)err_set(e, ERR_INVALID, "value %s: %s must be true or false", shown, TWEAK);
	free(text);
}

enum api_code core_update_tweak_setting(struct core *c, json_t *params, json_t **data,
					struct err *e)
{
	const json_t *name = json_object_get(params, "setting_name");
	const json_t *value = json_object_get(params, "value");
	struct str given = { json_string_value(name), json_string_length(name) };
	bool old = c->settings.restart_after_add, new = json_is_true(value);
	char shown[64], message[128];
	enum err_code rc;

	if (!str_eq(given, STR(TWEAK))) {
		text_escaped(shown, sizeof shown, given);
		(void)err_set(e, ERR_INVALID, "there is no tweak setting \"%s\"; there is %s",
			      shown, TWEAK);
		return API_VALIDATION_ERROR;
	}
	if (!json_is_boolean(value)) {
		value_refuse(value, e);
		return API_VALIDATION_ERROR;
	}
	(void)snprintf(message, sizeof message, "Setting '%s' updated successfully", TWEAK);
	*data = json_pack("{s:s,s:b,s:b,s:s,s:s}", "setting", TWEAK, "new_value", new, "old_value",
			  old, "message", message, "description", TWEAK_DESCRIPTION);
	if (!*data)
		return core_code_of(err_set(e, ERR_NOMEM, "update_tweak_setting: out of memory"));
	rc = settings_change(&c->settings, c->store, SETTING_RESTART_AFTER_ADD,
			     new ? STR("true") : STR("false"), e);
	if (rc == ERR_OK)
		LOG_NOTE("tweak.changed", F_STR("setting", TWEAK),
			 F_STR("value", new ? "true" : "false"));
	return core_code_of(rc);
}
