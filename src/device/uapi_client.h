/* uapi_client.h - one client of the UAPI socket: its requests in, its answers out, within bounds.
 *
 * Inside the room only.
 */
#ifndef QANAT_DEVICE_UAPI_CLIENT_H
#define QANAT_DEVICE_UAPI_CLIENT_H

#include "base/list.h"
#include "dataplane/dataplane.h"
#include "io/loop.h"

/* A client that neither sends nor takes anything for so long is dropped. */
#define UAPI_IDLE_NS (30 * NS_PER_S)

/* What the clients of one socket share with their server. */
struct uapi_clients {
	struct loop *loop;
	struct dataplane *dp;
	struct list list;
	size_t count;
	void (*left)(struct uapi_clients *all); /* one is gone; may be NULL */
	void (*refused)(void *ctx, const struct err *why); /* may be NULL */
	void *refused_ctx;
};

void uapi_clients_init(struct uapi_clients *all, struct loop *l, struct dataplane *dp);
/* Drops all; `left` is not called. */
void uapi_clients_done(struct uapi_clients *all);
/* Serves the connection `fd`, which is taken over; false (and closed) without memory. */
bool uapi_client_add(struct uapi_clients *all, int fd);
/* The same, never dropped for being silent. */
bool uapi_client_add_owner(struct uapi_clients *all, int fd);

#endif
