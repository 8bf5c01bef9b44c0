/* TUN: names, who holds one, and packets through a pair of queues.  Opening one needs rights; without
 * them that part says so. */
#include "io/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"

static bool can_open;

static void test_names(void **state)
{
	static const struct {
		const char *name;
		enum err_code want;
		const char *why;
	} rows[] = {
		{ "wg0", ERR_OK, "usual" },
		{ "a", ERR_OK, "the shortest" },
		{ "fifteen_letters", ERR_OK, "the longest" },
		{ "w\xc3\xbcg", ERR_OK, "the kernel takes any byte" },
		{ "", ERR_MISSING, "empty" },
		{ "sixteen__letters", ERR_RANGE, "one too many" },
		{ "a/b", ERR_INVALID, "a path" },
		{ "a b", ERR_INVALID, "a space" },
		{ "a\tb", ERR_INVALID, "a tab" },
		{ "wg%d", ERR_INVALID, "the kernel would put a number there" },
		{ "eth0:1", ERR_INVALID, "an alias" },
		{ ".", ERR_INVALID, "a directory" },
		{ "..", ERR_INVALID, "a directory" },
		{ "...", ERR_OK, "no directory" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };

		if (tun_name_check(str_of(rows[i].name), &e) != rows[i].want)
			fail_msg("%s: \"%s\" gave %s", rows[i].why, rows[i].name, e.msg);
	}
}

static void test_bad_descriptors(void **state)
{
	struct tun *t = NULL;
	struct err e = { 0 };
	int fd[2];
	struct tun_options o = { .queues = 1, .offload = true };

	(void)state;
	assert_int_equal(pipe(fd), 0);
	o.fd = fd[0];
	assert_int_equal(tun_open(&t, &o, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "no TUN"));
	assert_true(fcntl(fd[0], F_GETFD) >= 0); /* still the caller's */
	fd_close(fd[0]);
	fd_close(fd[1]);
	o.fd = 9999;
	assert_int_equal(tun_open(&t, &o, &e), ERR_INVALID);
	assert_null(t);
}

static void need_rights(void)
{
	if (!can_open) {
		print_message("skipped: a network namespace and /dev/net/tun need root\n");
		skip();
	}
}

static struct tun *open_tun(const char *name, unsigned queues, bool offload)
{
	struct tun_options o = {
		.name = name, .fd = -1, .queues = queues, .offload = offload, .mtu = 1420
	};
	struct tun *t = NULL;
	struct err e = { 0 };

	if (tun_open(&t, &o, &e))
		fail_msg("%s", e.msg);
	return t;
}

static void persistent_delete(const char *name, unsigned queues)
{
	struct ifreq r = { .ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR |
						(queues > 1 ? IFF_MULTI_QUEUE : 0)) };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	assert_true(str_copy(r.ifr_name, sizeof r.ifr_name, str_of(name)));
	assert_int_equal(ioctl(fd, TUNSETIFF, &r), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 0), 0);
	fd_close(fd);
}

static void test_in_use(void **state)
{
	struct tun_options o = { .name = "qtest0", .fd = -1, .queues = 1 };
	struct tun *t, *second = NULL;
	struct err e = { 0 };

	(void)state;
	need_rights();
	for (unsigned mode = 0; mode < 4; mode++) {
		t = open_tun("qtest0", mode & 1 ? 2 : 1, true);
		o.queues = mode & 2 ? 2 : 1;
		assert_int_equal(tun_open(&second, &o, &e), ERR_IN_USE);
		assert_non_null(strstr(e.msg, "qtest0"));
		tun_close(t);
	}
	o.name = "lo";
	assert_int_equal(tun_open(&second, &o, &e), ERR_IN_USE);
	assert_non_null(strstr(e.msg, "lo"));
	assert_null(second);
	tun_close(NULL);
}

/* A persistent TUN that nobody holds: somebody else's all the same. */
static void test_persistent(void **state)
{
	static const struct {
		unsigned theirs, ours;
		bool exclusive;
		unsigned want; /* queues; 0: in use */
		const char *why;
	} rows[] = {
		{ 1, 1, false, 1, "attached to, as drop-in daemons do" },
		{ 1, 4, false, 1, "attached to with the queue it has" },
		{ 2, 1, false, 0, "more queues could be a stranger's" },
		{ 2, 2, false, 0, "the same" },
		{ 1, 1, true, 0, "the name is taken" },
		{ 1, 4, true, 0, "the name is taken" },
		{ 2, 2, true, 0, "the name is taken" },
	};

	(void)state;
	need_rights();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tun_options o = { .name = "qtest2",
					 .fd = -1,
					 .queues = rows[i].ours,
					 .offload = true,
					 .exclusive = rows[i].exclusive };
		struct tun *maker = open_tun("qtest2", rows[i].theirs, true), *t = NULL;
		struct err e = { 0 };
		enum err_code rc;

		assert_int_equal(ioctl(tun_fd(maker, 0), TUNSETPERSIST, 1), 0);
		tun_close(maker);
		rc = tun_open(&t, &o, &e);
		if (rc != (rows[i].want ? ERR_OK : ERR_IN_USE) ||
		    (t && tun_queues(t) != rows[i].want))
			fail_msg("%s: %s", rows[i].why, e.msg);
		if (rc) {
			assert_non_null(strstr(e.msg, "interface qtest2 "));
			assert_non_null(strstr(e.msg, "ip link delete qtest2"));
		}
		tun_close(t);
		persistent_delete("qtest2", rows[i].theirs);
	}
}

static void set_up(const char *name)
{
	struct ifreq r = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(str_copy(r.ifr_name, sizeof r.ifr_name, str_of(name)));
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &r), 0);
	r.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	assert_int_equal(ioctl(fd, SIOCGIFMTU, &r), 0);
	assert_int_equal(r.ifr_mtu, 1420);
	fd_close(fd);
}

/* Each way of opening takes a packet, refuses nonsense, and reports an empty queue. */
static void test_packets(void **state)
{
	(void)state;
	need_rights();
	for (unsigned mode = 0; mode < 4; mode++) {
		unsigned queues = mode & 1 ? 3 : 1;
		struct tun *t = open_tun("qtest1", queues, mode & 2);
		uint8_t packet[2048] = {
			0x45, 0, 0, 20, [8] = 64, [9] = 253, [12] = 10, [16] = 10
		};
		struct virtio_net_hdr h = { 0 };
		struct iovec iov[2] = { { &h, sizeof h }, { packet, 20 } };
		char name[IF_NAMESIZE];

		assert_int_equal(tun_queues(t), queues);
		assert_int_equal(tun_has_offload(t), (mode & 2) != 0);
		assert_int_equal(tun_write(t, 0, iov, 2), -EIO); /* it is down */
		/* the dataplane asks with a cut-off header whether an interface is up */
		iov[1].iov_len = 1;
		assert_int_equal(tun_write(t, 0, iov, 2), -EIO);
		set_up("qtest1");
		assert_int_equal(tun_write(t, 0, iov, 2), 0);
		iov[1].iov_len = 20;
		for (unsigned q = 0; q < queues; q++) {
			ssize_t n;

			/* What the host itself says when an interface comes up. */
			do
				n = tun_read(t, q, &h, packet + 64, 1500);
			while (n > 0);
			assert_int_equal(n, -EAGAIN);
			assert_true(fcntl(tun_fd(t, q), F_GETFD) & FD_CLOEXEC);
			h = (struct virtio_net_hdr){ 0 };
			assert_int_equal(tun_write(t, q, iov, 2), 0);
		}
		packet[0] = 0x15;
		assert_int_equal(tun_write(t, 0, iov, 2), -EINVAL);
		assert_int_equal(tun_name(t, name, NULL), ERR_OK);
		assert_string_equal(name, "qtest1");
		tun_close(t);
	}
}

/* A descriptor made by somebody else: with and without vnet_hdr, and of the wrong kind. */
static void test_take_over(void **state)
{
	static const struct {
		short flags;
		enum err_code want;
		const char *why;
	} rows[] = {
		{ IFF_TUN | IFF_NO_PI, ERR_OK, "plain" },
		{ IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, ERR_OK, "with headers" },
		{ IFF_TAP | IFF_NO_PI, ERR_INVALID, "Ethernet" },
	};

	(void)state;
	need_rights();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ifreq r = { .ifr_flags = rows[i].flags };
		int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
		struct tun_options o = { .fd = fd, .queues = 4, .offload = true };
		struct tun *t = NULL;
		struct err e = { 0 };
		enum err_code rc;

		assert_true(fd >= 0);
		assert_true(str_copy(r.ifr_name, sizeof r.ifr_name, STR("qtest2")));
		assert_int_equal(ioctl(fd, TUNSETIFF, &r), 0);
		rc = tun_open(&t, &o, &e);
		if (rc != rows[i].want)
			fail_msg("%s: %s", rows[i].why, e.msg);
		if (rc) {
			fd_close(fd);
			continue;
		}
		assert_int_equal(tun_queues(t), 1);
		assert_int_equal(tun_has_offload(t), (rows[i].flags & IFF_VNET_HDR) != 0);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		tun_close(t);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	cmocka_unit_test(test_bad_descriptors),
		cmocka_unit_test(test_in_use),	cmocka_unit_test(test_persistent),
		cmocka_unit_test(test_packets), cmocka_unit_test(test_take_over),
	};

	/* A namespace of our own: nothing here is seen outside. */
	can_open = unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
