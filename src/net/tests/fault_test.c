/* fault_test - whatever step of net_apply fails or dies, the host is afterwards, or after the next
 * net_open, as it was before.
 *
 * Each run is a process of its own, this program called as `apply IFNAME JOURNAL`, because the
 * fault points read their environment once. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/tests/host.h"

#define STEPS_MAX 100 /* far more than there are */

struct fixture {
	int tun;
	const char *ifname;
	struct host_dir dir;
	struct buf before;
};

static void begin(struct fixture *f, const char *ifname)
{
	*f = (struct fixture){ .tun = host_tun(ifname), .ifname = ifname };
	assert_true(f->tun >= 0);
	host_dir_make(&f->dir);
	host_picture(&f->before);
}

static void end(struct fixture *f)
{
	close(f->tun);
	host_dir_remove(&f->dir);
	buf_done(&f->before);
}

static void as_before(struct fixture *f, const char *why)
{
	AUTO(buf_done) struct buf now = { 0 };

	host_picture(&now);
	host_same(&f->before, &now, why);
	assert_int_equal(access(f->dir.journal, F_OK), -1);
}

/* The program's other role. */
static int apply_and_report(const char *ifname, const char *journal)
{
	struct net_want w = host_want(ifname);
	struct net *n = NULL;
	struct err e = { 0 };
	enum err_code rc = net_open(&n, journal, &e);

	if (!rc)
		rc = net_apply(n, &w, &e);
	if (rc && !getenv("QANAT_FAULT"))
		(void)fprintf(stderr, "%s\n", e.msg);
	net_close(n);
	return (int)rc;
}

/* False when the run was killed; else its result is in *rc. */
static bool run_apply(const struct fixture *f, const char *variable, const char *value,
		      enum err_code *rc)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		if (variable)
			setenv(variable, value, 1);
		execl("/proc/self/exe", "fault_test", "apply", f->ifname, f->dir.journal, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return false;
	}
	*rc = (enum err_code)WEXITSTATUS(status);
	return true;
}

static void recover(struct fixture *f, const char *why)
{
	struct net *n = NULL;
	struct err e = { 0 };

	if (net_open(&n, f->dir.journal, &e))
		fail_msg("%s: %s", why, e.msg);
	net_close(n);
	as_before(f, why);
}

/* A run that ends without undo, as after kill -9. */
static void left_behind(void **state UNUSED)
{
	struct fixture f;
	struct net *n = NULL;
	struct err e = { 0 };
	enum err_code rc = ERR_OK;

	NEED_HOST();
	begin(&f, "f0");
	assert_true(run_apply(&f, NULL, NULL, &rc));
	assert_int_equal(rc, ERR_OK);
	assert_int_equal(host_sysctl_value("net/ipv4/ip_forward"), 1);
	assert_true(host_link("f0").up);
	recover(&f, "left after apply");

	/* The interface died with its process: the rest comes back all the same. */
	assert_true(run_apply(&f, NULL, NULL, &rc));
	close(f.tun);
	assert_int_equal(net_open(&n, f.dir.journal, &e), ERR_OK);
	assert_int_equal(host_sysctl_value("net/ipv4/ip_forward"), 0);
	assert_int_equal(host_sysctl_value("net/ipv6/conf/all/forwarding"), 0);
	assert_false(net_firewall_active(n, "f0"));
	assert_int_equal(access(f.dir.journal, F_OK), -1);
	net_close(n);
	f.tun = host_tun("f0");
	end(&f);
}

/* What somebody else has set to a third value since the crash is theirs. */
static void changed_since(void **state UNUSED)
{
	struct fixture f;
	struct net *n = NULL;
	struct err e = { 0 };
	enum err_code rc = ERR_OK;

	NEED_HOST();
	begin(&f, "f1");
	assert_true(run_apply(&f, NULL, NULL, &rc));
	assert_int_equal(nl_link_set_mtu(host_nl(), host_link("f1").index, 1400, &e), ERR_OK);
	assert_int_equal(net_open(&n, f.dir.journal, &e), ERR_OK);
	net_close(n);
	assert_int_equal(host_link("f1").mtu, 1400);
	assert_int_equal(nl_link_set_mtu(host_nl(), host_link("f1").index, 1500, &e), ERR_OK);
	as_before(&f, "all else is put back");
	end(&f);
}

#ifdef QANAT_FAULT_POINTS
static void each_fault(void **state UNUSED)
{
	static const char *const points[] = { "net.journal", "net.address", "net.link",
					      "net.sysctl", "net.nft" };
	struct fixture f;
	char value[64];
	enum err_code rc = ERR_OK;
	unsigned k;
	size_t i;

	NEED_HOST();
	begin(&f, "f2");
	for (i = 0; i < ARRAY_LEN(points); i++) {
		for (k = 1; k < STEPS_MAX; k++) {
			snprintf(value, sizeof value, "%s:%u", points[i], k);
			assert_true(run_apply(&f, "QANAT_FAULT", value, &rc));
			if (rc == ERR_OK)
				break; /* there are not that many */
			assert_int_equal(rc, ERR_IO);
			as_before(&f, value);
		}
		assert_true(k > 1 && k < STEPS_MAX);
		recover(&f, "after the run without failure");
	}
	end(&f);
}

static void crash_anywhere(void **state UNUSED)
{
	struct fixture f;
	char value[16];
	enum err_code rc = ERR_IO;
	unsigned k;

	NEED_HOST();
	begin(&f, "f3");
	for (k = 1; k < STEPS_MAX; k++) {
		snprintf(value, sizeof value, "%u", k);
		if (run_apply(&f, "QANAT_CRASH_AT", value, &rc))
			break;
		recover(&f, value);
	}
	assert_int_equal(rc, ERR_OK);
	/* Two journals, MTU, two addresses, a table, two settings and the link. */
	assert_true(k > 9);
	recover(&f, "after the run without crash");
	end(&f);
}

/* The run that cleans up after a crash may crash as well. */
static void crash_while_recovering(void **state UNUSED)
{
	struct fixture f;
	char value[16];
	enum err_code rc = ERR_IO;
	unsigned k;

	NEED_HOST();
	begin(&f, "f4");
	for (k = 1; k < STEPS_MAX; k++) {
		assert_true(run_apply(&f, NULL, NULL, &rc));
		assert_int_equal(rc, ERR_OK);
		snprintf(value, sizeof value, "%u", k);
		if (run_apply(&f, "QANAT_CRASH_AT", value, &rc))
			break; /* recovered and applied again */
		recover(&f, value);
	}
	assert_true(k > 18);
	recover(&f, "at the end");
	end(&f);
}
#else
static void skip_without_points(void)
{
	print_message("skipped: needs a build with -Dfault_points=true\n");
	skip();
}

static void each_fault(void **state UNUSED)
{
	skip_without_points();
}

static void crash_anywhere(void **state UNUSED)
{
	skip_without_points();
}

static void crash_while_recovering(void **state UNUSED)
{
	skip_without_points();
}
#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(left_behind),
		cmocka_unit_test(changed_since),
		cmocka_unit_test(each_fault),
		cmocka_unit_test(crash_anywhere),
		cmocka_unit_test(crash_while_recovering),
	};

	if (argc == 4 && !strcmp(argv[1], "apply"))
		return apply_and_report(argv[2], argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
