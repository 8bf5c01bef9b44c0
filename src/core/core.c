#include "core/core.h"

#include "core/answer.h"

static const struct {
	const char *module, *name;
	enum api_code (*run)(struct core *c, json_t *params, json_t **data, struct err *e);
} actions[] = {
	{ "core", "add_client", core_add_client },
	{ "core", "remove_client", core_remove_client },
	{ "core", "list_clients", core_list_clients },
	{ "core", "latest_clients", core_latest_clients },
	{ "core", "export_client", core_export_client },
	{ "core", "set_client_limits", core_set_client_limits },
	{ "core", "client_limits", core_client_limits },
	{ "core", "client_why", core_client_why },
	{ "core", "server_status", core_server_status },
	{ "core", "get_tweak_settings", core_get_tweak_settings },
	{ "core", "update_tweak_setting", core_update_tweak_setting },
	{ "net", "diff", core_net_diff },
	{ "net", "repair", core_net_repair },
	{ "net", "status", core_net_status },
	{ "core", "service_logs", core_service_logs },
	{ "core", "restart_service", core_restart_service },
	{ "core", "get_firewall_status", core_get_firewall_status },
	{ "core", "get_subnet_info", core_get_subnet_info },
	{ "core", "validate_subnet_change", core_validate_subnet_change },
	{ "core", "change_subnet", core_change_subnet },
	{ "core", "show_file", core_show_file },
	{ "core", "import_installation", core_import_installation },
	{ "dns", "change_dns_servers", core_change_dns_servers },
	{ "dns", "test_dns_servers", core_test_dns_servers },
	{ "dns", "status", core_dns_status },
	{ "dns", "get_dns_servers", core_get_dns_servers },
};

static json_t *not_found(struct core *c, struct str module, struct str action)
{
	enum api_code code;
	json_t *data = NULL;
	struct err e;

	(void)api_not_found(module, action, &code, &data, &e);
	return envelope_failure(module, action, c->host.wall_ns(c->host.ctx), code, e.msg, data);
}

static enum api_code action_run(struct core *c, const struct action *a, json_t *params,
				json_t **data, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		if (strcmp(actions[i].module, a->module) == 0 &&
		    strcmp(actions[i].name, a->name) == 0)
			return actions[i].run(c, params, data, e);
	}
	(void)err_set(e, ERR_UNSUPPORTED, "%s %s is not built in", a->module, a->name);
	return API_INTERNAL_ERROR;
}

json_t *core_dispatch(struct core *c, struct str module, struct str action, json_t *params,
		      struct core_reply *reply, bool *is_later)
{
	const struct action *a = api_action_find(module, action);
	enum api_code code;
	struct err e = { 0 };
	json_t *data = NULL;

	if (is_later)
		*is_later = false;
	if (!a)
		return not_found(c, module, action);
	if (api_params_check(a, params, &code, &e))
		return answer_failure(c, module, action, code, &e);
	c->now = (struct core_later){ c, a, is_later ? reply : NULL };
	code = action_run(c, a, params, &data, &e);
	c->now = (struct core_later){ 0 };
	if (code != CORE_LATER)
		return answer_of(c, a, code, data, &e);
	*is_later = true;
	return NULL;
}

void core_cancel(struct core *c)
{
	core_dns_cancel(c);
}

bool core_answer_line(struct core *c, struct str line, struct core_reply *reply, bool *is_later,
		      struct buf *out)
{
	struct control_request r = { 0 };
	struct err e = { 0 };
	json_t *envelope;

	if (is_later)
		*is_later = false;
	if (control_request_parse(&r, line, &e))
		return core_refuse_line(c->host.wall_ns(c->host.ctx), e.msg, out);
	envelope = core_dispatch(c, r.module, r.action, r.params, reply, is_later);
	control_request_done(&r);
	if (is_later && *is_later)
		return true;
	return core_envelope_line(envelope, out);
}
