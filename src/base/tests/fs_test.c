/* fs_test.c - reading, durable replacement with each step failed, and directories. */
#include "base/tests/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"

static char dir[] = "/tmp/qanat-fs-test-XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_all(void **state)
{
	static const char *const names[] = { "a",     "a.tmp",	  "big",    "big.tmp",
					     "link",  "link.tmp", "target", "sub/x/y",
					     "sub/x", "sub/open", "sub",    "file" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		(void)remove(path);
	}
	return rmdir(dir);
}

static const char *at(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void holds(const char *path, const char *want)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	assert_int_equal(file_read(&b, path, 1000, &e), ERR_OK);
	assert_true(str_eq(buf_view(&b), str_of(want)));
	buf_done(&b);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void replaces_whole(void **state)
{
	mode_t before = umask(077);
	struct err e = { 0 };
	int fd;

	(void)state;
	assert_int_equal(file_replace(at("a"), "one", 3, 0600, &e), ERR_OK);
	holds(at("a"), "one");
	assert_int_equal(mode_of(at("a")), 0600);
	assert_int_equal(file_replace(at("a"), "three", 5, 0644, &e), ERR_OK);
	holds(at("a"), "three");
	assert_int_equal(mode_of(at("a")), 0644); /* whatever the umask */
	assert_int_equal(access(at("a.tmp"), F_OK), -1);

	/* What a crash left under the other name gives it neither mode nor content. */
	fd = open(at("a.tmp"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0666), 0);
	fd_close(fd);
	assert_int_equal(file_replace(at("a"), "", 0, 0600, &e), ERR_OK);
	holds(at("a"), "");
	assert_int_equal(mode_of(at("a")), 0600);
	(void)umask(before);
}

static void replaces_a_link_itself(void **state)
{
	struct err e = { 0 };
	char target[128];

	(void)state;
	(void)snprintf(target, sizeof target, "%s", at("target"));
	assert_int_equal(file_replace(target, "keep", 4, 0600, &e), ERR_OK);
	assert_int_equal(symlink(target, at("link")), 0);
	assert_int_equal(file_replace(at("link"), "new", 3, 0600, &e), ERR_OK);
	holds(at("link"), "new");
	holds(target, "keep");
}

static void says_what_fails(void **state)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	char path[5000];

	(void)state;
	assert_int_equal(file_read(&b, at("absent"), 10, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, at("absent")));
	assert_int_equal(file_read(&b, dir, 10, &e), ERR_IO); /* a directory */
	assert_int_equal(file_replace(at("no/such"), "x", 1, 0600, &e), ERR_NOT_FOUND);
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = 0;
	assert_int_equal(file_replace(path, "x", 1, 0600, &e), ERR_IO);
	assert_int_equal(dir_make(path, 0700, &e), ERR_IO);
	buf_done(&b);
}

static void reads_up_to_its_limit(void **state)
{
	static char big[10000];
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	memset(big, 'x', sizeof big);
	assert_int_equal(file_replace(at("big"), big, sizeof big, 0600, &e), ERR_OK);
	assert_int_equal(file_read(&b, at("big"), sizeof big, &e), ERR_OK);
	assert_int_equal(b.n, sizeof big);
	buf_clear(&b);
	assert_int_equal(file_read(&b, at("big"), sizeof big - 1, &e), ERR_RANGE);
	buf_done(&b);
	b.limit = 5000;
	assert_int_equal(file_read(&b, at("big"), sizeof big, &e), ERR_NOMEM);
	buf_done(&b);
}

static void makes_directories(void **state)
{
	struct err e = { 0 };
	mode_t before;

	(void)state;
	assert_int_equal(dir_make(at("sub/x/y"), 0700, &e), ERR_OK);
	assert_int_equal(mode_of(at("sub/x")), 0700);
	before = umask(077);
	assert_int_equal(dir_make(at("sub/open"), 0755, &e), ERR_OK);
	umask(before);
	assert_int_equal(mode_of(at("sub/open")), 0755); /* whatever the umask */
	assert_int_equal(dir_make(at("sub/x/y/"), 0700, &e), ERR_OK); /* again */
	assert_int_equal(dir_make("/", 0700, &e), ERR_OK);
	assert_int_equal(file_replace(at("file"), "", 0, 0600, &e), ERR_OK);
	assert_int_equal(dir_make(at("file"), 0700, &e), ERR_EXISTS);
	assert_int_equal(dir_make(at("file/below"), 0700, &e), ERR_EXISTS);
	assert_int_equal(dir_make("", 0700, &e), ERR_INVALID);
}

static void handles_descriptors(void **state)
{
	struct err e = { 0 };
	int fds[2];

	(void)state;
	errno = EXDEV;
	fd_close(-1);
	fd_close(999999); /* not open: still no change of errno */
	assert_int_equal(errno, EXDEV);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fd_nonblock(fds[0], &e), ERR_OK);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	fd_done(&fds[0]);
	assert_int_equal(fds[0], -1);
	fd_done(&fds[0]);
	fd_close(fds[1]);
	assert_int_equal(fd_nonblock(-1, &e), ERR_IO);
}

static void opens_beneath(void **state)
{
	static const struct {
		const char *name;
		int sys; /* 0: it opens */
	} rows[] = {
		{ "b/c/file", 0 },
		{ "file", 0 },
		{ "b", 0 },
		{ ".", 0 },
		{ "./b/./c/file", 0 },
		{ "", ENOENT },
		{ "b/", ENOENT },
		{ "b//c", ENOENT },
		{ "/etc/passwd", EXDEV },
		{ "..", EXDEV },
		{ "b/../file", EXDEV },
		{ "b/..", EXDEV },
		{ "link", ELOOP },
		{ "dirlink/c", ELOOP },
		{ "b/dirlink/file", ELOOP },
		{ "file/x", ENOTDIR },
		{ "none/x", ENOENT },
		{ "b/none", ENOENT },
		{ "dirlink", ELOOP },
	};
	char longer[NAME_MAX + 2], root[] = "/tmp/qanat-beneath-XXXXXX";
	AUTO(fd_done) int top = -1, file = -1;

	(void)state;
	assert_non_null(mkdtemp(root));
	top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(top >= 0);
	assert_int_equal(mkdirat(top, "b", 0700), 0);
	assert_int_equal(mkdirat(top, "b/c", 0700), 0);
	file = openat(top, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(linkat(top, "file", top, "b/c/file", 0), 0);
	assert_int_equal(symlinkat("file", top, "link"), 0);
	assert_int_equal(symlinkat("b", top, "dirlink"), 0);
	assert_int_equal(symlinkat("c", top, "b/dirlink"), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = open_beneath(top, rows[i].name), sys = fd < 0 ? errno : 0;

		if (sys != rows[i].sys)
			fail_msg("%s: %s", rows[i].name, strerror(sys));
		fd_close(fd);
	}
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = 0;
	assert_int_equal(open_beneath(top, longer), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	for (const char *const *n = (const char *const[]){ "b/c/file", "b/dirlink", "dirlink",
							   "link", "file", NULL };
	     *n; n++)
		assert_int_equal(unlinkat(top, *n, 0), 0);
	assert_int_equal(unlinkat(top, "b/c", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(top, "b", AT_REMOVEDIR), 0);
	assert_int_equal(rmdir(root), 0);
}

#ifdef QANAT_FAULT_POINTS
static void fails_whole_at_each_step(void **state)
{
	static const struct {
		const char *fault, *left; /* what the file holds afterwards */
	} rows[] = {
		{ "file.write", "old" },
		{ "file.fsync", "old" },
		{ "file.rename", "old" },
		{ "file.fsync:2", "new" }, /* of the directory: after the rename */
	};
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(file_replace(at("a"), "old", 3, 0600, &e), ERR_OK);
		assert_int_equal(setenv("QANAT_FAULT", rows[i].fault, 1), 0);
		fault_reload();
		assert_int_equal(file_replace(at("a"), "new", 3, 0600, &e), ERR_IO);
		assert_int_equal(unsetenv("QANAT_FAULT"), 0);
		fault_reload();
		holds(at("a"), rows[i].left);
		assert_int_equal(access(at("a.tmp"), F_OK), -1);
	}
}
#else
static void fails_whole_at_each_step(void **state)
{
	(void)state;
	print_message("skipped: this build has no fault points (-Dfault_points=true)\n");
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replaces_whole),    cmocka_unit_test(replaces_a_link_itself),
		cmocka_unit_test(says_what_fails),   cmocka_unit_test(reads_up_to_its_limit),
		cmocka_unit_test(makes_directories), cmocka_unit_test(handles_descriptors),
		cmocka_unit_test(opens_beneath),     cmocka_unit_test(fails_whole_at_each_step),
	};

	return cmocka_run_group_tests(tests, setup, remove_all);
}
