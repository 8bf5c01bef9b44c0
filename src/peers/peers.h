/* peers.h - the peer API: backends create, suspend and delete clients over HTTPS.
 *
 * The reference's calls, name for name (docs/openapi/gateway.yaml); errors are {"detail": …}.  Each
 * request is signed, in the whole form (docs/protocols/signatures.md) or, unless that is refused,
 * in the length form of existing backends.  Changes go through batch.h, so that an answer
 * means: durable and live.
 */
#ifndef QANAT_PEERS_PEERS_H
#define QANAT_PEERS_PEERS_H

#include "core/core.h"
#include "http/server.h"

#define PEERS_API_WINDOW_S 60

struct peers_api_config {
	struct str key; /* of signatures; not empty */
	struct str payload_key; /* of payloads; p NULL: there are none */
	unsigned window_s; /* PEERS_API_WINDOW_S or less */
	bool refuse_legacy; /* signatures of the length form */
};

struct peers_api;

/* `core` is borrowed; the texts are copied. */
MUST_CHECK enum err_code peers_api_new(struct peers_api **out, struct core *core,
				       const struct peers_api_config *c, struct err *e);
/* After the HTTPS server: what is queued is carried out.  Takes NULL. */
void peers_api_free(struct peers_api *a);
struct http_service peers_api_service(struct peers_api *a);

#endif
