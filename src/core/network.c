#include "core/network.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/guard.h"

struct network {
	struct helper *helper;
	struct loop *loop;
	struct net_guard guard;
	struct loop_timer look;
	struct network_status status;
	bool failing; /* the last repair: the next one's failure is no news */
	char uplink[2][16]; /* of IPv4 and IPv6; "" without a default route */
	/* during a repair */
	net_difference_fn *fn;
	void *ctx;
	unsigned repaired;
};

static void arm(struct network *w)
{
	loop_timer_set(w->loop, &w->look, w->guard.look_at);
}

/* ---- repairing ---- */

static void difference(void *ctx, const struct net_difference *d)
{
	struct network *w = ctx;

	if (w->fn)
		w->fn(w->ctx, d);
	if (d->is_away)
		return; /* whose deletion is told by itself */
	w->repaired++;
	net_guard_repaired(&w->guard, loop_now(w->loop), d->change + 1); /* without its sign */
	(void)!str_copy(w->status.last, sizeof w->status.last, str_of(d->sentence));
	LOG_WARNING("net.repaired", F_STR("found", d->sentence), F_STR("repair", d->repair));
}

static void fight(const struct network *w)
{
	LOG_ERR("net.fight", F_STR("last", w->status.last),
		F_STR("program", w->status.culprit[0] ? w->status.culprit : "unknown"),
		F_INT("pid", w->status.culprit_pid), F_INT("wait_s", w->guard.wait_ns / NS_PER_S),
		F_STR("why", "what is put right is undone again and again; repairs wait now"));
}

static enum err_code repair(struct network *w, struct err *e)
{
	enum err_code rc;

	w->repaired = 0;
	rc = helper_net_repair(w->helper, difference, w, e);
	w->fn = NULL;
	w->status.looks++;
	if (w->repaired) {
		w->status.repairs++;
		w->status.repaired_ns = clock_real_ns();
	}
	if (rc && !w->failing)
		LOG_ERR("net.repair_failed", F_ERR(e));
	w->failing = rc != ERR_OK;
	if (rc)
		net_guard_repaired(&w->guard, loop_now(w->loop), "a failure");
	/* Whoever is quick enough keeps the table from being loaded at all: a fight all the same. */
	if (net_guard_looked(&w->guard, loop_now(w->loop)) && (w->repaired || rc == ERR_IN_USE))
		fight(w);
	arm(w);
	return rc;
}

enum err_code network_repair(struct network *w, net_difference_fn *fn, void *ctx, struct err *e)
{
	w->fn = fn;
	w->ctx = ctx;
	return repair(w, e);
}

/* ---- the default route ---- */

static void uplink_find(struct network *w, uint8_t family, char out[16])
{
	struct ip_addr source;

	if (helper_net_default_route(w->helper, family, &source, out, NULL))
		out[0] = '\0';
}

/* Masquerade names no interface, sources are asked for anew by the data plane: nothing to do but to
 * say so. */
static void uplink_look(struct network *w, uint8_t family)
{
	char *before = w->uplink[family == IP_V6], now[16];

	uplink_find(w, family, now);
	if (!strcmp(before, now))
		return;
	LOG_NOTE("net.default_route_moved", F_INT("family", family),
		 F_STR("from", *before ? before : "none"), F_STR("to", *now ? now : "none"));
	memcpy(before, now, sizeof now);
}

/* ---- noticing ---- */

static void look_due(struct loop_timer *t)
{
	struct network *w = CONTAINER_OF(t, struct network, look);
	struct err e = { 0 };

	uplink_look(w, IP_V4);
	uplink_look(w, IP_V6);
	(void)!repair(w, &e); /* has logged it */
}

void network_changed(struct network *w, const struct net_culprit *who)
{
	if (!w)
		return;
	if (who && who->program[0]) {
		memcpy(w->status.culprit, who->program, sizeof w->status.culprit);
		w->status.culprit_pid = who->pid;
	}
	net_guard_reported(&w->guard, loop_now(w->loop));
	arm(w);
}

enum err_code network_open(struct network **out, struct helper *h, struct loop *l, struct err *e)
{
	struct network *w = calloc(1, sizeof *w);
	enum err_code rc;

	if (!w)
		return err_set(e, ERR_NOMEM, "no memory to watch the network");
	w->helper = h;
	w->loop = l;
	w->look.fire = look_due;
	rc = helper_net_watch(h, true, e);
	if (rc) {
		network_close(w);
		return rc;
	}
	uplink_find(w, IP_V4, w->uplink[0]);
	uplink_find(w, IP_V6, w->uplink[1]);
	net_guard_start(&w->guard, clock_mono_ns());
	arm(w);
	*out = w;
	return ERR_OK;
}

void network_close(struct network *w)
{
	if (!w)
		return;
	loop_timer_cancel(&w->look);
	(void)!helper_net_watch(w->helper, false, NULL); /* or it has ended */
	free(w);
}

void network_status(const struct network *w, struct network_status *out)
{
	*out = w->status;
	out->wait_ns = w->guard.wait_ns;
}
