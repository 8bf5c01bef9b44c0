#include "nl/wireguard.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>

#include "nl/genl.h"
#include "nl/socket.h"
#include "nl/wireguard_codec.h"

struct nl_wg {
	struct nl *nl;
	uint16_t family;
	/* the change being written */
	struct nl_wg_writer writer;
	size_t named; /* peers so far */
	size_t done; /* of them in messages that were taken */
	int sys; /* of the first message that was refused */
	bool in_peer; /* the peer last named may go on in the next message */
	_Alignas(struct nlmsghdr) uint8_t message[NL_WG_MESSAGE_MAX];
};

enum err_code nl_wg_open(struct nl_wg **out, struct err *e)
{
	struct nl_wg *w = calloc(1, sizeof *w);
	enum err_code rc;

	if (!w)
		return err_set(e, ERR_NOMEM, "no memory for WireGuard's netlink");
	rc = nl_genl_open(&w->nl, e);
	if (rc == ERR_OK)
		rc = nl_genl_family(w->nl, WG_GENL_NAME, &w->family, e);
	if (rc) {
		nl_wg_close(w);
		return rc;
	}
	*out = w;
	return ERR_OK;
}

void nl_wg_close(struct nl_wg *w)
{
	if (!w)
		return;
	nl_close(w->nl);
	wipe(w, sizeof *w);
	free(w);
}

static enum err_code refused(const struct nl_wg *w, int sys, uint32_t ifindex, const char *what,
			     struct err *e)
{
	if (sys == ENODEV)
		return err_set(e, ERR_NOT_FOUND, "there is no interface number %u", ifindex);
	if (sys == EOPNOTSUPP)
		return err_set(e, ERR_UNSUPPORTED,
			       "interface number %u is not one of the kernel's WireGuard", ifindex);
	return nl_refused(w->nl, sys, e, "%s interface number %u", what, ifindex);
}

/* ---- reading ---- */

struct reading {
	uint16_t family;
	struct nl_wg_device device;
	struct rows peers, ips;
};

static struct nl_wg_peer *newest(const struct reading *d)
{
	return d->peers.count ? (struct nl_wg_peer *)(void *)d->peers.p + (d->peers.count - 1)
			      : NULL;
}

static bool take_peer(void *ctx, const struct nl_wg_peer *p)
{
	struct reading *d = ctx;
	struct nl_wg_peer *row;

	if (d->peers.count == NL_WG_PEERS_MAX)
		return false;
	row = rows_add(&d->peers);
	if (!row)
		return false;
	*row = *p;
	row->first_ip = d->ips.count;
	return true;
}

static bool take_allowed_ip(void *ctx, const struct ip_prefix *ip)
{
	struct reading *d = ctx;
	struct nl_wg_peer *p = newest(d);
	struct ip_prefix *row;

	if (!p || d->ips.count == NL_WG_IPS_MAX)
		return false;
	row = rows_add(&d->ips);
	if (!row) {
		d->peers.no_memory = true; /* what nl_dump looks at */
		return false;
	}
	*row = *ip;
	p->ip_count++;
	return true;
}

static bool continues(void *ctx, const uint8_t key[NL_WG_KEY])
{
	const struct nl_wg_peer *p = newest(ctx);

	return p && memcmp(p->public_key, key, NL_WG_KEY) == 0;
}

static bool take_message(void *ctx, const struct nl_message *m)
{
	struct reading *d = ctx;
	const struct nl_wg_sink sink = {
		.ctx = d,
		.peer = take_peer,
		.allowed_ip = take_allowed_ip,
		.continues = continues,
	};

	if (d->peers.count == 0) /* the first message, or the list begins again */
		d->ips.count = 0;
	return m->type != d->family || nl_wg_parse(m, &d->device, &sink);
}

enum err_code nl_wg_read(struct nl_wg *w, uint32_t ifindex, struct nl_wg_list *out, struct err *e)
{
	const struct genlmsghdr g = { .cmd = WG_CMD_GET_DEVICE, .version = WG_GENL_VERSION };
	struct nlmsghdr *h = nl_request(w->nl->request, w->family, 0, &g, sizeof g);
	struct reading d = {
		.family = w->family,
		.peers = { .size = sizeof(struct nl_wg_peer), .secret = true },
		.ips.size = sizeof(struct ip_prefix),
	};
	int sys;

	mnl_attr_put_u32(h, WGDEVICE_A_IFINDEX, ifindex);
	sys = nl_dump(w->nl, h, take_message, &d.peers, &d);
	wipe(w->nl->answer, sizeof w->nl->answer);
	if (sys) {
		rows_done(&d.peers);
		rows_done(&d.ips);
		wipe(&d.device, sizeof d.device);
		return refused(w, sys, ifindex, "read", e);
	}
	*out = (struct nl_wg_list){
		.device = d.device,
		.peers = (struct nl_wg_peer *)(void *)d.peers.p,
		.peer_count = d.peers.count,
		.ips = (struct ip_prefix *)(void *)d.ips.p,
		.ip_count = d.ips.count,
	};
	wipe(&d.device, sizeof d.device);
	return ERR_OK;
}

void nl_wg_list_done(struct nl_wg_list *l)
{
	if (l->peers)
		wipe(l->peers, l->peer_count * sizeof *l->peers);
	free(l->peers);
	free(l->ips);
	wipe(l, sizeof *l);
}

/* ---- changing ---- */

static void message_send(void *ctx, uint8_t *message, size_t n)
{
	struct nl_wg *w = ctx;

	(void)message;
	if (!w->sys)
		w->sys = nl_exchange(w->nl, (struct nlmsghdr *)(void *)w->message, NULL, NULL);
	if (!w->sys) /* a peer that goes on in the next message is not whole yet */
		w->done = w->in_peer ? w->named - 1 : w->named;
	wipe(w->message, n);
}

void nl_wg_set_begin(struct nl_wg *w, uint32_t ifindex, const struct nl_wg_device_set *device)
{
	w->named = w->done = 0;
	w->sys = 0;
	w->in_peer = false;
	w->writer = (struct nl_wg_writer){
		.family = w->family,
		.ifindex = ifindex,
		.send = message_send,
		.ctx = w,
	};
	nl_wg_write_begin(&w->writer, w->message, sizeof w->message, device);
}

void nl_wg_set_peer(struct nl_wg *w, const struct nl_wg_peer_set *peer)
{
	if (w->sys)
		return;
	w->in_peer = false;
	nl_wg_write_peer(&w->writer, peer);
	w->named++;
}

void nl_wg_set_allowed_ip(struct nl_wg *w, const struct ip_prefix *ip, bool remove)
{
	if (w->sys)
		return;
	w->in_peer = true;
	nl_wg_write_allowed_ip(&w->writer, ip, remove);
}

enum err_code nl_wg_set_end(struct nl_wg *w, size_t *done, struct err *e)
{
	w->in_peer = false;
	if (!w->sys)
		nl_wg_write_end(&w->writer);
	wipe(w->message, sizeof w->message);
	if (done)
		*done = w->done;
	return w->sys ? refused(w, w->sys, w->writer.ifindex, "change", e) : ERR_OK;
}
