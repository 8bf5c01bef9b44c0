#include "wg/uapi.h"

#include <errno.h>

#include "base/clock.h"
#include "base/encode.h"

struct wg_uapi_set {
	struct wg_uapi_target target;
	bool in_peer; /* a public_key line was seen: the keys that follow are the peer's */
	struct wg_peer_change peer;
	struct wg_allowed_ip *ips; /* WG_UAPI_PART_MAX of them, made with the first */
	size_t ip_count;
	int failed; /* the negative errno to answer */
	struct err why;
};

/* ---- errors ---- */

/* The number that makes wg(8) print a fitting sentence. */
static int errno_of(const struct err *e)
{
	if (e->sys > 0)
		return e->sys;
	switch (e->code) {
	case ERR_NOMEM:
		return ENOMEM;
	case ERR_FULL:
		return ENOSPC;
	case ERR_IN_USE:
		return EADDRINUSE;
	case ERR_EXISTS:
		return EEXIST;
	case ERR_NOT_FOUND:
		return ENOENT;
	case ERR_DENIED:
		return EPERM;
	case ERR_UNSUPPORTED:
		return EOPNOTSUPP;
	case ERR_TIMEOUT:
		return ETIMEDOUT;
	case ERR_IO:
	case ERR_CLOSED:
	case ERR_CORRUPT:
		return EIO;
	case ERR_OK:
	case ERR_INVALID:
	case ERR_RANGE:
	case ERR_MISSING:
		break;
	}
	return EINVAL;
}

/* Remembers the answer to what a target's function said. */
static void applied(struct wg_uapi_set *s, enum err_code rc)
{
	if (rc == ERR_OK)
		return;
	if (s->why.code == ERR_OK)
		err_set(&s->why, rc, "%s", err_name(rc));
	s->failed = -errno_of(&s->why);
}

static void refuse(struct wg_uapi_set *s, int number, const char *key, struct str value,
		   const char *wanted)
{
	char shown[64];

	text_escaped(shown, sizeof shown, value);
	err_set(&s->why, ERR_INVALID, "%s=%s: %s", key, shown, wanted);
	s->failed = -number;
}

/* The same where the value is a secret. */
static void refuse_secret(struct wg_uapi_set *s, const char *key)
{
	err_set(&s->why, ERR_INVALID, "%s: a key is 64 hexadecimal digits", key);
	s->failed = -EINVAL;
}

/* ---- the peer being read ---- */

/* Hands on what is known of the peer; `more`: further allowed IPs of it may follow. */
static void peer_apply(struct wg_uapi_set *s, bool more)
{
	struct wg_peer_change *c = &s->peer;

	if (!s->in_peer || s->failed)
		return;
	c->allowed_ips = s->ips;
	c->allowed_ip_count = s->ip_count;
	applied(s, s->target.change_peer(s->target.ctx, c, &s->why));
	s->ip_count = 0;
	/* What was carried out must not be done again by the next part: a second
	 * replace_allowed_ips would remove the first part. */
	c->replace_allowed_ips = false;
	c->has_psk = false;
	c->has_endpoint = false;
	c->has_keepalive = false;
	c->limits.set = 0;
	wipe(&c->psk, sizeof c->psk);
	if (!more)
		s->in_peer = false;
}

static void peer_begin(struct wg_uapi_set *s, struct str value)
{
	struct public_key k;

	peer_apply(s, false);
	if (s->failed)
		return;
	if (!hex_decode(k.b, sizeof k.b, value)) {
		refuse(s, EINVAL, "public_key", value, "a key is 64 hexadecimal digits");
		return;
	}
	s->peer = (struct wg_peer_change){ .public_key = k };
	s->in_peer = true;
}

static void add_allowed_ip(struct wg_uapi_set *s, struct str value)
{
	struct wg_allowed_ip ip = { 0 };
	struct str prefix = value;

	if (prefix.n && prefix.p[0] == '-') {
		ip.remove = true;
		prefix = (struct str){ prefix.p + 1, prefix.n - 1 };
	}
	if (!prefix.n || !memchr(prefix.p, '/', prefix.n) || !ip_prefix_parse(prefix, &ip.prefix)) {
		refuse(s, EINVAL, "allowed_ip", value, "not an address with a prefix length");
		return;
	}
	ip_prefix_mask(&ip.prefix);
	if (!s->ips)
		s->ips = malloc(WG_UAPI_PART_MAX * sizeof *s->ips);
	if (!s->ips) {
		applied(s, err_set(&s->why, ERR_NOMEM, "allowed IPs of a peer"));
		return;
	}
	s->ips[s->ip_count++] = ip;
	if (s->ip_count == WG_UAPI_PART_MAX)
		peer_apply(s, true);
}

/* ---- one key each ---- */

static void key_private(struct wg_uapi_set *s, struct str value)
{
	struct secret_key k;

	if (hex_decode(k.b, sizeof k.b, value))
		applied(s, s->target.set_private_key(s->target.ctx, &k, &s->why));
	else
		refuse_secret(s, "private_key");
	wipe(&k, sizeof k);
}

static void key_listen_port(struct wg_uapi_set *s, struct str value)
{
	uint32_t port;

	if (u32_parse(value, 0, UINT16_MAX, &port))
		applied(s, s->target.set_listen_port(s->target.ctx, (uint16_t)port, &s->why));
	else
		refuse(s, EINVAL, "listen_port", value, "a port is 0 to 65535");
}

static void key_fwmark(struct wg_uapi_set *s, struct str value)
{
	uint32_t mark;

	if (u32_parse(value, 0, UINT32_MAX, &mark))
		applied(s, s->target.set_fwmark(s->target.ctx, mark, &s->why));
	else
		refuse(s, EINVAL, "fwmark", value, "a mark is a decimal number of 32 bits");
}

/* Flags of the protocol can only be set: the one value they know is "true". */
static bool flag_true(struct wg_uapi_set *s, const char *key, struct str value)
{
	if (str_eq(value, STR("true")))
		return true;
	refuse(s, EINVAL, key, value, "only \"true\" is possible");
	return false;
}

static void key_replace_peers(struct wg_uapi_set *s, struct str value)
{
	if (flag_true(s, "replace_peers", value))
		applied(s, s->target.replace_peers(s->target.ctx, &s->why));
}

static void key_remove(struct wg_uapi_set *s, struct str value)
{
	if (flag_true(s, "remove", value))
		s->peer.remove = true;
}

static void key_update_only(struct wg_uapi_set *s, struct str value)
{
	if (flag_true(s, "update_only", value))
		s->peer.update_only = true;
}

static void key_replace_allowed_ips(struct wg_uapi_set *s, struct str value)
{
	if (!flag_true(s, "replace_allowed_ips", value))
		return;
	s->peer.replace_allowed_ips = true;
	s->ip_count = 0; /* also those named before this line */
}

static void key_preshared(struct wg_uapi_set *s, struct str value)
{
	s->peer.has_psk = hex_decode(s->peer.psk.b, sizeof s->peer.psk.b, value);
	if (!s->peer.has_psk)
		refuse_secret(s, "preshared_key");
}

static void key_endpoint(struct wg_uapi_set *s, struct str value)
{
	s->peer.has_endpoint = endpoint_parse(value, &s->peer.endpoint);
	if (!s->peer.has_endpoint)
		refuse(s, EINVAL, "endpoint", value, "not an address with a port");
}

static void key_keepalive(struct wg_uapi_set *s, struct str value)
{
	uint32_t seconds;

	if (u32_parse(value, 0, UINT16_MAX, &seconds)) {
		s->peer.has_keepalive = true;
		s->peer.keepalive_s = (uint16_t)seconds;
	} else {
		refuse(s, EINVAL, "persistent_keepalive_interval", value, "0 to 65535 seconds");
	}
}

/* ---- ours, which no other daemon has: a peer's limits ---- */

static void limit(struct wg_uapi_set *s, const char *key, struct str value, unsigned field,
		  uint64_t *out)
{
	if (u64_parse(value, 0, UINT64_MAX, out))
		s->peer.limits.set |= field;
	else
		refuse(s, EINVAL, key, value, "not a decimal number");
}

static void key_rate_up(struct wg_uapi_set *s, struct str value)
{
	limit(s, "qanat_rate_up", value, WG_SET_RATE_UP, &s->peer.limits.rate_bps[WG_UP]);
}

static void key_rate_down(struct wg_uapi_set *s, struct str value)
{
	limit(s, "qanat_rate_down", value, WG_SET_RATE_DOWN, &s->peer.limits.rate_bps[WG_DOWN]);
}

static void key_burst(struct wg_uapi_set *s, struct str value)
{
	limit(s, "qanat_burst", value, WG_SET_BURST, &s->peer.limits.burst);
}

static void key_quota(struct wg_uapi_set *s, struct str value)
{
	limit(s, "qanat_quota", value, WG_SET_QUOTA, &s->peer.limits.quota);
}

static void key_quota_used(struct wg_uapi_set *s, struct str value)
{
	limit(s, "qanat_quota_used", value, WG_SET_QUOTA_USED, &s->peer.limits.quota_used);
}

static void key_expires(struct wg_uapi_set *s, struct str value)
{
	uint64_t seconds;

	if (!u64_parse(value, 0, (uint64_t)(INT64_MAX / NS_PER_S) - 1, &seconds)) {
		refuse(s, EINVAL, "qanat_expires", value, "not in seconds since 1970");
		return;
	}
	s->peer.limits.set |= WG_SET_EXPIRES;
	s->peer.limits.expires_wall_ns = (int64_t)seconds * NS_PER_S;
}

/* Behind the seconds that it adds to. */
static void key_expires_nsec(struct wg_uapi_set *s, struct str value)
{
	struct wg_limits_change *l = &s->peer.limits;
	uint64_t ns;

	if (!u64_parse(value, 0, NS_PER_S - 1, &ns))
		refuse(s, EINVAL, "qanat_expires_nsec", value, "0 to 999999999");
	else if (!(l->set & WG_SET_EXPIRES))
		refuse(s, EINVAL, "qanat_expires_nsec", value,
		       "there is no qanat_expires before it");
	else
		l->expires_wall_ns += (int64_t)ns - l->expires_wall_ns % NS_PER_S;
}

static void key_protocol_version(struct wg_uapi_set *s, struct str value)
{
	if (!str_eq(value, STR("1")))
		refuse(s, EINVAL, "protocol_version", value, "only version 1 exists");
}

/* The keys of `set`, those of a large configuration first. */
static const struct key {
	struct str name;
	enum { DEVICE, PEER, STARTS_PEER } of;
	void (*read)(struct wg_uapi_set *s, struct str value);
} keys[] = {
	{ { "allowed_ip", 10 }, PEER, add_allowed_ip },
	{ { "public_key", 10 }, STARTS_PEER, peer_begin },
	{ { "preshared_key", 13 }, PEER, key_preshared },
	{ { "replace_allowed_ips", 19 }, PEER, key_replace_allowed_ips },
	{ { "endpoint", 8 }, PEER, key_endpoint },
	{ { "persistent_keepalive_interval", 29 }, PEER, key_keepalive },
	{ { "protocol_version", 16 }, PEER, key_protocol_version },
	{ { "update_only", 11 }, PEER, key_update_only },
	{ { "remove", 6 }, PEER, key_remove },
	{ { "qanat_rate_up", 13 }, PEER, key_rate_up },
	{ { "qanat_rate_down", 15 }, PEER, key_rate_down },
	{ { "qanat_burst", 11 }, PEER, key_burst },
	{ { "qanat_quota", 11 }, PEER, key_quota },
	{ { "qanat_quota_used", 16 }, PEER, key_quota_used },
	{ { "qanat_expires", 13 }, PEER, key_expires },
	{ { "qanat_expires_nsec", 18 }, PEER, key_expires_nsec },
	{ { "private_key", 11 }, DEVICE, key_private },
	{ { "listen_port", 11 }, DEVICE, key_listen_port },
	{ { "fwmark", 6 }, DEVICE, key_fwmark },
	{ { "replace_peers", 13 }, DEVICE, key_replace_peers },
};

static const struct key *key_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (str_eq(keys[i].name, name))
			return &keys[i];
	return NULL;
}

void wg_uapi_set_line(struct wg_uapi_set *s, struct str line)
{
	const char *eq = line.n ? memchr(line.p, '=', line.n) : NULL;
	const struct key *k;
	struct str name, value;

	if (s->failed)
		return;
	if (!eq || line.n > WG_UAPI_LINE_MAX) {
		/* The line may hold a key under a misspelt name: it is not repeated. */
		err_set(&s->why, ERR_INVALID, "a line that is not key=value");
		s->failed = -EPROTO;
		return;
	}
	name = (struct str){ line.p, (size_t)(eq - line.p) };
	value = (struct str){ eq + 1, line.n - name.n - 1 };
	k = key_find(name);
	if (!k || (k->of == PEER && !s->in_peer) || (k->of == DEVICE && s->in_peer)) {
		char shown[64];

		text_escaped(shown, sizeof shown, name);
		err_set(&s->why, ERR_INVALID, "%s: no such key of a %s", shown,
			s->in_peer ? "peer" : "device");
		s->failed = -EINVAL;
		return;
	}
	k->read(s, value);
}

int wg_uapi_set_end(struct wg_uapi_set *s, struct err *e)
{
	peer_apply(s, false);
	if (s->failed && e)
		*e = s->why;
	return s->failed;
}

bool wg_uapi_set_failed(const struct wg_uapi_set *s)
{
	return s->failed != 0;
}

struct wg_uapi_set *wg_uapi_set_new(const struct wg_uapi_target *t)
{
	struct wg_uapi_set *s = calloc(1, sizeof *s);

	if (s)
		s->target = *t;
	return s;
}

void wg_uapi_set_free(struct wg_uapi_set *s)
{
	if (!s)
		return;
	free(s->ips);
	wipe(s, sizeof *s);
	free(s);
}

/* ---- get ---- */

/* printf is too slow for a dump of many peers; this is most of what a dump writes. */
static void put_u64(struct buf *out, struct str name, uint64_t v)
{
	char digits[24];
	size_t at = sizeof digits;

	digits[--at] = '\n';
	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_str(out, name);
	buf_add(out, digits + at, sizeof digits - at);
}

static void put_key(struct buf *out, struct str name, const uint8_t key[KEY_LEN])
{
	char hex[HEX_LEN(KEY_LEN) + 1];

	hex_encode(hex, key, KEY_LEN);
	buf_str(out, name);
	buf_add(out, hex, HEX_LEN(KEY_LEN));
	buf_char(out, '\n');
	wipe(hex, sizeof hex);
}

void wg_uapi_put_device(struct buf *out, const struct secret_key *k, uint16_t listen_port,
			uint32_t fwmark)
{
	if (k && !ct_is_zero(k->b, sizeof k->b))
		put_key(out, STR("private_key="), k->b);
	if (listen_port)
		put_u64(out, STR("listen_port="), listen_port);
	if (fwmark)
		put_u64(out, STR("fwmark="), fwmark);
}

void wg_uapi_put_peer(struct buf *out, const struct wg_peer_info *p)
{
	uint64_t at = p->last_handshake_wall_ns > 0 ? (uint64_t)p->last_handshake_wall_ns : 0;
	char text[ENDPOINT_TEXT_MAX];

	put_key(out, STR("public_key="), p->public_key.b);
	put_key(out, STR("preshared_key="), p->psk.b);
	buf_str(out, STR("protocol_version=1\n"));
	if (p->endpoint.addr.family != IP_NONE) {
		endpoint_format(text, &p->endpoint);
		buf_str(out, STR("endpoint="));
		buf_z(out, text);
		buf_char(out, '\n');
	}
	put_u64(out, STR("last_handshake_time_sec="), at / (uint64_t)NS_PER_S);
	put_u64(out, STR("last_handshake_time_nsec="), at % (uint64_t)NS_PER_S);
	put_u64(out, STR("tx_bytes="), p->tx_bytes);
	put_u64(out, STR("rx_bytes="), p->rx_bytes);
	put_u64(out, STR("persistent_keepalive_interval="), p->keepalive_s);
}

static void put_expires(struct buf *out, int64_t wall_ns)
{
	put_u64(out, STR("qanat_expires="), (uint64_t)(wall_ns / NS_PER_S));
	if (wall_ns % NS_PER_S)
		put_u64(out, STR("qanat_expires_nsec="), (uint64_t)(wall_ns % NS_PER_S));
}

static void put_limits(struct buf *out, const struct wg_peer_info *p)
{
	const struct wg_limits_info *l = &p->limits;

	if (l->rate_bps[WG_UP])
		put_u64(out, STR("qanat_rate_up="), l->rate_bps[WG_UP]);
	if (l->rate_bps[WG_DOWN])
		put_u64(out, STR("qanat_rate_down="), l->rate_bps[WG_DOWN]);
	if (l->burst)
		put_u64(out, STR("qanat_burst="), l->burst);
	if (l->quota) {
		put_u64(out, STR("qanat_quota="), l->quota);
		put_u64(out, STR("qanat_quota_used="), l->quota_used);
	}
	if (l->quota_out_at > 0)
		put_u64(out, STR("qanat_quota_out_at="), (uint64_t)l->quota_out_at);
	if (p->quota_out_wall_ns > 0)
		put_u64(out, STR("qanat_quota_out_wall="), (uint64_t)p->quota_out_wall_ns);
	if (l->expires_wall_ns > 0)
		put_expires(out, l->expires_wall_ns);
}

void wg_uapi_put_drops(struct buf *out, const uint64_t verdicts[WG_VERDICTS])
{
	for (unsigned v = DROP_MALFORMED; v < WG_VERDICTS; v++) {
		if (!verdicts[v])
			continue;
		buf_printf(out, "qanat_drop_%s", wg_verdict_name((enum wg_verdict)v));
		put_u64(out, STR("="), verdicts[v]);
	}
}

void wg_uapi_put_extensions(struct buf *out, const struct wg_peer_info *p,
			    const uint64_t verdicts[WG_VERDICTS])
{
	if (p->rx_packets)
		put_u64(out, STR("qanat_rx_packets="), p->rx_packets);
	if (p->tx_packets)
		put_u64(out, STR("qanat_tx_packets="), p->tx_packets);
	put_limits(out, p);
	wg_uapi_put_drops(out, verdicts);
}

void wg_uapi_put_limits_change(struct buf *out, const struct wg_limits_change *l)
{
	if (l->set & WG_SET_RATE_UP)
		put_u64(out, STR("qanat_rate_up="), l->rate_bps[WG_UP]);
	if (l->set & WG_SET_RATE_DOWN)
		put_u64(out, STR("qanat_rate_down="), l->rate_bps[WG_DOWN]);
	if (l->set & WG_SET_BURST)
		put_u64(out, STR("qanat_burst="), l->burst);
	if (l->set & WG_SET_QUOTA)
		put_u64(out, STR("qanat_quota="), l->quota);
	if (l->set & WG_SET_QUOTA_USED)
		put_u64(out, STR("qanat_quota_used="), l->quota_used);
	if (l->set & WG_SET_EXPIRES)
		put_expires(out, l->expires_wall_ns);
}

void wg_uapi_put_allowed_ips(struct buf *out, const struct ip_prefix *ips, size_t n)
{
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		ip_prefix_format(text, &ips[i]);
		buf_str(out, STR("allowed_ip="));
		buf_z(out, text);
		buf_char(out, '\n');
	}
}
