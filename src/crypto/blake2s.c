#include "crypto/blake2s.h"

#define OUT_MAX 32
#define KEY_MAX 32
#define ROUNDS 10

/* RFC 7693 2.6: the initialisation vector of SHA-256. */
static const uint32_t iv[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

/* RFC 7693 2.7 */
static const uint8_t sigma[ROUNDS][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static inline uint32_t rotate_right(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

/* RFC 7693 3.1 */
#define MIX(a, b, c, d, x, y)                \
	do {                                 \
		a += b + (x);                \
		d = rotate_right(d ^ a, 16); \
		c += d;                      \
		b = rotate_right(b ^ c, 12); \
		a += b + (y);                \
		d = rotate_right(d ^ a, 8);  \
		c += d;                      \
		b = rotate_right(b ^ c, 7);  \
	} while (0)

#define ROUND(r)                                                                 \
	do {                                                                     \
		MIX(v[0], v[4], v[8], v[12], m[sigma[r][0]], m[sigma[r][1]]);    \
		MIX(v[1], v[5], v[9], v[13], m[sigma[r][2]], m[sigma[r][3]]);    \
		MIX(v[2], v[6], v[10], v[14], m[sigma[r][4]], m[sigma[r][5]]);   \
		MIX(v[3], v[7], v[11], v[15], m[sigma[r][6]], m[sigma[r][7]]);   \
		MIX(v[0], v[5], v[10], v[15], m[sigma[r][8]], m[sigma[r][9]]);   \
		MIX(v[1], v[6], v[11], v[12], m[sigma[r][10]], m[sigma[r][11]]); \
		MIX(v[2], v[7], v[8], v[13], m[sigma[r][12]], m[sigma[r][13]]);  \
		MIX(v[3], v[4], v[9], v[14], m[sigma[r][14]], m[sigma[r][15]]);  \
	} while (0)

/* RFC 7693 3.2.  The rounds are written out, so that the permutations are constants and the
 * working state stays in registers. */
static void compress(struct blake2s *s, const uint8_t block[BLAKE2S_BLOCK], size_t n, bool last)
{
	struct {
		uint32_t m[16], v[16];
	} work;
	uint32_t *m = work.m, *v = work.v;

	for (unsigned i = 0; i < 16; i++)
		m[i] = load_le32(block + 4 * i);
	s->fed += n;
	for (unsigned i = 0; i < 8; i++) {
		v[i] = s->h[i];
		v[i + 8] = iv[i];
	}
	v[12] ^= (uint32_t)s->fed;
	v[13] ^= (uint32_t)(s->fed >> 32);
	if (last)
		v[14] = ~v[14];
	ROUND(0);
	ROUND(1);
	ROUND(2);
	ROUND(3);
	ROUND(4);
	ROUND(5);
	ROUND(6);
	ROUND(7);
	ROUND(8);
	ROUND(9);
	for (unsigned i = 0; i < 8; i++)
		s->h[i] ^= v[i] ^ v[i + 8];
	if (last) /* the blocks before left theirs in the same place */
		wipe(&work, sizeof work);
}

void blake2s_begin(struct blake2s *s, size_t out_len, const void *key, size_t key_len)
{
	BUG_ON(out_len < 1 || out_len > OUT_MAX || key_len > KEY_MAX);
	*s = (struct blake2s){ 0 };
	memcpy(s->h, iv, sizeof s->h);
	s->h[0] ^= 0x01010000 ^ (uint32_t)key_len << 8 ^ (uint32_t)out_len;
	if (key_len) { /* a block of its own, zeros behind it */
		memcpy(s->block, key, key_len);
		s->n = sizeof s->block;
	}
}

void blake2s_flush(struct blake2s *s)
{
	BUG_ON(s->n != sizeof s->block);
	compress(s, s->block, sizeof s->block, false);
	s->n = 0;
}

/* A full block waits: it may be the last, which is compressed differently. */
void blake2s_add(struct blake2s *s, const void *in, size_t n)
{
	const uint8_t *at = in;

	while (n) {
		size_t room = sizeof s->block - s->n;
		size_t take = MIN(n, room);

		if (!room) {
			blake2s_flush(s);
			continue;
		}
		memcpy(s->block + s->n, at, take);
		s->n += take;
		at += take;
		n -= take;
	}
}

void blake2s_end(struct blake2s *s, uint8_t *out, size_t out_len)
{
	memset(s->block + s->n, 0, sizeof s->block - s->n);
	compress(s, s->block, s->n, true);
	for (size_t i = 0; i < 8; i++)
		store_le32(s->block + 4 * i, s->h[i]);
	memcpy(out, s->block, MIN(out_len, OUT_MAX));
	wipe(s, sizeof *s);
}
