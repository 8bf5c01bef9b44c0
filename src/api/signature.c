#include "api/signature.h"

#include <inttypes.h>
#include <jansson.h>

#include "api/json_length.h"
#include "base/bytes.h"
#include "base/encode.h"
#include "crypto/hash.h"
#include "crypto/keys.h"

#define WHOLE_LABEL "QANAT1-HMAC-SHA256"
#define FIRST_SLOTS 1024

/* How long a question of the older forms may come again: two of one second have one text, and the
 * second one may have been held up by a lost packet. */
#define READ_AGAIN_S 5

/* An accepted request: the first bytes of the hash of all that it was, and until when it counts. */
struct seen {
	uint8_t hash[20];
	uint32_t first; /* when it came; seconds, their lower 32 bits */
	int64_t until; /* 0: free */
};

struct signature_checker {
	uint8_t *key;
	size_t key_len;
	unsigned window_s;
	struct seen *slots; /* open-addressed by the hash, which nobody can choose */
	size_t mask, used; /* used: slots that are not free, also those past their time */
};

const char *signature_verdict_text(enum signature_verdict v)
{
	static const char *const texts[] = {
		[SIGNATURE_OK] = "",
		[SIGNATURE_MISSING] = "the request is not signed",
		[SIGNATURE_BAD_TIMESTAMP] = "the timestamp is not a number of seconds",
		[SIGNATURE_BAD_NONCE] = "the nonce is not 16 to 128 letters, digits, - or _",
		[SIGNATURE_OLD] = "the timestamp is too far from this host's clock",
		[SIGNATURE_WRONG] = "the signature does not fit the request",
		[SIGNATURE_REPLAYED] = "this request was sent before",
		[SIGNATURE_FULL] = "too many signed requests at a time",
	};

	return (size_t)v < ARRAY_LEN(texts) ? texts[v] : "";
}

/* ---- the texts that are signed ---- */

static void text_length(struct buf *out, const struct signed_request *r, size_t length)
{
	buf_z(out, "timestamp=");
	buf_str(out, r->timestamp);
	buf_printf(out, ", body_length=%zu", length);
}

static void text_agent(struct buf *out, const struct signed_request *r)
{
	const struct str parts[] = { r->method, r->path, r->body, r->timestamp };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (i)
			buf_char(out, '|');
		buf_str(out, parts[i]);
	}
}

static void text_whole(struct buf *out, const struct signed_request *r)
{
	uint8_t hash[SHA256_LEN];
	char hex[HEX_LEN(SHA256_LEN) + 1];
	struct str parts[] = { STR(WHOLE_LABEL), r->method, r->path, r->query, { 0 },
			       r->timestamp,	 r->nonce };

	sha256(hash, r->body.p, r->body.n);
	hex_encode(hex, hash, sizeof hash);
	parts[4] = str_of(hex);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (i)
			buf_char(out, '\n');
		buf_str(out, parts[i]);
	}
}

static void mac_of(uint8_t mac[32], enum signature_form form, const void *key, size_t key_len,
		   const struct signed_request *r, size_t length)
{
	struct buf text = { 0 };

	switch (form) {
	case SIGNATURE_LENGTH:
		text_length(&text, r, length);
		break;
	case SIGNATURE_AGENT:
		text_agent(&text, r);
		break;
	case SIGNATURE_WHOLE:
		text_whole(&text, r);
		break;
	}
	/* Without memory nothing fits: a MAC that no client can have made. */
	if (buf_ok(&text))
		hmac_sha256(mac, key, key_len, text.p, text.n);
	else
		random_bytes(mac, 32);
	buf_done(&text);
}

void signature_make(char out[SIGNATURE_HEX_LEN + 1], enum signature_form form, const void *key,
		    size_t key_len, const struct signed_request *r)
{
	uint8_t mac[32];

	mac_of(mac, form, key, key_len, r, r->body.n);
	hex_encode(out, mac, sizeof mac);
}

void signature_nonce(char out[33])
{
	uint8_t b[16];

	random_bytes(b, sizeof b);
	hex_encode(out, b, sizeof b);
}

/* The length of the body as a client in Python writes the same JSON again; false when it is none. */
static bool rewritten_length(struct str body, size_t *out)
{
	json_t *j = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);

	if (!j)
		return false;
	*out = json_python_length(j);
	json_decref(j);
	return true;
}

/* ---- what was accepted ---- */

enum err_code signature_checker_new(struct signature_checker **out, const void *key, size_t key_len,
				    unsigned window_s, struct err *e)
{
	struct signature_checker *c;

	if (!key_len)
		return err_set(e, ERR_RANGE, "an empty key signs nothing");
	if (window_s < 1 || window_s > SIGNATURE_WINDOW_MAX_S)
		return err_set(e, ERR_RANGE, "a window of %u s is not within 1 to %u s", window_s,
			       SIGNATURE_WINDOW_MAX_S);
	c = calloc(1, sizeof *c);
	if (c) {
		c->key = malloc(key_len);
		c->slots = calloc(FIRST_SLOTS, sizeof *c->slots);
	}
	if (!c || !c->key || !c->slots) {
		signature_checker_free(c);
		return err_set(e, ERR_NOMEM, "no memory for checking signatures");
	}
	memcpy(c->key, key, key_len);
	c->key_len = key_len;
	c->window_s = window_s;
	c->mask = FIRST_SLOTS - 1;
	*out = c;
	return ERR_OK;
}

void signature_checker_free(struct signature_checker *c)
{
	if (!c)
		return;
	if (c->key)
		wipe(c->key, c->key_len);
	free(c->key);
	free(c->slots);
	free(c);
}

static struct seen *slot_of(struct seen *slots, size_t mask, const uint8_t hash[20])
{
	size_t i = load_le32(hash) & mask;

	while (slots[i].until && memcmp(slots[i].hash, hash, sizeof slots[i].hash) != 0)
		i = (i + 1) & mask;
	return &slots[i];
}

/* Room for one more: forgets what is past its time, then grows.  False when full. */
static bool make_room(struct signature_checker *c, int64_t now_s)
{
	size_t live = 0, size = c->mask + 1, wanted = FIRST_SLOTS;
	struct seen *fresh;

	if ((c->used + 1) * 2 <= size)
		return true;
	for (size_t i = 0; i < size; i++)
		live += c->slots[i].until >= now_s;
	if (live >= SIGNATURE_REMEMBERED_MAX)
		return false;
	while (wanted < (live + 1) * 4)
		wanted *= 2;
	fresh = calloc(wanted, sizeof *fresh);
	if (!fresh)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (c->slots[i].until >= now_s)
			*slot_of(fresh, wanted - 1, c->slots[i].hash) = c->slots[i];
	}
	free(c->slots);
	c->slots = fresh;
	c->mask = wanted - 1;
	c->used = live;
	return true;
}

/* All that the request was, so that two different ones of one signature are told apart. */
static void whole_hash(uint8_t out[SHA256_LEN], enum signature_form form, const uint8_t mac[32],
		       const struct signed_request *r)
{
	struct buf all = { 0 };
	uint8_t body[SHA256_LEN];
	const struct str parts[] = { r->method, r->path, r->query, r->timestamp, r->nonce };

	sha256(body, r->body.p, r->body.n);
	buf_char(&all, (char)form);
	buf_add(&all, mac, 32);
	buf_add(&all, body, sizeof body);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		buf_printf(&all, "%zu:", parts[i].n);
		buf_str(&all, parts[i]);
	}
	if (buf_ok(&all))
		sha256(out, all.p, all.n);
	else
		random_bytes(out, SHA256_LEN);
	buf_done(&all);
}

/* Of a question: what its signature does not cover may not make another one of it later. */
static void mac_hash(uint8_t out[SHA256_LEN], enum signature_form form, const uint8_t mac[32])
{
	uint8_t all[33] = { (uint8_t)form };

	memcpy(all + 1, mac, 32);
	sha256(out, all, sizeof all);
}

static enum signature_verdict remember(struct signature_checker *c, enum signature_form form,
				       const uint8_t mac[32], const struct signed_request *r,
				       bool may_repeat, int64_t until, int64_t now_s)
{
	uint8_t hash[SHA256_LEN];
	struct seen *s;

	if (may_repeat)
		mac_hash(hash, form, mac);
	else
		whole_hash(hash, form, mac, r);
	s = slot_of(c->slots, c->mask, hash);
	if (s->until && may_repeat && (uint32_t)now_s - s->first <= READ_AGAIN_S)
		return SIGNATURE_OK;
	if (s->until)
		return s->until >= now_s ? SIGNATURE_REPLAYED : SIGNATURE_OLD;
	if (!make_room(c, now_s))
		return SIGNATURE_FULL;
	s = slot_of(c->slots, c->mask, hash);
	memcpy(s->hash, hash, sizeof s->hash);
	s->first = (uint32_t)now_s;
	s->until = until;
	c->used++;
	return SIGNATURE_OK;
}

/* ---- the check ---- */

static bool nonce_ok(struct str nonce)
{
	if (nonce.n < SIGNATURE_NONCE_MIN || nonce.n > SIGNATURE_NONCE_MAX)
		return false;
	for (size_t i = 0; i < nonce.n; i++) {
		char ch = nonce.p[i];

		if (!(ch >= '0' && ch <= '9') && !(ch >= 'a' && ch <= 'z') &&
		    !(ch >= 'A' && ch <= 'Z') && ch != '-' && ch != '_')
			return false;
	}
	return true;
}

static bool mac_fits(const struct signature_checker *c, enum signature_form form,
		     const struct signed_request *r, const uint8_t given[32])
{
	uint8_t mac[32];
	size_t length;
	bool ok;

	mac_of(mac, form, c->key, c->key_len, r, r->body.n);
	ok = ct_equal(mac, given, sizeof mac);
	if (!ok && form == SIGNATURE_LENGTH && r->body.n && rewritten_length(r->body, &length)) {
		mac_of(mac, form, c->key, c->key_len, r, length);
		ok = ct_equal(mac, given, sizeof mac);
	}
	wipe(mac, sizeof mac);
	return ok;
}

enum signature_verdict signature_check(struct signature_checker *c, enum signature_form form,
				       const struct signed_request *r, bool is_read, int64_t now_s)
{
	struct signed_request bare = *r;
	uint8_t given[32];
	uint64_t ts;
	int64_t at;

	if (!r->signature.p || !r->timestamp.p || (form == SIGNATURE_WHOLE && !r->nonce.p))
		return SIGNATURE_MISSING;
	if (!u64_parse(r->timestamp, 0, INT64_MAX / 2, &ts))
		return SIGNATURE_BAD_TIMESTAMP;
	if (form == SIGNATURE_WHOLE && !nonce_ok(r->nonce))
		return SIGNATURE_BAD_NONCE;
	at = (int64_t)ts;
	if (at < now_s - (int64_t)c->window_s || at > now_s + (int64_t)c->window_s)
		return SIGNATURE_OLD;
	if (!hex_decode(given, sizeof given, r->signature))
		return SIGNATURE_WRONG;
	if (!mac_fits(c, form, r, given)) {
		if (form != SIGNATURE_LENGTH || !r->ignores_body || r->body.n == 0)
			return SIGNATURE_WRONG;
		bare.body = (struct str){ 0 };
		r = &bare; /* and remembered so, whatever the body is when it comes again */
		if (!mac_fits(c, form, r, given))
			return SIGNATURE_WRONG;
	}
	/* As long as the timestamp may still be within the window. */
	return remember(c, form, given, r, is_read && form != SIGNATURE_WHOLE,
			at + (int64_t)c->window_s, now_s);
}
