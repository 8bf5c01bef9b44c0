/* The server runs in a thread with its own loop; the tests are its clients and wait only for what
 * must come. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/control.h"
#include "base/clock.h"
#include "base/log.h"
#include "gateway/control_server.h"
#include "io/unix_socket.h"

static char dir[64], path[96];
static struct loop *loop;
static struct control_server *server;
static pthread_t thread;

/* The one line that waits, and what comes of it. */
static struct control_turn *kept;
static int taken = -1;

static enum control_answer kept_end(struct str line, struct buf *out)
{
	struct buf answer = { 0 };

	if (!kept)
		return CONTROL_DROP;
	buf_printf(&answer, "at last\n");
	if (!str_eq(line, STR("now")))
		buf_done(&answer);
	if (str_eq(line, STR("take")))
		taken = control_turn_take(kept);
	else
		control_turn_end(kept, &answer);
	kept = NULL;
	BUG_ON(answer.n != 0); /* not in the thread of the test: no assert */
	buf_str(out, STR("done\n"));
	return CONTROL_ANSWERED;
}

static enum control_answer adopt(struct buf *out)
{
	struct buf first = { 0 };
	struct err e;

	buf_z(&first, "adopted\n");
	BUG_ON(control_server_adopt(server, taken, &first, &e) || first.n != 0);
	taken = -1;
	buf_str(out, STR("done\n"));
	return CONTROL_ANSWERED;
}

/* Answers a line with itself; "drop" drops, "big" is answered with more than a socket takes,
 * "later" waits for another connection's "now", "nothing" or "take", and what was taken for its
 * "adopt". */
static enum control_answer echo(void *ctx, struct str line, struct control_turn *turn,
				struct buf *out)
{
	(void)ctx;
	if (str_eq(line, STR("drop")))
		return CONTROL_DROP;
	if (str_eq(line, STR("later"))) {
		kept = turn;
		return CONTROL_LATER;
	}
	if (str_eq(line, STR("now")) || str_eq(line, STR("nothing")) || str_eq(line, STR("take")))
		return kept_end(line, out);
	if (str_eq(line, STR("adopt")))
		return adopt(out);
	for (int i = 0; str_eq(line, STR("big")) && i < 200000; i++)
		buf_z(out, "0123456789");
	buf_str(out, line);
	buf_char(out, '\n');
	return CONTROL_ANSWERED;
}

static bool refuse(void *ctx, const char *why, struct buf *out)
{
	(void)ctx;
	buf_printf(out, "refused: %s\n", why);
	return true;
}

static void *run(void *arg)
{
	struct err e = { 0 };

	(void)!loop_run(loop, &e);
	return arg;
}

static int start(void **state)
{
	const struct control_handler handler = { NULL, echo, refuse };
	struct err e = { 0 };
	int listener = -1;

	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/qanat-control-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof path, "%s/run/control.sock", dir);
	if (loop_new(&loop, &e) || control_listen(&listener, path, &e) ||
	    control_server_open(&server, loop, listener, &handler, &e)) {
		print_message("%s\n", e.msg);
		return -1;
	}
	return pthread_create(&thread, NULL, run, NULL);
}

static int end(void **state)
{
	char sub[96];

	(void)state;
	loop_stop(loop);
	(void)pthread_join(thread, NULL);
	control_unlisten(path);
	control_server_close(server);
	loop_free(loop);
	(void)snprintf(sub, sizeof sub, "%s/run", dir);
	return access(path, F_OK) == 0 || rmdir(sub) || rmdir(dir) ? -1 : 0;
}

static int connected(void)
{
	struct err e = { 0 };
	int fd = -1;

	if (unix_connect(&fd, path, 5000, &e))
		fail_msg("%s", e.msg);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until the text is there, whole; false at the end of the connection. */
static bool hears(int fd, const char *text)
{
	size_t want = strlen(text), n = 0;
	char got[4096];

	assert_true(want < sizeof got);
	while (n < want) {
		ssize_t more = recv(fd, got + n, want - n, 0);

		if (more <= 0)
			return false;
		n += (size_t)more;
	}
	return memcmp(got, text, want) == 0;
}

static void is_for_its_owner(void **state)
{
	char sub[96];
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)snprintf(sub, sizeof sub, "%s/run", dir);
	assert_int_equal(stat(sub, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

static void answers_lines_in_order(void **state)
{
	int fd = connected();

	(void)state;
	say(fd, "one\ntw");
	assert_true(hears(fd, "one\n"));
	say(fd, "o\n\nthree\n");
	assert_true(hears(fd, "two\n\nthree\n"));
	say(fd, "four\nhalf");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_true(hears(fd, "four\n"));
	assert_false(hears(fd, "h")); /* half a line is no request */
	close(fd);
}

static void drops_and_goes_on(void **state)
{
	int fd = connected(), other = connected();

	(void)state;
	say(fd, "drop\nmore\n");
	assert_false(hears(fd, "x"));
	say(other, "still here\n");
	assert_true(hears(other, "still here\n"));
	close(fd);
	close(other);
}

static void sends_more_than_a_socket_takes(void **state)
{
	int fd = connected();
	size_t total = 0;
	char chunk[65536];
	ssize_t n;

	(void)state;
	say(fd, "big\nafter\n");
	while (total < 2000004 && (n = recv(fd, chunk, MIN(sizeof chunk, 2000004 - total), 0)) > 0)
		total += (size_t)n;
	assert_int_equal(total, 2000004);
	assert_true(hears(fd, "after\n"));
	close(fd);
}

static void refuses_a_long_line(void **state)
{
	static const struct {
		size_t n;
		bool ok;
		const char *why;
	} rows[] = {
		{ CONTROL_REQUEST_MAX, true, "the longest" },
		{ CONTROL_REQUEST_MAX + 1, false, "one more" },
		{ CONTROL_REQUEST_MAX * 4, false, "far more" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *line = malloc(rows[i].n + 2);
		int fd = connected();

		assert_non_null(line);
		memset(line, 'x', rows[i].n);
		line[rows[i].n] = '\n';
		line[rows[i].n + 1] = 0;
		say(fd, line);
		if (hears(fd, rows[i].ok ? "xxxxxxxx" : "refused: ") != true)
			fail_msg("%s", rows[i].why);
		free(line);
		close(fd);
	}
}

static void tells_one_too_many(void **state)
{
	int crowd[CONTROL_CONNECTIONS_MAX], extra;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
		crowd[i] = connected();
		say(crowd[i], "x\n"); /* it has been accepted when this is answered */
		assert_true(hears(crowd[i], "x\n"));
	}
	extra = connected();
	assert_true(hears(extra, "refused: too many"));
	say(crowd[0], "y\n");
	assert_true(hears(crowd[0], "y\n"));
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
		close(crowd[i]);
	close(extra);
}

static int64_t cpu_ns(void)
{
	struct timespec t = { 0 };
	clockid_t clock;

	assert_int_equal(pthread_getcpuclockid(thread, &clock), 0);
	assert_int_equal(clock_gettime(clock, &t), 0);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* The kernel says again and again that somebody waits; asking it without an end would take a whole
 * processor. */
static void waits_for_descriptors(void **state)
{
	const struct timespec while_waiting = { .tv_nsec = 500 * NS_PER_MS };
	struct rlimit usual, few;
	int64_t used;
	int fd = dup(0);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
	few = usual;
	few.rlim_cur = (rlim_t)fd + 1; /* one is left, and our end takes it */
	close(fd);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	fd = connected();
	say(fd, "late\n");
	used = cpu_ns();
	assert_int_equal(nanosleep(&while_waiting, NULL), 0);
	used = cpu_ns() - used;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
	assert_true(used < 100 * NS_PER_MS); /* a few ms for the tries */
	assert_true(hears(fd, "late\n"));
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, end)

/* Asks on a connection of its own until it is answered so. */
static void tell(const char *line, const char *want)
{
	int fd = connected();

	say(fd, line);
	assert_true(hears(fd, want));
	close(fd);
}

static void answers_later(void **state)
{
	int waiting = connected();

	(void)state;
	say(waiting, "first\nlater\nsecond\n");
	assert_true(hears(waiting, "first\n"));
	tell("others are served\n", "others are served\n");
	tell("now\n", "done\n");
	assert_true(hears(waiting, "at last\nsecond\n")); /* still in order */
	say(waiting, "later\n");
	tell("x\n", "x\n");
	tell("nothing\n", "done\n");
	assert_false(hears(waiting, "x")); /* no answer is the end */
	close(waiting);
}

static void answers_who_has_gone(void **state)
{
	int waiting = connected();

	(void)state;
	say(waiting, "later\n");
	tell("x\n", "x\n"); /* by now it waits */
	close(waiting);
	tell("x\n", "x\n");
	tell("now\n", "done\n");
	waiting = connected();
	say(waiting, "later\n");
	tell("x\n", "x\n");
	assert_int_equal(shutdown(waiting, SHUT_WR), 0); /* this one still listens */
	tell("now\n", "done\n");
	assert_true(hears(waiting, "at last\n"));
	assert_false(hears(waiting, "x"));
	close(waiting);
}

static void gives_a_connection_away(void **state)
{
	int waiting = connected();

	(void)state;
	say(waiting, "later\n");
	tell("x\n", "x\n");
	tell("take\n", "done\n");
	tell("adopt\n", "done\n");
	assert_true(hears(waiting, "adopted\n"));
	say(waiting, "still here\n");
	assert_true(hears(waiting, "still here\n"));
	close(waiting);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(is_for_its_owner),
		T(answers_lines_in_order),
		T(answers_later),
		T(answers_who_has_gone),
		T(gives_a_connection_away),
		T(drops_and_goes_on),
		T(sends_more_than_a_socket_takes),
		T(refuses_a_long_line),
		T(tells_one_too_many),
		T(waits_for_descriptors),
	};

	log_set_level(LOG_SILENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
