#include "crypto/aead_engine.h"

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/aead_poly1305.h"

/* ChaCha20-Poly1305 of RFC 8439, LANES blocks of ChaCha20 at once.
 *
 * The blocks of a batch are one row: the first packet's block 0, which is its one-time key, the
 * blocks of its text, block 0 of the next packet, and so on.  A pass makes the next LANES of them,
 * whichever packets they belong to, so that neither short packets nor few leave lanes empty: word i
 * of all their states is one vector.  Poly1305 runs in the integer registers, between the vector
 * instructions of a later pass, in the time they take anyway.
 *
 * Sealing mixes the keystream of a pass into the text at once; authentication follows a pass
 * behind.  Opening keeps the keystream until the packet's tag has been compared.
 *
 * The file is compiled once for each width (LANES, SEAL, OPEN, NATIVE are given by the build) with
 * the instructions of that width, and is entered only after the processor was asked.
 */
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16") /* arrays then live in registers, at -O2 too */
#define BLOCK 64 /* of ChaCha20 */
#define CHUNKS_A_BLOCK (BLOCK / POLY1305_CHUNK)
#define PART 64 /* packets looked at together */
#define RING 160 /* blocks of keystream kept: those of a packet of 9000 bytes, and a pass */
/* Chunks that are authenticated in each double round.  Three of them take as long as eight lanes
 * do, one after the other. */
#define CHUNKS_A_ROUND (3 * LANES / 8)
#define DOUBLE_ROUNDS 10

_Static_assert(LANES == 8 || LANES == 16, "the transpositions know these");
_Static_assert(RING % LANES == 0, "a pass lies in one piece");

typedef uint32_t vec __attribute__((vector_size(4 * LANES)));
typedef uint8_t vec_bytes __attribute__((vector_size(4 * LANES)));
typedef int32_t lane_numbers __attribute__((vector_size(4 * LANES)));
/* The same in memory, where nothing is aligned. */
typedef uint32_t vec_at __attribute__((vector_size(4 * LANES), aligned(1), may_alias));

struct place { /* a block of the batch */
	size_t job;
	size_t block; /* 0: the one-time key; from 1 on the text */
};

struct work {
	struct aead_job *jobs;
	size_t n;
	bool opening;
	struct place next; /* to be made; passes fill lanes from here */
	struct place made; /* before it, keystream is in the ring or used */
	struct place mixed; /* before it, text and keystream are mixed */
	size_t ring_made, ring_mixed; /* where the two are in the ring */
	const struct aead_job *state_job; /* all lanes of `state` are of this packet, else NULL */
	size_t ring_used; /* blocks of it that ever held something */
	size_t waiting; /* blocks between them */
	struct {
		size_t job; /* the packet that is authenticated; tags of those before are done */
		bool begun;
		const uint8_t *at;
		size_t ready; /* whole chunks from `at` on that may be absorbed now */
		struct poly1305 poly;
	} mac;
	uint64_t verdict[PART]; /* all ones: may be mixed; zero: forged */
	uint8_t one_time[PART][POLY1305_KEY];
	vec state[16]; /* what the lanes start from */
	uint8_t ring[RING][BLOCK] __attribute__((aligned(64)));
};

/* ---- vectors: shuffles by formula, lane i of the result being lane f(i) of two vectors ---- */

#define EACH4(f, i) f(i), f((i) + 1), f((i) + 2), f((i) + 3)
#define EACH8(f, i) EACH4(f, i), EACH4(f, (i) + 4)
#define EACH16(f, i) EACH8(f, i), EACH8(f, (i) + 8)
#define EACH32(f, i) EACH16(f, i), EACH16(f, (i) + 16)
#if LANES == 8
#define EACH_LANE(f) EACH8(f, 0)
#define EACH_BYTE(f) EACH32(f, 0)
#else
#define EACH_LANE(f) EACH16(f, 0)
#define EACH_BYTE(f) EACH32(f, 0), EACH32(f, 32)
#endif

/* Within each four lanes: the low or high words, or pairs of words, of both, taking turns. */
#define UNPACK(i, lanes) (((i) & ~3) + ((i)&3) / 2 + ((i)&1) * (lanes))
#define UNPACK_PAIRS(i, lanes) (((i) & ~3) + ((i)&1) + ((i) >> 1 & 1) * (lanes))
/* Every other four lanes of both, the first one's in front. */
#define DEAL(i, lanes) ((i) / 4 * 8 % (lanes) + (i) / (lanes / 2) * (lanes) + ((i)&3))
#define LOW(i) UNPACK(i, LANES)
#define HIGH(i) (UNPACK(i, LANES) + 2)
#define LOW_PAIRS(i) UNPACK_PAIRS(i, LANES)
#define HIGH_PAIRS(i) (UNPACK_PAIRS(i, LANES) + 2)
#define EVEN_FOURS(i) DEAL(i, LANES)
#define ODD_FOURS(i) (DEAL(i, LANES) + 4)
#define PICK(a, b, f) __builtin_shufflevector(a, b, EACH_LANE(f))

#define SAME(i) (i)

/* ---- ChaCha20 (RFC 8439 2.1 to 2.4) ---- */

INLINE void rotate(vec *v, int bits)
{
	*v = *v << bits | *v >> (32 - bits);
}

#define BYTES_UP_2(i) (((i) & ~3) + (((i) + 2) & 3))
#define BYTES_UP_1(i) (((i) & ~3) + (((i) + 3) & 3))

/* Without an instruction for rotations, whole bytes are moved by one shuffle.  The empty asm hides
 * where the value comes from: clang would shuffle both sides of the xor before it. */
#if LANES == 8
INLINE void rotate16(vec *v)
{
	__asm__("" : "+x"(*v));
	*v = (vec)__builtin_shufflevector((vec_bytes)*v, (vec_bytes)*v, EACH_BYTE(BYTES_UP_2));
}

INLINE void rotate8(vec *v)
{
	__asm__("" : "+x"(*v));
	*v = (vec)__builtin_shufflevector((vec_bytes)*v, (vec_bytes)*v, EACH_BYTE(BYTES_UP_1));
}
#else
INLINE void rotate16(vec *v)
{
	rotate(v, 16);
}

INLINE void rotate8(vec *v)
{
	rotate(v, 8);
}
#endif

/* Two quarter rounds side by side: enough work to hide latencies, few enough live words for 16
 * registers. */
INLINE void quarters(vec *a, vec *b, vec *c, vec *d, vec *a2, vec *b2, vec *c2, vec *d2)
{
	*a += *b, *a2 += *b2;
	*d ^= *a, *d2 ^= *a2;
	rotate16(d), rotate16(d2);
	*c += *d, *c2 += *d2;
	*b ^= *c, *b2 ^= *c2;
	rotate(b, 12), rotate(b2, 12);
	*a += *b, *a2 += *b2;
	*d ^= *a, *d2 ^= *a2;
	rotate8(d), rotate8(d2);
	*c += *d, *c2 += *d2;
	*b ^= *c, *b2 ^= *c2;
	rotate(b, 7), rotate(b2, 7);
}

INLINE void double_round(vec x[16])
{
	quarters(&x[0], &x[4], &x[8], &x[12], &x[1], &x[5], &x[9], &x[13]);
	quarters(&x[2], &x[6], &x[10], &x[14], &x[3], &x[7], &x[11], &x[15]);
	quarters(&x[0], &x[5], &x[10], &x[15], &x[1], &x[6], &x[11], &x[12]);
	quarters(&x[2], &x[7], &x[8], &x[13], &x[3], &x[4], &x[9], &x[14]);
}

INLINE void absorb_third(struct poly1305 *p, const uint8_t *at, size_t third)
{
	UNROLL
	for (size_t i = 0; i < CHUNKS_A_ROUND / 3; i++)
		poly1305_absorb(p, at + (third * CHUNKS_A_ROUND / 3 + i) * POLY1305_CHUNK);
}

/* The same, and CHUNKS_A_ROUND chunks: the processor finds both in its window. */
INLINE void double_round_absorbing(vec x[16], struct poly1305 *p, const uint8_t *at)
{
	quarters(&x[0], &x[4], &x[8], &x[12], &x[1], &x[5], &x[9], &x[13]);
	absorb_third(p, at, 0);
	quarters(&x[2], &x[6], &x[10], &x[14], &x[3], &x[7], &x[11], &x[15]);
	absorb_third(p, at, 1);
	quarters(&x[0], &x[5], &x[10], &x[15], &x[1], &x[6], &x[11], &x[12]);
	absorb_third(p, at, 2);
	quarters(&x[2], &x[7], &x[8], &x[13], &x[3], &x[4], &x[9], &x[14]);
}

/* Word i of all lanes' blocks is x[i]; writes the blocks, lane by lane. */
INLINE void blocks_store(uint8_t *out, vec x[16])
{
	UNROLL
	for (int i = 0; i < 16; i += 4) {
		vec a = PICK(x[i], x[i + 1], LOW), b = PICK(x[i], x[i + 1], HIGH);
		vec c = PICK(x[i + 2], x[i + 3], LOW), d = PICK(x[i + 2], x[i + 3], HIGH);

		/* Each four lanes of x[i + k] are now words i to i + 3 of one block. */
		x[i] = PICK(a, c, LOW_PAIRS);
		x[i + 1] = PICK(a, c, HIGH_PAIRS);
		x[i + 2] = PICK(b, d, LOW_PAIRS);
		x[i + 3] = PICK(b, d, HIGH_PAIRS);
	}
	UNROLL
	for (size_t k = 0; k < 4; k++) {
		vec a = PICK(x[k], x[4 + k], EVEN_FOURS), b = PICK(x[8 + k], x[12 + k], EVEN_FOURS);
		vec c = PICK(x[k], x[4 + k], ODD_FOURS), d = PICK(x[8 + k], x[12 + k], ODD_FOURS);
		vec rows[4] = { a, b, c, d };

		if (LANES == 16) {
			rows[0] = PICK(a, b, EVEN_FOURS);
			rows[1] = PICK(c, d, EVEN_FOURS);
			rows[2] = PICK(a, b, ODD_FOURS);
			rows[3] = PICK(c, d, ODD_FOURS);
		}
		UNROLL
		for (size_t i = 0; i < 4; i++) {
			size_t at = (4 * i * BLOCK) * LANES / 16;

			if (LANES == 8)
				at = i / 2 * 4 * BLOCK + i % 2 * sizeof(vec);
			*(vec_at *)(out + k * BLOCK + at) = rows[i];
		}
	}
}

/* ---- places ---- */

static size_t blocks_of(size_t len)
{
	return len / BLOCK + (len % BLOCK != 0);
}

/* Blocks of the place's packet from it on, but at most `max`. */
static size_t blocks_left(const struct work *w, struct place at, size_t max)
{
	return MIN(blocks_of(w->jobs[at.job].len) + 1 - at.block, max);
}

static void place_move(const struct work *w, struct place *at, size_t blocks)
{
	at->block += blocks;
	if (at->block > blocks_of(w->jobs[at->job].len))
		*at = (struct place){ .job = at->job + 1 };
}

/* ---- authentication ---- */

/* Whether the one-time key of the packet that is next is known. */
static bool mac_may_begin(const struct work *w)
{
	return w->made.job > w->mac.job || (w->made.job == w->mac.job && w->made.block > 0);
}

/* Bytes of its text that are ciphertext. */
static size_t mac_text(const struct work *w)
{
	size_t len = w->jobs[w->mac.job].len;

	if (w->opening || w->mixed.job > w->mac.job)
		return len;
	return w->mixed.block ? (w->mixed.block - 1) * BLOCK : 0;
}

/* Looks at what the last pass brought. */
static void mac_look(struct work *w)
{
	struct aead_job *j = &w->jobs[w->mac.job];

	if (w->mac.begun)
		w->mac.ready = (mac_text(w) - (size_t)(w->mac.at - j->text)) / POLY1305_CHUNK;
}

/* All ones when the tag behind the text is `tag`, else zero, without a branch. */
static uint64_t tag_verdict(const uint8_t *behind, const uint64_t tag[2])
{
	uint64_t differ = (load_le64(behind) ^ tag[0]) | (load_le64(behind + 8) ^ tag[1]);

	return ((differ | (0 - differ)) >> 63) - 1;
}

static void mac_end(struct work *w)
{
	struct aead_job *j = &w->jobs[w->mac.job];
	uint64_t tag[2], verdict = UINT64_MAX;

	for (; w->mac.ready; w->mac.ready--, w->mac.at += POLY1305_CHUNK)
		poly1305_absorb(&w->mac.poly, w->mac.at);
	if (j->len % POLY1305_CHUNK)
		poly1305_absorb_padded(&w->mac.poly, w->mac.at, j->len % POLY1305_CHUNK);
	poly1305_end(tag, &w->mac.poly, j->len, w->one_time[w->mac.job]);
	if (w->opening) {
		verdict = tag_verdict(j->text + j->len, tag);
		j->ok = verdict & 1;
	} else {
		store_le64(j->text + j->len, tag[0]);
		store_le64(j->text + j->len + 8, tag[1]);
	}
	w->verdict[w->mac.job++] = verdict;
	w->mac.begun = false;
	w->mac.ready = 0;
	wipe(tag, sizeof tag); /* what a forger would have to send */
}

/* Ends and begins packets until as many chunks are ready as a double round takes; false when there
 * is nothing more to do before the next pass. */
static __attribute__((noinline)) bool mac_turn(struct work *w)
{
	while (w->mac.ready < CHUNKS_A_ROUND) {
		struct aead_job *j = &w->jobs[w->mac.job];

		if (w->mac.begun) {
			if (mac_text(w) < j->len)
				return false;
			mac_end(w);
		} else {
			if (w->mac.job == w->n || !mac_may_begin(w))
				return false;
			poly1305_begin(&w->mac.poly, w->one_time[w->mac.job]);
			w->mac.begun = true;
			w->mac.at = j->text;
			mac_look(w);
		}
	}
	return true;
}

/* All that can be authenticated now, without a pass to hide in. */
static void mac_drain(struct work *w)
{
	mac_look(w);
	while (mac_turn(w)) {
		struct poly1305 p = w->mac.poly;

		for (; w->mac.ready; w->mac.ready--, w->mac.at += POLY1305_CHUNK)
			poly1305_absorb(&p, w->mac.at);
		w->mac.poly = p;
	}
}

/* ---- passes ---- */

/* Lanes from `from` on take `v`, the others stay. */
INLINE void lanes_take(vec *words, const lane_numbers *stays, const vec *v)
{
	*words = ((*words ^ *v) & (vec)*stays) ^ *v;
}

/* Lanes from `from` on become the blocks of the next packet from the next one on (RFC 8439 2.3:
 * key, block counter, nonce; WireGuard's nonces begin with 32 zeros). */
static void lanes_set(struct work *w, size_t from)
{
	const struct aead_job *j = &w->jobs[w->next.job];
	lane_numbers lane = { EACH_LANE(SAME) }, stays = lane < (int32_t)from;
	vec v = (vec)lane + (uint32_t)(w->next.block - from);

	lanes_take(&w->state[12], &stays, &v);
	if (from == 0 && w->state_job == j)
		return;
	UNROLL
	for (size_t i = 0; i < 8; i++) {
		v = (vec){ 0 } + load_le32(j->key->b + 4 * i);
		lanes_take(&w->state[4 + i], &stays, &v);
	}
	v = (vec){ 0 } + (uint32_t)j->counter;
	lanes_take(&w->state[14], &stays, &v);
	v = (vec){ 0 } + (uint32_t)(j->counter >> 32);
	lanes_take(&w->state[15], &stays, &v);
	w->state_job = from == 0 ? j : NULL;
}

/* Sets the states of the next blocks; returns how many there were.  Lanes from there on go on
 * behind the last packet, and nobody looks at what they give. */
static size_t lanes_fill(struct work *w)
{
	size_t filled = 0;

	while (filled < LANES && w->next.job < w->n) {
		size_t lanes = blocks_left(w, w->next, LANES - filled);

		lanes_set(w, filled);
		filled += lanes;
		place_move(w, &w->next, lanes);
	}
	return filled;
}

/* The rounds.  While chunks are ready they are absorbed between them. */
INLINE void rounds(vec x[16], struct work *w)
{
	size_t left = DOUBLE_ROUNDS;

	mac_look(w);
	for (;;) {
		struct poly1305 p = w->mac.poly;
		const uint8_t *at = w->mac.at;
		size_t now = MIN(w->mac.ready / CHUNKS_A_ROUND, left);

		left -= now;
		w->mac.ready -= now * CHUNKS_A_ROUND;
		for (; now; now--, at += CHUNKS_A_ROUND * POLY1305_CHUNK)
			double_round_absorbing(x, &p, at);
		w->mac.poly = p;
		w->mac.at = at;
		if (left == 0)
			return;
		if (!mac_turn(w))
			break;
	}
	for (; left; left--)
		double_round(x);
}

/* Makes the keystream of the next blocks. */
static void pass(struct work *w)
{
	size_t filled = lanes_fill(w), taken = 0;
	uint8_t *out = w->ring[w->ring_made];
	vec x[16];

	UNROLL
	for (int i = 0; i < 16; i++)
		x[i] = w->state[i];
	rounds(x, w);
	UNROLL
	for (int i = 0; i < 16; i++)
		x[i] += w->state[i];
	blocks_store(out, x);
	while (taken < filled) {
		size_t blocks = blocks_left(w, w->made, filled - taken);

		if (w->made.block == 0)
			memcpy(w->one_time[w->made.job], out + taken * BLOCK, POLY1305_KEY);
		taken += blocks;
		place_move(w, &w->made, blocks);
	}
	w->waiting += filled;
	w->ring_used = MAX(w->ring_used, w->ring_made + LANES);
	w->ring_made = (w->ring_made + LANES) % RING;
}

/* ---- texts ---- */

/* Forged texts meet zeros instead of the keystream: their plaintext never comes to be, and the
 * verdict decides no branch. */
static void text_mix(uint8_t *text, const uint8_t *stream, size_t len, uint64_t verdict)
{
	vec all = (vec){ 0 } + (uint32_t)verdict;

	for (; len >= BLOCK; len -= BLOCK, text += BLOCK, stream += BLOCK) {
		UNROLL
		for (size_t i = 0; i < BLOCK; i += sizeof all)
			*(vec_at *)(text + i) ^= *(const vec_at *)(stream + i) & all;
	}
	for (; len >= 8; len -= 8, text += 8, stream += 8)
		store_le64(text, load_le64(text) ^ (load_le64(stream) & verdict));
	for (size_t i = 0; i < len; i++)
		text[i] ^= stream[i] & (uint8_t)verdict;
}

/* Mixes what is in the ring, when opening only of packets whose tags were compared. */
static void ring_mix(struct work *w)
{
	size_t jobs = w->opening ? w->mac.job : w->n;

	while (w->waiting && w->mixed.job < jobs) {
		struct aead_job *j = &w->jobs[w->mixed.job];
		size_t blocks = 1;

		if (w->mixed.block > 0) {
			size_t from = (w->mixed.block - 1) * BLOCK;

			blocks = blocks_left(w, w->mixed, MIN(w->waiting, RING - w->ring_mixed));
			text_mix(j->text + from, w->ring[w->ring_mixed],
				 MIN(blocks * BLOCK, j->len - from),
				 w->opening ? w->verdict[w->mixed.job] : UINT64_MAX);
		}
		w->waiting -= blocks;
		w->ring_mixed = (w->ring_mixed + blocks) % RING;
		place_move(w, &w->mixed, blocks);
	}
}

/* ---- batches ---- */

static void work_begin(struct work *w, struct aead_job *jobs, size_t n, bool opening)
{
	static const char words[] = "expand 32-byte k";

	memset(w, 0, offsetof(struct work, verdict));
	memset(w->state, 0, sizeof w->state);
	w->jobs = jobs;
	w->n = n;
	w->opening = opening;
	for (size_t i = 0; i < 4; i++)
		w->state[i] = (vec){ 0 } + load_le32(words + 4 * i);
}

static void work_end(struct work *w)
{
	wipe(&w->mac, sizeof w->mac);
	wipe(w->one_time, w->n * sizeof w->one_time[0]);
	wipe(w->state, sizeof w->state);
	wipe(w->ring, w->ring_used * sizeof w->ring[0]);
}

/* Up to PART jobs.  The large arrays are not cleared first: what is read of them was written. */
static void part(struct aead_job *jobs, size_t n, bool opening)
{
	struct work w __attribute__((uninitialized));

	work_begin(&w, jobs, n, opening);
	while (w.next.job < n) {
		if (w.waiting + LANES > RING)
			mac_drain(&w);
		else
			pass(&w);
		ring_mix(&w);
	}
	mac_drain(&w);
	ring_mix(&w);
	work_end(&w);
}

static void batch(struct aead_job *jobs, size_t n, bool opening)
{
	for (size_t i = 0; i < n; i += PART)
		part(jobs + i, MIN(n - i, (size_t)PART), opening);
}

void SEAL(struct aead_job *jobs, size_t n)
{
	batch(jobs, n, false);
}

void OPEN(struct aead_job *jobs, size_t n)
{
	batch(jobs, n, true);
}
