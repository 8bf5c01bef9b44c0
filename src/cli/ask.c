#include "cli/ask.h"

#include <errno.h>
#include <jansson.h>
#include <unistd.h>

#include "api/control.h"
#include "base/clock.h"
#include "cli/command.h"
#include "cli/export.h"
#include "cli/view.h"
#include "model/client.h"

/* A completion that takes longer is worse than none. */
#define NAMES_WAIT_MS 800
#define NAMES_PAGE 100

static bool wants_json(const struct ask *a)
{
	return a->reference || a->options->json || !a->term.tty;
}

static int finish(struct buf *out, int status)
{
	struct err e = { 0 };

	if (!buf_ok(out)) {
		term_complain("no memory for the answer");
		status = CLI_FAILED;
	} else if (term_write(STDOUT_FILENO, buf_view(out), &e)) {
		term_complain(e.msg);
		status = CLI_FAILED;
	}
	if (out->p)
		wipe(out->p, out->n); /* an answer may hold a client's keys */
	buf_done(out);
	return status;
}

static void json_add(struct buf *out, const struct ask *a, json_t *document)
{
	/* A terminal would act on what JSON lets through, U+009B for one. */
	size_t flags =
		JSON_INDENT(2) | JSON_REAL_PRECISION(15) | (a->term.tty ? JSON_ENSURE_ASCII : 0u);
	char *text = json_dumps(document, flags);

	if (text) {
		buf_z(out, text);
		buf_char(out, '\n');
		wipe(text, strlen(text));
	} else {
		out->full = true;
	}
	free(text);
}

/* A failure found on this side of the socket, in the gateway's form; takes `data` over. */
static void failure_add(struct buf *out, const struct ask *a, const struct command *c,
			enum api_code code, const char *message, json_t *data)
{
	json_t *envelope =
		envelope_failure(c->module, c->action, clock_real_ns(), code, message, data);

	json_add(out, a, envelope);
	json_decref(envelope);
}

/* Whoever found it out: an answer that says success: false. */
static int failed_status(const struct ask *a)
{
	return a->options->compat_exit ? CLI_DONE : CLI_FAILED;
}

/* `typed`: it is the command line that is wrong, which is also said beside the JSON. */
static int fail(const struct ask *a, const struct command *c, enum api_code code,
		const char *message, json_t *data, bool typed)
{
	bool json = wants_json(a);
	struct buf out = { 0 };

	if (!a->reference && (!json || typed || (isatty(STDERR_FILENO) == 1 && !a->term.tty)))
		term_complain(message);
	if (json)
		failure_add(&out, a, c, code, message, data);
	else
		json_decref(data);
	return finish(&out, failed_status(a));
}

/* What the person should do about a gateway that could not be asked. */
static enum api_code call_explain(const struct command *c, const char *path, struct err *e)
{
	struct err why = *e;

	switch (why.code) {
	case ERR_NOT_FOUND:
		err_set(e, why.code,
			"no gateway listens at %s: start one with `qanat serve`, or name its "
			"socket with --socket PATH",
			path);
		return API_SERVICE_NOT_RUNNING;
	case ERR_DENIED:
		err_set(e, why.code,
			"%s: permission denied: ask as root (sudo), or as a user who may use "
			"the socket",
			path);
		return API_PERMISSION_ERROR;
	case ERR_CLOSED:
		err_set(e, why.code, "the gateway at %s went away before it answered%s", path,
			c->spec && c->spec->writes
				? "; it is not known whether this was done: look, then ask again"
				: ": ask again");
		return API_SERVICE_ERROR;
	case ERR_INVALID:
	case ERR_RANGE:
		return API_VALIDATION_ERROR;
	default:
		break;
	}
	if (why.sys == ECONNREFUSED) {
		err_set(e, why.code,
			"no gateway answers at %s, though its socket is left there: start one with "
			"`qanat serve`",
			path);
		return API_SERVICE_NOT_RUNNING;
	}
	return API_SERVICE_ERROR;
}

/* A private key that went into a file or a picture is not printed beside it. */
static json_t *data_public(json_t *data, const char *file)
{
	json_t *copy = json_deep_copy(data), *client = json_object_get(copy, "client");

	json_object_del(copy, "config");
	json_object_del(client, "private_key");
	json_object_del(client, "preshared_key");
	json_object_set_new(copy, "file", json_string(file));
	return copy;
}

/* The answer with its data replaced by what may be shown after --out. */
static void written_add(struct buf *out, const struct ask *a, json_t *answer, json_t *data)
{
	const char *path = a->options->out;

	if (wants_json(a)) {
		json_t *shown = json_copy(answer);

		json_object_set_new(shown, "data", data_public(data, path));
		json_add(out, a, shown);
		json_decref(shown);
		return;
	}
	buf_z(out, "Wrote the configuration of ");
	buf_escaped(out, view_field(json_object_get(data, "client"), "name"));
	buf_z(out, " to ");
	buf_escaped(out, str_of(path));
	buf_z(out, " (mode 0600; it holds the private key)\n");
}

static enum err_code export_show(struct buf *out, const struct ask *a, json_t *answer,
				 struct err *e)
{
	json_t *data = json_object_get(answer, "data");
	struct str config = view_field(data, "config");
	const char *path = a->options->out;
	enum err_code rc;

	if (!config.n)
		return err_set(e, ERR_CORRUPT, "the gateway's answer has no configuration");
	if (path && strcmp(path, "-") == 0) {
		buf_str(out, config);
	} else if (path) {
		rc = export_file(path, config, a->options->force, e);
		if (rc)
			return rc;
		if (!a->options->qr || a->term.tty)
			written_add(out, a, answer, data);
	}
	return a->options->qr ? export_qr(out, config, &a->term, e) : ERR_OK;
}

static int refused(const struct ask *a, json_t *answer)
{
	struct str why = view_field(answer, "error"), code = view_field(answer, "code");
	bool json = wants_json(a);
	struct buf out = { 0 }, text = { 0 };

	buf_str(&text, why.n ? why : STR("the gateway refused without a reason"));
	if (code.n)
		buf_printf(&text, " (%.*s)", STR_ARG(code));
	if (!a->reference && (!json || (isatty(STDERR_FILENO) == 1 && !a->term.tty)))
		term_complain(buf_view(&text).p);
	if (json)
		json_add(&out, a, answer);
	buf_done(&text);
	return finish(&out, failed_status(a));
}

/* The gateway did its part, but the file or the picture could not be made. */
static int export_failed(const struct ask *a, const struct command *c, struct buf *out,
			 const struct err *e)
{
	bool bare = a->options->qr || strcmp(a->options->out, "-") == 0; /* stdout has no JSON */

	term_complain(e->msg);
	if (wants_json(a) && !bare)
		failure_add(out, a, c,
			    e->code == ERR_DENIED ? API_PERMISSION_ERROR : API_VALIDATION_ERROR,
			    e->msg, NULL);
	return finish(out, bare ? CLI_FAILED : failed_status(a));
}

static int answered(const struct ask *a, const struct command *c, json_t *answer)
{
	json_t *data = json_object_get(answer, "data");
	bool exported = a->options->qr || a->options->out;
	struct buf out = { 0 };
	struct err e = { 0 };

	if (!json_is_true(json_object_get(answer, "success")))
		return refused(a, answer);
	if (exported) {
		if (export_show(&out, a, answer, &e))
			return export_failed(a, c, &out, &e);
	} else if (wants_json(a)) {
		json_add(&out, a, answer);
	} else {
		view_answer(&out, &a->term, c->module, c->action, data);
	}
	return finish(&out, CLI_DONE);
}

static enum err_code export_options_check(const struct ask *a, const struct command *c,
					  struct command_fault *fault, struct err *e)
{
	const struct cli_options *o = a->options;
	bool is_export = strcmp(c->spec->name, "export_client") == 0;

	if ((o->qr || o->out) && !is_export) {
		fault->code = API_INVALID_PARAMETER;
		return err_set(e, ERR_INVALID, "%s belongs to core export_client, not to %s %s",
			       o->qr ? "--qr" : "--out", c->spec->module, c->spec->name);
	}
	return ERR_OK;
}

int ask_run(const struct ask *a, size_t n, char *const *words)
{
	struct command c = { 0 };
	struct command_fault fault = { 0 };
	struct err e = { 0 };
	json_t *answer = NULL;
	int status;

	if (command_parse(&c, n, words, a->reference, &fault, &e) ||
	    export_options_check(a, &c, &fault, &e)) {
		status = fail(a, &c, fault.code, e.msg, fault.data, true);
	} else if (control_call(&answer, a->options->socket, c.module, c.action, c.params, &e)) {
		enum api_code code = call_explain(&c, a->options->socket, &e);

		status = fail(a, &c, code, e.msg, NULL, false);
	} else {
		status = answered(a, &c, answer);
	}
	json_decref(answer);
	command_done(&c);
	return status;
}

int ask_usage(const char *message)
{
	term_complain(message);
	return CLI_USAGE;
}

int ask_client_names(const struct cli_options *o, struct str prefix)
{
	json_t *params, *answer = NULL, *client;
	struct buf out = { 0 };
	size_t i;

	params = json_pack("{s:i, s:i, s:s%}", "page", 1, "per_page", NAMES_PAGE, "search",
			   prefix.p, prefix.n);
	if (!params || control_call_within(&answer, o->socket, STR("core"), STR("list_clients"),
					   params, NAMES_WAIT_MS, NULL)) {
		json_decref(params);
		return CLI_FAILED;
	}
	json_array_foreach(json_object_get(json_object_get(answer, "data"), "clients"), i, client)
	{
		struct str name = view_field(client, "name");

		/* A shell reads this: nothing but what the rules for names allow. */
		if (!str_starts(name, prefix) || client_name_check(name, NULL))
			continue;
		buf_str(&out, name);
		buf_char(&out, '\n');
	}
	json_decref(answer);
	json_decref(params);
	return finish(&out, CLI_DONE);
}
