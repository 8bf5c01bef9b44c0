/* fuzz_conf.c - any text as a configuration: what is read can be written, and what is written
 * reads back as the same.
 */
#include "wg/conf.h"

static bool text_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool prefixes_same(const struct ip_prefix *a, size_t an, const struct ip_prefix *b,
			  size_t bn)
{
	if (an != bn)
		return false;
	for (size_t i = 0; i < an; i++)
		if (a[i].len != b[i].len || !ip_eq(&a[i].addr, &b[i].addr))
			return false;
	return true;
}

static bool peer_same(const struct wg_conf_peer *a, const struct wg_conf_peer *b)
{
	return text_same(a->name, b->name) && ct_equal(&a->public_key, &b->public_key, KEY_LEN) &&
	       a->has_psk == b->has_psk && ct_equal(&a->psk, &b->psk, KEY_LEN) &&
	       text_same(a->endpoint, b->endpoint) && a->has_keepalive == b->has_keepalive &&
	       a->keepalive_s == b->keepalive_s &&
	       prefixes_same(a->allowed_ips, a->allowed_ip_count, b->allowed_ips,
			     b->allowed_ip_count);
}

static bool same(const struct wg_conf *a, const struct wg_conf *b)
{
	if (a->has_private_key != b->has_private_key ||
	    !ct_equal(&a->private_key, &b->private_key, KEY_LEN) ||
	    a->has_listen_port != b->has_listen_port || a->listen_port != b->listen_port ||
	    a->has_fwmark != b->has_fwmark || a->fwmark != b->fwmark || a->has_mtu != b->has_mtu ||
	    a->mtu != b->mtu || a->save_config != b->save_config ||
	    !prefixes_same(a->addresses, a->address_count, b->addresses, b->address_count) ||
	    a->dns_count != b->dns_count || !text_same(a->dns_search, b->dns_search) ||
	    !text_same(a->table, b->table) || a->command_count != b->command_count ||
	    a->peer_count != b->peer_count)
		return false;
	for (size_t i = 0; i < a->dns_count; i++)
		if (!ip_eq(&a->dns[i], &b->dns[i]))
			return false;
	for (size_t i = 0; i < a->command_count; i++)
		if (a->commands[i].when != b->commands[i].when ||
		    !text_same(a->commands[i].text, b->commands[i].text))
			return false;
	for (size_t i = 0; i < a->peer_count; i++)
		if (!peer_same(&a->peers[i], &b->peers[i]))
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct wg_conf a, b;
	struct buf text = { 0 };
	struct err e = { 0 };

	/* Messages with the nearest key cost more than all the rest: they are asked for now and then. */
	struct err *listen = len % 8 ? NULL : &e;

	if (wg_conf_parse(&a, (struct str){ (const char *)data, len }, "fuzz", listen)) {
		BUG_ON(listen && (!e.msg[0] || e.code == ERR_OK));
		return 0;
	}
	BUG_ON(wg_conf_write(&text, &a, &e));
	BUG_ON(wg_conf_parse(&b, buf_view(&text), "fuzz", &e));
	BUG_ON(!same(&a, &b));
	wg_conf_done(&a);
	wg_conf_done(&b);
	buf_done(&text);
	return 0;
}
