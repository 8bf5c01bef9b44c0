/* uapi_test.c - what a `set` asks of its target, what it answers to errors, and the text of `get`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "wg/uapi.h"

#define A32 "abababababababababababababababababababababababababababababababab"
#define C32 "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
#define Z32 "0000000000000000000000000000000000000000000000000000000000000000"

/* A target that writes down what it was asked. */
struct record {
	struct buf log;
	enum err_code refuse; /* the port cannot be had */
	int sys;
	size_t changes;
	size_t ips;
};

static enum err_code rec_private(void *ctx, const struct secret_key *k, struct err *e)
{
	struct record *r = ctx;

	(void)e;
	buf_printf(&r->log, "private %02x%02x;", k->b[0], k->b[31]);
	return ERR_OK;
}

static enum err_code rec_port(void *ctx, uint16_t port, struct err *e)
{
	struct record *r = ctx;

	if (r->refuse) {
		err_set(e, r->refuse, "port %u", port);
		e->sys = r->sys;
		return r->refuse;
	}
	buf_printf(&r->log, "port %u;", port);
	return ERR_OK;
}

static enum err_code rec_mark(void *ctx, uint32_t mark, struct err *e)
{
	struct record *r = ctx;

	(void)e;
	buf_printf(&r->log, "mark %u;", mark);
	return ERR_OK;
}

static enum err_code rec_replace(void *ctx, struct err *e)
{
	struct record *r = ctx;

	(void)e;
	buf_z(&r->log, "replace;");
	return ERR_OK;
}

static void limits_log(struct buf *log, const struct wg_limits_change *l)
{
	const struct {
		unsigned field;
		const char *name;
		uint64_t value;
	} rows[] = {
		{ WG_SET_RATE_UP, "up", l->rate_bps[WG_UP] },
		{ WG_SET_RATE_DOWN, "down", l->rate_bps[WG_DOWN] },
		{ WG_SET_BURST, "burst", l->burst },
		{ WG_SET_QUOTA, "quota", l->quota },
		{ WG_SET_QUOTA_USED, "used", l->quota_used },
		{ WG_SET_EXPIRES, "until", (uint64_t)l->expires_wall_ns },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (l->set & rows[i].field)
			buf_printf(log, " %s %llu", rows[i].name,
				   (unsigned long long)rows[i].value);
}

static enum err_code rec_peer(void *ctx, const struct wg_peer_change *c, struct err *e)
{
	struct record *r = ctx;
	char text[ENDPOINT_TEXT_MAX];

	(void)e;
	r->changes++;
	r->ips += c->allowed_ip_count;
	if (c->allowed_ip_count > 8) {
		buf_printf(&r->log, "peer %02x%s +%zu;", c->public_key.b[0],
			   c->replace_allowed_ips ? " only" : "", c->allowed_ip_count);
		return ERR_OK;
	}
	buf_printf(&r->log, "peer %02x", c->public_key.b[0]);
	buf_z(&r->log, c->remove ? " remove" : "");
	buf_z(&r->log, c->update_only ? " update" : "");
	if (c->has_psk)
		buf_printf(&r->log, " psk %02x", c->psk.b[0]);
	endpoint_format(text, &c->endpoint);
	if (c->has_endpoint)
		buf_printf(&r->log, " at %s", text);
	if (c->has_keepalive)
		buf_printf(&r->log, " every %u", c->keepalive_s);
	buf_z(&r->log, c->replace_allowed_ips ? " only" : "");
	limits_log(&r->log, &c->limits);
	for (size_t i = 0; i < c->allowed_ip_count; i++) {
		ip_prefix_format(text, &c->allowed_ips[i].prefix);
		buf_printf(&r->log, " %c%s", c->allowed_ips[i].remove ? '-' : '+', text);
	}
	buf_char(&r->log, ';');
	return ERR_OK;
}

static struct wg_uapi_set *set_new(struct record *r)
{
	struct wg_uapi_target t = { r, rec_private, rec_port, rec_mark, rec_replace, rec_peer };
	struct wg_uapi_set *s = wg_uapi_set_new(&t);

	assert_non_null(s);
	return s;
}

static int run(struct record *r, const char *text, struct err *e)
{
	struct wg_uapi_set *s = set_new(r);
	struct str rest = str_of(text), line;
	int answer;

	while (str_cut(&rest, '\n', &line))
		wg_uapi_set_line(s, line);
	answer = wg_uapi_set_end(s, e);
	assert_int_equal(answer != 0, wg_uapi_set_failed(s));
	wg_uapi_set_free(s);
	return answer;
}

static const struct {
	const char *text;
	int answer;
	const char *asked;
	const char *why;
} sets[] = {
	{ "", 0, "", "an empty set changes nothing" },
	{ "private_key=" A32, 0, "private abab;", "a private key" },
	{ "private_key=" Z32, 0, "private 0000;", "zero removes the private key" },
	{ "listen_port=0", 0, "port 0;", "port 0 lets the kernel choose" },
	{ "listen_port=65535", 0, "port 65535;", "the last port" },
	{ "fwmark=0", 0, "mark 0;", "mark 0 takes it away" },
	{ "fwmark=4294967295", 0, "mark 4294967295;", "the greatest mark" },
	{ "replace_peers=true", 0, "replace;", "all peers go" },
	{ "public_key=" A32, 0, "peer ab;", "a bare peer" },
	{ "public_key=ABABababababababababababababababababababababababababababababABAB", 0,
	  "peer ab;", "hexadecimal of either case" },
	{ "public_key=" A32 "\nremove=true", 0, "peer ab remove;", "removal" },
	{ "public_key=" A32 "\nupdate_only=true\npreshared_key=" C32, 0, "peer ab update psk cd;",
	  "update only, with a preshared key" },
	{ "public_key=" A32 "\npreshared_key=" Z32, 0, "peer ab psk 00;", "zero ends a psk" },
	{ "public_key=" A32 "\nendpoint=192.0.2.1:51820", 0, "peer ab at 192.0.2.1:51820;",
	  "an IPv4 endpoint" },
	{ "public_key=" A32 "\nendpoint=[2001:db8::1]:1", 0, "peer ab at [2001:db8::1]:1;",
	  "an IPv6 endpoint" },
	{ "public_key=" A32 "\nendpoint=[fe80::1%1]:65535", 0, "peer ab at [fe80::1%1]:65535;",
	  "an endpoint with a scope" },
	{ "public_key=" A32 "\npersistent_keepalive_interval=0", 0, "peer ab every 0;",
	  "keepalive off" },
	{ "public_key=" A32 "\npersistent_keepalive_interval=65535", 0, "peer ab every 65535;",
	  "the longest keepalive" },
	{ "public_key=" A32 "\nprotocol_version=1", 0, "peer ab;", "the only version" },
	{ "public_key=" A32 "\nallowed_ip=10.0.0.5/8\nallowed_ip=-fd00::/64", 0,
	  "peer ab +10.0.0.0/8 -fd00::/64;", "adding (host bits cleared) and taking away" },
	{ "public_key=" A32 "\nallowed_ip=1.0.0.0/8\nreplace_allowed_ips=true\nallowed_ip=::/0", 0,
	  "peer ab only +::/0;", "replacing forgets what stood before" },
	{ "listen_port=1\npublic_key=" A32 "\nallowed_ip=0.0.0.0/0\npublic_key=" C32
	  "\npersistent_keepalive_interval=25",
	  0, "port 1;peer ab +0.0.0.0/0;peer cd every 25;", "device, then peers in order" },
	{ "public_key=" A32 "\npublic_key=" A32 "\nremove=true", 0, "peer ab;peer ab remove;",
	  "one peer twice is two changes" },

	{ "listen_port", -71, "", "a line without '=' breaks the protocol: EPROTO" },
	{ "listen_port\nfwmark=1", -71, "", "nothing after an error is carried out" },
	{ "fwmark=1\nlisten_port=x\nfwmark=2", -22, "mark 1;", "what stood before it stays" },
	{ "listen_port=65536", -22, "", "a port too great" },
	{ "listen_port=-1", -22, "", "a negative port" },
	{ "listen_port=", -22, "", "an empty port" },
	{ "listen_port= 1", -22, "", "a space" },
	{ "fwmark=0x10", -22, "", "marks are decimal here" },
	{ "fwmark=4294967296", -22, "", "a mark of 33 bits" },
	{ "private_key=zz", -22, "", "not hexadecimal" },
	{ "private_key=" A32 "ab", -22, "", "a key too long" },
	{ "replace_peers=false", -22, "", "flags can only be set" },
	{ "remove=true", -22, "", "a peer's key without a peer" },
	{ "public_key=" A32 "\nlisten_port=1", -22, "", "a device's key after a peer" },
	{ "public_key=12", -22, "", "a short public key" },
	{ "public_key=" A32 "\npublic_key=x", -22, "peer ab;", "the second peer is broken" },
	{ "public_key=" A32 "\npreshared_key=1", -22, "", "a short psk" },
	{ "public_key=" A32 "\nremove=x", -22, "", "remove takes only true" },
	{ "public_key=" A32 "\nupdate_only=1", -22, "", "update_only takes only true" },
	{ "public_key=" A32 "\nreplace_allowed_ips=", -22, "", "the same" },
	{ "public_key=" A32 "\nqanat_rate_up=1000\nqanat_rate_down=8000000\nqanat_burst=65536\n"
	  "qanat_quota=20000000000\nqanat_quota_used=7\nqanat_expires=1800000000",
	  0,
	  "peer ab up 1000 down 8000000 burst 65536 quota 20000000000 used 7 "
	  "until 1800000000000000000;",
	  "all limits" },
	{ "public_key=" A32 "\nqanat_quota=0\npublic_key=" C32, 0, "peer ab quota 0;peer cd;",
	  "none, and nothing for the next peer" },
	{ "qanat_quota=1", -22, "", "a limit of no peer" },
	{ "public_key=" A32 "\nqanat_quota=-1", -22, "", "a negative quota" },
	{ "public_key=" A32 "\nqanat_rate_up=10M", -22, "", "units are for people" },
	{ "public_key=" A32 "\nqanat_expires=9223372037", -22, "", "later than 2262" },
	{ "public_key=" A32 "\nqanat_speed=1", -22, "", "a limit that does not exist" },
	{ "public_key=" A32 "\nendpoint=foo", -22, "", "not an endpoint" },
	{ "public_key=" A32 "\nendpoint=192.0.2.1", -22, "", "an endpoint without a port" },
	{ "public_key=" A32 "\nendpoint=example.com:1", -22, "", "names are not resolved here" },
	{ "public_key=" A32 "\nprotocol_version=2", -22, "", "an unknown version" },
	{ "public_key=" A32 "\npersistent_keepalive_interval=65536", -22, "", "too long a time" },
	{ "public_key=" A32 "\npersistent_keepalive_interval=off", -22, "", "off is wg's word" },
	{ "public_key=" A32 "\nallowed_ip=1.2.3.4", -22, "", "a prefix length is demanded" },
	{ "public_key=" A32 "\nallowed_ip=1.2.3.4/33", -22, "", "longer than an address" },
	{ "public_key=" A32 "\nallowed_ip=--1.2.3.4/32", -22, "", "one minus, not two" },
	{ "public_key=" A32 "\nallowed_ip=-", -22, "", "a minus alone" },
	{ "set=1", -22, "", "set is not a key of set" },
	{ "LISTEN_PORT=1", -22, "", "keys are lower case" },
	{ "=", -22, "", "an empty key" },
};

static void test_sets(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		struct record r = { 0 };
		struct err e = { 0 };
		int answer = run(&r, sets[i].text, &e);
		struct str asked = buf_view(&r.log);

		if (answer != sets[i].answer || !str_eq(asked, str_of(sets[i].asked)))
			fail_msg("%s: answered %d, asked \"%.*s\"", sets[i].why, answer,
				 STR_ARG(asked));
		assert_int_equal(answer == 0, e.code == ERR_OK);
		buf_done(&r.log);
	}
}

/* What a target refuses reaches wg(8) as the errno it can print. */
static void test_target_errors(void **state)
{
	static const struct {
		enum err_code code;
		int sys;
		int answer;
	} rows[] = {
		{ ERR_IN_USE, 98, -98 }, { ERR_IN_USE, 0, -98 },  { ERR_DENIED, 13, -13 },
		{ ERR_DENIED, 0, -1 },	 { ERR_NOMEM, 0, -12 },	  { ERR_FULL, 0, -28 },
		{ ERR_IO, 0, -5 },	 { ERR_INVALID, 0, -22 }, { ERR_UNSUPPORTED, 0, -95 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct record r = { .refuse = rows[i].code, .sys = rows[i].sys };
		struct err e = { 0 };

		assert_int_equal(run(&r, "listen_port=7\nfwmark=3", &e), rows[i].answer);
		assert_int_equal(e.code, rows[i].code);
		assert_string_equal(e.msg, "port 7");
		assert_int_equal(r.log.n, 0);
		buf_done(&r.log);
	}
}

/* Messages go to logs: no value of a secret key may be in them. */
static void test_no_secret_in_messages(void **state)
{
	static const char *const texts[] = {
		("private_key=" A32 "ab"),
		("public_key=" A32 "\npreshared_key=" A32 "ab"),
		("private_key" A32),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct record r = { 0 };
		struct err e = { 0 };

		assert_int_not_equal(run(&r, texts[i], &e), 0);
		assert_null(strstr(e.msg, "abab"));
		buf_done(&r.log);
	}
}

/* A peer with more allowed IPs than one change holds is changed in parts; replacing happens once. */
static void test_parts(void **state)
{
	struct record r = { 0 };
	struct wg_uapi_set *s = set_new(&r);
	char line[64];

	(void)state;
	wg_uapi_set_line(s, STR("public_key=" A32));
	wg_uapi_set_line(s, STR("replace_allowed_ips=true"));
	for (unsigned i = 0; i < 2 * WG_UAPI_PART_MAX + 9; i++) {
		snprintf(line, sizeof line, "allowed_ip=10.%u.%u.1/32", i / 256, i % 256);
		wg_uapi_set_line(s, str_of(line));
	}
	assert_int_equal(wg_uapi_set_end(s, NULL), 0);
	wg_uapi_set_free(s);
	assert_int_equal(r.ips, 2 * WG_UAPI_PART_MAX + 9);
	assert_string_equal(r.log.p, "peer ab only +1024;peer ab +1024;peer ab +9;");
	buf_done(&r.log);
}

/* A set that is dropped half-way (the connection broke) leaves its last peer alone. */
static void test_dropped(void **state)
{
	struct record r = { 0 };
	struct wg_uapi_set *s = set_new(&r);

	(void)state;
	wg_uapi_set_line(s, STR("public_key=" A32));
	wg_uapi_set_line(s, STR("allowed_ip=::/0"));
	wg_uapi_set_free(s);
	wg_uapi_set_free(NULL);
	assert_int_equal(r.changes, 0);
	buf_done(&r.log);
}

static void test_long_line(void **state)
{
	char text[WG_UAPI_LINE_MAX + 2];
	struct record r = { 0 };

	(void)state;
	memset(text, 'x', sizeof text);
	text[1] = '=';
	text[sizeof text - 1] = 0;
	assert_int_equal(run(&r, text, NULL), -71);
	text[sizeof text - 2] = 0;
	assert_int_equal(run(&r, text, NULL), -22);
	buf_done(&r.log);
}

static void test_get(void **state)
{
	struct secret_key k;
	struct wg_peer_info p = { 0 };
	struct ip_prefix ips[2];
	struct buf b = { 0 };

	(void)state;
	memset(k.b, 0xcd, sizeof k.b);
	wg_uapi_put_device(&b, &k, 51820, 16);
	assert_string_equal(b.p, "private_key=" C32 "\nlisten_port=51820\nfwmark=16\n");
	buf_clear(&b);
	memset(k.b, 0, sizeof k.b);
	wg_uapi_put_device(&b, &k, 0, 0);
	wg_uapi_put_device(&b, NULL, 0, 0);
	assert_int_equal(b.n, 0);

	memset(p.public_key.b, 0xab, sizeof p.public_key.b);
	wg_uapi_put_peer(&b, &p);
	assert_string_equal(b.p, "public_key=" A32 "\npreshared_key=" Z32 "\nprotocol_version=1\n"
				 "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\n"
				 "tx_bytes=0\nrx_bytes=0\npersistent_keepalive_interval=0\n");
	buf_clear(&b);
	memset(p.psk.b, 0xcd, sizeof p.psk.b);
	assert_true(endpoint_parse(STR("[2001:db8::2]:7"), &p.endpoint));
	p.last_handshake_wall_ns = 1700000000000000123;
	p.rx_bytes = UINT64_MAX;
	p.tx_bytes = 5;
	p.keepalive_s = 25;
	assert_true(ip_prefix_parse(STR("10.0.0.0/8"), &ips[0]));
	assert_true(ip_prefix_parse(STR("fd00::/64"), &ips[1]));
	wg_uapi_put_peer(&b, &p);
	wg_uapi_put_allowed_ips(&b, ips, 2);
	assert_string_equal(b.p,
			    "public_key=" A32 "\npreshared_key=" C32 "\nprotocol_version=1\n"
			    "endpoint=[2001:db8::2]:7\n"
			    "last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=123\n"
			    "tx_bytes=5\nrx_bytes=18446744073709551615\n"
			    "persistent_keepalive_interval=25\n"
			    "allowed_ip=10.0.0.0/8\nallowed_ip=fd00::/64\n");
	buf_done(&b);
}

static void test_extensions(void **state)
{
	uint64_t verdicts[WG_VERDICTS] = { [WG_OK] = 9, [DROP_REPLAY] = 3, [DROP_QUOTA] = 12 };
	const struct wg_peer_info none = { 0 },
				  all = { .rx_packets = 7,
					  .tx_packets = 8,
					  .quota_out_wall_ns = 1700000000 * NS_PER_S,
					  .limits = { .rate_bps = { 1000, 8000000 },
						      .burst = 65536,
						      .quota = 500,
						      .quota_used = 499,
						      .quota_out_at = 5,
						      .expires_wall_ns =
							      1800000000 * NS_PER_S + 1 } };
	struct buf b = { 0 };

	(void)state;
	wg_uapi_put_extensions(&b, &all, verdicts);
	assert_string_equal(b.p, "qanat_rx_packets=7\nqanat_tx_packets=8\n"
				 "qanat_rate_up=1000\nqanat_rate_down=8000000\n"
				 "qanat_burst=65536\nqanat_quota=500\nqanat_quota_used=499\n"
				 "qanat_quota_out_at=5\n"
				 "qanat_quota_out_wall=1700000000000000000\n"
				 "qanat_expires=1800000000\nqanat_expires_nsec=1\n"
				 "qanat_drop_replay=3\nqanat_drop_quota_used_up=12\n");
	buf_clear(&b);
	memset(verdicts, 0, sizeof verdicts);
	wg_uapi_put_extensions(&b, &none, verdicts);
	assert_int_equal(b.n, 0);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_target_errors),
		cmocka_unit_test(test_no_secret_in_messages),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_extensions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
