#include "gateway/agent_conf.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "net/hooks.h"
#include "wg/conf.h"

#define ADDRESSES_TEXT_MAX (2 * PREFIX_TEXT_MAX + 4)
#define DNS_TEXT_MAX (2 * IP_TEXT_MAX + 4)
#define NOT_VALID "Configuration validation failed: "

/* ---- as it is ---- */

enum err_code agent_setting(struct store *s, const char *name, char *out, size_t cap, struct err *e)
{
	AUTO(buf_done) struct buf text = { .limit = STORE_VALUE_MAX };
	enum err_code rc = store_setting(s, name, &text, e);

	out[0] = 0;
	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if (rc == ERR_OK && !str_copy(out, cap, buf_view(&text)))
		rc = err_set(e, ERR_CORRUPT, "stored setting %s has %zu bytes", name, text.n);
	return rc;
}

enum err_code agent_conf_load(struct agent_conf *out, struct agent *a, struct err *e)
{
	struct store *s = a->c.core->store;
	enum err_code rc;

	*out = (struct agent_conf){ .settings = a->c.core->settings };
	rc = store_secret(s, CORE_SERVER_KEY, out->private_key.b, KEY_LEN, e);
	if (rc == ERR_OK)
		rc = agent_setting(s, AGENT_TABLE, out->table, sizeof out->table, e);
	if (rc == ERR_OK)
		rc = agent_setting(s, AGENT_POST_UP, out->post_up, sizeof out->post_up, e);
	if (rc == ERR_OK)
		rc = agent_setting(s, AGENT_PRE_DOWN, out->pre_down, sizeof out->pre_down, e);
	return rc;
}

void agent_conf_done(struct agent_conf *c)
{
	wipe(c, sizeof *c);
}

/* ---- as texts ---- */

static void address_text(char out[ADDRESSES_TEXT_MAX], const struct agent_conf *c)
{
	struct ip_prefix own = settings_server_address(&c->settings.network);
	char text[PREFIX_TEXT_MAX];
	size_t n;

	ip_prefix_format(text, &own);
	(void)snprintf(out, ADDRESSES_TEXT_MAX, "%s", text);
	if (c->settings.network6.addr.family == IP_NONE)
		return;
	own = settings_server_address(&c->settings.network6);
	ip_prefix_format(text, &own);
	n = strlen(out);
	(void)snprintf(out + n, ADDRESSES_TEXT_MAX - n, ", %s", text);
}

static void dns_text(char out[DNS_TEXT_MAX], const struct agent_conf *c)
{
	char text[IP_TEXT_MAX];
	size_t n = 0;

	out[0] = 0;
	for (size_t i = 0; i < ARRAY_LEN(c->settings.dns); i++) {
		if (c->settings.dns[i].family == IP_NONE)
			continue;
		ip_format(text, &c->settings.dns[i]);
		n += (size_t)snprintf(out + n, DNS_TEXT_MAX - n, "%s%s", n ? ", " : "", text);
	}
}

static json_t *text_or_null(const char *z)
{
	return *z ? json_string(z) : json_null();
}

json_t *agent_conf_json(const struct agent_conf *c, bool secrets)
{
	char key[KEY_TEXT_MAX] = "(hidden)", address[ADDRESSES_TEXT_MAX], dns[DNS_TEXT_MAX];
	json_t *j;

	if (secrets)
		base64_encode(key, c->private_key.b, KEY_LEN);
	address_text(address, c);
	dns_text(dns, c);
	j = json_pack("{s:s,s:i,s:s,s:o,s:o,s:i,s:o,s:o}", "private_key", key, "listen_port",
		      c->settings.port, "address", address, "post_up", text_or_null(c->post_up),
		      "pre_down", text_or_null(c->pre_down), "mtu", c->settings.mtu, "dns",
		      text_or_null(dns), "table", text_or_null(c->table));
	wipe(key, sizeof key);
	return j;
}

json_t *agent_conf_changes(const struct agent_conf *old, const struct agent_conf *new)
{
	json_t *was = agent_conf_json(old, false), *is = agent_conf_json(new, false);
	json_t *list = json_array(), *v;
	const char *field;
	bool ok = was && is && list;

	if (ok && !ct_equal(&old->private_key, &new->private_key, KEY_LEN))
		ok = json_array_append_new(list,
					   json_pack("{s:s,s:s,s:s}", "field", "private_key",
						     "from", "(hidden)", "to", "(changed)")) == 0;
	json_object_foreach(is, field, v)
	{
		json_t *before = json_object_get(was, field);

		if (!ok || json_equal(before, v))
			continue;
		ok = json_array_append_new(list, json_pack("{s:s,s:O,s:O}", "field", field, "from",
							   before, "to", v)) == 0;
	}
	json_decref(was);
	json_decref(is);
	if (ok)
		return list;
	json_decref(list);
	return NULL;
}

static bool peer_text(void *ctx, const struct client *c)
{
	struct buf *out = ctx;
	char key[KEY_TEXT_MAX], ip[IP_TEXT_MAX];

	if (!c->enabled)
		return true;
	public_key_text(key, &c->public_key);
	buf_printf(out, "\n# Client: %s\n[Peer]\nPublicKey = %s\n", c->name, key);
	if (!ct_is_zero(&c->psk, KEY_LEN)) {
		base64_encode(key, c->psk.b, KEY_LEN);
		buf_printf(out, "PresharedKey = %s\n", key);
		wipe(key, sizeof key);
	}
	ip_format(ip, &c->ip);
	buf_z(out, "AllowedIPs = ");
	if (!c->ipv6_only)
		buf_printf(out, "%s/32", ip);
	if (c->ip6.family == IP_V6) {
		ip_format(ip, &c->ip6);
		buf_printf(out, "%s%s/128", c->ipv6_only ? "" : ", ", ip);
	}
	buf_char(out, '\n');
	if (c->keepalive_s)
		buf_printf(out, "PersistentKeepalive = %u\n", c->keepalive_s);
	return buf_ok(out);
}

enum err_code agent_conf_text(struct buf *out, struct agent *a, const struct agent_conf *c,
			      struct err *e)
{
	const struct client_query all = { .limit = UINT64_MAX };
	char key[KEY_TEXT_MAX], address[ADDRESSES_TEXT_MAX], dns[DNS_TEXT_MAX];
	enum err_code rc;

	base64_encode(key, c->private_key.b, KEY_LEN);
	address_text(address, c);
	dns_text(dns, c);
	buf_printf(out, "[Interface]\nPrivateKey = %s\nListenPort = %u\nAddress = %s\nMTU = %u\n",
		   key, c->settings.port, address, c->settings.mtu);
	wipe(key, sizeof key);
	if (*dns)
		buf_printf(out, "DNS = %s\n", dns);
	if (*c->table)
		buf_printf(out, "Table = %s\n", c->table);
	if (*c->post_up)
		buf_printf(out, "PostUp = %s\n", c->post_up);
	if (*c->pre_down)
		buf_printf(out, "PreDown = %s\n", c->pre_down);
	rc = store_clients(a->c.core->store, &all, true, peer_text, out, e);
	if (rc == ERR_OK && !buf_ok(out))
		rc = err_set(e, ERR_RANGE, "the configuration is larger than can be sent");
	return rc;
}

/* ---- from a request ---- */

static bool bad(struct http_request *r, const struct err *e)
{
	agent_error(r, 400, NOT_VALID "%s", e->msg);
	return false;
}

static bool key_read(struct http_request *r, struct agent_conf *c, const json_t *body)
{
	struct str text;

	if (!agent_text(r, body, "private_key", 64, &text))
		return false;
	if (!text.p)
		return true;
	if (base64_decode(c->private_key.b, KEY_LEN, text) &&
	    !ct_is_zero(&c->private_key, KEY_LEN)) {
		secret_key_clamp(&c->private_key); /* as WireGuard does when it is set */
		return true;
	}
	agent_error(r, 400, NOT_VALID "private_key: not a key of 32 bytes in base64");
	return false;
}

static bool numbers_read(struct http_request *r, struct agent_conf *c, const json_t *body)
{
	uint32_t n = 0;
	bool found;

	if (!agent_number(r, body, "listen_port", 1, UINT16_MAX, &n, &found))
		return false;
	if (found)
		c->settings.port = (uint16_t)n;
	if (!agent_number(r, body, "mtu", 576, UINT16_MAX, &n, &found))
		return false;
	if (found)
		c->settings.mtu = (uint16_t)n;
	return true;
}

/* The network of the clients is what their addresses are in: a change of it is another matter, and
 * here only said to be as it is. */
static enum err_code address_check(const struct agent_conf *c, struct str text, struct err *e)
{
	struct str piece;

	while (str_cut(&text, ',', &piece)) {
		struct ip_prefix p, own4, own6;
		char own[ADDRESSES_TEXT_MAX], shown[80];

		piece = str_trim(piece);
		text_escaped(shown, sizeof shown, piece);
		if (!ip_prefix_parse(piece, &p))
			return err_set(e, ERR_INVALID,
				       "address: %s is no address such as 10.8.0.1/24", shown);
		own4 = settings_server_address(&c->settings.network);
		own6 = settings_server_address(&c->settings.network6);
		if ((ip_eq(&p.addr, &own4.addr) && p.len == own4.len) ||
		    (ip_eq(&p.addr, &own6.addr) && p.len == own6.len))
			continue;
		address_text(own, c);
		return err_set(e, ERR_INVALID,
			       "address: %s is not %s; the network of %s is changed by "
			       "change_subnet, which moves its clients",
			       shown, own, c->settings.ifname);
	}
	return ERR_OK;
}

static enum err_code dns_read(struct agent_conf *c, struct str text, struct err *e)
{
	struct ip_addr dns[2] = { 0 };
	struct str piece;
	size_t n = 0;
	char shown[80];

	while (str_cut(&text, ',', &piece)) {
		piece = str_trim(piece);
		text_escaped(shown, sizeof shown, piece);
		if (n == ARRAY_LEN(dns))
			return err_set(e, ERR_INVALID, "dns: at most two servers are kept");
		if (!ip_parse(piece, &dns[n++]))
			return err_set(e, ERR_INVALID, "dns: %s is not an IP address", shown);
	}
	memcpy(c->settings.dns, dns, sizeof dns);
	return ERR_OK;
}

static enum err_code table_read(struct agent_conf *c, struct str text, struct err *e)
{
	char shown[40];

	if (!text.n || str_eq(text, STR("auto")) || str_eq(text, STR("off"))) {
		BUG_ON(!str_copy(c->table, sizeof c->table, text));
		return ERR_OK;
	}
	text_escaped(shown, sizeof shown, text);
	return err_set(e, ERR_INVALID,
		       "table: %s is neither auto nor off; the routes of this interface are those "
		       "of its network, in the main table",
		       shown);
}

static bool texts_read(struct http_request *r, struct agent_conf *c, const json_t *body)
{
	struct str address, dns, table, up, down;
	struct err e;

	if (!agent_text(r, body, "address", 400, &address) ||
	    !agent_text(r, body, "dns", 400, &dns) || !agent_text(r, body, "table", 32, &table) ||
	    !agent_text(r, body, "post_up", AGENT_HOOKS_MAX, &up) ||
	    !agent_text(r, body, "pre_down", AGENT_HOOKS_MAX, &down))
		return false;
	if (address.p && address_check(c, address, &e))
		return bad(r, &e);
	if (dns.p && dns_read(c, dns, &e))
		return bad(r, &e);
	if (table.p && table_read(c, table, &e))
		return bad(r, &e);
	BUG_ON(up.p && !str_copy(c->post_up, sizeof c->post_up, str_trim(up)));
	BUG_ON(down.p && !str_copy(c->pre_down, sizeof c->pre_down, str_trim(down)));
	return true;
}

bool agent_conf_read(struct http_request *r, struct agent_conf *c, const json_t *body)
{
	return key_read(r, c, body) && numbers_read(r, c, body) && texts_read(r, c, body);
}

/* ---- checks ---- */

static enum err_code port_free(uint16_t port, int family, struct err *e)
{
	struct endpoint any = { .addr.family = family == AF_INET ? IP_V4 : IP_V6, .port = port };
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&any, &sa);
	AUTO(fd_done) int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		return ERR_OK; /* a host without the family */
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(fd, (const struct sockaddr *)&sa, len) == 0 || errno == EADDRNOTAVAIL)
		return ERR_OK;
	return err_sys(e, errno, "listen_port: UDP port %u", port);
}

static enum err_code hooks_check(const struct agent_conf *c, const char *field, const char *text,
				 struct err *e)
{
	struct hooks h = { 0 };
	enum err_code rc =
		*text ? hooks_parse(&h, str_of(text), c->settings.ifname, STR(""), e) : ERR_OK;

	hooks_done(&h);
	return rc ? err_wrap(e, rc, "%s", field) : ERR_OK;
}

enum err_code agent_conf_check(struct agent *a, const struct agent_conf *old,
			       const struct agent_conf *new, struct err *e)
{
	const struct settings *s = &new->settings;
	struct public_key own;
	bool known = false;
	enum err_code rc = ERR_OK;

	if (s->network6.addr.family != IP_NONE && s->mtu < 1280)
		return err_set(e, ERR_INVALID, "mtu: %u is below the 1280 bytes that IPv6 needs",
			       s->mtu);
	if (s->port != old->settings.port) {
		rc = port_free(s->port, AF_INET, e);
		if (rc == ERR_OK)
			rc = port_free(s->port, AF_INET6, e);
	}
	if (rc == ERR_OK)
		rc = hooks_check(new, "post_up", new->post_up, e);
	if (rc == ERR_OK)
		rc = hooks_check(new, "pre_down", new->pre_down, e);
	if (rc)
		return rc;
	public_key_of(&own, &new->private_key);
	rc = store_client_key_known(a->c.core->store, &own, &known, e);
	if (rc == ERR_OK && known)
		rc = err_set(e, ERR_INVALID, "private_key: it is that of one of the peers");
	return rc;
}

/* ---- to the store ---- */

static enum err_code text_store(struct store *s, const char *name, const char *old, const char *new,
				struct err *e)
{
	return strcmp(old, new) == 0 ? ERR_OK : store_set_setting(s, name, str_of(new), e);
}

static enum err_code settings_changed(struct agent *a, const struct settings *new, struct err *e)
{
	static const enum setting which[] = { SETTING_PORT, SETTING_MTU, SETTING_DNS_PRIMARY,
					      SETTING_DNS_SECONDARY };
	struct store *s = a->c.core->store;
	AUTO(buf_done) struct buf old_text = { 0 };
	AUTO(buf_done) struct buf new_text = { 0 };
	enum err_code rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < ARRAY_LEN(which); i++) {
		buf_clear(&old_text);
		buf_clear(&new_text);
		settings_format(&a->c.core->settings, which[i], &old_text);
		settings_format(new, which[i], &new_text);
		if (str_eq(buf_view(&old_text), buf_view(&new_text)))
			continue;
		rc = settings_put(new, s, which[i], e);
		if (rc == ERR_OK)
			rc = settings_overrule(s, which[i], a->c.core->given->v[which[i]], e);
	}
	return rc;
}

enum err_code agent_conf_store(struct agent *a, const struct agent_conf *old,
			       const struct agent_conf *new, struct err *e)
{
	struct store *s = a->c.core->store;
	enum err_code rc = settings_changed(a, &new->settings, e);

	if (rc == ERR_OK && !ct_equal(&old->private_key, &new->private_key, KEY_LEN))
		rc = store_set_secret(s, CORE_SERVER_KEY, new->private_key.b, KEY_LEN, e);
	if (rc == ERR_OK)
		rc = text_store(s, AGENT_TABLE, old->table, new->table, e);
	if (rc == ERR_OK)
		rc = text_store(s, AGENT_POST_UP, old->post_up, new->post_up, e);
	if (rc == ERR_OK)
		rc = text_store(s, AGENT_PRE_DOWN, old->pre_down, new->pre_down, e);
	return rc;
}
