#include "wg/conf.h"

/* Prefixes on one line, so that no line nears WG_CONF_LINE_MAX. */
#define IPS_ON_A_LINE 256
/* Leaves room for "PostDown = ". */
#define COMMAND_MAX (WG_CONF_LINE_MAX - 64)

static enum err_code refuse(struct err *e, const char *key, struct str value)
{
	char shown[100];

	text_escaped(shown, sizeof shown, value);
	return err_set(e, ERR_INVALID, "%s = %s: cannot stand in a configuration file", key, shown);
}

static enum err_code put_text(struct buf *out, const char *key, const char *value, bool ok,
			      struct err *e)
{
	struct str s = str_of(value);

	if (!ok || !wg_conf_text_ok(s))
		return refuse(e, key, s);
	buf_printf(out, "%s = ", key);
	buf_str(out, s);
	buf_char(out, '\n');
	return ERR_OK;
}

static void put_key(struct buf *out, const char *key, const uint8_t b[KEY_LEN])
{
	char text[KEY_TEXT_MAX];

	base64_encode(text, b, KEY_LEN);
	buf_printf(out, "%s = ", key);
	buf_z(out, text);
	buf_char(out, '\n');
	wipe(text, sizeof text);
}

static void put_prefixes(struct buf *out, const char *key, const struct ip_prefix *p, size_t n)
{
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		if (i % IPS_ON_A_LINE == 0)
			buf_printf(out, "%s%s = ", i ? "\n" : "", key);
		else
			buf_z(out, ", ");
		ip_prefix_format(text, &p[i]);
		buf_z(out, text);
	}
	if (n)
		buf_char(out, '\n');
}

static enum err_code put_dns(struct buf *out, const struct wg_conf *c, struct err *e)
{
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < c->dns_count; i++) {
		ip_format(text, &c->dns[i]);
		buf_printf(out, "%s%s", i ? ", " : "DNS = ", text);
	}
	if (c->dns_count)
		buf_char(out, '\n');
	if (!c->dns_search)
		return ERR_OK;
	return put_text(out, "DNS", c->dns_search, wg_conf_search_ok(str_of(c->dns_search)), e);
}

static enum err_code put_commands(struct buf *out, const struct wg_conf *c, struct err *e)
{
	static const char *const names[] = {
		[WG_PRE_UP] = "PreUp",
		[WG_POST_UP] = "PostUp",
		[WG_PRE_DOWN] = "PreDown",
		[WG_POST_DOWN] = "PostDown",
	};

	for (size_t i = 0; i < c->command_count; i++) {
		const char *text = c->commands[i].text;
		enum err_code rc = put_text(out, names[c->commands[i].when], text,
					    str_of(text).n <= COMMAND_MAX, e);

		if (rc)
			return rc;
	}
	return ERR_OK;
}

static enum err_code put_interface(struct buf *out, const struct wg_conf *c, struct err *e)
{
	enum err_code rc;

	buf_z(out, "[Interface]\n");
	if (c->has_private_key)
		put_key(out, "PrivateKey", c->private_key.b);
	put_prefixes(out, "Address", c->addresses, c->address_count);
	rc = put_dns(out, c, e);
	if (rc)
		return rc;
	if (c->has_mtu && (c->mtu < WG_CONF_MTU_MIN || c->mtu > UINT16_MAX))
		return err_set(e, ERR_RANGE, "MTU = %u: an MTU is 576 to 65535", c->mtu);
	if (c->has_mtu)
		buf_printf(out, "MTU = %u\n", c->mtu);
	if (c->has_listen_port)
		buf_printf(out, "ListenPort = %u\n", c->listen_port);
	if (c->has_fwmark && c->fwmark)
		buf_printf(out, "FwMark = 0x%x\n", c->fwmark);
	else if (c->has_fwmark)
		buf_z(out, "FwMark = off\n");
	if (c->table) {
		rc = put_text(out, "Table", c->table, wg_conf_table_ok(str_of(c->table)), e);
		if (rc)
			return rc;
	}
	if (c->save_config)
		buf_z(out, "SaveConfig = true\n");
	return put_commands(out, c, e);
}

static enum err_code put_peer(struct buf *out, const struct wg_conf_peer *p, struct err *e)
{
	enum err_code rc;

	if (out->n)
		buf_char(out, '\n');
	if (p->name) {
		if (!wg_conf_name_ok(str_of(p->name)))
			return refuse(e, "# Client", str_of(p->name));
		buf_z(out, "# Client: ");
		buf_z(out, p->name);
		buf_char(out, '\n');
	}
	buf_z(out, "[Peer]\n");
	put_key(out, "PublicKey", p->public_key.b);
	if (p->has_psk)
		put_key(out, "PresharedKey", p->psk.b);
	if (p->endpoint) {
		rc = put_text(out, "Endpoint", p->endpoint,
			      wg_conf_endpoint_ok(str_of(p->endpoint)), e);
		if (rc)
			return rc;
	}
	put_prefixes(out, "AllowedIPs", p->allowed_ips, p->allowed_ip_count);
	if (p->has_keepalive && p->keepalive_s)
		buf_printf(out, "PersistentKeepalive = %u\n", p->keepalive_s);
	else if (p->has_keepalive)
		buf_z(out, "PersistentKeepalive = off\n");
	return ERR_OK;
}

enum err_code wg_conf_write(struct buf *out, const struct wg_conf *c, struct err *e)
{
	enum err_code rc = put_interface(out, c, e);

	for (size_t i = 0; i < c->peer_count && !rc; i++)
		rc = put_peer(out, &c->peers[i], e);
	if (!rc && !buf_ok(out))
		rc = err_set(e, ERR_FULL, "the configuration is too long to be written");
	return rc;
}
