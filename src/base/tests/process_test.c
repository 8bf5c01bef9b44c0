/* process_test.c - what a hardened process has given up, looked at in a child. */
#include "base/tests/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITISED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITISED 1
#endif
#endif
#ifndef SANITISED
#define SANITISED 0
#endif

/* 0, or the number of the first thing that does not hold. */
static int looked_at(void)
{
	struct rlimit core = { 1, 1 };
	int pipe_fd[2];

	close(0);
	close(2);
	if (process_harden(NULL))
		return 1;
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur || core.rlim_max)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 3;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != SANITISED)
		return 4;
	if (umask(0) != 077)
		return 5;
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			return 6;
	}
	if (pipe(pipe_fd) < 0 || close(pipe_fd[0]) < 0)
		return 7;
	if (write(pipe_fd[1], "x", 1) != -1 || errno != EPIPE) /* and no signal */
		return 8;
	return process_harden(NULL) ? 9 : 0; /* again, as after an exec */
}

static void gives_up_what_it_says(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0)
		_exit(looked_at());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(gives_up_what_it_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
