#include "agent/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "agent/iface.h"
#include "net/hooks.h"

#define ADDRESSES_TEXT_MAX (AGENT_ADDRESSES_MAX * (PREFIX_TEXT_MAX + 2))
#define DNS_TEXT_MAX (2 * IP_TEXT_MAX + 4)
#define NOT_VALID "Configuration validation failed: "

void agent_conf_done(struct agent_conf *c)
{
	wipe(c, sizeof *c);
}

/* ---- as texts ---- */

static void address_text(char out[ADDRESSES_TEXT_MAX], const struct agent_conf *c)
{
	char text[PREFIX_TEXT_MAX];
	size_t n = 0;

	out[0] = 0;
	for (size_t i = 0; i < c->address_count; i++) {
		ip_prefix_format(text, &c->addresses[i]);
		n += (size_t)snprintf(out + n, ADDRESSES_TEXT_MAX - n, "%s%s", n ? ", " : "", text);
	}
}

static void dns_text(char out[DNS_TEXT_MAX], const struct agent_conf *c)
{
	char text[IP_TEXT_MAX];
	size_t n = 0;

	out[0] = 0;
	for (size_t i = 0; i < ARRAY_LEN(c->dns); i++) {
		if (c->dns[i].family == IP_NONE)
			continue;
		ip_format(text, &c->dns[i]);
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
		      c->port, "address", address, "post_up", text_or_null(c->post_up), "pre_down",
		      text_or_null(c->pre_down), "mtu", c->mtu, "dns", text_or_null(dns), "table",
		      text_or_null(c->table));
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

bool agent_addresses_same(const struct agent_conf *a, const struct agent_conf *b)
{
	bool same = a->address_count == b->address_count;

	for (size_t i = 0; same && i < a->address_count; i++)
		same = ip_eq(&a->addresses[i].addr, &b->addresses[i].addr) &&
		       a->addresses[i].len == b->addresses[i].len;
	return same;
}

void agent_peer_text(struct buf *out, const char *name, const struct public_key *k,
		     const struct psk *psk, const struct ip_prefix *ips, size_t n,
		     uint16_t keepalive_s)
{
	char key[KEY_TEXT_MAX], prefix[PREFIX_TEXT_MAX];

	public_key_text(key, k);
	buf_char(out, '\n');
	if (name)
		buf_printf(out, "# Client: %s\n", name);
	buf_printf(out, "[Peer]\nPublicKey = %s\n", key);
	if (!ct_is_zero(psk, KEY_LEN)) {
		base64_encode(key, psk->b, KEY_LEN);
		buf_printf(out, "PresharedKey = %s\n", key);
		wipe(key, sizeof key);
	}
	if (n)
		buf_z(out, "AllowedIPs = ");
	for (size_t i = 0; i < n; i++) {
		ip_prefix_format(prefix, &ips[i]);
		buf_printf(out, "%s%s%s", i ? ", " : "", prefix, i + 1 == n ? "\n" : "");
	}
	if (keepalive_s)
		buf_printf(out, "PersistentKeepalive = %u\n", keepalive_s);
}

enum err_code agent_conf_text(struct buf *out, const struct agent_iface *i,
			      const struct agent_conf *c, struct err *e)
{
	char key[KEY_TEXT_MAX], address[ADDRESSES_TEXT_MAX], dns[DNS_TEXT_MAX];
	enum err_code rc;

	base64_encode(key, c->private_key.b, KEY_LEN);
	address_text(address, c);
	dns_text(dns, c);
	buf_printf(out, "[Interface]\nPrivateKey = %s\nListenPort = %u\nAddress = %s\nMTU = %u\n",
		   key, c->port, address, c->mtu);
	wipe(key, sizeof key);
	if (*dns)
		buf_printf(out, "DNS = %s\n", dns);
	if (*c->table)
		buf_printf(out, "Table = %s\n", c->table);
	if (*c->post_up)
		buf_printf(out, "PostUp = %s\n", c->post_up);
	if (*c->pre_down)
		buf_printf(out, "PreDown = %s\n", c->pre_down);
	rc = i->ops->peers_text(i, out, e);
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
		c->port = (uint16_t)n;
	if (!agent_number(r, body, "mtu", 576, UINT16_MAX, &n, &found))
		return false;
	if (found)
		c->mtu = (uint16_t)n;
	return true;
}

static enum err_code address_read(const struct agent_iface *i, struct agent_conf *c,
				  struct str text, struct err *e)
{
	struct ip_prefix p[AGENT_ADDRESSES_MAX];
	struct str piece;
	size_t n = 0;
	char shown[80];

	while (str_cut(&text, ',', &piece)) {
		piece = str_trim(piece);
		text_escaped(shown, sizeof shown, piece);
		if (n == ARRAY_LEN(p))
			return err_set(e, ERR_INVALID, "address: at most %d are possible",
				       AGENT_ADDRESSES_MAX);
		if (!ip_prefix_parse(piece, &p[n++]))
			return err_set(e, ERR_INVALID,
				       "address: %s is no address such as 10.8.0.1/24", shown);
	}
	return i->ops->set_addresses(i, c, p, n, e);
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
	memcpy(c->dns, dns, sizeof dns);
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

static bool texts_read(struct http_request *r, const struct agent_iface *i, struct agent_conf *c,
		       const json_t *body)
{
	struct str address, dns, table, up, down;
	struct err e;

	if (!agent_text(r, body, "address", 400, &address) ||
	    !agent_text(r, body, "dns", 400, &dns) || !agent_text(r, body, "table", 32, &table) ||
	    !agent_text(r, body, "post_up", COMMANDS_MAX, &up) ||
	    !agent_text(r, body, "pre_down", COMMANDS_MAX, &down))
		return false;
	if (address.p && address_read(i, c, address, &e))
		return bad(r, &e);
	if (dns.p && dns_read(c, dns, &e))
		return bad(r, &e);
	if (table.p && table_read(c, table, &e))
		return bad(r, &e);
	BUG_ON(up.p && !str_copy(c->post_up, sizeof c->post_up, str_trim(up)));
	BUG_ON(down.p && !str_copy(c->pre_down, sizeof c->pre_down, str_trim(down)));
	return true;
}

bool agent_conf_read(struct http_request *r, const struct agent_iface *i, struct agent_conf *c,
		     const json_t *body)
{
	return key_read(r, c, body) && numbers_read(r, c, body) && texts_read(r, i, c, body);
}

/* ---- checks ---- */

static enum err_code port_free_of(uint16_t port, int family, struct err *e)
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
	/* EACCES: below 1024, which this process may not have; the device's keeper may, and says so if not. */
	if (bind(fd, (const struct sockaddr *)&sa, len) == 0 || errno == EADDRNOTAVAIL ||
	    errno == EACCES)
		return ERR_OK;
	return err_sys(e, errno, "listen_port: UDP port %u", port);
}

enum err_code agent_port_free(uint16_t port, struct err *e)
{
	enum err_code rc = port_free_of(port, AF_INET, e);

	return rc ? rc : port_free_of(port, AF_INET6, e);
}

static enum err_code hooks_check(const struct agent_iface *i, const char *field, const char *text,
				 struct err *e)
{
	struct hooks h = { 0 };
	enum err_code rc = ERR_OK;

	if (*text)
		rc = hooks_parse(&h, str_of(text), i->ifname, i->a->c.commands, e);

	hooks_done(&h);
	return rc ? err_wrap(e, rc, "%s", field) : ERR_OK;
}

static bool has_ipv6(const struct agent_conf *c)
{
	for (size_t i = 0; i < c->address_count; i++) {
		if (c->addresses[i].addr.family == IP_V6)
			return true;
	}
	return false;
}

enum err_code agent_conf_check(const struct agent_iface *i, const struct agent_conf *old,
			       const struct agent_conf *new, struct err *e)
{
	enum err_code rc = ERR_OK;

	if (has_ipv6(new) && new->mtu < 1280)
		return err_set(e, ERR_INVALID, "mtu: %u is below the 1280 bytes that IPv6 needs",
			       new->mtu);
	if (new->port != old->port)
		rc = agent_port_free(new->port, e);
	if (rc == ERR_OK)
		rc = hooks_check(i, "post_up", new->post_up, e);
	if (rc == ERR_OK)
		rc = hooks_check(i, "pre_down", new->pre_down, e);
	return rc ? rc : i->ops->check(i, old, new, e);
}
