/* backend.h - the device that a gateway runs on, of whichever kind: our engine, the kernel's WireGuard,
 * another daemon's.  The helper starts it; here it is a UAPI connection.
 *
 * Core asks for one peer at a time and often, which only the engine answers without reading all: of the
 * other kinds a view of all peers is kept for a moment.  One thread.
 */
#ifndef QANAT_TUNNELS_BACKEND_H
#define QANAT_TUNNELS_BACKEND_H

#include "device/device.h"
#include "io/loop.h"
#include "priv/helper.h"

/* What others than the engine say of a peer may be so old. */
#define BACKEND_VIEW_NS NS_PER_S
/* Kinds that do not tell when their interface has gone are asked so often. */
#define BACKEND_LOOK_NS NS_PER_S

struct backend_config {
	struct helper *helper; /* borrowed, for as long as the backend */
	unsigned needs; /* enum device_can bits; decides what "auto" is */
	bool take_over; /* an interface of the run before may be there */
	bool is_further; /* one beside the gateway's own, which the command line names */
	const char *ifname;
	uint16_t listen_port, mtu;
	const struct secret_key *private_key;
	/* Once, on the loop: the interface has been deleted under us, or its daemon has ended. */
	void (*gone)(void *ctx, const struct err *why);
	void *ctx;
};

struct backend;

/* Opens the device and gives it key and port.  Errors name the option, if it is one. */
MUST_CHECK enum err_code backend_open(struct backend **out, struct loop *l,
				      const struct backend_config *c, struct err *e);
/* Lets go of it.  `stays`: what can live without us does, for the next run to take over; else an
 * interface of ours is deleted, and another's is left without key and peers. */
void backend_close(struct backend *b, bool stays);

/* The helper says that a device of its has ended. */
void backend_gone(struct backend *b, uint32_t number);
/* No packet passes any more that is not counted yet; only reading and closing may follow. */
void backend_stop(struct backend *b);
/* True when the packets end with this program: our engine. */
bool backend_is_engine(const struct backend *b);
enum device_kind backend_kind(const struct backend *b);
unsigned backend_can(const struct backend *b);

/* Whether it goes on.  One that stands still with its lock in hand keeps the caller. */
MUST_CHECK enum err_code backend_check(struct backend *b, struct err *e);

/* Another private key and port, while it runs. */
MUST_CHECK enum err_code backend_set_server(struct backend *b, const struct secret_key *k,
					    uint16_t port, struct err *e);
MUST_CHECK enum err_code backend_change_peer(struct backend *b, const struct wg_peer_change *c,
					     struct err *e);
/* As device_change_peers. */
MUST_CHECK enum err_code backend_change_peers(struct backend *b, const struct wg_peer_change *c,
					      size_t n, struct err *e);
/* As device_walk. */
MUST_CHECK enum err_code backend_walk_peers(struct backend *b, device_peer_fn *fn, void *arg,
					    struct err *e);
/* False when there is no such peer; verdicts may be NULL. */
bool backend_peer(struct backend *b, const struct public_key *k, struct wg_peer_info *out,
		  uint64_t verdicts[WG_VERDICTS]);
/* Zero when it cannot be read. */
void backend_status(struct backend *b, struct dataplane_status *out);
void backend_walk(struct backend *b, bool (*fn)(void *arg, const struct public_key *k), void *arg);

#endif
