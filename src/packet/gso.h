/* gso.h - cuts what the kernel hands through a TUN with vnet_hdr into packets for the wire.
 *
 * A super-packet is one header and up to 64 KiB of payload that the kernel leaves us to cut
 * (TCP segmentation, and UDP segmentation of kernels from 6.2), or an ordinary packet whose
 * checksum we are to finish.  Segment i is written straight to where it is wanted, once.
 * Nothing allocates; nothing is kept but a view of the super-packet.
 */
#ifndef QANAT_PACKET_GSO_H
#define QANAT_PACKET_GSO_H

#include <linux/virtio_net.h>

#include "packet/ip.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* headers before Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

struct gso {
	const uint8_t *p; /* the super-packet, borrowed */
	uint32_t len;
	uint32_t count; /* segments; 1 for an ordinary packet, of which `ip` is the view */
	uint32_t payload_len;
	uint16_t header_len; /* IP and TCP or UDP */
	uint16_t l4; /* where TCP or UDP begins; 0: nothing to finish */
	uint16_t checksum_at; /* an ordinary packet's field, 0: none */
	uint16_t size; /* payload bytes of each segment but the last */
	uint8_t protocol; /* of segments: IP_PROTO_TCP or IP_PROTO_UDP */
	struct ip_view ip; /* of the super-packet: addresses, for routing all segments */
	uint64_t ip_sum; /* of the IPv4 header without the fields that change */
	uint64_t l4_sum; /* of pseudo header and TCP or UDP header, likewise */
};

/* Looks at a packet of `n` bytes read from the TUN behind `h` and plans its segments; false when
 * the two do not fit together, or the kind of offload is none that we asked for. */
MUST_CHECK bool gso_begin(struct gso *g, const struct virtio_net_hdr *h, const uint8_t *packet,
			  size_t n);

/* Length of segment i < count. */
static inline size_t gso_segment_len(const struct gso *g, uint32_t i)
{
	uint32_t at = i * g->size;

	if (g->count == 1)
		return g->len;
	return g->header_len + MIN(g->payload_len - at, g->size);
}

/* Writes segment i < count to `out`, which has gso_segment_len(g, i) bytes, and returns that
 * length.  With count 1, `out` may be the packet itself: then only its checksum is finished. */
size_t gso_segment(const struct gso *g, uint32_t i, uint8_t *out);

#endif
