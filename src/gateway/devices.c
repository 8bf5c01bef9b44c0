#include "gateway/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "device/device.h"
#include "gateway/control_server.h"
#include "gateway/device_process.h"
#include "gateway/https_server.h"
#include "gateway/ready.h"
#include "io/unix_socket.h"

#define DEVICE_BUSY_NS (3 * NS_PER_S)

struct one {
	struct devices *all;
	uint32_t number; /* 0: none is here */
	enum helper_device_kind kind;
	char ifname[NET_NAME_MAX];
	struct device_process *process; /* NULL for a daemon */
	struct loop_fd gone, keeper;
};

struct devices {
	const struct options *options;
	struct loop *loop;
	int log_fd;
	void (*gone)(void *ctx, uint32_t number);
	void *ctx;
	uint32_t last; /* number given */
	bool listening; /* the control socket is there */
	struct one list[DEVICES_MAX];
};

/* ---- one ---- */

static void one_gone(struct loop_fd *w, uint32_t events)
{
	struct one *o = CONTAINER_OF(w, struct one, gone);

	(void)events;
	loop_fd_remove(w);
	o->all->gone(o->all->ctx, o->number);
}

static void keeper_ready(struct loop_fd *w, uint32_t events)
{
	const struct one *o = CONTAINER_OF(w, struct one, keeper);
	enum device_said said = device_process_serve(o->process);

	(void)events;
	if (said != DEVICE_ASKED)
		loop_fd_remove(w);
	if (said == DEVICE_GONE)
		o->all->gone(o->all->ctx, o->number);
}

/* Deletes the kernel's interface, which does not end with a process. */
static enum err_code kernel_delete(const char *ifname, struct err *e)
{
	const struct device_kernel_config c = { .ifname = ifname, .existing = DEVICE_MUST_EXIST };
	struct device *d = NULL;
	enum err_code rc = device_open_kernel(&d, &c, e);

	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	return rc ? rc : device_delete(d, e);
}

static void process_end(struct one *o)
{
	loop_fd_remove(&o->gone);
	loop_fd_remove(&o->keeper);
	device_process_stop(o->process);
	o->process = NULL;
}

static enum err_code one_end(struct one *o, bool removes, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (!o->number)
		return ERR_OK;
	process_end(o);
	if (o->kind == HELPER_KERNEL && removes)
		rc = kernel_delete(o->ifname, e);
	*o = (struct one){ 0 };
	return rc;
}

static enum err_code one_watch(struct one *o, struct err *e)
{
	enum err_code rc;

	o->gone = (struct loop_fd){ .fd = device_process_gone_fd(o->process),
				    .events = LOOP_READ,
				    .ready = one_gone };
	o->keeper = (struct loop_fd){ .fd = device_process_keeper_fd(o->process),
				      .events = LOOP_READ,
				      .ready = keeper_ready };
	rc = loop_fd_add(o->all->loop, &o->gone, e);
	return rc ? rc : loop_fd_add(o->all->loop, &o->keeper, e);
}

/* ---- opening ---- */

static enum err_code process_open(struct one *o, const struct helper_device *d,
				  enum device_kind kind, int *uapi, struct err *e)
{
	const struct options *opt = o->all->options;
	const struct device_process_config c = {
		.kind = kind,
		.device = {
			.ifname = o->ifname,
			.exclusive = kind == DEVICE_ENGINE || !d->take_over,
			.tun_fd = -1,
			.listen_port = d->listen_port,
			.port_required = true,
			.mtu = d->mtu,
			.workers = opt->workers,
			.offloads = opt->no_offload ? 0 : OFFLOAD_ALL,
		},
		.log_json = opt->log_json,
		.log_fd = o->all->log_fd,
	};
	enum err_code rc = device_process_start(&o->process, uapi, &c, e);

	return rc ? rc : one_watch(o, e);
}

/* Devices of a gateway that was killed end by themselves, a moment after it: until then name and port are
 * theirs.  Waited for while this one starts; later a name that is taken is somebody's mistake. */
static enum err_code process_open_soon(struct one *o, const struct helper_device *d,
				       enum device_kind kind, int *uapi, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 20 * NS_PER_MS };
	int64_t end = o->all->listening ? 0 : clock_mono_ns() + DEVICE_BUSY_NS;
	enum err_code rc;

	for (;;) {
		rc = process_open(o, d, kind, uapi, e);
		if ((rc != ERR_EXISTS && rc != ERR_IN_USE) || clock_mono_ns() >= end)
			return rc;
		(void)nanosleep(&pause, NULL);
	}
}

/* A daemon has its interface already: all that we do to the host is for that one's name. */
static enum err_code name_check(const char *path, const char *ifname, struct err *e)
{
	struct str name = device_socket_ifname(path);
	char shown[64];

	if (str_eq(name, str_of(ifname)))
		return ERR_OK;
	text_escaped(shown, sizeof shown, name);
	return err_set(e, ERR_INVALID,
		       "option --backend: the daemon's interface is \"%s\", but --interface is %s",
		       shown, ifname);
}

static enum err_code open_kind(struct one *o, const struct helper_device *d,
			       const struct device_choice *choice, int *uapi, struct err *e)
{
	enum err_code rc;

	switch (choice->kind) {
	case DEVICE_KERNEL:
		o->kind = HELPER_KERNEL;
		rc = process_open(o, d, DEVICE_KERNEL, uapi, e);
		if (d->is_further)
			return rc;
		if (rc == ERR_EXISTS || rc == ERR_IN_USE)
			return err_wrap(e, ERR_IN_USE, "option --interface");
		return rc ? err_wrap(e, rc, "option --backend") : ERR_OK;
	case DEVICE_UAPI:
		o->kind = HELPER_DAEMON;
		return name_check(choice->path, d->ifname, e);
	case DEVICE_AUTO:
	case DEVICE_ENGINE:
	default:
		o->kind = HELPER_ENGINE;
		rc = process_open_soon(o, d, DEVICE_ENGINE, uapi, e);
		if (d->is_further)
			return rc;
		if (rc == ERR_EXISTS)
			return err_wrap(e, ERR_IN_USE, "option --interface");
		if (rc == ERR_IN_USE)
			return err_wrap(e, rc, "option --%s",
					if_nametoindex(d->ifname) ? "interface" : "port");
		return rc;
	}
}

static struct one *room(struct devices *all)
{
	for (size_t i = 0; i < DEVICES_MAX; i++)
		if (!all->list[i].number)
			return &all->list[i];
	return NULL;
}

static enum err_code device_open(void *ctx, const struct helper_device *d,
				 struct helper_opened *out, struct err *e)
{
	struct devices *all = ctx;
	struct one *o = room(all);
	struct device_choice choice = { 0 };
	int uapi = -1;
	enum err_code rc;

	if (!o)
		return err_set(e, ERR_FULL, "there are %d devices already", DEVICES_MAX);
	rc = device_choice_parse(&choice, all->options->backend, e);
	if (rc)
		return rc;
	if (choice.kind == DEVICE_UAPI && d->is_further)
		choice.kind = DEVICE_ENGINE;
	if (choice.kind == DEVICE_AUTO)
		choice.kind = device_choose(d->needs);
	*o = (struct one){ .all = all, .number = ++all->last, .gone.fd = -1, .keeper.fd = -1 };
	memcpy(o->ifname, d->ifname, sizeof o->ifname);
	rc = open_kind(o, d, &choice, &uapi, e);
	if (rc) {
		fd_close(uapi);
		(void)!one_end(o, false, NULL);
		return rc;
	}
	*out = (struct helper_opened){ .number = o->number, .kind = o->kind, .uapi = uapi };
	return ERR_OK;
}

static enum err_code device_end(void *ctx, uint32_t number, bool removes, struct err *e)
{
	struct devices *all = ctx;

	for (size_t i = 0; number && i < DEVICES_MAX; i++)
		if (all->list[i].number == number)
			return one_end(&all->list[i], removes, e);
	return err_set(e, ERR_NOT_FOUND, "there is no device %u", number);
}

static bool is_open(void *ctx, const char *ifname)
{
	const struct devices *all = ctx;

	for (size_t i = 0; i < DEVICES_MAX; i++)
		if (all->list[i].number && !strcmp(all->list[i].ifname, ifname))
			return true;
	return false;
}

static enum err_code daemon_connect(void *ctx, int *out, struct err *e)
{
	const struct devices *all = ctx;
	struct device_choice choice = { 0 };
	enum err_code rc = device_choice_parse(&choice, all->options->backend, e);

	if (rc)
		return rc;
	if (choice.kind != DEVICE_UAPI)
		return err_set(e, ERR_INVALID, "option --backend names no daemon");
	return unix_connect(out, choice.path, DEVICE_UAPI_TIMEOUT_MS, e);
}

static enum err_code control_socket(void *ctx, bool on, int *out, struct err *e)
{
	struct devices *all = ctx;
	enum err_code rc = ERR_OK;

	if (on)
		rc = control_listen(out, all->options->socket, e);
	else if (all->listening)
		control_unlisten(all->options->socket);
	all->listening = on && rc == ERR_OK;
	return rc;
}

/* The state directory is control's: nothing in it may lead this process elsewhere. */
static int own_tls_open(const char *state_dir, const char *name)
{
	AUTO(fd_done) int dir = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? -1 : open_beneath(dir, name);
}

static enum err_code open_tls(void *ctx, bool is_key, int *out, struct err *e)
{
	const struct devices *all = ctx;
	const struct options *o = all->options;
	const char *given = is_key ? o->api.cert_key : o->api.cert;
	const char *name = is_key ? HTTPS_KEY_FILE : HTTPS_CERT_FILE;
	AUTO(fd_done) int fd = -1;
	struct stat st;

	fd = given ? open(given, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
		   : own_tls_open(o->state_dir, name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open %s%s%s", given ? given : o->state_dir,
			       given ? "" : "/", given ? "" : name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file", given ? given : name);
	*out = fd;
	fd = -1;
	return ERR_OK;
}

static enum err_code notify(enum helper_note note, struct err *e)
{
	switch (note) {
	case HELPER_IS_READY:
		return ready_notify("READY=1", e);
	case HELPER_IS_ALIVE:
		return ready_notify("WATCHDOG=1", e);
	case HELPER_RELOADS:
		return ready_notify_reloading(e);
	case HELPER_IS_STOPPING:
		break;
	}
	return ready_notify("STOPPING=1", e);
}

/* ---- all ---- */

enum err_code devices_new(struct devices **out, struct loop *l, const struct options *o, int log_fd,
			  void (*gone)(void *ctx, uint32_t number), void *ctx, struct err *e)
{
	struct devices *d = calloc(1, sizeof *d);

	if (!d)
		return err_set(e, ERR_NOMEM, "no memory for devices");
	d->options = o;
	d->loop = l;
	d->log_fd = log_fd;
	d->gone = gone;
	d->ctx = ctx;
	*out = d;
	return ERR_OK;
}

void devices_leave(struct devices *d)
{
	for (size_t i = 0; i < DEVICES_MAX; i++)
		if (d->list[i].number)
			process_end(&d->list[i]);
}

void devices_free(struct devices *d, bool removes)
{
	struct err e;

	if (!d)
		return;
	for (size_t i = 0; i < DEVICES_MAX; i++)
		if (one_end(&d->list[i], removes, &e))
			LOG_ERR("device.delete_failed", F_ERR(&e));
	if (d->listening)
		control_unlisten(d->options->socket);
	free(d);
}

struct helper_devices devices_table(struct devices *d)
{
	return (struct helper_devices){ .ctx = d,
					.open = device_open,
					.close = device_end,
					.is_open = is_open,
					.daemon = daemon_connect,
					.control_socket = control_socket,
					.open_tls = open_tls,
					.notify = notify,
					.commands = buf_view(&d->options->api.commands) };
}
