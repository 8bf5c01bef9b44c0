#include "base/tests/cm.h"

#include "http/tests/talk.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fs.h"

void talk_start(struct talk *t, const struct http_server_options *o,
		const struct http_route *routes, size_t n, void *ctx)
{
	struct err e;

	*t = (struct talk){ .fd = -1 };
	if (loop_new(&t->loop, &e) || http_server_new(&t->server, t->loop, o, &e) ||
	    http_server_add_routes(t->server, routes, n, ctx, &e))
		fail_msg("%s", e.msg);
}

void talk_hang_up(struct talk *t)
{
	fd_close(t->fd);
	t->fd = -1;
}

void talk_end(struct talk *t)
{
	talk_hang_up(t);
	http_server_free(t->server);
	loop_free(t->loop);
	buf_done(&t->got);
}

void talk_connect(struct talk *t)
{
	struct endpoint peer = { .addr = { IP_V4, { 192, 0, 2, 1 } }, .port = 1 };
	int pair[2];
	struct err e;

	if (t->fd >= 0) {
		talk_hang_up(t);
		talk_turn(t); /* the server notices */
	}
	buf_clear(&t->got);
	t->eof = false;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	t->fd = pair[0];
	if (http_server_adopt_connection(t->server, pair[1], &peer, &e))
		return; /* refused: the client sees the end */
}

static void loop_turn(struct talk *t)
{
	struct err e;

	loop_stop(t->loop);
	assert_int_equal(loop_run(t->loop, &e), ERR_OK);
}

/* True when something was read. */
static bool client_read(struct talk *t)
{
	char chunk[65536];
	ssize_t n;

	if (t->fd < 0 || t->eof)
		return false;
	n = recv(t->fd, chunk, sizeof chunk, 0);
	if (n > 0)
		buf_add(&t->got, chunk, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		t->eof = true;
	return n > 0;
}

void talk_turn(struct talk *t)
{
	for (int quiet = 0; quiet < 4; quiet++) {
		loop_turn(t);
		if (client_read(t))
			quiet = 0;
	}
}

void talk_until_closed(struct talk *t)
{
	int64_t end = clock_mono_ns() + 10 * NS_PER_S;

	while (!t->eof && clock_mono_ns() < end) {
		talk_turn(t);
		(void)poll(NULL, 0, 1);
	}
	assert_true(t->eof);
}

void talk_send(struct talk *t, struct str text)
{
	while (text.n) {
		ssize_t n = send(t->fd, text.p, text.n, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return; /* the server has closed */
		if (n > 0) {
			text.p += n;
			text.n -= (size_t)n;
		}
		loop_turn(t);
		(void)client_read(t);
	}
}

void talk_once(struct talk *t, const char *request)
{
	talk_connect(t);
	talk_send(t, str_of(request));
	talk_turn(t);
}

size_t talk_count(const struct talk *t, const char *needle)
{
	struct str rest = buf_view(&t->got);
	size_t n = 0;
	ptrdiff_t at;

	while ((at = str_find_nocase(rest, str_of(needle))) >= 0) {
		n++;
		rest.p += at + 1;
		rest.n -= (size_t)at + 1;
	}
	return n;
}

unsigned talk_status(const struct talk *t)
{
	struct str got = buf_view(&t->got);
	uint32_t status = 0;

	if (!str_starts(got, STR("HTTP/1.1 ")) || got.n < 12 ||
	    !u32_parse((struct str){ got.p + 9, 3 }, 100, 599, &status))
		return 0;
	return status;
}
