#include "device/uapi_client.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "device/uapi_dump.h"
#include "wg/uapi.h"

#define IN_ROOM (32u << 10) /* more than one line */
#define OUT_ROOM (64u << 10) /* a piece of a dump */
#define OUT_LIMIT (128u << 10)

/* Changes of peers, and of their allowed IPs, under one taking of the device's lock: some 100 us. */
#define RUN_MAX 128

_Static_assert(IN_ROOM > WG_UAPI_LINE_MAX + 1, "a whole line fits");

enum state {
	AWAIT_REQUEST,
	IN_SET, /* lines up to the blank one */
	IN_GET, /* the blank line, or what is wanted before it */
	IN_STOP, /* the blank line */
	DUMPING, /* pieces follow as the client takes them */
	LAST_ANSWER, /* closes when it is written */
};

struct client {
	struct list link;
	struct uapi_clients *all;
	struct loop_fd watch;
	struct loop_timer idle;
	enum state state;
	bool ended; /* the client sends no more */
	bool owner; /* is not dropped for being silent */
	struct wg_uapi_set *set;
	size_t run; /* changes in the dataplane's present run; 0: none has begun */
	enum { ALL_PEERS, NO_PEERS, ONE_PEER } wanted; /* by the present get */
	struct public_key one;
	struct uapi_dump dump;
	struct buf out;
	size_t out_at; /* written so far */
	size_t in_n;
	char in[IN_ROOM];
};

static void client_free(struct client *c)
{
	loop_timer_cancel(&c->idle);
	loop_fd_remove(&c->watch);
	fd_close(c->watch.fd);
	list_del(&c->link);
	c->all->count--;
	wg_uapi_set_free(c->set);
	buf_done(&c->out);
	wipe(c, sizeof *c); /* the room for reading has seen keys */
	free(c);
}

static void client_drop(struct client *c)
{
	struct uapi_clients *all = c->all;

	client_free(c);
	if (all->left)
		all->left(all);
}

static void idle_fire(struct loop_timer *t)
{
	client_drop(CONTAINER_OF(t, struct client, idle));
}

static void client_moved(struct client *c)
{
	if (!c->owner)
		loop_timer_set(c->all->loop, &c->idle, loop_now(c->all->loop) + UAPI_IDLE_NS);
}

/* ---- set ---- */

/* Ends the run of changes of peers: before anything else is asked of the dataplane. */
static void run_end(struct client *c)
{
	if (c->run)
		dataplane_run_end(c->all->dp);
	c->run = 0;
}

static enum err_code set_private_key(void *ctx, const struct secret_key *k, struct err *e)
{
	struct client *c = ctx;

	run_end(c);
	return dataplane_set_private_key(c->all->dp, k, e);
}

static enum err_code set_listen_port(void *ctx, uint16_t port, struct err *e)
{
	struct client *c = ctx;

	run_end(c);
	return dataplane_set_listen_port(c->all->dp, port, e);
}

static enum err_code set_fwmark(void *ctx, uint32_t mark, struct err *e)
{
	struct client *c = ctx;

	run_end(c);
	return dataplane_set_fwmark(c->all->dp, mark, e);
}

static enum err_code replace_peers(void *ctx, struct err *e)
{
	struct client *c = ctx;

	run_end(c);
	return dataplane_replace_peers(c->all->dp, e);
}

static enum err_code change_peer(void *ctx, const struct wg_peer_change *change, struct err *e)
{
	struct client *c = ctx;
	enum err_code rc;

	if (!c->run)
		dataplane_run_begin(c->all->dp);
	rc = dataplane_run_change_peer(c->all->dp, change, e);
	c->run += 1 + change->allowed_ip_count;
	if (c->run >= RUN_MAX)
		run_end(c);
	return rc;
}

static void answer(struct client *c, int number, const struct err *why)
{
	buf_printf(&c->out, "errno=%d\n\n", number);
	if (number && c->all->refused)
		c->all->refused(c->all->refused_ctx, why);
}

/* Answers a request that breaks the protocol; what follows it cannot be made sense of. */
static void refuse(struct client *c, int number, const char *what)
{
	struct err why = { 0 };

	err_set(&why, ERR_INVALID, "%s", what);
	answer(c, number, &why);
	c->state = LAST_ANSWER;
}

static void set_begin(struct client *c)
{
	struct wg_uapi_target target = {
		.ctx = c,
		.set_private_key = set_private_key,
		.set_listen_port = set_listen_port,
		.set_fwmark = set_fwmark,
		.replace_peers = replace_peers,
		.change_peer = change_peer,
	};

	c->set = wg_uapi_set_new(&target);
	c->state = IN_SET;
	if (!c->set)
		refuse(c, -ENOMEM, "out of memory for a request");
}

static void set_end(struct client *c)
{
	struct err why = { 0 };
	int number = wg_uapi_set_end(c->set, &why);

	run_end(c); /* the answer says that all is done */
	answer(c, number, &why);
	wg_uapi_set_free(c->set);
	c->set = NULL;
	c->state = AWAIT_REQUEST;
}

/* ---- get ---- */

struct piece {
	struct client *c;
	enum uapi_dump_state state;
};

static void dump_key(void *ctx, const struct wg_device *d)
{
	struct secret_key *k = ctx;

	if (!wg_device_private_key(d, k))
		wipe(k, sizeof *k);
}

static void dump_piece(void *ctx, const struct wg_device *d)
{
	struct piece *p = ctx;

	if (p->c->wanted == ONE_PEER)
		p->state = uapi_dump_peer(&p->c->dump, d, &p->c->one, &p->c->out, OUT_ROOM);
	else
		p->state = uapi_dump_peers(&p->c->dump, d, &p->c->out, OUT_ROOM);
}

/* In answers to `get`, wg(8) takes no sign. */
static int dump_errno(enum uapi_dump_state state)
{
	if (state == UAPI_DUMP_NONE)
		return ENOENT;
	return state == UAPI_DUMP_LOST ? EAGAIN : 0;
}

static void dump_more(struct client *c)
{
	struct piece p = { .c = c };

	dataplane_with_device(c->all->dp, dump_piece, &p);
	if (p.state == UAPI_DUMP_MORE)
		return;
	buf_printf(&c->out, "errno=%d\n\n", dump_errno(p.state));
	c->state = AWAIT_REQUEST;
}

/* What the device itself is set to. */
static void put_own(struct client *c)
{
	struct secret_key k = { 0 };
	uint16_t listen_port;
	uint32_t fwmark;

	dataplane_binding(c->all->dp, &listen_port, &fwmark);
	dataplane_with_device(c->all->dp, dump_key, &k);
	wg_uapi_put_device(&c->out, &k, listen_port, fwmark);
	wipe(&k, sizeof k);
}

static void put_summary(struct client *c)
{
	struct dataplane_status s;

	dataplane_status(c->all->dp, &s);
	uapi_dump_status(&c->out, &s);
	buf_z(&c->out, "errno=0\n\n");
	c->state = AWAIT_REQUEST;
}

static void dump_begin(struct client *c)
{
	/* So that the other side knows it was understood: there are daemons that read no
	 * further than get=1. */
	if (c->dump.extensions)
		buf_z(&c->out, "qanat_extensions=1\n");
	if (c->wanted != ONE_PEER)
		put_own(c);
	if (c->wanted == NO_PEERS) {
		put_summary(c);
		return;
	}
	c->state = DUMPING;
	dump_more(c);
}

/* A line of a get: what is not the plain one of wg(8). */
static void get_line(struct client *c, struct str line)
{
	const struct str peer = STR("peer=");

	if (str_eq(line, STR("extensions=1")))
		c->dump.extensions = true;
	else if (!c->dump.extensions)
		refuse(c, -EINVAL, "get=1 takes no further line but extensions=1");
	else if (c->wanted != ALL_PEERS)
		refuse(c, -EINVAL, "get=1 takes one of summary=1 and peer=KEY, once");
	else if (str_eq(line, STR("summary=1")))
		c->wanted = NO_PEERS;
	else if (str_starts(line, peer) &&
		 hex_decode(c->one.b, sizeof c->one.b,
			    (struct str){ line.p + peer.n, line.n - peer.n }))
		c->wanted = ONE_PEER;
	else
		refuse(c, -EINVAL, "get=1 with extensions=1 takes summary=1 or peer=KEY");
}

static void get_begin(struct client *c)
{
	c->dump = (struct uapi_dump){ 0 };
	c->wanted = ALL_PEERS;
	c->state = IN_GET;
}

/* ---- stop ---- */

/* The owner's last wish: what is counted now is what it reads. */
static void stop(struct client *c)
{
	run_end(c);
	dataplane_stop(c->all->dp);
	buf_z(&c->out, "errno=0\n\n");
	c->state = AWAIT_REQUEST;
}

/* ---- what the client sends ---- */

static void take_line(struct client *c, struct str line)
{
	switch (c->state) {
	case AWAIT_REQUEST:
		if (str_eq(line, STR("get=1")))
			get_begin(c);
		else if (str_eq(line, STR("set=1")))
			set_begin(c);
		else if (c->owner && str_eq(line, STR("stop=1")))
			c->state = IN_STOP;
		else if (line.n)
			refuse(c, -EPROTO, "a request is get=1 or set=1");
		return;
	case IN_STOP:
		if (line.n)
			refuse(c, -EINVAL, "stop=1 takes no further line");
		else
			stop(c);
		return;
	case IN_SET:
		if (line.n)
			wg_uapi_set_line(c->set, line);
		else
			set_end(c);
		return;
	case IN_GET:
		if (line.n)
			get_line(c, line);
		else
			dump_begin(c);
		return;
	case DUMPING:
	case LAST_ANSWER:
		return;
	}
}

static bool may_take(const struct client *c)
{
	return c->out_at == c->out.n && c->state != DUMPING && c->state != LAST_ANSWER;
}

/* Takes whole lines until there is something to say first. */
static void take_lines(struct client *c)
{
	struct str rest = { c->in, c->in_n };
	const char *end;

	while (may_take(c) && rest.n && (end = memchr(rest.p, '\n', rest.n))) {
		size_t n = (size_t)(end - rest.p);

		take_line(c, (struct str){ rest.p, n });
		rest = (struct str){ end + 1, rest.n - n - 1 };
	}
	run_end(c);
	if (rest.n && rest.p != c->in)
		memmove(c->in, rest.p, rest.n);
	c->in_n = rest.n;
	if (!may_take(c))
		return;
	if (c->in_n > WG_UAPI_LINE_MAX)
		refuse(c, -EPROTO, "a line is too long");
	else if (c->ended && (c->in_n || c->state != AWAIT_REQUEST))
		refuse(c, -EPROTO, "a request broke off before its blank line");
}

/* False when the connection is broken. */
static bool client_read(struct client *c)
{
	ssize_t n = recv(c->watch.fd, c->in + c->in_n, sizeof c->in - c->in_n, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	client_moved(c);
	c->ended = n == 0;
	c->in_n += (size_t)n;
	return true;
}

/* Writes what the socket takes; false when the connection is broken. */
static bool client_write(struct client *c)
{
	while (c->out_at < c->out.n) {
		ssize_t n =
			send(c->watch.fd, c->out.p + c->out_at, c->out.n - c->out_at, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		client_moved(c);
		c->out_at += (size_t)n;
	}
	buf_clear(&c->out);
	c->out_at = 0;
	return true;
}

/* One step: what was asked is answered as far as the socket takes it.  One piece of a dump a
 * turn, so that other clients have theirs. */
static bool client_step(struct client *c, uint32_t events)
{
	if ((events & LOOP_READ) && !client_read(c))
		return false;
	if ((events & LOOP_HANGUP) && !(events & LOOP_READ))
		return false;
	if (c->state == DUMPING && c->out.n == 0)
		dump_more(c);
	do {
		take_lines(c);
		if (!buf_ok(&c->out) || !client_write(c))
			return false;
	} while (may_take(c) && c->in_n && memchr(c->in, '\n', c->in_n));
	if (c->out.n == 0 && (c->state == LAST_ANSWER || (c->ended && c->state != DUMPING)))
		return false;
	return true;
}

static void client_ready(struct loop_fd *w, uint32_t events)
{
	struct client *c = CONTAINER_OF(w, struct client, watch);

	if (!client_step(c, events))
		client_drop(c);
	else
		loop_fd_change(w, may_take(c) ? LOOP_READ : LOOP_WRITE);
}

static bool client_add(struct uapi_clients *all, int fd, bool owner)
{
	struct client *c = calloc(1, sizeof *c);

	if (!c) {
		fd_close(fd);
		return false;
	}
	c->all = all;
	c->owner = owner;
	c->out.limit = OUT_LIMIT;
	c->idle.fire = idle_fire;
	c->watch = (struct loop_fd){ .fd = fd, .events = LOOP_READ, .ready = client_ready };
	list_add_tail(&all->list, &c->link);
	all->count++;
	if (loop_fd_add(all->loop, &c->watch, NULL)) {
		client_free(c);
		return false;
	}
	client_moved(c);
	return true;
}

bool uapi_client_add(struct uapi_clients *all, int fd)
{
	return client_add(all, fd, false);
}

bool uapi_client_add_owner(struct uapi_clients *all, int fd)
{
	return client_add(all, fd, true);
}

void uapi_clients_init(struct uapi_clients *all, struct loop *l, struct dataplane *dp)
{
	*all = (struct uapi_clients){ .loop = l, .dp = dp };
	list_init(&all->list);
}

void uapi_clients_done(struct uapi_clients *all)
{
	LIST_FOR_SAFE(node, next, &all->list)
		client_free(CONTAINER_OF(node, struct client, link));
}
