#include "http/server.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/fault.h"
#include "base/fs.h"
#include "crypto/keys.h"
#include "http/inside.h"
#include "io/tcp.h"

#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)
#define ACCEPTS_A_TURN 64

struct listener {
	struct list node;
	struct http_server *server;
	struct loop_fd watch;
	struct loop_timer pause; /* out of descriptors or memory: trying at once again would spin */
};

/* ---- small things that all exchanges need ---- */

const char *server_date(struct http_server *s)
{
	int64_t now_s = clock_real_ns() / NS_PER_S;
	time_t t = (time_t)now_s;
	struct tm tm;

	if (now_s != s->date_s && gmtime_r(&t, &tm)) {
		/* RFC 9110, 5.6.7; programs run in the C locale. */
		(void)strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		s->date_s = now_s;
	}
	return s->date;
}

void server_request_id(struct http_server *s, char out[HTTP_REQUEST_ID_MAX + 1])
{
	(void)snprintf(out, HTTP_REQUEST_ID_MAX + 1, "%016llx-%llx", (unsigned long long)s->id_seed,
		       (unsigned long long)s->id_next++);
}

/* ---- life ---- */

static void fill_limits(struct http_limits *l)
{
#define DEFAULT(field, value) l->field = l->field ? l->field : (value)
	DEFAULT(head_bytes, 16384);
	DEFAULT(head_fields, 100);
	DEFAULT(body_bytes, 1u << 20);
	DEFAULT(bodies_bytes, 64u << 20);
	DEFAULT(bodies_per_source, l->bodies_bytes / 4 * 3);
	DEFAULT(connections, 1024);
	DEFAULT(connections_per_source, 64);
	DEFAULT(requests_per_connection, 100000);
	DEFAULT(h2_streams, 100);
	DEFAULT(requests_running, 4096);
	DEFAULT(rate_burst, 2 * l->rate_per_s);
	DEFAULT(handshake_ms, 5000);
	DEFAULT(head_ms, 10000);
	DEFAULT(body_ms, 10000);
	DEFAULT(body_rate, 1024);
	DEFAULT(idle_ms, 60000);
	DEFAULT(stall_ms, 30000);
#undef DEFAULT
}

static void server_release(struct http_server *s)
{
	http_router_free(s->router);
	http_sources_free(s->sources);
	free(s);
}

static void stop_check(struct http_server *s)
{
	if (s->stopped && list_empty(&s->connections) && s->held == 0 && !s->freed)
		loop_timer_set(s->loop, &s->stop_soon, loop_now(s->loop));
}

void server_connection_gone(struct http_server *s)
{
	stop_check(s);
}

void server_exchange_gone(struct http_server *s)
{
	s->held--;
	if (s->freed && s->held == 0)
		server_release(s);
	else
		stop_check(s);
}

static void break_all(struct http_server *s)
{
	while (!list_empty(&s->connections))
		connection_break(CONTAINER_OF(s->connections.next, struct http_connection, node));
}

static void tell_stopped(struct http_server *s)
{
	void (*stopped)(void *ctx) = s->stopped;

	loop_timer_cancel(&s->stop_soon);
	loop_timer_cancel(&s->stop_deadline);
	s->stopped = NULL;
	if (stopped)
		stopped(s->stopped_ctx);
}

static void stop_soon_fire(struct loop_timer *t)
{
	tell_stopped(CONTAINER_OF(t, struct http_server, stop_soon));
}

static void stop_deadline_fire(struct loop_timer *t)
{
	struct http_server *s = CONTAINER_OF(t, struct http_server, stop_deadline);

	break_all(s);
	tell_stopped(s);
}

enum err_code http_server_new(struct http_server **out, struct loop *l,
			      const struct http_server_options *o, struct err *e)
{
	struct http_server *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "out of memory for an HTTP server");
	s->loop = l;
	s->o = *o;
	fill_limits(&s->o.limits);
	list_init(&s->listeners);
	list_init(&s->connections);
	random_bytes(&s->id_seed, sizeof s->id_seed);
	s->date_s = INT64_MIN;
	s->stop_deadline.fire = stop_deadline_fire;
	s->stop_soon.fire = stop_soon_fire;
	s->router = http_router_new();
	s->sources = http_sources_new(s->o.limits.rate_per_s, s->o.limits.rate_burst);
	if (!s->router || !s->sources) {
		server_release(s);
		return err_set(e, ERR_NOMEM, "out of memory for an HTTP server");
	}
	*out = s;
	return ERR_OK;
}

static void listeners_close(struct http_server *s)
{
	LIST_FOR_SAFE(at, next, &s->listeners) {
		struct listener *li = CONTAINER_OF(at, struct listener, node);

		loop_timer_cancel(&li->pause);
		loop_fd_remove(&li->watch);
		fd_close(li->watch.fd);
		list_del(&li->node);
		free(li);
	}
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	s->stopped = NULL;
	loop_timer_cancel(&s->stop_soon);
	loop_timer_cancel(&s->stop_deadline);
	listeners_close(s);
	s->held++; /* ours, until all below is done */
	break_all(s);
	s->freed = true;
	server_exchange_gone(s);
}

void http_server_stop(struct http_server *s, unsigned deadline_ms, void (*done)(void *ctx),
		      void *ctx)
{
	bool again = true;

	s->stopping = true;
	s->stopped = done;
	s->stopped_ctx = ctx;
	listeners_close(s);
	loop_timer_set(s->loop, &s->stop_deadline,
		       loop_now(s->loop) + (int64_t)deadline_ms * NS_PER_MS);
	while (again) { /* winding one down may free it, and what its handlers do others */
		again = false;
		LIST_FOR(at, &s->connections) {
			struct http_connection *c = CONTAINER_OF(at, struct http_connection, node);

			if (!c->winding_down) {
				again = true;
				connection_wind_down(c);
				break;
			}
		}
	}
	stop_check(s);
}

/* ---- routes ---- */

enum err_code http_server_add_routes(struct http_server *s, const struct http_route *routes,
				     size_t n, void *ctx, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		enum err_code rc = http_router_add(s->router, &routes[i], ctx, e);

		if (rc)
			return rc;
	}
	return ERR_OK;
}

void http_server_walk_routes(const struct http_server *s,
			     void (*fn)(void *arg, const struct http_route *route), void *arg)
{
	http_router_walk(s->router, fn, arg);
}

void http_server_stats(const struct http_server *s, struct http_stats *out)
{
	*out = s->stats;
}

/* ---- connections ---- */

/* NULL: welcome. */
static const char *refuse_connection(struct http_server *s, const struct endpoint *peer,
				     const struct http_source *source)
{
	if (s->stopping)
		return "the server is being stopped";
	if (s->o.admit && !s->o.admit(s->o.ctx, peer))
		return "the address is not admitted";
	if (s->stats.connections >= s->o.limits.connections)
		return "too many connections";
	if (source->connections > s->o.limits.connections_per_source)
		return "too many connections from this address";
	return NULL;
}

enum err_code http_server_adopt_connection(struct http_server *s, int fd,
					   const struct endpoint *peer, struct err *e)
{
	struct http_source *source = http_source_enter(s->sources, &peer->addr, loop_now(s->loop));
	const char *why = refuse_connection(s, peer, source);
	enum err_code rc;

	s->stats.accepted++;
	if (why) {
		char text[ENDPOINT_TEXT_MAX];

		s->stats.refused_connections++;
		endpoint_format(text, peer);
		fd_close(fd);
		rc = err_set(e, ERR_DENIED, "connection from %s: %s", text, why);
	} else {
		rc = connection_open(s, fd, peer, source, e);
	}
	if (rc)
		http_source_leave(s->sources, source);
	return rc;
}

static void listener_ready(struct loop_fd *w, uint32_t events)
{
	struct listener *li = CONTAINER_OF(w, struct listener, watch);
	struct http_server *s = li->server;
	struct endpoint peer;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = tcp_accept(w->fd, &peer);

		if (fd < 0) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return;
			loop_fd_change(w, 0);
			loop_timer_set(s->loop, &li->pause, loop_now(s->loop) + ACCEPT_PAUSE_NS);
			return;
		}
		if (http_server_adopt_connection(s, fd, &peer, NULL))
			continue; /* counted */
	}
}

static void pause_fire(struct loop_timer *t)
{
	loop_fd_change(&CONTAINER_OF(t, struct listener, pause)->watch, LOOP_READ);
}

enum err_code http_server_adopt_listener(struct http_server *s, int fd, struct err *e)
{
	struct listener *li = calloc(1, sizeof *li);
	enum err_code rc;

	if (!li) {
		fd_close(fd);
		return err_set(e, ERR_NOMEM, "out of memory for a listener");
	}
	li->server = s;
	li->pause.fire = pause_fire;
	li->watch = (struct loop_fd){ .fd = fd, .events = LOOP_READ, .ready = listener_ready };
	rc = fd_nonblock(fd, e);
	if (rc == ERR_OK)
		rc = loop_fd_add(s->loop, &li->watch, e);
	if (rc) {
		fd_close(fd);
		free(li);
		return rc;
	}
	list_add_tail(&s->listeners, &li->node);
	return ERR_OK;
}

static bool is_loopback(const struct ip_addr *a)
{
	static const uint8_t v6[16] = { [15] = 1 };

	return a->family == IP_V4 ? a->b[0] == 127 : memcmp(a->b, v6, sizeof v6) == 0;
}

enum err_code http_server_listen(struct http_server *s, const struct endpoint *at,
				 struct endpoint *bound, struct err *e)
{
	char text[ENDPOINT_TEXT_MAX];
	enum err_code rc;
	int fd;

	endpoint_format(text, at);
	if (!s->o.tls && !is_loopback(&at->addr))
		return err_set(e, ERR_DENIED,
			       "listen at %s: without TLS only loopback addresses are allowed",
			       text);
	rc = tcp_listen(&fd, at, bound, e);
	return rc ? rc : http_server_adopt_listener(s, fd, e);
}
