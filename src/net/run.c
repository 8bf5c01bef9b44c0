#include "net/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

/* Files in memory rather than pipes: nothing to feed or drain while the program runs, no SIGPIPE
 * and no deadlock between two full pipes. */
struct files {
	int in, out, err;
};

static void files_done(struct files *f)
{
	fd_close(f->in);
	fd_close(f->out);
	fd_close(f->err);
}

static enum err_code memory_file(int *fd, const char *name, struct str content, struct err *e)
{
	*fd = memfd_create(name, MFD_CLOEXEC);
	if (*fd < 0)
		return err_sys(e, errno, "make a file in memory");
	while (content.n) {
		ssize_t n = write(*fd, content.p, content.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "fill a file in memory");
		content.p += n;
		content.n -= (size_t)n;
	}
	if (lseek(*fd, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "rewind a file in memory");
	return ERR_OK;
}

static enum err_code read_back(int fd, struct buf *out, struct err *e)
{
	char piece[4096];
	off_t at = 0;
	ssize_t n;

	for (;;) {
		n = pread(fd, piece, sizeof piece, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read a program's output");
		if (n == 0)
			return ERR_OK;
		if (at + n > (off_t)RUN_OUTPUT_MAX)
			return err_set(e, ERR_RANGE, "a program printed more than %u bytes",
				       RUN_OUTPUT_MAX);
		buf_add(out, piece, (size_t)n);
		if (!buf_ok(out))
			return err_set(e, ERR_NOMEM, "no memory for a program's output");
		at += n;
	}
}

/* For the process, as the programs are: who runs one is rarely who knows what outlives it. */
static int kept = -1;

void run_keep_open(int fd)
{
	kept = fd;
}

/* The child gets default signals, none blocked, and nothing but the three files, and what is kept. */
static int spawn_with(pid_t *pid, const char *path, const char *const argv[], const struct files *f)
{
	static char env_path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", env_locale[] = "LC_ALL=C";
	char *const env[] = { env_path, env_locale, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	int sys;

	sigemptyset(&none);
	sigfillset(&all);
	sys = posix_spawn_file_actions_init(&fa);
	if (sys)
		return sys;
	sys = posix_spawnattr_init(&at);
	if (sys) {
		posix_spawn_file_actions_destroy(&fa);
		return sys;
	}
	if ((sys = posix_spawn_file_actions_adddup2(&fa, f->in, 0)) == 0 &&
	    (sys = posix_spawn_file_actions_adddup2(&fa, f->out, 1)) == 0 &&
	    (sys = posix_spawn_file_actions_adddup2(&fa, f->err, 2)) == 0 &&
	    (kept < 0 || (sys = posix_spawn_file_actions_adddup2(&fa, kept, 3)) == 0) &&
	    (sys = posix_spawn_file_actions_addclosefrom_np(&fa, kept < 0 ? 3 : 4)) == 0 &&
	    (sys = posix_spawnattr_setsigmask(&at, &none)) == 0 &&
	    (sys = posix_spawnattr_setsigdefault(&at, &all)) == 0 &&
	    (sys = posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) ==
		    0) {
		union {
			const char *const *in;
			char *const *out;
		} args = { .in = argv }; /* posix_spawn does not write to them */

		sys = posix_spawn(pid, path, &fa, &at, args.out, env);
	}
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	return sys;
}

/* Waits for the end; what does not end in time is killed.  True with its wait status. */
static bool wait_for_end(pid_t pid, int *status)
{
	int64_t end = clock_mono_ns() + RUN_TIMEOUT_MS * NS_PER_MS;
	AUTO(fd_done) int fd = pidfd_open(pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t left;
	int ready = 0;

	while (fd >= 0 && (left = end - clock_mono_ns()) > 0) {
		ready = poll(&p, 1, (int)(left / NS_PER_MS) + 1);
		if (ready > 0 || (ready < 0 && errno != EINTR))
			break;
	}
	/* Without pidfd (refused by a sandbox) there is no deadline: the program itself ends. */
	if (fd >= 0 && ready <= 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return false;
	return fd < 0 || ready > 0;
}

/* The first line that a program wrote about its failure. */
static void complaint(int fd, char out[200])
{
	AUTO(buf_done) struct buf raw = { 0 }, shown = { .limit = 199 };
	struct str rest, line;

	out[0] = '\0';
	if (read_back(fd, &raw, NULL))
		return;
	rest = buf_view(&raw);
	while (str_cut(&rest, '\n', &line)) {
		line = str_trim(line);
		if (!line.n)
			continue;
		line.n = MIN(line.n, 190u);
		buf_escaped(&shown, line);
		break;
	}
	if (!str_copy(out, 200, buf_view(&shown)))
		out[0] = '\0';
}

static enum err_code judge(const char *name, bool ended, int status, int err_fd, struct err *e)
{
	char why[200];

	if (!ended)
		return err_set(e, ERR_TIMEOUT, "%s did not end within %d s", name,
			       RUN_TIMEOUT_MS / 1000);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return ERR_OK;
	complaint(err_fd, why);
	if (WIFSIGNALED(status))
		return err_set(e, ERR_IO, "%s was ended by signal %d", name, WTERMSIG(status));
	return err_set(e, ERR_IO, "%s failed with status %d%s%s", name, WEXITSTATUS(status),
		       why[0] ? ": " : "", why);
}

enum err_code run_program(const char *const paths[], const char *package, const char *const argv[],
			  struct str input, struct buf *output, struct err *e)
{
	struct files f = { -1, -1, -1 };
	enum err_code rc;
	int status = 0, sys;
	bool ended;
	pid_t pid;

	while (*paths && access(*paths, X_OK))
		paths++;
	if (!*paths)
		return err_set(e, ERR_MISSING,
			       "the program %s is not installed: install the package %s", argv[0],
			       package);
	if ((rc = memory_file(&f.in, "qanat-in", input, e)) ||
	    (rc = memory_file(&f.out, "qanat-out", STR(""), e)) ||
	    (rc = memory_file(&f.err, "qanat-err", STR(""), e)))
		goto out;
	sys = spawn_with(&pid, *paths, argv, &f);
	if (sys) {
		rc = err_sys(e, sys, "run %s", *paths);
		goto out;
	}
	ended = wait_for_end(pid, &status);
	rc = judge(argv[0], ended, status, f.err, e);
	if (!rc && output)
		rc = read_back(f.out, output, e);
out:
	files_done(&f);
	return rc;
}
