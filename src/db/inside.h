/* inside.h - what the files of db share: the open database, its cached statements, and how
 * SQLite's failures become ours.
 */
#ifndef QANAT_DB_INSIDE_H
#define QANAT_DB_INSIDE_H

#include <sqlite3.h>

#include "base/list.h"
#include "db/db.h"

/* What to do about a file that cannot be read. */
#define DB_RESTORE "restore it from a backup, or choose another place"

struct db_cached {
	struct list node; /* in db.cached */
	const char *sql; /* the literal itself */
	sqlite3_stmt *stmt;
	bool lent;
	bool ended; /* gave its last row; runs again only after a reset */
};

struct db {
	sqlite3 *handle;
	char *path;
	struct list cached;
	bool begun; /* by db_begin, and neither committed nor rolled back by the caller */
	char conflict[256];
};

/* Explains what SQLite reported last; `doing` is what failed ("commit to"). */
enum err_code db_error(struct db *db, const char *doing, struct err *e);
/* One statement without values or rows. */
MUST_CHECK enum err_code db_exec(struct db *db, const char *sql, const char *doing, struct err *e);
/* Brings the data to the schema's version, or explains why not. */
MUST_CHECK enum err_code db_migrate(struct db *db, const struct db_schema *schema, bool read_only,
				    struct err *e);

#endif
