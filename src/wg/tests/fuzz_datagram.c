/* Datagrams of any content against an established pair of devices.
 *
 * The input is a list of chunks, each: what | length | bytes.
 *   raw       the bytes as they are
 *   data      the bytes sealed as an inner packet under the true session, at a chosen counter
 *   changed   a genuine message of the pair, XORed with the bytes, with or without a fresh mac1
 *   time      up to 1.3 s pass, or up to 25 s: long ones are rarer, since they end sessions, and a new
 *             pair costs ten Diffie-Hellmans
 * What must hold: only what is genuine is accepted, nothing else moves an endpoint or makes a
 * session, and what comes out of the tunnel is a packet of the peer's own address.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "packet/ip.h"
#include "wg/core.h"
#include "wg/tests/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum what { RAW, DATA, CHANGED, CHANGED_SIGNED, TIME, WHATS };

static struct sim sim;
static struct sim_dgram genuine[2][SIM_TYPES];
static bool built;

/* The pair is made anew only after something lasting happened to it: handshakes are slow. */
static void build(void)
{
	if (built)
		sim_done(&sim);
	sim_init(&sim, 7);
	sim.side[1].under_load = true; /* so that there is a cookie reply, too */
	sim_send(&sim, 0, 30);
	sim_run(&sim, 6 * NS_PER_S);
	sim.side[1].under_load = false;
	sim_send(&sim, 1, 30);
	sim_run(&sim, 2 * NS_PER_S);
	sim_send(&sim, 0, 30);
	sim_run(&sim, 2 * NS_PER_S);
	memcpy(genuine, sim.last, sizeof genuine);
	BUG_ON(sim.side[0].seen.got != 1 || sim.side[1].seen.got != 2);
	BUG_ON(!genuine[1][WG_COOKIE_REPLY].n || !genuine[0][WG_INITIATION].n);
	built = true;
}

static struct wg_session *current(unsigned side)
{
	return atomic_load(&sim_peer(&sim, side)->current);
}

static void must_refuse(unsigned side, struct sim_dgram *m)
{
	struct wg_session *session = current(side);
	enum wg_verdict v;

	m->path.remote.port = 6666;
	v = sim_receive(&sim, side, m);
	BUG_ON(v < DROP_MALFORMED || v >= WG_VERDICTS);
	BUG_ON(current(side) != session);
	BUG_ON(wg_peer_path(sim_peer(&sim, side))->path.remote.port != 51820);
}

static void run_raw(unsigned side, const uint8_t *p, size_t n)
{
	struct sim_dgram m = { .to = side, .n = n, .path = genuine[!side][WG_TRANSPORT].path };

	memcpy(m.d, p, n);
	must_refuse(side, &m);
}

/* Everything behind the tag: replay, inner packet, source, ECN. */
static void run_data(unsigned side, uint8_t how, const uint8_t *p, size_t n)
{
	struct wg_session *s = current(!side);
	uint64_t next = atomic_fetch_add(&s->send_counter, 1);
	struct sim_dgram m = genuine[!side][WG_TRANSPORT];
	struct wg_events ev = { 0 };
	struct wg_receive r;
	uint32_t len = 0;
	struct aead_job job = { .key = &s->send_key,
				.counter = how & 0x40 ? next / 2 : next,
				.text = m.d + WG_TRANSPORT_HEADER_LEN,
				.len = n };
	enum wg_verdict v;

	memcpy(job.text, p, n);
	m.n = WG_TRANSPORT_MIN + n;
	wg_transport_header(m.d, s->remote_index, job.counter);
	aead_seal_batch(&job, 1);
	v = wg_receive_begin(sim.side[side].d, m.d, m.n, sim.now, &r);
	if (v == DROP_EXPIRED)
		return;
	BUG_ON(v != WG_OK || r.len != n);
	job = (struct aead_job){ .key = r.key, .counter = r.counter, .text = r.text, .len = r.len };
	aead_open_batch(&job, 1);
	BUG_ON(!job.ok || memcmp(r.text, p, n) != 0);
	v = wg_receive_done(sim.side[side].d, &r, &m.path, how >> 4 & 3, sim.now, &len, &ev);
	for (size_t i = 0; i < ev.n; i++)
		wg_device_event(sim.side[side].d, &ev.ev[i], sim.now);
	BUG_ON((v == WG_KEEPALIVE) != (n == 0) && v != DROP_REPLAY);
	if (v == WG_OK) {
		const uint8_t peer[4] = { 10, 0, 0, (uint8_t)(!side + 1) };

		BUG_ON(len < IPV4_HEADER_MIN || len > n);
		BUG_ON(r.text[0] >> 4 != 4 || memcmp(r.text + 12, peer, 4) != 0);
	}
}

static void run_changed(unsigned side, uint8_t how, bool sign, const uint8_t *p, size_t n)
{
	struct sim_dgram m = genuine[!side][1 + (how >> 4) % 4];
	struct wg_cookie nothing = { 0 };
	size_t at = 0;

	if (!m.n)
		return;
	for (size_t i = 0; i + 1 < n; i += 2) {
		at = p[i] % m.n;
		m.d[at] ^= p[i + 1];
	}
	if (sign && m.n >= 2 * MAC_LEN)
		wg_cookie_sign(&nothing, &sim.side[side].public, m.d, m.n, 0);
	must_refuse(side, &m); /* unchanged, it is a repetition */
}

static void run_chunk(uint8_t how, const uint8_t *p, size_t n)
{
	unsigned side = how >> 3 & 1;

	switch ((enum what)((how & 7) % WHATS)) {
	case RAW:
		run_raw(side, p, n);
		break;
	case DATA:
		run_data(side, how, p, n);
		break;
	case CHANGED:
		run_changed(side, how, false, p, n);
		break;
	case CHANGED_SIGNED:
		run_changed(side, how, true, p, n);
		break;
	case TIME:
	case WHATS:
		sim_run(&sim, (n ? p[0] : 1) * ((how & 0xe0) == 0xe0 ? 100 : 5) * NS_PER_MS);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_over(data, size);

	if (!built || sim.now > SIM_START + 100 * NS_PER_S ||
	    sim.side[0].seen.sent[WG_INITIATION] > 2)
		build();
	while (r.left >= 2) {
		uint8_t how = rd_u8(&r);
		size_t n = rd_u8(&r);

		n = MIN(n, r.left);
		run_chunk(how, rd_bytes(&r, n), n);
	}
	return 0;
}
