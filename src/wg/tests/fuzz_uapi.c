/* fuzz_uapi.c - any text as a `set`: what reaches the target is within the limits, and a written
 * `get` of it reads back as a `set` (but for the lines that only `get` has).
 */
#include "wg/uapi.h"

static enum err_code check_private(void *ctx, const struct secret_key *k, struct err *e)
{
	(void)ctx, (void)k, (void)e;
	return ERR_OK;
}

static enum err_code check_port(void *ctx, uint16_t port, struct err *e)
{
	(void)ctx;
	return port == 7 ? err_set(e, ERR_IN_USE, "port 7") : ERR_OK;
}

static enum err_code check_mark(void *ctx, uint32_t mark, struct err *e)
{
	(void)ctx, (void)mark, (void)e;
	return ERR_OK;
}

static enum err_code check_replace(void *ctx, struct err *e)
{
	(void)ctx, (void)e;
	return ERR_OK;
}

static enum err_code check_peer(void *ctx, const struct wg_peer_change *c, struct err *e)
{
	struct buf *dump = ctx;
	struct wg_peer_info p = { .public_key = c->public_key, .psk = c->psk };
	const uint64_t no_drops[WG_VERDICTS] = { 0 };
	struct buf again = { 0 };

	(void)e;
	BUG_ON(c->allowed_ip_count > WG_UAPI_PART_MAX);
	BUG_ON(c->allowed_ip_count && !c->allowed_ips);
	BUG_ON(c->has_endpoint && (!c->endpoint.port || !ip_bits(c->endpoint.addr.family)));
	for (size_t i = 0; i < c->allowed_ip_count; i++) {
		struct ip_prefix masked = c->allowed_ips[i].prefix;

		BUG_ON(!ip_bits(masked.addr.family) || masked.len > ip_bits(masked.addr.family));
		ip_prefix_mask(&masked);
		BUG_ON(!ip_eq(&masked.addr, &c->allowed_ips[i].prefix.addr));
	}
	if (!dump)
		return ERR_OK;
	if (c->has_endpoint)
		p.endpoint = c->endpoint;
	p.keepalive_s = c->keepalive_s;
	wg_uapi_put_peer(dump, &p);
	p.limits = (struct wg_limits_info){ .rate_bps = { c->limits.rate_bps[WG_UP],
							  c->limits.rate_bps[WG_DOWN] },
					    .burst = c->limits.burst,
					    .quota = c->limits.quota,
					    .quota_used = c->limits.quota_used,
					    .expires_wall_ns = c->limits.expires_wall_ns };
	BUG_ON(p.limits.expires_wall_ns < 0);
	wg_uapi_put_extensions(dump, &p, no_drops);
	wg_uapi_put_limits_change(&again, &c->limits);
	BUG_ON((c->limits.set != 0) != (again.n != 0));
	buf_add(dump, again.n ? again.p : "", again.n);
	buf_done(&again);
	for (size_t i = 0; i < c->allowed_ip_count; i++)
		wg_uapi_put_allowed_ips(dump, &c->allowed_ips[i].prefix, 1);
	return ERR_OK;
}

static int set(struct buf *dump, struct str text)
{
	struct wg_uapi_target t = { dump,	check_private, check_port,
				    check_mark, check_replace, check_peer };
	struct wg_uapi_set *s = wg_uapi_set_new(&t);
	struct str line;
	struct err e = { 0 };
	int answer;

	BUG_ON(!s);
	while (str_cut(&text, '\n', &line)) {
		if (str_starts(line, STR("last_handshake")) || str_starts(line, STR("tx_bytes")) ||
		    str_starts(line, STR("rx_bytes")))
			continue;
		wg_uapi_set_line(s, line);
	}
	answer = wg_uapi_set_end(s, &e);
	BUG_ON(answer > 0 || (answer != 0) != (e.code != ERR_OK) || (answer && !e.msg[0]));
	wg_uapi_set_free(s);
	return answer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf dump = { 0 };

	(void)set(&dump, (struct str){ (const char *)data, len });
	BUG_ON(buf_ok(&dump) && set(NULL, buf_view(&dump)) != 0);
	buf_done(&dump);
	return 0;
}
