/* engine.h - what the threads of a dataplane share; for this folder only.
 *
 * A worker owns one TUN queue, one pair of UDP sockets and all buffers it needs.  Everything it
 * shares is an atomic, a mailbox, or a packet call of wg/transport.h.
 */
#ifndef QANAT_DATAPLANE_ENGINE_H
#define QANAT_DATAPLANE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "dataplane/dataplane.h"
#include "dataplane/quiescence.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "io/tun.h"
#include "io/udp.h"

/* Handshakes waiting for the control thread; from an eighth of it on we are under load (paper
 * 5.3; the number is the kernel's), for as long as wg holds it. */
#define HANDSHAKE_QUEUE 4096
#define EVENT_QUEUE 4096
#define STAGED_QUEUE 256

struct inbound;
struct outbound;
struct watch;

/* The open sockets, one pair a worker.  A snapshot: const once published, retired when replaced. */
struct sockets {
	struct retired_node node;
	uint16_t port;
	unsigned n;
	struct udp *udp[DATAPLANE_WORKERS_MAX];
};

struct worker {
	struct dataplane *dp;
	unsigned number;
	pthread_t thread;
	bool running; /* owner: who opened */
	int epoll_fd; /* its TUN queue, its sockets (added by control), and wake_fd */
	int wake_fd;
	/* owner: worker */
	int64_t now; /* of this turn */
	struct udp *udp; /* of this turn, NULL while closed */
	size_t moved; /* bytes, in this turn or the last */
	struct wg_events events; /* on their way to control */
	struct outbound *out;
	struct inbound *in;
	unsigned tun_failures; /* in a row */
};

/* A message of type 1, 2 or 3 for the control thread. */
struct handshake_item {
	struct wg_path from;
	uint16_t len;
	uint8_t dgram[WG_INITIATION_LEN];
};

/* A packet that waits for a session; `copy` is given away. */
struct staged_item {
	struct wg_peer *peer;
	uint8_t *copy;
	size_t len;
};

struct dataplane {
	/* const after start */
	struct dataplane_config config;
	struct tun *tun;
	unsigned worker_count;
	struct worker *workers[DATAPLANE_WORKERS_MAX];
	struct loop *loop;
	struct mailbox *events;
	struct mailbox *handshakes;
	struct mailbox *staged;
	int gone_fd;
	struct wg_device *device; /* its control calls: lock */

	/* shared with workers */
	struct sockets *_Atomic sockets; /* NULL: closed; replaced under lock */
	_Atomic uint16_t mtu;
	atomic_bool stopping;
	atomic_bool gone;
	struct quiescence quiescence;

	/* lock: guards the device's control calls, what follows, and sending by control */
	pthread_mutex_t lock;
	struct retired retired;
	uint64_t grace; /* generation whose end is awaited, 0: none */
	uint16_t port; /* wanted, or the one in use; 0: any */
	uint32_t fwmark;
	bool up;
	bool super_packets_fit; /* the kernel was told how long they may be */
	uint32_t ifindex;
	char ifname[IF_NAMESIZE];
	struct wg_events own_events; /* raised by control's own sending */
	int64_t run_now; /* when the present run of changes began */

	/* owner: control thread */
	pthread_t control;
	bool control_running;
	struct loop_fd event_watch, handshake_watch, staged_watch;
	struct loop_timer deadline, reclaim;
	struct loop_work turn;
	atomic_bool turn_posted;
	struct watch *watch;
};

/* Tells the program that the interface is gone; any thread, more than once. */
void dataplane_report_gone(struct dataplane *dp);

#endif
