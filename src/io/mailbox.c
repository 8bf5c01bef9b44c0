#include "io/mailbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fs.h"

#define CACHE_LINE 64

struct cell {
	/* turn == position: free for the put of that position; position + 1: filled */
	atomic_size_t turn;
	_Alignas(16) uint8_t item[];
};

struct mailbox {
	/* const after mailbox_new */
	size_t mask;
	size_t item_size;
	size_t cell_size;
	uint8_t *cells;
	int fd;
	/* shared; each on a line of its own, for they are written by different threads */
	_Alignas(CACHE_LINE) atomic_size_t head; /* next position to put at */
	_Alignas(CACHE_LINE) atomic_size_t tail; /* next position to take; owner: taker */
	_Alignas(CACHE_LINE) atomic_bool asleep;
};

static struct cell *cell_at(const struct mailbox *m, size_t position)
{
	return (struct cell *)(void *)(m->cells + (position & m->mask) * m->cell_size);
}

enum err_code mailbox_new(struct mailbox **out, size_t capacity, size_t item_size, struct err *e)
{
	struct mailbox *m = aligned_alloc(CACHE_LINE, sizeof *m);
	enum err_code rc;
	size_t bytes;

	BUG_ON(!capacity || (capacity & (capacity - 1)));
	if (!m)
		return err_set(e, ERR_NOMEM, "no memory for a mailbox");
	memset(m, 0, sizeof *m);
	m->fd = -1;
	m->mask = capacity - 1;
	m->item_size = item_size;
	m->cell_size =
		(sizeof(struct cell) + item_size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	if (mul_ok(capacity, m->cell_size, &bytes))
		m->cells = aligned_alloc(CACHE_LINE, bytes);
	if (!m->cells) {
		rc = err_set(e, ERR_NOMEM, "no memory for a mailbox of %zu items", capacity);
		goto out;
	}
	for (size_t i = 0; i < capacity; i++)
		atomic_init(&cell_at(m, i)->turn, i);
	atomic_init(&m->asleep, true);
	m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->fd < 0) {
		rc = err_sys(e, errno, "open an event descriptor");
		goto out;
	}
	*out = m;
	return ERR_OK;
out:
	mailbox_free(m);
	return rc;
}

void mailbox_free(struct mailbox *m)
{
	if (!m)
		return;
	fd_close(m->fd);
	free(m->cells);
	free(m);
}

static void wake(struct mailbox *m)
{
	uint64_t one = 1;

	/* Only the one who finds the taker asleep writes. */
	if (!atomic_load(&m->asleep) || !atomic_exchange(&m->asleep, false))
		return;
	while (write(m->fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

bool mailbox_put(struct mailbox *m, const void *item)
{
	size_t at = atomic_load_explicit(&m->head, memory_order_relaxed);
	struct cell *c;

	for (;;) {
		ptrdiff_t ahead;

		c = cell_at(m, at);
		ahead = (ptrdiff_t)(atomic_load_explicit(&c->turn, memory_order_acquire) - at);
		if (ahead < 0)
			return false; /* the taker has not been here since the last round */
		if (ahead > 0)
			at = atomic_load_explicit(&m->head, memory_order_relaxed);
		else if (atomic_compare_exchange_weak_explicit(&m->head, &at, at + 1,
							       memory_order_relaxed,
							       memory_order_relaxed))
			break;
	}
	memcpy(c->item, item, m->item_size);
	/* In one order with `asleep`: either we see the taker asleep, or it sees the item. */
	atomic_store(&c->turn, at + 1);
	wake(m);
	return true;
}

static bool has_item(const struct mailbox *m)
{
	size_t at = atomic_load_explicit(&m->tail, memory_order_relaxed);

	return atomic_load(&cell_at(m, at)->turn) == at + 1;
}

bool mailbox_take(struct mailbox *m, void *item)
{
	size_t at = atomic_load_explicit(&m->tail, memory_order_relaxed);
	struct cell *c = cell_at(m, at);

	if (atomic_load_explicit(&c->turn, memory_order_acquire) != at + 1)
		return false;
	memcpy(item, c->item, m->item_size);
	atomic_store_explicit(&c->turn, at + m->mask + 1, memory_order_release);
	atomic_store_explicit(&m->tail, at + 1, memory_order_relaxed);
	return true;
}

int mailbox_fd(const struct mailbox *m)
{
	return m->fd;
}

bool mailbox_sleep(struct mailbox *m)
{
	atomic_store(&m->asleep, true);
	if (!has_item(m))
		return true;
	atomic_store(&m->asleep, false);
	return false;
}

void mailbox_awake(struct mailbox *m)
{
	uint64_t count;
	ssize_t got;

	atomic_store(&m->asleep, false);
	got = read(m->fd, &count, sizeof count);
	(void)got; /* empty: whoever woke us has not written yet, and will wake us once more */
}

size_t mailbox_count(const struct mailbox *m)
{
	size_t tail = atomic_load_explicit(&m->tail, memory_order_relaxed);
	size_t n = atomic_load_explicit(&m->head, memory_order_relaxed) - tail;

	return n > m->mask + 1 ? m->mask + 1 : n;
}

size_t mailbox_capacity(const struct mailbox *m)
{
	return m->mask + 1;
}
