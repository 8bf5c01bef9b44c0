#include "gateway/engine_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "device/uapi_server.h"
#include "gateway/engine_hello.h"
#include "priv/engine_link.h"
#include "priv/message.h"

#define SELF "/proc/self/exe"
/* It ends within milliseconds; one that hangs is killed. */
#define END_WAIT_MS 5000

struct engine_process {
	struct engine_keeper keeper;
	pthread_t thread; /* runs it */
	bool keeping;
	pid_t pid;
	int gone_fd; /* pidfd */
	bool listening; /* the socket file is there */
	char ifname[IF_NAMESIZE];
};

/* ---- the keeper's thread ---- */

/* Ends with the engine, or when the socket is shut down. */
static void *keeper_main(void *arg)
{
	struct engine_process *p = arg;

	while (engine_keeper_serve(&p->keeper, NULL) == ENGINE_ASKED)
		;
	return NULL;
}

static enum err_code keeper_start(struct engine_process *p, struct err *e)
{
	sigset_t all, before;
	int sys;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	sys = pthread_create(&p->thread, NULL, keeper_main, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (sys)
		return err_sys(e, sys, "start the engine's keeper");
	p->keeping = true;
	return ERR_OK;
}

/* ---- starting ---- */

/* Between fork and exec: system calls alone. */
NORETURN static void become_engine(int sock)
{
	char number[12], name[] = "qanat-gateway", argument[] = ENGINE_ARGUMENT;
	char *argv[] = { name, argument, number, NULL };

	(void)snprintf(number, sizeof number, "%d", sock);
	if (fcntl(sock, F_SETFD, 0) == 0)
		(void)execv(SELF, argv);
	_exit(127);
}

static enum err_code process_start(struct engine_process *p, int sock, struct err *e)
{
	p->pid = fork();
	if (p->pid < 0)
		return err_sys(e, errno, "start the engine's process");
	if (p->pid == 0)
		become_engine(sock);
	p->gone_fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->gone_fd < 0)
		return err_sys(e, errno, "watch the engine's process");
	return ERR_OK;
}

static enum err_code hello(const struct engine_process *p, const struct dataplane_config *c,
			   bool log_json, int uapi, int listening, struct err *e)
{
	struct engine_hello h;
	int fds[ENGINE_FDS] = { [ENGINE_FD_UAPI] = uapi, [ENGINE_FD_LISTEN] = listening };

	memset(&h, 0, sizeof h); /* padding goes out, too */
	memcpy(h.ifname, p->ifname, sizeof h.ifname);
	h.exclusive = c->exclusive;
	h.unpinned = c->unpinned;
	h.listen_port = c->listen_port;
	h.mtu = c->mtu;
	h.fwmark = c->fwmark;
	h.workers = c->workers;
	h.offloads = c->offloads;
	h.log_level = (int)log_get_level();
	h.log_json = log_json;
	return message_send(p->keeper.sock, &h, sizeof h, fds, ENGINE_FDS, e);
}

/* Serves its requests until it says that it is ready. */
static enum err_code ready_wait(struct engine_process *p, struct err *e)
{
	enum engine_said said;

	do {
		said = engine_keeper_serve(&p->keeper, e);
	} while (said == ENGINE_ASKED);
	if (said == ENGINE_READY)
		return ERR_OK;
	if (said == ENGINE_FAILED)
		return e->code;
	return err_wrap(e, ERR_CLOSED, "the engine's process did not start");
}

static enum err_code start_steps(struct engine_process *p, int *uapi,
				 const struct dataplane_config *c, bool log_json, struct err *e)
{
	int link[2] = { -1, -1 }, text[2] = { -1, -1 }, listening = -1;
	enum err_code rc = ERR_OK;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, text) < 0)
		rc = err_sys(e, errno, "make sockets for the engine's process");
	p->keeper.sock = link[0];
	if (rc == ERR_OK)
		rc = uapi_listen(&listening, p->ifname, e);
	p->listening = rc == ERR_OK;
	if (rc == ERR_OK)
		rc = process_start(p, link[1], e);
	fd_close(link[1]);
	if (rc == ERR_OK)
		rc = hello(p, c, log_json, text[1], listening, e);
	fd_close(text[1]);
	fd_close(listening);
	if (rc == ERR_OK)
		rc = ready_wait(p, e);
	if (rc == ERR_OK)
		rc = keeper_start(p, e);
	if (rc) {
		fd_close(text[0]);
		return rc;
	}
	*uapi = text[0];
	return ERR_OK;
}

enum err_code engine_process_start(struct engine_process **out, int *uapi,
				   const struct dataplane_config *c, bool log_json, struct err *e)
{
	struct engine_process *p = calloc(1, sizeof *p);
	enum err_code rc;

	if (!p)
		return err_set(e, ERR_NOMEM, "out of memory");
	p->keeper.sock = -1;
	p->gone_fd = -1;
	if (str_copy(p->ifname, sizeof p->ifname, str_of(c->ifname)))
		rc = start_steps(p, uapi, c, log_json, e);
	else
		rc = err_set(e, ERR_RANGE, "interface name \"%s\" is too long", c->ifname);
	if (rc) {
		engine_process_stop(p);
		return rc;
	}
	*out = p;
	return ERR_OK;
}

/* ---- the end ---- */

static void process_end(const struct engine_process *p)
{
	struct pollfd w = { .fd = p->gone_fd, .events = POLLIN };
	int n;

	do {
		n = poll(&w, 1, END_WAIT_MS);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		LOG_ERR("engine.killed", F_INT("pid", p->pid),
			F_STR("why", "it did not end when it was told to"));
		(void)kill(p->pid, SIGKILL);
	}
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void engine_process_stop(struct engine_process *p)
{
	if (!p)
		return;
	if (p->keeper.sock >= 0)
		(void)shutdown(p->keeper.sock, SHUT_RDWR); /* which tells it */
	if (p->keeping)
		(void)pthread_join(p->thread, NULL);
	if (p->pid > 0)
		process_end(p);
	engine_keeper_done(&p->keeper);
	fd_close(p->keeper.sock);
	fd_close(p->gone_fd);
	if (p->listening)
		uapi_unlisten(p->ifname);
	free(p);
}

int engine_process_gone_fd(const struct engine_process *p)
{
	return p->gone_fd;
}
