#include "gateway/gateway.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "agent/agent.h"
#include "gateway/gateway_inside.h"
#include "core/backups.h"
#include "gateway/lines.h"
#include "core/log_ring.h"
#include "gateway/ready.h"
#include "gateway/restart_reply.h"
#include "tunnels/tunnels.h"

/* A gateway that crashes begins where its clients were at most so long ago. */
#define ENDPOINTS_SAVE_NS (60 * NS_PER_S)
/* The interface is up within milliseconds; a client takes a round trip to answer. */
#define CALL_NS (5 * NS_PER_S)

/* ---- starting ---- */

static void signal_taken(void *ctx, int signo)
{
	struct gateway *g = ctx;

	LOG_NOTE("gateway.signal", F_INT("signal", signo));
	if (signo == SIGUSR2)
		g->restart_asked = true;
	else
		g->stop_asked = true;
	loop_stop(g->loop);
}

/* A terminal that hangs up ends what was started there, as ever. */
static void hangup_taken(void *ctx)
{
	struct gateway *g = ctx;
	struct err e;

	if (!g->apis)
		signal_taken(ctx, SIGHUP);
	else if (apis_reload(g->apis, &e))
		LOG_ERR("https.reload_failed", F_ERR(&e));
}

static void signal_told(void *ctx, int signo)
{
	if (signo == SIGHUP)
		hangup_taken(ctx);
	else
		signal_taken(ctx, signo);
}

static void net_changed_told(void *ctx, const struct net_culprit *who)
{
	const struct gateway *g = ctx;

	network_changed(g->network, who);
}

static void device_gone_told(void *ctx, uint32_t device)
{
	const struct gateway *g = ctx;

	backend_gone(g->backend, device);
	tunnels_gone(g->tunnels, device);
}

/* Nothing can be asked any more, and what was changed on the host is for the next start. */
static void helper_gone_told(void *ctx)
{
	(void)ctx;
	LOG_ERR("gateway.helper_gone", F_STR("why", "the process that keeps the rights has ended"));
	_exit(EXIT_FAILURE);
}

static enum err_code loop_start(struct gateway *g, struct err *e)
{
	const struct helper_listener l = { .ctx = g,
					   .signal = signal_told,
					   .net_changed = net_changed_told,
					   .device_gone = device_gone_told,
					   .gone = helper_gone_told };
	enum err_code rc = loop_new(&g->loop, e);

	return rc ? rc : helper_listen(g->helper, g->loop, &l, e);
}

/* ---- lines that other processes log ---- */

static void logs_ready(struct loop_fd *w, uint32_t events)
{
	const struct gateway *g = CONTAINER_OF(w, struct gateway, other_logs);
	char line[LOG_RING_LINE_MAX];
	ssize_t n;

	(void)events;
	while ((n = recv(w->fd, line, sizeof line, MSG_DONTWAIT)) > 0)
		log_ring_add(g->logs, (struct str){ line, (size_t)n });
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		loop_fd_remove(w);
}

static enum err_code logs_start(struct gateway *g, int fd, struct err *e)
{
	if (!g->logs)
		return ERR_OK;
	g->other_logs = (struct loop_fd){ .fd = fd, .events = LOOP_READ, .ready = logs_ready };
	return loop_fd_add(g->loop, &g->other_logs, e);
}

/* The server's key is made once and kept sealed. */
static enum err_code server_key(struct gateway *g, struct secret_key *out, struct err *e)
{
	enum err_code rc = store_secret(g->store, CORE_SERVER_KEY, out->b, sizeof out->b, e);

	if (rc == ERR_NOT_FOUND) {
		secret_key_generate(out);
		rc = store_set_secret(g->store, CORE_SERVER_KEY, out->b, sizeof out->b, e);
	}
	if (rc == ERR_OK)
		public_key_of(&g->core.server_key, out);
	return rc;
}

static void interface_gone(void *ctx, const struct err *why)
{
	struct gateway *g = ctx;

	LOG_WARNING("gateway.interface_gone", F_STR("interface", g->core.settings.ifname),
		    F_ERR(why));
	g->interface_gone = true;
	loop_stop(g->loop);
}

static bool limits_find(void *ctx, const struct client *client)
{
	unsigned *needs = ctx;

	if (core_has_limits(client))
		*needs |= DEVICE_CAN_LIMITS;
	return *needs == 0;
}

/* What clients have that not every kind of device can do. */
static enum err_code needs_find(struct gateway *g, unsigned *needs, struct err *e)
{
	const struct client_query all = { .limit = UINT64_MAX };

	*needs = 0;
	return store_clients(g->store, &all, false, limits_find, needs, e);
}

static enum err_code device_start(struct gateway *g, const struct secret_key *k, struct err *e)
{
	const struct settings *s = &g->core.settings;
	struct backend_config c = {
		.helper = g->helper,
		.take_over = g->take_over,
		.ifname = s->ifname,
		.listen_port = s->port,
		.mtu = s->mtu,
		.private_key = k,
		.gone = interface_gone,
		.ctx = g,
	};
	enum err_code rc = needs_find(g, &c.needs, e);

	if (rc == ERR_OK)
		rc = backend_open(&g->backend, g->loop, &c, e);
	if (rc)
		return rc;
	g->core.backend = device_kind_name(backend_kind(g->backend));
	if (!(backend_can(g->backend) & DEVICE_CAN_DROPS))
		g->core.host.drops = NULL;
	return ERR_OK;
}

/* Further interfaces: what fails there keeps nobody else waiting. */
static enum err_code tunnels_begin(struct gateway *g, struct err *e)
{
	const struct tunnels_config c = { .core = &g->core,
					  .helper = g->helper,
					  .forget_endpoints = g->options->forget_endpoints,
					  .has_ipv6 = gateway_host_has_ipv6() };
	enum err_code rc = tunnels_open(&g->tunnels, &c, e);

	if (rc == ERR_OK)
		tunnels_start(g->tunnels);
	g->core.tunnels = g->tunnels;
	return rc;
}

/* With further interfaces, and when that cannot be, without them at first. */
static enum err_code network_begin(struct gateway *g, struct err *e)
{
	enum err_code rc = gateway_apply(g, e);

	if (rc == ERR_OK || g->want.tunnel_count == 1) {
		tunnels_started(g->tunnels, true);
		return rc;
	}
	LOG_ERR("tunnel.network_failed", F_ERR(e));
	tunnels_started(g->tunnels, false);
	return gateway_apply(g, e);
}

static enum err_code sockets_start(struct gateway *g, struct err *e)
{
	const struct control_handler h = lines_handler(&g->core);
	int listener = -1;
	enum err_code rc = helper_listen_control(g->helper, &listener, e);

	if (rc == ERR_IN_USE)
		return err_wrap(e, rc, "option --socket");
	if (rc == ERR_OK)
		rc = control_server_open(&g->control, g->loop, listener, &h, e);
	return rc ? rc : apis_open(&g->apis, &g->core, &g->options->api, e);
}

static enum err_code settings_start(struct gateway *g, struct secret_key *k, struct err *e)
{
	enum err_code rc = store_open(&g->store, g->options->state_dir, e);

	if (rc == ERR_OK)
		backups_tidy(g->options->state_dir);
	g->alone = g->alone || rc != ERR_IN_USE;
	g->core = (struct core){
		.store = g->store,
		.state_dir = g->options->state_dir,
		.started_ns = clock_real_ns(),
		.service_pid = (int)getppid(),
		.calling = true,
		.loop = g->loop,
		.logs = g->logs,
		.given = &g->options->given,
		.network_given = g->options->given.v[SETTING_NETWORK],
		.host = gateway_host(g),
	};
	if (rc == ERR_OK)
		rc = settings_load(&g->core.settings, g->store, &g->options->given, e);
	if (rc == ERR_OK)
		rc = server_key(g, k, e);
	if (rc == ERR_OK)
		rc = agent_is_disabled(g->store, &g->core.is_disabled, e);
	if (rc == ERR_OK && g->options->forget_endpoints)
		rc = store_forget_endpoints(g->store, e);
	return rc;
}

/* ---- endpoints of clients ---- */

/* A failure costs clients some seconds at the next start, nothing else. */
static void endpoints_save(struct gateway *g)
{
	struct err e;

	if (g->serving && !g->options->forget_endpoints && core_save_endpoints(&g->core, &e))
		LOG_WARNING("endpoints.save_failed", F_ERR(&e));
}

/* A failure forgets what was used since the last time. */
static void usage_save(struct gateway *g)
{
	struct err e;

	if (g->serving && core_save_usage(&g->core, &e))
		LOG_WARNING("usage.save_failed", F_ERR(&e));
}

static void save_due(struct loop_timer *t)
{
	struct gateway *g = CONTAINER_OF(t, struct gateway, save);

	endpoints_save(g);
	usage_save(g);
	tunnels_save(g->tunnels);
	loop_timer_set(g->loop, t, loop_now(g->loop) + ENDPOINTS_SAVE_NS);
}

static void call_due(struct loop_timer *t)
{
	struct gateway *g = CONTAINER_OF(t, struct gateway, call);
	struct err e;

	if (core_call_end(&g->core, &e))
		LOG_WARNING("client.call_failed", F_ERR(&e));
}

/* ---- the service manager's watchdog ---- */

/* That this runs shows that the loop turns. */
static enum err_code progress_check(void *ctx, struct err *e)
{
	const struct gateway *g = ctx;
	struct secret_key k;
	enum err_code rc = backend_check(g->backend, e);

	if (rc == ERR_OK)
		rc = store_secret(g->store, CORE_SERVER_KEY, k.b, sizeof k.b, e);
	wipe(&k, sizeof k);
	return rc ? rc : helper_notify(g->helper, HELPER_IS_ALIVE, e);
}

/* ---- starting all of it ---- */

/* Commands that the agent API was given.  A gateway whose commands fail serves all the same: who set
 * them is behind it. */
static void hooks(struct gateway *g, bool up)
{
	struct err e;

	if (!g->store || g->core.is_disabled)
		return;
	if (agent_hooks(&g->core, g->core.settings.ifname, up, &e))
		LOG_ERR(up ? "agent.post_up_failed" : "agent.pre_down_failed", F_ERR(&e));
}

static void say_ready(const struct gateway *g)
{
	const struct settings *s = &g->core.settings;
	struct dataplane_status d;
	struct err e;

	backend_status(g->backend, &d);
	LOG_NOTE("gateway.ready", F_STR("interface", s->ifname), F_STR("backend", g->core.backend),
		 F_INT("port", d.listen_port), F_INT("clients", d.peer_count),
		 F_INT("workers", d.workers), F_STR("control", g->options->socket));
	if (helper_notify(g->helper, HELPER_IS_READY, &e))
		LOG_WARNING("gateway.notify_failed", F_ERR(&e));
	/* After a restart, the number is that of something else. */
	if (g->options->ready_fd && !g->options->restarted &&
	    ready_write((int)g->options->ready_fd, &e))
		LOG_WARNING("gateway.notify_failed", F_ERR(&e));
}

/* Whoever asked for the restart hears that it is over; when not, that does no harm here. */
static void restart_answer(struct gateway *g, int fd)
{
	struct buf line = { 0 };
	struct err e = { 0 };

	if (fd < 0)
		return;
	if (!core_restarted_line(&g->core, &line))
		line.full = true;
	if (control_server_adopt(g->control, fd, &line, &e))
		LOG_WARNING("restart.answer_failed", F_ERR(&e));
	buf_done(&line);
}

static enum err_code start_steps(struct gateway *g, struct secret_key *k, struct err *e)
{
	enum err_code rc = settings_start(g, k, e);

	if (rc)
		return rc;
	gateway_want_fill(g);
	rc = gateway_net_open(g, e);
	if (rc == ERR_OK)
		rc = device_start(g, k, e);
	if (rc == ERR_OK)
		rc = core_restore_peers(&g->core, e);
	if (rc)
		return rc;
	g->serving = true;
	rc = tunnels_begin(g, e);
	if (rc == ERR_OK)
		rc = network_begin(g, e);
	if (rc == ERR_OK)
		rc = network_open(&g->network, g->helper, g->loop, e);
	if (rc == ERR_OK)
		rc = sockets_start(g, e);
	if (rc == ERR_OK)
		rc = watchdog_start(&g->watchdog, g->loop, progress_check, g, e);
	/* Last: options that do not work must not be there at the next start. */
	if (rc == ERR_OK)
		rc = settings_store(&g->core.settings, g->store, e);
	return rc;
}

enum err_code gateway_start(struct gateway **out, const struct options *o,
			    const struct control_start *start, struct err *e)
{
	struct gateway *g = calloc(1, sizeof *g);
	struct secret_key k = { 0 };
	struct err undo = { 0 };
	enum err_code rc;

	if (!g)
		return err_set(e, ERR_NOMEM, "out of memory");
	g->options = o;
	g->helper = start->helper;
	g->logs = log_ring_new(); /* without it there is just nothing to show */
	if (g->logs)
		log_also(log_ring_add, g->logs);
	g->alone = o->restarted;
	g->save.fire = save_due;
	g->call.fire = call_due;
	rc = loop_start(g, e);
	if (rc == ERR_OK)
		rc = logs_start(g, start->log_fd, e);
	if (rc == ERR_OK)
		rc = start_steps(g, &k, e);
	wipe(&k, sizeof k);
	if (rc) {
		bool is_undone = g->net_open || !g->alone;

		if (gateway_stop(g, &undo) || (!is_undone && helper_net_undo(start->helper, &undo)))
			LOG_ERR("net.undo_failed", F_ERR(&undo));
		return rc;
	}
	/* The kernel's interface is still there after a restart in place; the engine's is a new one, whose
	 * routes went with the old: what was done is taken back and done again. */
	if (!o->restarted || backend_is_engine(g->backend))
		hooks(g, true);
	loop_timer_set(g->loop, &g->call, loop_now(g->loop) + CALL_NS);
	loop_timer_set(g->loop, &g->save, loop_now(g->loop) + ENDPOINTS_SAVE_NS);
	say_ready(g);
	restart_answer(g, start->reply_fd);
	*out = g;
	return ERR_OK;
}

enum err_code gateway_run(struct gateway *g, struct err *e)
{
	return loop_run(g->loop, e);
}

bool gateway_restart_wanted(const struct gateway *g)
{
	return (g->restart_asked || g->interface_gone) && !g->stop_asked;
}

/* ---- stopping ---- */

/* Nobody is served any more; the interface is still there. */
static void serving_end(struct gateway *g)
{
	watchdog_stop(&g->watchdog);
	core_cancel(&g->core);
	if (g->control)
		(void)!helper_unlisten_control(g->helper, NULL); /* or it has ended */
	control_server_close(g->control);
	g->control = NULL;
	apis_close(g->apis);
	g->apis = NULL;
	network_close(g->network);
	g->network = NULL;
	if (g->tunnels)
		tunnels_serving_end(g->tunnels);
	backend_stop(g->backend); /* no packet passes that is not counted */
	endpoints_save(g);
	usage_save(g);
	g->serving = false;
}

static void device_end(struct gateway *g, bool stays)
{
	backend_close(g->backend, stays);
	g->backend = NULL;
}

static void gateway_free(struct gateway *g)
{
	device_end(g, false);
	tunnels_close(g->tunnels);
	store_close(g->store);
	loop_fd_remove(&g->other_logs);
	helper_unlisten(g->helper);
	loop_free(g->loop);
	log_also(NULL, NULL);
	log_ring_free(g->logs);
	free(g);
}

/* The connection of who asked for the restart, or -1. */
static int asker_take(struct gateway *g)
{
	struct core_reply *reply = g->restart_asker.reply;

	g->restart_asker.reply = NULL;
	return reply ? reply->hand_over(reply) : -1;
}

/* It will not come to the restart. */
static void asker_refuse(struct gateway *g)
{
	struct err why;

	(void)err_set(&why, ERR_CLOSED, "the gateway is stopping");
	if (g->restart_asker.reply)
		core_later_answer(&g->restart_asker, API_SERVICE_ERROR, NULL, &why);
	g->restart_asker.reply = NULL;
}

enum err_code gateway_stop(struct gateway *g, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (!g)
		return ERR_OK;
	(void)!helper_notify(g->helper, HELPER_IS_STOPPING,
			     NULL); /* nobody is listening: so be it */
	asker_refuse(g);
	if (g->serving)
		hooks(g, false);
	if (g->tunnels)
		tunnels_commands_end(g->tunnels);
	serving_end(g);
	/* Before its masquerade: no packet of a client may leave with the address it has in the
	 * tunnel.  The store last: until then nobody else takes the journal. */
	if (g->tunnels)
		tunnels_devices_end(g->tunnels, false);
	device_end(g, false);
	if (g->net_open)
		rc = helper_net_undo(g->helper, e);
	gateway_free(g);
	return rc;
}

enum err_code gateway_restart(struct gateway *g, struct err *e)
{
	const enum helper_ending how = g->interface_gone ? HELPER_RESTARTS_GONE : HELPER_RESTARTS;
	struct helper_heritage h = { .asker = asker_take(g) };
	struct helper *helper = g->helper;
	enum err_code rc;

	(void)!helper_notify(g->helper, HELPER_RELOADS, NULL);
	h.n = apis_pass_on(g->apis, h.listeners, h.owners, HELPER_LISTENERS_MAX);
	serving_end(g);
	/* The engine ends with its program.  Others go on, so that no packet is lost meanwhile. */
	if (g->tunnels)
		tunnels_devices_end(g->tunnels, true);
	device_end(g, true);
	gateway_free(g);
	rc = helper_end(helper, how, &h, e);
	fd_close(h.asker);
	for (size_t i = 0; i < h.n; i++)
		fd_close(h.listeners[i]);
	return rc;
}
