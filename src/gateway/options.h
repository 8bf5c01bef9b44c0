/* options.h - the command line of qanat-gateway: one table for parser, help and manual.
 */
#ifndef QANAT_GATEWAY_OPTIONS_H
#define QANAT_GATEWAY_OPTIONS_H

#include "base/opt.h"
#include "gateway/apis.h"
#include "gateway/env_file.h"
#include "core/settings.h"

struct options {
	const char *state_dir;
	const char *socket;
	const char *interface, *network, *network6, *endpoint, *dns; /* NULL: as stored */
	uint32_t port, mtu; /* 0: as stored */
	const char *backend; /* as device_choice_parse reads it */
	uint32_t workers;
	bool no_offload;
	const char *user; /* of the control process; NULL: RIGHTS_USER, where there is one */
	bool forget_endpoints;
	bool log_json;
	const char *log_level;
	uint32_t ready_fd; /* 0: none */
	bool clean_up; /* instead of serving */
	bool help, version;
	bool restarted; /* no option: goes on where another run in this process stopped */

	struct api_options api;
	const char *env_file;

	struct env_file env; /* what that holds */
	char *state_text; /* of DB_PATH */
	char dns_text[2][IP_TEXT_MAX]; /* of DNS_SERVERS */
	struct settings_given given; /* the stored ones, as texts */
	char port_text[12], mtu_text[12];
};

extern const struct opt_program gateway_program;

/* Reads the command line.  On success o->given is filled; `o` must stay where it is. */
MUST_CHECK enum err_code options_parse(struct options *o, int argc, char **argv, struct err *e);
/* Releases what they hold; also after a failure. */
void options_done(struct options *o);

#endif
