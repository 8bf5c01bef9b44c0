#include "cli/view.h"

#include "cli/table.h"

#include <inttypes.h>

/* Deeper values are printed as compact JSON; the reference's answers need four. */
#define DEPTH_MAX 6
#define INDENT 2
#define GAP 2

struct str view_field(json_t *object, const char *name)
{
	json_t *v = json_object_get(object, name);

	if (!json_is_string(v))
		return (struct str){ "", 0 };
	return (struct str){ json_string_value(v), json_string_length(v) };
}

bool view_flag(json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

int64_t view_number(json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

void view_bytes(struct buf *out, int64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double n = (double)bytes;
	size_t unit = 0;

	if (bytes < 1024) {
		buf_printf(out, "%" PRId64 " B", bytes);
		return;
	}
	for (n /= 1024; n >= 1023.95 && unit + 1 < ARRAY_LEN(units); unit++)
		n /= 1024;
	buf_printf(out, "%.1f %s", n, units[unit]);
}

void view_label(struct buf *out, const char *name)
{
	struct buf spaced = { 0 };

	for (; *name; name++) {
		if (*name == '_')
			buf_char(&spaced, ' ');
		else
			buf_char(&spaced, *name);
	}
	buf_escaped(out, buf_view(&spaced));
	out->full |= spaced.full;
	buf_done(&spaced);
}

static bool name_is_bytes(const char *name)
{
	struct str s = str_of(name), tail = STR("_bytes");

	return s.n > tail.n && str_eq((struct str){ s.p + s.n - tail.n, tail.n }, tail);
}

static void compact_add(struct buf *out, json_t *v)
{
	char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

	if (text)
		buf_z(out, text);
	else
		out->full = true;
	free(text);
}

/* A value on one line, not yet escaped: arrays of plain values by commas. */
static void flat_add(struct buf *out, const char *name, json_t *v)
{
	json_t *item;
	size_t i;

	switch (json_typeof(v)) {
	case JSON_STRING:
		buf_add(out, json_string_value(v), json_string_length(v));
		return;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_z(out, json_is_true(v) ? "yes" : "no");
		return;
	case JSON_NULL:
		buf_char(out, '-');
		return;
	case JSON_INTEGER:
		if (name && name_is_bytes(name))
			view_bytes(out, json_integer_value(v));
		else
			buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		return;
	case JSON_REAL:
		buf_printf(out, "%g", json_real_value(v));
		return;
	case JSON_ARRAY:
		if (!json_array_size(v))
			buf_char(out, '-');
		json_array_foreach(v, i, item)
		{
			buf_z(out, i ? ", " : "");
			if (json_is_array(item) || json_is_object(item))
				compact_add(out, item);
			else
				flat_add(out, NULL, item);
		}
		return;
	case JSON_OBJECT:
	default:
		compact_add(out, v);
	}
}

static bool is_rows(json_t *v)
{
	json_t *item;
	size_t i;

	json_array_foreach(v, i, item) if (!json_is_object(item)) return false;
	return json_is_array(v) && json_array_size(v) > 0;
}

static bool is_nested(json_t *v)
{
	return (json_is_object(v) && json_object_size(v)) || is_rows(v) ||
	       (json_is_string(v) && memchr(json_string_value(v), '\n', json_string_length(v)));
}

static void indent_add(struct buf *out, size_t n)
{
	buf_printf(out, "%*s", (int)n, "");
}

static void lines_add(struct buf *out, struct str text, size_t indent)
{
	struct str line;

	while (str_cut(&text, '\n', &line)) {
		indent_add(out, line.n ? indent : 0);
		buf_escaped(out, line);
		buf_char(out, '\n');
	}
}

/* Adds a column for every key of any row, in order of first appearance. */
static void rows_columns(struct table *table, json_t *rows)
{
	const char *key;
	json_t *row, *v;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		json_object_foreach(row, key, v)
		{
			size_t c = 0;

			while (c < table->ncolumns && strcmp(table->columns[c].title, key) != 0)
				c++;
			if (c == table->ncolumns && c < TABLE_COLUMNS_MAX)
				table_column(table, key, json_is_integer(v), c > 1);
		}
	}
}

static void rows_draw(struct buf *out, const struct term *t, json_t *rows, size_t indent)
{
	struct table table = { 0 };
	struct buf cell = { 0 };
	json_t *row, *v;
	size_t i;

	rows_columns(&table, rows);
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < table.ncolumns; c++) {
			buf_clear(&cell);
			v = json_object_get(row, table.columns[c].title);
			if (v)
				flat_add(&cell, table.columns[c].title, v);
			table_cell(&table, buf_view(&cell), NULL);
		}
	}
	/* Titles are keys of the answer, so they are escaped like its values. */
	struct buf titles[TABLE_COLUMNS_MAX] = { 0 };

	for (size_t c = 0; c < table.ncolumns; c++) {
		view_label(&titles[c], table.columns[c].title);
		table.columns[c].title = buf_view(&titles[c]).p;
	}
	table_draw(out, &table, t, indent);
	out->full |= cell.full;
	for (size_t c = 0; c < ARRAY_LEN(titles); c++)
		buf_done(&titles[c]);
	buf_done(&cell);
	table_done(&table);
}

static void value_draw(struct buf *out, const struct term *t, json_t *v, size_t indent,
		       unsigned depth);

/* Width of the longest name among the one-line values, so that values align. */
static size_t names_width(json_t *object)
{
	const char *key;
	json_t *v;
	size_t width = 0;

	json_object_foreach(object, key, v)
	{
		struct buf label = { 0 };

		view_label(&label, key);
		if (!is_nested(v))
			width = MAX(width, term_width(buf_view(&label)));
		buf_done(&label);
	}
	return width;
}

static void pair_draw(struct buf *out, const char *key, json_t *v, size_t indent, size_t width)
{
	struct buf label = { 0 }, text = { 0 };
	size_t taken;

	view_label(&label, key);
	flat_add(&text, key, v);
	taken = term_width(buf_view(&label));
	indent_add(out, indent);
	buf_str(out, buf_view(&label));
	indent_add(out, (width > taken ? width - taken : 0) + GAP);
	buf_escaped(out, buf_view(&text));
	buf_char(out, '\n');
	out->full |= label.full || text.full;
	buf_done(&label);
	buf_done(&text);
}

static void section_draw(struct buf *out, const struct term *t, const char *key, json_t *v,
			 size_t indent, unsigned depth)
{
	indent_add(out, indent);
	buf_z(out, term_style(t, TERM_BOLD));
	view_label(out, key);
	buf_z(out, term_style(t, TERM_PLAIN));
	buf_char(out, '\n');
	value_draw(out, t, v, indent + INDENT, depth + 1);
}

/* One-line values first, then what has lines of its own, each under its name. */
static void object_draw(struct buf *out, const struct term *t, json_t *object, size_t indent,
			unsigned depth)
{
	size_t width = names_width(object);
	const char *key;
	json_t *v;

	json_object_foreach(object, key, v) if (!is_nested(v) || depth >= DEPTH_MAX)
		pair_draw(out, key, v, indent, width);
	json_object_foreach(object, key, v) if (is_nested(v) && depth < DEPTH_MAX)
		section_draw(out, t, key, v, indent, depth);
}

/* Whether no value is rows itself, which no cell of a table holds. */
static bool rows_fit(json_t *rows)
{
	const char *key;
	json_t *row, *v;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		json_object_foreach(row, key, v) if (is_rows(v)) return false;
	}
	return true;
}

/* The name of the first value that is a text of one line, or NULL. */
static const char *first_text(json_t *row)
{
	const char *key;
	json_t *v;

	json_object_foreach(row, key, v) if (json_is_string(v) && !is_nested(v)) return key;
	return NULL;
}

/* Rows that have rows of their own: each under its first text. */
static void rows_listed(struct buf *out, const struct term *t, json_t *rows, size_t indent,
			unsigned depth)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *key = first_text(row);
		json_t *rest = json_copy(row);

		if (key) {
			indent_add(out, indent);
			buf_z(out, term_style(t, TERM_BOLD));
			buf_escaped(out, view_field(row, key));
			buf_printf(out, "%s\n", term_style(t, TERM_PLAIN));
			json_object_del(rest, key);
		}
		if (json_object_size(rest))
			value_draw(out, t, rest, indent + (key ? INDENT : 0), depth + 1);
		out->full |= !rest;
		json_decref(rest);
	}
}

static void value_draw(struct buf *out, const struct term *t, json_t *v, size_t indent,
		       unsigned depth)
{
	struct buf text = { 0 };

	if (json_is_object(v) && json_object_size(v)) {
		object_draw(out, t, v, indent, depth);
		return;
	}
	if (is_rows(v)) {
		if (rows_fit(v) || depth >= DEPTH_MAX)
			rows_draw(out, t, v, indent);
		else
			rows_listed(out, t, v, indent, depth);
		return;
	}
	flat_add(&text, NULL, v);
	lines_add(out, buf_view(&text), indent);
	out->full |= text.full;
	buf_done(&text);
}

void view_value(struct buf *out, const struct term *t, json_t *value, size_t indent)
{
	value_draw(out, t, value, indent, 0);
}

void view_answer(struct buf *out, const struct term *t, struct str module, struct str action,
		 json_t *data)
{
	view_draw *own = view_find(module, action);

	if (!data)
		buf_z(out, "done\n");
	else if (own && json_is_object(data))
		own(out, t, data);
	else
		view_value(out, t, data, 0);
}
