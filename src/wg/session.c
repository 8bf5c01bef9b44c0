#include "wg/session.h"

#include "base/cpu.h"

struct wg_session *wg_session_new(const uint8_t send_key[KEY_LEN],
				  const uint8_t receive_key[KEY_LEN])
{
	struct wg_session *s = aligned_alloc(_Alignof(struct wg_session), sizeof *s);

	if (!s)
		return NULL;
	memset(s, 0, sizeof *s);
	atomic_flag_clear(&s->replay_busy);
	aead_key_set(&s->send_key, send_key);
	aead_key_set(&s->receive_key, receive_key);
	return s;
}

void wg_session_free(struct wg_session *s)
{
	if (!s)
		return;
	wg_replay_done(&s->replay);
	wipe(s, sizeof *s);
	free(s);
}

static void free_retired(struct retired_node *n)
{
	wg_session_free(CONTAINER_OF(n, struct wg_session, retired));
}

void wg_session_retire(struct wg_session *s, struct retired *r)
{
	if (s)
		retired_add(r, &s->retired, free_retired);
}

/* Exchanged and not added: what was looked at is what is taken, so that no number of threads gets past
 * the limit, and a counter that cannot give `n` stands still. */
bool wg_session_take_counters(struct wg_session *s, uint64_t n, uint64_t *out)
{
	uint64_t first = atomic_load_explicit(&s->send_counter, memory_order_relaxed);

	do {
		if (first >= WG_REJECT_AFTER_MESSAGES || n > WG_REJECT_AFTER_MESSAGES - first)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&s->send_counter, &first, first + n,
							memory_order_relaxed,
							memory_order_relaxed));
	*out = first;
	return true;
}

/* A spinning flag and no lock: the packets of one outer flow reach one worker, so two meet here
 * only when a peer roams or its flow is split, and then for the few stores of a window. */
bool wg_session_accept(struct wg_session *s, uint64_t counter)
{
	bool ok;

	while (atomic_flag_test_and_set_explicit(&s->replay_busy, memory_order_acquire))
		cpu_relax();
	ok = wg_replay_accept(&s->replay, counter);
	atomic_flag_clear_explicit(&s->replay_busy, memory_order_release);
	return ok;
}
