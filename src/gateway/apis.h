/* apis.h - the HTTPS APIs of a running gateway: their options, and starting those that are set up.
 *
 * An API is served when its secret is set: the peer API's is GATEWAY_API_KEY, from the environment,
 * from --env-file or from a file of its own, the agent API's WG_AGENT_SECRET; never from the command line, which everybody can read.
 */
#ifndef QANAT_GATEWAY_APIS_H
#define QANAT_GATEWAY_APIS_H

#include "core/core.h"
#include "gateway/https_server.h"

#define API_SECRET_MIN 16 /* characters */

/* Borrowed texts of the command line and the environment; NULL: not given. */
struct api_options {
	const char *cert, *cert_key;
	bool tls12;
	const char *peers_listen, *peers_allow, *peers_key_file, *payload_key_file;
	uint32_t peers_rate;
	uint32_t max_timestamp_diff; /* 0: not given */
	bool refuse_legacy;
	const char *peers_key, *payload_key; /* of the environment alone */
	const char *agent_host, *agent_allow, *agent_secret_file, *agent_commands_file;
	uint32_t agent_port, agent_rate;
	bool agent_metrics_signed;
	const char *agent_secret; /* of the environment alone */
	struct buf secrets[3]; /* of files: what the three point to then */
	struct buf commands; /* of the file: lines that hooks.h takes as they stand */
};

/* Reads GATEWAY_API_KEY and GATEWAY_PUBLIC_KEY, and checks everything that can be checked without
 * opening a socket.  Errors name the option or the variable. */
MUST_CHECK enum err_code api_options_complete(struct api_options *o, struct err *e);

/* Reads the files of secrets that are named, while they can be read; instead of the variables then. */
MUST_CHECK enum err_code api_options_read_secrets(struct api_options *o, struct err *e);
/* Reads the file of commands, if one is named, which nobody but root can have written: what stands there is run
 * as root. */
MUST_CHECK enum err_code api_options_read_commands(struct api_options *o, struct err *e);
/* Wipes what those have read. */
void api_options_done(struct api_options *o);

/* Whether a listener has a port that only the privileged may open. */
bool apis_need_low_ports(const struct api_options *o);

struct apis;

/* Opens what is set up; *out is NULL when that is nothing. */
MUST_CHECK enum err_code apis_open(struct apis **out, struct core *core,
				   const struct api_options *o, struct err *e);
/* Loads the certificate again. */
MUST_CHECK enum err_code apis_reload(struct apis *a, struct err *e);
/* As https_server_pass_on.  Takes NULL, as the next. */
size_t apis_pass_on(struct apis *a, int *fds, uint8_t *which, size_t max);
/* Ends in order; the loop is run meanwhile. */
void apis_close(struct apis *a);
/* As https_server_json; null for NULL. */
json_t *apis_json(const struct apis *a);

#endif
