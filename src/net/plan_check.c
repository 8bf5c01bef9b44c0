/* Is what is wanted possible at all?  plan_check, as plan.h says. */
#include "net/plan.h"

#define MTU_MIN 576 /* what every IPv4 host takes (RFC 791) */
#define MTU_MIN_V6 1280 /* RFC 8200, 5 */
#define MTU_MAX 65535
/* Tables of the kernel's own that nobody routes in: unspec, local. */
#define TABLE_LOCAL 255

static enum err_code check_count(size_t n, size_t max, const char *what, struct err *e)
{
	return n <= max ? ERR_OK
			: err_set(e, ERR_RANGE, "%zu %s, at most %zu are possible", n, what, max);
}

static bool is_prefix(const struct ip_prefix *p)
{
	unsigned bits = ip_bits(p->addr.family);

	return bits && p->len <= bits;
}

/* A name that is not there stands for any. */
static enum err_code check_name(const char *name, bool needed, struct err *e)
{
	return *name || needed ? ifname_check(str_of(name), e) : ERR_OK;
}

/* ---- tunnels ---- */

static enum err_code check_prefixes(const struct ip_prefix *p, size_t n, const char *what,
				    const struct net_tunnel *t, struct err *e)
{
	char text[PREFIX_TEXT_MAX];
	size_t i;

	if (n > NET_ADDRESSES_MAX)
		return err_set(e, ERR_RANGE, "%zu %s for %s, at most %d are possible", n, what,
			       t->ifname, NET_ADDRESSES_MAX);
	for (i = 0; i < n; i++) {
		if (!is_prefix(&p[i]))
			return err_set(e, ERR_INVALID, "number %zu of the %s for %s is none", i + 1,
				       what, t->ifname);
		if (p[i].addr.family == IP_V6 && t->mtu && t->mtu < MTU_MIN_V6) {
			ip_prefix_format(text, &p[i]);
			return err_set(e, ERR_RANGE,
				       "MTU %u for %s is too small for %s: IPv6 needs %d", t->mtu,
				       t->ifname, text, MTU_MIN_V6);
		}
	}
	return ERR_OK;
}

static enum err_code check_tunnel(const struct net_want *w, size_t i, struct err *e)
{
	const struct net_tunnel *t = &w->tunnels[i];
	enum err_code rc = ifname_check(str_of(t->ifname), e);
	size_t k;

	if (rc)
		return rc;
	for (k = 0; k < i; k++)
		if (!strcmp(w->tunnels[k].ifname, t->ifname))
			return err_set(e, ERR_INVALID, "interface %s is wanted twice", t->ifname);
	if (t->mtu && (t->mtu < MTU_MIN || t->mtu > MTU_MAX))
		return err_set(e, ERR_RANGE, "MTU %u for %s is not in %d..%d", t->mtu, t->ifname,
			       MTU_MIN, MTU_MAX);
	rc = check_prefixes(t->addresses, t->address_count, "addresses", t, e);
	if (!rc)
		rc = check_prefixes(t->masquerade, t->masquerade_count, "networks to masquerade", t,
				    e);
	return rc;
}

/* ---- routes and rules ---- */

static enum err_code check_table(uint32_t table, const char *what, struct err *e)
{
	return table == TABLE_LOCAL
		       ? err_set(e, ERR_INVALID, "%s: table 255 is the kernel's own (local)", what)
		       : ERR_OK;
}

static enum err_code check_route(const struct net_route *r, struct err *e)
{
	char what[PREFIX_TEXT_MAX + 16], text[PREFIX_TEXT_MAX];
	struct change hold = change_hold(&r->to);
	enum err_code rc;

	if (!is_prefix(&r->to))
		return err_set(e, ERR_INVALID, "a route leads to no network");
	ip_prefix_format(text, &r->to);
	snprintf(what, sizeof what, "route to %s", text);
	rc = check_name(r->ifname, false, e);
	if (!rc)
		rc = check_table(r->table, what, e);
	if (rc)
		return rc;
	if (r->gateway.family && r->gateway.family != r->to.addr.family)
		return err_set(e, ERR_INVALID, "%s: its gateway is of another family", what);
	if (r->gateway.family && !r->ifname[0])
		return err_set(e, ERR_INVALID, "%s: a gateway needs an interface", what);
	if (!r->ifname[0] && r->metric == hold.metric && (!r->table || r->table == hold.table))
		return err_set(e, ERR_INVALID,
			       "%s: a blackhole with metric %u in the main table is what holds a "
			       "tunnel's network",
			       what, r->metric);
	return ERR_OK;
}

static enum err_code check_side(const struct net_rule *r, const struct ip_prefix *side,
				const char *which, struct err *e)
{
	if (!side->addr.family || (side->addr.family == r->family && is_prefix(side)))
		return ERR_OK;
	return err_set(e, ERR_INVALID, "rule %u: its %s is no IPv%u network", r->priority, which,
		       r->family);
}

static enum err_code check_rule(const struct net_rule *r, struct err *e)
{
	char what[32];
	enum err_code rc;

	snprintf(what, sizeof what, "rule %u", r->priority);
	if (!ip_bits(r->family))
		return err_set(e, ERR_INVALID, "%s: %u is neither IPv4 nor IPv6", what, r->family);
	if (!r->priority || r->priority > NET_RULE_PRIORITY_MAX)
		return err_set(e, ERR_RANGE, "%s: its priority is not in 1..%d", what,
			       NET_RULE_PRIORITY_MAX);
	if (!r->table)
		return err_set(e, ERR_INVALID, "%s leads to no table", what);
	rc = check_table(r->table, what, e);
	if (!rc)
		rc = check_side(r, &r->from, "source", e);
	if (!rc)
		rc = check_side(r, &r->to, "destination", e);
	return rc ? rc : check_name(r->ifname, false, e);
}

/* ---- ports and ways ---- */

static enum err_code check_protocol(uint8_t protocol, uint16_t port, struct err *e)
{
	if (protocol != IPPROTO_UDP && protocol != IPPROTO_TCP)
		return err_set(e, ERR_INVALID, "port %u: protocol %u is neither UDP nor TCP", port,
			       protocol);
	return port ? ERR_OK : err_set(e, ERR_RANGE, "port 0 is none");
}

static enum err_code check_port(const struct net_port *p, struct err *e)
{
	enum err_code rc = check_protocol(p->protocol, p->port, e);
	size_t i;

	if (!rc)
		rc = check_count(p->from_count, NET_SOURCES_MAX, "sources for a port", e);
	for (i = 0; i < p->from_count && !rc; i++)
		if (!is_prefix(&p->from[i]))
			rc = err_set(e, ERR_INVALID,
				     "number %zu of the sources for port %u is none", i + 1,
				     p->port);
	return rc;
}

static enum err_code check_redirect(const struct net_redirect *r, struct err *e)
{
	enum err_code rc = check_name(r->ifname, true, e);

	if (!rc)
		rc = check_protocol(r->protocol, r->port, e);
	return rc ? rc : check_protocol(r->protocol, r->to_port, e);
}

static enum err_code check_pass(const struct net_pass *p, struct err *e)
{
	enum err_code rc = check_name(p->from, true, e);

	return rc ? rc : check_name(p->to, true, e);
}

static enum err_code check_counts(const struct net_want *w, struct err *e)
{
	enum err_code rc;

	if (!w->tunnel_count)
		return err_set(e, ERR_MISSING, "no interface is wanted");
	(void)!((rc = check_count(w->tunnel_count, NET_TUNNELS_MAX, "interfaces", e)) ||
		(rc = check_count(w->route_count, NET_ROUTES_MAX, "routes", e)) ||
		(rc = check_count(w->rule_count, NET_RULES_MAX, "rules", e)) ||
		(rc = check_count(w->port_count, NET_PORTS_MAX, "ports", e)) ||
		(rc = check_count(w->redirect_count, NET_REDIRECTS_MAX, "redirects", e)) ||
		(rc = check_count(w->pass_count, NET_PASSES_MAX, "ways between tunnels", e)));
	return rc;
}

enum err_code plan_check(const struct net_want *w, struct err *e)
{
	enum err_code rc = check_counts(w, e);
	size_t i;

	if (rc)
		return rc;
	for (i = 0; i < w->tunnel_count && !rc; i++)
		rc = check_tunnel(w, i, e);
	for (i = 0; i < w->route_count && !rc; i++)
		rc = check_route(&w->routes[i], e);
	for (i = 0; i < w->rule_count && !rc; i++)
		rc = check_rule(&w->rules[i], e);
	for (i = 0; i < w->port_count && !rc; i++)
		rc = check_port(&w->ports[i], e);
	for (i = 0; i < w->redirect_count && !rc; i++)
		rc = check_redirect(&w->redirects[i], e);
	for (i = 0; i < w->pass_count && !rc; i++)
		rc = check_pass(&w->passes[i], e);
	return rc;
}
