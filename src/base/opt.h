/* opt.h - a program's options as one table that the parser, --help, the manual page and shell
 * completion all read.
 *
 * An option is `--name VALUE`, `--name=VALUE` or a flag; a short letter is optional.  Values are
 * checked by type and range; an unknown option names the nearest known one.  Environment
 * variables named in a row are read before the command line and win over the fallback; a flag's
 * variable is 1, true, yes, on or 0, false, no, off.  The last of a repeated option wins.
 *
 * --help and --version are flags like others: a program gives them rows, and after opt_parse
 * looks at them first, since it reports what is missing itself (opt_parse asks for nothing).
 */
#ifndef QANAT_BASE_OPT_H
#define QANAT_BASE_OPT_H

#include "base/addr.h"
#include "base/err.h"
#include "base/text.h"

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
	const char *group; /* heading in --help that starts with this row; NULL: goes on */
};

struct opt_program {
	const char *name; /* "qanat-wg" */
	int section; /* of the manual */
	const char *summary; /* one line after the dash in NAME */
	const char *usage; /* "[OPTION ...] IFNAME" */
	const struct opt *opts;
	const char *description; /* paragraphs for the manual, separated by blank lines */
	/* Further sections of the manual, or NULL: a title at the left margin, then paragraphs
	 * indented by two blanks; lines indented by four or more are shown as they are. */
	const char *extra;
};

#define OPT_MANUAL_DATE "November 21, 2026" /* of the manual pages; changes with a release */

/* Fills *into (defaults, environment, argv[1..]) and compacts what is not an option to
 * argv[1..*argc-1].  Stops at "--".  `stop_at_word`: also at the first word that is no option. */
MUST_CHECK enum err_code opt_parse(const struct opt_program *prog, void *into, int *argc,
				   char **argv, bool stop_at_word, struct err *e);
/* The text of --help. */
void opt_help(const struct opt_program *prog, struct buf *out);
/* The manual page in mdoc.  Text between `backquotes` is set in bold. */
void opt_man(const struct opt_program *prog, struct buf *out);
/* Nearest name to `got` among `names` (n of them), or NULL when none is near. */
const char *opt_nearest(struct str got, const char *const *names, size_t n);

#endif
