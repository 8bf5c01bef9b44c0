#include "gateway/restart_reply.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "core/core.h"

#define REPLY_ENV "QANAT_GATEWAY_REPLY"
#define WAIT_S 1

void restart_reply_pass_on(int fd)
{
	char text[12];

	if (fd < 0)
		return;
	(void)snprintf(text, sizeof text, "%d", fd);
	/* When either fails, the asker sees the connection close. */
	if (fcntl(fd, F_SETFD, 0) == 0)
		(void)setenv(REPLY_ENV, text, 1);
}

int restart_reply_take(void)
{
	const char *text = getenv(REPLY_ENV);
	struct stat st;
	uint32_t fd = 0;
	bool ok = text && u32_parse(str_of(text), 3, INT_MAX, &fd);

	(void)unsetenv(REPLY_ENV);
	/* Somebody else may have set the variable. */
	if (!ok || fstat((int)fd, &st) < 0 || !S_ISSOCK(st.st_mode) ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	return (int)fd;
}

void restart_reply_fail(int fd, const struct err *why)
{
	const struct timeval wait = { .tv_sec = WAIT_S };
	struct buf line = { 0 };
	int flags;

	if (fd < 0)
		return;
	flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0 &&
	    core_restart_failed_line(clock_real_ns(), why, &line))
		(void)send(fd, line.p, line.n, MSG_NOSIGNAL); /* best effort */
	buf_done(&line);
	fd_close(fd);
}
