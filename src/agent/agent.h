/* agent.h - the agent API: a panel steers this gateway's interfaces over HTTPS.
 *
 * Endpoints, fields and texts of the agent that existing panels speak to (reference 003, details
 * 4.1), served name for name; docs/operations/agent.md says where we are stricter, and
 * docs/openapi/gateway.yaml lists every route.
 *
 * The peers of the gateway's own interface are the clients of the store, so that what a panel
 * adds is a client like any other, without a private key here; nothing is kept twice.  Further
 * interfaces (tunnels/tunnels.h) are made here and have peers of their own; handlers see both by one
 * table (iface.h).  A change of a configuration is a transaction over store, device and host:
 * the commit of the store is last, so that a crash anywhere leaves the old configuration or the new
 * one, whole.
 *
 * The loop's thread.  FAULT points: agent.stored, agent.device, agent.net, agent.hooks, agent.verify,
 * agent.committed, agent.peer.
 */
#ifndef QANAT_AGENT_AGENT_H
#define QANAT_AGENT_AGENT_H

#include "core/core.h"
#include "http/server.h"

struct agent_config {
	struct core *core; /* borrowed */
	struct str secret; /* of the signatures; copied */
	bool metrics_signed; /* /v1/metrics needs a signature like the rest */
	struct str commands; /* lines that post_up and pre_down may hold as they stand; borrowed */
};
#define AGENT_SECRET_EXAMPLE "change-me-in-production"

struct agent;

MUST_CHECK enum err_code agent_open(struct agent **out, const struct agent_config *c,
				    struct err *e);
/* After the HTTPS server that serves it has been closed.  Takes NULL. */
void agent_close(struct agent *a);
/* What the HTTPS server serves; lives as long as the agent. */
struct http_service agent_service(struct agent *a);

/* ---- the state of the gateway's own interface, which outlives the API ---- */

/* Whether POST .../disable took the interface down: it stays so through restarts. */
MUST_CHECK enum err_code agent_is_disabled(struct store *s, bool *out, struct err *e);
/* Runs the PostUp (`up`) or PreDown commands that the API has set for `ifname`; before PostUp, the
 * PreDown commands of a run that was killed.  What cannot be run is an error that names the command. */
MUST_CHECK enum err_code agent_hooks(struct core *c, const char *ifname, bool up, struct err *e);

#endif
