#include "wg/tests/sim.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "packet/ip.h"
#include "wg/core.h"

uint64_t sim_random(struct sim *s)
{
	uint64_t z = s->rng += 0x9e3779b97f4a7c15u; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool chance(struct sim *s, unsigned permille)
{
	return permille && sim_random(s) % 1000 < permille;
}

/* ---- what the devices ask for ---- */

static bool scripted(struct sim *s, unsigned which, void *p, size_t n)
{
	if (s->script_n[which] < n)
		return false;
	memcpy(p, s->script[which], n);
	s->script[which] += n;
	s->script_n[which] -= n;
	return true;
}

static void op_random(void *ctx, void *p, size_t n)
{
	struct sim *s = ((struct sim_side *)ctx)->sim;
	uint8_t *out = p;

	if ((n == 4 && scripted(s, 0, p, n)) || (n == 32 && scripted(s, 1, p, n)))
		return;
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)sim_random(s);
}

static int64_t op_wall(void *ctx)
{
	struct sim_side *side = ctx;

	return SIM_WALL_START + (side->sim->now - SIM_START) + side->wall_offset;
}

static void put_on_wire(struct sim *s, const struct sim_dgram *m)
{
	struct sim_dgram *copy = malloc(sizeof *copy);
	struct sim_dgram **at = &s->wire;

	BUG_ON(!copy);
	*copy = *m;
	copy->at = s->now + s->delay;
	if (s->jitter)
		copy->at += (int64_t)(sim_random(s) % (uint64_t)s->jitter);
	while (*at && (*at)->at <= copy->at)
		at = &(*at)->next;
	copy->next = *at;
	*at = copy;
}

static void count_sent(struct sim_side *side, uint32_t type, size_t n)
{
	int64_t now = side->sim->now;

	side->seen.sent[type]++;
	if (!side->seen.first_sent_at[type])
		side->seen.first_sent_at[type] = now;
	side->seen.last_sent_at[type] = now;
	if (type == WG_TRANSPORT && n == WG_TRANSPORT_MIN)
		side->seen.sent_keepalives++;
	else if (type == WG_TRANSPORT)
		side->seen.sent_data++;
}

static void op_send(void *ctx, struct wg_peer *peer, const struct wg_path *to, const uint8_t *dgram,
		    size_t n, uint8_t ecn)
{
	struct sim_side *side = ctx;
	struct sim *s = side->sim;
	struct sim_side *other = &s->side[!side->id];
	uint32_t type = wg_message_type(dgram, n);
	struct sim_dgram m = { .to = other->id, .n = n, .ecn = ecn };

	(void)peer;
	assert_in_range(type, WG_INITIATION, WG_TRANSPORT);
	assert_true(n <= SIM_DGRAM_MAX);
	count_sent(side, type, n);
	memcpy(m.d, dgram, n);
	m.path = (struct wg_path){ .remote = side->here.remote, .local = other->here.local };
	m.path.local_ifindex = 1;
	if (s->mark_ecn && ecn)
		m.ecn = s->mark_ecn;
	s->last[side->id][type] = m;
	if (s->drop_next[side->id][type]) {
		s->drop_next[side->id][type]--;
		return;
	}
	if (!endpoint_eq(&to->remote, &other->here.remote) || chance(s, s->loss_permille))
		return;
	put_on_wire(s, &m);
	if (chance(s, s->dup_permille))
		put_on_wire(s, &m);
}

static void op_notify(void *ctx, struct wg_peer *peer, enum wg_note note)
{
	(void)peer;
	((struct sim_side *)ctx)->seen.notes[note]++;
}

/* ---- making and ending ---- */

static struct wg_path place_of(uint8_t host, uint16_t port)
{
	struct wg_path p = { 0 };

	p.remote.addr = ip_v4((const uint8_t[4]){ 192, 0, 2, host });
	p.remote.port = port;
	p.local = p.remote.addr;
	return p;
}

static void make_side(struct sim *s, unsigned id)
{
	struct sim_side *side = &s->side[id];
	struct wg_ops ops = { .ctx = side,
			      .random = op_random,
			      .wall_ns = op_wall,
			      .send = op_send,
			      .notify = op_notify };

	side->sim = s;
	side->id = id;
	side->here = place_of((uint8_t)(id + 1), 51820);
	for (size_t i = 0; i < KEY_LEN; i++)
		side->secret.b[i] = (uint8_t)sim_random(s);
	secret_key_clamp(&side->secret);
	public_key_of(&side->public, &side->secret);
	side->d = wg_device_new(&ops, &side->retired);
	assert_non_null(side->d);
	wg_device_set_private_key(side->d, &side->secret, s->now);
	wg_device_set_mtu(side->d, 1420);
	wg_device_set_up(side->d, true, s->now);
}

void sim_init(struct sim *s, uint64_t seed)
{
	assert_true(crypto_init());
	*s = (struct sim){ .now = SIM_START, .rng = seed, .delay = 10 * NS_PER_MS };
	for (unsigned i = 0; i < 2; i++)
		make_side(s, i);
	for (unsigned i = 0; i < 2; i++) {
		struct wg_peer_change c = { .has_endpoint = true,
					    .endpoint = s->side[!i].here.remote };

		sim_change_peer(s, i, c);
	}
}

static void reclaim(struct sim *s)
{
	for (unsigned i = 0; i < 2; i++)
		retired_free(&s->side[i].retired, retired_advance(&s->side[i].retired));
}

void sim_done(struct sim *s)
{
	while (s->wire) {
		struct sim_dgram *m = s->wire;

		s->wire = m->next;
		free(m);
	}
	for (unsigned i = 0; i < 2; i++)
		wg_device_free(s->side[i].d);
	reclaim(s);
}

void sim_forget(struct sim *s)
{
	for (unsigned i = 0; i < 2; i++)
		s->side[i].seen = (struct sim_seen){ 0 };
}

struct wg_peer *sim_peer(struct sim *s, unsigned side)
{
	return wg_device_find_peer(s->side[side].d, &s->side[!side].public);
}

void sim_change_peer(struct sim *s, unsigned side, struct wg_peer_change c)
{
	struct wg_allowed_ip inside = { .prefix = { .len = 32 } };
	struct err e = { 0 };

	inside.prefix.addr = ip_v4((const uint8_t[4]){ 10, 0, 0, (uint8_t)(!side + 1) });
	c.public_key = s->side[!side].public;
	if (!c.allowed_ips && !sim_peer(s, side)) {
		c.allowed_ips = &inside;
		c.allowed_ip_count = 1;
	}
	if (wg_device_change_peer(s->side[side].d, &c, s->now, &e))
		fail_msg("%s", e.msg);
}

void sim_set_keepalive(struct sim *s, unsigned side, uint16_t seconds)
{
	struct wg_peer_change c = { .has_keepalive = true, .keepalive_s = seconds };

	sim_change_peer(s, side, c);
}

void sim_set_port(struct sim *s, unsigned side, uint16_t port)
{
	struct sim_side *me = &s->side[side];

	me->here.remote.port = port;
	wg_device_port_changed(me->d, s->now);
}

void sim_move(struct sim *s, unsigned side, uint8_t host, uint16_t port)
{
	s->side[side].here = place_of(host, port);
}

/* ---- packets ---- */

static void handle_events(struct sim_side *side, struct wg_events *ev)
{
	for (size_t i = 0; i < ev->n; i++)
		wg_device_event(side->d, &ev->ev[i], side->sim->now);
	side->seen.events += ev->n;
	ev->n = 0;
}

/* What the packet carries is a function of its length, so that the receiver can compare. */
static size_t make_packet(uint8_t *out, uint8_t src, uint8_t dst, uint8_t tos, size_t len)
{
	const uint8_t fixed[IPV4_HEADER_MIN] = { 0x45, tos, 0,	0, 0, 0,   0,  0, 64, 17,
						 0,    0,   10, 0, 0, src, 10, 0, 0,  dst };

	memcpy(out, fixed, sizeof fixed);
	store_be16(out + 2, (uint16_t)(sizeof fixed + len));
	store_be16(out + 10, checksum_fold(checksum_add(0, out, sizeof fixed)));
	for (size_t i = 0; i < len; i++)
		out[sizeof fixed + i] = (uint8_t)(i * 7 + len);
	return sizeof fixed + len;
}

enum wg_verdict sim_send_as(struct sim *s, unsigned side, uint8_t src, uint8_t dst, uint8_t tos,
			    size_t len)
{
	struct sim_side *me = &s->side[side];
	const uint8_t to[4] = { 10, 0, 0, dst };
	struct wg_peer *p = wg_route(me->d, IP_V4, to);
	struct wg_events ev = { 0 };
	uint8_t dgram[SIM_DGRAM_MAX] = { 0 };
	size_t n = make_packet(dgram + WG_TRANSPORT_HEADER_LEN, src, dst, tos, len);
	enum wg_verdict v, rest;
	struct wg_send out;

	if (!p)
		return DROP_NO_PEER;
	v = wg_send_begin(me->d, p, 1, s->now, &out, &ev);
	if (v == WG_WEIGH)
		v = wg_send_weigh(me->d, p, &(uint32_t){ (uint32_t)n }, &(size_t){ 1 }, s->now,
				  &out, &rest, &ev);
	if (v == WG_OK) {
		struct aead_job job = { .key = out.key,
					.counter = out.counter,
					.text = dgram + WG_TRANSPORT_HEADER_LEN,
					.len = wg_padded_len(n, 1420) };
		size_t size = WG_TRANSPORT_MIN + job.len;

		wg_transport_header(dgram, out.receiver, out.counter);
		aead_seal_batch(&job, 1);
		wg_send_done(p, 1, size, s->now, &ev);
		op_send(me, p, &out.path, dgram, size, ecn_encapsulate(tos));
	} else if (v == WG_STAGE) {
		wg_device_stage(me->d, p, dgram + WG_TRANSPORT_HEADER_LEN, n, s->now);
	} else {
		wg_count(me->d, p, v, 1);
	}
	handle_events(me, &ev);
	reclaim(s);
	return v;
}

enum wg_verdict sim_send(struct sim *s, unsigned side, size_t len)
{
	return sim_send_as(s, side, (uint8_t)(side + 1), (uint8_t)(!side + 1), 0, len);
}

static enum wg_verdict receive_data(struct sim_side *me, struct sim_dgram *m, struct wg_events *ev)
{
	struct wg_receive r;
	struct aead_job job;
	enum wg_verdict v;
	uint32_t len = 0;

	v = wg_receive_begin(me->d, m->d, m->n, me->sim->now, &r);
	if (v == WG_OK) {
		job = (struct aead_job){
			.key = r.key, .counter = r.counter, .text = r.text, .len = r.len
		};
		aead_open_batch(&job, 1);
		v = job.ok ? wg_receive_done(me->d, &r, &m->path, m->ecn, me->sim->now, &len, ev)
			   : DROP_FORGED;
	}
	if (v == WG_KEEPALIVE)
		me->seen.got_keepalives++;
	else if (v != WG_OK)
		wg_count(me->d, r.peer, v, 1);
	if (v == WG_OK) {
		uint8_t want[SIM_DGRAM_MAX];

		assert_true(len >= IPV4_HEADER_MIN && len <= r.len);
		make_packet(want, r.text[15], r.text[19], r.text[1], len - IPV4_HEADER_MIN);
		assert_memory_equal(r.text, want, len);
		me->seen.got++;
	}
	return v;
}

enum wg_verdict sim_receive(struct sim *s, unsigned side, const struct sim_dgram *given)
{
	struct sim_side *me = &s->side[side];
	struct sim_dgram m = *given; /* opened in place */
	struct wg_events ev = { 0 };
	enum wg_verdict v;

	if (wg_message_type(m.d, m.n) == WG_TRANSPORT)
		v = receive_data(me, &m, &ev);
	else
		v = wg_device_handshake(me->d, m.d, m.n, &m.path, me->under_load, s->now);
	handle_events(me, &ev);
	me->seen.verdicts[v]++;
	reclaim(s);
	return v;
}

void sim_run(struct sim *s, int64_t duration)
{
	int64_t end = s->now + duration;

	for (;;) {
		int64_t next = INT64_MAX;

		for (unsigned i = 0; i < 2; i++)
			next = MIN(next, wg_device_timers(s->side[i].d, s->now));
		reclaim(s);
		if (s->wire && !s->hold)
			next = MIN(next, s->wire->at);
		if (next > end)
			break;
		s->now = MAX(s->now, next);
		while (s->wire && !s->hold && s->wire->at <= s->now) {
			struct sim_dgram *m = s->wire;

			s->wire = m->next;
			sim_receive(s, m->to, m);
			free(m);
		}
	}
	s->now = end;
}
