/* rights.h - what a gateway needs to be allowed, and what its control process gives up.
 *
 * The helper asks rights_check, and readies the state directory for the user that control becomes.  Control
 * calls rights_give_up before it opens its store, and so before it reads anything from anybody.
 * docs/operations/security.md lists what is left; tests/e2e/processes.sh holds it to that.
 */
#ifndef QANAT_GATEWAY_RIGHTS_H
#define QANAT_GATEWAY_RIGHTS_H

#include <sys/types.h>

#include "base/err.h"

#define RIGHTS_USER "qanat" /* unless --user names another */

/* Who control becomes. */
struct rights_user {
	bool changes; /* false: it keeps the name it was started under, root's too, but no power */
	uid_t uid;
	gid_t gid;
};

/* CAP_NET_ADMIN and a usable /dev/net/tun; ERR_DENIED or ERR_NOT_FOUND says what is missing. */
MUST_CHECK enum err_code rights_check(struct err *e);

/* Finds the user `name` (NULL: RIGHTS_USER, if there is one), and makes the state directory and what a store
 * keeps in it his.  Where that cannot be (not root, no such user, a directory that he cannot reach, or
 * with other things in it), control keeps its name, and a line in the log says why.  A `name` that there is
 * not is ERR_NOT_FOUND. */
MUST_CHECK enum err_code rights_prepare(struct rights_user *out, const char *name,
					const char *state_dir, struct err *e);

/* What a store keeps is root's again, for root to open it, until the next rights_prepare. */
void rights_take_back(const char *state_dir);

struct rights_needs {
	const struct rights_user *user;
	const char *state_dir; /* alone can be read and written */
	bool low_ports; /* listeners below 1024 */
};
/* Becomes the user, and enters the sandbox. */
MUST_CHECK enum err_code rights_give_up(const struct rights_needs *n, struct err *e);

#endif
