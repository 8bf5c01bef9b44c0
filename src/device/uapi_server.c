#include "device/uapi_server.h"

#include <errno.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "device/uapi_client.h"
#include "io/unix_socket.h"

#define SOCKET_MODE 0600
#define DIRECTORY_MODE 0755
/* After the kernel has refused another descriptor. */
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

/* Which file is ours, so that a successor's is never removed. */
struct file_id {
	dev_t dev;
	ino_t ino;
};

struct uapi_server {
	struct uapi_clients clients;
	struct loop_fd listen;
	struct loop_timer pause;
	struct loop_fd watch; /* inotify on the directory */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct file_id id;
	void (*gone)(void *ctx); /* NULL once called */
	void *gone_ctx;
};

static enum err_code path_of(char *out, size_t cap, const char *ifname, struct err *e)
{
	int n = snprintf(out, cap, UAPI_DIRECTORY "/%s.sock", ifname);

	if (!*ifname || strchr(ifname, '/') || *ifname == '.')
		return err_set(e, ERR_INVALID, "interface name \"%s\" cannot name a socket",
			       ifname);
	if (n < 0 || (size_t)n >= cap)
		return err_set(e, ERR_RANGE, "interface name \"%s\" is too long", ifname);
	return ERR_OK;
}

static bool file_id_of(struct file_id *out, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	*out = (struct file_id){ st.st_dev, st.st_ino };
	return true;
}

static bool still_ours(const struct uapi_server *s)
{
	struct file_id now;

	return file_id_of(&now, s->path) && now.dev == s->id.dev && now.ino == s->id.ino;
}

enum err_code uapi_listen(int *out, const char *ifname, struct err *e)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	enum err_code rc = path_of(path, sizeof path, ifname, e);

	if (rc)
		return rc;
	rc = dir_make(UAPI_DIRECTORY, DIRECTORY_MODE, e);
	if (!rc)
		rc = unix_listen(out, path, SOCKET_MODE, e);
	return rc ? err_wrap(e, rc, "interface %s", ifname) : ERR_OK;
}

void uapi_unlisten(const char *ifname)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

	if (!path_of(path, sizeof path, ifname, NULL))
		unlink(path);
}

/* ---- clients come and go ---- */

static void listen_ready(struct loop_fd *w, uint32_t events)
{
	struct uapi_server *s = CONTAINER_OF(w, struct uapi_server, listen);

	(void)events;
	while (s->clients.count < UAPI_CONNECTIONS_MAX) {
		int fd = unix_accept(w->fd);

		if (fd < 0) {
			if (errno == EAGAIN)
				return;
			/* Out of descriptors or memory: the waiting client would wake us
			 * again at once, and again. */
			loop_fd_change(w, 0);
			loop_timer_set(s->clients.loop, &s->pause,
				       loop_now(s->clients.loop) + ACCEPT_PAUSE_NS);
			return;
		}
		(void)uapi_client_add(&s->clients, fd);
	}
	loop_fd_change(w, 0); /* the others wait in the kernel's queue */
}

static void pause_over(struct loop_timer *t)
{
	loop_fd_change(&CONTAINER_OF(t, struct uapi_server, pause)->listen, LOOP_READ);
}

static void client_left(struct uapi_clients *all)
{
	loop_fd_change(&CONTAINER_OF(all, struct uapi_server, clients)->listen, LOOP_READ);
}

/* ---- the socket file ---- */

static void say_gone(struct uapi_server *s)
{
	void (*gone)(void *ctx) = s->gone;

	loop_fd_remove(&s->watch);
	s->gone = NULL;
	if (gone)
		gone(s->gone_ctx);
}

static void watch_ready(struct loop_fd *w, uint32_t events)
{
	struct uapi_server *s = CONTAINER_OF(w, struct uapi_server, watch);
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	(void)events;
	/* What happened in between does not matter, only whether our file is there now. */
	while (read(w->fd, buf, sizeof buf) > 0)
		;
	if (!still_ours(s))
		say_gone(s);
}

static enum err_code watch_open(struct uapi_server *s, struct err *e)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	enum err_code rc;

	if (fd < 0)
		return err_sys(e, errno, "watch %s (see sysctl fs.inotify.max_user_instances)",
			       UAPI_DIRECTORY);
	s->watch = (struct loop_fd){ .fd = fd, .events = LOOP_READ, .ready = watch_ready };
	if (inotify_add_watch(fd, UAPI_DIRECTORY,
			      IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF |
				      IN_MOVE_SELF | IN_ONLYDIR) < 0)
		return err_sys(e, errno, "watch %s", UAPI_DIRECTORY);
	rc = loop_fd_add(s->clients.loop, &s->watch, e);
	if (!rc && !still_ours(s)) /* removed before the watch began */
		rc = err_set(e, ERR_NOT_FOUND, "socket %s was removed", s->path);
	return rc;
}

/* ---- opening and closing ---- */

/* A descriptor that somebody handed over must be a listening UNIX socket. */
static enum err_code check_handed(int fd, struct err *e)
{
	int domain = 0, listening = 0;
	socklen_t n = sizeof domain, m = sizeof listening;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 || domain != AF_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &m) < 0 || !listening)
		return err_set(e, ERR_INVALID, "descriptor %d is not a listening UNIX socket", fd);
	return fd_nonblock(fd, e);
}

static enum err_code listen_open(struct uapi_server *s, const char *ifname, struct err *e)
{
	enum err_code rc;

	if (s->listen.fd < 0)
		rc = uapi_listen(&s->listen.fd, ifname, e);
	else
		rc = check_handed(s->listen.fd, e);
	if (rc)
		return rc;
	if (!file_id_of(&s->id, s->path))
		return err_set(e, ERR_NOT_FOUND, "there is no socket %s", s->path);
	return loop_fd_add(s->clients.loop, &s->listen, e);
}

enum err_code uapi_server_open(struct uapi_server **out, struct loop *l, struct dataplane *dp,
			       const char *ifname, int listen_fd, void (*gone)(void *ctx),
			       void *ctx, struct err *e)
{
	struct uapi_server *s = calloc(1, sizeof *s);
	enum err_code rc;

	if (!s) {
		fd_close(listen_fd);
		return err_set(e, ERR_NOMEM, "interface %s: no memory for its socket", ifname);
	}
	uapi_clients_init(&s->clients, l, dp);
	s->clients.left = client_left;
	s->gone = gone;
	s->gone_ctx = ctx;
	s->pause.fire = pause_over;
	s->watch.fd = -1;
	s->listen = (struct loop_fd){ .fd = listen_fd, .events = LOOP_READ, .ready = listen_ready };
	rc = path_of(s->path, sizeof s->path, ifname, e);
	if (!rc)
		rc = listen_open(s, ifname, e);
	if (!rc)
		rc = watch_open(s, e);
	if (rc) {
		uapi_server_close(s);
		return rc;
	}
	*out = s;
	return ERR_OK;
}

void uapi_server_on_refused(struct uapi_server *s,
			    void (*refused)(void *ctx, const struct err *why), void *ctx)
{
	s->clients.refused = refused;
	s->clients.refused_ctx = ctx;
}

void uapi_server_close(struct uapi_server *s)
{
	if (!s)
		return;
	uapi_clients_done(&s->clients);
	loop_timer_cancel(&s->pause);
	loop_fd_remove(&s->watch);
	loop_fd_remove(&s->listen);
	/* The file first: whoever finds it must still find somebody listening. */
	if (s->listen.fd >= 0 && s->id.ino && still_ours(s))
		unlink(s->path);
	fd_close(s->watch.fd);
	fd_close(s->listen.fd);
	free(s);
}

enum err_code uapi_server_add_owner(struct uapi_server *s, int fd, struct err *e)
{
	enum err_code rc = fd_nonblock(fd, e);

	if (rc) {
		fd_close(fd);
		return rc;
	}
	if (!uapi_client_add_owner(&s->clients, fd))
		return err_set(e, ERR_NOMEM, "no memory for a connection");
	return ERR_OK;
}

int uapi_server_fd(const struct uapi_server *s)
{
	return s->listen.fd;
}
