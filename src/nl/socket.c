#include "nl/socket.h"

#include <errno.h>
#include <sys/time.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

_Static_assert(NLMSG_HDRLEN == 16, "netlink header");

enum err_code nl_socket_open(struct mnl_socket **out, int bus, int flags, struct err *e)
{
	struct mnl_socket *s = mnl_socket_open2(bus, SOCK_CLOEXEC | flags);
	int on = 1;

	if (!s)
		return err_sys(e, errno, "open a netlink socket");
	/* Only explanations and filtering are lost where an old kernel lacks these. */
	(void)mnl_socket_setsockopt(s, NETLINK_EXT_ACK, &on, sizeof on);
	(void)mnl_socket_setsockopt(s, NETLINK_CAP_ACK, &on, sizeof on);
	(void)mnl_socket_setsockopt(s, NETLINK_GET_STRICT_CHK, &on, sizeof on);
	*out = s;
	return ERR_OK;
}

enum err_code nl_bus_open(struct nl **out, int bus, struct err *e)
{
	const struct timeval limit = { .tv_sec = NL_TIMEOUT_MS / 1000,
				       .tv_usec = NL_TIMEOUT_MS % 1000 * 1000 };
	struct nl *n = calloc(1, sizeof *n);
	enum err_code rc;

	if (!n)
		return err_set(e, ERR_NOMEM, "no memory for a netlink socket");
	rc = nl_socket_open(&n->sock, bus, 0, e);
	if (rc)
		goto out;
	if (mnl_socket_bind(n->sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(n->sock), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit)) {
		rc = err_sys(e, errno, "set up a netlink socket");
		goto out;
	}
	n->portid = mnl_socket_get_portid(n->sock);
	*out = n;
	n = NULL;
out:
	nl_close(n);
	return rc;
}

enum err_code nl_open(struct nl **out, struct err *e)
{
	return nl_bus_open(out, NETLINK_ROUTE, e);
}

void nl_close(struct nl *n)
{
	if (!n)
		return;
	if (n->sock)
		mnl_socket_close(n->sock);
	free(n);
}

struct nlmsghdr *nl_request(void *buf, uint16_t type, uint16_t flags, const void *fixed, size_t n)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	memcpy(mnl_nlmsg_put_extra_header(h, n), fixed, n);
	return h;
}

void nl_put_address(struct nlmsghdr *h, uint16_t type, const struct ip_addr *a)
{
	mnl_attr_put(h, type, ip_bits(a->family) / 8, a->b);
}

static void keep_why(struct nl *n, struct str why)
{
	size_t i;

	if (!str_copy(n->why, sizeof n->why, why) &&
	    !str_copy(n->why, sizeof n->why, (struct str){ why.p, sizeof n->why - 1 }))
		n->why[0] = '\0';
	for (i = 0; n->why[i]; i++)
		if (n->why[i] < ' ' || n->why[i] > '~')
			n->why[i] = '?';
}

/* One datagram of the answer; true at its end.  *interrupted: the list changed while the kernel
 * read it.  The rest is then read and forgotten: a list given up half-way would be in the way of the
 * next (EBUSY). */
static bool read_answer(struct nl *n, size_t len, nl_answer_fn *answer, void *ctx,
			bool *interrupted, int *sys)
{
	struct rd r = rd_over(n->answer, len);
	struct nl_message m;
	struct str why;

	while (nl_message_next(&r, &m)) {
		if (m.seq != n->seq || m.portid != n->portid)
			continue; /* left from an exchange that timed out */
		*interrupted |= m.flags & NLM_F_DUMP_INTR;
		if (m.type == NLMSG_ERROR || m.type == NLMSG_DONE) {
			if (!nl_parse_result(&m, sys, &why))
				*sys = EPROTO;
			keep_why(n, why);
			return true;
		}
		if (answer && !*interrupted && m.type >= NLMSG_MIN_TYPE && !answer(ctx, &m)) {
			*sys = EBADMSG;
			return true;
		}
	}
	return false;
}

static int exchange(struct nl *n, struct nlmsghdr *h, nl_answer_fn *answer, void *ctx)
{
	bool interrupted = false, end = false;
	ssize_t len;
	int sys = 0;

	BUG_ON((void *)h == n->request && h->nlmsg_len > NL_REQUEST_MAX);
	n->why[0] = '\0';
	h->nlmsg_seq = ++n->seq;
	if (mnl_socket_sendto(n->sock, h, h->nlmsg_len) < 0)
		return errno;
	while (!end) {
		len = mnl_socket_recvfrom(n->sock, n->answer, sizeof n->answer);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return errno == EAGAIN ? ETIMEDOUT : errno;
		end = read_answer(n, (size_t)len, answer, ctx, &interrupted, &sys);
	}
	return interrupted && !sys ? EINTR : sys;
}

int nl_exchange(struct nl *n, struct nlmsghdr *h, nl_answer_fn *answer, void *ctx)
{
	h->nlmsg_flags |= NLM_F_ACK;
	return exchange(n, h, answer, ctx);
}

/* EINTR: the state changed while the kernel listed it.  ENOBUFS: a part was dropped.  EBUSY: a
 * dump that we gave up is still under way. */
int nl_dump(struct nl *n, struct nlmsghdr *h, nl_answer_fn *row, struct rows *rows, void *ctx)
{
	int sys, i;

	h->nlmsg_flags |= NLM_F_DUMP;
	for (i = 0; i < NL_DUMP_TRIES; i++) {
		rows->count = 0;
		sys = exchange(n, h, row, ctx);
		if (rows->no_memory)
			return ENOMEM;
		if (sys != EINTR && sys != ENOBUFS && sys != EBUSY)
			return sys;
		if (sys == EINTR)
			keep_why(n, STR("the list kept changing while it was read"));
	}
	return EBUSY;
}

static enum err_code code_of(int sys, enum err_code otherwise)
{
	switch (sys) {
	case ENODEV:
	case ESRCH:
	case EADDRNOTAVAIL:
		return ERR_NOT_FOUND;
	case EAFNOSUPPORT:
	case EOPNOTSUPP:
		return ERR_UNSUPPORTED;
	case EINVAL:
		return ERR_INVALID;
	case ERANGE:
		return ERR_RANGE;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	default:
		return otherwise;
	}
}

enum err_code nl_refused(const struct nl *n, int sys, struct err *e, const char *fmt, ...)
{
	char what[256];
	enum err_code rc;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	rc = n->why[0] ? err_sys(e, sys, "%s: %s", what, n->why) : err_sys(e, sys, "%s", what);
	rc = code_of(sys, rc);
	if (e) {
		e->code = rc;
		e->sys = sys;
	}
	return rc;
}
