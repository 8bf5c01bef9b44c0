/* A configuration in a file: private, whole, never over another one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "cli/export.h"

static char dir[] = "/tmp/qanat-export.XXXXXX";
static char path[64];

static int setup(void **state)
{
	(void)state;
	umask(0); /* the mode must not hang on it */
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/client.conf", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir); /* fails when a temporary file was left */
}

static void check_file(const char *want)
{
	struct buf got = { 0 };
	struct stat st;

	assert_int_equal(file_read(&got, path, 1000, NULL), ERR_OK);
	assert_string_equal(got.p, want);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	buf_done(&got);
}

static void test_write(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(export_file(path, STR("first"), false, &e), ERR_OK);
	check_file("first");
	assert_int_equal(export_file(path, STR("second"), false, &e), ERR_EXISTS);
	assert_non_null(strstr(e.msg, path));
	assert_non_null(strstr(e.msg, "--force"));
	check_file("first");
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(export_file(path, STR("third"), true, &e), ERR_OK);
	check_file("third");
}

/* A link laid out by somebody else is neither followed nor replaced. */
static void test_link(void **state)
{
	char target[80];
	struct err e = { 0 };

	(void)state;
	snprintf(target, sizeof target, "%s.target", path);
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(export_file(path, STR("x"), false, &e), ERR_EXISTS);
	assert_non_null(strstr(e.msg, "symbolic link"));
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(export_file(path, STR("x"), true, &e), ERR_EXISTS);
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(unlink(path), 0);
}

static void test_failures(void **state)
{
	static const struct {
		const char *path;
		bool force;
		enum err_code want;
		const char *says, *why;
	} rows[] = {
		{ "/nonexistent/dir/file", false, ERR_NOT_FOUND, "", "no such directory" },
		{ "/proc/qanat.conf", false, ERR_NOT_FOUND, "", "a place that takes no files" },
		{ "/tmp", false, ERR_EXISTS, "is a directory", "a directory" },
		{ "/tmp", true, ERR_EXISTS, "is a directory", "a directory, by force" },
		{ "/dev/null", false, ERR_EXISTS, "is a device", "a device" },
		{ "/dev/null", true, ERR_EXISTS, "is a device", "a device, by force" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		enum err_code rc = export_file(rows[i].path, STR("x"), rows[i].force, &e);

		if (rc != rows[i].want || !strstr(e.msg, rows[i].path) ||
		    !strstr(e.msg, rows[i].says) || strstr(e.msg, "--force"))
			fail_msg("%s: %s: %s", rows[i].why, err_name(rc), e.msg);
	}
}

/* A code wider than the terminal would wrap into noise. */
static void test_qr_width(void **state)
{
	struct term narrow = { .columns = 20 }, wide = { .columns = 80 }, unknown = { 0 };
	struct buf out = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(export_qr(&out, STR("x"), &narrow, &e), ERR_RANGE);
	assert_non_null(strstr(e.msg, "25 columns"));
	assert_non_null(strstr(e.msg, "has 20"));
	assert_int_equal(out.n, 0);
	assert_int_equal(export_qr(&out, STR("x"), &wide, &e), ERR_OK);
	assert_int_equal(export_qr(&out, STR("x"), &unknown, &e), ERR_OK);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_qr_width),
	};

	return cmocka_run_group_tests_name("cli/export", tests, setup, teardown);
}
