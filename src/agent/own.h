/* own.h - what the files of the agent API about the gateway's own interface share (own.c,
 * clients.c, sync.c); nobody else includes it.
 */
#ifndef QANAT_AGENT_OWN_H
#define QANAT_AGENT_OWN_H

#include "agent/iface.h"

/* Operations of struct agent_iface_ops whose peers are clients. */
enum err_code agent_clients_text(const struct agent_iface *i, struct buf *out, struct err *e);
enum err_code agent_client_known(const struct agent_iface *i, const struct public_key *k,
				 bool *known, struct err *e);
enum err_code agent_client_store(const struct agent_iface *i, struct agent_peer *p, struct err *e);
enum err_code agent_client_remove(const struct agent_iface *i, const struct public_key *k,
				  struct err *e);
enum err_code agent_client_live(const struct agent_iface *i, const struct public_key *k,
				struct err *e);
enum err_code agent_clients_sync(const struct agent_iface *i, const struct wg_conf *file,
				 struct agent_synced *out, struct err *e);

#endif
