#include "net/hook_forms.h"

#include "base/addr.h"
#include "net/net.h"

/* ---- what values look like ---- */

enum value {
	V_FLAG, /* the option stands alone */
	V_NAME, /* letters, digits, '_', '-', '.': chains, modules, tables, states, protocols */
	V_LIST, /* names, by commas */
	V_LINK, /* an interface; '+' at the end is iptables' wildcard */
	V_NUMBER,
	V_MARK, /* a number, decimal or 0x, perhaps with a mask */
	V_PORTS, /* ports and ranges, by commas */
	V_PREFIX, /* an address or network */
	V_ADDRS, /* addresses, networks, ranges, ports: what a numeric address may hold */
	V_RATE, /* "10/second" */
	V_TEXT, /* for people */
};

struct option {
	const char *name;
	enum value value;
	unsigned values; /* how many; 0 counts as 1 */
};

static bool all_of(const char *s, const char *further)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
		      (s[i] >= '0' && s[i] <= '9') || strchr(further, s[i])))
			return false;
	return i > 0;
}

static bool only(const char *s, const char *set)
{
	return *s && s[strspn(s, set)] == 0;
}

static bool is_prefix(const char *s)
{
	struct ip_prefix p;

	return !strcmp(s, "default") || !strcmp(s, "any") || !strcmp(s, "all") ||
	       ip_prefix_parse(str_of(s), &p);
}

/* A name may also hold "wg-" and begin with anything but '-', which would be an option. */
static bool value_ok(enum value v, const char *s)
{
	if (*s == '-' || !*s)
		return false;
	switch (v) {
	case V_FLAG:
		return false;
	case V_NAME:
		return strlen(s) <= 64 && all_of(s, "_-.");
	case V_LIST:
		return strlen(s) <= 200 && all_of(s, "_-.,");
	case V_LINK:
		return strlen(s) <= IFNAME_LEN_MAX && all_of(s, "_-.+@");
	case V_NUMBER:
		return strlen(s) <= 10 && only(s, "0123456789");
	case V_MARK:
		return strlen(s) <= 21 && only(s, "0123456789abcdefABCDEFx/");
	case V_PORTS:
		return strlen(s) <= 200 && only(s, "0123456789:,-");
	case V_PREFIX:
		return is_prefix(s);
	case V_ADDRS:
		return strlen(s) <= 400 && only(s, "0123456789abcdefABCDEF.:/,-[]");
	case V_RATE:
		return strlen(s) <= 20 && all_of(s, "/");
	case V_TEXT:
		return strlen(s) <= 200;
	}
	return false;
}

/* ---- reading a command ---- */

struct reader {
	const char *program;
	const char *const *word; /* the next; NULL ends */
	size_t at; /* its number, the program is 1 */
	struct err *e;
};

static const char *next(struct reader *r)
{
	const char *w = *r->word;

	if (w) {
		r->word++;
		r->at++;
	}
	return w;
}

static enum err_code refuse(const struct reader *r, const char *why)
{
	char shown[64];

	if (!*r->word)
		return err_set(r->e, ERR_INVALID, "%s ends too early: %s", r->program, why);
	text_escaped(shown, sizeof shown, str_of(*r->word));
	return err_set(r->e, ERR_INVALID, "%s: word %zu, \"%s\", is not allowed: %s", r->program,
		       r->at, shown, why);
}

static bool is_word(const struct reader *r, const char *w)
{
	return *r->word && !strcmp(*r->word, w);
}

static bool skip(struct reader *r, const char *w)
{
	if (!is_word(r, w))
		return false;
	(void)next(r);
	return true;
}

/* One of the words of a list that ends in NULL. */
static bool skip_any(struct reader *r, const char *const list[])
{
	for (; *list; list++)
		if (skip(r, *list))
			return true;
	return false;
}

static enum err_code take(struct reader *r, enum value v, const char *what)
{
	if (!*r->word || !value_ok(v, *r->word))
		return refuse(r, what);
	(void)next(r);
	return ERR_OK;
}

static const struct option *option_find(const struct option *o, const char *name)
{
	for (; o->name; o++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

/* Options and their values to the end. */
static enum err_code take_options(struct reader *r, const struct option *known)
{
	enum err_code rc = ERR_OK;

	while (!rc && *r->word) {
		const struct option *o = option_find(known, *r->word);
		unsigned n;

		if (!o)
			return refuse(r, "there is no such option in this form");
		(void)next(r);
		for (n = o->value == V_FLAG ? 0 : MAX(o->values, 1u); n && !rc; n--)
			rc = take(r, o->value, o->name);
	}
	return rc;
}

/* ---- iptables ---- */

static const char *const built_in[] = { "INPUT",      "OUTPUT",	     "FORWARD",
					"PREROUTING", "POSTROUTING", NULL };

static const struct option iptables_options[] = {
	{ "!", V_FLAG, 0 },
	{ "-i", V_LINK, 0 },
	{ "--in-interface", V_LINK, 0 },
	{ "-o", V_LINK, 0 },
	{ "--out-interface", V_LINK, 0 },
	{ "-s", V_ADDRS, 0 },
	{ "--source", V_ADDRS, 0 },
	{ "-d", V_ADDRS, 0 },
	{ "--destination", V_ADDRS, 0 },
	{ "-p", V_NAME, 0 },
	{ "--protocol", V_NAME, 0 },
	{ "-m", V_NAME, 0 },
	{ "--match", V_NAME, 0 },
	{ "-j", V_NAME, 0 },
	{ "--jump", V_NAME, 0 },
	{ "--dport", V_PORTS, 0 },
	{ "--sport", V_PORTS, 0 },
	{ "--dports", V_PORTS, 0 },
	{ "--sports", V_PORTS, 0 },
	{ "--ports", V_PORTS, 0 },
	{ "--state", V_LIST, 0 },
	{ "--ctstate", V_LIST, 0 },
	{ "--mark", V_MARK, 0 },
	{ "--limit", V_RATE, 0 },
	{ "--limit-burst", V_NUMBER, 0 },
	{ "--src-type", V_LIST, 0 },
	{ "--dst-type", V_LIST, 0 },
	{ "--src-range", V_ADDRS, 0 },
	{ "--dst-range", V_ADDRS, 0 },
	{ "--tcp-flags", V_LIST, 2 },
	{ "--syn", V_FLAG, 0 },
	{ "--mss", V_PORTS, 0 },
	{ "--icmp-type", V_NAME, 0 },
	{ "--icmpv6-type", V_NAME, 0 },
	{ "--dir", V_NAME, 0 },
	{ "--pol", V_NAME, 0 },
	{ "--comment", V_TEXT, 0 },
	{ "--to-destination", V_ADDRS, 0 },
	{ "--to-source", V_ADDRS, 0 },
	{ "--to-ports", V_PORTS, 0 },
	{ "--to", V_ADDRS, 0 },
	{ "--random", V_FLAG, 0 },
	{ "--persistent", V_FLAG, 0 },
	{ "--set-mark", V_MARK, 0 },
	{ "--set-xmark", V_MARK, 0 },
	{ "--save-mark", V_FLAG, 0 },
	{ "--restore-mark", V_FLAG, 0 },
	{ "--clamp-mss-to-pmtu", V_FLAG, 0 },
	{ "--set-mss", V_NUMBER, 0 },
	{ "--reject-with", V_NAME, 0 },
	{ "--log-prefix", V_TEXT, 0 },
	{ "--log-level", V_NAME, 0 },
	{ 0 },
};

/* -I and -D take a number after the chain. */
static enum err_code iptables_rule(struct reader *r)
{
	enum err_code rc = take(r, V_NAME, "the name of a chain belongs here");

	if (!rc && *r->word && value_ok(V_NUMBER, *r->word))
		rc = take(r, V_NUMBER, "a number");
	return rc ? rc : take_options(r, iptables_options);
}

static enum err_code iptables_chain(struct reader *r)
{
	const char *const *name;
	enum err_code rc;

	for (name = built_in; *name; name++)
		if (is_word(r, *name))
			return refuse(r, "a built-in chain is not yours alone");
	rc = take(r, V_NAME, "the name of a chain belongs here");
	return rc || !*r->word ? rc : refuse(r, "nothing follows the chain");
}

static enum err_code iptables_check(struct reader *r)
{
	static const char *const waits[] = { "-w", "--wait", NULL };
	static const char *const rules[] = { "-A",	 "-I",	     "-D",	"-C", "--append",
					     "--insert", "--delete", "--check", NULL };
	static const char *const chains[] = { "-N",	     "-F",	"-X",
					      "--new-chain", "--flush", "--delete-chain",
					      NULL };
	static const char *const tables[] = { "filter", "nat", "mangle", "raw", NULL };

	for (;;) {
		if (skip_any(r, waits)) {
			if (*r->word && value_ok(V_NUMBER, *r->word))
				(void)next(r);
		} else if (skip(r, "-t") || skip(r, "--table")) {
			if (!skip_any(r, tables))
				return refuse(r, "tables are filter, nat, mangle and raw");
		} else {
			break;
		}
	}
	if (skip_any(r, rules))
		return iptables_rule(r);
	if (skip_any(r, chains))
		return iptables_chain(r);
	return refuse(r, "one of -A, -I, -D, -C, -N, -F, -X belongs here");
}

/* ---- nft ---- */

static enum err_code nft_table(struct reader *r)
{
	static const char *const families[] = {
		"ip", "ip6", "inet", "arp", "bridge", "netdev", NULL
	};

	(void)!skip_any(r, families);
	if (*r->word && str_starts(str_of(*r->word), STR(NET_TABLE_PREFIX)))
		return refuse(r, "the gateway keeps its own tables itself");
	return take(r, V_NAME, "the name of a table belongs here");
}

/* nft reads all words as one line: what would begin another statement stays out.  It also looks for
 * options, such as -f with a file, among all of them. */
static enum err_code nft_words(struct reader *r)
{
	while (*r->word) {
		if (**r->word == '-' || !all_of(*r->word, "._:/,-+=@!{}<>"))
			return refuse(r, "a word of a rule holds no space or ';' and begins not "
					 "with '-'");
		(void)next(r);
	}
	return ERR_OK;
}

/* "{ type nat hook postrouting priority 100 ; policy accept ; }" */
static bool chain_block_ok(struct str block)
{
	static const char *const form[] = {
		"{", "type", NULL, "hook", NULL, "priority", NULL, ";"
	};
	static const char *const policy[] = { "policy", NULL, ";" };
	const char *const *expect = form;
	size_t n = ARRAY_LEN(form), i = 0;
	struct str word;

	while (str_cut(&block, ' ', &word)) {
		if (!word.n)
			continue;
		if (i == n && str_eq(word, STR("}")) && !str_trim(block).n)
			return true;
		if (i == n && expect == form) {
			expect = policy;
			n = ARRAY_LEN(policy);
			i = 0;
		}
		if (i == n)
			return false;
		if (expect[i] ? !str_eq(word, str_of(expect[i]))
			      : word.n > 20 || memchr(word.p, ';', word.n) ||
					memchr(word.p, '{', word.n) || memchr(word.p, '}', word.n))
			return false;
		i++;
	}
	return false;
}

static enum err_code nft_chain(struct reader *r, bool adds)
{
	enum err_code rc = nft_table(r);

	if (!rc)
		rc = take(r, V_NAME, "the name of a chain belongs here");
	if (rc || !*r->word)
		return rc;
	if (!adds || !chain_block_ok(str_of(*r->word)))
		return refuse(r, "a chain is '{ type T hook H priority P ; policy V ; }', quoted");
	(void)next(r);
	return *r->word ? refuse(r, "nothing follows the chain") : ERR_OK;
}

static enum err_code nft_rule(struct reader *r)
{
	enum err_code rc = nft_table(r);

	if (!rc)
		rc = take(r, V_NAME, "the name of a chain belongs here");
	return rc ? rc : nft_words(r);
}

static enum err_code nft_check(struct reader *r)
{
	bool adds = is_word(r, "add"), inserts = is_word(r, "insert");
	enum err_code rc;

	if (!adds && !inserts && !is_word(r, "delete"))
		return refuse(r, "one of add, insert, delete belongs here");
	(void)next(r);
	if (skip(r, "rule"))
		return nft_rule(r);
	if (!inserts && skip(r, "chain"))
		return nft_chain(r, adds);
	if (inserts || !skip(r, "table"))
		return refuse(r, "one of rule, chain, table belongs here");
	rc = nft_table(r);
	return rc || !*r->word ? rc : refuse(r, "nothing follows the table");
}

/* ---- ip ---- */

static const struct option route_options[] = {
	{ "via", V_ADDRS, 0 },	   { "dev", V_LINK, 0 },      { "table", V_NAME, 0 },
	{ "metric", V_NUMBER, 0 }, { "src", V_ADDRS, 0 },     { "scope", V_NAME, 0 },
	{ "proto", V_NAME, 0 },	   { "protocol", V_NAME, 0 }, { "mtu", V_NUMBER, 0 },
	{ "advmss", V_NUMBER, 0 }, { "onlink", V_FLAG, 0 },   { 0 },
};
static const struct option rule_options[] = {
	{ "not", V_FLAG, 0 },
	{ "from", V_PREFIX, 0 },
	{ "to", V_PREFIX, 0 },
	{ "iif", V_LINK, 0 },
	{ "oif", V_LINK, 0 },
	{ "fwmark", V_MARK, 0 },
	{ "table", V_NAME, 0 },
	{ "lookup", V_NAME, 0 },
	{ "priority", V_NUMBER, 0 },
	{ "preference", V_NUMBER, 0 },
	{ "pref", V_NUMBER, 0 },
	{ "ipproto", V_NAME, 0 },
	{ "sport", V_PORTS, 0 },
	{ "dport", V_PORTS, 0 },
	{ "suppress_prefixlength", V_NUMBER, 0 },
	{ 0 },
};
static const struct option address_options[] = {
	{ "dev", V_LINK, 0 },		{ "scope", V_NAME, 0 },
	{ "label", V_NAME, 0 },		{ "broadcast", V_ADDRS, 0 },
	{ "brd", V_ADDRS, 0 },		{ "peer", V_PREFIX, 0 },
	{ "metric", V_NUMBER, 0 },	{ "nodad", V_FLAG, 0 },
	{ "noprefixroute", V_FLAG, 0 }, { 0 },
};
static const struct option link_options[] = {
	{ "up", V_FLAG, 0 },
	{ "down", V_FLAG, 0 },
	{ "mtu", V_NUMBER, 0 },
	{ "txqueuelen", V_NUMBER, 0 },
	{ 0 },
};

static const char *const changes[] = {
	"add", "append", "replace", "change", "del", "delete", NULL
};
static const char *const adds_or_dels[] = { "add", "replace", "del", "delete", NULL };

static enum err_code ip_route(struct reader *r)
{
	static const char *const types[] = { "unicast",	 "blackhole", "unreachable",
					     "prohibit", "throw",     NULL };
	enum err_code rc;

	if (!skip_any(r, changes))
		return refuse(r, "one of add, append, replace, change, del belongs here");
	(void)!skip_any(r, types);
	rc = take(r, V_PREFIX, "an address, a network or default belongs here");
	return rc ? rc : take_options(r, route_options);
}

static enum err_code ip_address(struct reader *r)
{
	enum err_code rc;

	if (!skip_any(r, adds_or_dels))
		return refuse(r, "one of add, replace, del belongs here");
	rc = take(r, V_PREFIX, "an address belongs here");
	return rc ? rc : take_options(r, address_options);
}

static enum err_code ip_link(struct reader *r)
{
	enum err_code rc;

	if (!skip(r, "set"))
		return refuse(r, "only set is possible here");
	(void)!skip(r, "dev");
	rc = take(r, V_LINK, "an interface belongs here");
	return rc ? rc : take_options(r, link_options);
}

static enum err_code ip_check(struct reader *r)
{
	while (skip(r, "-4") || skip(r, "-6"))
		;
	if (skip(r, "route"))
		return ip_route(r);
	if (skip(r, "rule")) {
		if (!skip_any(r, adds_or_dels))
			return refuse(r, "one of add, del belongs here");
		return take_options(r, rule_options);
	}
	if (skip(r, "addr") || skip(r, "address"))
		return ip_address(r);
	if (skip(r, "link"))
		return ip_link(r);
	return refuse(r, "one of route, rule, addr, link belongs here");
}

/* ---- sysctl ---- */

static bool setting_ok(const char *s)
{
	const char *value = strchr(s, '=');
	struct str name = { s, value ? (size_t)(value - s) : 0 }, rest = name, piece;
	size_t pieces = 0;

	if (!value || !value_ok(V_NUMBER, value + 1) || name.n > 100 ||
	    !str_starts(name, STR("net.")))
		return false;
	while (str_cut(&rest, '.', &piece)) {
		char text[101];

		/* '/' is a dot of an interface's name to sysctl(8), never a way. */
		if (!str_copy(text, sizeof text, piece) || !all_of(text, "_-/") || text[0] == '/' ||
		    text[strlen(text) - 1] == '/' || strstr(text, "//"))
			return false;
		pieces++;
	}
	return pieces > 2 && s[name.n - 1] != '.';
}

static enum err_code sysctl_check(struct reader *r)
{
	(void)!skip(r, "-q");
	if (!skip(r, "-w"))
		return refuse(r, "-w belongs here");
	(void)!skip(r, "-q");
	do {
		if (!*r->word || !setting_ok(*r->word))
			return refuse(r, "net.NAME=NUMBER belongs here");
		(void)next(r);
	} while (*r->word);
	return ERR_OK;
}

/* ---- all ---- */

static const struct {
	const char *name;
	enum err_code (*check)(struct reader *r);
	const char *package;
	const char *paths[4];
} programs[] = {
	{ "iptables",
	  iptables_check,
	  "iptables",
	  { "/usr/sbin/iptables", "/sbin/iptables", "/usr/bin/iptables" } },
	{ "ip6tables",
	  iptables_check,
	  "iptables",
	  { "/usr/sbin/ip6tables", "/sbin/ip6tables", "/usr/bin/ip6tables" } },
	{ "nft", nft_check, "nftables", { "/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft" } },
	{ "ip", ip_check, "iproute2", { "/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip" } },
	{ "sysctl",
	  sysctl_check,
	  "procps",
	  { "/usr/sbin/sysctl", "/sbin/sysctl", "/usr/bin/sysctl" } },
};

enum err_code hook_form_check(const char *const argv[], struct err *e)
{
	struct reader r = { .program = argv[0], .word = argv + 1, .at = 2, .e = e };
	char shown[64];
	size_t i;

	for (i = 0; i < ARRAY_LEN(programs); i++)
		if (!strcmp(programs[i].name, argv[0]))
			return programs[i].check(&r);
	text_escaped(shown, sizeof shown, str_of(argv[0]));
	return err_set(e, ERR_INVALID, "\"%s\" is none of iptables, ip6tables, nft, ip, sysctl",
		       shown);
}

const char *const *hook_form_paths(const char *program, const char **package)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(programs); i++)
		if (!strcmp(programs[i].name, program)) {
			*package = programs[i].package;
			return programs[i].paths;
		}
	return NULL;
}
