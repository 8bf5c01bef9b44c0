/* backend.h - the device that a gateway runs on, of whichever kind: our engine, the kernel's WireGuard,
 * another daemon's.
 *
 * Core asks for one peer at a time and often, which only the engine answers without reading all: of the
 * other kinds a view of all peers is kept for a moment.  One thread.
 */
#ifndef QANAT_GATEWAY_BACKEND_H
#define QANAT_GATEWAY_BACKEND_H

#include "device/device.h"
#include "io/loop.h"

/* What others than the engine say of a peer may be so old. */
#define BACKEND_VIEW_NS NS_PER_S
/* Kinds that do not tell when their interface has gone are asked so often. */
#define BACKEND_LOOK_NS NS_PER_S

struct backend_config {
	const char *choice; /* as device_choice_parse reads it */
	unsigned needs; /* enum device_can bits; decides what "auto" is */
	bool take_over; /* an interface of the run before may be there */
	bool separate; /* the engine in a process of its own */
	bool log_json; /* as that process shall log */
	struct dataplane_config engine; /* its name, port and MTU are those of any kind */
	const struct secret_key *private_key;
	/* Once, on the loop: the interface has been deleted under us, or its daemon has ended. */
	void (*gone)(void *ctx, const struct err *why);
	void *ctx;
};

struct backend;

/* Opens the device and gives it key and port.  Errors name the option. */
MUST_CHECK enum err_code backend_open(struct backend **out, struct loop *l,
				      const struct backend_config *c, struct err *e);
/* Lets go of it.  `stays`: what can live without us does, for the next run to take over; else an
 * interface of ours is deleted, and another's is left without key and peers. */
void backend_close(struct backend *b, bool stays);

/* The engine, for whoever serves wg(8); NULL for others, whose interface wg(8) finds itself. */
struct dataplane *backend_engine(struct backend *b);
/* True when the packets end with this program: our engine, in this process or in its own. */
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
