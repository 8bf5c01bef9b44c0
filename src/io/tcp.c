#include "io/tcp.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"

#define TCP_BACKLOG 1024

static enum err_code set_flag(int fd, int level, int option, const char *name, struct err *e)
{
	int on = 1;

	if (setsockopt(fd, level, option, &on, sizeof on) < 0)
		return err_sys(e, errno, "set %s", name);
	return ERR_OK;
}

static enum err_code bind_and_listen(int fd, const struct endpoint *at, const char *text,
				     struct err *e)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(at, &sa);
	enum err_code rc = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", e);

	/* One socket for each family: no IPv4 client appears under a mapped address. */
	if (rc == ERR_OK && at->addr.family == IP_V6)
		rc = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY", e);
	if (rc)
		return err_wrap(e, rc, "listen at %s", text);
	if ((FAULT("tcp.bind") ? (errno = EADDRINUSE, -1) : bind(fd, (void *)&sa, len)) < 0)
		return err_sys(e, errno, "bind TCP %s", text);
	if ((FAULT("tcp.listen") ? (errno = ENOBUFS, -1) : listen(fd, TCP_BACKLOG)) < 0)
		return err_sys(e, errno, "listen at TCP %s", text);
	return ERR_OK;
}

enum err_code tcp_listen(int *out, const struct endpoint *at, struct endpoint *bound, struct err *e)
{
	AUTO(fd_done) int fd = -1;
	char text[ENDPOINT_TEXT_MAX];
	enum err_code rc;

	endpoint_format(text, at);
	if (at->addr.family == IP_NONE)
		return err_set(e, ERR_INVALID, "listen at TCP %s: an address is needed", text);
	fd = socket(at->addr.family == IP_V6 ? AF_INET6 : AF_INET,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, errno, "open a TCP socket for %s", text);
	rc = bind_and_listen(fd, at, text, e);
	if (rc)
		return rc;
	if (bound)
		*bound = tcp_local(fd);
	*out = fd;
	fd = -1;
	return ERR_OK;
}

int tcp_accept(int listen_fd, struct endpoint *peer)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	int on = 1;
	int fd;

	*peer = (struct endpoint){ 0 };
	do {
		len = sizeof sa;
		fd = FAULT("tcp.accept")
			     ? (errno = EMFILE, -1)
			     : accept4(listen_fd, (void *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return -1;
	if (endpoint_from_sockaddr(peer, (void *)&sa, len)) /* answers leave as they are written */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

struct endpoint tcp_local(int fd)
{
	struct endpoint at = { 0 };
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;

	if (getsockname(fd, (void *)&sa, &len) < 0 ||
	    !endpoint_from_sockaddr(&at, (void *)&sa, len))
		at = (struct endpoint){ 0 };
	return at;
}
