/* The journal: what change.h says about it.
 *
 *    qanat-net 1 BOOT NETNS		where: boot id and network namespace
 *    address IFNAME IFINDEX PREFIX OLD NOW
 *    mtu IFNAME IFINDEX OLD NOW
 *    up IFNAME IFINDEX OLD NOW
 *    sysctl NAME OLD NOW
 *    keep NAME OLD NOW
 *    table NAME OLD NOW
 *    route PREFIX OLD NOW
 *    end
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "net/change.h"
#include "net/nft.h"

#define JOURNAL_MAGIC "qanat-net 1"

static const char *const words[] = {
	[CHANGE_ADDRESS] = "address", [CHANGE_MTU] = "mtu",   [CHANGE_UP] = "up",
	[CHANGE_SYSCTL] = "sysctl",   [CHANGE_KEEP] = "keep", [CHANGE_TABLE] = "table",
	[CHANGE_ROUTE] = "route",
};

static bool of_link(enum change_kind k)
{
	return k == CHANGE_ADDRESS || k == CHANGE_MTU || k == CHANGE_UP;
}

static bool of_prefix(enum change_kind k)
{
	return k == CHANGE_ADDRESS || k == CHANGE_ROUTE;
}

/* ---- writing ---- */

void journal_format(struct buf *out, const struct changes *c, struct str boot, struct str netns)
{
	char text[PREFIX_TEXT_MAX];
	size_t i;

	buf_printf(out, JOURNAL_MAGIC " %.*s %.*s\n", STR_ARG(boot), STR_ARG(netns));
	for (i = 0; i < c->n; i++) {
		const struct change *x = &c->p[i];

		buf_z(out, words[x->kind]);
		if (of_link(x->kind))
			buf_printf(out, " %s %u", x->ifname, x->ifindex);
		else if (x->kind != CHANGE_ROUTE)
			buf_printf(out, " %s", x->name);
		if (of_prefix(x->kind)) {
			ip_prefix_format(text, &x->address);
			buf_printf(out, " %s", text);
		}
		buf_printf(out, " %u %u\n", x->old, x->now);
	}
	buf_z(out, "end\n");
}

/* ---- reading ---- */

static bool parse_name(struct change *x, struct str name)
{
	if (of_link(x->kind))
		return ifname_ok(name) && str_copy(x->ifname, sizeof x->ifname, name);
	if (x->kind == CHANGE_TABLE ? !nft_table_valid(name) : !sysctl_name_valid(name))
		return false;
	return str_copy(x->name, sizeof x->name, name);
}

static bool parse_number(struct str *rest, uint32_t min, uint32_t max, uint32_t *out)
{
	struct str piece;

	return str_cut(rest, ' ', &piece) && u32_parse(piece, min, max, out);
}

static bool parse_kind(struct str *rest, enum change_kind *out)
{
	struct str word;
	size_t i;

	if (!str_cut(rest, ' ', &word))
		return false;
	for (i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(word, str_of(words[i]))) {
			*out = (enum change_kind)i;
			return true;
		}
	return false;
}

static bool parse_thing(struct change *x, struct str *rest)
{
	struct str piece;

	if (x->kind != CHANGE_ROUTE && (!str_cut(rest, ' ', &piece) || !parse_name(x, piece)))
		return false;
	if (of_link(x->kind) && !parse_number(rest, 1, INT32_MAX, &x->ifindex))
		return false;
	if (of_prefix(x->kind) &&
	    (!str_cut(rest, ' ', &piece) || !ip_prefix_parse(piece, &x->address)))
		return false;
	if (x->kind == CHANGE_ROUTE)
		ip_prefix_mask(&x->address); /* a route has no host bits */
	return true;
}

static bool parse_change(struct change *x, struct str line)
{
	struct str rest = line;
	uint32_t max;

	*x = (struct change){ 0 };
	if (!parse_kind(&rest, &x->kind) || !parse_thing(x, &rest))
		return false;
	max = x->kind == CHANGE_MTU || x->kind == CHANGE_SYSCTL || x->kind == CHANGE_KEEP
		      ? UINT32_MAX
		      : 1;
	return parse_number(&rest, 0, max, &x->old) && parse_number(&rest, 0, max, &x->now) &&
	       rest.n == 0;
}

/* "MAGIC BOOT NETNS"; `here` tells whether both are the given ones. */
static bool parse_head(struct str line, struct str boot, struct str netns, bool *here)
{
	struct str magic = STR(JOURNAL_MAGIC " "), piece;
	bool same;

	if (!str_starts(line, magic))
		return false;
	line.p += magic.n;
	line.n -= magic.n;
	if (!str_cut(&line, ' ', &piece) || !piece.n)
		return false;
	same = str_eq(piece, boot);
	*here = same && str_eq(line, netns);
	return line.n > 0;
}

static enum err_code parse_lines(struct changes *out, struct str text, struct str boot,
				 struct str netns, bool *here, struct err *e)
{
	struct str rest = text, line;
	struct change x;
	unsigned number = 1;
	enum err_code rc;

	if (!str_cut(&rest, '\n', &line) || !parse_head(line, boot, netns, here))
		return err_set(e, ERR_CORRUPT, "line 1 is not \"%s ...\"", JOURNAL_MAGIC);
	while (str_cut(&rest, '\n', &line)) {
		number++;
		if (str_eq(line, STR("end")))
			break;
		if (!parse_change(&x, line))
			return err_set(e, ERR_CORRUPT, "line %u is not a change", number);
		rc = changes_add(out, &x, e);
		if (rc)
			return rc;
	}
	if (!str_eq(line, STR("end")) || rest.n)
		return err_set(e, ERR_CORRUPT, "it does not finish with \"end\" in line %u",
			       number);
	return ERR_OK;
}

enum err_code journal_parse(struct changes *out, struct str text, struct str boot, struct str netns,
			    struct err *e)
{
	struct changes read = { 0 };
	bool here = false;
	enum err_code rc = parse_lines(&read, text, boot, netns, &here, e);

	if (rc || !here) {
		changes_done(&read);
		return rc;
	}
	*out = read;
	return ERR_OK;
}

/* ---- the file ---- */

/* Changes of the network do not outlive a boot, nor their namespace. */
static enum err_code whereabouts(struct buf *boot, char netns[64], struct err *e)
{
	static const char boot_path[] = "/proc/sys/kernel/random/boot_id";
	static const char netns_path[] = "/proc/thread-self/ns/net";
	enum err_code rc = file_read(boot, boot_path, 64, e);
	ssize_t n;

	if (rc)
		return rc;
	while (boot->n && boot->p[boot->n - 1] == '\n')
		boot->n--;
	n = readlink(netns_path, netns, 63);
	if (n < 0)
		return err_sys(e, errno, "read %s", netns_path);
	netns[n] = '\0';
	return ERR_OK;
}

/* The directory is synced too, so that a power cut does not bring the file back. */
static enum err_code remove_file(const char *path, struct err *e)
{
	AUTO(buf_done) struct buf dir = { 0 };
	const char *slash = strrchr(path, '/');
	AUTO(fd_done) int fd = -1;

	if (unlink(path))
		return errno == ENOENT ? ERR_OK : err_sys(e, errno, "remove %s", path);
	if (slash && slash != path)
		buf_add(&dir, path, (size_t)(slash - path));
	else
		buf_z(&dir, slash ? "/" : ".");
	if (!buf_ok(&dir))
		return err_set(e, ERR_NOMEM, "no memory to sync the directory of %s", path);
	fd = open(dir.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		return err_sys(e, errno, "sync the directory %s", dir.p);
	return ERR_OK;
}

enum err_code journal_write(const char *path, const struct changes *c, struct err *e)
{
	AUTO(buf_done) struct buf text = { .limit = JOURNAL_MAX }, boot = { 0 };
	char netns[64];
	enum err_code rc;

	if (FAULT("net.journal"))
		return err_set(e, ERR_IO, "write %s: injected failure", path);
	if (!c->n)
		return remove_file(path, e);
	rc = whereabouts(&boot, netns, e);
	if (rc)
		return rc;
	journal_format(&text, c, buf_view(&boot), str_of(netns));
	if (!buf_ok(&text))
		return err_set(e, ERR_FULL, "%s would pass %u bytes", path, JOURNAL_MAX);
	rc = file_replace(path, text.p, text.n, 0600, e);
	return rc ? err_wrap(e, rc, "journal of the network") : ERR_OK;
}

enum err_code journal_read(const char *path, struct changes *out, struct err *e)
{
	AUTO(buf_done) struct buf text = { 0 }, boot = { 0 };
	struct err why = { 0 };
	char netns[64];
	enum err_code rc = file_read(&text, path, JOURNAL_MAX, &why);

	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if (rc)
		return err_set(e, rc, "journal of the network: %s", why.msg);
	rc = whereabouts(&boot, netns, e);
	if (rc)
		return rc;
	rc = journal_parse(out, buf_view(&text), buf_view(&boot), str_of(netns), &why);
	return rc ? err_set(e, rc, "%s is damaged (%s): see what it says and remove it", path,
			    why.msg)
		  : ERR_OK;
}
