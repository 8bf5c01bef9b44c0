/* settings.h - what a gateway is set to: kept in the store, changed by options at start.
 *
 * The first start stores the options and defaults; later starts use what is stored, and an option
 * that is given replaces its setting.  They are stored when the start has succeeded, so that one
 * that fails changes nothing for the next.  The networks may not change while clients have addresses
 * in them.
 */
#ifndef QANAT_CORE_SETTINGS_H
#define QANAT_CORE_SETTINGS_H

#include "store/store.h"

#define SETTINGS_HOST_MAX 253

enum setting {
	SETTING_INTERFACE,
	SETTING_PORT,
	SETTING_NETWORK,
	SETTING_NETWORK6,
	SETTING_ENDPOINT,
	SETTING_DNS_PRIMARY,
	SETTING_DNS_SECONDARY,
	SETTING_MTU,
	SETTING_RESTART_AFTER_ADD,
	SETTINGS,
};

struct settings {
	char ifname[16];
	uint16_t port;
	uint16_t mtu;
	struct ip_prefix network; /* IPv4, host bits clear */
	struct ip_prefix network6; /* family IP_NONE: no IPv6 in the tunnel */
	char endpoint_host[SETTINGS_HOST_MAX + 1]; /* empty: the default route's address */
	uint16_t endpoint_port; /* 0: `port` */
	struct ip_addr dns[2]; /* primary, secondary; family IP_NONE: none */
	bool restart_after_add;
};

/* Texts of options; those not given are empty with p == NULL. */
struct settings_given {
	struct str v[SETTINGS];
};

/* What is stored, or the defaults, with what is given in its place; checked, and not stored yet.
 * ERR_INVALID names the option. */
MUST_CHECK enum err_code settings_load(struct settings *out, struct store *s,
				       const struct settings_given *given, struct err *e);
/* Stores all of them in one transaction. */
MUST_CHECK enum err_code settings_store(const struct settings *s, struct store *store,
					struct err *e);
/* Stores one of them, in a transaction of the caller's. */
MUST_CHECK enum err_code settings_put(const struct settings *s, struct store *store,
				      enum setting which, struct err *e);
/* The option that this run was started with (p NULL: none) has been overruled by a change: when the
 * next start is given the same text, what is stored counts. */
MUST_CHECK enum err_code settings_overrule(struct store *store, enum setting which,
					   struct str given, struct err *e);
/* Changes one setting in the store, then in `s`. */
MUST_CHECK enum err_code settings_change(struct settings *s, struct store *store,
					 enum setting which, struct str text, struct err *e);
/* Reads one setting's text into `s`; `s` is unchanged on failure. */
MUST_CHECK enum err_code settings_parse(struct settings *s, enum setting which, struct str text,
					struct err *e);
/* The canonical text of a setting. */
void settings_format(const struct settings *s, enum setting which, struct buf *out);

/* The server's address in the tunnel: host 1 of each network, with the prefix length. */
struct ip_prefix settings_server_address(const struct ip_prefix *network);
/* Host numbers for clients of the IPv4 network: 2 up to the last before broadcast. */
#define SETTINGS_FIRST_CLIENT 2
uint64_t settings_last_client(const struct ip_prefix *network);

#endif
