/* The texts that are made from the table of options: --help and the manual page. */
#include "base/opt.h"

#define HELP_COLUMNS 80
#define HELP_LEFT_MAX 32 /* longer ones push their text to the next line */

static const char *metavar_of(const struct opt *o)
{
	return o->metavar ? o->metavar : "VALUE";
}

/* "  -p, --port PORT" */
static void help_left(struct buf *out, const struct opt *o)
{
	if (o->letter)
		buf_printf(out, "  -%c, --%s", o->letter, o->name);
	else
		buf_printf(out, "      --%s", o->name);
	if (o->type != OPT_FLAG)
		buf_printf(out, " %s", metavar_of(o));
}

/* The help with what the table knows besides: range, default, variable. */
static void help_right(struct buf *out, const struct opt *o)
{
	const char *sep = " (";

	buf_z(out, o->help);
	if (o->type == OPT_U32) {
		buf_printf(out, "%s%u to %u", sep, o->min, o->max);
		sep = "; ";
	}
	if (o->fallback && *o->fallback && o->type != OPT_FLAG) {
		buf_printf(out, "%sdefault %s", sep, o->fallback);
		sep = "; ";
	}
	if (o->env) {
		buf_printf(out, "%senvironment %s", sep, o->env);
		sep = "; ";
	}
	if (sep[0] == ';')
		buf_char(out, ')');
}

/* Words of `text` in lines that start at column `indent` (where the cursor stands already). */
static void wrap(struct buf *out, struct str text, size_t indent)
{
	size_t column = indent;
	struct str word;

	while (str_cut(&text, ' ', &word)) {
		if (column > indent && column + 1 + word.n > HELP_COLUMNS) {
			buf_printf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			buf_char(out, ' ');
			column++;
		}
		buf_str(out, word);
		column += word.n;
	}
	buf_char(out, '\n');
}

static size_t left_width(const struct opt *opts)
{
	size_t width = 0;

	for (const struct opt *o = opts; o->name; o++) {
		AUTO(buf_done) struct buf left = { 0 };

		help_left(&left, o);
		if (left.n <= HELP_LEFT_MAX)
			width = MAX(width, left.n);
	}
	return width + 2;
}

void opt_help(const struct opt_program *prog, struct buf *out)
{
	size_t width = left_width(prog->opts);

	buf_printf(out, "%s - %s\n\nUsage: %s %s\n", prog->name, prog->summary, prog->name,
		   prog->usage);
	for (const struct opt *o = prog->opts; o->name; o++) {
		AUTO(buf_done) struct buf left = { 0 }, right = { 0 };

		if (o == prog->opts || o->group)
			buf_printf(out, "\n%s:\n", o->group ? o->group : "Options");
		help_left(&left, o);
		help_right(&right, o);
		buf_str(out, buf_view(&left));
		if (left.n + 2 > width)
			buf_printf(out, "\n%*s", (int)width, "");
		else
			buf_printf(out, "%*s", (int)(width - left.n), "");
		wrap(out, buf_view(&right), width);
		out->full |= left.full || right.full;
	}
}

/* Text for roff: nothing in it is a request or an escape.  `bold` follows the backquotes. */
static void roff(struct buf *out, struct str s, bool *bold)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((s.p[i] == '.' || s.p[i] == '\'') && (i == 0 || s.p[i - 1] == '\n'))
			buf_z(out, "\\&");
		switch (s.p[i]) {
		case '\\':
			buf_z(out, "\\e");
			break;
		case '-':
			buf_z(out, "\\-");
			break;
		case '"': /* in the arguments of a macro it would quote */
			buf_z(out, "\\(dq");
			break;
		case '`':
			*bold = !*bold;
			buf_z(out, *bold ? "\\fB" : "\\fR");
			break;
		default:
			buf_char(out, s.p[i]);
		}
	}
}

static void roff_line(struct buf *out, struct str s)
{
	bool bold = false;

	roff(out, s, &bold);
	if (bold) /* a backquote without its twin */
		buf_z(out, "\\fR");
	buf_char(out, '\n');
}

/* Paragraphs separated by empty lines. */
static void man_paragraphs(struct buf *out, struct str text)
{
	bool first = true, gap = false;
	struct str line;

	while (str_cut(&text, '\n', &line)) {
		line = str_trim(line);
		if (line.n == 0) {
			gap = true;
			continue;
		}
		if (gap && !first)
			buf_z(out, ".Pp\n");
		roff_line(out, line);
		first = gap = false;
	}
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static void man_option(struct buf *out, const struct opt *o)
{
	bool bold = false;

	buf_z(out, ".It ");
	if (o->letter)
		buf_printf(out, "Fl %c , ", o->letter);
	buf_z(out, "Fl \\-");
	roff(out, str_of(o->name), &bold);
	if (o->type != OPT_FLAG) {
		buf_z(out, " Ar ");
		roff(out, str_of(metavar_of(o)), &bold);
	}
	buf_char(out, '\n');
}

static void man_option_text(struct buf *out, const struct opt *o)
{
	AUTO(buf_done) struct buf more = { 0 };

	buf_printf(&more, "%c%s.", upper(o->help[0]), o->help + 1);
	roff_line(out, buf_view(&more));
	buf_clear(&more);
	if (o->type == OPT_U32)
		buf_printf(&more, "From %u to %u.\n", o->min, o->max);
	if (o->fallback && *o->fallback && o->type != OPT_FLAG)
		buf_printf(&more, "The default is %s.\n", o->fallback);
	man_paragraphs(out, buf_view(&more));
	if (o->env)
		buf_printf(out, "The variable\n.Ev %s\nsets it as well.\n", o->env);
	out->full |= more.full;
}

static void man_options(struct buf *out, const struct opt *opts)
{
	if (!opts->name)
		return;
	buf_z(out, ".Pp\nThe options are as follows:\n.Bl -tag -width Ds\n");
	for (const struct opt *o = opts; o->name; o++) {
		man_option(out, o);
		man_option_text(out, o);
	}
	buf_z(out, ".El\n");
}

static void man_environment(struct buf *out, const struct opt *opts)
{
	bool any = false;

	for (const struct opt *o = opts; o->name; o++) {
		if (!o->env)
			continue;
		if (!any)
			buf_z(out, ".Sh ENVIRONMENT\n.Bl -tag -width Ds\n");
		any = true;
		buf_printf(out, ".It Ev %s\nStands for\n.Fl \\-%s\nwhere that is not given.\n",
			   o->env, o->name);
	}
	if (any)
		buf_z(out, ".El\n");
}

/* State of one walk through `extra`. */
struct man_walk {
	bool literal; /* inside .Bd */
	bool gap; /* an empty line since the last text */
	bool fresh; /* right after a title */
};

static void man_literal(struct buf *out, struct man_walk *w, bool on)
{
	if (w->literal == on)
		return;
	if (on)
		buf_z(out, ".Bd -literal -offset indent\n");
	else
		buf_z(out, ".Ed\n");
	w->literal = on;
}

static void man_extra_line(struct buf *out, struct man_walk *w, struct str line)
{
	if (str_trim(line).n == 0) {
		w->gap = true;
		return;
	}
	if (line.p[0] != ' ') {
		man_literal(out, w, false);
		buf_z(out, ".Sh ");
		roff_line(out, str_trim(line));
		*w = (struct man_walk){ .fresh = true };
		return;
	}
	if (str_starts(line, STR("    "))) {
		if (w->literal && w->gap)
			buf_char(out, '\n');
		man_literal(out, w, true);
		roff_line(out, (struct str){ line.p + 4, line.n - 4 });
	} else {
		bool after_literal = w->literal;

		man_literal(out, w, false);
		if ((w->gap || after_literal) && !w->fresh)
			buf_z(out, ".Pp\n");
		roff_line(out, str_trim(line));
	}
	w->gap = w->fresh = false;
}

static void man_extra(struct buf *out, struct str text)
{
	struct man_walk w = { 0 };
	struct str line;

	while (str_cut(&text, '\n', &line))
		man_extra_line(out, &w, line);
	man_literal(out, &w, false);
}

void opt_man(const struct opt_program *prog, struct buf *out)
{
	buf_z(out,
	      ".\\\" Made from the program's table of options.\n.Dd " OPT_MANUAL_DATE "\n.Dt ");
	for (const char *c = prog->name; *c; c++)
		buf_char(out, upper(*c));
	buf_printf(out, " %d\n.Os\n.Sh NAME\n.Nm %s\n.Nd ", prog->section, prog->name);
	roff_line(out, str_of(prog->summary));
	buf_printf(out, ".Sh SYNOPSIS\n.Nm %s\n", prog->name);
	roff_line(out, str_of(prog->usage));
	buf_z(out, ".Sh DESCRIPTION\n");
	man_paragraphs(out, str_of(prog->description));
	man_options(out, prog->opts);
	man_environment(out, prog->opts);
	if (prog->extra)
		man_extra(out, str_of(prog->extra));
}
