#include "dataplane/inbound.h"

#include "dataplane/worker.h"
#include "packet/gro.h"

#define JOBS_MAX 256

struct inbound {
	struct udp_batch *batch;
	struct wg_path path[UDP_BATCH_MAX]; /* of each message of the batch */
	size_t n;
	struct aead_job job[JOBS_MAX];
	struct wg_receive rx[JOBS_MAX];
	enum wg_verdict verdict[JOBS_MAX];
	uint32_t inner_len[JOBS_MAX]; /* of those that are WG_OK */
	struct {
		const struct wg_path *path;
		uint8_t ecn;
	} from[JOBS_MAX];
	struct gro gro;
};

static void write_joined(void *ctx, const struct gro_packet *p)
{
	struct worker *w = ctx;
	int rc = tun_write(w->dp->tun, w->number, p->iov, p->n);

	if (rc < 0)
		worker_tun_failed(w, -rc);
	else
		w->tun_failures = 0;
}

struct inbound *inbound_new(struct worker *w)
{
	struct inbound *in = calloc(1, sizeof *in);

	if (!in)
		return NULL;
	in->batch = udp_batch_new();
	if (!in->batch) {
		free(in);
		return NULL;
	}
	gro_init(&in->gro, tun_has_udp_offload(w->dp->tun), write_joined, w);
	return in;
}

void inbound_free(struct inbound *in)
{
	if (!in)
		return;
	udp_batch_free(in->batch);
	free(in);
}

static void to_control(struct worker *w, const uint8_t *dgram, size_t len,
		       const struct wg_path *from)
{
	enum wg_verdict v = wg_handshake_look(w->dp->device, dgram, len);
	struct handshake_item item = { .from = *from, .len = (uint16_t)len };

	if (v != WG_OK) {
		wg_count(w->dp->device, NULL, v, 1);
		return;
	}
	BUG_ON(len > sizeof item.dgram); /* an initiation is the longest of them */
	memcpy(item.dgram, dgram, len);
	if (!mailbox_put(w->dp->handshakes, &item))
		wg_count(w->dp->device, NULL, DROP_QUEUE_FULL, 1);
}

static void deliver(struct worker *w, uint8_t *packet, size_t n)
{
	if (tun_has_offload(w->dp->tun))
		gro_push(&w->in->gro, packet, n);
	else
		worker_tun_write(w, packet, n);
}

static void judge_jobs(struct worker *w)
{
	struct inbound *in = w->in;
	struct wg_receive_run run = { 0 };

	for (size_t i = 0; i < in->n; i++) {
		in->verdict[i] = DROP_FORGED;
		if (in->job[i].ok)
			in->verdict[i] = wg_receive_next(w->dp->device, &run, &in->rx[i],
							 in->from[i].path, in->from[i].ecn, w->now,
							 &in->inner_len[i], &w->events);
	}
	wg_receive_end(&run, w->now, &w->events);
}

/* Opens what was collected and hands it on in order.  What the packets tell about their sessions is
 * settled before the first of them leaves: its answer may come at once, by another worker. */
static void open_jobs(struct worker *w)
{
	struct inbound *in = w->in;

	aead_open_batch(in->job, in->n);
	judge_jobs(w);
	worker_settle(w);
	for (size_t i = 0; i < in->n; i++) {
		if (in->verdict[i] == WG_OK)
			deliver(w, in->rx[i].text, in->inner_len[i]);
		else if (in->verdict[i] != WG_KEEPALIVE)
			wg_count(w->dp->device, in->rx[i].peer, in->verdict[i], 1);
	}
	in->n = 0;
}

static void datagram(struct worker *w, uint8_t *dgram, size_t len, const struct wg_path *from,
		     uint8_t ecn)
{
	struct inbound *in = w->in;
	struct wg_receive *rx = &in->rx[in->n];
	enum wg_verdict v;

	if (dgram[0] != WG_TRANSPORT) {
		to_control(w, dgram, len, from);
		return;
	}
	v = wg_receive_begin(w->dp->device, dgram, len, w->now, rx);
	if (v != WG_OK) {
		wg_count(w->dp->device, rx->peer, v, 1);
		return;
	}
	in->job[in->n] = (struct aead_job){
		.key = rx->key, .counter = rx->counter, .text = rx->text, .len = rx->len
	};
	in->from[in->n].path = from;
	in->from[in->n].ecn = ecn;
	if (++in->n == JOBS_MAX)
		open_jobs(w);
}

void inbound_run(struct worker *w, uint8_t family)
{
	struct inbound *in = w->in;
	struct udp_in *m;
	size_t n = w->udp ? udp_receive(w->udp, family, in->batch, &m) : 0;

	for (size_t i = 0; i < n; i++) {
		w->moved += m[i].len;
		in->path[i] = (struct wg_path){ .remote = m[i].from,
						.local = m[i].to.addr,
						.local_ifindex = m[i].to.ifindex };
		/* However a sender arranged it: pieces of `segment`, the last may be shorter. */
		for (size_t at = 0; at < m[i].len; at += m[i].segment)
			datagram(w, m[i].data + at, MIN(m[i].segment, m[i].len - at), &in->path[i],
				 m[i].ecn);
	}
	if (in->n)
		open_jobs(w);
	/* The buffers are used again: nothing of them may stay behind. */
	gro_flush(&in->gro);
}
