#include "priv/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- limits ---- */

static enum err_code limit(int which, const char *name, uint64_t most, struct err *e)
{
	struct rlimit now;
	rlim_t n = (rlim_t)most;

	if (getrlimit((__rlimit_resource_t)which, &now) < 0)
		return err_sys(e, errno, "read limit %s", name);
	/* A limit that is lower already stays: only the privileged may raise it. */
	now.rlim_max = MIN(now.rlim_max, n);
	now.rlim_cur = now.rlim_max;
	if (setrlimit((__rlimit_resource_t)which, &now) < 0)
		return err_sys(e, errno, "set limit %s", name);
	return ERR_OK;
}

static enum err_code limits_set(uint64_t memlock, struct err *e)
{
	enum err_code rc = limit(RLIMIT_CORE, "core", 0, e);

	if (rc == ERR_OK)
		rc = limit(RLIMIT_MEMLOCK, "memlock", memlock, e);
	if (rc == ERR_OK && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = err_sys(e, errno, "give up new privileges");
	return rc;
}

/* ---- descriptors ---- */

static int compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static enum err_code close_between(unsigned first, unsigned last, struct err *e)
{
	if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
		return ERR_OK;
	return err_sys(e, errno, "close descriptors %u to %u", first, last);
}

enum err_code sandbox_close_others(const int *keep, size_t n, struct err *e)
{
	unsigned next = STDERR_FILENO + 1;
	int *sorted = calloc(n + 1, sizeof *sorted);
	enum err_code rc = ERR_OK;

	if (!sorted)
		return err_set(e, ERR_NOMEM, "no memory for a list of descriptors");
	if (n)
		memcpy(sorted, keep, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, compare);
	for (size_t i = 0; rc == ERR_OK && i < n; i++) {
		if (sorted[i] < (int)next)
			continue;
		rc = close_between(next, (unsigned)sorted[i] - 1, e);
		next = (unsigned)sorted[i] + 1;
	}
	if (rc == ERR_OK)
		rc = close_between(next, UINT32_MAX, e);
	free(sorted);
	return rc;
}

/* ---- capabilities ---- */

/* Without CAP_SETPCAP the bounding set stays: with no_new_privs nothing in it can be gained. */
static enum err_code bounding_drop(uint64_t kept, struct err *e)
{
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (kept >> cap & 1)
			continue;
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0) /* beyond the kernel's last */
			return ERR_OK;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			return err_sys(e, errno, "give up capability %lu", cap);
	}
	return ERR_OK;
}

enum err_code sandbox_keep_capabilities(uint64_t kept, struct err *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	enum err_code rc = bounding_drop(kept, e);

	if (rc)
		return rc;
	/* Kernels before 4.3 have no ambient set, and nothing in it. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return err_sys(e, errno, "give up ambient capabilities");
	if (syscall(SYS_capget, &head, caps) < 0)
		return err_sys(e, errno, "read capabilities");
	for (unsigned i = 0; i < ARRAY_LEN(caps); i++) {
		caps[i].permitted &= (uint32_t)(kept >> (32 * i));
		caps[i].effective = caps[i].permitted;
		caps[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, caps) < 0)
		return err_sys(e, errno, "give up capabilities");
	return ERR_OK;
}

/* ---- all of it ---- */

enum err_code sandbox_enter(const struct sandbox *s, struct sandbox_report *out, struct err *e)
{
	enum err_code rc = limits_set(s->memlock, e);

	*out = (struct sandbox_report){ 0 };
	if (rc == ERR_OK && s->descriptors)
		rc = sandbox_close_others(s->descriptors, s->descriptor_count, e);
	if (rc == ERR_OK)
		rc = sandbox_restrict_paths(s->paths, s->path_count, &out->landlock_abi, e);
	if (rc == ERR_OK)
		rc = sandbox_keep_capabilities(s->capabilities, e);
	if (rc == ERR_OK)
		rc = sandbox_restrict_calls(s->calls, &out->seccomp, e);
	return rc;
}
