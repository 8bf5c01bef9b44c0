#include "wg/conf.h"

#include <stdarg.h>

#include "base/opt.h"

enum section { NOWHERE, IN_INTERFACE, IN_PEER };

struct reader {
	struct wg_conf c;
	const char *name; /* of the file, for messages */
	unsigned line;
	enum section section;
	unsigned section_line;
	bool had_interface;
	uint64_t seen; /* bit i: keys[i] has stood in this section */
	bool has_public_key; /* this section, if it is a peer */
	struct str comment; /* the line before, when it is one */
	size_t peer_cap;
	size_t ip_cap; /* of the peer being read */
	unsigned *peer_lines; /* where each [Peer] stands; as long as c.peers */
	struct err *e;
};

/* ---- errors: file:line: what is wrong ---- */

static enum err_code fail_at(struct reader *r, unsigned line, enum err_code code, const char *fmt,
			     ...) PRINTF(4, 5);

static enum err_code fail_at(struct reader *r, unsigned line, enum err_code code, const char *fmt,
			     ...)
{
	char msg[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof msg, fmt, ap);
	va_end(ap);
	return err_set(r->e, code, "%s:%u: %s", r->name, line, msg);
}

static enum err_code fail_value(struct reader *r, const char *key, struct str value,
				const char *wanted)
{
	char shown[100];

	text_escaped(shown, sizeof shown, value);
	return fail_at(r, r->line, ERR_INVALID, "%s = %s: %s", key, shown, wanted);
}

static enum err_code fail_memory(struct reader *r)
{
	return fail_at(r, r->line, ERR_NOMEM, "out of memory");
}

static struct wg_conf_peer *peer_now(struct reader *r)
{
	return &r->c.peers[r->c.peer_count - 1];
}

/* ---- values ---- */

/* The value is a secret or may be one: it is not repeated. */
static enum err_code read_key(struct reader *r, const char *key, struct str value, uint8_t *out)
{
	if (base64_decode(out, KEY_LEN, value))
		return ERR_OK;
	return fail_at(r, r->line, ERR_INVALID,
		       "%s: not a key; a key is 44 characters of base64 and ends in =", key);
}

static enum err_code read_private_key(struct reader *r, const char *key, struct str value)
{
	r->c.has_private_key = true;
	return read_key(r, key, value, r->c.private_key.b);
}

static enum err_code read_public_key(struct reader *r, const char *key, struct str value)
{
	r->has_public_key = true;
	return read_key(r, key, value, peer_now(r)->public_key.b);
}

static enum err_code read_psk(struct reader *r, const char *key, struct str value)
{
	peer_now(r)->has_psk = true;
	return read_key(r, key, value, peer_now(r)->psk.b);
}

static enum err_code read_listen_port(struct reader *r, const char *key, struct str value)
{
	uint32_t port;

	if (!u32_parse(value, 0, UINT16_MAX, &port))
		return fail_value(r, key, value, "a port is 0 to 65535");
	r->c.has_listen_port = true;
	r->c.listen_port = (uint16_t)port;
	return ERR_OK;
}

static bool hex32_parse(struct str s, uint32_t *out)
{
	uint32_t v = 0;

	if (s.n < 3 || s.n > 10 || s.p[0] != '0' || (s.p[1] | 0x20) != 'x')
		return false;
	for (size_t i = 2; i < s.n; i++) {
		const char *digits = "0123456789abcdef";
		char low = (char)(s.p[i] >= 'A' && s.p[i] <= 'F' ? s.p[i] | 0x20 : s.p[i]);
		const char *at = memchr(digits, low, 16);

		if (!at)
			return false;
		v = v << 4 | (uint32_t)(at - digits);
	}
	*out = v;
	return true;
}

static enum err_code read_fwmark(struct reader *r, const char *key, struct str value)
{
	uint32_t mark = 0;

	if (!str_eq_nocase(value, STR("off")) && !u32_parse(value, 0, UINT32_MAX, &mark) &&
	    !hex32_parse(value, &mark))
		return fail_value(r, key, value, "a mark is a 32-bit number, 0x... or off");
	r->c.has_fwmark = true;
	r->c.fwmark = mark;
	return ERR_OK;
}

static enum err_code read_mtu(struct reader *r, const char *key, struct str value)
{
	if (!u32_parse(value, WG_CONF_MTU_MIN, UINT16_MAX, &r->c.mtu))
		return fail_value(r, key, value, "an MTU is 576 to 65535");
	r->c.has_mtu = true;
	return ERR_OK;
}

static enum err_code read_address(struct reader *r, const char *key, struct str value)
{
	struct str piece;

	while (str_cut(&value, ',', &piece)) {
		piece = str_trim(piece);
		if (r->c.address_count == WG_CONF_ADDRESSES_MAX)
			return fail_at(r, r->line, ERR_FULL, "more than %d addresses",
				       WG_CONF_ADDRESSES_MAX);
		if (!ip_prefix_parse(piece, &r->c.addresses[r->c.address_count]))
			return fail_value(r, key, piece, "not an address such as 10.0.0.1/24");
		r->c.address_count++;
	}
	return ERR_OK;
}

static enum err_code add_search(struct reader *r, const char *key, struct str domain)
{
	struct buf b = { .limit = WG_CONF_SEARCH_MAX };
	enum err_code rc = ERR_OK;
	char *all = NULL;

	if (r->c.dns_search) {
		buf_z(&b, r->c.dns_search);
		buf_char(&b, ',');
	}
	buf_str(&b, domain);
	if (!buf_ok(&b) || !wg_conf_search_ok(buf_view(&b)))
		rc = fail_value(r, key, domain, "neither an address nor a search domain");
	else if (!(all = str_dup(buf_view(&b))))
		rc = fail_memory(r);
	buf_done(&b);
	if (rc)
		return rc;
	free(r->c.dns_search);
	r->c.dns_search = all;
	return ERR_OK;
}

/* wg-quick(8): what is not an address is a search domain. */
static enum err_code read_dns(struct reader *r, const char *key, struct str value)
{
	struct str piece;

	while (str_cut(&value, ',', &piece)) {
		struct ip_addr a;
		enum err_code rc;

		piece = str_trim(piece);
		if (!ip_parse(piece, &a)) {
			rc = add_search(r, key, piece);
			if (rc)
				return rc;
			continue;
		}
		if (r->c.dns_count == WG_CONF_DNS_MAX)
			return fail_at(r, r->line, ERR_FULL, "more than %d DNS servers",
				       WG_CONF_DNS_MAX);
		r->c.dns[r->c.dns_count++] = a;
	}
	return ERR_OK;
}

static enum err_code read_table(struct reader *r, const char *key, struct str value)
{
	if (!wg_conf_table_ok(value))
		return fail_value(r, key, value, "a table is off, auto or a number");
	r->c.table = str_dup(value);
	return r->c.table ? ERR_OK : fail_memory(r);
}

static enum err_code read_save_config(struct reader *r, const char *key, struct str value)
{
	r->c.save_config = str_eq(value, STR("true"));
	if (!r->c.save_config && !str_eq(value, STR("false")))
		return fail_value(r, key, value, "true or false");
	return ERR_OK;
}

static enum err_code add_command(struct reader *r, enum wg_conf_hook when, struct str value)
{
	if (r->c.command_count == WG_CONF_COMMANDS_MAX)
		return fail_at(r, r->line, ERR_FULL, "more than %d commands", WG_CONF_COMMANDS_MAX);
	r->c.commands[r->c.command_count].when = when;
	r->c.commands[r->c.command_count].text = str_dup(value);
	if (!r->c.commands[r->c.command_count].text)
		return fail_memory(r);
	r->c.command_count++;
	return ERR_OK;
}

static enum err_code read_pre_up(struct reader *r, const char *key, struct str value)
{
	(void)key;
	return add_command(r, WG_PRE_UP, value);
}

static enum err_code read_post_up(struct reader *r, const char *key, struct str value)
{
	(void)key;
	return add_command(r, WG_POST_UP, value);
}

static enum err_code read_pre_down(struct reader *r, const char *key, struct str value)
{
	(void)key;
	return add_command(r, WG_PRE_DOWN, value);
}

static enum err_code read_post_down(struct reader *r, const char *key, struct str value)
{
	(void)key;
	return add_command(r, WG_POST_DOWN, value);
}

static enum err_code read_endpoint(struct reader *r, const char *key, struct str value)
{
	if (!wg_conf_endpoint_ok(value))
		return fail_value(r, key, value, "not host:port, 192.0.2.1:port or [IPv6]:port");
	peer_now(r)->endpoint = str_dup(value);
	return peer_now(r)->endpoint ? ERR_OK : fail_memory(r);
}

static enum err_code add_allowed_ip(struct reader *r, const struct ip_prefix *p)
{
	struct wg_conf_peer *peer = peer_now(r);

	if (peer->allowed_ip_count == r->ip_cap) {
		size_t cap = r->ip_cap ? r->ip_cap * 2 : 4;
		struct ip_prefix *more = reallocarray(peer->allowed_ips, cap, sizeof *more);

		if (!more)
			return fail_memory(r);
		peer->allowed_ips = more;
		r->ip_cap = cap;
	}
	peer->allowed_ips[peer->allowed_ip_count] = *p;
	ip_prefix_mask(&peer->allowed_ips[peer->allowed_ip_count]);
	peer->allowed_ip_count++;
	return ERR_OK;
}

static enum err_code read_allowed_ips(struct reader *r, const char *key, struct str value)
{
	struct str piece;

	while (str_cut(&value, ',', &piece)) {
		struct ip_prefix p;
		enum err_code rc;

		piece = str_trim(piece);
		if (!ip_prefix_parse(piece, &p))
			return fail_value(r, key, piece, "not a network such as 10.0.0.0/24");
		rc = add_allowed_ip(r, &p);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

static enum err_code read_keepalive(struct reader *r, const char *key, struct str value)
{
	uint32_t seconds = 0;

	if (!str_eq_nocase(value, STR("off")) && !u32_parse(value, 0, UINT16_MAX, &seconds))
		return fail_value(r, key, value, "0 to 65535 seconds, or off");
	peer_now(r)->has_keepalive = true;
	peer_now(r)->keepalive_s = (uint16_t)seconds;
	return ERR_OK;
}

/* ---- the table of keys ---- */

enum { ONCE = 1, MAY_BE_EMPTY = 2 };

static const struct key {
	struct str name;
	enum section section;
	unsigned flags;
	enum err_code (*read)(struct reader *r, const char *key, struct str value);
} keys[] = {
	{ { "PrivateKey", 10 }, IN_INTERFACE, ONCE, read_private_key },
	{ { "ListenPort", 10 }, IN_INTERFACE, ONCE, read_listen_port },
	{ { "FwMark", 6 }, IN_INTERFACE, ONCE, read_fwmark },
	{ { "Address", 7 }, IN_INTERFACE, 0, read_address },
	{ { "DNS", 3 }, IN_INTERFACE, 0, read_dns },
	{ { "MTU", 3 }, IN_INTERFACE, ONCE, read_mtu },
	{ { "Table", 5 }, IN_INTERFACE, ONCE, read_table },
	{ { "PreUp", 5 }, IN_INTERFACE, 0, read_pre_up },
	{ { "PostUp", 6 }, IN_INTERFACE, 0, read_post_up },
	{ { "PreDown", 7 }, IN_INTERFACE, 0, read_pre_down },
	{ { "PostDown", 8 }, IN_INTERFACE, 0, read_post_down },
	{ { "SaveConfig", 10 }, IN_INTERFACE, ONCE, read_save_config },
	{ { "PublicKey", 9 }, IN_PEER, ONCE, read_public_key },
	{ { "PresharedKey", 12 }, IN_PEER, ONCE, read_psk },
	{ { "AllowedIPs", 10 }, IN_PEER, MAY_BE_EMPTY, read_allowed_ips },
	{ { "Endpoint", 8 }, IN_PEER, ONCE, read_endpoint },
	{ { "PersistentKeepalive", 19 }, IN_PEER, ONCE, read_keepalive },
};
_Static_assert(ARRAY_LEN(keys) <= 64, "`seen` has a bit for each key");

static enum err_code fail_key(struct reader *r, struct str got)
{
	const char *names[ARRAY_LEN(keys)];
	const char *nearest;
	char shown[64];

	if (!r->e) /* nobody listens, and to compare with every key takes a while */
		return ERR_INVALID;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		names[i] = keys[i].name.p;
	nearest = opt_nearest(got, names, ARRAY_LEN(keys));
	text_escaped(shown, sizeof shown, got);
	if (!nearest)
		return fail_at(r, r->line, ERR_INVALID, "unknown key %s", shown);
	return fail_at(r, r->line, ERR_INVALID, "unknown key %s; did you mean %s?", shown, nearest);
}

static enum err_code read_pair(struct reader *r, struct str name, struct str value)
{
	static const char *const sections[] = { "", "[Interface]", "[Peer]" };
	const struct key *k = NULL;
	uint64_t bit = 0;

	for (size_t i = 0; i < ARRAY_LEN(keys) && !k; i++) {
		if (!str_eq_nocase(keys[i].name, name))
			continue;
		k = &keys[i];
		bit = 1ULL << i;
	}
	if (!k)
		return fail_key(r, name);
	if (r->section == NOWHERE)
		return fail_at(r, r->line, ERR_INVALID, "%s stands before any section", k->name.p);
	if (k->section != r->section)
		return fail_at(r, r->line, ERR_INVALID, "%s belongs in %s, not in %s", k->name.p,
			       sections[k->section], sections[r->section]);
	if ((k->flags & ONCE) && (r->seen & bit))
		return fail_at(r, r->line, ERR_INVALID, "%s stands twice in one section",
			       k->name.p);
	r->seen |= bit;
	if (!value.n && !(k->flags & MAY_BE_EMPTY))
		return fail_at(r, r->line, ERR_MISSING, "%s has no value", k->name.p);
	return k->read(r, k->name.p, value);
}

/* ---- sections ---- */

static enum err_code section_end(struct reader *r)
{
	if (r->section == IN_PEER && !r->has_public_key)
		return fail_at(r, r->section_line, ERR_MISSING, "this [Peer] has no PublicKey");
	return ERR_OK;
}

/* Room for one more peer; by hand, since realloc would leave preshared keys behind. */
static enum err_code peers_grow(struct reader *r)
{
	size_t cap = r->peer_cap ? r->peer_cap * 2 : 4;
	struct wg_conf_peer *peers = calloc(cap, sizeof *peers);
	unsigned *lines = reallocarray(r->peer_lines, cap, sizeof *lines);

	if (lines)
		r->peer_lines = lines;
	if (!peers || !lines) {
		free(peers);
		return fail_memory(r);
	}
	if (r->c.peers) {
		memcpy(peers, r->c.peers, r->c.peer_count * sizeof *peers);
		wipe(r->c.peers, r->c.peer_count * sizeof *peers);
		free(r->c.peers);
	}
	r->c.peers = peers;
	r->peer_cap = cap;
	return ERR_OK;
}

/* The name in a comment in front of [Peer] or right behind it; none is no error.  A setting that was switched
 * off is no name: it may be a key. */
static enum err_code peer_name(struct reader *r)
{
	struct str name = str_trim(r->comment);

	if (str_starts(name, STR("Client:")))
		name = str_trim((struct str){ name.p + 7, name.n - 7 });
	else if (name.n && memchr(name.p, '=', name.n))
		return ERR_OK;
	if (peer_now(r)->name || !wg_conf_name_ok(name))
		return ERR_OK;
	peer_now(r)->name = str_dup(name);
	return peer_now(r)->name ? ERR_OK : fail_memory(r);
}

static enum err_code peer_begin(struct reader *r)
{
	enum err_code rc;

	if (r->c.peer_count == WG_CONF_PEERS_MAX)
		return fail_at(r, r->line, ERR_FULL, "more than %d peers", WG_CONF_PEERS_MAX);
	if (r->c.peer_count == r->peer_cap) {
		rc = peers_grow(r);
		if (rc)
			return rc;
	}
	r->peer_lines[r->c.peer_count++] = r->line;
	r->ip_cap = 0;
	return peer_name(r);
}

static enum err_code section_begin(struct reader *r, struct str title)
{
	enum err_code rc = section_end(r);
	char shown[64];

	if (rc)
		return rc;
	r->seen = 0;
	r->has_public_key = false;
	r->section_line = r->line;
	if (str_eq_nocase(title, STR("[Peer]"))) {
		r->section = IN_PEER;
		return peer_begin(r);
	}
	if (!str_eq_nocase(title, STR("[Interface]"))) {
		text_escaped(shown, sizeof shown, title);
		return fail_at(r, r->line, ERR_INVALID,
			       "unknown section %s; there are [Interface] and [Peer]", shown);
	}
	if (r->had_interface)
		return fail_at(r, r->line, ERR_INVALID, "a second [Interface]");
	r->had_interface = true;
	r->section = IN_INTERFACE;
	return ERR_OK;
}

/* ---- lines ---- */

static enum err_code read_line(struct reader *r, struct str line)
{
	const char *hash = line.n ? memchr(line.p, '#', line.n) : NULL;
	struct str text = str_trim(hash ? (struct str){ line.p, (size_t)(hash - line.p) } : line);
	const char *eq;
	struct str name;

	if (line.n > WG_CONF_LINE_MAX)
		return fail_at(r, r->line, ERR_RANGE, "a line longer than %d bytes",
			       WG_CONF_LINE_MAX);
	if (!text.n)
		return ERR_OK;
	for (size_t i = 0; i < text.n; i++)
		if (((unsigned char)text.p[i] < 0x20 && text.p[i] != '\t') || text.p[i] == 0x7f)
			return fail_at(r, r->line, ERR_INVALID, "control character \\x%02x",
				       (unsigned char)text.p[i]);
	if (text.p[0] == '[')
		return section_begin(r, text);
	eq = memchr(text.p, '=', text.n);
	if (!eq) /* not repeated: it may hold a key */
		return fail_at(r, r->line, ERR_INVALID, "neither [Section] nor Key = value");
	name = str_trim((struct str){ text.p, (size_t)(eq - text.p) });
	return read_pair(r, name,
			 str_trim((struct str){ eq + 1, text.n - (size_t)(eq - text.p) - 1 }));
}

/* Remembers a line that is a comment and nothing else, for the section that may follow, or has just begun. */
static enum err_code note_comment(struct reader *r, struct str line)
{
	line = str_trim(line);
	r->comment = (struct str){ 0 };
	if (!line.n || line.p[0] != '#')
		return ERR_OK;
	r->comment = (struct str){ line.p + 1, line.n - 1 };
	return r->section == IN_PEER && r->line == r->section_line + 1 ? peer_name(r) : ERR_OK;
}

/* Two sections of one peer would be merged by wg(8); here they are a mistake to be mended. */
static enum err_code check_unique(struct reader *r)
{
	char text[KEY_TEXT_MAX];
	size_t a, b;

	if (r->c.peer_count == 0)
		return ERR_OK;
	if (!key_order_init(&r->c.by_key, &r->c.peers[0].public_key, r->c.peer_count,
			    sizeof r->c.peers[0]))
		return fail_memory(r);
	if (!key_order_twice(&r->c.by_key, &a, &b))
		return ERR_OK;
	public_key_text(text, &r->c.peers[b].public_key);
	return fail_at(r, r->peer_lines[b], ERR_EXISTS, "peer %s stands in line %u already", text,
		       r->peer_lines[a]);
}

enum err_code wg_conf_parse(struct wg_conf *out, struct str text, const char *name, struct err *e)
{
	struct reader r = { .name = name, .e = e };
	enum err_code rc = ERR_OK;
	struct str line;

	while (!rc && str_cut(&text, '\n', &line)) {
		r.line++;
		rc = read_line(&r, line);
		if (!rc)
			rc = note_comment(&r, line);
	}
	if (!rc)
		rc = section_end(&r);
	if (!rc)
		rc = check_unique(&r);
	if (!rc) {
		*out = r.c;
		wipe(&r.c, sizeof r.c);
	}
	free(r.peer_lines);
	wg_conf_done(&r.c);
	return rc;
}
