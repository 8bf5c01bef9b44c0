/* Another daemon's device, by its UAPI socket. */
#include <errno.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/ifname.h"
#include "device/backend.h"
#include "device/uapi_connection.h"
#include "nl/rtnl.h"
#include "wg/uapi.h"

/* Peers in one request.  A daemon carries a request out peer by peer, so that one long request is no
 * more of a transaction than several; but when one fails, so many are asked for again at most. */
#define SET_PEERS 512

struct uapi {
	struct device device; /* first */
	struct uapi_connection *connection;
	struct nl *nl; /* NULL: the interface's name is not known */
	bool extends; /* it may speak our extensions, and is asked for them */
	bool extended; /* it has done so */
	bool owner; /* what it does is ours to end */
};

/* What our own daemons do beyond the protocol. */
#define EXTENDED_CAN (DEVICE_CAN_DROPS | DEVICE_CAN_LIMITS)

static struct uapi *uapi_of(struct device *d)
{
	return CONTAINER_OF(d, struct uapi, device);
}

static void uapi_close(struct device *d)
{
	struct uapi *u = uapi_of(d);

	uapi_connection_free(u->connection);
	nl_close(u->nl);
	free(u);
}

/* ---- requests as text ---- */

static void put_hex(struct buf *out, const char *key, const uint8_t b[KEY_LEN])
{
	char hex[HEX_LEN(KEY_LEN) + 1];

	hex_encode(hex, b, KEY_LEN);
	buf_z(out, key);
	buf_add(out, hex, HEX_LEN(KEY_LEN));
	buf_char(out, '\n');
	wipe(hex, sizeof hex);
}

/* What a get is to tell of; other than all only where extensions are spoken. */
struct get {
	bool extensions;
	bool summary; /* the device alone */
	const struct public_key *peer; /* that one alone; NULL: all */
};

static void put_get(struct buf *out, struct uapi_connection *c, const void *request)
{
	const struct get *g = request;

	(void)c;
	buf_z(out, "get=1\n");
	if (!g->extensions)
		return;
	buf_z(out, "extensions=1\n");
	if (g->summary)
		buf_z(out, "summary=1\n");
	else if (g->peer)
		put_hex(out, "peer=", g->peer->b);
}

static void put_own(struct buf *out, struct uapi_connection *c, const void *request)
{
	const struct device_change *own = request;

	(void)c;
	buf_z(out, "set=1\n");
	if (own->has_private_key)
		put_hex(out, "private_key=", own->to.private_key.b);
	if (own->has_listen_port)
		buf_printf(out, "listen_port=%u\n", own->to.listen_port);
	if (own->has_fwmark)
		buf_printf(out, "fwmark=%u\n", own->to.fwmark);
}

static void put_remove_all(struct buf *out, struct uapi_connection *c, const void *request)
{
	(void)c;
	(void)request;
	buf_z(out, "set=1\nreplace_peers=true\n");
}

static void put_endpoint(struct buf *out, const struct endpoint *to)
{
	char text[ENDPOINT_TEXT_MAX];

	endpoint_format(text, to);
	buf_printf(out, "endpoint=%s\n", text);
}

/* Without `limits` those of the change say "none", which needs no saying. */
static void put_peer(struct buf *out, struct uapi_connection *c, const struct wg_peer_change *p,
		     bool limits)
{
	char text[PREFIX_TEXT_MAX];

	put_hex(out, "public_key=", p->public_key.b);
	if (p->remove) {
		buf_z(out, "remove=true\n");
		return;
	}
	if (p->update_only)
		buf_z(out, "update_only=true\n");
	if (p->has_psk)
		put_hex(out, "preshared_key=", p->psk.b);
	if (p->has_endpoint)
		put_endpoint(out, &p->endpoint);
	if (p->has_keepalive)
		buf_printf(out, "persistent_keepalive_interval=%u\n", p->keepalive_s);
	if (limits)
		wg_uapi_put_limits_change(out, &p->limits);
	if (p->replace_allowed_ips)
		buf_z(out, "replace_allowed_ips=true\n");
	for (size_t i = 0; i < p->allowed_ip_count; i++) {
		ip_prefix_format(text, &p->allowed_ips[i].prefix);
		buf_z(out, p->allowed_ips[i].remove ? "allowed_ip=-" : "allowed_ip=");
		buf_z(out, text);
		buf_char(out, '\n');
		uapi_put_piece(out, c);
	}
}

struct changes {
	const struct wg_peer_change *p;
	size_t n;
	bool limits; /* are spoken of */
};

static void put_peers(struct buf *out, struct uapi_connection *c, const void *request)
{
	const struct changes *all = request;

	buf_z(out, "set=1\n");
	for (size_t i = 0; i < all->n; i++) {
		put_peer(out, c, &all->p[i], all->limits);
		uapi_put_piece(out, c);
	}
}

/* ---- asking ---- */

static enum err_code named(const struct device *d, enum err_code rc, struct err *e)
{
	return rc && *d->ifname ? err_wrap(e, rc, "interface %s", d->ifname) : rc;
}

/* The daemon's number, as an error.  err_sys has no code for what is wrong with a request. */
static enum err_code refused(const struct device *d, int number, struct err *e)
{
	enum err_code rc = err_sys(e, number, "the daemon refuses");

	if (number == EINVAL || number == EPROTO)
		rc = ERR_INVALID;
	else if (number == EOPNOTSUPP)
		rc = ERR_UNSUPPORTED;
	if (e)
		e->code = rc;
	return named(d, rc, e);
}

/* A request to change something. */
static enum err_code ask(struct device *d, uapi_request_fn *put, const void *request, struct err *e)
{
	struct uapi_answer a;
	enum err_code rc;

	uapi_answer_init(&a, NULL, NULL);
	rc = named(d, uapi_ask(uapi_of(d)->connection, put, request, &a, e), e);
	if (rc == ERR_OK && a.number)
		rc = refused(d, a.number, e);
	uapi_answer_done(&a);
	return rc;
}

/* ---- reading, and finding out who is there ---- */

static void extended_is(struct uapi *u, bool extended)
{
	u->extends = u->extended = extended;
	u->device.can = extended ? EXTENDED_CAN : 0;
	u->device.removal = extended ? REMOVAL_NATIVE : REMOVAL_UNKNOWN;
}

/* Whether an answer to a request with extensions is that of a daemon that has none: wireguard-go
 * and its kind call the line invalid and close, others may close at once.  One that is known to have
 * them is not forgotten for a failure of the moment. */
static bool is_foreign(const struct uapi *u, enum err_code rc, int number)
{
	if (rc)
		return !u->extended && (rc == ERR_CLOSED || rc == ERR_CORRUPT);
	return number == EINVAL || number == EPROTO || (number && !u->extended);
}

/* `a` has been initialised, and is what fn (in the end) is called from. */
static enum err_code get(struct device *d, struct get g, struct uapi_answer *a, struct err *e)
{
	struct uapi *u = uapi_of(d);
	device_peer_fn *fn = a->fn;
	void *ctx = a->ctx;
	enum err_code rc;

	g.extensions = u->extends;
	rc = uapi_ask(u->connection, put_get, &g, a, e);
	if (u->extends && is_foreign(u, rc, a->number)) {
		extended_is(u, false);
		g.extensions = false;
		uapi_answer_done(a);
		uapi_answer_init(a, fn, ctx);
		rc = uapi_ask(u->connection, put_get, &g, a, e);
	} else if (rc == ERR_OK && u->extends && (a->extended != u->extended)) {
		/* One that reads no further than get=1 has answered that, with all peers. */
		extended_is(u, a->extended);
	}
	return named(d, rc, e);
}

static enum err_code get_all(struct device *d, struct get g, struct uapi_answer *a, struct err *e)
{
	enum err_code rc = get(d, g, a, e);

	return rc == ERR_OK && a->number ? refused(d, a->number, e) : rc;
}

static enum err_code uapi_set(struct device *d, const struct device_change *c, struct err *e)
{
	return ask(d, put_own, c, e);
}

static enum err_code uapi_change_peers(struct device *d, const struct wg_peer_change *c, size_t n,
				       size_t *done, struct err *e)
{
	enum err_code rc = ERR_OK;

	*done = 0;
	while (rc == ERR_OK && *done < n) {
		const struct changes part = { c + *done, MIN(n - *done, (size_t)SET_PEERS),
					      uapi_of(d)->extended };

		rc = ask(d, put_peers, &part, e);
		if (rc == ERR_OK)
			*done += part.n;
	}
	return rc;
}

static enum err_code uapi_remove_peers(struct device *d, struct err *e)
{
	return ask(d, put_remove_all, NULL, e);
}

static enum err_code uapi_walk(struct device *d, device_peer_fn *fn, void *ctx,
			       struct device_settings *own, struct err *e)
{
	struct uapi_answer a;
	enum err_code rc;

	uapi_answer_init(&a, fn, ctx);
	rc = get_all(d, (struct get){ 0 }, &a, e);
	if (rc == ERR_OK && own)
		*own = a.settings;
	uapi_answer_done(&a);
	return rc;
}

static bool pass_over(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	(void)ctx;
	(void)p;
	(void)ips;
	return true;
}

static enum err_code uapi_settings(struct device *d, struct device_settings *out, struct err *e)
{
	struct uapi_answer a;
	enum err_code rc;

	uapi_answer_init(&a, pass_over, NULL);
	rc = get_all(d, (struct get){ .summary = true }, &a, e);
	if (rc == ERR_OK)
		*out = a.settings;
	uapi_answer_done(&a);
	return rc;
}

/* ---- one peer ---- */

struct finding {
	const struct public_key *key;
	const struct uapi_answer *answer; /* it is called from */
	struct wg_peer_info *out;
	uint64_t *verdicts; /* NULL: not asked for */
	bool found;
};

static bool find_peer(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	struct finding *f = ctx;

	(void)ips;
	if (memcmp(&p->public_key, f->key, sizeof *f->key) != 0)
		return true;
	*f->out = *p;
	if (f->verdicts)
		memcpy(f->verdicts, f->answer->verdicts, sizeof f->answer->verdicts);
	f->found = true;
	return false;
}

static enum err_code uapi_peer(struct device *d, const struct public_key *k,
			       struct wg_peer_info *out, uint64_t verdicts[WG_VERDICTS],
			       struct err *e)
{
	struct uapi_answer a;
	struct finding f = { .key = k, .answer = &a, .out = out, .verdicts = verdicts };
	char text[DEVICE_PEER_TEXT_MAX];
	enum err_code rc;

	uapi_answer_init(&a, find_peer, &f);
	rc = get(d, (struct get){ .peer = k }, &a, e);
	if (rc == ERR_OK && a.number && a.number != ENOENT)
		rc = refused(d, a.number, e);
	uapi_answer_done(&a);
	if (rc || f.found)
		return rc;
	device_peer_text(text, k);
	return err_set(e, ERR_NOT_FOUND, "interface %s has no %s", d->ifname, text);
}

/* ---- status ---- */

struct sums {
	struct dataplane_status status;
	int64_t now; /* wall clock */
};

static bool add_up(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	struct sums *s = ctx;

	(void)ips;
	s->status.peer_count++;
	s->status.connected_count += wg_is_connected(p->last_handshake_wall_ns, s->now);
	s->status.rx_bytes += p->rx_bytes;
	s->status.tx_bytes += p->tx_bytes;
	return true;
}

/* A daemon in another network namespace has an interface that we cannot see: then all is known that
 * the daemon tells of it. */
static void status_link(struct uapi *u, struct dataplane_status *s)
{
	struct nl_link l;

	memcpy(s->ifname, u->device.ifname, sizeof s->ifname);
	if (!u->nl || nl_link_by_name(u->nl, u->device.ifname, &l, NULL))
		return;
	s->ifindex = l.index;
	if (u->extended)
		return;
	s->mtu = (uint16_t)MIN(l.mtu, (uint32_t)UINT16_MAX);
	s->up = l.up;
}

static void status_settings(struct dataplane_status *s, const struct device_settings *own)
{
	s->listen_port = own->listen_port;
	s->fwmark = own->fwmark;
	s->has_private_key = !ct_is_zero(own->private_key.b, KEY_LEN);
	if (s->has_private_key)
		public_key_of(&s->public_key, &own->private_key);
}

static enum err_code uapi_status(struct device *d, struct dataplane_status *out, struct err *e)
{
	struct sums sums = { .now = clock_real_ns() };
	struct uapi_answer a;
	enum err_code rc;

	uapi_answer_init(&a, add_up, &sums);
	rc = get_all(d, (struct get){ .summary = true }, &a, e);
	if (rc == ERR_OK) {
		*out = a.extended ? a.status : sums.status;
		status_settings(out, &a.settings);
		status_link(uapi_of(d), out);
	}
	uapi_answer_done(&a);
	return rc;
}

static enum err_code uapi_alive(struct device *d, struct err *e)
{
	return named(d, uapi_connection_alive(uapi_of(d)->connection, e), e);
}

static void put_stop(struct buf *out, struct uapi_connection *c, const void *request)
{
	(void)c;
	(void)request;
	buf_z(out, "stop=1\n");
}

/* An engine of ours, behind a socket that is its owner's. */
static enum err_code uapi_stop(struct device *d, struct err *e)
{
	struct uapi *u = uapi_of(d);

	return u->extended && u->owner ? ask(d, put_stop, NULL, e) : ERR_OK;
}

/* ---- opening ---- */

static const struct device_ops uapi_ops = {
	.kind = DEVICE_UAPI,
	.close = uapi_close,
	.alive = uapi_alive,
	.status = uapi_status,
	.settings = uapi_settings,
	.set = uapi_set,
	.change_peers = uapi_change_peers,
	.remove_peers = uapi_remove_peers,
	.stop = uapi_stop,
	.peer = uapi_peer,
	.walk = uapi_walk,
};

static enum err_code open_steps(struct uapi *u, const struct device_uapi_config *c, struct err *e)
{
	struct str name = str_of(c->ifname);
	struct device_settings own;
	enum err_code rc =
		uapi_connection_new(&u->connection, c->path, &c->dial, c->fd, c->timeout_ms, e);

	if (rc)
		return rc;
	if (!c->ifname && c->path)
		name = device_socket_ifname(c->path);
	if (ifname_ok(name) && str_copy(u->device.ifname, sizeof u->device.ifname, name))
		rc = nl_open(&u->nl, e);
	if (rc == ERR_OK)
		rc = uapi_settings(&u->device, &own, e);
	if (rc == ERR_OK)
		wipe(&own, sizeof own);
	return rc;
}

enum err_code device_open_uapi(struct device **out, const struct device_uapi_config *c,
			       struct err *e)
{
	struct uapi *u = calloc(1, sizeof *u);
	enum err_code rc;

	if (!u) {
		fd_close(c->path || c->dial.connect ? -1 : c->fd);
		return err_set(e, ERR_NOMEM, "no memory for a connection");
	}
	u->device.ops = &uapi_ops;
	u->extends = c->path || c->dial.connect || c->extensions;
	u->owner = c->extensions;
	rc = open_steps(u, c, e);
	if (rc) {
		uapi_close(&u->device);
		return rc;
	}
	*out = &u->device;
	return ERR_OK;
}
