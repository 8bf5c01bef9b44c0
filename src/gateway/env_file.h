/* env_file.h - a file of environment variables, as existing installations of the peer API have it.
 *
 * Lines of NAME=VALUE, maybe with "export" in front; comments that start with '#', also behind a value
 * and a blank; empty lines.  A value may stand in single or double quotes; nothing in it is replaced.
 * Only the names listed are allowed, each once, and only
 * a file that others can neither read nor write, as it holds secrets.
 */
#ifndef QANAT_GATEWAY_ENV_FILE_H
#define QANAT_GATEWAY_ENV_FILE_H

#include "base/err.h"
#include "base/text.h"

#define ENV_FILE_MAX 65536
#define ENV_FILE_NAMES_MAX 32

struct env_file {
	struct buf text; /* the file, in which the entries end in NUL */
	char *entries[ENV_FILE_NAMES_MAX]; /* "NAME=VALUE", with quotes gone; point into it */
	bool is_set[ENV_FILE_NAMES_MAX]; /* in the environment, by us */
	size_t n;
};

/* Reads the text of a file whose name, for messages, is `path`; takes `text` over. */
MUST_CHECK enum err_code env_file_parse(struct env_file *f, const char *path, struct buf *text,
					const char *const *allowed, struct err *e);
/* Reads the file. */
MUST_CHECK enum err_code env_file_read(struct env_file *f, const char *path,
				       const char *const *allowed, struct err *e);
/* Puts what the environment does not have yet there, and takes it out again; getenv's texts stay
 * valid until env_file_done. */
void env_file_apply(struct env_file *f);
void env_file_withdraw(struct env_file *f);
void env_file_done(struct env_file *f);

#endif
