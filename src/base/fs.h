/* fs.h - descriptors and files: close, whole-file read, durable replacement.
 */
#ifndef QANAT_BASE_FS_H
#define QANAT_BASE_FS_H

#include <sys/types.h>

#include "base/err.h"
#include "base/text.h"

/* Closes `fd` unless negative; keeps errno. */
void fd_close(int fd);
/* For AUTO(fd_done) int fd = -1; */
void fd_done(int *fd);
MUST_CHECK enum err_code fd_nonblock(int fd, struct err *e);

/* Opens for reading the file or directory `name` (its steps separated by '/') beneath the directory `dir`:
 * ELOOP through or at a link, EXDEV from the root or by "..".  Does not wait for a device or pipe.
 * The descriptor, or -1 with errno.  Step by step, since a service manager that restricts set-user-ID files
 * (RestrictSUIDSGID) refuses openat2(2) with ENOSYS. */
int open_beneath(int dir, const char *name);

/* Appends what `fd`, whose name for messages is `path`, has left; at most `limit` bytes (ERR_RANGE). */
MUST_CHECK enum err_code fd_read(struct buf *out, int fd, const char *path, size_t limit,
				 struct err *e);
/* Appends a whole file of at most `limit` bytes to `out` (ERR_RANGE when it is larger). */
MUST_CHECK enum err_code file_read(struct buf *out, const char *path, size_t limit, struct err *e);
/* Replaces `path`: writes path.tmp with `mode`, fsync, rename, fsync of the directory.  When it
 * fails before the rename, the old file is untouched and path.tmp is gone; when only the last
 * fsync fails, the new file stands there but may not survive a power cut.  A symbolic link is
 * replaced, not followed.  Test builds: fault points file.write, file.fsync, file.rename. */
MUST_CHECK enum err_code file_replace(const char *path, const void *p, size_t n, mode_t mode,
				      struct err *e);
/* Makes the directory (and its parents) with `mode`, whatever the umask; one that exists must be a directory. */
MUST_CHECK enum err_code dir_make(const char *path, mode_t mode, struct err *e);

#endif
