/* Landlock by its system calls (landlock(7)); C libraries have no functions for them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "priv/sandbox.h"

/* Rights that came after the first version; headers of a build machine may be older. */
#define FS_REFER (1ull << 13) /* 2 */
#define FS_TRUNCATE (1ull << 14) /* 3 */
#define FS_IOCTL_DEV (1ull << 15) /* 5 */

#define READ_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_RIGHTS                                                     \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |  \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | FS_REFER | FS_TRUNCATE)
/* The thirteen rights of the first version. */
#define FIRST_RIGHTS ((1ull << 13) - 1)
#define FILE_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)

/* What this kernel can refuse. */
static uint64_t rights_of(int abi)
{
	uint64_t all = FIRST_RIGHTS;

	if (abi >= 2)
		all |= FS_REFER;
	if (abi >= 3)
		all |= FS_TRUNCATE;
	if (abi >= 5)
		all |= FS_IOCTL_DEV;
	return all;
}

static int abi_ask(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
			   LANDLOCK_CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

static enum err_code allow(int ruleset, uint64_t handled, const struct sandbox_path *p,
			   struct err *e)
{
	struct landlock_path_beneath_attr rule = { 0 };
	AUTO(fd_done) int fd = open(p->path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return ERR_OK;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open %s", p->path);
	if (p->access & SANDBOX_READ)
		rule.allowed_access |= READ_RIGHTS;
	if (p->access & SANDBOX_WRITE)
		rule.allowed_access |= WRITE_RIGHTS;
	rule.allowed_access &= handled;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= FILE_RIGHTS;
	rule.parent_fd = fd;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_sys(e, errno, "allow %s", p->path);
	return ERR_OK;
}

enum err_code sandbox_restrict_paths(const struct sandbox_path *paths, size_t n, int *abi,
				     struct err *e)
{
	struct landlock_ruleset_attr attr = { 0 };
	AUTO(fd_done) int ruleset = -1;

	*abi = abi_ask();
	if (!*abi)
		return ERR_OK;
	attr.handled_access_fs = rights_of(*abi);
	/* Of the fields that came later none is used: the first is what all versions take. */
	ruleset =
		(int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
	if (ruleset < 0)
		return err_sys(e, errno, "make a set of Landlock rules");
	for (size_t i = 0; i < n; i++) {
		enum err_code rc = allow(ruleset, attr.handled_access_fs, &paths[i], e);

		if (rc)
			return rc;
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(e, errno, "enter Landlock");
	return ERR_OK;
}
