/* sandbox.h - what a process of ours gives up, for good, before a stranger's first byte reaches it.
 *
 * capabilities(7), seccomp(2) by an allow-list, landlock(7), close_range(2), setrlimit(2).  A process
 * opens what it needs, enters its sandbox, and only then starts threads and reads from strangers:
 * Landlock and capabilities are a thread's own, and threads inherit them.  The system call filter
 * alone is put on all threads that there are (SECCOMP_FILTER_FLAG_TSYNC).
 *
 * A call that is not allowed fails with EPERM.  The process cannot count such calls: the kernel's
 * audit does (type SECCOMP), where it runs.  A call that is allowed with some arguments only (no
 * memory that can be executed, no new process) fails the same way with others.
 *
 * Never: logs; opens anything; gives anything back.
 */
#ifndef QANAT_PRIV_SANDBOX_H
#define QANAT_PRIV_SANDBOX_H

#include "base/err.h"

/* System calls, in groups that name what they are for. */
enum sandbox_calls {
	SANDBOX_CALLS_BASE = 1, /* memory, time, waiting, what is open already; the end */
	SANDBOX_CALLS_THREADS = 2, /* threads of this process; no other process */
	SANDBOX_CALLS_MESSAGES = 4, /* sending and receiving on sockets that are open */
	SANDBOX_CALLS_ACCEPT = 8, /* connections that arrive at a socket that listens */
	SANDBOX_CALLS_TUN = 16, /* asking for an interface's name and link state */
	SANDBOX_CALLS_FILES = 32, /* files by name, as far as Landlock and their modes allow */
	SANDBOX_CALLS_SOCKETS = 64, /* opening sockets of IPv4, IPv6 and UNIX */
	SANDBOX_CALLS_LOOK = 128, /* whether a file is there, and when that changes */
	SANDBOX_CALLS_ROUTES = 256, /* asking the kernel for addresses and routes */
	SANDBOX_CALLS_ALL = 511,
};

/* In builds with the address sanitizer alone, for a process that ends in order: its leak checker stops and traces
 * the process.  Elsewhere nothing. */
#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_CALLS_LEAK_CHECKER 1024u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_CALLS_LEAK_CHECKER 1024u
#endif
#endif
#ifndef SANDBOX_CALLS_LEAK_CHECKER
#define SANDBOX_CALLS_LEAK_CHECKER 0u
#endif

/* What may be done below a path. */
enum sandbox_access {
	SANDBOX_READ = 1, /* files and directories */
	SANDBOX_WRITE = 2, /* and make, rename and remove files, directories and sockets */
};

struct sandbox_path {
	const char *path; /* one that does not exist is left out */
	unsigned access; /* enum sandbox_access bits */
};

struct sandbox {
	uint64_t capabilities; /* bits 1 << CAP_...: kept, as far as the process has them */
	unsigned calls; /* enum sandbox_calls bits */
	const struct sandbox_path *paths; /* nothing else can be opened */
	size_t path_count;
	const int *descriptors; /* that stay open beside 0, 1 and 2; NULL: all stay */
	size_t descriptor_count;
	uint64_t memlock; /* bytes that may be locked in memory */
};

/* What of it this kernel could do. */
struct sandbox_report {
	int landlock_abi; /* 0: the kernel has none, and paths are held by their modes alone */
	bool seccomp; /* false: the kernel has none */
};

/* Enters, in this order: limits (no core dumps, `memlock`, no new privileges), descriptors,
 * Landlock, capabilities, system calls.  On failure the process has some of it and must end. */
MUST_CHECK enum err_code sandbox_enter(const struct sandbox *s, struct sandbox_report *out,
				       struct err *e);

/* ---- its steps, for who needs one alone ---- */

/* Keeps `kept` of the capabilities in hand and gives up all others, in every set. */
MUST_CHECK enum err_code sandbox_keep_capabilities(uint64_t kept, struct err *e);
/* Closes all descriptors but 0 to 2 and these (any order, any number may be negative). */
MUST_CHECK enum err_code sandbox_close_others(const int *keep, size_t n, struct err *e);
/* *abi: the kernel's, or 0 when it has no Landlock, which is no error. */
MUST_CHECK enum err_code sandbox_restrict_paths(const struct sandbox_path *paths, size_t n,
						int *abi, struct err *e);
/* *active: false when the kernel has no seccomp filters, which is no error. */
MUST_CHECK enum err_code sandbox_restrict_calls(unsigned calls, bool *active, struct err *e);

#endif
