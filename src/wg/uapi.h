/* uapi.h - the cross-platform userspace configuration protocol as text in and text out, no sockets.
 *
 * Follows the protocol's public description (key=value lines, "set=1"/"get=1", ends with errno=N
 * and a blank line).  A reader that talks to wg(8) unchanged, errors included.
 *
 * A `set` is applied as it is read, peer by peer: what stands before a bad line stays applied, as
 * in the other daemons of this family.  Memory is bounded whatever the length of the text: a peer
 * with many allowed IPs is changed in parts.
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

/* A line is at most this long without its newline; the longest honest one has 78 characters. */
#define WG_UAPI_LINE_MAX 4096
/* Allowed IPs handed on in one change of a peer. */
#define WG_UAPI_PART_MAX 1024

/* One `set` operation, fed line by line as it arrives, the "set=1" line excluded. */
struct wg_uapi_set;
MUST_CHECK struct wg_uapi_set *wg_uapi_set_new(const struct wg_uapi_target *t);
/* Wipes and frees; what was not ended is not applied. */
void wg_uapi_set_free(struct wg_uapi_set *s);
/* One line without its newline.  After the first error further lines are ignored. */
void wg_uapi_set_line(struct wg_uapi_set *s, struct str line);
/* The blank line came (or the text ended): applies the last peer.  Returns the number for
 * "errno=": 0, or a negative errno as wg(8) understands on set.  `e` says why, for the log. */
MUST_CHECK int wg_uapi_set_end(struct wg_uapi_set *s, struct err *e);
/* Whether a line has failed already. */
bool wg_uapi_set_failed(const struct wg_uapi_set *s);

/* Text of `get`: the device's lines, then for each peer its lines and its allowed IPs.  The
 * caller streams them and ends with "errno=0\n\n".  `k` NULL: no private key. */
void wg_uapi_put_device(struct buf *out, const struct secret_key *k, uint16_t listen_port,
			uint32_t fwmark);
void wg_uapi_put_peer(struct buf *out, const struct wg_peer_info *p);
/* What only our `get` with extensions has: packets, the peer's limits, why packets were dropped. */
void wg_uapi_put_extensions(struct buf *out, const struct wg_peer_info *p,
			    const uint64_t verdicts[WG_VERDICTS]);
/* Of these the last, of a peer or of the device: a line for each reason that there was. */
void wg_uapi_put_drops(struct buf *out, const uint64_t verdicts[WG_VERDICTS]);
/* The settings of a change's limits as lines of a `set`. */
void wg_uapi_put_limits_change(struct buf *out, const struct wg_limits_change *l);
void wg_uapi_put_allowed_ips(struct buf *out, const struct ip_prefix *ips, size_t n);

#endif
