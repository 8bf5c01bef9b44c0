#include "net/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"

#define SYSCTL_ROOT "/proc/sys/"
#define PATH_MAX_ (sizeof SYSCTL_ROOT + SYSCTL_NAME_MAX)

static void path_of(char out[PATH_MAX_], const char *name)
{
	BUG_ON(!sysctl_name_valid(str_of(name)));
	snprintf(out, PATH_MAX_, SYSCTL_ROOT "%s", name);
}

bool sysctl_name_valid(struct str name)
{
	struct str rest = name, piece;

	if (name.n >= SYSCTL_NAME_MAX ||
	    (!str_starts(name, STR("net/ipv4/")) && !str_starts(name, STR("net/ipv6/"))))
		return false;
	while (str_cut(&rest, '/', &piece))
		if (!piece.n || str_eq(piece, STR(".")) || str_eq(piece, STR("..")) ||
		    memchr(piece.p, '\0', piece.n) || memchr(piece.p, '\n', piece.n) ||
		    memchr(piece.p, ' ', piece.n))
			return false;
	return true;
}

enum err_code sysctl_read(const char *name, uint32_t *out, struct err *e)
{
	char path[PATH_MAX_], text[32];
	AUTO(fd_done) int fd = -1;
	ssize_t n;

	path_of(path, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open %s", path);
	n = read(fd, text, sizeof text);
	if (n < 0)
		return err_sys(e, errno, "read %s", path);
	if (!u32_parse(str_trim((struct str){ text, (size_t)n }), 0, UINT32_MAX, out))
		return err_set(e, ERR_INVALID, "%s holds no number", path);
	return ERR_OK;
}

enum err_code sysctl_write(const char *name, uint32_t value, struct err *e)
{
	char path[PATH_MAX_], text[16];
	AUTO(fd_done) int fd = -1;
	int n = snprintf(text, sizeof text, "%u\n", value);

	path_of(path, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open %s to set it to %u", path, value);
	if (write(fd, text, (size_t)n) != n)
		return err_sys(e, errno, "set %s to %u", path, value);
	return ERR_OK;
}
