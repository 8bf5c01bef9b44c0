/* The kernel's WireGuard, as a device. */
#include "base/clock.h"
#include "base/ifname.h"
#include "device/backend.h"
#include "nl/rtnl.h"
#include "nl/wireguard.h"

#define KIND "wireguard"

_Static_assert(NL_WG_KEY == KEY_LEN, "one length of keys");

struct kernel {
	struct device device; /* first */
	struct nl *nl;
	struct nl_wg *wg;
	uint32_t ifindex; /* a name may be given to another */
};

static struct kernel *kernel_of(struct device *d)
{
	return CONTAINER_OF(d, struct kernel, device);
}

static void kernel_close(struct device *d)
{
	struct kernel *k = kernel_of(d);

	nl_wg_close(k->wg);
	nl_close(k->nl);
	free(k);
}

static enum err_code kernel_remove(struct device *d, struct err *e)
{
	struct kernel *k = kernel_of(d);
	enum err_code rc = nl_link_delete(k->nl, k->ifindex, e);

	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* Messages name what people know: the interface. */
static enum err_code named(const struct device *d, enum err_code rc, struct err *e)
{
	return rc ? err_wrap(e, rc, "interface %s", d->ifname) : ERR_OK;
}

static enum err_code link_read(struct device *d, struct nl_link *out, struct err *e)
{
	struct kernel *k = kernel_of(d);
	enum err_code rc = nl_link_by_index(k->nl, k->ifindex, out, e);

	if (rc == ERR_OK && strcmp(out->kind, KIND) != 0) /* the number was given away again */
		rc = err_set(e, ERR_NOT_FOUND, "it has gone");
	if (rc == ERR_OK)
		memcpy(d->ifname, out->name, sizeof d->ifname);
	return named(d, rc, e);
}

static enum err_code kernel_alive(struct device *d, struct err *e)
{
	struct nl_link l;

	return link_read(d, &l, e);
}

static enum err_code read_all(struct device *d, struct nl_wg_list *out, struct err *e)
{
	struct kernel *k = kernel_of(d);

	return named(d, nl_wg_read(k->wg, k->ifindex, out, e), e);
}

/* Wall clock; 0: never. */
static int64_t handshake_of(const struct nl_wg_peer *p)
{
	return p->handshake_s < INT64_MAX / NS_PER_S ? p->handshake_s * NS_PER_S + p->handshake_ns
						     : 0;
}

static enum err_code kernel_status(struct device *d, struct dataplane_status *out, struct err *e)
{
	int64_t now = clock_real_ns();
	struct nl_wg_list list;
	struct nl_link l;
	enum err_code rc = link_read(d, &l, e);

	if (rc == ERR_OK)
		rc = read_all(d, &list, e);
	if (rc)
		return rc;
	*out = (struct dataplane_status){
		.ifindex = l.index,
		.listen_port = list.device.listen_port,
		.fwmark = list.device.fwmark,
		.mtu = (uint16_t)MIN(l.mtu, (uint32_t)UINT16_MAX),
		.up = l.up,
		.has_private_key = !ct_is_zero(list.device.private_key, NL_WG_KEY),
		.peer_count = list.peer_count,
	};
	memcpy(out->ifname, l.name, sizeof out->ifname);
	if (out->has_private_key)
		memcpy(out->public_key.b, list.device.public_key, NL_WG_KEY);
	for (size_t i = 0; i < list.peer_count; i++) {
		out->rx_bytes += list.peers[i].rx_bytes;
		out->tx_bytes += list.peers[i].tx_bytes;
		out->connected_count += wg_is_connected(handshake_of(&list.peers[i]), now);
	}
	nl_wg_list_done(&list);
	return ERR_OK;
}

static void settings_take(struct device_settings *out, const struct nl_wg_device *from)
{
	*out = (struct device_settings){ .listen_port = from->listen_port, .fwmark = from->fwmark };
	memcpy(out->private_key.b, from->private_key, NL_WG_KEY);
}

static enum err_code kernel_settings(struct device *d, struct device_settings *out, struct err *e)
{
	struct nl_wg_list list;
	enum err_code rc = read_all(d, &list, e);

	if (rc)
		return rc;
	settings_take(out, &list.device);
	nl_wg_list_done(&list);
	return ERR_OK;
}

static enum err_code kernel_set(struct device *d, const struct device_change *c, struct err *e)
{
	struct kernel *k = kernel_of(d);
	const struct nl_wg_device_set s = {
		.private_key = c->has_private_key ? c->to.private_key.b : NULL,
		.listen_port = c->has_listen_port ? &c->to.listen_port : NULL,
		.fwmark = c->has_fwmark ? &c->to.fwmark : NULL,
	};

	nl_wg_set_begin(k->wg, k->ifindex, &s);
	return named(d, nl_wg_set_end(k->wg, NULL, e), e);
}

static void put_peer(struct nl_wg *w, const struct wg_peer_change *c)
{
	const struct nl_wg_peer_set p = {
		.public_key = c->public_key.b,
		.psk = c->has_psk ? c->psk.b : NULL,
		.endpoint = c->has_endpoint ? &c->endpoint : NULL,
		.keepalive_s = c->has_keepalive ? &c->keepalive_s : NULL,
		.remove = c->remove,
		.update_only = c->update_only,
		.replace_allowed_ips = c->replace_allowed_ips,
	};

	nl_wg_set_peer(w, &p);
	if (c->remove)
		return;
	for (size_t i = 0; i < c->allowed_ip_count; i++)
		nl_wg_set_allowed_ip(w, &c->allowed_ips[i].prefix, c->allowed_ips[i].remove);
}

static enum err_code kernel_change_peers(struct device *d, const struct wg_peer_change *c, size_t n,
					 size_t *done, struct err *e)
{
	const struct nl_wg_device_set nothing = { 0 };
	struct kernel *k = kernel_of(d);

	nl_wg_set_begin(k->wg, k->ifindex, &nothing);
	for (size_t i = 0; i < n; i++)
		put_peer(k->wg, &c[i]);
	return named(d, nl_wg_set_end(k->wg, done, e), e);
}

static enum err_code kernel_remove_peers(struct device *d, struct err *e)
{
	const struct nl_wg_device_set s = { .replace_peers = true };
	struct kernel *k = kernel_of(d);

	nl_wg_set_begin(k->wg, k->ifindex, &s);
	return named(d, nl_wg_set_end(k->wg, NULL, e), e);
}

static struct wg_peer_info info_of(const struct nl_wg_peer *p)
{
	struct wg_peer_info info = {
		.endpoint = p->endpoint,
		.keepalive_s = p->keepalive_s,
		.rx_bytes = p->rx_bytes,
		.tx_bytes = p->tx_bytes,
		.allowed_ip_count = p->ip_count,
		.last_handshake_wall_ns = handshake_of(p),
	};

	memcpy(info.public_key.b, p->public_key, NL_WG_KEY);
	memcpy(info.psk.b, p->psk, NL_WG_KEY);
	return info;
}

static enum err_code kernel_walk(struct device *d, device_peer_fn *fn, void *ctx,
				 struct device_settings *own, struct err *e)
{
	struct nl_wg_list list;
	enum err_code rc = read_all(d, &list, e);
	bool more = true;

	if (rc)
		return rc;
	if (own)
		settings_take(own, &list.device);
	for (size_t i = 0; more && i < list.peer_count; i++) {
		struct wg_peer_info info = info_of(&list.peers[i]);

		more = fn(ctx, &info, list.ips + list.peers[i].first_ip);
		wipe(&info.psk, sizeof info.psk);
	}
	nl_wg_list_done(&list);
	return ERR_OK;
}

/* ---- opening ---- */

static const struct device_ops kernel_ops = {
	.kind = DEVICE_KERNEL,
	.close = kernel_close,
	.remove = kernel_remove,
	.alive = kernel_alive,
	.status = kernel_status,
	.settings = kernel_settings,
	.set = kernel_set,
	.change_peers = kernel_change_peers,
	.remove_peers = kernel_remove_peers,
	.walk = kernel_walk,
};

enum err_code device_kernel_probe(struct err *e)
{
	struct nl_wg *w;
	enum err_code rc = nl_wg_open(&w, e);

	if (rc == ERR_OK)
		nl_wg_close(w);
	return rc;
}

enum device_kind device_choose(unsigned needs)
{
	if (needs & ~(unsigned)DEVICE_CAN_DELETE)
		return DEVICE_ENGINE;
	return device_kernel_probe(NULL) ? DEVICE_ENGINE : DEVICE_KERNEL;
}

static enum err_code link_find_or_make(struct kernel *k, const struct device_kernel_config *c,
				       struct nl_link *out, struct err *e)
{
	enum err_code rc = nl_link_by_name(k->nl, c->ifname, out, e);

	if (rc == ERR_OK && c->existing == DEVICE_MUST_BE_NEW)
		return err_set(e, ERR_EXISTS, "interface %s exists already", c->ifname);
	if (rc == ERR_OK && strcmp(out->kind, KIND) != 0)
		return err_set(e, ERR_IN_USE, "interface %s exists, and is not a WireGuard's",
			       c->ifname);
	if (rc != ERR_NOT_FOUND || c->existing == DEVICE_MUST_EXIST)
		return rc;
	rc = nl_link_create(k->nl, c->ifname, KIND, c->mtu, e);
	return rc ? rc : nl_link_by_name(k->nl, c->ifname, out, e);
}

enum err_code device_open_kernel(struct device **out, const struct device_kernel_config *c,
				 struct err *e)
{
	struct kernel *k = calloc(1, sizeof *k);
	struct nl_link link = { 0 };
	enum err_code rc;

	if (!k)
		return err_set(e, ERR_NOMEM, "no memory for interface %s", c->ifname);
	k->device.ops = &kernel_ops;
	k->device.can = DEVICE_CAN_DELETE;
	rc = ifname_check(str_of(c->ifname), e);
	if (rc == ERR_OK)
		rc = nl_open(&k->nl, e);
	if (rc == ERR_OK)
		rc = nl_wg_open(&k->wg, e);
	if (rc == ERR_OK)
		rc = link_find_or_make(k, c, &link, e);
	if (rc) {
		kernel_close(&k->device);
		return rc;
	}
	k->ifindex = link.index;
	memcpy(k->device.ifname, link.name, sizeof k->device.ifname);
	*out = &k->device;
	return ERR_OK;
}
