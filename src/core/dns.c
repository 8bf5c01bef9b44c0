/* get_dns_servers and change_dns_servers: which servers the configurations of clients name. */
#include "base/log.h"
#include "core/core.h"

/* A server's address, or null where none is set. */
static json_t *server_json(const struct ip_addr *ip)
{
	char text[IP_TEXT_MAX];

	if (ip->family == IP_NONE)
		return json_null();
	ip_format(text, ip);
	return json_string(text);
}

json_t *core_dns_servers_json(const struct settings *s)
{
	return json_pack("{s:o,s:o}", "primary", server_json(&s->dns[0]), "secondary",
			 server_json(&s->dns[1]));
}

enum api_code core_get_dns_servers(struct core *c, json_t *params, json_t **data, struct err *e)
{
	(void)params;
	*data = core_dns_servers_json(&c->settings);
	return *data ? API_OK
		     : core_code_of(err_set(e, ERR_NOMEM, "get_dns_servers: out of memory"));
}

/* IPv4 only, as the reference has it: a client without IPv6 could not use another. */
static enum err_code server_take(struct settings *s, enum setting which, const json_t *params,
				 const char *name, bool *given, struct err *e)
{
	const json_t *v = json_object_get(params, name);
	struct str text = { json_string_value(v), json_string_length(v) };
	struct ip_addr ip;
	char shown[64];

	if (!v)
		return ERR_OK;
	*given = true;
	if (ip_parse(text, &ip) && ip.family == IP_V4)
		return settings_parse(s, which, text, e);
	text_escaped(shown, sizeof shown, text);
	return err_set(e, ERR_INVALID, "%s: \"%s\" is not an IPv4 address, such as 9.9.9.9", name,
		       shown);
}

static json_t *changed_json(const struct settings *is, const struct settings *was)
{
	return json_pack("{s:b,s:{s:o,s:o,s:o,s:o},s:{s:b,s:s}}", "success", 1, "dns_servers",
			 "primary", server_json(&is->dns[0]), "secondary", server_json(&is->dns[1]),
			 "previous_primary", server_json(&was->dns[0]), "previous_secondary",
			 server_json(&was->dns[1]), "client_configs_updated", "success", 1,
			 "message", "All client configurations updated successfully");
}

enum api_code core_change_dns_servers(struct core *c, json_t *params, json_t **data, struct err *e)
{
	struct settings changed = c->settings;
	bool given = false;
	enum err_code rc;

	if (server_take(&changed, SETTING_DNS_PRIMARY, params, "primary", &given, e) ||
	    server_take(&changed, SETTING_DNS_SECONDARY, params, "secondary", &given, e))
		return API_INVALID_PARAMETER;
	if (!given) {
		(void)err_set(e, ERR_MISSING,
			      "dns change_dns_servers needs primary, secondary or both");
		return API_MISSING_PARAMETER;
	}
	*data = changed_json(&changed, &c->settings);
	if (!*data)
		return core_code_of(err_set(e, ERR_NOMEM, "change_dns_servers: out of memory"));
	rc = settings_store(&changed, c->store, e); /* both, or neither */
	if (rc)
		return core_code_of(rc);
	c->settings = changed;
	LOG_NOTE("dns.changed", F_IP("primary", &changed.dns[0]),
		 F_IP("secondary", &changed.dns[1]));
	return API_OK;
}
