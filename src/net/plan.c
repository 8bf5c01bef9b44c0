#include "net/plan.h"

#include <dirent.h>
#include <errno.h>
#include <linux/rtnetlink.h>

#include "net/nft.h"
#include "nl/nft_watch.h"

#define METRIC_V6 1024 /* IP6_RT_PRIO_USER */
#define RA_LINKS_MAX 64
#define REDIRECTS "net/ipv4/conf/all/accept_redirects"

struct planner {
	struct nl *nl;
	const struct net_want *want;
	const struct changes *made;
	struct plan_table *table;
	struct changes *out;
	const struct plan_links *links;
};

void plan_table_done(struct plan_table *t)
{
	buf_done(&t->wanted);
	buf_done(&t->loaded);
	buf_done(&t->loaded_listing);
	buf_done(&t->listing);
}

void plan_table_forget(struct plan_table *t)
{
	buf_clear(&t->loaded);
	buf_clear(&t->loaded_listing);
	t->has_generation = false;
}

/* ---- the tunnels ---- */

enum err_code plan_links(struct plan_links *out, struct nl *nl, const struct net_want *want,
			 bool may_be_away, struct err *e)
{
	enum err_code rc = ERR_OK;

	*out = (struct plan_links){ 0 };
	while (!rc && out->n < want->tunnel_count) {
		struct nl_link *l = &out->l[out->n];

		rc = nl_link_by_name(nl, want->tunnels[out->n].ifname, l, e);
		if (rc == ERR_NOT_FOUND && may_be_away) {
			*l = (struct nl_link){ 0 };
			rc = ERR_OK;
		}
		out->n++;
	}
	return rc;
}

bool plan_links_have(const struct plan_links *links, uint32_t ifindex)
{
	size_t i;

	for (i = 0; i < links->n; i++)
		if (ifindex && links->l[i].index == ifindex)
			return true;
	return false;
}

static bool any_away(const struct plan_links *links)
{
	size_t i;

	for (i = 0; i < links->n; i++)
		if (!links->l[i].index)
			return true;
	return false;
}

/* ---- one thing each ---- */

static struct change of_link(enum change_kind kind, const struct nl_link *l)
{
	struct change x = { .kind = kind, .ifindex = l->index };

	memcpy(x.ifname, l->name, sizeof x.ifname);
	return x;
}

static enum err_code plan_add(struct planner *p, const struct change *x, struct err *e)
{
	return changes_add(p->out, x, e);
}

/* The value it should have: the wanted one, else the one from before us, else what it is. */
static enum err_code plan_value(struct planner *p, struct change *x, bool wanted, uint32_t value,
				uint32_t current, struct err *e)
{
	const struct change *ours = changes_find(p->made, x);

	if (!wanted && !(ours && ours->now == current))
		return ERR_OK;
	x->old = current;
	x->now = wanted ? value : ours->old;
	return x->old == x->now ? ERR_OK : plan_add(p, x, e);
}

/* Something that is there or not, and is to be. */
static enum err_code plan_present(struct planner *p, const struct change *wanted, struct err *e)
{
	struct change x = *wanted;
	enum err_code rc = change_read(p->nl, &x, &x.old, e);

	x.now = 1;
	return rc || x.old ? rc : plan_add(p, &x, e);
}

/* What we made of one kind and is not among those wanted goes.  It may have gone by itself; what is
 * of interfaces that are not wanted at all is put back before a plan is made. */
static enum err_code plan_absent(struct planner *p, enum change_kind kind,
				 const struct changes *wanted, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = 0; i < p->made->n && !rc; i++) {
		struct change x = p->made->p[i];

		if (x.kind != kind || changes_find(wanted, &x) ||
		    (kind == CHANGE_ADDRESS && !plan_links_have(p->links, x.ifindex)))
			continue;
		rc = change_read(p->nl, &x, &x.old, e);
		x.now = 0;
		if (rc == ERR_NOT_FOUND)
			rc = ERR_OK;
		else if (!rc && x.old)
			rc = plan_add(p, &x, e);
	}
	return rc;
}

static enum err_code plan_all_present(struct planner *p, const struct changes *wanted, bool by_link,
				      struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = 0; i < wanted->n && !rc; i++)
		if (!wanted->p[i].ifindex == !by_link)
			rc = plan_present(p, &wanted->p[i], e);
	return rc;
}

static enum err_code add_once(struct changes *c, const struct change *x, struct err *e)
{
	return changes_find(c, x) ? ERR_OK : changes_add(c, x, e);
}

/* ---- addresses ---- */

static bool one_network(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len == b->len && ip_prefix_contains(a, &b->addr);
}

/* Whether one of ours that goes stands in the network of `x`, a wanted one. */
static bool follows_another(const struct planner *p, const struct changes *wanted,
			    const struct change *x)
{
	for (size_t i = 0; i < p->made->n; i++) {
		const struct change *ours = &p->made->p[i];

		if (ours->kind == CHANGE_ADDRESS && ours->ifindex == x->ifindex &&
		    !changes_find(wanted, ours) && one_network(&ours->address, &x->address))
			return true;
	}
	return false;
}

/* Addresses of another network come before those that go: with the last one the kernel takes away all
 * routes by the interface, whoever made them.  Those of the same network come behind: the kernel
 * would make them secondary to what goes, and remove them with it. */
static enum err_code plan_addresses(struct planner *p, struct err *e)
{
	AUTO(changes_done) struct changes wanted = { 0 }, before = { 0 }, behind = { 0 };
	enum err_code rc = ERR_OK;
	size_t i, k;

	for (i = 0; i < p->links->n; i++) {
		const struct net_tunnel *t = &p->want->tunnels[i];
		struct change x = of_link(CHANGE_ADDRESS, &p->links->l[i]);

		for (k = 0; k < t->address_count && x.ifindex && !rc; k++) {
			x.address = t->addresses[k];
			rc = add_once(&wanted, &x, e);
		}
	}
	for (i = 0; i < wanted.n && !rc; i++) {
		const struct change *x = &wanted.p[i];

		rc = changes_add(follows_another(p, &wanted, x) ? &behind : &before, x, e);
	}
	if (!rc)
		rc = plan_all_present(p, &before, true, e);
	if (!rc)
		rc = plan_absent(p, CHANGE_ADDRESS, &wanted, e);
	return rc ? rc : plan_all_present(p, &behind, true, e);
}

/* ---- routes ---- */

/* While the interface is away, what comes back from the internet for a client is translated to the
 * client's address all the same; without these routes it would leave by the default route.  Not
 * for "everything", where a host without a default route had rather say so than be silent. */
static enum err_code wanted_holds(const struct net_want *w, struct changes *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i, k;

	for (i = 0; i < w->tunnel_count; i++)
		for (k = 0; k < w->tunnels[i].masquerade_count && !rc; k++) {
			struct change x = change_hold(&w->tunnels[i].masquerade[k]);

			if (x.address.len)
				rc = add_once(out, &x, e);
		}
	return rc;
}

static enum err_code wanted_route(struct planner *p, const struct net_route *r, struct changes *out,
				  struct err *e)
{
	struct change x = { .kind = CHANGE_ROUTE, .address = r->to, .gateway = r->gateway };
	struct nl_link l = { 0 };
	enum err_code rc = ERR_OK;

	if (r->ifname[0])
		rc = nl_link_by_name(p->nl, r->ifname, &l, e);
	if (rc == ERR_NOT_FOUND && any_away(p->links))
		return ERR_OK;
	if (rc)
		return rc;
	x.ifindex = l.index;
	memcpy(x.ifname, l.name, sizeof x.ifname);
	ip_prefix_mask(&x.address);
	x.table = r->table ? r->table : NL_TABLE_MAIN;
	/* What the kernel makes of none. */
	x.metric = !r->metric && r->to.addr.family == IP_V6 ? METRIC_V6 : r->metric;
	return add_once(out, &x, e);
}

static enum err_code wanted_routes(struct planner *p, struct changes *out, struct err *e)
{
	enum err_code rc = wanted_holds(p->want, out, e);
	size_t i;

	for (i = 0; i < p->want->route_count && !rc; i++)
		rc = wanted_route(p, &p->want->routes[i], out, e);
	return rc;
}

/* ---- rules ---- */

/* Without the sides that select everything, as the kernel reports them. */
static void tidy_side(struct ip_prefix *p)
{
	if (!p->addr.family || !p->len)
		*p = (struct ip_prefix){ 0 };
	else
		ip_prefix_mask(p);
}

static enum err_code wanted_rules(const struct net_want *w, struct changes *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = 0; i < w->rule_count && !rc; i++) {
		struct change x = { .kind = CHANGE_RULE, .rule = w->rules[i] };

		tidy_side(&x.rule.from);
		tidy_side(&x.rule.to);
		rc = add_once(out, &x, e);
	}
	return rc;
}

/* ---- the table ---- */

/* As it was loaded from this very text: true without running nft when no transaction of nftables
 * has come since that was last seen. */
static bool table_untouched(const struct plan_table *t, bool has_generation, uint32_t generation)
{
	return has_generation && t->has_generation && generation == t->generation && t->wanted.n &&
	       str_eq(buf_view(&t->wanted), buf_view(&t->loaded));
}

static bool table_as_loaded(const struct plan_table *t)
{
	return str_eq(buf_view(&t->wanted), buf_view(&t->loaded)) &&
	       str_eq(buf_view(&t->listing), buf_view(&t->loaded_listing));
}

static enum err_code plan_table(struct planner *p, struct err *e)
{
	uint32_t generation = 0;
	bool has_generation;
	struct plan_table *t = p->table;
	struct change x = { .kind = CHANGE_TABLE };
	const struct change *ours;
	enum err_code rc;

	buf_clear(&t->wanted);
	buf_clear(&t->listing);
	nft_table_text(&t->wanted, p->want);
	if (!buf_ok(&t->wanted))
		return err_set(e, ERR_NOMEM, "no memory for the nft table of %s",
			       p->want->tunnels[0].ifname);
	nft_table_name(x.name, p->want->tunnels[0].ifname);
	ours = changes_find(p->made, &x);
	if (!t->wanted.n && !ours)
		return ERR_OK; /* and nft need not even be installed */
	/* Asked before the table is read: what changes meanwhile is found the next time. */
	has_generation = nl_nft_generation(&generation, NULL) == ERR_OK;
	if (table_untouched(t, has_generation, generation))
		return ERR_OK;
	rc = nft_table_list(x.name, &t->listing, e);
	if (rc)
		return rc;
	x.old = t->listing.n > 0;
	x.now = t->wanted.n > 0;
	if (x.old != x.now || (x.now && !table_as_loaded(t)))
		return plan_add(p, &x, e);
	t->has_generation = has_generation;
	t->generation = generation;
	return ERR_OK;
}

/* ---- forwarding ---- */

/* Where the kernel will write a value as a side effect of a change of forwarding, and somebody
 * has set another one. */
static enum err_code keep_value(struct planner *p, const char *name, uint32_t unless, struct err *e)
{
	struct change x = { .kind = CHANGE_KEEP };
	enum err_code rc = sysctl_read(name, &x.old, e);

	if (rc == ERR_NOT_FOUND || (!rc && x.old == unless))
		return ERR_OK;
	if (rc)
		return rc;
	x.now = x.old;
	BUG_ON(!str_copy(x.name, sizeof x.name, str_of(name)));
	return plan_add(p, &x, e);
}

/* Turning a family's forwarding off turns it off for each interface, and accept_redirects of
 * IPv4 on: remember who was set otherwise (Documentation/networking/ip-sysctl.rst). */
static enum err_code keep_side_effects(struct planner *p, unsigned version, struct err *e)
{
	char name[SYSCTL_NAME_MAX];
	struct dirent *d;
	enum err_code rc = ERR_OK;
	DIR *dir;

	snprintf(name, sizeof name, "/proc/sys/net/ipv%u/conf", version);
	dir = opendir(name);
	if (!dir)
		return err_sys(e, errno, "open %s", name);
	while (!rc && (errno = 0, d = readdir(dir))) {
		if (!nl_name_valid(str_of(d->d_name)) || !strcmp(d->d_name, "all"))
			continue;
		snprintf(name, sizeof name, "net/ipv%u/conf/%.15s/forwarding", version, d->d_name);
		rc = keep_value(p, name, 0, e);
	}
	closedir(dir);
	if (!rc && version == 4)
		rc = keep_value(p, REDIRECTS, 1, e);
	return rc;
}

/* Ours is being turned back: what it resets is set again, as changes of their own. */
static enum err_code restore_side_effects(struct planner *p, unsigned version, struct err *e)
{
	char start[16];
	enum err_code rc = ERR_OK;
	size_t i;

	snprintf(start, sizeof start, "net/ipv%u/", version);
	for (i = 0; i < p->made->n && !rc; i++) {
		struct change x = p->made->p[i];

		if (x.kind != CHANGE_KEEP || !str_starts(str_of(x.name), str_of(start)))
			continue;
		x.kind = CHANGE_SYSCTL;
		x.now = x.old;
		x.old = strcmp(x.name, REDIRECTS) ? 0 : 1; /* what the kernel makes of it */
		rc = plan_add(p, &x, e);
	}
	return rc;
}

static enum err_code plan_forwarding(struct planner *p, unsigned version, const char *name,
				     bool wanted, struct err *e)
{
	struct change x = { .kind = CHANGE_SYSCTL };
	uint32_t current;
	size_t before = p->out->n;
	enum err_code rc;

	BUG_ON(!str_copy(x.name, sizeof x.name, str_of(name)));
	if (!wanted && !changes_find(p->made, &x))
		return ERR_OK; /* the kernel may be without this family */
	rc = sysctl_read(name, &current, e);
	if (rc == ERR_NOT_FOUND)
		return err_set(e, ERR_UNSUPPORTED,
			       "this kernel has no IPv%u, which is to be forwarded", version);
	if (rc)
		return rc;
	if (wanted && !current)
		rc = keep_side_effects(p, version, e);
	if (!rc)
		rc = plan_value(p, &x, wanted, 1, current, e);
	if (!rc && !wanted && p->out->n != before)
		rc = restore_side_effects(p, version, e);
	return rc;
}

/* ---- router advertisements ---- */

struct ra_links {
	uint32_t index[RA_LINKS_MAX];
	size_t n;
};

static void ra_link(struct ra_links *s, uint32_t index)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->index[i] == index)
			return;
	if (index && s->n < ARRAY_LEN(s->index))
		s->index[s->n++] = index;
}

static bool ra_route(void *ctx, const struct nl_route *r)
{
	if (r->protocol == RTPROT_RA)
		ra_link(ctx, r->oif);
	return true;
}

static bool ra_address(void *ctx, const struct nl_address *a)
{
	if (a->prefix.addr.family == IP_V6 && a->temporary && a->scope == RT_SCOPE_UNIVERSE)
		ra_link(ctx, a->ifindex);
	return true;
}

/* A kernel that forwards IPv6 ignores router advertisements, and drops the default route it has
 * from one, unless accept_ra is 2: uplinks that live on them would go dark. */
static enum err_code plan_accept_ra(struct planner *p, struct err *e)
{
	struct ra_links s = { 0 };
	struct nl_link l;
	uint32_t current;
	enum err_code rc = nl_routes(p->nl, IP_V6, 0, ra_route, &s, e);
	size_t i;

	if (!rc)
		rc = nl_addresses(p->nl, 0, ra_address, &s, e);
	for (i = 0; i < s.n && !rc; i++) {
		struct change x = { .kind = CHANGE_SYSCTL };

		if (plan_links_have(p->links, s.index[i]) ||
		    nl_link_by_index(p->nl, s.index[i], &l, NULL)) /* gone meanwhile */
			continue;
		snprintf(x.name, sizeof x.name, "net/ipv6/conf/%s/accept_ra", l.name);
		if (!sysctl_name_valid(str_of(x.name)))
			continue;
		rc = sysctl_read(x.name, &current, e);
		if (!rc && current == 1)
			rc = plan_value(p, &x, true, 2, current, e);
	}
	return rc;
}

/* Those of ours, when IPv6 is no longer forwarded. */
static enum err_code restore_accept_ra(struct planner *p, struct err *e)
{
	enum err_code rc = ERR_OK;
	uint32_t current;
	size_t i;

	for (i = 0; i < p->made->n && !rc; i++) {
		struct change x = p->made->p[i];
		struct str name = str_of(x.name), end = STR("/accept_ra");

		if (x.kind != CHANGE_SYSCTL || name.n < end.n ||
		    !str_eq((struct str){ name.p + name.n - end.n, end.n }, end) ||
		    sysctl_read(x.name, &current, NULL))
			continue;
		rc = plan_value(p, &x, false, 0, current, e);
	}
	return rc;
}

static enum err_code plan_sysctls(struct planner *p, struct err *e)
{
	bool v6 = p->want->forward_v6;
	enum err_code rc = plan_forwarding(p, 4, "net/ipv4/ip_forward", p->want->forward_v4, e);

	if (!rc && v6)
		rc = plan_accept_ra(p, e);
	if (!rc)
		rc = plan_forwarding(p, 6, "net/ipv6/conf/all/forwarding", v6, e);
	if (!rc && !v6)
		rc = restore_accept_ra(p, e);
	return rc;
}

/* ---- all ---- */

static enum err_code plan_mtus(struct planner *p, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = 0; i < p->links->n && !rc; i++) {
		const struct nl_link *l = &p->links->l[i];
		uint32_t mtu = p->want->tunnels[i].mtu;
		struct change x = of_link(CHANGE_MTU, l);

		if (l->index)
			rc = plan_value(p, &x, mtu != 0, mtu, l->mtu, e);
	}
	return rc;
}

static enum err_code plan_ups(struct planner *p, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = 0; i < p->links->n && !rc; i++) {
		const struct nl_link *l = &p->links->l[i];
		struct change x = of_link(CHANGE_UP, l);

		if (l->index)
			rc = plan_value(p, &x, p->want->tunnels[i].up, 1, l->up, e);
	}
	return rc;
}

/* The table comes before forwarding, so that nothing is forwarded without its rules; links go up
 * last, but for the routes by them, which need that, and the rules that lead to these. */
enum err_code plan_make(struct nl *nl, const struct net_want *want, const struct plan_links *links,
			const struct changes *made, struct plan_table *t, struct changes *out,
			struct err *e)
{
	AUTO(changes_done) struct changes routes = { 0 }, rules = { 0 };
	struct planner p = {
		.nl = nl, .want = want, .links = links, .made = made, .table = t, .out = out
	};
	enum err_code rc;

	if ((rc = wanted_routes(&p, &routes, e)) || (rc = wanted_rules(want, &rules, e)) ||
	    (rc = plan_absent(&p, CHANGE_RULE, &rules, e)) || (rc = plan_mtus(&p, e)) ||
	    (rc = plan_addresses(&p, e)) || (rc = plan_absent(&p, CHANGE_ROUTE, &routes, e)) ||
	    (rc = plan_all_present(&p, &routes, false, e)) || (rc = plan_table(&p, e)) ||
	    (rc = plan_sysctls(&p, e)) || (rc = plan_ups(&p, e)) ||
	    (rc = plan_all_present(&p, &routes, true, e)))
		return rc;
	return plan_all_present(&p, &rules, false, e);
}
