/* traffic_test - packets through the host as net has set it up.
 *
 *    client ---- w0 (tunnel, 10.8.0.1/24) [ host ] up0 (192.0.2.1/24) ---- internet
 *
 * Both interfaces are TUNs, so the test writes and reads the packets itself. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "net/tests/host.h"

#define PACKET_MAX 2048
#define V4_LEN 20
#define V6_LEN 40
#define TCP_HEAD 20
#define TCP_LEN 24 /* with one option: the segment size */

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i + 1 < n; i += 2)
		sum += load_be16(p + i);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

#define SYN 2
#define RST 4
#define ACK 16

struct segment {
	const char *from, *to; /* of one family */
	uint16_t from_port, to_port;
	uint8_t flags;
	uint32_t seq, ack;
};

/* It offers segments of 1460 bytes, which counts in a SYN. */
static size_t make_tcp(uint8_t p[PACKET_MAX], const struct segment *s)
{
	const char *from = s->from, *to = s->to;
	const struct ip_addr src = host_addr(from), dst = host_addr(to);
	bool v4 = src.family == IP_V4;
	size_t head = v4 ? V4_LEN : V6_LEN, alen = v4 ? 4 : 16;
	uint8_t *tcp = p + head, *addrs = p + (v4 ? 12 : 8);
	uint32_t sum;

	memset(p, 0, head + TCP_LEN);
	p[0] = v4 ? 0x45 : 0x60;
	store_be16(p + (v4 ? 2 : 4), (uint16_t)(v4 ? head + TCP_LEN : TCP_LEN));
	p[v4 ? 9 : 6] = 6;
	p[v4 ? 8 : 7] = 64;
	memcpy(addrs, src.b, alen);
	memcpy(addrs + alen, dst.b, alen);
	if (v4)
		store_be16(p + 10, fold(sum16(0, p, V4_LEN)));
	store_be16(tcp, s->from_port);
	store_be16(tcp + 2, s->to_port);
	store_be32(tcp + 4, s->seq);
	store_be32(tcp + 8, s->ack);
	tcp[12] = TCP_LEN / 4 << 4;
	tcp[13] = s->flags;
	store_be16(tcp + 14, 65535);
	tcp[20] = 2; /* segment size */
	tcp[21] = 4;
	store_be16(tcp + 22, 1460);
	sum = sum16(6 + TCP_LEN, addrs, 2 * alen);
	store_be16(tcp + 16, fold(sum16(sum, tcp, TCP_LEN)));
	return head + TCP_LEN;
}

/* The next TCP packet that the host sends there; others (neighbour discovery) are passed over.
 * False when none comes, after a time in which any machine would have sent it. */
static bool next_tcp(int tun, uint8_t p[PACKET_MAX], int wait_ms)
{
	struct pollfd f = { .fd = tun, .events = POLLIN };
	ssize_t n;

	while (poll(&f, 1, wait_ms) == 1) {
		n = read(tun, p, PACKET_MAX);
		if (n >= V4_LEN + TCP_HEAD && p[0] >> 4 == 4 && p[9] == 6)
			return true;
		if (n >= V6_LEN + TCP_HEAD && p[0] >> 4 == 6 && p[6] == 6)
			return true;
	}
	return false;
}

struct scene {
	int tunnel, uplink;
	struct host_dir dir;
	struct net *net;
};

static void add_address(uint32_t index, const char *text)
{
	const struct nl_address a = { .ifindex = index, .prefix = host_prefix(text) };

	assert_int_equal(nl_address_add(host_nl(), &a, NULL), ERR_OK);
}

static void add_default(uint32_t index, const char *text)
{
	const struct nl_route r = { .oif = index, .dst = host_prefix(text) };

	assert_int_equal(nl_route_add(host_nl(), &r, NULL), ERR_OK);
}

static void begin(struct scene *s)
{
	struct net_want w = host_want("w0");
	struct err e = { 0 };
	uint32_t index;

	*s = (struct scene){ .tunnel = host_tun("w0"), .uplink = host_tun("up0") };
	host_dir_make(&s->dir);
	index = host_link("up0").index;
	add_address(index, "192.0.2.1/24");
	add_address(index, "2001:db8::1/64");
	assert_int_equal(nl_link_set_up(host_nl(), index, true, &e), ERR_OK);
	add_default(index, "0.0.0.0/0");
	add_default(index, "::/0");
	if (net_open(&s->net, s->dir.journal, &e) || net_apply(s->net, &w, &e))
		fail_msg("%s", e.msg);
}

static void end(struct scene *s)
{
	struct err e = { 0 };

	if (net_undo(s->net, &e))
		fail_msg("%s", e.msg);
	net_close(s->net);
	close(s->tunnel);
	close(s->uplink);
	host_dir_remove(&s->dir);
}

static bool counted(const char *text)
{
	AUTO(buf_done) struct buf out = { 0 };

	host_nft_print(&out, "list", "counter", "inet", "qanat_w0 spoofed");
	return strstr(out.p, text) != NULL;
}

static void send_tcp(int tun, const struct segment *s)
{
	uint8_t p[PACKET_MAX];
	size_t n = make_tcp(p, s);

	assert_int_equal(write(tun, p, n), (ssize_t)n);
}

static void send_syn(int tun, const char *from, const char *to)
{
	send_tcp(tun, &(struct segment){ from, to, 40000, 80, SYN, 12345, 0 });
}

static void outward(void **state UNUSED)
{
	static const struct {
		const char *from, *to, *as;
		uint16_t segment; /* the tunnel's MTU 1420 less headers */
	} rows[] = {
		{ "10.8.0.2", "198.51.100.7", "192.0.2.1", 1380 },
		{ "fd00:70:68::2", "2001:db8:7::7", "2001:db8::1", 1360 },
	};
	struct scene s;
	uint8_t p[PACKET_MAX];
	size_t i;

	NEED_HOST();
	begin(&s);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const struct ip_addr as = host_addr(rows[i].as);
		bool v4 = as.family == IP_V4;

		send_syn(s.tunnel, rows[i].from, rows[i].to);
		if (!next_tcp(s.uplink, p, 10000))
			fail_msg("nothing leaves for %s", rows[i].to);
		assert_memory_equal(p + (v4 ? 12 : 8), as.b, v4 ? 4 : 16);
		assert_int_equal(load_be16(p + (v4 ? V4_LEN : V6_LEN) + 22), rows[i].segment);
	}
	assert_true(counted("packets 0 "));
	end(&s);
}

/* Between clients nothing is translated. */
static void between_clients(void **state UNUSED)
{
	const struct ip_addr from = host_addr("10.8.0.2");
	struct scene s;
	uint8_t p[PACKET_MAX];

	NEED_HOST();
	begin(&s);
	send_syn(s.tunnel, "10.8.0.2", "10.8.0.3");
	assert_true(next_tcp(s.tunnel, p, 10000));
	assert_memory_equal(p + 12, from.b, 4);
	end(&s);
}

static void spoofed(void **state UNUSED)
{
	static const char *const pairs[][2] = {
		{ "192.0.2.99", "198.51.100.7" }, /* to the internet */
		{ "127.0.0.1", "10.8.0.1" }, /* to the host itself */
		{ "2001:db8::99", "2001:db8:7::7" },
	};
	struct scene s;
	uint8_t p[PACKET_MAX];
	size_t i;

	NEED_HOST();
	begin(&s);
	for (i = 0; i < ARRAY_LEN(pairs); i++)
		send_syn(s.tunnel, pairs[i][0], pairs[i][1]);
	/* Writing to a TUN carries the packet through the host before it returns; an honest one
	 * behind them shows that the way is open. */
	send_syn(s.tunnel, "10.8.0.2", "198.51.100.8");
	assert_true(next_tcp(s.uplink, p, 10000));
	assert_int_equal(p[19], 8);
	assert_false(next_tcp(s.uplink, p, 0));
	assert_true(counted("packets 3 "));
	end(&s);
}

/* ---- a connection through a restart ---- */

struct path {
	const char *client, *server, *host; /* `host`: the address that the server sees */
};

/* The next TCP packet out of there goes to this address, with these flags. */
static void arrives(int tun, const char *to, uint8_t flags, const char *what)
{
	const struct ip_addr dst = host_addr(to);
	bool v4 = dst.family == IP_V4;
	uint8_t p[PACKET_MAX];

	if (!next_tcp(tun, p, 10000))
		fail_msg("%s: nothing for %s", what, to);
	if (memcmp(p + (v4 ? 16 : 24), dst.b, v4 ? 4 : 16) ||
	    p[(v4 ? V4_LEN : V6_LEN) + 13] != flags)
		fail_msg("%s: not what was expected for %s", what, to);
}

static void shake_hands(const struct scene *s, const struct path *w)
{
	send_tcp(s->tunnel, &(struct segment){ w->client, w->server, 40000, 80, SYN, 99, 0 });
	arrives(s->uplink, w->server, SYN, "SYN");
	send_tcp(s->uplink,
		 &(struct segment){ w->server, w->host, 80, 40000, SYN | ACK, 999, 100 });
	arrives(s->tunnel, w->client, SYN | ACK, "SYN, ACK");
	send_tcp(s->tunnel, &(struct segment){ w->client, w->server, 40000, 80, ACK, 100, 1000 });
	arrives(s->uplink, w->server, ACK, "ACK");
}

static void server_sends(const struct scene *s, const struct path *w)
{
	send_tcp(s->uplink, &(struct segment){ w->server, w->host, 80, 40000, ACK, 1000, 100 });
}

/* No answer, such as a reset, has left before the host's one to something that it does refuse; nor
 * has the packet itself. */
static void uplink_is_silent(const struct scene *s, const struct path *w, const char *other,
			     const char *what)
{
	send_tcp(s->uplink, &(struct segment){ other, w->host, 1234, 9, SYN, 1, 0 });
	arrives(s->uplink, other, RST | ACK, what);
}

static void survives_a_restart(void **state UNUSED)
{
	static const struct path paths[] = {
		{ "10.8.0.2", "198.51.100.7", "192.0.2.1" },
		{ "fd00:70:68::2", "2001:db8:7::7", "2001:db8::1" },
	};
	static const char *const others[] = { "198.51.100.99", "2001:db8:7::99" };
	struct net_want w = host_want("w0");
	struct err e = { 0 };
	struct scene s;
	size_t i;

	NEED_HOST();
	begin(&s);
	for (i = 0; i < ARRAY_LEN(paths); i++)
		shake_hands(&s, &paths[i]);

	net_close(s.net);
	close(s.tunnel);
	for (i = 0; i < ARRAY_LEN(paths); i++) {
		server_sends(&s, &paths[i]);
		uplink_is_silent(&s, &paths[i], others[i], "while the process is away");
	}
	s.tunnel = host_tun("w0");
	assert_int_equal(net_open(&s.net, s.dir.journal, &e), ERR_OK);
	for (i = 0; i < ARRAY_LEN(paths); i++) {
		server_sends(&s, &paths[i]);
		uplink_is_silent(&s, &paths[i], others[i], "between net_open and net_apply");
	}
	assert_int_equal(net_apply(s.net, &w, &e), ERR_OK);
	for (i = 0; i < ARRAY_LEN(paths); i++) {
		server_sends(&s, &paths[i]);
		arrives(s.tunnel, paths[i].client, ACK, "after the restart");
	}
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outward),
		cmocka_unit_test(between_clients),
		cmocka_unit_test(spoofed),
		cmocka_unit_test(survives_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
