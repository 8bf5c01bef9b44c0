#include "db/db.h"

#include <errno.h>
#include <fcntl.h>

#include "base/fault.h"
#include "base/fs.h"
#include "db/inside.h"

enum err_code db_exec(struct db *db, const char *sql, const char *doing, struct err *e)
{
	if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_error(db, doing, e);
	return ERR_OK;
}

/* Makes the file with the mode that SQLite would not give it; its -wal and -shm follow it. */
static enum err_code file_make(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0) {
		fd_close(fd);
		return ERR_OK;
	}
	if (errno == EROFS) /* rights are missing here as with EACCES */
		return err_set(e, ERR_DENIED, "database %s is on a read-only file system", path);
	return err_sys(e, errno, "open database %s for writing", path);
}

/* The whole file is looked at: better a refusal at the start than a wrong answer later. */
static enum err_code file_check(struct db *db, struct err *e)
{
	struct db_stmt s = db_sql(db, "PRAGMA quick_check(1)");
	enum err_code rc;
	bool row;

	rc = db_step(&s, &row, e);
	if (!rc && row && !str_eq(db_text(&s, 0), STR("ok"))) {
		struct str what = db_text(&s, 0);

		rc = err_set(e, ERR_CORRUPT, "database %s is damaged (%.*s); " DB_RESTORE, db->path,
			     STR_ARG(what));
	}
	db_stmt_done(&s);
	return rc;
}

/* What must hold before the first statement looks into a file that may be hostile. */
static enum err_code handle_configure(struct db *db, struct err *e)
{
	static const struct {
		int option, value;
	} options[] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 }, /* no SQL writes the file past the schema */
		{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_DQS_DML, 0 }, /* "x" is a name, never a text */
		{ SQLITE_DBCONFIG_DQS_DDL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (sqlite3_db_config(db->handle, options[i].option, options[i].value, NULL) !=
		    SQLITE_OK)
			return db_error(db, "configure", e);
	(void)sqlite3_extended_result_codes(db->handle, 1);
	if (sqlite3_busy_timeout(db->handle, DB_BUSY_MS) != SQLITE_OK)
		return db_error(db, "configure", e);
	/* Nothing is written outside of the database's directory, where a process without rights could
	 * not: what a savepoint remembers stays in memory.
	 * Foreign keys are off while migrations rebuild tables; content_open turns them on. */
	return db_exec(db,
		       "PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON; PRAGMA cache_size "
		       "= -65536; PRAGMA temp_store = MEMORY; "
		       "PRAGMA foreign_keys = OFF",
		       "configure", e);
}

static enum err_code journal_configure(struct db *db, struct err *e)
{
	struct db_stmt s = db_sql(db, "PRAGMA journal_mode = WAL");
	enum err_code rc;
	bool row;

	rc = db_step(&s, &row, e);
	if (!rc && (!row || !str_eq(db_text(&s, 0), STR("wal"))))
		rc = err_set(e, ERR_UNSUPPORTED,
			     "database %s cannot use a write-ahead log; is it on a network file "
			     "system?",
			     db->path);
	db_stmt_done(&s);
	return rc ? rc : db_exec(db, "PRAGMA synchronous = FULL", "configure", e);
}

static enum err_code handle_open(struct db *db, bool read_only, struct err *e)
{
	int mode = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;

	if (sqlite3_open_v2(db->path, &db->handle,
			    mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
			    NULL) == SQLITE_OK)
		return handle_configure(db, e);
	if (!db->handle)
		return err_set(e, ERR_NOMEM, "no memory to open database %s", db->path);
	return db_error(db, "open", e);
}

static enum err_code content_open(struct db *db, const struct db_schema *schema, bool read_only,
				  struct err *e)
{
	enum err_code rc;

	/* First what changes nothing: the file may turn out not to be ours. */
	rc = file_check(db, e);
	if (!rc && !read_only && sqlite3_db_readonly(db->handle, "main") == 1)
		rc = err_set(e, ERR_DENIED, "database %s may not be written", db->path);
	if (!rc && !read_only)
		rc = journal_configure(db, e);
	if (!rc)
		rc = db_migrate(db, schema, read_only, e);
	return rc ? rc : db_exec(db, "PRAGMA foreign_keys = ON", "configure", e);
}

enum err_code db_open(struct db **out, const char *path, const struct db_schema *schema,
		      unsigned flags, struct err *e)
{
	bool read_only = flags & DB_READ_ONLY;
	enum err_code rc = ERR_OK;
	struct db *db;

	db = calloc(1, sizeof *db);
	if (!db)
		return err_set(e, ERR_NOMEM, "no memory for database %s", path);
	list_init(&db->cached);
	db->path = str_dup(str_of(path));
	if (!db->path)
		rc = err_set(e, ERR_NOMEM, "no memory for database %s", path);
	if (!rc && !read_only)
		rc = file_make(path, e);
	if (!rc)
		rc = handle_open(db, read_only, e);
	if (!rc)
		rc = content_open(db, schema, read_only, e);
	if (rc) {
		db_close(db);
		return rc;
	}
	*out = db;
	return ERR_OK;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	db_rollback(db);
	LIST_FOR_SAFE(node, tmp, &db->cached) {
		struct db_cached *c = CONTAINER_OF(node, struct db_cached, node);

		BUG_ON(c->lent);
		(void)sqlite3_finalize(c->stmt); /* repeats a failure reported before */
		free(c);
	}
	BUG_ON(sqlite3_close(db->handle) != SQLITE_OK); /* a statement outside the cache */
	free(db->path);
	free(db);
}

enum err_code db_begin(struct db *db, struct err *e)
{
	enum err_code rc;

	BUG_ON(db->begun);
	if (FAULT("db.begin"))
		return err_set(e, ERR_IO, "begin on database %s: injected fault", db->path);
	rc = db_exec(db, "BEGIN IMMEDIATE", "write to", e);
	db->begun = !rc;
	return rc;
}

enum err_code db_commit(struct db *db, struct err *e)
{
	enum err_code rc = ERR_OK;

	BUG_ON(!db->begun);
	if (sqlite3_get_autocommit(db->handle))
		rc = err_set(e, ERR_IO, "the transaction on database %s was given up before",
			     db->path);
	else if (FAULT("db.commit"))
		rc = err_set(e, ERR_IO, "commit to database %s: injected fault", db->path);
	else
		rc = db_exec(db, "COMMIT", "write to", e);
	if (rc)
		db_rollback(db);
	db->begun = false;
	if (!rc)
		(void)FAULT("db.committed"); /* a place to die between the disk and the answer */
	return rc;
}

void db_rollback(struct db *db)
{
	if (!db->begun)
		return;
	db->begun = false;
	/* What could fail here has ended the transaction already. */
	if (!sqlite3_get_autocommit(db->handle))
		(void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

bool db_in_transaction(const struct db *db)
{
	return db->begun;
}

const char *db_conflict(const struct db *db)
{
	return db->conflict;
}

int64_t db_changes(const struct db *db)
{
	return sqlite3_changes64(db->handle);
}

int64_t db_last_id(const struct db *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}
