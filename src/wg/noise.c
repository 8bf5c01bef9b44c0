#include "wg/noise.h"

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const char identifier_text[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

struct str wg_noise_identifier(void)
{
	return (struct str){ identifier_text, sizeof identifier_text - 1 };
}

/* H := HASH(H || data) */
static void mix_hash(struct wg_noise *n, const void *data, size_t len)
{
	blake2s_hash2(n->hash, n->hash, sizeof n->hash, data, len);
}

/* C := KDF1(C, data) */
static void mix_key(struct wg_noise *n, const void *data, size_t len)
{
	kdf_blake2s(n->chaining_key, NULL, NULL, n->chaining_key, data, len);
}

/* A public ephemeral is hashed and, as the psk variants demand, mixed into the key too. */
static void mix_ephemeral(struct wg_noise *n, const uint8_t public[KEY_LEN])
{
	mix_hash(n, public, KEY_LEN);
	mix_key(n, public, KEY_LEN);
}

/* (C, key) := KDF2(C, secret) */
static void mix_secret(struct wg_noise *n, uint8_t key[KEY_LEN], const struct shared_secret *secret)
{
	kdf_blake2s(n->chaining_key, key, NULL, n->chaining_key, secret->b, sizeof secret->b);
}

/* One Diffie-Hellman token.  A zero result means a point of small order: refused, every time. */
static bool mix_dh(struct wg_noise *n, uint8_t key[KEY_LEN], const struct secret_key *own,
		   const struct public_key *other)
{
	struct shared_secret shared;
	bool ok = x25519(&shared, own, other);

	if (ok)
		mix_secret(n, key, &shared);
	wipe(&shared, sizeof shared);
	return ok;
}

/* (C, t, key) := KDF3(C, psk), H := HASH(H || t) */
static void mix_psk(struct wg_noise *n, uint8_t key[KEY_LEN], const struct psk *psk)
{
	uint8_t t[BLAKE2S_LEN];

	kdf_blake2s(n->chaining_key, t, key, n->chaining_key, psk->b, sizeof psk->b);
	mix_hash(n, t, sizeof t);
	wipe(t, sizeof t);
}

/* Each handshake key seals once, so the counter is always zero. */
static void seal_and_hash(struct wg_noise *n, uint8_t *out, const uint8_t key[KEY_LEN],
			  const void *plain, size_t len)
{
	aead_seal(out, key, 0, plain, len, n->hash, sizeof n->hash);
	mix_hash(n, out, len + AEAD_TAG_LEN);
}

static bool open_and_hash(struct wg_noise *n, uint8_t *out, const uint8_t key[KEY_LEN],
			  const uint8_t *sealed, size_t len)
{
	if (!aead_open(out, key, 0, sealed, len, n->hash, sizeof n->hash))
		return false;
	mix_hash(n, sealed, len);
	return true;
}

static struct public_key key_from(const uint8_t b[KEY_LEN])
{
	struct public_key k;

	memcpy(k.b, b, sizeof k.b);
	return k;
}

void wg_noise_start(struct wg_noise *n, struct str identifier, const struct public_key *responder)
{
	/* C := HASH(construction), H := HASH(C || identifier), H := HASH(H || S_r) */
	blake2s_hash2(n->chaining_key, construction, sizeof construction - 1, NULL, 0);
	blake2s_hash2(n->hash, n->chaining_key, sizeof n->chaining_key, identifier.p, identifier.n);
	mix_hash(n, responder->b, sizeof responder->b);
}

bool wg_noise_write_initiation(struct wg_noise *n, const struct wg_noise_initiator *in,
			       uint8_t ephemeral[KEY_LEN],
			       uint8_t sealed_static[KEY_LEN + AEAD_TAG_LEN],
			       uint8_t *sealed_payload, const void *payload, size_t payload_len)
{
	uint8_t key[KEY_LEN];
	struct public_key e;
	bool ok;

	/* e */
	public_key_of(&e, in->ephemeral);
	memcpy(ephemeral, e.b, sizeof e.b);
	mix_ephemeral(n, ephemeral);

	/* es */
	ok = mix_dh(n, key, in->ephemeral, in->responder_static);
	if (ok) {
		/* s */
		seal_and_hash(n, sealed_static, key, in->own_static->b, KEY_LEN);
		/* ss */
		mix_secret(n, key, in->static_static);
		/* {payload} */
		seal_and_hash(n, sealed_payload, key, payload, payload_len);
	}
	wipe(key, sizeof key);
	return ok;
}

bool wg_noise_read_initiator(struct wg_noise *n, struct public_key *initiator,
			     const struct secret_key *own_static, const uint8_t ephemeral[KEY_LEN],
			     const uint8_t sealed_static[KEY_LEN + AEAD_TAG_LEN])
{
	struct public_key e = key_from(ephemeral);
	uint8_t key[KEY_LEN];
	bool ok;

	/* e */
	mix_ephemeral(n, ephemeral);
	/* es, s */
	ok = mix_dh(n, key, own_static, &e) &&
	     open_and_hash(n, initiator->b, key, sealed_static, KEY_LEN + AEAD_TAG_LEN);
	wipe(key, sizeof key);
	return ok;
}

bool wg_noise_read_payload(struct wg_noise *n, uint8_t *payload,
			   const struct shared_secret *static_static, const uint8_t *sealed,
			   size_t sealed_len)
{
	uint8_t key[KEY_LEN];
	bool ok;

	/* ss, {payload} */
	mix_secret(n, key, static_static);
	ok = open_and_hash(n, payload, key, sealed, sealed_len);
	wipe(key, sizeof key);
	return ok;
}

bool wg_noise_write_response(struct wg_noise *n, const struct wg_noise_responder *r,
			     uint8_t ephemeral[KEY_LEN], uint8_t *sealed_payload,
			     const void *payload, size_t payload_len)
{
	struct public_key initiator_ephemeral = key_from(r->initiator_ephemeral);
	uint8_t key[KEY_LEN];
	struct public_key e;
	bool ok;

	/* e */
	public_key_of(&e, r->ephemeral);
	memcpy(ephemeral, e.b, sizeof e.b);
	mix_ephemeral(n, ephemeral);
	/* ee, se */
	ok = mix_dh(n, key, r->ephemeral, &initiator_ephemeral) &&
	     mix_dh(n, key, r->ephemeral, r->initiator_static);
	if (ok) {
		/* psk */
		mix_psk(n, key, r->psk);
		/* {payload} */
		seal_and_hash(n, sealed_payload, key, payload, payload_len);
	}
	wipe(key, sizeof key);
	return ok;
}

bool wg_noise_read_response(struct wg_noise *n, uint8_t *payload,
			    const struct secret_key *own_ephemeral,
			    const struct secret_key *own_static, const struct psk *psk,
			    const uint8_t ephemeral[KEY_LEN], const uint8_t *sealed,
			    size_t sealed_len)
{
	struct public_key e = key_from(ephemeral);
	uint8_t key[KEY_LEN];
	bool ok;

	/* e */
	mix_ephemeral(n, ephemeral);
	/* ee, se */
	ok = mix_dh(n, key, own_ephemeral, &e) && mix_dh(n, key, own_static, &e);
	if (ok) {
		/* psk */
		mix_psk(n, key, psk);
		/* {payload} */
		ok = open_and_hash(n, payload, key, sealed, sealed_len);
	}
	wipe(key, sizeof key);
	return ok;
}

void wg_noise_split(struct wg_noise *n, uint8_t to_responder[KEY_LEN],
		    uint8_t to_initiator[KEY_LEN])
{
	kdf_blake2s(to_responder, to_initiator, NULL, n->chaining_key, NULL, 0);
	wipe(n, sizeof *n);
}
