#include "wg/cookie.h"

#define LABEL_LEN 8
static const char label_mac1[LABEL_LEN + 1] = "mac1----";
static const char label_cookie[LABEL_LEN + 1] = "cookie--";

static const uint8_t *mac1_of(const uint8_t *dgram, size_t n)
{
	return dgram + (n - 2 * MAC_LEN);
}

static const uint8_t *mac2_of(const uint8_t *dgram, size_t n)
{
	return dgram + (n - MAC_LEN);
}

void wg_cookie_checker_init(struct wg_cookie_checker *c, const struct public_key *own)
{
	wipe(c, sizeof *c);
	blake2s_hash2(c->mac1.b, label_mac1, LABEL_LEN, own->b, sizeof own->b);
	blake2s_hash2(c->cookie_key, label_cookie, LABEL_LEN, own->b, sizeof own->b);
}

bool wg_mac1_ok(const struct wg_mac1_key *k, const uint8_t *dgram, size_t n)
{
	uint8_t mac[MAC_LEN];

	if (n < 2 * MAC_LEN)
		return false;
	blake2s_keyed(mac, sizeof mac, k->b, sizeof k->b, dgram, n - 2 * MAC_LEN);
	return ct_equal(mac, mac1_of(dgram, n), sizeof mac);
}

/* The cookie of an address is MAC(secret, address || port): with the port, or whoever shares an
 * address behind a translator could use another's cookie. */
static void cookie_for(uint8_t out[MAC_LEN], struct wg_cookie_checker *c,
		       const struct endpoint *from, wg_random *random, void *ctx, int64_t now)
{
	uint8_t source[16 + 2];
	struct wr w = wr_over(source, sizeof source);

	if (!c->has_secret || now - c->secret_born >= WG_COOKIE_SECRET_LIFE) {
		random(ctx, c->secret, sizeof c->secret);
		c->secret_born = now;
		c->has_secret = true;
	}
	wr_bytes(&w, from->addr.b, ip_bits(from->addr.family) / 8);
	wr_be16(&w, from->port);
	blake2s_keyed(out, MAC_LEN, c->secret, sizeof c->secret, source, w.n);
}

bool wg_mac2_ok(struct wg_cookie_checker *c, const uint8_t *dgram, size_t n,
		const struct endpoint *from, wg_random *random, void *ctx, int64_t now)
{
	uint8_t cookie[MAC_LEN], mac[MAC_LEN];
	bool ok;

	if (n < MAC_LEN)
		return false;
	cookie_for(cookie, c, from, random, ctx, now);
	blake2s_keyed(mac, sizeof mac, cookie, sizeof cookie, dgram, n - MAC_LEN);
	ok = ct_equal(mac, mac2_of(dgram, n), sizeof mac);
	wipe(cookie, sizeof cookie);
	wipe(mac, sizeof mac);
	return ok;
}

void wg_cookie_reply_make(uint8_t out[WG_COOKIE_REPLY_LEN], struct wg_cookie_checker *c,
			  uint32_t receiver, const uint8_t *dgram, size_t n,
			  const struct endpoint *from, wg_random *random, void *ctx, int64_t now)
{
	struct wg_cookie_reply m = { .receiver = receiver };
	uint8_t cookie[MAC_LEN];

	cookie_for(cookie, c, from, random, ctx, now);
	random(ctx, m.nonce, sizeof m.nonce);
	/* mac1 as associated data ties the reply to the message that it answers. */
	xaead_seal(m.sealed_cookie, c->cookie_key, m.nonce, cookie, sizeof cookie,
		   mac1_of(dgram, n), MAC_LEN);
	wipe(cookie, sizeof cookie);
	wg_cookie_reply_write(out, &m);
}

void wg_cookie_sign(struct wg_cookie *c, const struct public_key *to, uint8_t *dgram, size_t n,
		    int64_t now)
{
	uint8_t *mac1 = dgram + (n - 2 * MAC_LEN);
	uint8_t *mac2 = dgram + (n - MAC_LEN);
	uint8_t key[BLAKE2S_LEN];

	blake2s_hash2(key, label_mac1, LABEL_LEN, to->b, sizeof to->b);
	blake2s_keyed(mac1, MAC_LEN, key, sizeof key, dgram, n - 2 * MAC_LEN);
	memcpy(c->last_mac1, mac1, MAC_LEN);
	c->awaits_reply = true;

	/* Our copy ages from its arrival, the other side's from its making: the difference is the
	 * latency allowed for. */
	if (c->has_value && now - c->born < WG_COOKIE_SECRET_LIFE - WG_COOKIE_LATENCY)
		blake2s_keyed(mac2, MAC_LEN, c->value, sizeof c->value, dgram, n - MAC_LEN);
	else
		memset(mac2, 0, MAC_LEN);
}

bool wg_cookie_accept(struct wg_cookie *c, const struct public_key *from,
		      const struct wg_cookie_reply *m, int64_t now)
{
	uint8_t key[BLAKE2S_LEN], value[MAC_LEN];

	if (!c->awaits_reply)
		return false;
	blake2s_hash2(key, label_cookie, LABEL_LEN, from->b, sizeof from->b);
	if (!xaead_open(value, key, m->nonce, m->sealed_cookie, sizeof m->sealed_cookie,
			c->last_mac1, sizeof c->last_mac1))
		return false;
	memcpy(c->value, value, sizeof value);
	wipe(value, sizeof value);
	c->born = now;
	c->has_value = true;
	c->awaits_reply = false; /* one reply to one message */
	return true;
}
