/* The handshake against published and captured exchanges, byte for byte. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "crypto/tests/vectors.h"
#include "wg/core.h"
#include "wg/noise.h"

struct party {
	struct secret_key own, ephemeral;
	struct public_key public;
};

static struct party party_of(struct vectors *v, const char *own, const char *ephemeral)
{
	struct party p;

	vectors_copy(v, own, p.own.b, KEY_LEN);
	vectors_copy(v, ephemeral, p.ephemeral.b, KEY_LEN);
	public_key_of(&p.public, &p.own);
	return p;
}

/* ---- Noise IKpsk2 with any prologue and payloads ---- */

#define PAYLOAD_MAX 4096

/* Message 1 of a Noise transcript: e | sealed s | sealed payload. */
static void check_message1(struct vectors *v, const struct party *i, const struct party *r,
			   struct wg_noise *at_i, struct wg_noise *at_r)
{
	struct vector_bytes payload = vectors_bytes(v, "msg0_payload");
	struct vector_bytes want = vectors_bytes(v, "msg0_ciphertext");
	uint8_t made[KEY_LEN + KEY_LEN + AEAD_TAG_LEN + PAYLOAD_MAX + AEAD_TAG_LEN];
	uint8_t opened[PAYLOAD_MAX];
	uint8_t *sealed_payload = made + KEY_LEN + KEY_LEN + AEAD_TAG_LEN;
	struct shared_secret ss;
	struct public_key who;

	VECTORS_MUST(v, payload.n <= PAYLOAD_MAX);
	VECTORS_MUST(v, x25519(&ss, &i->own, &r->public));
	VECTORS_MUST(v, wg_noise_write_initiation(at_i,
						  &(struct wg_noise_initiator){
							  .ephemeral = &i->ephemeral,
							  .own_static = &i->public,
							  .responder_static = &r->public,
							  .static_static = &ss },
						  made, made + KEY_LEN, sealed_payload, payload.p,
						  payload.n));
	VECTORS_MUST(v, want.n == 2 * KEY_LEN + 2 * AEAD_TAG_LEN + payload.n);
	VECTORS_MUST(v, memcmp(made, want.p, want.n) == 0);

	VECTORS_MUST(v, wg_noise_read_initiator(at_r, &who, &r->own, made, made + KEY_LEN));
	VECTORS_MUST(v, memcmp(who.b, i->public.b, KEY_LEN) == 0);
	VECTORS_MUST(v, wg_noise_read_payload(at_r, opened, &ss, sealed_payload,
					      payload.n + AEAD_TAG_LEN));
	VECTORS_MUST(v, memcmp(opened, payload.p, payload.n) == 0);
}

/* Message 2: e | sealed payload. */
static void check_message2(struct vectors *v, const struct party *i, const struct party *r,
			   const uint8_t *initiator_ephemeral, struct wg_noise *at_i,
			   struct wg_noise *at_r)
{
	struct vector_bytes payload = vectors_bytes(v, "msg1_payload");
	struct vector_bytes want = vectors_bytes(v, "msg1_ciphertext");
	uint8_t made[KEY_LEN + PAYLOAD_MAX + AEAD_TAG_LEN], opened[PAYLOAD_MAX];
	struct psk psk;

	VECTORS_MUST(v, payload.n <= PAYLOAD_MAX);
	vectors_copy(v, "psk", psk.b, KEY_LEN);
	VECTORS_MUST(v, wg_noise_write_response(at_r,
						&(struct wg_noise_responder){
							.ephemeral = &r->ephemeral,
							.initiator_ephemeral = initiator_ephemeral,
							.initiator_static = &i->public,
							.psk = &psk },
						made, made + KEY_LEN, payload.p, payload.n));
	VECTORS_MUST(v, want.n == KEY_LEN + AEAD_TAG_LEN + payload.n);
	VECTORS_MUST(v, memcmp(made, want.p, want.n) == 0);
	VECTORS_MUST(v, wg_noise_read_response(at_i, opened, &i->ephemeral, &i->own, &psk, made,
					       made + KEY_LEN, payload.n + AEAD_TAG_LEN));
	VECTORS_MUST(v, memcmp(opened, payload.p, payload.n) == 0);
	VECTORS_MUST(v, memcmp(at_i, at_r, sizeof *at_i) == 0);
}

static void check_split(struct vectors *v, struct wg_noise *n, const char *hash)
{
	uint8_t to_responder[KEY_LEN], to_initiator[KEY_LEN];

	VECTORS_MUST(v, memcmp(n->hash, vectors_bytes(v, hash).p, BLAKE2S_LEN) == 0);
	wg_noise_split(n, to_responder, to_initiator);
	VECTORS_MUST(v, memcmp(to_responder, vectors_bytes(v, "key_i2r").p, KEY_LEN) == 0);
	VECTORS_MUST(v, memcmp(to_initiator, vectors_bytes(v, "key_r2i").p, KEY_LEN) == 0);
}

static void noise_ikpsk2(void **state)
{
	struct vectors *v = vectors_open("noise/ikpsk2_generated.txt");
	unsigned cases = 0;

	(void)state;
	while (vectors_next(v)) {
		struct party i = party_of(v, "init_static", "init_ephemeral");
		struct party r = party_of(v, "resp_static", "resp_ephemeral");
		struct vector_bytes prologue = vectors_bytes(v, "prologue");
		struct str id = { (const char *)prologue.p, prologue.n };
		struct wg_noise at_i, at_r;

		wg_noise_start(&at_i, id, &r.public);
		at_r = at_i;
		check_message1(v, &i, &r, &at_i, &at_r);
		check_message2(v, &i, &r, vectors_bytes(v, "msg0_ciphertext").p, &at_i, &at_r);
		check_split(v, &at_i, "handshake_hash");
		cases++;
	}
	assert_true(cases >= 12);
	vectors_close(v);
}

/* ---- WireGuard messages from given keys ---- */

static void check_initiation(struct vectors *v, const struct party *i, const struct party *r,
			     struct wg_noise *n)
{
	struct vector_bytes want = vectors_bytes(v, "msg1");
	struct vector_bytes timestamp = vectors_bytes(v, "tai64n");
	struct wg_initiation m;
	struct wg_initiation read;
	struct wg_cookie cookie = { 0 };
	struct shared_secret ss;
	uint8_t made[WG_INITIATION_LEN];

	VECTORS_MUST(v, wg_initiation_read(&read, want.p, want.n));
	m.sender = read.sender;
	VECTORS_MUST(v, x25519(&ss, &i->own, &r->public));
	wg_noise_start(n, wg_noise_identifier(), &r->public);
	VECTORS_MUST(v, wg_noise_write_initiation(n,
						  &(struct wg_noise_initiator){
							  .ephemeral = &i->ephemeral,
							  .own_static = &i->public,
							  .responder_static = &r->public,
							  .static_static = &ss },
						  m.ephemeral, m.sealed_static, m.sealed_timestamp,
						  timestamp.p, timestamp.n));
	wg_initiation_write(made, &m);
	if (vectors_has(v, "init_cookie") && vectors_bytes(v, "init_cookie").n) {
		vectors_copy(v, "init_cookie", cookie.value, MAC_LEN);
		cookie.has_value = true;
	}
	wg_cookie_sign(&cookie, &r->public, made, sizeof made, 0);
	VECTORS_MUST(v, memcmp(made, want.p, want.n) == 0);
}

static void check_response(struct vectors *v, const struct party *i, const struct party *r,
			   struct wg_noise *n)
{
	struct vector_bytes want = vectors_bytes(v, "msg2");
	struct wg_response m, read;
	struct wg_initiation first;
	struct wg_cookie cookie = { 0 };
	uint8_t made[WG_RESPONSE_LEN];
	struct psk psk;

	vectors_copy(v, "psk", psk.b, KEY_LEN);
	VECTORS_MUST(v, wg_response_read(&read, want.p, want.n));
	VECTORS_MUST(v, wg_initiation_read(&first, vectors_bytes(v, "msg1").p, WG_INITIATION_LEN));
	m.sender = read.sender;
	m.receiver = first.sender;
	VECTORS_MUST(v, wg_noise_write_response(n,
						&(struct wg_noise_responder){
							.ephemeral = &r->ephemeral,
							.initiator_ephemeral = first.ephemeral,
							.initiator_static = &i->public,
							.psk = &psk },
						m.ephemeral, m.sealed_nothing, NULL, 0));
	wg_response_write(made, &m);
	if (vectors_has(v, "resp_cookie") && vectors_bytes(v, "resp_cookie").n) {
		vectors_copy(v, "resp_cookie", cookie.value, MAC_LEN);
		cookie.has_value = true;
	}
	wg_cookie_sign(&cookie, &i->public, made, sizeof made, 0);
	VECTORS_MUST(v, memcmp(made, want.p, want.n) == 0);
}

/* One data packet: sealed by us it is the vector's, opened it is the plaintext. */
static void check_data(struct vectors *v, const uint8_t raw_key[KEY_LEN], uint64_t counter,
		       struct vector_bytes plain, struct vector_bytes packet)
{
	size_t padded = wg_padded_len(plain.n, 0);
	uint8_t *made = calloc(1, WG_TRANSPORT_MIN + padded);
	struct aead_key key;
	struct aead_job job = { .key = &key, .counter = counter, .len = padded };

	assert_non_null(made);
	aead_key_set(&key, raw_key);
	job.text = made + WG_TRANSPORT_HEADER_LEN;
	if (plain.n)
		memcpy(job.text, plain.p, plain.n);
	wg_transport_header(made, load_le32(packet.p + 4), counter);
	aead_seal_batch(&job, 1);
	VECTORS_MUST(v, packet.n == WG_TRANSPORT_MIN + padded);
	VECTORS_MUST(v, memcmp(made, packet.p, packet.n) == 0);
	aead_open_batch(&job, 1);
	VECTORS_MUST(v, job.ok);
	VECTORS_MUST(v, !plain.n || memcmp(job.text, plain.p, plain.n) == 0);
	free(made);
}

static void check_packets(struct vectors *v)
{
	for (unsigned k = 0; k < 32; k++) {
		char plain[32], counter[32], dir[32], packet[48];

		snprintf(plain, sizeof plain, "data%u_plain", k);
		snprintf(counter, sizeof counter, "data%u_counter", k);
		snprintf(dir, sizeof dir, "data%u_dir", k);
		if (!vectors_has(v, plain))
			continue;
		for (unsigned way = 0; way < 2; way++) {
			const char *name = way ? "r2i" : "i2r";

			if (vectors_has(v, dir) && !str_eq(vectors_text(v, dir), str_of(name)))
				continue;
			snprintf(packet, sizeof packet, "data%u_packet%s%s", k,
				 vectors_has(v, dir) ? "" : "_", vectors_has(v, dir) ? "" : name);
			check_data(v, vectors_bytes(v, way ? "key_r2i" : "key_i2r").p,
				   vectors_u64(v, counter), vectors_bytes(v, plain),
				   vectors_bytes(v, packet));
		}
	}
}

static void fixed_random(void *ctx, void *p, size_t n)
{
	struct vectors *v = ctx;
	struct vector_bytes b =
		vectors_bytes(v, n == XNONCE_LEN ? "cookie_nonce" : "cookie_secret");

	VECTORS_MUST(v, b.n == n);
	memcpy(p, b.p, n);
}

/* The responder under load: its cookie, its reply, and what the initiator makes of it. */
static void check_cookie(struct vectors *v, const struct party *r)
{
	struct vector_bytes source = vectors_bytes(v, "cookie_addr");
	struct vector_bytes msg1 = vectors_bytes(v, "msg1");
	struct vector_bytes want = vectors_bytes(v, "cookie_reply");
	struct wg_cookie_checker checker;
	struct endpoint from = { 0 };
	struct wg_cookie_reply reply;
	struct wg_cookie memory = { 0 };
	uint8_t made[WG_COOKIE_REPLY_LEN], again[WG_INITIATION_LEN];

	from.addr = source.n == 6 ? ip_v4(source.p) : ip_v6(source.p);
	from.port = load_be16(source.p + source.n - 2);
	wg_cookie_checker_init(&checker, &r->public);
	VECTORS_MUST(v, wg_mac1_ok(&checker.mac1, msg1.p, msg1.n));
	wg_cookie_reply_make(made, &checker, load_le32(msg1.p + 4), msg1.p, msg1.n, &from,
			     fixed_random, v, 0);
	VECTORS_MUST(v, want.n == sizeof made && memcmp(made, want.p, want.n) == 0);

	memcpy(again, msg1.p, sizeof again);
	wg_cookie_sign(&memory, &r->public, again, sizeof again, 0);
	VECTORS_MUST(v, wg_cookie_reply_read(&reply, made, sizeof made));
	VECTORS_MUST(v, wg_cookie_accept(&memory, &r->public, &reply, 0));
	VECTORS_MUST(v, memcmp(memory.value, vectors_bytes(v, "cookie").p, MAC_LEN) == 0);
	wg_cookie_sign(&memory, &r->public, again, sizeof again, 0);
	VECTORS_MUST(v, wg_mac2_ok(&checker, again, sizeof again, &from, fixed_random, v, 0));
	from.port ^= 1;
	VECTORS_MUST(v, !wg_mac2_ok(&checker, again, sizeof again, &from, fixed_random, v, 0));
}

static void check_file(const char *name, unsigned at_least)
{
	struct vectors *v = vectors_open(name);
	unsigned cases = 0;

	while (vectors_next(v)) {
		struct party i = party_of(v, "init_static", "init_ephemeral");
		struct party r = party_of(v, "resp_static", "resp_ephemeral");
		struct wg_noise n;

		check_initiation(v, &i, &r, &n);
		check_response(v, &i, &r, &n);
		VECTORS_MUST(v, memcmp(n.chaining_key, vectors_bytes(v, "chaining_key").p,
				       BLAKE2S_LEN) == 0);
		check_split(v, &n, "hash");
		check_packets(v);
		if (vectors_has(v, "cookie_reply"))
			check_cookie(v, &r);
		cases++;
	}
	assert_true(cases >= at_least);
	vectors_close(v);
}

static void captured(void **state)
{
	(void)state;
	check_file("wireguard/capture.txt", 3);
}

static void generated(void **state)
{
	(void)state;
	check_file("wireguard/handshake_generated.txt", 12);
}

/* ---- the same through whole devices ---- */

struct scripted {
	struct vectors *v;
	const char *ephemeral;
	uint32_t index;
	int64_t wall_ns;
	uint8_t sent[WG_INITIATION_LEN];
	size_t sent_n;
};

static void scripted_random(void *ctx, void *p, size_t n)
{
	struct scripted *s = ctx;

	memset(p, 0x55, n);
	if (n == sizeof s->index)
		memcpy(p, &s->index, n);
	if (n == KEY_LEN)
		vectors_copy(s->v, s->ephemeral, p, n);
}

static int64_t scripted_wall(void *ctx)
{
	return ((struct scripted *)ctx)->wall_ns;
}

static void scripted_send(void *ctx, struct wg_peer *peer, const struct wg_path *to,
			  const uint8_t *dgram, size_t n, uint8_t ecn)
{
	struct scripted *s = ctx;

	(void)peer;
	(void)to;
	(void)ecn;
	if (n <= sizeof s->sent && wg_message_type(dgram, n) != WG_TRANSPORT) {
		memcpy(s->sent, dgram, n);
		s->sent_n = n;
	}
}

static struct wg_device *device_of(struct scripted *s, struct retired *retired,
				   const struct party *own, const struct party *other)
{
	struct wg_ops ops = {
		.ctx = s, .random = scripted_random, .wall_ns = scripted_wall, .send = scripted_send
	};
	struct wg_peer_change c = { .public_key = other->public, .has_psk = true };
	struct wg_device *d = wg_device_new(&ops, retired);

	assert_non_null(d);
	vectors_copy(s->v, "psk", c.psk.b, KEY_LEN);
	c.has_endpoint = true;
	c.endpoint.addr = ip_v4((const uint8_t[4]){ 192, 0, 2, 1 });
	c.endpoint.port = 51820;
	wg_device_set_private_key(d, &own->own, 1);
	wg_device_set_up(d, true, 1);
	assert_int_equal(wg_device_change_peer(d, &c, 1, NULL), ERR_OK);
	return d;
}

/* The ephemerals of the generated cases need not be clamped: the device clamps, X25519 does, too,
 * and so the bytes on the wire are the same. */
static void through_devices(void **state)
{
	struct vectors *v = vectors_open("wireguard/handshake_generated.txt");
	struct wg_path from = { .remote.port = 51820 };
	unsigned whole = 0;

	(void)state;
	from.remote.addr = ip_v4((const uint8_t[4]){ 192, 0, 2, 1 });
	while (vectors_next(v)) {
		struct party i = party_of(v, "init_static", "init_ephemeral");
		struct party r = party_of(v, "resp_static", "resp_ephemeral");
		struct vector_bytes msg1 = vectors_bytes(v, "msg1"),
				    msg2 = vectors_bytes(v, "msg2");
		struct scripted at_i = { .v = v, .ephemeral = "init_ephemeral" };
		struct scripted at_r = { .v = v, .ephemeral = "resp_ephemeral" };
		struct retired retired = { 0 };
		struct wg_device *di, *dr;
		const uint8_t *tai = vectors_bytes(v, "tai64n").p;
		struct wg_session *s;

		at_i.index = load_le32(msg1.p + 4);
		at_r.index = load_le32(msg2.p + 4);
		at_i.wall_ns = (int64_t)(load_be64(tai) - 0x400000000000000aULL) * NS_PER_S +
			       load_be32(tai + 8);
		di = device_of(&at_i, &retired, &i, &r);
		dr = device_of(&at_r, &retired, &r, &i);
		wg_device_stage(di, wg_device_find_peer(di, &r.public), (const uint8_t *)"x", 1, 2);
		VECTORS_MUST(v, at_i.sent_n == WG_INITIATION_LEN);
		if (!vectors_bytes(v, "init_cookie").n) { /* else mac2 differs */
			VECTORS_MUST(v, memcmp(at_i.sent, msg1.p, msg1.n) == 0);
			whole++;
		}
		/* Read: the vector's own message 1, with whatever mac2. */
		VECTORS_MUST(v, wg_device_handshake(dr, msg1.p, msg1.n, &from, false, 3) == WG_OK);
		VECTORS_MUST(v, at_r.sent_n == WG_RESPONSE_LEN);
		VECTORS_MUST(v, memcmp(at_r.sent, msg2.p, msg2.n) == 0 ||
					vectors_bytes(v, "resp_cookie").n);
		VECTORS_MUST(v, wg_device_handshake(di, msg2.p, msg2.n, &from, false, 4) == WG_OK);
		s = wg_index_session(&di->index, at_i.index);
		VECTORS_MUST(v, s && memcmp(s->send_key.b, vectors_bytes(v, "key_i2r").p,
					    KEY_LEN) == 0);
		s = wg_index_session(&dr->index, at_r.index);
		VECTORS_MUST(v, s && memcmp(s->send_key.b, vectors_bytes(v, "key_r2i").p,
					    KEY_LEN) == 0);
		wg_device_free(di);
		wg_device_free(dr);
		retired_free(&retired, retired_advance(&retired));
	}
	assert_true(whole >= 5);
	vectors_close(v);
}

/* ---- the replay window ---- */

static void replay_window(void **state)
{
	struct vectors *v = vectors_open("wireguard/replay_window.txt");
	unsigned cases = 0;

	(void)state;
	while (vectors_next(v)) {
		struct str counters = vectors_text(v, "counters"), one;
		struct str accept = vectors_text(v, "accept");
		struct wg_replay w = { 0 };
		size_t i = 0;

		while (str_cut(&counters, ',', &one)) {
			uint64_t counter;

			VECTORS_MUST(v, u64_parse(one, 0, UINT64_MAX, &counter));
			VECTORS_MUST(v, i < accept.n);
			VECTORS_MUST(v, wg_replay_accept(&w, counter) == (accept.p[i] == '1'));
			i++;
		}
		VECTORS_MUST(v, i == accept.n);
		wg_replay_done(&w);
		cases++;
	}
	assert_true(cases >= 15);
	vectors_close(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(noise_ikpsk2),	 cmocka_unit_test(captured),
		cmocka_unit_test(generated),	 cmocka_unit_test(through_devices),
		cmocka_unit_test(replay_window),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
