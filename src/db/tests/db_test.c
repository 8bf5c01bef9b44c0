#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/tests/small_disk.h"
#include "db/db.h"

static const char *const steps[] = {
	"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER,"
	"  data BLOB, a INTEGER CHECK (a < 100)) STRICT;"
	"CREATE TABLE child (id INTEGER PRIMARY KEY,"
	"  t_id INTEGER NOT NULL REFERENCES t (id) ON DELETE CASCADE) STRICT",
	"ALTER TABLE t ADD COLUMN note TEXT; INSERT INTO t (name) VALUES ('from step 2')",
};
static const struct db_schema schema = { 0x716e6174, steps, ARRAY_LEN(steps) };
static const struct db_schema first_schema = { 0x716e6174, steps, 1 };

static char dir[64];
static char path[96];

static int place_make(void **state)
{
	int n;

	(void)state;
	n = snprintf(dir, sizeof dir, "/tmp/qanat-db-XXXXXX");
	if (n < 0 || !mkdtemp(dir))
		return -1;
	n = snprintf(path, sizeof path, "%s/test.db", dir);
	return n < 0 ? -1 : 0;
}

static void file_remove(const char *suffix)
{
	char name[128];
	int n = snprintf(name, sizeof name, "%s%s", path, suffix);

	if (n > 0)
		unlink(name);
}

static int place_remove(void **state)
{
	(void)state;
	file_remove("");
	file_remove("-wal");
	file_remove("-shm");
	return rmdir(dir);
}

static struct db *opened(const struct db_schema *s)
{
	struct db *db = NULL;
	struct err e = { 0 };

	if (db_open(&db, path, s, 0, &e))
		fail_msg("%s", e.msg);
	return db;
}

static enum err_code insert(struct db *db, const char *name, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt s = db_sql(db, "INSERT INTO t (name, size, data) VALUES (?1, ?2, ?3)");

	db_bind_text(&s, 1, str_of(name));
	db_bind_i64(&s, 2, (int64_t)strlen(name));
	db_bind_blob(&s, 3, name, strlen(name));
	return db_run(&s, e);
}

static int64_t count(struct db *db)
{
	AUTO(db_stmt_done) struct db_stmt s = db_sql(db, "SELECT count(*) FROM t");
	int64_t n;
	bool row;

	assert_int_equal(db_step(&s, &row, NULL), ERR_OK);
	assert_true(row);
	n = db_i64(&s, 0);
	assert_int_equal(db_row_ok(&s, NULL), ERR_OK);
	return n;
}

static void values_come_back(void **state)
{
	struct db *db = opened(&first_schema);
	struct err e = { 0 };
	uint8_t copy[3];
	struct stat st;
	bool row;

	(void)state;
	assert_int_equal(insert(db, "abc", &e), ERR_OK);
	assert_int_equal(db_last_id(db), 1);
	assert_int_equal(db_changes(db), 1);
	{
		AUTO(db_stmt_done)
		struct db_stmt s =
			db_sql(db, "INSERT INTO t (name, size, data) VALUES (?1, ?2, ?3)");

		db_bind_text(&s, 1, STR("a\0b'; DROP TABLE t"));
		db_bind_i64(&s, 2, INT64_MIN);
		db_bind_null(&s, 3);
		assert_int_equal(db_run(&s, &e), ERR_OK);
		db_bind_text(&s, 1, (struct str){ NULL, 0 }); /* again: db_run has reset it */
		db_bind_i64(&s, 2, INT64_MAX);
		db_bind_blob(&s, 3, NULL, 0);
		assert_int_equal(db_run(&s, &e), ERR_OK);
	}
	{
		AUTO(db_stmt_done)
		struct db_stmt s = db_sql(db, "SELECT name, size, data FROM t ORDER BY id");

		assert_int_equal(db_step(&s, &row, &e), ERR_OK);
		assert_true(row && str_eq(db_text(&s, 0), STR("abc")) && db_i64(&s, 1) == 3);
		db_blob_copy(&s, 2, copy, sizeof copy);
		assert_memory_equal(copy, "abc", 3);
		assert_int_equal(db_step(&s, &row, &e), ERR_OK);
		assert_true(row && str_eq(db_text(&s, 0), STR("a\0b'; DROP TABLE t")));
		assert_true(db_i64(&s, 1) == INT64_MIN && db_is_null(&s, 2));
		assert_int_equal(db_step(&s, &row, &e), ERR_OK);
		assert_true(row && db_text(&s, 0).n == 0 && db_i64(&s, 1) == INT64_MAX);
		assert_true(!db_is_null(&s, 2) && db_blob(&s, 2).n == 0);
		assert_int_equal(db_step(&s, &row, &e), ERR_OK);
		assert_false(row);
		assert_int_equal(db_step(&s, &row, &e), ERR_OK);
		assert_false(row); /* the end stays the end */
	}
	db_close(db);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	db_close(NULL);
}

static void wrong_types_are_told(void **state)
{
	static const struct {
		const char *says, *why;
	} rows[] = {
		{ "column name in database", "text read as a number" },
		{ "holds a number instead of text", "a number read as text" },
		{ "holds nothing instead of bytes", "NULL read as a blob" },
		{ "holds 3 bytes instead of 4", "a blob of another length" },
	};
	struct db *db = opened(&first_schema);

	(void)state;
	assert_int_equal(insert(db, "abc", NULL), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(db_stmt_done)
		struct db_stmt s = db_sql(db, "SELECT name, size, data, a FROM t");
		uint8_t four[4] = { 1, 1, 1, 1 }, zero[4] = { 0 };
		struct err e = { 0 };
		bool row;

		assert_int_equal(db_step(&s, &row, &e), ERR_OK);
		if (i == 0)
			assert_int_equal(db_i64(&s, 0), 0);
		else if (i == 1)
			assert_int_equal(db_text(&s, 1).n, 0);
		else if (i == 2)
			assert_int_equal(db_blob(&s, 3).n, 0);
		else
			db_blob_copy(&s, 2, four, sizeof four);
		if (i == 3)
			assert_memory_equal(four, zero, sizeof four);
		assert_int_equal(db_row_ok(&s, &e), ERR_CORRUPT);
		e = (struct err){ 0 };
		assert_int_equal(db_step(&s, &row, &e), ERR_CORRUPT); /* and it stays */
		assert_false(row);
		if (!strstr(e.msg, rows[i].says) || !strstr(e.msg, path))
			fail_msg("%s: %s", rows[i].why, e.msg);
	}
	db_close(db);
}

static void constraints(void **state)
{
	struct db *db = opened(&first_schema);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(insert(db, "abc", &e), ERR_OK);
	assert_int_equal(insert(db, "abc", &e), ERR_EXISTS);
	assert_string_equal(db_conflict(db), "t.name");
	assert_non_null(strstr(e.msg, "t.name"));
	{
		AUTO(db_stmt_done)
		struct db_stmt s = db_sql(db, "INSERT INTO t (id, name) VALUES (1, 'x')");
		assert_int_equal(db_run(&s, &e), ERR_EXISTS);
		assert_string_equal(db_conflict(db), "t.id");
	}
	{
		AUTO(db_stmt_done)
		struct db_stmt s = db_sql(db, "INSERT INTO t (name, a) VALUES ('y', ?1)");
		db_bind_i64(&s, 1, 100);
		assert_int_equal(db_run(&s, &e), ERR_INVALID);
		db_bind_i64(&s, 1, 99);
		assert_int_equal(db_run(&s, &e), ERR_OK);
	}
	{
		AUTO(db_stmt_done)
		struct db_stmt s = db_sql(db, "INSERT INTO child (t_id) VALUES (?1)");
		db_bind_i64(&s, 1, 77);
		assert_int_equal(db_run(&s, &e), ERR_INVALID); /* foreign keys are on */
		db_bind_i64(&s, 1, 1);
		assert_int_equal(db_run(&s, &e), ERR_OK);
	}
	{
		AUTO(db_stmt_done)
		struct db_stmt s = db_sql(db, "INSERT INTO t (name) VALUES (?1)");
		assert_int_equal(db_run(&s, &e), ERR_INVALID); /* NULL */
	}
	{
		AUTO(db_stmt_done) struct db_stmt s = db_sql(db, "SELECT x FROM nowhere");
		bool row;

		db_bind_i64(&s, 1, 1); /* a statement that is none takes it all */
		db_reset(&s);
		assert_int_equal(db_i64(&s, 0), 0);
		assert_int_equal(db_step(&s, &row, &e), ERR_IO);
		if (!strstr(e.msg, "nowhere"))
			fail_msg("%s", e.msg);
	}
	db_close(db);
}

static void transactions(void **state)
{
	struct db *db = opened(&first_schema);
	struct db *other = opened(&first_schema);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(db_begin(db, &e), ERR_OK);
	assert_true(db_in_transaction(db));
	assert_int_equal(insert(db, "a", &e), ERR_OK);
	assert_int_equal(count(db), 1);
	assert_int_equal(count(other), 0);
	db_rollback(db);
	db_rollback(db);
	assert_false(db_in_transaction(db));
	assert_int_equal(count(db), 0);
	assert_int_equal(db_begin(db, &e), ERR_OK);
	assert_int_equal(insert(db, "a", &e), ERR_OK);
	assert_int_equal(insert(db, "a", &e), ERR_EXISTS); /* undoes this one only */
	assert_int_equal(db_commit(db, &e), ERR_OK);
	assert_false(db_in_transaction(db));
	assert_int_equal(count(other), 1);
	assert_int_equal(db_begin(db, &e), ERR_OK);
	assert_int_equal(insert(db, "b", &e), ERR_OK);
	db_close(db); /* forgets it */
	assert_int_equal(count(other), 1);
	db_close(other);
}

static void statement_run(struct db_stmt s)
{
	struct err e = { 0 };

	if (db_run(&s, &e))
		fail_msg("%s", e.msg);
	db_stmt_done(&s);
}

/* A part of a transaction that touches many pages needs no file of its own: where processes are confined
 * there is no place for one. */
static void a_part_needs_no_file(void **state)
{
	struct db *db = opened(&first_schema);
	struct rlimit before, none;
	struct err e = { 0 };
	char name[8];
	int fd;

	(void)state;
	assert_int_equal(db_begin(db, &e), ERR_OK);
	for (int i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof name, "%d", i);
		assert_int_equal(insert(db, name, &e), ERR_OK);
	}
	statement_run(db_sql(db, "UPDATE t SET data = zeroblob(8000)"));
	assert_int_equal(db_commit(db, &e), ERR_OK);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = (struct rlimit){ (rlim_t)fd, before.rlim_max };
	(void)close(fd);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(db_begin(db, &e), ERR_OK);
	statement_run(db_sql(db, "SAVEPOINT part"));
	statement_run(db_sql(db, "UPDATE t SET data = randomblob(8000)"));
	statement_run(db_sql(db, "ROLLBACK TO part"));
	statement_run(db_sql(db, "RELEASE part"));
	assert_int_equal(db_commit(db, &e), ERR_OK);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	db_close(db);
}

static void statements_are_kept_and_nest(void **state)
{
	struct db *db = opened(&first_schema);
	struct db_stmt a, b;
	struct db_cached *kept;
	bool row;

	(void)state;
	assert_int_equal(insert(db, "x", NULL), ERR_OK);
	a = db_sql(db, "SELECT id FROM t");
	b = db_sql(db, "SELECT id FROM t"); /* the same one while the first is in use */
	assert_ptr_not_equal(a.c, b.c);
	assert_int_equal(db_step(&a, &row, NULL), ERR_OK);
	assert_true(row);
	assert_int_equal(db_step(&b, &row, NULL), ERR_OK);
	assert_true(row);
	kept = a.c;
	db_stmt_done(&a);
	db_stmt_done(&a);
	a = db_sql(db, "SELECT id FROM t");
	assert_ptr_equal(a.c, kept);
	db_stmt_done(&a);
	db_stmt_done(&b);
	db_close(db);
}

static void migrations(void **state)
{
	static const char *const broken[] = {
		"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
		"CREATE TABLE u (id INTEGER); INSERT INTO t (name) VALUES ('x'); SELECT bad",
	};
	static const char *const dangling[] = {
		"CREATE TABLE p (id INTEGER PRIMARY KEY);"
		"CREATE TABLE c (p INTEGER REFERENCES p (id)); INSERT INTO c VALUES (5)",
	};
	const struct db_schema broken_schema = { 0x716e6174, broken, 2 };
	const struct db_schema dangling_schema = { 0x716e6174, dangling, 1 };
	const struct db_schema foreign = { 0x11111111, steps, ARRAY_LEN(steps) };
	struct db *db = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(db_open(&db, path, &dangling_schema, 0, &e), ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "table c"));
	assert_int_equal(db_open(&db, path, &broken_schema, 0, &e), ERR_IO);
	assert_non_null(strstr(e.msg, "version 2"));
	assert_null(db);
	db = opened((const struct db_schema[]){ { 0x716e6174, broken, 1 } });
	assert_int_equal(count(db), 0); /* nothing of the broken step is left */
	db_close(db);
	assert_int_equal(unlink(path), 0);

	db_close(opened(&first_schema));
	db = NULL;
	assert_int_equal(db_open(&db, path, &schema, DB_READ_ONLY, &e), ERR_UNSUPPORTED);
	db = opened(&schema);
	assert_int_equal(count(db), 1);
	db_close(db);
	db = opened(&schema); /* once only */
	assert_int_equal(count(db), 1);
	db_close(db);
	db = NULL;
	assert_int_equal(db_open(&db, path, &first_schema, 0, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.msg, "version 2"));
	assert_non_null(strstr(e.msg, path));
	assert_int_equal(db_open(&db, path, &foreign, 0, &e), ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "another program"));
	assert_null(db);
	assert_int_equal(db_open(&db, path, &schema, DB_READ_ONLY, &e), ERR_OK);
	assert_int_equal(count(db), 1);
	assert_int_equal(insert(db, "x", &e), ERR_DENIED);
	db_close(db);
}

/* Overwrites `n` bytes at `at` of the closed database file. */
static void damage(off_t at, const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	fd_close(fd);
}

static void damaged_files(void **state)
{
	static const struct {
		off_t at;
		const char *bytes;
		const char *says, *why;
	} rows[] = {
		{ 0, "no such header", "not a database", "the magic is gone" },
		{ 4096, "\xff\xff\xff\xff\xff\xff\xff\xff", "damaged", "a table's page header" },
		{ 100, "\xff\xff\xff\xff", "damaged", "the schema's page header" },
	};
	struct stat st;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct db *db = opened(&schema);
		struct err e = { 0 };
		char name[32];

		for (int j = 0; j < 200; j++) {
			int n = snprintf(name, sizeof name, "name %d", j);

			assert_true(n > 0);
			assert_int_equal(insert(db, name, &e), ERR_OK);
		}
		db_close(db);
		db = NULL;
		damage(rows[i].at, rows[i].bytes, strlen(rows[i].bytes));
		if (db_open(&db, path, &schema, 0, &e) != ERR_CORRUPT || db ||
		    !strstr(e.msg, rows[i].says) || !strstr(e.msg, path))
			fail_msg("%s: %s", rows[i].why, e.msg);
		assert_int_equal(unlink(path), 0);
		file_remove("-wal");
		file_remove("-shm");
	}
	db_close(opened(&schema));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size / 2), 0);
	{
		struct db *db = NULL;
		struct err e = { 0 };

		assert_int_equal(db_open(&db, path, &schema, 0, &e), ERR_CORRUPT);
		assert_non_null(strstr(e.msg, path));
	}
}

static void places_that_do_not_work(void **state)
{
	struct db *db = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(db_open(&db, "/nonexistent/x/test.db", &schema, 0, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "/nonexistent/x/test.db"));
	assert_int_equal(db_open(&db, dir, &schema, 0, &e), ERR_IO);
	assert_non_null(strstr(e.msg, dir));
	e = (struct err){ 0 };
	assert_int_equal(db_open(&db, path, &schema, DB_READ_ONLY, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, path));
	assert_null(db);
}

static void held_by_another(void **state)
{
	struct db *db = opened(&schema), *other = opened(&schema);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(db_begin(db, &e), ERR_OK);
	assert_int_equal(db_begin(other, &e), ERR_IN_USE); /* after DB_BUSY_MS */
	assert_non_null(strstr(e.msg, path));
	assert_false(db_in_transaction(other));
	db_rollback(db);
	db_close(db);
	db_close(other);
}

/* ---- what needs a file system of its own ---- */

static int fill_the_disk(void)
{
	struct db *db = NULL;
	struct err e = { 0 };
	char name[4096];
	int64_t before;
	int i, rc = 0;

	CHILD_CHECK(!db_open(&db, path, &schema, 0, &e));
	CHILD_CHECK(!insert(db, "first", &e));
	before = count(db);
	CHILD_CHECK(!db_begin(db, &e));
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	for (i = 0; i < 1000 && !rc; i++) {
		name[0] = (char)('0' + i / 100 % 10);
		name[1] = (char)('0' + i / 10 % 10);
		name[2] = (char)('0' + i % 10);
		rc = (int)insert(db, name, &e);
	}
	if (!rc)
		rc = (int)db_commit(db, &e);
	CHILD_CHECK(rc == ERR_IO && e.sys == ENOSPC && strstr(e.msg, path));
	if (db_in_transaction(db)) {
		/* Whoever does not notice must not get a half committed. */
		struct err again = { 0 };

		CHILD_CHECK(insert(db, "more", &again) != ERR_OK || db_in_transaction(db));
		CHILD_CHECK(db_commit(db, &again) != ERR_OK);
	}
	CHILD_CHECK(count(db) == before);
	db_close(db);
	db = NULL;
	CHILD_CHECK(!db_open(&db, path, &schema, 0, &e));
	CHILD_CHECK(count(db) == before);
	CHILD_CHECK(!insert(db, "small", &e)); /* the room was given back */
	db_close(db);
	return 0;
}

static void full_disk(void **state)
{
	(void)state;
	small_disk(dir, fill_the_disk);
}

static int open_on_full_disk(void)
{
	static char block[4096];
	char filler[128];
	struct db *db = NULL;
	struct err e = { 0 };
	int fd, n;

	n = snprintf(filler, sizeof filler, "%s/filler", dir);
	CHILD_CHECK(n > 0);
	fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHILD_CHECK(fd >= 0);
	while (write(fd, block, sizeof block) > 0)
		;
	CHILD_CHECK(db_open(&db, path, &schema, 0, &e) == ERR_IO && !db);
	CHILD_CHECK(e.sys == ENOSPC && strstr(e.msg, path));
	CHILD_CHECK(!ftruncate(fd, 0));
	CHILD_CHECK(!db_open(&db, path, &schema, 0, &e));
	CHILD_CHECK(count(db) == 1);
	db_close(db);
	fd_close(fd);
	return 0;
}

static void full_disk_at_start(void **state)
{
	(void)state;
	small_disk(dir, open_on_full_disk);
}

static int open_read_only(void)
{
	struct db *db = NULL;
	struct err e = { 0 };

	CHILD_CHECK(!db_open(&db, path, &schema, 0, &e));
	db_close(db);
	db = NULL;
	if (mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return SMALL_DISK_SKIP;
	CHILD_CHECK(db_open(&db, path, &schema, 0, &e) == ERR_DENIED && !db);
	CHILD_CHECK(strstr(e.msg, path) && strstr(e.msg, "read-only"));
	return 0;
}

static void read_only_disk(void **state)
{
	(void)state;
	small_disk(dir, open_read_only);
}

/* Root may write anywhere, so another user tries. */
static int open_without_rights(void)
{
	struct db *db = NULL;
	struct err e = { 0 };

	CHILD_CHECK(!db_open(&db, path, &schema, 0, &e));
	db_close(db);
	db = NULL;
	CHILD_CHECK(!chmod(dir, 0755));
	if (geteuid() == 0 && setuid(65534) < 0)
		return SMALL_DISK_SKIP;
	CHILD_CHECK(db_open(&db, path, &schema, 0, &e) == ERR_DENIED && !db);
	CHILD_CHECK(strstr(e.msg, path));
	return 0;
}

static void file_of_another_user(void **state)
{
	(void)state;
	small_disk(dir, open_without_rights);
}

static int open_in_read_only_directory(void)
{
	struct db *db = NULL;
	struct err e = { 0 };

	CHILD_CHECK(!db_open(&db, path, &schema, 0, &e));
	db_close(db);
	db = NULL;
	CHILD_CHECK(!chmod(dir, 0555) && !chmod(path, 0666));
	if (geteuid() == 0 && setuid(65534) < 0)
		return SMALL_DISK_SKIP;
	/* The file could be written, but its log not made. */
	CHILD_CHECK(db_open(&db, path, &schema, 0, &e) == ERR_DENIED && !db);
	CHILD_CHECK(strstr(e.msg, path));
	return 0;
}

static void read_only_directory(void **state)
{
	(void)state;
	small_disk(dir, open_in_read_only_directory);
}

/* ---- failures put in on purpose ---- */

#ifdef QANAT_FAULT_POINTS
static enum err_code faulty(struct db *db, const char *point, struct err *e)
{
	enum err_code rc;

	assert_int_equal(setenv("QANAT_FAULT", point, 1), 0);
	fault_reload();
	rc = db_begin(db, e);
	if (!rc)
		rc = insert(db, point, e);
	if (!rc)
		rc = insert(db, "second", e);
	if (rc)
		db_rollback(db);
	else
		rc = db_commit(db, e);
	assert_int_equal(unsetenv("QANAT_FAULT"), 0);
	fault_reload();
	return rc;
}

static void faults(void **state)
{
	static const char *const points[] = { "db.begin", "db.write", "db.write:2", "db.commit" };
	struct db *db;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(setenv("QANAT_FAULT", "db.migrate:2", 1), 0);
	fault_reload();
	db = NULL;
	assert_int_equal(db_open(&db, path, &schema, 0, &e), ERR_IO);
	assert_null(db);
	assert_int_equal(unsetenv("QANAT_FAULT"), 0);
	fault_reload();
	db = opened(&schema);
	assert_int_equal(count(db), 1);
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		if (faulty(db, points[i], &e) != ERR_IO || db_in_transaction(db) || count(db) != 1)
			fail_msg("%s: %s", points[i], e.msg);
		assert_non_null(strstr(e.msg, path));
	}
	assert_int_equal(faulty(db, "no.such_point", &e), ERR_OK);
	assert_int_equal(count(db), 3);
	db_close(db);
}
#else
static void faults(void **state)
{
	(void)state;
	print_message("skipped: needs a build with -Dfault_points=true\n");
	skip();
}
#endif

/* Dies behind two rows, before or after the commit. */
static int die_in_transaction(bool commit)
{
	struct db *db = NULL;
	struct err e = { 0 };

	CHILD_CHECK(!db_open(&db, path, &schema, 0, &e) && !db_begin(db, &e));
	CHILD_CHECK(!insert(db, "a", &e) && !insert(db, "b", &e));
	if (commit)
		CHILD_CHECK(!db_commit(db, &e));
	(void)kill(getpid(), SIGKILL);
	return 1;
}

static void killed(void **state)
{
	(void)state;
	for (int commit = 0; commit < 2; commit++) {
		struct db *db;
		pid_t child = fork();
		int status;

		assert_true(child >= 0);
		if (child == 0)
			_exit(die_in_transaction(commit));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		db = opened(&schema);
		assert_int_equal(count(db), commit ? 3 : 1); /* one is of the migration */
		db_close(db);
	}
}

#define PLACED(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACED(values_come_back),
		PLACED(wrong_types_are_told),
		PLACED(constraints),
		PLACED(transactions),
		PLACED(a_part_needs_no_file),
		PLACED(statements_are_kept_and_nest),
		PLACED(migrations),
		PLACED(damaged_files),
		PLACED(places_that_do_not_work),
		PLACED(held_by_another),
		PLACED(full_disk),
		PLACED(full_disk_at_start),
		PLACED(read_only_disk),
		PLACED(file_of_another_user),
		PLACED(read_only_directory),
		PLACED(faults),
		PLACED(killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
