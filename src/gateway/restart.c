#include "gateway/restart.h"

#include <errno.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/text.h"

#define RESTART_ENV "QANAT_GATEWAY_RESTART"
#define SELF "/proc/self/exe"

/* The path is asked for now: once another program has been installed in its place, the link
 * names a deleted file, and leads to the old program. */
static enum err_code path_find(struct restart *r, struct err *e)
{
	ssize_t n = readlink(SELF, r->path, sizeof r->path);

	if (n < 0)
		return err_sys(e, errno, "read %s", SELF);
	if ((size_t)n >= sizeof r->path)
		return err_set(e, ERR_RANGE, "the path of this program is too long");
	r->path[n] = 0;
	return ERR_OK;
}

enum err_code restart_init(struct restart *r, int argc, char **argv, struct err *e)
{
	const char *before = getenv(RESTART_ENV);
	size_t n = argc > 0 ? (size_t)argc : 0;
	enum err_code rc;

	*r = (struct restart){ 0 };
	rc = path_find(r, e);
	if (rc)
		return rc;
	if (before && !str_copy(r->state_dir, sizeof r->state_dir, str_of(before)))
		return err_set(e, ERR_RANGE, RESTART_ENV " is too long");
	(void)unsetenv(RESTART_ENV); /* fails only for a name that is none */
	r->argv = calloc(n + 1, sizeof *r->argv);
	if (!r->argv)
		return err_set(e, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		r->argv[i] = argv[i];
	return ERR_OK;
}

void restart_done(struct restart *r)
{
	free(r->argv);
	r->argv = NULL;
}

enum err_code restart_exec(const struct restart *r, const char *state_dir, struct err *e)
{
	int why;

	if (setenv(RESTART_ENV, state_dir, 1) < 0)
		return err_sys(e, errno, "start %s", r->path);
	if (FAULT("restart.exec"))
		return err_set(e, ERR_IO, "failure injected at restart.exec");
	(void)execv(r->path, r->argv);
	why = errno;
	(void)execv(SELF, r->argv); /* the old program is better than none */
	return err_sys(e, why, "start %s", r->path);
}
