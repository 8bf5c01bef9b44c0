/* rtnl_test - requests, lists and reports against a real kernel, in a network namespace of the
 * test's own.  Needs root and /dev/net/tun; skipped with a reason otherwise. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <cmocka.h>

#include "base/fs.h"
#include "io/loop.h"
#include "nl/rtnl.h"

static bool have_namespace;
static struct nl *nl;

/* A TUN that lives as long as the descriptor. */
static int tun_new(const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	assert_true(str_copy(r.ifr_name, sizeof r.ifr_name, str_of(name)));
	if (ioctl(fd, TUNSETIFF, &r)) {
		close(fd);
		return -1;
	}
	return fd;
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;

	assert_true(ip_prefix_parse(str_of(text), &p));
	return p;
}

static struct ip_addr address(const char *text)
{
	struct ip_addr a;

	assert_true(ip_parse(str_of(text), &a));
	return a;
}

static int group_setup(void **state UNUSED)
{
	struct err e = { 0 };
	int fd;

	if (unshare(CLONE_NEWNET)) {
		print_message("no namespace of our own (%s): tests are skipped\n", strerror(errno));
		return 0;
	}
	fd = tun_new("probe0");
	if (fd < 0) {
		print_message("no /dev/net/tun (%s): tests are skipped\n", strerror(errno));
		return 0;
	}
	close(fd);
	if (nl_open(&nl, &e))
		fail_msg("%s", e.msg);
	have_namespace = true;
	return 0;
}

static int group_teardown(void **state UNUSED)
{
	nl_close(nl);
	return 0;
}

#define NEED_NAMESPACE()             \
	do {                         \
		if (!have_namespace) \
			skip();      \
	} while (0)

static struct nl_link link_of(const char *name)
{
	struct nl_link l = { 0 };
	struct err e = { 0 };

	if (nl_link_by_name(nl, name, &l, &e))
		fail_msg("%s", e.msg);
	return l;
}

static void names(void **state UNUSED)
{
	static const struct {
		const char *name;
		bool want;
		const char *why;
	} rows[] = {
		{ "wg0", true, "usual" },
		{ "a", true, "shortest" },
		{ "abcdefghijklmno", true, "15 bytes" },
		{ "abcdefghijklmnop", false, "16 bytes leave no room for NUL" },
		{ "", false, "empty" },
		{ ".", false, "a directory" },
		{ "..", false, "a directory" },
		{ "..a", true, "only dots are special" },
		{ "a/b", false, "would be a path under /sys" },
		{ "a:1", false, "alias notation" },
		{ "a b", false, "space" },
		{ "a\nb", false, "newline" },
		{ "a\"b", true, "the kernel takes it; net is stricter" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (nl_name_valid(str_of(rows[i].name)) != rows[i].want)
			fail_msg("\"%s\": %s", rows[i].name, rows[i].why);
	assert_false(nl_name_valid((struct str){ "a\0b", 3 }));
}

static void link_changes(void **state UNUSED)
{
	AUTO(fd_done) int fd = -1;
	struct nl_link l, other;
	struct err e = { 0 };

	NEED_NAMESPACE();
	fd = tun_new("t0");
	assert_true(fd >= 0);
	l = link_of("t0");
	assert_string_equal(l.kind, "tun");
	assert_int_equal(l.mtu, 1500);
	assert_false(l.up);
	assert_false(l.loopback);
	assert_true(link_of("lo").loopback);

	assert_int_equal(nl_link_set_up(nl, l.index, true, &e), ERR_OK);
	assert_int_equal(nl_link_set_mtu(nl, l.index, 1420, &e), ERR_OK);
	assert_int_equal(nl_link_by_index(nl, l.index, &other, &e), ERR_OK);
	assert_true(other.up);
	assert_int_equal(other.mtu, 1420);
	assert_string_equal(other.name, "t0");
	assert_int_equal(nl_link_set_up(nl, l.index, false, &e), ERR_OK);
	assert_false(link_of("t0").up);

	assert_int_equal(nl_link_set_mtu(nl, l.index, 10, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "set MTU 10"));
	assert_non_null(strstr(e.msg, "mtu less than device minimum")); /* the kernel's words */

	assert_int_equal(nl_link_delete(nl, l.index, &e), ERR_OK);
	assert_int_equal(nl_link_by_name(nl, "t0", &other, &e), ERR_NOT_FOUND);
	assert_string_equal(e.msg, "there is no interface t0");
	assert_int_equal(nl_link_by_index(nl, l.index, &other, &e), ERR_NOT_FOUND);
	assert_int_equal(nl_link_by_index(nl, UINT32_MAX, &other, &e), ERR_NOT_FOUND);
	assert_int_equal(nl_link_set_up(nl, l.index, true, &e), ERR_NOT_FOUND);
	assert_int_equal(nl_link_delete(nl, l.index, &e), ERR_NOT_FOUND);
	assert_int_equal(nl_link_delete(nl, 0, &e), ERR_NOT_FOUND);
	assert_int_equal(nl_link_by_name(nl, "not/this", &other, &e), ERR_INVALID);
}

struct seen {
	size_t n;
	size_t stop_after;
	struct nl_address addresses[16];
	struct nl_route routes[64];
	struct nl_link links[512];
};

static bool see_link(void *ctx, const struct nl_link *l)
{
	struct seen *s = ctx;

	assert_true(s->n < ARRAY_LEN(s->links));
	s->links[s->n++] = *l;
	return s->n != s->stop_after;
}

static bool see_address(void *ctx, const struct nl_address *a)
{
	struct seen *s = ctx;

	assert_true(s->n < ARRAY_LEN(s->addresses));
	s->addresses[s->n++] = *a;
	return true;
}

static bool see_route(void *ctx, const struct nl_route *r)
{
	struct seen *s = ctx;

	assert_true(s->n < ARRAY_LEN(s->routes));
	s->routes[s->n++] = *r;
	return true;
}

/* More links than fit one datagram of the answer. */
static void many_links(void **state UNUSED)
{
	enum { LINKS = 200 };
	static struct seen s;
	struct err e = { 0 };
	char name[16];
	int fd[LINKS];
	size_t before;
	int i;

	NEED_NAMESPACE();
	assert_int_equal(nl_links(nl, see_link, &s, &e), ERR_OK);
	before = s.n;
	for (i = 0; i < LINKS; i++) {
		snprintf(name, sizeof name, "many%d", i);
		fd[i] = tun_new(name);
		assert_true(fd[i] >= 0);
	}
	s.n = 0;
	assert_int_equal(nl_links(nl, see_link, &s, &e), ERR_OK);
	assert_int_equal(s.n, before + LINKS);
	s.n = 0;
	s.stop_after = 3;
	assert_int_equal(nl_links(nl, see_link, &s, &e), ERR_OK);
	assert_int_equal(s.n, 3);
	for (i = 0; i < LINKS; i++)
		close(fd[i]);
}

static void address_changes(void **state UNUSED)
{
	static const char *const texts[] = { "10.9.0.1/24", "192.0.2.7/32", "fd00:9::1/64" };
	AUTO(fd_done) int fd = -1;
	static struct seen s;
	struct err e = { 0 };
	struct nl_address a = { 0 };
	size_t i, k;

	NEED_NAMESPACE();
	fd = tun_new("t1");
	assert_true(fd >= 0);
	a.ifindex = link_of("t1").index;
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		a.prefix = prefix(texts[i]);
		a.no_prefix_route = i == 1;
		if (nl_address_add(nl, &a, &e))
			fail_msg("%s", e.msg);
		assert_int_equal(nl_address_add(nl, &a, &e), ERR_EXISTS);
		assert_non_null(strstr(e.msg, texts[i]));
	}
	assert_int_equal(nl_addresses(nl, a.ifindex, see_address, &s, &e), ERR_OK);
	assert_int_equal(s.n, ARRAY_LEN(texts));
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		a.prefix = prefix(texts[i]);
		for (k = 0; k < s.n; k++)
			if (ip_eq(&s.addresses[k].prefix.addr, &a.prefix.addr))
				break;
		assert_true(k < s.n);
		assert_int_equal(s.addresses[k].prefix.len, a.prefix.len);
		assert_int_equal(s.addresses[k].ifindex, a.ifindex);
		assert_int_equal(s.addresses[k].no_prefix_route, i == 1);
		assert_false(s.addresses[k].temporary);
		assert_false(s.addresses[k].tentative);
		assert_int_equal(nl_address_delete(nl, &a, &e), ERR_OK);
		assert_int_equal(nl_address_delete(nl, &a, &e), ERR_NOT_FOUND);
	}
	s.n = 0;
	assert_int_equal(nl_addresses(nl, a.ifindex, see_address, &s, &e), ERR_OK);
	assert_int_equal(s.n, 0);
	a.ifindex = 99999;
	assert_int_equal(nl_address_add(nl, &a, &e), ERR_NOT_FOUND);
}

static const struct nl_route *find_route(const struct seen *s, const struct ip_prefix *dst,
					 uint32_t metric)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->routes[i].dst.len == dst->len && s->routes[i].metric == metric &&
		    ip_eq(&s->routes[i].dst.addr, &dst->addr))
			return &s->routes[i];
	return NULL;
}

static void route_changes(void **state UNUSED)
{
	static const struct {
		const char *dst, *gateway, *source;
		uint32_t table, metric;
		const char *why;
	} rows[] = {
		{ "10.20.0.0/16", NULL, NULL, 0, 0, "on the link" },
		{ "10.21.0.0/16", "10.9.0.2", NULL, 0, 7, "by a gateway" },
		{ "10.22.1.2/32", NULL, "10.9.0.1", 0, 0, "with a source" },
		{ "10.23.0.0/16", "fd00:9::2", NULL, 0, 0, "IPv4 by an IPv6 gateway" },
		{ "10.20.0.0/16", NULL, NULL, 4242, 0, "in a table above 255" },
		{ "fd00:20::/32", "fd00:9::2", NULL, 0, 50, "IPv6" },
		{ "fd00:21::/32", NULL, NULL, 100, 50, "IPv6 in another table" },
	};
	AUTO(fd_done) int fd = -1;
	static struct seen s;
	struct err e = { 0 };
	struct nl_address a = { 0 };
	const struct nl_route *found;
	struct nl_route r;
	size_t i;

	NEED_NAMESPACE();
	fd = tun_new("t2");
	assert_true(fd >= 0);
	a.ifindex = link_of("t2").index;
	a.prefix = prefix("10.9.0.1/24");
	assert_int_equal(nl_address_add(nl, &a, &e), ERR_OK);
	a.prefix = prefix("fd00:9::1/64");
	assert_int_equal(nl_address_add(nl, &a, &e), ERR_OK);
	assert_int_equal(nl_link_set_up(nl, a.ifindex, true, &e), ERR_OK);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		r = (struct nl_route){ .dst = prefix(rows[i].dst),
				       .oif = a.ifindex,
				       .table = rows[i].table,
				       .metric = rows[i].metric };
		if (rows[i].gateway)
			r.gateway = address(rows[i].gateway);
		if (rows[i].source)
			r.source = address(rows[i].source);
		if (nl_route_add(nl, &r, &e))
			fail_msg("%s: %s", rows[i].why, e.msg);
		assert_int_equal(nl_route_add(nl, &r, &e), ERR_EXISTS);
		s.n = 0;
		if (nl_routes(nl, r.dst.addr.family, r.table ? r.table : NL_TABLE_MAIN, see_route,
			      &s, &e))
			fail_msg("%s: %s", rows[i].why, e.msg);
		found = find_route(&s, &r.dst,
				   r.metric			? r.metric
				   : r.dst.addr.family == IP_V6 ? 1024
								: 0);
		if (!found)
			fail_msg("%s: not listed", rows[i].why);
		assert_int_equal(found->oif, a.ifindex);
		assert_int_equal(found->table, r.table ? r.table : NL_TABLE_MAIN);
		assert_int_equal(found->type, RTN_UNICAST);
		assert_int_equal(found->protocol, RTPROT_STATIC);
		assert_true(ip_eq(&found->gateway, &r.gateway));
		assert_true(ip_eq(&found->source, &r.source));
	}
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		r = (struct nl_route){ .dst = prefix(rows[i].dst),
				       .oif = a.ifindex,
				       .table = rows[i].table,
				       .metric = rows[i].metric };
		if (nl_route_delete(nl, &r, &e))
			fail_msg("%s: %s", rows[i].why, e.msg);
		assert_int_equal(nl_route_delete(nl, &r, &e), ERR_NOT_FOUND);
	}
	s.n = 0;
	assert_int_equal(nl_routes(nl, IP_V4, 77777, see_route, &s, &e), ERR_OK);
	assert_int_equal(s.n, 0); /* a table that nobody made is empty, not an error */
}

static void lookups(void **state UNUSED)
{
	AUTO(fd_done) int fd = -1, fd2 = -1;
	struct err e = { 0 };
	struct nl_address a = { 0 };
	struct nl_route r = { 0 }, out;
	struct ip_addr far = address("203.0.113.9");
	uint32_t second;

	NEED_NAMESPACE();
	assert_int_equal(nl_route_get(nl, &far, 0, &out, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "203.0.113.9"));
	assert_int_equal(nl_default_route(nl, IP_V4, &out, &e), ERR_NOT_FOUND);
	assert_int_equal(nl_default_route(nl, IP_V6, &out, &e), ERR_NOT_FOUND);

	fd = tun_new("t3");
	fd2 = tun_new("t4");
	assert_true(fd >= 0 && fd2 >= 0);
	second = link_of("t4").index;
	a.ifindex = link_of("t3").index;
	a.prefix = prefix("10.9.0.1/24");
	assert_int_equal(nl_address_add(nl, &a, &e), ERR_OK);
	a.prefix = prefix("2001:db8:9::1/64");
	assert_int_equal(nl_address_add(nl, &a, &e), ERR_OK);
	assert_int_equal(nl_link_set_up(nl, a.ifindex, true, &e), ERR_OK);
	assert_int_equal(nl_link_set_up(nl, second, true, &e), ERR_OK);

	r.oif = a.ifindex;
	r.metric = 100;
	r.dst = prefix("0.0.0.0/0");
	r.gateway = address("10.9.0.2");
	assert_int_equal(nl_route_add(nl, &r, &e), ERR_OK);
	r.dst = prefix("::/0");
	r.gateway = address("2001:db8:9::2");
	assert_int_equal(nl_route_add(nl, &r, &e), ERR_OK);

	assert_int_equal(nl_route_get(nl, &far, 0, &out, &e), ERR_OK);
	assert_int_equal(out.oif, a.ifindex);
	far = address("10.9.0.1");
	assert_true(ip_eq(&out.source, &far));
	far = address("10.9.0.2");
	assert_true(ip_eq(&out.gateway, &far));

	assert_int_equal(nl_default_route(nl, IP_V4, &out, &e), ERR_OK);
	far = address("10.9.0.1");
	assert_true(ip_eq(&out.source, &far));
	assert_int_equal(nl_default_route(nl, IP_V6, &out, &e), ERR_OK);
	far = address("2001:db8:9::1");
	assert_true(ip_eq(&out.source, &far));
	assert_int_equal(out.oif, a.ifindex);

	/* A worse default route by another interface changes nothing; a better one does. */
	r = (struct nl_route){ .dst = prefix("0.0.0.0/0"),
			       .oif = second,
			       .metric = 200,
			       .source = address("10.9.0.1") };
	assert_int_equal(nl_route_add(nl, &r, &e), ERR_OK);
	assert_int_equal(nl_default_route(nl, IP_V4, &out, &e), ERR_OK);
	assert_int_equal(out.oif, a.ifindex);
	r.metric = 50;
	assert_int_equal(nl_route_add(nl, &r, &e), ERR_OK);
	assert_int_equal(nl_default_route(nl, IP_V4, &out, &e), ERR_OK);
	assert_int_equal(out.oif, second);
	far = address("10.9.0.1");
	assert_true(ip_eq(&out.source, &far)); /* the route's own preferred source */
}

/* ---- watching ---- */

struct heard {
	struct loop *loop;
	struct nl_watch *watch;
	struct nl_link link;
	uint32_t gone;
	size_t links, addresses_added, addresses_removed, routes_added, routes_removed, lost;
	size_t out_of_sight;
	bool close_when_gone;
	bool (*enough)(const struct heard *h);
};

static void hear(struct heard *h)
{
	if (h->enough(h))
		loop_stop(h->loop);
}

static void hear_link(void *ctx, const struct nl_link *l)
{
	struct heard *h = ctx;

	h->link = *l;
	h->links++;
	hear(h);
}

static void hear_gone(void *ctx, uint32_t ifindex)
{
	struct heard *h = ctx;

	h->gone = ifindex;
	if (h->close_when_gone) {
		nl_watch_close(h->watch);
		h->watch = NULL;
	}
	hear(h);
}

static void hear_out_of_sight(void *ctx)
{
	struct heard *h = ctx;

	h->out_of_sight++;
	hear(h);
}

static void hear_address(void *ctx, const struct nl_address *a UNUSED, bool added)
{
	struct heard *h = ctx;

	*(added ? &h->addresses_added : &h->addresses_removed) += 1;
	hear(h);
}

static void hear_route(void *ctx, const struct nl_route *r UNUSED, bool added)
{
	struct heard *h = ctx;

	*(added ? &h->routes_added : &h->routes_removed) += 1;
	hear(h);
}

static void hear_lost(void *ctx)
{
	struct heard *h = ctx;

	h->lost++;
	hear(h);
}

static const struct nl_watch_events all_events = {
	.link = hear_link,
	.link_gone = hear_gone,
	.link_out_of_sight = hear_out_of_sight,
	.address = hear_address,
	.route = hear_route,
	.lost = hear_lost,
};

struct deadline {
	struct loop_timer t;
	struct heard *h;
};

static void give_up(struct loop_timer *t)
{
	struct deadline *d = CONTAINER_OF(t, struct deadline, t);

	loop_stop(d->h->loop);
}

/* Runs until `enough`; fails only after a time in which any machine would have answered. */
static void until(struct heard *h, bool (*enough)(const struct heard *h), const char *what)
{
	struct deadline d = { .t.fire = give_up, .h = h };
	struct err e = { 0 };

	h->enough = enough;
	if (enough(h))
		return;
	loop_timer_set(h->loop, &d.t, loop_now(h->loop) + 30LL * 1000000000);
	assert_int_equal(loop_run(h->loop, &e), ERR_OK);
	loop_timer_cancel(&d.t);
	if (!enough(h))
		fail_msg("not reported: %s", what);
}

static bool state_known(const struct heard *h)
{
	return h->links > 0;
}

static bool is_up(const struct heard *h)
{
	return h->link.up;
}

static bool is_down(const struct heard *h)
{
	return h->links && !h->link.up;
}

static bool mtu_1380(const struct heard *h)
{
	return h->link.mtu == 1380;
}

static bool is_gone(const struct heard *h)
{
	return h->gone != 0;
}

static bool address_and_route(const struct heard *h)
{
	return h->addresses_added && h->routes_added;
}

static bool address_removed(const struct heard *h)
{
	return h->addresses_removed > 0;
}

static bool was_lost(const struct heard *h)
{
	return h->lost > 0;
}

static bool out_of_sight(const struct heard *h)
{
	return h->out_of_sight > 0;
}

static void watch(struct heard *h, uint32_t ifindex)
{
	struct err e = { 0 };

	assert_int_equal(loop_new(&h->loop, &e), ERR_OK);
	if (nl_watch_open(&h->watch, h->loop, ifindex, &all_events, h, &e))
		fail_msg("%s", e.msg);
}

static void unwatch(struct heard *h)
{
	nl_watch_close(h->watch);
	loop_free(h->loop);
}

static void watch_link(void **state UNUSED)
{
	AUTO(fd_done) int fd = -1, other = -1;
	struct heard h = { .close_when_gone = true };
	struct nl_address a = { .prefix = prefix("10.9.0.1/24") };
	struct nl_link l;
	struct err e = { 0 };

	NEED_NAMESPACE();
	fd = tun_new("t5");
	other = tun_new("t6");
	assert_true(fd >= 0 && other >= 0);
	l = link_of("t5");
	a.ifindex = l.index;
	watch(&h, l.index);
	until(&h, state_known, "the state at opening");
	assert_string_equal(h.link.name, "t5");
	assert_false(h.link.up);

	assert_int_equal(nl_link_set_up(nl, link_of("t6").index, true, &e), ERR_OK);
	assert_int_equal(nl_link_set_mtu(nl, l.index, 1380, &e), ERR_OK);
	until(&h, mtu_1380, "a change of the MTU");
	assert_false(h.link.up); /* t6's change is not reported */
	assert_int_equal(nl_link_set_up(nl, l.index, true, &e), ERR_OK);
	until(&h, is_up, "up");
	assert_int_equal(nl_address_add(nl, &a, &e), ERR_OK);
	until(&h, address_and_route, "an address and its route");
	assert_int_equal(nl_address_delete(nl, &a, &e), ERR_OK);
	until(&h, address_removed, "removal of an address");
	assert_int_equal(nl_link_set_up(nl, l.index, false, &e), ERR_OK);
	until(&h, is_down, "down");
	close(fd); /* the kernel deletes the interface */
	fd = -1;
	until(&h, is_gone, "deletion");
	assert_int_equal(h.gone, l.index);
	assert_null(h.watch); /* closed inside the callback */
	unwatch(&h);
}

static void watch_nothing(void **state UNUSED)
{
	struct heard h = { 0 };

	NEED_NAMESPACE();
	watch(&h, 99999);
	until(&h, is_gone, "that there is no such interface");
	assert_int_equal(h.gone, 99999);
	unwatch(&h);
}

static bool three_links(const struct heard *h)
{
	return h->links >= 3;
}

static void watch_all(void **state UNUSED)
{
	struct heard h = { 0 };
	int fd[3];
	int i;

	NEED_NAMESPACE();
	watch(&h, 0);
	for (i = 0; i < 3; i++) {
		fd[i] = tun_new("");
		assert_true(fd[i] >= 0);
	}
	until(&h, three_links, "three new links");
	for (i = 0; i < 3; i++)
		close(fd[i]);
	until(&h, is_gone, "a deletion");
	unwatch(&h);
}

/* Reports that nobody reads overflow the socket's room: the owner is told, and the watch reads
 * its link again. */
static void watch_overflow(void **state UNUSED)
{
	AUTO(fd_done) int fd = -1;
	struct heard h = { 0 };
	struct nl_link l;
	struct err e = { 0 };
	int i;

	NEED_NAMESPACE();
	fd = tun_new("t7");
	assert_true(fd >= 0);
	l = link_of("t7");
	watch(&h, l.index);
	until(&h, state_known, "the state at opening");
	for (i = 0; i < 2000; i++)
		assert_int_equal(nl_link_set_mtu(nl, l.index, 1400 + (uint32_t)(i % 2), &e),
				 ERR_OK);
	assert_int_equal(nl_link_set_mtu(nl, l.index, 1380, &e), ERR_OK);
	until(&h, was_lost, "the loss of reports");
	until(&h, mtu_1380, "the state after the loss");
	unwatch(&h);
}

/* A child in a namespace of its own; returns its pid once it is there. */
static pid_t namespace_child(int *stop)
{
	int ready[2], hold[2];
	pid_t pid;
	char c = 0;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		/* A copy of a TUN or of another child's pipe would keep that one alive. */
		assert_true(dup2(ready[1], 500) == 500 && dup2(hold[0], 501) == 501);
		close_range(3, 499, 0);
		close_range(502, ~0U, 0);
		c = unshare(CLONE_NEWNET) ? 'n' : 'y';
		if (write(500, &c, 1) != 1 || read(501, &c, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(ready[1]);
	close(hold[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	assert_int_equal(c, 'y');
	*stop = hold[1];
	return pid;
}

static void end_child(pid_t pid, int stop)
{
	close(stop);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Moves the interface as `ip link set DEV netns PID` does. */
static void move_link(uint32_t index, pid_t pid)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
		struct nlattr a;
		uint32_t pid;
	} m = { .h = { .nlmsg_len = sizeof m,
		       .nlmsg_type = RTM_NEWLINK,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.i.ifi_index = (int)index,
		.a = { .nla_len = 8, .nla_type = IFLA_NET_NS_PID },
		.pid = (uint32_t)pid };
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	uint8_t answer[256];
	int32_t code;

	assert_true(s >= 0);
	assert_int_equal(send(s, &m, sizeof m, 0), (ssize_t)sizeof m);
	assert_true(recv(s, answer, sizeof answer, 0) >= 20);
	memcpy(&code, answer + 16, sizeof code);
	assert_int_equal(code, 0);
	close(s);
}

static void watch_move(void **state UNUSED)
{
	AUTO(fd_done) int fd = -1;
	struct heard h = { 0 };
	struct nl_link l;
	struct nl *there = NULL;
	struct err e = { 0 };
	char path[64];
	int stop, home, away;
	pid_t pid;

	NEED_NAMESPACE();
	fd = tun_new("t8");
	assert_true(fd >= 0);
	l = link_of("t8");
	watch(&h, l.index);
	until(&h, state_known, "the state at opening");
	assert_int_equal(nl_link_set_up(nl, l.index, true, &e), ERR_OK);
	until(&h, is_up, "up");

	pid = namespace_child(&stop);
	move_link(l.index, pid);
	assert_int_equal(nl_link_by_name(nl, "t8", &l, &e), ERR_NOT_FOUND);
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
	away = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(home >= 0 && away >= 0);
	assert_int_equal(setns(away, CLONE_NEWNET), 0);
	assert_int_equal(nl_open(&there, &e), ERR_OK);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);

	h.links = 0;
	until(&h, is_down, "the move, which sets it down");
	assert_int_equal(h.gone, 0);
	assert_int_equal(nl_link_by_name(there, "t8", &l, &e), ERR_OK);
	assert_int_equal(nl_link_set_up(there, l.index, true, &e), ERR_OK);
	until(&h, is_up, "up in the other namespace");
	assert_int_equal(h.link.index, l.index);
	close(fd);
	fd = -1;
	until(&h, is_gone, "deletion in the other namespace");
	nl_close(there);
	close(home);
	close(away);
	end_child(pid, stop);
	unwatch(&h);
}

/* Moved twice, the link is said to be out of sight: the second report numbers the namespace from
 * a point of view that is not ours. */
static void watch_second_move(void **state UNUSED)
{
	AUTO(fd_done) int fd = -1, home = -1, away = -1;
	struct heard h = { 0 };
	struct nl_link l;
	char path[64];
	int stop1, stop2;
	pid_t first, second;

	NEED_NAMESPACE();
	fd = tun_new("t9");
	assert_true(fd >= 0);
	l = link_of("t9");
	watch(&h, l.index);
	until(&h, state_known, "the state at opening");
	first = namespace_child(&stop1);
	second = namespace_child(&stop2);
	move_link(l.index, first);
	h.links = 0;
	until(&h, state_known, "the state after the move");

	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof path, "/proc/%d/ns/net", (int)first);
	away = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(home >= 0 && away >= 0);
	assert_int_equal(setns(away, CLONE_NEWNET), 0);
	move_link(h.link.index, second);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	until(&h, out_of_sight, "the second move");
	assert_int_equal(h.gone, 0);
	end_child(first, stop1);
	end_child(second, stop2);
	unwatch(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),	 cmocka_unit_test(link_changes),
		cmocka_unit_test(many_links),	 cmocka_unit_test(address_changes),
		cmocka_unit_test(route_changes), cmocka_unit_test(lookups),
		cmocka_unit_test(watch_link),	 cmocka_unit_test(watch_nothing),
		cmocka_unit_test(watch_all),	 cmocka_unit_test(watch_overflow),
		cmocka_unit_test(watch_move),	 cmocka_unit_test(watch_second_move),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
