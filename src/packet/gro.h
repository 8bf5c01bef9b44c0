/* gro.h - joins consecutive packets of one flow before they are written to a TUN with vnet_hdr.
 *
 * The reverse of gso.h: one write and one walk through the kernel's stack for up to 64 packets.
 * What comes out is what segmentation would turn back into the same packets, apart from an IPv4
 * identification under DF, which means nothing (RFC 6864 4.1).  The kernel trusts the joined
 * packet's checksum, so each part's is checked first.
 *
 * Packets of one flow leave in the order in which they came.  Packets are borrowed, and their
 * headers changed in place, until they were emitted; gro_flush ends each batch.  Nothing
 * allocates.  Belongs to one worker.
 */
#ifndef QANAT_PACKET_GRO_H
#define QANAT_PACKET_GRO_H

#include <sys/uio.h>

#include "packet/gso.h"

#define GRO_FLOWS 64 /* as many small flows as one batch of datagrams may well bring */
#define GRO_SEGMENTS_MAX 64 /* UDP_MAX_SEGMENTS of Linux before 6.9 */
#define GRO_LEN_MAX 65535

/* A packet for the TUN: iov[0] is vnet, ready for writev; iov[1..n-1] is the packet. */
struct gro_packet {
	struct virtio_net_hdr vnet;
	uint32_t n; /* of iov */
	uint32_t len; /* of the packet, without vnet */
	uint32_t packets; /* how many were joined */
	struct iovec iov[1 + GRO_SEGMENTS_MAX];
};

/* Takes what comes out; it is valid during the call. */
typedef void gro_emit(void *ctx, const struct gro_packet *p);

/* What can be seen in one packet, and the state of a flow: its first packet and what must come
 * next. */
struct gro_view {
	uint8_t *p;
	uint32_t len;
	uint32_t hash; /* of addresses, ports and protocol */
	uint16_t header_len; /* IP and TCP or UDP */
	uint16_t l4; /* where TCP or UDP begins */
	uint8_t family;
	uint8_t protocol; /* IP_PROTO_TCP or IP_PROTO_UDP; 0: belongs to no flow we follow */
	bool joinable; /* by its looks; false: it only keeps its place in the flow */
	bool hides_flow; /* a fragment, or behind extension headers: of any flow, perhaps */
};

struct gro_flow {
	struct gro_view first;
	uint32_t next_seq; /* TCP */
	uint16_t next_id; /* IPv4 without DF */
	uint16_t size; /* payload bytes of each packet but the last */
	bool checked; /* the first packet's checksum */
	bool closed; /* nothing may follow */
	bool push, fin; /* seen on the last */
	struct gro_packet out;
};

struct gro {
	gro_emit *emit;
	void *ctx;
	bool udp;
	uint32_t used; /* flows[0..used-1] hold packets, oldest first */
	uint8_t order[GRO_FLOWS];
	uint32_t hash[GRO_FLOWS]; /* of the flows in that order: flows lie far apart */
	struct gro_flow flows[GRO_FLOWS];
	struct gro_packet alone; /* room for a packet that joins nothing */
};

/* `udp`: the TUN takes UDP super-packets (TUN_F_USO4 and TUN_F_USO6). */
void gro_init(struct gro *g, bool udp, gro_emit *emit, void *ctx);
/* Takes a packet of `n` bytes: whole, its length that of its IP header.  Emits what must leave
 * before or with it; it may itself be held until gro_flush. */
void gro_push(struct gro *g, uint8_t *packet, size_t n);
/* Emits all that is held. */
void gro_flush(struct gro *g);

/* The single steps, for tests and for callers with tables of their own: look at a packet, start
 * a flow with it, append another (false: it does not continue the flow), write the joined
 * header. */
void gro_view(struct gro_view *v, uint8_t *packet, size_t n);
void gro_flow_start(struct gro_flow *f, const struct gro_view *v);
MUST_CHECK bool gro_flow_append(struct gro_flow *f, const struct gro_view *v);
const struct gro_packet *gro_flow_finish(struct gro_flow *f);

#endif
