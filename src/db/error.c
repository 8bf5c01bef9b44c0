#include "db/inside.h"

#include <errno.h>

/* SQLite names the columns behind a colon: "UNIQUE constraint failed: clients.name". */
static enum err_code constraint_error(struct db *db, struct err *e)
{
	const char *text = sqlite3_errmsg(db->handle);
	const char *colon = strstr(text, ": ");
	const char *what = colon ? colon + 2 : text;

	switch (sqlite3_extended_errcode(db->handle)) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		if (!str_copy(db->conflict, sizeof db->conflict, str_of(what)))
			return err_set(e, ERR_EXISTS, "a value is taken already");
		return err_set(e, ERR_EXISTS, "the value of %s is taken already", what);
	default:
		return err_set(e, ERR_INVALID, "database %s refuses this: %s", db->path, text);
	}
}

static enum err_code system_error(struct db *db, int sys, const char *doing, struct err *e)
{
	enum err_code rc = err_sys(e, sys, "%s database %s", doing, db->path);

	if (sys == EROFS) { /* rights are missing here as with EACCES */
		rc = ERR_DENIED;
		if (e)
			e->code = rc;
	}
	return rc;
}

enum err_code db_error(struct db *db, const char *doing, struct err *e)
{
	int sys = sqlite3_system_errno(db->handle);

	switch (sqlite3_extended_errcode(db->handle) & 0xff) {
	case SQLITE_CONSTRAINT:
		return constraint_error(db, e);
	case SQLITE_FULL:
		return system_error(db, ENOSPC, doing, e);
	case SQLITE_NOMEM:
		return err_set(e, ERR_NOMEM, "%s database %s: no memory", doing, db->path);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(e, ERR_IN_USE, "%s database %s: another process holds it", doing,
			       db->path);
	case SQLITE_CORRUPT:
		return err_set(e, ERR_CORRUPT, "database %s is damaged (%s); " DB_RESTORE, db->path,
			       sqlite3_errmsg(db->handle));
	case SQLITE_NOTADB:
		return err_set(e, ERR_CORRUPT, "%s is not a database; " DB_RESTORE, db->path);
	case SQLITE_READONLY:
		return err_set(e, ERR_DENIED, "%s database %s: it or its directory is read-only",
			       doing, db->path);
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		if (sys)
			return system_error(db, sys, doing, e);
		return err_set(e, ERR_IO, "%s database %s: %s", doing, db->path,
			       sqlite3_errmsg(db->handle));
	default:
		return err_set(e, ERR_IO, "%s database %s: %s", doing, db->path,
			       sqlite3_errmsg(db->handle));
	}
}
