/* table.h - rows in aligned columns, escaped, drawn once all are known.
 *
 * Cells are added from left to right, row by row.  When the terminal is too narrow, the columns
 * marked optional give way from the right, and a line below says how many did.
 */
#ifndef QANAT_CLI_TABLE_H
#define QANAT_CLI_TABLE_H

#include "cli/term.h"

#define TABLE_COLUMNS_MAX 16

struct table_column {
	const char *title;
	bool right; /* numbers end at the same column */
	bool optional; /* may be left out on a narrow terminal */
};

struct table_cell {
	size_t at, n; /* of `text` */
	size_t width;
	const char *style; /* one of TERM_* or NULL */
};

struct table {
	struct table_column columns[TABLE_COLUMNS_MAX];
	size_t ncolumns;
	struct buf text;
	struct table_cell *cells;
	size_t ncells, cap;
	bool full; /* memory ran out: table_draw marks `out` full */
};

/* Columns are added before the first cell; more than TABLE_COLUMNS_MAX are a bug. */
void table_column(struct table *t, const char *title, bool right, bool optional);
/* Appends the next cell; `style` colours it, NULL leaves it plain. */
void table_cell(struct table *t, struct str text, const char *style);
size_t table_rows(const struct table *t);
/* Draws title line and rows, each indented by `indent` spaces. */
void table_draw(struct buf *out, const struct table *t, const struct term *term, size_t indent);
void table_done(struct table *t);

#endif
