/* The client's side of the control socket: one request, one answer, within a time. */
#include "api/control.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fs.h"

struct call {
	const char *path;
	int fd;
	int64_t deadline_ns;
	int timeout_ms;
};

static enum err_code timed_out(const struct call *c, struct err *e)
{
	return err_set(e, ERR_TIMEOUT, "the gateway at %s did not answer within %g seconds",
		       c->path, c->timeout_ms / 1000.0);
}

static enum err_code went_away(const struct call *c, struct err *e)
{
	return err_set(e, ERR_CLOSED, "the gateway at %s closed the connection before answering",
		       c->path);
}

/* Milliseconds until the deadline, rounded up; 0 when it has passed. */
static int left_ms(const struct call *c)
{
	int64_t left = c->deadline_ns - clock_mono_ns();

	return left <= 0 ? 0 : (int)((left + NS_PER_MS - 1) / NS_PER_MS);
}

/* Until `events` or the other side's end. */
static enum err_code await(const struct call *c, short events, struct err *e)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	int n;

	do {
		n = poll(&p, 1, left_ms(c));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, errno, "wait for the gateway at %s", c->path);
	return n ? ERR_OK : timed_out(c, e);
}

/* The kernel refuses a connection to a file or a directory with the same words. */
static bool is_no_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISSOCK(st.st_mode);
}

static enum err_code connect_failed(const struct call *c, int why, struct err *e)
{
	enum err_code rc;

	switch (why) {
	case ENOENT:
	case ECONNREFUSED: /* a socket file that a dead gateway left */
		if (is_no_socket(c->path))
			return err_set(e, ERR_INVALID,
				       "%s is not a socket: name the gateway's control socket",
				       c->path);
		rc = err_set(e, why == ENOENT ? ERR_NOT_FOUND : ERR_IO,
			     "no gateway answers at %s: is qanat-gateway running?", c->path);
		break;
	case EACCES:
	case EPERM:
		rc = err_set(e, ERR_DENIED,
			     "%s: permission denied: only root may speak to this gateway", c->path);
		break;
	case EAGAIN: /* the listen queue stayed full */
		return timed_out(c, e);
	default:
		return err_sys(e, why, "connect to %s", c->path);
	}
	if (e)
		e->sys = why;
	return rc;
}

static enum err_code call_connect(struct call *c, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = c->timeout_ms / 1000,
			      .tv_usec = c->timeout_ms % 1000 * 1000 };

	if (!str_copy(sun.sun_path, sizeof sun.sun_path, str_of(c->path)) || !*c->path)
		return err_set(e, ERR_INVALID, "socket path \"%.200s\" is not 1 to %zu bytes long",
			       c->path, sizeof sun.sun_path - 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return err_sys(e, errno, "make a socket");
	/* For connect only: without it a full listen queue would block for ever. */
	if (setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) < 0)
		return err_sys(e, errno, "%s: set a time limit", c->path);
	if (connect(c->fd, (const struct sockaddr *)&sun, sizeof sun) < 0)
		return connect_failed(c, errno, e);
	return ERR_OK;
}

static bool is_gone(int why)
{
	return why == EPIPE || why == ECONNRESET;
}

static enum err_code call_send(const struct call *c, struct str text, struct err *e)
{
	while (text.n) {
		ssize_t n = send(c->fd, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			text.p += n;
			text.n -= (size_t)n;
		} else if (errno == EAGAIN) {
			enum err_code rc = await(c, POLLOUT, e);

			if (rc)
				return rc;
		} else if (is_gone(errno)) {
			return ERR_OK; /* it may have answered first: reading will tell */
		} else if (errno != EINTR) {
			return err_sys(e, errno, "send to the gateway at %s", c->path);
		}
	}
	return ERR_OK;
}

/* Reads the answer's line, without its newline. */
static enum err_code call_receive(const struct call *c, struct buf *line, struct err *e)
{
	char chunk[16384];

	for (;;) {
		enum err_code rc = await(c, POLLIN, e);
		const char *end;
		ssize_t n;

		if (rc)
			return rc;
		n = recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n == 0 || (n < 0 && is_gone(errno)))
			return went_away(c, e);
		if (n < 0)
			return err_sys(e, errno, "read from the gateway at %s", c->path);
		end = memchr(chunk, '\n', (size_t)n);
		buf_add(line, chunk, end ? (size_t)(end - chunk) : (size_t)n);
		wipe(chunk, (size_t)n); /* an exported client has its keys in it */
		if (!buf_ok(line))
			return err_set(e, ERR_RANGE,
				       "the answer of the gateway at %s is longer than %u bytes",
				       c->path, CONTROL_ANSWER_MAX);
		if (end)
			return ERR_OK;
	}
}

static enum err_code answer_parse(const struct call *c, json_t **answer, struct str line,
				  struct err *e)
{
	json_error_t why;
	json_t *root = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &why);

	if (!json_is_object(root) || !json_is_boolean(json_object_get(root, "success"))) {
		json_decref(root);
		return err_set(e, ERR_CORRUPT,
			       "what answers at %s is no gateway: no envelope in the answer",
			       c->path);
	}
	*answer = root;
	return ERR_OK;
}

enum err_code control_call_within(json_t **answer, const char *path, struct str module,
				  struct str action, json_t *params, int timeout_ms, struct err *e)
{
	AUTO(buf_done) struct buf request = { 0 }, line = { .limit = CONTROL_ANSWER_MAX };
	struct call c = { .path = path, .fd = -1, .timeout_ms = timeout_ms };
	enum err_code rc = control_request_write(&request, module, action, params, e);

	if (rc)
		return rc;
	c.deadline_ns = clock_mono_ns() + timeout_ms * NS_PER_MS;
	rc = call_connect(&c, e);
	if (rc == ERR_OK)
		rc = call_send(&c, buf_view(&request), e);
	if (rc == ERR_OK)
		rc = call_receive(&c, &line, e);
	fd_close(c.fd);
	return rc ? rc : answer_parse(&c, answer, buf_view(&line), e);
}

enum err_code control_call(json_t **answer, const char *path, struct str module, struct str action,
			   json_t *params, struct err *e)
{
	return control_call_within(answer, path, module, action, params, CONTROL_TIMEOUT_MS, e);
}
