#include "gateway/helper_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "gateway/control_hello.h"
#include "gateway/devices.h"
#include "gateway/https_server.h"
#include "gateway/log_fd.h"
#include "gateway/restart_reply.h"
#include "priv/helper_serve.h"
#include "priv/message.h"

#define SELF "/proc/self/exe"
#define JOURNAL_FILE "net.journal"
/* Control puts the host back and waits for the disk: that takes less. */
#define END_WAIT_MS 20000

struct helper_process {
	const struct options *options;
	struct restart *restart;
	struct loop *loop;
	struct helper_server *server;
	struct devices *devices;
	pid_t control; /* 0: none was started */
	int gone_fd; /* pidfd */
	int log_fd[2]; /* of all processes but control: written here, read there */
	struct rights_user user; /* control's */
	int stop_signal; /* that was told last; 0: none was */
};

static enum err_code journal_path(char out[PATH_MAX], const char *state_dir, struct err *e)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", state_dir, JOURNAL_FILE);

	if (n < 0 || n >= PATH_MAX)
		return err_set(e, ERR_RANGE, "the name of the state directory is too long");
	return ERR_OK;
}

bool helper_process_left(const char *state_dir)
{
	char path[PATH_MAX];

	return journal_path(path, state_dir, NULL) == ERR_OK && access(path, F_OK) == 0;
}

enum err_code helper_process_undo(const char *state_dir, struct err *e)
{
	struct net *n = NULL;
	char path[PATH_MAX];
	enum err_code rc = journal_path(path, state_dir, e);

	if (rc || access(path, F_OK) < 0)
		return rc;
	rc = net_open(&n, path, e);
	if (rc)
		return rc;
	rc = net_undo(n, e);
	net_close(n);
	return rc;
}

/* ---- starting control ---- */

/* Between fork and exec.  This process has one thread, so more than system calls is safe. */
NORETURN static void become_control(const struct helper_process *p, int sock)
{
	char number[12], argument[] = CONTROL_ARGUMENT, pid[12];
	size_t n = 0;
	char **argv;

	while (p->restart->argv[n])
		n++;
	argv = calloc(n + 3, sizeof *argv);
	if (!argv)
		_exit(127);
	(void)snprintf(number, sizeof number, "%d", sock);
	argv[0] = p->restart->argv[0];
	argv[1] = argument;
	argv[2] = number;
	for (size_t i = 1; i < n; i++)
		argv[i + 2] = p->restart->argv[i];
	/* The service manager's watchdog asks this process, whose parent it knows. */
	(void)snprintf(pid, sizeof pid, "%d", (int)getpid());
	if (getenv("WATCHDOG_PID"))
		(void)setenv("WATCHDOG_PID", pid, 1);
	https_listeners_inherit();
	if (p->options->ready_fd && !p->options->restarted)
		(void)fcntl((int)p->options->ready_fd, F_SETFD, 0);
	if (fcntl(sock, F_SETFD, 0) == 0)
		(void)execv(SELF, argv);
	_exit(127);
}

static enum err_code control_spawn(struct helper_process *p, int sock, struct err *e)
{
	p->control = fork();
	if (p->control < 0)
		return err_sys(e, errno, "start the gateway's control process");
	if (p->control == 0)
		become_control(p, sock);
	p->gone_fd = (int)syscall(SYS_pidfd_open, p->control, 0);
	return p->gone_fd < 0 ? err_sys(e, errno, "watch the gateway's control process") : ERR_OK;
}

static enum err_code hello_send(const struct helper_process *p, int sock, int link, int events,
				int reply_fd, struct err *e)
{
	const int fds[CONTROL_FDS] = { [CONTROL_FD_LINK] = link,
				       [CONTROL_FD_EVENTS] = events,
				       [CONTROL_FD_LOG] = p->log_fd[1],
				       [CONTROL_FD_REPLY] = reply_fd };
	struct control_hello h;

	memset(&h, 0, sizeof h);
	h.restarted = p->options->restarted;
	h.user = p->user;
	return message_send(sock, &h, sizeof h, fds, reply_fd >= 0 ? CONTROL_FDS : CONTROL_FD_REPLY,
			    e);
}

/* ---- signals ---- */

static void signal_taken(void *ctx, int signo)
{
	struct helper_process *p = ctx;

	if (signo == SIGTERM || signo == SIGINT)
		p->stop_signal = signo;
	helper_tell_signal(p->server, signo);
}

static enum err_code loop_start(struct helper_process *p, struct err *e)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR2 };
	enum err_code rc = loop_new(&p->loop, e);

	for (size_t i = 0; rc == ERR_OK && i < ARRAY_LEN(signals); i++)
		rc = loop_signal(p->loop, signals[i], signal_taken, p, e);
	return rc;
}

/* ---- serving ---- */

static void link_closed(void *ctx)
{
	const struct helper_process *p = ctx;

	loop_stop(p->loop);
}

static void device_gone(void *ctx, uint32_t number)
{
	const struct helper_process *p = ctx;

	helper_tell_gone(p->server, number);
}

static enum err_code pairs_make(int hello[2], int link[2], int events[2], int log[2], struct err *e)
{
	const int flags = SOCK_CLOEXEC;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | flags, 0, hello) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | flags, 0, link) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | flags, 0, events) < 0 ||
	    socketpair(AF_UNIX, SOCK_DGRAM | flags, 0, log) < 0)
		return err_sys(e, errno, "make sockets for the gateway's control process");
	return ERR_OK;
}

static enum err_code server_make(struct helper_process *p, int sock, int events, struct err *e)
{
	char journal[PATH_MAX];
	struct helper_devices d;
	enum err_code rc = journal_path(journal, p->options->state_dir, e);

	if (rc == ERR_OK)
		rc = devices_new(&p->devices, p->loop, p->options, p->log_fd[0], device_gone, p, e);
	if (rc) {
		fd_close(sock);
		fd_close(events);
		return rc;
	}
	d = devices_table(p->devices);
	rc = helper_server_new(&p->server, p->loop, sock, events, journal, &d, e);
	return rc ? rc : helper_server_start(p->server, link_closed, p, e);
}

static enum err_code server_start(struct helper_process *p, int reply_fd, struct err *e)
{
	int hello[2] = { -1, -1 }, link[2] = { -1, -1 }, events[2] = { -1, -1 };
	enum err_code rc = pairs_make(hello, link, events, p->log_fd, e);

	if (rc == ERR_OK)
		rc = server_make(p, link[0], events[0], e);
	else
		fd_close(link[0]);
	if (rc == ERR_OK)
		rc = control_spawn(p, hello[1], e);
	if (rc == ERR_OK)
		rc = hello_send(p, hello[0], link[1], events[1], reply_fd, e);
	fd_close(hello[0]);
	fd_close(hello[1]);
	fd_close(link[1]);
	fd_close(events[1]);
	fd_close(p->log_fd[1]);
	p->log_fd[1] = -1;
	if (rc == ERR_OK)
		log_fd_begin(&p->log_fd[0]);
	return rc;
}

/* Its exit status; one that was killed is a failure. */
static int control_wait(struct helper_process *p)
{
	struct pollfd w = { .fd = p->gone_fd, .events = POLLIN };
	int status = 0, n;

	do {
		n = poll(&w, 1, END_WAIT_MS);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		LOG_ERR("control.killed", F_INT("pid", p->control),
			F_STR("why", "it did not end when its helper did"));
		(void)kill(p->control, SIGKILL);
	}
	while (waitpid(p->control, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		LOG_ERR("control.died", F_INT("signal", WTERMSIG(status)));
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

static void process_free(struct helper_process *p)
{
	log_fd_end();
	devices_free(p->devices, false);
	helper_server_free(p->server);
	loop_free(p->loop);
	fd_close(p->gone_fd);
	fd_close(p->log_fd[0]);
	fd_close(p->log_fd[1]);
}

/* ---- restarting ---- */

/* Somebody who deletes the interface again and again does not want it. */
static bool may_restart(struct helper_process *p, enum helper_ending how, struct err *e)
{
	return how != HELPER_RESTARTS_GONE ||
	       restart_lost(p->restart, (uint64_t)(clock_mono_ns() / NS_PER_S), e) == ERR_OK;
}

/* Becomes the new program; returns only when that fails, and then the host is as it was before. */
static int restart(struct helper_process *p, enum helper_ending how)
{
	struct err e = { 0 }, undo = { 0 };
	struct helper_heritage h = helper_server_heritage(p->server);

	log_fd_end();
	/* An engine ends with its program.  Others go on, so that no packet is lost meanwhile. */
	devices_leave(p->devices);
	if (may_restart(p, how, &e)) {
		/* Control has not heard of it, or it would not restart: the next one does. */
		if (p->stop_signal)
			(void)raise(p->stop_signal);
		restart_reply_pass_on(h.asker);
		https_listeners_keep(h.listeners, h.owners, h.n);
		(void)restart_exec(p->restart, p->options->state_dir, &e);
		LOG_ERR("gateway.restart_failed", F_ERR(&e));
	} else {
		LOG_ERR("gateway.failed", F_ERR(&e));
	}
	restart_reply_fail(h.asker, &e);
	devices_free(p->devices, true);
	p->devices = NULL;
	if (helper_server_undo(p->server, &undo))
		LOG_ERR("net.undo_failed", F_ERR(&undo));
	return EXIT_FAILURE;
}

/* ---- all of it ---- */

static int finish(struct helper_process *p)
{
	enum helper_ending how = helper_server_ending(p->server);
	int status = control_wait(p);

	if (how == HELPER_RESTARTS || how == HELPER_RESTARTS_GONE)
		return restart(p, how);
	/* Without a word it has crashed: what it did to the host is for the next start. */
	if (how != HELPER_STOPS)
		return status ? status : EXIT_FAILURE;
	return status;
}

int helper_process_run(struct options *o, struct restart *r, int reply_fd)
{
	struct helper_process p = {
		.options = o, .restart = r, .gone_fd = -1, .log_fd = { -1, -1 }
	};
	struct err e = { 0 };
	enum err_code rc = rights_check(&e);
	int status = EXIT_FAILURE;

	/* What this process was started with beyond its own is nothing for the others. */
	(void)syscall(SYS_close_range, STDERR_FILENO + 1, UINT32_MAX, CLOSE_RANGE_CLOEXEC);

	if (rc == ERR_OK)
		rc = api_options_read_commands(&o->api, &e);
	if (rc == ERR_OK)
		rc = rights_prepare(&p.user, o->user, o->state_dir, &e);
	if (rc == ERR_OK)
		rc = loop_start(&p, &e); /* blocks the signals before they can end half of it */
	if (rc == ERR_OK)
		rc = server_start(&p, reply_fd, &e);
	if (rc) {
		LOG_ERR("gateway.start_failed", F_ERR(&e));
		restart_reply_fail(reply_fd, &e);
		if (o->restarted && helper_process_undo(o->state_dir, &e))
			LOG_ERR("net.undo_failed", F_ERR(&e));
		process_free(&p);
		return EXIT_FAILURE;
	}
	fd_close(reply_fd);
	https_listeners_leave(); /* which control has */
	if (o->ready_fd && !o->restarted)
		fd_close((int)o->ready_fd); /* control's alone */
	rc = loop_run(p.loop, &e);
	if (rc)
		LOG_ERR("gateway.failed", F_ERR(&e));
	status = finish(&p);
	process_free(&p);
	return status;
}

/* ---- control's side ---- */

enum err_code control_start_take(struct control_start *out, const char *descriptor, struct err *e)
{
	int fds[CONTROL_FDS];
	size_t n = CONTROL_FDS;
	struct control_hello h;
	uint32_t number;
	enum err_code rc;

	*out = (struct control_start){ .log_fd = -1, .reply_fd = -1 };
	if (!u32_parse(str_of(descriptor), 3, INT32_MAX, &number))
		return err_set(e, ERR_INVALID, CONTROL_ARGUMENT " is for the gateway itself");
	rc = message_receive((int)number, &h, sizeof h, fds, &n, e);
	fd_close((int)number);
	if (rc)
		return rc;
	if (n < CONTROL_FD_REPLY)
		return err_set(e, ERR_INVALID, "%zu descriptors came", n);
	out->log_fd = fds[CONTROL_FD_LOG];
	out->reply_fd = n > CONTROL_FD_REPLY ? fds[CONTROL_FD_REPLY] : -1;
	out->restarted = h.restarted;
	out->user = h.user;
	return helper_new(&out->helper, fds[CONTROL_FD_LINK], fds[CONTROL_FD_EVENTS], e);
}
