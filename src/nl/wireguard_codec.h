/* wireguard_codec.h - messages of the family "wireguard" as bytes, without I/O; for this folder only.
 *
 *   message:  | genl header | device attributes | PEERS: row of peers |
 *   peer:     | key, PSK, flags, endpoint ... | ALLOWEDIPS: row of prefixes |
 *
 * A row's elements are attributes of type 0 (writing: their number, which nobody reads).  A peer
 * that does not fit one message goes on in the next, there with its key and its further allowed IPs
 * alone; that is so in both directions.
 */
#ifndef QANAT_NL_WIREGUARD_CODEC_H
#define QANAT_NL_WIREGUARD_CODEC_H

#include "nl/message.h"
#include "nl/wireguard.h"

/* Attribute lengths are 16 bits wide: a message that is shorter needs no further look at them.  The
 * kernel refuses none of this size. */
#define NL_WG_MESSAGE_MAX 32768

/* ---- writing ---- */

struct nl_wg_writer {
	struct wr w; /* over the message */
	uint16_t family;
	uint32_t ifindex;
	size_t peers_at, peer_at, ips_at; /* where the open rows begin; 0: not open */
	uint8_t key[NL_WG_KEY]; /* of the peer last named */
	bool update_only; /* and whether that peer must be known */
	/* Sends one message; what it says of success is its own affair. */
	void (*send)(void *ctx, uint8_t *message, size_t n);
	void *ctx;
};

/* Begins in room of `cap` bytes, at least 1024. */
void nl_wg_write_begin(struct nl_wg_writer *w, void *room, size_t cap,
		       const struct nl_wg_device_set *device);
void nl_wg_write_peer(struct nl_wg_writer *w, const struct nl_wg_peer_set *p);
void nl_wg_write_allowed_ip(struct nl_wg_writer *w, const struct ip_prefix *ip, bool remove);
void nl_wg_write_end(struct nl_wg_writer *w);

/* ---- reading ---- */

/* What a dump's messages are read into.  Functions return false to stop, as without memory. */
struct nl_wg_sink {
	void *ctx;
	/* A new peer, complete but for its allowed IPs, which follow. */
	bool (*peer)(void *ctx, const struct nl_wg_peer *p);
	bool (*allowed_ip)(void *ctx, const struct ip_prefix *ip);
	/* Whether `key` is that of the peer named last. */
	bool (*continues)(void *ctx, const uint8_t key[NL_WG_KEY]);
};
/* One message of a dump.  Members of *device that it names are set.  False: it is malformed (a peer
 * without key, a prefix that is none), or the sink has stopped. */
MUST_CHECK bool nl_wg_parse(const struct nl_message *m, struct nl_wg_device *device,
			    const struct nl_wg_sink *sink);

#endif
