/* The pair of sockets over loopback: batches, segmentation and its fallbacks, ports, sources. */
#include "io/udp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "io/udp_pair.h"

static bool have_v6;

static struct udp *open_one(uint16_t port, bool gso, bool gro)
{
	struct udp_options o = { .port = port, .pairs = 1, .gso = gso, .gro = gro };
	struct udp *u = NULL;
	struct err e = { 0 };

	if (udp_open(&u, &o, &e))
		fail_msg("%s", e.msg);
	return u;
}

static struct endpoint loopback(uint8_t family, uint16_t port)
{
	static const uint8_t v4[4] = { 127, 0, 0, 1 };
	static const uint8_t v6[16] = { [15] = 1 };

	return (struct endpoint){ .addr = family == IP_V6 ? ip_v6(v6) : ip_v4(v4), .port = port };
}

static bool wait_readable(const struct udp *u, uint8_t family)
{
	struct pollfd p = { .fd = udp_fd(u, family), .events = POLLIN };

	return poll(&p, 1, 10000) == 1;
}

/* Receives datagrams until `want` bytes came, checking that they are the bytes of `sent` in order
 * in pieces of `segment`; returns how many messages they came in. */
static size_t receive_all(struct udp *u, uint8_t family, struct udp_batch *b, const uint8_t *sent,
			  size_t want, size_t segment, uint8_t ecn)
{
	size_t at = 0;
	size_t messages = 0;

	while (at < want) {
		struct udp_in *in;
		size_t n;

		assert_true(wait_readable(u, family));
		n = udp_receive(u, family, b, &in);
		for (size_t i = 0; i < n; i++) {
			assert_true(in[i].segment > 0 && in[i].segment <= in[i].len);
			assert_true(in[i].segment == segment || in[i].segment == in[i].len);
			assert_true(at + in[i].len <= want);
			assert_memory_equal(in[i].data, sent + at, in[i].len);
			assert_int_equal(in[i].ecn, ecn);
			assert_int_equal(in[i].from.addr.family, family);
			assert_true(ip_eq(&in[i].to.addr, &in[i].from.addr));
			at += in[i].len;
		}
		messages += n;
	}
	return messages;
}

/* Each way of sending delivers the same datagrams to each way of receiving. */
static void test_shapes(void **state)
{
	static const struct {
		size_t len, segment;
		const char *why;
	} shapes[] = {
		{ 1, 1, "the smallest" },
		{ 1420, 1420, "one datagram" },
		{ 14200, 1420, "equal segments" },
		{ 14217, 1420, "a shorter tail" },
		{ 64, 1, "64 segments of one byte" },
		{ 1421, 1420, "a tail of one byte" },
		{ 63 * 1000 + 999, 1000, "64 segments and a tail" },
	};
	uint8_t *data = malloc(65536);
	struct udp_batch *b = udp_batch_new();

	(void)state;
	assert_non_null(data);
	assert_non_null(b);
	for (size_t i = 0; i < 65536; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	for (unsigned mode = 0; mode < 16; mode++) {
		uint8_t family = mode & 4 ? IP_V6 : IP_V4;
		struct udp *tx, *rx;

		if (family == IP_V6 && !have_v6)
			continue;
		tx = open_one(0, mode & 1, false);
		rx = open_one(0, false, mode & 2);
		if (mode & 8)
			udp_socket_of(tx, family)->even_only = true;
		for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
			struct udp_out m = { .data = data,
					     .len = shapes[i].len,
					     .segment = shapes[i].segment,
					     .to = loopback(family, udp_port(rx)),
					     .ecn = (uint8_t)(i & 3) };

			udp_send(tx, &m, 1);
			assert_int_equal(m.result, UDP_SENT);
			receive_all(rx, family, b, data, m.len, m.segment, m.ecn);
		}
		assert_int_equal(udp_gro_active(rx), (mode & 2) != 0);
		if (!(mode & 1))
			assert_false(udp_gso_active(tx));
		udp_close(tx);
		udp_close(rx);
	}
	udp_batch_free(b);
	free(data);
}

/* Messages of both families and all forms in one call keep their order within a family. */
static void test_mixed_call(void **state)
{
	struct udp *tx = open_one(0, true, false);
	struct udp *rx = open_one(0, false, true);
	struct udp_batch *b = udp_batch_new();
	uint8_t data[4096];
	struct udp_out m[12];

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i / 100);
	for (size_t i = 0; i < ARRAY_LEN(m); i++) {
		uint8_t family = have_v6 && i >= 8 ? IP_V6 : IP_V4;

		m[i] = (struct udp_out){ .data = data + (i % 8) * 300,
					 .len = 300,
					 .segment = i % 3 ? 300 : 100,
					 .to = loopback(family, udp_port(rx)) };
	}
	udp_send(tx, m, ARRAY_LEN(m));
	for (size_t i = 0; i < ARRAY_LEN(m); i++)
		assert_int_equal(m[i].result, UDP_SENT);
	for (size_t got = 0; got < 8 * 300;) {
		struct udp_in *in;
		size_t n;

		assert_true(wait_readable(rx, IP_V4));
		n = udp_receive(rx, IP_V4, b, &in);
		for (size_t i = 0; i < n; i++) {
			assert_memory_equal(in[i].data, data + got, in[i].len);
			got += in[i].len;
			if (got == 8 * 300)
				break;
		}
	}
	udp_batch_free(b);
	udp_close(tx);
	udp_close(rx);
}

/* A segment larger than the path cannot be segmented by the kernel, but is cut into fragments. */
static void test_segment_larger_than_mtu(void **state)
{
	struct udp *tx = open_one(0, true, false);
	struct udp *rx = open_one(0, false, true);
	struct udp_batch *b = udp_batch_new();
	uint8_t *data = calloc(1, UDP_PAYLOAD_MAX);
	struct udp_out m = { .data = data,
			     .len = UDP_PAYLOAD_MAX,
			     .segment = UDP_PAYLOAD_MAX,
			     .to = loopback(IP_V4, udp_port(rx)) };

	(void)state;
	assert_non_null(data);
	udp_send(tx, &m, 1);
	assert_int_equal(m.result, UDP_SENT);
	receive_all(rx, IP_V4, b, data, m.len, m.segment, 0);
	udp_batch_free(b);
	udp_close(tx);
	udp_close(rx);
	free(data);
}

/* A source address that is not ours is refused by the kernel: sent without it, and reported. */
static void test_source(void **state)
{
	static const uint8_t ours[4] = { 127, 0, 0, 77 };
	static const uint8_t foreign[4] = { 192, 0, 2, 99 };
	static const uint8_t foreign6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 9 };
	struct udp *tx = open_one(0, true, false);
	struct udp *rx = open_one(0, false, false);
	struct udp_batch *b = udp_batch_new();
	uint8_t data[2500] = { 1 };
	struct udp_in *in;

	(void)state;
	for (size_t segment = 1250; segment <= 2500; segment += 1250) {
		struct udp_out m = { .data = data,
				     .len = sizeof data,
				     .segment = segment,
				     .to = loopback(IP_V4, udp_port(rx)),
				     .from.addr = ip_v4(ours) };

		udp_send(tx, &m, 1);
		assert_int_equal(m.result, UDP_SENT);
		assert_true(wait_readable(rx, IP_V4));
		assert_true(udp_receive(rx, IP_V4, b, &in) > 0);
		assert_memory_equal(in[0].from.addr.b, ours, 4);

		m.from.addr = ip_v4(foreign);
		udp_send(tx, &m, 1);
		assert_int_equal(m.result, UDP_SENT_WITHOUT_SOURCE);
		assert_true(wait_readable(rx, IP_V4));
		assert_true(udp_receive(rx, IP_V4, b, &in) > 0);

		m.from = (struct udp_source){ .addr = ip_v4(ours), .ifindex = 99999 };
		udp_send(tx, &m, 1);
		assert_int_equal(m.result, UDP_SENT_WITHOUT_SOURCE);
		while (udp_receive(rx, IP_V4, b, &in))
			;

		if (have_v6) {
			m.to = loopback(IP_V6, udp_port(rx));
			m.from = (struct udp_source){ .addr = ip_v6(foreign6) };
			udp_send(tx, &m, 1);
			assert_int_equal(m.result, UDP_SENT_WITHOUT_SOURCE);
		}
	}
	udp_batch_free(b);
	udp_close(tx);
	udp_close(rx);
}

static void test_not_sent(void **state)
{
	struct udp *tx = open_one(0, true, false);
	uint8_t data[8] = { 0 };
	struct udp_out m[2] = {
		{ .data = data, .len = 8, .segment = 8 }, /* no address at all */
		{ .data = data, .len = 8, .segment = 8, .to = loopback(IP_V4, 0) },
	};

	(void)state;
	udp_send(tx, m, 2);
	assert_int_equal(m[0].result, UDP_NOT_SENT);
	assert_int_equal(m[1].result, UDP_NOT_SENT);
	assert_int_not_equal(m[1].sys, 0);
	udp_close(tx);
}

/* Who holds the port decides: a stranger, with or without SO_REUSEPORT, of either family. */
static void test_port_in_use(void **state)
{
	(void)state;
	for (int mode = 0; mode < 8; mode++) {
		bool reuse = mode & 1, v6 = mode & 2;
		struct udp_options o = { .pairs = mode & 4 ? 3 : 1 };
		struct sockaddr_in in = { .sin_family = AF_INET };
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
		struct udp *out[3] = { 0 };
		struct err e = { 0 };
		socklen_t n = sizeof in6;
		char port[8];
		int one = 1;
		int fd;

		if (v6 && !have_v6)
			continue;
		fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_true(fd >= 0);
		if (v6)
			assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, 4), 0);
		if (reuse)
			assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, 4), 0);
		if (v6)
			assert_int_equal(bind(fd, (struct sockaddr *)&in6, sizeof in6), 0);
		else
			assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&in6, &n), 0);
		o.port = ntohs(in6.sin6_port); /* at the same place for both families */
		snprintf(port, sizeof port, "%u", o.port);
		assert_int_equal(udp_open(out, &o, &e), ERR_IN_USE);
		assert_non_null(strstr(e.msg, port));
		assert_null(out[0]);
		fd_close(fd);
		assert_int_equal(udp_open(out, &o, &e), ERR_OK);
		for (unsigned i = 0; i < o.pairs; i++) {
			assert_int_equal(udp_port(out[i]), o.port);
			udp_close(out[i]);
		}
	}
}

/* The kernel's random IPv4 port may be taken for IPv6; both families still get one port. */
static void test_random_port_taken_for_v6(void **state)
{
	enum { HELD = 2000 };
	static int held[HELD];
	int n = 0;

	(void)state;
	if (!have_v6) {
		print_message("skipped: this host has no IPv6\n");
		skip();
	}
	for (; n < HELD; n++) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
		int one = 1;

		held[n] = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (held[n] < 0)
			break;
		assert_int_equal(setsockopt(held[n], IPPROTO_IPV6, IPV6_V6ONLY, &one, 4), 0);
		assert_int_equal(bind(held[n], (struct sockaddr *)&in6, sizeof in6), 0);
	}
	/* make room for our own descriptors if the limit was reached */
	for (int i = 0; i < 8 && n > 0; i++)
		fd_close(held[--n]);
	for (int i = 0; i < 200; i++) {
		struct udp *u = open_one(0, false, false);
		struct sockaddr_in6 in6;
		socklen_t len = sizeof in6;

		assert_int_equal(getsockname(udp_fd(u, IP_V6), (struct sockaddr *)&in6, &len), 0);
		assert_int_equal(ntohs(in6.sin6_port), udp_port(u));
		udp_close(u);
	}
	while (n > 0)
		fd_close(held[--n]);
}

/* Senders are spread over the pairs, each sender always to the same one. */
static void test_pairs_share(void **state)
{
	struct udp_options o = { .pairs = 4 };
	struct udp *rx[4] = { 0 };
	struct udp_batch *b = udp_batch_new();
	struct err e = { 0 };
	size_t total = 0;

	(void)state;
	assert_int_equal(udp_open(rx, &o, &e), ERR_OK);
	for (int s = 0; s < 32; s++) {
		struct udp *tx = open_one(0, false, false);
		uint8_t data[4] = { (uint8_t)s };

		for (int i = 0; i < 4; i++) {
			struct udp_out m = { .data = data,
					     .len = 4,
					     .segment = 4,
					     .to = loopback(IP_V4, udp_port(rx[0])) };

			udp_send(tx, &m, 1);
			assert_int_equal(m.result, UDP_SENT);
		}
		udp_close(tx);
	}
	for (int w = 0; w < 4; w++) {
		int from[32] = { 0 };
		struct udp_in *in;
		size_t n;

		while ((n = udp_receive(rx[w], IP_V4, b, &in)) > 0) {
			total += n;
			for (size_t i = 0; i < n; i++)
				from[in[i].data[0]]++;
		}
		for (int s = 0; s < 32; s++)
			assert_true(from[s] == 0 || from[s] == 4);
		udp_close(rx[w]);
	}
	assert_int_equal(total, 32 * 4);
	udp_batch_free(b);
}

/* The chosen byte decides, whoever sends; what begins differently goes where the hash says. */
static void test_pairs_spread(void **state)
{
	struct udp_options o = { .pairs = 3, .spread = { .first_byte = 4, .at = 2 } };
	struct udp *rx[3] = { 0 };
	struct udp_batch *b = udp_batch_new();
	struct err e = { 0 };
	size_t total = 0;

	(void)state;
	assert_int_equal(udp_open(rx, &o, &e), ERR_OK);
	for (unsigned i = 0; i < 256; i++) {
		struct udp *tx = open_one(0, false, false);
		uint8_t data[3] = { i % 8 ? 4 : 5, 0, (uint8_t)i };
		struct udp_out m = { .data = data,
				     .len = sizeof data,
				     .segment = sizeof data,
				     .to = loopback(i & 1 && have_v6 ? IP_V6 : IP_V4,
						    udp_port(rx[0])) };

		udp_send(tx, &m, 1);
		assert_int_equal(m.result, UDP_SENT);
		udp_close(tx);
	}
	for (unsigned w = 0; w < 3; w++) {
		for (unsigned v6 = 0; v6 < 2; v6++) {
			struct udp_in *in;
			size_t n;

			while ((n = udp_receive(rx[w], v6 ? IP_V6 : IP_V4, b, &in)) > 0) {
				total += n;
				for (size_t i = 0; i < n; i++) {
					if (in[i].data[0] == 4)
						assert_int_equal(in[i].data[2] % 3, w);
				}
			}
		}
		udp_close(rx[w]);
	}
	assert_int_equal(total, 256);
	udp_batch_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_mixed_call),
		cmocka_unit_test(test_segment_larger_than_mtu),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_not_sent),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_random_port_taken_for_v6),
		cmocka_unit_test(test_pairs_share),
		cmocka_unit_test(test_pairs_spread),
	};
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	have_v6 = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof in6) == 0;
	fd_close(fd);
	if (!have_v6)
		print_message("no IPv6 on this host: only IPv4 is tested\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
