#include "wgd/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"

/* The parent's part: the child says a byte when it is ready, or ends and says nothing. */
NORETURN static void wait_ready(int fd, pid_t child)
{
	char byte;
	ssize_t n;
	int status;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	_exit(1);
}

enum err_code daemon_fork(int *ready_fd, struct err *e)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, errno, "open a pipe");
	child = fork();
	if (child < 0) {
		enum err_code rc = err_sys(e, errno, "start the background process");

		fd_close(ends[0]);
		fd_close(ends[1]);
		return rc;
	}
	if (child > 0) {
		fd_close(ends[1]);
		wait_ready(ends[0], child);
	}
	fd_close(ends[0]);
	setsid(); /* a fresh child leads no group yet, so this cannot fail */
	*ready_fd = ends[1];
	return ERR_OK;
}

/* Whoever waits for the end of our standard output must not wait for the daemon. */
static void leave_streams(bool keep_log)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return; /* a system without it: nothing is lost but the wait */
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (!keep_log)
		dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		fd_close(null);
}

void daemon_ready(int *ready_fd, bool keep_log)
{
	ssize_t n;
	int moved;

	if (*ready_fd < 0)
		return;
	/* Else the directory's file system could not be unmounted; that is all it is for. */
	moved = chdir("/");
	(void)moved;
	leave_streams(keep_log);
	do {
		n = write(*ready_fd, "r", 1);
	} while (n < 0 && errno == EINTR);
	fd_close(*ready_fd);
	*ready_fd = -1;
}
