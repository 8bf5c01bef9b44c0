#include "io/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"

#define UNIX_BACKLOG 64

static enum err_code unix_address(struct sockaddr_un *out, const char *path, struct err *e)
{
	size_t n = strlen(path);

	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (n == 0)
		return err_set(e, ERR_MISSING, "the path of a UNIX socket is empty");
	if (n >= sizeof out->sun_path)
		return err_set(e, ERR_RANGE,
			       "socket path \"%.200s\" has %zu bytes; the kernel takes at most %zu",
			       path, n, sizeof out->sun_path - 1);
	memcpy(out->sun_path, path, n);
	return ERR_OK;
}

/* Locks the directory of `path`, so that of two starting programs only one judges whether the
 * socket file is stale.  Returns a descriptor to close, or -1 (then there is no lock to be had,
 * and bind says what is wrong with the directory). */
static int lock_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)] = ".";
	size_t n;
	int fd;

	if (slash) {
		n = slash == path ? 1 : (size_t)(slash - path);
		memcpy(dir, path, n);
		dir[n] = 0;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
			;
	}
	return fd;
}

/* True when somebody listens at the address. */
static bool is_answered(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answered;

	if (fd < 0)
		return true; /* unknown: do not take it away */
	answered = connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0 ||
		   (errno != ECONNREFUSED && errno != ENOENT);
	fd_close(fd);
	return answered;
}

/* Removes the socket file of a program that is gone. */
static enum err_code remove_stale(const struct sockaddr_un *sa, struct err *e)
{
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, errno, "look at %s", sa->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_IN_USE,
			       "%s exists and is not a socket; move it away or choose another path",
			       sa->sun_path);
	if (is_answered(sa))
		return err_set(e, ERR_IN_USE,
			       "socket %s is in use by another program; stop that program first",
			       sa->sun_path);
	if (unlink(sa->sun_path) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove the stale socket %s", sa->sun_path);
	return ERR_OK;
}

enum err_code unix_listen(int *out, const char *path, mode_t mode, struct err *e)
{
	struct sockaddr_un sa;
	bool bound = false;
	int lock = -1;
	int fd = -1;
	enum err_code rc;

	rc = unix_address(&sa, path, e);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		rc = err_sys(e, errno, "open a UNIX socket for %s", sa.sun_path);
		goto out;
	}
	lock = lock_directory(path);
	rc = remove_stale(&sa, e);
	if (rc)
		goto out;
	/* The file takes the socket's mode less the umask: it is never wider than asked for. */
	if (fchmod(fd, mode) < 0 || bind(fd, (const struct sockaddr *)&sa, sizeof sa) < 0) {
		rc = err_sys(e, errno, "listen at %s", sa.sun_path);
		goto out;
	}
	bound = true;
	if (chmod(path, mode) < 0 || listen(fd, UNIX_BACKLOG) < 0) {
		rc = err_sys(e, errno, "listen at %s", sa.sun_path);
		goto out;
	}
	*out = fd;
	fd = -1;
	bound = false;
out:
	if (bound)
		unlink(path);
	fd_close(fd);
	fd_close(lock);
	return rc;
}

/* How long connect() waits for room in the queue of who listens (unix(7) has no other way: a
 * non-blocking one fails at once, and there is nothing to poll), and send() once it is connected. */
static bool send_timeout(int fd, unsigned ms)
{
	const struct timeval t = { .tv_sec = (time_t)(ms / 1000),
				   .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) == 0;
}

enum err_code unix_connect(int *out, const char *path, unsigned timeout_ms, struct err *e)
{
	struct sockaddr_un sa;
	enum err_code rc;
	int fd, n = -1;

	rc = unix_address(&sa, path, e);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, errno, "open a UNIX socket for %s", sa.sun_path);
	if (send_timeout(fd, timeout_ms)) {
		do
			n = connect(fd, (const struct sockaddr *)&sa, sizeof sa);
		while (n < 0 && errno == EINTR);
	}
	if (n == 0 && send_timeout(fd, 0)) {
		*out = fd;
		return ERR_OK;
	}
	if (errno == EAGAIN)
		rc = err_set(e, ERR_TIMEOUT, "connect to %s: its program takes no connection",
			     path);
	else
		rc = err_sys(e, errno, "connect to %s", path);
	fd_close(fd);
	return rc;
}

int unix_accept(int listen_fd)
{
	int fd;

	do {
		fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd;
}
