/* messages.h - the whole wire format of WireGuard and each limit of the paper, in one place.
 *
 * Paper: "WireGuard: Next Generation Kernel Network Tunnel", sections 5.4 and 6.  All integers are
 * little-endian.  Layouts are read and written by messages.c with cursors, never by casting.
 */
#ifndef QANAT_WG_MESSAGES_H
#define QANAT_WG_MESSAGES_H

#include "base/bytes.h"
#include "base/clock.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

enum wg_message_type {
	WG_NO_MESSAGE = 0,
	WG_INITIATION = 1,
	WG_RESPONSE = 2,
	WG_COOKIE_REPLY = 3,
	WG_TRANSPORT = 4,
};

#define WG_INITIATION_LEN 148
#define WG_RESPONSE_LEN 92
#define WG_COOKIE_REPLY_LEN 64
#define WG_TRANSPORT_HEADER_LEN 16
#define WG_TRANSPORT_MIN (WG_TRANSPORT_HEADER_LEN + AEAD_TAG_LEN) /* a keepalive */
#define WG_TIMESTAMP_LEN 12
#define WG_PADDING 16

/* Section 6.1 to 6.5.  Times are ns. */
#define WG_REKEY_AFTER_MESSAGES (1ULL << 60)
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - (1ULL << 13))
#define WG_REKEY_AFTER_TIME (120 * NS_PER_S)
#define WG_REJECT_AFTER_TIME (180 * NS_PER_S)
#define WG_REKEY_ATTEMPT_TIME (90 * NS_PER_S)
#define WG_REKEY_TIMEOUT (5 * NS_PER_S)
#define WG_REKEY_JITTER_MAX (333 * NS_PER_MS)
#define WG_REKEY_ATTEMPTS 18
#define WG_KEEPALIVE_TIMEOUT (10 * NS_PER_S)
#define WG_REKEY_ON_RECEIVE_AFTER (WG_REJECT_AFTER_TIME - WG_KEEPALIVE_TIMEOUT - WG_REKEY_TIMEOUT)
#define WG_FORGET_AFTER (3 * WG_REJECT_AFTER_TIME)
#define WG_COOKIE_SECRET_LIFE (120 * NS_PER_S)
#define WG_COOKIE_LATENCY (5 * NS_PER_S)
#define WG_INITIATION_INTERVAL_MIN (20 * NS_PER_MS) /* 50 a second from one peer */
#define WG_STAGED_MAX 128 /* packets waiting for a session, per peer */
#define WG_REPLAY_BITS 8192
#define WG_LIMIT_BURST 5 /* handshake messages of one source under load */
#define WG_LIMIT_PER_SECOND 20
#define WG_STAGED_BYTES_MAX (32u << 20) /* of all peers together */
#define WG_UNDER_LOAD_HOLD (1 * NS_PER_S)

/* The three handshake messages.  Reading is false unless the datagram has exactly the message's
 * length and type; the macs are covered by cookie.h, which works on the datagram. */
struct wg_initiation {
	uint32_t sender;
	uint8_t ephemeral[KEY_LEN];
	uint8_t sealed_static[KEY_LEN + AEAD_TAG_LEN];
	uint8_t sealed_timestamp[WG_TIMESTAMP_LEN + AEAD_TAG_LEN];
};

struct wg_response {
	uint32_t sender;
	uint32_t receiver;
	uint8_t ephemeral[KEY_LEN];
	uint8_t sealed_nothing[AEAD_TAG_LEN];
};

struct wg_cookie_reply {
	uint32_t receiver;
	uint8_t nonce[XNONCE_LEN];
	uint8_t sealed_cookie[MAC_LEN + AEAD_TAG_LEN];
};

/* The type of a datagram, 0 when it is none of the protocol's or has the wrong length for it. */
enum wg_message_type wg_message_type(const uint8_t *dgram, size_t n);

MUST_CHECK bool wg_initiation_read(struct wg_initiation *m, const uint8_t *dgram, size_t n);
MUST_CHECK bool wg_response_read(struct wg_response *m, const uint8_t *dgram, size_t n);
MUST_CHECK bool wg_cookie_reply_read(struct wg_cookie_reply *m, const uint8_t *dgram, size_t n);
/* The first two leave mac1 and mac2 zero. */
void wg_initiation_write(uint8_t out[WG_INITIATION_LEN], const struct wg_initiation *m);
void wg_response_write(uint8_t out[WG_RESPONSE_LEN], const struct wg_response *m);
void wg_cookie_reply_write(uint8_t out[WG_COOKIE_REPLY_LEN], const struct wg_cookie_reply *m);

/* A packet's length on the wire inside the tunnel: padded to 16, but never above the MTU (paper
 * 5.4.6).  Of a packet larger than it, as a route with an MTU of its own lets through, what is left
 * behind the last whole MTU is padded so.  `mtu` 0: no limit. */
static inline size_t wg_padded_len(size_t len, size_t mtu)
{
	size_t last = mtu && len > mtu ? len % mtu : len;
	size_t padded = (last + WG_PADDING - 1) & ~(size_t)(WG_PADDING - 1);

	return len - last + (mtu ? MIN(padded, mtu) : padded);
}

#endif
