#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"

static bool runnable(const char *path)
{
	return access(path, X_OK) == 0;
}

/* Looks at DIR/BETWEEN/PROGRAM for each place that belongs to the same build as we do. */
static bool find_beside(struct buf *path, const char *program)
{
	static const char *const places[] = {
		"", /* one directory for all */
		"../sbin/", /* installed */
		"../gateway/", /* the build tree */
	};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self);
	char *slash;

	if (n <= 0 || (size_t)n == sizeof self)
		return false;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return false;
	slash[1] = 0;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		buf_clear(path);
		buf_printf(path, "%s%s%s", self, places[i], program);
		if (buf_ok(path) && runnable(path->p))
			return true;
	}
	return false;
}

static bool find_in_path(struct buf *path, const char *program)
{
	struct str dirs = str_of(getenv("PATH")), dir;

	while (str_cut(&dirs, ':', &dir)) {
		if (!dir.n || dir.p[0] != '/') /* never from the working directory */
			continue;
		buf_clear(path);
		buf_printf(path, "%.*s/%s", STR_ARG(dir), program);
		if (buf_ok(path) && runnable(path->p))
			return true;
	}
	return false;
}

enum err_code child_find(char **path, const char *program, struct err *e)
{
	struct buf found = { 0 };
	enum err_code rc = ERR_OK;

	if (!find_beside(&found, program) && !find_in_path(&found, program))
		rc = err_set(e, ERR_NOT_FOUND,
			     "%s was not found beside qanat nor in PATH: install it, or build it",
			     program);
	else
		*path = str_dup(buf_view(&found));
	buf_done(&found);
	if (!rc && !*path)
		rc = err_set(e, ERR_NOMEM, "no memory to start %s", program);
	return rc;
}

/* The rest of the child: only calls that are safe between fork and exec. */
NORETURN static void child_become(const char *path, char **argv, int ready_fd, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent)
		_exit(126); /* we would outlive the one who stops us */
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fcntl(ready_fd, F_SETFD, 0);
	execv(path, argv);
	_exit(127);
}

enum err_code child_start(struct child *out, const char *path, char **argv, size_t argc,
			  struct err *e)
{
	int pipe_fd[2];
	char number[16];
	pid_t parent = getpid(), pid;
	enum err_code rc;
	int why;

	if (pipe2(pipe_fd, O_CLOEXEC))
		return err_sys(e, errno, "make a pipe for %s", path);
	rc = fd_nonblock(pipe_fd[0], e);
	if (rc) {
		fd_close(pipe_fd[0]);
		fd_close(pipe_fd[1]);
		return rc;
	}
	snprintf(number, sizeof number, "%d", pipe_fd[1]);
	argv[argc] = (char[]){ "--ready-fd" };
	argv[argc + 1] = number;
	argv[argc + 2] = NULL;
	pid = fork();
	if (pid == 0)
		child_become(path, argv, pipe_fd[1], parent);
	why = errno;
	argv[argc] = NULL; /* what they pointed to ends here */
	fd_close(pipe_fd[1]);
	if (pid < 0) {
		rc = err_sys(e, why, "start %s", path);
		fd_close(pipe_fd[0]);
		return rc;
	}
	*out = (struct child){ .pid = pid, .ready_fd = pipe_fd[0] };
	return ERR_OK;
}

bool child_ready(struct child *c, bool *over)
{
	static const char word[] = "ready\n";
	char got[sizeof word - 1] = { 0 };
	ssize_t n = read(c->ready_fd, got, sizeof got);

	*over = false;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	/* One short write to a pipe arrives whole (POSIX: PIPE_BUF). */
	fd_close(c->ready_fd);
	c->ready_fd = -1;
	*over = n != (ssize_t)sizeof got || memcmp(got, word, sizeof got) != 0;
	return !*over;
}

bool child_reap(struct child *c)
{
	int status = 0;

	if (!c->pid || waitpid(c->pid, &status, WNOHANG) != c->pid)
		return false;
	c->status = status;
	c->pid = 0;
	fd_close(c->ready_fd);
	c->ready_fd = -1;
	return true;
}

void child_signal(const struct child *c, int sig)
{
	if (c->pid > 0)
		kill(c->pid, sig);
}

void child_end_text(struct buf *out, int status)
{
	if (WIFSIGNALED(status))
		buf_printf(out, "was killed by signal %d (%s)", WTERMSIG(status),
			   strsignal(WTERMSIG(status)));
	else
		buf_printf(out, "exited with status %d", WEXITSTATUS(status));
}

int child_exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
