/* fuzz_body.c - bodies, payloads and keys of the peer API.
 *
 * The first byte chooses which.  What is accepted holds what its contract says; what is refused comes
 * with a reason; a payload that we sealed opens to the same, and no other does.
 */
#include "peers/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_verdict(enum peer_body_verdict v, json_t *errors)
{
	BUG_ON((v == PEER_BODY_INVALID) != (errors != NULL));
	BUG_ON(errors && json_array_size(errors) == 0);
	json_decref(errors);
}

static void check_body(const struct peer_body *b)
{
	BUG_ON(ct_is_zero(&b->key, sizeof b->key));
	BUG_ON(!*b->about.request_id || strpbrk(b->about.request_id, "\n\r\t\x7f"));
	BUG_ON(b->families < 1 || b->families > 3 || b->about.traffic < 1 || b->about.traffic > 3);
	BUG_ON(b->about.port == 0 || b->about.dns[0] != 'd' || b->about.dns[2] != 0);
	BUG_ON(b->about.protocol == API_PROTOCOL_LEGACY && b->families != API_IPV4);
}

static void create(const struct payload_key *k, struct str s)
{
	struct peer_body b = { .families = 0 };
	json_t *errors;
	enum peer_body_verdict v = peer_body_parse(&b, s, k, &errors);

	if (v == PEER_BODY_OK)
		check_body(&b);
	check_verdict(v, errors);
}

/* The input as what a payload holds. */
static void sealed(const struct payload_key *k, struct str s)
{
	struct buf payload = { .limit = 4u << 20 }, body = { .limit = 8u << 20 }, back = { 0 };
	struct peer_body b;
	json_t *errors;

	payload_seal(&payload, k, s);
	BUG_ON(!buf_ok(&payload) || !payload_open(&back, k, buf_view(&payload)));
	BUG_ON(!str_eq(buf_view(&back), s));
	buf_printf(&body,
		   "{\"public_key\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
		   "\"request_id\":\"r\",\"encrypted_payload\":\"%s\"}",
		   payload.p);
	if (peer_body_parse(&b, buf_view(&body), k, &errors) == PEER_BODY_OK) {
		check_body(&b);
		BUG_ON(!b.is_sealed);
	}
	json_decref(errors);
	buf_done(&payload);
	buf_done(&body);
	buf_done(&back);
}

static void key(struct str s)
{
	struct public_key k;
	char text[KEY_TEXT_MAX];

	if (!peer_key_parse(s, &k))
		return;
	public_key_text(text, &k);
	BUG_ON(s.n >= KEY_TEXT_MAX && !str_eq_nocase((struct str){ s.p + s.n - 3, 3 }, STR("%3D")));
	for (size_t i = 0; i < MIN(s.n, (size_t)BASE64_LEN(KEY_LEN) - 1); i++) {
		char c = s.p[i];

		BUG_ON(text[i] != (c == '-' ? '+' : c == '_' ? '/' : c));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct payload_key k;
	struct str s = { len ? (const char *)data + 1 : "", len ? len - 1 : 0 };
	struct buf out = { 0 };
	json_t *errors;
	bool active;

	if (!k.is_set) {
		BUG_ON(!crypto_init());
		payload_key_set(&k, STR("a secret"));
	}
	switch (len ? data[0] % 5 : 0) {
	case 0:
		create(&k, s);
		break;
	case 1:
		check_verdict(peer_status_parse(&active, s, &errors), errors);
		break;
	case 2:
		sealed(&k, s);
		break;
	case 3:
		BUG_ON(payload_open(&out, &k, s)); /* nobody guesses the key */
		BUG_ON(out.n);
		buf_done(&out);
		break;
	default:
		key(s);
		break;
	}
	return 0;
}
