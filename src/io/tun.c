#include "io/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"

#define TUN_DEVICE "/dev/net/tun"

/* Linux 6.2 */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define SMALL 256 /* bytes of a packet that is worth a copy to be written in one piece */

#define TUN_F_TCP (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)

struct tun {
	/* const after opening */
	unsigned queues;
	int fd[TUN_QUEUES_MAX];
	bool vnet;
	bool udp;
};

enum err_code tun_name_check(struct str name, struct err *e)
{
	bool odd = false;

	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		odd |= c <= ' ' || c == '/' || c == '%' || c == ':' || c == 0x7f;
	}
	if (!name.n)
		return err_set(e, ERR_MISSING, "the interface name is empty");
	if (name.n >= IF_NAMESIZE)
		return err_set(e, ERR_RANGE,
			       "interface name \"%.*s\" has %zu characters; at most %d fit",
			       (int)MIN(name.n, (size_t)64), name.p, name.n, IF_NAMESIZE - 1);
	if (odd || str_eq(name, STR(".")) || str_eq(name, STR("..")))
		return err_set(e, ERR_INVALID,
			       "interface name \"%.*s\" is not possible (a space, '/', '%%', ':', "
			       "\".\" or \"..\")",
			       STR_ARG(name));
	return ERR_OK;
}

static enum err_code open_device(int *out, struct err *e)
{
	*out = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*out >= 0)
		return ERR_OK;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return err_set(e, ERR_UNSUPPORTED,
			       "%s is not there: load the kernel's tun module, or pass the device "
			       "into the container",
			       TUN_DEVICE);
	return err_sys(e, errno, "open %s", TUN_DEVICE);
}

/* Makes the descriptor a queue of interface `name`; the kernel makes the interface with the first. */
static enum err_code attach(int fd, const char *name, short flags, struct err *e)
{
	struct ifreq r = { .ifr_flags = flags };
	enum err_code rc;

	if (!str_copy(r.ifr_name, sizeof r.ifr_name, str_of(name)))
		return err_set(e, ERR_RANGE, "interface name \"%s\" is too long", name);
	if (ioctl(fd, TUNSETIFF, &r) == 0)
		return ERR_OK;
	if (errno == EBUSY)
		rc = err_set(e, ERR_IN_USE,
			     "interface %s is in use; stop the program that holds it, delete it "
			     "with ip link delete %s, or choose another name",
			     name, name);
	else if (errno == EINVAL)
		/* A name of an interface that is no TUN, or one made with other flags. */
		rc = err_set(e, ERR_IN_USE,
			     "interface %s exists and is of another kind; delete it with ip link "
			     "delete %s, or choose another name",
			     name, name);
	else
		rc = err_sys(e, errno, "create interface %s", name);
	return rc;
}

/* Says which work the kernel may leave to us; the best that this kernel and interface allow. */
static void set_offload(struct tun *t)
{
	t->udp = true;
	for (unsigned i = 0; i < t->queues && t->udp; i++)
		t->udp = ioctl(t->fd[i], TUNSETOFFLOAD, TUN_F_TCP | TUN_F_USO4 | TUN_F_USO6) == 0;
	if (t->udp)
		return;
	for (unsigned i = 0; i < t->queues; i++) {
		if (ioctl(t->fd[i], TUNSETOFFLOAD, TUN_F_TCP) < 0)
			(void)ioctl(t->fd[i], TUNSETOFFLOAD, 0);
	}
}

static enum err_code set_mtu(const char *name, uint32_t mtu, struct err *e)
{
	struct ifreq r = { .ifr_mtu = (int)mtu };
	enum err_code rc = ERR_OK;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, errno, "open a socket to set the MTU of %s", name);
	if (!str_copy(r.ifr_name, sizeof r.ifr_name, str_of(name)) || ioctl(fd, SIOCSIFMTU, &r) < 0)
		rc = err_sys(e, errno, "set the MTU of %s to %u", name, mtu);
	fd_close(fd);
	return rc;
}

/* Makes the interface, or attaches to a persistent one.  To an interface of several queues anybody
 * may add more: ours must not have been there, or we would share its packets with a stranger. */
static enum err_code attach_first(struct tun *t, const struct tun_options *o, short flags,
				  unsigned *queues, struct err *e)
{
	bool excl = o->exclusive || o->queues > 1;
	enum err_code rc;

	*queues = o->queues;
	rc = attach(t->fd[0], o->name, (short)(excl ? flags | IFF_TUN_EXCL : flags), e);
	if (rc != ERR_IN_USE || !excl || o->exclusive)
		return rc;
	*queues = 1;
	return attach(t->fd[0], o->name, (short)(flags & ~IFF_MULTI_QUEUE), e);
}

/* Opens the queues of an interface of our own. */
static enum err_code open_queues(struct tun *t, const struct tun_options *o, struct err *e)
{
	short flags = IFF_TUN | IFF_NO_PI;
	enum err_code rc = tun_name_check(str_of(o->name), e);
	unsigned queues = o->queues;

	if (o->queues > 1)
		flags = (short)(flags | IFF_MULTI_QUEUE);
	if (o->offload)
		flags = (short)(flags | IFF_VNET_HDR);
	for (unsigned i = 0; !rc && i < queues; i++) {
		rc = open_device(&t->fd[i], e);
		if (rc)
			return rc;
		t->queues = i + 1;
		rc = i == 0 ? attach_first(t, o, flags, &queues, e)
			    : attach(t->fd[i], o->name, flags, e);
	}
	if (rc)
		return rc;
	t->vnet = o->offload;
	if (t->vnet)
		set_offload(t);
	return o->mtu ? set_mtu(o->name, o->mtu, e) : ERR_OK;
}

/* Takes over a descriptor that somebody else has made an interface of. */
static enum err_code take_over(struct tun *t, const struct tun_options *o, struct err *e)
{
	struct ifreq r = { 0 };
	enum err_code rc;
	int header = (int)sizeof(struct virtio_net_hdr);

	if (ioctl(o->fd, TUNGETIFF, &r) < 0)
		return err_set(e, ERR_INVALID, "descriptor %d is no TUN interface: %s", o->fd,
			       strerror(errno));
	/* That IFF_NO_PI was left out cannot be seen: the kernel always reports it. */
	if (!(r.ifr_flags & IFF_TUN))
		return err_set(e, ERR_INVALID, "interface %.15s of descriptor %d is no TUN",
			       r.ifr_name, o->fd);
	rc = fd_nonblock(o->fd, e);
	if (rc)
		return rc;
	if (fcntl(o->fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(e, errno, "take over descriptor %d", o->fd);
	t->vnet = r.ifr_flags & IFF_VNET_HDR;
	if (t->vnet && ioctl(o->fd, TUNSETVNETHDRSZ, &header) < 0)
		return err_sys(e, errno, "set the header size of %.15s", r.ifr_name);
	t->fd[0] = o->fd;
	t->queues = 1;
	if (t->vnet && o->offload)
		set_offload(t);
	else if (t->vnet)
		(void)ioctl(o->fd, TUNSETOFFLOAD, 0);
	return ERR_OK;
}

enum err_code tun_open(struct tun **out, const struct tun_options *o, struct err *e)
{
	struct tun *t = calloc(1, sizeof *t);
	enum err_code rc;

	BUG_ON(o->queues < 1 || o->queues > TUN_QUEUES_MAX);
	if (!t)
		return err_set(e, ERR_NOMEM, "no memory for a TUN interface");
	rc = o->fd >= 0 ? take_over(t, o, e) : open_queues(t, o, e);
	if (rc)
		goto out;
	*out = t;
	t = NULL;
out:
	tun_close(t);
	return rc;
}

void tun_close(struct tun *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->queues; i++)
		fd_close(t->fd[i]);
	free(t);
}

unsigned tun_queues(const struct tun *t)
{
	return t->queues;
}

int tun_fd(const struct tun *t, unsigned queue)
{
	return t->fd[queue];
}

bool tun_has_offload(const struct tun *t)
{
	return t->vnet;
}

bool tun_has_udp_offload(const struct tun *t)
{
	return t->vnet && t->udp;
}

enum err_code tun_name(const struct tun *t, char out[IF_NAMESIZE], struct err *e)
{
	struct ifreq r = { 0 };

	if (ioctl(t->fd[0], TUNGETIFF, &r) < 0)
		return err_set(e, ERR_CLOSED, "the TUN interface is gone: %s", strerror(errno));
	memcpy(out, r.ifr_name, IF_NAMESIZE);
	out[IF_NAMESIZE - 1] = 0;
	return ERR_OK;
}

ssize_t tun_read(const struct tun *t, unsigned queue, struct virtio_net_hdr *h, uint8_t *packet,
		 size_t cap)
{
	size_t header = t->vnet ? sizeof *h : 0;
	ssize_t n;

	*h = (struct virtio_net_hdr){ 0 };
	do {
		n = read(t->fd[queue], packet - header, header + cap);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n < header)
		return -EIO;
	memcpy(h, packet - header, header);
	return n - (ssize_t)header;
}

/* One piece is cheaper for the kernel than two, by more than copying a small packet costs. */
static ssize_t write_small(int fd, const struct iovec *iov, size_t n)
{
	uint8_t whole[sizeof(struct virtio_net_hdr) + SMALL] __attribute__((uninitialized));
	struct wr w = wr_over(whole, sizeof whole);

	for (size_t i = 0; i < n; i++)
		wr_bytes(&w, iov[i].iov_base, iov[i].iov_len);
	BUG_ON(w.full); /* iov[0] is longer than the header */
	return write(fd, whole, w.n);
}

int tun_write(const struct tun *t, unsigned queue, const struct iovec *iov, size_t n)
{
	size_t skip = t->vnet ? 0 : 1;
	bool small = n == 2 && iov[1].iov_len <= SMALL;
	ssize_t done;

	do {
		if (small)
			done = write_small(t->fd[queue], iov + skip, n - skip);
		else
			done = writev(t->fd[queue], iov + skip, (int)(n - skip));
	} while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : 0;
}
