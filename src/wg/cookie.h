/* cookie.h - mac1, mac2 and cookies (paper 5.3, 5.4.4, 5.4.7): what keeps strangers cheap.
 *
 * Two halves: the checker of a device that receives, and the memory of a peer that sends.  Both
 * work on whole datagrams, whose last 32 bytes are mac1 and mac2.
 */
#ifndef QANAT_WG_COOKIE_H
#define QANAT_WG_COOKIE_H

#include "base/addr.h"
#include "wg/messages.h"

/* HASH("mac1----" || own public key); no secret. */
struct wg_mac1_key {
	uint8_t b[BLAKE2S_LEN];
};

struct wg_cookie_checker {
	struct wg_mac1_key mac1;
	uint8_t cookie_key[BLAKE2S_LEN]; /* HASH("cookie--" || own public key) */
	uint8_t secret[BLAKE2S_LEN];
	int64_t secret_born;
	bool has_secret;
};

typedef void wg_random(void *ctx, void *p, size_t n);

void wg_cookie_checker_init(struct wg_cookie_checker *c, const struct public_key *own);
bool wg_mac1_ok(const struct wg_mac1_key *k, const uint8_t *dgram, size_t n);
/* True when mac2 proves that the sender got our cookie at this address and port.  The secret is
 * renewed every WG_COOKIE_SECRET_LIFE. */
bool wg_mac2_ok(struct wg_cookie_checker *c, const uint8_t *dgram, size_t n,
		const struct endpoint *from, wg_random *random, void *ctx, int64_t now);
/* The answer to a handshake message whose sender index is `receiver`. */
void wg_cookie_reply_make(uint8_t out[WG_COOKIE_REPLY_LEN], struct wg_cookie_checker *c,
			  uint32_t receiver, const uint8_t *dgram, size_t n,
			  const struct endpoint *from, wg_random *random, void *ctx, int64_t now);

/* What one peer of ours made us remember.  Zero: nothing. */
struct wg_cookie {
	uint8_t value[MAC_LEN];
	uint8_t last_mac1[MAC_LEN]; /* of the message that a reply may answer */
	int64_t born;
	bool has_value;
	bool awaits_reply;
};

/* Writes mac1, and mac2 while a cookie is fresh, into a finished message for `to`. */
void wg_cookie_sign(struct wg_cookie *c, const struct public_key *to, uint8_t *dgram, size_t n,
		    int64_t now);
/* Takes a cookie reply; false when it does not answer our last message to `from`. */
MUST_CHECK bool wg_cookie_accept(struct wg_cookie *c, const struct public_key *from,
				 const struct wg_cookie_reply *m, int64_t now);

#endif
