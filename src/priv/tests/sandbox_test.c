/* Each sandbox is entered by a child, which then tries what it must not be able to do. */
#include "priv/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"

/* A child's answers. */
#define WORKED 0
#define NOT_THERE 77 /* this kernel cannot do it */
#define REFUSED(sys) (100 + (sys) % 100)
#define BROKEN 99

static int run(int (*child)(void *arg), void *arg)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(child(arg));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		print_message("the child died of signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
}

static int result(long rc)
{
	return rc < 0 ? REFUSED(errno) : WORKED;
}

/* ---- system calls ---- */

static int try_open(void)
{
	return result(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static int try_socket(void)
{
	return result(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int try_netlink(void)
{
	return result(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int try_exec(void)
{
	char name[] = "/bin/true";
	char *argv[] = { name, NULL }, *none[] = { NULL };

	return result(execve(name, argv, none));
}

static int try_fork(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int try_executable_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	return result(p == MAP_FAILED ? -1 : 0);
}

static int try_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return result(p == MAP_FAILED ? -1 : 0);
}

static int try_ptrace(void)
{
	return result(syscall(SYS_ptrace, 0, 0, 0, 0));
}

static int try_kill(void)
{
	return result(kill(getppid(), 0));
}

static int try_tun_set(void)
{
	return result(ioctl(0, TUNSETIFF, NULL));
}

static int try_dumpable(void)
{
	return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int try_pair(void)
{
	int ends[2];

	return result(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
}

static void *thread_main(void *arg)
{
	*(int *)arg = try_open();
	return NULL;
}

/* A thread that starts later is held by the same filter. */
static int try_thread(void)
{
	pthread_t t;
	int got = BROKEN;

	if (pthread_create(&t, NULL, thread_main, &got) || pthread_join(t, NULL))
		return BROKEN;
	return got;
}

#define ENGINE \
	(SANDBOX_CALLS_BASE | SANDBOX_CALLS_THREADS | SANDBOX_CALLS_MESSAGES | SANDBOX_CALLS_TUN)

static const struct row {
	unsigned calls;
	int (*attempt)(void);
	int want;
	const char *why;
} rows[] = {
	{ ENGINE, try_open, REFUSED(EPERM), "no file is opened" },
	{ ENGINE, try_socket, REFUSED(EPERM), "no socket is opened" },
	{ ENGINE, try_exec, REFUSED(EPERM), "no program is started" },
	{ ENGINE, try_fork, REFUSED(EPERM), "no process is started" },
	{ ENGINE, try_executable_memory, REFUSED(EPERM), "no code is brought in" },
	{ ENGINE, try_memory, WORKED, "memory is there" },
	{ ENGINE, try_ptrace, REFUSED(EPERM), "no process is looked into" },
	{ ENGINE, try_kill, REFUSED(EPERM), "no process is signalled" },
	{ ENGINE, try_tun_set, REFUSED(EPERM), "no interface is made" },
	{ ENGINE, try_dumpable, REFUSED(EPERM), "memory stays closed to others" },
	{ ENGINE, try_thread, REFUSED(EPERM), "threads start, and are held as well" },
	{ ENGINE | SANDBOX_CALLS_FILES, try_open, WORKED, "files by name" },
	{ ENGINE | SANDBOX_CALLS_FILES, try_socket, REFUSED(EPERM), "files are no sockets" },
	{ ENGINE | SANDBOX_CALLS_SOCKETS, try_socket, WORKED, "sockets of IPv4" },
	{ ENGINE | SANDBOX_CALLS_SOCKETS, try_pair, WORKED, "pairs of sockets" },
	{ ENGINE | SANDBOX_CALLS_SOCKETS, try_netlink, REFUSED(EPERM),
	  "netlink is no such socket" },
	{ SANDBOX_CALLS_ALL, try_exec, REFUSED(EPERM), "in no group" },
	{ SANDBOX_CALLS_ALL, try_fork, REFUSED(EPERM), "in no group" },
};

static int call_child(void *arg)
{
	const struct row *r = arg;
	bool active = false;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    sandbox_restrict_calls(r->calls, &active, NULL))
		return BROKEN;
	return active ? r->attempt() : NOT_THERE;
}

static void test_calls(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct row r = rows[i];
		int got = run(call_child, &r);

		if (got == NOT_THERE) {
			print_message("skipped: this kernel has no seccomp filters\n");
			skip();
		}
		if (got != r.want)
			print_message("row %zu: %s\n", i, r.why);
		assert_int_equal(got, r.want);
	}
}

static atomic_int go;

static void *waiting_thread(void *arg)
{
	while (!go)
		sched_yield();
	return thread_main(arg);
}

/* One that ran before the filter was put on. */
static int older_thread_child(void *arg)
{
	pthread_t t;
	bool active = false;
	int got = BROKEN;

	(void)arg;
	if (pthread_create(&t, NULL, waiting_thread, &got) ||
	    sandbox_restrict_calls(ENGINE, &active, NULL))
		return BROKEN;
	go = 1;
	if (pthread_join(t, NULL))
		return BROKEN;
	return active ? got : NOT_THERE;
}

static void test_calls_of_older_threads(void **state)
{
	int got = run(older_thread_child, NULL);

	(void)state;
	if (got == NOT_THERE) {
		print_message("skipped: this kernel has no seccomp filters\n");
		skip();
	}
	assert_int_equal(got, REFUSED(EPERM));
}

/* ---- paths ---- */

struct place {
	char top[64];
	char ours[80], other[80];
};

static void write_file(const char *dir, const char *name)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	fd_close(fd);
}

static int place_make(void **state)
{
	static struct place p;

	(void)snprintf(p.top, sizeof p.top, "/tmp/qanat-sandbox-XXXXXX");
	assert_non_null(mkdtemp(p.top));
	(void)snprintf(p.ours, sizeof p.ours, "%s/ours", p.top);
	(void)snprintf(p.other, sizeof p.other, "%s/other", p.top);
	assert_int_equal(mkdir(p.ours, 0700), 0);
	assert_int_equal(mkdir(p.other, 0700), 0);
	write_file(p.ours, "file");
	write_file(p.other, "file");
	*state = &p;
	return 0;
}

static int place_remove(void **state)
{
	const struct place *p = *state;
	const char *dirs[] = { p->ours, p->other };
	const char *names[] = { "file", "new" };
	char path[128];

	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < 2; j++) {
			(void)snprintf(path, sizeof path, "%s/%s", dirs[i], names[j]);
			(void)unlink(path);
		}
		(void)rmdir(dirs[i]);
	}
	return rmdir(p->top);
}

/* Bits of what must not have worked, or what should have. */
static int paths_child(void *arg)
{
	const struct place *p = arg;
	const struct sandbox_path paths[] = {
		{ p->ours, SANDBOX_READ | SANDBOX_WRITE },
		{ "/nowhere/at/all", SANDBOX_READ },
		{ "/dev/null", SANDBOX_READ | SANDBOX_WRITE },
	};
	char in[128], out[128], new[128];
	int abi = 0, wrong = 0;

	(void)snprintf(in, sizeof in, "%s/file", p->ours);
	(void)snprintf(new, sizeof new, "%s/new", p->ours);
	(void)snprintf(out, sizeof out, "%s/file", p->other);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    sandbox_restrict_paths(paths, ARRAY_LEN(paths), &abi, NULL))
		return BROKEN;
	if (!abi)
		return NOT_THERE;
	wrong |= open(in, O_RDWR | O_CLOEXEC) < 0 ? 1 : 0;
	wrong |= open(new, O_RDWR | O_CREAT | O_CLOEXEC, 0600) < 0 ? 2 : 0;
	wrong |= open("/dev/null", O_RDWR | O_CLOEXEC) < 0 ? 4 : 0;
	wrong |= open(out, O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES ? 8 : 0;
	wrong |= open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES ? 16 : 0;
	wrong |= unlink(out) == 0 || errno != EACCES ? 32 : 0;
	return wrong;
}

static void test_paths(void **state)
{
	int got = run(paths_child, *state);

	if (got == NOT_THERE) {
		print_message("skipped: this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(got, 0);
}

/* ---- descriptors ---- */

static int descriptors_child(void *arg)
{
	int keep[3] = { dup(0), -1, dup(0) };
	int between = dup(0), after = dup(0);

	(void)arg;
	keep[1] = -1;
	if (sandbox_close_others(keep, ARRAY_LEN(keep), NULL))
		return BROKEN;
	if (fcntl(keep[0], F_GETFD) < 0 || fcntl(keep[2], F_GETFD) < 0 || fcntl(2, F_GETFD) < 0)
		return 1;
	return fcntl(between, F_GETFD) >= 0 || fcntl(after, F_GETFD) >= 0 ? 2 : 0;
}

static void test_descriptors(void **state)
{
	(void)state;
	assert_int_equal(run(descriptors_child, NULL), 0);
}

/* ---- capabilities and limits ---- */

static uint64_t permitted(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	if (syscall(SYS_capget, &head, caps) < 0)
		return UINT64_MAX;
	return (uint64_t)caps[1].permitted << 32 | caps[0].permitted;
}

static int capabilities_child(void *arg)
{
	const uint64_t one = 1ull << CAP_NET_ADMIN;
	uint64_t had = permitted();

	(void)arg;
	if (sandbox_keep_capabilities(one, NULL) || permitted() != (had & one))
		return 1;
	if (sandbox_keep_capabilities(0, NULL) || permitted() != 0)
		return 2;
	/* and there is no way back */
	if (sandbox_keep_capabilities(UINT64_MAX, NULL) || permitted() != 0)
		return 3;
	return 0;
}

static void test_capabilities(void **state)
{
	(void)state;
	assert_int_equal(run(capabilities_child, NULL), 0);
}

/* All at once, seen as the kernel shows it. */
static int enter_child(void *arg)
{
	const int keep[] = { dup(0) };
	const struct sandbox s = { .calls = SANDBOX_CALLS_ALL,
				   .descriptors = keep,
				   .descriptor_count = 1,
				   .memlock = 4096 };
	struct sandbox_report report;
	struct rlimit core, lock;
	int extra = dup(0);

	(void)arg;
	if (sandbox_enter(&s, &report, NULL))
		return BROKEN;
	if (getrlimit(RLIMIT_CORE, &core) == 0 || getrlimit(RLIMIT_MEMLOCK, &lock) == 0)
		return report.seccomp ? 1 : 0; /* prlimit64 is in no group */
	if (permitted() != UINT64_MAX) /* nor is capget */
		return report.seccomp ? 2 : 0;
	if (fcntl(extra, F_GETFD) >= 0 || fcntl(keep[0], F_GETFD) < 0)
		return 3;
	if (report.landlock_abi && try_open() != REFUSED(EACCES))
		return 4;
	return try_exec() == REFUSED(EPERM) || !report.seccomp ? 0 : 5;
}

static void test_enter(void **state)
{
	(void)state;
	assert_int_equal(run(enter_child, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_calls_of_older_threads),
		cmocka_unit_test_setup_teardown(test_paths, place_make, place_remove),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_enter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
