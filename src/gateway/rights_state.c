/* The state directory becomes that of control's user.  rights_prepare, as rights.h says. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/rights.h"
#include "store/store.h"

#define DEPTH_MAX 4 /* backups/NAME/FILE */

/* The helper's alone: what it says is carried out with its rights. */
static bool is_helpers(const char *name)
{
	return str_starts(str_of(name), STR("net.journal"));
}

/* What a gateway keeps in its state directory. */
static bool is_ours(const char *name)
{
	static const char *const names[] = { STORE_KEY_FILE, "store.lock", "tls", "backups" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_starts(str_of(name), str_of(names[i])))
			return true;
	return is_helpers(name) || str_starts(str_of(name), STR("gateway."));
}

/* The descriptor names what was looked at, whatever the name leads to by now. */
static void give(int fd, const struct stat *st, const struct rights_user *u)
{
	if ((st->st_uid != u->uid || st->st_gid != u->gid) &&
	    fchownat(fd, "", u->uid, u->gid, AT_EMPTY_PATH) < 0 && errno != EROFS)
		LOG_WARNING("state.not_given", F_STR("why", strerror(errno)));
}

static void give_below(int dir, const struct rights_user *u, unsigned depth);

static void give_one(int dir, const char *name, const struct rights_user *u, unsigned depth)
{
	AUTO(fd_done) int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
		int below = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		give(fd, &st, u);
		if (below >= 0)
			give_below(below, u, depth + 1);
	} else if (S_ISREG(st.st_mode) && st.st_nlink == 1) {
		give(fd, &st, u);
	}
}

/* Takes `dir` over. */
static void give_below(int dir, const struct rights_user *u, unsigned depth)
{
	DIR *d = fdopendir(dir);
	const struct dirent *f;

	if (!d) {
		fd_close(dir);
		return;
	}
	while ((f = readdir(d)) != NULL)
		if (f->d_name[0] != '.' &&
		    (depth > 1 || (is_ours(f->d_name) && !is_helpers(f->d_name))))
			give_one(dir, f->d_name, u, depth);
	closedir(d);
}

/* A directory with other things in it is not given away. */
static bool holds_others(const char *state_dir)
{
	DIR *d = opendir(state_dir);
	const struct dirent *f;
	bool others = false;

	while (d && !others && (f = readdir(d)) != NULL)
		others = strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0 &&
			 !is_ours(f->d_name);
	if (d)
		closedir(d);
	return others;
}

/* Given before: what somebody has put there since changes nothing. */
static bool belongs_to(const char *state_dir, const struct rights_user *u)
{
	struct stat st;

	return stat(state_dir, &st) == 0 && st.st_uid == u->uid;
}

/* What a gateway keeps there; the directory itself unless there are other things in it. */
static void give_state(const char *state_dir, const struct rights_user *u)
{
	int dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (dir < 0)
		return;
	if (!holds_others(state_dir) && fstat(dir, &st) == 0)
		give(dir, &st, u);
	give_below(dir, u, 1);
}

/* Tried as he: the way there may lead through somebody's home. */
static bool can_reach(const char *state_dir, const struct rights_user *u)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(setgroups(0, NULL) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
		      setresuid(u->uid, u->uid, u->uid) < 0 || access(state_dir, R_OK | X_OK) < 0 ||
		      (access(state_dir, W_OK) < 0 && errno != EROFS));
	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Whether this process may become somebody else. */
static bool may_change(void)
{
	const uint32_t needed = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_CHOWN;
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	return geteuid() == 0 && syscall(SYS_capget, &head, caps) == 0 &&
	       (caps[0].effective & needed) == needed;
}

static enum err_code user_find(struct rights_user *out, const char *name, bool *found,
			       struct err *e)
{
	const struct passwd *p = getpwnam(name ? name : RIGHTS_USER);

	*found = p != NULL;
	if (p && p->pw_uid == 0)
		return err_set(e, ERR_INVALID, "option --user: \"%s\" is root", name);
	if (!p && name)
		return err_set(e, ERR_NOT_FOUND, "option --user: there is no user \"%s\"", name);
	if (p)
		*out = (struct rights_user){ .changes = true, .uid = p->pw_uid, .gid = p->pw_gid };
	return ERR_OK;
}

static void say_root(const char *why, const char *state_dir)
{
	LOG_WARNING("gateway.keeps_root", F_STR("state", state_dir), F_STR("why", why),
		    F_STR("so", "its control process has root's name, without root's powers"));
}

/* Back to root, when an earlier run was another's. */
void rights_take_back(const char *state_dir)
{
	const struct rights_user root = { .uid = 0, .gid = 0 };

	/* Nothing is taken from under one that runs. */
	if (may_change() && !store_is_used(state_dir))
		give_state(state_dir, &root);
}

enum err_code rights_prepare(struct rights_user *out, const char *name, const char *state_dir,
			     struct err *e)
{
	bool found = false;
	enum err_code rc = ERR_OK;

	*out = (struct rights_user){ .uid = geteuid(), .gid = getegid() };
	if (!may_change())
		return name && geteuid() == 0
			       ? err_set(e, ERR_DENIED,
					 "option --user needs the capabilities SETUID, SETGID and "
					 "CHOWN")
			       : ERR_OK;
	rc = user_find(out, name, &found, e);
	if (rc)
		return rc;
	/* What is wrong with the directory is the store's to say. */
	if (dir_make(state_dir, 0700, NULL))
		out->changes = false;
	else if (!found)
		say_root("there is no user " RIGHTS_USER
			 ": useradd --system --user-group --no-create-home " RIGHTS_USER,
			 state_dir);
	else if (!belongs_to(state_dir, out) && holds_others(state_dir)) {
		out->changes = false;
		say_root("the state directory holds other things as well", state_dir);
	} else {
		/* Nothing is taken from under another gateway: control will say that it is in use. */
		if (!store_is_used(state_dir))
			give_state(state_dir, out);
		if (!can_reach(state_dir, out)) {
			out->changes = false;
			say_root("its user cannot reach the state directory", state_dir);
		}
	}
	if (!out->changes)
		rights_take_back(state_dir);
	return ERR_OK;
}
