/* body.h - the bodies of the peer API: read strictly, answered with the list of what is wrong.
 *
 * Fields: docs/openapi/gateway.yaml.  A field that is not known is allowed and not looked at.  A
 * payload is base64(nonce[12] || ciphertext || tag[16]), AES-256-GCM without associated data, under
 * HKDF-SHA256(ikm = the configured text, no salt, info "handshake data"); what it holds wins over
 * the fields beside it.  Pure but for the nonce of an answer.
 */
#ifndef QANAT_PEERS_BODY_H
#define QANAT_PEERS_BODY_H

#include <jansson.h>

#include "crypto/keys.h"
#include "model/api_peer.h"

#define PEER_BODY_MAX 65536
#define PEER_DNS_CHOICES "d1, d2 or d3"

struct payload_key {
	uint8_t b[KEY_LEN];
	bool is_set;
};

void payload_key_set(struct payload_key *k, struct str text);
/* Appends what a payload holds; false (and *out as it was) when it is malformed or forged. */
MUST_CHECK bool payload_open(struct buf *out, const struct payload_key *k, struct str payload);
/* Appends the payload of `text`. */
void payload_seal(struct buf *out, const struct payload_key *k, struct str text);

struct peer_body {
	struct public_key key;
	struct api_peer about;
	unsigned families; /* enum api_family, of the addresses to be given */
	bool is_sealed; /* a payload was sent: so is the answer */
};

enum peer_body_verdict {
	PEER_BODY_OK,
	PEER_BODY_INVALID, /* *errors is a list for a 422 */
	PEER_BODY_BAD_PAYLOAD, /* a payload that does not open, or holds no object; or no key is set */
	PEER_BODY_NO_MEMORY,
};

/* The body of a creation.  `errors` gets a new reference or NULL. */
enum peer_body_verdict peer_body_parse(struct peer_body *out, struct str body,
				       const struct payload_key *k, json_t **errors);
/* The body {"status": "active" | "suspended"}. */
enum peer_body_verdict peer_status_parse(bool *active, struct str body, json_t **errors);
/* Base64 of 32 bytes as it may stand in a path, after percent-decoding: also with '-' and '_' for
 * '+' and '/', and without the '=' at its end or with a "%3D" that is still escaped. */
MUST_CHECK bool peer_key_parse(struct str text, struct public_key *out);

/* Appends {"loc": [place, field], "msg": …, "type": …, "input": …} to a list; false without memory.
 * `field` NULL: it is the whole place; `input`, borrowed: what was sent, left out when NULL or long. */
MUST_CHECK bool peer_error_add(json_t *errors, const char *place, const char *field,
			       const char *type, const char *msg, json_t *input);

#endif
