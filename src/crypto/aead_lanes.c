#include "crypto/aead_engine.h"

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/aead_chacha20.h"
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
 * The file is compiled once for each width (LANES, SEAL and OPEN are given by the build) with
 * the instructions of that width, and is entered only after the processor was asked.
 */
#define CHUNKS_A_BLOCK (BLOCK / POLY1305_CHUNK)
#define PART 64 /* packets looked at together */
#define RING 160 /* blocks of keystream kept: those of a packet of 9000 bytes, and a pass */
/* Chunks that are authenticated in each double round.  Three of them take as long as eight lanes
 * do, one after the other. */
#define CHUNKS_A_ROUND (3 * LANES / 8)

_Static_assert(RING % LANES == 0, "a pass lies in one piece");

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

/* ---- places ---- */

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

/* Lanes from `from` on become the blocks of the next packet from the next one on. */
static void lanes_set(struct work *w, size_t from)
{
	const struct aead_job *j = &w->jobs[w->next.job];

	lanes_count(w->state, from, w->next.block);
	if (from == 0 && w->state_job == j)
		return;
	lanes_key(w->state, from, j->key->b, j->counter);
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
	memset(w, 0, offsetof(struct work, verdict));
	w->jobs = jobs;
	w->n = n;
	w->opening = opening;
	lanes_begin(w->state);
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
