#include "base/rows.h"
#include "device/backend.h"

struct device_view {
	struct rows peers; /* struct wg_peer_info, by key, without PSKs */
};

static bool keep(void *ctx, const struct wg_peer_info *info, const struct ip_prefix *ips)
{
	struct device_view *v = ctx;
	struct wg_peer_info *row = rows_add(&v->peers);

	(void)ips;
	if (!row)
		return false;
	*row = *info;
	wipe(&row->psk, sizeof row->psk);
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct wg_peer_info *x = a, *y = b;

	return memcmp(x->public_key.b, y->public_key.b, KEY_LEN);
}

enum err_code device_view_new(struct device_view **out, struct device *d, struct err *e)
{
	struct device_view *v = calloc(1, sizeof *v);
	enum err_code rc;

	if (!v)
		return err_set(e, ERR_NOMEM, "no memory to read the peers of %s", d->ifname);
	v->peers.size = sizeof(struct wg_peer_info);
	rc = d->ops->walk(d, keep, v, NULL, e);
	if (rc == ERR_OK && v->peers.no_memory)
		rc = err_set(e, ERR_NOMEM, "no memory to read the peers of %s", d->ifname);
	if (rc) {
		device_view_free(v);
		return rc;
	}
	if (v->peers.count)
		qsort(v->peers.p, v->peers.count, v->peers.size, compare);
	*out = v;
	return ERR_OK;
}

void device_view_free(struct device_view *v)
{
	if (!v)
		return;
	rows_done(&v->peers);
	free(v);
}

const struct wg_peer_info *device_view_find(const struct device_view *v, const struct public_key *k)
{
	const struct wg_peer_info key = { .public_key = *k };

	return v->peers.count ? bsearch(&key, v->peers.p, v->peers.count, v->peers.size, compare)
			      : NULL;
}

const struct wg_peer_info *device_view_at(const struct device_view *v, size_t i)
{
	return i < v->peers.count ? rows_at(&v->peers, i) : NULL;
}
