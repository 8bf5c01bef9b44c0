/* Opening, settings, secrets, and what fails: disks, locks, other keys. */
#include "store/tests/place.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/tests/small_disk.h"
#include "store/inside.h"
#include "store/schema.h"

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* ---- opening ---- */

static void makes_a_private_directory(void **state)
{
	static const char *const files[] = { STORE_FILE, STORE_KEY_FILE, "store.lock" };
	struct store *s = place_opened();
	char path[PATH_MAX];

	(void)state;
	assert_int_equal(mode_of(place_dir), 0700);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		place_path(path, files[i]);
		assert_int_equal(mode_of(path), 0600);
	}
	store_close(s);
	store_close(NULL);
}

static void one_process_at_a_time(void **state)
{
	struct store *s = place_opened(), *other = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(store_open(&other, place_dir, &e), ERR_IN_USE);
	assert_null(other);
	assert_non_null(strstr(e.msg, place_dir));
	store_close(s);
	s = place_opened(); /* the lock has gone with its holder */
	store_close(s);
}

/* Killed while it starts a program: that one holds the lock until it has been loaded. */
static void waits_for_a_lock_that_goes(void **state)
{
	struct store *s = place_opened();
	int hold[2];
	char c;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(hold[1]);
		(void)!read(hold[0], &c, 1); /* until the parent has begun to open */
		(void)usleep(50000);
		_exit(0);
	}
	(void)close(hold[0]);
	store_close(s);
	(void)close(hold[1]);
	s = place_opened();
	store_close(s);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void refuses_a_directory_that_others_write_in(void **state)
{
	struct store *s = NULL;
	struct err e = { 0 };

	(void)state;
	store_close(place_opened());
	assert_int_equal(chmod(place_dir, 0770), 0);
	assert_int_equal(store_open(&s, place_dir, &e), ERR_DENIED);
	assert_non_null(strstr(e.msg, "chmod go-w"));
	assert_int_equal(chmod(place_dir, 0755), 0); /* others may look at the names */
	store_close(place_opened());
}

static void refuses_an_old_database_without_its_key(void **state)
{
	struct store *s = place_opened();
	struct err e = { 0 };
	char key[PATH_MAX];

	(void)state;
	client_add(s, "alice", 2);
	store_close(s);
	s = NULL;
	place_path(key, STORE_KEY_FILE);
	assert_int_equal(unlink(key), 0);
	assert_int_equal(store_open(&s, place_dir, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, key));
	assert_int_equal(access(key, F_OK), -1); /* and made none that would open nothing */
}

static void says_that_another_key_opens_nothing(void **state)
{
	struct store *s = place_opened();
	struct client c = { 0 };
	struct err e = { 0 };
	char key[PATH_MAX], db[PATH_MAX], aside[PATH_MAX];

	(void)state;
	client_add(s, "alice", 2);
	store_close(s);
	place_path(key, STORE_KEY_FILE);
	place_path(db, STORE_FILE);
	place_path(aside, "aside");
	assert_int_equal(unlink(key), 0);
	assert_int_equal(rename(db, aside), 0);
	store_close(place_opened()); /* a new key with a new database */
	assert_int_equal(rename(aside, db), 0);
	s = place_opened();
	assert_int_equal(store_client_by_name(s, STR("alice"), &c, &e), ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "alice"));
	assert_true(ct_is_zero(&c.private_key, sizeof c.private_key));
	store_close(s);
}

static void refuses_a_corrupt_database(void **state)
{
	static const struct {
		off_t at;
		const char *why;
	} rows[] = { { 0, "the header" }, { 4096, "a page" } };
	static const char junk[4096] = "not a database at all, not a database at all";
	char path[PATH_MAX];

	(void)state;
	place_path(path, STORE_FILE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct store *s = place_opened();
		struct err e = { 0 };
		int fd;

		client_add(s, "alice", 2);
		store_close(s);
		s = NULL;
		fd = open(path, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(pwrite(fd, junk, sizeof junk, rows[i].at), sizeof junk);
		close(fd);
		if (store_open(&s, place_dir, &e) != ERR_CORRUPT)
			fail_msg("%s: %s", rows[i].why, e.msg);
		assert_non_null(strstr(e.msg, path));
		assert_int_equal(unlink(path), 0);
	}
}

/* The database of a gateway of before endpoints were kept. */
static void takes_over_a_store_of_version_1(void **state)
{
	struct db_schema old = store_schema;
	struct db *db = NULL;
	char path[PATH_MAX];
	struct store *s = place_opened();
	struct err e = { 0 };

	(void)state;
	store_close(s); /* for the key */
	place_path(path, STORE_FILE);
	assert_int_equal(unlink(path), 0);
	old.n = 1;
	assert_int_equal(db_open(&db, path, &old, 0, &e), ERR_OK);
	{
		AUTO(db_stmt_done)
		struct db_stmt st =
			db_sql(db, "INSERT INTO clients (name, ip, public_key, private_key, psk, "
				   "created_ns, enabled) VALUES ('old', 168296450, zeroblob(32), "
				   "zeroblob(77), zeroblob(77), 5, 1)");

		assert_int_equal(db_run(&st, &e), ERR_OK);
	}
	db_close(db);
	s = place_opened();
	assert_int_equal(client_count(s), 1);
	client_add(s, "new", 3);
	store_close(s);
	assert_int_equal(db_open(&db, path, &old, 0, &e), ERR_UNSUPPORTED); /* no way back */
}

/* ---- settings and secrets ---- */

static void keeps_settings(void **state)
{
	static char big[STORE_VALUE_MAX + 1];
	struct store *s = place_opened();
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	memset(big, 'x', sizeof big);
	assert_int_equal(store_setting(s, "network", &b, &e), ERR_NOT_FOUND);
	assert_int_equal(store_set_setting(s, "network", STR("10.8.0.0/24"), &e), ERR_OK);
	assert_int_equal(store_set_setting(s, "network", STR("10.9.0.0/24"), &e), ERR_OK);
	assert_int_equal(store_set_setting(s, "empty", STR(""), &e), ERR_OK);
	assert_int_equal(store_set_setting(s, "big", (struct str){ big, STORE_VALUE_MAX }, &e),
			 ERR_OK);
	assert_int_equal(store_set_setting(s, "big", (struct str){ big, sizeof big }, &e),
			 ERR_RANGE);
	store_close(s);

	s = place_opened();
	assert_int_equal(store_setting(s, "network", &b, &e), ERR_OK);
	assert_string_equal(b.p, "10.9.0.0/24");
	buf_clear(&b);
	assert_int_equal(store_setting(s, "empty", &b, &e), ERR_OK);
	assert_int_equal(b.n, 0);
	assert_int_equal(store_setting(s, "big", &b, &e), ERR_OK);
	assert_int_equal(b.n, STORE_VALUE_MAX);
	buf_done(&b);
	store_close(s);
}

static void keeps_secrets(void **state)
{
	struct store *s = place_opened();
	uint8_t in[KEY_LEN] = "thirty-two bytes of a secret....", out[KEY_LEN + 1] = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(store_secret(s, "k", out, KEY_LEN, &e), ERR_NOT_FOUND);
	assert_int_equal(store_set_secret(s, "k", in, KEY_LEN, &e), ERR_OK);
	assert_int_equal(store_set_secret(s, "k", in, 0, &e), ERR_RANGE);
	store_close(s);
	s = place_opened();
	assert_int_equal(store_secret(s, "k", out, KEY_LEN, &e), ERR_OK);
	assert_memory_equal(in, out, KEY_LEN);
	assert_int_equal(store_secret(s, "k", out, KEY_LEN + 1, &e), ERR_CORRUPT);
	store_close(s);
}

/* True when some file of the directory holds the bytes. */
static bool files_hold(const void *p, size_t n)
{
	DIR *d = opendir(place_dir);
	struct dirent *f;
	bool found = false;

	assert_non_null(d);
	while ((f = readdir(d)) != NULL) {
		struct buf b = { 0 };
		struct err e = { 0 };
		char path[PATH_MAX];

		if (f->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", place_dir, f->d_name);
		assert_int_equal(file_read(&b, path, 16u << 20, &e), ERR_OK);
		found = found || (b.n && memmem(b.p, b.n, p, n));
		buf_done(&b);
	}
	closedir(d);
	return found;
}

static void files_hold_no_secret(void **state)
{
	struct store *s = place_opened();
	struct client c = client_named("alice", 2);
	uint8_t key[KEY_LEN] = "a server key that is easily seen";
	struct err e = { 0 };
	char text[KEY_TEXT_MAX];

	(void)state;
	assert_int_equal(store_client_add(s, &c, &e), ERR_OK);
	assert_int_equal(store_set_secret(s, "server", key, sizeof key, &e), ERR_OK);
	for (int i = 0; i < 2; i++) { /* in the log, then in the database */
		assert_true(files_hold(c.public_key.b, KEY_LEN)); /* the search does find */
		assert_false(files_hold(c.private_key.b, KEY_LEN));
		assert_false(files_hold(c.psk.b, KEY_LEN));
		assert_false(files_hold(key, sizeof key));
		base64_encode(text, c.private_key.b, KEY_LEN);
		assert_false(files_hold(text, strlen(text)));
		base64_encode(text, c.psk.b, KEY_LEN);
		assert_false(files_hold(text, strlen(text)));
		store_close(s);
		s = NULL;
	}
	client_done(&c);
}

/* ---- failures ---- */

#ifdef QANAT_FAULT_POINTS

/* Each change of the story is whole or absent; *done counts those that were answered with ERR_OK. */
static enum err_code story(unsigned *done, struct err *e)
{
	struct store *s = NULL;
	struct client c = client_named("alice", 2), got = { 0 };
	enum err_code rc = store_open(&s, place_dir, e);

	*done = 0;
	if (rc == ERR_OK)
		rc = store_set_setting(s, "a", STR("1"), e);
	if (rc == ERR_OK)
		*done = 1;
	if (rc == ERR_OK)
		rc = store_begin(s, e);
	if (rc == ERR_OK)
		rc = store_client_add(s, &c, e);
	if (rc == ERR_OK)
		rc = store_set_setting(s, "a", STR("2"), e);
	if (rc == ERR_OK)
		rc = store_commit(s, e);
	if (rc == ERR_OK)
		*done = 2;
	else
		store_rollback(s);
	if (rc == ERR_OK)
		rc = store_client_by_name(s, STR("alice"), &got, e);
	if (rc == ERR_OK)
		rc = store_set_secret(s, "k", got.psk.b, KEY_LEN, e);
	if (rc == ERR_OK)
		*done = 3;
	if (rc == ERR_OK)
		rc = store_client_remove(s, got.id, e);
	if (rc == ERR_OK)
		*done = 4;
	client_done(&c);
	client_done(&got);
	store_close(s);
	return rc;
}

static void story_holds(unsigned done, const char *fault)
{
	struct store *s = place_opened();
	struct buf value = { 0 };
	uint8_t secret[KEY_LEN];
	struct err e = { 0 };
	enum err_code a = store_setting(s, "a", &value, &e);
	uint64_t clients = client_count(s);
	bool ok = true;

	if (done == 0)
		ok = a == ERR_NOT_FOUND && clients == 0;
	else if (done == 1)
		ok = a == ERR_OK && strcmp(value.p, "1") == 0 && clients == 0;
	else
		ok = a == ERR_OK && strcmp(value.p, "2") == 0 && clients == (done < 4);
	ok = ok && (store_secret(s, "k", secret, KEY_LEN, &e) == ERR_OK) == (done >= 3);
	if (!ok)
		fail_msg("%s: after %u changes there is a=%s and %u clients", fault, done,
			 buf_view(&value).p, (unsigned)clients);
	buf_done(&value);
	store_close(s);
}

/* Every failure that can be injected below, each at its first, second, ... passing. */
static void survives_each_failure(void **state)
{
	static const char *const points[] = { "db.begin",   "db.write",	  "db.commit",
					      "db.migrate", "store.read", "seal.key_write" };
	char fault[64];
	unsigned tried = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		for (unsigned k = 1;; k++) {
			struct err e = { 0 };
			unsigned done;
			enum err_code rc;

			(void)snprintf(fault, sizeof fault, "%s:%u", points[i], k);
			(void)setenv("QANAT_FAULT", fault, 1);
			fault_reload();
			rc = story(&done, &e);
			(void)unsetenv("QANAT_FAULT");
			fault_reload();
			if (rc)
				assert_true(e.msg[0]);
			story_holds(rc ? done : 4, fault);
			(void)place_remove(NULL);
			assert_int_equal(mkdir(place_base, 0700), 0);
			tried++;
			if (rc == ERR_OK)
				break; /* k is behind the last passing */
			assert_true(k < 100);
		}
	}
	print_message("%u runs\n", tried);
	assert_true(tried > 2 * ARRAY_LEN(points)); /* each point was met */
}

#else

static void survives_each_failure(void **state)
{
	(void)state;
	print_message("skipped: built without fault points\n");
	skip();
}

#endif

/* ---- what needs a file system of its own ---- */

static int read_only_steps(void)
{
	struct store *s = NULL;
	struct err e = { 0 };

	CHILD_CHECK(!store_open(&s, place_dir, &e));
	store_close(s);
	s = NULL;
	CHILD_CHECK(!mount(NULL, place_base, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	CHILD_CHECK(store_open(&s, place_dir, &e) == ERR_DENIED);
	CHILD_CHECK(!s && strstr(e.msg, place_dir) && strstr(e.msg, "read-only"));
	return 0;
}

static void says_that_a_directory_is_read_only(void **state)
{
	(void)state;
	small_disk(place_base, read_only_steps);
}

/* Adds until the disk is full: all that were answered are there, the others leave no trace. */
static int full_disk_steps(void)
{
	struct store *s = NULL;
	struct err e = { 0 };
	enum err_code rc = ERR_OK;
	uint64_t added = 0, total, enabled;
	char name[32];

	CHILD_CHECK(!store_open(&s, place_dir, &e));
	while (rc == ERR_OK && added < 5000) {
		struct client c;

		(void)snprintf(name, sizeof name, "client-%llu", (unsigned long long)added);
		c = client_named(name, 2);
		c.ip = ip_v4((const uint8_t[]){ 10, 8, (uint8_t)(added >> 8), (uint8_t)added });
		c.ip6 = (struct ip_addr){ 0 };
		rc = store_begin(s, &e);
		if (!rc)
			rc = store_client_add(s, &c, &e);
		if (!rc)
			rc = store_commit(s, &e);
		if (rc)
			store_rollback(s);
		else
			added++;
		client_done(&c);
	}
	CHILD_CHECK(rc == ERR_IO && added > 10 && strstr(e.msg, place_dir));
	CHILD_CHECK(!store_client_count(s, STR(""), &total, &enabled, &e) && total == added);
	store_close(s);
	s = NULL;
	CHILD_CHECK(!store_open(&s, place_dir, &e));
	CHILD_CHECK(!store_client_count(s, STR(""), &total, &enabled, &e) && total == added);
	store_close(s);
	return 0;
}

static void keeps_what_it_has_on_a_full_disk(void **state)
{
	(void)state;
	small_disk(place_base, full_disk_steps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(makes_a_private_directory),
		T(one_process_at_a_time),
		T(waits_for_a_lock_that_goes),
		T(refuses_a_directory_that_others_write_in),
		T(refuses_an_old_database_without_its_key),
		T(says_that_another_key_opens_nothing),
		T(refuses_a_corrupt_database),
		T(keeps_settings),
		T(keeps_secrets),
		T(files_hold_no_secret),
		T(takes_over_a_store_of_version_1),
		T(survives_each_failure),
		T(says_that_a_directory_is_read_only),
		T(keeps_what_it_has_on_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
