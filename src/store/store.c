#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "store/inside.h"
#include "store/schema.h"

#define STORE_LOCK_FILE "store.lock"
#define LABEL_MAX 128

/* ---- opening ---- */

static enum err_code path_in(char out[PATH_MAX], const char *dir, const char *file, struct err *e)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", dir, file);

	if (n < 0 || n >= PATH_MAX)
		return err_set(e, ERR_RANGE,
			       "the name of the state directory is too long: %.64s...", dir);
	return ERR_OK;
}

/* Somebody who may write here could swap the database and the key for his own. */
static enum err_code directory_ready(const char *dir, struct err *e)
{
	struct stat st;
	enum err_code rc = dir_make(dir, 0700, e);

	if (rc)
		return err_wrap(e, rc, "state directory %s", dir);
	if (stat(dir, &st) < 0)
		return err_sys(e, errno, "state directory %s", dir);
	if (st.st_mode & 022)
		return err_set(e, ERR_DENIED,
			       "state directory %s has mode %04o, so others may write in it; run "
			       "chmod go-w %s",
			       dir, st.st_mode & 07777, dir);
	return ERR_OK;
}

/* False with errno as it is after flock. */
static bool lock_within(int fd, int64_t ns)
{
	int64_t end = clock_mono_ns() + ns;
	const struct timespec pause = { .tv_nsec = 5 * NS_PER_MS };

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK || clock_mono_ns() >= end)
			return false;
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

/* The lock goes with the process, however it ends; where it is killed while it starts a program, that
 * one has the lock, too, until it has been loaded. */
static enum err_code lock_take(int *out, const char *dir, struct err *e)
{
	char path[PATH_MAX];
	enum err_code rc = path_in(path, dir, STORE_LOCK_FILE, e);
	AUTO(fd_done) int fd = -1;

	if (rc)
		return rc;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EROFS)
		return err_set(e, ERR_DENIED, "state directory %s is read-only", dir);
	if (fd < 0)
		return err_sys(e, errno, "state directory %s: open %s", dir, path);
	if (!lock_within(fd, STORE_LOCK_WAIT_NS)) {
		if (errno == EWOULDBLOCK)
			return err_set(e, ERR_IN_USE,
				       "state directory %s is in use by another process, which "
				       "holds %s",
				       dir, path);
		return err_sys(e, errno, "lock %s", path);
	}
	*out = fd;
	fd = -1;
	return ERR_OK;
}

bool store_is_used(const char *dir)
{
	char path[PATH_MAX];
	AUTO(fd_done) int fd = -1;

	if (path_in(path, dir, STORE_LOCK_FILE, NULL))
		return false;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return fd >= 0 && !lock_within(fd, STORE_LOCK_WAIT_NS) && errno == EWOULDBLOCK;
}

/* A new key goes only with a new database: beside an old one it would open nothing.  The key is
 * made first, so that a crash in between leaves a key without a database, which is no harm. */
static enum err_code key_ready(struct store *s, const char *dir, const char *db_path, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;
	bool is_new = stat(db_path, &st) < 0 && errno == ENOENT;
	enum err_code rc = path_in(path, dir, STORE_KEY_FILE, e);

	if (rc)
		return rc;
	rc = seal_key_open(&s->key, path, is_new, e);
	if (rc == ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND,
			       "key file %s is missing, and %s cannot be read without it; put it "
			       "back from a backup",
			       path, db_path);
	return rc;
}

enum err_code store_open(struct store **out, const char *dir, struct err *e)
{
	char path[PATH_MAX];
	struct store *s;
	enum err_code rc = path_in(path, dir, STORE_FILE, e);

	if (rc)
		return rc;
	s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "state directory %s: out of memory", dir);
	s->lock_fd = -1;
	rc = directory_ready(dir, e);
	if (rc == ERR_OK)
		rc = lock_take(&s->lock_fd, dir, e);
	if (rc == ERR_OK)
		rc = key_ready(s, dir, path, e);
	if (rc == ERR_OK)
		rc = db_open(&s->db, path, &store_schema, 0, e);
	if (rc) {
		store_close(s);
		return rc;
	}
	*out = s;
	return ERR_OK;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	db_close(s->db);
	seal_key_close(s->key);
	fd_close(s->lock_fd); /* last: the next process may start */
	free(s);
}

/* ---- settings ---- */

enum err_code store_setting(struct store *s, const char *name, struct buf *out, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT value FROM settings WHERE name = ?1");
	bool row = false;
	enum err_code rc;

	db_bind_text(&st, 1, str_of(name));
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "setting %s is not stored", name);
	buf_str(out, db_text(&st, 0));
	rc = db_row_ok(&st, e);
	if (rc)
		return rc;
	if (!buf_ok(out))
		return err_set(e, ERR_NOMEM, "setting %s: out of memory", name);
	return ERR_OK;
}

enum err_code store_set_setting(struct store *s, const char *name, struct str value, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "INSERT INTO settings (name, value) VALUES (?1, ?2) "
			      "ON CONFLICT (name) DO UPDATE SET value = excluded.value");

	if (value.n > STORE_VALUE_MAX)
		return err_set(e, ERR_RANGE, "setting %s has %zu bytes; at most %d are stored",
			       name, value.n, STORE_VALUE_MAX);
	db_bind_text(&st, 1, str_of(name));
	db_bind_text(&st, 2, value);
	return db_run(&st, e);
}

/* ---- secrets ---- */

static struct str secret_label(char label[LABEL_MAX], const char *name)
{
	int n = snprintf(label, LABEL_MAX, "secret/%s", name);

	BUG_ON(n < 0 || n >= LABEL_MAX); /* names are literals of ours */
	return (struct str){ label, (size_t)n };
}

enum err_code store_secret(struct store *s, const char *name, uint8_t *out, size_t n, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT sealed FROM secrets WHERE name = ?1");
	char label[LABEL_MAX];
	bool row = false;
	struct str sealed;
	enum err_code rc;

	db_bind_text(&st, 1, str_of(name));
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "secret %s is not stored", name);
	sealed = db_blob(&st, 0);
	rc = db_row_ok(&st, e);
	if (rc)
		return rc;
	if (sealed.n != n + SEAL_OVERHEAD)
		return err_set(e, ERR_CORRUPT, "secret %s has %zu bytes instead of %zu", name,
			       sealed.n, n + SEAL_OVERHEAD);
	return unseal(s->key, out, sealed.p, sealed.n, secret_label(label, name), e);
}

enum err_code store_set_secret(struct store *s, const char *name, const uint8_t *p, size_t n,
			       struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "INSERT INTO secrets (name, sealed) VALUES (?1, ?2) "
			      "ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed");
	uint8_t sealed[STORE_VALUE_MAX + SEAL_OVERHEAD];
	char label[LABEL_MAX];

	if (n < 1 || n > STORE_VALUE_MAX)
		return err_set(e, ERR_RANGE, "secret %s has %zu bytes; 1 to %d are stored", name, n,
			       STORE_VALUE_MAX);
	seal(s->key, sealed, p, n, secret_label(label, name));
	db_bind_text(&st, 1, str_of(name));
	db_bind_blob(&st, 2, sealed, n + SEAL_OVERHEAD);
	return db_run(&st, e);
}

/* ---- transactions ---- */

enum err_code store_begin(struct store *s, struct err *e)
{
	return db_begin(s->db, e);
}

enum err_code store_commit(struct store *s, struct err *e)
{
	enum err_code rc = db_commit(s->db, e);

	if (rc)
		s->full_to = s->full_from; /* what it inserted is gone again */
	return rc;
}

void store_rollback(struct store *s)
{
	if (!s)
		return;
	s->full_to = s->full_from;
	db_rollback(s->db);
}

enum err_code store_part_begin(struct store *s, struct err *e)
{
	AUTO(db_stmt_done) struct db_stmt st = db_sql(s->db, "SAVEPOINT part");

	return db_run(&st, e);
}

enum err_code store_part_keep(struct store *s, struct err *e)
{
	AUTO(db_stmt_done) struct db_stmt st = db_sql(s->db, "RELEASE part");

	return db_run(&st, e);
}

enum err_code store_part_undo(struct store *s, struct err *e)
{
	AUTO(db_stmt_done) struct db_stmt st = db_sql(s->db, "ROLLBACK TO part");
	enum err_code rc;

	s->full_to = s->full_from; /* what it inserted is gone again */
	rc = db_run(&st, e);
	return rc ? rc : store_part_keep(s, e);
}
