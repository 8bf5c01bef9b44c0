/* helper_test.c - control's end in the test, the helper's in a thread, devices that are a table.
 *
 * Nothing is changed on this host: what is applied is refused before.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "priv/helper_message.h"
#include "priv/helper_serve.h"
#include "priv/message.h"

struct fixture {
	char dir[64], journal[96];
	struct helper *h;
	struct helper_server *server;
	struct loop *loop;
	pthread_t thread;
	int raw; /* a copy of control's end */
	/* the devices */
	struct helper_device opened;
	uint32_t last;
	bool is_open, removed, listening;
	enum helper_note note;
};

/* ---- devices that are none ---- */

static enum err_code device_open(void *ctx, const struct helper_device *d,
				 struct helper_opened *out, struct err *e)
{
	struct fixture *f = ctx;

	if (f->is_open)
		return err_set(e, ERR_FULL, "one is enough");
	f->opened = *d;
	f->is_open = true;
	*out = (struct helper_opened){ .number = ++f->last,
				       .kind = HELPER_ENGINE,
				       .uapi = open("/dev/zero", O_RDONLY | O_CLOEXEC) };
	return ERR_OK;
}

static enum err_code device_close(void *ctx, uint32_t number, bool removes, struct err *e)
{
	struct fixture *f = ctx;

	if (!f->is_open || number != f->last)
		return err_set(e, ERR_NOT_FOUND, "there is no device %u", number);
	f->is_open = false;
	f->removed = removes;
	return ERR_OK;
}

static bool device_is_open(void *ctx, const char *ifname)
{
	const struct fixture *f = ctx;

	return f->is_open && !strcmp(f->opened.ifname, ifname);
}

static enum err_code device_daemon(void *ctx, int *out, struct err *e)
{
	(void)ctx;
	(void)out;
	return err_set(e, ERR_INVALID, "option --backend names no daemon");
}

static enum err_code control_socket(void *ctx, bool on, int *out, struct err *e)
{
	struct fixture *f = ctx;

	(void)e;
	f->listening = on;
	if (on)
		*out = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return ERR_OK;
}

static enum err_code open_tls(void *ctx, bool is_key, int *out, struct err *e)
{
	(void)ctx;
	if (is_key)
		return err_sys(e, EACCES, "open key.pem");
	*out = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return ERR_OK;
}

static enum helper_note noted;

static enum err_code notify(enum helper_note note, struct err *e)
{
	(void)e;
	noted = note;
	return ERR_OK;
}

/* ---- both ends ---- */

static void closed(void *ctx)
{
	const struct fixture *f = ctx;

	loop_stop(f->loop);
}

static void *serve(void *arg)
{
	const struct fixture *f = arg;
	struct err e;

	(void)!loop_run(f->loop, &e);
	return NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	const struct helper_devices d = {
		f,	  device_open, device_close, device_daemon, device_is_open, control_socket,
		open_tls, notify
	};
	int link[2], events[2];
	struct err e;

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof f->dir, "/tmp/qanat-helper-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->journal, sizeof f->journal, "%s/net.journal", f->dir);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events), 0);
	f->raw = fcntl(link[1], F_DUPFD_CLOEXEC, 0);
	assert_int_equal(loop_new(&f->loop, &e), ERR_OK);
	assert_int_equal(helper_server_new(&f->server, f->loop, link[0], events[0], f->journal, &d,
					   &e),
			 ERR_OK);
	assert_int_equal(helper_server_start(f->server, closed, f, &e), ERR_OK);
	assert_int_equal(helper_new(&f->h, link[1], events[1], &e), ERR_OK);
	assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
	*state = f;
	return 0;
}

/* The helper ends when control does. */
static void hang_up(struct fixture *f)
{
	if (!f->h)
		return;
	helper_free(f->h);
	f->h = NULL;
	fd_close(f->raw);
	assert_int_equal(pthread_join(f->thread, NULL), 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[128];

	hang_up(f);
	helper_server_free(f->server);
	loop_free(f->loop);
	(void)snprintf(path, sizeof path, "%s/net.journal", f->dir);
	(void)unlink(path);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

/* ---- tests ---- */

static void test_devices(void **state)
{
	struct fixture *f = *state;
	const struct helper_device d = { .ifname = "wg7", .listen_port = 5, .mtu = 1400 };
	struct helper_opened o;
	struct err e;
	int fd = -1;

	assert_int_equal(helper_device_open(f->h, &d, &o, &e), ERR_OK);
	assert_int_equal(o.kind, HELPER_ENGINE);
	assert_true(o.uapi >= 0);
	fd_close(o.uapi);
	assert_string_equal(f->opened.ifname, "wg7");
	assert_int_equal(f->opened.mtu, 1400);
	assert_int_equal(helper_device_open(f->h, &d, &o, &e), ERR_FULL);
	assert_string_equal(e.msg, "one is enough");
	assert_int_equal(helper_device_close(f->h, o.number + 1, false, &e), ERR_NOT_FOUND);
	assert_int_equal(helper_device_close(f->h, o.number, true, &e), ERR_OK);
	assert_true(f->removed);
	assert_int_equal(helper_daemon(f->h, &fd, &e), ERR_INVALID);
	assert_int_equal(helper_listen_control(f->h, &fd, &e), ERR_OK);
	assert_true(fd >= 0 && f->listening);
	fd_close(fd);
	assert_int_equal(helper_unlisten_control(f->h, &e), ERR_OK);
	assert_false(f->listening);
	assert_int_equal(helper_open_tls(f->h, false, &fd, &e), ERR_OK);
	fd_close(fd);
	assert_int_equal(helper_open_tls(f->h, true, &fd, &e), ERR_DENIED);
	assert_int_equal(e.sys, EACCES);
	assert_int_equal(helper_notify(f->h, HELPER_RELOADS, &e), ERR_OK);
	assert_int_equal(noted, HELPER_RELOADS);
}

/* Nothing of the host's own is made a tunnel. */
static void test_network(void **state)
{
	struct fixture *f = *state;
	const struct helper_device d = { .ifname = "qanat-none" };
	struct net_want want = { .tunnel_count = 1 };
	struct helper_opened o;
	char ifname[16];
	struct ip_addr a;
	struct err e;
	bool left = true;

	assert_int_equal(helper_net_apply(f->h, &want, &e), ERR_INVALID); /* not open */
	assert_int_equal(helper_net_default_route(f->h, IP_V4, &a, ifname, &e), ERR_INVALID);
	assert_int_equal(helper_net_open(f->h, &left, &e), ERR_OK);
	assert_false(left);
	assert_int_equal(helper_net_open(f->h, &left, &e), ERR_INVALID);
	(void)snprintf(want.tunnels[0].ifname, sizeof want.tunnels[0].ifname, "lo");
	assert_int_equal(helper_net_apply(f->h, &want, &e), ERR_DENIED);
	assert_string_equal(e.msg, "interface lo is none of this gateway's");
	/* One of ours is looked at closer: it does not exist. */
	assert_int_equal(helper_device_open(f->h, &d, &o, &e), ERR_OK);
	fd_close(o.uapi);
	(void)snprintf(want.tunnels[0].ifname, sizeof want.tunnels[0].ifname, "qanat-none");
	assert_int_not_equal(helper_net_apply(f->h, &want, &e), ERR_OK);
	assert_int_not_equal(e.code, ERR_DENIED);
	assert_int_equal(helper_net_check(f->h, NULL, NULL, &e), ERR_OK); /* nothing was applied */
	assert_false(helper_net_firewall_active(f->h, "qanat-none"));
	assert_int_equal(helper_net_undo(f->h, &e), ERR_OK);
}

static void test_hooks(void **state)
{
	struct fixture *f = *state;
	char huge[HOOKS_TEXT_MAX + 8];
	struct err e;

	assert_int_equal(helper_hooks(f->h, "wg7", "rm -rf /", false, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "rm"));
	assert_int_equal(helper_hooks(f->h, "wg/7", "ip link set wg7 up", false, &e), ERR_INVALID);
	memset(huge, 'x', sizeof huge);
	huge[sizeof huge - 1] = 0;
	assert_int_equal(helper_hooks(f->h, "wg7", huge, false, &e), ERR_RANGE);
}

static void touch(const struct fixture *f, const char *name)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	fd_close(fd);
}

static void test_files(void **state)
{
	static const struct {
		const char *name;
		int sys; /* 0: it opens; -1: refused by name */
		const char *why;
	} rows[] = {
		{ "", 0, "the directory itself" },
		{ "wg0.conf", 0, "a file of wg-quick" },
		{ "clients.db", 0, "the reference's clients" },
		{ "phantom.json", 0, "the reference's settings" },
		{ "secret", -1, "another file" },
		{ ".conf", -1, "no name" },
		{ "none.conf", ENOENT, "not there" },
		{ "../etc.conf", EXDEV, "above the directory" },
		{ "/etc/host.conf", EXDEV, "from the root" },
		{ "link.conf", ELOOP, "through a link" },
		{ "sub.conf", -1, "a directory with such a name" },
	};
	struct fixture *f = *state;
	char path[128];
	struct err e;

	touch(f, "wg0.conf");
	touch(f, "clients.db");
	touch(f, "phantom.json");
	touch(f, "secret");
	touch(f, ".conf");
	(void)snprintf(path, sizeof path, "%s/link.conf", f->dir);
	assert_int_equal(symlink("wg0.conf", path), 0);
	(void)snprintf(path, sizeof path, "%s/sub.conf", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = -1;
		enum err_code rc = helper_open_file(f->h, f->dir, rows[i].name, &fd, &e);

		if ((rc == ERR_OK) != (rows[i].sys == 0) || (rc == ERR_OK) != (fd >= 0) ||
		    (rows[i].sys > 0 && e.sys != rows[i].sys))
			fail_msg("%s: %d, errno %d, %s", rows[i].why, rc, e.sys, e.msg);
		if (fd >= 0) /* for reading alone */
			assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
		fd_close(fd);
	}
	(void)snprintf(path, sizeof path, "%s/link.conf", f->dir);
	assert_int_equal(helper_open_file(f->h, path, "", &(int){ -1 }, &e), ERR_IO);
	assert_int_equal(e.sys, ELOOP);
	(void)unlink(path);
	assert_int_equal(helper_open_file(f->h, "relative.conf", "", &(int){ -1 }, &e),
			 ERR_NOT_FOUND);
	(void)snprintf(path, sizeof path, "%s/sub.conf", f->dir);
	(void)rmdir(path);
	for (size_t i = 1; i < 6; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", f->dir, rows[i].name);
		(void)unlink(path);
	}
}

/* Messages that no helper.c sends: each is refused, and the next is served. */
static void test_strangers(void **state)
{
	struct fixture *f = *state;
	struct helper_request *q = calloc(1, sizeof *q);
	struct helper_reply *a = calloc(1, sizeof *a);
	struct err e;
	size_t none;

	assert_true(q && a);
	for (unsigned i = 0; i < 6; i++) {
		memset(q, 0, sizeof *q);
		switch (i) {
		case 0:
			q->ask = HELPER_ASKS;
			break;
		case 1:
			q->ask = 0;
			break;
		case 2: /* a name without an end */
			q->ask = ASK_NET_FIREWALL;
			memset(q->ifname, 'x', sizeof q->ifname);
			break;
		case 3: /* more tunnels than there is room for */
			q->ask = ASK_NET_APPLY;
			q->u.want.tunnel_count = NET_TUNNELS_MAX + 1;
			break;
		case 4: /* neither true nor false */
			q->ask = ASK_DEVICE_OPEN;
			(void)snprintf(q->u.device.ifname, sizeof q->u.device.ifname, "wg7");
			memset(&q->u.device.take_over, 2, 1);
			break;
		default:
			q->ask = ASK_OPEN_FILE;
			memset(&q->u, '/', sizeof q->u);
			break;
		}
		assert_int_equal(message_send(f->raw, q, sizeof *q, NULL, 0, &e), ERR_OK);
		none = 0;
		assert_int_equal(message_receive(f->raw, a, sizeof *a, NULL, &none, &e), ERR_OK);
		assert_int_equal(a->why.code, ERR_INVALID);
	}
	assert_false(f->is_open);
	/* One of another length is no message: the helper has nothing to do with who sends it. */
	assert_int_equal(message_send(f->raw, q, 10, NULL, 0, &e), ERR_OK);
	hang_up(f);
	assert_int_equal(helper_server_ending(f->server), 0);
	free(q);
	free(a);
}

struct heard {
	struct loop *loop;
	int signo;
	uint32_t device;
	bool gone;
};

static void hear_signal(void *ctx, int signo)
{
	struct heard *x = ctx;

	x->signo = signo;
}

static void hear_device(void *ctx, uint32_t device)
{
	struct heard *x = ctx;

	x->device = device;
	loop_stop(x->loop);
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	struct heard x = { 0 };
	const struct helper_listener l = { .ctx = &x,
					   .signal = hear_signal,
					   .device_gone = hear_device };
	struct err e;

	assert_int_equal(loop_new(&x.loop, &e), ERR_OK);
	assert_int_equal(helper_listen(f->h, x.loop, &l, &e), ERR_OK);
	helper_tell_signal(f->server, SIGHUP);
	helper_tell_gone(f->server, 9);
	assert_int_equal(loop_run(x.loop, &e), ERR_OK);
	assert_int_equal(x.signo, SIGHUP);
	assert_int_equal(x.device, 9);
	helper_unlisten(f->h);
	loop_free(x.loop);
}

static void test_end(void **state)
{
	struct fixture *f = *state;
	struct helper_heritage left = { .asker = open("/dev/null", O_RDONLY | O_CLOEXEC) };
	struct helper_heritage got;
	struct err e;

	left.listeners[0] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	left.listeners[1] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	left.owners[1] = 1;
	left.n = 2;
	assert_int_equal(helper_end(f->h, HELPER_RESTARTS, &left, &e), ERR_OK);
	hang_up(f);
	assert_int_equal(helper_server_ending(f->server), HELPER_RESTARTS);
	got = helper_server_heritage(f->server);
	assert_true(got.asker >= 0);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.owners[0], 0);
	assert_int_equal(got.owners[1], 1);
	for (size_t i = 0; i < 2; i++) {
		fd_close(left.listeners[i]);
		fd_close(got.listeners[i]);
	}
	fd_close(left.asker);
	fd_close(got.asker);
	assert_int_equal(helper_server_heritage(f->server).asker, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_network, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hooks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strangers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
