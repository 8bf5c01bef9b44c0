#include "wg/replay.h"

/* Clears the words between the highest so far and `counter`, which becomes the highest. */
static void slide(struct wg_replay *w, uint64_t counter)
{
	uint64_t from = w->next ? (w->next - 1) / 64 : 0;
	uint64_t words = counter / 64 - from;

	if (words > WG_REPLAY_WORDS)
		words = WG_REPLAY_WORDS;
	for (uint64_t i = 1; i <= words; i++)
		w->bits[(from + i) % WG_REPLAY_WORDS] = 0;
	w->next = counter + 1;
}

bool wg_replay_accept(struct wg_replay *w, uint64_t counter)
{
	uint64_t *word = &w->bits[(counter / 64) % WG_REPLAY_WORDS];
	uint64_t bit = 1ULL << (counter % 64);

	if (counter >= WG_REJECT_AFTER_MESSAGES)
		return false;
	if (counter >= w->next)
		slide(w, counter);
	else if (w->next - 1 - counter > WG_REPLAY_BEHIND)
		return false;
	if (*word & bit)
		return false;
	*word |= bit;
	return true;
}
