#include "dataplane/sockets.h"

#include <errno.h>
#include <sys/epoll.h>

#include "dataplane/worker.h"

static void sockets_free(struct sockets *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n; i++)
		udp_close(s->udp[i]);
	free(s);
}

static void sockets_free_retired(struct retired_node *node)
{
	sockets_free(CONTAINER_OF(node, struct sockets, node));
}

static enum err_code sockets_open(struct sockets **out, const struct dataplane *dp, uint16_t port,
				  struct err *e)
{
	const struct udp_options o = { .port = port,
				       .mark = dp->fwmark,
				       .pairs = dp->worker_count,
				       .gso = dp->config.offloads & OFFLOAD_UDP_GSO,
				       .gro = dp->config.offloads & OFFLOAD_UDP_GRO,
				       .spread = { .first_byte = WG_TRANSPORT, .at = WG_LANE_AT } };
	struct sockets *s = calloc(1, sizeof *s);
	enum err_code rc;

	if (!s)
		return err_set(e, ERR_NOMEM, "no memory for UDP port %u", port);
	if (dp->config.outside.open_sockets)
		rc = dp->config.outside.open_sockets(dp->config.outside.ctx, s->udp, &o, e);
	else
		rc = udp_open(s->udp, &o, e);
	if (rc) {
		free(s);
		return rc;
	}
	s->n = dp->worker_count;
	s->port = udp_port(s->udp[0]);
	*out = s;
	return ERR_OK;
}

/* Publishes `s` (or NULL) and retires what it replaces.  The port is free at once: it may be the
 * very next one that is asked for. */
static void sockets_publish(struct dataplane *dp, struct sockets *s)
{
	struct sockets *old = atomic_exchange(&dp->sockets, s);

	if (!old)
		return;
	for (unsigned i = 0; i < old->n; i++)
		udp_release(old->udp[i]);
	retired_add(&dp->retired, &old->node, sockets_free_retired);
}

static enum err_code watch_socket(const struct worker *w, const struct udp *u, uint8_t family,
				  uint64_t tag, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = tag };
	int fd = udp_fd(u, family);

	if (fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
		return ERR_OK;
	return err_sys(e, errno, "watch UDP port %u", udp_port(u));
}

enum err_code sockets_replace(struct dataplane *dp, uint16_t port, struct err *e)
{
	struct sockets *s = NULL;
	enum err_code rc = sockets_open(&s, dp, port, e);

	/* A worker that is woken before the new sockets are published finds nothing to read and
	 * comes again; the old ones leave its epoll when they are released. */
	for (unsigned i = 0; !rc && i < dp->worker_count; i++) {
		rc = watch_socket(dp->workers[i], s->udp[i], IP_V4, WORKER_V4, e);
		if (!rc)
			rc = watch_socket(dp->workers[i], s->udp[i], IP_V6, WORKER_V6, e);
	}
	if (rc) {
		sockets_free(s);
		return rc;
	}
	dp->port = s->port;
	sockets_publish(dp, s);
	return ERR_OK;
}

void sockets_drop(struct dataplane *dp)
{
	sockets_publish(dp, NULL);
}

void sockets_close(struct dataplane *dp)
{
	sockets_free(atomic_exchange(&dp->sockets, NULL));
}
