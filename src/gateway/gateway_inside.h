/* gateway_inside.h - what the files of the running gateway share; nobody else includes it. */
#ifndef QANAT_GATEWAY_GATEWAY_INSIDE_H
#define QANAT_GATEWAY_GATEWAY_INSIDE_H

#include "gateway/apis.h"
#include "tunnels/backend.h"
#include "gateway/control_server.h"
#include "gateway/gateway.h"
#include "core/network.h"
#include "gateway/watchdog.h"

struct gateway {
	const struct options *options;
	struct loop *loop;
	struct store *store;
	struct helper *helper; /* borrowed */
	bool net_open;
	struct net_want want;
	bool has_ipv6; /* the clients' network, and the host */
	struct network *network; /* keeps it so */
	bool alone; /* no other gateway uses the state directory: its journal is ours */
	struct backend *backend;
	struct tunnels *tunnels; /* further interfaces */
	bool take_over; /* the run before has left its interface, or may have */
	struct control_server *control;
	struct apis *apis; /* over HTTPS; NULL: none are set up */
	struct core core;
	bool serving; /* the peers are those of the store */
	struct loop_timer save; /* of endpoints */
	struct watchdog watchdog; /* of the service manager */
	struct loop_timer call; /* ends the calling of clients */
	bool stop_asked, restart_asked; /* by a signal, or over the control socket */
	struct core_later restart_asker; /* reply NULL: nobody */
	struct log_ring *logs;
	struct loop_fd other_logs; /* of the other processes */
	bool interface_gone;
};

/* What core asks for (gateway_host.c). */
struct core_host gateway_host(struct gateway *g);

/* ---- the host's network (gateway_network.c) ---- */

bool gateway_host_has_ipv6(void);
/* What the host's network shall be at the start. */
void gateway_want_fill(struct gateway *g);
/* Opens it, and refuses a network that the host is in already. */
MUST_CHECK enum err_code gateway_net_open(struct gateway *g, struct err *e);
/* Makes it as settings and further interfaces have it now. */
MUST_CHECK enum err_code gateway_apply(struct gateway *g, struct err *e);

#endif
