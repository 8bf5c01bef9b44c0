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

/* Length of the well-formed UTF-8 sequence at the front of `s` and its code point, or 0
 * (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t utf8_take(struct str s, uint32_t *point)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	if (n == 0 || p[0] > 0xf4 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*point = c;
	return n;
}

static bool point_shown(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} hidden[] = {
		{ 0x00, 0x1f }, /* C0 controls, ESC among them */
		{ 0x7f, 0x9f }, /* DEL and C1, U+009B being a CSI of its own */
		{ 0xad, 0xad }, /* soft hyphen */
		{ 0x61c, 0x61c }, /* Arabic letter mark */
		{ 0x180b, 0x180f }, /* Mongolian selectors */
		{ 0x200b, 0x200f }, /* zero width, direction marks */
		{ 0x2028, 0x202e }, /* line separators, direction embedding */
		{ 0x2060, 0x206f }, /* invisible operators, isolates */
		{ 0xfe00, 0xfe0f }, /* variation selectors */
		{ 0xfeff, 0xfeff }, /* byte order mark */
		{ 0xfff0, 0xffff }, /* annotations, replacement, not characters */
		{ 0xe000, 0xf8ff }, /* private use */
		{ 0xe0000, 0x10ffff }, /* tags, private planes */
	};

	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		if (c >= hidden[i].first && c <= hidden[i].last)
			return false;
	return true;
}

static void text_shown(struct buf *out, struct str s, bool lines)
{
	while (s.n) {
		uint32_t point = 0;
		size_t n = utf8_take(s, &point);

		if (n && (point_shown(point) || (lines && point == '\n')))
			buf_add(out, s.p, n);
		else if (n <= 1)
			buf_printf(out, "\\x%02x", (unsigned char)s.p[0]);
		else
			buf_printf(out, "\\u{%x}", point);
		n = n ? n : 1;
		s.p += n;
		s.n -= n;
	}
}

void term_text(struct buf *out, struct str s)
{
	text_shown(out, s, false);
}

void term_lines(struct buf *out, struct str s)
{
	text_shown(out, s, true);
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
	term_text(&line, str_of(message));
	buf_char(&line, '\n');
	/* There is nobody left to tell when stderr is gone. */
	(void)!term_write(STDERR_FILENO, buf_view(&line), NULL);
	buf_done(&line);
}
