#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"

void fd_close(int fd)
{
	int keep = errno;

	if (fd >= 0)
		(void)close(fd); /* Linux frees the number even when it reports an error */
	errno = keep;
}

void fd_done(int *fd)
{
	fd_close(*fd);
	*fd = -1;
}

enum err_code fd_nonblock(int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(e, errno, "descriptor %d: set non-blocking", fd);
	return ERR_OK;
}

/* A directory on the way; a link comes open as itself, and is seen. */
static int step_open(int dir, const char *step)
{
	AUTO(fd_done) int fd = openat(dir, step, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int found;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode)) {
		errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
		return -1;
	}
	found = fd;
	fd = -1;
	return found;
}

int open_beneath(int dir, const char *name)
{
	struct str rest = str_of(name), step;
	AUTO(fd_done) int at = -1;
	char text[NAME_MAX + 1];

	if (name[0] == '/') {
		errno = EXDEV;
		return -1;
	}
	for (;;) {
		const char *slash = memchr(rest.p, '/', rest.n);
		int next;

		step = (struct str){ rest.p, slash ? (size_t)(slash - rest.p) : rest.n };
		if (!step.n || !str_copy(text, sizeof text, step) || str_eq(step, STR(".."))) {
			errno = !step.n ? ENOENT : step.n > NAME_MAX ? ENAMETOOLONG : EXDEV;
			return -1;
		}
		if (!slash)
			return openat(at < 0 ? dir : at, text,
				      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		next = step_open(at < 0 ? dir : at, text);
		if (next < 0)
			return -1;
		fd_close(at);
		at = next;
		rest.n -= step.n + 1;
		rest.p += step.n + 1;
	}
}

enum err_code fd_read(struct buf *out, int fd, const char *path, size_t limit, struct err *e)
{
	char chunk[4096];
	enum err_code rc = ERR_OK;
	size_t total = 0;
	ssize_t n;

	while ((n = read(fd, chunk, sizeof chunk)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = err_sys(e, errno, "read %s", path);
			break;
		}
		if ((size_t)n > limit - total) {
			rc = err_set(e, ERR_RANGE, "%s is larger than the %zu bytes allowed", path,
				     limit);
			break;
		}
		total += (size_t)n;
		buf_add(out, chunk, (size_t)n);
	}
	wipe(chunk, sizeof chunk); /* the file may hold a key */
	if (rc == ERR_OK && !buf_ok(out))
		rc = err_set(e, ERR_NOMEM, "read %s: out of memory", path);
	return rc;
}

enum err_code file_read(struct buf *out, const char *path, size_t limit, struct err *e)
{
	AUTO(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? err_sys(e, errno, "open %s", path) : fd_read(out, fd, path, limit, e);
}

static enum err_code write_all(int fd, const char *path, const void *p, size_t n, struct err *e)
{
	const char *at = p;

	while (n) {
		ssize_t done = FAULT("file.write") ? (errno = ENOSPC, -1) : write(fd, at, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_sys(e, errno, "write %s", path);
		at += done;
		n -= (size_t)done;
	}
	return ERR_OK;
}

static enum err_code sync_fd(int fd, const char *path, struct err *e)
{
	if ((FAULT("file.fsync") ? (errno = EIO, -1) : fsync(fd)) < 0)
		return err_sys(e, errno, "fsync %s", path);
	return ERR_OK;
}

/* Writes and syncs the new content under the temporary name. */
static enum err_code write_new(const char *tmp, const void *p, size_t n, mode_t mode, struct err *e)
{
	AUTO(fd_done) int fd = -1;
	enum err_code rc;

	/* One that a crash left behind must lend neither its mode nor its owner to a secret. */
	if (unlink(tmp) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove %s", tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return err_sys(e, errno, "create %s", tmp);
	if (fchmod(fd, mode) < 0) /* exactly `mode`, whatever the umask */
		return err_sys(e, errno, "set the mode of %s", tmp);
	rc = write_all(fd, tmp, p, n, e);
	if (rc)
		return rc;
	return sync_fd(fd, tmp, e);
}

/* The rename is durable only once its directory is. */
static enum err_code sync_parent(const char *path, struct err *e)
{
	AUTO(fd_done) int fd = -1;
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX] = ".";

	if (slash && !str_copy(dir, sizeof dir,
			       (struct str){ path, MAX((size_t)(slash - path), (size_t)1) }))
		return err_sys(e, ENAMETOOLONG, "%s", path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open directory %s", dir);
	return sync_fd(fd, dir, e);
}

enum err_code file_replace(const char *path, const void *p, size_t n, mode_t mode, struct err *e)
{
	char tmp[PATH_MAX];
	enum err_code rc;
	int len = snprintf(tmp, sizeof tmp, "%s.tmp", path);

	if (len < 0 || (size_t)len >= sizeof tmp)
		return err_sys(e, ENAMETOOLONG, "%.64s...", path);
	rc = write_new(tmp, p, n, mode, e);
	if (rc == ERR_OK && (FAULT("file.rename") ? (errno = EIO, -1) : rename(tmp, path)) < 0)
		rc = err_sys(e, errno, "rename %s to %s", tmp, path);
	if (rc) {
		(void)unlink(tmp); /* best effort: the next writer removes it as well */
		return rc;
	}
	return sync_parent(path, e);
}

/* The umask may have taken bits of it. */
static enum err_code mode_set(const char *dir, mode_t mode, struct err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	enum err_code rc = ERR_OK;

	if (fd < 0 || fchmod(fd, mode) < 0)
		rc = err_sys(e, errno, "set the mode of %s", dir);
	fd_close(fd);
	return rc;
}

static enum err_code make_one(const char *path, mode_t mode, struct err *e)
{
	struct stat st;
	int why;

	if (mkdir(path, mode) == 0)
		return mode_set(path, mode, e);
	why = errno;
	/* A directory that exists is fine even where we may not write (EACCES, EROFS). */
	if (stat(path, &st) < 0)
		return err_sys(e, why, "make directory %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_EXISTS, "%s exists and is not a directory", path);
	return ERR_OK;
}

enum err_code dir_make(const char *path, mode_t mode, struct err *e)
{
	char part[PATH_MAX];
	enum err_code rc;

	if (!*path)
		return err_set(e, ERR_INVALID, "the name of a directory is empty");
	if (!str_copy(part, sizeof part, str_of(path)))
		return err_sys(e, ENAMETOOLONG, "make directory %.64s...", path);
	for (char *c = part + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = 0;
		rc = make_one(part, mode, e);
		if (rc)
			return rc;
		*c = '/';
	}
	return make_one(part, mode, e);
}
