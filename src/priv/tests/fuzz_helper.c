/* A request with some of its bytes set: what the check lets through is within its bounds. */
#include "priv/helper_message.h"

static struct helper_request q;

static bool ends(const char *text, size_t room)
{
	return memchr(text, 0, room) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Pieces: where they go (le16, in bytes), how long they are, the bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err e;

	memset(&q, 0, sizeof q);
	if (len > 0)
		q.ask = data[0] % (HELPER_ASKS + 2);
	for (size_t at = 1; at + 3 <= len;) {
		size_t to = (size_t)(data[at] | data[at + 1] << 8) % sizeof q;
		size_t n = data[at + 2];

		at += 3;
		n = MIN(n, MIN(len - at, sizeof q - to));
		memcpy((uint8_t *)&q + to, data + at, n);
		at += n;
	}
	if (helper_request_check(&q, &e))
		return 0;
	BUG_ON(q.flag > 1 || q.ask == 0 || q.ask >= HELPER_ASKS);
	BUG_ON(!ends(q.ifname, sizeof q.ifname));
	if (q.ask == ASK_NET_APPLY) {
		const struct net_want *w = &q.u.want;

		BUG_ON(w->tunnel_count > NET_TUNNELS_MAX || w->route_count > NET_ROUTES_MAX ||
		       w->rule_count > NET_RULES_MAX || w->port_count > NET_PORTS_MAX ||
		       w->redirect_count > NET_REDIRECTS_MAX || w->pass_count > NET_PASSES_MAX);
		for (size_t i = 0; i < w->tunnel_count; i++)
			BUG_ON(!ends(w->tunnels[i].ifname, NET_NAME_MAX) ||
			       w->tunnels[i].address_count > NET_ADDRESSES_MAX ||
			       w->tunnels[i].masquerade_count > NET_ADDRESSES_MAX);
	}
	if (q.ask == ASK_HOOKS)
		BUG_ON(!ends(q.u.text, sizeof q.u.text));
	if (q.ask == ASK_OPEN_FILE)
		BUG_ON(!ends(q.u.file.path, sizeof q.u.file.path) ||
		       !ends(q.u.file.name, sizeof q.u.file.name));
	if (q.ask == ASK_DEVICE_OPEN)
		BUG_ON(ifname_check(str_of(q.u.device.ifname), NULL) != ERR_OK);
	return 0;
}
