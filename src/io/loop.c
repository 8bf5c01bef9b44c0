#include "io/loop.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

#define LOOP_BATCH 64

struct loop_handler {
	void (*fn)(void *ctx, int signo);
	void *ctx;
};

struct loop {
	int epoll_fd;
	int64_t now;
	struct loop_timer *timers; /* root of the pairing heap: the earliest */
	bool firing; /* timers are being run: none set now may run in this turn */

	struct epoll_event ready[LOOP_BATCH]; /* of the current turn, from ready_at on */
	size_t ready_n;

	struct loop_fd wake; /* eventfd, for posted work and stop */
	struct loop_work *_Atomic posted; /* newest first */
	atomic_bool stop;

	struct loop_fd signals; /* signalfd, or -1 */
	sigset_t signal_set;
	struct loop_handler handlers[NSIG];
};

/* ---- timers: a pairing heap, so that setting one never allocates ---- */

/* The root of two heaps made one; either may be NULL. */
static struct loop_timer *heap_meld(struct loop_timer *a, struct loop_timer *b)
{
	struct loop_timer *swap;

	if (!a || !b)
		return a ? a : b;
	if (b->at < a->at) {
		swap = a;
		a = b;
		b = swap;
	}
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	b->prev = a;
	a->child = b;
	a->next = NULL;
	a->prev = NULL;
	return a;
}

/* Melds a list of siblings: in pairs on the way there, into one on the way back. */
static struct loop_timer *heap_meld_siblings(struct loop_timer *first)
{
	struct loop_timer *pairs = NULL;
	struct loop_timer *root = NULL;

	while (first) {
		struct loop_timer *a = first;
		struct loop_timer *b = a->next;

		first = b ? b->next : NULL;
		a->next = NULL;
		a->prev = NULL;
		if (b) {
			b->next = NULL;
			b->prev = NULL;
		}
		a = heap_meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct loop_timer *rest = pairs->next;

		pairs->next = NULL;
		root = heap_meld(root, pairs);
		pairs = rest;
	}
	return root;
}

static void heap_remove(struct loop *l, struct loop_timer *t)
{
	struct loop_timer *orphans = heap_meld_siblings(t->child);

	if (t == l->timers) {
		l->timers = orphans;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		l->timers = heap_meld(l->timers, orphans);
	}
	t->child = NULL;
	t->next = NULL;
	t->prev = NULL;
	t->loop = NULL;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t at_ns)
{
	loop_timer_cancel(t);
	/* A timer that sets itself to the past must not keep the loop from its descriptors. */
	t->at = l->firing && at_ns <= l->now ? l->now + 1 : at_ns;
	t->loop = l;
	l->timers = heap_meld(l->timers, t);
}

void loop_timer_cancel(struct loop_timer *t)
{
	if (t->loop)
		heap_remove(t->loop, t);
}

static void run_timers(struct loop *l)
{
	l->firing = true;
	while (l->timers && l->timers->at <= l->now) {
		struct loop_timer *t = l->timers;

		heap_remove(l, t);
		t->fire(t);
	}
	l->firing = false;
}

/* Milliseconds until the first timer, rounded up so that none fires early; -1 for none. */
static int wait_ms(const struct loop *l)
{
	int64_t left;

	if (atomic_load(&l->stop))
		return 0;
	if (!l->timers)
		return -1;
	left = l->timers->at - clock_mono_ns();
	if (left <= 0)
		return 0;
	left = left / NS_PER_MS + 1;
	return left > INT_MAX ? INT_MAX : (int)left;
}

/* ---- descriptors ---- */

static uint32_t to_epoll(uint32_t events)
{
	return (events & LOOP_READ ? EPOLLIN : 0u) | (events & LOOP_WRITE ? EPOLLOUT : 0u);
}

static uint32_t from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? LOOP_READ : 0u) | (events & EPOLLOUT ? LOOP_WRITE : 0u) |
	       (events & (EPOLLHUP | EPOLLERR) ? LOOP_HANGUP : 0u);
}

enum err_code loop_fd_add(struct loop *l, struct loop_fd *w, struct err *e)
{
	struct epoll_event ev = { .events = to_epoll(w->events), .data.ptr = w };

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0)
		return err_sys(e, errno, "watch descriptor %d", w->fd);
	w->loop = l;
	return ERR_OK;
}

void loop_fd_change(struct loop_fd *w, uint32_t events)
{
	struct epoll_event ev = { .events = to_epoll(events), .data.ptr = w };

	if (!w->loop || w->events == events)
		return;
	w->events = events;
	/* Changing what is watched takes no memory; it fails only for a descriptor closed too early. */
	BUG_ON(epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev) < 0);
}

void loop_fd_remove(struct loop_fd *w)
{
	struct loop *l = w->loop;

	if (!l)
		return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	for (size_t i = 0; i < l->ready_n; i++) {
		if (l->ready[i].data.ptr == w)
			l->ready[i].data.ptr = NULL;
	}
	w->loop = NULL;
}

static void run_ready(struct loop *l)
{
	for (size_t i = 0; i < l->ready_n; i++) {
		struct loop_fd *w = l->ready[i].data.ptr;
		uint32_t events = from_epoll(l->ready[i].events);

		if (w && (events &= w->events | LOOP_HANGUP))
			w->ready(w, events);
	}
	l->ready_n = 0;
}

/* ---- work from other threads ---- */

static void wake_up(struct loop *l)
{
	uint64_t one = 1;

	/* EAGAIN means that the counter is full, and then the loop wakes anyway. */
	while (write(l->wake.fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

void loop_post(struct loop *l, struct loop_work *w)
{
	struct loop_work *head = atomic_load_explicit(&l->posted, memory_order_relaxed);

	do {
		w->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&l->posted, &head, w, memory_order_release,
							memory_order_relaxed));
	if (!head)
		wake_up(l);
}

static void wake_ready(struct loop_fd *w, uint32_t events)
{
	struct loop *l = CONTAINER_OF(w, struct loop, wake);
	struct loop_work *newest;
	struct loop_work *oldest = NULL;
	uint64_t count;
	ssize_t got;

	(void)events;
	got = read(w->fd, &count, sizeof count);
	(void)got; /* nothing to read: somebody was faster, and the list is looked at anyway */
	newest = atomic_exchange_explicit(&l->posted, NULL, memory_order_acquire);
	while (newest) {
		struct loop_work *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct loop_work *next = oldest->next; /* fn may free or post it again */

		oldest->fn(oldest);
		oldest = next;
	}
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	wake_up(l);
}

/* ---- signals ---- */

static void signals_ready(struct loop_fd *w, uint32_t events)
{
	struct loop *l = CONTAINER_OF(w, struct loop, signals);
	struct signalfd_siginfo info;

	(void)events;
	while (read(w->fd, &info, sizeof info) == (ssize_t)sizeof info) {
		struct loop_handler *h = &l->handlers[info.ssi_signo % NSIG];

		if (h->fn)
			h->fn(h->ctx, (int)info.ssi_signo);
	}
}

enum err_code loop_signal(struct loop *l, int signo, void (*handler)(void *ctx, int signo),
			  void *ctx, struct err *e)
{
	sigset_t one;
	sigset_t all = l->signal_set;
	int fd;

	sigemptyset(&one);
	if (sigaddset(&one, signo) < 0 || sigaddset(&all, signo) < 0)
		return err_set(e, ERR_INVALID, "signal number %d does not exist", signo);
	fd = signalfd(l->signals.fd, &all, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "watch signal %d", signo);
	if (l->signals.fd < 0) {
		enum err_code rc;

		l->signals =
			(struct loop_fd){ .fd = fd, .events = LOOP_READ, .ready = signals_ready };
		rc = loop_fd_add(l, &l->signals, e);
		if (rc) {
			fd_close(fd);
			l->signals.fd = -1;
			return rc;
		}
	}
	l->signal_set = all;
	l->handlers[signo] = (struct loop_handler){ .fn = handler, .ctx = ctx };
	pthread_sigmask(SIG_BLOCK, &one, NULL);
	return ERR_OK;
}

/* ---- the loop ---- */

enum err_code loop_new(struct loop **out, struct err *e)
{
	struct loop *l = calloc(1, sizeof *l);
	enum err_code rc;

	if (!l)
		return err_set(e, ERR_NOMEM, "no memory for an event loop");
	l->signals.fd = -1;
	l->wake.fd = -1;
	sigemptyset(&l->signal_set);
	l->now = clock_mono_ns();
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		rc = err_sys(e, errno, "open an epoll descriptor");
		goto out;
	}
	l->wake = (struct loop_fd){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
				    .events = LOOP_READ,
				    .ready = wake_ready };
	if (l->wake.fd < 0) {
		rc = err_sys(e, errno, "open an event descriptor");
		goto out;
	}
	rc = loop_fd_add(l, &l->wake, e);
	if (rc)
		goto out;
	*out = l;
	l = NULL;
out:
	loop_free(l);
	return rc;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->timers)
		heap_remove(l, l->timers);
	fd_close(l->signals.fd);
	fd_close(l->wake.fd);
	fd_close(l->epoll_fd);
	free(l);
}

enum err_code loop_run(struct loop *l, struct err *e)
{
	l->now = clock_mono_ns();
	do {
		int n = epoll_wait(l->epoll_fd, l->ready, LOOP_BATCH, wait_ms(l));

		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "wait for events");
		l->now = clock_mono_ns();
		l->ready_n = n > 0 ? (size_t)n : 0;
		run_ready(l);
		run_timers(l);
	} while (!atomic_load(&l->stop));
	atomic_store(&l->stop, false);
	return ERR_OK;
}

int64_t loop_now(const struct loop *l)
{
	return l->now;
}
