#include "device/device.h"

#include "device/backend.h"
#include "device/removal.h"

/* ---- which kind ---- */

const char *device_kind_name(enum device_kind kind)
{
	switch (kind) {
	case DEVICE_AUTO:
		return "auto";
	case DEVICE_ENGINE:
		return "engine";
	case DEVICE_KERNEL:
		return "kernel";
	case DEVICE_UAPI:
		return "uapi";
	}
	return "unknown";
}

enum err_code device_choice_parse(struct device_choice *out, const char *text, struct err *e)
{
	static const enum device_kind kinds[] = { DEVICE_AUTO, DEVICE_ENGINE, DEVICE_KERNEL };
	struct str s = str_of(text);
	char shown[64];

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (str_eq(s, str_of(device_kind_name(kinds[i])))) {
			*out = (struct device_choice){ .kind = kinds[i] };
			return ERR_OK;
		}
	}
	if (str_starts(s, STR("uapi:/"))) {
		*out = (struct device_choice){ DEVICE_UAPI, text + strlen("uapi:") };
		return ERR_OK;
	}
	text_escaped(shown, sizeof shown, s);
	return err_set(e, ERR_INVALID,
		       "backend \"%s\": there is auto, engine, kernel, and uapi:/PATH of a socket",
		       shown);
}

struct str device_socket_ifname(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct str s = str_of(slash ? slash + 1 : path), end = STR(".sock");

	if (s.n <= end.n || !str_eq((struct str){ s.p + s.n - end.n, end.n }, end))
		return STR("");
	return (struct str){ s.p, s.n - end.n };
}

/* ---- the table, called ---- */

void device_close(struct device *d)
{
	if (d)
		d->ops->close(d);
}

enum err_code device_delete(struct device *d, struct err *e)
{
	enum err_code rc;

	if (d->ops->remove)
		rc = d->ops->remove(d, e);
	else
		rc = err_set(e, ERR_UNSUPPORTED, "interface %s belongs to its daemon", d->ifname);
	d->ops->close(d);
	return rc;
}

enum device_kind device_kind(const struct device *d)
{
	return d->ops->kind;
}

unsigned device_can(const struct device *d)
{
	return d->can;
}

const char *device_ifname(const struct device *d)
{
	return d->ifname;
}

int device_gone_fd(struct device *d)
{
	return d->ops->gone_fd ? d->ops->gone_fd(d) : -1;
}

enum err_code device_alive(struct device *d, struct err *e)
{
	return d->ops->alive(d, e);
}

enum err_code device_status(struct device *d, struct dataplane_status *out, struct err *e)
{
	return d->ops->status(d, out, e);
}

enum err_code device_settings(struct device *d, struct device_settings *out, struct err *e)
{
	return d->ops->settings(d, out, e);
}

enum err_code device_set(struct device *d, const struct device_change *c, struct err *e)
{
	if (!c->has_private_key && !c->has_listen_port && !c->has_fwmark)
		return ERR_OK;
	return d->ops->set(d, c, e);
}

enum err_code device_stop(struct device *d, struct err *e)
{
	return d->ops->stop ? d->ops->stop(d, e) : ERR_OK;
}

enum err_code device_remove_peers(struct device *d, struct err *e)
{
	return d->ops->remove_peers(d, e);
}

enum err_code device_walk(struct device *d, device_peer_fn *fn, void *ctx, struct err *e)
{
	return d->ops->walk(d, fn, ctx, NULL, e);
}

/* ---- peers ---- */

void device_peer_text(char out[DEVICE_PEER_TEXT_MAX], const struct public_key *k)
{
	char key[KEY_TEXT_MAX];

	public_key_text(key, k);
	(void)snprintf(out, DEVICE_PEER_TEXT_MAX, "peer %.8s", key);
}

static enum err_code of_peer(enum err_code rc, const struct wg_peer_change *c, struct err *e)
{
	char text[DEVICE_PEER_TEXT_MAX];

	device_peer_text(text, &c->public_key);
	return err_wrap(e, rc, "%s", text);
}

struct finding {
	const struct public_key *key;
	struct wg_peer_info *out;
	bool found;
};

static bool find_peer(void *ctx, const struct wg_peer_info *info, const struct ip_prefix *ips)
{
	struct finding *f = ctx;

	(void)ips;
	if (memcmp(&info->public_key, f->key, sizeof *f->key) != 0)
		return true;
	*f->out = *info;
	f->found = true;
	return false;
}

enum err_code device_peer(struct device *d, const struct public_key *k, struct wg_peer_info *out,
			  uint64_t verdicts[WG_VERDICTS], struct err *e)
{
	struct finding f = { .key = k, .out = out };
	char text[DEVICE_PEER_TEXT_MAX];
	enum err_code rc;

	if (verdicts)
		memset(verdicts, 0, sizeof *verdicts * WG_VERDICTS);
	if (d->ops->peer)
		return d->ops->peer(d, k, out, verdicts, e);
	rc = d->ops->walk(d, find_peer, &f, NULL, e);
	if (rc || f.found)
		return rc;
	device_peer_text(text, k);
	return err_set(e, ERR_NOT_FOUND, "interface %s has no %s", d->ifname, text);
}

/* ---- changing peers ---- */

static enum err_code limits_check(const struct device *d, const struct wg_peer_change *c,
				  struct err *e)
{
	const struct wg_limits_change *l = &c->limits;
	bool none = !(l->set & WG_SET_BURST && l->burst) && !(l->set & WG_SET_QUOTA && l->quota) &&
		    !(l->set & WG_SET_EXPIRES && l->expires_wall_ns) &&
		    !(l->set & WG_SET_RATE_UP && l->rate_bps[WG_UP]) &&
		    !(l->set & WG_SET_RATE_DOWN && l->rate_bps[WG_DOWN]);

	if (none || (d->can & DEVICE_CAN_LIMITS))
		return ERR_OK;
	return err_set(e, ERR_UNSUPPORTED,
		       "limits need the engine; interface %s is of backend \"%s\"", d->ifname,
		       device_kind_name(d->ops->kind));
}

static enum err_code change_check(const struct device *d, const struct wg_peer_change *c,
				  struct err *e)
{
	if (c->allowed_ip_count > DEVICE_ALLOWED_IPS_MAX)
		return err_set(e, ERR_RANGE, "%zu allowed IPs, more than %u", c->allowed_ip_count,
			       DEVICE_ALLOWED_IPS_MAX);
	if (c->has_endpoint && (!ip_bits(c->endpoint.addr.family) || !c->endpoint.port))
		return err_set(e, ERR_INVALID, "an endpoint without address or port");
	for (size_t i = 0; i < c->allowed_ip_count; i++) {
		const struct ip_prefix *p = &c->allowed_ips[i].prefix;

		if (!ip_bits(p->addr.family) || p->len > ip_bits(p->addr.family))
			return err_set(e, ERR_INVALID, "allowed IP number %zu is no prefix", i + 1);
	}
	return limits_check(d, c, e);
}

enum err_code device_changes_check(const struct device *d, const struct wg_peer_change *c, size_t n,
				   struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		enum err_code rc = change_check(d, &c[i], e);

		if (rc)
			return of_peer(rc, &c[i], e);
	}
	return ERR_OK;
}

/* After these another try tells nothing new. */
static bool is_final(enum err_code rc)
{
	return rc == ERR_CLOSED || rc == ERR_TIMEOUT || rc == ERR_DENIED;
}

/* One request for all; when it fails, one by one from where that is not certain, to learn whose fault
 * it is.  What was carried out already is carried out again, which changes nothing. */
static enum err_code change_many(struct device *d, const struct wg_peer_change *c, size_t n,
				 struct err *e)
{
	size_t done = 0, one;
	enum err_code rc = n ? d->ops->change_peers(d, c, n, &done, e) : ERR_OK;

	if (rc == ERR_OK || is_final(rc))
		return rc;
	if (n == 1)
		return of_peer(rc, c, e);
	for (size_t i = done; i < n; i++) {
		rc = d->ops->change_peers(d, &c[i], 1, &one, e);
		if (rc)
			return is_final(rc) ? rc : of_peer(rc, &c[i], e);
	}
	return ERR_OK; /* it was something of the moment */
}

/* On a device that cannot take single allowed IPs away. */
static enum err_code change_with_strays(struct device *d, const struct wg_peer_change *c, size_t n,
					struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t from = 0;

	for (size_t i = 0; rc == ERR_OK && i < n; i++) {
		if (!removal_wanted(&c[i], 1))
			continue;
		rc = change_many(d, c + from, i - from, e);
		from = i + 1;
		if (rc == ERR_OK) {
			rc = removal_change_peer(d, &c[i], e);
			if (rc)
				rc = of_peer(rc, &c[i], e);
		}
	}
	return rc ? rc : change_many(d, c + from, n - from, e);
}

enum err_code device_change_peers(struct device *d, const struct wg_peer_change *c, size_t n,
				  struct err *e)
{
	bool native = true;
	enum err_code rc;

	rc = device_changes_check(d, c, n, e);
	if (rc)
		return rc;
	if (removal_wanted(c, n)) {
		rc = removal_is_native(d, &native, e);
		if (rc)
			return rc;
	}
	return native ? change_many(d, c, n, e) : change_with_strays(d, c, n, e);
}
