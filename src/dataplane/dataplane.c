#include "dataplane/dataplane.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fs.h"
#include "dataplane/control.h"
#include "dataplane/engine.h"
#include "dataplane/sockets.h"
#include "dataplane/watch.h"
#include "dataplane/worker.h"

#define MTU_DEFAULT 1420
#define WALK_PIECE 256
#define REMOVE_PIECE 1024

/* One worker of a machine of up to two processors saturates it together with the kernel's own
 * work; of larger ones half the processors are for packets and half for all else. */
static unsigned workers_suggested(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n <= 2)
		return 1;
	return (unsigned)MIN(n / 2, DATAPLANE_WORKERS_MAX);
}

void dataplane_report_gone(struct dataplane *dp)
{
	uint64_t one = 1;
	ssize_t written;

	if (atomic_exchange(&dp->gone, true))
		return;
	written = write(dp->gone_fd, &one, sizeof one);
	(void)written; /* a counter of at most 1 is never full */
}

int dataplane_gone_fd(const struct dataplane *dp)
{
	return dp->gone_fd;
}

/* ---- opening and closing ---- */

static enum err_code open_tun(struct dataplane *dp, const struct dataplane_config *c, struct err *e)
{
	struct tun_options o = { .name = c->ifname,
				 .fd = c->tun_fd,
				 .queues = dp->worker_count,
				 .exclusive = c->exclusive,
				 .offload = c->offloads & OFFLOAD_TUN,
				 .mtu = c->mtu ? c->mtu : MTU_DEFAULT };
	enum err_code rc;

	rc = tun_open(&dp->tun, &o, e);
	if (rc)
		return rc;
	dp->worker_count = tun_queues(dp->tun);
	return tun_name(dp->tun, dp->ifname, e);
}

static enum err_code open_parts(struct dataplane *dp, struct err *e)
{
	struct wg_ops ops = control_ops(dp);
	enum err_code rc;

	rc = loop_new(&dp->loop, e);
	if (!rc)
		rc = mailbox_new(&dp->events, EVENT_QUEUE, sizeof(struct wg_event), e);
	if (!rc)
		rc = mailbox_new(&dp->handshakes, HANDSHAKE_QUEUE, sizeof(struct handshake_item),
				 e);
	if (!rc)
		rc = mailbox_new(&dp->staged, STAGED_QUEUE, sizeof(struct staged_item), e);
	if (rc)
		return rc;
	dp->gone_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (dp->gone_fd < 0)
		return err_sys(e, errno, "open an event descriptor");
	dp->device = wg_device_new(&ops, &dp->retired);
	if (!dp->device)
		return err_set(e, ERR_NOMEM, "no memory for WireGuard device %s", dp->ifname);
	wg_device_set_lanes(dp->device, dp->worker_count);
	return control_prepare(dp, e);
}

static enum err_code start_threads(struct dataplane *dp, struct err *e)
{
	enum err_code rc = ERR_OK;

	dp->quiescence.workers = dp->worker_count;
	for (unsigned i = 0; !rc && i < dp->worker_count; i++)
		rc = worker_new(&dp->workers[i], dp, i, e);
	if (!rc && dp->config.port_required)
		rc = sockets_replace(dp, dp->config.listen_port, e);
	if (!rc)
		rc = watch_open(&dp->watch, dp, e);
	if (!rc && dp->config.outside.opened)
		rc = dp->config.outside.opened(dp->config.outside.ctx, e);
	for (unsigned i = 0; !rc && i < dp->worker_count; i++)
		rc = worker_start(dp->workers[i], e);
	if (!rc)
		rc = control_start(dp, e);
	return rc;
}

static struct dataplane *dataplane_new(const struct dataplane_config *c)
{
	struct dataplane *dp = aligned_alloc(_Alignof(struct dataplane), sizeof *dp);

	if (!dp)
		return NULL;
	memset(dp, 0, sizeof *dp);
	dp->config = *c;
	dp->gone_fd = -1;
	dp->port = c->listen_port;
	dp->fwmark = c->fwmark;
	dp->worker_count =
		c->workers ? MIN(c->workers, DATAPLANE_WORKERS_MAX) : workers_suggested();
	dp->retired.generation = 1; /* 0 means "offline" to the workers */
	atomic_init(&dp->quiescence.generation, dp->retired.generation);
	pthread_mutex_init(&dp->lock, NULL);
	return dp;
}

enum err_code dataplane_open(struct dataplane **out, const struct dataplane_config *c,
			     struct err *e)
{
	struct dataplane *dp = dataplane_new(c);
	enum err_code rc;

	if (!dp)
		return err_set(e, ERR_NOMEM, "no memory for interface %s",
			       c->ifname ? c->ifname : "");
	rc = open_tun(dp, c, e);
	if (!rc)
		rc = open_parts(dp, e);
	if (!rc)
		rc = start_threads(dp, e);
	dp->config.ifname = NULL; /* borrowed for the call; dp->ifname follows renames */
	if (rc) {
		dataplane_close(dp);
		return rc;
	}
	*out = dp;
	return ERR_OK;
}

static void free_mailboxes(struct dataplane *dp)
{
	struct staged_item item;

	while (dp->staged && mailbox_take(dp->staged, &item))
		free(item.copy);
	mailbox_free(dp->staged);
	mailbox_free(dp->handshakes);
	mailbox_free(dp->events);
}

void dataplane_stop(struct dataplane *dp)
{
	atomic_store(&dp->stopping, true);
	for (unsigned i = 0; i < dp->worker_count; i++)
		worker_stop(dp->workers[i]);
	control_stop(dp);
}

void dataplane_close(struct dataplane *dp)
{
	if (!dp)
		return;
	dataplane_stop(dp);
	watch_close(dp->watch);
	wg_device_free(dp->device);
	retired_free(&dp->retired, UINT64_MAX);
	sockets_close(dp);
	for (unsigned i = 0; i < dp->worker_count; i++)
		worker_free(dp->workers[i]);
	free_mailboxes(dp);
	tun_close(dp->tun);
	loop_free(dp->loop);
	fd_close(dp->gone_fd);
	pthread_mutex_destroy(&dp->lock);
	free(dp);
}

/* ---- reading ---- */

static unsigned offloads_in_use(const struct dataplane *dp)
{
	const struct sockets *s = atomic_load(&dp->sockets);
	unsigned bits = tun_has_offload(dp->tun) ? OFFLOAD_TUN : 0;

	if (s && udp_gso_active(s->udp[0]))
		bits |= OFFLOAD_UDP_GSO;
	if (s && udp_gro_active(s->udp[0]))
		bits |= OFFLOAD_UDP_GRO;
	return bits;
}

static void peers_sum(const struct dataplane *dp, struct dataplane_status *out)
{
	struct wg_sums sums;

	wg_device_sums(dp->device, &sums);
	out->peer_count = wg_device_peer_count(dp->device);
	out->connected_count = sums.connected;
	out->rx_bytes = sums.rx_bytes;
	out->tx_bytes = sums.tx_bytes;
}

void dataplane_status(struct dataplane *dp, struct dataplane_status *out)
{
	*out = (struct dataplane_status){ .workers = dp->worker_count };
	pthread_mutex_lock(&dp->lock);
	memcpy(out->ifname, dp->ifname, sizeof out->ifname);
	out->ifindex = dp->ifindex;
	out->listen_port = dp->port;
	out->fwmark = dp->fwmark;
	out->mtu = atomic_load_explicit(&dp->mtu, memory_order_relaxed);
	out->up = dp->up;
	out->offloads = offloads_in_use(dp);
	out->has_private_key = wg_device_public_key(dp->device, &out->public_key);
	peers_sum(dp, out);
	wg_counts(dp->device, NULL, out->verdicts);
	pthread_mutex_unlock(&dp->lock);
}

void dataplane_binding(struct dataplane *dp, uint16_t *listen_port, uint32_t *fwmark)
{
	pthread_mutex_lock(&dp->lock);
	*listen_port = dp->port;
	*fwmark = dp->fwmark;
	pthread_mutex_unlock(&dp->lock);
}

bool dataplane_peer(struct dataplane *dp, const struct public_key *k, struct wg_peer_info *out,
		    uint64_t verdicts[WG_VERDICTS])
{
	const struct wg_peer *p;

	pthread_mutex_lock(&dp->lock);
	p = wg_device_find_peer(dp->device, k);
	if (p) {
		wg_peer_info(p, out);
		if (verdicts)
			wg_counts(dp->device, p, verdicts);
	}
	pthread_mutex_unlock(&dp->lock);
	return p != NULL;
}

void dataplane_with_device(struct dataplane *dp, void (*fn)(void *ctx, const struct wg_device *d),
			   void *ctx)
{
	pthread_mutex_lock(&dp->lock);
	fn(ctx, dp->device);
	pthread_mutex_unlock(&dp->lock);
}

/* The keys of all peers at this moment, or NULL without memory (or peers). */
static struct public_key *all_keys(struct dataplane *dp, size_t *count)
{
	struct public_key *keys;
	size_t n = 0;

	pthread_mutex_lock(&dp->lock);
	keys = calloc(wg_device_peer_count(dp->device) + 1, sizeof *keys);
	for (struct wg_peer *p = NULL; keys && (p = wg_device_next_peer(dp->device, p));)
		keys[n++] = *wg_peer_key(p);
	pthread_mutex_unlock(&dp->lock);
	*count = n;
	return keys;
}

void dataplane_walk(struct dataplane *dp, bool (*fn)(void *ctx, const struct wg_peer *p), void *ctx)
{
	bool more = true;
	size_t n;
	/* A peer may go while the lock is given up; its key cannot dangle. */
	struct public_key *keys = all_keys(dp, &n);

	if (!keys) {
		pthread_mutex_lock(&dp->lock);
		for (struct wg_peer *p = NULL; more && (p = wg_device_next_peer(dp->device, p));)
			more = fn(ctx, p);
		pthread_mutex_unlock(&dp->lock);
		return;
	}
	for (size_t at = 0; more && at < n; at += WALK_PIECE) {
		pthread_mutex_lock(&dp->lock);
		for (size_t i = at; more && i < MIN(at + WALK_PIECE, n); i++) {
			const struct wg_peer *p = wg_device_find_peer(dp->device, &keys[i]);

			if (p)
				more = fn(ctx, p);
		}
		pthread_mutex_unlock(&dp->lock);
	}
	free(keys);
}

/* ---- changing ---- */

/* Begins and ends a control call by a thread of the program. */
static int64_t change_begin(struct dataplane *dp)
{
	pthread_mutex_lock(&dp->lock);
	return clock_mono_ns();
}

static void change_end(struct dataplane *dp)
{
	control_own_events(dp);
	pthread_mutex_unlock(&dp->lock);
	control_kick(dp);
}

enum err_code dataplane_set_private_key(struct dataplane *dp, const struct secret_key *k,
					struct err *e)
{
	int64_t now = change_begin(dp);

	(void)e;
	wg_device_set_private_key(dp->device, k, now);
	change_end(dp);
	return ERR_OK;
}

enum err_code dataplane_set_listen_port(struct dataplane *dp, uint16_t port, struct err *e)
{
	struct sockets *s;
	enum err_code rc = ERR_OK;
	int64_t now = change_begin(dp);

	s = atomic_load(&dp->sockets);
	if (!s)
		dp->port = port; /* bound when the interface goes up */
	else if (port == 0 || port != s->port)
		rc = sockets_replace(dp, port, e);
	if (!rc)
		wg_device_port_changed(dp->device, now);
	change_end(dp);
	return rc;
}

enum err_code dataplane_set_fwmark(struct dataplane *dp, uint32_t mark, struct err *e)
{
	struct sockets *s;
	enum err_code rc = ERR_OK;

	change_begin(dp);
	s = atomic_load(&dp->sockets);
	if (s && dp->config.outside.set_mark)
		rc = dp->config.outside.set_mark(dp->config.outside.ctx, mark, e);
	for (unsigned i = 0; s && !rc && !dp->config.outside.set_mark && i < s->n; i++)
		rc = udp_set_mark(s->udp[i], mark, e);
	if (!rc) {
		dp->fwmark = mark;
		wg_device_clear_sources(dp->device);
	}
	change_end(dp);
	return rc;
}

enum err_code dataplane_change_peer(struct dataplane *dp, const struct wg_peer_change *c,
				    struct err *e)
{
	int64_t now = change_begin(dp);
	enum err_code rc = wg_device_change_peer(dp->device, c, now, e);

	change_end(dp);
	return rc;
}

void dataplane_run_begin(struct dataplane *dp)
{
	dp->run_now = change_begin(dp);
}

enum err_code dataplane_run_change_peer(struct dataplane *dp, const struct wg_peer_change *c,
					struct err *e)
{
	enum err_code rc = wg_device_change_peer(dp->device, c, dp->run_now, e);

	control_own_events(dp); /* there is room for few */
	return rc;
}

void dataplane_run_end(struct dataplane *dp)
{
	change_end(dp);
}

enum err_code dataplane_replace_peers(struct dataplane *dp, struct err *e)
{
	bool more;

	(void)e;
	do {
		int64_t now = change_begin(dp);

		more = wg_device_remove_peers(dp->device, REMOVE_PIECE, now);
		change_end(dp);
	} while (more);
	return ERR_OK;
}
