/* term.h - what stdout is, and text made safe to show on it.
 *
 * Names and messages come from a gateway and through it from strangers: on a terminal nothing of
 * them may act as a control sequence or turn the writing direction, so all goes through
 * buf_escaped.
 */
#ifndef QANAT_CLI_TERM_H
#define QANAT_CLI_TERM_H

#include "base/err.h"
#include "base/text.h"

struct term {
	bool tty;
	bool colour;
	unsigned columns; /* 0: not known */
};

#define TERM_BOLD "\033[1m"
#define TERM_DIM "\033[2m"
#define TERM_GREEN "\033[32m"
#define TERM_RED "\033[31m"
#define TERM_PLAIN "\033[0m"

/* Looks at `fd`; colours need a terminal that is not "dumb", no NO_COLOR and no `no_colour`. */
struct term term_probe(int fd, bool no_colour);
/* `style` (one of TERM_*) when the terminal has colours, else "". */
const char *term_style(const struct term *t, const char *style);
/* buf_escaped for text of several lines: newlines stay. */
void term_lines(struct buf *out, struct str s);
/* Columns that text made by buf_escaped takes, one a code point: names are ASCII, and a table that
 * is askew for wide characters of a message does no harm. */
size_t term_width(struct str s);
/* Writes all of `s`; EINTR and short writes are handled. */
MUST_CHECK enum err_code term_write(int fd, struct str s, struct err *e);
/* "qanat: " and the message, escaped, on stderr. */
void term_complain(const char *message);

#endif
