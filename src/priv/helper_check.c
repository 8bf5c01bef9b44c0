/* Are the fields of a request what they may be?  helper_request_check, as helper_message.h says. */
#include "priv/helper_message.h"

static bool ends(const char *text, size_t room)
{
	return memchr(text, 0, room) != NULL;
}

static enum err_code wrong(const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, "the request's %s cannot be", what);
}

/* A bool that came as bytes and is neither true nor false must not be looked at as one. */
static bool is_bool(const void *p)
{
	unsigned char b;

	memcpy(&b, p, 1);
	return b <= 1;
}

static bool family_ok(uint8_t family)
{
	return family == IP_V4 || family == IP_V6;
}

/* Ranges beyond memory's safety are plan_check's, which every apply begins with. */
static bool want_ok(const struct net_want *w)
{
	bool ok = w->tunnel_count <= NET_TUNNELS_MAX && w->route_count <= NET_ROUTES_MAX &&
		  w->rule_count <= NET_RULES_MAX && w->port_count <= NET_PORTS_MAX &&
		  w->redirect_count <= NET_REDIRECTS_MAX && w->pass_count <= NET_PASSES_MAX &&
		  is_bool(&w->forward_v4) && is_bool(&w->forward_v6) && is_bool(&w->separate);
	size_t i;

	for (i = 0; ok && i < w->tunnel_count; i++)
		ok = ends(w->tunnels[i].ifname, NET_NAME_MAX) &&
		     w->tunnels[i].address_count <= NET_ADDRESSES_MAX &&
		     w->tunnels[i].masquerade_count <= NET_ADDRESSES_MAX &&
		     is_bool(&w->tunnels[i].up) && is_bool(&w->tunnels[i].isolated);
	for (i = 0; ok && i < w->route_count; i++)
		ok = ends(w->routes[i].ifname, NET_NAME_MAX);
	for (i = 0; ok && i < w->rule_count; i++)
		ok = ends(w->rules[i].ifname, NET_NAME_MAX);
	for (i = 0; ok && i < w->port_count; i++)
		ok = w->ports[i].from_count <= NET_SOURCES_MAX;
	for (i = 0; ok && i < w->redirect_count; i++)
		ok = ends(w->redirects[i].ifname, NET_NAME_MAX);
	for (i = 0; ok && i < w->pass_count; i++)
		ok = ends(w->passes[i].from, NET_NAME_MAX) && ends(w->passes[i].to, NET_NAME_MAX) &&
		     is_bool(&w->passes[i].keeps_source);
	return ok;
}

static bool device_ok(const struct helper_device *d)
{
	return ends(d->ifname, sizeof d->ifname) &&
	       ifname_check(str_of(d->ifname), NULL) == ERR_OK && is_bool(&d->take_over) &&
	       is_bool(&d->is_further);
}

static bool prefix_ok(const struct ip_prefix *p)
{
	return family_ok(p->addr.family) && p->len <= ip_bits(p->addr.family);
}

enum err_code helper_request_check(const struct helper_request *q, struct err *e)
{
	if (q->flag > 1)
		return wrong("flag", e);
	if (!ends(q->ifname, sizeof q->ifname))
		return wrong("interface", e);
	switch ((enum helper_ask)q->ask) {
	case ASK_NET_OPEN:
	case ASK_NET_UNDO:
	case ASK_NET_CHECK:
	case ASK_NET_REPAIR:
	case ASK_NET_WATCH:
	case ASK_DEVICE_CLOSE:
	case ASK_DAEMON:
	case ASK_OPEN_TLS:
	case ASK_CONTROL_SOCKET:
		return ERR_OK;
	case ASK_NET_APPLY:
		return want_ok(&q->u.want) ? ERR_OK : wrong("network", e);
	case ASK_NET_DEFAULT_ROUTE:
		return family_ok(q->family) ? ERR_OK : wrong("family", e);
	case ASK_NET_OVERLAP:
		return prefix_ok(&q->u.prefix) ? ERR_OK : wrong("prefix", e);
	case ASK_NET_FIREWALL:
		return ifname_check(str_of(q->ifname), e);
	case ASK_HOOKS:
		if (!ends(q->u.text, sizeof q->u.text))
			return wrong("text", e);
		return ifname_check(str_of(q->ifname), e);
	case ASK_OPEN_FILE:
		return ends(q->u.file.path, HELPER_PATH_MAX) &&
				       ends(q->u.file.name, HELPER_NAME_MAX)
			       ? ERR_OK
			       : wrong("path", e);
	case ASK_DEVICE_OPEN:
		return device_ok(&q->u.device) ? ERR_OK : wrong("device", e);
	case ASK_NOTIFY:
		return q->number >= HELPER_IS_READY && q->number <= HELPER_IS_STOPPING
			       ? ERR_OK
			       : wrong("note", e);
	case ASK_END:
		return q->number >= HELPER_STOPS && q->number <= HELPER_RESTARTS_GONE &&
				       q->u.end.has_asker <= 1
			       ? ERR_OK
			       : wrong("ending", e);
	case HELPER_ASKS:
		break;
	}
	return err_set(e, ERR_INVALID, "there is no request %u", q->ask);
}
