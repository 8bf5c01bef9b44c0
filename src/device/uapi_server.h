/* uapi_server.h - the UNIX socket by which wg(8) reads and configures a running dataplane.
 *
 * Listens at /var/run/wireguard/IFNAME.sock (directory made with mode 0755, socket 0600), or on a
 * descriptor handed over.  Runs on the caller's loop; dumps are streamed; a slow or silent
 * client is dropped after 30 s and holds at most 256 KiB.
 *
 * A `set` must end with its blank line: one that breaks off is answered with EPROTO, and the last
 * peer of it is left alone, since its last line may have been cut.
 */
#ifndef QANAT_DEVICE_UAPI_SERVER_H
#define QANAT_DEVICE_UAPI_SERVER_H

#include "dataplane/dataplane.h"
#include "io/loop.h"

#define UAPI_DIRECTORY "/var/run/wireguard"
#define UAPI_CONNECTIONS_MAX 64

struct uapi_server;

/* `listen_fd` -1: opens the socket itself; otherwise takes the descriptor over (also when it
 * fails).  `gone(ctx)` is called once when the socket file disappears from the directory (the
 * daemon then ends). */
MUST_CHECK enum err_code uapi_server_open(struct uapi_server **out, struct loop *l,
					  struct dataplane *dp, const char *ifname, int listen_fd,
					  void (*gone)(void *ctx), void *ctx, struct err *e);
/* From now on refused(ctx, why) hears of each request that was answered with an error. */
void uapi_server_on_refused(struct uapi_server *s,
			    void (*refused)(void *ctx, const struct err *why), void *ctx);
/* Serves a connected socket, too, for as long as its other end is open, however silent; taken over,
 * also on failure. */
MUST_CHECK enum err_code uapi_server_add_owner(struct uapi_server *s, int fd, struct err *e);
/* Drops the clients and removes the socket file, if it is still ours. */
void uapi_server_close(struct uapi_server *s);
/* The listening descriptor, still owned by the server. */
int uapi_server_fd(const struct uapi_server *s);
/* Opens only the listening socket, for a parent that hands it to its child. */
MUST_CHECK enum err_code uapi_listen(int *out, const char *ifname, struct err *e);
/* Removes the socket file of `ifname`: a parent whose child did not start. */
void uapi_unlisten(const char *ifname);

#endif
