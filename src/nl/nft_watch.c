#include "nl/nft_watch.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/time.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "io/loop.h"
#include "nl/socket.h"

#define WATCH_DATAGRAMS 64 /* read in one turn of the loop, so that others get theirs */

struct nl_nft_watch {
	struct loop_fd io;
	struct mnl_socket *sock;
	void (*changed)(void *ctx, const struct nl_nft_change *c);
	void *ctx;
	char table[NL_NFT_TABLE_MAX];
	bool touched; /* by the transaction whose reports are arriving */
	bool *closed; /* set while a callback runs, and written by nl_nft_watch_close */
	uint8_t datagram[NL_ANSWER_MAX];
};

static void on_report(struct nl_nft_watch *w, const struct nl_nft_report *r)
{
	struct nl_nft_change c;

	if (!r->is_end) {
		if (r->family == NFPROTO_INET && str_eq(r->table, str_of(w->table)))
			w->touched = true;
		return;
	}
	if (!w->touched)
		return;
	w->touched = false;
	c = (struct nl_nft_change){ .generation = r->generation, .pid = r->pid };
	memcpy(c.program, r->program, sizeof c.program);
	w->changed(w->ctx, &c);
}

/* One datagram; false when there is none. */
static bool read_datagram(struct nl_nft_watch *w, const bool *closed)
{
	struct sockaddr_nl from = { 0 };
	socklen_t from_len = sizeof from;
	struct nl_nft_report report;
	struct nl_message m;
	struct rd r;
	ssize_t n = recvfrom(w->io.fd, w->datagram, sizeof w->datagram, MSG_DONTWAIT | MSG_TRUNC,
			     (struct sockaddr *)&from, &from_len);

	if (n < 0 && errno != EINTR && errno != ENOBUFS)
		return false;
	if ((n < 0 && errno == ENOBUFS) || n > (ssize_t)sizeof w->datagram) {
		w->touched = false;
		w->changed(w->ctx, NULL);
		return true;
	}
	if (n < 0 || from.nl_pid != 0)
		return true; /* only the kernel is heard */
	r = rd_over(w->datagram, (size_t)n);
	while (!*closed && nl_message_next(&r, &m))
		if (nl_parse_nft(&m, &report))
			on_report(w, &report);
	return true;
}

static void on_ready(struct loop_fd *io, uint32_t events UNUSED)
{
	struct nl_nft_watch *w = CONTAINER_OF(io, struct nl_nft_watch, io);
	bool closed = false, more = true;
	int i;

	w->closed = &closed;
	for (i = 0; i < WATCH_DATAGRAMS && more && !closed; i++)
		more = read_datagram(w, &closed);
	if (!closed)
		w->closed = NULL;
}

enum err_code nl_nft_watch_open(struct nl_nft_watch **out, struct loop *l, const char *table,
				void (*changed)(void *ctx, const struct nl_nft_change *c),
				void *ctx, struct err *e)
{
	struct nl_nft_watch *w = calloc(1, sizeof *w);
	int group = NFNLGRP_NFTABLES;
	enum err_code rc;

	if (!w)
		return err_set(e, ERR_NOMEM, "no memory to watch nft table %s", table);
	w->changed = changed;
	w->ctx = ctx;
	BUG_ON(!str_copy(w->table, sizeof w->table, str_of(table)));
	rc = nl_socket_open(&w->sock, NETLINK_NETFILTER, SOCK_NONBLOCK, e);
	if (rc)
		goto out;
	if (mnl_socket_bind(w->sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(w->sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
		rc = err_sys(e, errno, "subscribe to the reports of nftables");
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
	nl_nft_watch_close(w);
	return rc;
}

void nl_nft_watch_close(struct nl_nft_watch *w)
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

/* ---- the generation ---- */

static int ask_generation(struct mnl_socket *s)
{
	const struct timeval limit = { .tv_sec = NL_TIMEOUT_MS / 1000 };
	const struct nfgenmsg g = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 };
	_Alignas(struct nlmsghdr) uint8_t buf[NL_REQUEST_MAX];
	struct nlmsghdr *h =
		nl_request(buf, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0, &g, sizeof g);

	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) ||
	    mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return errno;
	return 0;
}

static int read_generation(struct mnl_socket *s, uint32_t *out)
{
	_Alignas(struct nlmsghdr) uint8_t answer[1024];
	struct nl_nft_report report;
	struct nl_message m;
	struct str why;
	struct rd r;
	int sys = EPROTO;
	ssize_t n;

	do
		n = mnl_socket_recvfrom(s, answer, sizeof answer);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	r = rd_over(answer, (size_t)n);
	if (!nl_message_next(&r, &m))
		return EPROTO;
	if (m.type == NLMSG_ERROR)
		return nl_parse_result(&m, &sys, &why) && sys ? sys : EPROTO;
	if (!nl_parse_nft(&m, &report) || !report.is_end)
		return EPROTO;
	*out = report.generation;
	return 0;
}

enum err_code nl_nft_generation(uint32_t *out, struct err *e)
{
	struct mnl_socket *s = NULL;
	enum err_code rc = nl_socket_open(&s, NETLINK_NETFILTER, 0, e);
	int sys;

	if (rc)
		return rc;
	sys = ask_generation(s);
	if (!sys)
		sys = read_generation(s, out);
	mnl_socket_close(s);
	return sys ? err_sys(e, sys, "ask for the generation of nftables") : ERR_OK;
}
