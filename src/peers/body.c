#include "peers/body.h"

#include "crypto/aesgcm.h"
#include "crypto/hash.h"

#define PAYLOAD_INFO "handshake data"
#define PORT_DEFAULT 51820
#define DNS_DEFAULT "d1"
#define INPUT_TEXT_MAX 256 /* a value that is longer as JSON is not repeated in an answer */

/* ---- payloads ---- */

void payload_key_set(struct payload_key *k, struct str text)
{
	BUG_ON(!hkdf_sha256(k->b, sizeof k->b, text.p, text.n, "", 0, PAYLOAD_INFO,
			    sizeof PAYLOAD_INFO - 1));
	k->is_set = true;
}

/* Bytes that canonical base64 of this length holds. */
static size_t base64_bytes(struct str s)
{
	size_t pad = 0;

	while (pad < 2 && pad < s.n && s.p[s.n - 1 - pad] == '=')
		pad++;
	return s.n % 4 == 0 && s.n ? s.n / 4 * 3 - pad : 0;
}

bool payload_open(struct buf *out, const struct payload_key *k, struct str payload)
{
	size_t n = base64_bytes(payload);
	uint8_t *b = NULL;
	bool ok = false;

	if (!k->is_set || n < NONCE_LEN + AEAD_TAG_LEN)
		return false;
	b = malloc(n);
	if (!b)
		return false;
	if (base64_decode(b, n, payload) &&
	    aes256gcm_open(b + NONCE_LEN, k->b, b, b + NONCE_LEN, n - NONCE_LEN, NULL, 0)) {
		buf_add(out, b + NONCE_LEN, n - NONCE_LEN - AEAD_TAG_LEN);
		ok = buf_ok(out);
	}
	wipe(b, n);
	free(b);
	return ok;
}

void payload_seal(struct buf *out, const struct payload_key *k, struct str text)
{
	size_t n = NONCE_LEN + text.n + AEAD_TAG_LEN;
	uint8_t *b = malloc(n);
	char *encoded = malloc(BASE64_LEN(n) + 1);

	if (b && encoded) {
		random_bytes(b, NONCE_LEN);
		aes256gcm_seal(b + NONCE_LEN, k->b, b, text.p, text.n, NULL, 0);
		base64_encode(encoded, b, n);
		buf_z(out, encoded);
	} else {
		out->full = true;
	}
	free(encoded);
	free(b);
}

/* ---- what is wrong ---- */

/* What was sent, when it is short enough to be shown; NULL: it is not. */
static json_t *input_shown(json_t *v)
{
	char *text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	bool is_short = text && strlen(text) <= INPUT_TEXT_MAX;

	free(text);
	return is_short ? v : NULL;
}

bool peer_error_add(json_t *errors, const char *place, const char *field, const char *type,
		    const char *msg, json_t *input)
{
	json_t *one = json_pack("{s:[s,s*],s:s,s:s,s:O*}", "loc", place, field, "msg", msg, "type",
				type, "input", input_shown(input));

	return one && json_array_append_new(errors, one) == 0;
}

/* A body being read: the first failure of memory is kept. */
struct reading {
	json_t *root;
	const json_t *shown; /* whose values may stand in the answer: not those of a payload */
	json_t *errors;
	bool no_memory;
};

static void wrong(struct reading *r, const char *field, const char *type, const char *msg)
{
	json_t *input = field ? json_object_get(r->shown, field) : NULL;

	r->no_memory = !peer_error_add(r->errors, "body", field, type, msg, input) || r->no_memory;
}

static void invalid(struct reading *r, const char *field, const char *msg)
{
	wrong(r, field, "value_error", msg);
}

static enum peer_body_verdict reading_end(struct reading *r, json_t **errors)
{
	bool is_bad = json_array_size(r->errors) > 0;

	json_decref(r->root);
	if (r->no_memory || !r->errors || !is_bad) {
		bool ok = !r->no_memory && r->errors;

		json_decref(r->errors);
		return ok ? PEER_BODY_OK : PEER_BODY_NO_MEMORY;
	}
	*errors = r->errors;
	return PEER_BODY_INVALID;
}

/* Why a text is no JSON, and where: what a person looks for in it. */
static void wrong_json(struct reading *r, const json_error_t *why)
{
	static const char *const texts[] = {
		[json_error_stack_overflow] = "it is nested too deeply",
		[json_error_invalid_utf8] = "it is not UTF-8",
		[json_error_premature_end_of_input] = "it ends too early",
		[json_error_end_of_input_expected] = "there is something behind its end",
		[json_error_null_character] = "a text holds NUL",
		[json_error_null_byte_in_key] = "a field's name holds NUL",
		[json_error_duplicate_key] = "a field is there twice",
		[json_error_numeric_overflow] = "a number is too big",
	};
	enum json_error_code code = json_error_code(why);
	const char *text = (size_t)code < ARRAY_LEN(texts) ? texts[code] : NULL;
	char msg[128];

	(void)snprintf(msg, sizeof msg, "the body is not JSON: %s, at byte %d",
		       text ? text : "its syntax is wrong", why->position);
	wrong(r, NULL, "json_invalid", msg);
}

static bool reading_start(struct reading *r, struct str body)
{
	json_error_t why;

	*r = (struct reading){ .errors = json_array() };
	r->no_memory = !r->errors;
	if (body.n == 0) {
		wrong(r, NULL, "missing", "Field required: the body is empty");
		return false;
	}
	r->root = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &why);
	r->shown = r->root;
	if (json_is_object(r->root))
		return true;
	if (!r->root)
		wrong_json(r, &why);
	else
		wrong(r, NULL, "model_type", "the body is not a JSON object");
	return false;
}

/* The text of a field; p NULL when there is none, which is told when it is required. */
static struct str text_field(struct reading *r, const json_t *from, const char *field,
			     bool required)
{
	const json_t *v = json_object_get(from, field);

	if (!v || (json_is_null(v) && !required)) {
		if (required)
			wrong(r, field, "missing", "Field required");
		return (struct str){ 0 };
	}
	if (!json_is_string(v)) {
		wrong(r, field, "string_type", "Input should be a valid string");
		return (struct str){ 0 };
	}
	return (struct str){ json_string_value(v), json_string_length(v) };
}

/* ---- fields ---- */

bool peer_key_parse(struct str text, struct public_key *out)
{
	static const struct str sign = STR("%3D");
	char b[KEY_TEXT_MAX] = "";

	/* Clients escape the "=" themselves, and then their library escapes that once more. */
	if (text.n > sign.n &&
	    str_eq_nocase((struct str){ text.p + text.n - sign.n, sign.n }, sign))
		text.n -= sign.n;
	if (text.n + 1 != BASE64_LEN(KEY_LEN) && text.n != BASE64_LEN(KEY_LEN))
		return false;
	for (size_t i = 0; i < text.n; i++)
		b[i] = (char)(text.p[i] == '-' ? '+' : text.p[i] == '_' ? '/' : text.p[i]);
	if (text.n < BASE64_LEN(KEY_LEN))
		b[text.n] = '=';
	return public_key_parse((struct str){ b, BASE64_LEN(KEY_LEN) }, out);
}

static void key_read(struct reading *r, struct peer_body *out)
{
	struct str s = text_field(r, r->root, "public_key", true);

	if (!s.p)
		return;
	if (!public_key_parse(s, &out->key))
		invalid(r, "public_key", "a public key is the base64 of 32 bytes");
	else if (ct_is_zero(&out->key, sizeof out->key))
		invalid(r, "public_key", "the public key of all zeros belongs to nobody");
}

/* One line of text: it is shown to people, and may become a client's name. */
static bool is_one_line(struct str s)
{
	uint32_t c;

	while (s.n) {
		size_t n = utf8_next(s, &c);

		if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029)
			return false;
		s.p += n;
		s.n -= n;
	}
	return true;
}

static void request_id_read(struct reading *r, struct peer_body *out)
{
	struct str s = text_field(r, r->root, "request_id", true);

	if (!s.p)
		return;
	if (s.n == 0 || !is_one_line(s) ||
	    !str_copy(out->about.request_id, sizeof out->about.request_id, s))
		invalid(r, "request_id", "a request id is one line of 1 to 128 bytes");
}

static void protocol_read(struct reading *r, const json_t *from, struct peer_body *out)
{
	struct str s = text_field(r, from, "protocol", false);

	if (json_object_get(from, "protocol"))
		out->about.protocol = API_PROTOCOL_LEGACY;
	if (s.p && !api_protocol_parse(s, &out->about.protocol))
		invalid(r, "protocol", "a protocol is null, ipv4, ipv6 or dual");
}

static unsigned family_of(const json_t *v)
{
	const char *s = json_string_value(v);

	if (s && strcmp(s, "ipv4") == 0)
		return API_IPV4;
	return s && strcmp(s, "ipv6") == 0 ? API_IPV6 : 0;
}

static void traffic_read(struct reading *r, const json_t *from, struct peer_body *out)
{
	const json_t *list = json_object_get(from, "tunnel_traffic"), *v;
	unsigned set = 0;
	size_t i;

	if (!list || json_is_null(list))
		return;
	json_array_foreach(list, i, v)
	{
		if (!family_of(v))
			break;
		set |= family_of(v);
	}
	if (!set || i < json_array_size(list))
		invalid(r, "tunnel_traffic", "a list of ipv4, ipv6 or both");
	else
		out->about.traffic = set;
}

static void dns_read(struct reading *r, const json_t *from, struct peer_body *out)
{
	struct str s = text_field(r, from, "dns", false);

	if (!s.p)
		return;
	if (s.n != 2 || s.p[0] != 'd' || s.p[1] < '1' || s.p[1] > '3' ||
	    !str_copy(out->about.dns, sizeof out->about.dns, s))
		invalid(r, "dns", "a DNS choice is " PEER_DNS_CHOICES);
}

static void port_read(struct reading *r, const json_t *from, struct peer_body *out)
{
	const json_t *v = json_object_get(from, "port");
	json_int_t n = json_integer_value(v);

	if (!v || json_is_null(v))
		return;
	if (!json_is_integer(v))
		wrong(r, "port", "int_type", "Input should be a valid integer");
	else if (n < 1 || n > 65535)
		invalid(r, "port", "a port is 1 to 65535");
	else
		out->about.port = (uint16_t)n;
}

static void choices_read(struct reading *r, const json_t *from, struct peer_body *out)
{
	protocol_read(r, from, out);
	traffic_read(r, from, out);
	dns_read(r, from, out);
	port_read(r, from, out);
}

/* False when the payload is no good. */
static bool payload_read(struct reading *r, struct str payload, const struct payload_key *k,
			 struct peer_body *out)
{
	struct buf text = { .limit = PEER_BODY_MAX };
	json_error_t why;
	json_t *inner = NULL;
	bool ok;

	if (payload_open(&text, k, payload))
		inner = json_loadb(buf_view(&text).p, text.n, JSON_REJECT_DUPLICATES, &why);
	buf_done(&text);
	ok = json_is_object(inner);
	if (ok) {
		r->shown = NULL;
		choices_read(r, inner, out);
		r->shown = r->root;
	}
	json_decref(inner);
	return ok;
}

/* Which addresses: no protocol is the legacy of IPv4 alone; otherwise what the client sends through
 * the tunnel decides, or the protocol where that was not said. */
static void families_choose(struct peer_body *b)
{
	static const unsigned of_protocol[] = {
		[API_PROTOCOL_LEGACY] = API_IPV4,
		[API_PROTOCOL_IPV4] = API_IPV4,
		[API_PROTOCOL_IPV6] = API_IPV6,
		[API_PROTOCOL_DUAL] = API_IPV4 | API_IPV6,
	};

	b->families = of_protocol[b->about.protocol];
	if (b->about.protocol != API_PROTOCOL_LEGACY && b->about.traffic)
		b->families = b->about.traffic;
	if (!b->about.traffic || b->about.protocol == API_PROTOCOL_LEGACY)
		b->about.traffic = b->families;
}

enum peer_body_verdict peer_body_parse(struct peer_body *out, struct str body,
				       const struct payload_key *k, json_t **errors)
{
	struct peer_body b = { .about = { .port = PORT_DEFAULT, .dns = DNS_DEFAULT } };
	enum peer_body_verdict verdict;
	bool payload_ok = true;
	struct reading r;

	*errors = NULL;
	if (reading_start(&r, body)) {
		struct str payload = text_field(&r, r.root, "encrypted_payload", false);

		key_read(&r, &b);
		request_id_read(&r, &b);
		choices_read(&r, r.root, &b);
		b.is_sealed = payload.p != NULL;
		if (b.is_sealed)
			payload_ok = payload_read(&r, payload, k, &b);
	}
	verdict = reading_end(&r, errors);
	if (verdict == PEER_BODY_OK && !payload_ok)
		return PEER_BODY_BAD_PAYLOAD;
	if (verdict == PEER_BODY_OK) {
		families_choose(&b);
		*out = b;
	}
	return verdict;
}

enum peer_body_verdict peer_status_parse(bool *active, struct str body, json_t **errors)
{
	struct reading r;

	*errors = NULL;
	if (reading_start(&r, body)) {
		struct str s = text_field(&r, r.root, "status", true);

		*active = str_eq(s, STR("active"));
		if (s.p && !*active && !str_eq(s, STR("suspended")))
			invalid(&r, "status", "a status is active or suspended");
	}
	return reading_end(&r, errors);
}
