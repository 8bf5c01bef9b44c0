#include "net/nft.h"

#include "base/fault.h"
#include "net/run.h"
#include "nl/nft_watch.h"

static const char *const nft_paths[] = { "/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", NULL };
#define NFT_PACKAGE "nftables"
#define LOADS_MAX 4

bool nft_table_valid(struct str table)
{
	struct str prefix = STR(NET_TABLE_PREFIX);

	return str_starts(table, prefix) &&
	       ifname_ok((struct str){ table.p + prefix.n, table.n - prefix.n });
}

void nft_table_name(char out[NFT_TABLE_MAX], const char *ifname)
{
	snprintf(out, NFT_TABLE_MAX, NET_TABLE_PREFIX "%s", ifname);
}

/* nft refuses host bits in some places and overlapping elements in a set: masked, and left out
 * when an earlier or wider one of the list has it already. */
static bool covered(const struct ip_prefix *nets, size_t n, size_t i)
{
	size_t k;

	for (k = 0; k < n; k++)
		if (k != i && ip_prefix_overlap(&nets[k], &nets[i]) &&
		    (nets[k].len < nets[i].len || (nets[k].len == nets[i].len && k < i)))
			return true;
	return false;
}

/* "10.8.0.0/24, 10.9.0.0/24": the networks of one family; false when there are none. */
static bool add_networks(struct buf *out, const struct ip_prefix *nets, size_t n, uint8_t family)
{
	char text[PREFIX_TEXT_MAX];
	bool any = false;
	size_t i;

	for (i = 0; i < n; i++) {
		struct ip_prefix p = nets[i];

		if (p.addr.family != family || covered(nets, n, i))
			continue;
		ip_prefix_mask(&p);
		ip_prefix_format(text, &p);
		buf_printf(out, "%s%s", any ? ", " : "", text);
		any = true;
	}
	return any;
}

static const char *family_word(uint8_t family)
{
	return family == IP_V4 ? "ip" : "ip6";
}

/* A family of which the tunnel has no network has no rightful source at all. */
static void add_spoof_rule(struct buf *out, const struct net_tunnel *t, uint8_t family)
{
	AUTO(buf_done) struct buf set = { 0 };
	struct ip_prefix nets[2 * NET_ADDRESSES_MAX];
	size_t n = 0, i;

	for (i = 0; i < t->masquerade_count; i++)
		nets[n++] = t->masquerade[i];
	for (i = 0; i < t->address_count; i++)
		nets[n++] = t->addresses[i];
	if (add_networks(&set, nets, n, family))
		buf_printf(
			out,
			"\t\tiifname \"%s\" %s saddr != { %.*s } counter name \"spoofed\" drop\n",
			t->ifname, family_word(family), STR_ARG(buf_view(&set)));
	else
		buf_printf(out,
			   "\t\tiifname \"%s\" meta nfproto %s counter name \"spoofed\" drop\n",
			   t->ifname, family == IP_V4 ? "ipv4" : "ipv6");
	if (!buf_ok(&set))
		out->full = true;
}

/* The tunnel itself, lo, and where the source is kept: "wg_main", "lo", "wg_other". */
static void add_inside(struct buf *out, const struct net_want *w, const struct net_tunnel *t)
{
	size_t i;

	buf_printf(out, "\"%s\", \"lo\"", t->ifname);
	for (i = 0; i < w->pass_count; i++)
		if (w->passes[i].keeps_source && !strcmp(w->passes[i].from, t->ifname) &&
		    strcmp(w->passes[i].to, t->ifname))
			buf_printf(out, ", \"%s\"", w->passes[i].to);
}

static void add_masquerade_rule(struct buf *out, const struct net_want *w,
				const struct net_tunnel *t, uint8_t family)
{
	AUTO(buf_done) struct buf set = { 0 };

	if (add_networks(&set, t->masquerade, t->masquerade_count, family)) {
		buf_z(out, "\t\toifname != { ");
		add_inside(out, w, t);
		buf_printf(out, " } %s saddr { %.*s } masquerade\n", family_word(family),
			   STR_ARG(buf_view(&set)));
	}
	if (!buf_ok(&set))
		out->full = true;
}

static const char *protocol_word(uint8_t protocol)
{
	return protocol == IPPROTO_UDP ? "udp" : "tcp";
}

/* ---- what stands in each chain ---- */

static void add_spoofed(struct buf *out, const struct net_want *w)
{
	size_t i;

	for (i = 0; i < w->tunnel_count; i++) {
		if (!w->tunnels[i].masquerade_count)
			continue;
		add_spoof_rule(out, &w->tunnels[i], IP_V4);
		add_spoof_rule(out, &w->tunnels[i], IP_V6);
	}
}

static void add_redirects(struct buf *out, const struct net_want *w)
{
	size_t i;

	for (i = 0; i < w->redirect_count; i++) {
		const struct net_redirect *r = &w->redirects[i];

		buf_printf(out, "\t\tiifname \"%s\" %s dport %u redirect to :%u\n", r->ifname,
			   protocol_word(r->protocol), r->port, r->to_port);
	}
}

/* What the host sends to itself passes by lo, whatever its address. */
static void add_port(struct buf *out, const struct net_port *p, uint8_t family)
{
	AUTO(buf_done) struct buf set = { 0 };

	buf_printf(out, "\t\tiifname != \"lo\" meta nfproto %s %s dport %u",
		   family == IP_V4 ? "ipv4" : "ipv6", protocol_word(p->protocol), p->port);
	if (add_networks(&set, p->from, p->from_count, family))
		buf_printf(out, " %s saddr != { %.*s }", family_word(family),
			   STR_ARG(buf_view(&set)));
	buf_z(out, " drop\n");
	if (!buf_ok(&set))
		out->full = true;
}

static void add_ports(struct buf *out, const struct net_want *w)
{
	size_t i;

	for (i = 0; i < w->port_count; i++) {
		add_port(out, &w->ports[i], IP_V4);
		add_port(out, &w->ports[i], IP_V6);
	}
}

static void add_segment_sizes(struct buf *out, const struct net_tunnel *t)
{
	buf_printf(out,
		   "\t\tiifname \"%s\" tcp flags & (syn | rst) == syn tcp option maxseg size set "
		   "rt mtu\n"
		   "\t\toifname \"%s\" tcp flags & (syn | rst) == syn tcp option maxseg size set "
		   "rt mtu\n",
		   t->ifname, t->ifname);
}

/* From any tunnel to any; within one tunnel is its own affair. */
static void add_separation(struct buf *out, const struct net_want *w)
{
	size_t i, k;

	for (i = 0; i < w->pass_count; i++)
		buf_printf(out, "\t\tiifname \"%s\" oifname \"%s\" accept\n", w->passes[i].from,
			   w->passes[i].to);
	for (i = 0; i < w->tunnel_count; i++) {
		bool any = false;

		for (k = 0; k < w->tunnel_count; k++) {
			if (k == i)
				continue;
			if (!any)
				buf_printf(out, "\t\tiifname \"%s\" oifname { ",
					   w->tunnels[i].ifname);
			buf_printf(out, "%s\"%s\"", any ? ", " : "", w->tunnels[k].ifname);
			any = true;
		}
		if (any)
			buf_z(out, " } drop\n");
	}
}

/* An accept ends only this chain, so the segment sizes come first. */
static void add_forward(struct buf *out, const struct net_want *w)
{
	size_t i;

	for (i = 0; i < w->tunnel_count; i++)
		if (w->tunnels[i].masquerade_count)
			add_segment_sizes(out, &w->tunnels[i]);
	for (i = 0; i < w->tunnel_count; i++)
		if (w->tunnels[i].isolated)
			buf_printf(out, "\t\tiifname \"%s\" oifname \"%s\" drop\n",
				   w->tunnels[i].ifname, w->tunnels[i].ifname);
	if (w->separate)
		add_separation(out, w);
}

static void add_masquerade(struct buf *out, const struct net_want *w)
{
	size_t i;

	for (i = 0; i < w->tunnel_count; i++) {
		add_masquerade_rule(out, w, &w->tunnels[i], IP_V4);
		add_masquerade_rule(out, w, &w->tunnels[i], IP_V6);
	}
}

/* ---- the table ---- */

static const struct {
	const char *name, *hook;
	void (*fill)(struct buf *out, const struct net_want *w);
} chains[] = {
	{ "prerouting", "type filter hook prerouting priority raw", add_spoofed },
	{ "redirection", "type nat hook prerouting priority dstnat", add_redirects },
	{ "input", "type filter hook input priority filter", add_ports },
	{ "forward", "type filter hook forward priority mangle", add_forward },
	{ "postrouting", "type nat hook postrouting priority srcnat", add_masquerade },
};

/* Nothing goes into the text but names that plan_check has let through, numbers and addresses. */
void nft_table_text(struct buf *out, const struct net_want *w)
{
	AUTO(buf_done) struct buf body = { 0 }, rules = { 0 };
	char table[NFT_TABLE_MAX];
	size_t i;

	for (i = 0; i < ARRAY_LEN(chains); i++) {
		buf_clear(&rules);
		chains[i].fill(&rules, w);
		if (rules.n)
			buf_printf(&body, "\tchain %s {\n\t\t%s; policy accept;\n%.*s\t}\n",
				   chains[i].name, chains[i].hook, STR_ARG(buf_view(&rules)));
	}
	if (!buf_ok(&body) || !buf_ok(&rules))
		out->full = true;
	if (!body.n)
		return;
	BUG_ON(!ifname_ok(str_of(w->tunnels[0].ifname)));
	nft_table_name(table, w->tunnels[0].ifname);
	buf_clear(&rules);
	add_spoofed(&rules, w);
	buf_printf(out, "table inet %s {\n%s%.*s}\n", table,
		   rules.n ? "\tcounter spoofed { }\n" : "", STR_ARG(buf_view(&body)));
}

enum err_code nft_table_load(const char *table, struct str text, struct err *e)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };
	AUTO(buf_done) struct buf script = { 0 };
	enum err_code rc;

	BUG_ON(!nft_table_valid(str_of(table)));
	if (FAULT("net.nft"))
		return err_set(e, ERR_IO, "load nft table inet %s: injected failure", table);
	/* Adding first makes the deletion right whether it was there or not. */
	buf_printf(&script, "add table inet %s\ndelete table inet %s\n", table, table);
	buf_str(&script, text);
	if (!buf_ok(&script))
		return err_set(e, ERR_NOMEM, "no memory for nft table inet %s", table);
	rc = run_program(nft_paths, NFT_PACKAGE, argv, buf_view(&script), NULL, e);
	if (rc)
		return err_wrap(e, rc, "%s nft table inet %s", text.n ? "load" : "delete", table);
	return ERR_OK;
}

/* The list of tables is asked for: the words in which nft refuses a missing table differ by version. */
enum err_code nft_table_exists(const char *table, bool *exists, struct err *e)
{
	static const char *const argv[] = { "nft", "list", "tables", "inet", NULL };
	AUTO(buf_done) struct buf out = { 0 };
	char want[NFT_TABLE_MAX + 16];
	struct str rest, line;
	enum err_code rc;

	snprintf(want, sizeof want, "table inet %s", table);
	rc = run_program(nft_paths, NFT_PACKAGE, argv, STR(""), &out, e);
	if (rc)
		return err_wrap(e, rc, "look for nft table inet %s", table);
	*exists = false;
	rest = buf_view(&out);
	while (str_cut(&rest, '\n', &line))
		if (str_eq(str_trim(line), str_of(want)))
			*exists = true;
	return ERR_OK;
}

enum err_code nft_table_list(const char *table, struct buf *out, struct err *e)
{
	const char *const argv[] = { "nft", "-s", "list", "table", "inet", table, NULL };
	struct err why = { 0 };
	enum err_code rc;
	bool exists = false;

	BUG_ON(!nft_table_valid(str_of(table)));
	rc = nft_table_exists(table, &exists, e);
	if (rc || !exists)
		return rc;
	rc = run_program(nft_paths, NFT_PACKAGE, argv, STR(""), out, &why);
	/* Somebody may have deleted it since. */
	if (rc == ERR_IO && nft_table_exists(table, &exists, NULL) == ERR_OK && !exists)
		return ERR_OK;
	if (rc && e)
		*e = why;
	return rc ? err_wrap(e, rc, "read nft table inet %s", table) : ERR_OK;
}

/* One transaction of ours since `before`, and none of anybody else: its generation, else 0. */
static uint32_t only_ours(bool counts, uint32_t before)
{
	uint32_t now;

	return counts && !nl_nft_generation(&now, NULL) && now - before == 1 ? now : 0;
}

/* On a host where other tables keep changing, the same listing twice does as well: whoever changes
 * ours between load and listing would have to do so each time. */
enum err_code nft_table_load_listed(const char *table, struct str text, struct buf *listing,
				    uint32_t *generation, struct err *e)
{
	AUTO(buf_done) struct buf before = { 0 }, now = { 0 };
	uint32_t last = 0;
	enum err_code rc;
	int i;

	for (i = 0; i < LOADS_MAX; i++) {
		bool counts = nl_nft_generation(&last, NULL) == ERR_OK;

		buf_clear(&now);
		rc = nft_table_load(table, text, e);
		if (!rc)
			rc = nft_table_list(table, &now, e);
		if (rc)
			return rc;
		*generation = only_ours(counts, last);
		if (text.n && !now.n)
			continue; /* it was deleted at once */
		if (*generation || (i && str_eq(buf_view(&before), buf_view(&now)))) {
			buf_str(listing, buf_view(&now));
			return buf_ok(listing) ? ERR_OK
					       : err_set(e, ERR_NOMEM,
							 "no memory for nft table inet %s", table);
		}
		buf_clear(&before);
		buf_str(&before, buf_view(&now));
	}
	return err_set(e, ERR_IN_USE, "another program keeps changing nft table inet %s", table);
}
