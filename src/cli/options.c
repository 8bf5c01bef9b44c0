#include "cli/options.h"

#include "api/control.h"

#define TEXT_MAX 4096
#define CALL(field) offsetof(struct cli_options, field)
#define SERVE(field) offsetof(struct serve_options, field)

static const struct opt cli_opts[] = {
	{ "socket", 's', OPT_TEXT, CALL(socket), 1, TEXT_MAX, CONTROL_SOCKET, CONTROL_SOCKET_ENV,
	  "PATH", "control socket of the gateway" },
	{ "json", 'j', OPT_FLAG, CALL(json), 0, 0, NULL, NULL, NULL,
	  "print the answer as JSON on a terminal too" },
	{ "qr", 0, OPT_FLAG, CALL(qr), 0, 0, NULL, NULL, NULL,
	  "draw the configuration as a QR code (export_client)" },
	{ "out", 'o', OPT_TEXT, CALL(out), 1, TEXT_MAX, NULL, NULL, "FILE",
	  "write the configuration to a new file, mode 0600; - is standard output "
	  "(export_client)" },
	{ "force", 0, OPT_FLAG, CALL(force), 0, 0, NULL, NULL, NULL,
	  "let --out replace a file that exists (export_client)" },
	{ "no-color", 0, OPT_FLAG, CALL(no_color), 0, 0, NULL, NULL, NULL,
	  "no colours on a terminal (so does the variable NO_COLOR)" },
	{ "compat-exit", 0, OPT_FLAG, CALL(compat_exit), 0, 0, NULL, NULL, NULL, COMPAT_EXIT_HELP },
	{ "help", 'h', OPT_FLAG, CALL(help), 0, 0, NULL, NULL, NULL,
	  "help on the program, a module or an action" },
	{ "version", 'V', OPT_FLAG, CALL(version), 0, 0, NULL, NULL, NULL, "print the version" },
	{ 0 },
};

const struct opt_program cli_program = {
	.name = "qanat",
	.section = 1,
	.summary = "command line of a Qanat VPN gateway",
	.usage = "[OPTION ...] MODULE ACTION [KEY=VALUE ...]",
	.opts = cli_opts,
	.description =
		"qanat asks the gateway on this host to do ACTION of MODULE and shows its answer: "
		"a readable table on a terminal, a JSON document elsewhere.\n\n"
		"`qanat serve` runs a gateway in the foreground, see qanat-serve(1).\n"
		"`qanat completion bash` and `qanat completion zsh` print completion scripts.\n"
		"`qanat MODULE --help` and `qanat MODULE ACTION --help` explain modules and "
		"actions.\n\n"
		"Called by the name phantom-api the program always prints JSON, ignores arguments "
		"without an equals sign, and takes the last of a repeated key.",
};

static const struct opt serve_opts[] = {
	{ "state", 0, OPT_TEXT, SERVE(state), 1, TEXT_MAX, "/var/lib/qanat", NULL, "DIR",
	  "directory that keeps clients and keys" },
	{ "socket", 's', OPT_TEXT, SERVE(socket), 1, TEXT_MAX, CONTROL_SOCKET, CONTROL_SOCKET_ENV,
	  "PATH", "control socket that the gateway opens" },
	{ "client", 0, OPT_TEXT, SERVE(client), 1, TEXT_MAX, "phone", NULL, "NAME",
	  "name of the first client, made when there is none" },
	{ "interface", 0, OPT_TEXT, SERVE(interface), 1, TEXT_MAX, NULL, NULL, "NAME",
	  "name of the tunnel interface (at first wg_main)",
	  "Settings, kept in the state directory" },
	{ "port", 0, OPT_TEXT, SERVE(port), 1, TEXT_MAX, NULL, NULL, "PORT",
	  "UDP port (at first 51820)" },
	{ "network", 0, OPT_TEXT, SERVE(network), 1, TEXT_MAX, NULL, NULL, "PREFIX",
	  "IPv4 network of the clients (at first 10.8.0.0/24)" },
	{ "network6", 0, OPT_TEXT, SERVE(network6), 1, TEXT_MAX, NULL, NULL, "PREFIX",
	  "IPv6 network of the clients, \"auto\" or \"none\" (at first a random ULA /64)" },
	{ "endpoint", 0, OPT_TEXT, SERVE(endpoint), 1, TEXT_MAX, NULL, NULL, "HOST[:PORT]",
	  "where clients reach this host (at first \"auto\": the address of the default route)" },
	{ "dns", 0, OPT_TEXT, SERVE(dns), 1, TEXT_MAX, NULL, NULL, "IP[,IP]",
	  "DNS servers in client configurations (at first 8.8.8.8,1.1.1.1)" },
	{ "mtu", 0, OPT_TEXT, SERVE(mtu), 1, TEXT_MAX, NULL, NULL, "BYTES",
	  "MTU of the tunnel (at first 1420)" },
	{ "backend", 0, OPT_TEXT, SERVE(backend), 1, TEXT_MAX, NULL, NULL, "KIND",
	  "who carries the packets: engine, kernel, uapi:PATH or auto, see qanat-gateway(8)",
	  "Packets" },
	{ "started-at", 0, OPT_TEXT, SERVE(started_at), 1, 32, NULL, NULL, "SECONDS",
	  "count the time to ready from this moment, in seconds since 1970", "Other" },
	{ "qr", 0, OPT_FLAG, SERVE(qr), 0, 0, NULL, NULL, NULL,
	  "draw the client's QR code even where there is no terminal" },
	{ "no-qr", 0, OPT_FLAG, SERVE(no_qr), 0, 0, NULL, NULL, NULL,
	  "do not draw the client's QR code" },
	{ "no-color", 0, OPT_FLAG, SERVE(no_color), 0, 0, NULL, NULL, NULL,
	  "no colours on a terminal (so does the variable NO_COLOR)" },
	{ "help", 'h', OPT_FLAG, SERVE(help), 0, 0, NULL, NULL, NULL, "this help" },
	{ 0 },
};

const struct opt_program serve_program = {
	.name = "qanat-serve",
	.section = 1,
	.summary = "run a Qanat gateway in the foreground",
	.usage = "[OPTION ...]",
	.opts = serve_opts,
	.description =
		"Called as `qanat serve`.\n"
		"It starts qanat-gateway(8), makes a first client when there is none, prints the "
		"endpoint and the QR code of that client, and stays in the foreground until "
		"SIGINT, SIGTERM or SIGHUP.\n"
		"Then the gateway is stopped, which removes its interface, routes and firewall "
		"table; what a crashed one has left is removed too.\n\n"
		"SIGUSR2 makes the gateway restart in place, see qanat-gateway(8).\n\n"
		"A gateway that crashes is started again, after a pause that grows from half a "
		"second to thirty; after ten crashes in a row without serving for a minute "
		"qanat serve gives up.\n"
		"The exit status is the gateway's.\n\n"
		"The options --port, --network, --network6, --endpoint, --interface, --dns and "
		"--mtu are "
		"handed to the gateway, which keeps them in the state directory, see "
		"qanat-gateway(8).\n\n"
		"The QR code holds the private key of the client.\n"
		"It is drawn on a terminal only, since a log would keep the key; --qr draws it "
		"elsewhere too.",
};

enum err_code cli_options_parse(struct cli_options *out, int *argc, char **argv, struct err *e)
{
	enum err_code rc = opt_parse(&cli_program, out, argc, argv, false, e);

	if (rc)
		return rc;
	if (out->qr && out->json)
		return err_set(e, ERR_INVALID,
			       "--qr draws a picture and --json prints text: "
			       "choose one of them");
	if (out->force && !out->out)
		return err_set(e, ERR_INVALID, "--force says what --out may do: give --out FILE");
	return ERR_OK;
}

enum err_code serve_options_parse(struct serve_options *out, int *argc, char **argv, struct err *e)
{
	enum err_code rc = opt_parse(&serve_program, out, argc, argv, false, e);

	if (rc)
		return rc;
	if (out->qr && out->no_qr)
		return err_set(e, ERR_INVALID, "--qr and --no-qr contradict each other");
	if (*argc > 2)
		return err_set(e, ERR_INVALID, "serve takes options only: '%s' is none", argv[2]);
	return ERR_OK;
}

enum err_code cli_first_word(const char **word, int argc, char *const *argv, struct err *e)
{
	struct cli_options ignored = { 0 };
	enum err_code rc;
	int n = argc;
	char **copy = calloc((size_t)argc + 1, sizeof *copy);

	if (!copy)
		return err_set(e, ERR_NOMEM, "no memory for %d arguments", argc);
	memcpy(copy, argv, (size_t)argc * sizeof *copy);
	rc = opt_parse(&cli_program, &ignored, &n, copy, true, e);
	if (!rc)
		*word = n > 1 ? copy[1] : NULL;
	free(copy);
	return rc;
}
