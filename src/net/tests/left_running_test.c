/* left_running_test - a program that a killed run had started: the next run waits for its end. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/run.h"
#include "net/tests/host.h"

/* What it has at descriptor 3 is none of its business. */
#define SLOW "cd \"$0\" && : >started && until [ -e go ]; do sleep 0.02; done && : >finished"

static void path_in(char out[120], const struct host_dir *d, const char *name)
{
	(void)snprintf(out, 120, "%s/%s", d->dir, name);
}

static bool there(const struct host_dir *d, const char *name)
{
	char path[120];

	path_in(path, d, name);
	return access(path, F_OK) == 0;
}

static void nap(long ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

static void wait_until_there(const struct host_dir *d, const char *name)
{
	int i;

	for (i = 0; i < 1000 && !there(d, name); i++)
		nap(20);
	if (!there(d, name))
		fail_msg("%s is not there", name);
}

static void make(const struct host_dir *d, const char *name)
{
	char path[120];
	FILE *f;

	path_in(path, d, name);
	f = fopen(path, "we");
	if (f)
		(void)fclose(f);
}

static void directory_remove(struct host_dir *d)
{
	static const char *const names[] = { "started", "go", "finished" };
	char path[120];
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		path_in(path, d, names[i]);
		unlink(path);
	}
	host_dir_remove(d);
}

/* A run that is killed while a program of its own is under way. */
static void run_killed(const struct host_dir *d)
{
	static const char *const sh[] = { "/bin/sh", NULL };
	const char *const argv[] = { "sh", "-c", SLOW, d->dir, NULL };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct net *n = NULL;

		if (net_open(&n, d->journal, NULL) == ERR_OK)
			(void)!run_program(sh, "dash", argv, STR(""), NULL, NULL);
		_exit(1);
	}
	assert_true(pid > 0);
	wait_until_there(d, "started");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void waits(void **state UNUSED)
{
	struct host_dir d;
	struct net *n = NULL;
	struct err e = { 0 };
	pid_t other;
	int status;

	NEED_HOST();
	host_dir_make(&d);
	run_killed(&d);
	other = fork();
	if (other == 0) {
		nap(300);
		make(&d, "go");
		_exit(0);
	}
	if (net_open(&n, d.journal, &e))
		fail_msg("%s", e.msg);
	assert_true(there(&d, "finished"));
	net_close(n);
	assert_int_equal(waitpid(other, &status, 0), other);
	directory_remove(&d);
}

/* One that does not end, and a run that is still there, are told apart by nobody: both are waited for. */
static void gives_up(void **state UNUSED)
{
	struct host_dir d;
	struct net *n = NULL;
	struct err e = { 0 };

	NEED_HOST();
	host_dir_make(&d);
	run_killed(&d);
	assert_int_equal(net_open(&n, d.journal, &e), ERR_IN_USE);
	assert_non_null(strstr(e.msg, "is in use"));
	assert_false(there(&d, "finished"));
	make(&d, "go");
	assert_int_equal(net_open(&n, d.journal, &e), ERR_OK);
	assert_true(there(&d, "finished"));
	net_close(n);
	directory_remove(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(waits), cmocka_unit_test(gives_up) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
