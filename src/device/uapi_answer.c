#include "device/uapi_answer.h"

#include "base/clock.h"
#include "wg/uapi.h"

#define ERRNO_MAX 4095 /* the kernel's */

void uapi_answer_init(struct uapi_answer *a, device_peer_fn *fn, void *ctx)
{
	*a = (struct uapi_answer){ .fn = fn, .ctx = ctx, .ips.size = sizeof(struct ip_prefix) };
}

void uapi_answer_done(struct uapi_answer *a)
{
	rows_done(&a->ips);
	wipe(a, sizeof *a);
}

/* ---- one key each: false when the value is none ---- */

static bool u16_value(struct str value, uint16_t *out)
{
	uint32_t n;

	if (!u32_parse(value, 0, UINT16_MAX, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

static bool private_key(struct uapi_answer *a, struct str value)
{
	return hex_decode(a->settings.private_key.b, KEY_LEN, value);
}

static bool listen_port(struct uapi_answer *a, struct str value)
{
	return u16_value(value, &a->settings.listen_port);
}

static bool fwmark(struct uapi_answer *a, struct str value)
{
	return u32_parse(value, 0, UINT32_MAX, &a->settings.fwmark);
}

static bool preshared_key(struct uapi_answer *a, struct str value)
{
	return hex_decode(a->peer.psk.b, KEY_LEN, value);
}

static bool protocol_version(struct uapi_answer *a, struct str value)
{
	(void)a;
	return str_eq(value, STR("1"));
}

static bool endpoint(struct uapi_answer *a, struct str value)
{
	return endpoint_parse(value, &a->peer.endpoint);
}

static bool handshake_s(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, INT64_MAX / NS_PER_S - 1, &a->handshake_s);
}

static bool handshake_ns(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, NS_PER_S - 1, &a->handshake_ns);
}

static bool tx_bytes(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, UINT64_MAX, &a->peer.tx_bytes);
}

static bool rx_bytes(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, UINT64_MAX, &a->peer.rx_bytes);
}

static bool keepalive(struct uapi_answer *a, struct str value)
{
	return u16_value(value, &a->peer.keepalive_s);
}

static bool allowed_ip(struct uapi_answer *a, struct str value)
{
	struct ip_prefix p, *row;

	if (!ip_prefix_parse(value, &p) || a->ips.count == DEVICE_ALLOWED_IPS_MAX)
		return false;
	row = rows_add(&a->ips);
	if (!row)
		return false;
	*row = p;
	return true;
}

/* ---- our extensions ---- */

static bool extensions(struct uapi_answer *a, struct str value)
{
	a->extended = str_eq(value, STR("1")); /* of another kind we know nothing */
	return true;
}

static bool mtu(struct uapi_answer *a, struct str value)
{
	return u16_value(value, &a->status.mtu);
}

static bool up(struct uapi_answer *a, struct str value)
{
	a->status.up = str_eq(value, STR("1"));
	return a->status.up || str_eq(value, STR("0"));
}

static bool workers(struct uapi_answer *a, struct str value)
{
	return u32_parse(value, 0, DATAPLANE_WORKERS_MAX, &a->status.workers);
}

static bool offloads(struct uapi_answer *a, struct str value)
{
	if (!u32_parse(value, 0, UINT32_MAX, &a->status.offloads))
		return false;
	a->status.offloads &= OFFLOAD_ALL;
	return true;
}

static bool count_of_peers(struct str value, size_t *out)
{
	uint64_t n;

	if (!u64_parse(value, 0, WG_PEERS_MAX, &n))
		return false;
	*out = (size_t)n;
	return true;
}

static bool peer_count(struct uapi_answer *a, struct str value)
{
	return count_of_peers(value, &a->status.peer_count);
}

static bool connected_count(struct uapi_answer *a, struct str value)
{
	return count_of_peers(value, &a->status.connected_count);
}

static bool all_rx_bytes(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, UINT64_MAX, &a->status.rx_bytes);
}

static bool all_tx_bytes(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, UINT64_MAX, &a->status.tx_bytes);
}

static bool rx_packets(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, UINT64_MAX, &a->peer.rx_packets);
}

static bool tx_packets(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, UINT64_MAX, &a->peer.tx_packets);
}

static bool rate_up(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, WG_RATE_MIN, WG_RATE_MAX, &a->peer.limits.rate_bps[WG_UP]);
}

static bool rate_down(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, WG_RATE_MIN, WG_RATE_MAX, &a->peer.limits.rate_bps[WG_DOWN]);
}

static bool burst(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, WG_BURST_MIN, WG_BURST_MAX, &a->peer.limits.burst);
}

static bool quota(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 1, WG_QUOTA_MAX, &a->peer.limits.quota);
}

static bool quota_used(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, UINT64_MAX, &a->peer.limits.quota_used);
}

static bool time_value(struct str value, int64_t *out)
{
	uint64_t ns;

	if (!u64_parse(value, 0, INT64_MAX, &ns))
		return false;
	*out = (int64_t)ns;
	return true;
}

static bool quota_out_at(struct uapi_answer *a, struct str value)
{
	return time_value(value, &a->peer.limits.quota_out_at);
}

static bool quota_out_wall(struct uapi_answer *a, struct str value)
{
	return time_value(value, &a->peer.quota_out_wall_ns);
}

static bool expires_s(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, INT64_MAX / NS_PER_S - 1, &a->expires_s);
}

static bool expires_ns(struct uapi_answer *a, struct str value)
{
	return u64_parse(value, 0, NS_PER_S - 1, &a->expires_ns);
}

static const struct key {
	struct str name;
	bool of_peer;
	bool (*read)(struct uapi_answer *a, struct str value);
} keys[] = {
	{ { "allowed_ip", 10 }, true, allowed_ip },
	{ { "preshared_key", 13 }, true, preshared_key },
	{ { "protocol_version", 16 }, true, protocol_version },
	{ { "endpoint", 8 }, true, endpoint },
	{ { "last_handshake_time_sec", 23 }, true, handshake_s },
	{ { "last_handshake_time_nsec", 24 }, true, handshake_ns },
	{ { "tx_bytes", 8 }, true, tx_bytes },
	{ { "rx_bytes", 8 }, true, rx_bytes },
	{ { "persistent_keepalive_interval", 29 }, true, keepalive },
	{ { "private_key", 11 }, false, private_key },
	{ { "listen_port", 11 }, false, listen_port },
	{ { "fwmark", 6 }, false, fwmark },
	{ { "qanat_rx_packets", 16 }, true, rx_packets },
	{ { "qanat_tx_packets", 16 }, true, tx_packets },
	{ { "qanat_rate_up", 13 }, true, rate_up },
	{ { "qanat_rate_down", 15 }, true, rate_down },
	{ { "qanat_burst", 11 }, true, burst },
	{ { "qanat_quota", 11 }, true, quota },
	{ { "qanat_quota_used", 16 }, true, quota_used },
	{ { "qanat_quota_out_at", 18 }, true, quota_out_at },
	{ { "qanat_quota_out_wall", 20 }, true, quota_out_wall },
	{ { "qanat_expires", 13 }, true, expires_s },
	{ { "qanat_expires_nsec", 18 }, true, expires_ns },
	{ { "qanat_extensions", 16 }, false, extensions },
	{ { "qanat_mtu", 9 }, false, mtu },
	{ { "qanat_up", 8 }, false, up },
	{ { "qanat_workers", 13 }, false, workers },
	{ { "qanat_offloads", 14 }, false, offloads },
	{ { "qanat_peers", 11 }, false, peer_count },
	{ { "qanat_connected", 15 }, false, connected_count },
	{ { "qanat_rx_bytes", 14 }, false, all_rx_bytes },
	{ { "qanat_tx_bytes", 14 }, false, all_tx_bytes },
};

/* Packets dropped for the reason that `name` ends with: of the peer, or of the device before the first
 * one.  Newer daemons may have more reasons. */
static bool drop_read(struct uapi_answer *a, struct str reason, struct str value)
{
	uint64_t *of = a->in_peer ? a->verdicts : a->status.verdicts, n;

	if (!u64_parse(value, 0, UINT64_MAX, &n))
		return false;
	for (unsigned v = DROP_MALFORMED; v < WG_VERDICTS; v++)
		if (str_eq(reason, str_of(wg_verdict_name((enum wg_verdict)v))))
			of[v] = n;
	return true;
}

/* ---- peers ---- */

static void peer_end(struct uapi_answer *a)
{
	struct wg_peer_info *p = &a->peer;

	if (!a->in_peer)
		return;
	p->last_handshake_wall_ns = (int64_t)a->handshake_s * NS_PER_S + (int64_t)a->handshake_ns;
	p->limits.expires_wall_ns = (int64_t)a->expires_s * NS_PER_S + (int64_t)a->expires_ns;
	p->allowed_ip_count = a->ips.count;
	if (!a->stopped)
		a->stopped = !a->fn(a->ctx, p, a->ips.count ? rows_at(&a->ips, 0) : NULL);
	wipe(p, sizeof *p);
	a->ips.count = 0;
	a->handshake_s = a->handshake_ns = a->expires_s = a->expires_ns = 0;
	memset(a->verdicts, 0, sizeof a->verdicts);
	a->in_peer = false;
}

static enum uapi_answer_state peer_begin(struct uapi_answer *a, struct str value, struct err *e)
{
	peer_end(a);
	if (!a->fn || a->peers++ == WG_PEERS_MAX) {
		(void)err_set(e, ERR_CORRUPT, "more peers than were asked for");
		return UAPI_ANSWER_BAD;
	}
	if (!hex_decode(a->peer.public_key.b, KEY_LEN, value)) {
		(void)err_set(e, ERR_CORRUPT, "public_key is no key");
		return UAPI_ANSWER_BAD;
	}
	a->in_peer = true;
	return UAPI_ANSWER_MORE;
}

/* ---- lines ---- */

/* Some daemons give the negative number, some its amount. */
static enum uapi_answer_state number_read(struct uapi_answer *a, struct str value, struct err *e)
{
	struct str digits = value;
	uint32_t n;

	if (digits.n && *digits.p == '-')
		digits = (struct str){ digits.p + 1, digits.n - 1 };
	if (!u32_parse(digits, 0, ERRNO_MAX, &n)) {
		(void)err_set(e, ERR_CORRUPT, "errno is no error's number");
		return UAPI_ANSWER_BAD;
	}
	peer_end(a);
	a->number = (int)n;
	a->ended = true;
	return UAPI_ANSWER_MORE;
}

/* A value may be a key: it is not repeated. */
static enum uapi_answer_state value_bad(const struct uapi_answer *a, struct str name, struct err *e)
{
	if (a->ips.no_memory)
		(void)err_set(e, ERR_NOMEM, "no memory for allowed IPs");
	else
		(void)err_set(e, ERR_CORRUPT, "%.*s has a value that it cannot have",
			      STR_ARG(name));
	return UAPI_ANSWER_BAD;
}

enum uapi_answer_state uapi_answer_line(struct uapi_answer *a, struct str line, struct err *e)
{
	const char *eq = line.n ? memchr(line.p, '=', line.n) : NULL;
	const struct str drop = STR("qanat_drop_");
	struct str name, value;

	if (a->ended && line.n == 0)
		return UAPI_ANSWER_DONE;
	if (a->ended || !eq) {
		(void)err_set(e, ERR_CORRUPT, "a line that is not key=value");
		return UAPI_ANSWER_BAD;
	}
	name = (struct str){ line.p, (size_t)(eq - line.p) };
	value = (struct str){ eq + 1, line.n - name.n - 1 };
	if (str_eq(name, STR("public_key")))
		return peer_begin(a, value, e);
	if (str_eq(name, STR("errno")))
		return number_read(a, value, e);
	if (str_starts(name, drop) &&
	    !drop_read(a, (struct str){ name.p + drop.n, name.n - drop.n }, value))
		return value_bad(a, drop, e);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!str_eq(keys[i].name, name))
			continue;
		if (keys[i].of_peer != a->in_peer || !keys[i].read(a, value))
			return value_bad(a, keys[i].name, e);
		break;
	}
	return UAPI_ANSWER_MORE;
}

enum uapi_answer_state uapi_answer_text(struct uapi_answer *a, struct str text, size_t *used,
					struct err *e)
{
	enum uapi_answer_state state = UAPI_ANSWER_MORE;
	const char *end;

	*used = 0;
	while (state == UAPI_ANSWER_MORE && *used < text.n) {
		const char *at = text.p + *used;
		size_t n;

		end = memchr(at, '\n', text.n - *used);
		n = end ? (size_t)(end - at) : text.n - *used;
		if (n > WG_UAPI_LINE_MAX) {
			(void)err_set(e, ERR_CORRUPT, "a line is too long");
			return UAPI_ANSWER_BAD;
		}
		if (!end)
			break;
		state = uapi_answer_line(a, (struct str){ at, n }, e);
		*used += n + 1;
	}
	return state;
}
