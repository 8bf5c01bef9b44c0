#include "net/change.h"

#include <linux/rtnetlink.h>

#include "base/fault.h"
#include "net/nft.h"

void changes_done(struct changes *c)
{
	free(c->p);
	*c = (struct changes){ 0 };
}

enum err_code changes_add(struct changes *c, const struct change *x, struct err *e)
{
	size_t cap = c->cap ? c->cap * 2 : 16;
	struct change *p;

	if (c->n == c->cap) {
		p = reallocarray(c->p, cap, sizeof *p);
		if (!p)
			return err_set(e, ERR_NOMEM, "no memory for the changes of the network");
		c->p = p;
		c->cap = cap;
	}
	c->p[c->n++] = *x;
	return ERR_OK;
}

enum err_code changes_append(struct changes *to, const struct changes *from, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = 0; i < from->n && !rc; i++)
		rc = changes_add(to, &from->p[i], e);
	return rc;
}

static bool same_prefix(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len == b->len && ip_eq(&a->addr, &b->addr);
}

static bool same_rule(const struct net_rule *a, const struct net_rule *b)
{
	return a->family == b->family && a->priority == b->priority && a->mark == b->mark &&
	       a->table == b->table && !strcmp(a->ifname, b->ifname) &&
	       same_prefix(&a->from, &b->from) && same_prefix(&a->to, &b->to);
}

struct change change_hold(const struct ip_prefix *network)
{
	struct change x = { .kind = CHANGE_ROUTE,
			    .address = *network,
			    .table = NL_TABLE_MAIN,
			    .metric = CHANGE_METRIC_WORST };

	ip_prefix_mask(&x.address);
	return x;
}

bool change_is_hold(const struct change *x)
{
	return x->kind == CHANGE_ROUTE && !x->ifindex && x->table == NL_TABLE_MAIN &&
	       x->metric == CHANGE_METRIC_WORST;
}

bool change_same_thing(const struct change *a, const struct change *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case CHANGE_ADDRESS:
		return a->ifindex == b->ifindex && same_prefix(&a->address, &b->address);
	case CHANGE_ROUTE:
		return a->ifindex == b->ifindex && a->table == b->table && a->metric == b->metric &&
		       same_prefix(&a->address, &b->address) && ip_eq(&a->gateway, &b->gateway);
	case CHANGE_RULE:
		return same_rule(&a->rule, &b->rule);
	case CHANGE_MTU:
	case CHANGE_UP:
		return a->ifindex == b->ifindex;
	case CHANGE_SYSCTL:
	case CHANGE_KEEP:
	case CHANGE_TABLE:
		return !strcmp(a->name, b->name);
	}
	return false;
}

struct change *changes_find(const struct changes *c, const struct change *x)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (change_same_thing(&c->p[i], x))
			return &c->p[i];
	return NULL;
}

void changes_remove(struct changes *c, struct change *x)
{
	size_t i = (size_t)(x - c->p);

	BUG_ON(i >= c->n);
	memmove(x, x + 1, (c->n - i - 1) * sizeof *x);
	c->n--;
}

/* ---- making ---- */

static enum err_code set_address(struct nl *nl, const struct change *x, bool there, struct err *e)
{
	const struct nl_address a = { .ifindex = x->ifindex, .prefix = x->address };
	enum err_code rc;

	if (FAULT("net.address"))
		return err_set(e, ERR_IO, "change an address of %s: injected failure", x->ifname);
	rc = there ? nl_address_add(nl, &a, e) : nl_address_delete(nl, &a, e);
	return rc ? err_wrap(e, rc, "interface %s", x->ifname) : ERR_OK;
}

static struct nl_route route_of(const struct change *x)
{
	return (struct nl_route){ .dst = x->address,
				  .gateway = x->gateway,
				  .oif = x->ifindex,
				  .table = x->table,
				  .metric = x->metric,
				  .type = x->ifindex ? RTN_UNICAST : RTN_BLACKHOLE,
				  .protocol = RTPROT_STATIC };
}

static enum err_code set_route(struct nl *nl, const struct change *x, bool there, struct err *e)
{
	const struct nl_route r = route_of(x);
	const char *what = x->ifindex ? "route" : "blackhole route";
	char text[PREFIX_TEXT_MAX];
	enum err_code rc;

	ip_prefix_format(text, &x->address);
	if (FAULT("net.route"))
		return err_set(e, ERR_IO, "change the %s %s: injected failure", what, text);
	rc = there ? nl_route_add(nl, &r, e) : nl_route_delete(nl, &r, e);
	return rc ? err_wrap(e, rc, "%s %s", what, text) : ERR_OK;
}

static struct nl_rule rule_of(const struct net_rule *w)
{
	struct nl_rule r = { .family = w->family,
			     .priority = w->priority,
			     .from = w->from,
			     .to = w->to,
			     .mark = w->mark,
			     .table = w->table,
			     .protocol = CHANGE_RULE_PROTOCOL };

	memcpy(r.ifname, w->ifname, sizeof r.ifname);
	return r;
}

static enum err_code set_rule(struct nl *nl, const struct change *x, bool there, struct err *e)
{
	const struct nl_rule r = rule_of(&x->rule);

	if (FAULT("net.rule"))
		return err_set(e, ERR_IO, "change rule %u: injected failure", r.priority);
	return there ? nl_rule_add(nl, &r, e) : nl_rule_delete(nl, &r, e);
}

static enum err_code set_link(struct nl *nl, const struct change *x, uint32_t value, struct err *e)
{
	enum err_code rc;

	if (FAULT("net.link"))
		return err_set(e, ERR_IO, "change %s: injected failure", x->ifname);
	rc = x->kind == CHANGE_MTU ? nl_link_set_mtu(nl, x->ifindex, value, e)
				   : nl_link_set_up(nl, x->ifindex, value != 0, e);
	return rc ? err_wrap(e, rc, "interface %s", x->ifname) : ERR_OK;
}

static enum err_code set_sysctl(const struct change *x, uint32_t value, struct err *e)
{
	if (FAULT("net.sysctl"))
		return err_set(e, ERR_IO, "set %s to %u: injected failure", x->name, value);
	return sysctl_write(x->name, value, e);
}

static enum err_code set_value(struct nl *nl, const struct change *x, uint32_t value,
			       struct str table_text, struct err *e)
{
	switch (x->kind) {
	case CHANGE_ADDRESS:
		return set_address(nl, x, value != 0, e);
	case CHANGE_ROUTE:
		return set_route(nl, x, value != 0, e);
	case CHANGE_RULE:
		return set_rule(nl, x, value != 0, e);
	case CHANGE_MTU:
	case CHANGE_UP:
		return set_link(nl, x, value, e);
	case CHANGE_SYSCTL:
	case CHANGE_KEEP:
		return set_sysctl(x, value, e);
	case CHANGE_TABLE:
		return nft_table_load(x->name, value ? table_text : STR(""), e);
	}
	return ERR_OK;
}

enum err_code change_make(struct nl *nl, const struct change *x, struct str table_text,
			  struct err *e)
{
	return x->kind == CHANGE_KEEP ? ERR_OK : set_value(nl, x, x->now, table_text, e);
}

/* ---- undoing ---- */

struct looking {
	const struct change *x;
	bool found;
};

static bool look_at_address(void *ctx, const struct nl_address *a)
{
	struct looking *l = ctx;

	if (a->prefix.len == l->x->address.len && ip_eq(&a->prefix.addr, &l->x->address.addr))
		l->found = true;
	return !l->found;
}

/* A blackhole of IPv6 is reported with the interface lo. */
static bool look_at_route(void *ctx, const struct nl_route *r)
{
	struct looking *l = ctx;
	const struct nl_route want = route_of(l->x);

	if (r->type == want.type && r->metric == want.metric && same_prefix(&r->dst, &want.dst) &&
	    (!want.oif || (r->oif == want.oif && ip_eq(&r->gateway, &want.gateway))))
		l->found = true;
	return !l->found;
}

static enum err_code route_value(struct nl *nl, const struct change *x, uint32_t *value,
				 struct err *e)
{
	struct looking looking = { .x = x };
	enum err_code rc =
		nl_routes(nl, x->address.addr.family, x->table, look_at_route, &looking, e);

	*value = looking.found;
	return rc;
}

static bool look_at_rule(void *ctx, const struct nl_rule *r)
{
	struct looking *l = ctx;
	struct net_rule there = { .family = r->family,
				  .priority = r->priority,
				  .from = r->from,
				  .to = r->to,
				  .mark = r->mark,
				  .table = r->table };

	memcpy(there.ifname, r->ifname, sizeof there.ifname);
	if (!r->further && r->protocol == CHANGE_RULE_PROTOCOL && same_rule(&there, &l->x->rule))
		l->found = true;
	return !l->found;
}

static enum err_code rule_value(struct nl *nl, const struct change *x, uint32_t *value,
				struct err *e)
{
	struct looking looking = { .x = x };
	enum err_code rc = nl_rules(nl, x->rule.family, look_at_rule, &looking, e);

	*value = looking.found;
	return rc;
}

/* An index is used again only after all others, but a namespace may have given it away. */
static enum err_code link_value(struct nl *nl, const struct change *x, uint32_t *value,
				struct err *e)
{
	struct looking looking = { .x = x };
	struct nl_link l;
	enum err_code rc = nl_link_by_index(nl, x->ifindex, &l, e);

	if (rc)
		return rc;
	if (strcmp(l.name, x->ifname))
		return err_set(e, ERR_NOT_FOUND, "interface %s is gone", x->ifname);
	if (x->kind == CHANGE_ROUTE)
		return route_value(nl, x, value, e);
	if (x->kind == CHANGE_ADDRESS) {
		rc = nl_addresses(nl, x->ifindex, look_at_address, &looking, e);
		*value = looking.found;
		return rc;
	}
	*value = x->kind == CHANGE_MTU ? l.mtu : l.up;
	return ERR_OK;
}

enum err_code change_read(struct nl *nl, const struct change *x, uint32_t *value, struct err *e)
{
	bool exists = false;
	enum err_code rc;

	switch (x->kind) {
	case CHANGE_ADDRESS:
	case CHANGE_MTU:
	case CHANGE_UP:
		return link_value(nl, x, value, e);
	case CHANGE_ROUTE:
		return x->ifindex ? link_value(nl, x, value, e) : route_value(nl, x, value, e);
	case CHANGE_RULE:
		return rule_value(nl, x, value, e);
	case CHANGE_SYSCTL:
	case CHANGE_KEEP:
		return sysctl_read(x->name, value, e);
	case CHANGE_TABLE:
		rc = nft_table_exists(x->name, &exists, e);
		*value = exists;
		return rc;
	}
	return ERR_OK;
}

enum err_code change_undo(struct nl *nl, const struct change *x, struct str table_text,
			  struct err *e)
{
	uint32_t value = 0;
	enum err_code rc = change_read(nl, x, &value, e);

	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if (rc)
		return rc;
	if (x->kind == CHANGE_KEEP ? value == x->old : value != x->now)
		return ERR_OK;
	return set_value(nl, x, x->old, table_text, e);
}
