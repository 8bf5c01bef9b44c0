#include "io/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fs.h"
#include "io/udp_pair.h"

/* How often another random port is tried when IPv6 has the one that IPv4 was given. */
#define RANDOM_PORT_TRIES 64

static bool set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/* More than net.core.rmem_max when we may. */
static void grow_buffers(int fd)
{
	int size = UDP_SOCKET_BUFFER;

	if (!set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, size))
		(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, size);
	if (!set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, size))
		(void)set_int(fd, SOL_SOCKET, SO_SNDBUF, size);
}

static enum err_code set_mark(int fd, uint32_t mark, struct err *e)
{
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0)
		return err_sys(e, errno, "set firewall mark 0x%x on a UDP socket", mark);
	return ERR_OK;
}

/* What the protocol needs to see of arriving datagrams, and the outer header's manners. */
static bool set_family_options(int fd, uint8_t family)
{
	if (family == IP_V6)
		return set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
		       set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
		       set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	/* No DF: a router on a narrower path may cut the datagram rather than lose it. */
	return set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) && set_int(fd, IPPROTO_IP, IP_RECVTOS, 1) &&
	       set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
}

static enum err_code socket_configure(struct udp_socket *s, const struct udp_options *o,
				      struct err *e)
{
	const struct timeval wait = { .tv_usec = UDP_SEND_WAIT_MS * 1000 };
	int zero = 0;
	socklen_t n = sizeof zero;

	if (!set_family_options(s->fd, s->family) ||
	    setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0)
		return err_sys(e, errno, "configure an IPv%d UDP socket", s->family);
	grow_buffers(s->fd);
	if (o->mark) {
		enum err_code rc = set_mark(s->fd, o->mark, e);

		if (rc)
			return rc;
	}
	s->gro = o->gro && set_int(s->fd, SOL_UDP, UDP_GRO, 1);
	atomic_init(&s->gso, o->gso && getsockopt(s->fd, SOL_UDP, UDP_SEGMENT, &zero, &n) == 0);
	atomic_init(&s->even_only, false);
	return ERR_OK;
}

/* Binds to any address; returns an errno. */
static int socket_bind(int fd, uint8_t family, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int rc;

	if (family == IP_V6)
		rc = bind(fd, (const struct sockaddr *)&in6, sizeof in6);
	else
		rc = bind(fd, (const struct sockaddr *)&in, sizeof in);
	return rc < 0 ? errno : 0;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage ss;
	struct endpoint ep;
	socklen_t n = sizeof ss;

	if (getsockname(fd, (struct sockaddr *)&ss, &n) < 0 ||
	    !endpoint_from_sockaddr(&ep, (const struct sockaddr *)&ss, n))
		return 0;
	return ep.port;
}

/* True for the errors by which a host says that it has no IPv6. */
static bool family_missing(uint8_t family, int sys)
{
	return family == IP_V6 && (sys == EAFNOSUPPORT || sys == EADDRNOTAVAIL);
}

/* Opens, configures and binds one socket; a missing family leaves fd -1.  *sys tells a port in
 * use from other failures.
 *
 * The first socket of a port is bound without SO_REUSEPORT and shares it only afterwards: were it
 * set before, we would silently join a stranger's port and receive half of his datagrams. */
static enum err_code socket_open(struct udp_socket *s, uint8_t family, uint16_t port, bool joins,
				 const struct udp_options *o, int *sys, struct err *e)
{
	enum err_code rc;

	*sys = 0;
	s->family = family;
	s->fd = socket(family == IP_V6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0) {
		*sys = errno;
		return family_missing(family, *sys) ? ERR_OK
						    : err_sys(e, *sys, "open a UDP socket");
	}
	rc = socket_configure(s, o, e);
	if (rc)
		goto fail;
	if (joins && !set_int(s->fd, SOL_SOCKET, SO_REUSEPORT, 1)) {
		rc = err_sys(e, errno, "share UDP port %u between workers", port);
		goto fail;
	}
	*sys = socket_bind(s->fd, family, port);
	if (*sys && family_missing(family, *sys)) {
		*sys = 0;
		fd_close(s->fd);
		s->fd = -1;
		return ERR_OK;
	}
	if (*sys) {
		rc = *sys == EADDRINUSE ? err_set(e, ERR_IN_USE,
						  "UDP port %u is in use by another program; "
						  "choose another port or stop that program",
						  port)
					: err_sys(e, *sys, "bind UDP port %u", port);
		if (e)
			e->sys = *sys;
		goto fail;
	}
	if (!joins && o->pairs > 1 && !set_int(s->fd, SOL_SOCKET, SO_REUSEPORT, 1)) {
		rc = err_sys(e, errno, "share UDP port %u between workers", port);
		goto fail;
	}
	return ERR_OK;
fail:
	fd_close(s->fd);
	s->fd = -1;
	return rc;
}

static struct udp *pair_new(void)
{
	struct udp *u = calloc(1, sizeof *u);

	if (u) {
		u->v4.fd = -1;
		u->v6.fd = -1;
	}
	return u;
}

/* One pair on `port`; *retry is set when another random port may succeed. */
static enum err_code pair_open(struct udp **out, uint16_t port, bool joins,
			       const struct udp_options *o, bool *retry, struct err *e)
{
	struct udp *u = pair_new();
	enum err_code rc;
	int sys;

	*retry = false;
	if (!u)
		return err_set(e, ERR_NOMEM, "no memory for UDP port %u", port);
	rc = socket_open(&u->v4, IP_V4, port, joins, o, &sys, e);
	if (rc)
		goto out;
	u->port = bound_port(u->v4.fd);
	rc = socket_open(&u->v6, IP_V6, u->port, joins, o, &sys, e);
	if (rc) {
		*retry = port == 0 && sys == EADDRINUSE;
		goto out;
	}
	*out = u;
	u = NULL;
out:
	udp_close(u);
	return rc;
}

/* The sockets of a port form a group in the order of their binding; the program's answer is a place
 * in it, and one beyond its end means the kernel's own choice (socket(7), SO_ATTACH_REUSEPORT_CBPF). */
static void spread(const struct udp *first, const struct udp_options *o)
{
	const uint32_t by_hash = UINT32_MAX;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), /* the payload begins here */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, o->spread.first_byte, 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, o->spread.at),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, o->pairs),
		BPF_STMT(BPF_RET | BPF_A, 0),
		BPF_STMT(BPF_RET | BPF_K, by_hash),
	};
	const struct sock_fprog program = { ARRAY_LEN(code), code };

	(void)setsockopt(first->v4.fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
			 sizeof program);
	if (first->v6.fd >= 0)
		(void)setsockopt(first->v6.fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
				 sizeof program);
}

enum err_code udp_open(struct udp **out, const struct udp_options *o, struct err *e)
{
	struct udp *pairs[UDP_PAIRS_MAX] = { 0 };
	enum err_code rc;
	bool retry;

	BUG_ON(o->pairs < 1 || o->pairs > UDP_PAIRS_MAX);
	for (int i = 0;; i++) {
		rc = pair_open(&pairs[0], o->port, false, o, &retry, e);
		if (!retry || i == RANDOM_PORT_TRIES)
			break;
	}
	for (unsigned i = 1; !rc && i < o->pairs; i++)
		rc = pair_open(&pairs[i], pairs[0]->port, true, o, &retry, e);
	if (!rc && o->pairs > 1 && o->spread.at)
		spread(pairs[0], o);
	for (unsigned i = 0; i < o->pairs; i++) {
		if (rc)
			udp_close(pairs[i]);
		else
			out[i] = pairs[i];
	}
	return rc;
}

/* Its options are the description's, so whoever opened it has set them. */
static bool socket_adopt(struct udp_socket *s, uint8_t family, int fd, const struct udp_options *o)
{
	int domain = 0, gro = 0, segment = 0;
	socklen_t n = sizeof domain, m = sizeof gro, k = sizeof segment;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 ||
	    domain != (family == IP_V6 ? AF_INET6 : AF_INET))
		return false;
	s->family = family;
	s->fd = fd;
	s->gro = o->gro && getsockopt(fd, SOL_UDP, UDP_GRO, &gro, &m) == 0 && gro;
	atomic_init(&s->gso, o->gso && getsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, &k) == 0);
	atomic_init(&s->even_only, false);
	return true;
}

enum err_code udp_adopt(struct udp **out, int fd4, int fd6, const struct udp_options *o,
			struct err *e)
{
	struct udp *u = pair_new();

	if (!u)
		return err_set(e, ERR_NOMEM, "no memory for UDP sockets");
	u->v6.family = IP_V6;
	if (!socket_adopt(&u->v4, IP_V4, fd4, o) ||
	    (fd6 >= 0 && !socket_adopt(&u->v6, IP_V6, fd6, o))) {
		free(u); /* the descriptors stay the caller's */
		return err_set(e, ERR_INVALID, "descriptors %d and %d are no pair of UDP sockets",
			       fd4, fd6);
	}
	u->port = bound_port(fd4);
	*out = u;
	return ERR_OK;
}

void udp_close(struct udp *u)
{
	if (!u)
		return;
	fd_close(u->v4.fd);
	fd_close(u->v6.fd);
	free(u);
}

void udp_release(struct udp *u)
{
	/* No socket, and to be had without opening a file. */
	int null = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	/* The numbers stay taken, so that nobody meets a stranger's descriptor under them. */
	if (null >= 0) {
		(void)dup3(null, u->v4.fd, O_CLOEXEC);
		if (u->v6.fd >= 0)
			(void)dup3(null, u->v6.fd, O_CLOEXEC);
	}
	fd_close(null);
}

uint16_t udp_port(const struct udp *u)
{
	return u->port;
}

int udp_fd(const struct udp *u, uint8_t family)
{
	return family == IP_V6 ? u->v6.fd : u->v4.fd;
}

enum err_code udp_set_mark(struct udp *u, uint32_t mark, struct err *e)
{
	enum err_code rc = set_mark(u->v4.fd, mark, e);

	if (!rc && u->v6.fd >= 0)
		rc = set_mark(u->v6.fd, mark, e);
	return rc;
}

bool udp_gso_active(const struct udp *u)
{
	return atomic_load_explicit(&u->v4.gso, memory_order_relaxed) ||
	       (u->v6.fd >= 0 && atomic_load_explicit(&u->v6.gso, memory_order_relaxed));
}

bool udp_gro_active(const struct udp *u)
{
	return u->v4.gro || (u->v6.fd >= 0 && u->v6.gro);
}
