#include "dataplane/outbound.h"

#include <errno.h>
#include <sys/mman.h>

#include "dataplane/worker.h"
#include "packet/gso.h"

#define PACKETS_MAX 256
/* Enough for many small packets in one batch, and for one super-packet not to wait for others:
 * reading ends when this much has been read. */
#define READ_BYTES (64u << 10)
#define READ_AREA (READ_BYTES + 2 * (TUN_PACKET_MAX + 1 + WG_TRANSPORT_MIN + WG_PADDING))
#define CUT_AREA (256u << 10)
/* An IP packet up to this fits a datagram with any padding, header and tag. */
#define INNER_MAX (UDP_PAYLOAD_MAX - WG_TRANSPORT_MIN - (WG_PADDING - 1))
/* ICMP errors that a worker writes: as many a second, so many at once. */
#define ICMP_RATE 200
#define ICMP_BURST 50

_Static_assert(WG_TRANSPORT_HEADER_LEN >= sizeof(struct virtio_net_hdr),
	       "tun_read needs room in front of a packet");

/* A packet on its way; at `dgram` there is room for the header, behind it the text. */
struct out_packet {
	struct wg_peer *peer;
	uint8_t *dgram;
	uint32_t len; /* of the IP packet */
	uint32_t padded;
	uint8_t ecn; /* for the outer header */
};

/* Consecutive packets of one peer: one session, one run of counters. */
struct out_run {
	size_t first, n;
	struct wg_send send;
};

struct outbound {
	size_t n;
	struct out_packet packet[PACKETS_MAX];
	struct aead_job job[PACKETS_MAX];
	size_t runs;
	struct out_run run[PACKETS_MAX];

	size_t messages;
	struct udp_out message[UDP_SEND_MAX];
	struct wg_peer *message_peer[UDP_SEND_MAX];

	uint8_t *read_area; /* packets as they were read */
	size_t read_at;
	uint8_t *cut_area; /* segments of super-packets */
	size_t cut_at;

	bool lonely; /* the last turn found a single packet */
	int64_t icmp_full_at; /* when the bucket of ICMP errors is full again */
};

struct outbound *outbound_new(void)
{
	struct outbound *o = calloc(1, sizeof *o);
	void *area;

	if (!o)
		return NULL;
	area = mmap(NULL, READ_AREA + CUT_AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (area == MAP_FAILED) {
		free(o);
		return NULL;
	}
	o->read_area = area;
	o->cut_area = o->read_area + READ_AREA;
	return o;
}

void outbound_free(struct outbound *o)
{
	if (!o)
		return;
	munmap(o->read_area, READ_AREA + CUT_AREA);
	free(o);
}

/* ---- what cannot leave ---- */

static bool icmp_allowed(struct outbound *o, int64_t now)
{
	const int64_t each = NS_PER_S / ICMP_RATE;
	int64_t start = MAX(o->icmp_full_at, now);

	if (start + each > now + each * ICMP_BURST)
		return false;
	o->icmp_full_at = start + each;
	return true;
}

static void refuse(struct worker *w, struct wg_peer *peer, enum wg_verdict v, const uint8_t *packet,
		   size_t n)
{
	uint8_t answer[ICMP_ERROR_MAX];
	const struct ip_addr any = { 0 };
	size_t len;

	wg_count(w->dp->device, peer, v, 1);
	if ((v != DROP_NO_PEER && v != DROP_NO_ENDPOINT && v != DROP_TOO_BIG) ||
	    !icmp_allowed(w->out, w->now))
		return;
	len = icmp_error(answer, packet, n,
			 v == DROP_NO_PEER	 ? ICMP_HOST_UNREACHABLE
			 : v == DROP_NO_ENDPOINT ? ICMP_NO_DESTINATION_ADDRESS
						 : ICMP_TOO_BIG,
			 INNER_MAX, &any);
	if (len)
		worker_tun_write(w, answer, len);
}

/* Copies a packet for the control thread, which keeps it until there is a session. */
static void stage(struct worker *w, const struct out_packet *p)
{
	struct staged_item item = { .peer = p->peer, .copy = malloc(p->len), .len = p->len };

	if (item.copy) {
		memcpy(item.copy, p->dgram + WG_TRANSPORT_HEADER_LEN, p->len);
		if (mailbox_put(w->dp->staged, &item))
			return;
	}
	wg_count(w->dp->device, p->peer, item.copy ? DROP_QUEUE_FULL : DROP_NO_MEMORY, 1);
	free(item.copy);
}

/* ---- sealing and sending a batch ---- */

/* Asks for each packet of a peer that has limits; *n of them may go. */
static enum wg_verdict weigh_run(struct worker *w, struct out_run *r, size_t *n,
				 enum wg_verdict *rest)
{
	const struct out_packet *p = &w->out->packet[r->first];
	uint32_t len[PACKETS_MAX];

	for (size_t i = 0; i < r->n; i++)
		len[i] = p[i].len;
	return wg_send_weigh(w->dp->device, p->peer, len, n, w->now, &r->send, rest, &w->events);
}

/* Takes counters for the packets of one peer and prepares them for sealing; returns how many. */
static size_t begin_run(struct worker *w, struct out_run *r, struct aead_job *job)
{
	struct outbound *o = w->out;
	struct out_packet *p = &o->packet[r->first];
	enum wg_verdict v, rest = WG_OK;
	size_t n = r->n;

	v = wg_send_begin(w->dp->device, p->peer, n, w->now, &r->send, &w->events);
	if (v == WG_WEIGH)
		v = weigh_run(w, r, &n, &rest);
	for (size_t i = 0; i < r->n; i++, p++) {
		uint8_t *text = p->dgram + WG_TRANSPORT_HEADER_LEN;

		if (v == WG_OK && i >= n) {
			wg_count(w->dp->device, p->peer, rest, 1);
		} else if (v == WG_OK) {
			wg_transport_header(p->dgram, r->send.receiver, r->send.counter + i);
			memset(text + p->len, 0, p->padded - p->len);
			job[i] = (struct aead_job){ .key = r->send.key,
						    .counter = r->send.counter + i,
						    .text = text,
						    .len = p->padded };
		} else if (v == WG_STAGE || v == DROP_DOWN) {
			/* Down, yet here is a packet: control has not yet heard of the change. */
			stage(w, p);
		} else {
			refuse(w, p->peer, v, text, p->len);
		}
	}
	if (v == WG_OK)
		r->n = n; /* those behind are dropped */
	return v == WG_OK ? n : 0;
}

static void send_messages(struct worker *w)
{
	struct outbound *o = w->out;

	if (!o->messages)
		return;
	if (w->udp)
		udp_send(w->udp, o->message, o->messages);
	for (size_t i = 0; i < o->messages; i++) {
		const struct udp_out *m = &o->message[i];
		size_t n = (m->len + m->segment - 1) / m->segment;

		if (!w->udp)
			wg_count(w->dp->device, o->message_peer[i], DROP_DOWN, n);
		else if (m->result == UDP_SENT || m->result == UDP_SENT_WITHOUT_SOURCE)
			wg_send_done(o->message_peer[i], n, m->len, w->now, &w->events);
		else
			/* The packets are sealed by now: there is nothing left to quote in an
			 * ICMP error. */
			wg_count(w->dp->device, o->message_peer[i],
				 m->result == UDP_TOO_BIG ? DROP_TOO_BIG : DROP_NOT_SENT, n);
		if (w->udp && m->result == UDP_SENT_WITHOUT_SOURCE)
			wg_send_source_failed(o->message_peer[i], &w->events);
	}
	o->messages = 0;
}

/* True when the datagram can be one more segment of the message. */
static bool continues(const struct udp_out *m, const uint8_t *dgram, size_t len, uint8_t ecn)
{
	return m->data + m->len == dgram && len <= m->segment && m->len % m->segment == 0 &&
	       m->ecn == ecn && m->len + len <= UDP_PAYLOAD_MAX &&
	       m->len < m->segment * UDP_SEGMENTS_MAX;
}

/* Makes messages of a sealed run. */
static void send_run(struct worker *w, const struct out_run *r)
{
	struct outbound *o = w->out;
	struct udp_out *m = NULL;

	for (size_t i = r->first; i < r->first + r->n; i++) {
		const struct out_packet *p = &o->packet[i];
		size_t len = p->padded + WG_TRANSPORT_MIN;

		if (m && continues(m, p->dgram, len, p->ecn)) {
			m->len += len;
			continue;
		}
		if (o->messages == UDP_SEND_MAX)
			send_messages(w);
		m = &o->message[o->messages];
		*m = (struct udp_out){ .data = p->dgram,
				       .len = len,
				       .segment = len,
				       .to = r->send.path.remote,
				       .from = { .addr = r->send.path.local,
						 .ifindex = r->send.path.local_ifindex },
				       .ecn = p->ecn };
		o->message_peer[o->messages++] = p->peer;
	}
}

/* Seals and sends all collected packets. */
static void flush(struct worker *w)
{
	struct outbound *o = w->out;
	size_t jobs = 0;

	o->runs = 0;
	for (size_t i = 0; i < o->n;) {
		struct out_run *r = &o->run[o->runs];
		size_t ready;

		*r = (struct out_run){ .first = i };
		while (i < o->n && o->packet[i].peer == o->packet[r->first].peer)
			i++;
		r->n = i - r->first;
		ready = begin_run(w, r, o->job + jobs);
		jobs += ready;
		if (ready)
			o->runs++;
	}
	if (jobs)
		aead_seal_batch(o->job, jobs);
	for (size_t i = 0; i < o->runs; i++)
		send_run(w, &o->run[i]);
	send_messages(w);
	o->n = 0;
	o->cut_at = 0;
}

/* ---- reading and cutting ---- */

static size_t dgram_len(size_t padded)
{
	return padded + WG_TRANSPORT_MIN;
}

static void collect(struct outbound *o, struct wg_peer *peer, uint8_t *dgram, size_t len,
		    size_t padded, uint8_t ecn)
{
	o->packet[o->n++] = (struct out_packet){ .peer = peer,
						 .dgram = dgram,
						 .len = (uint32_t)len,
						 .padded = (uint32_t)padded,
						 .ecn = ecn };
}

/* Cuts a super-packet; one of more segments than there is room for goes in several batches. */
static void cut(struct worker *w, const struct gso *g, struct wg_peer *peer, uint16_t mtu)
{
	struct outbound *o = w->out;
	uint8_t ecn = ecn_encapsulate(g->ip.tos);

	for (uint32_t i = 0; i < g->count; i++) {
		size_t len = gso_segment_len(g, i);
		size_t padded = wg_padded_len(len, mtu);
		uint8_t *dgram;

		if (o->n == PACKETS_MAX || o->cut_at + dgram_len(padded) > CUT_AREA)
			flush(w);
		dgram = o->cut_area + o->cut_at;
		gso_segment(g, i, dgram + WG_TRANSPORT_HEADER_LEN);
		collect(o, peer, dgram, len, padded, ecn);
		o->cut_at += dgram_len(padded);
	}
}

/* Takes one packet of `n` bytes that was read to text. */
static void take(struct worker *w, const struct virtio_net_hdr *h, uint8_t *text, size_t n)
{
	struct outbound *o = w->out;
	uint16_t mtu = atomic_load_explicit(&w->dp->mtu, memory_order_relaxed);
	struct wg_peer *peer;
	struct gso g;
	size_t padded;

	if (!gso_begin(&g, h, text, n)) {
		wg_count(w->dp->device, NULL, DROP_NOT_IP, 1);
		return;
	}
	peer = wg_route(w->dp->device, g.ip.family, g.ip.dst);
	if (!peer) {
		refuse(w, NULL, DROP_NO_PEER, text, n);
		return;
	}
	if (g.count > 1) {
		cut(w, &g, peer, mtu);
		return;
	}
	if (g.len > INNER_MAX) {
		refuse(w, peer, DROP_TOO_BIG, text, n);
		return;
	}
	/* An ordinary packet stays where it is: the next one is read behind its tag. */
	padded = wg_padded_len(g.len, mtu);
	gso_segment(&g, 0, text);
	collect(o, peer, text - WG_TRANSPORT_HEADER_LEN, g.len, padded, ecn_encapsulate(g.ip.tos));
	o->read_at += dgram_len(padded);
}

void outbound_run(struct worker *w)
{
	struct outbound *o = w->out;
	size_t bytes = 0, packets = 0;

	o->read_at = 0;
	while (bytes < READ_BYTES && o->n < PACKETS_MAX) {
		uint8_t *text = o->read_area + o->read_at + WG_TRANSPORT_HEADER_LEN;
		struct virtio_net_hdr h;
		ssize_t n = tun_read(w->dp->tun, w->number, &h, text, TUN_PACKET_MAX);

		if (n < 0) {
			if (n != -EAGAIN)
				worker_tun_failed(w, (int)-n);
			break;
		}
		w->tun_failures = 0;
		take(w, &h, text, (size_t)n);
		bytes += (size_t)n;
		/* Where packets come one by one, each leaves before the look for another. */
		if (++packets == 1 && o->lonely) {
			flush(w);
			o->read_at = 0;
		}
	}
	o->lonely = packets == 1;
	w->moved += bytes;
	flush(w);
}
