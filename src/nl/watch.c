#include "nl/rtnl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "io/loop.h"
#include "nl/socket.h"

#define WATCH_DATAGRAMS 64 /* read in one turn of the loop, so that others get theirs */
#define NSID_HOME (-1) /* the namespace in which the watch was opened */

struct nl_watch {
	struct loop_fd io;
	struct mnl_socket *sock;
	struct nl_watch_events events;
	void *ctx;
	uint32_t portid;
	uint32_t seq; /* of the latest request for the link's state */
	uint32_t ifindex;
	int32_t nsid; /* where the watched link is */
	bool dropped; /* the kernel dropped reports since the queue was last empty */
	bool follows; /* reports of other namespaces arrive too */
	bool *closed; /* set while callbacks run, and written by nl_watch_close */
	uint8_t datagram[NL_ANSWER_MAX];
};

/* Asks for the watched link's state; the answer comes like any other report. */
static int ask_state(struct nl_watch *w)
{
	_Alignas(struct nlmsghdr) uint8_t buf[NL_REQUEST_MAX];
	const struct ifinfomsg i = { .ifi_index = (int)w->ifindex };
	struct nlmsghdr *h = nl_request(buf, RTM_GETLINK, 0, &i, sizeof i);

	h->nlmsg_seq = ++w->seq;
	mnl_attr_put_u32(h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (w->nsid != NSID_HOME)
		mnl_attr_put_u32(h, IFLA_TARGET_NETNSID, (uint32_t)w->nsid);
	return mnl_socket_sendto(w->sock, h, h->nlmsg_len) < 0 ? errno : 0;
}

static void link_deleted(struct nl_watch *w, const struct nl_link *l, const struct nl_move *move)
{
	if (!w->ifindex || !move->moved) {
		w->events.link_gone(w->ctx, l->index);
		return;
	}
	/* The number is relative to where the report was made: ours only the first time. */
	if (w->follows && w->nsid == NSID_HOME && move->nsid >= 0) {
		w->nsid = move->nsid;
		w->ifindex = move->index;
		return;
	}
	w->ifindex = UINT32_MAX; /* no link has it */
	if (w->events.link_out_of_sight)
		w->events.link_out_of_sight(w->ctx);
}

static void on_link(struct nl_watch *w, const struct nl_message *m, int32_t nsid)
{
	struct nl_link l;
	struct nl_move move;

	if (!nl_parse_link(m, &l, &move))
		return;
	if (w->ifindex ? l.index != w->ifindex || nsid != w->nsid : nsid != NSID_HOME)
		return;
	if (m->type == RTM_NEWLINK) {
		if (w->events.link)
			w->events.link(w->ctx, &l);
	} else if (w->events.link_gone) {
		link_deleted(w, &l, &move);
	}
}

static void on_message(struct nl_watch *w, const struct nl_message *m, int32_t nsid)
{
	struct nl_address a;
	struct nl_route r;
	struct nl_rule rule;
	struct str why;
	int sys;

	switch (m->type) {
	case NLMSG_ERROR: /* only ask_state requests anything */
		if (m->portid == w->portid && m->seq == w->seq && nl_parse_result(m, &sys, &why) &&
		    sys == ENODEV && w->events.link_gone)
			w->events.link_gone(w->ctx, w->ifindex);
		return;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		/* An answer names no namespace: it is about the one that was asked. */
		on_link(w, m, m->portid == w->portid && m->seq == w->seq ? w->nsid : nsid);
		return;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (w->events.address && nl_parse_address(m, &a) &&
		    (w->ifindex ? a.ifindex == w->ifindex && nsid == w->nsid : nsid == NSID_HOME))
			w->events.address(w->ctx, &a, m->type == RTM_NEWADDR);
		return;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (w->events.route && nl_parse_route(m, &r) &&
		    (w->ifindex ? r.oif == w->ifindex && nsid == w->nsid : nsid == NSID_HOME))
			w->events.route(w->ctx, &r, m->type == RTM_NEWROUTE);
		return;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		if (w->events.rule && nsid == NSID_HOME && nl_parse_rule(m, &rule))
			w->events.rule(w->ctx, &rule, m->type == RTM_NEWRULE);
		return;
	default:
		return;
	}
}

/* The namespace that a report comes from travels beside it. */
static int32_t nsid_of(struct msghdr *h)
{
	struct cmsghdr *c;
	int32_t nsid = NSID_HOME;

	for (c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
		if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID &&
		    c->cmsg_len == CMSG_LEN(sizeof nsid))
			memcpy(&nsid, CMSG_DATA(c), sizeof nsid);
	return nsid;
}

/* Told only when the queue is empty: what is still in it is older than what a reader of the
 * state would find, and an answer to ask_state would not fit into it. */
static void reports_lost(struct nl_watch *w)
{
	w->dropped = false;
	/* If even the question fails, the owner's reading of the state still follows. */
	if (w->ifindex && w->ifindex != UINT32_MAX)
		(void)ask_state(w);
	w->events.lost(w->ctx);
}

/* One datagram; false when there is none. */
static bool read_datagram(struct nl_watch *w, const bool *closed)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int32_t)) + 64];
	struct sockaddr_nl from;
	struct iovec iov = { .iov_base = w->datagram, .iov_len = sizeof w->datagram };
	struct msghdr h = { .msg_name = &from,
			    .msg_namelen = sizeof from,
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof control };
	struct nl_message m;
	struct rd r;
	int32_t nsid;
	ssize_t n = recvmsg(w->io.fd, &h, MSG_DONTWAIT);

	if (n < 0 && errno != EINTR && errno != ENOBUFS)
		return false;
	if ((n < 0 && errno == ENOBUFS) || (n >= 0 && (h.msg_flags & MSG_TRUNC))) {
		w->dropped = true;
		return true;
	}
	if (n < 0 || h.msg_namelen != sizeof from || from.nl_pid != 0)
		return true; /* only the kernel is heard */
	nsid = nsid_of(&h);
	r = rd_over(w->datagram, (size_t)n);
	while (nl_message_next(&r, &m)) {
		on_message(w, &m, nsid);
		if (*closed)
			break;
	}
	return true;
}

static void on_ready(struct loop_fd *io, uint32_t events UNUSED)
{
	struct nl_watch *w = CONTAINER_OF(io, struct nl_watch, io);
	bool closed = false, more = true;
	int i;

	w->closed = &closed;
	for (i = 0; i < WATCH_DATAGRAMS && more && !closed; i++)
		more = read_datagram(w, &closed);
	if (!closed && !more && w->dropped)
		reports_lost(w);
	if (!closed)
		w->closed = NULL;
}

static unsigned groups_of(const struct nl_watch_events *ev)
{
	unsigned g = 0;

	if (ev->link || ev->link_gone)
		g |= RTMGRP_LINK;
	if (ev->address)
		g |= RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
	if (ev->route)
		g |= RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	if (ev->rule)
		g |= RTMGRP_IPV4_RULE | 1u << (RTNLGRP_IPV6_RULE - 1);
	return g;
}

enum err_code nl_watch_open(struct nl_watch **out, struct loop *l, uint32_t ifindex,
			    const struct nl_watch_events *events, void *ctx, struct err *e)
{
	struct nl_watch *w = calloc(1, sizeof *w);
	enum err_code rc;
	int on = 1, sys;

	BUG_ON(!events->lost);
	if (!w)
		return err_set(e, ERR_NOMEM, "no memory for a netlink watch");
	w->events = *events;
	w->ctx = ctx;
	w->ifindex = ifindex;
	w->nsid = NSID_HOME;
	rc = nl_socket_open(&w->sock, NETLINK_ROUTE, SOCK_NONBLOCK, e);
	if (rc)
		goto out;
	w->follows =
		ifindex && !mnl_socket_setsockopt(w->sock, NETLINK_LISTEN_ALL_NSID, &on, sizeof on);
	if (mnl_socket_bind(w->sock, groups_of(events), MNL_SOCKET_AUTOPID) < 0) {
		rc = err_sys(e, errno, "subscribe to netlink reports");
		goto out;
	}
	w->portid = mnl_socket_get_portid(w->sock);
	sys = ifindex ? ask_state(w) : 0;
	if (sys) {
		rc = err_sys(e, sys, "ask for the state of interface number %u", ifindex);
		goto out;
	}
	w->io = (struct loop_fd){ .fd = mnl_socket_get_fd(w->sock),
				  .events = LOOP_READ,
				  .ready = on_ready };
	rc = loop_fd_add(l, &w->io, e);
	if (rc)
		goto out;
	*out = w;
	w = NULL;
out:
	nl_watch_close(w);
	return rc;
}

void nl_watch_close(struct nl_watch *w)
{
	if (!w)
		return;
	if (w->closed)
		*w->closed = true;
	loop_fd_remove(&w->io);
	if (w->sock)
		mnl_socket_close(w->sock);
	free(w);
}
