/* main.c - program qanat-wg: one WireGuard interface, driven by wg(8). */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "device/uapi_server.h"
#include "wgd/daemon.h"
#include "wgd/options.h"

struct wgd {
	const char *ifname;
	struct loop *loop;
	struct dataplane *dp;
	struct uapi_server *uapi;
	struct loop_fd interface_gone;
	int ready_fd;
};

/* ---- why it ends ---- */

static void on_signal(void *ctx, int signo)
{
	struct wgd *w = ctx;

	LOG_NOTE("device.stopping", F_STR("interface", w->ifname), F_INT("signal", signo));
	loop_stop(w->loop);
}

static void on_socket_gone(void *ctx)
{
	struct wgd *w = ctx;

	LOG_NOTE("device.stopping", F_STR("interface", w->ifname),
		 F_STR("why", "its socket was removed"));
	loop_stop(w->loop);
}

static void on_interface_gone(struct loop_fd *f, uint32_t events)
{
	struct wgd *w = CONTAINER_OF(f, struct wgd, interface_gone);

	(void)events;
	LOG_NOTE("device.stopping", F_STR("interface", w->ifname),
		 F_STR("why", "the interface is gone"));
	loop_stop(w->loop);
}

static void on_refused(void *ctx, const struct err *why)
{
	struct wgd *w = ctx;

	LOG_ERR("uapi.refused", F_STR("interface", w->ifname), F_ERR(why));
}

/* ---- starting and ending ---- */

static enum err_code watch(struct wgd *w, struct err *e)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < ARRAY_LEN(signals) && !rc; i++)
		rc = loop_signal(w->loop, signals[i], on_signal, w, e);
	return rc;
}

static int fd_given(uint32_t fd)
{
	return fd == WGD_FD_NONE ? -1 : (int)fd;
}

/* Opens socket, interface and loop.  The socket comes first: when another daemon answers there,
 * its interface is not touched. */
static enum err_code start(struct wgd *w, const struct wgd_options *o, struct err *e)
{
	struct dataplane_config c = {
		.ifname = o->ifname,
		.tun_fd = fd_given(o->tun_fd),
		.mtu = (uint16_t)o->mtu,
		.workers = o->workers,
		.unpinned = o->unpinned,
		.offloads = o->offloads,
	};
	int listen_fd = fd_given(o->uapi_fd);
	bool made = false;
	enum err_code rc;

	rc = loop_new(&w->loop, e);
	if (!rc)
		rc = watch(w, e);
	if (!rc && listen_fd < 0) {
		rc = uapi_listen(&listen_fd, o->ifname, e);
		made = !rc;
	}
	if (!rc)
		rc = dataplane_open(&w->dp, &c, e);
	if (rc) {
		fd_close(listen_fd);
		if (made)
			uapi_unlisten(o->ifname);
		return rc;
	}
	rc = uapi_server_open(&w->uapi, w->loop, w->dp, o->ifname, listen_fd, on_socket_gone, w, e);
	if (rc)
		return rc;
	uapi_server_on_refused(w->uapi, on_refused, w);
	w->interface_gone = (struct loop_fd){ .fd = dataplane_gone_fd(w->dp),
					      .events = LOOP_READ,
					      .ready = on_interface_gone };
	return loop_fd_add(w->loop, &w->interface_gone, e);
}

/* Socket first: who asks for the interface after that is told at once that it is not there. */
static void stop(struct wgd *w)
{
	uapi_server_close(w->uapi);
	loop_fd_remove(&w->interface_gone);
	dataplane_close(w->dp);
	loop_free(w->loop);
}

static enum err_code run(const struct wgd_options *o, struct err *e)
{
	struct wgd w = { .ifname = o->ifname, .ready_fd = -1 };
	bool keep_log = o->log_level_text && o->log_level != LOG_SILENT;
	enum err_code rc = process_harden(e);

	log_journal(getenv("JOURNAL_STREAM"));
	if (rc)
		return rc;
	if (!crypto_init())
		return err_set(e, ERR_UNSUPPORTED, "the cryptographic libraries are not usable");
	if (!o->foreground) {
		rc = daemon_fork(&w.ready_fd, e);
		if (rc)
			return rc;
	}
	rc = start(&w, o, e);
	if (!rc) {
		daemon_ready(&w.ready_fd, keep_log);
		LOG_NOTE("device.started", F_STR("interface", w.ifname));
		rc = loop_run(w.loop, e);
	}
	stop(&w);
	if (!rc)
		LOG_NOTE("device.stopped", F_STR("interface", w.ifname));
	fd_close(w.ready_fd);
	return rc;
}

static int say(void (*make)(const struct opt_program *prog, struct buf *out))
{
	AUTO(buf_done) struct buf b = { 0 };

	make(&wgd_program, &b);
	return buf_ok(&b) && fwrite(b.p, 1, b.n, stdout) == b.n && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct wgd_options o;
	struct err e = { 0 };

	if (argc == 2 && strcmp(argv[1], "--man") == 0) /* for the build */
		return say(opt_man);
	if (wgd_options_read(&o, argc, argv, &e)) {
		fprintf(stderr, "qanat-wg: %s\n", e.msg);
		return 1;
	}
	if (o.help)
		return say(opt_help);
	if (o.version)
		return printf("qanat-wg %s\n", QANAT_VERSION) > 0 && fflush(stdout) == 0 ? 0 : 1;
	log_set_level(o.log_level);
	log_json(o.json);
	if (run(&o, &e)) {
		fprintf(stderr, "qanat-wg: %s%s\n", e.msg,
			e.code == ERR_DENIED && geteuid() != 0 ? "; it has to be started by root"
							       : "");
		return 1;
	}
	return 0;
}
