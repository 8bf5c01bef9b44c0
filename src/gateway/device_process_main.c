/* The device's process itself (device_process.h). */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "device/relay.h"
#include "device/uapi_server.h"
#include "gateway/device_hello.h"
#include "gateway/device_process.h"
#include "gateway/log_fd.h"
#include "priv/engine_link.h"
#include "priv/message.h"
#include "priv/sandbox.h"

/* So long after its interface was deleted the process notices. */
#define KERNEL_LOOK_MS 1000

struct engine {
	int link; /* to the keeper */
	int fds[DEVICE_FDS]; /* -1: handed on, or none */
	struct dataplane *dp;
	struct uapi_server *uapi;
	struct loop *loop;
	struct loop_fd keeper_watch, gone_watch;
	bool gone;
};

/* What the filter must refuse, tried: none of it would harm if it did not. */
static enum err_code rights_prove(struct err *e)
{
	char *none[] = { NULL };
	const struct {
		const char *what;
		bool refused;
	} tries[] = {
		{ "open a file", open("/dev/null", O_RDONLY | O_CLOEXEC) < 0 && errno == EPERM },
		{ "open a socket",
		  socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0) < 0 && errno == EPERM },
		{ "start a program", execve("", none, none) < 0 && errno == EPERM },
		{ "signal its parent", kill(getppid(), 0) < 0 && errno == EPERM },
	};

	for (size_t i = 0; i < ARRAY_LEN(tries); i++)
		if (!tries[i].refused)
			return err_set(e, ERR_DENIED,
				       "the engine's process can still %s: its system call filter "
				       "does not hold",
				       tries[i].what);
	return ERR_OK;
}

/* docs/operations/security.md lists what this is, and tests/e2e/processes.sh holds it to that. */
static enum err_code rights_drop(void *ctx, struct err *e)
{
	static const struct sandbox rights = {
		.calls = SANDBOX_CALLS_BASE | SANDBOX_CALLS_THREADS | SANDBOX_CALLS_MESSAGES |
			 SANDBOX_CALLS_ACCEPT | SANDBOX_CALLS_TUN | SANDBOX_CALLS_LOOK,
	};
	struct sandbox_report report;
	enum err_code rc = sandbox_enter(&rights, &report, e);

	(void)ctx;
	if (rc)
		return rc;
	if (report.seccomp)
		rc = rights_prove(e);
	else
		LOG_WARNING("engine.no_seccomp",
			    F_STR("why", "this kernel has no filters of system calls"));
	if (rc == ERR_OK)
		LOG_NOTE("engine.confined", F_INT("pid", getpid()),
			 F_INT("seccomp", report.seccomp), F_INT("landlock", report.landlock_abi));
	return rc;
}

/* The keeper's end is closed when the gateway stops, and when it dies. */
static void keeper_gone(struct loop_fd *w, uint32_t events)
{
	struct engine *g = CONTAINER_OF(w, struct engine, keeper_watch);

	(void)events;
	loop_fd_remove(w);
	loop_stop(g->loop);
}

static void interface_gone(struct loop_fd *w, uint32_t events)
{
	struct engine *g = CONTAINER_OF(w, struct engine, gone_watch);

	(void)events;
	g->gone = true;
	loop_fd_remove(w);
	/* What it has counted, and where its peers were, is asked for once more: it ends when it is told to. */
	if (engine_link_gone(&g->link, NULL))
		loop_stop(g->loop);
}

static enum err_code watches_start(struct engine *g, struct err *e)
{
	enum err_code rc;

	g->keeper_watch = (struct loop_fd){ .fd = g->link, .ready = keeper_gone };
	g->gone_watch = (struct loop_fd){ .fd = dataplane_gone_fd(g->dp),
					  .events = LOOP_READ,
					  .ready = interface_gone };
	rc = loop_fd_add(g->loop, &g->keeper_watch, e);
	return rc ? rc : loop_fd_add(g->loop, &g->gone_watch, e);
}

/* wg(8) loses sight of the interface, its clients do not. */
static void uapi_gone(void *ctx)
{
	const struct device_hello *h = ctx;

	LOG_WARNING("uapi.socket_removed", F_STR("interface", h->ifname));
}

static void uapi_refused(void *ctx, const struct err *why)
{
	const struct device_hello *h = ctx;

	LOG_WARNING("uapi.refused", F_STR("interface", h->ifname), F_ERR(why));
}

static int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static enum err_code uapi_start(struct engine *g, struct device_hello *h, struct err *e)
{
	enum err_code rc = uapi_server_open(&g->uapi, g->loop, g->dp, h->ifname,
					    fd_take(&g->fds[DEVICE_FD_LISTEN]), uapi_gone, h, e);

	if (rc)
		return rc;
	uapi_server_on_refused(g->uapi, uapi_refused, h);
	return uapi_server_add_owner(g->uapi, fd_take(&g->fds[DEVICE_FD_UAPI]), e);
}

static enum err_code engine_start(struct engine *g, struct device_hello *h, struct err *e)
{
	const struct dataplane_config c = {
		.ifname = h->ifname,
		.exclusive = h->exclusive,
		.tun_fd = -1,
		.listen_port = h->listen_port,
		.port_required = true,
		.fwmark = h->fwmark,
		.mtu = h->mtu,
		.workers = h->workers,
		.offloads = h->offloads,
		.unpinned = h->unpinned,
		.outside = { .open_sockets = engine_link_sockets,
			     .set_mark = engine_link_mark,
			     .set_super_packet = engine_link_super_packet,
			     .opened = rights_drop,
			     .ctx = &g->link },
	};
	enum err_code rc = loop_new(&g->loop, e);

	if (rc == ERR_OK)
		rc = dataplane_open(&g->dp, &c, e); /* from here on without rights */
	if (rc == ERR_OK)
		rc = uapi_start(g, h, e);
	return rc ? rc : watches_start(g, e);
}

static enum err_code hello_take(struct engine *g, struct device_hello *h, struct err *e)
{
	size_t n = DEVICE_FDS;
	enum err_code rc;

	/* All of ours are close-on-exec: this is for those that the gateway was started with. */
	rc = sandbox_close_others(&g->link, 1, e);
	if (rc == ERR_OK)
		rc = message_receive(g->link, h, sizeof *h, g->fds, &n, e);
	if (rc)
		return rc;
	h->ifname[sizeof h->ifname - 1] = 0;
	if (n != (h->is_kernel ? DEVICE_FD_LISTEN : DEVICE_FDS))
		return err_set(e, ERR_INVALID, "%zu descriptors came", n);
	log_set_level((enum log_level)h->log_level);
	log_json(h->log_json);
	log_fd_begin(&g->fds[DEVICE_FD_LOG]);
	return ERR_OK;
}

/* ---- the kernel's driver ---- */

/* Netlink is open; its messages are weighed by the rights of who sends them. */
static enum err_code kernel_rights_drop(struct err *e)
{
	static const struct sandbox rights = {
		.capabilities = 1ull << CAP_NET_ADMIN,
		.calls = SANDBOX_CALLS_BASE | SANDBOX_CALLS_MESSAGES,
	};
	struct sandbox_report report;
	enum err_code rc = sandbox_enter(&rights, &report, e);

	if (rc == ERR_OK)
		LOG_NOTE("kernel.confined", F_INT("pid", getpid()),
			 F_INT("seccomp", report.seccomp), F_INT("landlock", report.landlock_abi));
	return rc;
}

static enum err_code kernel_open(struct relay **out, struct device **d, struct engine *g,
				 const struct device_hello *h, struct err *e)
{
	const struct device_kernel_config c = {
		.ifname = h->ifname,
		.existing = h->exclusive ? DEVICE_MUST_BE_NEW : DEVICE_MAY_EXIST,
		.mtu = h->mtu,
	};
	enum err_code rc = device_open_kernel(d, &c, e);

	if (rc == ERR_OK)
		rc = kernel_rights_drop(e);
	if (rc) {
		device_close(*d);
		return rc;
	}
	return relay_new(out, *d, fd_take(&g->fds[DEVICE_FD_UAPI]), e);
}

/* Until its keeper or its asker ends, or its interface. */
static void kernel_serve(const struct engine *g, int uapi, struct relay *r, struct device *d)
{
	struct pollfd on[] = { { .fd = g->link, .events = POLLIN },
			       { .fd = uapi, .events = POLLIN } };

	for (;;) {
		int n = poll(on, ARRAY_LEN(on), KERNEL_LOOK_MS);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0 && on[0].revents)
			return;
		if (n > 0 && on[1].revents && !relay_serve(r))
			return;
		if (n == 0 && device_alive(d, NULL))
			return;
	}
}

static enum err_code kernel_run(struct engine *g, const struct device_hello *h, struct err *e)
{
	int uapi = g->fds[DEVICE_FD_UAPI];
	struct relay *r = NULL;
	struct device *d = NULL;
	struct err why = { 0 };
	enum err_code rc = kernel_open(&r, &d, g, h, &why);

	if (rc) {
		(void)!engine_link_report(&g->link, rc, &why, NULL); /* or nobody is there */
		return rc;
	}
	rc = engine_link_report(&g->link, ERR_OK, NULL, e);
	if (rc == ERR_OK)
		kernel_serve(g, uapi, r, d);
	relay_free(r);
	return rc;
}

/* ---- both ---- */

/* Signals of a terminal and of a service manager go to all processes: the gateway, which gets them
 * too, says when it is time. */
static void signals_ignore(void)
{
	static const int all[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		(void)signal(all[i], SIG_IGN);
}

static enum err_code serve(struct engine *g, struct err *e)
{
	struct device_hello h;
	struct err why = { 0 };
	enum err_code rc = hello_take(g, &h, &why);

	if (rc == ERR_OK && h.is_kernel)
		return kernel_run(g, &h, e);
	if (rc == ERR_OK)
		rc = engine_start(g, &h, &why);
	if (rc) {
		(void)!engine_link_report(&g->link, rc, &why, NULL); /* or nobody is there */
		return rc;
	}
	rc = engine_link_report(&g->link, ERR_OK, NULL, e);
	return rc ? rc : loop_run(g->loop, e);
}

static void engine_end(struct engine *g)
{
	loop_fd_remove(&g->keeper_watch);
	loop_fd_remove(&g->gone_watch);
	uapi_server_close(g->uapi);
	dataplane_close(g->dp);
	loop_free(g->loop);
	log_fd_end();
	for (size_t i = 0; i < DEVICE_FDS; i++)
		fd_close(g->fds[i]);
	fd_close(g->link);
}

int device_process_main(const char *descriptor)
{
	struct engine g = { .link = -1, .fds = { -1, -1, -1 } };
	struct err e = { 0 };
	uint32_t number;
	enum err_code rc;

	if (!u32_parse(str_of(descriptor), 3, INT32_MAX, &number) || !crypto_init())
		return EXIT_FAILURE;
	g.link = (int)number;
	(void)prctl(PR_SET_NAME, "qanat-device"); /* for ps(1) */
	signals_ignore();
	rc = serve(&g, &e);
	engine_end(&g);
	return rc || g.gone ? EXIT_FAILURE : EXIT_SUCCESS;
}
