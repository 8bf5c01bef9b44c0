#include "gateway/ready.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

enum err_code ready_notify(const char *state, struct err *e)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	AUTO(fd_done) int fd = -1;
	size_t n = path ? strlen(path) : 0;

	if (n == 0)
		return ERR_OK;
	if ((path[0] != '/' && path[0] != '@') || n >= sizeof sa.sun_path)
		return err_set(e, ERR_INVALID, "NOTIFY_SOCKET=%.100s is no socket address", path);
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@') /* the abstract namespace */
		sa.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, errno, "NOTIFY_SOCKET=%s: open a socket", path);
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&sa,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		return err_sys(e, errno, "NOTIFY_SOCKET=%s: send", path);
	return ERR_OK;
}

enum err_code ready_notify_reloading(struct err *e)
{
	char state[64];
	struct timespec t;

	/* This clock by name; ours counts suspend too. */
	BUG_ON(clock_gettime(CLOCK_MONOTONIC, &t) != 0);
	(void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
		       (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
	return ready_notify(state, e);
}

enum err_code ready_write(int fd, struct err *e)
{
	static const char text[] = "ready\n";
	ssize_t n;

	do {
		n = write(fd, text, sizeof text - 1);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, errno, "--ready-fd %d: write", fd);
	fd_close(fd);
	return ERR_OK;
}
