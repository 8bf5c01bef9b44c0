/* opt.h - a program's options as one table that the parser, --help, the manual page and shell
 * completion all read.
 *
 * An option is `--name VALUE`, `--name=VALUE` or a flag; a short letter is optional.  Values are
 * checked by type and range; an unknown option names the nearest known one.  Environment
 * variables named in a row are read before the command line.
 */
#ifndef QANAT_BASE_OPT_H
#define QANAT_BASE_OPT_H

#include "base/addr.h"
#include "base/err.h"

enum opt_type {
	OPT_FLAG, /* bool */
	OPT_U32, /* uint32_t, min..max */
	OPT_TEXT, /* const char *, borrowed from argv or the environment; min..max is its length */
	OPT_PREFIX, /* struct ip_prefix */
	OPT_IP, /* struct ip_addr */
};

struct opt {
	const char *name; /* long name without dashes; NULL ends the table */
	char letter; /* or 0 */
	enum opt_type type;
	size_t offset; /* of the field in the options struct */
	uint32_t min, max;
	const char *fallback; /* default as text, shown in help and parsed like a value; or NULL */
	const char *env; /* environment variable, or NULL */
	const char *metavar; /* "PORT" in help */
	const char *help; /* one line */
};

struct opt_program {
	const char *name; /* "qanat-wg" */
	int section; /* of the manual */
	const char *summary; /* one line after the dash in NAME */
	const char *usage; /* "[OPTION ...] IFNAME" */
	const struct opt *opts;
	const char *description; /* paragraphs for the manual, separated by blank lines */
	const char *
		extra; /* further manual text in the same form: "TITLE\n  text" sections; or NULL */
};

/* Fills *into (defaults, environment, argv[1..]) and compacts what is not an option to
 * argv[1..*argc-1].  Stops at "--".  `stop_at_word`: also at the first word that is no option. */
MUST_CHECK enum err_code opt_parse(const struct opt_program *prog, void *into, int *argc,
				   char **argv, bool stop_at_word, struct err *e);
/* The text of --help. */
void opt_help(const struct opt_program *prog, struct buf *out);
/* The manual page in mdoc. */
void opt_man(const struct opt_program *prog, struct buf *out);
/* Nearest name to `got` among `names` (n of them), or NULL when none is near. */
const char *opt_nearest(struct str got, const char *const *names, size_t n);

#endif
