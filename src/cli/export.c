#include "cli/export.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "cli/qr.h"

#define CONFIG_MODE 0600

enum err_code export_qr(struct buf *out, struct str config, const struct term *t, struct err *e)
{
	struct qr qr = { 0 };
	enum err_code rc = qr_make(&qr, config, e);

	if (rc)
		return rc;
	if (t->columns && qr_columns(&qr) > t->columns)
		rc = err_set(e, ERR_RANGE,
			     "the QR code needs %zu columns and the terminal has %u: widen it, or "
			     "write the configuration to a file with --out FILE",
			     qr_columns(&qr), t->columns);
	else
		qr_draw(out, &qr, t->colour);
	qr_done(&qr);
	return rc;
}

/* A new name is durable once its directory is. */
static enum err_code directory_sync(const char *path, struct err *e)
{
	char *copy = str_dup(str_of(path));
	enum err_code rc = ERR_OK;
	int fd;

	if (!copy)
		return err_set(e, ERR_NOMEM, "no memory to write %s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		rc = err_sys(e, errno, "make %s durable", path);
	fd_close(fd);
	free(copy);
	return rc;
}

static enum err_code config_write(int fd, const char *path, struct str config, struct err *e)
{
	/* The umask may take more than was asked for: 0600 is a promise both ways. */
	if (fchmod(fd, CONFIG_MODE))
		return err_sys(e, errno, "set the mode of %s", path);
	if (term_write(fd, config, e))
		return err_wrap(e, ERR_IO, "%s", path);
	if (fsync(fd))
		return err_sys(e, errno, "make %s durable", path);
	return directory_sync(path, e);
}

static const char *kind_of(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISLNK(mode))
		return "a symbolic link";
	if (S_ISFIFO(mode))
		return "a named pipe";
	if (S_ISSOCK(mode))
		return "a socket";
	return "a device";
}

/* What stands at `path` and is no file is nobody's to replace, --force or not. */
static enum err_code target_check(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) || S_ISREG(st.st_mode))
		return ERR_OK; /* absent, or unreachable: making the file says so */
	return err_set(e, ERR_EXISTS,
		       "%s is %s, and only a file can be written: give another name, or - for "
		       "standard output",
		       path, kind_of(st.st_mode));
}

enum err_code export_file(const char *path, struct str config, bool force, struct err *e)
{
	enum err_code rc = target_check(path, e);
	int fd;

	if (rc)
		return rc;
	if (force)
		return file_replace(path, config.p, config.n, CONFIG_MODE, e);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, CONFIG_MODE);
	if (fd < 0 && errno == EEXIST)
		return err_set(e, ERR_EXISTS,
			       "%s exists already: give another name, or --force to replace it",
			       path);
	if (fd < 0)
		return err_sys(e, errno, "create %s", path);
	rc = config_write(fd, path, config, e);
	if (rc)
		unlink(path);
	fd_close(fd);
	return rc;
}
