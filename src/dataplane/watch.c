#include "dataplane/watch.h"

#include <errno.h>

#include "base/log.h"
#include "dataplane/control.h"
#include "dataplane/sockets.h"
#include "nl/rtnl.h"

/* Where the interface cannot be watched, it is looked at this often. */
#define POLL_INTERVAL (1 * NS_PER_S)
/* What of a segment is at least headers: IPv4 and TCP without options. */
#define TCP_IP_HEADERS_MIN 40
/* The kernel's TCP keeps this much of a link's limit for headers (MAX_TCP_HEADER). */
#define KERNEL_TCP_HEADERS 320
#define SUPER_PACKET_MTU_MIN 576
#define TUN_SUPER_PACKET_MAX 65536 /* the kernel's own default (GSO_LEGACY_MAX_SIZE) */

struct watch {
	struct dataplane *dp;
	struct nl_watch *link;
	struct nl_watch *routes;
	struct loop_timer poll;
};

/* Opens what the interface needs for being up; says why when it cannot. */
static void open_sockets(struct dataplane *dp)
{
	struct err e = { 0 };

	if (atomic_load(&dp->sockets))
		return;
	if (sockets_replace(dp, dp->port, &e))
		LOG_ERR("dataplane.no_sockets", F_STR("interface", dp->ifname), F_ERR(&e));
}

static void set_up(struct dataplane *dp, bool up)
{
	if (up == dp->up)
		return;
	dp->up = up;
	if (up)
		open_sockets(dp);
	wg_device_set_up(dp->device, up, clock_mono_ns());
	control_own_events(dp);
	if (!up && !dp->config.port_required)
		sockets_drop(dp);
	LOG_TRACE(up ? "dataplane.up" : "dataplane.down", F_STR("interface", dp->ifname));
	control_kick(dp);
}

/* The longest super-packet whose sealed segments fit one UDP message: one that is a little longer
 * costs a second message with a segment or two. */
static uint32_t super_packet_len(uint16_t mtu)
{
	size_t segment = wg_padded_len(mtu, mtu) + WG_TRANSPORT_MIN;
	size_t n = MIN(UDP_PAYLOAD_MAX / segment, (size_t)UDP_SEGMENTS_MAX);
	size_t len = n * (mtu - TCP_IP_HEADERS_MIN) + KERNEL_TCP_HEADERS;

	return n < 2 ? TUN_SUPER_PACKET_MAX : (uint32_t)MIN(len, (size_t)TUN_SUPER_PACKET_MAX);
}

/* Best effort: without it everything works, a little slower. */
static void fit_super_packets(const struct dataplane *dp, uint16_t mtu)
{
	uint32_t len = super_packet_len(mtu);
	struct nl *n = NULL;
	struct err e = { 0 };
	enum err_code rc;

	if (!tun_has_offload(dp->tun) || mtu < SUPER_PACKET_MTU_MIN)
		return;
	/* Before the rights are given up it is done here all the same. */
	if (dp->config.outside.set_super_packet && dp->super_packets_fit)
		rc = dp->config.outside.set_super_packet(dp->config.outside.ctx, len, &e);
	else if (!(rc = nl_open(&n, &e)))
		rc = nl_link_set_gso_max(n, dp->ifindex, len, &e);
	if (rc)
		LOG_TRACE("dataplane.super_packets", F_STR("interface", dp->ifname), F_ERR(&e));
	nl_close(n);
}

static void set_mtu(struct dataplane *dp, uint32_t mtu)
{
	uint16_t fits = (uint16_t)MIN(mtu, (uint32_t)UINT16_MAX);

	if (fits == atomic_load_explicit(&dp->mtu, memory_order_relaxed) && dp->super_packets_fit)
		return;
	atomic_store_explicit(&dp->mtu, fits, memory_order_relaxed);
	wg_device_set_mtu(dp->device, fits);
	fit_super_packets(dp, fits);
	dp->super_packets_fit = true;
}

static void on_link(void *ctx, const struct nl_link *l)
{
	struct watch *w = ctx;

	pthread_mutex_lock(&w->dp->lock);
	w->dp->ifindex = l->index;
	memcpy(w->dp->ifname, l->name, sizeof w->dp->ifname);
	set_mtu(w->dp, l->mtu);
	set_up(w->dp, l->up);
	pthread_mutex_unlock(&w->dp->lock);
}

/* True when the interface still exists, wherever it is. */
static bool still_there(struct watch *w)
{
	char name[IF_NAMESIZE];

	return tun_name(w->dp->tun, name, NULL) == ERR_OK;
}

static void on_link_gone(void *ctx, uint32_t ifindex)
{
	struct watch *w = ctx;

	(void)ifindex;
	if (!still_there(w))
		dataplane_report_gone(w->dp);
	else
		loop_timer_set(w->dp->loop, &w->poll, loop_now(w->dp->loop));
}

static void on_out_of_sight(void *ctx)
{
	struct watch *w = ctx;

	loop_timer_set(w->dp->loop, &w->poll, loop_now(w->dp->loop));
}

/* A TUN that is down refuses any packet with EIO.  One that is up takes this one, and the IP layer
 * drops it without an answer, for it ends within its header. */
void watch_look(struct watch *w)
{
	struct virtio_net_hdr none = { 0 };
	uint8_t cut_off[1] = { 0x45 };
	const struct iovec iov[2] = { { &none, sizeof none }, { cut_off, sizeof cut_off } };

	set_up(w->dp, tun_write(w->dp->tun, 0, iov, 2) != -EIO);
}

static void poll_due(struct loop_timer *t)
{
	struct watch *w = CONTAINER_OF(t, struct watch, poll);

	if (!still_there(w)) {
		dataplane_report_gone(w->dp);
		return;
	}
	pthread_mutex_lock(&w->dp->lock);
	watch_look(w);
	pthread_mutex_unlock(&w->dp->lock);
	loop_timer_set(w->dp->loop, &w->poll, loop_now(w->dp->loop) + POLL_INTERVAL);
}

/* Whatever changed, a cached source may be the wrong one now; asking the kernel anew is cheap. */
static void clear_sources(struct watch *w)
{
	pthread_mutex_lock(&w->dp->lock);
	wg_device_clear_sources(w->dp->device);
	pthread_mutex_unlock(&w->dp->lock);
}

static void on_address(void *ctx, const struct nl_address *a, bool added)
{
	(void)a;
	(void)added;
	clear_sources(ctx);
}

static void on_route(void *ctx, const struct nl_route *r, bool added)
{
	(void)r;
	(void)added;
	clear_sources(ctx);
}

static void on_lost(void *ctx)
{
	clear_sources(ctx);
}

/* The interface by the name that its descriptor tells; ERR_NOT_FOUND when it is elsewhere. */
static enum err_code find_link(struct dataplane *dp, struct nl_link *out, struct err *e)
{
	struct nl *n = NULL;
	enum err_code rc = tun_name(dp->tun, dp->ifname, e);

	if (!rc)
		rc = nl_open(&n, e);
	if (!rc)
		rc = nl_link_by_name(n, dp->ifname, out, e);
	nl_close(n);
	return rc;
}

static enum err_code watch_link(struct watch *w, struct err *e)
{
	static const struct nl_watch_events events = { .link = on_link,
						       .link_gone = on_link_gone,
						       .link_out_of_sight = on_out_of_sight,
						       .lost = on_lost };
	struct nl_link l;
	enum err_code rc = find_link(w->dp, &l, e);

	if (rc == ERR_NOT_FOUND) {
		/* A descriptor handed over may belong to an interface of another namespace. */
		loop_timer_set(w->dp->loop, &w->poll, clock_mono_ns());
		return ERR_OK;
	}
	if (!rc)
		rc = nl_watch_open(&w->link, w->dp->loop, l.index, &events, w, e);
	if (rc)
		return rc;
	w->dp->ifindex = l.index;
	set_mtu(w->dp, l.mtu);
	return ERR_OK;
}

enum err_code watch_open(struct watch **out, struct dataplane *dp, struct err *e)
{
	static const struct nl_watch_events routes = { .address = on_address,
						       .route = on_route,
						       .lost = on_lost };
	struct watch *w = calloc(1, sizeof *w);
	enum err_code rc;

	if (!w)
		return err_set(e, ERR_NOMEM, "no memory to watch %s", dp->ifname);
	w->dp = dp;
	w->poll.fire = poll_due;
	rc = watch_link(w, e);
	if (!rc)
		rc = nl_watch_open(&w->routes, dp->loop, 0, &routes, w, e);
	if (rc) {
		watch_close(w);
		return rc;
	}
	*out = w;
	return ERR_OK;
}

void watch_close(struct watch *w)
{
	if (!w)
		return;
	nl_watch_close(w->link);
	nl_watch_close(w->routes);
	loop_timer_cancel(&w->poll);
	free(w);
}
