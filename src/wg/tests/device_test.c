/* Configuration of a device, and what handshake messages may and may not do to it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "crypto/tests/vectors.h"
#include "wg/core.h"
#include "wg/tests/sim.h"

static int setup(void **state)
{
	struct sim *s = malloc(sizeof *s);

	assert_non_null(s);
	sim_init(s, 42);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	sim_done(*state);
	free(*state);
	return 0;
}

static struct public_key key_number(uint8_t n)
{
	struct public_key k;

	memset(k.b, n, sizeof k.b);
	k.b[31] &= 0x7f;
	return k;
}

static struct wg_allowed_ip allowed(const char *text, bool remove)
{
	struct wg_allowed_ip a = { .remove = remove };

	assert_true(ip_prefix_parse(str_of(text), &a.prefix));
	return a;
}

static struct wg_peer *change(struct wg_device *d, uint8_t key, const char *add, const char *remove)
{
	struct wg_allowed_ip list[2];
	struct wg_peer_change c = { .public_key = key_number(key), .allowed_ips = list };
	struct err e = { 0 };

	if (remove)
		list[c.allowed_ip_count++] = allowed(remove, true);
	if (add)
		list[c.allowed_ip_count++] = allowed(add, false);
	if (wg_device_change_peer(d, &c, 1, &e))
		fail_msg("%s", e.msg);
	return wg_device_find_peer(d, &c.public_key);
}

static struct wg_peer *route(struct wg_device *d, const char *text)
{
	struct ip_addr a;

	assert_true(ip_parse(str_of(text), &a));
	return wg_route(d, a.family, a.b);
}

/* ---- peers and allowed IPs ---- */

static void small_peers(void **state)
{
	(void)state;
	assert_true(sizeof(struct wg_peer) <= 400); /* a million of them */
}

static void allowed_ips_are_stolen(void **state)
{
	struct wg_device *d = ((struct sim *)*state)->side[0].d;
	struct wg_peer *p = change(d, 1, "10.1.0.0/16", NULL);
	struct wg_peer *q = change(d, 2, "10.1.2.0/24", NULL);
	struct ip_prefix list[4];

	assert_ptr_equal(route(d, "10.1.3.1"), p);
	assert_ptr_equal(route(d, "10.1.2.1"), q);
	change(d, 1, "10.1.2.7/24", NULL); /* host bits do not matter */
	assert_ptr_equal(route(d, "10.1.2.1"), p);
	assert_int_equal(wg_peer_allowed_ips(q, 0, list, 4), 0);
	assert_int_equal(wg_peer_allowed_ips(p, 0, list, 4), 2);
	change(d, 1, "10.1.2.0/24", NULL); /* the same again is not listed twice */
	assert_int_equal(wg_peer_allowed_ips(p, 0, list, 4), 2);
	assert_int_equal(wg_peer_allowed_ips(p, 1, list, 4), 1);
	assert_int_equal(wg_peer_allowed_ips(p, 2, list, 4), 0);
	change(d, 2, NULL, "10.1.2.0/24"); /* removing another's changes nothing */
	assert_ptr_equal(route(d, "10.1.2.1"), p);
	change(d, 1, NULL, "10.1.2.0/24");
	assert_ptr_equal(route(d, "10.1.2.1"), p); /* by the /16 */
	change(d, 1, NULL, "10.1.0.0/16");
	assert_null(route(d, "10.1.2.1"));
	assert_int_equal(wg_peer_allowed_ips(p, 0, list, 4), 0);
}

static void replacing_allowed_ips(void **state)
{
	struct wg_device *d = ((struct sim *)*state)->side[0].d;
	struct wg_allowed_ip one = allowed("fd00::/64", false);
	struct wg_peer_change c = { .public_key = key_number(1),
				    .replace_allowed_ips = true,
				    .allowed_ips = &one,
				    .allowed_ip_count = 1 };
	struct wg_peer *p = change(d, 1, "10.1.0.0/16", NULL);

	assert_int_equal(wg_device_change_peer(d, &c, 1, NULL), ERR_OK);
	assert_null(route(d, "10.1.0.1"));
	assert_ptr_equal(route(d, "fd00::5"), p);
	c.remove = true;
	assert_int_equal(wg_device_change_peer(d, &c, 1, NULL), ERR_OK);
	assert_null(route(d, "fd00::5"));
	assert_null(wg_device_find_peer(d, &c.public_key));
}

static void unknown_peers(void **state)
{
	struct wg_device *d = ((struct sim *)*state)->side[0].d;
	struct wg_peer_change c = { .public_key = key_number(9), .update_only = true };

	assert_int_equal(wg_device_change_peer(d, &c, 1, NULL), ERR_OK);
	assert_null(wg_device_find_peer(d, &c.public_key));
	c.update_only = false;
	c.remove = true;
	assert_int_equal(wg_device_change_peer(d, &c, 1, NULL), ERR_OK);
	assert_int_equal(wg_device_peer_count(d), 1);
}

static void bad_changes(void **state)
{
	struct wg_device *d = ((struct sim *)*state)->side[0].d;
	struct wg_allowed_ip list[2] = { allowed("10.9.0.0/16", false),
					 allowed("10.8.0.0/16", false) };
	struct wg_peer_change c = { .public_key = key_number(9),
				    .allowed_ips = list,
				    .allowed_ip_count = 2 };
	struct err e = { 0 };

	list[1].prefix.len = 33;
	assert_int_equal(wg_device_change_peer(d, &c, 1, &e), ERR_RANGE);
	assert_string_equal(e.msg, "allowed IP 1: prefix length 33 above 32");
	list[1].prefix.addr.family = IP_NONE;
	assert_int_equal(wg_device_change_peer(d, &c, 1, &e), ERR_INVALID);
	c.allowed_ip_count = 1;
	c.has_endpoint = true;
	c.endpoint.addr = list[0].prefix.addr;
	assert_int_equal(wg_device_change_peer(d, &c, 1, &e), ERR_RANGE);
	assert_null(wg_device_find_peer(d, &c.public_key));
	assert_null(route(d, "10.9.0.1"));
}

static void walking(void **state)
{
	struct wg_device *d = ((struct sim *)*state)->side[0].d;
	struct wg_peer *p = NULL;
	uint8_t n = 0;

	wg_device_remove_all_peers(d, 1);
	for (uint8_t i = 1; i <= 100; i++)
		change(d, i, NULL, NULL);
	while ((p = wg_device_next_peer(d, p)))
		assert_int_equal(wg_peer_key(p)->b[0], ++n);
	assert_int_equal(n, 100);
	assert_int_equal(wg_device_peer_count(d), 100);
	wg_device_remove_all_peers(d, 1);
	assert_null(wg_device_next_peer(d, NULL));
	assert_int_equal(wg_device_peer_count(d), 0);
}

/* The collection's cases: "add PEER PREFIX; rmpeer PEER; ..." and what look-ups must give. */
static void allowed_ips_vectors(void **state)
{
	struct wg_device *d = ((struct sim *)*state)->side[0].d;
	struct vectors *v = vectors_open("wireguard/allowedips.txt");
	unsigned cases = 0;

	while (vectors_next(v)) {
		struct str ops = vectors_text(v, "ops"), looks = vectors_text(v, "lookups"), one;

		wg_device_remove_all_peers(d, 1);
		while (str_cut(&ops, ';', &one)) {
			struct str verb, number;
			struct wg_peer_change c = { .public_key = { { 0 } } };
			struct wg_allowed_ip a = { .remove = false };
			uint32_t peer;

			one = str_trim(one);
			VECTORS_MUST(v, str_cut(&one, ' ', &verb) && str_cut(&one, ' ', &number));
			VECTORS_MUST(v, u32_parse(number, 0, 255, &peer));
			c.public_key = key_number((uint8_t)peer);
			c.remove = str_eq(verb, STR("rmpeer"));
			if (!c.remove) {
				VECTORS_MUST(v, ip_prefix_parse(one, &a.prefix));
				c.allowed_ips = &a;
				c.allowed_ip_count = 1;
			}
			VECTORS_MUST(v, wg_device_change_peer(d, &c, 1, NULL) == ERR_OK);
		}
		while (str_cut(&looks, ' ', &one)) {
			struct str where;
			struct ip_addr a;
			struct wg_peer *p;
			uint32_t want = 0;

			VECTORS_MUST(v, str_cut(&one, '=', &where) && ip_parse(where, &a));
			p = wg_route(d, a.family, a.b);
			if (!str_eq(one, STR("-")))
				VECTORS_MUST(v, u32_parse(one, 1, 255, &want));
			VECTORS_MUST(v, (p ? wg_peer_key(p)->b[0] : 0) == want);
		}
		cases++;
	}
	assert_true(cases >= 6);
	vectors_close(v);
}

/* ---- keys ---- */

static void own_key_is_no_peer(void **state)
{
	struct sim *s = *state;
	struct wg_device *d = s->side[0].d;
	struct wg_peer_change c = { .public_key = s->side[0].public };

	assert_int_equal(wg_device_change_peer(d, &c, 1, NULL), ERR_OK);
	assert_int_equal(wg_device_peer_count(d), 1);
	/* And who becomes ourselves leaves. */
	wg_device_set_private_key(d, &s->side[1].secret, 1);
	assert_int_equal(wg_device_peer_count(d), 0);
}

static void the_same_key_changes_nothing(void **state)
{
	struct sim *s = *state;

	sim_script(s, "same key", "send a 1\nrun 1s\n");
	wg_device_set_private_key(s->side[0].d, &s->side[0].secret, s->now);
	sim_script(s, "same key",
		   "send a 1\nrun 1s\nexpect b.got == 2\nexpect a.initiations == 1\n");
}

static void another_key_ends_sessions(void **state)
{
	struct sim *s = *state;
	struct wg_device *d = s->side[0].d;
	struct secret_key fresh, read;
	struct wg_peer_change c = { .has_endpoint = true, .endpoint = s->side[0].here.remote };
	struct wg_allowed_ip inside = allowed("10.0.0.1/32", false);

	sim_script(s, "new key", "send a 1\nrun 1s\nsend b 1\nrun 1s\n");
	memset(fresh.b, 0x77, sizeof fresh.b);
	wg_device_set_private_key(d, &fresh, s->now);
	assert_true(wg_device_private_key(d, &read));
	assert_int_equal(read.b[0] & 7, 0); /* clamped */
	sim_script(s, "new key",
		   "send b 1\nrun 1s\nexpect a.got == 1\nexpect a.drop.no_session == 1\n"
		   "send a 1\nrun 3s\nexpect b.drop.unknown_peer == 1\nexpect b.got == 1\n");

	/* b learns the new key: static-static is computed anew on both sides. */
	assert_true(wg_device_public_key(d, &s->side[0].public));
	c.public_key = s->side[0].public;
	c.allowed_ips = &inside;
	c.allowed_ip_count = 1;
	assert_int_equal(wg_device_change_peer(s->side[1].d, &c, s->now, NULL), ERR_OK);
	sim_script(s, "new key", "run 6s\nexpect b.got == 2\n");

	memset(fresh.b, 0, sizeof fresh.b);
	wg_device_set_private_key(d, &fresh, s->now);
	assert_false(wg_device_private_key(d, &read));
	sim_script(s, "no key", "send b 1\nrun 30s\nsend a 1\nexpect a.drop.bad_handshake >= 1\n");
}

/* A peer whose key is a point of small order has the zero secret with everybody. */
static void small_order_peer(void **state)
{
	struct sim *s = *state;
	struct wg_device *d = s->side[0].d;
	struct wg_allowed_ip inside = allowed("10.0.0.9/32", false);
	struct wg_peer_change c = { .has_endpoint = true,
				    .endpoint = s->side[1].here.remote,
				    .allowed_ips = &inside,
				    .allowed_ip_count = 1 };

	assert_int_equal(wg_device_change_peer(d, &c, s->now, NULL), ERR_OK);
	assert_int_equal(sim_send_as(s, 0, 1, 9, 0, 10), WG_STAGE);
	sim_script(s, "small order",
		   "run 200s\nexpect a.initiations == 0\nexpect a.gave_up == 1\n");
}

/* ---- hostile messages ---- */

static void resign(struct sim_dgram *m, const struct public_key *to)
{
	struct wg_cookie c = { 0 };

	wg_cookie_sign(&c, to, m->d, m->n, 0);
}

/* A genuine message 1 of side a that has not arrived yet. */
static struct sim_dgram genuine(struct sim *s)
{
	s->drop_next[0][WG_INITIATION] = 1;
	sim_send(s, 0, 10);
	return s->last[0][WG_INITIATION];
}

static void changed_initiations(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m = genuine(s), bad;

	for (size_t i = 0; i < m.n; i++) {
		enum wg_verdict v, want = DROP_BAD_MAC1;

		bad = m;
		bad.d[i] ^= 0x80;
		if (i < 4)
			want = DROP_MALFORMED;
		if (i >= WG_INITIATION_LEN - MAC_LEN)
			break; /* mac2 does not count without load */
		/* What a worker sees of it before the queue. */
		assert_int_equal(wg_handshake_look(s->side[1].d, bad.d, bad.n), want);
		v = sim_receive(s, 1, &bad);
		assert_int_equal(v, want);
		/* With a mac1 that fits, the handshake itself refuses. */
		if (i < 8 || i >= WG_INITIATION_LEN - 2 * MAC_LEN || i == 8 + KEY_LEN - 1)
			continue; /* type, sender, macs; the ephemeral's top bit is no part of it */
		resign(&bad, &s->side[1].public);
		assert_int_equal(sim_receive(s, 1, &bad), DROP_HANDSHAKE);
	}
	assert_null(sim_peer(s, 1)->active); /* nothing was kept of all that */
	assert_int_equal(s->side[1].seen.sent[WG_RESPONSE], 0);
	assert_int_equal(wg_handshake_look(s->side[1].d, m.d, m.n), WG_OK);
	assert_int_equal(sim_receive(s, 1, &m), WG_OK);
}

/* A worker's look follows the private key, and lets control decide where there is none. */
static void look_follows_the_key(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m = genuine(s);
	struct secret_key other = { { 1, 2, 3 } }, none = { 0 };

	assert_int_equal(wg_handshake_look(s->side[1].d, m.d, m.n - 1), DROP_MALFORMED);
	wg_device_set_private_key(s->side[1].d, &other, s->now);
	assert_int_equal(wg_handshake_look(s->side[1].d, m.d, m.n), DROP_BAD_MAC1);
	wg_device_set_private_key(s->side[1].d, &none, s->now);
	assert_int_equal(wg_handshake_look(s->side[1].d, m.d, m.n), WG_OK);
	assert_int_equal(sim_receive(s, 1, &m), DROP_HANDSHAKE);
}

static void zero_ephemeral(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m = genuine(s);

	memset(m.d + 8, 0, KEY_LEN);
	resign(&m, &s->side[1].public);
	assert_int_equal(sim_receive(s, 1, &m), DROP_HANDSHAKE);
}

static void changed_responses(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m, bad;

	s->drop_next[1][WG_RESPONSE] = 1;
	sim_send(s, 0, 10);
	sim_run(s, NS_PER_S);
	m = s->last[1][WG_RESPONSE];
	for (size_t i = 0; i < m.n - MAC_LEN; i++) {
		bad = m;
		bad.d[i] ^= 0x80;
		assert_true(sim_receive(s, 0, &bad) >= DROP_MALFORMED);
		if (i < 8 || i >= WG_RESPONSE_LEN - 2 * MAC_LEN || i == 12 + KEY_LEN - 1)
			continue;
		resign(&bad, &s->side[0].public);
		assert_int_equal(sim_receive(s, 0, &bad),
				 i < 12 ? DROP_NO_SESSION : DROP_HANDSHAKE);
	}
	/* A forged answer did not spoil the handshake for the true one. */
	assert_int_equal(sim_receive(s, 0, &m), WG_OK);
	/* Which counts once. */
	assert_int_equal(sim_receive(s, 0, &m), DROP_NO_SESSION);
}

static void replayed_initiations(void **state)
{
	struct sim *s = *state;
	struct sim_dgram first = genuine(s), second;

	assert_int_equal(sim_receive(s, 1, &first), WG_OK);
	sim_run(s, NS_PER_S);
	assert_int_equal(sim_receive(s, 1, &first), DROP_OLD_TIMESTAMP);
	assert_int_equal(s->side[1].seen.sent[WG_RESPONSE], 1);
	sim_script(s, "replay", "drop a 1 1\nrun 10m\n");
	second = genuine(s);
	assert_int_equal(sim_receive(s, 1, &second), WG_OK);
	assert_int_equal(sim_receive(s, 1, &first), DROP_OLD_TIMESTAMP);
	/* Also after the session's memory is gone. */
	sim_run(s, 3600 * NS_PER_S);
	assert_null(sim_peer(s, 1)->active);
	assert_int_equal(sim_receive(s, 1, &second), DROP_OLD_TIMESTAMP);
}

/* Fresh timestamps, but more than 50 a second. */
static void flooding_peer(void **state)
{
	struct sim *s = *state;
	unsigned ok = 0, limited = 0;

	for (unsigned i = 0; i < 200; i++) {
		struct sim_dgram m;

		wg_device_set_up(s->side[0].d, false, s->now);
		wg_device_set_up(s->side[0].d, true, s->now);
		s->side[0].wall_offset += NS_PER_S;
		m = genuine(s);
		switch (sim_receive(s, 1, &m)) {
		case WG_OK:
			ok++;
			break;
		case DROP_RATE_LIMIT:
			limited++;
			break;
		default:
			fail();
		}
		s->now += 5 * NS_PER_MS;
	}
	assert_int_equal(ok, 50); /* one second */
	assert_int_equal(limited, 150);
}

static void unknown_initiator(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m = genuine(s);
	struct wg_peer_change c = { .public_key = s->side[0].public, .remove = true };

	assert_int_equal(wg_device_change_peer(s->side[1].d, &c, s->now, NULL), ERR_OK);
	assert_int_equal(sim_receive(s, 1, &m), DROP_UNKNOWN_PEER);
	assert_int_equal(s->side[1].seen.sent[WG_RESPONSE], 0);
}

/* A cookie reply must answer our last message, and once. */
static void forged_cookies(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m, bad;

	s->side[1].under_load = true;
	s->drop_next[1][WG_COOKIE_REPLY] = 1;
	sim_send(s, 0, 10);
	sim_run(s, NS_PER_S);
	m = s->last[1][WG_COOKIE_REPLY];
	for (size_t i = 4; i < m.n; i++) {
		bad = m;
		bad.d[i] ^= 1;
		assert_int_equal(sim_receive(s, 0, &bad), i < 8 ? DROP_NO_SESSION : DROP_HANDSHAKE);
	}
	assert_int_equal(sim_receive(s, 0, &m), WG_OK);
	assert_int_equal(sim_receive(s, 0, &m), DROP_HANDSHAKE);
	assert_int_equal(s->side[0].seen.sent[WG_INITIATION], 1);
}

/* Load holds for a second after the queue was long. */
static void load_is_sticky(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m = genuine(s);

	s->side[1].under_load = true;
	assert_int_equal(sim_receive(s, 1, &m), DROP_NEED_COOKIE);
	s->side[1].under_load = false;
	s->now += 999 * NS_PER_MS;
	assert_int_equal(sim_receive(s, 1, &m), DROP_NEED_COOKIE);
	s->now += 2 * NS_PER_MS;
	assert_int_equal(sim_receive(s, 1, &m), WG_OK);
}

/* With a good cookie a source still has its limit, and another source its own. */
static void limited_under_load(void **state)
{
	struct sim *s = *state;
	struct sim_dgram m;
	unsigned limited = 0;

	s->side[1].under_load = true;
	sim_send(s, 0, 10);
	sim_run(s, NS_PER_S);
	s->drop_next[0][WG_INITIATION] = 1;
	sim_run(s, 5 * NS_PER_S);
	m = s->last[0][WG_INITIATION]; /* with mac2 */
	for (unsigned i = 0; i < 10; i++)
		limited += sim_receive(s, 1, &m) == DROP_RATE_LIMIT;
	assert_int_equal(limited, 10 - WG_LIMIT_BURST);
}

/* Shipped bug: retries without jitter, so that two sides or a thousand peers stay in step.  And
 * each has a new ephemeral key, index and timestamp. */
static void retries_differ(void **state)
{
	struct sim *s = *state;
	struct sim_dgram before, *now = &s->last[0][WG_INITIATION];
	int64_t shortest = INT64_MAX, longest = 0, last;

	s->drop_next[0][WG_INITIATION] = 1000;
	sim_send(s, 0, 10);
	for (unsigned i = 0; i < 15; i++) {
		before = *now;
		last = s->side[0].seen.last_sent_at[WG_INITIATION];
		sim_run(s,
			WG_REKEY_TIMEOUT + WG_REKEY_JITTER_MAX - (s->now - last) + 10 * NS_PER_MS);
		last = s->side[0].seen.last_sent_at[WG_INITIATION] - last;
		shortest = MIN(shortest, last);
		longest = MAX(longest, last);
		assert_memory_not_equal(before.d + 4, now->d + 4, 4);
		assert_memory_not_equal(before.d + 8, now->d + 8, KEY_LEN);
		assert_memory_not_equal(before.d + 88, now->d + 88, WG_TIMESTAMP_LEN);
	}
	assert_true(shortest >= WG_REKEY_TIMEOUT);
	assert_true(longest <= WG_REKEY_TIMEOUT + WG_REKEY_JITTER_MAX + 5 * NS_PER_MS);
	assert_true(longest - shortest > 100 * NS_PER_MS);
}

/* ---- staging ---- */

static void staged_bytes_are_limited(void **state)
{
	static const uint8_t packet[65535];
	struct sim *s = *state;
	struct wg_device *d = s->side[0].d;
	size_t counted = 0;

	for (uint8_t i = 1; i <= 10; i++) {
		struct wg_peer_change c = { .public_key = key_number(i),
					    .has_endpoint = true,
					    .endpoint = s->side[1].here.remote };

		assert_int_equal(wg_device_change_peer(d, &c, s->now, NULL), ERR_OK);
		for (unsigned k = 0; k < 128; k++)
			wg_device_stage(d, wg_device_find_peer(d, &c.public_key), packet,
					sizeof packet, s->now);
	}
	assert_true(d->staged_bytes <= WG_STAGED_BYTES_MAX);
	for (struct wg_peer *p = NULL; (p = wg_device_next_peer(d, p));)
		counted += p->active ? p->active->staged_count : 0;
	assert_in_range(counted, 500, 512);
	wg_device_remove_all_peers(d, s->now);
	assert_int_equal(d->staged_bytes, 0);
}

/* ---- limits of peers ---- */

static void removing_cuts_off(void **state)
{
	struct sim *s = *state;
	struct wg_peer_change c = { .public_key = s->side[0].public, .remove = true };
	struct sim_dgram last;

	sim_script(s, "remove", "send a 1\nrun 1s\nsend a 1\n");
	last = s->last[0][WG_TRANSPORT];
	assert_int_equal(wg_device_change_peer(s->side[1].d, &c, s->now, NULL), ERR_OK);
	assert_int_equal(sim_receive(s, 1, &last), DROP_NO_SESSION);
	assert_null(route(s->side[1].d, "10.0.0.1"));
}

static void what_peers_say(void **state)
{
	struct sim *s = *state;
	struct wg_peer_info a, b;
	const uint64_t data = WG_TRANSPORT_MIN + 32;

	sim_send(s, 0, 10);
	sim_run(s, NS_PER_S);
	wg_peer_info(sim_peer(s, 0), &a);
	wg_peer_info(sim_peer(s, 1), &b);
	assert_int_equal(a.tx_bytes, WG_INITIATION_LEN + data);
	assert_int_equal(a.rx_bytes, WG_RESPONSE_LEN);
	assert_int_equal(b.rx_bytes, a.tx_bytes);
	assert_int_equal(b.tx_bytes, a.rx_bytes);
	assert_int_equal(a.tx_packets, 2);
	assert_int_equal(b.rx_packets, 2);
	assert_int_equal(a.last_handshake_wall_ns - SIM_WALL_START, 20 * NS_PER_MS);
	assert_int_equal(a.endpoint.port, 51820);
	assert_int_equal(a.allowed_ip_count, 1);
}

/* What the device adds up is what a walk would come to, with one peer that has never talked and after
 * those that have are gone. */
static void sums_are_those_of_a_walk(void **state)
{
	struct sim *s = *state;
	struct wg_device *d = s->side[1].d;
	const struct wg_peer_change silent = { .public_key.b = { 9, 9 } };
	const struct wg_peer_change gone = { .public_key = s->side[0].public, .remove = true };
	struct wg_peer_info p;
	struct wg_sums sums;

	assert_int_equal(wg_device_change_peer(d, &silent, s->now, NULL), ERR_OK);
	wg_device_sums(d, &sums);
	assert_int_equal(sums.rx_bytes + sums.tx_bytes + sums.connected, 0);
	for (int i = 0; i < 3; i++) {
		sim_send(s, 0, 100);
		sim_run(s, NS_PER_S);
		wg_peer_info(sim_peer(s, 1), &p);
		wg_device_sums(d, &sums);
		assert_int_equal(sums.rx_bytes, p.rx_bytes);
		assert_int_equal(sums.tx_bytes, p.tx_bytes);
		assert_int_equal(sums.connected, 1);
	}
	sim_run(s, WG_CONNECTED_NS);
	wg_device_sums(d, &sums);
	assert_int_equal(sums.connected, 0);
	assert_true(sums.rx_bytes >= p.rx_bytes);
	assert_int_equal(wg_device_change_peer(d, &gone, s->now, NULL), ERR_OK);
	wg_device_sums(d, &sums);
	assert_int_equal(sums.rx_bytes + sums.tx_bytes + sums.connected, 0);
}

static void connected_by_the_wall_clock(void **state UNUSED)
{
	static const struct {
		int64_t last, now;
		bool want;
		const char *why;
	} rows[] = {
		{ 0, 5, false, "never" },
		{ 5, 5, true, "now" },
		{ 5, 4 + WG_CONNECTED_NS, true, "just so" },
		{ 5, 5 + WG_CONNECTED_NS, false, "too long ago" },
		{ 9, 5, true, "a clock that was set back" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (wg_is_connected(rows[i].last, rows[i].now) != rows[i].want)
			fail_msg("%s", rows[i].why);
}

#define WITH_SIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_peers),
		WITH_SIM(allowed_ips_are_stolen),
		WITH_SIM(replacing_allowed_ips),
		WITH_SIM(unknown_peers),
		WITH_SIM(bad_changes),
		WITH_SIM(walking),
		WITH_SIM(allowed_ips_vectors),
		WITH_SIM(own_key_is_no_peer),
		WITH_SIM(the_same_key_changes_nothing),
		WITH_SIM(another_key_ends_sessions),
		WITH_SIM(small_order_peer),
		WITH_SIM(changed_initiations),
		WITH_SIM(look_follows_the_key),
		WITH_SIM(zero_ephemeral),
		WITH_SIM(changed_responses),
		WITH_SIM(replayed_initiations),
		WITH_SIM(flooding_peer),
		WITH_SIM(unknown_initiator),
		WITH_SIM(forged_cookies),
		WITH_SIM(load_is_sticky),
		WITH_SIM(limited_under_load),
		WITH_SIM(retries_differ),
		WITH_SIM(staged_bytes_are_limited),
		WITH_SIM(removing_cuts_off),
		WITH_SIM(what_peers_say),
		WITH_SIM(sums_are_those_of_a_walk),
		cmocka_unit_test(connected_by_the_wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
