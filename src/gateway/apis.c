#include "gateway/apis.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "agent/agent.h"
#include "peers/peers.h"

#define SECRET_FILE_MAX 4096
#define COMMANDS_FILE_MAX 65536

struct apis {
	struct https_server *https;
	struct peers_api *peers;
	struct agent *agent;
};

/* ---- options ---- */

static const char *variable(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL; /* an empty variable counts as unset */
}

static enum err_code secret_check(struct str s, const char *what, struct err *e)
{
	if (s.n < API_SECRET_MIN)
		return err_set(
			e, ERR_RANGE,
			"%s has %zu characters; a secret has %d or more, such as openssl rand "
			"-hex 32 prints",
			what, s.n, API_SECRET_MIN);
	return ERR_OK;
}

static enum err_code peers_listener(struct https_listener *l, const struct api_options *o,
				    struct err *e)
{
	enum err_code rc;

	*l = (struct https_listener){ .rate_per_s = o->peers_rate, .any_family = !o->peers_listen };
	rc = https_addresses_parse(l, "--peer-api-listen",
				   str_of(o->peers_listen ? o->peers_listen : "0.0.0.0,::"),
				   HTTPS_PEERS_PORT, e);
	if (rc == ERR_OK && o->peers_allow)
		rc = https_networks_parse(l, "--peer-api-allow", str_of(o->peers_allow), e);
	return rc;
}

static bool peers_wanted(const struct api_options *o)
{
	return o->peers_key || o->peers_key_file;
}

static enum err_code agent_listener(struct https_listener *l, const struct api_options *o,
				    struct err *e)
{
	enum err_code rc;

	*l = (struct https_listener){ .rate_per_s = o->agent_rate };
	rc = https_addresses_parse(l, "WG_AGENT_HOST",
				   str_of(o->agent_host ? o->agent_host : "0.0.0.0"),
				   o->agent_port ? (uint16_t)o->agent_port : HTTPS_AGENT_PORT, e);
	if (rc == ERR_OK && o->agent_allow)
		rc = https_networks_parse(l, "--agent-api-allow", str_of(o->agent_allow), e);
	return rc;
}

static bool agent_wanted(const struct api_options *o)
{
	return o->agent_secret || o->agent_secret_file;
}

static enum err_code agent_secret_check(struct str s, const char *what, struct err *e)
{
	if (str_eq(s, STR(AGENT_SECRET_EXAMPLE)))
		return err_set(e, ERR_INVALID,
			       "%s is \"" AGENT_SECRET_EXAMPLE
			       "\", which everybody knows; set one of your own, such as openssl "
			       "rand -hex 32 prints",
			       what);
	return secret_check(s, what, e);
}

/* The reference's names of levels are Python's. */
static enum err_code agent_log_level(struct err *e)
{
	static const struct {
		const char *name;
		enum log_level level;
	} rows[] = { { "DEBUG", LOG_DEBUG }, { "INFO", LOG_INFO },   { "WARNING", LOG_WARN },
		     { "WARN", LOG_WARN },   { "ERROR", LOG_ERROR }, { "CRITICAL", LOG_ERROR } };
	const char *text = variable("WG_AGENT_LOG_LEVEL");
	char shown[32];

	if (!text)
		return ERR_OK;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!str_eq_nocase(str_of(text), str_of(rows[i].name)))
			continue;
		log_set_level(rows[i].level);
		return ERR_OK;
	}
	text_escaped(shown, sizeof shown, str_of(text));
	return err_set(e, ERR_INVALID,
		       "WG_AGENT_LOG_LEVEL \"%s\" is none of DEBUG, INFO, WARNING, ERROR, CRITICAL",
		       shown);
}

static enum err_code agent_options_complete(struct api_options *o, struct err *e)
{
	struct https_listener l;
	enum err_code rc = agent_listener(&l, o, e);

	o->agent_secret = variable("WG_AGENT_SECRET");
	if (rc == ERR_OK && o->agent_secret && !o->agent_secret_file)
		rc = agent_secret_check(str_of(o->agent_secret), "WG_AGENT_SECRET", e);
	return rc || !agent_wanted(o) ? rc : agent_log_level(e);
}

/* An option of the peer API that is given; NULL: none is. */
static const char *peers_option(const struct api_options *o)
{
	const struct {
		bool is_given;
		const char *name;
	} rows[] = {
		{ o->peers_listen, "--peer-api-listen" },
		{ o->peers_allow, "--peer-api-allow" },
		{ o->payload_key, "GATEWAY_PUBLIC_KEY" },
		{ o->payload_key_file, "--peer-api-payload-key-file" },
		{ o->refuse_legacy, "--peer-api-refuse-legacy" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].is_given)
			return rows[i].name;
	}
	return NULL;
}

enum err_code api_options_complete(struct api_options *o, struct err *e)
{
	struct https_listener l;
	enum err_code rc;

	o->peers_key = variable("GATEWAY_API_KEY");
	o->payload_key = variable("GATEWAY_PUBLIC_KEY");
	rc = peers_listener(&l, o, e);
	if (rc == ERR_OK && o->peers_key && !o->peers_key_file)
		rc = secret_check(str_of(o->peers_key), "GATEWAY_API_KEY", e);
	if (rc == ERR_OK && o->payload_key && !o->payload_key_file)
		rc = secret_check(str_of(o->payload_key), "GATEWAY_PUBLIC_KEY", e);
	if (rc == ERR_OK && !o->cert != !o->cert_key)
		rc = err_set(e, ERR_MISSING, "--https-cert and --https-key belong together");
	if (rc == ERR_OK && !peers_wanted(o) && peers_option(o))
		rc = err_set(e, ERR_MISSING,
			     "%s is given, but no GATEWAY_API_KEY: the peer API is not served "
			     "without a key",
			     peers_option(o));
	return rc ? rc : agent_options_complete(o, e);
}

/* ---- secrets ---- */

static enum err_code secret_file(struct buf *out, const char *path, struct err *e)
{
	struct stat st;
	enum err_code rc;

	if (stat(path, &st) < 0)
		return err_sys(e, errno, "%s", path);
	if (st.st_mode & 077)
		return err_set(e, ERR_DENIED,
			       "%s has mode %04o; a secret's file is for its owner "
			       "alone: run chmod 600 %s",
			       path, st.st_mode & 07777, path);
	rc = file_read(out, path, SECRET_FILE_MAX, e);
	return rc ? rc : secret_check(str_trim(buf_view(out)), path, e);
}

/* The file, when there is one, instead of the variable. */
static enum err_code secret_read(struct buf *room, const char **text, const char *file,
				 const char *option, struct err *e)
{
	enum err_code rc;
	struct str s;
	size_t n;

	if (!file)
		return ERR_OK;
	room->limit = SECRET_FILE_MAX + 2;
	rc = secret_file(room, file, e);
	if (rc)
		return err_wrap(e, rc, "option %s", option);
	n = room->n;
	buf_char(room, 0);
	if (!buf_ok(room))
		return err_set(e, ERR_NOMEM, "option %s: out of memory", option);
	s = str_trim((struct str){ room->p, n });
	room->p[(size_t)(s.p - room->p) + s.n] = 0;
	*text = s.p;
	return ERR_OK;
}

enum err_code api_options_read_secrets(struct api_options *o, struct err *e)
{
	enum err_code rc = secret_read(&o->secrets[0], &o->peers_key, o->peers_key_file,
				       "--peer-api-key-file", e);

	if (rc == ERR_OK)
		rc = secret_read(&o->secrets[1], &o->payload_key, o->payload_key_file,
				 "--peer-api-payload-key-file", e);
	if (rc == ERR_OK)
		rc = secret_read(&o->secrets[2], &o->agent_secret, o->agent_secret_file,
				 "--agent-api-secret-file", e);
	if (rc == ERR_OK && o->agent_secret)
		rc = agent_secret_check(str_of(o->agent_secret), "the agent API's secret", e);
	return rc;
}

enum err_code api_options_read_commands(struct api_options *o, struct err *e)
{
	const char *path = o->agent_commands_file;
	struct stat st;
	enum err_code rc = ERR_OK;

	if (!path)
		return ERR_OK;
	if (stat(path, &st) < 0)
		rc = err_sys(e, errno, "%s", path);
	else if (!S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_mode & 022)
		rc = err_set(e, ERR_DENIED,
			     "%s must be a regular file of root's that nobody else can write: its "
			     "commands are run as root",
			     path);
	buf_clear(&o->commands);
	o->commands.limit = COMMANDS_FILE_MAX + 1;
	if (rc == ERR_OK)
		rc = file_read(&o->commands, path, COMMANDS_FILE_MAX, e);
	return rc ? err_wrap(e, rc, "option --agent-api-commands") : ERR_OK;
}

void api_options_done(struct api_options *o)
{
	buf_done(&o->commands);
	for (size_t i = 0; i < ARRAY_LEN(o->secrets); i++)
		buf_done(&o->secrets[i]);
}

static bool has_low_port(const struct https_listener *l)
{
	bool low = false;

	for (size_t i = 0; i < l->at_n; i++)
		low = low || l->at[i].port < 1024;
	return low;
}

bool apis_need_low_ports(const struct api_options *o)
{
	struct https_listener l;

	return (peers_wanted(o) && peers_listener(&l, o, NULL) == ERR_OK && has_low_port(&l)) ||
	       (agent_wanted(o) && agent_listener(&l, o, NULL) == ERR_OK && has_low_port(&l));
}

/* ---- starting ---- */

static enum err_code peers_start(struct apis *a, struct core *core, const struct api_options *o,
				 struct err *e)
{
	struct peers_api_config c = {
		.key = str_of(o->peers_key),
		.payload_key = str_of(o->payload_key),
		.window_s = PEERS_API_WINDOW_S,
		.refuse_legacy = o->refuse_legacy,
	};

	/* Only ever narrower: what is signed can be repeated within it. */
	if (o->max_timestamp_diff)
		c.window_s = MIN(c.window_s, o->max_timestamp_diff);
	return peers_api_new(&a->peers, core, &c, e);
}

static enum err_code agent_start(struct apis *a, struct core *core, const struct api_options *o,
				 struct err *e)
{
	const struct agent_config c = { .core = core,
					.secret = str_of(o->agent_secret),
					.metrics_signed = o->agent_metrics_signed,
					.commands = buf_view(&o->commands) };

	return agent_open(&a->agent, &c, e);
}

#define HOSTS_MAX 4
#define ADDRS_MAX (4 + HTTPS_APIS * HTTPS_ADDRESSES_MAX)

/* By what callers reach this host, for a certificate of our own. */
struct names {
	char host[HOST_NAME_MAX + 1];
	const char *hosts[HOSTS_MAX];
	struct ip_addr addrs[ADDRS_MAX];
};

static void addr_add(struct names *n, struct tls_cert_names *out, const struct ip_addr *a)
{
	for (size_t i = 0; i < out->addrs_n; i++) {
		if (ip_eq(&n->addrs[i], a))
			return;
	}
	n->addrs[out->addrs_n++] = *a;
}

/* Where an API is told to listen, unless that is everywhere. */
static void listener_add(struct names *n, struct tls_cert_names *out,
			 const struct https_listener *l)
{
	static const uint8_t any[16];

	for (size_t i = 0; i < l->at_n; i++) {
		const struct ip_addr *a = &l->at[i].addr;

		if (memcmp(a->b, any, ip_bits(a->family) / 8) != 0)
			addr_add(n, out, a);
	}
}

static void names_fill(struct names *n, struct tls_cert_names *out, struct core *c,
		       const struct api_options *o)
{
	static const uint8_t loopback4[4] = { 127, 0, 0, 1 }, loopback6[16] = { [15] = 1 };
	const struct ip_addr loopback[] = { ip_v4(loopback4), ip_v6(loopback6) };
	struct https_listener l;
	struct ip_addr a;
	struct err ignored;

	*out = (struct tls_cert_names){ .hosts = n->hosts, .addrs = n->addrs };
	n->hosts[out->hosts_n++] = "localhost";
	if (gethostname(n->host, sizeof n->host) == 0 && *n->host) {
		n->host[sizeof n->host - 1] = 0;
		n->hosts[out->hosts_n++] = n->host;
	}
	for (size_t i = 0; i < ARRAY_LEN(loopback); i++)
		addr_add(n, out, &loopback[i]);
	if (c->host.default_source(c->host.ctx, &a, &ignored) == ERR_OK)
		addr_add(n, out, &a);
	if (ip_parse(str_of(c->settings.endpoint_host), &a))
		addr_add(n, out, &a);
	else if (*c->settings.endpoint_host)
		n->hosts[out->hosts_n++] = c->settings.endpoint_host;
	if (peers_wanted(o) && peers_listener(&l, o, &ignored) == ERR_OK)
		listener_add(n, out, &l);
	if (agent_wanted(o) && agent_listener(&l, o, &ignored) == ERR_OK)
		listener_add(n, out, &l);
}

enum err_code apis_open(struct apis **out, struct core *core, const struct api_options *o,
			struct err *e)
{
	struct https_config c = { .state_dir = core->state_dir,
				  .cert_path = o->cert,
				  .key_path = o->cert_key,
				  .open_tls = core->host.open_tls,
				  .ctx = core->host.ctx,
				  .allow_tls12 = o->tls12 };
	struct names names = { 0 };
	struct apis *a;
	enum err_code rc = ERR_OK;

	*out = NULL;
	if (!peers_wanted(o) && !agent_wanted(o))
		return ERR_OK;
	a = calloc(1, sizeof *a);
	if (!a)
		return err_set(e, ERR_NOMEM, "out of memory for the HTTPS APIs");
	names_fill(&names, &c.names, core, o);
	if (peers_wanted(o)) {
		rc = peers_start(a, core, o, e);
		if (rc == ERR_OK) {
			c.services[HTTPS_PEERS] = peers_api_service(a->peers);
			rc = peers_listener(&c.listeners[HTTPS_PEERS], o, e);
		}
	}
	if (rc == ERR_OK && agent_wanted(o)) {
		rc = agent_start(a, core, o, e);
		if (rc == ERR_OK) {
			c.services[HTTPS_AGENT] = agent_service(a->agent);
			rc = agent_listener(&c.listeners[HTTPS_AGENT], o, e);
		}
	}
	if (rc == ERR_OK)
		rc = https_server_open(&a->https, core->loop, &c, e);
	if (rc) {
		apis_close(a);
		return rc;
	}
	*out = a;
	return ERR_OK;
}

enum err_code apis_reload(struct apis *a, struct err *e)
{
	return https_server_reload(a->https, e);
}

size_t apis_pass_on(struct apis *a, int *fds, uint8_t *which, size_t max)
{
	return a ? https_server_pass_on(a->https, fds, which, max) : 0;
}

void apis_close(struct apis *a)
{
	if (!a)
		return;
	https_server_close(a->https);
	peers_api_free(a->peers);
	agent_close(a->agent);
	free(a);
}

json_t *apis_json(const struct apis *a)
{
	return a ? https_server_json(a->https) : json_null();
}
