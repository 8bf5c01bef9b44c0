/* uapi.h - the cross-platform userspace configuration protocol as text in and text out, no sockets.
 *
 * Follows the protocol's public description (key=value lines, "set=1"/"get=1", ends with errno=N
 * and a blank line).  A reader that talks to wg(8) unchanged, errors included.
 */
#ifndef QANAT_WG_UAPI_H
#define QANAT_WG_UAPI_H

#include "wg/device.h"

/* Who carries out what the text asks for.  Functions return ERR_OK or fill `e`. */
struct wg_uapi_target {
	void *ctx;
	enum err_code (*set_private_key)(void *ctx, const struct secret_key *k, struct err *e);
	enum err_code (*set_listen_port)(void *ctx, uint16_t port, struct err *e);
	enum err_code (*set_fwmark)(void *ctx, uint32_t mark, struct err *e);
	enum err_code (*replace_peers)(void *ctx, struct err *e);
	enum err_code (*change_peer)(void *ctx, const struct wg_peer_change *c, struct err *e);
};

/* One `set` operation, fed line by line as it arrives. */
struct wg_uapi_set;
MUST_CHECK struct wg_uapi_set *wg_uapi_set_new(const struct wg_uapi_target *t);
void wg_uapi_set_free(struct wg_uapi_set *s);
/* One line without its newline.  After the first error further lines are ignored. */
void wg_uapi_set_line(struct wg_uapi_set *s, struct str line);
/* The blank line came (or the text ended): applies the last peer.  Returns the number for
 * "errno=": 0, or a negative errno as wg(8) understands on set.  `e` says why, for the log. */
int wg_uapi_set_end(struct wg_uapi_set *s, struct err *e);

#define WG_UAPI_LINE_MAX 4096

/* Text of `get`: the device's lines, then each peer's.  The caller streams them and ends with
 * "errno=0\n\n". */
void wg_uapi_get_device(struct buf *out, const struct wg_device *d, uint16_t listen_port,
			uint32_t fwmark);
void wg_uapi_get_peer(struct buf *out, const struct wg_peer *p);

#endif
