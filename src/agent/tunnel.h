/* tunnel.h - a further interface as the agent's handlers see it, and what the files about that share
 * (tunnel.c, tunnel_peers.c, tunnel_sync.c).
 */
#ifndef QANAT_AGENT_TUNNEL_H
#define QANAT_AGENT_TUNNEL_H

#include "agent/iface.h"
#include "tunnels/tunnels.h"

/* The further interface `name`, which is there or (`may_be_new`) can be made; false when neither. */
bool agent_tunnel(struct agent *a, struct str name, bool may_be_new, struct agent_iface *out);
/* All of them into out[max]; how many they are. */
size_t agent_tunnels(struct agent *a, struct agent_iface *out, size_t max);

/* ---- shared ---- */

/* NULL: it is only about to be made. */
struct tunnel *agent_tunnel_of(const struct agent_iface *i);
/* The interface of ours that has the UDP port, up or not, other than *i; NULL: none. */
const char *agent_port_owner(const struct agent_iface *i, uint16_t port);
/* Networks without their host bits, none twice; how many remain. */
size_t agent_networks_tidy(struct ip_prefix *p, size_t n);

/* Operations of struct agent_iface_ops. */
enum err_code agent_tunnel_peers_text(const struct agent_iface *i, struct buf *out, struct err *e);
enum err_code agent_tunnel_peer_known(const struct agent_iface *i, const struct public_key *k,
				      bool *known, struct err *e);
enum err_code agent_tunnel_peer_store(const struct agent_iface *i, struct agent_peer *p,
				      struct err *e);
enum err_code agent_tunnel_peer_remove(const struct agent_iface *i, const struct public_key *k,
				       struct err *e);
enum err_code agent_tunnel_peer_live(const struct agent_iface *i, const struct public_key *k,
				     struct err *e);
enum err_code agent_tunnel_walk(const struct agent_iface *i, device_peer_fn *fn, void *arg,
				struct err *e);
enum err_code agent_tunnel_sync(const struct agent_iface *i, const struct wg_conf *file,
				struct agent_synced *out, struct err *e);

#endif
