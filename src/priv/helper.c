#include "priv/helper.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "priv/helper_message.h"
#include "priv/message.h"

struct helper {
	int sock, events;
	struct helper_listener listener;
	struct loop_fd watch;
	/* too large for a stack: the present request and answer */
	struct helper_request q;
	struct helper_reply a;
};

enum err_code helper_new(struct helper **out, int sock, int events, struct err *e)
{
	struct helper *h = calloc(1, sizeof *h);

	if (!h) {
		fd_close(sock);
		fd_close(events);
		return err_set(e, ERR_NOMEM, "no memory for the helper's messages");
	}
	h->sock = sock;
	h->events = events;
	h->watch.fd = -1;
	*out = h;
	return ERR_OK;
}

void helper_free(struct helper *h)
{
	if (!h)
		return;
	fd_close(h->sock);
	fd_close(h->events);
	free(h);
}

/* ---- events ---- */

static void event_tell(const struct helper *h, const struct helper_event *v)
{
	const struct helper_listener *l = &h->listener;

	switch ((enum helper_tells)v->tells) {
	case TELL_SIGNAL:
		if (l->signal)
			l->signal(l->ctx, v->signo);
		return;
	case TELL_NET:
		if (l->net_changed)
			l->net_changed(l->ctx, v->has_culprit ? &v->culprit : NULL);
		return;
	case TELL_DEVICE_GONE:
		if (l->device_gone)
			l->device_gone(l->ctx, v->device);
		return;
	}
}

static void events_ready(struct loop_fd *w, uint32_t events)
{
	struct helper *h = CONTAINER_OF(w, struct helper, watch);
	struct helper_event v;
	size_t none = 0;

	(void)events;
	if (message_receive(h->events, &v, sizeof v, NULL, &none, NULL) == ERR_OK) {
		v.culprit.program[sizeof v.culprit.program - 1] = 0;
		event_tell(h, &v);
		return;
	}
	loop_fd_remove(w);
	if (h->listener.gone)
		h->listener.gone(h->listener.ctx);
}

enum err_code helper_listen(struct helper *h, struct loop *loop, const struct helper_listener *l,
			    struct err *e)
{
	h->listener = *l;
	h->watch = (struct loop_fd){ .fd = h->events, .events = LOOP_READ, .ready = events_ready };
	return loop_fd_add(loop, &h->watch, e);
}

void helper_unlisten(struct helper *h)
{
	loop_fd_remove(&h->watch);
}

/* ---- asking ---- */

static struct helper_request *request(struct helper *h, enum helper_ask ask)
{
	memset(&h->q, 0, sizeof h->q);
	h->q.ask = ask;
	return &h->q;
}

static bool name_put(struct helper_request *q, const char *ifname)
{
	return str_copy(q->ifname, sizeof q->ifname, str_of(ifname));
}

static enum err_code name_long(const char *ifname, struct err *e)
{
	return err_set(e, ERR_RANGE, "interface name \"%.40s\" is too long", ifname);
}

/* Waits for the answer in h->a; *fd (may be NULL) is the descriptor that came with it, or -1.
 * Differences go to fn(ctx, ...). */
static enum err_code answer_take(struct helper *h, int *fd, net_difference_fn *fn, void *ctx,
				 struct err *e)
{
	enum err_code rc = ERR_OK;
	int came = -1;
	size_t n = 0;

	while (rc == ERR_OK) {
		n = fd ? 1 : 0;
		rc = message_receive(h->sock, &h->a, sizeof h->a, &came, &n, e);
		if (rc || !h->a.is_difference)
			break;
		h->a.change[HELPER_TEXT_MAX - 1] = 0;
		h->a.sentence[HELPER_TEXT_MAX - 1] = 0;
		h->a.repair[HELPER_TEXT_MAX - 1] = 0;
		if (fn)
			fn(ctx, &(struct net_difference){ .change = h->a.change,
							  .sentence = h->a.sentence,
							  .repair = h->a.repair,
							  .is_away = h->a.is_away != 0 });
	}
	if (rc)
		return rc;
	if (fd)
		*fd = n == 1 ? came : -1;
	if (h->a.why.code == ERR_OK)
		return ERR_OK;
	h->a.why.msg[sizeof h->a.why.msg - 1] = 0;
	if (e)
		*e = h->a.why;
	return h->a.why.code;
}

/* Sends h->q, and so on. */
static enum err_code ask_all(struct helper *h, int *fd, net_difference_fn *fn, void *ctx,
			     struct err *e)
{
	enum err_code rc = message_send(h->sock, &h->q, sizeof h->q, NULL, 0, e);

	return rc ? rc : answer_take(h, fd, fn, ctx, e);
}

static enum err_code ask(struct helper *h, struct err *e)
{
	return ask_all(h, NULL, NULL, NULL, e);
}

/* An answer that must have brought a descriptor. */
static enum err_code ask_fd(struct helper *h, int *out, struct err *e)
{
	enum err_code rc = ask_all(h, out, NULL, NULL, e);

	if (rc == ERR_OK && *out < 0)
		rc = err_set(e, ERR_INVALID, "the helper sent no descriptor");
	return rc;
}

/* ---- the host's network ---- */

enum err_code helper_net_open(struct helper *h, bool *left, struct err *e)
{
	enum err_code rc;

	(void)request(h, ASK_NET_OPEN);
	rc = ask(h, e);
	*left = rc == ERR_OK && h->a.flag;
	return rc;
}

enum err_code helper_net_apply(struct helper *h, const struct net_want *want, struct err *e)
{
	request(h, ASK_NET_APPLY)->u.want = *want;
	return ask(h, e);
}

enum err_code helper_net_undo(struct helper *h, struct err *e)
{
	(void)request(h, ASK_NET_UNDO);
	return ask(h, e);
}

enum err_code helper_net_check(struct helper *h, net_difference_fn *fn, void *ctx, struct err *e)
{
	(void)request(h, ASK_NET_CHECK);
	return ask_all(h, NULL, fn, ctx, e);
}

enum err_code helper_net_repair(struct helper *h, net_difference_fn *fn, void *ctx, struct err *e)
{
	(void)request(h, ASK_NET_REPAIR);
	return ask_all(h, NULL, fn, ctx, e);
}

enum err_code helper_net_watch(struct helper *h, bool on, struct err *e)
{
	request(h, ASK_NET_WATCH)->flag = on;
	return ask(h, e);
}

enum err_code helper_net_default_route(struct helper *h, uint8_t family, struct ip_addr *source,
				       char ifname[16], struct err *e)
{
	enum err_code rc;

	request(h, ASK_NET_DEFAULT_ROUTE)->family = family;
	rc = ask(h, e);
	if (rc)
		return rc;
	*source = h->a.addr;
	memcpy(ifname, h->a.ifname, sizeof h->a.ifname);
	ifname[sizeof h->a.ifname - 1] = 0;
	return ERR_OK;
}

enum err_code helper_net_overlap(struct helper *h, const struct ip_prefix *p,
				 const char *except_ifname, bool *overlaps, char ifname[16],
				 struct err *e)
{
	struct helper_request *q = request(h, ASK_NET_OVERLAP);
	enum err_code rc;

	q->u.prefix = *p;
	if (!name_put(q, except_ifname))
		return name_long(except_ifname, e);
	rc = ask(h, e);
	if (rc)
		return rc;
	*overlaps = h->a.flag != 0;
	memcpy(ifname, h->a.ifname, sizeof h->a.ifname);
	ifname[sizeof h->a.ifname - 1] = 0;
	return ERR_OK;
}

bool helper_net_firewall_active(struct helper *h, const char *ifname)
{
	return name_put(request(h, ASK_NET_FIREWALL), ifname) && ask(h, NULL) == ERR_OK &&
	       h->a.flag;
}

/* ---- commands, files ---- */

enum err_code helper_hooks(struct helper *h, const char *ifname, const char *text, bool goes_on,
			   struct err *e)
{
	struct helper_request *q = request(h, ASK_HOOKS);

	if (!name_put(q, ifname))
		return name_long(ifname, e);
	if (!str_copy(q->u.text, sizeof q->u.text, str_of(text)))
		return err_set(e, ERR_RANGE, "commands of more than %d characters", HOOKS_TEXT_MAX);
	q->flag = goes_on;
	return ask(h, e);
}

enum err_code helper_open_file(struct helper *h, const char *path, const char *name, int *out,
			       struct err *e)
{
	struct helper_request *q = request(h, ASK_OPEN_FILE);

	if (!str_copy(q->u.file.path, sizeof q->u.file.path, str_of(path)) ||
	    !str_copy(q->u.file.name, sizeof q->u.file.name, str_of(name)))
		return err_set(e, ERR_RANGE, "the path %.60s... is too long", path);
	return ask_fd(h, out, e);
}

enum err_code helper_open_tls(struct helper *h, bool is_key, int *out, struct err *e)
{
	request(h, ASK_OPEN_TLS)->flag = is_key;
	return ask_fd(h, out, e);
}

/* ---- devices ---- */

enum err_code helper_device_open(struct helper *h, const struct helper_device *d,
				 struct helper_opened *out, struct err *e)
{
	enum err_code rc;
	int fd = -1;

	request(h, ASK_DEVICE_OPEN)->u.device = *d;
	rc = ask_all(h, &fd, NULL, NULL, e);
	if (rc)
		return rc;
	if (h->a.kind < HELPER_ENGINE || h->a.kind > HELPER_DAEMON ||
	    (fd < 0) != (h->a.kind == HELPER_DAEMON)) {
		fd_close(fd);
		return err_set(e, ERR_INVALID, "the helper sent a device of kind %u", h->a.kind);
	}
	*out = (struct helper_opened){ .number = h->a.number,
				       .kind = (enum helper_device_kind)h->a.kind,
				       .uapi = fd };
	return ERR_OK;
}

enum err_code helper_device_close(struct helper *h, uint32_t number, bool removes, struct err *e)
{
	struct helper_request *q = request(h, ASK_DEVICE_CLOSE);

	q->number = number;
	q->flag = removes;
	return ask(h, e);
}

enum err_code helper_daemon(struct helper *h, int *out, struct err *e)
{
	(void)request(h, ASK_DAEMON);
	return ask_fd(h, out, e);
}

/* ---- the control socket ---- */

enum err_code helper_listen_control(struct helper *h, int *out, struct err *e)
{
	request(h, ASK_CONTROL_SOCKET)->flag = 1;
	return ask_fd(h, out, e);
}

enum err_code helper_unlisten_control(struct helper *h, struct err *e)
{
	(void)request(h, ASK_CONTROL_SOCKET);
	return ask(h, e);
}

/* ---- the service manager ---- */

enum err_code helper_notify(struct helper *h, enum helper_note note, struct err *e)
{
	request(h, ASK_NOTIFY)->number = note;
	return ask(h, e);
}

/* ---- the end ---- */

enum err_code helper_end(struct helper *h, enum helper_ending how,
			 const struct helper_heritage *heritage, struct err *e)
{
	struct helper_request *q = request(h, ASK_END);
	int fds[1 + HELPER_LISTENERS_MAX];
	size_t n = 0;
	enum err_code rc;

	q->number = how;
	if (heritage && heritage->asker >= 0) {
		q->u.end.has_asker = 1;
		fds[n++] = heritage->asker;
	}
	for (size_t i = 0; heritage && i < heritage->n; i++) {
		q->u.end.owners[i] = heritage->owners[i];
		fds[n++] = heritage->listeners[i];
	}
	rc = message_send(h->sock, q, sizeof *q, fds, n, e);
	return rc ? rc : answer_take(h, NULL, NULL, NULL, e);
}
