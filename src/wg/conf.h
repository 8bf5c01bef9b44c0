/* conf.h - configuration files in the form of wg(8) and wg-quick(8): strict reading and writing.
 *
 * Reads [Interface] and [Peer] sections; unknown keys, values out of range and duplicate single
 * keys are errors that name file, line and the nearest known key.  Endpoints may be names, which
 * are kept as text.  Commands (PreUp, PostUp, PreDown, PostDown) are kept as text and never run.
 * Writing refuses anything with control characters, so that a value cannot open a section.
 */
#ifndef QANAT_WG_CONF_H
#define QANAT_WG_CONF_H

#include "crypto/key_order.h"
#include "wg/device.h"

#define WG_CONF_PEERS_MAX 131072
#define WG_CONF_LINE_MAX 65536
#define WG_CONF_ADDRESSES_MAX 32
#define WG_CONF_DNS_MAX 16
#define WG_CONF_COMMANDS_MAX 32
#define WG_CONF_NAME_MAX 255 /* bytes of a peer's name; a longer comment is no name */
#define WG_CONF_SEARCH_MAX 1024
#define WG_CONF_MTU_MIN 576

struct wg_conf_peer {
	char *name; /* from a comment "# Client: NAME" or "# NAME" in front of [Peer], else from one in the line
		     * behind it; or NULL */
	struct public_key public_key;
	bool has_psk;
	struct psk psk;
	char *endpoint; /* "host:port" as written, or NULL */
	struct ip_prefix *allowed_ips;
	size_t allowed_ip_count;
	bool has_keepalive;
	uint16_t keepalive_s;
};

struct wg_conf {
	bool has_private_key;
	struct secret_key private_key;
	bool has_listen_port, has_fwmark, has_mtu;
	uint16_t listen_port;
	uint32_t fwmark;
	uint32_t mtu;
	struct ip_prefix addresses[WG_CONF_ADDRESSES_MAX];
	size_t address_count;
	struct ip_addr dns[WG_CONF_DNS_MAX];
	size_t dns_count;
	char *dns_search; /* comma-separated domains, or NULL */
	char *table; /* "off", "auto", a number; or NULL */
	bool save_config;
	struct {
		enum wg_conf_hook { WG_PRE_UP, WG_POST_UP, WG_PRE_DOWN, WG_POST_DOWN } when;
		char *text;
	} commands[WG_CONF_COMMANDS_MAX];
	size_t command_count;
	struct wg_conf_peer *peers;
	size_t peer_count;
	struct key_order by_key; /* of `peers`, once they have been read */
};

/* Reads `text`; `name` stands for the file in messages.  *out is written on success only. */
MUST_CHECK enum err_code wg_conf_parse(struct wg_conf *out, struct str text, const char *name,
				       struct err *e);
/* Writes the canonical form, which parses back to the same content. */
MUST_CHECK enum err_code wg_conf_write(struct buf *out, const struct wg_conf *c, struct err *e);
/* Whether `s` is "address:port" or "hostname:port" as an Endpoint may be. */
bool wg_conf_endpoint_ok(struct str s);
/* "off", "auto" or a number of a routing table. */
bool wg_conf_table_ok(struct str s);
/* Comma-separated domain names without spaces. */
bool wg_conf_search_ok(struct str s);
/* Text that can stand as a value and comes back the same: not empty, no control characters but
 * tabs, no spaces around it, no '#'. */
bool wg_conf_text_ok(struct str s);
/* The same for a peer's name, which may hold '#'. */
bool wg_conf_name_ok(struct str s);

/* Frees and wipes. */
void wg_conf_done(struct wg_conf *c);

#endif
