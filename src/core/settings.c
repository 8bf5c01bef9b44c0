#include "core/settings.h"

#include <inttypes.h>

#include "base/ifname.h"

#define SHOWN_MAX 80
#define EXAMPLE_V4 "10.8.0.0/24"
#define EXAMPLE_V6 "fd00:70:68::/64"

/* A foreign text as a message shows it. */
static const char *shown_of(char out[SHOWN_MAX], struct str v)
{
	text_escaped(out, SHOWN_MAX, v);
	return out;
}

/* ---- values ---- */

static enum err_code interface_parse(struct settings *s, struct str v, struct err *e)
{
	enum err_code rc = ifname_check(v, e);

	BUG_ON(!rc && !str_copy(s->ifname, sizeof s->ifname, v));
	return rc;
}

static enum err_code number_parse(uint16_t *out, const char *what, uint32_t min, struct str v,
				  struct err *e)
{
	char shown[SHOWN_MAX];
	uint32_t n;

	if (!u32_parse(v, min, 65535, &n))
		return err_set(e, ERR_INVALID, "%s \"%s\" must be a number from %u to 65535", what,
			       shown_of(shown, v), min);
	*out = (uint16_t)n;
	return ERR_OK;
}

static enum err_code port_parse(struct settings *s, struct str v, struct err *e)
{
	return number_parse(&s->port, "port", 1, v, e);
}

/* Below 1280 the interface could not carry IPv6 (RFC 8200, 5), below 576 hardly IPv4. */
static enum err_code mtu_parse(struct settings *s, struct str v, struct err *e)
{
	return number_parse(&s->mtu, "mtu", 576, v, e);
}

/* A prefix without host bits; the message says what it would be without. */
static enum err_code network_read(struct ip_prefix *out, struct str v, const char *example,
				  struct err *e)
{
	char shown[SHOWN_MAX];
	struct ip_prefix p, masked;
	char text[PREFIX_TEXT_MAX];

	if (!memchr(v.p, '/', v.n) || !ip_prefix_parse(v, &p))
		return err_set(e, ERR_INVALID,
			       "network \"%s\" is not an address with a prefix length, such as %s",
			       shown_of(shown, v), example);
	masked = p;
	ip_prefix_mask(&masked);
	if (!ip_eq(&masked.addr, &p.addr)) {
		ip_prefix_format(text, &masked);
		return err_set(e, ERR_INVALID, "network %s has host bits set; did you mean %s?",
			       shown_of(shown, v), text);
	}
	*out = p;
	return ERR_OK;
}

/* Networks that no host routes to its clients, by the registries of RFC 6890. */
static const struct {
	const char *prefix, *what;
} unfit[] = {
	{ "0.0.0.0/8", "means \"this network\"" },
	{ "127.0.0.0/8", "is loopback" },
	{ "169.254.0.0/16", "is link-local" },
	{ "224.0.0.0/4", "is multicast" },
	{ "240.0.0.0/4", "is reserved" },
	{ "::/8", "is reserved, with loopback and translated addresses in it" },
	{ "fe80::/10", "is link-local" },
	{ "ff00::/8", "is multicast" },
};

static enum err_code network_fit(const struct ip_prefix *p, const char *example, struct err *e)
{
	char text[PREFIX_TEXT_MAX];
	struct ip_prefix bad;

	ip_prefix_format(text, p);
	for (size_t i = 0; i < ARRAY_LEN(unfit); i++) {
		BUG_ON(!ip_prefix_parse(str_of(unfit[i].prefix), &bad));
		if (ip_prefix_overlap(p, &bad))
			return err_set(e, ERR_INVALID,
				       "network %s cannot be used for clients: %s %s; a good one "
				       "is %s",
				       text, unfit[i].prefix, unfit[i].what, example);
	}
	return ERR_OK;
}

/* Network, server, a client and broadcast: /30 is the smallest.  Above /8 an address is hardly
 * private, and host numbers would not fit one IPv6 /64 with room. */
static enum err_code network_parse(struct settings *s, struct str v, struct err *e)
{
	char shown[SHOWN_MAX];
	struct ip_prefix p;
	enum err_code rc = network_read(&p, v, EXAMPLE_V4, e);

	if (rc)
		return rc;
	if (p.addr.family != IP_V4 || p.len < 8 || p.len > 30)
		return err_set(e, ERR_INVALID,
			       "network %s must be IPv4 with a prefix length from 8 to 30, such "
			       "as " EXAMPLE_V4,
			       shown_of(shown, v));
	rc = network_fit(&p, EXAMPLE_V4, e);
	if (rc == ERR_OK)
		s->network = p;
	return rc;
}

/* A unique local prefix with a random 40-bit global ID and subnet 0 (RFC 4193, 3.1 and 3.2). */
static struct ip_prefix random_ula(void)
{
	uint8_t b[16] = { 0xfd };

	random_bytes(b + 1, 5);
	return (struct ip_prefix){ .addr = ip_v6(b), .len = 64 };
}

/* Clients have the same host number in both networks, so 24 bits of it must fit; a site has a /48
 * (RFC 6177), and no more is ours to give. */
static enum err_code network6_parse(struct settings *s, struct str v, struct err *e)
{
	char shown[SHOWN_MAX];
	struct ip_prefix p;
	enum err_code rc;

	if (str_eq(v, STR("auto"))) {
		if (s->network6.addr.family == IP_NONE)
			s->network6 = random_ula();
		return ERR_OK;
	}
	if (str_eq(v, STR("none"))) {
		s->network6 = (struct ip_prefix){ 0 };
		return ERR_OK;
	}
	rc = network_read(&p, v, EXAMPLE_V6, e);
	if (rc)
		return rc;
	if (p.addr.family != IP_V6 || p.len < 48 || p.len > 104)
		return err_set(e, ERR_INVALID,
			       "network6 %s must be IPv6 with a prefix length from 48 to 104, such "
			       "as " EXAMPLE_V6 ", or \"auto\" or \"none\"",
			       shown_of(shown, v));
	rc = network_fit(&p, EXAMPLE_V6, e);
	if (rc == ERR_OK)
		s->network6 = p;
	return rc;
}

static bool host_ok(struct str v)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	struct ip_addr ip;

	if (ip_parse(v, &ip))
		return true;
	if (v.n < 1 || v.n > SETTINGS_HOST_MAX || v.p[0] == '-' || v.p[0] == '.')
		return false;
	for (size_t i = 0; i < v.n; i++) {
		if (!v.p[i] || !strchr(allowed, v.p[i]))
			return false;
	}
	return true;
}

/* HOST, HOST:PORT, an IPv6 address, or [IPv6]:PORT. */
static bool endpoint_split(struct str v, struct str *host, struct str *port)
{
	const char *colon = memchr(v.p, ':', v.n);
	const char *close = memchr(v.p, ']', v.n);
	struct ip_addr ip;

	*host = v;
	*port = (struct str){ 0 };
	if (v.n && v.p[0] == '[') {
		if (!close)
			return false;
		*host = (struct str){ v.p + 1, (size_t)(close - v.p) - 1 };
		*port = (struct str){ close + 1, v.n - (size_t)(close - v.p) - 1 };
		if (!ip_parse(*host, &ip) || ip.family != IP_V6)
			return false;
		if (port->n == 0)
			return true;
		if (port->p[0] != ':' || port->n < 2)
			return false;
		*port = (struct str){ port->p + 1, port->n - 1 };
		return true;
	}
	if (!colon || (ip_parse(v, &ip) && ip.family == IP_V6))
		return true;
	*host = (struct str){ v.p, (size_t)(colon - v.p) };
	*port = (struct str){ colon + 1, v.n - host->n - 1 };
	return port->n > 0;
}

static enum err_code endpoint_read(struct settings *s, struct str v, struct err *e)
{
	char shown[SHOWN_MAX];
	struct str host, port;
	uint32_t number = 0;

	if (str_eq(v, STR("auto"))) {
		s->endpoint_host[0] = 0;
		s->endpoint_port = 0;
		return ERR_OK;
	}
	if (v.n == 0 || !endpoint_split(v, &host, &port) || !host_ok(host) ||
	    (port.n && !u32_parse(port, 1, 65535, &number)))
		return err_set(e, ERR_INVALID,
			       "endpoint \"%s\" must be HOST, HOST:PORT, [IPV6]:PORT or \"auto\"",
			       shown_of(shown, v));
	if (!str_copy(s->endpoint_host, sizeof s->endpoint_host, host))
		return err_set(e, ERR_RANGE, "endpoint host is longer than %d characters",
			       SETTINGS_HOST_MAX);
	s->endpoint_port = (uint16_t)number;
	return ERR_OK;
}

static enum err_code dns_read(struct ip_addr *out, struct str v, struct err *e)
{
	char shown[SHOWN_MAX];

	if (str_eq(v, STR("none"))) {
		*out = (struct ip_addr){ 0 };
		return ERR_OK;
	}
	if (!ip_parse(v, out))
		return err_set(e, ERR_INVALID, "dns server \"%s\" is not an IP address",
			       shown_of(shown, v));
	return ERR_OK;
}

static enum err_code dns_primary_parse(struct settings *s, struct str v, struct err *e)
{
	return dns_read(&s->dns[0], v, e);
}

static enum err_code dns_secondary_parse(struct settings *s, struct str v, struct err *e)
{
	return dns_read(&s->dns[1], v, e);
}

static enum err_code restart_parse(struct settings *s, struct str v, struct err *e)
{
	char shown[SHOWN_MAX];

	if (!str_eq(v, STR("true")) && !str_eq(v, STR("false")))
		return err_set(e, ERR_INVALID, "\"%s\" must be true or false", shown_of(shown, v));
	s->restart_after_add = str_eq(v, STR("true"));
	return ERR_OK;
}

static const struct {
	const char *name; /* in the store */
	const char *fallback;
	enum err_code (*parse)(struct settings *s, struct str v, struct err *e);
} rows[SETTINGS] = {
	[SETTING_INTERFACE] = { "interface", "wg_main", interface_parse },
	[SETTING_PORT] = { "port", "51820", port_parse },
	[SETTING_NETWORK] = { "network", "10.8.0.0/24", network_parse },
	[SETTING_NETWORK6] = { "network6", "auto", network6_parse },
	[SETTING_ENDPOINT] = { "endpoint", "auto", endpoint_read },
	[SETTING_DNS_PRIMARY] = { "dns.primary", "8.8.8.8", dns_primary_parse },
	[SETTING_DNS_SECONDARY] = { "dns.secondary", "1.1.1.1", dns_secondary_parse },
	[SETTING_MTU] = { "mtu", "1420", mtu_parse },
	[SETTING_RESTART_AFTER_ADD] = { "tweak.restart_service_after_client_creation", "false",
					restart_parse },
};

enum err_code settings_parse(struct settings *s, enum setting which, struct str text, struct err *e)
{
	struct settings changed = *s;
	enum err_code rc = rows[which].parse(&changed, text, e);

	if (rc == ERR_OK)
		*s = changed;
	return rc;
}

static void ip_add(struct buf *out, const struct ip_addr *ip)
{
	char text[IP_TEXT_MAX];

	if (ip->family == IP_NONE) {
		buf_z(out, "none");
		return;
	}
	ip_format(text, ip);
	buf_z(out, text);
}

static void prefix_add(struct buf *out, const struct ip_prefix *p)
{
	ip_add(out, &p->addr);
	if (p->addr.family != IP_NONE)
		buf_printf(out, "/%u", p->len);
}

static void endpoint_add(struct buf *out, const struct settings *s)
{
	const char *host = s->endpoint_host;

	if (!*host) {
		buf_z(out, "auto");
		return;
	}
	buf_printf(out, strchr(host, ':') ? "[%s]" : "%s", host);
	if (s->endpoint_port)
		buf_printf(out, ":%u", s->endpoint_port);
}

void settings_format(const struct settings *s, enum setting which, struct buf *out)
{
	switch (which) {
	case SETTING_INTERFACE:
		buf_z(out, s->ifname);
		break;
	case SETTING_PORT:
		buf_printf(out, "%u", s->port);
		break;
	case SETTING_NETWORK:
		prefix_add(out, &s->network);
		break;
	case SETTING_NETWORK6:
		prefix_add(out, &s->network6);
		break;
	case SETTING_ENDPOINT:
		endpoint_add(out, s);
		break;
	case SETTING_DNS_PRIMARY:
		ip_add(out, &s->dns[0]);
		break;
	case SETTING_DNS_SECONDARY:
		ip_add(out, &s->dns[1]);
		break;
	case SETTING_MTU:
		buf_printf(out, "%u", s->mtu);
		break;
	case SETTING_RESTART_AFTER_ADD:
		buf_z(out, s->restart_after_add ? "true" : "false");
		break;
	case SETTINGS:
		break;
	}
}

/* ---- the store ---- */

/* Takes over the stored text, or the default when there is none (*is_new). */
static enum err_code stored_load(struct settings *s, struct store *store, enum setting i,
				 bool *is_new, struct err *e)
{
	AUTO(buf_done) struct buf text = { .limit = STORE_VALUE_MAX };
	enum err_code rc = store_setting(store, rows[i].name, &text, e);

	*is_new = rc == ERR_NOT_FOUND;
	if (rc == ERR_NOT_FOUND)
		return settings_parse(s, i, str_of(rows[i].fallback), e);
	if (rc)
		return rc;
	if (settings_parse(s, i, buf_view(&text), e))
		return err_wrap(e, ERR_CORRUPT, "stored setting %s", rows[i].name);
	return ERR_OK;
}

/* Writes what is not there already. */
enum err_code settings_put(const struct settings *s, struct store *store, enum setting i,
			   struct err *e)
{
	AUTO(buf_done) struct buf text = { .limit = STORE_VALUE_MAX };
	AUTO(buf_done) struct buf stored = { .limit = STORE_VALUE_MAX };
	enum err_code rc;

	settings_format(s, i, &text);
	if (!buf_ok(&text))
		return err_set(e, ERR_NOMEM, "setting %s: out of memory", rows[i].name);
	rc = store_setting(store, rows[i].name, &stored, e);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (rc == ERR_OK && str_eq(buf_view(&stored), buf_view(&text)))
		return ERR_OK;
	return store_set_setting(store, rows[i].name, buf_view(&text), e);
}

/* Applies the option, if it was given; *changed when it says something else than `s` did. */
static enum err_code given_apply(struct settings *s, enum setting i, struct str given,
				 bool *changed, struct err *e)
{
	AUTO(buf_done) struct buf before = { .limit = STORE_VALUE_MAX };
	AUTO(buf_done) struct buf after = { .limit = STORE_VALUE_MAX };
	enum err_code rc;

	*changed = false;
	if (!given.p)
		return ERR_OK;
	settings_format(s, i, &before);
	rc = settings_parse(s, i, given, e);
	if (rc)
		return rc;
	settings_format(s, i, &after);
	*changed = !str_eq(buf_view(&before), buf_view(&after));
	return ERR_OK;
}

/* Settings of the store that are no setting of ours: the option that was overruled. */
static void overruled_name(char out[64], enum setting i)
{
	(void)snprintf(out, 64, "overruled.%s", rows[i].name);
}

enum err_code settings_overrule(struct store *store, enum setting i, struct str given,
				struct err *e)
{
	char name[64];

	overruled_name(name, i);
	return given.p ? store_set_setting(store, name, given, e) : ERR_OK;
}

static enum err_code is_overruled(struct store *store, enum setting i, struct str given, bool *out,
				  struct err *e)
{
	AUTO(buf_done) struct buf text = { .limit = STORE_VALUE_MAX };
	char name[64];
	enum err_code rc;

	overruled_name(name, i);
	rc = store_setting(store, name, &text, e);
	*out = rc == ERR_OK && str_eq(buf_view(&text), given);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* Addresses are given out for good: a network with clients stays. */
static enum err_code network_free(struct store *store, enum setting i, const struct settings *old,
				  struct err *e)
{
	AUTO(buf_done) struct buf was = { .limit = STORE_VALUE_MAX };
	uint64_t total, enabled;
	enum err_code rc = store_client_count(store, STR(""), &total, &enabled, e);

	if (rc || total == 0)
		return rc;
	settings_format(old, i, &was);
	return err_set(e, ERR_INVALID,
		       "option --%s: the network is %s and %" PRIu64 " client%s addresses in it; "
		       "start without the option, or remove the clients first",
		       rows[i].name, buf_view(&was).p, total, total == 1 ? " has" : "s have");
}

static enum err_code one_load(struct settings *s, struct store *store, enum setting i,
			      struct str given, struct err *e)
{
	struct settings old;
	bool is_new, changed, overruled = false;
	enum err_code rc = stored_load(s, store, i, &is_new, e);

	if (rc == ERR_OK && given.p)
		rc = is_overruled(store, i, given, &overruled, e);
	if (rc || overruled)
		return rc;
	old = *s;
	rc = given_apply(s, i, given, &changed, e);
	if (rc)
		return rc;
	if (changed && !is_new && (i == SETTING_NETWORK || i == SETTING_NETWORK6))
		return network_free(store, i, &old, e);
	return ERR_OK;
}

enum err_code settings_load(struct settings *out, struct store *s,
			    const struct settings_given *given, struct err *e)
{
	struct settings loaded = { 0 };
	enum err_code rc = ERR_OK;

	for (int i = 0; rc == ERR_OK && i < SETTINGS; i++)
		rc = one_load(&loaded, s, (enum setting)i, given->v[i], e);
	if (rc == ERR_OK && loaded.network6.addr.family != IP_NONE && loaded.mtu < 1280)
		rc = err_set(e, ERR_INVALID,
			     "mtu %u is below the 1280 bytes that IPv6 needs; raise it or turn "
			     "IPv6 off with --network6 none",
			     loaded.mtu);
	if (rc == ERR_OK)
		*out = loaded;
	return rc;
}

enum err_code settings_store(const struct settings *s, struct store *store, struct err *e)
{
	enum err_code rc = store_begin(store, e);

	for (int i = 0; rc == ERR_OK && i < SETTINGS; i++)
		rc = settings_put(s, store, (enum setting)i, e);
	if (rc == ERR_OK)
		rc = store_commit(store, e);
	if (rc)
		store_rollback(store);
	return rc;
}

enum err_code settings_change(struct settings *s, struct store *store, enum setting which,
			      struct str text, struct err *e)
{
	struct settings changed = *s;
	enum err_code rc = settings_parse(&changed, which, text, e);

	if (rc == ERR_OK)
		rc = settings_put(&changed, store, which, e);
	if (rc == ERR_OK)
		*s = changed;
	return rc;
}

struct ip_prefix settings_server_address(const struct ip_prefix *network)
{
	struct ip_prefix p = { .len = network->len };

	if (!ip_prefix_host(network, 1, &p.addr))
		p.addr = (struct ip_addr){ 0 };
	return p;
}

uint64_t settings_last_client(const struct ip_prefix *network)
{
	return ip_prefix_size(network) - 2; /* the last address is broadcast */
}
