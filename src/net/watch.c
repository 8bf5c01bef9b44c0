/* net_watch_open: reports of the kernel, those that concern what was applied. */
#include <linux/rtnetlink.h>

#include "net/inside.h"
#include "net/nft.h"
#include "nl/nft_watch.h"

struct net_watch {
	struct net *net;
	struct nl_watch *links;
	struct nl_nft_watch *table;
	void (*changed)(void *ctx, const struct net_culprit *who);
	void *ctx;
};

static bool is_tunnel(const struct net *n, const char *name)
{
	size_t i;

	for (i = 0; i < n->want.tunnel_count; i++)
		if (!strcmp(n->want.tunnels[i].ifname, name))
			return true;
	return false;
}

static bool is_route_table(const struct net *n, uint32_t table)
{
	size_t i;

	for (i = 0; i < n->want.route_count; i++)
		if (n->want.routes[i].table == table)
			return true;
	return false;
}

static void tell(const struct net_watch *w)
{
	if (w->net->applied)
		w->changed(w->ctx, NULL);
}

static void on_link(void *ctx, const struct nl_link *l)
{
	struct net_watch *w = ctx;

	if (is_tunnel(w->net, l->name))
		tell(w);
}

/* Any: it may have been the way of a route. */
static void on_link_gone(void *ctx, uint32_t ifindex UNUSED)
{
	tell(ctx);
}

static void on_address(void *ctx, const struct nl_address *a, bool added UNUSED)
{
	struct net_watch *w = ctx;

	if (plan_links_have(&w->net->links, a->ifindex))
		tell(w);
}

static void on_route(void *ctx, const struct nl_route *r, bool added UNUSED)
{
	struct net_watch *w = ctx;

	if ((!r->dst.len && r->table == NL_TABLE_MAIN) || r->type == RTN_BLACKHOLE ||
	    plan_links_have(&w->net->links, r->oif) || is_route_table(w->net, r->table))
		tell(w);
}

static void on_rule(void *ctx, const struct nl_rule *r, bool added UNUSED)
{
	if (r->protocol == CHANGE_RULE_PROTOCOL)
		tell(ctx);
}

static void on_lost(void *ctx)
{
	tell(ctx);
}

static void on_table(void *ctx, const struct nl_nft_change *c)
{
	struct net_watch *w = ctx;
	struct net_culprit who = { 0 };

	if (!c || !w->net->applied || c->generation == w->net->table.own_generation) {
		tell(w);
		return;
	}
	who.pid = c->pid;
	memcpy(who.program, c->program, sizeof who.program);
	w->changed(w->ctx, &who);
}

enum err_code net_watch_open(struct net_watch **out, struct net *n, struct loop *l,
			     void (*changed)(void *ctx, const struct net_culprit *who), void *ctx,
			     struct err *e)
{
	static const struct nl_watch_events events = { .link = on_link,
						       .link_gone = on_link_gone,
						       .address = on_address,
						       .route = on_route,
						       .rule = on_rule,
						       .lost = on_lost };
	char table[NFT_TABLE_MAX];
	struct net_watch *w;
	enum err_code rc;

	if (!n->applied)
		return err_set(e, ERR_MISSING, "nothing was applied that could be watched");
	w = calloc(1, sizeof *w);
	if (!w)
		return err_set(e, ERR_NOMEM, "no memory to watch the network");
	w->net = n;
	w->changed = changed;
	w->ctx = ctx;
	nft_table_name(table, n->want.tunnels[0].ifname);
	rc = nl_nft_watch_open(&w->table, l, table, on_table, w, e);
	if (!rc)
		rc = nl_watch_open(&w->links, l, 0, &events, w, e);
	if (rc) {
		net_watch_close(w);
		return rc;
	}
	*out = w;
	return ERR_OK;
}

void net_watch_close(struct net_watch *w)
{
	if (!w)
		return;
	nl_watch_close(w->links);
	nl_nft_watch_close(w->table);
	free(w);
}
