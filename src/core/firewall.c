/* get_firewall_status: our own table, forwarding, and what ufw would say.
 *
 * ufw and iptables are the reference's firewalls.  Here one nft table of our own does the work; their
 * fields say the same of it: whether this host forwards, how many networks are translated.  ufw is
 * looked at in its files, since an active one may still keep clients out.
 */
#include <errno.h>

#include "base/fs.h"
#include "core/core.h"

#define FORWARD4 "/proc/sys/net/ipv4/ip_forward"
#define UFW_CONF "/etc/ufw/ufw.conf"
#define UFW_RULES "/etc/ufw/user.rules"
#define UFW_FILE_MAX (1u << 20)
#define TCP_TABLES                                          \
	{                                                   \
		"/proc/self/net/tcp", "/proc/self/net/tcp6" \
	}
#define TCP_LISTEN "0A"
#define SSH_PORT 22

static bool is_forwarding(void)
{
	AUTO(buf_done) struct buf text = { 0 };

	return file_read(&text, FORWARD4, 16, NULL) == ERR_OK &&
	       str_eq(str_trim(buf_view(&text)), STR("1"));
}

/* ---- ufw ---- */

/* "ENABLED=yes" as a line of ufw.conf. */
static bool ufw_enabled(struct str conf)
{
	struct str line;

	while (str_cut(&conf, '\n', &line)) {
		if (str_eq_nocase(str_trim(line), STR("ENABLED=yes")))
			return true;
	}
	return false;
}

/* "51820", "51000:52000", "80,443,51820:51830", "any". */
static bool ports_have(struct str ports, uint16_t port)
{
	struct str piece, first;
	uint32_t low, high;

	if (str_eq(ports, STR("any")))
		return true;
	while (str_cut(&ports, ',', &piece)) {
		if (!str_cut(&piece, ':', &first) || !u32_parse(first, 0, UINT16_MAX, &low))
			continue;
		high = low;
		if (piece.n && !u32_parse(piece, low, UINT16_MAX, &high))
			continue;
		if (port >= low && port <= high)
			return true;
	}
	return false;
}

enum verdict { SAYS_NOTHING, LETS_IN, KEEPS_OUT };

/* ufw keeps each rule as it was given: "### tuple ### allow udp 51820 0.0.0.0/0 any 0.0.0.0/0 in", which is
 * action, protocol, port and address here, port and address there, direction.  A rule for some sources only says
 * nothing of others. */
static enum verdict tuple_says(struct str line, uint16_t port)
{
	struct str f[7];

	if (!str_starts(line, STR("### tuple ### ")))
		return SAYS_NOTHING;
	line.p += 14;
	line.n -= 14;
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		if (!str_cut(&line, ' ', &f[i]))
			return SAYS_NOTHING;
	}
	if ((!str_eq(f[1], STR("udp")) && !str_eq(f[1], STR("any"))) || !ports_have(f[2], port) ||
	    !str_eq(f[4], STR("any")) || !str_eq(f[5], STR("0.0.0.0/0")) ||
	    !str_starts(f[6], STR("in")))
		return SAYS_NOTHING;
	return str_starts(f[0], STR("allow")) || str_starts(f[0], STR("limit")) ? LETS_IN
										: KEEPS_OUT;
}

/* A file that root alone may read.  False where it cannot be. */
static bool host_file_read(struct buf *out, const struct core *c, const char *path)
{
	AUTO(fd_done) int fd = -1;

	if (!c->host.open_file || c->host.open_file(c->host.ctx, path, "", &fd, NULL))
		return false;
	return fd_read(out, fd, path, UFW_FILE_MAX, NULL) == ERR_OK;
}

/* The first rule that says something counts; none keeps out. */
static const char *ufw_says(const struct core *c, uint16_t port)
{
	AUTO(buf_done) struct buf rules = { 0 };
	enum verdict says = SAYS_NOTHING;
	struct str rest, line;

	if (!host_file_read(&rules, c, UFW_RULES))
		return "unknown"; /* under the unit nobody of us is root */
	rest = buf_view(&rules);
	while (!says && str_cut(&rest, '\n', &line))
		says = tuple_says(str_trim(line), port);
	return says == LETS_IN ? "allowed" : "not allowed";
}

static json_t *ufw_json(const struct core *c, uint16_t port)
{
	AUTO(buf_done) struct buf conf = { 0 };
	char name[16];
	bool installed, enabled;

	(void)snprintf(name, sizeof name, "port_%u", port);
	installed = host_file_read(&conf, c, UFW_CONF);
	enabled = installed && ufw_enabled(buf_view(&conf));
	return json_pack("{s:s,s:s,s:b}", "status",
			 enabled     ? "active"
			 : installed ? "inactive"
				     : "not installed",
			 name, enabled ? ufw_says(c, port) : "allowed", "enabled", enabled);
}

/* ---- ports ---- */

/* "   0: 0100007F:0016 00000000:0000 0A ...": the local port is behind the first colon. */
static bool line_listens(struct str line, const char *port)
{
	struct str slot, address, local, remote, state;

	line = str_trim(line);
	if (!str_cut(&line, ' ', &slot))
		return false;
	line = str_trim(line);
	return str_cut(&line, ' ', &local) && str_cut(&line, ' ', &remote) &&
	       str_cut(&line, ' ', &state) && str_cut(&local, ':', &address) &&
	       str_eq(local, str_of(port)) && str_eq(state, STR(TCP_LISTEN));
}

static bool tcp_listens(uint16_t port)
{
	static const char *const tables[] = TCP_TABLES;
	char hex[8];

	(void)snprintf(hex, sizeof hex, "%04X", port);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		AUTO(buf_done) struct buf text = { 0 };
		struct str rest, line;

		if (file_read(&text, tables[i], 16u << 20, NULL))
			continue;
		rest = buf_view(&text);
		while (str_cut(&rest, '\n', &line)) {
			if (line_listens(line, hex))
				return true;
		}
	}
	return false;
}

static json_t *ports_json(const struct dataplane_status *d)
{
	char udp[16], tcp[16];
	bool listening = d->up && d->listen_port;

	(void)snprintf(udp, sizeof udp, "%u/udp", d->listen_port);
	(void)snprintf(tcp, sizeof tcp, "%u/tcp", SSH_PORT);
	return json_pack("{s:s,s:s,s:i,s:b}", udp, listening ? "open" : "closed", tcp,
			 tcp_listens(SSH_PORT) ? "open" : "closed", "wireguard_port",
			 (int)d->listen_port, "listening", listening);
}

/* ---- the action ---- */

enum api_code core_get_firewall_status(struct core *c, json_t *params, json_t **data, struct err *e)
{
	bool active = c->host.firewall_active(c->host.ctx);
	json_t *uplink = core_uplink_json(c);
	struct dataplane_status d;
	int networks = c->settings.network6.addr.family == IP_NONE ? 1 : 2;

	(void)params;
	c->host.status(c->host.ctx, &d);
	*data = json_pack("{s:s,s:o,s:{s:s,s:i,s:b},s:{s:s,s:O?,s:b},s:o,s:{s:o}}", "status",
			  active ? "active" : "inactive", "ufw", ufw_json(c, d.listen_port),
			  "iptables", "forward_policy", is_forwarding() ? "ACCEPT" : "DROP",
			  "nat_rules", active ? networks : 0, "has_rules", active, "nat",
			  "masquerade", active ? "enabled" : "disabled", "interface",
			  json_object_get(uplink, "interface"), "enabled", active, "ports",
			  ports_json(&d), "nftables", "table",
			  json_sprintf("inet " NET_TABLE_PREFIX "%s", c->settings.ifname));
	json_decref(uplink);
	return *data ? API_OK
		     : core_code_of(err_set(e, ERR_NOMEM, "get_firewall_status: out of memory"));
}
