#include "crypto/keys.h"

#include <errno.h>
#include <sodium.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "crypto/ossl.h"

_Static_assert(crypto_scalarmult_BYTES == KEY_LEN && crypto_scalarmult_SCALARBYTES == KEY_LEN,
	       "libsodium's default group is Curve25519");
_Static_assert(crypto_shorthash_KEYBYTES == sizeof(struct siphash_key) &&
		       crypto_shorthash_BYTES == sizeof(uint64_t),
	       "libsodium's short hash is SipHash-2-4 with 64 bits");

bool crypto_init(void)
{
	return sodium_init() >= 0 && ossl_init();
}

void random_bytes(void *p, size_t n)
{
	uint8_t *at = p;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			ossl_fatal("getrandom");
		at += got;
		n -= (size_t)got;
	}
}

uint32_t random_u32(void)
{
	uint32_t v;

	random_bytes(&v, sizeof v);
	return v;
}

uint32_t random_below(uint32_t below)
{
	uint32_t skip, v;

	BUG_ON(below == 0);
	/* 2^32 mod below: the values under it would make small results likelier. */
	skip = (uint32_t)-below % below;
	do
		v = random_u32();
	while (v < skip);
	return v % below;
}

bool ct_equal(const void *a, const void *b, size_t n)
{
	return sodium_memcmp(a, b, n) == 0;
}

bool ct_is_zero(const void *p, size_t n)
{
	return sodium_is_zero(p, n) == 1;
}

void secret_key_clamp(struct secret_key *k)
{
	/* RFC 7748 5, decodeScalar25519. */
	k->b[0] &= 248;
	k->b[31] = (uint8_t)((k->b[31] & 127) | 64);
}

void secret_key_generate(struct secret_key *k)
{
	random_bytes(k->b, sizeof k->b);
	secret_key_clamp(k);
}

void psk_generate(struct psk *k)
{
	random_bytes(k->b, sizeof k->b);
}

void public_key_of(struct public_key *out, const struct secret_key *secret)
{
	/* Clamps a copy of its own; fails for no input. */
	OSSL_MUST(crypto_scalarmult_base(out->b, secret->b) == 0);
}

bool x25519(struct shared_secret *out, const struct secret_key *secret,
	    const struct public_key *peer)
{
	/* libsodium refuses the points of small order beforehand and looks at the result. */
	if (crypto_scalarmult(out->b, secret->b, peer->b) != 0 || ct_is_zero(out->b, KEY_LEN)) {
		wipe(out, sizeof *out);
		return false;
	}
	return true;
}

uint64_t siphash(const struct siphash_key *k, const void *p, size_t n)
{
	uint8_t out[crypto_shorthash_BYTES];

	OSSL_MUST(crypto_shorthash(out, p, n, k->b) == 0);
	return load_le64(out);
}
