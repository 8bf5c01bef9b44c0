#include "core/client_conf.h"

#include "wg/conf.h"

/* Behind NAT a mapping lives about 30 s; 25 is what the reference writes (details 1.2). */
#define CLIENT_KEEPALIVE_S 25

enum err_code client_conf_endpoint(struct buf *out, const struct settings *s,
				   const struct ip_addr *fallback, struct err *e)
{
	uint16_t port = s->endpoint_port ? s->endpoint_port : s->port;
	const char *host = s->endpoint_host;
	char address[IP_TEXT_MAX];

	if (!*host) {
		if (fallback->family == IP_NONE)
			return err_set(
				e, ERR_MISSING,
				"the address of this gateway is not known: it has no default "
				"route; start it with --endpoint HOST");
		ip_format(address, fallback);
		host = address;
	}
	if (strchr(host, ':'))
		buf_printf(out, "[%s]:%u", host, port);
	else
		buf_printf(out, "%s:%u", host, port);
	return ERR_OK;
}

static void interface_fill(struct wg_conf *conf, const struct client *c, const struct settings *s)
{
	conf->has_private_key = true;
	conf->private_key = c->private_key;
	conf->addresses[conf->address_count++] =
		(struct ip_prefix){ .addr = c->ip, .len = s->network.len };
	if (c->ip6.family != IP_NONE)
		conf->addresses[conf->address_count++] =
			(struct ip_prefix){ .addr = c->ip6, .len = s->network6.len };
	for (size_t i = 0; i < ARRAY_LEN(s->dns); i++) {
		if (s->dns[i].family != IP_NONE)
			conf->dns[conf->dns_count++] = s->dns[i];
	}
	conf->has_mtu = true;
	conf->mtu = s->mtu;
}

/* Everything, and the tunnel's own network: the order of the reference, IPv6 behind it.  A client
 * without IPv6 in the tunnel keeps its own. */
static size_t allowed_fill(struct ip_prefix out[4], const struct client *c,
			   const struct settings *s)
{
	size_t n = 0;

	out[n++] = (struct ip_prefix){ .addr = { .family = IP_V4 } };
	out[n++] = s->network;
	if (c->ip6.family != IP_NONE) {
		out[n++] = (struct ip_prefix){ .addr = { .family = IP_V6 } };
		out[n++] = s->network6;
	}
	return n;
}

enum err_code client_conf_write(struct buf *out, const struct client *c, const struct settings *s,
				const struct public_key *server, const struct ip_addr *fallback,
				struct err *e)
{
	AUTO(buf_done) struct buf endpoint = { .limit = 512 };
	struct ip_prefix allowed[4];
	struct wg_conf_peer peer = {
		.public_key = *server,
		.has_psk = !ct_is_zero(&c->psk, sizeof c->psk),
		.psk = c->psk,
		.allowed_ips = allowed,
		.allowed_ip_count = allowed_fill(allowed, c, s),
		.has_keepalive = true,
		.keepalive_s = CLIENT_KEEPALIVE_S,
	};
	struct wg_conf conf = { .peers = &peer, .peer_count = 1 };
	enum err_code rc = client_conf_endpoint(&endpoint, s, fallback, e);

	if (rc)
		goto out;
	if (!buf_ok(&endpoint)) {
		rc = err_set(e, ERR_NOMEM, "client %s: out of memory", c->name);
		goto out;
	}
	peer.endpoint = endpoint.p;
	interface_fill(&conf, c, s);
	rc = wg_conf_write(out, &conf, e);
out:
	wipe(&conf, sizeof conf); /* all but keys is borrowed */
	wipe(&peer, sizeof peer);
	return rc;
}
