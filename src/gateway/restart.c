#include "gateway/restart.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/text.h"

#define RESTART_ENV "QANAT_GATEWAY_RESTART"
#define LOSSES_ENV "QANAT_GATEWAY_LOSSES"
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

/* "17 23": what does not read so is none of ours. */
static void losses_read(struct restart *r, struct str text)
{
	struct str piece;
	uint64_t at;

	while (str_cut(&text, ' ', &piece) && u64_parse(piece, 1, UINT64_MAX, &at)) {
		memmove(r->losses, r->losses + 1, sizeof r->losses - sizeof r->losses[0]);
		r->losses[RESTART_LOSSES_MAX - 1] = at;
	}
}

static int losses_hand_on(const struct restart *r)
{
	char text[RESTART_LOSSES_MAX * 21 + 1];
	size_t n = 0, i;

	for (i = 0; i < RESTART_LOSSES_MAX; i++)
		if (r->losses[i])
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%" PRIu64, n ? " " : "",
					      r->losses[i]);
	return n ? setenv(LOSSES_ENV, text, 1) : unsetenv(LOSSES_ENV);
}

enum err_code restart_lost(struct restart *r, uint64_t now_s, struct err *e)
{
	if (r->losses[0] && now_s - r->losses[0] < RESTART_LOSSES_S)
		return err_set(e, ERR_FULL,
			       "the interface was deleted more than %d times within %d s: somebody "
			       "does not want it",
			       RESTART_LOSSES_MAX, RESTART_LOSSES_S);
	memmove(r->losses, r->losses + 1, sizeof r->losses - sizeof r->losses[0]);
	r->losses[RESTART_LOSSES_MAX - 1] = now_s;
	return ERR_OK;
}

enum err_code restart_init(struct restart *r, int argc, char **argv, struct err *e)
{
	const char *before = getenv(RESTART_ENV);
	const char *losses = getenv(LOSSES_ENV);
	size_t n = argc > 0 ? (size_t)argc : 0;
	enum err_code rc;

	*r = (struct restart){ 0 };
	rc = path_find(r, e);
	if (rc)
		return rc;
	if (before && !str_copy(r->state_dir, sizeof r->state_dir, str_of(before)))
		return err_set(e, ERR_RANGE, RESTART_ENV " is too long");
	losses_read(r, str_of(losses));
	(void)unsetenv(RESTART_ENV); /* fails only for a name that is none */
	(void)unsetenv(LOSSES_ENV);
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

	if (setenv(RESTART_ENV, state_dir, 1) < 0 || losses_hand_on(r) < 0)
		return err_sys(e, errno, "start %s", r->path);
	if (FAULT("restart.exec"))
		return err_set(e, ERR_IO, "failure injected at restart.exec");
	(void)execv(r->path, r->argv);
	why = errno;
	(void)execv(SELF, r->argv); /* the old program is better than none */
	return err_sys(e, why, "start %s", r->path);
}
