/* verdict.h - why a packet went no further: a fixed vocabulary, counted per device and per peer.
 */
#ifndef QANAT_WG_VERDICT_H
#define QANAT_WG_VERDICT_H

enum wg_verdict {
	WG_OK = 0,
	WG_KEEPALIVE, /* authentic and empty */
	WG_STAGE, /* no session yet: hand the packet to wg_device_stage */
	WG_WEIGH, /* the peer has limits: ask wg_send_weigh */
	DROP_MALFORMED, /* not a message of this protocol */
	DROP_NOT_IP, /* inner bytes are no IP packet */
	DROP_NO_PEER, /* no peer owns the destination */
	DROP_NO_ENDPOINT, /* the peer has no endpoint */
	DROP_NO_SESSION, /* unknown receiver index */
	DROP_EXPIRED, /* session too old or its counters used up */
	DROP_FORGED, /* the tag was wrong */
	DROP_REPLAY, /* counter seen before or too old */
	DROP_SOURCE, /* inner source not in the peer's allowed IPs */
	DROP_ECN, /* congestion marks that contradict (RFC 6040) */
	DROP_BAD_MAC1,
	DROP_NEED_COOKIE, /* under load: answered with a cookie */
	DROP_RATE_LIMIT,
	DROP_HANDSHAKE, /* a handshake message that does not verify */
	DROP_OLD_TIMESTAMP, /* replayed initiation */
	DROP_UNKNOWN_PEER, /* initiation by a key that is no peer */
	DROP_DOWN, /* the interface is down */
	DROP_QUEUE_FULL,
	DROP_NO_MEMORY,
	DROP_TOO_BIG, /* with its header it fits no UDP datagram, or not the way to the peer */
	DROP_NOT_SENT, /* the kernel refused the datagram, or could not take it in time */
	DROP_NOT_WRITTEN, /* the interface refused the packet */
	DROP_RATE, /* above the peer's rate */
	DROP_QUOTA, /* the peer's quota does not cover it */
	DROP_ACCESS_EXPIRED, /* the peer's time is over */
	WG_VERDICTS,
};
/* "no_session": a name that never changes, for machines. */
const char *wg_verdict_name(enum wg_verdict v);
/* What happened and what to do about it, a sentence or two for a person; "" for what is no drop. */
const char *wg_verdict_text(enum wg_verdict v);

#endif
