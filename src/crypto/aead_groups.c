#include "crypto/aead_engine.h"

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/aead_chacha20.h"
#include "crypto/aead_wide.h"

/* ChaCha20-Poly1305 of RFC 8439 for batches of many packets, where the processor has IFMA.
 *
 * ChaCha20 makes LANES blocks at once: first block 0 of all packets, their one-time keys, then the
 * blocks of the texts as one row, whichever packets they belong to.  Poly1305 takes a group of
 * eight packets at once, each in its lane; that pays when the packets of a group are about equally
 * long, as those of a bulk transfer and those of many small flows are.  A batch where it does not
 * goes to the engine for few packets.
 *
 * Sealing authenticates a group once all of it is encrypted, while it is in the nearest cache.
 * Opening compares a group's tags before the first block for it is made.
 *
 * The build gives LANES, SEAL and OPEN, and FEW_SEAL and FEW_OPEN, the engine for few packets.
 */
#define PART 64 /* packets looked at together */

_Static_assert(PART % WIDE_LANES == 0 && PART % LANES == 0, "groups and passes lie in one piece");

struct place { /* a block of the texts; each text's first is number 1 */
	size_t job;
	size_t block;
};

struct work {
	struct aead_job *jobs;
	size_t n;
	bool opening;
	struct place next; /* to be made; before it, text and keystream are mixed */
	const struct aead_job *state_job; /* all lanes of `state` are of this packet, else NULL */
	size_t tagged; /* packets before it have their tags, or verdicts */
	uint64_t verdict[PART]; /* all ones: may be mixed; zero: forged */
	uint8_t one_time[PART][POLY1305_KEY] __attribute__((aligned(64)));
	vec state[16]; /* what the lanes start from */
	struct target { /* what each lane's block is mixed with */
		uint8_t *text;
		size_t len;
		uint64_t verdict;
	} target[LANES];
	uint8_t stream[LANES][BLOCK] __attribute__((aligned(64)));
};

_Static_assert(LANES == 16, "a vector holds a block");

/* ---- places ---- */

/* To the next packet that has a text. */
static void place_skip(const struct work *w, struct place *at)
{
	while (at->job < w->n && at->block > blocks_of(w->jobs[at->job].len))
		*at = (struct place){ .job = at->job + 1, .block = 1 };
}

/* Blocks of the place's packet from it on, but at most `max`. */
static size_t blocks_left(const struct work *w, struct place at, size_t max)
{
	return MIN(blocks_of(w->jobs[at.job].len) + 1 - at.block, max);
}

/* ---- keystream ---- */

/* What is left when the rounds are done, word by word. */
INLINE void words_make(vec x[16], const vec state[16])
{
	UNROLL
	for (size_t i = 0; i < 16; i++)
		x[i] = state[i];
	for (size_t i = 0; i < DOUBLE_ROUNDS; i++)
		double_round(x);
	UNROLL
	for (size_t i = 0; i < 16; i++)
		x[i] += state[i];
}

/* The one-time keys of all packets. */
static void keys_make(struct work *w)
{
	uint32_t words[16][LANES] __attribute__((aligned(64)));
	vec state[16], x[16];

	for (size_t i = 0; i < w->n; i += LANES) {
		for (size_t lane = 0; lane < LANES; lane++) {
			const struct aead_job *j = &w->jobs[MIN(i + lane, w->n - 1)];

			for (size_t k = 0; k < 8; k++)
				words[4 + k][lane] = load_le32(j->key->b + 4 * k);
			words[14][lane] = (uint32_t)j->counter;
			words[15][lane] = (uint32_t)(j->counter >> 32);
		}
		lanes_begin(state);
		memcpy(&state[4], words[4], 8 * sizeof state[0]);
		memcpy(&state[14], words[14], 2 * sizeof state[0]);
		words_make(x, state);
		blocks_store(w->stream[0], x);
		for (size_t lane = 0; lane < LANES; lane++)
			memcpy(w->one_time[i + lane], w->stream[lane], POLY1305_KEY);
	}
	wipe(words, sizeof words);
	wipe(state, sizeof state);
}

/* ---- authentication ---- */

/* A group's texts.  Lanes without a packet do what the last one does. */
struct group {
	const uint8_t *at[WIDE_LANES];
	size_t left[WIDE_LANES]; /* bytes */
	size_t left_min, left_max;
	struct wide_number r, h;
};

/* The words of the group's one-time keys, each in its lane. */
INLINE void group_keys(wide words[4], const uint8_t *one_time)
{
	for (size_t i = 0; i < 4; i += 2) {
		wide v[4], a, b;

		for (size_t k = 0; k < 4; k++)
			v[k] = *(const wide_at *)(one_time + k * sizeof(wide));
		a = i ? __builtin_shufflevector(v[0], v[1], 2, 6, 10, 14, 3, 7, 11, 15)
		      : __builtin_shufflevector(v[0], v[1], 0, 4, 8, 12, 1, 5, 9, 13);
		b = i ? __builtin_shufflevector(v[2], v[3], 2, 6, 10, 14, 3, 7, 11, 15)
		      : __builtin_shufflevector(v[2], v[3], 0, 4, 8, 12, 1, 5, 9, 13);
		words[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
		words[i + 1] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
	}
}

/* The blocks that all of the group have.  Two chunks a time, h r^2 + c0 r + c1: the products of c0
 * need not wait for h, and there is one carrying for both. */
static void group_whole_blocks(struct group *g)
{
	size_t blocks = g->left_min / WIDE_BLOCK;
	const struct wide_number zero = { .l0 = { 0 } };
	struct wide_number r = g->r, h = g->h, r2 = wide_multiply_add(r, r, zero);

	for (size_t k = 0; k < blocks; k++) {
		wide v[WIDE_LANES] __attribute__((uninitialized));

		UNROLL
		for (size_t i = 0; i < WIDE_LANES; i++)
			v[i] = *(const wide_at *)(g->at[i] + k * WIDE_BLOCK);
		wide_transpose(v);
		UNROLL
		for (size_t i = 0; i < WIDE_LANES; i += 4) {
			struct wide_sums s = wide_sums_of(wide_chunk(v[i + 2], v[i + 3]));

			wide_multiply(&s, wide_chunk(v[i], v[i + 1]), r);
			wide_multiply(&s, h, r2);
			h = wide_carry(&s);
		}
	}
	g->h = h;
	for (size_t i = 0; i < WIDE_LANES; i++) {
		g->at[i] += blocks * WIDE_BLOCK;
		g->left[i] -= blocks * WIDE_BLOCK;
	}
	g->left_max -= blocks * WIDE_BLOCK;
}

/* The rest: where a text has ended its lane keeps what it has. */
static void group_rest(struct group *g)
{
	struct wide_number r = g->r, h = g->h;

	while (g->left_max > 0) {
		wide v[WIDE_LANES], left;

		for (size_t i = 0; i < WIDE_LANES; i++) {
			size_t now = MIN(g->left[i], (size_t)WIDE_BLOCK);

			v[i] = wide_load_part(g->at[i], now);
			left[i] = now;
			g->at[i] += now;
			g->left[i] -= now;
		}
		wide_transpose(v);
		for (size_t c = 0; c < 4 && c * POLY1305_CHUNK < g->left_max; c++)
			h = wide_pick((wide)(left > c * POLY1305_CHUNK),
				      wide_multiply_add(h, r, wide_chunk(v[2 * c], v[2 * c + 1])),
				      h);
		g->left_max -= MIN(g->left_max, (size_t)WIDE_BLOCK);
	}
	g->h = h;
}

/* The tags of a group as two words each. */
static void group_tags(uint64_t tag[2][WIDE_LANES], struct group *g, const uint8_t *one_time)
{
	const struct wide_number zero = { .l0 = { 0 } };
	wide key[4], length, low, high;

	group_keys(key, one_time);
	g->r = wide_number_of(key[0] & 0x0ffffffc0fffffff, key[1] & 0x0ffffffc0ffffffc);
	g->h = zero;
	for (size_t i = 0; i < WIDE_LANES; i++)
		length[i] = g->left[i];
	group_whole_blocks(g);
	group_rest(g);
	/* RFC 8439 2.8: the lengths, of which the first is of associated data. */
	g->h = wide_multiply_add(g->h, g->r, wide_chunk((wide){ 0 }, length));
	g->h = wide_reduce(wide_multiply_add(g->h, g->r, zero));
	low = g->h.l0 | g->h.l1 << 44;
	high = g->h.l1 >> 20 | g->h.l2 << 24;
	low += key[2];
	high += key[3] - (wide)(low < key[2]);
	*(wide_at *)tag[0] = low;
	*(wide_at *)tag[1] = high;
}

/* The next group's tags: written behind its texts, or compared with what is there. */
static void group_do(struct work *w)
{
	size_t first = w->tagged, n = MIN(w->n - first, (size_t)WIDE_LANES);
	uint64_t tag[2][WIDE_LANES];
	struct group g = { .left_min = SIZE_MAX };

	for (size_t i = 0; i < WIDE_LANES; i++) {
		const struct aead_job *j = &w->jobs[first + MIN(i, n - 1)];

		g.at[i] = j->text;
		g.left[i] = j->len;
		g.left_min = MIN(g.left_min, j->len);
		g.left_max = MAX(g.left_max, j->len);
	}
	group_tags(tag, &g, w->one_time[first]);
	for (size_t i = 0; i < n; i++) {
		struct aead_job *j = &w->jobs[first + i];
		uint8_t *behind = j->text + j->len;
		uint64_t differ;

		if (w->opening) {
			differ = (load_le64(behind) ^ tag[0][i]) |
				 (load_le64(behind + 8) ^ tag[1][i]);
			w->verdict[first + i] = ((differ | (0 - differ)) >> 63) - 1;
			j->ok = w->verdict[first + i] & 1;
		} else {
			w->verdict[first + i] = UINT64_MAX;
			store_le64(behind, tag[0][i]);
			store_le64(behind + 8, tag[1][i]);
		}
	}
	w->tagged += n;
	wipe(&g, sizeof g);
	wipe(tag, sizeof tag); /* what a forger would have to send */
}

/* ---- batches ---- */

/* The states and targets of the next blocks; returns how many there were.  Lanes from there on go on
 * behind the last packet, and nobody looks at what they give. */
static size_t lanes_fill(struct work *w)
{
	size_t filled = 0;

	while (filled < LANES && w->next.job < w->n) {
		const struct aead_job *j = &w->jobs[w->next.job];
		size_t at = (w->next.block - 1) * BLOCK, lanes;
		uint64_t verdict = UINT64_MAX;

		lanes = blocks_left(w, w->next, LANES - filled);
		lanes_count(w->state, filled, w->next.block);
		if (filled > 0 || w->state_job != j) {
			lanes_key(w->state, filled, j->key->b, j->counter);
			w->state_job = filled == 0 ? j : NULL;
		}
		if (w->opening) {
			while (w->tagged <= w->next.job)
				group_do(w);
			verdict = w->verdict[w->next.job];
		}
		w->next.block += lanes;
		for (; lanes; lanes--, at += BLOCK)
			w->target[filled++] = (struct target){ j->text + at, j->len - at, verdict };
		place_skip(w, &w->next);
	}
	return filled;
}

/* The end of a text that is not a whole block. */
static __attribute__((noinline)) void end_mix(struct work *w, const struct target *t)
{
	text_mix(t->text, w->stream[0], t->len, UINT64_MAX);
}

/* Forged texts meet zeros instead of the keystream. */
INLINE void block_mix(struct work *w, const struct target *t, vec stream)
{
	stream &= (vec)((wide){ 0 } + t->verdict);
	if (LIKELY(t->len >= BLOCK)) {
		*(vec_at *)t->text ^= stream;
	} else {
		*(vec_at *)w->stream[0] = stream;
		end_mix(w, t);
	}
}

/* Makes the next blocks and mixes them into the texts. */
static void pass(struct work *w)
{
	size_t filled = lanes_fill(w);
	vec x[16];

	words_make(x, w->state);
	blocks_transpose(x);
	UNROLL
	for (size_t i = 0; i < LANES; i++)
		if (i < filled)
			block_mix(w, &w->target[i], x[i]);
}

/* Up to PART jobs.  The large arrays are not cleared first: what is read of them was written. */
static void part(struct aead_job *jobs, size_t n, bool opening)
{
	struct work w __attribute__((uninitialized));

	memset(&w, 0, offsetof(struct work, verdict));
	w.jobs = jobs;
	w.n = n;
	w.opening = opening;
	w.next.block = 1;
	place_skip(&w, &w.next);
	keys_make(&w);
	lanes_begin(w.state);
	while (w.next.job < n) {
		pass(&w);
		while (!opening && w.next.job >= w.tagged + WIDE_LANES)
			group_do(&w);
	}
	while (w.tagged < n)
		group_do(&w);
	wipe(w.one_time, sizeof w.one_time);
	wipe(w.state, sizeof w.state);
	wipe(w.stream, sizeof w.stream);
}

/* Whether the lanes are filled well enough, measured: a pass of blocks, and five and a half of the
 * eight lanes of the groups on average. */
static bool groups_pay(const struct aead_job *jobs, size_t n)
{
	size_t blocks = 0, chunks = 0, steps = 0;

	for (size_t i = 0; i < n; i += WIDE_LANES) {
		size_t longest = 0;

		for (size_t k = i; k < MIN(i + WIDE_LANES, n); k++) {
			blocks += blocks_of(jobs[k].len);
			chunks += jobs[k].len / POLY1305_CHUNK + 2;
			longest = MAX(longest, jobs[k].len / POLY1305_CHUNK + 2);
		}
		steps += longest;
	}
	return blocks >= LANES && 2 * chunks >= 11 * steps;
}

static void batch(struct aead_job *jobs, size_t n, bool opening)
{
	for (size_t i = 0; i < n; i += PART) {
		size_t now = MIN(n - i, (size_t)PART);

		if (groups_pay(jobs + i, now))
			part(jobs + i, now, opening);
		else if (opening)
			FEW_OPEN(jobs + i, now);
		else
			FEW_SEAL(jobs + i, now);
	}
}

void SEAL(struct aead_job *jobs, size_t n)
{
	batch(jobs, n, false);
}

void OPEN(struct aead_job *jobs, size_t n)
{
	batch(jobs, n, true);
}
