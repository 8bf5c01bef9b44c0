/* control_call_test.c - calls to a gateway that answers, stalls, dies, lies or is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/control.h"
#include "base/fs.h"

static char dir[] = "/tmp/qanat-call-test-XXXXXX";
static char path[108];

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof path, "%s/s", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(dir);
}

/* A gateway for one connection: reads the request's line, then sends `answer` in pieces of
 * `piece` bytes, or closes at once. */
struct gateway {
	int listener;
	const char *answer; /* NULL: never answers, waits for the end */
	size_t piece;
	bool deaf; /* closes without reading */
	struct buf request;
};

static void *gateway_main(void *arg)
{
	struct gateway *g = arg;
	int fd = accept4(g->listener, NULL, NULL, SOCK_CLOEXEC);
	struct str left = str_of(g->answer);
	char c = 0;

	while (!g->deaf && c != '\n' && read(fd, &c, 1) == 1)
		buf_char(&g->request, c);
	while (left.n) {
		ssize_t n = send(fd, left.p, MIN(left.n, g->piece), MSG_NOSIGNAL);

		if (n <= 0)
			break;
		left = (struct str){ left.p + n, left.n - (size_t)n };
	}
	if (!g->answer)
		while (read(fd, &c, 1) == 1)
			continue;
	fd_close(fd);
	return NULL;
}

static int listen_at(const char *at)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(str_copy(sun.sun_path, sizeof sun.sun_path, str_of(at)));
	(void)unlink(at);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static enum err_code call(struct gateway *g, int timeout_ms, json_t *params, json_t **answer,
			  struct err *e)
{
	pthread_t thread;
	enum err_code rc;

	g->listener = listen_at(path);
	assert_int_equal(pthread_create(&thread, NULL, gateway_main, g), 0);
	rc = control_call_within(answer, path, STR("core"), STR("x"), params, timeout_ms, e);
	assert_int_equal(pthread_join(thread, NULL), 0);
	fd_close(g->listener);
	return rc;
}

#define OK_LINE "{\"success\":true,\"metadata\":{}}\n"

static void gets_the_answer(void **state)
{
	static const size_t pieces[] = { 1, 7, 1000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct gateway g = { .answer = OK_LINE "{\"more\":1}\n", .piece = pieces[i] };
		json_t *params = json_pack("{s:i}", "page", 2), *answer = NULL;
		struct err e = { 0 };

		assert_int_equal(call(&g, 60000, params, &answer, &e), ERR_OK);
		assert_true(json_is_true(json_object_get(answer, "success")));
		assert_string_equal(
			g.request.p,
			"{\"module\":\"core\",\"action\":\"x\",\"params\":{\"page\":2}}\n");
		json_decref(answer);
		json_decref(params);
		buf_done(&g.request);
	}
}

/* More than a socket's buffer holds, both ways. */
static void sends_and_reads_much(void **state)
{
	size_t n = CONTROL_REQUEST_MAX - 100, m = 3 << 20;
	char *big = test_malloc(m + 100);
	json_t *params = json_object(), *answer = NULL;
	struct gateway g = { .answer = big, .piece = 100000 };
	struct err e = { 0 };

	(void)state;
	memset(big, 'x', n);
	json_object_set_new(params, "a", json_stringn(big, n));
	memset(big, ' ', m);
	memcpy(big + m, OK_LINE, sizeof OK_LINE);
	assert_int_equal(call(&g, 60000, params, &answer, &e), ERR_OK);
	assert_true(g.request.n > n);
	json_decref(answer);
	json_decref(params);
	buf_done(&g.request);
	test_free(big);
}

static void says_what_went_wrong(void **state)
{
	static const struct {
		const char *answer;
		bool deaf;
		int timeout_ms;
		enum err_code want;
		const char *part, *why;
	} rows[] = {
		{ "", false, 60000, ERR_CLOSED, "closed the connection", "closes after reading" },
		{ "{\"success\":", false, 60000, ERR_CLOSED, "before answering", "half a line" },
		{ "{\"success\":true}", false, 60000, ERR_CLOSED, "before answering",
		  "a whole envelope, but no line" },
		{ "", true, 60000, ERR_CLOSED, "closed the connection", "closes without reading" },
		{ OK_LINE, true, 60000, ERR_OK, "", "answers before it has read" },
		{ NULL, false, 50, ERR_TIMEOUT, "did not answer within 0.05 seconds", "stalls" },
		{ "hello\n", false, 60000, ERR_CORRUPT, "no gateway", "no JSON" },
		{ "[]\n", false, 60000, ERR_CORRUPT, "no gateway", "no object" },
		{ "{\"success\":1}\n", false, 60000, ERR_CORRUPT, "no gateway", "no envelope" },
		{ "\n", false, 60000, ERR_CORRUPT, "no gateway", "an empty line" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct gateway g = { .answer = rows[i].answer, .deaf = rows[i].deaf, .piece = 99 };
		json_t *answer = NULL;
		struct err e = { 0 };
		enum err_code rc = call(&g, rows[i].timeout_ms, NULL, &answer, &e);

		/* A peer that closes with our bytes unread resets; then its answer may be lost
		 * with the connection, and either is right. */
		if (rc != rows[i].want && !(rows[i].deaf && rc == ERR_CLOSED))
			fail_msg("%s: %s", rows[i].why, e.msg);
		if (rc && rc == rows[i].want && !strstr(e.msg, rows[i].part))
			fail_msg("%s: the message says: %s", rows[i].why, e.msg);
		assert_int_equal(answer != NULL, rc == ERR_OK);
		json_decref(answer);
		buf_done(&g.request);
	}
}

static void finds_nobody(void **state)
{
	char longest[200];
	json_t *answer;
	struct err e = { 0 };

	(void)state;
	(void)unlink(path);
	assert_int_equal(control_call(&answer, path, STR("m"), STR("a"), NULL, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "no gateway answers at "));
	assert_non_null(strstr(e.msg, "is qanat-gateway running?"));

	fd_close(listen_at(path)); /* the file stays, as after kill -9 */
	assert_int_equal(control_call(&answer, path, STR("m"), STR("a"), NULL, &e), ERR_IO);
	assert_int_equal(e.sys, ECONNREFUSED);
	assert_non_null(strstr(e.msg, path));

	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	assert_int_equal(control_call(&answer, longest, STR("m"), STR("a"), NULL, &e), ERR_INVALID);
	assert_int_equal(control_call(&answer, "", STR("m"), STR("a"), NULL, &e), ERR_INVALID);
}

/* A listener that never accepts, its queue full: connecting itself must end. */
static void a_full_queue_times_out(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int listener = listen_at(path), fds[8];
	json_t *answer;
	struct err e = { 0 };

	(void)state;
	assert_true(str_copy(sun.sun_path, sizeof sun.sun_path, str_of(path)));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fds[i], (struct sockaddr *)&sun, sizeof sun);
	}
	assert_int_equal(control_call_within(&answer, path, STR("m"), STR("a"), NULL, 50, &e),
			 ERR_TIMEOUT);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(fds[i]);
	fd_close(listener);
}

static void is_refused_without_rights(void **state)
{
	json_t *answer;
	struct err e = { 0 };
	int listener;
	uid_t uid = geteuid();

	(void)state;
	listener = listen_at(path);
	assert_int_equal(chmod(path, 0600), 0);
	if (uid == 0) {
		assert_int_equal(chmod(dir, 0755), 0);
		assert_int_equal(seteuid(65534), 0);
	} else {
		assert_int_equal(chmod(path, 0), 0);
	}
	assert_int_equal(control_call_within(&answer, path, STR("m"), STR("a"), NULL, 1000, &e),
			 ERR_DENIED);
	assert_int_equal(seteuid(uid), 0);
	assert_non_null(strstr(e.msg, path));
	fd_close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gets_the_answer),
		cmocka_unit_test(sends_and_reads_much),
		cmocka_unit_test(says_what_went_wrong),
		cmocka_unit_test(finds_nobody),
		cmocka_unit_test(a_full_queue_times_out),
		cmocka_unit_test(is_refused_without_rights),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
