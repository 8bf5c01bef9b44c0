/* The engine's end in a thread, the keeper's in the test. */
#include "priv/engine_link.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "priv/message.h"

struct pair {
	int ends[2];
	struct engine_keeper keeper;
	pthread_t thread;
	enum engine_said last;
	struct err e;
};

static void *keep(void *arg)
{
	struct pair *p = arg;

	do {
		p->last = engine_keeper_serve(&p->keeper, &p->e);
	} while (p->last == ENGINE_ASKED);
	return NULL;
}

static void pair_open(struct pair *p)
{
	memset(p, 0, sizeof *p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->ends), 0);
	p->keeper.sock = p->ends[0];
	assert_int_equal(pthread_create(&p->thread, NULL, keep, p), 0);
}

static void pair_close(struct pair *p)
{
	fd_close(p->ends[1]);
	assert_int_equal(pthread_join(p->thread, NULL), 0);
	engine_keeper_done(&p->keeper);
	fd_close(p->ends[0]);
}

static void test_sockets(void **state)
{
	const struct udp_options o = { .pairs = 3, .gso = true, .gro = true };
	struct udp_options again = o, taken = o;
	struct udp *u[3] = { 0 }, *v[3] = { 0 }, *w[3] = { 0 }, *here[3];
	struct pair p;
	struct err e;

	(void)state;
	pair_open(&p);
	assert_int_equal(engine_link_sockets(&p.ends[1], u, &o, &e), ERR_OK);
	assert_int_not_equal(udp_port(u[0]), 0);
	assert_int_equal(udp_port(u[0]), udp_port(u[2]));
	assert_int_equal(udp_open(here, &o, &e), ERR_OK);
	assert_int_equal(udp_gro_active(u[0]), udp_gro_active(here[0]));
	assert_int_equal(udp_gso_active(u[0]), udp_gso_active(here[0]));
	for (size_t i = 0; i < 3; i++)
		udp_close(here[i]);

	/* a port that is held is refused by name */
	taken.port = udp_port(u[0]);
	assert_int_equal(engine_link_sockets(&p.ends[1], v, &taken, &e), ERR_IN_USE);
	assert_non_null(strstr(e.msg, "UDP port"));

	/* the port is free at once when both ends have let go of it */
	assert_int_equal(engine_link_sockets(&p.ends[1], v, &o, &e), ERR_OK);
	for (size_t i = 0; i < 3; i++)
		udp_release(u[i]);
	again.port = taken.port;
	assert_int_equal(engine_link_sockets(&p.ends[1], w, &again, &e), ERR_OK);
	assert_int_equal(udp_port(w[0]), taken.port);
	for (size_t i = 0; i < 3; i++) {
		udp_close(u[i]);
		udp_close(v[i]);
		udp_close(w[i]);
	}
	pair_close(&p);
	assert_int_equal(p.last, ENGINE_CLOSED);
}

static void test_mark(void **state)
{
	const struct udp_options o = { .pairs = 2 };
	struct udp *u[2] = { 0 };
	uint32_t mark = 0;
	socklen_t n = sizeof mark;
	struct pair p;
	struct err e;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: a mark needs root\n");
		skip();
	}
	pair_open(&p);
	assert_int_equal(engine_link_sockets(&p.ends[1], u, &o, &e), ERR_OK);
	assert_int_equal(engine_link_mark(&p.ends[1], 77, &e), ERR_OK);
	/* set by the keeper, seen by the engine: it is one socket */
	assert_int_equal(getsockopt(udp_fd(u[1], IP_V4), SOL_SOCKET, SO_MARK, &mark, &n), 0);
	assert_int_equal(mark, 77);
	udp_close(u[0]);
	udp_close(u[1]);
	pair_close(&p);
}

static void test_report(void **state)
{
	struct err why, e;
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(engine_link_report(&p.ends[1], ERR_OK, NULL, &e), ERR_OK);
	pair_close(&p);
	assert_int_equal(p.last, ENGINE_READY);

	pair_open(&p);
	(void)err_set(&why, ERR_IN_USE, "interface wg0 is in use");
	assert_int_equal(engine_link_report(&p.ends[1], ERR_IN_USE, &why, &e), ERR_OK);
	pair_close(&p);
	assert_int_equal(p.last, ENGINE_FAILED);
	assert_int_equal(p.e.code, ERR_IN_USE);
	assert_string_equal(p.e.msg, "interface wg0 is in use");
}

/* An engine that somebody has taken over. */
static void test_hostile(void **state)
{
	static const struct {
		size_t n;
		uint8_t first;
		const char *why;
	} rows[] = {
		{ 1, 1, "too short" },
		{ 4096, 1, "too long" },
		{ 64, 200, "another size" },
	};
	const struct udp_options none = { .pairs = 0 }, many = { .pairs = 1000 };
	uint8_t bytes[4096] = { 0 };
	struct udp *u[1];
	struct pair p;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fds[] = { 0, 1 };

		pair_open(&p);
		bytes[0] = rows[i].first;
		assert_int_equal(message_send(p.ends[1], bytes, rows[i].n, fds, 2, &e), ERR_OK);
		assert_int_equal(pthread_join(p.thread, NULL), 0);
		if (p.last != ENGINE_CLOSED)
			print_message("row %zu: %s\n", i, rows[i].why);
		assert_int_equal(p.last, ENGINE_CLOSED);
		fd_close(p.ends[0]);
		fd_close(p.ends[1]);
	}
	pair_open(&p);
	assert_int_equal(engine_link_sockets(&p.ends[1], u, &none, &e), ERR_RANGE);
	assert_int_equal(engine_link_sockets(&p.ends[1], u, &many, &e), ERR_RANGE);
	pair_close(&p);
}

/* A keeper that has gone. */
static void test_alone(void **state)
{
	const struct udp_options o = { .pairs = 1 };
	struct udp *u[1];
	struct err e;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	fd_close(ends[0]);
	assert_int_equal(engine_link_sockets(&ends[1], u, &o, &e), ERR_CLOSED);
	assert_int_equal(engine_link_mark(&ends[1], 1, &e), ERR_CLOSED);
	fd_close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockets), cmocka_unit_test(test_mark),
		cmocka_unit_test(test_report),	cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
