/* api_peer.h - what a backend says of a client that it makes over the peer API.
 *
 * Beside struct client, whose private key is then with its owner.  Fields: docs/openapi/gateway.yaml.
 */
#ifndef QANAT_MODEL_API_PEER_H
#define QANAT_MODEL_API_PEER_H

#include "base/err.h"
#include "base/text.h"

#define API_PEER_REQUEST_ID_MAX 128 /* bytes */
#define API_PEER_DNS_MAX 16

/* Bits of a set. */
enum api_family { API_IPV4 = 1, API_IPV6 = 2 };

enum api_protocol { API_PROTOCOL_LEGACY, API_PROTOCOL_IPV4, API_PROTOCOL_IPV6, API_PROTOCOL_DUAL };

struct api_peer {
	char request_id[API_PEER_REQUEST_ID_MAX + 1]; /* the backend's own name for it */
	enum api_protocol protocol; /* LEGACY: none was given */
	unsigned traffic; /* what the client sends through the tunnel */
	uint16_t port;
	char dns[API_PEER_DNS_MAX + 1]; /* the choice: "d1" */
};

/* "ipv4", "ipv6" or "dual"; for LEGACY NULL. */
const char *api_protocol_name(enum api_protocol p);
MUST_CHECK bool api_protocol_parse(struct str s, enum api_protocol *out);
/* The client's allowed IPs: "0.0.0.0/0", "::/0" or both with a comma between. */
const char *api_traffic_allowed_ips(unsigned traffic);

#endif
