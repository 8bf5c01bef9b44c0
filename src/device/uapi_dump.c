#include "device/uapi_dump.h"

#include <inttypes.h>

#include "wg/transport.h"
#include "wg/uapi.h"

#define IPS_AT_ONCE 128

static const struct public_key *recent_key(const struct uapi_dump *g, uint64_t number)
{
	return &g->recent[number % UAPI_DUMP_RECENT];
}

/* Whether peer `number`, which is `p` now, is still where it was: right behind `before`.  One that
 * was removed and added again stands at the end of the list instead, and to go on from there
 * would leave out all between. */
static bool in_place(const struct wg_device *d, const struct wg_peer *before,
		     const struct wg_peer *p)
{
	return wg_device_next_peer(d, before) == p;
}

/* The newest peer written that is still in its place; NULL: none is.  *number is which. */
static struct wg_peer *resume(const struct uapi_dump *g, const struct wg_device *d,
			      uint64_t *number)
{
	uint64_t oldest = g->peers > UAPI_DUMP_RECENT ? g->peers - UAPI_DUMP_RECENT : 0;
	struct wg_peer *found = NULL, *before = NULL;
	bool known = oldest == 0; /* `before` is known to be in place, or the list's beginning */

	for (uint64_t i = oldest; i < g->peers; i++) {
		struct wg_peer *p = wg_device_find_peer(d, recent_key(g, i));

		if (!p)
			continue;
		if ((known || before) && in_place(d, before, p)) {
			found = p;
			*number = i;
			known = true;
		} else if (known) {
			continue; /* added again: it comes up a second time at the end */
		}
		before = p;
	}
	return found;
}

/* Writes allowed IPs of the newest peer; true when none are left. */
static bool put_ips(struct uapi_dump *g, const struct wg_peer *p, struct buf *out, size_t room)
{
	struct ip_prefix ips[IPS_AT_ONCE];

	while (out->n < room) {
		size_t n = wg_peer_allowed_ips(p, g->next_ip, ips, IPS_AT_ONCE);

		wg_uapi_put_allowed_ips(out, ips, n);
		g->next_ip += n;
		if (n < IPS_AT_ONCE)
			return true;
	}
	return false;
}

static void put_extensions(const struct wg_peer *p, const struct wg_peer_info *info,
			   struct buf *out)
{
	uint64_t verdicts[WG_VERDICTS];

	wg_counts(NULL, p, verdicts);
	wg_uapi_put_extensions(out, info, verdicts);
}

static void put_peer(struct uapi_dump *g, const struct wg_peer *p, struct buf *out)
{
	struct wg_peer_info info;

	wg_peer_info(p, &info);
	wg_uapi_put_peer(out, &info);
	if (g->extensions)
		put_extensions(p, &info, out);
	wipe(&info, sizeof info);
	g->recent[g->peers % UAPI_DUMP_RECENT] = *wg_peer_key(p);
	g->peers++;
	g->next_ip = 0;
	g->inside = true;
}

enum uapi_dump_state uapi_dump_peer(struct uapi_dump *g, const struct wg_device *d,
				    const struct public_key *k, struct buf *out, size_t room)
{
	struct wg_peer *p = wg_device_find_peer(d, k);

	if (!p)
		return g->peers ? UAPI_DUMP_LOST : UAPI_DUMP_NONE;
	if (!g->peers)
		put_peer(g, p, out);
	return put_ips(g, p, out, room) ? UAPI_DUMP_DONE : UAPI_DUMP_MORE;
}

void uapi_dump_status(struct buf *out, const struct dataplane_status *s)
{
	buf_printf(out, "qanat_mtu=%u\nqanat_up=%d\nqanat_workers=%u\nqanat_offloads=%u\n", s->mtu,
		   s->up, s->workers, s->offloads);
	buf_printf(out, "qanat_peers=%zu\nqanat_connected=%zu\n", s->peer_count,
		   s->connected_count);
	buf_printf(out, "qanat_rx_bytes=%" PRIu64 "\nqanat_tx_bytes=%" PRIu64 "\n", s->rx_bytes,
		   s->tx_bytes);
	wg_uapi_put_drops(out, s->verdicts);
}

enum uapi_dump_state uapi_dump_peers(struct uapi_dump *g, const struct wg_device *d,
				     struct buf *out, size_t room)
{
	struct wg_peer *p = NULL;
	uint64_t number = 0;

	if (g->peers)
		p = resume(g, d, &number);
	if (g->peers && !p && wg_device_next_peer(d, NULL)) {
		/* All that we remember is gone, as when the peers are replaced: from the front. */
		if (g->restarts++ == UAPI_DUMP_RESTARTS_MAX)
			return UAPI_DUMP_LOST;
		g->inside = false;
		g->peers = 0;
	}
	if (!p || number + 1 != g->peers)
		g->inside = false;

	while (out->n < room) {
		if (g->inside && !put_ips(g, p, out, room))
			return UAPI_DUMP_MORE;
		g->inside = false;
		p = wg_device_next_peer(d, p);
		if (!p)
			return UAPI_DUMP_DONE;
		put_peer(g, p, out);
	}
	return UAPI_DUMP_MORE;
}
