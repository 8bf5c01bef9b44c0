/* udp_pair.h - what a struct udp holds; for the files of udp.h only. */
#ifndef QANAT_IO_UDP_PAIR_H
#define QANAT_IO_UDP_PAIR_H

#include <stdatomic.h>

#include "io/udp.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

struct udp_socket {
	int fd; /* -1: none; const after opening */
	uint8_t family;
	bool gro; /* const after opening */
	atomic_bool gso; /* segmentation is worth a try */
	atomic_bool even_only; /* this kernel refuses a shorter last segment */
};

struct udp {
	struct udp_socket v4, v6;
	uint16_t port;
};

static inline struct udp_socket *udp_socket_of(struct udp *u, uint8_t family)
{
	return family == IP_V6 ? &u->v6 : &u->v4;
}

#endif
