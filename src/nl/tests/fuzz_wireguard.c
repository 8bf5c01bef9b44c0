/* fuzz_wireguard - a datagram as if from the kernel's WireGuard family: a device, its peers. */
#include "nl/wireguard_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct count {
	size_t peers, ips;
	uint8_t key[NL_WG_KEY];
};

static bool see_peer(void *ctx, const struct nl_wg_peer *p)
{
	struct count *c = ctx;

	BUG_ON(p->endpoint.addr.family && !ip_bits(p->endpoint.addr.family));
	BUG_ON(p->handshake_s < 0 || p->handshake_ns < 0 || p->handshake_ns >= 1000000000);
	BUG_ON(p->first_ip || p->ip_count);
	memcpy(c->key, p->public_key, sizeof c->key);
	c->peers++;
	return true;
}

static bool see_ip(void *ctx, const struct ip_prefix *ip)
{
	struct count *c = ctx;

	BUG_ON(!c->peers); /* each is somebody's */
	BUG_ON(!ip_bits(ip->addr.family) || ip->len > ip_bits(ip->addr.family));
	return ++c->ips < 1000;
}

static bool see_continued(void *ctx, const uint8_t key[NL_WG_KEY])
{
	struct count *c = ctx;

	return c->peers && memcmp(c->key, key, NL_WG_KEY) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct count c = { 0 };
	const struct nl_wg_sink sink = { &c, see_peer, see_ip, see_continued };
	struct nl_wg_device d = { 0 };
	struct rd r = rd_over(data, len);
	struct nl_message m;

	while (nl_message_next(&r, &m)) {
		if (!nl_wg_parse(&m, &d, &sink))
			break;
		BUG_ON(!memchr(d.name, '\0', sizeof d.name));
	}
	BUG_ON(c.peers > len / NL_WG_KEY);
	return 0;
}
