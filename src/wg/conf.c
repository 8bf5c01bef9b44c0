#include "wg/conf.h"

/* What both directions hold a text to, so that whatever is read can be written and the reverse. */

bool wg_conf_text_ok(struct str s)
{
	if (!s.n || str_trim(s).n != s.n)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f ||
		    s.p[i] == '#')
			return false;
	return true;
}

bool wg_conf_name_ok(struct str s)
{
	if (!s.n || s.n > WG_CONF_NAME_MAX || str_trim(s).n != s.n || !utf8_valid(s))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

/* Letters, digits, '-', '_' and '.', up to the 253 characters of RFC 1035. */
static bool host_ok(struct str s)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789-_.";

	if (!s.n || s.n > 253 || s.p[0] == '-' || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!memchr(allowed, s.p[i], sizeof allowed - 1))
			return false;
	return true;
}

bool wg_conf_endpoint_ok(struct str s)
{
	const char *colon = s.n ? memrchr(s.p, ':', s.n) : NULL;
	struct endpoint numeric;
	struct str host, port;
	uint32_t number;

	if (!colon)
		return false;
	if (endpoint_parse(s, &numeric))
		return true;
	host = (struct str){ s.p, (size_t)(colon - s.p) };
	port = (struct str){ colon + 1, s.n - host.n - 1 };
	return host_ok(host) && u32_parse(port, 1, UINT16_MAX, &number);
}

bool wg_conf_table_ok(struct str s)
{
	uint32_t number;

	return str_eq(s, STR("off")) || str_eq(s, STR("auto")) ||
	       u32_parse(s, 1, UINT32_MAX, &number);
}

bool wg_conf_search_ok(struct str s)
{
	struct str domain;

	if (!s.n || s.n > WG_CONF_SEARCH_MAX || s.p[s.n - 1] == ',')
		return false;
	while (str_cut(&s, ',', &domain))
		if (!host_ok(domain))
			return false;
	return true;
}

void wg_conf_done(struct wg_conf *c)
{
	key_order_done(&c->by_key);
	for (size_t i = 0; i < c->peer_count; i++) {
		free(c->peers[i].name);
		free(c->peers[i].endpoint);
		free(c->peers[i].allowed_ips);
	}
	if (c->peers)
		wipe(c->peers, c->peer_count * sizeof *c->peers);
	free(c->peers);
	for (size_t i = 0; i < c->command_count; i++)
		free(c->commands[i].text);
	free(c->dns_search);
	free(c->table);
	wipe(c, sizeof *c);
}
