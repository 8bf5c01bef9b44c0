/* service_logs, restart_service, show_file. */
#include "base/log.h"
#include "core/files.h"
#include "core/log_ring.h"

#define SERVICE "qanat-gateway"

/* ---- logs ---- */

struct lines {
	json_t *list;
	bool failed;
};

static void line_add(void *ctx, struct str line)
{
	struct lines *l = ctx;

	l->failed = json_array_append_new(l->list, json_stringn(line.p, line.n)) < 0 || l->failed;
}

enum api_code core_service_logs(struct core *c, json_t *params, json_t **data, struct err *e)
{
	json_int_t wanted = json_integer_value(json_object_get(params, "lines"));
	struct lines l = { .list = json_array() };

	if (c->logs)
		log_ring_walk(c->logs, (size_t)MAX(wanted, 1), line_add, &l);
	if (!l.failed)
		*data = json_pack("{s:O,s:I,s:s,s:I,s:s}", "logs", l.list, "count",
				  (json_int_t)json_array_size(l.list), "service", SERVICE,
				  "lines_requested", wanted, "source", "memory");
	json_decref(l.list);
	return *data ? API_OK : core_code_of(err_set(e, ERR_NOMEM, "service_logs: out of memory"));
}

/* ---- restart ---- */

static json_t *restart_json(bool restarted, bool up, const char *message)
{
	return json_pack("{s:b,s:b,s:b,s:s,s:s}", "restarted", restarted, "service_active", 1,
			 "interface_up", up, "service", SERVICE, "message", message);
}

/* Who asks over the control socket hears of it from the program that has been started; anybody else
 * before it is. */
enum api_code core_restart_service(struct core *c, json_t *params, json_t **data, struct err *e)
{
	bool is_told = c->now.reply && c->now.reply->hand_over;
	struct dataplane_status d;

	(void)params;
	if (!c->host.restart) {
		(void)err_set(e, ERR_UNSUPPORTED, "this gateway cannot start itself anew");
		return API_SERVICE_OPERATION_FAILED;
	}
	c->host.status(c->host.ctx, &d);
	if (!is_told) {
		*data = restart_json(false, d.up,
				     "The restart begins now; server_status tells when it is over");
		if (!*data)
			return core_code_of(
				err_set(e, ERR_NOMEM, "restart_service: out of memory"));
	}
	if (c->host.restart(c->host.ctx, is_told ? &c->now : NULL))
		return is_told ? CORE_LATER : API_OK;
	(void)err_set(e, ERR_IN_USE, "a restart is under way already");
	return API_SERVICE_OPERATION_FAILED;
}

bool core_restarted_line(struct core *c, struct buf *out)
{
	struct dataplane_status d;

	c->host.status(c->host.ctx, &d);
	return core_envelope_line(
		envelope_success(STR("core"), STR("restart_service"), c->host.wall_ns(c->host.ctx),
				 restart_json(true, d.up, "Service restarted successfully")),
		out);
}

bool core_restart_failed_line(int64_t wall_ns, const struct err *why, struct buf *out)
{
	return core_envelope_line(envelope_failure(STR("core"), STR("restart_service"), wall_ns,
						   API_SERVICE_OPERATION_FAILED, why->msg, NULL),
				  out);
}

/* ---- files ---- */

enum api_code core_show_file(struct core *c, json_t *params, json_t **data, struct err *e)
{
	const json_t *v = json_object_get(params, "name");
	struct str name = { json_string_value(v), json_string_length(v) };
	struct buf text = { 0 };
	enum err_code rc = file_view(&text, c, name, true, e);

	if (rc == ERR_OK) {
		*data = json_pack("{s:s%,s:s%}", "name", name.p, name.n, "content", text.p, text.n);
		if (!*data)
			rc = err_set(e, ERR_NOMEM, "show_file: out of memory");
	}
	buf_done(&text);
	return rc == ERR_NOT_FOUND ? API_CONFIG_NOT_FOUND : core_code_of(rc);
}
