/* The peer API as its callers see it: a whole server, without sockets of the network. */
#include "base/tests/cm.h"

#include "api/signature.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "peers/body.h"
#include "peers/peers.h"
#include "core/tests/fake_host.h"
#include "http/tests/talk.h"

#define KEY "8f29c82c0d1e4a5b8f29c82c0d1e4a5b"
#define PAYLOAD_KEY "tqgwn3SOtqgwn3SO"
#define CREATE "/api/v1/configurations/"
#define STATUS "/api/v1/server/status"
/* Of the bytes 0xfb 0xff 0xfe 0 0 …: '+' and '/' in it. */
#define PEER "+//+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define BODY "{\"public_key\": \"" PEER "\", \"request_id\": \"order-1\"}"

static struct fake_host h;
static struct peers_api *api;
static struct talk t;

static void start_with(bool refuse_legacy)
{
	const struct peers_api_config c = { .key = STR(KEY),
					    .payload_key = STR(PAYLOAD_KEY),
					    .window_s = 60,
					    .refuse_legacy = refuse_legacy };
	struct settings_given given = { 0 };
	struct http_server_options o = { 0 };
	struct http_service s;
	struct err e;

	given.v[SETTING_NETWORK] = STR("10.8.0.0/24");
	given.v[SETTING_NETWORK6] = STR("fd00:8::/64");
	assert_true(fake_host_open(&h, &given));
	assert_int_equal(peers_api_new(&api, &h.core, &c, &e), 0);
	s = peers_api_service(api);
	o.unrouted = s.unrouted;
	talk_start(&t, &o, s.routes, s.count, s.ctx);
	h.core.loop = t.loop;
}

static int start(void **state)
{
	(void)state;
	start_with(false);
	return 0;
}

static int end(void **state)
{
	(void)state;
	peers_api_free(api);
	talk_end(&t);
	fake_host_close(&h);
	return 0;
}

/* ---- asking ---- */

/* A request; what is signed instead of what is sent, where that differs. */
struct call {
	const char *method, *path, *body;
	enum { LENGTH, WHOLE, UNSIGNED } form;
	int offset_s; /* of the timestamp */
	const char *timestamp; /* instead of a number */
	const char *signed_method, *signed_path, *signed_body, *signed_key;
	const char *nonce;
	const char *drop; /* a header that is left out */
	const char *extra; /* header lines more */
	size_t length; /* signed instead of the body's; 0: the body's */
};

static const char * or (const char *a, const char *b)
{
	return a ? a : b ? b : "";
}

static void header(struct buf *out, const struct call *c, const char *name, const char *value)
{
	if (!c->drop || strcmp(c->drop, name) != 0)
		buf_printf(out, "%s: %s\r\n", name, value);
}

static void sign(struct buf *out, const struct call *c)
{
	static unsigned count;
	char stamp[32], nonce[33], signature[SIGNATURE_HEX_LEN + 1];
	const char *key = or (c->signed_key, KEY);
	AUTO(buf_done) struct buf filler = { 0 };
	struct signed_request r = { .method = str_of(or (c->signed_method, c->method)),
				    .path = str_of(or (c->signed_path, c->path)),
				    .query = STR(""),
				    .body = str_of(or (c->signed_body, c->body)) };

	(void)snprintf(stamp, sizeof stamp, "%lld",
		       (long long)(clock_real_ns() / NS_PER_S + c->offset_s));
	(void)snprintf(nonce, sizeof nonce, "nonce-%016u", count++);
	r.timestamp = str_of(or (c->timestamp, stamp));
	r.nonce = str_of(or (c->nonce, nonce));
	if (c->length) { /* only its length counts there */
		for (size_t i = 0; i < c->length; i++)
			buf_char(&filler, 'x');
		r.body = buf_view(&filler);
	}
	signature_make(signature, c->form == WHOLE ? SIGNATURE_WHOLE : SIGNATURE_LENGTH, key,
		       strlen(key), &r);
	if (c->form == LENGTH) {
		header(out, c, "signature", signature);
		header(out, c, "timestamp", or (c->timestamp, stamp));
	} else if (c->form == WHOLE) {
		header(out, c, "X-Qanat-Signature", signature);
		header(out, c, "X-Qanat-Timestamp", or (c->timestamp, stamp));
		header(out, c, "X-Qanat-Nonce", or (c->nonce, nonce));
	}
}

static void request_make(struct buf *out, const struct call *c)
{
	buf_printf(out, "%s %s HTTP/1.1\r\nHost: a\r\n", c->method, c->path);
	sign(out, c);
	buf_z(out, or (c->extra, ""));
	buf_printf(out, "Content-Length: %zu\r\n\r\n%s", strlen(or (c->body, "")),
		   or (c->body, ""));
}

/* The text of the answer's body. */
static const char *body_text(void)
{
	ptrdiff_t at = str_find_nocase(buf_view(&t.got), STR("\r\n\r\n"));

	return at < 0 ? "" : t.got.p + at + 4;
}

static unsigned ask(const struct call *c)
{
	AUTO(buf_done) struct buf text = { 0 };

	request_make(&text, c);
	talk_once(&t, text.p);
	return talk_status(&t);
}

/* ---- who asks ---- */

static const struct {
	struct call call;
	unsigned status;
	const char *says;
	const char *why;
} auth_rows[] = {
	{ { "GET", STATUS, NULL }, 200, "healthy", "the length form" },
	{ { "GET", STATUS, NULL, WHOLE }, 200, "healthy", "the whole form" },
	{ { "GET", STATUS, NULL, UNSIGNED }, 422, "Field required", "nothing" },
	{ { "GET", STATUS, NULL, .drop = "signature" },
	  422,
	  "[\"header\",\"signature\"]",
	  "no signature" },
	{ { "GET", STATUS, NULL, .drop = "timestamp" },
	  422,
	  "[\"header\",\"timestamp\"]",
	  "no timestamp" },
	{ { "GET", STATUS, NULL, WHOLE, .drop = "X-Qanat-Nonce" },
	  422,
	  "X-Qanat-Nonce",
	  "no nonce" },
	{ { "GET", STATUS, NULL, .extra = "signature: 00\r\n" },
	  422,
	  "[\"header\",\"signature\"],\"msg\":\"the header is there more than once\"",
	  "two signatures are none" },
	{ { "POST", "/api/v1/sync-ips", "{}", .signed_body = "" },
	  200,
	  "synced",
	  "a call without a body is signed as one, whatever the library sends" },
	{ { "POST", CREATE, BODY, .signed_body = "" },
	  401,
	  "\"Invalid signature\"",
	  "one with a body is not" },
	{ { "GET", STATUS, NULL, .offset_s = -58 }, 200, "healthy", "just in time" },
	{ { "GET", STATUS, NULL, .offset_s = -63 }, 401, "\"Timestamp too old\"", "too old" },
	{ { "GET", STATUS, NULL, .offset_s = 64 }, 401, "\"Timestamp too old\"", "of the future" },
	{ { "GET", STATUS, NULL, .timestamp = "soon" }, 401, "\"Invalid timestamp\"", "no number" },
	{ { "GET", STATUS, NULL, .timestamp = "-1" }, 401, "\"Invalid timestamp\"", "negative" },
	{ { "GET", STATUS, NULL, .timestamp = "99999999999999999999" },
	  401,
	  "\"Invalid timestamp\"",
	  "beyond numbers" },
	{ { "GET", STATUS, NULL, .signed_key = "8f29c82c0d1e4a5b8f29c82c0d1e4a5c" },
	  401,
	  "\"Invalid signature\"",
	  "another key" },
	{ { "POST", CREATE, BODY, .length = 1 }, 401, "\"Invalid signature\"", "another length" },
	{ { "DELETE", CREATE "AAAA", NULL, .signed_key = "0000000000000000" },
	  401,
	  "\"Invalid signature\"",
	  "deletions are verified" },
	{ { "GET", STATUS, NULL, WHOLE, .signed_path = "/api/v1/ip-usage" },
	  401,
	  "\"Invalid signature\"",
	  "signed for another path" },
	{ { "POST", "/api/v1/sync-ips", NULL, WHOLE, .signed_method = "GET" },
	  401,
	  "\"Invalid signature\"",
	  "signed for another method" },
	{ { "POST", CREATE, BODY, WHOLE, .signed_body = "{}" },
	  401,
	  "\"Invalid signature\"",
	  "signed with another body" },
	{ { "GET", STATUS, NULL, WHOLE, .nonce = "short" },
	  401,
	  "\"Invalid nonce\"",
	  "a nonce too short" },
	{ { "GET", "/api/v1/nothing", NULL, UNSIGNED },
	  404,
	  "{\"detail\":\"Not Found\"}",
	  "no such path" },
	{ { "PUT", STATUS, NULL, UNSIGNED },
	  405,
	  "{\"detail\":\"Method Not Allowed\"}",
	  "no such method" },
};

static void knows_who_asks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(auth_rows); i++) {
		unsigned status = ask(&auth_rows[i].call);

		if (status != auth_rows[i].status || !strstr(body_text(), auth_rows[i].says))
			fail_msg("%s: %u %s", auth_rows[i].why, status, body_text());
	}
	assert_int_equal(h.peer_count, 0);
}

/* The same bytes again. */
static void refuses_replays(void **state)
{
	const struct call rows[] = {
		{ "POST", CREATE, BODY },
		{ "POST", CREATE, BODY, WHOLE },
		{ "DELETE", CREATE "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D", NULL, WHOLE },
		{ "GET", STATUS, NULL, WHOLE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf text = { 0 };

		request_make(&text, &rows[i]);
		talk_once(&t, text.p);
		assert_int_equal(talk_status(&t), 200);
		talk_once(&t, text.p);
		assert_int_equal(talk_status(&t), 401);
		assert_non_null(strstr(body_text(), "Replay detected"));
	}
}

static void refuses_the_legacy_form(void **state)
{
	const struct call legacy = { "GET", STATUS, NULL };
	const struct call whole = { "GET", STATUS, NULL, WHOLE };

	(void)end(state);
	start_with(true);
	assert_int_equal(ask(&legacy), 401);
	assert_non_null(strstr(body_text(), "X-Qanat-Signature"));
	assert_int_equal(ask(&whole), 200);
}

/* Existing clients sign the length of the body or of the JSON that it means. */
static void takes_either_length(void **state)
{
	static const char body[] = "{\"status\":\"active\"}";
	struct call c = { "PUT", CREATE "AAAA/status", body };

	(void)state;
	assert_int_equal(ask(&c), 422); /* three bytes are no key */
	c.path = CREATE "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/status";
	assert_int_equal(ask(&c), 404);
	c.length = sizeof "{\"status\": \"active\"}" - 1;
	c.offset_s = 1;
	assert_int_equal(ask(&c), 404);
	assert_non_null(strstr(body_text(), "Configuration not found"));
}

/* ---- bodies ---- */

#define P "\"public_key\": \"" PEER "\""
#define R "\"request_id\": \"r 1\""

static const struct {
	const char *body;
	unsigned status;
	const char *says;
	const char *why;
} create_rows[] = {
	{ "{" P ", " R "}", 200, "{\"status\":\"created\",\"assigned_ip\":\"10.8.0.2\"}",
	  "the least: IPv4 of the legacy" },
	{ "{" P ", " R ", \"protocol\": null, \"tunnel_traffic\": [\"ipv4\"]}", 200,
	  "{\"status\":\"created\",\"assigned_ip\":\"10.8.0.2\"}", "as existing clients" },
	{ "{" P ", " R ", \"protocol\": \"ipv4\"}", 200,
	  "{\"status\":\"created\",\"assigned_ip\":\"10.8.0.2\"}", "IPv4" },
	{ "{" P ", " R ", \"protocol\": \"ipv6\"}", 200,
	  "{\"status\":\"created\",\"assigned_ip\":null,\"assigned_ipv6\":\"fd00:8::2\"}", "IPv6" },
	{ "{" P ", " R ", \"protocol\": \"dual\"}", 200,
	  "\"assigned_ip\":\"10.8.0.2\",\"assigned_ipv6\":\"fd00:8::2\"}", "both" },
	{ "{" P ", " R ", \"protocol\": \"dual\", \"tunnel_traffic\": [\"ipv6\"]}", 200,
	  "\"assigned_ip\":null,\"assigned_ipv6\":\"fd00:8::2\"}", "the traffic decides" },
	{ "{" P ", " R ", \"tunnel_traffic\": [\"ipv4\", \"ipv6\"]}", 200,
	  "{\"status\":\"created\",\"assigned_ip\":\"10.8.0.2\"}", "no protocol: legacy" },
	{ "{" P ", " R ", \"port\": 443, \"dns\": \"d3\", \"more\": [{}]}", 200, "created",
	  "fields that are not known" },
	{ "{" R "}", 422, "[\"body\",\"public_key\"],\"msg\":\"Field required\"", "no key" },
	{ "{" P "}", 422, "[\"body\",\"request_id\"],\"msg\":\"Field required\"", "no id" },
	{ "{" P ", \"request_id\": null}", 422, "request_id", "null is none" },
	{ "{" P ", \"request_id\": \"\"}", 422, "request_id", "an empty id" },
	{ "{" P ", \"request_id\": \"a\\nb\"}", 422, "request_id", "a newline" },
	{ "{" P ", \"request_id\": \"a\\u2028b\"}", 422, "request_id", "a line of Unicode" },
	{ "{" P ", \"request_id\": 7}", 422, "valid string", "a number for an id" },
	{ "{\"public_key\": \"AAAA\", " R "}", 422, "32 bytes", "a short key" },
	{ "{\"public_key\": \"-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\", " R "}", 422,
	  "32 bytes", "the form for paths" },
	{ "{\"public_key\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\", " R "}", 422, "zeros",
	  "all zeros" },
	{ "{" P ", " R ", \"protocol\": \"ipx\"}", 422, "protocol", "another protocol" },
	{ "{" P ", " R ", \"tunnel_traffic\": []}", 422, "tunnel_traffic", "no traffic" },
	{ "{" P ", " R ", \"tunnel_traffic\": [\"ipv4\", 4]}", 422, "tunnel_traffic",
	  "a number in the traffic" },
	{ "{" P ", " R ", \"dns\": \"d4\"}", 422, "dns", "a DNS choice that is none" },
	{ "{" P ", " R ", \"port\": 0}", 422, "port", "port 0" },
	{ "{" P ", " R ", \"port\": 65536}", 422, "port", "a port too large" },
	{ "{" P ", " R ", \"port\": \"51820\"}", 422, "valid integer", "a text for a port" },
	{ "{" P ", " R ", \"dns\": \"d4\"}", 422, "\"input\":\"d4\"}", "the value is shown" },
	{ "{" P ", " R ", \"tunnel_traffic\": [\"ipx\"]}", 422, "\"input\":[\"ipx\"]}",
	  "a list, too" },
	{ "{" P ", " P ", " R "}", 422, "a field is there twice, at byte 75", "a field twice" },
	{ "[]", 422, "[\"body\"],\"msg\":\"the body is not a JSON object\"", "a list" },
	{ "{", 422, "not JSON: it ends too early, at byte 1", "half of it" },
	{ "{" P ", " R ",}", 422, "not JSON: its syntax is wrong", "a comma too many" },
	{ "{\"a\": 1e999}", 422, "not JSON: a number is too big", "a number beyond numbers" },
	{ "{} {}", 422, "not JSON: there is something behind", "two of them" },
	{ "", 422, "[\"body\"],\"msg\":\"Field required", "nothing" },
	{ "{" P ", " R ", \"encrypted_payload\": \"AAAA\"}", 400, "Invalid encrypted payload",
	  "a payload too short" },
	{ "{" P ", " R ", \"encrypted_payload\": 7}", 422, "encrypted_payload", "a number" },
	{ "{" P ", " R ", \"encrypted_payload\": "
	  "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}",
	  400, "Invalid encrypted payload", "forged: never the fields beside it" },
};

static void reads_bodies(void **state)
{
	static const struct call gone = {
		"DELETE", CREATE "%2B%2F%2F%2BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", NULL, WHOLE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(create_rows); i++) {
		const struct call c = { "POST", CREATE, create_rows[i].body, WHOLE };
		unsigned status = ask(&c);

		if (status != create_rows[i].status || !strstr(body_text(), create_rows[i].says))
			fail_msg("%s: %u %s", create_rows[i].why, status, body_text());
		assert_int_equal(h.peer_count, status == 200);
		if (status == 200)
			assert_int_equal(ask(&gone), 200);
	}
}

static void reads_status(void **state)
{
	static const struct {
		const char *body;
		unsigned status;
		const char *says;
	} rows[] = {
		{ "{\"status\": \"suspended\"}", 200, "{\"status\":\"suspended\"}" },
		{ "{\"status\": \"active\"}", 200, "{\"status\":\"updated\"}" },
		{ "{\"status\": \"ACTIVE\"}", 422, "[\"body\",\"status\"]" },
		{ "{\"status\": true}", 422, "valid string" },
		{ "{}", 422, "Field required" },
		{ "\"active\"", 422, "not JSON" },
		{ "[]", 422, "not a JSON object" },
	};
	const struct call create = { "POST", CREATE, BODY };

	(void)state;
	assert_int_equal(ask(&create), 200);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct call c = { "PUT",
					CREATE
					"-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D/status",
					rows[i].body, WHOLE };

		assert_int_equal(ask(&c), rows[i].status);
		assert_non_null(strstr(body_text(), rows[i].says));
	}
}

/* A device leaves a peer with its own key out: it would be stored, and never live. */
static void refuses_its_own_key(void **state)
{
	AUTO(buf_done) struct buf body = { 0 };
	struct call c = { "POST", CREATE, NULL, WHOLE };
	char key[KEY_TEXT_MAX];

	(void)state;
	public_key_text(key, &h.core.server_key);
	buf_printf(&body, "{\"public_key\": \"%s\", " R "}", key);
	c.body = body.p;
	assert_int_equal(ask(&c), 422);
	assert_non_null(strstr(body_text(), "this gateway's own"));
	c = (struct call){ "GET", STATUS, NULL, WHOLE };
	assert_int_equal(ask(&c), 200);
	assert_non_null(strstr(body_text(), "\"total_peers\":0"));
}

static void keys_in_paths(void **state)
{
	static const struct {
		const char *key;
		unsigned status;
		const char *why;
	} rows[] = {
		{ "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D", 404,
		  "as the reference sends it" },
		{ "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 404, "with the sign itself" },
		{ "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 404, "without it" },
		{ "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%253D", 404, "escaped twice" },
		{ "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%253d%253d", 422, "two signs" },
		{ "%253D", 422, "a sign alone" },
		{ "+%2f%2F+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 404, "standard, encoded" },
		{ "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", 422, "trailing bits" },
		{ "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 422, "too short" },
		{ "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 422, "too long" },
		{ "..%2f..%2fetc%2fpasswd", 422, "a path" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char path[256];
		const struct call c = { "DELETE", path, NULL, WHOLE };

		(void)snprintf(path, sizeof path, CREATE "%s", rows[i].key);
		if (ask(&c) != rows[i].status)
			fail_msg("%s: %u %s", rows[i].why, talk_status(&t), body_text());
		if (rows[i].status == 422 && !strstr(body_text(), "\"input\":\""))
			fail_msg("%s: %s does not show what was sent", rows[i].why, body_text());
	}
}

/* ---- payloads ---- */

static void payloads(void **state)
{
	AUTO(buf_done) struct buf sealed = { 0 }, body = { 0 }, opened = { 0 };
	struct call c = { "POST", CREATE, NULL, WHOLE };
	struct payload_key k;
	json_t *answer;
	const char *text;

	(void)state;
	payload_key_set(&k, STR(PAYLOAD_KEY));
	payload_seal(&sealed, &k, STR("{\"protocol\": \"dual\", \"dns\": \"d2\", \"x\": 1}"));
	buf_printf(&body, "{" P ", " R ", \"protocol\": \"ipv4\", \"encrypted_payload\": \"%s\"}",
		   sealed.p);
	c.body = body.p;
	assert_int_equal(ask(&c), 200);
	answer = json_loads(body_text(), 0, NULL);
	text = json_string_value(json_object_get(answer, "encrypted_response"));
	assert_non_null(text);
	assert_int_equal(json_object_size(answer), 1);
	assert_true(payload_open(&opened, &k, str_of(text)));
	assert_string_equal(opened.p, "{\"status\":\"created\",\"assigned_ip\":\"10.8.0.2\","
				      "\"assigned_ipv6\":\"fd00:8::2\"}");
	/* Its own nonce: not that of the request in another dress. */
	assert_memory_not_equal(text, sealed.p, 16);
	json_decref(answer);
	sealed.p[20] = sealed.p[20] == 'A' ? 'B' : 'A';
	buf_clear(&opened);
	assert_false(payload_open(&opened, &k, buf_view(&sealed)));
	assert_int_equal(opened.n, 0);
	/* What was sealed is not repeated in the clear. */
	buf_clear(&sealed);
	payload_seal(&sealed, &k, STR("{\"dns\": \"hush\"}"));
	buf_clear(&body);
	buf_printf(&body, "{" P ", " R ", \"dns\": \"d2\", \"encrypted_payload\": \"%s\"}",
		   sealed.p);
	c.body = body.p;
	assert_int_equal(ask(&c), 422);
	assert_non_null(strstr(body_text(), "[\"body\",\"dns\"]"));
	assert_null(strstr(body_text(), "input"));
}

/* HKDF-SHA256 of the reference: no salt, info "handshake data". */
static void payload_keys(void **state)
{
	uint8_t prk[32], want[32];
	struct payload_key k = { .is_set = false };
	struct buf none = { 0 };

	(void)state;
	assert_false(payload_open(&none, &k, STR("AAAA")));
	payload_key_set(&k, STR("text"));
	hmac_sha256(prk, (const uint8_t[32]){ 0 }, 32, "text", 4);
	hmac_sha256(want, prk, 32, "handshake data\x01", 15);
	assert_memory_equal(k.b, want, 32);
}

/* ---- reading ---- */

static void tells_usage(void **state)
{
	struct call c = { "GET", "/api/v1/ip-usage", NULL };
	const struct call create = { "POST", CREATE, "{" P ", " R ", \"protocol\": \"dual\"}" };

	(void)state;
	assert_int_equal(ask(&create), 200);
	assert_int_equal(ask(&c), 200);
	assert_string_equal(
		body_text(),
		"{\"ipv4\":{\"total\":253,\"used\":1,\"available\":252,\"assigned_ips\":"
		"[\"10.8.0.2\"],\"gateway_ip\":\"10.8.0.1\"},\"ipv6\":{\"total\":253,\"used\":1,"
		"\"available\":252,\"assigned_ips\":[\"fd00:8::2\"],\"gateway_ip\":\"fd00:8::1\"}"
		"}");
	h.peers[0].info.last_handshake_wall_ns = FAKE_NOW_NS - 5 * NS_PER_S;
	c.path = "/api/v1/server/metrics";
	assert_int_equal(ask(&c), 200);
	assert_non_null(strstr(body_text(), "\"last_handshakes\":{\"" PEER "\":1769767195}"));
	assert_non_null(strstr(body_text(), "\"active_peers\":1,\"total_peers\":1"));
	assert_non_null(strstr(body_text(), "\"system\":{\"cpu_percent\":"));
	c.path = STATUS;
	assert_int_equal(ask(&c), 200);
	assert_non_null(strstr(body_text(), "{\"wireguard_peers\":1,\"total_peers\":1,"));
}

/* The device lost its peers; only what is enabled comes back. */
static void synchronises(void **state)
{
	const struct call create = { "POST", CREATE, BODY };
	const struct call sync = { "POST", "/api/v1/sync-ips", NULL, WHOLE };

	(void)state;
	assert_int_equal(ask(&create), 200);
	h.peer_count = 0;
	assert_int_equal(ask(&sync), 200);
	assert_string_equal(body_text(), "{\"status\":\"synced\"}");
	assert_int_equal(h.peer_count, 1);
}

/* Two requests on one connection; their changes are of one turn. */
static void answers_in_order(void **state)
{
	const struct call a = { "POST", CREATE, BODY };
	const struct call b = { "GET", STATUS, NULL };
	AUTO(buf_done) struct buf text = { 0 };

	(void)state;
	request_make(&text, &a);
	request_make(&text, &b);
	talk_once(&t, text.p);
	assert_int_equal(talk_count(&t, "HTTP/1.1 200 "), 2);
	assert_int_equal(talk_count(&t, "\"wireguard_peers\":1,"), 1);
}

/* The device refuses: 500 in the words of the reference, and nothing is kept. */
static void tells_of_failures(void **state)
{
	const struct call create = { "POST", CREATE, BODY, WHOLE };
	const struct call active = { "PUT",
				     CREATE "-__-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/status",
				     "{\"status\": \"active\"}", WHOLE };

	(void)state;
	h.change_fails_at = 1;
	assert_int_equal(ask(&create), 500);
	assert_string_equal(body_text(), "{\"detail\":\"Failed to configure WireGuard peer\"}");
	assert_int_equal(ask(&active), 404);
	assert_int_equal(ask(&create), 200);
	h.change_calls = 0;
	assert_int_equal(ask(&active), 500);
	assert_string_equal(body_text(), "{\"detail\":\"Failed to activate peer\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(knows_who_asks, start, end),
		cmocka_unit_test_setup_teardown(refuses_replays, start, end),
		cmocka_unit_test_setup_teardown(refuses_the_legacy_form, start, end),
		cmocka_unit_test_setup_teardown(takes_either_length, start, end),
		cmocka_unit_test_setup_teardown(reads_bodies, start, end),
		cmocka_unit_test_setup_teardown(reads_status, start, end),
		cmocka_unit_test_setup_teardown(refuses_its_own_key, start, end),
		cmocka_unit_test_setup_teardown(keys_in_paths, start, end),
		cmocka_unit_test_setup_teardown(payloads, start, end),
		cmocka_unit_test(payload_keys),
		cmocka_unit_test_setup_teardown(tells_usage, start, end),
		cmocka_unit_test_setup_teardown(synchronises, start, end),
		cmocka_unit_test_setup_teardown(answers_in_order, start, end),
		cmocka_unit_test_setup_teardown(tells_of_failures, start, end),
	};

	log_set_level(LOG_SILENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
