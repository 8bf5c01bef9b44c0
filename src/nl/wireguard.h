/* wireguard.h - the kernel's WireGuard devices through its generic netlink family "wireguard", v1.
 *
 * Follows the kernel's own description of the family (Documentation/netlink/specs/wireguard.yaml):
 * a device is read by a dump whose messages may cut a peer in two, and changed by requests, each
 * at most as long as one message.  Here a peer is read whole and a change may be of any length.
 *
 * Keys are plain bytes in this folder.  One `struct nl_wg` belongs to one thread at a time.
 */
#ifndef QANAT_NL_WIREGUARD_H
#define QANAT_NL_WIREGUARD_H

#include "base/addr.h"
#include "base/err.h"

#define NL_WG_KEY 32
/* Peers and allowed IPs that we take from one device: the kernel's own limit of peers, and 16 of
 * the latter each. */
#define NL_WG_PEERS_MAX (1u << 20)
#define NL_WG_IPS_MAX (1u << 24)

struct nl_wg;

/* ERR_UNSUPPORTED when the kernel has no WireGuard. */
MUST_CHECK enum err_code nl_wg_open(struct nl_wg **out, struct err *e);
void nl_wg_close(struct nl_wg *w);

/* ---- reading ---- */

struct nl_wg_device {
	uint32_t ifindex;
	char name[16];
	uint8_t private_key[NL_WG_KEY]; /* zero: none */
	uint8_t public_key[NL_WG_KEY]; /* zero: none */
	uint16_t listen_port;
	uint32_t fwmark;
};

struct nl_wg_peer {
	uint8_t public_key[NL_WG_KEY];
	uint8_t psk[NL_WG_KEY]; /* zero: none */
	struct endpoint endpoint; /* zero: none */
	uint16_t keepalive_s;
	int64_t handshake_s, handshake_ns; /* wall clock; 0: never */
	uint64_t rx_bytes, tx_bytes;
	size_t first_ip, ip_count; /* its part of nl_wg_list.ips */
};

/* A device as it was at one moment. */
struct nl_wg_list {
	struct nl_wg_device device;
	struct nl_wg_peer *peers;
	size_t peer_count;
	struct ip_prefix *ips;
	size_t ip_count;
};
/* ERR_NOT_FOUND when there is no such interface, ERR_UNSUPPORTED when it is of another kind.  A
 * device that changes meanwhile is read again. */
MUST_CHECK enum err_code nl_wg_read(struct nl_wg *w, uint32_t ifindex, struct nl_wg_list *out,
				    struct err *e);
/* Wipes and frees what nl_wg_read gave. */
void nl_wg_list_done(struct nl_wg_list *l);

/* ---- changing ---- */

/* What is to become of the device itself; NULL members stay. */
struct nl_wg_device_set {
	const uint8_t *private_key; /* zero: none */
	const uint16_t *listen_port;
	const uint32_t *fwmark;
	bool replace_peers; /* all that are there go */
};

/* And of a peer, its allowed IPs apart; NULL members stay. */
struct nl_wg_peer_set {
	const uint8_t *public_key;
	const uint8_t *psk; /* zero: none */
	const struct endpoint *endpoint; /* not the zero one */
	const uint16_t *keepalive_s;
	bool remove, update_only, replace_allowed_ips;
};

/* A change: begun, described peer by peer in any number of messages, ended.  A message is sent
 * when it is full; after the first that the kernel refuses nothing more is sent. */
void nl_wg_set_begin(struct nl_wg *w, uint32_t ifindex, const struct nl_wg_device_set *device);
void nl_wg_set_peer(struct nl_wg *w, const struct nl_wg_peer_set *peer);
/* Of the peer last named.  `remove` is known to kernels from 6.16 on; older refuse it (EINVAL). */
void nl_wg_set_allowed_ip(struct nl_wg *w, const struct ip_prefix *ip, bool remove);
/* Sends the rest.  *done (may be NULL): so many peers, from the first on, were taken whole. */
MUST_CHECK enum err_code nl_wg_set_end(struct nl_wg *w, size_t *done, struct err *e);

#endif
