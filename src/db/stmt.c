#include "db/inside.h"

#include "base/fault.h"

/* ---- the cache ---- */

static struct db_cached *cached_find(struct db *db, const char *sql)
{
	LIST_FOR(node, &db->cached) {
		struct db_cached *c = CONTAINER_OF(node, struct db_cached, node);

		if (!c->lent && (c->sql == sql || strcmp(c->sql, sql) == 0))
			return c;
	}
	return NULL;
}

static struct db_cached *cached_new(struct db *db, const char *sql, struct err *e)
{
	struct db_cached *c = calloc(1, sizeof *c);
	const char *tail = NULL;

	if (!c) {
		err_set(e, ERR_NOMEM, "no memory for a statement");
		return NULL;
	}
	c->sql = sql;
	if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &c->stmt, &tail) !=
	    SQLITE_OK) {
		db_error(db, "prepare a statement for", e);
		free(c);
		return NULL;
	}
	BUG_ON(!c->stmt || *tail); /* empty, or more than one statement */
	list_add_tail(&db->cached, &c->node);
	return c;
}

struct db_stmt db_sql_literal(struct db *db, const char *sql)
{
	struct db_stmt s = { .db = db };

	s.c = cached_find(db, sql);
	if (!s.c)
		s.c = cached_new(db, sql, &s.err);
	if (s.c)
		s.c->lent = true;
	return s;
}

void db_reset(struct db_stmt *s)
{
	if (!s->c)
		return;
	/* What reset returns was the failure of the last step, reported there. */
	(void)sqlite3_reset(s->c->stmt);
	(void)sqlite3_clear_bindings(s->c->stmt);
	s->c->ended = false;
	s->err = (struct err){ 0 };
}

void db_stmt_done(struct db_stmt *s)
{
	if (!s->c)
		return;
	db_reset(s);
	s->c->lent = false;
	s->c = NULL;
}

/* ---- binding ---- */

static void bound(struct db_stmt *s, int rc)
{
	BUG_ON(rc == SQLITE_RANGE || rc == SQLITE_MISUSE); /* no such parameter; not reset */
	if (rc != SQLITE_OK && !s->err.code)
		db_error(s->db, "bind a value for", &s->err);
}

void db_bind_i64(struct db_stmt *s, int index, int64_t v)
{
	if (s->c)
		bound(s, sqlite3_bind_int64(s->c->stmt, index, v));
}

void db_bind_text(struct db_stmt *s, int index, struct str v)
{
	if (s->c)
		bound(s, sqlite3_bind_text64(s->c->stmt, index, v.p ? v.p : "", v.n, SQLITE_STATIC,
					     SQLITE_UTF8));
}

void db_bind_blob(struct db_stmt *s, int index, const void *p, size_t n)
{
	/* A NULL pointer would bind NULL instead of nothing. */
	if (s->c)
		bound(s, sqlite3_bind_blob64(s->c->stmt, index, p ? p : "", n, SQLITE_STATIC));
}

void db_bind_null(struct db_stmt *s, int index)
{
	if (s->c)
		bound(s, sqlite3_bind_null(s->c->stmt, index));
}

/* ---- running ---- */

enum err_code db_row_ok(const struct db_stmt *s, struct err *e)
{
	if (s->err.code && e)
		*e = s->err;
	return s->err.code;
}

/* SQLite ends a transaction by itself after some failures (a full disk); what the caller still
 * does in it must then not be committed piece by piece. */
static enum err_code transaction_check(struct db *db, struct err *e)
{
	if (db->begun && sqlite3_get_autocommit(db->handle))
		return err_set(e, ERR_IO, "the transaction on database %s was given up before",
			       db->path);
	return ERR_OK;
}

enum err_code db_step(struct db_stmt *s, bool *row, struct err *e)
{
	*row = false;
	if (s->err.code)
		return db_row_ok(s, e);
	if (s->c->ended)
		return ERR_OK;
	if (transaction_check(s->db, &s->err))
		return db_row_ok(s, e);
	if (!sqlite3_stmt_readonly(s->c->stmt) && FAULT("db.write")) {
		err_set(&s->err, ERR_IO, "write to database %s: injected fault", s->db->path);
		return db_row_ok(s, e);
	}
	switch (sqlite3_step(s->c->stmt)) {
	case SQLITE_ROW:
		*row = true;
		return ERR_OK;
	case SQLITE_DONE:
		(void)sqlite3_reset(s->c->stmt); /* gives up its locks */
		(void)sqlite3_clear_bindings(s->c->stmt);
		s->c->ended = true;
		return ERR_OK;
	default:
		db_error(s->db, sqlite3_stmt_readonly(s->c->stmt) ? "read" : "write to", &s->err);
		(void)sqlite3_reset(s->c->stmt);
		return db_row_ok(s, e);
	}
}

enum err_code db_run(struct db_stmt *s, struct err *e)
{
	enum err_code rc;
	bool row;

	rc = db_step(s, &row, e);
	BUG_ON(row);
	db_reset(s);
	return rc;
}

/* ---- reading ---- */

static const char *type_name(int type)
{
	switch (type) {
	case SQLITE_INTEGER:
		return "a number";
	case SQLITE_TEXT:
		return "text";
	case SQLITE_BLOB:
		return "bytes";
	case SQLITE_NULL:
		return "nothing";
	default:
		return "a fraction";
	}
}

static void column_bad(struct db_stmt *s, int column, const char *has, const char *wanted)
{
	const char *name = sqlite3_column_name(s->c->stmt, column);

	if (!s->err.code)
		err_set(&s->err, ERR_CORRUPT, "column %s in database %s holds %s instead of %s",
			name ? name : "?", s->db->path, has, wanted);
}

static bool column_is(struct db_stmt *s, int column, int type)
{
	int has;

	if (s->err.code || !s->c)
		return false;
	BUG_ON(column < 0 || column >= sqlite3_data_count(s->c->stmt));
	has = sqlite3_column_type(s->c->stmt, column);
	if (has != type)
		column_bad(s, column, type_name(has), type_name(type));
	return has == type;
}

static struct str column_bytes(struct db_stmt *s, int column, const void *p)
{
	int n = sqlite3_column_bytes(s->c->stmt, column);

	if (!p && n) {
		err_set(&s->err, ERR_NOMEM, "no memory for a row of database %s", s->db->path);
		n = 0;
	}
	return (struct str){ p ? p : "", (size_t)n };
}

int64_t db_i64(struct db_stmt *s, int column)
{
	return column_is(s, column, SQLITE_INTEGER) ? sqlite3_column_int64(s->c->stmt, column) : 0;
}

struct str db_text(struct db_stmt *s, int column)
{
	if (!column_is(s, column, SQLITE_TEXT))
		return STR("");
	return column_bytes(s, column, sqlite3_column_text(s->c->stmt, column));
}

struct str db_blob(struct db_stmt *s, int column)
{
	if (!column_is(s, column, SQLITE_BLOB))
		return STR("");
	return column_bytes(s, column, sqlite3_column_blob(s->c->stmt, column));
}

bool db_is_null(struct db_stmt *s, int column)
{
	if (s->err.code || !s->c)
		return true;
	BUG_ON(column < 0 || column >= sqlite3_data_count(s->c->stmt));
	return sqlite3_column_type(s->c->stmt, column) == SQLITE_NULL;
}

void db_blob_copy(struct db_stmt *s, int column, void *out, size_t n)
{
	struct str b = db_blob(s, column);
	char has[32], wanted[32];

	if (s->err.code || b.n != n) {
		(void)snprintf(has, sizeof has, "%zu bytes", b.n);
		(void)snprintf(wanted, sizeof wanted, "%zu", n);
		if (!s->err.code)
			column_bad(s, column, has, wanted);
		memset(out, 0, n);
		return;
	}
	memcpy(out, b.p, n);
}
