/* tun.h - a TUN interface: one descriptor a queue, packets with or without vnet_hdr.
 *
 * With vnet (IFF_VNET_HDR) each packet stands behind a struct virtio_net_hdr of 10 bytes, and may
 * be a super-packet of up to 64 KiB (TUN_F_TSO4 and so on, virtio 1.2 section 5.1.6).  Without, the
 * functions here hide the difference: reading reports a zero header, writing leaves it out.
 *
 * Each queue belongs to one worker; the rest may be called from any thread.
 */
#ifndef QANAT_IO_TUN_H
#define QANAT_IO_TUN_H

#include <linux/virtio_net.h>
#include <net/if.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/text.h"

#define TUN_QUEUES_MAX 64
#define TUN_PACKET_MAX 65535

struct tun;

struct tun_options {
	const char *name; /* 1..15 characters, no '/', ':', '%' or white space */
	int fd; /* an open TUN to take over (then `name` is not looked at), or -1 */
	unsigned queues;
	bool exclusive; /* the interface must not exist; else a persistent TUN is attached to */
	bool offload; /* vnet_hdr, checksums and segmentation may be left to us */
	uint32_t mtu; /* to be set on an interface that we open; 0: leave */
};

/* Opens or takes over; the descriptor belongs to the tun from then on, on success only.  A name
 * that somebody else's tunnel or another interface holds is ERR_IN_USE.  A descriptor taken over, and
 * an interface of one queue that was there before, have one queue. */
MUST_CHECK enum err_code tun_open(struct tun **out, const struct tun_options *o, struct err *e);
void tun_close(struct tun *t);

MUST_CHECK enum err_code tun_name_check(struct str name, struct err *e);
unsigned tun_queues(const struct tun *t);
int tun_fd(const struct tun *t, unsigned queue);
bool tun_has_offload(const struct tun *t);
/* UDP super-packets may pass, too (kernel 6.2 on). */
bool tun_has_udp_offload(const struct tun *t);

/* The interface's present name; ERR_CLOSED when it has been deleted. */
MUST_CHECK enum err_code tun_name(const struct tun *t, char out[IF_NAMESIZE], struct err *e);

/* Reads a packet of at most `cap` bytes; its length, or a negative errno: -EAGAIN when none waits.
 * The sizeof *h bytes in front of `packet` are overwritten: header and packet come in one piece. */
ssize_t tun_read(const struct tun *t, unsigned queue, struct virtio_net_hdr *h, uint8_t *packet,
		 size_t cap);
/* Writes the packet in iov[1..n-1]; iov[0] is room for its header, which holds `h` where that
 * matters.  0 or a negative errno. */
int tun_write(const struct tun *t, unsigned queue, const struct iovec *iov, size_t n);

#endif
