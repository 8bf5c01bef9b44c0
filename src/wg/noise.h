/* noise.h - the handshake of the paper (5.4.1 to 5.4.5), which is Noise_IKpsk2 over Curve25519,
 * ChaCha20-Poly1305 and BLAKE2s: the symmetric state and what each message does to it.
 *
 * Knows no peers, indices, datagrams or time.  Payloads and the identifier are arguments, so that
 * the vectors of the Noise family apply.  After any function returned false the state is of no
 * use; the caller works on a copy and keeps it only on success.
 */
#ifndef QANAT_WG_NOISE_H
#define QANAT_WG_NOISE_H

#include "crypto/aead.h"
#include "crypto/hash.h"

struct wg_noise {
	uint8_t chaining_key[BLAKE2S_LEN];
	uint8_t hash[BLAKE2S_LEN];
};

/* The identifier that WireGuard mixes in first. */
struct str wg_noise_identifier(void);

/* Construction, identifier, then the responder's static key, which the initiator knows. */
void wg_noise_start(struct wg_noise *n, struct str identifier, const struct public_key *responder);

struct wg_noise_initiator {
	const struct secret_key *ephemeral;
	const struct public_key *own_static;
	const struct public_key *responder_static;
	const struct shared_secret *static_static;
};

/* Message 1: e, es, s, ss, payload.  `sealed_payload` has payload_len + AEAD_TAG_LEN bytes. */
MUST_CHECK bool wg_noise_write_initiation(struct wg_noise *n, const struct wg_noise_initiator *in,
					  uint8_t ephemeral[KEY_LEN],
					  uint8_t sealed_static[KEY_LEN + AEAD_TAG_LEN],
					  uint8_t *sealed_payload, const void *payload,
					  size_t payload_len);

/* Message 1 at the responder, up to the token s: who is it? */
MUST_CHECK bool wg_noise_read_initiator(struct wg_noise *n, struct public_key *initiator,
					const struct secret_key *own_static,
					const uint8_t ephemeral[KEY_LEN],
					const uint8_t sealed_static[KEY_LEN + AEAD_TAG_LEN]);

/* The rest of message 1: ss, payload.  `payload` has sealed_len - AEAD_TAG_LEN bytes. */
MUST_CHECK bool wg_noise_read_payload(struct wg_noise *n, uint8_t *payload,
				      const struct shared_secret *static_static,
				      const uint8_t *sealed, size_t sealed_len);

struct wg_noise_responder {
	const struct secret_key *ephemeral;
	const uint8_t *initiator_ephemeral; /* KEY_LEN bytes */
	const struct public_key *initiator_static;
	const struct psk *psk;
};

/* Message 2: e, ee, se, psk, payload. */
MUST_CHECK bool wg_noise_write_response(struct wg_noise *n, const struct wg_noise_responder *r,
					uint8_t ephemeral[KEY_LEN], uint8_t *sealed_payload,
					const void *payload, size_t payload_len);

/* Message 2 at the initiator. */
MUST_CHECK bool wg_noise_read_response(struct wg_noise *n, uint8_t *payload,
				       const struct secret_key *own_ephemeral,
				       const struct secret_key *own_static, const struct psk *psk,
				       const uint8_t ephemeral[KEY_LEN], const uint8_t *sealed,
				       size_t sealed_len);

/* The two transport keys; wipes the state. */
void wg_noise_split(struct wg_noise *n, uint8_t to_responder[KEY_LEN],
		    uint8_t to_initiator[KEY_LEN]);

#endif
