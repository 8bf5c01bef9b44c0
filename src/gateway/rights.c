#include "gateway/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/process.h"
#include "priv/sandbox.h"

#define TUN_DEVICE "/dev/net/tun"

static bool has_net_admin(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	return syscall(SYS_capget, &head, caps) == 0 &&
	       (caps[0].effective & (1u << CAP_NET_ADMIN)) != 0;
}

enum err_code rights_check(struct err *e)
{
	AUTO(fd_done) int fd = -1;

	if (!has_net_admin())
		return err_set(e, ERR_DENIED,
			       "making a tunnel interface needs root or the capability "
			       "CAP_NET_ADMIN, and user %u has neither",
			       (unsigned)geteuid());
	fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return ERR_OK;
	if (errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND,
			       TUN_DEVICE " does not exist: load the kernel's tun module (modprobe "
					  "tun), or give the device to this container");
	if (errno == ENODEV || errno == ENXIO)
		return err_set(e, ERR_NOT_FOUND,
			       TUN_DEVICE " has no driver: load the kernel's tun module (modprobe "
					  "tun)");
	return err_sys(e, errno, TUN_DEVICE " cannot be opened, so there can be no tunnel");
}

/* ---- giving them up ---- */

/* Effective as permitted: what setresuid has taken is still in hand for a moment, to be given up in
 * every set. */
static enum err_code capabilities_raise(struct err *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	if (syscall(SYS_capget, &head, caps) < 0)
		return err_sys(e, errno, "read capabilities");
	for (size_t i = 0; i < ARRAY_LEN(caps); i++)
		caps[i].effective = caps[i].permitted;
	return syscall(SYS_capset, &head, caps) < 0 ? err_sys(e, errno, "raise capabilities")
						    : ERR_OK;
}

static enum err_code user_become(const struct rights_user *u, struct err *e)
{
	enum err_code rc;

	if (!u->changes)
		return ERR_OK;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
		return err_sys(e, errno, "become user %u", (unsigned)u->uid);
	rc = capabilities_raise(e);
	return rc ? rc : process_hide(e);
}

/* What a sandbox must refuse, tried: none of it would harm if it did not. */
static enum err_code rights_prove(const struct sandbox_report *r, struct err *e)
{
	char *none[] = { NULL };

	if (r->seccomp && !(execve("", none, none) < 0 && errno == EPERM))
		return err_set(e, ERR_DENIED,
			       "the control process can still start programs: its system call "
			       "filter does not hold");
	if (r->landlock_abi && !(open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0))
		return err_set(e, ERR_DENIED,
			       "the control process can still read /etc: Landlock does not hold");
	return ERR_OK;
}

enum err_code rights_give_up(const struct rights_needs *n, struct err *e)
{
	const struct sandbox_path paths[] = {
		{ n->state_dir, SANDBOX_READ | SANDBOX_WRITE },
		/* How busy the host is. */
		{ "/proc/stat", SANDBOX_READ },
		{ "/proc/meminfo", SANDBOX_READ },
		{ "/proc/loadavg", SANDBOX_READ },
		{ "/proc/uptime", SANDBOX_READ },
		{ "/proc/self", SANDBOX_READ },
		{ "/proc/sys/net", SANDBOX_READ },
		{ "/dev/null", SANDBOX_READ | SANDBOX_WRITE },
		{ "/dev/urandom", SANDBOX_READ },
		/* Local time, in the reference's files. */
		{ "/etc/localtime", SANDBOX_READ },
		{ "/usr/share/zoneinfo", SANDBOX_READ },
	};
	const struct sandbox s = {
		.capabilities = n->low_ports ? 1ull << CAP_NET_BIND_SERVICE : 0,
		.calls = SANDBOX_CALLS_BASE | SANDBOX_CALLS_THREADS | SANDBOX_CALLS_MESSAGES |
			 SANDBOX_CALLS_ACCEPT | SANDBOX_CALLS_FILES | SANDBOX_CALLS_SOCKETS |
			 SANDBOX_CALLS_LOOK | SANDBOX_CALLS_ROUTES | SANDBOX_CALLS_LEAK_CHECKER,
		.paths = paths,
		.path_count = ARRAY_LEN(paths),
	};
	struct sandbox_report report;
	enum err_code rc;

	tzset(); /* the zone's file is read once */
	rc = user_become(n->user, e);
	if (rc == ERR_OK)
		rc = sandbox_enter(&s, &report, e);
	if (rc == ERR_OK)
		rc = rights_prove(&report, e);
	if (rc)
		return rc;
	if (!report.seccomp)
		LOG_WARNING("control.no_seccomp",
			    F_STR("why", "this kernel has no filters of system calls"));
	LOG_NOTE("control.confined", F_INT("pid", getpid()), F_INT("uid", geteuid()),
		 F_INT("seccomp", report.seccomp), F_INT("landlock", report.landlock_abi));
	return ERR_OK;
}
