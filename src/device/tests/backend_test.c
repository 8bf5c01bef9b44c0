/* backend_test - one table of tests for every kind of device.
 *
 * Without arguments, in a network namespace of its own (needs root; says so where it is not given): the
 * engine in this process, and the same by the UAPI socket of its own server.  With an argument, one
 * device that is there already: "kernel:NAME" (made when it is missing, deleted at the end) or
 * "uapi:/PATH".  tests/interop runs it so against qanat-wg, wireguard-go and the kernel's WireGuard. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "device/device.h"
#include "device/uapi_server.h"
#include "io/loop.h"

#define MANY 1500 /* peers; several pieces of each kind of request */
#define IPS 3000 /* of one peer: more than fit one netlink message */

static struct device *device;

static void ok(enum err_code rc, const struct err *e)
{
	if (rc)
		fail_msg("%s: %s", err_name(rc), e->msg);
}

static struct public_key key_of(unsigned i)
{
	struct public_key k;

	memset(k.b, 0x42, sizeof k.b);
	store_be32(k.b, i);
	return k;
}

static struct wg_allowed_ip ip_of(const char *text)
{
	struct wg_allowed_ip ip = { .remove = *text == '-' };

	assert_true(ip_prefix_parse(str_of(text + ip.remove), &ip.prefix));
	return ip;
}

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint to;

	assert_true(endpoint_parse(str_of(text), &to));
	return to;
}

static void change(const struct wg_peer_change *c, size_t n)
{
	struct err e = { 0 };

	ok(device_change_peers(device, c, n, &e), &e);
}

/* One peer, whose allowed IPs become all that `ips` (separated by spaces) names. */
static void change_ips(unsigned key, bool replace, const char *ips)
{
	struct wg_allowed_ip list[16];
	struct wg_peer_change c = { .public_key = key_of(key),
				    .replace_allowed_ips = replace,
				    .allowed_ips = list };
	struct str rest = str_of(ips), piece;
	char text[PREFIX_TEXT_MAX + 1];

	while (str_cut(&rest, ' ', &piece)) {
		assert_true(str_copy(text, sizeof text, piece));
		list[c.allowed_ip_count++] = ip_of(text);
	}
	change(&c, 1);
}

/* ---- what is there ---- */

struct seen {
	struct wg_peer_info info;
	struct ip_prefix ips[IPS + 8];
	bool found;
	struct public_key key;
	size_t peers, all_ips;
};

static bool see(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	struct seen *s = ctx;

	s->peers++;
	s->all_ips += p->allowed_ip_count;
	if (memcmp(&s->key, &p->public_key, sizeof s->key) == 0) {
		assert_false(s->found);
		s->found = true;
		s->info = *p;
		assert_true(p->allowed_ip_count <= ARRAY_LEN(s->ips));
		if (p->allowed_ip_count)
			memcpy(s->ips, ips, p->allowed_ip_count * sizeof *ips);
	}
	return true;
}

static const struct seen *look(unsigned key)
{
	static struct seen s;
	struct err e = { 0 };

	memset(&s, 0, sizeof s);
	s.key = key_of(key);
	ok(device_walk(device, see, &s, &e), &e);
	return &s;
}

static int text_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The allowed IPs of a peer as text, in the order of their text. */
static void assert_ips(unsigned key, const char *want)
{
	const struct seen *s = look(key);
	static char texts[16][PREFIX_TEXT_MAX];
	char all[16 * PREFIX_TEXT_MAX] = "";
	size_t n = s->info.allowed_ip_count, at = 0;

	assert_true(s->found);
	assert_true(n <= ARRAY_LEN(texts));
	for (size_t i = 0; i < n; i++)
		ip_prefix_format(texts[i], &s->ips[i]);
	qsort(texts, n, sizeof texts[0], text_compare);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? " " : "", texts[i]);
	assert_string_equal(all, want);
}

static size_t peer_count(void)
{
	struct dataplane_status s;
	struct err e = { 0 };

	ok(device_status(device, &s, &e), &e);
	return s.peer_count;
}

/* ---- the table ---- */

static void own_settings(void **state UNUSED)
{
	struct device_change c = { .has_private_key = true,
				   .has_listen_port = true,
				   .has_fwmark = true };
	struct device_settings now = { 0 };
	struct dataplane_status s;
	struct public_key want;
	struct err e = { 0 };

	secret_key_generate(&c.to.private_key);
	c.to.listen_port = 41327;
	c.to.fwmark = 0x1234;
	ok(device_set(device, &c, &e), &e);
	ok(device_settings(device, &now, &e), &e);
	assert_memory_equal(&now.private_key, &c.to.private_key, KEY_LEN);
	assert_int_equal(now.listen_port, 41327);
	assert_int_equal(now.fwmark, 0x1234);
	ok(device_status(device, &s, &e), &e);
	public_key_of(&want, &c.to.private_key);
	assert_true(s.has_private_key);
	assert_memory_equal(&s.public_key, &want, KEY_LEN);
	assert_int_equal(s.listen_port, 41327);
	assert_int_equal(s.fwmark, 0x1234);
	assert_string_equal(s.ifname, device_ifname(device));

	/* Only what is marked. */
	c = (struct device_change){ .has_fwmark = true };
	ok(device_set(device, &c, &e), &e);
	ok(device_settings(device, &now, &e), &e);
	assert_int_equal(now.fwmark, 0);
	assert_int_equal(now.listen_port, 41327);
	assert_false(ct_is_zero(now.private_key.b, KEY_LEN));
	wipe(&now, sizeof now);
}

static void one_peer(void **state UNUSED)
{
	const struct wg_allowed_ip ips[] = { ip_of("10.1.0.2/32"), ip_of("fd01::/64") };
	struct wg_peer_change c = { .public_key = key_of(1),
				    .has_psk = true,
				    .has_endpoint = true,
				    .endpoint = endpoint_of("192.0.2.9:51820"),
				    .has_keepalive = true,
				    .keepalive_s = 17,
				    .allowed_ips = ips,
				    .allowed_ip_count = ARRAY_LEN(ips) };
	struct wg_peer_info now;
	uint64_t drops[WG_VERDICTS];
	struct public_key unknown = key_of(99);
	struct err e = { 0 };

	psk_generate(&c.psk);
	change(&c, 1);
	assert_int_equal(peer_count(), 1);
	ok(device_peer(device, &c.public_key, &now, drops, &e), &e);
	assert_memory_equal(&now.public_key, &c.public_key, KEY_LEN);
	assert_memory_equal(&now.psk, &c.psk, KEY_LEN);
	assert_true(endpoint_eq(&now.endpoint, &c.endpoint));
	assert_int_equal(now.keepalive_s, 17);
	assert_int_equal(now.last_handshake_wall_ns, 0);
	assert_int_equal(now.allowed_ip_count, 2);
	assert_ips(1, "10.1.0.2/32 fd01::/64");
	assert_int_equal(device_peer(device, &unknown, &now, NULL, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "peer AAAAY0JC"));

	/* Only what is marked: all else stays. */
	c = (struct wg_peer_change){ .public_key = key_of(1),
				     .has_endpoint = true,
				     .endpoint = endpoint_of("[2001:db8::1]:9") };
	change(&c, 1);
	ok(device_peer(device, &c.public_key, &now, NULL, &e), &e);
	assert_true(endpoint_eq(&now.endpoint, &c.endpoint));
	assert_int_equal(now.keepalive_s, 17);
	assert_false(ct_is_zero(now.psk.b, KEY_LEN));
	c = (struct wg_peer_change){ .public_key = key_of(1),
				     .has_psk = true,
				     .has_keepalive = true };
	change(&c, 1); /* zero: none, off */
	ok(device_peer(device, &c.public_key, &now, NULL, &e), &e);
	assert_int_equal(now.keepalive_s, 0);
	assert_true(ct_is_zero(now.psk.b, KEY_LEN));
	assert_ips(1, "10.1.0.2/32 fd01::/64");
}

static void unknown_peers(void **state UNUSED)
{
	const struct wg_allowed_ip ip = ip_of("10.1.0.9/32");
	const struct wg_peer_change c[] = {
		{ .public_key = key_of(5),
		  .update_only = true,
		  .allowed_ips = &ip,
		  .allowed_ip_count = 1 },
		{ .public_key = key_of(6), .remove = true },
		{ .public_key = key_of(7) },
	};

	change(c, ARRAY_LEN(c));
	assert_false(look(5)->found);
	assert_false(look(6)->found);
	assert_true(look(7)->found);
	change(&(struct wg_peer_change){ .public_key = key_of(7), .remove = true }, 1);
	assert_false(look(7)->found);
}

static void own_key_is_no_peer(void **state UNUSED)
{
	struct device_change own = { .has_private_key = true };
	struct wg_peer_change c = { 0 };
	struct err e = { 0 };
	size_t before = peer_count();

	secret_key_generate(&own.to.private_key);
	public_key_of(&c.public_key, &own.to.private_key);
	ok(device_set(device, &own, &e), &e);
	change(&c, 1);
	assert_int_equal(peer_count(), before);
}

static void allowed_ips_move(void **state UNUSED)
{
	change_ips(1, true, "10.1.0.0/24 10.2.0.0/24 10.3.0.0/24 fd01::/64");
	change_ips(2, true, "10.2.0.0/24 10.4.0.0/24"); /* takes one over */
	assert_ips(1, "10.1.0.0/24 10.3.0.0/24 fd01::/64");
	assert_ips(2, "10.2.0.0/24 10.4.0.0/24");
	change_ips(1, false, "10.5.0.0/24"); /* beside what is there */
	assert_ips(1, "10.1.0.0/24 10.3.0.0/24 10.5.0.0/24 fd01::/64");
	change_ips(1, false, "-10.3.0.0/24 -fd01::/64 10.6.0.0/24");
	assert_ips(1, "10.1.0.0/24 10.5.0.0/24 10.6.0.0/24");
	change_ips(1, false, "-10.2.0.0/24"); /* another's: stays where it is */
	change_ips(1, false, "-10.9.0.0/24"); /* nobody's */
	assert_ips(1, "10.1.0.0/24 10.5.0.0/24 10.6.0.0/24");
	assert_ips(2, "10.2.0.0/24 10.4.0.0/24");
	change_ips(1, true, "");
	assert_ips(1, "");
	assert_int_equal(look(1)->peers, 2); /* whoever took them away is gone */
}

static void host_bits_are_cleared(void **state UNUSED)
{
	change_ips(1, true, "10.1.2.3/24 fd01::5/48");
	assert_ips(1, "10.1.2.0/24 fd01::/48");
	change_ips(1, true, "0.0.0.0/0 ::/0");
	assert_ips(1, "0.0.0.0/0 ::/0");
}

/* In order: an earlier change is seen by a later one. */
static void order(void **state UNUSED)
{
	const struct wg_allowed_ip ip = ip_of("10.7.0.0/16"), gone = ip_of("-10.7.0.0/16");
	const struct wg_peer_change c[] = {
		{ .public_key = key_of(1), .allowed_ips = &ip, .allowed_ip_count = 1 },
		{ .public_key = key_of(2), .allowed_ips = &ip, .allowed_ip_count = 1 },
		{ .public_key = key_of(1), .allowed_ips = &gone, .allowed_ip_count = 1 },
		{ .public_key = key_of(3), .allowed_ips = &ip, .allowed_ip_count = 1 },
		{ .public_key = key_of(3), .allowed_ips = &gone, .allowed_ip_count = 1 },
		{ .public_key = key_of(2), .remove = true },
		{ .public_key = key_of(2) },
	};

	change(c, ARRAY_LEN(c));
	assert_int_equal(peer_count(), 3);
	assert_ips(1, "");
	assert_ips(2, "");
	assert_ips(3, "");
}

static void many(void **state UNUSED)
{
	struct wg_peer_change *c = calloc(MANY, sizeof *c);
	struct wg_allowed_ip *ips = calloc(MANY * 2 + IPS, sizeof *ips);
	const struct seen *s;

	for (unsigned i = 0; i < MANY; i++) {
		struct wg_allowed_ip *own = &ips[i * 2];

		own[0] = ip_of("10.0.0.0/32");
		store_be32(own[0].prefix.addr.b, 0x0a000000 + i);
		own[1] = ip_of("fd00::/128");
		store_be32(own[1].prefix.addr.b + 12, i);
		c[i] = (struct wg_peer_change){ .public_key = key_of(1000 + i),
						.has_psk = true,
						.replace_allowed_ips = true,
						.allowed_ips = own,
						.allowed_ip_count = 2 };
		memset(c[i].psk.b, 7, KEY_LEN);
	}
	c[MANY / 2].allowed_ips = &ips[(size_t)MANY * 2];
	c[MANY / 2].allowed_ip_count = IPS;
	for (unsigned i = 0; i < IPS; i++) {
		ips[MANY * 2 + i] = ip_of("172.16.0.0/32");
		store_be32(ips[MANY * 2 + i].prefix.addr.b, 0xac100000 + i);
	}
	change(c, MANY);
	s = look(1000 + MANY / 2);
	assert_int_equal(s->peers, MANY);
	assert_int_equal(s->all_ips, (MANY - 1) * 2 + IPS);
	assert_int_equal(s->info.allowed_ip_count, IPS);
	s = look(1000 + MANY - 1);
	assert_true(s->found);
	assert_int_equal(s->info.allowed_ip_count, 2);
	assert_int_equal(s->info.psk.b[5], 7);
	for (unsigned i = 0; i < MANY; i++)
		c[i] = (struct wg_peer_change){ .public_key = key_of(1000 + i), .remove = true };
	change(c, MANY - 1);
	assert_int_equal(peer_count(), 1);
	free(ips);
	free(c);
}

static void refused_whole(void **state UNUSED)
{
	struct wg_allowed_ip bad = { .prefix = { .addr.family = IP_V4, .len = 33 } };
	const struct wg_peer_change prefix[] = {
		{ .public_key = key_of(1) },
		{ .public_key = key_of(2), .allowed_ips = &bad, .allowed_ip_count = 1 },
	};
	const struct wg_peer_change endpoint[] = {
		{ .public_key = key_of(1) },
		{ .public_key = key_of(2), .has_endpoint = true },
	};
	struct err e = { 0 };

	assert_int_equal(device_change_peers(device, prefix, 2, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "peer AAAAAkJC")); /* the second one */
	assert_int_equal(device_change_peers(device, endpoint, 2, &e), ERR_INVALID);
	assert_int_equal(peer_count(), 0); /* and the first was not made */
}

/* Those who cannot say so, by name; those who can keep them through a sync that does not mention them. */
static void limits(void **state UNUSED)
{
	struct wg_peer_change c = { .public_key = key_of(1),
				    .limits = { .set = WG_SET_QUOTA | WG_SET_RATE_UP,
						.rate_bps[WG_UP] = 1000000,
						.quota = 1 << 20 } };
	struct wg_peer_info now;
	struct err e = { 0 };

	if (!(device_can(device) & DEVICE_CAN_LIMITS)) {
		assert_int_equal(device_change_peers(device, &c, 1, &e), ERR_UNSUPPORTED);
		assert_non_null(strstr(e.msg, "limits need the engine"));
		assert_int_equal(peer_count(), 0);
		c.limits = (struct wg_limits_change){ .set = WG_SET_QUOTA }; /* none */
		change(&c, 1);
		return;
	}
	change(&c, 1);
	ok(device_sync(device, NULL, &(struct wg_peer_change){ .public_key = key_of(1) }, 1, NULL,
		       &e),
	   &e);
	ok(device_peer(device, &c.public_key, &now, NULL, &e), &e);
	assert_int_equal(now.limits.quota, 1 << 20);
	assert_int_equal(now.limits.rate_bps[WG_UP], 1000000);
	c.limits.quota = 0;
	ok(device_sync(device, NULL, &c, 1, NULL, &e), &e);
	ok(device_peer(device, &c.public_key, &now, NULL, &e), &e);
	assert_int_equal(now.limits.quota, 0);
	assert_int_equal(now.limits.rate_bps[WG_UP], 1000000);
}

/* All that the engine in this process tells of a peer comes over a socket of ours too, to the
 * nanosecond; and of the device. */
static void tells_all(void **state UNUSED)
{
	struct wg_peer_change c = { .public_key = key_of(1),
				    .limits = { .set = WG_SET_QUOTA | WG_SET_QUOTA_USED |
						       WG_SET_RATE_UP | WG_SET_RATE_DOWN |
						       WG_SET_BURST | WG_SET_EXPIRES,
						.rate_bps = { 1000, WG_RATE_MAX },
						.burst = WG_BURST_MAX,
						.quota = WG_QUOTA_MAX,
						.quota_used = 77,
						.expires_wall_ns = 4102444800000000001 } };
	struct wg_peer_info now;
	uint64_t drops[WG_VERDICTS];
	struct dataplane_status s;
	struct err e = { 0 };
	struct device_sync_result r;

	if (!(device_can(device) & DEVICE_CAN_LIMITS)) {
		assert_false(device_can(device) & DEVICE_CAN_DROPS);
		ok(device_status(device, &s, &e), &e);
		assert_int_equal(s.workers, 0);
		return;
	}
	assert_true(device_can(device) & DEVICE_CAN_DROPS);
	change(&(struct wg_peer_change){ .public_key = key_of(2) }, 1);
	change(&c, 1);
	memset(drops, 0xff, sizeof drops);
	ok(device_peer(device, &c.public_key, &now, drops, &e), &e);
	assert_int_equal(now.limits.rate_bps[WG_UP], 1000);
	assert_true(now.limits.rate_bps[WG_DOWN] == WG_RATE_MAX);
	assert_int_equal(now.limits.burst, WG_BURST_MAX);
	assert_true(now.limits.quota == WG_QUOTA_MAX);
	assert_int_equal(now.limits.quota_used, 77);
	assert_true(now.limits.expires_wall_ns == 4102444800000000001);
	assert_int_equal(drops[DROP_QUOTA], 0);
	assert_true(look(1)->info.limits.quota == WG_QUOTA_MAX); /* and among all */
	c.limits.set &= ~(unsigned)WG_SET_QUOTA_USED;
	ok(device_sync(device, NULL, (struct wg_peer_change[]){ c, { .public_key = key_of(2) } }, 2,
		       &r, &e),
	   &e);
	assert_int_equal(r.unchanged, 2); /* what is read is what was set */
	c.limits = (struct wg_limits_change){ .set = WG_SET_EXPIRES, .expires_wall_ns = 0 };
	change(&c, 1);
	ok(device_peer(device, &c.public_key, &now, NULL, &e), &e);
	assert_int_equal(now.limits.expires_wall_ns, 0);
	assert_int_equal(now.limits.quota_used, 77);
	ok(device_status(device, &s, &e), &e);
	assert_int_equal(s.peer_count, 2);
	assert_true(s.workers >= 1);
	assert_in_range(s.mtu, 576, 65535);
	assert_true(s.ifindex != 0);
}

static bool stop_at_once(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	(void)p;
	(void)ips;
	++*(size_t *)ctx;
	return false;
}

static void walks_stop(void **state UNUSED)
{
	const struct wg_peer_change c[] = { { .public_key = key_of(1) },
					    { .public_key = key_of(2) } };
	struct device_view *v = NULL;
	struct err e = { 0 };
	size_t calls = 0;

	change(c, 2);
	ok(device_walk(device, stop_at_once, &calls, &e), &e);
	assert_int_equal(calls, 1);
	assert_int_equal(look(2)->peers, 2); /* the next question is answered, not the last one */

	ok(device_view_new(&v, device, &e), &e);
	assert_non_null(device_view_find(v, &c[1].public_key));
	assert_memory_equal(&device_view_at(v, 0)->public_key, &c[0].public_key, KEY_LEN);
	assert_null(device_view_at(v, 2));
	change(&(struct wg_peer_change){ .public_key = key_of(2), .remove = true }, 1);
	assert_non_null(device_view_find(v, &c[1].public_key)); /* of one moment */
	device_view_free(v);
	ok(device_view_new(&v, device, &e), &e);
	assert_null(device_view_find(v, &c[1].public_key));
	device_view_free(v);
}

/* ---- sync ---- */

static struct device_sync_result sync_to(const struct device_change *own,
					 const struct wg_peer_change *want, size_t n)
{
	struct device_sync_result r = { 0 };
	struct err e = { 0 };

	ok(device_sync(device, own, want, n, &r, &e), &e);
	return r;
}

static void assert_result(struct device_sync_result r, size_t added, size_t changed, size_t removed,
			  size_t unchanged)
{
	assert_int_equal(r.added, added);
	assert_int_equal(r.changed, changed);
	assert_int_equal(r.removed, removed);
	assert_int_equal(r.unchanged, unchanged);
}

static void syncs(void **state UNUSED)
{
	const struct wg_allowed_ip a[] = { ip_of("10.1.0.1/32"), ip_of("10.1.0.2/32") };
	const struct wg_allowed_ip b[] = { ip_of("10.2.0.1/32"), ip_of("fd02::1/128") };
	struct wg_peer_change want[3] = {
		{ .public_key = key_of(1), .allowed_ips = a, .allowed_ip_count = 2 },
		{ .public_key = key_of(2),
		  .allowed_ips = b,
		  .allowed_ip_count = 2,
		  .has_psk = true },
		{ .public_key = key_of(3), .has_keepalive = true, .keepalive_s = 25 },
	};
	struct wg_peer_info now;
	struct err e = { 0 };

	memset(want[1].psk.b, 9, KEY_LEN);
	change(&(struct wg_peer_change){ .public_key = key_of(8) }, 1);
	assert_result(sync_to(NULL, want, 3), 3, 0, 1, 0);
	assert_result(sync_to(NULL, want, 3), 0, 0, 0, 3);
	assert_ips(1, "10.1.0.1/32 10.1.0.2/32");
	assert_ips(2, "10.2.0.1/32 fd02::1/128");
	assert_false(look(8)->found);

	/* Where a peer is stays its own affair. */
	change(&(struct wg_peer_change){ .public_key = key_of(1),
					 .has_endpoint = true,
					 .endpoint = endpoint_of("192.0.2.1:7") },
	       1);
	assert_result(sync_to(NULL, want, 3), 0, 0, 0, 3);
	ok(device_peer(device, &want[0].public_key, &now, NULL, &e), &e);
	assert_int_equal(now.endpoint.port, 7);
	want[0].has_endpoint = true;
	want[0].endpoint = endpoint_of("192.0.2.1:8");
	assert_result(sync_to(NULL, want, 3), 0, 1, 0, 2);

	/* Without mention: no PSK, no keepalive. */
	want[1].has_psk = false;
	want[2].has_keepalive = false;
	assert_result(sync_to(NULL, want, 3), 0, 2, 0, 1);
	ok(device_peer(device, &want[1].public_key, &now, NULL, &e), &e);
	assert_true(ct_is_zero(now.psk.b, KEY_LEN));
	assert_int_equal(look(3)->info.keepalive_s, 0);
	assert_result(sync_to(NULL, NULL, 0), 0, 0, 3, 0);
	assert_int_equal(peer_count(), 0);
}

static void syncs_allowed_ips(void **state UNUSED)
{
	struct wg_allowed_ip a[] = { ip_of("10.1.0.1/32"), ip_of("10.1.0.2/32"),
				     ip_of("10.1.0.3/32") };
	struct wg_allowed_ip b[] = { ip_of("10.2.0.1/32"), ip_of("10.2.0.2/32"),
				     ip_of("10.2.0.3/32") };
	struct wg_peer_change want[2] = {
		{ .public_key = key_of(1), .allowed_ips = a, .allowed_ip_count = 3 },
		{ .public_key = key_of(2), .allowed_ips = b, .allowed_ip_count = 3 },
	};

	assert_result(sync_to(NULL, want, 2), 2, 0, 0, 0);
	want[0].allowed_ip_count = 1; /* two go, to nobody */
	assert_result(sync_to(NULL, want, 2), 0, 1, 0, 1);
	assert_ips(1, "10.1.0.1/32");
	assert_int_equal(look(1)->peers, 2);
	b[2] = ip_of("10.1.0.1/32"); /* named twice: the later has it */
	assert_result(sync_to(NULL, want, 2), 0, 2, 0, 0);
	assert_ips(1, "");
	assert_ips(2, "10.1.0.1/32 10.2.0.1/32 10.2.0.2/32");
	assert_result(sync_to(NULL, want, 2), 0, 0, 0, 2);
	want[1].allowed_ip_count = 2; /* it goes back */
	assert_result(sync_to(NULL, want, 2), 0, 2, 0, 0);
	assert_ips(1, "10.1.0.1/32");
	assert_ips(2, "10.2.0.1/32 10.2.0.2/32");
	/* From a peer that goes to one that stays. */
	want[0].allowed_ips = b;
	want[0].allowed_ip_count = 2;
	assert_result(sync_to(NULL, want, 1), 0, 1, 1, 0);
	assert_ips(1, "10.2.0.1/32 10.2.0.2/32");
	b[0] = ip_of("10.2.0.77/24"); /* host bits make no difference */
	assert_result(sync_to(NULL, want, 1), 0, 1, 0, 0);
	assert_result(sync_to(NULL, want, 1), 0, 0, 0, 1);
}

static void syncs_itself(void **state UNUSED)
{
	struct device_change own = { .has_private_key = true,
				     .has_listen_port = true,
				     .to.listen_port = 41328 };
	struct wg_peer_change want[] = { { .public_key = key_of(1) }, { .public_key = key_of(2) } };
	struct device_settings now = { 0 };
	struct err e = { 0 };

	secret_key_generate(&own.to.private_key);
	public_key_of(&want[1].public_key, &own.to.private_key);
	assert_result(sync_to(&own, want, 2), 1, 0, 0, 0); /* oneself is no peer */
	assert_result(sync_to(&own, want, 2), 0, 0, 0, 1);
	ok(device_settings(device, &now, &e), &e);
	assert_int_equal(now.listen_port, 41328);
	wipe(&now, sizeof now);
	want[1] = want[0];
	assert_int_equal(device_sync(device, NULL, want, 2, NULL, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "peer AAAAAUJC"));
	assert_int_equal(peer_count(), 1);
}

static void syncs_many(void **state UNUSED)
{
	struct wg_peer_change *c = calloc(MANY, sizeof *c);
	struct wg_allowed_ip *ips = calloc(MANY, sizeof *ips);

	for (unsigned i = 0; i < MANY; i++) {
		ips[i] = ip_of("10.0.0.0/32");
		store_be32(ips[i].prefix.addr.b, 0x0a000000 + i);
		c[i] = (struct wg_peer_change){ .public_key = key_of(i * 7919 % MANY),
						.allowed_ips = &ips[i],
						.allowed_ip_count = 1 };
	}
	assert_result(sync_to(NULL, c, MANY), MANY, 0, 0, 0);
	for (unsigned i = 0; i < MANY; i += 100)
		store_be32(ips[i].prefix.addr.b, 0x0b000000 + i);
	assert_result(sync_to(NULL, c + 5, MANY - 5), 0, MANY / 100 - 1, 5,
		      MANY - 5 - MANY / 100 + 1);
	assert_int_equal(look(0)->peers, MANY - 5);
	assert_int_equal(look(0)->all_ips, MANY - 5);
	free(ips);
	free(c);
}

static void lives(void **state UNUSED)
{
	struct err e = { 0 };

	ok(device_alive(device, &e), &e);
	assert_true(device_kind(device) != DEVICE_AUTO);
}

/* ---- the devices ---- */

/* The engine, and a thread that serves its socket. */
static struct {
	struct device *engine;
	struct loop *loop;
	struct uapi_server *server;
	pthread_t thread;
} served;

static const char *asked; /* "kernel:NAME", "uapi:/PATH", NULL */

static int empty(void **state UNUSED)
{
	struct err e = { 0 };

	if (device && device_remove_peers(device, &e)) {
		print_message("%s\n", e.msg);
		return -1;
	}
	return 0;
}

static int engine_open(void **state UNUSED)
{
	const struct dataplane_config c = {
		.ifname = "qdev0", .exclusive = true, .tun_fd = -1, .workers = 1
	};
	struct err e = { 0 };

	if (device_open_engine(&device, &c, &e) == ERR_OK)
		return 0;
	print_message("%s\n", e.msg);
	return -1;
}

static int device_end(void **state UNUSED)
{
	device_close(device);
	device = NULL;
	return 0;
}

static void *serve(void *ctx)
{
	struct err e;

	(void)!loop_run(ctx, &e);
	return NULL;
}

static int uapi_open(void **state UNUSED)
{
	struct dataplane_config c = { .exclusive = true, .tun_fd = -1, .workers = 1 };
	char name[16], path[64];
	struct err e = { 0 };
	enum err_code rc;

	(void)snprintf(name, sizeof name, "qd%d", (int)getpid()); /* the directory is everybody's */
	(void)snprintf(path, sizeof path, UAPI_DIRECTORY "/%s.sock", name);
	c.ifname = name;
	rc = device_open_engine(&served.engine, &c, &e);
	if (rc == ERR_OK)
		rc = loop_new(&served.loop, &e);
	if (rc == ERR_OK)
		rc = uapi_server_open(&served.server, served.loop, device_engine(served.engine),
				      name, -1, NULL, NULL, &e);
	if (rc == ERR_OK && pthread_create(&served.thread, NULL, serve, served.loop) != 0)
		rc = err_set(&e, ERR_NOMEM, "no thread");
	if (rc == ERR_OK)
		rc = device_open_uapi(&device,
				      &(struct device_uapi_config){ .path = path, .fd = -1 }, &e);
	if (rc)
		print_message("%s\n", e.msg);
	return rc ? -1 : 0;
}

static int uapi_end(void **state)
{
	device_end(state);
	loop_stop(served.loop);
	pthread_join(served.thread, NULL);
	uapi_server_close(served.server);
	device_close(served.engine);
	loop_free(served.loop);
	return 0;
}

static int asked_open(void **state UNUSED)
{
	struct device_choice choice;
	struct err e = { 0 };
	enum err_code rc;

	if (str_starts(str_of(asked), STR("kernel:"))) {
		const struct device_kernel_config c = { .ifname = asked + strlen("kernel:"),
							.existing = DEVICE_MAY_EXIST };

		rc = device_open_kernel(&device, &c, &e);
	} else {
		rc = device_choice_parse(&choice, asked, &e);
		if (rc == ERR_OK && choice.kind != DEVICE_UAPI)
			rc = err_set(&e, ERR_INVALID, "kernel:NAME or uapi:/PATH");
		if (rc == ERR_OK)
			rc = device_open_uapi(&device,
					      &(struct device_uapi_config){ .path = choice.path,
									    .fd = -1 },
					      &e);
	}
	if (rc == ERR_OK)
		return empty(NULL);
	print_message("%s: %s\n", asked, e.msg);
	return -1;
}

static int asked_end(void **state)
{
	struct err e = { 0 };
	struct device *d = device;

	if (!d || !(device_can(d) & DEVICE_CAN_DELETE))
		return device_end(state);
	device = NULL;
	if (device_delete(d, &e) == ERR_OK)
		return 0;
	print_message("%s\n", e.msg);
	return -1;
}

#define ROW(fn) cmocka_unit_test_setup(fn, empty)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		ROW(own_settings),
		ROW(one_peer),
		ROW(unknown_peers),
		ROW(own_key_is_no_peer),
		ROW(allowed_ips_move),
		ROW(host_bits_are_cleared),
		ROW(order),
		ROW(many),
		ROW(refused_whole),
		ROW(walks_stop),
		ROW(syncs),
		ROW(syncs_allowed_ips),
		ROW(syncs_itself),
		ROW(syncs_many),
		ROW(lives),
		ROW(limits),
		ROW(tells_all),
	};
	int failed;

	if (!crypto_init())
		return 1;
	if (argc > 1) {
		asked = argv[1];
		return cmocka_run_group_tests_name(asked, tests, asked_open, asked_end);
	}
	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0 ||
	    unshare(CLONE_NEWNET) < 0) {
		print_message("skipped: a network namespace and /dev/net/tun need root\n");
		return 77;
	}
	failed = cmocka_run_group_tests_name("engine", tests, engine_open, device_end);
	return failed + cmocka_run_group_tests_name("uapi", tests, uapi_open, uapi_end);
}
