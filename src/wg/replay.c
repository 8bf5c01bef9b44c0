#include "wg/replay.h"

/* A ring of `words`, a power of two. */
struct ring {
	uint64_t *bits;
	uint64_t words;
};

static struct ring ring_of(struct wg_replay *w)
{
	if (w->many)
		return (struct ring){ w->many, WG_REPLAY_WORDS };
	return (struct ring){ w->few, WG_REPLAY_FEW };
}

static uint64_t *word_of(struct ring r, uint64_t counter)
{
	return &r.bits[counter / 64 & (r.words - 1)];
}

/* The word of the highest counter so far. */
static uint64_t top_of(const struct wg_replay *w)
{
	return w->next ? (w->next - 1) / 64 : 0;
}

/* Would sliding up to `counter` lose sight of one that was not seen? */
static bool would_forget(struct wg_replay *w, uint64_t counter)
{
	uint64_t top = top_of(w), at = counter / 64;

	if (at <= top || at < WG_REPLAY_FEW)
		return false;
	if (at - WG_REPLAY_FEW > top)
		return true; /* whole words that nobody has seen */
	for (uint64_t i = top < WG_REPLAY_FEW ? 0 : top - WG_REPLAY_FEW + 1;
	     i <= at - WG_REPLAY_FEW; i++)
		if (*word_of(ring_of(w), i * 64) != UINT64_MAX)
			return true;
	return false;
}

/* Takes the whole window.  What has left the small one counts as seen. */
static void grow(struct wg_replay *w)
{
	struct ring few = ring_of(w), many = { .words = WG_REPLAY_WORDS };
	uint64_t top = top_of(w);

	many.bits = malloc(WG_REPLAY_WORDS * sizeof *many.bits);
	if (!many.bits)
		return;
	memset(many.bits, 0xff, WG_REPLAY_WORDS * sizeof *many.bits);
	for (uint64_t i = 0; i < WG_REPLAY_FEW && i <= top; i++)
		*word_of(many, (top - i) * 64) = *word_of(few, (top - i) * 64);
	w->many = many.bits;
}

/* Clears the words between the highest so far and `counter`, which becomes the highest. */
static void slide(struct wg_replay *w, struct ring r, uint64_t counter)
{
	uint64_t from = top_of(w);
	uint64_t words = MIN(counter / 64 - from, r.words);

	for (uint64_t i = 1; i <= words; i++)
		*word_of(r, (from + i) * 64) = 0;
	w->next = counter + 1;
}

bool wg_replay_accept(struct wg_replay *w, uint64_t counter)
{
	uint64_t bit = 1ULL << (counter % 64);
	uint64_t *word;
	struct ring r;

	if (counter >= WG_REJECT_AFTER_MESSAGES)
		return false;
	if (!w->many && would_forget(w, counter))
		grow(w);
	r = ring_of(w);
	if (counter >= w->next)
		slide(w, r, counter);
	else if (w->next - 1 - counter > r.words * 64 - 64)
		return false;
	word = word_of(r, counter);
	if (*word & bit)
		return false;
	*word |= bit;
	return true;
}

void wg_replay_done(struct wg_replay *w)
{
	free(w->many);
	*w = (struct wg_replay){ 0 };
}
