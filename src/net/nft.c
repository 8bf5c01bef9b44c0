#include "net/nft.h"

#include "base/fault.h"
#include "net/run.h"

static const char *const nft_paths[] = { "/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", NULL };
#define NFT_PACKAGE "nftables"

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
static void add_spoof_rule(struct buf *out, const struct net_want *w, uint8_t family)
{
	AUTO(buf_done) struct buf set = { 0 };
	struct ip_prefix nets[2 * NET_ADDRESSES_MAX];
	size_t n = 0, i;

	for (i = 0; i < w->masquerade_count; i++)
		nets[n++] = w->masquerade[i];
	for (i = 0; i < w->address_count; i++)
		nets[n++] = w->addresses[i];
	if (add_networks(&set, nets, n, family))
		buf_printf(
			out,
			"\t\tiifname \"%s\" %s saddr != { %.*s } counter name \"spoofed\" drop\n",
			w->ifname, family_word(family), STR_ARG(buf_view(&set)));
	else
		buf_printf(out,
			   "\t\tiifname \"%s\" meta nfproto %s counter name \"spoofed\" drop\n",
			   w->ifname, family == IP_V4 ? "ipv4" : "ipv6");
	if (!buf_ok(&set))
		out->full = true;
}

static void add_masquerade_rule(struct buf *out, const struct net_want *w, uint8_t family)
{
	AUTO(buf_done) struct buf set = { 0 };

	if (add_networks(&set, w->masquerade, w->masquerade_count, family))
		buf_printf(out, "\t\toifname != { \"%s\", \"lo\" } %s saddr { %.*s } masquerade\n",
			   w->ifname, family_word(family), STR_ARG(buf_view(&set)));
	if (!buf_ok(&set))
		out->full = true;
}

void nft_table_text(struct buf *out, const struct net_want *w)
{
	char table[NFT_TABLE_MAX];

	if (!w->masquerade_count)
		return;
	BUG_ON(!ifname_ok(str_of(w->ifname)));
	nft_table_name(table, w->ifname);
	buf_printf(out, "table inet %s {\n", table);
	buf_z(out, "\tcounter spoofed { }\n");
	buf_z(out, "\tchain prerouting {\n\t\ttype filter hook prerouting priority raw; policy "
		   "accept;\n");
	add_spoof_rule(out, w, IP_V4);
	add_spoof_rule(out, w, IP_V6);
	buf_z(out, "\t}\n\tchain forward {\n\t\ttype filter hook forward priority mangle; policy "
		   "accept;\n");
	buf_printf(out,
		   "\t\tiifname \"%s\" tcp flags & (syn | rst) == syn tcp option maxseg size set "
		   "rt mtu\n"
		   "\t\toifname \"%s\" tcp flags & (syn | rst) == syn tcp option maxseg size set "
		   "rt mtu\n",
		   w->ifname, w->ifname);
	buf_z(out, "\t}\n\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat; "
		   "policy accept;\n");
	add_masquerade_rule(out, w, IP_V4);
	add_masquerade_rule(out, w, IP_V6);
	buf_z(out, "\t}\n}\n");
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
	enum err_code rc;
	bool exists = false;

	BUG_ON(!nft_table_valid(str_of(table)));
	rc = nft_table_exists(table, &exists, e);
	if (rc || !exists)
		return rc;
	rc = run_program(nft_paths, NFT_PACKAGE, argv, STR(""), out, e);
	return rc ? err_wrap(e, rc, "read nft table inet %s", table) : ERR_OK;
}
