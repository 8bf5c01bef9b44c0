/* uapi_test - a UAPI daemon that is slow, broken or hostile, and one that closes after each answer. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "device/device.h"
#include "device/uapi_answer.h"
#include "io/unix_socket.h"

#define KEY "4242424242424242424242424242424242424242424242424242424242424242"
#define GOOD "listen_port=7\nerrno=0\n\n"

/* ---- the parser ---- */

static bool pass_over(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	(void)p;
	(void)ips;
	++*(size_t *)ctx;
	return true;
}

static void answers(void **state UNUSED)
{
	static const struct {
		const char *text;
		enum uapi_answer_state want;
		int number;
		size_t peers;
		const char *why;
	} rows[] = {
		{ "errno=0\n\n", UAPI_ANSWER_DONE, 0, 0, "nothing set" },
		{ "errno=-98\n\n", UAPI_ANSWER_DONE, 98, 0, "as wireguard-go says it" },
		{ "errno=98\n\n", UAPI_ANSWER_DONE, 98, 0, "as wg(8) wants it" },
		{ "public_key=" KEY "\nerrno=0\n\n", UAPI_ANSWER_DONE, 0, 1,
		  "a peer with a key alone" },
		{ "public_key=" KEY "\npublic_key=" KEY "\nerrno=0\n\n", UAPI_ANSWER_DONE, 0, 2,
		  "two" },
		{ "qanat_x=1\nerrno=0\n\n", UAPI_ANSWER_DONE, 0, 0, "a key of a newer daemon" },
		{ "public_key=" KEY "\nqanat_x=1\nerrno=0\n\n", UAPI_ANSWER_DONE, 0, 1,
		  "and of a peer" },
		{ "qanat_mtu=1420\nqanat_drop_new=1\npublic_key=" KEY
		  "\nqanat_drop_replay=2\nerrno=0\n\n",
		  UAPI_ANSWER_DONE, 0, 1, "ours, and a reason of a newer daemon" },
		{ "qanat_mtu=65536\n", UAPI_ANSWER_BAD, 0, 0, "no MTU" },
		{ "qanat_up=2\n", UAPI_ANSWER_BAD, 0, 0, "neither up nor down" },
		{ "qanat_workers=65\n", UAPI_ANSWER_BAD, 0, 0, "more workers than there can be" },
		{ "qanat_peers=1048577\n", UAPI_ANSWER_BAD, 0, 0, "more peers" },
		{ "qanat_connected=1048577\n", UAPI_ANSWER_BAD, 0, 0, "more of them connected" },
		{ "qanat_drop_replay=-1\n", UAPI_ANSWER_BAD, 0, 0, "drops less than none" },
		{ "qanat_quota=1\n", UAPI_ANSWER_BAD, 0, 0, "a limit of no peer" },
		{ "public_key=" KEY "\nqanat_mtu=1420\n", UAPI_ANSWER_BAD, 0, 0,
		  "the device's, of a peer" },
		{ "public_key=" KEY "\nqanat_rate_up=999\n", UAPI_ANSWER_BAD, 0, 0,
		  "a rate that cannot be" },
		{ "public_key=" KEY "\nqanat_expires=9223372036\n", UAPI_ANSWER_BAD, 0, 0,
		  "nanoseconds would overflow" },
		{ "", UAPI_ANSWER_MORE, 0, 0, "nothing yet" },
		{ "errno=0\n", UAPI_ANSWER_MORE, 0, 0, "the blank line is missing" },
		{ "errno=0", UAPI_ANSWER_MORE, 0, 0, "cut off" },
		{ "public_key=" KEY "\n", UAPI_ANSWER_MORE, 0, 0, "the peer may go on" },
		{ "\n", UAPI_ANSWER_BAD, 0, 0, "a blank line before the number" },
		{ "errno=0\nerrno=0\n\n", UAPI_ANSWER_BAD, 0, 0, "two numbers" },
		{ "errno=\n\n", UAPI_ANSWER_BAD, 0, 0, "none" },
		{ "errno=4096\n\n", UAPI_ANSWER_BAD, 0, 0, "above the kernel's" },
		{ "errno=--5\n\n", UAPI_ANSWER_BAD, 0, 0, "two signs" },
		{ "errno=-\n\n", UAPI_ANSWER_BAD, 0, 0, "a sign alone" },
		{ "hello\n", UAPI_ANSWER_BAD, 0, 0, "no key=value" },
		{ "listen_port=65536\n", UAPI_ANSWER_BAD, 0, 0, "no port" },
		{ "fwmark=0x1\n", UAPI_ANSWER_BAD, 0, 0, "not decimal" },
		{ "private_key=42\n", UAPI_ANSWER_BAD, 0, 0, "a short key" },
		{ "public_key=42\n", UAPI_ANSWER_BAD, 0, 0, "a short public key" },
		{ "allowed_ip=10.0.0.0/8\n", UAPI_ANSWER_BAD, 0, 0, "of no peer" },
		{ "public_key=" KEY "\nlisten_port=7\n", UAPI_ANSWER_BAD, 0, 0,
		  "the device's, too late" },
		{ "public_key=" KEY "\nallowed_ip=10.0.0.0/33\n", UAPI_ANSWER_BAD, 0, 0,
		  "no prefix" },
		{ "public_key=" KEY "\nendpoint=10.0.0.1\n", UAPI_ANSWER_BAD, 0, 0, "no port" },
		{ "public_key=" KEY "\nprotocol_version=2\n", UAPI_ANSWER_BAD, 0, 0,
		  "what we do not speak" },
		{ "public_key=" KEY "\nlast_handshake_time_nsec=1000000000\n", UAPI_ANSWER_BAD, 0,
		  0, "a whole second" },
		{ "public_key=" KEY "\nlast_handshake_time_sec=9223372037\n", UAPI_ANSWER_BAD, 0, 0,
		  "nanoseconds would overflow" },
		{ "public_key=" KEY "\nrx_bytes=-1\n", UAPI_ANSWER_BAD, 0, 0, "less than nothing" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct uapi_answer a;
		struct err e = { 0 };
		size_t peers = 0, used;

		uapi_answer_init(&a, pass_over, &peers);
		if (uapi_answer_text(&a, str_of(rows[i].text), &used, &e) != rows[i].want ||
		    (rows[i].want == UAPI_ANSWER_DONE && a.number != rows[i].number) ||
		    peers != rows[i].peers || (rows[i].want == UAPI_ANSWER_BAD && !e.code))
			fail_msg("%s (%s)", rows[i].why, e.msg);
		uapi_answer_done(&a);
	}
}

static void long_lines(void **state UNUSED)
{
	static char text[8192];
	struct uapi_answer a;
	struct err e = { 0 };
	size_t used;

	memset(text, 'a', sizeof text);
	uapi_answer_init(&a, NULL, NULL);
	assert_int_equal(uapi_answer_text(&a, (struct str){ text, 4096 }, &used, &e),
			 UAPI_ANSWER_MORE);
	assert_int_equal(used, 0);
	assert_int_equal(uapi_answer_text(&a, (struct str){ text, 4097 }, &used, &e),
			 UAPI_ANSWER_BAD);
	uapi_answer_done(&a);
}

/* An answer to `set` has no peers. */
static void no_peers_wanted(void **state UNUSED)
{
	struct uapi_answer a;
	struct err e = { 0 };
	size_t used;

	uapi_answer_init(&a, NULL, NULL);
	assert_int_equal(uapi_answer_text(&a, STR("public_key=" KEY "\n"), &used, &e),
			 UAPI_ANSWER_BAD);
	uapi_answer_done(&a);
}

/* ---- the connection ---- */

/* A daemon: for each request it is given, the next text. */
struct daemon {
	int fd; /* listening, or connected */
	bool stays; /* at the end, neither closed nor read from */
	bool listens; /* takes a new connection for each text */
	const char *texts[8]; /* NULL: closes, and ends */
	size_t asked; /* requests seen whole */
	pthread_t thread;
};

/* Reads up to a blank line; false at the end of the connection. */
static bool request_read(int fd)
{
	char last = '\n', c;

	while (read(fd, &c, 1) == 1) {
		if (c == '\n' && last == '\n')
			return true;
		last = c;
	}
	return false;
}

static void *daemon_run(void *ctx)
{
	struct daemon *d = ctx;

	for (size_t i = 0; i < ARRAY_LEN(d->texts) && d->texts[i]; i++) {
		int fd = d->listens ? accept(d->fd, NULL, NULL) : d->fd;

		if (fd < 0 || !request_read(fd))
			break;
		d->asked++;
		if (write(fd, d->texts[i], strlen(d->texts[i])) < 0)
			break;
		if (d->listens)
			close(fd);
	}
	if (!d->listens && !d->stays)
		shutdown(d->fd, SHUT_WR);
	return NULL;
}

static enum err_code open_pair(struct device **out, struct daemon *d, unsigned timeout_ms,
			       struct err *e)
{
	struct device_uapi_config c = { .timeout_ms = timeout_ms, .ifname = "wgx" };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	d->fd = ends[0];
	c.fd = ends[1];
	assert_int_equal(pthread_create(&d->thread, NULL, daemon_run, d), 0);
	return device_open_uapi(out, &c, e);
}

static void daemon_end(struct daemon *d)
{
	pthread_join(d->thread, NULL);
	close(d->fd);
}

static void one_connection(void **state UNUSED)
{
	struct daemon daemon = { .texts = { GOOD, GOOD, "errno=-98\n\n", GOOD } };
	struct device_change c = { .has_listen_port = true, .to.listen_port = 9 };
	struct device_settings now = { 0 };
	struct device *d = NULL;
	struct err e = { 0 };

	assert_int_equal(open_pair(&d, &daemon, 0, &e), ERR_OK);
	assert_int_equal(device_settings(d, &now, &e), ERR_OK);
	assert_int_equal(now.listen_port, 7);
	assert_int_equal(device_set(d, &c, &e), ERR_IN_USE);
	assert_non_null(strstr(e.msg, "interface wgx: the daemon refuses"));
	assert_int_equal(device_settings(d, &now, &e), ERR_OK); /* still in step */
	pthread_join(daemon.thread, NULL); /* it has closed */
	assert_int_equal(device_alive(d, &e), ERR_CLOSED);
	assert_int_equal(device_settings(d, &now, &e), ERR_CLOSED);
	assert_int_equal(daemon.asked, 4);
	device_close(d);
	close(daemon.fd);
}

static void bad_daemons(void **state UNUSED)
{
	static const struct {
		const char *text;
		enum err_code want;
		const char *why;
	} rows[] = {
		{ GOOD, ERR_OK, "as it should be" },
		{ "errno=0\n\nmore", ERR_CORRUPT, "more than its answer" },
		{ "junk\n", ERR_CORRUPT, "no answer" },
		{ "listen_port=x\n", ERR_CORRUPT, "a bad value" },
		{ "", ERR_CLOSED, "nothing, and closes" },
		{ "listen_port=7\n", ERR_CLOSED, "closes in the middle" },
		{ "errno=1\n\n", ERR_DENIED, "refuses" },
		{ "errno=22\n\n", ERR_INVALID, "calls it invalid" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct daemon daemon = { .texts = { rows[i].text } };
		struct device *d = NULL;
		struct err e = { 0 };

		if (open_pair(&d, &daemon, 0, &e) != rows[i].want)
			fail_msg("%s: %s", rows[i].why, e.msg);
		device_close(d);
		daemon_end(&daemon);
	}
}

static void silent_daemon(void **state UNUSED)
{
	struct device_uapi_config c = { .timeout_ms = 50 };
	struct device *d = NULL;
	struct err e = { 0 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	c.fd = ends[1];
	assert_int_equal(device_open_uapi(&d, &c, &e), ERR_TIMEOUT);
	close(ends[0]);
}

/* A daemon that takes nothing must not keep us for ever either. */
static void deaf_daemon(void **state UNUSED)
{
	struct daemon daemon = { .texts = { GOOD }, .stays = true };
	struct wg_peer_change *changes = calloc(20000, sizeof *changes);
	struct device *d = NULL;
	struct err e = { 0 };

	assert_int_equal(open_pair(&d, &daemon, 50, &e), ERR_OK);
	for (uint32_t i = 0; i < 20000; i++) {
		store_le32(changes[i].public_key.b, i);
		changes[i].has_psk = true;
	}
	assert_int_equal(device_change_peers(d, changes, 20000, &e), ERR_TIMEOUT);
	device_close(d);
	daemon_end(&daemon);
	free(changes);
}

static void connects_again(void **state UNUSED)
{
	struct daemon daemon = { .listens = true, .texts = { GOOD, GOOD, GOOD } };
	char path[64];
	struct device_uapi_config c = { .path = path, .fd = -1, .ifname = "wgx" };
	struct device_settings now = { 0 };
	struct device *d = NULL;
	struct err e = { 0 };

	(void)snprintf(path, sizeof path, "/tmp/qanat-uapi-test.%d", (int)getpid());
	assert_int_equal(device_open_uapi(&d, &c, &e), ERR_CLOSED);
	assert_non_null(strstr(e.msg, path));
	assert_int_equal(unix_listen(&daemon.fd, path, 0600, &e), ERR_OK);
	assert_int_equal(fcntl(daemon.fd, F_SETFL, 0), 0); /* it waits in accept */
	assert_int_equal(pthread_create(&daemon.thread, NULL, daemon_run, &daemon), 0);
	assert_int_equal(device_open_uapi(&d, &c, &e), ERR_OK);
	for (int i = 0; i < 2; i++) { /* it closes after each answer */
		assert_int_equal(device_settings(d, &now, &e), ERR_OK);
		assert_int_equal(now.listen_port, 7);
	}
	daemon_end(&daemon);
	unlink(path);
	assert_int_equal(device_settings(d, &now, &e), ERR_CLOSED);
	device_close(d);
}

/* Who is there is found out by its answer; at most two questions, and none that a foreign daemon
 * takes amiss. */
static void knows_its_kind(void **state UNUSED)
{
	static const struct {
		const char *texts[3];
		size_t asked;
		enum err_code want;
		bool extended;
		const char *why;
	} rows[] = {
		{ { "qanat_extensions=1\n" GOOD }, 1, ERR_OK, true, "one of ours" },
		{ { "errno=-22\n\n", GOOD }, 2, ERR_OK, false, "as wireguard-go refuses a line" },
		{ { "errno=-71\n\n", GOOD }, 2, ERR_OK, false, "by another number" },
		{ { GOOD }, 1, ERR_OK, false, "one that reads no further than get=1" },
		{ { "", GOOD }, 2, ERR_OK, false, "one that closes without a word" },
		{ { "what?\n", GOOD }, 2, ERR_OK, false, "one with another word" },
		{ { "qanat_extensions=2\n" GOOD }, 1, ERR_OK, false, "ours, of a later kind" },
		{ { "errno=-22\n\n", "errno=-1\n\n" }, 2, ERR_DENIED, false, "it refuses all" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct daemon daemon = { .listens = true };
		struct device *d = NULL;
		char path[64];
		struct device_uapi_config c = { .path = path, .fd = -1, .ifname = "wgx" };
		struct err e = { 0 };

		memcpy(daemon.texts, rows[i].texts, sizeof rows[i].texts);
		(void)snprintf(path, sizeof path, "/tmp/qanat-uapi-test.%d", (int)getpid());
		assert_int_equal(unix_listen(&daemon.fd, path, 0600, &e), ERR_OK);
		assert_int_equal(fcntl(daemon.fd, F_SETFL, 0), 0);
		assert_int_equal(pthread_create(&daemon.thread, NULL, daemon_run, &daemon), 0);
		if (device_open_uapi(&d, &c, &e) != rows[i].want)
			fail_msg("%s: %s", rows[i].why, e.msg);
		if (d &&
		    (device_can(d) == (DEVICE_CAN_DROPS | DEVICE_CAN_LIMITS)) != rows[i].extended)
			fail_msg("%s: can %u", rows[i].why, device_can(d));
		device_close(d);
		daemon_end(&daemon);
		unlink(path);
		if (daemon.asked != rows[i].asked)
			fail_msg("%s: asked %zu times", rows[i].why, daemon.asked);
	}
}

/* Behind the same path somebody else may stand later. */
static void another_takes_over(void **state UNUSED)
{
	struct daemon daemon = { .texts = { "qanat_extensions=1\n" GOOD,
					    "qanat_extensions=1\nerrno=2\n\n", "errno=-22\n\n",
					    "public_key=" KEY "\nerrno=0\n\n" } };
	struct device_uapi_config c = { .ifname = "wgx", .extensions = true };
	const struct public_key k = { { 1 } };
	struct dataplane_status s;
	struct wg_peer_info info;
	struct device *d = NULL;
	struct err e = { 0 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	daemon.fd = ends[0];
	c.fd = ends[1];
	assert_int_equal(pthread_create(&daemon.thread, NULL, daemon_run, &daemon), 0);
	assert_int_equal(device_open_uapi(&d, &c, &e), ERR_OK);
	assert_true(device_can(d) & DEVICE_CAN_LIMITS);
	assert_int_equal(device_peer(d, &k, &info, NULL, &e), ERR_NOT_FOUND);
	assert_int_equal(device_status(d, &s, &e), ERR_OK);
	assert_int_equal(s.peer_count, 1);
	assert_false(device_can(d) & (DEVICE_CAN_LIMITS | DEVICE_CAN_DROPS));
	device_close(d);
	daemon_end(&daemon);
	assert_int_equal(daemon.asked, 4);
}

static void choices(void **state UNUSED)
{
	struct device_choice c;
	struct err e = { 0 };

	assert_int_equal(device_choice_parse(&c, "auto", &e), ERR_OK);
	assert_int_equal(c.kind, DEVICE_AUTO);
	assert_int_equal(device_choice_parse(&c, "kernel", &e), ERR_OK);
	assert_int_equal(c.kind, DEVICE_KERNEL);
	assert_int_equal(device_choice_parse(&c, "uapi:/run/x.sock", &e), ERR_OK);
	assert_int_equal(c.kind, DEVICE_UAPI);
	assert_string_equal(c.path, "/run/x.sock");
	assert_int_equal(device_choice_parse(&c, "uapi:x.sock", &e), ERR_INVALID);
	assert_int_equal(device_choice_parse(&c, "uapi", &e), ERR_INVALID);
	assert_int_equal(device_choice_parse(&c, "Kernel", &e), ERR_INVALID);
	assert_int_equal(device_choice_parse(&c, "", &e), ERR_INVALID);
	/* Who needs what only the engine does gets it, whatever the kernel has. */
	assert_int_equal(device_choose(DEVICE_CAN_DROPS), DEVICE_ENGINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(no_peers_wanted),
		cmocka_unit_test(one_connection),
		cmocka_unit_test(bad_daemons),
		cmocka_unit_test(silent_daemon),
		cmocka_unit_test(deaf_daemon),
		cmocka_unit_test(connects_again),
		cmocka_unit_test(choices),
		cmocka_unit_test(knows_its_kind),
		cmocka_unit_test(another_takes_over),
	};

	return crypto_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
