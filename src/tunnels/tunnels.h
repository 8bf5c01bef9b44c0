/* tunnels.h - the gateway's further interfaces while it runs: their devices, peers and commands, and their
 * part of the host's network.
 *
 * A tunnel is a row of the store (store/tunnels.h).  One that is enabled has a device of the kind that
 * the gateway's own has; a disabled one has none, so that its port and its name are free.  What goes wrong
 * with one is logged and tried again: neither the gateway nor another tunnel stops for it.  One whose
 * interface somebody deletes is made anew at once, and given up for this run after it was deleted
 * TUNNEL_LOSSES_MAX times within a minute.
 *
 * Devices are opened by backend.h, the host's network is made and commands are run by core's host: nothing
 * here needs rights of its own.  The loop's thread.
 */
#ifndef QANAT_TUNNELS_TUNNELS_H
#define QANAT_TUNNELS_TUNNELS_H

#include "tunnels/commands.h"
#include "tunnels/backend.h"
#include "core/core.h"
#include "net/net.h"
#include "store/tunnels.h"

#define TUNNEL_RETRY_NS (2 * NS_PER_S)
#define TUNNEL_LOSSES_MAX 5

struct tunnel {
	struct list node;
	struct tunnels *all;
	char name[IFNAME_LEN_MAX + 1];
	uint16_t port, mtu; /* as stored, here and next */
	struct ip_prefix addresses[STORE_TUNNEL_ADDRESSES_MAX];
	size_t address_count;
	bool enabled;
	struct public_key key;
	struct backend *backend; /* NULL: it is down */
	struct loop_timer retry, call;
	bool take_over; /* a device of the run before may be there */
	bool failing; /* the last try: the next one's failure is no news */
	bool lost_now; /* by `retry` */
	unsigned losses; /* within a minute from */
	int64_t losses_from;
};

struct tunnels_config {
	struct core *core; /* borrowed: store, loop, host */
	struct helper *helper; /* borrowed; NULL: no device can be opened, for tests */
	bool forget_endpoints; /* where peers are is not kept */
	bool has_ipv6; /* the host: else IPv6 addresses are left out */
};

struct tunnels {
	struct tunnels_config c;
	struct list list; /* of struct tunnel, by name */
};

/* Reads which there are.  Opens nothing. */
MUST_CHECK enum err_code tunnels_open(struct tunnels **out, const struct tunnels_config *c,
				      struct err *e);
/* Opens the devices of those that are enabled, before the host's network is made. */
void tunnels_start(struct tunnels *t);
/* After that: their commands are run.  `made`: so it was; else all are closed and tried one by one. */
void tunnels_started(struct tunnels *t, bool made);
/* Adds those that are up to what is wanted of the host. */
void tunnels_want(const struct tunnels *t, struct net_want *w);
/* Calls fn for each address of those that are down, which they will have, until it returns false; false when
 * it did. */
bool tunnels_down_walk(struct tunnels *t,
		       bool (*fn)(void *arg, const char *ifname, const struct ip_prefix *address),
		       void *arg);
/* The helper says that a device of its has ended.  Takes NULL. */
void tunnels_gone(struct tunnels *t, uint32_t device);
/* Stores where peers are now. */
void tunnels_save(struct tunnels *t);
/* Takes back what the commands did. */
void tunnels_commands_end(struct tunnels *t);
/* Ends all timers; no packet passes our engines any more. */
void tunnels_serving_end(struct tunnels *t);
/* Closes devices; `stays`: interfaces that can live without us do, for the next run to take over. */
void tunnels_devices_end(struct tunnels *t, bool stays);
/* Frees all of it.  Takes NULL. */
void tunnels_close(struct tunnels *t);

/* ---- one of them, for the agent API ---- */

/* NULL: there is none. */
struct tunnel *tunnels_find(struct tunnels *t, struct str name);
/* What it is from now on, added when it is new; NULL without memory. */
struct tunnel *tunnels_set(struct tunnels *t, const struct store_tunnel *row);
/* It is down. */
void tunnels_forget(struct tunnel *t);

/* Makes the device and gives it its peers, unless it is there.  The network is made by
 * core->host.apply afterwards. */
MUST_CHECK enum err_code tunnel_open(struct tunnel *t, struct err *e);
/* Closes it, and removes the interface; nothing when it is down. */
void tunnel_close(struct tunnel *t);
/* The same, but an interface that can live without us stays. */
void tunnel_leave(struct tunnel *t);
/* Says in the store that a device may be there, before it is opened and before the transaction that
 * enables it; */
MUST_CHECK enum err_code tunnel_announce(struct tunnel *t, struct err *e);
/* that none is there any more. */
MUST_CHECK enum err_code tunnel_renounce(struct tunnel *t, struct err *e);
/* Takes back what its commands did, and with `up` runs them. */
MUST_CHECK enum err_code tunnel_commands(struct tunnel *t, bool up, struct err *e);
/* Fills `c` with commands of the row. */
MUST_CHECK enum err_code tunnel_commands_load(struct tunnel *t, struct commands *c, struct err *e);
/* The live peer becomes what the store says of the key; nothing when it is down. */
MUST_CHECK enum err_code tunnel_peer_live(struct tunnel *t, const struct public_key *k,
					  struct err *e);
/* All live peers become what the store says. */
MUST_CHECK enum err_code tunnel_restore_peers(struct tunnel *t, struct err *e);
/* A peer as a change for the device; `allowed`, as many as p->ips, is kept by the caller.  Where it is, is
 * the device's unless `place`. */
struct wg_peer_change tunnel_peer_change(const struct store_tunnel_peer *p,
					 struct wg_allowed_ip *allowed, bool place);
/* Ends the calling of peers (core.h), some seconds after it has gone up. */
void tunnel_call_end(struct tunnel *t);
void tunnel_save(struct tunnel *t);

#endif
