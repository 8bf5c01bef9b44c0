#include "gateway/clean_up.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "device/uapi_server.h"
#include "gateway/control_server.h"
#include "gateway/helper_process.h"
#include "gateway/rights.h"
#include "store/tunnels.h"

/* A directory without a store was never a gateway's; opening it would make one. */
static enum err_code state_exists(bool *out, const char *state_dir, struct err *e)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/" STORE_FILE, state_dir);

	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(e, ERR_RANGE, "the name of the state directory is too long");
	*out = access(path, F_OK) == 0;
	if (!*out && errno != ENOENT)
		return err_sys(e, errno, "look at %s", path);
	return ERR_OK;
}

/* Processes of a gateway that was killed end by themselves, a moment after it.  For all sockets together. */
#define PATIENCE_NS (3 * NS_PER_S)
#define PAUSE_NS (20 * NS_PER_MS)

typedef enum err_code listen_fn(int *out, const char *name, struct err *e);

/* Whether somebody still serves a socket is for those who listen to find out: what can be listened
 * at is nobody's.  ERR_IN_USE: somebody does, and goes on. */
static enum err_code listen_soon(int *out, listen_fn *listen, const char *name, int64_t until,
				 struct err *e)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	enum err_code rc;

	for (;;) {
		rc = listen(out, name, e);
		if (rc != ERR_IN_USE || clock_mono_ns() >= until)
			return rc;
		(void)nanosleep(&pause, NULL);
	}
}

static enum err_code control_socket_remove(const char *path, int64_t until, struct err *e)
{
	struct stat st;
	enum err_code rc;
	int fd = -1;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return ERR_OK;
	rc = listen_soon(&fd, control_listen, path, until, e);
	if (rc == ERR_IN_USE)
		return ERR_OK;
	if (rc == ERR_OK && unlink(path) < 0)
		rc = err_sys(e, errno, "remove %s", path);
	fd_close(fd);
	return rc;
}

static enum err_code uapi_socket_remove(const char *ifname, int64_t until, struct err *e)
{
	int fd = -1;
	enum err_code rc = listen_soon(&fd, uapi_listen, ifname, until, e);

	if (rc == ERR_IN_USE)
		return ERR_OK;
	if (rc == ERR_OK)
		uapi_unlisten(ifname);
	fd_close(fd);
	return rc;
}

/* The gateway's own is named by the option, or as stored: a first run that crashed has not stored it. */
static enum err_code uapi_sockets_remove(const struct options *o, struct store *s, int64_t until,
					 struct err *e)
{
	struct store_tunnel *further = calloc(STORE_TUNNELS_MAX, sizeof *further);
	struct settings_given given = { 0 };
	struct settings settings;
	size_t n = 0;
	enum err_code rc;

	given.v[SETTING_INTERFACE] = o->given.v[SETTING_INTERFACE];
	rc = further ? settings_load(&settings, s, &given, e)
		     : err_set(e, ERR_NOMEM, "out of memory");
	if (rc == ERR_OK)
		rc = uapi_socket_remove(settings.ifname, until, e);
	if (rc == ERR_OK)
		rc = store_tunnels(s, further, &n, e);
	for (size_t i = 0; rc == ERR_OK && i < n; i++)
		rc = uapi_socket_remove(further[i].name, until, e);
	free(further);
	return rc;
}

/* All of it is tried; the first failure is the answer.  A store that cannot be read is no reason
 * to leave the host as it is: only the interface's name is missing then. */
enum err_code gateway_clean_up(const struct options *o, struct err *e)
{
	int64_t until = clock_mono_ns() + PATIENCE_NS;
	struct store *s = NULL;
	bool exists;
	enum err_code rc = state_exists(&exists, o->state_dir, e), next;

	if (rc || !exists)
		return rc;
	rights_take_back(o->state_dir);
	rc = store_open(&s, o->state_dir, e);
	if (rc == ERR_IN_USE)
		return rc;
	if (rc == ERR_OK)
		rc = uapi_sockets_remove(o, s, until, e);
	next = control_socket_remove(o->socket, until, rc ? NULL : e);
	rc = rc ? rc : next;
	next = helper_process_undo(o->state_dir, rc ? NULL : e);
	rc = rc ? rc : next;
	store_close(s);
	return rc;
}
