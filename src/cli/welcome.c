#include "cli/welcome.h"

#include <jansson.h>
#include <unistd.h>

#include "api/control.h"
#include "base/clock.h"
#include "cli/export.h"
#include "cli/view.h"

/* Asks core ACTION; the `data` of a success in *data (new reference), else what the gateway said. */
static enum err_code core_ask(json_t **data, const struct serve_options *o, const char *action,
			      json_t *params, struct err *e)
{
	json_t *answer = NULL;
	enum err_code rc;

	if (!params)
		return err_set(e, ERR_NOMEM, "no memory to ask for %s", action);
	rc = control_call(&answer, o->socket, STR("core"), str_of(action), params, e);
	json_decref(params);
	if (rc)
		return err_wrap(e, rc, "core %s", action);
	if (json_is_true(json_object_get(answer, "success"))) {
		*data = json_incref(json_object_get(answer, "data"));
	} else {
		struct str why = view_field(answer, "error");

		rc = err_set(e, ERR_INVALID, "core %s: %.*s", action, STR_ARG(why));
	}
	json_decref(answer);
	return rc;
}

/* Makes the first client when there is none. */
static enum err_code first_client(const struct serve_options *o, bool *made, struct err *e)
{
	json_t *data = NULL, *added = NULL;
	enum err_code rc = core_ask(&data, o, "list_clients", json_pack("{s:i}", "per_page", 1), e);

	if (rc)
		return rc;
	*made = view_number(data, "total") == 0;
	json_decref(data);
	if (!*made)
		return ERR_OK;
	rc = core_ask(&added, o, "add_client", json_pack("{s:s}", "client_name", o->client), e);
	json_decref(added);
	return rc;
}

/* The value of `key = value` in a wg-quick file. */
static struct str config_value(struct str config, struct str key)
{
	struct str line, name;

	while (str_cut(&config, '\n', &line))
		if (str_cut(&line, '=', &name) && str_eq_nocase(str_trim(name), key))
			return str_trim(line);
	return (struct str){ "", 0 };
}

/* Then another terminal of this person is not root's either. */
static bool is_by_sudo(void)
{
	const char *user = getenv("SUDO_USER");

	return user && *user && geteuid() == 0;
}

/* Our own binary as the person can type it, with the socket when it is not the usual one. */
static void command_add(struct buf *out, const struct serve_options *o, const char *rest)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	buf_z(out, is_by_sudo() ? "  sudo " : "  ");
	if (n > 0)
		buf_escaped(out, (struct str){ self, (size_t)n });
	else
		buf_z(out, "qanat");
	if (strcmp(o->socket, CONTROL_SOCKET) != 0) {
		buf_z(out, " --socket ");
		buf_escaped(out, str_of(o->socket));
	}
	buf_printf(out, " core %s\n", rest);
}

static void line_add(struct buf *out, const char *label, struct str value)
{
	if (!value.n)
		return;
	buf_printf(out, "  %-10s  ", label);
	buf_escaped(out, value);
	buf_char(out, '\n');
}

/* The code is a private key: it is for eyes, and what is no terminal may be a log that keeps it. */
static void qr_add(struct buf *out, const struct serve_options *o, const struct term *t,
		   struct str config)
{
	struct err e = { 0 };

	if (o->no_qr)
		return;
	if (!t->tty && !o->qr) {
		AUTO(buf_done) struct buf action = { 0 };

		buf_printf(&action, "export_client client_name=%s --qr", o->client);
		buf_z(out, "\nFor its QR code, on a terminal:\n");
		command_add(out, o, buf_view(&action).p);
		return;
	}
	buf_printf(out, "\nScan this with the WireGuard app (client '%s'):\n\n", o->client);
	if (export_qr(out, config, t, &e)) {
		buf_escaped(out, str_of(e.msg));
		buf_char(out, '\n');
	}
}

static void gateway_add(struct buf *out, const struct serve_options *o)
{
	json_t *status = NULL, *settings;

	/* A summary without these lines is no reason to stop serving. */
	if (core_ask(&status, o, "server_status", json_object(), NULL))
		return;
	settings = json_object_get(status, "configuration");
	line_add(out, "interface", view_field(settings, "interface"));
	line_add(out, "network", view_field(settings, "network"));
	json_decref(status);
}

/* The client's configuration shows where clients connect to; without one, why there is none: no
 * default route yet, say, or somebody removed this client. */
static void client_add(struct buf *out, const struct serve_options *o, const struct term *t,
		       bool made)
{
	json_t *exported = NULL;
	struct err e = { 0 };
	struct str config;

	if (core_ask(&exported, o, "export_client", json_pack("{s:s}", "client_name", o->client),
		     &e)) {
		line_add(out, "client", str_of(e.msg));
		return;
	}
	config = view_field(exported, "config");
	line_add(out, "endpoint", config_value(config, STR("Endpoint")));
	buf_printf(out, "  %-10s  %s (%s)\n", "client", o->client,
		   made ? "new" : "found in the state directory");
	qr_add(out, o, t, config);
	json_decref(exported);
}

enum err_code welcome_text(struct buf *out, const struct serve_options *o, const struct term *t,
			   int64_t started_ns, struct err *e)
{
	bool made = false;
	enum err_code rc = first_client(o, &made, e);

	if (rc)
		return rc;
	buf_printf(out, "\n%sQanat is ready in %.1f s%s\n", term_style(t, TERM_BOLD),
		   (double)(clock_real_ns() - started_ns) / (double)NS_PER_S,
		   term_style(t, TERM_PLAIN));
	gateway_add(out, o);
	client_add(out, o, t, made);
	buf_z(out, "\nMore clients, from another terminal:\n");
	command_add(out, o, "add_client client_name=laptop");
	command_add(out, o, "export_client client_name=laptop --qr");
	buf_z(out, "Ctrl-C stops the gateway and takes its interface, routes and rules away.\n\n");
	return buf_ok(out) ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for the summary");
}
