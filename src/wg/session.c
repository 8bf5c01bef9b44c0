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

bool wg_session_take_counters(struct wg_session *s, uint64_t n, uint64_t *out)
{
	uint64_t first;

	/* Looked at before it is added to: an exhausted counter stands still and cannot wrap.
	 * Threads that pass this line together overshoot the limit by less than the 2^13 that
	 * lie above it. */
	if (atomic_load_explicit(&s->send_counter, memory_order_relaxed) >=
	    WG_REJECT_AFTER_MESSAGES)
		return false;
	first = atomic_fetch_add_explicit(&s->send_counter, n, memory_order_relaxed);
	if (first >= WG_REJECT_AFTER_MESSAGES || n > WG_REJECT_AFTER_MESSAGES - first)
		return false;
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
