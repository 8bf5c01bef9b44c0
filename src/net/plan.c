#include "net/plan.h"

#include <dirent.h>
#include <errno.h>
#include <linux/rtnetlink.h>

#include "net/nft.h"

#define MTU_MIN 576 /* what every IPv4 host takes (RFC 791) */
#define MTU_MIN_V6 1280 /* RFC 8200, 5 */
#define MTU_MAX 65535
#define RA_LINKS_MAX 64
#define REDIRECTS "net/ipv4/conf/all/accept_redirects"

struct planner {
	struct nl *nl;
	const struct net_want *want;
	const struct changes *made;
	struct plan_table *table;
	struct changes *out;
	struct nl_link link;
};

void plan_table_done(struct plan_table *t)
{
	buf_done(&t->wanted);
	buf_done(&t->loaded);
	buf_done(&t->loaded_listing);
	buf_done(&t->listing);
}

/* ---- is it possible at all? ---- */

static enum err_code check_prefixes(const struct ip_prefix *p, size_t n, const char *what,
				    const struct net_want *w, struct err *e)
{
	char text[PREFIX_TEXT_MAX];
	size_t i;

	if (n > NET_ADDRESSES_MAX)
		return err_set(e, ERR_RANGE, "%zu %s for %s, at most %d are possible", n, what,
			       w->ifname, NET_ADDRESSES_MAX);
	for (i = 0; i < n; i++) {
		unsigned bits = ip_bits(p[i].addr.family);

		if (!bits || p[i].len > bits)
			return err_set(e, ERR_INVALID, "number %zu of the %s for %s is none", i + 1,
				       what, w->ifname);
		if (bits == 128 && w->mtu && w->mtu < MTU_MIN_V6) {
			ip_prefix_format(text, &p[i]);
			return err_set(e, ERR_RANGE,
				       "MTU %u for %s is too small for %s: IPv6 needs %d", w->mtu,
				       w->ifname, text, MTU_MIN_V6);
		}
	}
	return ERR_OK;
}

enum err_code plan_check(const struct net_want *w, struct err *e)
{
	enum err_code rc = ifname_check(str_of(w->ifname), e);

	if (rc)
		return rc;
	if (w->mtu && (w->mtu < MTU_MIN || w->mtu > MTU_MAX))
		return err_set(e, ERR_RANGE, "MTU %u for %s is not in %d..%d", w->mtu, w->ifname,
			       MTU_MIN, MTU_MAX);
	rc = check_prefixes(w->addresses, w->address_count, "addresses", w, e);
	if (!rc)
		rc = check_prefixes(w->masquerade, w->masquerade_count, "networks to masquerade", w,
				    e);
	return rc;
}

/* ---- one thing each ---- */

static void plan_link(const struct planner *p, struct change *x)
{
	x->ifindex = p->link.index;
	memcpy(x->ifname, p->link.name, sizeof x->ifname);
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

static bool wants_address(const struct net_want *w, const struct ip_prefix *p, size_t before)
{
	size_t i;

	for (i = 0; i < before; i++)
		if (w->addresses[i].len == p->len && ip_eq(&w->addresses[i].addr, &p->addr))
			return true;
	return false;
}

/* Removals first: the kernel makes a second address of one network secondary to the first, and
 * removes it with that. */
static enum err_code plan_addresses(struct planner *p, struct err *e)
{
	const struct net_want *w = p->want;
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = 0; i < p->made->n && !rc; i++) {
		struct change x = p->made->p[i];

		if (x.kind != CHANGE_ADDRESS || x.ifindex != p->link.index ||
		    wants_address(w, &x.address, w->address_count))
			continue;
		rc = change_read(p->nl, &x, &x.old, e);
		x.now = 0;
		if (!rc && x.old)
			rc = plan_add(p, &x, e);
	}
	for (i = 0; i < w->address_count && !rc; i++) {
		struct change x = { .kind = CHANGE_ADDRESS, .address = w->addresses[i] };

		if (wants_address(w, &x.address, i))
			continue;
		plan_link(p, &x);
		rc = change_read(p->nl, &x, &x.old, e);
		x.now = 1;
		if (!rc && !x.old)
			rc = plan_add(p, &x, e);
	}
	return rc;
}

/* The i-th network to be held by a blackhole route; false for one that is there already, and for
 * "everything", where a host without a default route had rather say so than be silent. */
static bool wanted_route(const struct net_want *w, size_t i, struct change *x)
{
	size_t k;

	*x = (struct change){ .kind = CHANGE_ROUTE, .address = w->masquerade[i] };
	ip_prefix_mask(&x->address);
	for (k = 0; k < i; k++) {
		struct ip_prefix earlier = w->masquerade[k];

		ip_prefix_mask(&earlier);
		if (earlier.len == x->address.len && ip_eq(&earlier.addr, &x->address.addr))
			return false;
	}
	return x->address.len > 0;
}

static bool wants_route(const struct net_want *w, const struct change *route)
{
	struct change x;
	size_t i;

	for (i = 0; i < w->masquerade_count; i++)
		if (wanted_route(w, i, &x) && change_same_thing(&x, route))
			return true;
	return false;
}

/* While the interface is away, what comes back from the internet for a client is translated to the
 * client's address all the same; without these routes it would leave by the default route. */
static enum err_code plan_routes(struct planner *p, struct err *e)
{
	const struct net_want *w = p->want;
	enum err_code rc = ERR_OK;
	struct change x;
	size_t i;

	for (i = 0; i < p->made->n && !rc; i++) {
		x = p->made->p[i];
		if (x.kind != CHANGE_ROUTE || wants_route(w, &x))
			continue;
		rc = change_read(p->nl, &x, &x.old, e);
		x.now = 0;
		if (!rc && x.old)
			rc = plan_add(p, &x, e);
	}
	for (i = 0; i < w->masquerade_count && !rc; i++) {
		if (!wanted_route(w, i, &x))
			continue;
		rc = change_read(p->nl, &x, &x.old, e);
		x.now = 1;
		if (!rc && !x.old)
			rc = plan_add(p, &x, e);
	}
	return rc;
}

static enum err_code plan_table(struct planner *p, struct err *e)
{
	struct plan_table *t = p->table;
	struct change x = { .kind = CHANGE_TABLE };
	const struct change *ours;
	enum err_code rc;

	buf_clear(&t->wanted);
	buf_clear(&t->listing);
	nft_table_text(&t->wanted, p->want);
	if (!buf_ok(&t->wanted))
		return err_set(e, ERR_NOMEM, "no memory for the nft table of %s", p->want->ifname);
	nft_table_name(x.name, p->want->ifname);
	ours = changes_find(p->made, &x);
	if (!t->wanted.n && !ours)
		return ERR_OK; /* and nft need not even be installed */
	rc = nft_table_list(x.name, &t->listing, e);
	if (rc)
		return rc;
	x.old = t->listing.n > 0;
	x.now = t->wanted.n > 0;
	if (x.old == x.now &&
	    (!x.now || (str_eq(buf_view(&t->wanted), buf_view(&t->loaded)) &&
			str_eq(buf_view(&t->listing), buf_view(&t->loaded_listing)))))
		return ERR_OK;
	return plan_add(p, &x, e);
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

		if (s.index[i] == p->link.index ||
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

/* The table comes before forwarding, so that nothing is forwarded without its rules; the link goes
 * up last. */
enum err_code plan_make(struct nl *nl, const struct net_want *want, const struct changes *made,
			struct plan_table *t, struct changes *out, struct err *e)
{
	struct planner p = { .nl = nl, .want = want, .made = made, .table = t, .out = out };
	struct change mtu = { .kind = CHANGE_MTU }, up = { .kind = CHANGE_UP };
	enum err_code rc = nl_link_by_name(nl, want->ifname, &p.link, e);

	if (rc)
		return rc;
	plan_link(&p, &mtu);
	plan_link(&p, &up);
	if ((rc = plan_value(&p, &mtu, want->mtu != 0, want->mtu, p.link.mtu, e)) ||
	    (rc = plan_addresses(&p, e)) || (rc = plan_routes(&p, e)) || (rc = plan_table(&p, e)) ||
	    (rc = plan_sysctls(&p, e)))
		return rc;
	return plan_value(&p, &up, want->up, 1, p.link.up, e);
}
