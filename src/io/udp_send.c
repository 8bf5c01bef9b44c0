/* Sending for udp.h: messages in one call, segmentation by the kernel, and what to do when the
 * kernel wants neither. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "io/udp_pair.h"

#define CONTROL_MAX \
	(CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(2))

/* One message as the kernel wants it. */
struct message {
	struct sockaddr_storage to;
	struct iovec iov;
	_Alignas(struct cmsghdr) uint8_t control[CONTROL_MAX];
};

static void control_add(struct msghdr *h, size_t cap, int level, int type, const void *p, size_t n)
{
	size_t at = h->msg_controllen;
	struct cmsghdr *c = (void *)((uint8_t *)h->msg_control + at);

	BUG_ON(at + CMSG_SPACE(n) > cap);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), p, n);
	h->msg_controllen = at + CMSG_SPACE(n);
}

static void control_add_source(struct msghdr *h, size_t cap, const struct udp_source *from)
{
	if (from->addr.family == IP_V6) {
		struct in6_pktinfo info = { .ipi6_ifindex = from->ifindex };

		memcpy(&info.ipi6_addr, from->addr.b, 16);
		control_add(h, cap, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
	} else {
		struct in_pktinfo info = { .ipi_ifindex = (int)from->ifindex };

		memcpy(&info.ipi_spec_dst, from->addr.b, 4);
		control_add(h, cap, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
	}
}

/* True when `m` names a source that fits its destination. */
static bool has_source(const struct udp_out *m)
{
	return m->from.addr.family != IP_NONE && m->from.addr.family == m->to.addr.family;
}

/* Fills `h` for `len` bytes of m from `at` on; `segment` 0: one datagram. */
static void message_fill(struct message *s, struct msghdr *h, const struct udp_out *m, size_t at,
			 size_t len, size_t segment, bool with_source)
{
	union {
		const uint8_t *in;
		void *out; /* sendmsg does not write there */
	} data = { .in = m->data + at };

	s->iov = (struct iovec){ .iov_base = data.out, .iov_len = len };
	*h = (struct msghdr){
		.msg_name = &s->to,
		.msg_namelen = endpoint_to_sockaddr(&m->to, &s->to),
		.msg_iov = &s->iov,
		.msg_iovlen = 1,
		.msg_control = s->control,
	};
	if (with_source && has_source(m))
		control_add_source(h, sizeof s->control, &m->from);
	if (m->ecn & 3) {
		int tos = m->ecn & 3;

		if (m->to.addr.family == IP_V6)
			control_add(h, sizeof s->control, IPPROTO_IPV6, IPV6_TCLASS, &tos,
				    sizeof tos);
		else
			control_add(h, sizeof s->control, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
	}
	if (segment) {
		uint16_t size = (uint16_t)segment;

		control_add(h, sizeof s->control, SOL_UDP, UDP_SEGMENT, &size, sizeof size);
	}
	if (!h->msg_controllen)
		h->msg_control = NULL;
}

/* Sends a part of `m` as one message; 0 or an errno. */
static int send_part(const struct udp_socket *s, const struct udp_out *m, size_t at, size_t len,
		     size_t segment, bool with_source)
{
	struct message one;
	struct msghdr h;
	ssize_t n;

	message_fill(&one, &h, m, at, len, segment, with_source);
	do {
		n = sendmsg(s->fd, &h, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? errno : 0;
}

/* The kernel's answers to a source address that it does not have any more. */
static bool source_refused(int sys)
{
	return sys == EINVAL || sys == EADDRNOTAVAIL || sys == ENETUNREACH || sys == ENODEV ||
	       sys == EHOSTUNREACH;
}

static void set_result(struct udp_out *m, int sys, bool without_source)
{
	m->sys = sys;
	if (!sys)
		m->result = without_source ? UDP_SENT_WITHOUT_SOURCE : UDP_SENT;
	else
		m->result = sys == EMSGSIZE ? UDP_TOO_BIG : UDP_NOT_SENT;
}

/* Datagram by datagram.  A source that is refused is left out from there on. */
static void send_singly(const struct udp_socket *s, struct udp_out *m)
{
	bool with_source = has_source(m);
	int sys = 0;

	for (size_t at = 0; at < m->len && !sys; at += m->segment) {
		size_t len = MIN(m->segment, m->len - at);

		sys = send_part(s, m, at, len, 0, with_source);
		if (with_source && source_refused(sys)) {
			with_source = false;
			sys = send_part(s, m, at, len, 0, false);
		}
	}
	set_result(m, sys, has_source(m) && !with_source);
}

/* The whole of `m` with segmentation, the last segment of its own where the kernel wants them all
 * equal; 0 or an errno. */
static int send_segmented(struct udp_socket *s, const struct udp_out *m, bool with_source)
{
	size_t tail = m->len % m->segment;
	size_t even = m->len - tail;
	int sys;

	if (!atomic_load_explicit(&s->even_only, memory_order_relaxed) || !tail) {
		sys = send_part(s, m, 0, m->len, m->segment, with_source);
		if (sys != EINVAL || !tail)
			return sys;
	}
	/* Some 6.1 and 6.6 kernels refuse a last segment that is shorter. */
	sys = send_part(s, m, 0, even, even > m->segment ? m->segment : 0, with_source);
	if (sys)
		return sys;
	atomic_store_explicit(&s->even_only, true, memory_order_relaxed);
	return send_part(s, m, even, tail, 0, with_source);
}

/* True for what a socket says that will never segment: EIO comes from a device that cannot
 * checksum, the others from a kernel that does not know how. */
static bool never_segments(int sys)
{
	return sys == EIO || sys == EOPNOTSUPP || sys == ENOPROTOOPT || sys == EPROTONOSUPPORT;
}

/* Sends a message of several datagrams in the best way that still works. */
static void send_message(struct udp_socket *s, struct udp_out *m)
{
	int sys;

	if (m->segment < m->len && atomic_load_explicit(&s->gso, memory_order_relaxed)) {
		sys = send_segmented(s, m, true);
		if (!sys) {
			set_result(m, 0, false);
			return;
		}
		if (has_source(m) && source_refused(sys) && !send_segmented(s, m, false)) {
			set_result(m, 0, true);
			return;
		}
		if (never_segments(sys))
			atomic_store_explicit(&s->gso, false, memory_order_relaxed);
		else if (sys != EINVAL && sys != EMSGSIZE && !source_refused(sys)) {
			set_result(m, sys, false);
			return;
		}
		/* EINVAL, EMSGSIZE: a segment is larger than this path takes whole, and only
		 * single datagrams may be cut into fragments. */
	}
	send_singly(s, m);
}

/* How many of m[0..n-1] go to the first one's family in a form that one sendmmsg can take. */
static size_t run_length(const struct udp_socket *s, const struct udp_out *m, size_t n)
{
	bool gso = atomic_load_explicit(&s->gso, memory_order_relaxed);
	bool even_only = atomic_load_explicit(&s->even_only, memory_order_relaxed);
	size_t i = 0;

	while (i < n && m[i].to.addr.family == m[0].to.addr.family &&
	       (m[i].segment == m[i].len || (gso && (!even_only || m[i].len % m[i].segment == 0))))
		i++;
	return i;
}

/* One sendmmsg over a run; returns how many messages went. */
static size_t send_run(const struct udp_socket *s, struct udp_out *m, size_t n)
{
	struct message part[UDP_SEND_MAX];
	struct mmsghdr h[UDP_SEND_MAX];
	int sent;

	for (size_t i = 0; i < n; i++)
		message_fill(&part[i], &h[i].msg_hdr, &m[i], 0, m[i].len,
			     m[i].segment < m[i].len ? m[i].segment : 0, true);
	do {
		sent = sendmmsg(s->fd, h, (unsigned)n, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	for (int i = 0; i < sent; i++)
		set_result(&m[i], 0, false);
	return sent > 0 ? (size_t)sent : 0;
}

void udp_send(struct udp *u, struct udp_out *m, size_t n)
{
	size_t i = 0;

	BUG_ON(n > UDP_SEND_MAX);
	while (i < n) {
		struct udp_socket *s = udp_socket_of(u, m[i].to.addr.family);
		size_t run;

		BUG_ON(!m[i].segment || m[i].segment > m[i].len);
		if (s->fd < 0 || m[i].to.addr.family == IP_NONE) {
			set_result(&m[i++], EAFNOSUPPORT, false);
			continue;
		}
		run = run_length(s, m + i, n - i);
		if (run > 1)
			i += send_run(s, m + i, run);
		if (i < n && (run <= 1 || m[i].to.addr.family == s->family))
			send_message(s, &m[i++]);
	}
}
