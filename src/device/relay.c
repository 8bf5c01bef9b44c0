#include "device/relay.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "wg/uapi.h"

#define IN_ROOM (32u << 10)
#define PIECE (64u << 10)
/* Changes of one call to the device, and their allowed IPs. */
#define CHANGES_MAX 256
#define IPS_MAX (4 * WG_UAPI_PART_MAX)

_Static_assert(IN_ROOM > WG_UAPI_LINE_MAX + 1, "a whole line fits");

struct relay {
	struct device *device;
	int fd;
	enum { AWAIT_REQUEST, IN_GET, IN_SET } state;
	bool broken;
	struct wg_uapi_set *set;
	struct wg_peer_change changes[CHANGES_MAX];
	struct wg_allowed_ip ips[IPS_MAX];
	size_t n, ip_n;
	struct buf out;
	size_t in_n;
	char in[IN_ROOM];
};

/* ---- answers ---- */

static void flush(struct relay *r)
{
	size_t at = 0;

	r->broken = r->broken || !buf_ok(&r->out);
	while (!r->broken && at < r->out.n) {
		ssize_t sent = send(r->fd, r->out.p + at, r->out.n - at, MSG_NOSIGNAL);

		if (sent >= 0)
			at += (size_t)sent;
		else if (errno != EINTR)
			r->broken = true;
	}
	if (r->out.p)
		wipe(r->out.p, r->out.n);
	buf_clear(&r->out);
}

static void answer(struct relay *r, int number)
{
	buf_printf(&r->out, "errno=%d\n\n", number);
	flush(r);
}

/* ---- get ---- */

static bool peer_put(void *ctx, const struct wg_peer_info *info, const struct ip_prefix *ips)
{
	struct relay *r = ctx;

	wg_uapi_put_peer(&r->out, info);
	wg_uapi_put_allowed_ips(&r->out, ips, info->allowed_ip_count);
	if (r->out.n >= PIECE)
		flush(r);
	return !r->broken;
}

static void get(struct relay *r)
{
	struct device_settings own = { 0 };
	enum err_code rc = device_settings(r->device, &own, NULL);

	if (rc == ERR_OK) {
		wg_uapi_put_device(&r->out, &own.private_key, own.listen_port, own.fwmark);
		rc = device_walk(r->device, peer_put, r, NULL);
	}
	wipe(&own, sizeof own);
	answer(r, rc ? EIO : 0);
	r->state = AWAIT_REQUEST;
}

/* ---- set ---- */

static enum err_code changes_make(struct relay *r, struct err *e)
{
	enum err_code rc = r->n ? device_change_peers(r->device, r->changes, r->n, e) : ERR_OK;

	wipe(r->changes, r->n * sizeof r->changes[0]);
	r->n = r->ip_n = 0;
	return rc;
}

static enum err_code own_set(struct relay *r, const struct device_change *c, struct err *e)
{
	enum err_code rc = changes_make(r, e);

	return rc ? rc : device_set(r->device, c, e);
}

static enum err_code set_private_key(void *ctx, const struct secret_key *k, struct err *e)
{
	struct device_change c = { .has_private_key = true, .to.private_key = *k };
	enum err_code rc = own_set(ctx, &c, e);

	wipe(&c, sizeof c);
	return rc;
}

static enum err_code set_listen_port(void *ctx, uint16_t port, struct err *e)
{
	const struct device_change c = { .has_listen_port = true, .to.listen_port = port };

	return own_set(ctx, &c, e);
}

static enum err_code set_fwmark(void *ctx, uint32_t mark, struct err *e)
{
	const struct device_change c = { .has_fwmark = true, .to.fwmark = mark };

	return own_set(ctx, &c, e);
}

static enum err_code replace_peers(void *ctx, struct err *e)
{
	struct relay *r = ctx;
	enum err_code rc = changes_make(r, e);

	return rc ? rc : device_remove_peers(r->device, e);
}

/* Its allowed IPs are borrowed for the call alone. */
static enum err_code change_peer(void *ctx, const struct wg_peer_change *c, struct err *e)
{
	struct relay *r = ctx;
	enum err_code rc = ERR_OK;

	if (r->n == CHANGES_MAX || r->ip_n + c->allowed_ip_count > IPS_MAX)
		rc = changes_make(r, e);
	if (rc)
		return rc;
	if (c->allowed_ip_count > IPS_MAX)
		return err_set(e, ERR_RANGE, "%zu allowed IPs in one change", c->allowed_ip_count);
	r->changes[r->n] = *c;
	r->changes[r->n].allowed_ips = r->ips + r->ip_n;
	if (c->allowed_ip_count)
		memcpy(r->ips + r->ip_n, c->allowed_ips, c->allowed_ip_count * sizeof r->ips[0]);
	r->ip_n += c->allowed_ip_count;
	r->n++;
	return ERR_OK;
}

static void set_begin(struct relay *r)
{
	const struct wg_uapi_target target = {
		.ctx = r,
		.set_private_key = set_private_key,
		.set_listen_port = set_listen_port,
		.set_fwmark = set_fwmark,
		.replace_peers = replace_peers,
		.change_peer = change_peer,
	};

	r->set = wg_uapi_set_new(&target);
	r->state = IN_SET;
	r->broken = r->broken || !r->set;
}

/* What the device says of changes that were gathered, in the numbers of the protocol. */
static int number_of(enum err_code rc)
{
	switch (rc) {
	case ERR_OK:
		return 0;
	case ERR_IN_USE:
		return -EADDRINUSE;
	case ERR_NOMEM:
	case ERR_FULL:
		return -ENOMEM;
	case ERR_INVALID:
	case ERR_RANGE:
		return -EINVAL;
	case ERR_UNSUPPORTED:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

static void set_end(struct relay *r)
{
	struct err why = { 0 };
	int number = wg_uapi_set_end(r->set, &why);
	enum err_code rc = changes_make(r, &why);

	if (!number)
		number = number_of(rc);
	wg_uapi_set_free(r->set);
	r->set = NULL;
	answer(r, number);
	r->state = AWAIT_REQUEST;
}

/* ---- requests ---- */

static void take_line(struct relay *r, struct str line)
{
	switch (r->state) {
	case AWAIT_REQUEST:
		if (str_eq(line, STR("get=1")))
			r->state = IN_GET;
		else if (str_eq(line, STR("set=1")))
			set_begin(r);
		else if (line.n)
			r->broken = true;
		return;
	case IN_GET:
		if (line.n)
			r->broken = true; /* a get without extensions has no further line */
		else
			get(r);
		return;
	case IN_SET:
		if (line.n)
			wg_uapi_set_line(r->set, line);
		else
			set_end(r);
		return;
	}
}

bool relay_serve(struct relay *r)
{
	ssize_t n = recv(r->fd, r->in + r->in_n, sizeof r->in - r->in_n, 0);
	struct str rest;
	const char *end;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	r->in_n += (size_t)n;
	rest = (struct str){ r->in, r->in_n };
	while (!r->broken && rest.n && (end = memchr(rest.p, '\n', rest.n))) {
		size_t len = (size_t)(end - rest.p);

		take_line(r, (struct str){ rest.p, len });
		rest = (struct str){ end + 1, rest.n - len - 1 };
	}
	if (rest.n && rest.p != r->in)
		memmove(r->in, rest.p, rest.n);
	r->in_n = rest.n;
	return !r->broken && r->in_n <= WG_UAPI_LINE_MAX;
}

/* ---- beginning and end ---- */

enum err_code relay_new(struct relay **out, struct device *d, int fd, struct err *e)
{
	struct relay *r = calloc(1, sizeof *r);

	if (!r) {
		device_close(d);
		fd_close(fd);
		return err_set(e, ERR_NOMEM, "no memory for a connection");
	}
	r->device = d;
	r->fd = fd;
	r->out.limit = 4 * PIECE;
	*out = r;
	return ERR_OK;
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	wg_uapi_set_free(r->set);
	device_close(r->device);
	fd_close(r->fd);
	buf_done(&r->out);
	wipe(r, sizeof *r);
	free(r);
}
