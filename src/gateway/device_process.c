#include "gateway/device_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "device/uapi_server.h"
#include "gateway/device_hello.h"
#include "priv/engine_link.h"
#include "priv/message.h"

#define SELF "/proc/self/exe"
/* It ends within milliseconds; one that hangs is killed. */
#define END_WAIT_MS 5000

struct device_process {
	struct engine_keeper keeper;
	pid_t pid;
	int gone_fd; /* pidfd */
	bool listening; /* the socket file is there */
	char ifname[IF_NAMESIZE];
};

/* ---- starting ---- */

/* Between fork and exec: system calls alone. */
NORETURN static void become_device(int sock)
{
	char number[12], name[] = "qanat-gateway", argument[] = DEVICE_ARGUMENT;
	char *argv[] = { name, argument, number, NULL };

	(void)snprintf(number, sizeof number, "%d", sock);
	if (fcntl(sock, F_SETFD, 0) == 0)
		(void)execv(SELF, argv);
	_exit(127);
}

static enum err_code process_start(struct device_process *p, int sock, struct err *e)
{
	p->pid = fork();
	if (p->pid < 0)
		return err_sys(e, errno, "start the device's process");
	if (p->pid == 0)
		become_device(sock);
	p->gone_fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->gone_fd < 0)
		return err_sys(e, errno, "watch the device's process");
	return ERR_OK;
}

static enum err_code hello(const struct device_process *p, const struct device_process_config *c,
			   int uapi, int listening, struct err *e)
{
	const struct dataplane_config *d = &c->device;
	int fds[DEVICE_FDS] = { [DEVICE_FD_UAPI] = uapi,
				[DEVICE_FD_LOG] = c->log_fd >= 0 ? c->log_fd : STDERR_FILENO,
				[DEVICE_FD_LISTEN] = listening };
	struct device_hello h;

	memset(&h, 0, sizeof h); /* padding goes out, too */
	memcpy(h.ifname, p->ifname, sizeof h.ifname);
	h.is_kernel = c->kind == DEVICE_KERNEL;
	h.exclusive = d->exclusive;
	h.unpinned = d->unpinned;
	h.listen_port = d->listen_port;
	h.mtu = d->mtu;
	h.fwmark = d->fwmark;
	h.workers = d->workers;
	h.offloads = d->offloads;
	h.log_level = (int)log_get_level();
	h.log_json = c->log_json;
	return message_send(p->keeper.sock, &h, sizeof h, fds,
			    listening >= 0 ? DEVICE_FDS : DEVICE_FD_LISTEN, e);
}

/* Serves its requests until it says that it is ready. */
static enum err_code ready_wait(struct device_process *p, struct err *e)
{
	enum engine_said said;

	do {
		said = engine_keeper_serve(&p->keeper, e);
	} while (said == ENGINE_ASKED);
	if (said == ENGINE_READY)
		return ERR_OK;
	if (said == ENGINE_FAILED)
		return e->code;
	return err_wrap(e, ERR_CLOSED, "the device's process did not start");
}

static enum err_code start_steps(struct device_process *p, int *uapi,
				 const struct device_process_config *c, struct err *e)
{
	int link[2] = { -1, -1 }, text[2] = { -1, -1 }, listening = -1;
	enum err_code rc = ERR_OK;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, text) < 0)
		rc = err_sys(e, errno, "make sockets for the device's process");
	p->keeper.sock = link[0];
	p->keeper.ifname = p->ifname;
	if (rc == ERR_OK && c->kind == DEVICE_ENGINE) {
		rc = uapi_listen(&listening, p->ifname, e);
		p->listening = rc == ERR_OK;
		if (rc == ERR_IN_USE)
			rc = ERR_EXISTS; /* the name is taken, not the port */
	}
	if (rc == ERR_OK)
		rc = process_start(p, link[1], e);
	fd_close(link[1]);
	if (rc == ERR_OK)
		rc = hello(p, c, text[1], listening, e);
	fd_close(text[1]);
	fd_close(listening);
	if (rc == ERR_OK)
		rc = ready_wait(p, e);
	if (rc) {
		fd_close(text[0]);
		return rc;
	}
	*uapi = text[0];
	return ERR_OK;
}

enum err_code device_process_start(struct device_process **out, int *uapi,
				   const struct device_process_config *c, struct err *e)
{
	struct device_process *p = calloc(1, sizeof *p);
	enum err_code rc;

	if (!p)
		return err_set(e, ERR_NOMEM, "out of memory");
	p->keeper.sock = -1;
	p->gone_fd = -1;
	if (str_copy(p->ifname, sizeof p->ifname, str_of(c->device.ifname)))
		rc = start_steps(p, uapi, c, e);
	else
		rc = err_set(e, ERR_RANGE, "interface name \"%s\" is too long", c->device.ifname);
	if (rc) {
		device_process_stop(p);
		return rc;
	}
	*out = p;
	return ERR_OK;
}

/* ---- serving it ---- */

int device_process_keeper_fd(const struct device_process *p)
{
	return p->keeper.sock;
}

enum device_said device_process_serve(struct device_process *p)
{
	switch (engine_keeper_serve(&p->keeper, NULL)) {
	case ENGINE_ASKED:
		return DEVICE_ASKED;
	case ENGINE_GONE:
		return DEVICE_GONE;
	case ENGINE_READY:
	case ENGINE_FAILED:
	case ENGINE_CLOSED:
		break;
	}
	return DEVICE_ENDED;
}

/* ---- the end ---- */

static void process_end(const struct device_process *p)
{
	struct pollfd w = { .fd = p->gone_fd, .events = POLLIN };
	int n;

	do {
		n = poll(&w, 1, END_WAIT_MS);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		LOG_ERR("device.killed", F_INT("pid", p->pid),
			F_STR("why", "it did not end when it was told to"));
		(void)kill(p->pid, SIGKILL);
	}
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void device_process_stop(struct device_process *p)
{
	if (!p)
		return;
	if (p->keeper.sock >= 0)
		(void)shutdown(p->keeper.sock, SHUT_RDWR); /* which tells it */
	if (p->pid > 0)
		process_end(p);
	engine_keeper_done(&p->keeper);
	fd_close(p->keeper.sock);
	fd_close(p->gone_fd);
	if (p->listening)
		uapi_unlisten(p->ifname);
	free(p);
}

int device_process_gone_fd(const struct device_process *p)
{
	return p->gone_fd;
}
