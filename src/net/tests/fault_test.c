/* fault_test - whatever step of net_apply fails or dies, the host is afterwards, or after the next
 * run's net_undo, as it was before; and a run that adopts what another left never lets go of it.
 *
 * Each run is a process of its own, this program called as `apply IFNAME JOURNAL WISH`, because
 * the fault points read their environment once. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fs.h"
#include "net/tests/host.h"

#define STEPS_MAX 100 /* far more than there are */

struct fixture {
	int tun;
	const char *ifname;
	const char *wish; /* one of wishes[] */
	struct host_dir dir;
	struct buf before;
};

static void begin(struct fixture *f, const char *ifname)
{
	*f = (struct fixture){ .tun = host_tun(ifname), .ifname = ifname, .wish = "usual" };
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

static struct net_want make_wish(const char *ifname, const char *wish)
{
	struct net_want w = host_want(ifname);

	host_want_policy(&w);
	if (strcmp(wish, "other"))
		return w;
	w.tunnels[0].addresses[0] = host_prefix("10.9.0.1/24");
	w.tunnels[0].masquerade[0] = host_prefix("10.9.0.0/24");
	w.tunnels[0].mtu = 1380;
	return w;
}

/* The program's other role. */
static int apply_and_report(const char *ifname, const char *journal, const char *wish)
{
	struct net_want w = make_wish(ifname, wish);
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
		execl("/proc/self/exe", "fault_test", "apply", f->ifname, f->dir.journal, f->wish,
		      NULL);
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

	if (net_open(&n, f->dir.journal, &e) || net_undo(n, &e))
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
	assert_true(net_firewall_active(n, "f0"));
	assert_int_equal(net_undo(n, &e), ERR_OK);
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
	assert_int_equal(net_undo(n, &e), ERR_OK);
	net_close(n);
	assert_int_equal(host_link("f1").mtu, 1400);
	assert_int_equal(nl_link_set_mtu(host_nl(), host_link("f1").index, 1500, &e), ERR_OK);
	as_before(&f, "all else is put back");
	end(&f);
}

#ifdef QANAT_FAULT_POINTS
static const char *const points[] = { "net.journal", "net.address", "net.route", "net.rule",
				      "net.link",    "net.sysctl",  "net.nft" };

static void each_fault(void **state UNUSED)
{
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
	/* Two journals, MTU, two addresses, two routes, a table, two settings and the link. */
	assert_true(k > 11);
	recover(&f, "after the run without crash");
	end(&f);
}

/* The steps of a second run, which adopts what the first left: with the same wish, with another, and
 * for an interface of another name. */
static const struct {
	const char *first, *second; /* interfaces */
	const char *wish; /* of the second run */
	unsigned steps; /* at least */
} adoptions[] = {
	{ "f4", "f4", "usual", 3 }, /* journal, table, journal */
	{ "f4", "f4", "other", 8 }, /* journals, MTU, address and route off and on, table */
	{ "f4", "f5", "usual", 12 }, /* MTU, addresses, link and table twice, journals */
};

static void first_run(struct fixture *f, size_t row)
{
	enum err_code rc = ERR_IO;

	f->ifname = adoptions[row].first;
	f->wish = "usual";
	assert_true(run_apply(f, NULL, NULL, &rc));
	assert_int_equal(rc, ERR_OK);
	f->ifname = adoptions[row].second;
	f->wish = adoptions[row].wish;
}

/* With one name: whatever has happened, the kernel still translates and forwards. */
static void still_translates(const struct fixture *f, size_t row, const char *why)
{
	struct err e = { 0 };
	struct net *n = NULL;

	if (strcmp(adoptions[row].first, adoptions[row].second))
		return;
	if (net_open(&n, f->dir.journal, &e))
		fail_msg("%s: %s", why, e.msg);
	if (!net_firewall_active(n, f->ifname) || host_sysctl_value("net/ipv4/ip_forward") != 1 ||
	    host_sysctl_value("net/ipv6/conf/all/forwarding") != 1)
		fail_msg("%s: let go of the table or of forwarding", why);
	net_close(n);
}

/* The run that goes on after a crash may crash as well. */
static void crash_while_adopting(void **state UNUSED)
{
	AUTO(fd_done) int second = -1;
	struct fixture f;
	char value[16];
	enum err_code rc = ERR_IO;
	unsigned k;
	size_t i;

	NEED_HOST();
	second = host_tun("f5");
	begin(&f, "f4");
	for (i = 0; i < ARRAY_LEN(adoptions); i++) {
		for (k = 1; k < STEPS_MAX; k++) {
			first_run(&f, i);
			snprintf(value, sizeof value, "%u", k);
			if (run_apply(&f, "QANAT_CRASH_AT", value, &rc))
				break; /* adopted and applied again */
			still_translates(&f, i, value);
			recover(&f, value);
		}
		assert_int_equal(rc, ERR_OK);
		assert_true(k > adoptions[i].steps && k < STEPS_MAX);
		still_translates(&f, i, "at the end");
		recover(&f, "at the end");
	}
	end(&f);
}

/* After a failure all that was adopted is in force as before, but for another interface's. */
static void fault_while_adopting(void **state UNUSED)
{
	AUTO(buf_done) struct buf left = { 0 }, now = { 0 };
	AUTO(fd_done) int second = -1;
	struct fixture f;
	char value[64];
	enum err_code rc = ERR_OK;
	unsigned k;
	size_t i, p;

	NEED_HOST();
	second = host_tun("f5");
	begin(&f, "f4");
	for (i = 0; i < ARRAY_LEN(adoptions); i++)
		for (p = 0; p < ARRAY_LEN(points); p++)
			for (k = 1; k < STEPS_MAX; k++) {
				first_run(&f, i);
				host_picture(&left);
				snprintf(value, sizeof value, "%s:%u", points[p], k);
				assert_true(run_apply(&f, "QANAT_FAULT", value, &rc));
				host_picture(&now);
				if (rc && !strcmp(adoptions[i].first, adoptions[i].second))
					host_same(&left, &now, value);
				recover(&f, value);
				if (!rc)
					break; /* there are not that many */
				assert_int_equal(rc, ERR_IO);
			}
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

static void crash_while_adopting(void **state UNUSED)
{
	skip_without_points();
}

static void fault_while_adopting(void **state UNUSED)
{
	skip_without_points();
}
#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(left_behind),		cmocka_unit_test(changed_since),
		cmocka_unit_test(each_fault),		cmocka_unit_test(crash_anywhere),
		cmocka_unit_test(crash_while_adopting), cmocka_unit_test(fault_while_adopting),
	};

	if (argc == 5 && !strcmp(argv[1], "apply"))
		return apply_and_report(argv[2], argv[3], argv[4]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
