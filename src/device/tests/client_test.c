/* client_test.c - connections of the UAPI socket: several requests, any cutting of the stream, slow
 * readers, broken requests.
 *
 * A real wg_device stands behind; what dataplane.h offers is done here without threads or
 * interface, so that no rights are needed.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "device/uapi_client.h"

#define KEY(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c

struct dataplane {
	struct retired retired;
	struct wg_device *d;
	bool locked; /* in a run of changes */
	bool stopped;
	uint16_t port;
	uint32_t mark;
};

static void no_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	memset(p, 7, n);
}

static int64_t no_wall(void *ctx)
{
	(void)ctx;
	return 0;
}

static void no_send(void *ctx, struct wg_peer *peer, const struct wg_path *to, const uint8_t *dgram,
		    size_t n, uint8_t ecn)
{
	(void)ctx, (void)peer, (void)to, (void)dgram, (void)n, (void)ecn;
}

void dataplane_binding(struct dataplane *dp, uint16_t *listen_port, uint32_t *fwmark)
{
	assert_false(dp->locked);
	*listen_port = dp->port;
	*fwmark = dp->mark;
}

void dataplane_status(struct dataplane *dp, struct dataplane_status *out)
{
	assert_false(dp->locked);
	*out = (struct dataplane_status){ .mtu = 1420,
					  .up = true,
					  .workers = 3,
					  .offloads = 5,
					  .peer_count = wg_device_peer_count(dp->d),
					  .connected_count = 1,
					  .rx_bytes = 11,
					  .tx_bytes = 12,
					  .verdicts[DROP_REPLAY] = 4 };
}

enum err_code dataplane_set_private_key(struct dataplane *dp, const struct secret_key *k,
					struct err *e)
{
	assert_false(dp->locked);
	(void)e;
	wg_device_set_private_key(dp->d, k, 0);
	return ERR_OK;
}

enum err_code dataplane_set_listen_port(struct dataplane *dp, uint16_t port, struct err *e)
{
	assert_false(dp->locked);
	if (port == 7)
		return err_sys(e, EADDRINUSE, "UDP port 7");
	dp->port = port;
	return ERR_OK;
}

enum err_code dataplane_set_fwmark(struct dataplane *dp, uint32_t mark, struct err *e)
{
	assert_false(dp->locked);
	(void)e;
	dp->mark = mark;
	return ERR_OK;
}

void dataplane_stop(struct dataplane *dp)
{
	assert_false(dp->locked);
	dp->stopped = true;
}

/* The lock is not recursive: a run that is not ended stops the device for good. */
void dataplane_run_begin(struct dataplane *dp)
{
	assert_false(dp->locked);
	dp->locked = true;
}

void dataplane_run_end(struct dataplane *dp)
{
	assert_true(dp->locked);
	dp->locked = false;
}

enum err_code dataplane_run_change_peer(struct dataplane *dp, const struct wg_peer_change *c,
					struct err *e)
{
	assert_true(dp->locked);
	return wg_device_change_peer(dp->d, c, 0, e);
}

enum err_code dataplane_replace_peers(struct dataplane *dp, struct err *e)
{
	assert_false(dp->locked);
	(void)e;
	wg_device_remove_all_peers(dp->d, 0);
	return ERR_OK;
}

void dataplane_with_device(struct dataplane *dp, void (*fn)(void *ctx, const struct wg_device *d),
			   void *ctx)
{
	assert_false(dp->locked);
	fn(ctx, dp->d);
}

/* ---- a client in a thread of its own; the loop runs until it is through ---- */

struct talk {
	int fd;
	struct str say;
	size_t chunk; /* bytes a write; 0: all at once */
	bool shut; /* ends its side after that */
	struct buf heard;
	struct loop *loop;
};

static void *talk_run(void *arg)
{
	struct talk *t = arg;
	size_t at = 0;
	char b[777];
	ssize_t n;

	while (at < t->say.n) {
		size_t want = t->chunk ? MIN(t->chunk, t->say.n - at) : t->say.n - at;

		n = send(t->fd, t->say.p + at, want, MSG_NOSIGNAL);
		if (n < 0)
			break;
		at += (size_t)n;
	}
	if (t->shut)
		shutdown(t->fd, SHUT_WR);
	while ((n = recv(t->fd, b, sizeof b, 0)) > 0) {
		buf_add(&t->heard, b, (size_t)n);
		/* The server keeps the connection: the blank line is the end. */
		if (!t->shut && t->heard.n >= 2 &&
		    memcmp(t->heard.p + t->heard.n - 2, "\n\n", 2) == 0)
			break;
	}
	loop_stop(t->loop);
	return NULL;
}

struct fixture {
	struct dataplane dp;
	struct loop *loop;
	struct uapi_clients all;
	unsigned refused;
	char why[128];
};

static void on_refused(void *ctx, const struct err *why)
{
	struct fixture *f = ctx;

	f->refused++;
	assert_true(str_copy(f->why, sizeof f->why, str_of(why->msg)));
}

static void setup(struct fixture *f)
{
	static const struct wg_ops ops = { NULL, no_random, no_wall, no_send, NULL };

	*f = (struct fixture){ 0 };
	f->dp.d = wg_device_new(&ops, &f->dp.retired);
	assert_non_null(f->dp.d);
	assert_int_equal(loop_new(&f->loop, NULL), ERR_OK);
	uapi_clients_init(&f->all, f->loop, &f->dp);
	f->all.refused = on_refused;
	f->all.refused_ctx = f;
}

static void teardown(struct fixture *f)
{
	uapi_clients_done(&f->all);
	assert_int_equal(f->all.count, 0);
	loop_free(f->loop);
	wg_device_free(f->dp.d);
	retired_free(&f->dp.retired, retired_advance(&f->dp.retired));
}

/* Has the conversation and gives back what the client heard. */
static struct buf converse_as(struct fixture *f, struct str say, size_t chunk, bool shut,
			      bool owner)
{
	struct talk t = { .say = say, .chunk = chunk, .shut = shut, .loop = f->loop };
	int small = 4096, ends[2];
	pthread_t thread;

	t.heard.limit = 256u << 20;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(fd_nonblock(ends[0], NULL), ERR_OK);
	/* So that a long answer does not fit the socket. */
	assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	t.fd = ends[1];
	assert_true(owner ? uapi_client_add_owner(&f->all, ends[0])
			  : uapi_client_add(&f->all, ends[0]));
	assert_int_equal(pthread_create(&thread, NULL, talk_run, &t), 0);
	assert_int_equal(loop_run(f->loop, NULL), ERR_OK);
	pthread_join(thread, NULL);
	fd_close(ends[1]);
	return t.heard;
}

static struct buf converse(struct fixture *f, struct str say, size_t chunk, bool shut)
{
	return converse_as(f, say, chunk, shut, false);
}

static const struct {
	const char *say;
	const char *hear;
	const char *why;
} rows[] = {
	{ "get=1\n\n", "errno=0\n\n", "an empty device" },
	{ "set=1\n\n", "errno=0\n\n", "an empty set" },
	{ "set=1\nlisten_port=5\nfwmark=6\n\nget=1\n\n",
	  "errno=0\n\nlisten_port=5\nfwmark=6\nerrno=0\n\n", "two requests in a row" },
	{ "\n\nset=1\n\n\n", "errno=0\n\n", "blank lines between requests" },
	{ "set=1\nlisten_port=7\n\nset=1\n\n", "errno=-98\n\nerrno=0\n\n",
	  "an error does not end the connection" },
	{ "set=1\nlisten_port=x\nfwmark=3\n\nget=1\n\n", "errno=-22\n\nerrno=0\n\n",
	  "after an error nothing is applied up to the blank line" },
	{ "set=1\npublic_key=" KEY("ab") "\nallowed_ip=10.0.0.0/8\n\nget=1\n\n",
	  "errno=0\n\npublic_key=" KEY("ab") "\npreshared_key=" KEY(
		  "00") "\nprotocol_version=1\n"
			"last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_"
			"bytes=0\n"
			"persistent_keepalive_interval=0\nallowed_ip=10.0.0.0/8\nerrno=0\n\n",
	  "a peer comes back" },
	{ "set=1\npublic_key=" KEY("ab") "\nqanat_quota=5\nqanat_rate_up=1000\n\nget=1\n\n",
	  "errno=0\n\npublic_key=" KEY("ab") "\npreshared_key=" KEY(
		  "00") "\nprotocol_version=1\n"
			"last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_"
			"bytes=0\n"
			"persistent_keepalive_interval=0\nerrno=0\n\n",
	  "limits are not for wg(8)" },
	{ "set=1\npublic_key=" KEY("ab") "\nqanat_quota=5\nqanat_rate_up=1000\n\n"
					 "get=1\nextensions=1\n\nget=1\n\n",
	  "errno=0\n\nqanat_extensions=1\npublic_key=" KEY("ab") "\npreshared_key=" KEY(
		  "00") "\nprotocol_version=1\n"
			"last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_"
			"bytes=0\n"
			"persistent_keepalive_interval=0\nqanat_rate_up=1000\nqanat_quota=5\n"
			"qanat_quota_used=0\nerrno=0\n\npublic_key=" KEY(
				"ab") "\npreshared_key=" KEY("00") "\nprotocol_version=1\n"
								   "last_handshake_time_sec="
								   "0\nlast_handshake_time_nsec="
								   "0\ntx_bytes=0\nrx_"
								   "bytes=0\n"
								   "persistent_keepalive_interval="
								   "0\nerrno=0\n\n",
	  "but for who asks, each time" },
	{ "set=1\npublic_key=" KEY("ab") "\nqanat_rate_up=1\n\nget=1\n\n",
	  "errno=-22\n\nerrno=0\n\n", "a limit that cannot be makes no peer" },
	{ "get=1\nextensions=2\n\n", "errno=-22\n\n", "there is one kind of extensions" },
	{ "get=1\nextensions=1\n\nget=1\n\n", "qanat_extensions=1\nerrno=0\n\nerrno=0\n\n",
	  "who is asked says that it knows them" },
	{ "set=1\nfwmark=6\npublic_key=" KEY("ab") "\n\nget=1\nextensions=1\nsummary=1\n\n",
	  "errno=0\n\nqanat_extensions=1\nfwmark=6\nqanat_mtu=1420\nqanat_up=1\nqanat_workers=3\n"
	  "qanat_offloads=5\nqanat_peers=1\nqanat_connected=1\nqanat_rx_bytes=11\nqanat_tx_bytes="
	  "12\n"
	  "qanat_drop_replay=4\nerrno=0\n\n",
	  "the device without its peers" },
	{ "set=1\npublic_key=" KEY("ab") "\nallowed_ip=10.0.0.0/8\npublic_key=" KEY(
		  "cd") "\n\nget=1\nextensions=1\npeer=" KEY("ab") "\n\n",
	  "errno=0\n\nqanat_extensions=1\npublic_key=" KEY("ab") "\npreshared_key=" KEY(
		  "00") "\nprotocol_version=1\n"
			"last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_"
			"bytes=0\n"
			"persistent_keepalive_interval=0\nallowed_ip=10.0.0.0/8\nerrno=0\n\n",
	  "one of two peers" },
	{ "get=1\nextensions=1\npeer=" KEY("ab") "\n\nget=1\n\n",
	  "qanat_extensions=1\nerrno=2\n\nerrno=0\n\n", "one that is not there" },
	{ "get=1\nsummary=1\n\n", "errno=-22\n\n", "a summary is an extension" },
	{ "get=1\npeer=" KEY("ab") "\n\n", "errno=-22\n\n", "so is one peer" },
	{ "get=1\nextensions=1\nsummary=2\n\n", "errno=-22\n\n", "there is one kind of summary" },
	{ "get=1\nextensions=1\npeer=ab\n\n", "errno=-22\n\n", "a short key" },
	{ "get=1\nextensions=1\npeer=" KEY("ab") "\nsummary=1\n\n", "errno=-22\n\n",
	  "one peer or none" },
	{ "get=1\nextensions=1\npeer=" KEY("ab") "\npeer=" KEY("ab") "\n\n", "errno=-22\n\n",
	  "one peer at a time" },
	{ "set=1\npublic_key=" KEY("ab") "\nqanat_expires_nsec=5\n\nget=1\n\n",
	  "errno=-22\n\nerrno=0\n\n", "a part of no second" },
	{ "get=2\n\nget=1\n\n", "errno=-71\n\n", "an unknown request ends the connection" },
	{ "get=1\nx=1\n\nget=1\n\n", "errno=-22\n\n", "get takes no keys" },
	{ "set=1\nfwmark=3\n", "errno=-71\n\n", "a set that breaks off" },
	{ "set=1\nfwmark=3", "errno=-71\n\n", "a line that breaks off" },
	{ "get=1\n", "errno=-71\n\n", "a get that breaks off" },
	{ "", "", "nothing at all" },
};

static void test_rows(void **state)
{
	static const size_t chunks[] = { 0, 1, 7 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(chunks); i++) {
		const char *why = rows[i / ARRAY_LEN(chunks)].why;
		struct str want = str_of(rows[i / ARRAY_LEN(chunks)].hear);
		struct fixture f;
		struct buf heard;

		setup(&f);
		heard = converse(&f, str_of(rows[i / ARRAY_LEN(chunks)].say),
				 chunks[i % ARRAY_LEN(chunks)], true);
		if (!str_eq(buf_view(&heard), want))
			fail_msg("%s: heard \"%.*s\"", why, STR_ARG(buf_view(&heard)));
		assert_int_equal(f.refused != 0, str_find_nocase(want, STR("errno=-")) >= 0);
		buf_done(&heard);
		teardown(&f);
	}
}

static void test_refused(void **state)
{
	struct fixture f;
	struct buf heard;

	(void)state;
	setup(&f);
	heard = converse(&f, STR("set=1\nlisten_port=7\n\n"), 0, true);
	assert_int_equal(f.refused, 1);
	assert_string_equal(f.why, "UDP port 7: Address already in use");
	buf_done(&heard);
	teardown(&f);
}

/* What comes before the break is applied; the peer whose lines may be cut is not. */
static void test_broken_off(void **state)
{
	struct fixture f;
	struct buf heard;

	(void)state;
	setup(&f);
	heard = converse(&f,
			 STR("set=1\npublic_key=" KEY("aa") "\npublic_key=" KEY(
				 "bb") "\nallowed_ip=10.0.0.0/3"),
			 0, true);
	assert_string_equal(heard.p, "errno=-71\n\n");
	assert_int_equal(wg_device_peer_count(f.dp.d), 1);
	buf_done(&heard);
	teardown(&f);
}

/* Only whoever started the device may stop it. */
static void test_stop(void **state)
{
	struct fixture f;
	struct buf heard;

	(void)state;
	setup(&f);
	heard = converse_as(&f, STR("stop=1\n\n"), 3, true, false);
	assert_string_equal(heard.p, "errno=-71\n\n");
	assert_false(f.dp.stopped);
	buf_done(&heard);
	heard = converse_as(&f, STR("stop=1\nnow=1\n\n"), 3, true, true);
	assert_string_equal(heard.p, "errno=-22\n\n");
	assert_false(f.dp.stopped);
	buf_done(&heard);
	heard = converse_as(&f, STR("stop=1\n\nget=1\n\n"), 3, true, true);
	assert_string_equal(heard.p, "errno=0\n\nerrno=0\n\n");
	assert_true(f.dp.stopped);
	buf_done(&heard);
	teardown(&f);
}

static void test_long_line(void **state)
{
	struct buf say = { 0 }, heard;
	struct fixture f;

	(void)state;
	setup(&f);
	buf_z(&say, "set=1\nfwmark=");
	for (unsigned i = 0; i < 100000; i++)
		buf_char(&say, '1');
	heard = converse(&f, buf_view(&say), 0, false);
	assert_string_equal(heard.p, "errno=-71\n\n");
	buf_done(&heard);
	buf_done(&say);
	teardown(&f);
}

/* Thousands of peers in and out again, through a socket that holds few of them. */
static void test_many(void **state)
{
	struct buf say = { 0 }, heard;
	struct fixture f;
	size_t keys = 0, ips = 0;
	struct str rest, line;

	(void)state;
	setup(&f);
	buf_z(&say, "set=1\nreplace_peers=true\n");
	for (unsigned i = 0; i < 3000; i++)
		buf_printf(&say,
			   "public_key=%064x\nallowed_ip=10.%u.%u.0/24\nallowed_ip=fd00::%x/128\n",
			   i + 1000, i / 256, i % 256, i);
	buf_z(&say, "\n");
	heard = converse(&f, buf_view(&say), 0, false);
	assert_string_equal(heard.p, "errno=0\n\n");
	assert_int_equal(wg_device_peer_count(f.dp.d), 3000);
	buf_done(&heard);

	heard = converse(&f, STR("get=1\n\n"), 0, false);
	rest = buf_view(&heard);
	while (str_cut(&rest, '\n', &line)) {
		keys += str_starts(line, STR("public_key="));
		ips += str_starts(line, STR("allowed_ip="));
	}
	assert_int_equal(keys, 3000);
	assert_int_equal(ips, 6000);
	assert_memory_equal(heard.p + heard.n - 9, "errno=0\n\n", 9);
	buf_done(&heard);
	buf_done(&say);
	teardown(&f);
}

/* One peer that fills many pieces. */
static void test_one_of_many_ips(void **state)
{
	struct buf say = { 0 }, heard;
	struct fixture f;
	struct str rest, line;
	size_t ips = 0;

	(void)state;
	setup(&f);
	buf_z(&say, "set=1\npublic_key=" KEY("ab") "\n");
	for (unsigned i = 0; i < 20000; i++)
		buf_printf(&say, "allowed_ip=fd00::%x/128\n", i);
	buf_z(&say, "\n");
	heard = converse(&f, buf_view(&say), 0, false);
	assert_string_equal(heard.p, "errno=0\n\n");
	buf_done(&heard);
	heard = converse(&f, STR("get=1\nextensions=1\npeer=" KEY("ab") "\n\n"), 0, false);
	rest = buf_view(&heard);
	while (str_cut(&rest, '\n', &line))
		ips += str_starts(line, STR("allowed_ip="));
	assert_int_equal(ips, 20000);
	assert_memory_equal(heard.p + heard.n - 9, "errno=0\n\n", 9);
	buf_done(&heard);
	buf_done(&say);
	teardown(&f);
}

/* A client that goes away without reading leaves nothing behind. */
static void test_goes_away(void **state)
{
	struct fixture f;
	struct buf heard;
	int ends[2];

	(void)state;
	setup(&f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(fd_nonblock(ends[0], NULL), ERR_OK);
	assert_true(uapi_client_add(&f.all, ends[0]));
	assert_int_equal(send(ends[1], "set=1\nfwmark=9\n\n", 16, 0), 16);
	fd_close(ends[1]);
	heard = converse(&f, STR("set=1\n\n"), 0, true);
	assert_string_equal(heard.p, "errno=0\n\n");
	assert_int_equal(f.dp.mark, 9);
	buf_done(&heard);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_broken_off), cmocka_unit_test(test_stop),
		cmocka_unit_test(test_long_line),  cmocka_unit_test(test_many),
		cmocka_unit_test(test_goes_away),  cmocka_unit_test(test_one_of_many_ips),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
