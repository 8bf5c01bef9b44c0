#include "wg/messages.h"

/* Every message begins with its type and three zero bytes, which makes one le32. */

enum wg_message_type wg_message_type(const uint8_t *dgram, size_t n)
{
	struct rd r = rd_over(dgram, n);
	uint32_t type = rd_le32(&r);

	if (r.bad)
		return WG_NO_MESSAGE;
	if (type == WG_INITIATION && n == WG_INITIATION_LEN)
		return WG_INITIATION;
	if (type == WG_RESPONSE && n == WG_RESPONSE_LEN)
		return WG_RESPONSE;
	if (type == WG_COOKIE_REPLY && n == WG_COOKIE_REPLY_LEN)
		return WG_COOKIE_REPLY;
	if (type == WG_TRANSPORT && n >= WG_TRANSPORT_MIN)
		return WG_TRANSPORT;
	return WG_NO_MESSAGE;
}

/* Paper 5.4.2
 *
 *    0        4        8           40              88                 116    132    148
 *    | type 1 | sender | ephemeral | sealed static | sealed timestamp | mac1 | mac2 |
 */
bool wg_initiation_read(struct wg_initiation *m, const uint8_t *dgram, size_t n)
{
	struct rd r = rd_over(dgram, n);
	uint32_t type = rd_le32(&r);

	m->sender = rd_le32(&r);
	rd_copy(&r, m->ephemeral, sizeof m->ephemeral);
	rd_copy(&r, m->sealed_static, sizeof m->sealed_static);
	rd_copy(&r, m->sealed_timestamp, sizeof m->sealed_timestamp);
	rd_bytes(&r, MAC_LEN);
	rd_bytes(&r, MAC_LEN);
	return rd_done(&r) && type == WG_INITIATION;
}

void wg_initiation_write(uint8_t out[WG_INITIATION_LEN], const struct wg_initiation *m)
{
	struct wr w = wr_over(out, WG_INITIATION_LEN);

	wr_le32(&w, WG_INITIATION);
	wr_le32(&w, m->sender);
	wr_bytes(&w, m->ephemeral, sizeof m->ephemeral);
	wr_bytes(&w, m->sealed_static, sizeof m->sealed_static);
	wr_bytes(&w, m->sealed_timestamp, sizeof m->sealed_timestamp);
	wr_zero(&w, MAC_LEN);
	wr_zero(&w, MAC_LEN);
	BUG_ON(w.full || w.n != WG_INITIATION_LEN);
}

/* Paper 5.4.3
 *
 *    0        4        8          12          44      60     76     92
 *    | type 2 | sender | receiver | ephemeral | empty | mac1 | mac2 |
 */
bool wg_response_read(struct wg_response *m, const uint8_t *dgram, size_t n)
{
	struct rd r = rd_over(dgram, n);
	uint32_t type = rd_le32(&r);

	m->sender = rd_le32(&r);
	m->receiver = rd_le32(&r);
	rd_copy(&r, m->ephemeral, sizeof m->ephemeral);
	rd_copy(&r, m->sealed_nothing, sizeof m->sealed_nothing);
	rd_bytes(&r, MAC_LEN);
	rd_bytes(&r, MAC_LEN);
	return rd_done(&r) && type == WG_RESPONSE;
}

void wg_response_write(uint8_t out[WG_RESPONSE_LEN], const struct wg_response *m)
{
	struct wr w = wr_over(out, WG_RESPONSE_LEN);

	wr_le32(&w, WG_RESPONSE);
	wr_le32(&w, m->sender);
	wr_le32(&w, m->receiver);
	wr_bytes(&w, m->ephemeral, sizeof m->ephemeral);
	wr_bytes(&w, m->sealed_nothing, sizeof m->sealed_nothing);
	wr_zero(&w, MAC_LEN);
	wr_zero(&w, MAC_LEN);
	BUG_ON(w.full || w.n != WG_RESPONSE_LEN);
}

/* Paper 5.4.7
 *
 *    0        4          8       32              64
 *    | type 3 | receiver | nonce | sealed cookie |
 */
bool wg_cookie_reply_read(struct wg_cookie_reply *m, const uint8_t *dgram, size_t n)
{
	struct rd r = rd_over(dgram, n);
	uint32_t type = rd_le32(&r);

	m->receiver = rd_le32(&r);
	rd_copy(&r, m->nonce, sizeof m->nonce);
	rd_copy(&r, m->sealed_cookie, sizeof m->sealed_cookie);
	return rd_done(&r) && type == WG_COOKIE_REPLY;
}

void wg_cookie_reply_write(uint8_t out[WG_COOKIE_REPLY_LEN], const struct wg_cookie_reply *m)
{
	struct wr w = wr_over(out, WG_COOKIE_REPLY_LEN);

	wr_le32(&w, WG_COOKIE_REPLY);
	wr_le32(&w, m->receiver);
	wr_bytes(&w, m->nonce, sizeof m->nonce);
	wr_bytes(&w, m->sealed_cookie, sizeof m->sealed_cookie);
	BUG_ON(w.full || w.n != WG_COOKIE_REPLY_LEN);
}
