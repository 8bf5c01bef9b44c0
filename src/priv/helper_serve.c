#include "priv/helper_serve.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "priv/helper_message.h"
#include "priv/message.h"

#define ANSWER_WAIT_S 10

struct helper_server {
	struct loop *loop;
	int sock, events;
	struct loop_fd watch;
	struct helper_devices devices;
	struct net *net; /* NULL before it was asked for */
	struct net_watch *net_watch;
	bool told[2]; /* of changes since the last repair: without, with a culprit */
	char *journal;
	enum helper_ending ending;
	struct helper_heritage heritage;
	/* with the present request */
	int fds[1 + HELPER_LISTENERS_MAX];
	size_t fd_count;
	void (*closed)(void *ctx); /* NULL once called */
	void *closed_ctx;
	/* too large for a stack: the present request and answer */
	struct helper_request q;
	struct helper_reply a;
};

/* ---- the host's network ---- */

static enum err_code net_needed(const struct helper_server *s, struct err *e)
{
	return s->net ? ERR_OK : err_set(e, ERR_INVALID, "the host's network is not open");
}

static enum err_code do_net_open(struct helper_server *s, struct err *e)
{
	if (s->net)
		return err_set(e, ERR_INVALID, "the host's network is open already");
	s->a.flag = access(s->journal, F_OK) == 0;
	return net_open(&s->net, s->journal, e);
}

/* Nothing of the host's own: a tunnel is a device that was opened here. */
static enum err_code tunnels_check(const struct helper_server *s, struct err *e)
{
	const struct net_want *w = &s->q.u.want;

	for (size_t i = 0; i < w->tunnel_count; i++)
		if (!s->devices.is_open(s->devices.ctx, w->tunnels[i].ifname))
			return err_set(e, ERR_DENIED, "interface %s is none of this gateway's",
				       w->tunnels[i].ifname);
	return ERR_OK;
}

static enum err_code do_net_apply(struct helper_server *s, struct err *e)
{
	enum err_code rc = net_needed(s, e);

	if (rc == ERR_OK)
		rc = tunnels_check(s, e);
	return rc ? rc : net_apply(s->net, &s->q.u.want, e);
}

enum err_code helper_server_undo(struct helper_server *s, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (!s->net && access(s->journal, F_OK) < 0)
		return ERR_OK; /* nothing was left */
	net_watch_close(s->net_watch);
	s->net_watch = NULL;
	if (!s->net)
		rc = net_open(&s->net, s->journal, e);
	if (rc == ERR_OK)
		rc = net_undo(s->net, e);
	net_close(s->net);
	s->net = NULL;
	return rc;
}

static void text_put(char out[HELPER_TEXT_MAX], const char *from)
{
	(void)snprintf(out, HELPER_TEXT_MAX, "%s", from);
}

static void difference_tell(void *ctx, const struct net_difference *d)
{
	struct helper_server *s = ctx;

	memset(&s->a, 0, sizeof s->a);
	s->a.is_difference = 1;
	s->a.is_away = d->is_away;
	text_put(s->a.change, d->change);
	text_put(s->a.sentence, d->sentence);
	text_put(s->a.repair, d->repair);
	/* When it does not get through, neither does the answer, and that counts. */
	(void)!message_send(s->sock, &s->a, sizeof s->a, NULL, 0, NULL);
}

static enum err_code do_net_compare(struct helper_server *s, bool repair, struct err *e)
{
	enum err_code rc = net_needed(s, e);

	s->told[0] = s->told[1] = false;
	if (rc == ERR_OK)
		rc = repair ? net_repair(s->net, difference_tell, s, e)
			    : net_check(s->net, difference_tell, s, e);
	memset(&s->a, 0, sizeof s->a);
	return rc;
}

static void event_send(const struct helper_server *s, const struct helper_event *v)
{
	/* A change that is not told is found by the next look. */
	(void)!message_send(s->events, v, sizeof *v, NULL, 0, NULL);
}

static void net_changed(void *ctx, const struct net_culprit *who)
{
	struct helper_server *s = ctx;
	struct helper_event v;

	/* A storm of them must not keep a signal out: the look that follows finds all. */
	if (s->told[who != NULL])
		return;
	s->told[who != NULL] = true;
	memset(&v, 0, sizeof v);
	v.tells = TELL_NET;
	v.has_culprit = who != NULL;
	if (who)
		v.culprit = *who;
	event_send(s, &v);
}

static enum err_code do_net_watch(struct helper_server *s, struct err *e)
{
	enum err_code rc = net_needed(s, e);

	if (rc)
		return rc;
	net_watch_close(s->net_watch);
	s->net_watch = NULL;
	return s->q.flag ? net_watch_open(&s->net_watch, s->net, s->loop, net_changed, s, e)
			 : ERR_OK;
}

static enum err_code do_default_route(struct helper_server *s, struct err *e)
{
	enum err_code rc = net_needed(s, e);

	return rc ? rc : net_default_route(s->net, s->q.family, &s->a.addr, s->a.ifname, e);
}

static enum err_code do_overlap(struct helper_server *s, struct err *e)
{
	bool overlaps = false;
	enum err_code rc = net_needed(s, e);

	if (rc == ERR_OK)
		rc = net_overlap(s->net, &s->q.u.prefix, s->q.ifname, &overlaps, s->a.ifname, e);
	s->a.flag = overlaps;
	return rc;
}

static enum err_code do_firewall(struct helper_server *s, struct err *e)
{
	enum err_code rc = net_needed(s, e);

	s->a.flag = rc == ERR_OK && net_firewall_active(s->net, s->q.ifname);
	return rc;
}

/* ---- commands, files ---- */

enum err_code helper_hooks_run(const char *ifname, const char *text, struct str allowed,
			       bool goes_on, struct err *e)
{
	struct hooks h = { 0 };
	enum err_code rc = hooks_parse(&h, str_of(text), ifname, allowed, e);

	if (rc == ERR_OK)
		rc = hooks_run(&h, goes_on, e);
	hooks_done(&h);
	return rc;
}

static bool file_name_ok(const char *name)
{
	const char *slash = strrchr(name, '/');
	struct str s = str_of(slash ? slash + 1 : name), end = STR(".conf");

	if (str_eq(s, STR("clients.db")) || str_eq(s, STR("phantom.json")))
		return true;
	return s.n > end.n && s.p[0] != '.' &&
	       str_eq((struct str){ s.p + s.n - end.n, end.n }, end);
}

/* Beneath /etc/ufw, which is root's. */
#define UFW_RULES "/etc/ufw/user.rules"

/* What came open: a directory, or a regular file of a name that is read. */
static enum err_code opened_check(int fd, const char *name, bool may_be_dir, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s", name);
	if (S_ISDIR(st.st_mode) && may_be_dir)
		return ERR_OK;
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file", name);
	if (may_be_dir && !strcmp(name, UFW_RULES))
		return ERR_OK;
	if (!file_name_ok(name))
		return err_set(e, ERR_DENIED,
			       "%s: an import reads clients.db, phantom.json and *.conf alone",
			       name);
	return ERR_OK;
}

/* The error carries the kernel's reason: what it means is the asker's to say. */
enum err_code helper_file_open(const char *path, const char *name, int *out, struct err *e)
{
	AUTO(fd_done)
	int dir = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	AUTO(fd_done) int fd = -1;
	enum err_code rc;

	if (dir < 0 || path[0] != '/')
		return err_sys(e, dir < 0 ? errno : EINVAL, "open %s", path);
	if (*name) {
		fd = open_beneath(dir, name);
		if (fd < 0)
			return err_sys(e, errno, "open %s", name);
		rc = opened_check(fd, name, false, e);
	} else {
		fd = dir;
		dir = -1;
		rc = opened_check(fd, path, true, e);
	}
	if (rc)
		return rc;
	*out = fd;
	fd = -1;
	return ERR_OK;
}

/* ---- devices ---- */

static enum err_code do_device_open(struct helper_server *s, int *out, struct err *e)
{
	struct helper_opened o = { .uapi = -1 };
	enum err_code rc = s->devices.open(s->devices.ctx, &s->q.u.device, &o, e);

	s->a.number = o.number;
	s->a.kind = o.kind;
	*out = o.uapi;
	return rc;
}

/* ---- serving ---- */

/* What came with the last request is kept for the program that is started next. */
static void heritage_take(struct helper_server *s)
{
	struct helper_heritage *h = &s->heritage;
	size_t at = 0;

	if (s->q.u.end.has_asker && s->fd_count)
		h->asker = s->fds[at++];
	while (at < s->fd_count && h->n < HELPER_LISTENERS_MAX) {
		h->owners[h->n] = s->q.u.end.owners[h->n];
		h->listeners[h->n++] = s->fds[at++];
	}
	s->fd_count = 0;
}

static enum err_code carry_out(struct helper_server *s, int *pass, struct err *e)
{
	enum err_code rc = helper_request_check(&s->q, e);

	if (rc)
		return rc;
	switch ((enum helper_ask)s->q.ask) {
	case ASK_NET_OPEN:
		return do_net_open(s, e);
	case ASK_NET_APPLY:
		return do_net_apply(s, e);
	case ASK_NET_UNDO:
		return helper_server_undo(s, e);
	case ASK_NET_CHECK:
		return do_net_compare(s, false, e);
	case ASK_NET_REPAIR:
		return do_net_compare(s, true, e);
	case ASK_NET_WATCH:
		return do_net_watch(s, e);
	case ASK_NET_DEFAULT_ROUTE:
		return do_default_route(s, e);
	case ASK_NET_OVERLAP:
		return do_overlap(s, e);
	case ASK_NET_FIREWALL:
		return do_firewall(s, e);
	case ASK_HOOKS:
		return helper_hooks_run(s->q.ifname, s->q.u.text, s->devices.commands,
					s->q.flag != 0, e);
	case ASK_OPEN_FILE:
		return helper_file_open(s->q.u.file.path, s->q.u.file.name, pass, e);
	case ASK_OPEN_TLS:
		return s->devices.open_tls(s->devices.ctx, s->q.flag != 0, pass, e);
	case ASK_DEVICE_OPEN:
		return do_device_open(s, pass, e);
	case ASK_DEVICE_CLOSE:
		return s->devices.close(s->devices.ctx, s->q.number, s->q.flag != 0, e);
	case ASK_DAEMON:
		return s->devices.daemon(s->devices.ctx, pass, e);
	case ASK_CONTROL_SOCKET:
		return s->devices.control_socket(s->devices.ctx, s->q.flag != 0, pass, e);
	case ASK_NOTIFY:
		return s->devices.notify((enum helper_note)s->q.number, e);
	case ASK_END:
		if (!s->ending)
			heritage_take(s);
		s->ending = (enum helper_ending)s->q.number;
		return ERR_OK;
	case HELPER_ASKS:
		break;
	}
	return err_set(e, ERR_INVALID, "there is no request %u", s->q.ask);
}

static void close_link(struct helper_server *s)
{
	void (*closed)(void *ctx) = s->closed;

	loop_fd_remove(&s->watch);
	s->closed = NULL;
	if (closed)
		closed(s->closed_ctx);
}

static void request_ready(struct loop_fd *w, uint32_t events)
{
	struct helper_server *s = CONTAINER_OF(w, struct helper_server, watch);
	struct err why = { 0 };
	int pass = -1;
	enum err_code rc;

	(void)events;
	s->fd_count = ARRAY_LEN(s->fds);
	if (message_receive(s->sock, &s->q, sizeof s->q, s->fds, &s->fd_count, NULL)) {
		close_link(s);
		return;
	}
	memset(&s->a, 0, sizeof s->a);
	rc = carry_out(s, &pass, &why);
	if (rc)
		s->a.why = why;
	wipe(&s->q, sizeof s->q);
	while (s->fd_count) /* that were not asked for */
		fd_close(s->fds[--s->fd_count]);
	if (message_send(s->sock, &s->a, sizeof s->a, &pass, pass >= 0 ? 1 : 0, NULL))
		close_link(s);
	fd_close(pass);
}

/* ---- beginning and end ---- */

enum err_code helper_server_new(struct helper_server **out, struct loop *l, int sock, int events,
				const char *journal, const struct helper_devices *devices,
				struct err *e)
{
	struct helper_server *s = calloc(1, sizeof *s);

	if (s)
		s->journal = str_dup(str_of(journal));
	if (!s || !s->journal) {
		free(s);
		fd_close(sock);
		fd_close(events);
		return err_set(e, ERR_NOMEM, "no memory for the helper");
	}
	s->loop = l;
	s->sock = sock;
	s->events = events;
	s->heritage.asker = -1;
	s->devices = *devices;
	s->watch = (struct loop_fd){ .fd = -1 };
	*out = s;
	return ERR_OK;
}

enum err_code helper_server_start(struct helper_server *s, void (*closed)(void *ctx), void *ctx,
				  struct err *e)
{
	const struct timeval patience = { .tv_sec = ANSWER_WAIT_S };
	int on = fcntl(s->events, F_GETFL);

	s->closed = closed;
	s->closed_ctx = ctx;
	/* An end that does not read its answers is broken. */
	if (setsockopt(s->sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0)
		return err_sys(e, errno, "prepare the helper's answers");
	/* Nobody waits for who is told. */
	if (on < 0 || fcntl(s->events, F_SETFL, on | O_NONBLOCK) < 0)
		return err_sys(e, errno, "prepare the helper's events");
	s->watch = (struct loop_fd){ .fd = s->sock, .events = LOOP_READ, .ready = request_ready };
	return loop_fd_add(s->loop, &s->watch, e);
}

void helper_server_free(struct helper_server *s)
{
	if (!s)
		return;
	loop_fd_remove(&s->watch);
	net_watch_close(s->net_watch);
	net_close(s->net);
	fd_close(s->sock);
	fd_close(s->events);
	fd_close(s->heritage.asker);
	for (size_t i = 0; i < s->heritage.n; i++)
		fd_close(s->heritage.listeners[i]);
	free(s->journal);
	free(s);
}

void helper_tell_signal(struct helper_server *s, int signo)
{
	struct helper_event v;

	memset(&v, 0, sizeof v);
	v.tells = TELL_SIGNAL;
	v.signo = signo;
	event_send(s, &v);
}

void helper_tell_gone(struct helper_server *s, uint32_t device)
{
	struct helper_event v;

	memset(&v, 0, sizeof v);
	v.tells = TELL_DEVICE_GONE;
	v.device = device;
	event_send(s, &v);
}

enum helper_ending helper_server_ending(const struct helper_server *s)
{
	return s->ending;
}

struct helper_heritage helper_server_heritage(struct helper_server *s)
{
	struct helper_heritage h = s->heritage;

	s->heritage = (struct helper_heritage){ .asker = -1 };
	return h;
}
