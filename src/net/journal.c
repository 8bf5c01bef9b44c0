/* The journal: what change.h says about it.
 *
 *    qanat-net 1 BOOT NETNS		where: boot id and network namespace
 *    address IFNAME IFINDEX PREFIX OLD NOW
 *    mtu IFNAME IFINDEX OLD NOW
 *    up IFNAME IFINDEX OLD NOW
 *    sysctl NAME OLD NOW
 *    keep NAME OLD NOW
 *    table NAME OLD NOW
 *    route PREFIX OLD NOW		a blackhole that holds a tunnel's network
 *    path PREFIX TABLE METRIC IFNAME IFINDEX GATEWAY OLD NOW	any other route
 *    rule FAMILY PRIORITY FROM TO IFNAME MARK TABLE OLD NOW
 *    end
 *
 * "-" stands for what a route or rule does not name.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "net/change.h"
#include "net/nft.h"

#define JOURNAL_MAGIC "qanat-net 1"
#define JOURNAL_RESERVE 65536 /* bytes; a journal has a few hundred, a directory a block more */

static const char *const words[] = {
	[CHANGE_ADDRESS] = "address", [CHANGE_MTU] = "mtu",   [CHANGE_UP] = "up",
	[CHANGE_SYSCTL] = "sysctl",   [CHANGE_KEEP] = "keep", [CHANGE_TABLE] = "table",
	[CHANGE_ROUTE] = "route",     [CHANGE_RULE] = "rule",
};
#define PATH_WORD "path" /* CHANGE_ROUTE that holds no tunnel's network */

static bool of_link(enum change_kind k)
{
	return k == CHANGE_ADDRESS || k == CHANGE_MTU || k == CHANGE_UP;
}

/* ---- writing ---- */

static void put_prefix(struct buf *out, const struct ip_prefix *p)
{
	char text[PREFIX_TEXT_MAX] = "-";

	if (p->addr.family)
		ip_prefix_format(text, p);
	buf_printf(out, " %s", text);
}

static void put_name(struct buf *out, const char *name)
{
	buf_printf(out, " %s", *name ? name : "-");
}

static void put_path(struct buf *out, const struct change *x)
{
	char gateway[IP_TEXT_MAX] = "-";

	if (x->gateway.family)
		ip_format(gateway, &x->gateway);
	buf_z(out, PATH_WORD);
	put_prefix(out, &x->address);
	buf_printf(out, " %u %u", x->table, x->metric);
	put_name(out, x->ifname);
	buf_printf(out, " %u %s", x->ifindex, gateway);
}

static void put_rule(struct buf *out, const struct net_rule *r)
{
	buf_printf(out, "%s %u %u", words[CHANGE_RULE], r->family, r->priority);
	put_prefix(out, &r->from);
	put_prefix(out, &r->to);
	put_name(out, r->ifname);
	buf_printf(out, " %u %u", r->mark, r->table);
}

static void put_change(struct buf *out, const struct change *x)
{
	if (x->kind == CHANGE_RULE) {
		put_rule(out, &x->rule);
	} else if (x->kind == CHANGE_ROUTE && !change_is_hold(x)) {
		put_path(out, x);
	} else {
		buf_z(out, words[x->kind]);
		if (of_link(x->kind))
			buf_printf(out, " %s %u", x->ifname, x->ifindex);
		else if (x->kind != CHANGE_ROUTE)
			put_name(out, x->name);
		if (x->kind == CHANGE_ADDRESS || x->kind == CHANGE_ROUTE)
			put_prefix(out, &x->address);
	}
	buf_printf(out, " %u %u\n", x->old, x->now);
}

void journal_format(struct buf *out, const struct changes *c, struct str boot, struct str netns)
{
	size_t i;

	buf_printf(out, JOURNAL_MAGIC " %.*s %.*s\n", STR_ARG(boot), STR_ARG(netns));
	for (i = 0; i < c->n; i++)
		put_change(out, &c->p[i]);
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

static bool parse_kind(struct str word, enum change_kind *out)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(word, str_of(words[i]))) {
			*out = (enum change_kind)i;
			return true;
		}
	return false;
}

static bool parse_prefix(struct str *rest, struct ip_prefix *out)
{
	struct str piece;

	return str_cut(rest, ' ', &piece) && ip_prefix_parse(piece, out);
}

/* The same, and "-" is none. */
static bool parse_side(struct str *rest, uint8_t family, struct ip_prefix *out)
{
	struct str piece;

	if (!str_cut(rest, ' ', &piece))
		return false;
	if (str_eq(piece, STR("-")))
		return true;
	return ip_prefix_parse(piece, out) && out->addr.family == family && out->len;
}

/* "-" is none. */
static bool parse_ifname(struct str *rest, char out[NL_NAME_MAX])
{
	struct str piece;

	if (!str_cut(rest, ' ', &piece))
		return false;
	if (str_eq(piece, STR("-")))
		return true;
	return ifname_ok(piece) && str_copy(out, NL_NAME_MAX, piece);
}

static bool parse_gateway(struct str *rest, uint8_t family, struct ip_addr *out)
{
	struct str piece;

	if (!str_cut(rest, ' ', &piece))
		return false;
	return str_eq(piece, STR("-")) || (ip_parse(piece, out) && out->family == family);
}

static bool parse_path(struct change *x, struct str *rest)
{
	x->kind = CHANGE_ROUTE;
	if (!parse_prefix(rest, &x->address) || !parse_number(rest, 1, UINT32_MAX, &x->table) ||
	    !parse_number(rest, 0, UINT32_MAX, &x->metric) || !parse_ifname(rest, x->ifname) ||
	    !parse_number(rest, 0, INT32_MAX, &x->ifindex) ||
	    !parse_gateway(rest, x->address.addr.family, &x->gateway))
		return false;
	ip_prefix_mask(&x->address);
	/* A blackhole has neither interface nor gateway; what looks like a hold has its own word. */
	return !x->ifindex == !x->ifname[0] && (x->ifindex || !x->gateway.family) &&
	       !change_is_hold(x);
}

static bool parse_rule(struct net_rule *r, struct str *rest)
{
	uint32_t family;

	if (!parse_number(rest, IP_V4, IP_V6, &family) || !ip_bits((uint8_t)family))
		return false;
	r->family = (uint8_t)family;
	return parse_number(rest, 1, NET_RULE_PRIORITY_MAX, &r->priority) &&
	       parse_side(rest, r->family, &r->from) && parse_side(rest, r->family, &r->to) &&
	       parse_ifname(rest, r->ifname) && parse_number(rest, 0, UINT32_MAX, &r->mark) &&
	       parse_number(rest, 1, UINT32_MAX, &r->table);
}

static bool parse_hold(struct change *x, struct str *rest)
{
	if (!parse_prefix(rest, &x->address))
		return false;
	*x = change_hold(&x->address);
	return true;
}

static bool parse_thing(struct change *x, struct str *rest)
{
	struct str piece;

	if (x->kind == CHANGE_RULE)
		return parse_rule(&x->rule, rest);
	if (x->kind == CHANGE_ROUTE)
		return parse_hold(x, rest);
	if (!str_cut(rest, ' ', &piece) || !parse_name(x, piece))
		return false;
	if (of_link(x->kind) && !parse_number(rest, 1, INT32_MAX, &x->ifindex))
		return false;
	return x->kind != CHANGE_ADDRESS || parse_prefix(rest, &x->address);
}

static bool parse_change(struct change *x, struct str line)
{
	struct str rest = line, word;
	uint32_t max;

	*x = (struct change){ 0 };
	if (!str_cut(&rest, ' ', &word))
		return false;
	if (str_eq(word, STR(PATH_WORD)) ? !parse_path(x, &rest)
					 : !parse_kind(word, &x->kind) || !parse_thing(x, &rest))
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

/* ---- room on the disk ---- */

/* What is undone since the disk is full must be written down all the same: room for one journal is kept
 * beside it in a file, which goes when there is no other. */
static bool reserve_path(char out[PATH_MAX], const char *path)
{
	int n = snprintf(out, PATH_MAX, "%s.reserve", path);

	return n > 0 && n < PATH_MAX;
}

static bool reserve_release(const char *path)
{
	char reserve[PATH_MAX];

	return reserve_path(reserve, path) && unlink(reserve) == 0;
}

/* Best effort: without it all works but on a full disk. */
static void reserve_take(const char *path)
{
	AUTO(fd_done) int fd = -1;
	char reserve[PATH_MAX];

	if (!reserve_path(reserve, path))
		return;
	fd = open(reserve, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && posix_fallocate(fd, 0, JOURNAL_RESERVE))
		(void)unlink(reserve);
}

enum err_code journal_write(const char *path, const struct changes *c, struct err *e)
{
	AUTO(buf_done) struct buf text = { .limit = JOURNAL_MAX }, boot = { 0 };
	char netns[64];
	struct err why = { 0 };
	enum err_code rc;

	if (FAULT("net.journal"))
		return err_set(e, ERR_IO, "write %s: injected failure", path);
	if (!c->n) {
		(void)reserve_release(path);
		return remove_file(path, e);
	}
	rc = whereabouts(&boot, netns, e);
	if (rc)
		return rc;
	journal_format(&text, c, buf_view(&boot), str_of(netns));
	if (!buf_ok(&text))
		return err_set(e, ERR_FULL, "%s would pass %u bytes", path, JOURNAL_MAX);
	rc = file_replace(path, text.p, text.n, 0600, &why);
	if (rc && (why.sys == ENOSPC || why.sys == EDQUOT) && reserve_release(path))
		rc = file_replace(path, text.p, text.n, 0600, &why);
	reserve_take(path);
	if (rc == ERR_OK)
		return ERR_OK;
	if (e)
		*e = why;
	return err_wrap(e, rc, "journal of the network");
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
