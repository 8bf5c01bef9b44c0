/* The system call filter: libseccomp's program from tables of names.  Names that the machine does not
 * have (old calls, on new architectures) are left out. */
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "priv/sandbox.h"

/* All with their arguments as they come. */
static const struct {
	unsigned group;
	const char *const *names;
} tables[] = {
	{ SANDBOX_CALLS_BASE,
	  (const char *const[]){
		  /* what is open */
		  "read", "write", "readv", "writev", "close", "close_range", "dup", "dup2", "dup3",
		  "lseek", "fcntl", "fstat", "pread64", "pwrite64",
		  /* memory */
		  "munmap", "brk", "mremap", "madvise", "mlock", "mlock2", "munlock",
		  /* waiting */
		  "poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait",
		  "epoll_pwait", "epoll_pwait2", "eventfd2", "timerfd_create", "timerfd_settime",
		  "nanosleep", "clock_nanosleep", "futex", "futex_waitv", "restart_syscall",
		  "pipe2",
		  /* time and chance */
		  "clock_gettime", "clock_getres", "gettimeofday", "time", "getrandom",
		  /* signals, to ourselves */
		  "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait",
		  "rt_sigpending", "rt_sigsuspend", "sigaltstack", "signalfd4",
		  /* about ourselves */
		  "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid",
		  "sched_yield", "sched_getaffinity", "getcpu", "getrusage", "sysinfo", "uname",
		  "umask", "exit", "exit_group", NULL } },
	{ SANDBOX_CALLS_THREADS,
	  (const char *const[]){ "set_robust_list", "rseq", "set_tid_address", "membarrier",
				 "sched_setaffinity", "sched_getparam", "sched_getscheduler",
				 "sched_get_priority_max", "sched_get_priority_min", NULL } },
	{ SANDBOX_CALLS_MESSAGES,
	  (const char *const[]){ "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg",
				 "shutdown", "getsockname", "getpeername", "getsockopt",
				 "setsockopt", NULL } },
	{ SANDBOX_CALLS_ACCEPT, (const char *const[]){ "accept", "accept4", NULL } },
	{ SANDBOX_CALLS_FILES, (const char *const[]){ "open",
						      "openat",
						      "openat2",
						      "creat",
						      "access",
						      "faccessat",
						      "faccessat2",
						      "stat",
						      "lstat",
						      "newfstatat",
						      "statx",
						      "readlink",
						      "readlinkat",
						      "getdents64",
						      "mkdir",
						      "mkdirat",
						      "rmdir",
						      "link",
						      "linkat",
						      "unlink",
						      "unlinkat",
						      "rename",
						      "renameat",
						      "renameat2",
						      "fsync",
						      "fdatasync",
						      "ftruncate",
						      "fallocate",
						      "fchmod",
						      "chmod",
						      "fchmodat",
						      "flock",
						      "fadvise64",
						      "statfs",
						      "fstatfs",
						      "getcwd",
						      "utimensat",
						      "inotify_init1",
						      "inotify_add_watch",
						      "inotify_rm_watch",
						      "sync_file_range",
						      NULL } },
	{ SANDBOX_CALLS_LOOK, (const char *const[]){ "stat", "lstat", "newfstatat", "statx",
						     "inotify_init1", "inotify_add_watch", NULL } },
	{ SANDBOX_CALLS_SOCKETS, (const char *const[]){ "bind", "connect", "listen", NULL } },
	{ SANDBOX_CALLS_LEAK_CHECKER,
	  (const char *const[]){ "clone", "ptrace", "wait4", "prctl", "getdents", NULL } },
};

/* Those whose arguments decide.  The first rule that fits allows. */
static const struct {
	unsigned group;
	const char *name;
	struct scmp_arg_cmp arg;
} rows[] = {
	/* Memory is to be written or to be executed, and what is executed is there already. */
	{ SANDBOX_CALLS_BASE, "mmap", { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 } },
	{ SANDBOX_CALLS_BASE, "mprotect", { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 } },
	/* The name of a thread or a mapping; nothing that changes rights. */
	{ SANDBOX_CALLS_BASE, "prctl", { 0, SCMP_CMP_EQ, PR_SET_NAME, 0 } },
	{ SANDBOX_CALLS_BASE, "prctl", { 0, SCMP_CMP_EQ, PR_SET_VMA, 0 } },
	{ SANDBOX_CALLS_THREADS, "clone", { 0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD } },
	{ SANDBOX_CALLS_TUN, "ioctl", { 1, SCMP_CMP_EQ, TUNGETIFF, 0 } },
	{ SANDBOX_CALLS_SOCKETS, "socket", { 0, SCMP_CMP_EQ, AF_INET, 0 } },
	{ SANDBOX_CALLS_SOCKETS, "socket", { 0, SCMP_CMP_EQ, AF_INET6, 0 } },
	{ SANDBOX_CALLS_SOCKETS, "socket", { 0, SCMP_CMP_EQ, AF_UNIX, 0 } },
	{ SANDBOX_CALLS_SOCKETS, "socketpair", { 0, SCMP_CMP_EQ, AF_UNIX, 0 } },
};

/* The leak checker reads /proc: in a process without files it has nothing to check. */
static bool is_unchecked;
#if SANDBOX_CALLS_LEAK_CHECKER
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return is_unchecked;
}
#endif

static int failing(const char *name, int sys, struct err *e)
{
	(void)err_sys(e, sys, "allow system call %s", name);
	return sys;
}

/* 0 or an errno. */
static int allow_table(scmp_filter_ctx f, const char *const *names, struct err *e)
{
	for (; *names; names++) {
		int number = seccomp_syscall_resolve_name(*names);
		int rc =
			number < 0 ? 0 : seccomp_rule_add_array(f, SCMP_ACT_ALLOW, number, 0, NULL);

		if (rc < 0)
			return failing(*names, -rc, e);
	}
	return 0;
}

static int allow_rows(scmp_filter_ctx f, unsigned calls, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int number = seccomp_syscall_resolve_name(rows[i].name);
		int rc;

		if (!(calls & rows[i].group) || number < 0)
			continue;
		rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, number, 1, &rows[i].arg);
		if (rc < 0)
			return failing(rows[i].name, -rc, e);
	}
	return 0;
}

/* Calls that hide their arguments behind a pointer, reach beyond this process, or where two arguments
 * decide. */
static int special(scmp_filter_ctx f, unsigned calls, struct err *e)
{
	const struct scmp_arg_cmp ourselves = { 0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0 };
	const struct scmp_arg_cmp routes[] = { { 0, SCMP_CMP_EQ, AF_NETLINK, 0 },
					       { 2, SCMP_CMP_EQ, NETLINK_ROUTE, 0 } };
	int rc = 0;

	if (calls & SANDBOX_CALLS_ROUTES)
		rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), ARRAY_LEN(routes),
					    routes);
	if (rc < 0)
		return failing("socket", -rc, e);
	/* The C library takes clone(2) instead, whose flags can be looked at. */
	if (calls & SANDBOX_CALLS_THREADS)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (rc < 0)
		return failing("clone3", -rc, e);
	/* abort(3). */
	rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &ourselves);
	return rc < 0 ? failing("tgkill", -rc, e) : 0;
}

static int filter_load(scmp_filter_ctx f, bool *active, struct err *e)
{
	int rc = seccomp_load(f);

	*active = rc == 0;
	/* A kernel without seccomp, or without its filters. */
	if (rc == 0 || rc == -ENOSYS || rc == -EINVAL)
		return 0;
	(void)err_sys(e, -rc, "enter the system call filter");
	return -rc;
}

enum err_code sandbox_restrict_calls(unsigned calls, bool *active, struct err *e)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	struct err why = { 0 };
	int rc = 0;

	is_unchecked = !(calls & SANDBOX_CALLS_FILES);
	*active = false;
	if (!f)
		return err_set(e, ERR_NOMEM, "no memory for a system call filter");
	if (seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1) < 0 ||
	    seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0)
		rc = failing("of all threads", ENOTSUP, &why);
	for (size_t i = 0; !rc && i < ARRAY_LEN(tables); i++)
		if (calls & tables[i].group)
			rc = allow_table(f, tables[i].names, &why);
	if (!rc)
		rc = allow_rows(f, calls, &why);
	if (!rc)
		rc = special(f, calls, &why);
	if (!rc)
		rc = filter_load(f, active, &why);
	seccomp_release(f);
	return rc ? err_set(e, why.code, "%s", why.msg) : ERR_OK;
}
