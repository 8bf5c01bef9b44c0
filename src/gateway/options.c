#include "gateway/options.h"

#include <jansson.h>

#include "api/control.h"
#include "base/log.h"
#include "device/device.h"

#define AT(field) offsetof(struct options, field)

static const struct opt opts[] = {
	{ .name = "state",
	  .type = OPT_TEXT,
	  .offset = AT(state_dir),
	  .min = 1,
	  .max = 3000,
	  .fallback = "/var/lib/qanat",
	  .env = "DB_PATH",
	  .metavar = "DIR",
	  .help = "directory of database and keys; made if missing" },
	{ .name = "socket",
	  .type = OPT_TEXT,
	  .offset = AT(socket),
	  .min = 1,
	  .max = 107,
	  .fallback = CONTROL_SOCKET,
	  .env = CONTROL_SOCKET_ENV,
	  .metavar = "PATH",
	  .help = "control socket for qanat" },
	{ .name = "user",
	  .type = OPT_TEXT,
	  .offset = AT(user),
	  .min = 1,
	  .max = 32,
	  .env = "QANAT_USER",
	  .metavar = "NAME",
	  .help = "user of the process that serves the APIs and keeps the state (default: qanat, "
		  "where there is one)" },
	{ .name = "ready-fd",
	  .type = OPT_U32,
	  .offset = AT(ready_fd),
	  .min = 3,
	  .max = 1023,
	  .metavar = "N",
	  .help = "write \"ready\" to this descriptor when clients can connect" },
	{ .name = "interface",
	  .type = OPT_TEXT,
	  .offset = AT(interface),
	  .min = 1,
	  .max = 15,
	  .env = "WG_INTERFACE",
	  .metavar = "NAME",
	  .help = "tunnel interface (kept; at first wg_main)",
	  .group = "Settings, kept in the state directory" },
	{ .name = "port",
	  .type = OPT_U32,
	  .offset = AT(port),
	  .min = 1,
	  .max = 65535,
	  .env = "WG_DEFAULT_PORT",
	  .metavar = "PORT",
	  .help = "UDP port (kept; at first 51820)" },
	{ .name = "network",
	  .type = OPT_TEXT,
	  .offset = AT(network),
	  .min = 1,
	  .max = 64,
	  .env = "WG_IPV4_SUBNET",
	  .metavar = "PREFIX",
	  .help = "IPv4 network of the clients (kept; at first 10.8.0.0/24)" },
	{ .name = "network6",
	  .type = OPT_TEXT,
	  .offset = AT(network6),
	  .min = 1,
	  .max = 64,
	  .env = "WG_IPV6_SUBNET",
	  .metavar = "PREFIX",
	  .help = "IPv6 network, \"auto\" or \"none\" (kept; at first a random ULA /64)" },
	{ .name = "endpoint",
	  .type = OPT_TEXT,
	  .offset = AT(endpoint),
	  .min = 1,
	  .max = 300,
	  .metavar = "HOST[:PORT]",
	  .help = "where clients reach this gateway (kept; at first \"auto\": the default route's "
		  "source address)" },
	{ .name = "dns",
	  .type = OPT_TEXT,
	  .offset = AT(dns),
	  .min = 1,
	  .max = 100,
	  .metavar = "IP[,IP]",
	  .help = "DNS servers for clients (kept; at first 8.8.8.8,1.1.1.1)" },
	{ .name = "mtu",
	  .type = OPT_U32,
	  .offset = AT(mtu),
	  .min = 576,
	  .max = 65535,
	  .metavar = "BYTES",
	  .help = "MTU of the tunnel (kept; at first 1420)" },
	{ .name = "backend",
	  .type = OPT_TEXT,
	  .offset = AT(backend),
	  .min = 1,
	  .max = 200,
	  .fallback = "engine",
	  .metavar = "KIND",
	  .help = "who carries the packets: engine (this program), kernel, uapi:PATH of another "
		  "daemon's socket, or auto",
	  .group = "Packets" },
	{ .name = "workers",
	  .type = OPT_U32,
	  .offset = AT(workers),
	  .min = 1,
	  .max = 64,
	  .metavar = "N",
	  .help = "packet threads (default: what the machine suggests)" },
	{ .name = "no-offload",
	  .type = OPT_FLAG,
	  .offset = AT(no_offload),
	  .help = "do not use segmentation offloads of TUN and UDP" },
	{ .name = "peer-api-listen",
	  .type = OPT_TEXT,
	  .offset = AT(api.peers_listen),
	  .min = 1,
	  .max = 500,
	  .env = "QANAT_PEER_API_LISTEN",
	  .metavar = "IP[:PORT],...",
	  .help = "addresses of the peer API, served when GATEWAY_API_KEY is set (default: port "
		  "8000 of all)",
	  .group = "HTTPS" },
	{ .name = "peer-api-allow",
	  .type = OPT_TEXT,
	  .offset = AT(api.peers_allow),
	  .min = 1,
	  .max = 3000,
	  .env = "QANAT_PEER_API_ALLOW",
	  .metavar = "PREFIX,...",
	  .help = "networks that may connect to it (default: all)" },
	{ .name = "peer-api-key-file",
	  .type = OPT_TEXT,
	  .offset = AT(api.peers_key_file),
	  .min = 1,
	  .max = 3000,
	  .env = "QANAT_PEER_API_KEY_FILE",
	  .metavar = "PATH",
	  .help = "file with the key of its signatures, instead of GATEWAY_API_KEY" },
	{ .name = "peer-api-payload-key-file",
	  .type = OPT_TEXT,
	  .offset = AT(api.payload_key_file),
	  .min = 1,
	  .max = 3000,
	  .env = "QANAT_PEER_API_PAYLOAD_KEY_FILE",
	  .metavar = "PATH",
	  .help = "file with the secret of its encrypted payloads, instead of GATEWAY_PUBLIC_KEY" },
	{ .name = "peer-api-refuse-legacy",
	  .type = OPT_FLAG,
	  .offset = AT(api.refuse_legacy),
	  .env = "QANAT_PEER_API_REFUSE_LEGACY",
	  .help = "accept only signatures that cover the whole request" },
	{ .name = "peer-api-window",
	  .type = OPT_U32,
	  .offset = AT(api.max_timestamp_diff),
	  .min = 1,
	  .max = 86400,
	  .env = "MAX_TIMESTAMP_DIFF",
	  .metavar = "SECONDS",
	  .help = "how far a request's time may be off (default and at most: 60)" },
	{ .name = "peer-api-rate",
	  .type = OPT_U32,
	  .offset = AT(api.peers_rate),
	  .min = 1,
	  .max = 1000000,
	  .env = "QANAT_PEER_API_RATE",
	  .metavar = "N",
	  .help = "requests a second of one source (default: 5000)" },
	{ .name = "agent-api-host",
	  .type = OPT_TEXT,
	  .offset = AT(api.agent_host),
	  .min = 1,
	  .max = 500,
	  .env = "WG_AGENT_HOST",
	  .metavar = "IP[:PORT],...",
	  .help = "addresses of the agent API, served when WG_AGENT_SECRET is set (default: "
		  "0.0.0.0)" },
	{ .name = "agent-api-port",
	  .type = OPT_U32,
	  .offset = AT(api.agent_port),
	  .min = 1,
	  .max = 65535,
	  .env = "WG_AGENT_PORT",
	  .metavar = "PORT",
	  .help = "its port (default: 8080)" },
	{ .name = "agent-api-allow",
	  .type = OPT_TEXT,
	  .offset = AT(api.agent_allow),
	  .min = 1,
	  .max = 3000,
	  .env = "QANAT_AGENT_API_ALLOW",
	  .metavar = "PREFIX,...",
	  .help = "networks that may connect to it (default: all)" },
	{ .name = "agent-api-secret-file",
	  .type = OPT_TEXT,
	  .offset = AT(api.agent_secret_file),
	  .min = 1,
	  .max = 3000,
	  .env = "WG_AGENT_SECRET_FILE",
	  .metavar = "PATH",
	  .help = "file with the secret of its signatures, instead of WG_AGENT_SECRET" },
	{ .name = "agent-api-commands",
	  .type = OPT_TEXT,
	  .offset = AT(api.agent_commands_file),
	  .min = 1,
	  .max = 3000,
	  .env = "QANAT_AGENT_API_COMMANDS",
	  .metavar = "PATH",
	  .help = "file with commands, one a line, that post_up and pre_down may hold beside the "
		  "forms of "
		  "iptables, nft, ip and sysctl" },
	{ .name = "agent-api-rate",
	  .type = OPT_U32,
	  .offset = AT(api.agent_rate),
	  .min = 1,
	  .max = 1000000,
	  .env = "QANAT_AGENT_API_RATE",
	  .metavar = "N",
	  .help = "requests a second of one source (default: 5000)" },
	{ .name = "agent-api-metrics-signed",
	  .type = OPT_FLAG,
	  .offset = AT(api.agent_metrics_signed),
	  .env = "QANAT_AGENT_API_METRICS_SIGNED",
	  .help = "/v1/metrics needs a signature as well" },
	{ .name = "https-cert",
	  .type = OPT_TEXT,
	  .offset = AT(api.cert),
	  .min = 1,
	  .max = 3000,
	  .metavar = "PATH",
	  .help = "certificate, PEM, the server's first (default: one of our own in the state "
		  "directory)" },
	{ .name = "https-key",
	  .type = OPT_TEXT,
	  .offset = AT(api.cert_key),
	  .min = 1,
	  .max = 3000,
	  .metavar = "PATH",
	  .help = "its private key, PEM" },
	{ .name = "tls12",
	  .type = OPT_FLAG,
	  .offset = AT(api.tls12),
	  .help = "also speak TLS 1.2 with old callers" },
	{ .name = "env-file",
	  .type = OPT_TEXT,
	  .offset = AT(env_file),
	  .min = 1,
	  .max = 3000,
	  .metavar = "PATH",
	  .help = "read environment variables from a file of NAME=VALUE lines; those that are set "
		  "win",
	  .group = "Other" },
	{ .name = "forget-endpoints",
	  .type = OPT_FLAG,
	  .offset = AT(forget_endpoints),
	  .help = "do not keep where clients were last seen, and delete what was kept" },
	{ .name = "clean-up",
	  .type = OPT_FLAG,
	  .offset = AT(clean_up),
	  .help = "put the host back as it was before a run that crashed, and exit" },
	{ .name = "log-level",
	  .type = OPT_TEXT,
	  .offset = AT(log_level),
	  .min = 1,
	  .max = 16,
	  .fallback = "info",
	  .metavar = "LEVEL",
	  .help = "silent, error, warn, info or debug" },
	{ .name = "log-json",
	  .type = OPT_FLAG,
	  .offset = AT(log_json),
	  .help = "log one JSON object a line" },
	{ .name = "help",
	  .letter = 'h',
	  .type = OPT_FLAG,
	  .offset = AT(help),
	  .help = "show this" },
	{ .name = "version", .type = OPT_FLAG, .offset = AT(version), .help = "show the version" },
	{ 0 },
};

const struct opt_program gateway_program = {
	.name = "qanat-gateway",
	.section = 8,
	.summary = "a WireGuard VPN gateway",
	.usage = "[OPTION ...]",
	.opts = opts,
	.description =
		"Runs a WireGuard gateway in the foreground: a tunnel interface in user "
		"space, the host's addresses, forwarding and masquerade that clients need "
		"to reach the internet, and a store of clients that survives restarts.\n"
		"Clients are added and removed with qanat(1) through the control socket; "
		"wg(8) shows the interface.\n"
		"Further interfaces, each with peers of its own, are made over the agent API "
		"and kept as well.\n\n"
		"The first start stores the settings given and makes the server's key.\n"
		"Later starts use what is stored; a setting given again replaces the stored "
		"one, except that the networks stay as long as there are clients.\n"
		"A start that fails stores none.\n\n"
		"SIGTERM and SIGINT stop it.\n"
		"SIGHUP loads the certificate of its HTTPS interfaces again, or stops it when "
		"there are none.\n"
		"It then leaves no interface, route, rule or table behind.\n"
		"SIGUSR2 restarts it in place, after an upgrade for instance: the program is "
		"started anew under the same process number, with the same options, and "
		"connections of clients go on, since the host's address translation stays.\n"
		"Where each client was last seen is kept for that, and for the next start; "
		"--forget-endpoints turns it off.\n"
		"What a crash leaves behind is taken over by the next start, or taken away by "
		"--clean-up.\n"
		"With --backend kernel, or auto where the kernel has WireGuard and no client has "
		"limits, the kernel carries the packets, also while the gateway restarts in "
		"place.\n"
		"Limits of clients and client_why need the engine.\n"
		"A daemon named by --backend uapi:PATH keeps its interface, whose name --interface "
		"must give; a gateway that stops takes its key and its peers out of it.\n"
		"Further interfaces are the engine's then.\n"
		"A supervisor that sets NOTIFY_SOCKET is told READY=1, RELOADING=1 and "
		"STOPPING=1.\n\n"
		"It is three processes: a small one with the rights of root, which changes the "
		"host's network; one that keeps the state and serves the control socket and the "
		"APIs, as the user --user, in a sandbox; and one that carries the packets, without "
		"any rights.",
	.extra =
		"FILES\n"
		"  tls/cert.pem and tls/key.pem in the state directory are made when HTTPS is "
		"first "
		"served without a certificate given; the log shows the fingerprint.\n"
		"  gateway.db in the state directory holds clients and settings; private and "
		"preshared keys in it are sealed with the file key beside it.\n"
		"  Back up both, apart from each other.\n"
		"  net.journal lists what was changed on the host.\n\n"
		"EXIT STATUS\n"
		"  0 after a signal; 1 when it could not start or had to stop; 2 for a wrong "
		"option.\n\n"
		"COMPATIBILITY\n"
		"  Each variable is named as existing installations of the peer API name it; an "
		"option wins over its variable, and a variable that is set over --env-file.\n"
		"  GATEWAY_API_KEY: the key of the peer API's signatures, 16 characters or more; "
		"without it, or --peer-api-key-file, that API is not served.\n"
		"  GATEWAY_PUBLIC_KEY: the secret of its encrypted payloads, 16 characters or "
		"more.\n"
		"  MAX_TIMESTAMP_DIFF: --peer-api-window.\n"
		"  WG_AGENT_SECRET: the secret of the agent API's signatures, 16 characters or "
		"more; without it, or --agent-api-secret-file, that API is not served.\n"
		"  WG_AGENT_HOST, WG_AGENT_PORT, WG_AGENT_SECRET_FILE: --agent-api-host, "
		"--agent-api-port, --agent-api-secret-file.\n"
		"  WG_AGENT_LOG_LEVEL: DEBUG, INFO, WARNING, ERROR or CRITICAL, over "
		"--log-level.\n"
		"  WG_IPV4_SUBNET, WG_IPV6_SUBNET, WG_DEFAULT_PORT, WG_INTERFACE: --network, "
		"--network6, --port, --interface.\n"
		"  DNS_SERVERS: a JSON object such as {\"d1\":\"1.1.1.1\",\"d2\":\"8.8.8.8\"}; the "
		"first two become --dns.\n"
		"  DB_PATH: --state; of a file's name that ends in .db, the part before that is "
		"the state directory.\n",
};

/* "PRIMARY[,SECONDARY]"; one alone means that there is no other. */
static enum err_code dns_split(struct options *o, struct err *e)
{
	struct str rest = str_of(o->dns), first;
	char shown[128];

	if (!o->dns || !str_cut(&rest, ',', &first))
		return ERR_OK;
	if (rest.n && memchr(rest.p, ',', rest.n)) {
		text_escaped(shown, sizeof shown, str_of(o->dns));
		return err_set(
			e, ERR_INVALID,
			"--dns \"%s\" has more than two addresses; at most two are kept, such "
			"as 8.8.8.8,1.1.1.1",
			shown);
	}
	o->given.v[SETTING_DNS_PRIMARY] = str_trim(first);
	rest = str_trim(rest);
	o->given.v[SETTING_DNS_SECONDARY] = rest.n ? rest : STR("none");
	return ERR_OK;
}

static enum err_code dns_servers_bad(struct err *e, const char *why, struct str what)
{
	char shown[80];

	text_escaped(shown, sizeof shown, what);
	return err_set(e, ERR_INVALID,
		       "DNS_SERVERS: %s%s%s%s; it is a JSON object such as "
		       "{\"d1\":\"1.1.1.1\",\"d2\":\"8.8.8.8\",\"d3\":\"9.9.9.9\"}",
		       why, what.p ? " \"" : "", shown, what.p ? "\"" : "");
}

/* {"d1": "1.1.1.1", …}: the first two are what clients of ours get. */
static enum err_code dns_servers_read(struct options *o, json_t *root, struct err *e)
{
	static const char *const names[] = { "d1", "d2", "d3" };
	const char *name, *text;
	struct ip_addr ip;
	json_t *v;

	if (!json_is_object(root))
		return dns_servers_bad(e, "this is none, or has a name twice", (struct str){ 0 });
	if (!json_object_get(root, names[0]))
		return dns_servers_bad(e, "d1 is missing", (struct str){ 0 });
	json_object_foreach(root, name, v)
	{
		size_t i = 0;

		while (i < ARRAY_LEN(names) && strcmp(name, names[i]) != 0)
			i++;
		if (i == ARRAY_LEN(names))
			return dns_servers_bad(e, "there is no choice", str_of(name));
		text = json_string_value(v);
		if (!text)
			return dns_servers_bad(e, "no text is given for", str_of(name));
		if (!ip_parse(str_of(text), &ip))
			return dns_servers_bad(e, "no IP address is", str_of(text));
		if (i < ARRAY_LEN(o->dns_text))
			ip_format(o->dns_text[i], &ip);
	}
	o->given.v[SETTING_DNS_PRIMARY] = str_of(o->dns_text[0]);
	o->given.v[SETTING_DNS_SECONDARY] = *o->dns_text[1] ? str_of(o->dns_text[1]) : STR("none");
	return ERR_OK;
}

static enum err_code dns_servers_take(struct options *o, const char *text, struct err *e)
{
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	enum err_code rc = dns_servers_read(o, root, e);

	json_decref(root);
	return rc;
}

static enum err_code dns_given(struct options *o, struct err *e)
{
	const char *servers = getenv("DNS_SERVERS");

	if (!o->dns && servers && *servers)
		return dns_servers_take(o, servers, e);
	return dns_split(o, e);
}

/* DB_PATH names the reference's file; ours is a directory: "./wireguard.db" becomes "./wireguard". */
static enum err_code state_from_db_path(struct options *o, struct err *e)
{
	const char *path = getenv("DB_PATH");
	struct str name = str_of(path);

	if (!path || o->state_dir != path || name.n <= 3 ||
	    memcmp(path + name.n - 3, ".db", 3) != 0)
		return ERR_OK;
	name.n -= 3;
	if (name.p[name.n - 1] == '/' || name.p[name.n - 1] == '.')
		return err_set(e, ERR_INVALID, "DB_PATH \"%s\" has no name before .db", path);
	o->state_text = str_dup(name);
	if (!o->state_text)
		return err_set(e, ERR_NOMEM, "out of memory");
	o->state_dir = o->state_text;
	return ERR_OK;
}

static void number_given(struct options *o, enum setting which, char text[12], uint32_t n)
{
	if (!n)
		return;
	(void)snprintf(text, 12, "%u", n);
	o->given.v[which] = str_of(text);
}

static enum err_code given_fill(struct options *o, struct err *e)
{
	o->given.v[SETTING_INTERFACE] = str_of(o->interface);
	o->given.v[SETTING_NETWORK] = str_of(o->network);
	o->given.v[SETTING_NETWORK6] = str_of(o->network6);
	o->given.v[SETTING_ENDPOINT] = str_of(o->endpoint);
	number_given(o, SETTING_PORT, o->port_text, o->port);
	number_given(o, SETTING_MTU, o->mtu_text, o->mtu);
	return dns_given(o, e);
}

/* Values are checked here too, so that a wrong one is found before anything is touched. */
static enum err_code given_check(const struct options *o, struct err *e)
{
	struct settings s = { 0 };
	enum err_code rc = ERR_OK;

	for (int i = 0; rc == ERR_OK && i < SETTINGS; i++) {
		if (o->given.v[i].p)
			rc = settings_parse(&s, (enum setting)i, o->given.v[i], e);
	}
	return rc;
}

/* The value of --env-file, which is needed before the others; the last one counts. */
static const char *env_file_of(int argc, char **argv)
{
	static const char name[] = "--env-file";
	const char *found = NULL;

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strncmp(argv[i], name, sizeof name - 1) != 0)
			continue;
		if (argv[i][sizeof name - 1] == '=')
			found = argv[i] + sizeof name;
		else if (!argv[i][sizeof name - 1] && i + 1 < argc)
			found = argv[++i];
	}
	return found;
}

static enum err_code env_file_use(struct options *o, int argc, char **argv, struct err *e)
{
	static const char *const allowed[] = {
		"GATEWAY_API_KEY",
		"GATEWAY_PUBLIC_KEY",
		"MAX_TIMESTAMP_DIFF",
		"WG_IPV4_SUBNET",
		"WG_IPV6_SUBNET",
		"WG_DEFAULT_PORT",
		"WG_INTERFACE",
		"DNS_SERVERS",
		"DB_PATH",
		"QANAT_PEER_API_LISTEN",
		"QANAT_PEER_API_ALLOW",
		"QANAT_PEER_API_KEY_FILE",
		"QANAT_PEER_API_PAYLOAD_KEY_FILE",
		"QANAT_PEER_API_REFUSE_LEGACY",
		"QANAT_PEER_API_RATE",
		"WG_AGENT_SECRET",
		"WG_AGENT_SECRET_FILE",
		"WG_AGENT_HOST",
		"WG_AGENT_PORT",
		"WG_AGENT_LOG_LEVEL",
		"QANAT_AGENT_API_ALLOW",
		"QANAT_AGENT_API_COMMANDS",
		"QANAT_AGENT_API_RATE",
		"QANAT_AGENT_API_METRICS_SIGNED",
		NULL,
	};
	const char *path = env_file_of(argc, argv);
	enum err_code rc;

	if (!path)
		return ERR_OK;
	rc = env_file_read(&o->env, path, allowed, e);
	if (rc)
		return err_wrap(e, rc, "option --env-file");
	env_file_apply(&o->env);
	return ERR_OK;
}

static enum err_code parse(struct options *o, int argc, char **argv, struct err *e)
{
	struct device_choice backend;
	enum log_level level;
	enum err_code rc;
	char shown[64];

	rc = opt_parse(&gateway_program, o, &argc, argv, false, e);
	if (rc)
		return rc;
	if (argc > 1) {
		text_escaped(shown, sizeof shown, str_of(argv[1]));
		return err_set(e, ERR_INVALID,
			       "qanat-gateway takes no argument, but \"%s\" was given", shown);
	}
	if (!log_level_parse(str_of(o->log_level), &level)) {
		text_escaped(shown, sizeof shown, str_of(o->log_level));
		return err_set(e, ERR_INVALID,
			       "--log-level \"%s\" is none of silent, error, warn, info, debug",
			       shown);
	}
	rc = device_choice_parse(&backend, o->backend, e);
	if (rc)
		return err_wrap(e, rc, "option --backend");
	log_set_level(level);
	log_json(o->log_json);
	rc = state_from_db_path(o, e);
	if (rc == ERR_OK)
		rc = given_fill(o, e);
	if (rc == ERR_OK)
		rc = given_check(o, e);
	return rc ? rc : api_options_complete(&o->api, e);
}

enum err_code options_parse(struct options *o, int argc, char **argv, struct err *e)
{
	enum err_code rc;

	*o = (struct options){ 0 };
	rc = env_file_use(o, argc, argv, e);
	if (rc == ERR_OK)
		rc = parse(o, argc, argv, e);
	/* What is executed next reads the file itself. */
	env_file_withdraw(&o->env);
	return rc;
}

void options_done(struct options *o)
{
	api_options_done(&o->api);
	env_file_done(&o->env);
	free(o->state_text);
	o->state_text = NULL;
}
