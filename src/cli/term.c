#include "cli/term.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct term term_probe(int fd, bool no_colour)
{
	const char *never = getenv("NO_COLOR"); /* no-color.org: set and not empty */
	const char *kind = getenv("TERM");
	struct winsize size = { 0 };
	struct term t = { .tty = isatty(fd) == 1 };

	if (!t.tty)
		return t;
	t.colour = !no_colour && !(never && *never) && kind && strcmp(kind, "dumb") != 0;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0)
		t.columns = size.ws_col;
	return t;
}

const char *term_style(const struct term *t, const char *style)
{
	return t->colour ? style : "";
}

void term_lines(struct buf *out, struct str s)
{
	const char *end;

	while (s.n && (end = memchr(s.p, '\n', s.n)) != NULL) {
		size_t n = (size_t)(end - s.p);

		buf_escaped(out, (struct str){ s.p, n });
		buf_char(out, '\n');
		s.p += n + 1;
		s.n -= n + 1;
	}
	buf_escaped(out, s);
}

size_t term_width(struct str s)
{
	size_t columns = 0;

	for (size_t i = 0; i < s.n; i++)
		columns += ((unsigned char)s.p[i] & 0xc0) != 0x80; /* continuation bytes add none */
	return columns;
}

enum err_code term_write(int fd, struct str s, struct err *e)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "write the output");
		s.p += n;
		s.n -= (size_t)n;
	}
	return ERR_OK;
}

void term_complain(const char *message)
{
	struct buf line = { 0 };

	buf_z(&line, "qanat: ");
	buf_escaped(&line, str_of(message));
	buf_char(&line, '\n');
	/* There is nobody left to tell when stderr is gone. */
	(void)!term_write(STDERR_FILENO, buf_view(&line), NULL);
	buf_done(&line);
}
