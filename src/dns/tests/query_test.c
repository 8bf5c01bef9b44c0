/* Queries against a server of the same loop, on loopback, that behaves as each row says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "crypto/keys.h"
#include "dns/query.h"

#define LONG_NS (20 * 1000000000LL)
#define SHORT_NS (60 * 1000000LL)
/* A question is repeated after a third of it. */
#define REPEAT_NS (4500 * 1000000LL)

enum manner {
	M_OK,
	M_CNAME,
	M_CNAME_LOOP,
	M_EMPTY,
	M_NXDOMAIN,
	M_SERVFAIL,
	M_REFUSED_BARE,
	M_BARE_SUCCESS,
	M_SILENT,
	M_GARBAGE,
	M_NO_RESPONSE_BIT,
	M_OTHER_ID,
	M_OTHER_NAME,
	M_OTHER_TYPE,
	M_BROKEN_RECORD,
	M_GARBAGE_THEN_OK,
	M_SECOND_TIME,
	M_NO_EDNS,
	M_OTHER_CASE,
	M_TCP,
	M_TCP_PIECES,
	M_TCP_CUT,
	M_TCP_CLOSED,
	M_TCP_OTHER_ID,
	M_TCP_NOBODY,
	M_NOBODY,
	M_LONG,
};

struct server {
	struct loop *loop;
	struct loop_fd udp, listener, stream;
	enum manner manner;
	unsigned asked;
	uint16_t port;
	bool saw_edns;
};

static struct server server;

/* ---- what it answers ---- */

static struct dns_name name_of(const char *text)
{
	struct dns_name name;

	assert_true(dns_name_parse(&name, str_of(text)));
	return name;
}

static void cname_add(struct dns_writer *w, const struct dns_name *from, const char *to)
{
	struct dns_record rr = {
		.name = *from, .type = DNS_CNAME, .class = DNS_CLASS_IN, .target = name_of(to)
	};

	assert_true(dns_write_record(w, &rr));
}

static void address_add(struct dns_writer *w, const struct dns_name *name)
{
	struct dns_record rr = { .name = *name,
				 .type = DNS_A,
				 .class = DNS_CLASS_IN,
				 .address = ip_v4((const uint8_t[]){ 192, 0, 2, 7 }) };

	assert_true(dns_write_record(w, &rr));
}

static void header_bend(struct dns_header *h, struct dns_question *q, bool tcp)
{
	h->response = server.manner != M_NO_RESPONSE_BIT;
	switch (server.manner) {
	case M_NXDOMAIN:
		h->rcode = DNS_NXDOMAIN;
		break;
	case M_SERVFAIL:
		h->rcode = DNS_SERVFAIL;
		break;
	case M_REFUSED_BARE:
		h->rcode = DNS_REFUSED;
		break;
	case M_OTHER_ID:
		h->id ^= 1;
		break;
	case M_TCP_OTHER_ID:
		h->id ^= tcp;
		break;
	case M_OTHER_NAME:
		q->name = name_of("other.example");
		break;
	case M_OTHER_TYPE:
		q->type = DNS_AAAA;
		break;
	case M_OTHER_CASE: /* of one letter, so that no spelling is met by chance */
		q->name.b[1] ^= 0x20;
		break;
	default:
		break;
	}
	if (server.manner == M_NO_EDNS && server.saw_edns)
		h->rcode = DNS_FORMERR;
}

static bool asks_by_tcp(void)
{
	return server.manner >= M_TCP && server.manner <= M_TCP_NOBODY;
}

static void records_add(struct dns_writer *w, const struct dns_question *q, bool tcp)
{
	struct dns_name end = name_of("end.example");

	if (server.manner == M_CNAME) {
		address_add(w, &end); /* in any order */
		cname_add(w, &q->name, "end.example");
	} else if (server.manner == M_CNAME_LOOP) {
		cname_add(w, &q->name, "end.example");
		cname_add(w, &end, "www.example");
	} else if (server.manner != M_EMPTY && (tcp || !asks_by_tcp())) {
		address_add(w, &q->name);
	}
	for (int i = 0; server.manner == M_LONG && i < 70; i++)
		address_add(w, &q->name);
}

static size_t answer_write(uint8_t *out, size_t cap, const uint8_t *p, size_t n, bool tcp)
{
	struct dns_header h;
	struct dns_question q;
	struct dns_record rr;
	struct dns_writer w;
	struct dns_reader r = dns_read_begin(&h, p, n);

	assert_true(dns_read_question(&r, &q));
	assert_true(h.recursion_desired && !h.response);
	server.saw_edns = dns_read_record(&r, &rr) && rr.type == DNS_OPT;
	assert_true(dns_read_done(&r));
	header_bend(&h, &q, tcp);
	w = dns_write_begin(out, cap, &h);
	if (server.manner != M_REFUSED_BARE && server.manner != M_BARE_SUCCESS)
		assert_true(dns_write_question(&w, &q));
	if (h.rcode == DNS_NOERROR && server.manner != M_BARE_SUCCESS)
		records_add(&w, &q, tcp);
	if (asks_by_tcp() && !tcp)
		dns_write_truncated(&w);
	n = dns_write_end(&w);
	if (server.manner == M_BROKEN_RECORD)
		n--;
	return n;
}

static void udp_asked(struct loop_fd *w, uint32_t events)
{
	uint8_t in[2048], out[2048];
	struct sockaddr_storage from;
	socklen_t from_len = sizeof from;
	struct sockaddr *sa = (struct sockaddr *)&from;
	ssize_t got = recvfrom(w->fd, in, sizeof in, 0, sa, &from_len);
	size_t n;

	(void)events;
	assert_true(got > 0);
	server.asked++;
	if (server.manner == M_SILENT || (server.manner == M_SECOND_TIME && server.asked == 1))
		return;
	if (server.manner == M_GARBAGE || server.manner == M_GARBAGE_THEN_OK)
		assert_true(sendto(w->fd, "garbage", 7, 0, sa, from_len) == 7);
	if (server.manner == M_GARBAGE)
		return;
	n = answer_write(out, sizeof out, in, (size_t)got, false);
	assert_true(sendto(w->fd, out, n, 0, sa, from_len) == (ssize_t)n);
}

static void stream_close(void)
{
	if (server.stream.fd < 0)
		return;
	loop_fd_remove(&server.stream);
	fd_close(server.stream.fd);
	server.stream.fd = -1;
}

static void stream_ready(struct loop_fd *w, uint32_t events)
{
	uint8_t in[2048], out[2050];
	ssize_t got = recv(w->fd, in, sizeof in, MSG_DONTWAIT);
	size_t n, first;

	(void)events;
	if (got <= 0) {
		stream_close();
		return;
	}
	assert_int_equal(got, 2 + load_be16(in));
	n = answer_write(out + 2, sizeof out - 2, in + 2, (size_t)got - 2, true);
	store_be16(out, (uint16_t)n);
	first = server.manner == M_TCP_PIECES ? 1 : server.manner == M_TCP_CUT ? n : n + 2;
	assert_true(send(w->fd, out, first, MSG_NOSIGNAL) == (ssize_t)first);
	if (server.manner == M_TCP_PIECES)
		assert_true(send(w->fd, out + 1, n + 1, MSG_NOSIGNAL) == (ssize_t)n + 1);
	stream_close();
}

static void listener_ready(struct loop_fd *w, uint32_t events)
{
	struct err e;
	int fd = accept(w->fd, NULL, NULL);

	(void)events;
	assert_true(fd >= 0);
	if (server.manner == M_TCP_CLOSED) {
		fd_close(fd);
		return;
	}
	server.stream = (struct loop_fd){ .fd = fd, .events = LOOP_READ, .ready = stream_ready };
	assert_int_equal(loop_fd_add(server.loop, &server.stream, &e), ERR_OK);
}

/* ---- its sockets ---- */

static int bound(int type, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (bind(fd, (const struct sockaddr *)&sa, sizeof sa) == 0)
		return fd;
	fd_close(fd);
	return -1;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in sa;
	socklen_t n = sizeof sa;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	return ntohs(sa.sin_port);
}

/* A port that both protocols have free; somebody else may hold one of them. */
static void server_open(struct loop *l)
{
	int udp = -1, tcp = -1;
	struct err e;

	for (int i = 0; tcp < 0 && i < 100; i++) {
		fd_close(udp);
		udp = bound(SOCK_DGRAM, 0);
		assert_true(udp >= 0);
		tcp = bound(SOCK_STREAM, port_of(udp));
	}
	assert_true(tcp >= 0);
	assert_int_equal(listen(tcp, 4), 0);
	server = (struct server){
		.loop = l,
		.udp = { .fd = udp, .events = LOOP_READ, .ready = udp_asked },
		.listener = { .fd = tcp, .events = LOOP_READ, .ready = listener_ready },
		.stream = { .fd = -1 },
		.port = port_of(udp),
	};
	assert_int_equal(loop_fd_add(l, &server.udp, &e), ERR_OK);
	assert_int_equal(loop_fd_add(l, &server.listener, &e), ERR_OK);
}

static void part_close(struct loop_fd *w)
{
	if (w->fd < 0)
		return;
	loop_fd_remove(w);
	fd_close(w->fd);
	w->fd = -1;
}

static void server_close(void)
{
	part_close(&server.udp);
	part_close(&server.listener);
	part_close(&server.stream);
}

/* ---- asking ---- */

struct heard {
	struct loop *loop;
	unsigned wanted, calls;
	enum dns_outcome outcome;
	unsigned rcode;
	int sys;
	bool tcp, has_address;
	struct ip_addr address;
};

static void heard(void *ctx, const struct dns_result *r)
{
	struct heard *h = ctx;

	h->calls++;
	h->outcome = r->outcome;
	h->rcode = r->rcode;
	h->sys = r->sys;
	h->tcp = r->tcp;
	assert_true(r->took_ns >= 0);
	assert_true((r->message != NULL) == (r->outcome == DNS_ANSWERED));
	h->has_address = dns_result_address(r, &h->address);
	if (h->calls == h->wanted)
		loop_stop(h->loop);
}

static struct dns_ask ask_for(int64_t timeout_ns)
{
	return (struct dns_ask){
		.server = { .addr = ip_v4((const uint8_t[]){ 127, 0, 0, 1 }), .port = server.port },
		.name = name_of("www.example"),
		.type = DNS_A,
		.timeout_ns = timeout_ns,
	};
}

static const struct {
	enum manner manner;
	int64_t timeout_ns;
	bool mix_case;
	enum dns_outcome outcome;
	unsigned rcode;
	bool tcp, has_address;
	const char *why;
} rows[] = {
	{ M_OK, LONG_NS, false, DNS_ANSWERED, 0, false, true, "an answer" },
	{ M_OK, LONG_NS, true, DNS_ANSWERED, 0, false, true, "that repeats the spelling" },
	{ M_OTHER_CASE, LONG_NS, false, DNS_ANSWERED, 0, false, true, "another spelling" },
	{ M_OTHER_CASE, SHORT_NS, true, DNS_GARBAGE, 0, false, false,
	  "another spelling where it counts" },
	{ M_CNAME, LONG_NS, false, DNS_ANSWERED, 0, false, true, "by another name" },
	{ M_CNAME_LOOP, LONG_NS, false, DNS_ANSWERED, 0, false, false, "names in a circle" },
	{ M_EMPTY, LONG_NS, false, DNS_ANSWERED, 0, false, false, "no address" },
	{ M_NXDOMAIN, LONG_NS, false, DNS_ANSWERED, DNS_NXDOMAIN, false, false, "no such name" },
	{ M_SERVFAIL, LONG_NS, false, DNS_ANSWERED, DNS_SERVFAIL, false, false, "its failure" },
	{ M_REFUSED_BARE, LONG_NS, false, DNS_ANSWERED, DNS_REFUSED, false, false,
	  "a refusal without the question" },
	{ M_BARE_SUCCESS, SHORT_NS, false, DNS_GARBAGE, 0, false, false,
	  "success without the question" },
	{ M_SILENT, SHORT_NS, false, DNS_TIMED_OUT, 0, false, false, "silence" },
	{ M_GARBAGE, SHORT_NS, false, DNS_GARBAGE, 0, false, false, "noise" },
	{ M_NO_RESPONSE_BIT, SHORT_NS, false, DNS_GARBAGE, 0, false, false, "an echo" },
	{ M_OTHER_ID, SHORT_NS, false, DNS_GARBAGE, 0, false, false, "another id" },
	{ M_OTHER_NAME, SHORT_NS, false, DNS_GARBAGE, 0, false, false, "another name" },
	{ M_OTHER_TYPE, SHORT_NS, false, DNS_GARBAGE, 0, false, false, "another type" },
	{ M_BROKEN_RECORD, SHORT_NS, false, DNS_GARBAGE, 0, false, false, "a record cut off" },
	{ M_GARBAGE_THEN_OK, LONG_NS, false, DNS_ANSWERED, 0, false, true, "noise in front" },
	{ M_SECOND_TIME, REPEAT_NS, false, DNS_ANSWERED, 0, false, true, "the first was lost" },
	{ M_NO_EDNS, LONG_NS, false, DNS_ANSWERED, 0, false, true, "a server without EDNS" },
	{ M_LONG, LONG_NS, false, DNS_ANSWERED, 0, false, true, "more than 512 bytes" },
	{ M_TCP, LONG_NS, false, DNS_ANSWERED, 0, true, true, "too long for UDP" },
	{ M_TCP_PIECES, LONG_NS, false, DNS_ANSWERED, 0, true, true, "in pieces" },
	{ M_TCP_CUT, LONG_NS, false, DNS_GARBAGE, 0, true, false, "a stream that ends early" },
	{ M_TCP_CLOSED, LONG_NS, false, DNS_GARBAGE, 0, true, false, "a stream that is closed" },
	{ M_TCP_OTHER_ID, LONG_NS, false, DNS_GARBAGE, 0, true, false, "another id by TCP" },
	{ M_TCP_NOBODY, LONG_NS, false, DNS_UNREACHABLE, 0, true, false, "no TCP there" },
	{ M_NOBODY, LONG_NS, false, DNS_UNREACHABLE, 0, false, false, "nobody there" },
};

static void one(size_t i)
{
	struct heard h = { .wanted = 1 };
	struct dns_query *q = NULL;
	struct dns_ask ask;
	struct err e;

	assert_int_equal(loop_new(&h.loop, &e), ERR_OK);
	server_open(h.loop);
	server.manner = rows[i].manner;
	ask = ask_for(rows[i].timeout_ns);
	ask.mix_case = rows[i].mix_case;
	if (rows[i].manner == M_TCP_NOBODY)
		part_close(&server.listener);
	if (rows[i].manner == M_NOBODY)
		part_close(&server.udp);
	assert_int_equal(dns_query_start(&q, h.loop, &ask, heard, &h, &e), ERR_OK);
	assert_int_equal(h.calls, 0);
	assert_int_equal(loop_run(h.loop, &e), ERR_OK);
	if (h.calls != 1 || h.outcome != rows[i].outcome || h.rcode != rows[i].rcode ||
	    h.tcp != rows[i].tcp || h.has_address != rows[i].has_address ||
	    (h.outcome == DNS_UNREACHABLE) != (h.sys == ECONNREFUSED))
		fail_msg("%s: outcome %d, rcode %u, errno %d", rows[i].why, (int)h.outcome, h.rcode,
			 h.sys);
	if (h.has_address)
		assert_int_equal(h.address.b[3], 7);
	server_close();
	loop_free(h.loop);
}

static void servers_of_all_manners(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		one(i);
}

/* Many at once, each with its own answer; some are given up half-way. */
static void several_at_once(void **state)
{
	struct heard h = { .wanted = 20 };
	struct dns_query *q[40];
	struct dns_ask ask;
	struct err e;

	(void)state;
	assert_int_equal(loop_new(&h.loop, &e), ERR_OK);
	server_open(h.loop);
	for (size_t i = 0; i < ARRAY_LEN(q); i++) {
		ask = ask_for(LONG_NS);
		ask.name = name_of(i % 2 ? "a.example" : "b.example");
		assert_int_equal(dns_query_start(&q[i], h.loop, &ask, heard, &h, &e), ERR_OK);
	}
	for (size_t i = 0; i < ARRAY_LEN(q); i += 2)
		dns_query_cancel(q[i]);
	dns_query_cancel(NULL);
	assert_int_equal(loop_run(h.loop, &e), ERR_OK);
	assert_int_equal(h.calls, 20);
	assert_int_equal(h.outcome, DNS_ANSWERED);
	server_close();
	loop_free(h.loop);
}

static int prepare(void **state)
{
	(void)state;
	return crypto_init() ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_of_all_manners),
		cmocka_unit_test(several_at_once),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
