#include "wg/staged.h"

#include "packet/ip.h"
#include "wg/core.h"
#include "wg/handshake.h"
#include "wg/timers.h"

#define PACKET_MAX 65535

/* A packet with room around it, so that it is sealed where it lies. */
struct staged {
	struct list link;
	size_t len; /* of the packet */
	size_t size; /* of dgram */
	uint8_t dgram[]; /* header, packet, padding, tag */
};

static void staged_free(struct wg_peer *p, struct staged *s)
{
	list_del(&s->link);
	p->active->staged_count--;
	p->device->staged_bytes -= s->size;
	free(s);
}

static struct staged *staged_first(struct wg_peer *p)
{
	if (!p->active || list_empty(&p->active->staged))
		return NULL;
	return CONTAINER_OF(p->active->staged.next, struct staged, link);
}

void wg_staged_add(struct wg_peer *p, const uint8_t *packet, size_t n)
{
	struct wg_device *d = p->device;
	struct wg_active *a = wg_peer_activate(p);
	size_t size = WG_TRANSPORT_HEADER_LEN + n + WG_PADDING + AEAD_TAG_LEN;
	struct staged *s;

	if (n > PACKET_MAX) {
		wg_count(d, p, DROP_MALFORMED, 1);
		return;
	}
	if (a && a->staged_count >= WG_STAGED_MAX) {
		staged_free(p, staged_first(p));
		wg_count(d, p, DROP_QUEUE_FULL, 1);
	}
	if (d->staged_bytes + size > WG_STAGED_BYTES_MAX) {
		wg_count(d, p, DROP_QUEUE_FULL, 1);
		return;
	}
	s = a ? calloc(1, sizeof *s + size) : NULL;
	if (!s) {
		wg_count(d, p, DROP_NO_MEMORY, 1);
		return;
	}
	s->len = n;
	s->size = size;
	if (n)
		memcpy(s->dgram + WG_TRANSPORT_HEADER_LEN, packet, n);
	list_add_tail(&a->staged, &s->link);
	a->staged_count++;
	d->staged_bytes += size;
}

void wg_staged_drop(struct wg_peer *p, enum wg_verdict why)
{
	struct staged *s;

	while ((s = staged_first(p))) {
		staged_free(p, s);
		wg_count(p->device, p, why, 1);
	}
}

struct wg_session *wg_session_usable(struct wg_peer *p, int64_t now)
{
	struct wg_session *s = atomic_load_explicit(&p->current, memory_order_relaxed);

	if (!s || wg_session_void(p->device, s, now) || !wg_peer_path(p))
		return NULL;
	return s;
}

/* Seals `padded` bytes behind the header and sends; false when the session has no counters left. */
static bool seal_and_send(struct wg_peer *p, struct wg_session *s, uint8_t *dgram, size_t padded,
			  uint8_t ecn)
{
	struct aead_job job = {
		.key = &s->send_key,
		.text = dgram + WG_TRANSPORT_HEADER_LEN,
		.len = padded,
	};

	if (!wg_session_take_counters(s, 1, &job.counter))
		return false;
	wg_transport_header(dgram, s->remote_index, job.counter);
	aead_seal_batch(&job, 1);
	wg_peer_send(p, dgram, WG_TRANSPORT_HEADER_LEN + padded + AEAD_TAG_LEN, ecn);
	return true;
}

static uint8_t outer_ecn(const struct staged *s)
{
	struct ip_view v;

	return ip_view(&v, s->dgram + WG_TRANSPORT_HEADER_LEN, s->len) ? ecn_encapsulate(v.tos) : 0;
}

bool wg_staged_flush(struct wg_peer *p, int64_t now)
{
	struct wg_session *session = wg_session_usable(p, now);
	struct staged *s;
	bool sent = false;

	if (!session)
		return false;
	while ((s = staged_first(p))) {
		size_t padded = wg_padded_len(s->len, p->device->mtu);
		uint32_t len = (uint32_t)s->len;
		enum wg_verdict over;

		if (!wg_peer_admit(p, WG_DOWN, &len, 1, now, &over)) {
			staged_free(p, s);
			wg_count(p->device, p, over, 1);
			continue;
		}
		if (!seal_and_send(p, session, s->dgram, padded, outer_ecn(s)))
			break;
		staged_free(p, s);
		sent = true;
		wg_timers_data_sent(p, now); /* armed below in any case */
	}
	if (sent) {
		wg_timers_arm(p, now);
		if (wg_timers_rekey_on_send(session, now))
			wg_handshake_start(p, now);
	}
	return sent;
}

bool wg_keepalive_send(struct wg_peer *p, int64_t now)
{
	struct wg_session *session = wg_session_usable(p, now);
	uint8_t dgram[WG_TRANSPORT_MIN];

	if (!session || !seal_and_send(p, session, dgram, 0, 0))
		return false;
	wg_timers_sent(p, now);
	if (wg_timers_rekey_on_send(session, now))
		wg_handshake_start(p, now);
	return true;
}
