/* Listening at a path: modes, stale files, paths that are in use or too long. */
#include "io/unix_socket.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"

static char dir[64];
static char path[96];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/qanat-io-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/a.sock", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static void test_listen_and_connect(void **state)
{
	struct err e = { 0 };
	struct stat st;
	int a = -1, c = -1, s;
	char byte = 0;

	(void)state;
	umask(077);
	assert_int_equal(unix_listen(&a, path, 0666, &e), ERR_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666); /* whatever the umask says */
	assert_int_equal(unix_accept(a), -1); /* does not block */
	assert_int_equal(unix_connect(&c, path, 1000, &e), ERR_OK);
	s = unix_accept(a);
	assert_true(s >= 0);
	assert_true(fcntl(s, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(s, F_GETFD) & FD_CLOEXEC);
	assert_false(fcntl(c, F_GETFL) & O_NONBLOCK);
	assert_int_equal(write(s, "x", 1), 1);
	assert_int_equal(read(c, &byte, 1), 1);
	assert_int_equal(byte, 'x');
	fd_close(s);
	fd_close(c);
	fd_close(a);
	unlink(path);
}

static void test_stale_and_taken(void **state)
{
	struct err e = { 0 };
	int a = -1, b = -1;

	(void)state;
	assert_int_equal(unix_listen(&a, path, 0600, &e), ERR_OK);
	assert_int_equal(unix_listen(&b, path, 0600, &e), ERR_IN_USE);
	assert_non_null(strstr(e.msg, path));
	assert_int_equal(b, -1);
	fd_close(a); /* the file stays, and nobody answers */
	assert_int_equal(unix_connect(&b, path, 1000, &e), ERR_IO);
	assert_int_equal(unix_listen(&a, path, 0600, &e), ERR_OK);
	fd_close(a);
	unlink(path);
}

static void test_full_backlog_is_not_stale(void **state)
{
	struct err e = { 0 };
	int a = -1, b = -1;
	int c = -1;

	(void)state;
	assert_int_equal(unix_listen(&a, path, 0600, &e), ERR_OK);
	assert_int_equal(listen(a, 0), 0);
	assert_int_equal(unix_connect(&c, path, 1000, &e), ERR_OK); /* fills it */
	assert_int_equal(unix_listen(&b, path, 0600, &e), ERR_IN_USE);
	/* And who connects does not wait for ever. */
	assert_int_equal(unix_connect(&b, path, 20, &e), ERR_TIMEOUT);
	assert_non_null(strstr(e.msg, path));
	assert_int_equal(b, -1);
	fd_close(a);
	fd_close(c);
	unlink(path);
}

static void test_a_file_is_kept(void **state)
{
	struct err e = { 0 };
	int a = -1;
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	fd_close(fd);
	assert_int_equal(unix_listen(&a, path, 0600, &e), ERR_IN_USE);
	assert_non_null(strstr(e.msg, "not a socket"));
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void test_bad_paths(void **state)
{
	struct err e = { 0 };
	char longer[200];
	int a = -1;

	(void)state;
	memset(longer, 'a', sizeof longer - 1);
	longer[sizeof longer - 1] = 0;
	assert_int_equal(unix_listen(&a, longer, 0600, &e), ERR_RANGE);
	assert_int_equal(unix_connect(&a, longer, 1000, &e), ERR_RANGE);
	assert_int_equal(unix_listen(&a, "", 0600, &e), ERR_MISSING);
	assert_int_equal(unix_listen(&a, "/nowhere/at/all.sock", 0600, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "/nowhere/at/all.sock"));
	assert_int_equal(unix_connect(&a, path, 1000, &e), ERR_NOT_FOUND);
	assert_int_equal(a, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listen_and_connect),
		cmocka_unit_test(test_stale_and_taken),
		cmocka_unit_test(test_full_backlog_is_not_stale),
		cmocka_unit_test(test_a_file_is_kept),
		cmocka_unit_test(test_bad_paths),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
