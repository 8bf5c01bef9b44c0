#include "dns/query.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fs.h"
#include "crypto/keys.h"

#define SENDS_MAX 3
/* What fits any path without fragments (DNS flag day 2020), as an answer by UDP may be long. */
#define UDP_SIZE 1232
#define DATAGRAM_MAX 4096 /* a server may send more than it was told */
#define DATAGRAMS_A_TURN 16
#define CNAMES_MAX 16
#define QUESTION_MAX (DNS_HEADER_LEN + DNS_NAME_MAX + 4 + 11) /* with an OPT record */

struct dns_query {
	struct loop *loop;
	struct dns_ask ask;
	struct dns_name sent_name; /* as spelled in the question */
	void (*done)(void *ctx, const struct dns_result *r);
	void *ctx;
	struct loop_fd watch;
	struct loop_timer timer; /* the next sending, or the end */
	int64_t started, deadline, interval;
	unsigned sends;
	uint16_t id;
	bool edns;
	bool tcp;
	bool got_garbage;
	bool has_failed; /* before the loop could hear of it */
	int sys;
	uint8_t out[2 + QUESTION_MAX]; /* the length of TCP, then the message */
	size_t out_len, out_sent;
	uint8_t *in; /* by TCP: length and message */
	size_t in_len;
};

/* ---- the end ---- */

static void socket_close(struct dns_query *q)
{
	if (q->watch.fd < 0)
		return;
	loop_fd_remove(&q->watch);
	fd_close(q->watch.fd);
	q->watch.fd = -1;
}

void dns_query_cancel(struct dns_query *q)
{
	if (!q)
		return;
	loop_timer_cancel(&q->timer);
	socket_close(q);
	free(q->in);
	free(q);
}

static void finish(struct dns_query *q, enum dns_outcome outcome, const uint8_t *message,
		   size_t len, unsigned rcode)
{
	const struct dns_result r = {
		.ask = &q->ask,
		.outcome = outcome,
		.sys = outcome == DNS_UNREACHABLE ? q->sys : 0,
		.tcp = q->tcp,
		.took_ns = clock_mono_ns() - q->started,
		.rcode = rcode,
		.message = message,
		.len = len,
	};

	loop_timer_cancel(&q->timer);
	socket_close(q);
	q->done(q->ctx, &r);
	dns_query_cancel(q);
}

static void fail(struct dns_query *q, int sys)
{
	q->sys = sys;
	finish(q, DNS_UNREACHABLE, NULL, 0, 0);
}

/* ---- the question ---- */

/* Each letter's case is a bit that a forger who does not see the question has to guess. */
static void case_mix(struct dns_name *name)
{
	uint8_t bits[DNS_NAME_MAX];

	random_bytes(bits, sizeof bits);
	for (size_t at = 0; name->b[at]; at += (size_t)name->b[at] + 1) {
		for (size_t i = at + 1; i <= at + name->b[at]; i++) {
			uint8_t c = name->b[i] | 0x20;

			if (c >= 'a' && c <= 'z')
				name->b[i] = bits[i] & 1 ? c : (uint8_t)(c & ~0x20);
		}
	}
}

static void question_write(struct dns_query *q)
{
	const struct dns_header h = { .id = q->id, .recursion_desired = true };
	const struct dns_question question = { q->sent_name, q->ask.type, DNS_CLASS_IN };
	const struct dns_record opt = { .section = DNS_ADDITIONAL,
					.name = { .n = 1 },
					.type = DNS_OPT,
					.opt = { .udp_size = UDP_SIZE } };
	struct dns_writer w = dns_write_begin(q->out + 2, sizeof q->out - 2, &h);

	BUG_ON(!dns_write_question(&w, &question));
	BUG_ON(q->edns && !dns_write_record(&w, &opt));
	q->out_len = 2 + dns_write_end(&w);
	store_be16(q->out, (uint16_t)(q->out_len - 2));
}

/* ---- the answer ---- */

enum judgement { NO_ANSWER, ANSWER, CUT_OFF, NO_EDNS };

/* Some servers refuse without repeating the question. */
static bool may_be_bare(const struct dns_header *h)
{
	return h->questions == 0 && (h->rcode == DNS_FORMERR || h->rcode == DNS_SERVFAIL ||
				     h->rcode == DNS_NOTIMP || h->rcode == DNS_REFUSED);
}

static bool name_matches(const struct dns_query *q, const struct dns_name *got)
{
	if (q->ask.mix_case)
		return got->n == q->sent_name.n && memcmp(got->b, q->sent_name.b, got->n) == 0;
	return dns_name_eq(got, &q->sent_name);
}

static bool question_matches(const struct dns_query *q, const struct dns_header *h,
			     struct dns_reader *r)
{
	struct dns_question got;

	if (may_be_bare(h))
		return true;
	return h->questions == 1 && dns_read_question(r, &got) && got.type == q->ask.type &&
	       got.class == DNS_CLASS_IN && name_matches(q, &got.name);
}

static enum judgement judge(const struct dns_query *q, const uint8_t *p, size_t n, unsigned *rcode)
{
	struct dns_header h;
	struct dns_record rr;
	struct dns_reader r = dns_read_begin(&h, p, n);
	bool has_opt = false;

	*rcode = h.rcode;
	if (!h.response || h.opcode != 0 || h.id != q->id || !question_matches(q, &h, &r))
		return NO_ANSWER;
	if (h.truncated && !q->tcp)
		return CUT_OFF;
	while (dns_read_record(&r, &rr)) {
		if (rr.type == DNS_OPT) {
			has_opt = true;
			*rcode |= (unsigned)rr.opt.rcode_high << 4;
		}
	}
	if (!dns_read_done(&r))
		return NO_ANSWER;
	/* RFC 6891, 7: this is how a server says that it does not know EDNS. */
	if (q->edns && !has_opt && (h.rcode == DNS_FORMERR || h.rcode == DNS_NOTIMP))
		return NO_EDNS;
	return ANSWER;
}

/* ---- TCP ---- */

static size_t tcp_wanted(const struct dns_query *q)
{
	return q->in_len < 2 ? 2 : 2 + (size_t)load_be16(q->in);
}

static void tcp_judge(struct dns_query *q)
{
	bool is_whole = q->in_len >= 2 && q->in_len == tcp_wanted(q);
	unsigned rcode;

	if (is_whole && judge(q, q->in + 2, q->in_len - 2, &rcode) == ANSWER)
		finish(q, DNS_ANSWERED, q->in + 2, q->in_len - 2, rcode);
	else
		finish(q, DNS_GARBAGE, NULL, 0, 0); /* nobody else can have sent it */
}

/* A server that hangs up has been reached. */
static void tcp_lost(struct dns_query *q, int sys)
{
	if (sys == ECONNRESET || sys == EPIPE)
		tcp_judge(q);
	else
		fail(q, sys);
}

static void tcp_send(struct dns_query *q)
{
	while (q->out_sent < q->out_len) {
		ssize_t n = send(q->watch.fd, q->out + q->out_sent, q->out_len - q->out_sent,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0) {
			tcp_lost(q, errno);
			return;
		}
		q->out_sent += (size_t)n;
	}
	loop_fd_change(&q->watch, LOOP_READ);
}

static void tcp_receive(struct dns_query *q)
{
	for (;;) {
		ssize_t n = recv(q->watch.fd, q->in + q->in_len, tcp_wanted(q) - q->in_len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0) {
			tcp_lost(q, errno);
			return;
		}
		q->in_len += (size_t)n;
		if (n == 0 || (q->in_len >= 2 && q->in_len == tcp_wanted(q))) {
			tcp_judge(q);
			return;
		}
	}
}

static void tcp_ready(struct loop_fd *w, uint32_t events)
{
	struct dns_query *q = CONTAINER_OF(w, struct dns_query, watch);
	int sys = 0;
	socklen_t n = sizeof sys;

	(void)events;
	if (q->out_sent < q->out_len) {
		if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &sys, &n) < 0)
			sys = errno;
		if (sys)
			fail(q, sys);
		else
			tcp_send(q);
		return;
	}
	tcp_receive(q);
}

/* ---- sockets ---- */

/* Connected or connecting; what stands in the way of reaching the server is *sys, not an error. */
static enum err_code socket_open(struct dns_query *q, int type, uint32_t events,
				 void (*ready)(struct loop_fd *w, uint32_t events), int *sys,
				 struct err *e)
{
	struct sockaddr_storage sa;
	socklen_t n = endpoint_to_sockaddr(&q->ask.server, &sa);
	enum err_code rc;

	*sys = 0;
	q->watch = (struct loop_fd){ .events = events, .ready = ready };
	q->watch.fd = socket(sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->watch.fd < 0 && errno == EAFNOSUPPORT) {
		*sys = errno;
		return ERR_OK;
	}
	if (q->watch.fd < 0)
		return err_sys(e, errno, "open a socket for DNS");
	if (connect(q->watch.fd, (const struct sockaddr *)&sa, n) < 0 && errno != EINPROGRESS)
		*sys = errno;
	rc = loop_fd_add(q->loop, &q->watch, e);
	if (rc) {
		fd_close(q->watch.fd);
		q->watch.fd = -1;
	}
	return rc;
}

static void tcp_start(struct dns_query *q)
{
	int sys = 0;

	socket_close(q);
	q->tcp = true;
	q->in_len = 0;
	q->in = malloc(2 + DNS_MESSAGE_MAX);
	if (!q->in || socket_open(q, SOCK_STREAM, LOOP_WRITE, tcp_ready, &sys, NULL))
		fail(q, ENOMEM);
	else if (sys)
		fail(q, sys);
	else
		loop_timer_set(q->loop, &q->timer, q->deadline);
}

/* ---- UDP ---- */

/* A full buffer of our own is like a datagram that was lost. */
static bool is_passing(int sys)
{
	return sys == EAGAIN || sys == EWOULDBLOCK || sys == ENOBUFS || sys == EINTR;
}

static int udp_send(const struct dns_query *q)
{
	if (send(q->watch.fd, q->out + 2, q->out_len - 2, MSG_NOSIGNAL) >= 0)
		return 0;
	return is_passing(errno) ? 0 : errno;
}

static void timer_set(struct dns_query *q)
{
	int64_t next = loop_now(q->loop) + q->interval;

	loop_timer_set(q->loop, &q->timer,
		       q->sends < SENDS_MAX ? MIN(next, q->deadline) : q->deadline);
}

/* Asks again in other words; the time runs on. */
static void ask_without_edns(struct dns_query *q)
{
	int sys;

	q->edns = false;
	question_write(q);
	sys = udp_send(q);
	if (sys)
		fail(q, sys);
}

/* False when the query has ended or goes on elsewhere. */
static bool udp_judge(struct dns_query *q, const uint8_t *p, size_t n)
{
	unsigned rcode;

	switch (judge(q, p, n, &rcode)) {
	case ANSWER:
		finish(q, DNS_ANSWERED, p, n, rcode);
		return false;
	case CUT_OFF:
		tcp_start(q);
		return false;
	case NO_EDNS:
		ask_without_edns(q);
		return false;
	case NO_ANSWER:
		break;
	}
	q->got_garbage = true;
	return true;
}

static void udp_ready(struct loop_fd *w, uint32_t events)
{
	struct dns_query *q = CONTAINER_OF(w, struct dns_query, watch);
	uint8_t datagram[DATAGRAM_MAX];

	(void)events;
	for (unsigned i = 0; i < DATAGRAMS_A_TURN; i++) {
		ssize_t n = recv(w->fd, datagram, sizeof datagram, MSG_TRUNC);

		if (n < 0 && is_passing(errno))
			return;
		if (n < 0) {
			fail(q, errno);
			return;
		}
		/* One that is longer is cut off, and no message any more. */
		if (!udp_judge(q, datagram, (size_t)n > sizeof datagram ? 0 : (size_t)n))
			return;
	}
}

static void timer_fire(struct loop_timer *t)
{
	struct dns_query *q = CONTAINER_OF(t, struct dns_query, timer);
	int sys;

	if (q->has_failed) {
		fail(q, q->sys);
		return;
	}
	if (loop_now(q->loop) >= q->deadline) {
		finish(q, q->got_garbage ? DNS_GARBAGE : DNS_TIMED_OUT, NULL, 0, 0);
		return;
	}
	q->sends++;
	sys = udp_send(q);
	if (sys)
		fail(q, sys);
	else
		timer_set(q);
}

enum err_code dns_query_start(struct dns_query **out, struct loop *l, const struct dns_ask *ask,
			      void (*done)(void *ctx, const struct dns_result *r), void *ctx,
			      struct err *e)
{
	struct dns_query *q = calloc(1, sizeof *q);
	enum err_code rc;

	if (!q)
		return err_set(e, ERR_NOMEM, "a DNS query: out of memory");
	q->loop = l;
	q->ask = *ask;
	q->sent_name = ask->name;
	q->done = done;
	q->ctx = ctx;
	q->edns = true;
	q->sends = 1;
	q->timer.fire = timer_fire;
	random_bytes(&q->id, sizeof q->id);
	if (ask->mix_case)
		case_mix(&q->sent_name);
	question_write(q);
	rc = socket_open(q, SOCK_DGRAM, LOOP_READ, udp_ready, &q->sys, e);
	if (rc) {
		dns_query_cancel(q);
		return rc;
	}
	/* The loop's own time may be that of the beginning of a long turn. */
	q->started = clock_mono_ns();
	q->deadline = q->started + ask->timeout_ns;
	q->interval = ask->timeout_ns / SENDS_MAX;
	if (!q->sys)
		q->sys = udp_send(q);
	q->has_failed = q->sys != 0;
	if (q->has_failed)
		loop_timer_set(l, &q->timer, q->started);
	else
		timer_set(q);
	*out = q;
	return ERR_OK;
}

/* ---- reading answers ---- */

/* One walk over the answers for `want`: found, or *want is replaced by its CNAME. */
static bool address_look(const struct dns_result *r, struct dns_name *want, bool *renamed,
			 struct ip_addr *out)
{
	struct dns_header h;
	struct dns_question q;
	struct dns_record rr;
	struct dns_reader reader = dns_read_begin(&h, r->message, r->len);

	while (dns_read_question(&reader, &q))
		;
	*renamed = false;
	while (dns_read_record(&reader, &rr) && rr.section == DNS_ANSWER) {
		if (rr.class != DNS_CLASS_IN || !dns_name_eq(&rr.name, want))
			continue;
		if (rr.type == r->ask->type) {
			*out = rr.address;
			return true;
		}
		if (rr.type == DNS_CNAME) {
			*want = rr.target;
			*renamed = true;
			return false;
		}
	}
	return false;
}

bool dns_result_address(const struct dns_result *r, struct ip_addr *out)
{
	struct dns_name want = r->ask->name;
	bool renamed = true;

	if (r->outcome != DNS_ANSWERED || (r->ask->type != DNS_A && r->ask->type != DNS_AAAA))
		return false;
	for (unsigned i = 0; renamed && i < CNAMES_MAX; i++) {
		if (address_look(r, &want, &renamed, out))
			return true;
	}
	return false;
}
