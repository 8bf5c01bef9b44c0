#include "cli/table.h"

#define GAP 2

void table_column(struct table *t, const char *title, bool right, bool optional)
{
	BUG_ON(t->ncolumns == TABLE_COLUMNS_MAX || t->ncells);
	t->columns[t->ncolumns++] =
		(struct table_column){ .title = title, .right = right, .optional = optional };
}

static bool cells_grow(struct table *t)
{
	size_t cap = t->cap ? t->cap : 64, bytes;

	if (t->ncells < t->cap)
		return true;
	if (t->cap && !mul_ok(t->cap, 2, &cap))
		return false;
	if (!mul_ok(cap, sizeof *t->cells, &bytes))
		return false;

	struct table_cell *more = realloc(t->cells, bytes);

	if (!more)
		return false;
	t->cells = more;
	t->cap = cap;
	return true;
}

void table_cell(struct table *t, struct str text, const char *style)
{
	size_t at = t->text.n;

	if (t->full || !cells_grow(t)) {
		t->full = true;
		return;
	}
	buf_escaped(&t->text, text.n ? text : STR("-"));
	t->full = !buf_ok(&t->text);
	if (t->full)
		return;
	t->cells[t->ncells++] = (struct table_cell){
		.at = at,
		.n = t->text.n - at,
		.width = term_width((struct str){ t->text.p + at, t->text.n - at }),
		.style = style,
	};
}

size_t table_rows(const struct table *t)
{
	return t->ncolumns ? t->ncells / t->ncolumns : 0;
}

static void widths_measure(const struct table *t, size_t *width)
{
	for (size_t c = 0; c < t->ncolumns; c++)
		width[c] = term_width(str_of(t->columns[c].title));
	for (size_t i = 0; i < t->ncells; i++)
		width[i % t->ncolumns] = MAX(width[i % t->ncolumns], t->cells[i].width);
}

/* Drops optional columns from the right until the line fits; returns how many. */
static size_t columns_drop(const struct table *t, const struct term *term, size_t indent,
			   const size_t *width, bool *shown)
{
	size_t total = indent, dropped = 0;

	for (size_t c = 0; c < t->ncolumns; c++) {
		shown[c] = true;
		total += width[c] + (c ? GAP : 0);
	}
	for (size_t c = t->ncolumns; c-- > 1 && term->columns && total > term->columns;) {
		if (!t->columns[c].optional)
			continue;
		shown[c] = false;
		total -= width[c] + GAP;
		dropped++;
	}
	return dropped;
}

static void spaces(struct buf *out, size_t n)
{
	while (n--)
		buf_char(out, ' ');
}

struct line {
	struct buf *out;
	size_t owed; /* spaces before the next cell: none are left at a line's end */
	bool first;
};

static void line_cell(struct line *l, struct str text, size_t taken, size_t width, bool right,
		      const char *style)
{
	spaces(l->out, l->owed + (l->first ? 0 : GAP) + (right ? width - taken : 0));
	buf_z(l->out, style);
	buf_str(l->out, text);
	if (*style)
		buf_z(l->out, TERM_PLAIN);
	l->owed = right ? 0 : width - taken;
	l->first = false;
}

static void titles_draw(struct buf *out, const struct table *t, const struct term *term,
			size_t indent, const size_t *width, const bool *shown)
{
	struct line l = { .out = out, .owed = indent, .first = true };

	for (size_t c = 0; c < t->ncolumns; c++) {
		struct str title = str_of(t->columns[c].title);

		if (shown[c])
			line_cell(&l, title, term_width(title), width[c], t->columns[c].right,
				  term_style(term, TERM_BOLD));
	}
	buf_char(out, '\n');
}

static void row_draw(struct buf *out, const struct table *t, const struct term *term, size_t indent,
		     const size_t *width, const bool *shown, size_t row)
{
	struct line l = { .out = out, .owed = indent, .first = true };

	for (size_t c = 0; c < t->ncolumns; c++) {
		const struct table_cell *cell = &t->cells[row * t->ncolumns + c];
		struct str text = { t->text.p + cell->at, cell->n };

		if (shown[c])
			line_cell(&l, text, cell->width, width[c], t->columns[c].right,
				  cell->style ? term_style(term, cell->style) : "");
	}
	buf_char(out, '\n');
}

void table_draw(struct buf *out, const struct table *t, const struct term *term, size_t indent)
{
	size_t width[TABLE_COLUMNS_MAX] = { 0 }, dropped;
	bool shown[TABLE_COLUMNS_MAX] = { 0 };

	if (t->full)
		out->full = true;
	if (t->full || !t->ncolumns)
		return;
	widths_measure(t, width);
	dropped = columns_drop(t, term, indent, width, shown);
	titles_draw(out, t, term, indent, width, shown);
	for (size_t row = 0; row < table_rows(t); row++)
		row_draw(out, t, term, indent, width, shown, row);
	if (dropped) {
		spaces(out, indent);
		buf_printf(out, "(%zu column%s not shown: widen the terminal, or use --json)\n",
			   dropped, dropped == 1 ? "" : "s");
	}
}

void table_done(struct table *t)
{
	buf_done(&t->text);
	free(t->cells);
	*t = (struct table){ 0 };
}
