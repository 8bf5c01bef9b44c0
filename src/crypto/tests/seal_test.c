#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/fs.h"
#include "crypto/seal.h"

#define KEY_FILE_LEN 40
#define SECRET "a secret of some length"

struct place {
	char dir[64];
	char key[96];
};

static int place_make(void **state)
{
	static struct place p;
	int n;

	memset(&p, 0, sizeof p);
	n = snprintf(p.dir, sizeof p.dir, "/tmp/qanat-seal-XXXXXX");
	if (n < 0 || !mkdtemp(p.dir))
		return -1;
	n = snprintf(p.key, sizeof p.key, "%s/key", p.dir);
	*state = &p;
	return n < 0 ? -1 : 0;
}

static int place_remove(void **state)
{
	const struct place *p = *state;

	unlink(p->key);
	return rmdir(p->dir); /* fails when a temporary file was left behind */
}

static void file_write(const char *path, const void *data, size_t n, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, data, n), n);
	fd_close(fd);
}

static void made_and_read_again(void **state)
{
	const struct place *p = *state;
	struct seal_key *a = NULL, *b = NULL;
	uint8_t sealed[sizeof SECRET + SEAL_OVERHEAD], out[sizeof SECRET];
	struct err e = { 0 };
	struct stat st;

	assert_int_equal(seal_key_open(&a, p->key, false, &e), ERR_NOT_FOUND);
	assert_null(a);
	assert_non_null(strstr(e.msg, p->key));
	assert_int_equal(seal_key_open(&a, p->key, true, &e), ERR_OK);
	assert_int_equal(stat(p->key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, KEY_FILE_LEN);
	seal(a, sealed, SECRET, sizeof SECRET, STR("client/7/private_key"));
	seal_key_close(a);
	assert_int_equal(seal_key_open(&b, p->key, true, &e), ERR_OK);
	assert_int_equal(unseal(b, out, sealed, sizeof sealed, STR("client/7/private_key"), &e),
			 ERR_OK);
	assert_memory_equal(out, SECRET, sizeof SECRET);
	seal_key_close(b);
	seal_key_close(NULL);
}

static void bad_files(void **state)
{
	static const struct {
		const char *head; /* 8 bytes */
		size_t len;
		mode_t mode;
		enum err_code want;
		const char *says, *why;
	} rows[] = {
		{ "qanatkf\1", 40, 0600, ERR_OK, "", "what it should be" },
		{ "qanatkf\1", 40, 0400, ERR_OK, "", "read-only for us is fine" },
		{ "qanatkf\1", 40, 0640, ERR_DENIED, "0640", "the group may read" },
		{ "qanatkf\1", 40, 0604, ERR_DENIED, "0604", "others may read" },
		{ "qanatkf\1", 40, 0602, ERR_DENIED, "chmod 600", "others may write" },
		{ "qanatkf\1", 39, 0600, ERR_CORRUPT, "39 bytes", "a byte short" },
		{ "qanatkf\1", 41, 0600, ERR_CORRUPT, "41 bytes", "a byte long" },
		{ "qanatkf\1", 0, 0600, ERR_CORRUPT, "0 bytes", "empty" },
		{ "qanatkf\2", 40, 0600, ERR_UNSUPPORTED, "form 2", "a later form" },
		{ "qanatkg\1", 40, 0600, ERR_CORRUPT, "not a Qanat key", "another magic" },
	};
	const struct place *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t data[64] = { 0 };
		struct seal_key *k = NULL;
		struct err e = { 0 };

		memcpy(data, rows[i].head, 8);
		file_write(p->key, data, rows[i].len, rows[i].mode);
		if (seal_key_open(&k, p->key, true, &e) != rows[i].want ||
		    (k != NULL) != !rows[i].want ||
		    (rows[i].want && (!strstr(e.msg, rows[i].says) || !strstr(e.msg, p->key))))
			fail_msg("%s: %s", rows[i].why, e.msg);
		seal_key_close(k);
		unlink(p->key);
	}
}

static void other_kinds_of_file(void **state)
{
	const struct place *p = *state;
	struct seal_key *k = NULL;
	struct err e = { 0 };

	assert_int_equal(symlink("/dev/null", p->key), 0);
	assert_int_equal(seal_key_open(&k, p->key, true, &e), ERR_INVALID);
	assert_int_equal(unlink(p->key), 0);
	assert_int_equal(mkfifo(p->key, 0600), 0); /* must not wait for a writer */
	assert_int_equal(seal_key_open(&k, p->key, true, &e), ERR_INVALID);
	assert_int_equal(unlink(p->key), 0);
	assert_int_equal(mkdir(p->key, 0700), 0);
	assert_int_equal(seal_key_open(&k, p->key, true, &e), ERR_INVALID);
	assert_int_equal(rmdir(p->key), 0);
	assert_int_equal(seal_key_open(&k, "/nonexistent/dir/key", true, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "/nonexistent/dir/key"));
	assert_null(k);
}

static void foreign_owner(void **state)
{
	const struct place *p = *state;
	uint8_t data[KEY_FILE_LEN] = "qanatkf\1";
	struct seal_key *k = NULL;
	struct err e = { 0 };

	if (geteuid() != 0) {
		print_message("skipped: only root can give a file away\n");
		skip();
	}
	file_write(p->key, data, sizeof data, 0600);
	assert_int_equal(chown(p->key, 12345, 0), 0);
	assert_int_equal(seal_key_open(&k, p->key, true, &e), ERR_DENIED);
	assert_non_null(strstr(e.msg, "12345"));
	assert_null(k);
}

static void altered(void **state)
{
	const struct place *p = *state;
	uint8_t sealed[sizeof SECRET + SEAL_OVERHEAD], out[sizeof SECRET];
	struct seal_key *k = NULL;
	struct err e = { 0 };

	assert_int_equal(seal_key_open(&k, p->key, true, &e), ERR_OK);
	seal(k, sealed, SECRET, sizeof SECRET, STR("a/b"));
	for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(unseal(k, out, sealed, sizeof sealed, STR("a/b"), &e),
				 ERR_CORRUPT);
		assert_non_null(strstr(e.msg, "a/b"));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t n = 0; n < sizeof sealed; n++)
		assert_int_equal(unseal(k, out, sealed, n, STR("a/b"), &e), ERR_CORRUPT);
	assert_int_equal(unseal(k, out, sealed, sizeof sealed, STR("a/c"), &e), ERR_CORRUPT);
	assert_int_equal(unseal(k, out, sealed, sizeof sealed, STR(""), &e), ERR_CORRUPT);
	assert_int_equal(unseal(k, out, sealed, sizeof sealed, STR("a/b"), &e), ERR_OK);
	seal_key_close(k);
}

static void never_twice_the_same(void **state)
{
	const struct place *p = *state;
	uint8_t a[1 + SEAL_OVERHEAD], b[1 + SEAL_OVERHEAD], none[SEAL_OVERHEAD], out[1];
	struct seal_key *k = NULL, *other = NULL;
	struct err e = { 0 };

	assert_int_equal(seal_key_open(&k, p->key, true, &e), ERR_OK);
	seal(k, a, "x", 1, STR("l"));
	seal(k, b, "x", 1, STR("l"));
	assert_memory_not_equal(a, b, sizeof a);
	seal(k, none, NULL, 0, STR("l"));
	assert_int_equal(unseal(k, out, none, sizeof none, STR("l"), &e), ERR_OK);
	unlink(p->key);
	assert_int_equal(seal_key_open(&other, p->key, true, &e), ERR_OK);
	assert_int_equal(unseal(other, out, a, sizeof a, STR("l"), &e), ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "another key file"));
	seal_key_close(other);
	seal_key_close(k);
}

#ifdef QANAT_FAULT_POINTS
static void a_failed_write_leaves_nothing(void **state)
{
	const struct place *p = *state;
	struct seal_key *k = NULL;
	struct err e = { 0 };

	assert_int_equal(setenv("QANAT_FAULT", "seal.key_write", 1), 0);
	fault_reload();
	assert_int_equal(seal_key_open(&k, p->key, true, &e), ERR_IO);
	assert_int_equal(e.sys, ENOSPC);
	assert_null(k);
	assert_int_equal(access(p->key, F_OK), -1); /* and place_remove sees no other file */
	assert_int_equal(seal_key_open(&k, p->key, true, &e), ERR_OK);
	seal_key_close(k);
	assert_int_equal(unsetenv("QANAT_FAULT"), 0);
	fault_reload();
}
#else
static void a_failed_write_leaves_nothing(void **state)
{
	(void)state;
	print_message("skipped: needs a build with -Dfault_points=true\n");
	skip();
}
#endif

static int setup(void **state)
{
	(void)state;
	return crypto_init() ? 0 : -1;
}

#define PLACED(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACED(made_and_read_again),
		PLACED(bad_files),
		PLACED(other_kinds_of_file),
		PLACED(foreign_owner),
		PLACED(altered),
		PLACED(never_twice_the_same),
		PLACED(a_failed_write_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
