/* options.h - the options of `qanat` and of `qanat serve`, each as one table.
 *
 * The parser, --help, the manual pages and the completion scripts all read these tables; nothing
 * else knows an option's name.
 */
#ifndef QANAT_CLI_OPTIONS_H
#define QANAT_CLI_OPTIONS_H

#include "base/err.h"
#include "base/opt.h"
#include "base/text.h"

/* CLI_FAILED: an answer says success: false, or could not be shown; CLI_USAGE: wrong options, so
 * that there is no answer. */
enum cli_exit { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

#define COMPAT_EXIT_HELP "exit with 0 even when the answer says success: false"

struct cli_options {
	const char *socket;
	const char *out; /* export_client: file for the configuration, "-" for stdout; or NULL */
	bool qr;
	bool force;
	bool json;
	bool no_color;
	bool compat_exit;
	bool help;
	bool version;
};

struct serve_options {
	const char *state;
	const char *socket;
	const char *client;
	const char *started_at; /* seconds since 1970, a fraction allowed; or NULL */
	bool qr; /* without a terminal too */
	bool no_qr;
	bool no_color;
	bool help;
	/* Handed to the gateway as they are; it checks them.  NULL: its own default. */
	const char *port;
	const char *network;
	const char *network6;
	const char *endpoint;
	const char *interface;
	const char *dns;
	const char *mtu;
	const char *backend;
};

extern const struct opt_program cli_program;
extern const struct opt_program serve_program;

/* Fills `out` from the environment and the command line; the words stay in argv[1..*argc-1]. */
MUST_CHECK enum err_code cli_options_parse(struct cli_options *out, int *argc, char **argv,
					   struct err *e);
/* The same for `qanat serve`, whose words are "serve" and nothing more. */
MUST_CHECK enum err_code serve_options_parse(struct serve_options *out, int *argc, char **argv,
					     struct err *e);
/* The first word of the command line that is no option, NULL without one.  argv is kept. */
MUST_CHECK enum err_code cli_first_word(const char **word, int argc, char *const *argv,
					struct err *e);

#endif
