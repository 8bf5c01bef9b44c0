/* wireguard_test - messages of the kernel's WireGuard family as bytes; needs no kernel that has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <linux/netlink.h>
#include <linux/wireguard.h>
#include <cmocka.h>

#include "nl/wireguard_codec.h"

#define FAMILY 0x1c
#define ROOM 2048

/* Everything that a change of several messages comes to, as the kernel would read it. */
struct seen {
	struct nl_wg_device device;
	size_t messages, peers, ips, ended;
	struct nl_wg_peer peer[64];
	struct ip_prefix ip[4096];
	size_t starts; /* peers that a message names, continued ones too */
	bool stop_at_ip;
};

static bool see_peer(void *ctx, const struct nl_wg_peer *p)
{
	struct seen *s = ctx;

	assert_true(s->peers < ARRAY_LEN(s->peer));
	s->peer[s->peers] = *p;
	s->peer[s->peers++].first_ip = s->ips;
	s->starts++;
	return true;
}

static bool see_ip(void *ctx, const struct ip_prefix *ip)
{
	struct seen *s = ctx;

	if (s->stop_at_ip)
		return false;
	assert_true(s->ips < ARRAY_LEN(s->ip) && s->peers);
	s->ip[s->ips++] = *ip;
	s->peer[s->peers - 1].ip_count++;
	return true;
}

static bool see_continued(void *ctx, const uint8_t key[NL_WG_KEY])
{
	struct seen *s = ctx;

	if (!s->peers || memcmp(s->peer[s->peers - 1].public_key, key, NL_WG_KEY) != 0)
		return false;
	s->starts++;
	return true;
}

static bool see(struct seen *s, const uint8_t *message, size_t n)
{
	const struct nl_wg_sink sink = { s, see_peer, see_ip, see_continued };
	struct rd r = rd_over(message, n);
	struct nl_message m;

	assert_true(nl_message_next(&r, &m));
	assert_true(rd_done(&r));
	assert_int_equal(m.type, FAMILY);
	s->messages++;
	return nl_wg_parse(&m, &s->device, &sink);
}

static void send_to(void *ctx, uint8_t *message, size_t n)
{
	assert_true(n <= ROOM);
	assert_true(see(ctx, message, n));
}

static struct nl_wg_writer writer(struct seen *s)
{
	return (struct nl_wg_writer){ .family = FAMILY, .ifindex = 7, .send = send_to, .ctx = s };
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;

	assert_true(ip_prefix_parse(str_of(text), &p));
	return p;
}

static void key_of(uint8_t out[NL_WG_KEY], unsigned i)
{
	memset(out, 0x11, NL_WG_KEY);
	store_be32(out, i);
}

/* ---- writing ---- */

struct kept {
	uint8_t p[ROOM];
	size_t n;
};

static void keep(void *ctx, uint8_t *message, size_t n)
{
	struct kept *k = ctx;

	assert_int_equal(k->n, 0);
	memcpy(k->p, message, n);
	k->n = n;
}

/* By hand, after the family's description. */
static const uint8_t golden_bytes[] = {
	/* clang-format off */
	/* netlink: length, type, NLM_F_REQUEST, sequence, port */
	212, 0, 0, 0, FAMILY, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	1, 1, 0, 0, /* SET_DEVICE, version */
	8, 0, 1, 0, 7, 0, 0, 0, /* IFINDEX */
	6, 0, 6, 0, 0x6c, 0xca, 0, 0, /* LISTEN_PORT 51820, padded */
	8, 0, 7, 0, 0x78, 0x56, 0x34, 0x12, /* FWMARK */
	8, 0, 5, 0, 1, 0, 0, 0, /* FLAGS: replace peers */
	160, 0, 8, 0x80, /* PEERS */
	156, 0, 0, 0x80, /* one */
	36, 0, 1, 0, 0, 0, 0, 3,
	0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
	0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, /* PUBLIC_KEY */
	8, 0, 3, 0, 6, 0, 0, 0, /* FLAGS: replace allowed IPs, update only */
	20, 0, 4, 0, 2, 0, 1, 2, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, /* ENDPOINT */
	6, 0, 5, 0, 25, 0, 0, 0, /* PERSISTENT_KEEPALIVE_INTERVAL */
	80, 0, 9, 0x80, /* ALLOWEDIPS */
	28, 0, 0, 0x80, 6, 0, 1, 0, 2, 0, 0, 0, 8, 0, 2, 0, 10, 0, 0, 2, 5, 0, 3, 0, 32, 0, 0, 0,
	48, 0, 0, 0x80, 6, 0, 1, 0, 10, 0, 0, 0,
	20, 0, 2, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	5, 0, 3, 0, 8, 0, 0, 0, 8, 0, 4, 0, 1, 0, 0, 0, /* fd00::/8, to be removed */
	/* clang-format on */
};

static void golden(void **state UNUSED)
{
	const uint16_t port = 51820, keepalive = 25;
	const uint32_t mark = 0x12345678;
	const struct nl_wg_device_set d = { .listen_port = &port,
					    .fwmark = &mark,
					    .replace_peers = true };
	struct ip_prefix a = prefix("10.0.0.2/32"), b = prefix("fd00::/8");
	struct kept k = { .n = 0 };
	struct nl_wg_writer w = { .family = FAMILY, .ifindex = 7, .send = keep, .ctx = &k };
	uint8_t room[ROOM], key[NL_WG_KEY];
	struct endpoint at;

	key_of(key, 3);
	assert_true(endpoint_parse(STR("192.0.2.1:258"), &at));
	nl_wg_write_begin(&w, room, sizeof room, &d);
	nl_wg_write_peer(&w, &(struct nl_wg_peer_set){ .public_key = key,
						       .endpoint = &at,
						       .keepalive_s = &keepalive,
						       .update_only = true,
						       .replace_allowed_ips = true });
	nl_wg_write_allowed_ip(&w, &a, false);
	nl_wg_write_allowed_ip(&w, &b, true);
	nl_wg_write_end(&w);
	assert_int_equal(k.n, sizeof golden_bytes);
	assert_memory_equal(k.p, golden_bytes, sizeof golden_bytes);
}

static void splits(void **state UNUSED)
{
	const struct nl_wg_device_set d = { .replace_peers = true };
	static struct seen s;
	struct nl_wg_writer w = writer(&s);
	uint8_t room[ROOM], key[NL_WG_KEY];
	struct ip_prefix ip = prefix("10.0.0.0/32");

	s = (struct seen){ 0 };
	nl_wg_write_begin(&w, room, sizeof room, &d);
	for (unsigned p = 0; p < 40; p++) {
		key_of(key, p);
		nl_wg_write_peer(&w, &(struct nl_wg_peer_set){ .public_key = key,
							       .psk = key,
							       .replace_allowed_ips = true });
		for (unsigned i = 0; i < p * 5; i++) {
			store_be32(ip.addr.b, 0x0a000000u + p * 1000 + i);
			nl_wg_write_allowed_ip(&w, &ip, false);
		}
	}
	nl_wg_write_end(&w);
	assert_true(s.messages > 40);
	assert_int_equal(s.device.ifindex, 7); /* in each message, or the kernel refuses it */
	assert_int_equal(s.peers, 40);
	assert_true(s.starts > 60); /* several went on in another message */
	for (unsigned p = 0; p < 40; p++) {
		key_of(key, p);
		assert_memory_equal(s.peer[p].public_key, key, sizeof key);
		assert_memory_equal(s.peer[p].psk, key, sizeof key);
		assert_int_equal(s.peer[p].ip_count, p * 5);
		for (unsigned i = 0; i < p * 5; i++)
			assert_int_equal(load_be32(s.ip[s.peer[p].first_ip + i].addr.b),
					 0x0a000000u + p * 1000 + i);
	}
}

/* What each message says, by the flags of device and first peer. */
struct flags {
	size_t messages;
	uint32_t device[16], peer[16];
	bool psk[16];
};

static uint32_t flag_of(struct rd row, uint16_t wanted)
{
	struct rd value;
	uint16_t type;
	uint32_t v = 0;

	while (nl_attr_next(&row, &type, &value))
		if (type == wanted)
			nl_attr_u32(value, &v);
	return v;
}

static void keep_flags(void *ctx, uint8_t *message, size_t n)
{
	struct flags *f = ctx;
	struct rd r = rd_over(message, n), value, peer;
	uint16_t type;

	rd_bytes(&r, NLMSG_HDRLEN + 4);
	assert_true(f->messages < ARRAY_LEN(f->peer));
	f->device[f->messages] = flag_of(r, WGDEVICE_A_FLAGS);
	while (nl_attr_next(&r, &type, &value)) {
		if (type != WGDEVICE_A_PEERS || !nl_attr_next(&value, &type, &peer))
			continue;
		f->peer[f->messages] = flag_of(peer, WGPEER_A_FLAGS);
		while (nl_attr_next(&peer, &type, &value))
			f->psk[f->messages] |= type == WGPEER_A_PRESHARED_KEY;
	}
	f->messages++;
}

static void flags_once(void **state UNUSED)
{
	const struct nl_wg_device_set d = { .replace_peers = true };
	struct flags f = { 0 };
	struct nl_wg_writer w = { .family = FAMILY, .ifindex = 7, .send = keep_flags, .ctx = &f };
	struct ip_prefix ip = prefix("10.0.0.0/32");
	uint8_t room[1024], key[NL_WG_KEY];

	key_of(key, 1);
	nl_wg_write_begin(&w, room, sizeof room, &d);
	nl_wg_write_peer(&w, &(struct nl_wg_peer_set){ .public_key = key,
						       .psk = key,
						       .update_only = true,
						       .replace_allowed_ips = true });
	for (unsigned i = 0; i < 100; i++)
		nl_wg_write_allowed_ip(&w, &ip, false);
	nl_wg_write_end(&w);
	assert_true(f.messages > 2);
	assert_int_equal(f.device[0], WGDEVICE_F_REPLACE_PEERS);
	assert_int_equal(f.peer[0], WGPEER_F_UPDATE_ONLY | WGPEER_F_REPLACE_ALLOWEDIPS);
	assert_true(f.psk[0]);
	for (size_t i = 1; i < f.messages; i++) {
		assert_int_equal(f.device[i], 0); /* or it would remove what came before */
		assert_int_equal(f.peer[i], WGPEER_F_UPDATE_ONLY); /* or it would make the peer */
		assert_false(f.psk[i]);
	}
}

/* ---- reading ---- */

/* One message of a dump, attribute by attribute. */
struct maker {
	uint8_t p[1024];
	struct wr w;
};

static void begin(struct maker *m)
{
	static const uint8_t genl[] = { WG_CMD_GET_DEVICE, 1, 0, 0 };
	const uint16_t head[] = { FAMILY, NLM_F_MULTI };

	m->w = wr_over(m->p, sizeof m->p);
	wr_le32(&m->w, 0);
	wr_bytes(&m->w, head, sizeof head);
	wr_zero(&m->w, 8);
	wr_bytes(&m->w, genl, sizeof genl);
}

static void attr(struct maker *m, uint16_t type, const void *p, size_t n)
{
	const uint16_t head[] = { (uint16_t)(4 + n), type };

	wr_bytes(&m->w, head, sizeof head);
	wr_bytes(&m->w, p, n);
	wr_zero(&m->w, (4 - n % 4) % 4);
}

static size_t open_nest(struct maker *m, uint16_t type)
{
	size_t at = m->w.n;

	attr(m, type | NLA_F_NESTED, NULL, 0);
	return at;
}

static void close_nest(struct maker *m, size_t at)
{
	uint16_t n = (uint16_t)(m->w.n - at);

	memcpy(m->p + at, &n, sizeof n);
}

static bool finish(struct maker *m, struct seen *s)
{
	assert_false(m->w.full);
	store_le32(m->p, (uint32_t)m->w.n);
	return see(s, m->p, m->w.n);
}

static void reads_all(void **state UNUSED)
{
	static struct seen s;
	const int64_t at[] = { 1700000000, 999999999 };
	const uint64_t rx = 1ull << 40, tx = 5;
	const uint16_t keepalive = 25, port = 51820;
	const uint32_t mark = 9, index = 4;
	struct sockaddr_storage sa;
	struct endpoint to;
	struct maker m;
	uint8_t key[NL_WG_KEY];
	size_t peers, peer;
	socklen_t n;

	s = (struct seen){ 0 };
	key_of(key, 5);
	assert_true(endpoint_parse(STR("[fe80::1%3]:99"), &to));
	n = endpoint_to_sockaddr(&to, &sa);
	begin(&m);
	attr(&m, WGDEVICE_A_IFINDEX, &index, 4);
	attr(&m, WGDEVICE_A_IFNAME, "wg0", 4);
	attr(&m, WGDEVICE_A_PRIVATE_KEY, key, 32);
	attr(&m, WGDEVICE_A_PUBLIC_KEY, key, 32);
	attr(&m, WGDEVICE_A_LISTEN_PORT, &port, 2);
	attr(&m, WGDEVICE_A_FWMARK, &mark, 4);
	attr(&m, 77, "?", 1); /* of a newer kernel */
	peers = open_nest(&m, WGDEVICE_A_PEERS);
	peer = open_nest(&m, 0);
	attr(&m, WGPEER_A_PUBLIC_KEY, key, 32);
	attr(&m, WGPEER_A_PRESHARED_KEY, key, 32);
	attr(&m, WGPEER_A_LAST_HANDSHAKE_TIME, at, 16);
	attr(&m, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, &keepalive, 2);
	attr(&m, WGPEER_A_TX_BYTES, &tx, 8);
	attr(&m, WGPEER_A_RX_BYTES, &rx, 8);
	attr(&m, WGPEER_A_ENDPOINT, &sa, n);
	close_nest(&m, peer);
	close_nest(&m, peers);
	assert_true(finish(&m, &s));
	assert_string_equal(s.device.name, "wg0");
	assert_int_equal(s.device.ifindex, 4);
	assert_int_equal(s.device.listen_port, 51820);
	assert_int_equal(s.device.fwmark, 9);
	assert_memory_equal(s.device.private_key, key, 32);
	assert_memory_equal(s.device.public_key, key, 32);
	assert_int_equal(s.peers, 1);
	assert_memory_equal(s.peer[0].psk, key, 32);
	assert_true(endpoint_eq(&s.peer[0].endpoint, &to));
	assert_int_equal(s.peer[0].keepalive_s, 25);
	assert_int_equal(s.peer[0].handshake_s, at[0]);
	assert_int_equal(s.peer[0].handshake_ns, at[1]);
	assert_true(s.peer[0].rx_bytes == rx && s.peer[0].tx_bytes == tx);
}

/* A message with one peer of key `k` and one allowed IP with the parts given. */
static bool one_ip(struct seen *s, const uint8_t *k, size_t key_len, uint16_t family,
		   const void *address, size_t n, uint8_t len)
{
	struct maker m;
	size_t peers, peer, ips, ip;

	begin(&m);
	peers = open_nest(&m, WGDEVICE_A_PEERS);
	peer = open_nest(&m, 0);
	if (key_len)
		attr(&m, WGPEER_A_PUBLIC_KEY, k, key_len);
	ips = open_nest(&m, WGPEER_A_ALLOWEDIPS);
	ip = open_nest(&m, 0);
	attr(&m, WGALLOWEDIP_A_CIDR_MASK, &len, 1);
	attr(&m, WGALLOWEDIP_A_FAMILY, &family, 2);
	attr(&m, WGALLOWEDIP_A_IPADDR, address, n);
	close_nest(&m, ip);
	close_nest(&m, ips);
	close_nest(&m, peer);
	close_nest(&m, peers);
	return finish(&m, s);
}

static void refuses(void **state UNUSED)
{
	static const struct {
		size_t key_len;
		uint16_t family;
		size_t n;
		uint8_t len;
		bool want;
		const char *why;
	} rows[] = {
		{ 32, AF_INET, 4, 32, true, "as it should be" },
		{ 32, AF_INET6, 16, 128, true, "IPv6" },
		{ 32, AF_INET, 4, 0, true, "all of IPv4" },
		{ 0, AF_INET, 4, 32, false, "a peer without key" },
		{ 31, AF_INET, 4, 32, false, "a key cut short" },
		{ 33, AF_INET, 4, 32, false, "a key too long" },
		{ 32, AF_INET, 4, 33, false, "longer than an address" },
		{ 32, AF_INET6, 16, 129, false, "longer than an IPv6 address" },
		{ 32, AF_INET, 16, 32, false, "an address of the other family" },
		{ 32, AF_INET6, 4, 32, false, "and the other way around" },
		{ 32, AF_UNIX, 4, 32, false, "no IP at all" },
		{ 32, AF_INET, 0, 32, false, "no address" },
	};
	static struct seen s;
	uint8_t key[40], address[16] = { 10 };

	key_of(key, 1);
	memset(key + 32, 0, 8);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		s = (struct seen){ 0 };
		if (one_ip(&s, key, rows[i].key_len, rows[i].family, address, rows[i].n,
			   rows[i].len) != rows[i].want)
			fail_msg("%s", rows[i].why);
		assert_int_equal(s.ips, rows[i].want);
	}
	s = (struct seen){ .stop_at_ip = true };
	assert_false(one_ip(&s, key, 32, AF_INET, address, 4, 32)); /* the sink has no room */
}

static void coalesces(void **state UNUSED)
{
	static struct seen s;
	uint8_t a[NL_WG_KEY], b[NL_WG_KEY], address[4] = { 10 };

	s = (struct seen){ 0 };
	key_of(a, 1);
	key_of(b, 2);
	assert_true(one_ip(&s, a, 32, AF_INET, address, 4, 8));
	assert_true(one_ip(&s, a, 32, AF_INET, address, 4, 16)); /* the same one goes on */
	assert_true(one_ip(&s, b, 32, AF_INET, address, 4, 24));
	assert_true(one_ip(&s, a, 32, AF_INET, address, 4, 32)); /* not next to itself: another */
	assert_int_equal(s.peers, 3);
	assert_int_equal(s.peer[0].ip_count, 2);
	assert_int_equal(s.peer[1].ip_count, 1);
	assert_int_equal(s.peer[2].ip_count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden),     cmocka_unit_test(splits),
		cmocka_unit_test(flags_once), cmocka_unit_test(reads_all),
		cmocka_unit_test(refuses),    cmocka_unit_test(coalesces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
