/* iface.h - an interface as the handlers of the agent API see it, whichever kind it is.
 *
 * The gateway's own interface is made of settings and its peers are clients of the store (own.c);
 * a further one is a row of its own with peers of its own (tunnel.c).  Both fill one table of
 * operations, so that each handler is written once: what is asked, checked, run and taken back in which order
 * stands there, and what is particular to a kind stands behind its table.
 *
 * For the files of the agent API only.  The loop's thread; an agent_iface lives as long as a request.
 */
#ifndef QANAT_AGENT_IFACE_H
#define QANAT_AGENT_IFACE_H

#include "base/ifname.h"
#include "device/device.h"
#include "agent/conf.h"
#include "tunnels/commands.h"
#include "wg/conf.h"

struct agent_iface {
	const struct agent_iface_ops *ops;
	struct agent *a;
	char ifname[IFNAME_LEN_MAX + 1];
};

/* What a syncconf came to. */
struct agent_synced {
	size_t added, changed, removed, unchanged;
};

struct agent_iface_ops {
	/* ---- configuration ---- */

	/* As it is stored, with its key; the caller wipes it.  ERR_NOT_FOUND: it is not there yet. */
	enum err_code (*load)(const struct agent_iface *i, struct agent_conf *out, struct err *e);
	/* What a new one is where the request says nothing.  NULL: this kind is there from the start. */
	void (*begin)(const struct agent_iface *i, struct agent_conf *out);
	/* Puts the addresses that a request names into *c; ERR_INVALID when they cannot be. */
	enum err_code (*set_addresses)(const struct agent_iface *i, struct agent_conf *c,
				       const struct ip_prefix *p, size_t n, struct err *e);
	/* What this kind demands beyond agent_conf_check: ERR_IN_USE, ERR_EXISTS for what somebody
	 * else has. */
	enum err_code (*check)(const struct agent_iface *i, const struct agent_conf *old,
			       const struct agent_conf *new, struct err *e);
	/* Writes what differs, in a transaction of the caller's. */
	enum err_code (*store)(const struct agent_iface *i, const struct agent_conf *old,
			       const struct agent_conf *new, struct err *e);
	/* What others of this program read, and `apply` makes, is that of *c; with port 0 it was only
	 * about to be made, and is not there. */
	void (*take)(const struct agent_iface *i, const struct agent_conf *c);
	/* The peers as sections of a file. */
	enum err_code (*peers_text)(const struct agent_iface *i, struct buf *out, struct err *e);

	/* ---- device and host ---- */

	/* False: there is no device now, and *out is zero. */
	bool (*status)(const struct agent_iface *i, struct dataplane_status *out);
	/* Nothing without a device. */
	enum err_code (*set_server)(const struct agent_iface *i, const struct secret_key *k,
				    uint16_t port, struct err *e);
	/* Makes the host's network as it is to be. */
	enum err_code (*apply)(const struct agent_iface *i, struct err *e);
	/* The peers, live where there is a device; as device_walk. */
	enum err_code (*walk)(const struct agent_iface *i, device_peer_fn *fn, void *arg,
			      struct err *e);

	/* ---- commands ---- */

	enum err_code (*commands)(const struct agent_iface *i, struct commands *out, struct err *e);
	/* Keeps what would take back whatever commands may have done. */
	enum err_code (*note)(const struct agent_iface *i, struct str pre_down, struct err *e);

	/* ---- up and down ---- */

	bool (*is_disabled)(const struct agent_iface *i);
	/* Before the transaction that takes it up.  NULL: nothing. */
	enum err_code (*before_up)(const struct agent_iface *i, struct err *e);
	/* Stores it, in a transaction of the caller's. */
	enum err_code (*store_up)(const struct agent_iface *i, bool up, struct err *e);
	/* Makes it so; also to take back what was half made. */
	enum err_code (*make_up)(const struct agent_iface *i, bool up, struct err *e);
	/* Takes it out of the store for good, in a transaction of the caller's, when it is down.
	 * NULL: it ends with the gateway. */
	enum err_code (*remove)(const struct agent_iface *i, struct err *e);
	/* After that has been committed: nothing of it is left in memory. */
	void (*forget)(const struct agent_iface *i);

	/* ---- peers ---- */

	enum err_code (*peer_known)(const struct agent_iface *i, const struct public_key *k,
				    bool *known, struct err *e);
	/* In a transaction of the caller's: a peer with an unknown key is added, of a known one what is
	 * given changes.  p->ips is what it has then. */
	enum err_code (*peer_store)(const struct agent_iface *i, struct agent_peer *p,
				    struct err *e);
	enum err_code (*peer_remove)(const struct agent_iface *i, const struct public_key *k,
				     struct err *e);
	/* What is live becomes what the store says of the key. */
	enum err_code (*peer_live)(const struct agent_iface *i, const struct public_key *k,
				   struct err *e);
	/* All peers are those of the file, by the smallest change, in a transaction of its own. */
	enum err_code (*sync)(const struct agent_iface *i, const struct wg_conf *file,
			      struct agent_synced *out, struct err *e);
};

/* The gateway's own. */
struct agent_iface agent_own(struct agent *a);

/* The interface of that name, which is there or (`may_be_new`) can be made; false when neither. */
bool agent_iface_named(struct agent *a, struct str name, bool may_be_new, struct agent_iface *out);
/* The interface of the path; false after an answer of 400 or 404. */
bool agent_iface_find(struct agent *a, struct http_request *r, struct agent_iface *out);
/* The same, and one that can be made. */
bool agent_iface_find_or_begin(struct agent *a, struct http_request *r, struct agent_iface *out);

#define AGENT_IFACES_MAX 16
/* All of them, the own one first; how many they are. */
size_t agent_ifaces(struct agent *a, struct agent_iface out[AGENT_IFACES_MAX]);

#endif
