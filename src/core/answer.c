#include "core/answer.h"

#include "base/log.h"

enum api_code core_code_of(enum err_code rc)
{
	switch (rc) {
	case ERR_OK:
		return API_OK;
	case ERR_NOMEM:
		return API_INTERNAL_ERROR;
	case ERR_EXISTS:
		return API_CLIENT_EXISTS;
	case ERR_NOT_FOUND:
		return API_CLIENT_NOT_FOUND;
	default:
		return API_SERVICE_OPERATION_FAILED;
	}
}

/* Failures of ours, not of the request, are somebody's work: they are logged. */
static bool is_our_failure(enum api_code code)
{
	return code == API_INTERNAL_ERROR || code == API_SERVICE_OPERATION_FAILED ||
	       code == API_NETWORK_ERROR || code == API_CONFIG_ERROR;
}

json_t *answer_failure(struct core *c, struct str module, struct str action, enum api_code code,
		       const struct err *e)
{
	const char *message = e->msg;

	if (is_our_failure(code))
		LOG_ERR("request.failed", F_VIEW("module", module), F_VIEW("action", action),
			F_STR("code", api_code_name(code)), F_ERR(e));
	if (code == API_INTERNAL_ERROR) /* details 1.1 */
		message = "An unexpected error occurred";
	return envelope_failure(module, action, c->host.wall_ns(c->host.ctx), code, message, NULL);
}

json_t *answer_of(struct core *c, const struct action *a, enum api_code code, json_t *data,
		  const struct err *e)
{
	struct str module = str_of(a->module), action = str_of(a->name);

	if (code == API_OK)
		return envelope_success(module, action, c->host.wall_ns(c->host.ctx), data);
	json_decref(data);
	return answer_failure(c, module, action, code, e);
}

bool core_later(struct core *c, struct core_later *out, struct err *e)
{
	if (!c->now.reply || !c->loop) {
		(void)err_set(e, ERR_UNSUPPORTED,
			      "%s %s takes time, and nobody here can wait for its answer",
			      c->now.action->module, c->now.action->name);
		return false;
	}
	*out = c->now;
	return true;
}

void core_later_answer(const struct core_later *l, enum api_code code, json_t *data,
		       const struct err *e)
{
	l->reply->send(l->reply, answer_of(l->core, l->action, code, data, e));
}

/* 18.2 as 18.2: fifteen digits are what a double keeps of any decimal. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(15))

/* The text ends up in a buf, byte by byte wiped there; jansson's own pieces are wiped by the
 * allocator that main gives it. */
static int dump_piece(const char *piece, size_t n, void *ctx)
{
	struct buf *out = ctx;

	buf_add(out, piece, n);
	return buf_ok(out) ? 0 : -1;
}

bool core_envelope_line(json_t *answer, struct buf *out)
{
	bool ok = answer && json_dump_callback(answer, dump_piece, out, DUMP_FLAGS) == 0;

	buf_char(out, '\n');
	json_decref(answer);
	return ok && buf_ok(out);
}

bool core_refuse_line(int64_t wall_ns, const char *why, struct buf *out)
{
	return core_envelope_line(envelope_failure(STR(""), STR(""), wall_ns, API_VALIDATION_ERROR,
						   why, NULL),
				  out);
}
