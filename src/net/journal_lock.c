#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "net/change.h"
#include "net/run.h"

#define PAUSE_NS (20 * NS_PER_MS)

static enum err_code directory_open(int *out, const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX] = ".";

	if (slash && !str_copy(dir, sizeof dir, (struct str){ path, (size_t)(slash - path) + 1 }))
		return err_set(e, ERR_RANGE, "the name of the network's journal is too long");
	*out = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*out < 0 && errno != ENOENT)
		return err_sys(e, errno, "open %s", dir);
	return ERR_OK;
}

enum err_code journal_lock(int *lock, const char *path, struct err *e)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	int64_t until = clock_mono_ns() + RUN_TIMEOUT_MS * NS_PER_MS;
	AUTO(fd_done) int fd = -1;
	enum err_code rc = directory_open(&fd, path, e);

	while (rc == ERR_OK && fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			rc = err_sys(e, errno, "lock the directory of %s", path);
		else if (clock_mono_ns() >= until)
			rc = err_set(
				e, ERR_IN_USE,
				"%s is in use, by another gateway or by a program that one which "
				"was killed had started",
				path);
		else
			(void)nanosleep(&pause, NULL);
	}
	if (rc)
		return rc;
	*lock = fd;
	fd = -1;
	return ERR_OK;
}
