#include "db/inside.h"

#include "base/fault.h"

static enum err_code number(struct db *db, const char *sql, int64_t *out, struct err *e)
{
	struct db_stmt s = db_sql_literal(db, sql);
	enum err_code rc;
	bool row;

	rc = db_step(&s, &row, e);
	if (!rc && !row)
		rc = err_set(e, ERR_CORRUPT, "database %s does not answer %s", db->path, sql);
	if (!rc) {
		*out = db_i64(&s, 0);
		rc = db_row_ok(&s, e);
	}
	db_stmt_done(&s);
	return rc;
}

/* With foreign keys off, a step may rebuild a table; what it left must be whole all the same. */
static enum err_code references_check(struct db *db, struct err *e)
{
	struct db_stmt s = db_sql(db, "PRAGMA foreign_key_check");
	enum err_code rc;
	bool row;

	rc = db_step(&s, &row, e);
	if (!rc && row) {
		struct str table = db_text(&s, 0);

		rc = err_set(e, ERR_CORRUPT,
			     "database %s is damaged: table %.*s refers to rows that are not there",
			     db->path, STR_ARG(table));
	}
	db_stmt_done(&s);
	return rc;
}

/* PRAGMA takes no bound values; the numbers are our own constants. */
static enum err_code mark(struct db *db, const struct db_schema *schema, uint32_t version,
			  struct err *e)
{
	enum err_code rc;
	char sql[64];
	int n;

	n = snprintf(sql, sizeof sql, "PRAGMA application_id = %d", schema->application_id);
	BUG_ON(n < 0 || (size_t)n >= sizeof sql);
	rc = db_exec(db, sql, "migrate", e);
	if (rc)
		return rc;
	n = snprintf(sql, sizeof sql, "PRAGMA user_version = %u", version);
	BUG_ON(n < 0 || (size_t)n >= sizeof sql);
	return db_exec(db, sql, "migrate", e);
}

/* One step; `version` is where the database stands afterwards, also when somebody else took the
 * step meanwhile. */
static enum err_code step_take(struct db *db, const struct db_schema *schema, int64_t *version,
			       struct err *e)
{
	enum err_code rc;

	rc = db_begin(db, e);
	if (rc)
		return rc;
	rc = number(db, "PRAGMA user_version", version, e);
	if (!rc && *version < (int64_t)schema->n) {
		rc = db_exec(db, schema->steps[*version], "migrate", e);
		if (!rc)
			rc = mark(db, schema, (uint32_t)*version + 1, e);
		if (!rc)
			rc = references_check(db, e);
		if (!rc && FAULT("db.migrate"))
			rc = err_set(e, ERR_IO, "migrate database %s: injected fault", db->path);
		if (!rc)
			(*version)++;
	}
	if (!rc)
		return db_commit(db, e);
	db_rollback(db);
	return err_wrap(e, rc, "version %lld", (long long)*version + 1);
}

enum err_code db_migrate(struct db *db, const struct db_schema *schema, bool read_only,
			 struct err *e)
{
	int64_t id, objects, version;
	enum err_code rc;

	rc = number(db, "PRAGMA application_id", &id, e);
	if (!rc)
		rc = number(db, "SELECT count(*) FROM sqlite_schema", &objects, e);
	if (!rc)
		rc = number(db, "PRAGMA user_version", &version, e);
	if (rc)
		return rc;
	if (id != schema->application_id && (id != 0 || objects != 0 || version != 0))
		return err_set(e, ERR_CORRUPT, "database %s belongs to another program", db->path);
	if (version < 0)
		return err_set(e, ERR_CORRUPT, "database %s has version %lld", db->path,
			       (long long)version);
	if (read_only && version < (int64_t)schema->n)
		return err_set(
			e, ERR_UNSUPPORTED,
			"database %s has the old version %lld; it must be opened for writing "
			"once",
			db->path, (long long)version);
	while (version < (int64_t)schema->n) {
		rc = step_take(db, schema, &version, e);
		if (rc)
			return rc;
	}
	if (version > (int64_t)schema->n)
		return err_set(e, ERR_UNSUPPORTED,
			       "database %s has version %lld; this program knows versions up to "
			       "%u: use a newer one",
			       db->path, (long long)version, schema->n);
	return references_check(db, e);
}
