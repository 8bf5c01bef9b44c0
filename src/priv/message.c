#include "priv/message.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/fs.h"

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
};

enum err_code message_send(int sock, const void *p, size_t n, const int *fds, size_t fd_count,
			   struct err *e)
{
	struct iovec iov = { .iov_len = n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control c = { .room = { 0 } };
	ssize_t sent;

	BUG_ON(fd_count > MESSAGE_FDS_MAX);
	memcpy(&iov.iov_base, &p, sizeof p); /* which sendmsg only reads */
	if (fd_count) {
		c.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(fd_count * sizeof *fds),
					   .cmsg_level = SOL_SOCKET,
					   .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&c.head), fds, fd_count * sizeof *fds);
		m.msg_control = &c;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof *fds);
	}
	do {
		sent = sendmsg(sock, &m, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return ERR_OK;
	if (errno == EPIPE || errno == ECONNRESET)
		return err_set(e, ERR_CLOSED, "the other process has ended");
	return err_sys(e, errno, "send to the other process");
}

static size_t take_fds(const struct msghdr *m, int *fds, size_t room)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(m);
	size_t n;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	n = (c->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
		if (i < room)
			fds[i] = fd;
		else
			fd_close(fd);
	}
	return MIN(n, room);
}

enum err_code message_receive(int sock, void *p, size_t n, int *fds, size_t *fd_count,
			      struct err *e)
{
	struct iovec iov = { .iov_base = p, .iov_len = n };
	union control c = { .room = { 0 } };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c
	};
	ssize_t got;
	size_t taken;

	do {
		got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return err_set(e, ERR_CLOSED, "the other process has ended");
	if (got < 0)
		return err_sys(e, errno, "receive from the other process");
	taken = take_fds(&m, fds, *fd_count);
	if ((size_t)got == n && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		*fd_count = taken;
		return ERR_OK;
	}
	for (size_t i = 0; i < taken; i++)
		fd_close(fds[i]);
	return err_set(e, ERR_INVALID, "the other process sent a message of %zd bytes, not %zu",
		       got, n);
}
