#include "dataplane/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fs.h"
#include "dataplane/control.h"
#include "dataplane/inbound.h"
#include "dataplane/outbound.h"

/* A queue that fails so often in a row without being gone is given up. */
#define TUN_FAILURES_MAX 1000
/* Copies of keys inside the AEAD are wiped after this long without a packet. */
#define FORGET_KEYS_MS 10000
/* After a turn that moved so many bytes more are on their way: a worker looks for them for this long
 * before it sleeps, and lets others have the processor meanwhile.  To be woken costs a worker of a virtual
 * machine some 50 us, while the other end of the pipe waits. */
#define BULK_BYTES (16u << 10)
#define LOOK_NS (60 * (NS_PER_MS / 1000))
/* How often the lock is tried when an event decides the answer; control mostly holds it for some
 * microseconds, and a session is confirmed once in two minutes. */
#define SETTLE_TRIES 16

static enum err_code watch(const struct worker *w, int fd, uint64_t tag, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = tag };

	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_sys(e, errno, "watch descriptor %d of worker %u", fd, w->number);
	return ERR_OK;
}

enum err_code worker_new(struct worker **out, struct dataplane *dp, unsigned number, struct err *e)
{
	struct worker *w = calloc(1, sizeof *w);
	enum err_code rc = ERR_OK;

	if (!w)
		return err_set(e, ERR_NOMEM, "no memory for worker %u", number);
	w->dp = dp;
	w->number = number;
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->in = inbound_new(w);
	w->out = outbound_new();
	if (w->wake_fd < 0 || w->epoll_fd < 0)
		rc = err_sys(e, errno, "open the descriptors of worker %u", number);
	else if (!w->in || !w->out)
		rc = err_set(e, ERR_NOMEM, "no memory for the buffers of worker %u", number);
	if (!rc)
		rc = watch(w, w->wake_fd, WORKER_WAKE, e);
	if (!rc)
		rc = watch(w, tun_fd(dp->tun, number), WORKER_TUN, e);
	if (rc) {
		worker_free(w);
		return rc;
	}
	*out = w;
	return ERR_OK;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	outbound_free(w->out);
	inbound_free(w->in);
	fd_close(w->epoll_fd);
	fd_close(w->wake_fd);
	free(w);
}

void worker_tun_failed(struct worker *w, int sys)
{
	char name[IF_NAMESIZE];
	bool gone = sys == EBADFD && tun_name(w->dp->tun, name, NULL) != ERR_OK;

	/* EIO: the interface is down.  The packet is lost, as on any interface that is. */
	wg_count(w->dp->device, NULL, sys == EIO ? DROP_DOWN : DROP_NOT_WRITTEN, 1);
	if (!gone && ++w->tun_failures < TUN_FAILURES_MAX)
		return;
	epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, tun_fd(w->dp->tun, w->number), NULL);
	dataplane_report_gone(w->dp);
}

void worker_tun_write(struct worker *w, uint8_t *packet, size_t n)
{
	struct virtio_net_hdr none = { 0 };
	const struct iovec iov[2] = { { &none, sizeof none }, { packet, n } };
	int rc = tun_write(w->dp->tun, w->number, iov, 2);

	if (rc < 0)
		worker_tun_failed(w, -rc);
	else
		w->tun_failures = 0;
}

static bool decides_the_answer(const struct wg_events *ev)
{
	for (size_t i = 0; i < ev->n; i++) {
		if (ev->ev[i].kind == WG_EV_SESSION_CONFIRMED || ev->ev[i].kind == WG_EV_ROAMED)
			return true;
	}
	return false;
}

void worker_settle(struct worker *w)
{
	struct dataplane *dp = w->dp;

	if (LIKELY(!w->events.n) || !decides_the_answer(&w->events))
		return;
	for (int tries = 0; pthread_mutex_trylock(&dp->lock); tries++) {
		if (tries == SETTLE_TRIES)
			return;
		sched_yield();
	}
	for (size_t i = 0; i < w->events.n; i++)
		wg_device_event(dp->device, &w->events.ev[i], w->now);
	w->events.n = 0;
	control_own_events(dp);
	pthread_mutex_unlock(&dp->lock);
	control_kick(dp); /* deadlines may have changed */
}

/* Hands what packet calls learned to control.  What does not fit will be raised again. */
static void hand_over_events(struct worker *w)
{
	for (size_t i = 0; i < w->events.n; i++) {
		if (!mailbox_put(w->dp->events, &w->events.ev[i]))
			break;
	}
	w->events.n = 0;
}

static void serve(struct worker *w, const struct epoll_event *ev)
{
	switch ((enum worker_tag)ev->data.u64) {
	case WORKER_TUN:
		outbound_run(w);
		break;
	case WORKER_V4:
		inbound_run(w, IP_V4);
		break;
	case WORKER_V6:
		inbound_run(w, IP_V6);
		break;
	case WORKER_WAKE:
		break;
	}
}

static void turn(struct worker *w, const struct epoll_event *ready, int n)
{
	const struct sockets *s;

	quiescence_online(&w->dp->quiescence, w->number);
	w->moved = 0;
	s = atomic_load_explicit(&w->dp->sockets, memory_order_acquire);
	w->udp = s ? s->udp[w->number] : NULL;
	w->now = clock_mono_ns();
	for (int i = 0; i < n; i++)
		serve(w, &ready[i]);
	hand_over_events(w);
	w->udp = NULL;
	quiescence_offline(&w->dp->quiescence, w->number);
}

/* A worker's caches are its own while it stays where it is.  Worker i takes the i-th processor that
 * the process may use: siblings of one core are far apart in that order.  Best effort. */
static void pin(const struct worker *w)
{
	cpu_set_t allowed, one;
	unsigned wanted = w->number;
	size_t cpu = 0;

	if (w->dp->config.unpinned || w->dp->worker_count < 2 ||
	    sched_getaffinity(0, sizeof allowed, &allowed) < 0 ||
	    CPU_COUNT(&allowed) < (int)w->dp->worker_count)
		return;
	while (!CPU_ISSET(cpu, &allowed) || wanted--)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	(void)sched_setaffinity(0, sizeof one, &one); /* of this thread */
}

/* What is ready: at once while bulk traffic flows, else whenever there is something, or after
 * `timeout_ms`. */
static int wait_ready(const struct worker *w, struct epoll_event *ready, int max, int timeout_ms)
{
	if (w->moved >= BULK_BYTES) {
		int64_t until = clock_mono_ns() + LOOK_NS;

		do {
			int n = epoll_wait(w->epoll_fd, ready, max, 0);

			if (n != 0)
				return n;
			sched_yield();
		} while (clock_mono_ns() < until);
	}
	return epoll_wait(w->epoll_fd, ready, max, timeout_ms);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct epoll_event ready[8];
	bool keys_held = false;

	pin(w);
	while (!atomic_load_explicit(&w->dp->stopping, memory_order_relaxed)) {
		int n = wait_ready(w, ready, (int)ARRAY_LEN(ready),
				   keys_held ? FORGET_KEYS_MS : -1);

		if (n > 0) {
			turn(w, ready, n);
			keys_held = true;
		} else if (n == 0) {
			aead_forget();
			keys_held = false;
		}
	}
	aead_forget();
	return NULL;
}

enum err_code worker_start(struct worker *w, struct err *e)
{
	sigset_t all, before;
	int sys;

	/* Signals are for the program's own thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	sys = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (sys)
		return err_sys(e, sys, "start worker %u", w->number);
	w->running = true;
	return ERR_OK;
}

void worker_stop(struct worker *w)
{
	uint64_t one = 1;
	ssize_t written;

	if (!w || !w->running)
		return;
	written = write(w->wake_fd, &one, sizeof one);
	(void)written; /* it fails only when the counter is full, and then it wakes as well */
	pthread_join(w->thread, NULL);
	w->running = false;
}
