#include "nl/wireguard_codec.h"

#include <linux/netlink.h>
#include <linux/wireguard.h>

#include "nl/genl.h"

#define ATTR_HEADER 4u
/* Newer than the headers that we build with. */
#define ALLOWEDIP_FLAGS 4
#define ALLOWEDIP_REMOVE 1u

_Static_assert(WG_KEY_LEN == NL_WG_KEY, "the kernel's keys");
_Static_assert(NL_WG_MESSAGE_MAX <= UINT16_MAX, "no row outgrows its length field");

/* ---- writing ---- */

static void wr_u16(struct wr *w, uint16_t v)
{
	wr_bytes(w, &v, sizeof v);
}

static void put(struct wr *w, uint16_t type, const void *p, size_t n)
{
	wr_u16(w, (uint16_t)(ATTR_HEADER + n));
	wr_u16(w, type);
	wr_bytes(w, p, n);
	wr_zero(w, (4 - n % 4) % 4);
}

static void put_u32(struct wr *w, uint16_t type, uint32_t v)
{
	put(w, type, &v, sizeof v);
}

/* Opens a row, or one element of it; returns where. */
static size_t open_row(struct wr *w, uint16_t type)
{
	size_t at = w->n;

	wr_u16(w, 0);
	wr_u16(w, type | NLA_F_NESTED);
	return at;
}

static void close_row(struct wr *w, size_t *at)
{
	uint16_t len = (uint16_t)(w->n - *at);

	if (*at)
		memcpy(w->p + *at, &len, sizeof len);
	*at = 0;
}

static void message_begin(struct nl_wg_writer *w)
{
	w->w.n = 0;
	w->peers_at = w->peer_at = w->ips_at = 0;
	wr_le32(&w->w, 0); /* length, patched when it is sent */
	wr_u16(&w->w, w->family);
	wr_u16(&w->w, NLM_F_REQUEST);
	wr_zero(&w->w, 8); /* sequence and port: the sender's */
	wr_u8(&w->w, WG_CMD_SET_DEVICE);
	wr_u8(&w->w, WG_GENL_VERSION);
	wr_zero(&w->w, 2);
	put_u32(&w->w, WGDEVICE_A_IFINDEX, w->ifindex);
}

static void message_end(struct nl_wg_writer *w)
{
	close_row(&w->w, &w->ips_at);
	close_row(&w->w, &w->peer_at);
	close_row(&w->w, &w->peers_at);
	store_le32(w->w.p, (uint32_t)w->w.n);
	w->send(w->ctx, w->w.p, w->w.n);
}

void nl_wg_write_begin(struct nl_wg_writer *w, void *room, size_t cap,
		       const struct nl_wg_device_set *d)
{
	w->w = wr_over(room, cap);
	message_begin(w);
	if (d->private_key)
		put(&w->w, WGDEVICE_A_PRIVATE_KEY, d->private_key, NL_WG_KEY);
	if (d->listen_port)
		put(&w->w, WGDEVICE_A_LISTEN_PORT, d->listen_port, sizeof *d->listen_port);
	if (d->fwmark)
		put_u32(&w->w, WGDEVICE_A_FWMARK, *d->fwmark);
	if (d->replace_peers) /* once: the next message would remove what this one brought */
		put_u32(&w->w, WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS);
	BUG_ON(w->w.full);
}

static void open_peer(struct nl_wg_writer *w)
{
	close_row(&w->w, &w->ips_at);
	close_row(&w->w, &w->peer_at);
	if (!w->peers_at)
		w->peers_at = open_row(&w->w, WGDEVICE_A_PEERS);
	w->peer_at = open_row(&w->w, 0);
	put(&w->w, WGPEER_A_PUBLIC_KEY, w->key, NL_WG_KEY);
}

static void put_peer(struct nl_wg_writer *w, const struct nl_wg_peer_set *p)
{
	uint32_t flags = (p->remove ? WGPEER_F_REMOVE_ME : 0u) |
			 (p->update_only ? WGPEER_F_UPDATE_ONLY : 0u) |
			 (p->replace_allowed_ips ? WGPEER_F_REPLACE_ALLOWEDIPS : 0u);
	struct sockaddr_storage sa;

	open_peer(w);
	if (flags)
		put_u32(&w->w, WGPEER_A_FLAGS, flags);
	if (p->psk)
		put(&w->w, WGPEER_A_PRESHARED_KEY, p->psk, NL_WG_KEY);
	if (p->endpoint)
		put(&w->w, WGPEER_A_ENDPOINT, &sa, endpoint_to_sockaddr(p->endpoint, &sa));
	if (p->keepalive_s)
		put(&w->w, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, p->keepalive_s,
		    sizeof *p->keepalive_s);
}

/* Takes back what did not fit, so that the message ends before it. */
static void take_back(struct nl_wg_writer *w, const struct nl_wg_writer *before)
{
	*w = *before;
	message_end(w);
	message_begin(w);
}

void nl_wg_write_peer(struct nl_wg_writer *w, const struct nl_wg_peer_set *p)
{
	struct nl_wg_writer before;

	/* What the previous peer has open is closed first, so that `before` is a whole message. */
	close_row(&w->w, &w->ips_at);
	close_row(&w->w, &w->peer_at);
	before = *w;
	memcpy(w->key, p->public_key, sizeof w->key);
	w->update_only = p->update_only;
	put_peer(w, p);
	if (w->w.full) {
		take_back(w, &before);
		memcpy(w->key, p->public_key, sizeof w->key);
		w->update_only = p->update_only;
		put_peer(w, p);
	}
	BUG_ON(w->w.full);
}

static void put_allowed_ip(struct nl_wg_writer *w, const struct ip_prefix *ip, bool remove)
{
	uint16_t family = ip->addr.family == IP_V4 ? AF_INET : AF_INET6;
	size_t at;

	if (!w->ips_at)
		w->ips_at = open_row(&w->w, WGPEER_A_ALLOWEDIPS);
	at = open_row(&w->w, 0);
	put(&w->w, WGALLOWEDIP_A_FAMILY, &family, sizeof family);
	put(&w->w, WGALLOWEDIP_A_IPADDR, ip->addr.b, ip_bits(ip->addr.family) / 8);
	put(&w->w, WGALLOWEDIP_A_CIDR_MASK, &ip->len, sizeof ip->len);
	if (remove)
		put_u32(&w->w, ALLOWEDIP_FLAGS, ALLOWEDIP_REMOVE);
	if (!w->w.full)
		close_row(&w->w, &at);
}

/* The rest of a peer.  Not again what was set: a second "replace" would remove the first part.  But
 * a peer that was not to be made must not be made now. */
static void continue_peer(struct nl_wg_writer *w)
{
	open_peer(w);
	if (w->update_only)
		put_u32(&w->w, WGPEER_A_FLAGS, WGPEER_F_UPDATE_ONLY);
}

void nl_wg_write_allowed_ip(struct nl_wg_writer *w, const struct ip_prefix *ip, bool remove)
{
	struct nl_wg_writer before = *w;

	BUG_ON(!ip_bits(ip->addr.family) || !w->peer_at);
	put_allowed_ip(w, ip, remove);
	if (w->w.full) {
		take_back(w, &before);
		continue_peer(w);
		put_allowed_ip(w, ip, remove);
	}
	BUG_ON(w->w.full);
}

void nl_wg_write_end(struct nl_wg_writer *w)
{
	message_end(w);
}

/* ---- reading ---- */

/* A key of exactly its length, or *out stays. */
static bool get_key(struct rd value, uint8_t out[NL_WG_KEY])
{
	return value.left == NL_WG_KEY && rd_copy(&value, out, NL_WG_KEY);
}

static void get_u16(struct rd value, uint16_t *out)
{
	uint16_t v = nl_rd_u16(&value);

	if (!value.bad)
		*out = v;
}

static void get_u64(struct rd value, uint64_t *out)
{
	uint64_t v = rd_le64(&value);

	if (!value.bad)
		*out = v;
}

static void get_endpoint(struct rd value, struct endpoint *out)
{
	struct sockaddr_storage sa = { 0 };
	size_t n = value.left;
	struct endpoint found;

	if (n <= sizeof sa && rd_copy(&value, &sa, n) &&
	    endpoint_from_sockaddr(&found, (const struct sockaddr *)&sa, (socklen_t)n))
		*out = found;
}

/* struct __kernel_timespec: seconds, nanoseconds. */
static void get_time(struct rd value, struct nl_wg_peer *out)
{
	int64_t s = (int64_t)rd_le64(&value), ns = (int64_t)rd_le64(&value);

	if (!rd_done(&value) || s < 0 || ns < 0 || ns >= 1000000000)
		return;
	out->handshake_s = s;
	out->handshake_ns = ns;
}

static void get_peer_attr(uint16_t type, struct rd value, struct nl_wg_peer *p, bool *has_key)
{
	switch (type) {
	case WGPEER_A_PUBLIC_KEY:
		*has_key = get_key(value, p->public_key);
		break;
	case WGPEER_A_PRESHARED_KEY:
		get_key(value, p->psk);
		break;
	case WGPEER_A_ENDPOINT:
		get_endpoint(value, &p->endpoint);
		break;
	case WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
		get_u16(value, &p->keepalive_s);
		break;
	case WGPEER_A_LAST_HANDSHAKE_TIME:
		get_time(value, p);
		break;
	case WGPEER_A_RX_BYTES:
		get_u64(value, &p->rx_bytes);
		break;
	case WGPEER_A_TX_BYTES:
		get_u64(value, &p->tx_bytes);
		break;
	default:
		break;
	}
}

static bool parse_allowed_ip(struct rd r, struct ip_prefix *out)
{
	struct ip_prefix ip = { 0 };
	struct rd value, address = { 0 };
	uint16_t type, family = AF_UNSPEC;

	while (nl_attr_next(&r, &type, &value)) {
		if (type == WGALLOWEDIP_A_FAMILY)
			get_u16(value, &family);
		else if (type == WGALLOWEDIP_A_IPADDR)
			address = value;
		else if (type == WGALLOWEDIP_A_CIDR_MASK)
			ip.len = rd_u8(&value);
	}
	ip.addr.family = family == AF_INET ? IP_V4 : family == AF_INET6 ? IP_V6 : IP_NONE;
	if (!ip.addr.family || address.left != ip_bits(ip.addr.family) / 8 ||
	    ip.len > ip_bits(ip.addr.family) || !rd_copy(&address, ip.addr.b, address.left))
		return false;
	*out = ip;
	return true;
}

static bool parse_allowed_ips(struct rd r, const struct nl_wg_sink *sink)
{
	struct ip_prefix ip;
	struct rd value;
	uint16_t type;

	while (nl_attr_next(&r, &type, &value))
		if (!parse_allowed_ip(value, &ip) || !sink->allowed_ip(sink->ctx, &ip))
			return false;
	return true;
}

static bool parse_peer(struct rd r, const struct nl_wg_sink *sink)
{
	struct rd value, ips = { 0 };
	struct nl_wg_peer p = { 0 };
	bool has_key = false, ok;
	uint16_t type;

	while (nl_attr_next(&r, &type, &value)) {
		if (type == WGPEER_A_ALLOWEDIPS)
			ips = value;
		else
			get_peer_attr(type, value, &p, &has_key);
	}
	ok = has_key && (sink->continues(sink->ctx, p.public_key) || sink->peer(sink->ctx, &p));
	wipe(p.psk, sizeof p.psk);
	return ok && parse_allowed_ips(ips, sink);
}

static bool parse_peers(struct rd r, const struct nl_wg_sink *sink)
{
	struct rd value;
	uint16_t type;

	while (nl_attr_next(&r, &type, &value))
		if (!parse_peer(value, sink))
			return false;
	return true;
}

static bool parse_device_attr(uint16_t type, struct rd value, struct nl_wg_device *d,
			      const struct nl_wg_sink *sink)
{
	switch (type) {
	case WGDEVICE_A_IFINDEX:
		nl_attr_u32(value, &d->ifindex);
		return true;
	case WGDEVICE_A_IFNAME:
		return str_copy(d->name, sizeof d->name, nl_attr_text(value));
	case WGDEVICE_A_PRIVATE_KEY:
		get_key(value, d->private_key);
		return true;
	case WGDEVICE_A_PUBLIC_KEY:
		get_key(value, d->public_key);
		return true;
	case WGDEVICE_A_LISTEN_PORT:
		get_u16(value, &d->listen_port);
		return true;
	case WGDEVICE_A_FWMARK:
		nl_attr_u32(value, &d->fwmark);
		return true;
	case WGDEVICE_A_PEERS:
		return parse_peers(value, sink);
	default:
		return true;
	}
}

bool nl_wg_parse(const struct nl_message *m, struct nl_wg_device *d, const struct nl_wg_sink *sink)
{
	struct rd r = m->body, value;
	uint16_t type;

	if (!rd_bytes(&r, NL_GENL_HEADER))
		return false;
	while (nl_attr_next(&r, &type, &value))
		if (!parse_device_attr(type, value, d, sink))
			return false;
	return true;
}
