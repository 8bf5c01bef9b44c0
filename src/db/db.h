/* db.h - one SQL interface: a database file, migrations, transactions, prepared statements.
 *
 * Over SQLite: WAL, synchronous FULL, foreign keys; what db_commit answered with ERR_OK survives
 * a power cut.  One thread at a time.  SQL is a string literal, never glued from values:
 * values are bound.  Errors name the file; ERR_IO carries errno where there is one.
 *
 *	AUTO(db_stmt_done) struct db_stmt s = db_sql(db, "SELECT id, name FROM t WHERE id > ?1");
 *	bool row;
 *
 *	db_bind_i64(&s, 1, id);
 *	while (!(rc = db_step(&s, &row, e)) && row)
 *		use(db_i64(&s, 0), db_text(&s, 1));
 *
 * A statement remembers the first failure of preparing, binding or reading a column; db_step and
 * db_run report it.  After the last row, db_step has therefore vouched for all columns read.
 */
#ifndef QANAT_DB_DB_H
#define QANAT_DB_DB_H

#include "base/err.h"
#include "base/text.h"

struct db;
struct db_cached;

/* The form of the data: steps[i] leads from version i to i + 1, each in a transaction of its
 * own.  A step that was released is never changed.  `application_id` marks the file as ours. */
struct db_schema {
	int32_t application_id;
	const char *const *steps;
	uint32_t n;
};

#define DB_READ_ONLY 1u /* no creation, no migration */

/* Opens `path` (mode 0600 when it is made), checks it (PRAGMA quick_check) and migrates it.
 * ERR_DENIED: directory or file may not be written; ERR_CORRUPT: no database, a damaged one, or
 * one of another program; ERR_UNSUPPORTED: written by a newer version; ERR_IN_USE: locked by
 * somebody else for longer than DB_BUSY_MS. */
#define DB_BUSY_MS 2000
MUST_CHECK enum err_code db_open(struct db **out, const char *path, const struct db_schema *schema,
				 unsigned flags, struct err *e);
/* Rolls back what is open and closes; takes NULL.  All statements must be done. */
void db_close(struct db *db);

/* BEGIN IMMEDIATE; not nested. */
MUST_CHECK enum err_code db_begin(struct db *db, struct err *e);
/* Durable when ERR_OK; anything else has rolled back. */
MUST_CHECK enum err_code db_commit(struct db *db, struct err *e);
/* Does nothing outside a transaction. */
void db_rollback(struct db *db);
bool db_in_transaction(const struct db *db);

struct db_stmt {
	struct db *db;
	struct db_cached *c; /* on loan from the cache; NULL when it could not be prepared */
	struct err err; /* the first failure; sticky */
};

/* A statement ready for binding; prepared once per literal and kept.  ?1 is the first parameter. */
#define db_sql(db, literal) db_sql_literal((db), "" literal "")
struct db_stmt db_sql_literal(struct db *db, const char *sql);
/* Gives it back; for AUTO(db_stmt_done). */
void db_stmt_done(struct db_stmt *s);
/* Clears bindings and rows, so that it can be run again with other values. */
void db_reset(struct db_stmt *s);

/* Bound text and blobs are borrowed until the statement is reset, done or run to its end. */
void db_bind_i64(struct db_stmt *s, int index, int64_t v);
void db_bind_text(struct db_stmt *s, int index, struct str v);
void db_bind_blob(struct db_stmt *s, int index, const void *p, size_t n);
void db_bind_null(struct db_stmt *s, int index);

/* Next row (*row true) or the end (*row false). */
MUST_CHECK enum err_code db_step(struct db_stmt *s, bool *row, struct err *e);
/* Runs a statement that gives no rows.  ERR_EXISTS: a UNIQUE or PRIMARY KEY constraint, see
 * db_conflict; ERR_INVALID: another constraint. */
MUST_CHECK enum err_code db_run(struct db_stmt *s, struct err *e);

/* Columns of the current row, from 0.  The type must be the stored one: another (NULL too) gives
 * 0 or empty and makes the statement fail with ERR_CORRUPT.  Views live until the next db_step. */
int64_t db_i64(struct db_stmt *s, int column);
struct str db_text(struct db_stmt *s, int column);
struct str db_blob(struct db_stmt *s, int column); /* any bytes */
bool db_is_null(struct db_stmt *s, int column);
/* Copies a blob of exactly `n` bytes. */
void db_blob_copy(struct db_stmt *s, int column, void *out, size_t n);
/* What reading the columns of this row came to; for a caller who stops before the end. */
MUST_CHECK enum err_code db_row_ok(const struct db_stmt *s, struct err *e);

/* What the last ERR_EXISTS was about: "clients.name", or "t.a, t.b". */
const char *db_conflict(const struct db *db);
/* Rows changed by the last finished INSERT, UPDATE or DELETE; the id of the last INSERT. */
int64_t db_changes(const struct db *db);
int64_t db_last_id(const struct db *db);

#endif
