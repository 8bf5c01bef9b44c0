/* Opening and closing a dataplane in a namespace of its own: failures name their thing and leave
 * nothing, changes of configuration are seen.  Needs root; says so where it is not given. */
#include "dataplane/dataplane.h"

#include <dirent.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"

static bool can_open;

static void need_rights(void)
{
	if (!can_open) {
		print_message("skipped: a network namespace and /dev/net/tun need root\n");
		skip();
	}
}

static const struct dataplane_config usual = {
	.ifname = "qdp0", .tun_fd = -1, .workers = 2, .offloads = OFFLOAD_ALL
};

static struct dataplane *open_one(const struct dataplane_config *c)
{
	struct dataplane *dp = NULL;
	struct err e = { 0 };

	if (dataplane_open(&dp, c, &e))
		fail_msg("%s", e.msg);
	return dp;
}

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void set_up(const char *name, bool up)
{
	struct ifreq r = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(str_copy(r.ifr_name, sizeof r.ifr_name, str_of(name)));
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &r), 0);
	r.ifr_flags = (short)(up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	fd_close(fd);
}

/* The report comes by netlink; it is waited for, not timed. */
static void wait_up(struct dataplane *dp, bool up, struct dataplane_status *s)
{
	for (int i = 0; i < 2000; i++) {
		dataplane_status(dp, s);
		if (s->up == up)
			return;
		usleep(10000);
	}
	fail_msg("the interface was never seen %s", up ? "up" : "down");
}

static void test_failures_leave_nothing(void **state)
{
	struct dataplane_config c = usual;
	struct dataplane *dp, *second = NULL;
	struct err e = { 0 };
	int before;

	(void)state;
	need_rights();
	before = open_descriptors();
	c.ifname = "a name too long";
	assert_int_equal(dataplane_open(&second, &c, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "a name"));
	c = usual;
	c.listen_port = 6100;
	c.port_required = true;
	dp = open_one(&c);
	c.ifname = "qdp1";
	assert_int_equal(dataplane_open(&second, &c, &e), ERR_IN_USE);
	assert_non_null(strstr(e.msg, "6100"));
	assert_int_equal(if_nametoindex("qdp1"), 0);
	c.ifname = "qdp0";
	c.listen_port = 0;
	assert_int_equal(dataplane_open(&second, &c, &e), ERR_IN_USE);
	assert_non_null(strstr(e.msg, "qdp0"));
	assert_null(second);
	dataplane_close(dp);
	dataplane_close(NULL);
	assert_int_equal(if_nametoindex("qdp0"), 0);
	assert_int_equal(open_descriptors(), before);
}

static void test_up_and_down(void **state)
{
	struct dataplane_status s;
	struct dataplane *dp;
	struct err e = { 0 };
	uint16_t port;

	(void)state;
	need_rights();
	dp = open_one(&usual);
	dataplane_status(dp, &s);
	assert_false(s.up);
	assert_int_equal(s.listen_port, 0);
	assert_int_equal(s.mtu, 1420);
	assert_string_equal(s.ifname, "qdp0");
	assert_int_equal(s.ifindex, if_nametoindex("qdp0"));
	for (int round = 0; round < 3; round++) {
		set_up("qdp0", true);
		wait_up(dp, true, &s);
		port = s.listen_port;
		assert_int_not_equal(port, 0);
		assert_int_equal(dataplane_set_fwmark(dp, 7, &e), ERR_OK);
		assert_int_equal(dataplane_set_listen_port(dp, 0, &e), ERR_OK);
		assert_int_equal(dataplane_set_listen_port(dp, port, &e), ERR_OK);
		set_up("qdp0", false);
		wait_up(dp, false, &s);
		assert_int_equal(s.listen_port, port); /* kept for the next time */
		assert_int_equal(s.fwmark, 7);
	}
	dataplane_close(dp);
}

static bool count_peer(void *ctx, const struct wg_peer *p)
{
	(void)p;
	++*(int *)ctx;
	return *(int *)ctx < 900;
}

static void test_walk(void **state)
{
	struct dataplane_status s;
	struct dataplane *dp;
	struct err e = { 0 };
	int seen = 0;

	(void)state;
	need_rights();
	dp = open_one(&usual);
	for (int i = 0; i < 1000; i++) {
		struct wg_peer_change c = { .public_key.b = { (uint8_t)i, (uint8_t)(i >> 8), 1 } };

		assert_int_equal(dataplane_change_peer(dp, &c, &e), ERR_OK);
	}
	dataplane_status(dp, &s);
	assert_int_equal(s.peer_count, 1000);
	dataplane_walk(dp, count_peer, &seen);
	assert_int_equal(seen, 900); /* it stopped where it was told */
	assert_int_equal(dataplane_replace_peers(dp, &e), ERR_OK);
	seen = 0;
	dataplane_walk(dp, count_peer, &seen);
	assert_int_equal(seen, 0);
	dataplane_close(dp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures_leave_nothing),
		cmocka_unit_test(test_up_and_down),
		cmocka_unit_test(test_walk),
	};

	can_open = unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0;
	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
