#include "device/removal.h"

#include "base/rows.h"

bool removal_wanted(const struct wg_peer_change *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < c[i].allowed_ip_count; k++)
			if (c[i].allowed_ips[k].remove)
				return true;
	return false;
}

/* Any 32 bytes are a public key that somebody could have; nobody has these. */
static struct public_key stray_key(void)
{
	struct public_key k;

	random_bytes(k.b, sizeof k.b);
	return k;
}

static enum err_code change(struct device *d, const struct wg_peer_change *c, size_t n,
			    struct err *e)
{
	size_t done;

	return d->ops->change_peers(d, c, n, &done, e);
}

enum err_code removal_is_native(struct device *d, bool *native, struct err *e)
{
	struct wg_allowed_ip ip = { .prefix = { .addr.family = IP_V4, .len = 32 }, .remove = true };
	struct wg_peer_change c = { .public_key = stray_key(),
				    .allowed_ips = &ip,
				    .allowed_ip_count = 1 };
	struct wg_peer_change gone = { .public_key = c.public_key, .remove = true };
	enum err_code rc = ERR_OK, asked;

	if (d->removal == REMOVAL_UNKNOWN) {
		asked = change(d, &c, 1, e);
		rc = change(d, &gone, 1, e); /* the peer is made even when its IP is refused */
		if (rc == ERR_OK && asked && asked != ERR_INVALID && asked != ERR_UNSUPPORTED)
			rc = asked;
		if (rc == ERR_OK)
			d->removal = asked ? REMOVAL_BY_STRAY : REMOVAL_NATIVE;
	}
	*native = d->removal == REMOVAL_NATIVE;
	return rc;
}

enum err_code removal_take(struct device *d, const struct wg_allowed_ip *ips, size_t n,
			   struct err *e)
{
	const struct public_key stray = stray_key();
	const struct wg_peer_change c[] = {
		{ .public_key = stray, .allowed_ips = ips, .allowed_ip_count = n },
		{ .public_key = stray, .remove = true },
	};
	struct err later;
	enum err_code rc;

	if (n == 0)
		return ERR_OK;
	rc = change(d, c, ARRAY_LEN(c), e);
	if (rc) /* it must not stay behind, whatever went wrong */
		(void)!change(d, &c[1], 1, &later);
	return rc;
}

/* ---- one change ---- */

struct owned {
	const struct public_key *key;
	struct rows ips; /* struct wg_allowed_ip: what goes and is the peer's */
	const struct wg_peer_change *c;
};

static bool is_removed(const struct wg_peer_change *c, const struct ip_prefix *p)
{
	for (size_t i = 0; i < c->allowed_ip_count; i++) {
		const struct wg_allowed_ip *a = &c->allowed_ips[i];
		struct ip_prefix masked = a->prefix;

		ip_prefix_mask(&masked);
		if (a->remove && masked.len == p->len && ip_eq(&masked.addr, &p->addr))
			return true;
	}
	return false;
}

static bool owned_find(void *ctx, const struct wg_peer_info *info, const struct ip_prefix *ips)
{
	struct owned *o = ctx;

	if (memcmp(&info->public_key, o->key, sizeof *o->key) != 0)
		return true;
	for (size_t i = 0; i < info->allowed_ip_count; i++) {
		struct wg_allowed_ip *row;

		if (!is_removed(o->c, &ips[i]))
			continue;
		row = rows_add(&o->ips);
		if (!row)
			break;
		*row = (struct wg_allowed_ip){ .prefix = ips[i] };
	}
	return false;
}

/* The change without what it takes away; *kept is freed by the caller. */
static bool without_removals(struct wg_peer_change *out, struct wg_allowed_ip **kept,
			     const struct wg_peer_change *c)
{
	size_t n = 0;

	*kept = calloc(c->allowed_ip_count + 1, sizeof **kept);
	if (!*kept)
		return false;
	for (size_t i = 0; i < c->allowed_ip_count; i++)
		if (!c->allowed_ips[i].remove)
			(*kept)[n++] = c->allowed_ips[i];
	*out = *c;
	out->allowed_ips = *kept;
	out->allowed_ip_count = n;
	return true;
}

enum err_code removal_change_peer(struct device *d, const struct wg_peer_change *c, struct err *e)
{
	struct owned o = { .key = &c->public_key,
			   .c = c,
			   .ips.size = sizeof(struct wg_allowed_ip) };
	struct wg_allowed_ip *kept = NULL;
	struct wg_peer_change rest;
	enum err_code rc;

	if (!without_removals(&rest, &kept, c))
		return err_set(e, ERR_NOMEM, "no memory for a change of allowed IPs");
	rc = change(d, &rest, 1, e);
	/* What replaces all leaves nothing to be taken away. */
	if (rc == ERR_OK && !c->remove && !c->replace_allowed_ips)
		rc = d->ops->walk(d, owned_find, &o, NULL, e);
	if (rc == ERR_OK && o.ips.no_memory)
		rc = err_set(e, ERR_NOMEM, "no memory for a change of allowed IPs");
	if (rc == ERR_OK && o.ips.count)
		rc = removal_take(d, rows_at(&o.ips, 0), o.ips.count, e);
	rows_done(&o.ips);
	free(kept);
	wipe(&rest, sizeof rest);
	return rc;
}
