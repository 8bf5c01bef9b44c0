/* dataplane.h - a running WireGuard device: TUN on one side, UDP on the other, workers between.
 *
 * Threads: one control thread (handshakes, timers, events, reclamation, watching the interface)
 * and 1..DATAPLANE_WORKERS_MAX packet workers, each with a TUN queue and a pair of UDP sockets.
 * Functions here may be called from any thread; they take the device's lock, for which
 * workers never wait.  Workers read configuration from an immutable snapshot behind one pointer.
 *
 * Steady traffic allocates nothing and takes no lock.  Offloads (TUN vnet_hdr with TSO, UDP_SEGMENT,
 * UDP_GRO) are probed at open, and given up at run time per socket when the kernel refuses them.
 */
#ifndef QANAT_DATAPLANE_DATAPLANE_H
#define QANAT_DATAPLANE_DATAPLANE_H

#include "wg/transport.h"

#define DATAPLANE_WORKERS_MAX 64

struct udp;
struct udp_options;

enum dataplane_offload {
	OFFLOAD_TUN = 1, /* vnet_hdr, TSO, checksum */
	OFFLOAD_UDP_GSO = 2,
	OFFLOAD_UDP_GRO = 4,
	OFFLOAD_ALL = 7,
};

struct dataplane_config {
	const char *ifname; /* 1..15 characters; "%d" is not expanded */
	bool exclusive; /* the interface must not exist; else a persistent TUN is attached to */
	int tun_fd; /* an open TUN to take over, or -1: open one */
	uint16_t listen_port; /* 0: the kernel chooses, the same for both families */
	bool port_required; /* false: sockets are opened when the interface goes up */
	uint32_t fwmark;
	uint16_t mtu; /* of a TUN that we open; 0: 1420 */
	unsigned workers; /* 0: one on up to two processors, else half of them */
	unsigned offloads; /* enum dataplane_offload bits that may be used */
	/* For an engine without rights.  All get `ctx`; NULL: done here. */
	struct {
		/* Opens sockets as udp_open does. */
		enum err_code (*open_sockets)(void *ctx, struct udp **out,
					      const struct udp_options *o, struct err *e);
		/* Marks those that were opened last, and later ones. */
		enum err_code (*set_mark)(void *ctx, uint32_t mark, struct err *e);
		/* How long the kernel's packets for the interface may be at most; best effort. */
		enum err_code (*set_super_packet)(void *ctx, uint32_t len, struct err *e);
		/* All is open, no thread has started: the time to give rights up. */
		enum err_code (*opened)(void *ctx, struct err *e);
		void *ctx;
	} outside;
	bool unpinned; /* workers may move; else each of several stays on a processor of its own */
};

struct dataplane;

/* Opens TUN and sockets, starts the threads.  Errors name the interface or port.  The interface
 * is created down; traffic starts when somebody sets it up (watched by netlink). */
MUST_CHECK enum err_code dataplane_open(struct dataplane **out, const struct dataplane_config *c,
					struct err *e);
/* Stops the threads: no packet passes any more, and what was counted stays.  All can still be read;
 * only dataplane_close may follow otherwise. */
void dataplane_stop(struct dataplane *dp);
/* Stops the threads and closes all; the interface goes with it unless its descriptor came from
 * outside and is held there too. */
void dataplane_close(struct dataplane *dp);

/* Readable (POLLIN) once the interface has been deleted or has failed for good. */
int dataplane_gone_fd(const struct dataplane *dp);

struct dataplane_status {
	char ifname[16];
	uint32_t ifindex;
	uint16_t listen_port;
	uint32_t fwmark;
	uint16_t mtu;
	bool up;
	unsigned workers;
	unsigned offloads; /* in use now */
	bool has_private_key;
	struct public_key public_key;
	size_t peer_count;
	size_t connected_count; /* of them, by wg_is_connected */
	uint64_t rx_bytes, tx_bytes; /* sums over the peers */
	uint64_t verdicts[WG_VERDICTS];
};
/* Looks at the peers that have talked, for the sums. */
void dataplane_status(struct dataplane *dp, struct dataplane_status *out);
/* Of these only the wanted or used port and the mark, at once. */
void dataplane_binding(struct dataplane *dp, uint16_t *listen_port, uint32_t *fwmark);

enum err_code dataplane_set_private_key(struct dataplane *dp, const struct secret_key *k,
					struct err *e);
MUST_CHECK enum err_code dataplane_set_listen_port(struct dataplane *dp, uint16_t port,
						   struct err *e);
MUST_CHECK enum err_code dataplane_set_fwmark(struct dataplane *dp, uint32_t mark, struct err *e);
MUST_CHECK enum err_code dataplane_change_peer(struct dataplane *dp, const struct wg_peer_change *c,
					       struct err *e);
/* Many peers in a row under one taking of the lock, with one waking of the control thread: begin,
 * change as many as fit into a millisecond or so, end.  By one thread, which calls nothing else of
 * this header between. */
void dataplane_run_begin(struct dataplane *dp);
MUST_CHECK enum err_code dataplane_run_change_peer(struct dataplane *dp,
						   const struct wg_peer_change *c, struct err *e);
void dataplane_run_end(struct dataplane *dp);
/* Removes all, giving up the lock between pieces. */
enum err_code dataplane_replace_peers(struct dataplane *dp, struct err *e);

/* False when there is no such peer. */
bool dataplane_peer(struct dataplane *dp, const struct public_key *k, struct wg_peer_info *out,
		    uint64_t verdicts[WG_VERDICTS]);

/* Runs fn(ctx, device) under the device's lock: for reading many peers.  Keep it short; a long
 * walk is done in pieces (dataplane_walk). */
void dataplane_with_device(struct dataplane *dp, void (*fn)(void *ctx, const struct wg_device *d),
			   void *ctx);
/* Calls fn for each peer, giving up the lock between pieces; fn returns false to stop. */
void dataplane_walk(struct dataplane *dp, bool (*fn)(void *ctx, const struct wg_peer *p),
		    void *ctx);

#endif
