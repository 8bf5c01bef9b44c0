/* Receiving for udp.h: many messages in one call, each perhaps a run of datagrams that the kernel
 * joined. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "io/udp_pair.h"

/* Any datagram or joined run fits.  The odd number of cache lines keeps the buffers' beginnings
 * from sharing cache sets, as they would at a power of two. */
#define BUFFER_LEN 65536
#define BUFFER_STRIDE (BUFFER_LEN + 17 * 64)
/* Joined runs make a batch large; no more bytes than stay in a core's cache are taken at once. */
#define BATCH_BYTES (512u << 10)

#define CONTROL_MAX \
	(CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(64))

struct udp_batch {
	struct udp_in in[UDP_BATCH_MAX];
	struct mmsghdr h[UDP_BATCH_MAX];
	struct iovec iov[UDP_BATCH_MAX];
	struct sockaddr_storage from[UDP_BATCH_MAX];
	_Alignas(struct cmsghdr) uint8_t control[UDP_BATCH_MAX][CONTROL_MAX];
	uint8_t *buffers;
	size_t want; /* messages asked for; follows their size */
	bool was_full;
};

struct udp_batch *udp_batch_new(void)
{
	struct udp_batch *b = calloc(1, sizeof *b);
	void *buffers;

	if (!b)
		return NULL;
	/* Pages that no datagram ever reached cost nothing. */
	buffers = mmap(NULL, (size_t)BUFFER_STRIDE * UDP_BATCH_MAX, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (buffers == MAP_FAILED) {
		free(b);
		return NULL;
	}
	b->buffers = buffers;
	b->want = UDP_BATCH_MAX;
	for (size_t i = 0; i < UDP_BATCH_MAX; i++) {
		b->in[i].data = b->buffers + i * BUFFER_STRIDE;
		b->iov[i] = (struct iovec){ .iov_base = b->in[i].data, .iov_len = BUFFER_LEN };
	}
	return b;
}

void udp_batch_free(struct udp_batch *b)
{
	if (!b)
		return;
	munmap(b->buffers, (size_t)BUFFER_STRIDE * UDP_BATCH_MAX);
	free(b);
}

static void prepare(struct udp_batch *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		b->h[i].msg_hdr = (struct msghdr){
			.msg_name = &b->from[i],
			.msg_namelen = sizeof b->from[i],
			.msg_iov = &b->iov[i],
			.msg_iovlen = 1,
			.msg_control = b->control[i],
			.msg_controllen = sizeof b->control[i],
		};
	}
}

static int control_int(const struct cmsghdr *c)
{
	int v = 0;

	if (c->cmsg_len >= CMSG_LEN(sizeof v))
		memcpy(&v, CMSG_DATA(c), sizeof v);
	else if (c->cmsg_len >= CMSG_LEN(1)) /* IP_TOS comes as one byte */
		v = *CMSG_DATA(c);
	return v;
}

static void read_control(struct udp_in *in, const struct cmsghdr *c)
{
	if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
	    c->cmsg_len >= CMSG_LEN(sizeof(struct in_pktinfo))) {
		struct in_pktinfo info;

		/* ipi_spec_dst is the local address even for a datagram sent to broadcast. */
		memcpy(&info, CMSG_DATA(c), sizeof info);
		in->to.addr = ip_v4((const uint8_t *)&info.ipi_spec_dst);
		in->to.ifindex = (uint32_t)info.ipi_ifindex;
	} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
		   c->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
		struct in6_pktinfo info;

		memcpy(&info, CMSG_DATA(c), sizeof info);
		in->to.addr = ip_v6(info.ipi6_addr.s6_addr);
		in->to.ifindex = info.ipi6_ifindex;
	} else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) ||
		   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)) {
		in->ecn = (uint8_t)(control_int(c) & 3);
	} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
		int segment = control_int(c);

		/* A sender chooses it; only what splits these bytes is believed. */
		if (segment > 0 && (size_t)segment < in->len)
			in->segment = (size_t)segment;
	}
}

/* False for what cannot be used: empty, cut off, or from no address. */
static bool read_message(struct udp_in *in, struct mmsghdr *m)
{
	in->len = m->msg_len;
	in->segment = in->len;
	in->ecn = 0;
	in->to = (struct udp_source){ 0 };
	if (!in->len || (m->msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    !endpoint_from_sockaddr(&in->from, m->msg_hdr.msg_name, m->msg_hdr.msg_namelen))
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m->msg_hdr); c; c = CMSG_NXTHDR(&m->msg_hdr, c))
		read_control(in, c);
	return true;
}

/* Moves message `from` to place `to`, buffers and all, so that those in use stand together. */
static void swap_places(struct udp_batch *b, size_t to, size_t from)
{
	struct udp_in in = b->in[to];
	struct iovec iov = b->iov[to];

	b->in[to] = b->in[from];
	b->in[from] = in;
	b->iov[to] = b->iov[from];
	b->iov[from] = iov;
}

/* The size of what came tells how much to ask for next time. */
static void adapt(struct udp_batch *b, size_t n, size_t bytes)
{
	size_t want = n * BATCH_BYTES / (bytes ? bytes : 1);

	b->want = want < 2 ? 2 : MIN(want, UDP_BATCH_MAX);
}

size_t udp_receive(struct udp *u, uint8_t family, struct udp_batch *b, struct udp_in **in)
{
	struct udp_socket *s = udp_socket_of(u, family);
	size_t good = 0;
	size_t bytes = 0;
	int n;

	*in = b->in;
	b->was_full = false;
	if (s->fd < 0)
		return 0;
	prepare(b, b->want);
	do {
		n = recvmmsg(s->fd, b->h, (unsigned)b->want, MSG_DONTWAIT, NULL);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	b->was_full = (size_t)n == b->want;
	for (size_t i = 0; i < (size_t)n; i++) {
		bytes += b->h[i].msg_len;
		if (!read_message(&b->in[i], &b->h[i]))
			continue;
		if (good != i)
			swap_places(b, good, i);
		good++;
	}
	adapt(b, (size_t)n, bytes);
	return good;
}

bool udp_batch_was_full(const struct udp_batch *b)
{
	return b->was_full;
}
